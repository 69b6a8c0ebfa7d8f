"""The stacked table, read back by others."""

from __future__ import annotations

import gzip
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.special import polygamma

from bids_spheres.errors import UsageError
from bids_spheres.files.names import parse_name
from bids_spheres.group.edges import Edges, Scale
from bids_spheres.group.facts import read_facts
from bids_spheres.group.files import all_matrices
from bids_spheres.group.options import GroupOptions
from bids_spheres.group.stream import (
    EdgeValues,
    GroupRun,
    Participant,
    average_edges,
    average_runs,
    spaces_of,
    stacked_table,
)
from tests.group.conftest import correlations, upper


@pytest.fixture
def rows(rng):
    rows = rng.standard_normal((70, 6))
    rows[4, 2] = np.nan
    rows[69] = np.nan
    return rows


ORDER = [f"sub-{(9 * i) % 70:02d}" for i in range(70)]


def write(path, rows):
    with stacked_table(path, rows.shape[1]) as add:
        for label, row in zip(ORDER, rows, strict=False):
            add(label, row)
    return path


def test_compressed_text(tmp_path, rows):
    path = write(tmp_path / "x_stacked.tsv.gz", rows)
    table = pd.read_csv(path, sep="\t", na_values=["n/a"], index_col="participant_id")
    assert table.index.tolist() == ORDER
    assert table.columns.tolist() == ["1", "2", "3", "4", "5", "6"]
    np.testing.assert_allclose(table.to_numpy(), rows, rtol=1e-9)
    text = gzip.decompress(path.read_bytes()).decode()
    assert text.count("n/a") == 7
    assert "nan" not in text


def test_compressed_text_is_the_same_each_time(tmp_path, rows):
    first, second = (write(tmp_path / f"{name}.tsv.gz", rows).read_bytes() for name in "ab")
    assert first == second


def test_parquet(tmp_path, rows):
    pytest.importorskip("pyarrow")
    table = pd.read_parquet(write(tmp_path / "x_stacked.parquet", rows))
    assert table["participant_id"].tolist() == ORDER
    np.testing.assert_array_equal(np.stack(table["values"]), rows)


def test_parquet_read_by_polars(tmp_path, rows):
    pytest.importorskip("pyarrow")
    polars = pytest.importorskip("polars")
    table = polars.read_parquet(write(tmp_path / "x_stacked.parquet", rows))
    np.testing.assert_array_equal(table["values"].to_numpy(), rows)


def test_group_level_leaves_no_table_of_the_other_format(outputs, run_app, tmp_path):
    rng = np.random.default_rng(4)
    expected = []
    for label in ("01", "02", "03"):
        matrix = correlations(rng, 5)
        outputs.add(label, matrix)
        expected.append(np.arctanh(upper(matrix)))
    readers = {
        "tsv": lambda path: pd.read_csv(path, sep="\t", index_col="participant_id").to_numpy(),
        "parquet": lambda path: np.stack(pd.read_parquet(path)["values"]),
    }
    endings = {"tsv": "stacked.tsv.gz", "parquet": "stacked.parquet"}
    words = (tmp_path / "no", outputs.root, "group", "--report-level", "none")
    for form in ("tsv", "parquet", "tsv"):
        assert run_app(*words, "--stacked-format", form).status == 0
        tables = (outputs.root / "group").glob("*_stacked.*")
        (path,) = (path for path in tables if path.suffix != ".json")
        assert path.name.endswith(endings[form])
        np.testing.assert_allclose(readers[form](path), expected, rtol=1e-8)
    assert run_app(*words).status == 0
    assert path.exists()


def test_parquet_without_pyarrow_is_refused(monkeypatch):
    """And the default is the same file, whatever is installed."""
    monkeypatch.setattr("bids_spheres.group.options.find_spec", lambda _: None)
    assert GroupOptions().stacked_format == "tsv"
    with pytest.raises(UsageError, match="needs pyarrow"):
        GroupOptions(stacked_format="parquet")


def test_nothing_is_left_of_a_table_that_was_not_finished(tmp_path, rows):
    class Interrupted(Exception):  # noqa: N818
        pass

    def interrupted():
        with stacked_table(tmp_path / "x_stacked.tsv.gz", 6) as add:
            add("sub-01", rows[0])
            raise Interrupted

    with pytest.raises(Interrupted):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_means_of_runs_and_their_variances_are_of_the_runs_that_have_an_edge():
    nan = np.nan
    values = {2.0: [1, nan, 3, nan], 6.0: [5, 7, nan, nan]}  # by weights, 1 / variance
    runs = [SimpleNamespace(facts=SimpleNamespace(weight=w, variance=1 / w)) for w in values]

    def read(run):
        return np.array(values[run.facts.weight])

    edges = average_runs(runs, read, GroupOptions(weights="precision"))
    np.testing.assert_allclose(edges.mean, [(2 * 1 + 6 * 5) / 8, 7, 3, nan])
    np.testing.assert_allclose(edges.variance, [1 / 8, 1 / 6, 1 / 2, nan])
    # Variances of their own, as by effective degrees of freedom: var = sum(w^2 v) / sum(w)^2.
    own = {2.0: np.array([0.1, 0.2, 0.3, 1]), 6.0: np.array([0.4, nan, 0.5, 1])}
    edges = average_runs(
        runs, read, GroupOptions(weights="precision"), lambda run: own[run.facts.weight]
    )
    np.testing.assert_allclose(
        edges.variance, [(2**2 * 0.1 + 6**2 * 0.4) / 8**2, nan, 0.3, nan], rtol=1e-12
    )
    assert average_runs(runs, read, GroupOptions()).variance is None


def test_means_of_conditions_are_of_their_own_runs_by_weight():
    nan = np.nan
    weights = {"ses-b_run-1": 2.0, "ses-a_run-1": 4.0, "ses-b_run-2": 6.0}
    values = np.array([[1, nan, 3], [10, 20, 30], [5, 7, nan]])
    arrays = dict(zip(weights, values.copy(), strict=True))
    runs = [
        SimpleNamespace(
            file=SimpleNamespace(source=source, name=parse_name(f"sub-1_{source}_relmat.tsv")),
            facts=SimpleNamespace(weight=weight, variance=1 / weight),
        )
        for source, weight in weights.items()
    ]

    def read(run):
        return arrays[run.file.source]

    edges = average_runs(runs, read, GroupOptions(within="session"))
    expected = [(2 * 1 + 4 * 10 + 6 * 5) / 12, (4 * 20 + 6 * 7) / 10, (2 * 3 + 4 * 30) / 6]
    np.testing.assert_allclose(edges.mean, expected)
    assert list(edges.conditions) == ["b", "a"]
    np.testing.assert_allclose(edges.conditions["b"], [(2 * 1 + 6 * 5) / 8, 7, 3])
    np.testing.assert_allclose(edges.conditions["a"], [10, 20, 30])
    by_run = average_runs(runs, read, GroupOptions(within="run")).conditions
    np.testing.assert_allclose(by_run["1"], [(2 * 1 + 4 * 10) / 6, 20, (2 * 3 + 4 * 30) / 6])
    np.testing.assert_allclose(by_run["2"], [5, 7, nan])
    assert average_runs(runs, read, GroupOptions()).conditions == {}
    np.testing.assert_array_equal([*arrays.values()], values)


def test_rows_of_some_participants_in_another_order():
    values = EdgeValues(3)
    assert values.array.shape == (0, 3)
    values.add("c", np.array([1, 2, 3]))
    values.add("a", np.arange(6, dtype=np.float32)[::2])
    values.add("b", np.array([7.5, np.nan, -9]))
    expected = {"c": [1, 2, 3], "a": [0, 2, 4], "b": [7.5, np.nan, -9]}
    np.testing.assert_array_equal(values.array, [*expected.values()])
    part = values.rows_of(["b", "c"])
    assert part.participants == ["b", "c"]
    np.testing.assert_array_equal(part.array, [expected["b"], expected["c"]])
    assert values.rows_of(("c", "a", "b")) is values
    turned = values.rows_of(("a", "b", "c"))
    np.testing.assert_array_equal(turned.array, [expected[label] for label in "abc"])
    assert values.participants == ["c", "a", "b"]


def test_conditions_of_a_participant_are_those_with_a_result():
    def runs(*sources):
        names = [parse_name(f"sub-1_{source}_relmat.tsv") for source in sources]
        facts = SimpleNamespace(degrees_of_freedom=20.5)
        return tuple(
            SimpleNamespace(file=SimpleNamespace(name=name), facts=facts) for name in names
        )

    kept = runs("ses-b_task-rest_run-2", "ses-a_task-rest", "ses-b_task-rest_run-1")
    person = Participant("sub-1", kept, runs("ses-c_task-nback_run-3"), 0.1)
    assert person.conditions("session") == ["a", "b"]
    assert person.conditions("task") == ["rest"]
    assert person.conditions("run") == ["1", "2", "n/a"]
    assert person.degrees_of_freedom == 61.5


def test_reasons_of_exclusions_are_told_once_in_the_order_of_runs():
    gone = tuple(SimpleNamespace(facts=SimpleNamespace(excluded=why)) for why in "bab")
    assert Participant("sub-1", (), gone, 0.1).exclusion == "every run is excluded: b; a"
    assert Participant("sub-1", gone[:1], gone, 0.1).exclusion is None


def test_spaces_of_participants_are_those_of_runs_with_a_result():
    def person(label, kept, excluded):
        runs = (
            tuple(SimpleNamespace(file=SimpleNamespace(space=space)) for space in spaces)
            for spaces in (kept, excluded)
        )
        return Participant(label, *runs, 0.1)

    people = [person("sub-1", "bb", "a"), person("sub-2", "ba", ""), person("sub-3", "", "c")]
    assert [*spaces_of(people).items()] == [("a", 1), ("b", 2)]


def test_effective_degrees_of_freedom_are_those_of_each_run(outputs, rng):
    volumes, weights = [40.0, 90.0, None], []
    for run, (n, dof) in enumerate(zip(volumes, (20, 70, 35), strict=True), start=1):
        facts = {"source": f"task-rest_run-{run}", "DegreesOfFreedom": dof}
        if n:
            outputs.add("01", np.full((5, 5), n), stat="effectivedof", **facts)
        outputs.add("01", correlations(rng, 5), **facts)
        weights.append(2 / polygamma(1, (dof - 1) / 2))
    files = [file for file in all_matrices(outputs.root) if file.name.get("stat") != "effectivedof"]
    runs = [GroupRun(file, read_facts(file.path)) for file in files]
    edges = Edges(tuple(outputs.names), tuple(outputs.networks), diagonal=False)
    options = GroupOptions(weights="precision")
    found = average_edges(runs, edges, Scale("pearsoncorrelation"), options)
    # Of the run without a matrix of them 1 / weight.
    variances = np.array([1 / 37, 1 / 87, 1 / weights[2]])
    expected = np.sum(np.square(weights) * variances) / np.sum(weights) ** 2
    np.testing.assert_allclose(found.variance, np.full(10, expected), rtol=1e-9)
