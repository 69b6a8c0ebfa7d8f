"""Confounds from tables of any form, and values that are missing in them."""

import numpy as np
import pandas as pd
import pytest
from nilearn.signal import clean as nilearn_clean

from bids_spheres.engine import clean
from bids_spheres.engine.regressors import read_table
from bids_spheres.errors import DataError, MissingInputError
from tests.engine.cleaning import assert_same, noise


@pytest.fixture(params=["csv", "tsv", "semicolon", "blanks"])
def delimiter(request):
    return {"csv": ",", "tsv": "\t", "semicolon": ";", "blanks": " "}[request.param]


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("as_path", [True, False])
def test_confounds_from_a_file(tmp_path, delimiter, header, as_path):
    series, table = noise(50, 2), pd.DataFrame(noise(50, 3, seed=1), columns=["csf", "wm", "x_1"])
    path = tmp_path / "confounds.txt"
    table.to_csv(path, sep=delimiter, header=header, index=False)
    given_ = path if as_path else str(path)
    assert_same(clean(series, confounds=given_), nilearn_clean(series, confounds=given_))
    assert_same(clean(series, confounds=given_), clean(series, confounds=table))
    both = [given_, noise(50, 1, seed=2)]
    assert_same(clean(series, confounds=both), nilearn_clean(series, confounds=both))


def test_a_line_with_any_name_is_a_header(tmp_path):
    """As of components that are counted from 0."""
    table = noise(50, 3, seed=1)
    path = tmp_path / "table.csv"
    np.savetxt(path, table, fmt="%.17g", delimiter=",", header="0,1,csf", comments="")
    np.testing.assert_array_equal(read_table(path), table)


def test_numbers_aligned_by_blanks(tmp_path):
    """As SPM writes movement parameters."""
    series, table = noise(50, 2), noise(50, 3, seed=1)
    np.savetxt(tmp_path / "rp.txt", table, fmt=" %15.8e")
    ours = clean(series, confounds=tmp_path / "rp.txt")
    assert_same(ours, nilearn_clean(series, confounds=tmp_path / "rp.txt"))


@pytest.mark.parametrize("header", ["csf\n", "", "\ncsf\n\n"])
def test_a_file_of_one_column(tmp_path, header):
    """Nilearn can't read one."""
    series, column = noise(50, 2), noise(50, 1, seed=1)
    path = tmp_path / "csf.tsv"
    path.write_text(header + "".join(f"{value!r}\n" for value in column[:, 0].tolist()) + "\n")
    assert_same(clean(series, confounds=path), nilearn_clean(series, confounds=column))


@pytest.fixture(params=["array", "frame", "csv", "tsv without header"])
def table_with_a_gap(request, tmp_path):
    """The derivative of a regressor as fMRIPrep writes it: as handed over, and as a table."""
    table = pd.DataFrame(noise(50, 3, seed=1), columns=["csf_derivative1", "csf", "wm"])
    table.iloc[0, 0] = np.nan
    path = tmp_path / "confounds"
    header = request.param == "csv"
    table.to_csv(path, sep="," if header else "\t", header=header, index=False, na_rep="n/a")
    return {"array": table.to_numpy(), "frame": table}.get(request.param, path), table


@pytest.mark.parametrize("options", [{}, {"high_pass": 0.02}, {"sample_mask": np.arange(40)}])
def test_missing_values_of_confounds(table_with_a_gap, options):
    """Nilearn raises a ValueError of LAPACK's wrapper, or of a table one line too short."""
    series, (confounds, _) = noise(50, 2), table_with_a_gap
    with pytest.raises(DataError, match="Column 0 of the confounds has no finite value"):
        clean(series, confounds=confounds, **options)
    with pytest.raises(ValueError, match=r"infs or NaNs|incorrect length"):
        nilearn_clean(series, confounds=confounds, **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"high_pass": 0.02},
        {"high_pass": 0.02, "extrapolate": True},
        {"high_pass": 0.02, "filter": "cosine"},
    ],
)
def test_missing_values_of_censored_volumes_do_no_harm(table_with_a_gap, options):
    """Nilearn takes n/a in the first line of a file without header for a header."""
    series, (confounds, table) = noise(50, 2), table_with_a_gap
    options = options | {"sample_mask": np.arange(1, 50)}
    ours = clean(series, confounds=confounds, **options)
    assert_same(ours, nilearn_clean(series, confounds=table, **options))


def test_confounds_that_are_no_table(tmp_path):
    series = noise(5, 2)
    with pytest.raises(MissingInputError):
        clean(series, confounds=tmp_path / "nowhere.tsv")
    for content, match in [
        ("", "empty"),
        ("a\tb\n1\t2\n3\n", "differ in length"),
        ("a\tb\n1\tx\n", "'x' is not a number"),
        (b"\xff\xfe\x00", "can't be read as text"),
    ]:
        path = tmp_path / "table.tsv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        with pytest.raises(DataError, match=match):
            clean(series, confounds=path)
    with pytest.raises(DataError, match="must be numbers"):
        clean(series, confounds=pd.DataFrame({"csf": ["n/a", *"1234"]}))
    with pytest.raises(DataError, match="real numbers"):
        clean(series, confounds=np.ones((5, 1), dtype=complex))


def test_confounds_in_a_tuple_are_those_of_a_list():
    series, parts = noise(60, 2), [noise(60, 1, seed=1), noise(60, 2, seed=2)]
    expected = clean(series, confounds=np.hstack(parts))
    for given_ in (parts, tuple(parts)):
        np.testing.assert_allclose(clean(series, confounds=given_), expected, atol=1e-10)
