"""Harmonization of the rows of a sample: sites by their names, terms that are kept, files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bids_spheres.errors import DataError
from bids_spheres.group import harmonization
from bids_spheres.group.harmonization import read_harmonization
from bids_spheres.group.model import Design, GroupDesign
from bids_spheres.group.options import GroupOptions
from bids_spheres.group.testing import Sample
from tests.group.conftest import write_tsv
from tests.group.inference.test_combat import AGE, HARMONIZED, SITES, data

ORDER = np.random.default_rng(5).permutation(21)
NAMES = np.array(["10", "9", "b"])  # in the order of text, in which they are numbered
COMBAT = GroupOptions(harmonize="site")


@pytest.fixture
def sample():
    """Participants in disorder, with an age of another unit and terms that sites determine."""
    age = 1e-9 * AGE[:, 0]
    columns = [np.ones(21), SITES == 1, age, 2 * age + (SITES == 2), np.zeros(21)]
    terms = ("Intercept", "site[T.9]", "age", "both", "nothing")
    labels = tuple(f"sub-{i:02d}" for i in ORDER)
    return Sample(data()[ORDER], Design(labels, terms, np.column_stack(columns)[ORDER]))


@pytest.fixture
def sites():
    return pd.Series(NAMES[SITES][ORDER])


def harmonize(sample, sites, options, columns=()):
    """With a table of the variables whose rows are in another order."""
    data = pd.DataFrame({"site": sites.to_numpy()}, list(sample.design.participants)).iloc[::-1]
    model = GroupDesign("age", sample.design, {}, (), data, frozenset(columns))
    return harmonization.harmonize(sample, model, options, "a group")


def check(rows):
    """The numbers of neuroHarmonize."""
    for row, expected in zip((0, 6, 20), HARMONIZED, strict=True):
        np.testing.assert_allclose(rows[row == ORDER][0, :6], expected, atol=1e-6)


def test_rows_in_disorder_have_the_numbers_of_neuroharmonize(sample, sites):
    harmonized, found = harmonize(sample, sites, COMBAT)
    check(harmonized.rows)
    assert (found.sites, found.terms) == (tuple(NAMES), ("age",))
    assert harmonized.design is sample.design
    assert harmonized.transform is None


@pytest.mark.parametrize(
    ("columns", "within", "told"), [((), False, True), (("site",), False, False), ((), True, False)]
)
def test_tests_that_do_not_know_of_the_sites_are_called_liberal(
    sample, sites, caplog, columns, within, told
):
    harmonize(sample, sites, replace(COMBAT, harmonize_within=within), columns)
    assert ("a group: tests after harmonization are liberal unless site" in caplog.text) is told


def test_in_each_permutation_rows_are_harmonized_when_they_are_used(sample, sites):
    harmonized, _ = harmonize(sample, sites, replace(COMBAT, harmonize_within=True))
    np.testing.assert_array_equal(harmonized.rows, sample.rows)
    check(harmonized.transform(sample.rows))


def test_estimates_to_a_file_and_back(sample, sites, tmp_path):
    rng = np.random.default_rng(1)
    design = replace(
        sample.design,
        terms=("age", "dose"),
        values=np.column_stack([AGE[ORDER, 0], rng.standard_normal(21)]),
    )
    _, found = harmonize(replace(sample, design=design), sites, COMBAT)
    assert found.terms == ("age", "dose")
    path = tmp_path / "x_harmonization.tsv"
    table = found.table()
    assert table["edge"].tolist() == [*range(1, 9)] * (2 + 2 + 3 + 3)
    assert table["parameter"].iloc[::8].tolist() == [
        *("mean", "standard_deviation", "coefficient", "coefficient"),
        *("shift", "shift", "shift", "scale", "scale", "scale"),
    ]
    assert table["label"].iloc[::8].tolist()[2:] == ["age", "dose", *NAMES, *NAMES]
    write_tsv(path, table)
    read = read_harmonization(path)
    assert (read.sites, read.terms) == (found.sites, found.terms)
    for name in ("mean", "standard_deviation", "coefficients", "shift", "scale"):
        own, expected = getattr(read.combat, name), getattr(found.combat, name)
        np.testing.assert_allclose(own, expected, rtol=1e-8)
    # All sites, or some of them: every row becomes what it was.
    from_file = replace(COMBAT, harmonize_from=path)
    whole, _ = harmonize(replace(sample, design=design), sites, from_file)
    some = np.flatnonzero(sites != "10")
    part = replace(
        sample,
        rows=sample.rows[some],
        design=design.only([design.participants[i] for i in some]),
    )
    expected, _ = harmonize(replace(sample, design=design), sites, COMBAT)
    harmonized, _ = harmonize(part, sites[some], from_file)
    np.testing.assert_allclose(whole.rows, expected.rows, rtol=1e-7)
    np.testing.assert_allclose(harmonized.rows, expected.rows[some], rtol=1e-7)
    with pytest.raises(DataError, match="this model has the sites 10, 9 and x"):
        harmonize(replace(sample, design=design), sites.replace("b", "x"), from_file)
    with pytest.raises(DataError, match=r"this model .* the terms age"):
        harmonize(sample, sites, from_file)
    turned = replace(design, terms=design.terms[::-1], values=design.values[:, ::-1])
    with pytest.raises(DataError, match=r"this model .* the terms dose and age"):
        harmonize(replace(sample, design=turned), sites, from_file)


@pytest.mark.parametrize(
    "text",
    ["parameter\tlabel\tedge\nmean\tn/a\t1\n", "parameter\tlabel\tedge\tvalue\nmean\tn/a\t1\t2\n"],
)
def test_files_that_hold_no_estimates(tmp_path, text):
    path = tmp_path / "x_harmonization.tsv"
    path.write_text(text)
    with pytest.raises(DataError, match="was not written by --harmonize"):
        read_harmonization(path)


def test_without_terms_that_are_kept(sample, sites, tmp_path):
    design = Design(sample.design.participants, ("Intercept",), np.ones((21, 1)))
    numbers = {"10": "01", "9": "2", "b": "3"}
    _, found = harmonize(replace(sample, design=design), sites.replace(numbers), COMBAT)
    assert (found.terms, found.combat.coefficients.shape) == ((), (0, 8))
    path = tmp_path / "x_harmonization.tsv"
    write_tsv(path, found.table())
    read = read_harmonization(path)
    assert (read.terms, read.sites) == ((), ("01", "2", "3"))
    assert read.combat.coefficients.shape == (0, 8)
    np.testing.assert_allclose(read.combat.scale, found.combat.scale, rtol=1e-8)


def test_edges_without_estimates_in_a_file_stay_missing(sample, sites, tmp_path):
    """As those that too few participants of a site have."""
    expected, found = harmonize(sample, sites, COMBAT)
    path = tmp_path / "x_harmonization.tsv"
    table = found.table()
    table.loc[(table["edge"] == 3) & (table["label"] == "9"), "value"] = np.nan
    write_tsv(path, table)
    harmonized, _ = harmonize(sample, sites, replace(COMBAT, harmonize_from=path))
    known = np.ones(expected.rows.shape, dtype=bool)
    known[(sites == "9").to_numpy(), 2] = False
    np.testing.assert_array_equal(np.isfinite(harmonized.rows), known)
    np.testing.assert_allclose(harmonized.rows[known], expected.rows[known], rtol=1e-7)
