"""Tables: what is refused and where messages point; those of tedana against nilearn."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nilearn.interfaces.fmriprep import load_confounds

from bids_spheres.confounds.design import make_design
from bids_spheres.confounds.strategy import Strategy
from bids_spheres.confounds.tables import (
    computable,
    expand,
    merge_tables,
    numbers,
    own_columns,
    read_confounds,
    read_header,
    read_metadata,
    read_outliers,
    read_tedana,
    run_columns,
    tedana_regressors,
    without_gaps,
)
from bids_spheres.errors import DataError, MissingInputError


def written(folder, content, name="confounds.tsv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        (b"", "can't be read as a TSV table: it is empty"),
        (b" \n\t\n", "can't be read as a TSV table: it is empty"),
        (b'a\tb\n"1\t2\n', "can't be read as a TSV table"),
        (b"\xff\xfe\x00a\tb", "can't be read as text: it is UTF-16"),
        (b"PK\x03\x04", "can't be read as text: it is an Excel"),
        (b"caf\xe9\tb\n1\t2\n", "can't be read as text: byte 3 is not UTF-8"),
        (b"a,b\n1,2\n", "has no tabs: ',' stands between its columns"),
        (b"a;b\n1;2\n", "has no tabs: ';' stands between its columns"),
    ],
)
def test_files_that_are_no_tables(tmp_path, content, phrase):
    path = written(tmp_path, content)
    with pytest.raises(DataError, match=phrase) as error:
        read_confounds(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("read", [read_confounds, read_header, lambda path: read_outliers(path, 4)])
def test_tables_that_are_not_here(tmp_path, read):
    path = tmp_path / "confounds.tsv"
    with pytest.raises(MissingInputError, match=r"There is no (outlier )?table .*confounds\.tsv"):
        read(path)
    path.symlink_to(".git/annex/objects/1/2/key/key")
    with pytest.raises(MissingInputError, match=r"git-annex has its name only") as error:
        read(path)
    assert error.value.hint == f"Get it with: datalad get {path}"
    path.unlink()
    path.write_text("/annex/objects/MD5E-s1--a.tsv\n")
    with pytest.raises(MissingInputError, match=r"git-annex has its name only"):
        read(path)


def test_a_word_in_a_table_of_many_rows(tmp_path):
    # pandas reads tables of this size in pieces, and warns of types that differ between them
    rows = ["1.5\t" * 199 + "1.5"] * 1500
    rows[-1] = "one" + rows[-1][3:]
    names = "\t".join(f"c{i}" for i in range(200))
    table = read_confounds(written(tmp_path, "\n".join([names, *rows]) + "\n"))
    with pytest.raises(DataError, match="x: 'one' in column c0, row 1500, is not a number"):
        numbers(table, "c0", "x")


def test_words_of_missing_values(tmp_path):
    table = read_confounds(written(tmp_path, "a\tb\nn/a\t1\nN/A\t2\nNaN\t3\n\t4\n5\t6\n"))
    np.testing.assert_array_equal(numbers(table, "a", "x"), [*4 * [np.nan], 5])
    table = read_confounds(written(tmp_path, "a\tb\nnan\t1\nNA\t2\nna\t3\n5\t6\n"))
    np.testing.assert_array_equal(numbers(table, "a", "x"), [*3 * [np.nan], 5])
    table = read_confounds(written(tmp_path, "a\n1\nnull\n"))
    with pytest.raises(DataError, match="'null' in column a, row 2, is not a number"):
        numbers(table, "a", "x")


def test_decimals_with_a_comma(tmp_path):
    table = read_confounds(written(tmp_path, "a\tb\n0,5\t1\n"))
    with pytest.raises(DataError, match="'0,5' in column a, row 1, is not a number") as error:
        numbers(table, "a", "x")
    assert error.value.hint == "Decimals are written with a point."


@pytest.mark.parametrize(
    ("values", "phrase"),
    [
        ([1, np.nan, 2], "column a, row 2, is missing"),
        ([1, 2, np.inf], "column a, row 3, is too large: inf"),
        ([1, -1e300, 2], r"column a, row 2, is too large: -1e\+300"),
        ([np.nan], "column a is n/a throughout"),
    ],
)
def test_values_that_no_regression_can_use(values, phrase):
    with pytest.raises(DataError, match=phrase):
        without_gaps(np.array(values, float), "a", "x")


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        ("1\t2\t3\n4\t5\t6\n", "has no header: its first row holds numbers"),
        ("n/a\t0.1\n0.2\t0.1\n", "has no header"),
        ("a\tb\n1\t2\n\x0b\t3\t4\n", "row 2 has 3 cells"),
        ("a\tb\ta\n1\t2\t3\n", "column a occurs twice"),
        ("a\tb\t a\n1\t2\t3\n", "column a occurs twice"),
        ("a\tb\n1\t2\n1\n", "row 2 has 1 cells for 2 columns"),
        ("a\tb\n1\t2\t3\n1\t2\t3\n", "row 1 has 3 cells for 2 columns"),
    ],
)
def test_tables_of_the_wrong_shape(tmp_path, content, phrase):
    path = written(tmp_path, content)
    with pytest.raises(DataError, match=phrase) as error:
        read_confounds(path)
    assert str(path) in str(error.value)


def test_byte_order_mark_line_ends_and_blanks(tmp_path):
    table = read_confounds(written(tmp_path, b"\xef\xbb\xbf a\tb \r\nn/a\t2\r\n3\t4\r\n\r\n"))
    assert list(table.columns) == ["a", "b"]
    np.testing.assert_array_equal(table, [[np.nan, 2], [3, 4]])


def test_names_with_commas_and_numbers_among_names(tmp_path):
    table = read_confounds(written(tmp_path, "a,b\t1\tc;d\n1\t2\t3\n"))
    assert list(table.columns) == ["a,b", "1", "c;d"]


def test_metadata(tmp_path):
    path = tmp_path / "confounds.tsv"
    assert read_metadata(path) == {}
    written(tmp_path, '{"a_comp_cor_00": {"Mask": "WM"}}', "confounds.json")
    assert read_metadata(path) == {"a_comp_cor_00": {"Mask": "WM"}}
    (tmp_path / "confounds.json").unlink()
    (tmp_path / "confounds.json").symlink_to("../.git/annex/objects/1/2/key/key")
    with pytest.raises(MissingInputError, match=r"confounds\.json is not here"):
        read_metadata(path)


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        ("{", "is not valid JSON: Expecting property name"),
        ("", "is not valid JSON: it is empty"),
        ("[]", "must hold a JSON object, not a list"),
        ('{"a": ' * 100_000, "is not valid JSON: it is nested too deeply"),
        (f'{{"a": {"1" * 5000}}}', "is not valid JSON: Exceeds the limit"),
        (b'{"a": "\xe9"}', "byte 7 is not UTF-8"),
    ],
)
def test_metadata_that_cannot_be_used(tmp_path, content, phrase):
    sidecar = written(tmp_path, content, "confounds.json")
    with pytest.raises(DataError, match=phrase) as error:
        read_metadata(tmp_path / "confounds.tsv")
    assert str(sidecar) in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        "censored\n0\n1\n0\n1\n",
        "0\n1\n0\n1\n",
        "0 0 \n1 0 \n0 0 \n0 1 \n",
        "a\tb\n0\t0\n1\t0\n0\t0\n1\t1\n",
        "other\tcensored\n1\t0\n0\t1\n0\t0\n0\t1\n",
        "censored\tother\n0\t1\n1\t0\n0\t1\n1\t0\n",
        "1\tcensored\n1\t0\n0\t1\n0\t0\n0\t1\n",  # a name that is a number
        "0.000000e+00\n1.000000e+00\n0.000000e+00\n1.000000e+00\n",
        "\ufeffcensored\r\n0\r\n1\r\n0\r\n1\r\n\r\n",
    ],
)
def test_outlier_tables(tmp_path, content):
    path = written(tmp_path, content, "outliers.tsv")
    assert read_outliers(path, 4).tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        ("", "has no rows, but the BOLD image has 4 volumes"),
        ("censored\n0\n1\n0\n", "has 3 rows"),
        ("censored\n0\n1\n0\n2\n", "'2' in row 4 is neither 0 nor 1"),
        ("censored\n0\n1\n0\nn/a\n", "'n/a' in row 4 is neither 0 nor 1"),
        ("0\n1\nyes\n0\n", "'yes' in row 3"),
        ("0 0\n0 0\n0\n0 0\n", "row 3 has 1 cells, others have 2"),
        ("a b\n0\n1\n0\n1\n", "row 1 has 1 cells, others have 2"),
        (b"\xff\xfe", "can't be read as text"),
    ],
)
def test_unusable_outlier_tables(tmp_path, content, phrase):
    with pytest.raises(DataError, match=phrase):
        read_outliers(written(tmp_path, content, "outliers.tsv"), 4)


def test_an_outlier_table_that_is_not_there(tmp_path):
    with pytest.raises(MissingInputError, match="no outlier table"):
        read_outliers(tmp_path / "outliers.tsv", 4)


def test_strategies_load_without_pandas():
    code = (
        "import sys; from bids_spheres.confounds.strategy_file import load_strategy; "
        "load_strategy('36P'); "
        "print(sorted({'pandas', 'yaml', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# tedana

PATH = Path("mixing.tsv")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Paths of the tables of a run, beside its BOLD image."""
    folder = tmp_path_factory.mktemp("tedana")
    data = resources.files("nilearn.interfaces.fmriprep") / "data"
    for name in ("ICA_mixing", "tedana_metrics"):
        shutil.copy(str(data / f"test_desc-{name}.tsv"), folder / f"sub-1_desc-{name}.tsv")
    (folder / "sub-1_desc-optcom_bold.nii.gz").touch()
    return folder / "sub-1_desc-ICA_mixing.tsv", folder / "sub-1_desc-tedana_metrics.tsv"


def table_of(n_volumes):
    return pd.DataFrame({"csf": np.arange(float(n_volumes))})


def test_rejected_components_are_nilearns(tables):
    image = str(tables[0].with_name("sub-1_desc-optcom_bold.nii.gz"))
    expected, kept = load_confounds(image, ("tedana",), tedana="aggressive")
    strategy = Strategy("a", "", tedana="aggressive")
    n_volumes = len(expected)
    design = make_design(
        table_of(n_volumes), strategy, PATH, n_volumes, extra=[read_tedana(*tables)]
    )
    assert set(design.columns) == set(expected.columns)
    assert kept is None
    assert design.kept.all()
    values = design.values - design.values.mean(axis=0)
    np.testing.assert_allclose(values, expected[list(design.columns)], atol=1e-10)


def test_orthogonal_components_are_uncorrelated_with_accepted_ones():
    rng = np.random.default_rng(0)
    mixing = pd.DataFrame(rng.standard_normal((50, 5)), columns=[f"ICA_{i:02d}" for i in range(5)])
    metrics = pd.DataFrame(
        {
            "Component": [f"ICA_{i}" for i in range(5)],  # as tedana 24 pads them
            "classification": ["accepted", "rejected", "accepted", "rejected", "ignored"],
        }
    )
    regressors = tedana_regressors(mixing, metrics, PATH)
    strategy = Strategy("a", "", tedana="orthogonal")
    design = make_design(table_of(50), strategy, PATH, 50, extra=[regressors])
    assert design.columns == ("rejected_orth_ICA_01", "rejected_orth_ICA_03")
    with_signal = np.corrcoef(design.values.T, mixing[["ICA_00", "ICA_02"]].T)[:2, 2:]
    np.testing.assert_allclose(with_signal, 0, atol=1e-12)
    # Together with the accepted ones they span what the plain ones do.
    both = np.column_stack([mixing.iloc[:, :4], design.values, np.ones(50)])
    assert np.linalg.matrix_rank(both) == 5


def test_components_padded_to_any_width():
    mixing = pd.DataFrame({"ICA_007": [1.0, 2, 4], "ICA_070": [3.0, 1, 2], "ICA_100": [1.0, 3, 1]})
    metrics = pd.DataFrame({"Component": ["ICA_7", "ICA_70", "ICA_0100"]})
    metrics["classification"] = ["rejected", "accepted", "rejected"]
    names = list(tedana_regressors(mixing, metrics, PATH).columns)
    assert names[:3] == ["rejected_ICA_007", "rejected_ICA_100", "accepted_ICA_070"]


def test_nothing_rejected():
    mixing = pd.DataFrame({"ICA_00": [1.0, 2, 3]})
    metrics = pd.DataFrame({"Component": ["ICA_00"], "classification": ["accepted"]})
    extra = [tedana_regressors(mixing, metrics, PATH)]
    for form in ("aggressive", "orthogonal"):
        design = make_design(table_of(3), Strategy("a", "", tedana=form), PATH, 3, extra=extra)
        assert design.columns == ()
        assert design.notes == ("tedana rejected no component of this run.",)


def test_without_its_tables():
    with pytest.raises(DataError, match="no tedana components"):
        make_design(table_of(3), Strategy("a", "", tedana="aggressive"), PATH, 3)


@pytest.mark.parametrize(
    ("metrics", "phrase"),
    [
        ({"component": ["ICA_00"], "classification": ["accepted"]}, "has no column Component"),
        ({"Component": ["ICA_00"]}, "has no column classification"),
        ({"Component": ["ICA_01"], "classification": ["accepted"]}, "has no component that the"),
    ],
)
def test_tables_that_dont_belong_together(metrics, phrase):
    with pytest.raises(DataError, match=phrase):
        tedana_regressors(pd.DataFrame({"ICA_00": [1.0, 2]}), pd.DataFrame(metrics), PATH)


def test_the_largest_value_and_the_first_gap():
    values = without_gaps(np.array([np.nan, 9e99, 1]), "a", "x")
    assert values.tolist() == [9e99, 9e99, 1]
    with pytest.raises(DataError, match="row 2, is too large") as error:
        without_gaps(np.array([1, 1e100, 1]), "a", "x")
    assert error.value.hint is None
    with pytest.raises(DataError, match="row 1, is missing") as error:
        without_gaps(np.array([np.nan, np.nan, 1]), "a", "x")
    assert error.value.hint == "Only the first row of a derivative may be n/a."
    assert without_gaps(np.array([]), "a", "x").size == 0


def test_what_can_be_computed_of_a_table():
    motion = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
    forms = ("_derivative1", "_power2", "_derivative1_power2")
    expected = tuple(base + form for base in (*motion, "csf") for form in forms)
    assert computable([*motion, "csf", "std_dvars"]) == expected
    assert computable([*motion, "csf", "physio.x_power2", "motion_outlier01"]) == expected
    assert computable([*motion[1:], "csf"]) == ()
    assert computable([*motion, "csf", "csf_power2"]) == ()
    assert computable([*motion, "csf", "x_derivative1"]) == ()
    values = np.array([1.0, 3, 2])
    for name, wanted in zip(expected[:3], ([2, -1], [1, 9, 4], [4, 1]), strict=True):
        made = expand(name, values)
        np.testing.assert_array_equal(made, [np.nan] * (3 - len(wanted)) + wanted)


def test_names_of_old_and_new_tables_and_of_the_users_own():
    table = pd.DataFrame([[1.0, 2, 3, 4]], columns=[" X ", "aCompCor7", "CSF", "mine"])
    columns = run_columns(table, "x")
    assert columns.names == ("trans_x", "a_comp_cor_07", "csf", "mine")
    assert columns.renamed
    assert not run_columns(table[["mine"]], "x").renamed
    with pytest.raises(DataError, match="x: column csf occurs twice"):
        run_columns(pd.DataFrame([[1.0, 2]], columns=["csf", "csf "]), "x")
    with pytest.raises(DataError, match="x: column a_comp_cor_07 occurs twice"):
        run_columns(pd.DataFrame([[1.0, 2]], columns=["aCompCor7", "aCompCor07"]), "x")
    rvt, hr = pd.DataFrame({"rvt": [1.0]}), pd.DataFrame({"rvt": [1.0], "hr": [2.0]})
    named = own_columns([("physio", "a", rvt), ("physio", "b", hr), ("other", "a", hr)])
    assert [list(part.columns) for part in named] == [
        ["physio:a.rvt"],
        ["physio:b.rvt", "physio.hr"],
        ["other.rvt", "other.hr"],
    ]


def test_tables_beside_one_another_whatever_their_index():
    table = pd.DataFrame({"csf": [1.0, 2], "AROMAAggrComp01": [5.0, 6]}, index=[7, 8])
    other = pd.DataFrame({"aroma_motion_2": [3.0, 4]}, index=[1, 0])
    merged = merge_tables(table, [other])
    assert list(merged.columns) == ["csf", "aroma_motion_2"]
    np.testing.assert_array_equal(merged, [[1, 3], [2, 4]])
    plain = merge_tables(table, [pd.DataFrame({"x": [0.0, 1]})])
    assert list(plain.columns) == ["csf", "AROMAAggrComp01", "x"]
    assert merge_tables(table, []) is table


def test_a_header_is_read_as_the_table_is(tmp_path):
    path = written(tmp_path, "a\tb \n1\t2\n1\n")
    assert list(read_header(path).columns) == ["a", "b"]
    assert len(read_header(path)) == 0
    path = written(tmp_path, "a\n1\n")
    assert read_confounds(path)["a"].tolist() == [1]
    for content in ("a\ta\n", "1\t2\n", "a,b\n"):
        with pytest.raises(DataError):
            read_header(written(tmp_path, content))


def test_numbers_of_a_column_are_a_copy():
    table = pd.DataFrame({"a": [1.5, np.nan], "b": [True, False], "c": [3, 4]})
    values = numbers(table, "a", "x")
    values[0] = 9
    assert table["a"][0] == 1.5
    assert numbers(table, "b", "x").tolist() == [1, 0]
    assert numbers(table, "c", "x").dtype == np.float64
    words = pd.DataFrame({"a": [None, 1.5, "x", "y"]})
    with pytest.raises(DataError, match="x: 'x' in column a, row 3, is not a number") as error:
        numbers(words, "a", "x")
    assert error.value.hint is None


def test_several_tables_beside_one_another():
    table = pd.DataFrame({"csf": [1.0, 2], "aroma_motion_07": [5.0, 6]})
    first, second = pd.DataFrame({"x": [0.0, 1]}), pd.DataFrame({"aroma_orth_motion_1": [3.0, 4]})
    merged = merge_tables(table, [first, second.assign(y=7.0)])
    assert list(merged.columns) == ["csf", "x", "aroma_orth_motion_1", "y"]
    assert list(table.columns) == ["csf", "aroma_motion_07"]
    with pytest.raises(DataError, match=r"has 2 rows, .* has 1 \(aroma_orth_motion_1, \.\.\.\)"):
        merge_tables(table, [first, second.iloc[:1]])
    with pytest.raises(DataError, match=r"has 1 rows, .* has 2 \(x, "):
        merge_tables(table.iloc[:1], [first.assign(y=1, z=2)])
    with pytest.raises(DataError, match="The tables of one run together: column x occurs twice"):
        merge_tables(table, [first, second, first])
