"""Outputs of several runs, by hand, in the data types of brainlife.io."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from bids_spheres.engine.seeds import SeedTable
from bids_spheres.errors import DataError
from bids_spheres.files.names import parse_name
from bids_spheres.integrations.brainlife.datatypes import (
    read_results,
    write_conmat,
    write_report,
    write_timeseries,
)
from bids_spheres.outputs.paths import OutputPaths
from tests.group.conftest import NETWORKS, POINTS, SPACE, new_outputs

NAMES = tuple(f"s{i}" for i in range(5))
SEEDS = SeedTable("Tiny", NAMES, POINTS, np.full(5, 5.0), NETWORKS, published=True)
WORK = SimpleNamespace(
    seed_sets=(SEEDS,),
    strategies=(SimpleNamespace(name="simple"),),
    processing=SimpleNamespace(
        connectivity=("covariance", "fisher-z", "pearson", "spearman"), effective_dof=True
    ),
)
STATS = ("covariance", "fisherz", "pearsoncorrelation", "spearmancorrelation", "effectivedof")
SERIES = {"01": "1\t2.5\tn/a\t4\t5\n", "02": "-1\tn/a\t3\t4\t5\n6\tn/a\t8\t9\t10\n"}


@dataclass(frozen=True, eq=False)
class Source:
    """What the module looks at of a job, or of a group of runs."""

    paths: OutputPaths
    name: str
    work = WORK

    def __str__(self) -> str:
        return self.name


def value(number, label):
    return number + int(label) / 3


@pytest.fixture
def jobs(tmp_path):
    """Two runs, of which each lacks a sphere that the other has, and a third that failed."""
    outputs = new_outputs(tmp_path / "out")
    coverage = {"01": [1, 1, 0, 1, 1], "02": [1, 0.2, 1, 1, 1]}
    for label, series in SERIES.items():
        for number, stat in enumerate(STATS):
            matrix = np.full((5, 5), value(number, label))
            matrix[0, 1] = np.nan
            outputs.add(
                label, matrix, stat=stat, coverage=coverage[label], RelationshipMeasure=stat.title()
            )
        stem = f"sub-{label}_task-rest_space-{SPACE}_atlas-Tiny_stat-mean_desc-simple"
        path = outputs.root / f"sub-{label}" / "func" / f"{stem}_timeseries.tsv"
        path.write_text("\t".join(NAMES) + "\n" + series)
    names = [f"sub-{label}_task-rest_space-{SPACE}" for label in ("01", "02", "03")]
    paths = [
        OutputPaths(outputs.root, parse_name(f"{name}_desc-preproc_bold.nii.gz"), "mean")
        for name in names
    ]
    return [Source(own, name.replace("_", " ")) for own, name in zip(paths, names, strict=True)]


def read(path):
    return json.loads(path.read_text())


def test_series_of_runs_stand_one_after_the_other(jobs, tmp_path):
    write_timeseries(read_results(jobs, []), tmp_path)
    content = (tmp_path / "timeseries.tsv.gz").read_bytes()
    assert content[4:8] == bytes(4)  # no time
    text = gzip.decompress(content).decode()
    assert text == "s0\ts1\ts2\ts3\ts4\n" + SERIES["01"] + SERIES["02"]
    columns = read(tmp_path / "timeseries.json")
    # Only spheres with a series in every run are in the parcellation.
    assert [each["in_parc"] for each in columns] == [1, 0, 0, 1, 1]
    assert [each["column_name"] for each in columns] == [*NAMES]
    assert [each["label_index"] for each in columns] == ["1", "2", "3", "4", "5"]
    first = {"label": "4", "voxel_value": 4, "name": "s3", "x": 0, "y": -60, "z": 10}
    more = {"radius": 5, "network": "visual", "column_name": "s3", "label_index": "4", "in_parc": 1}
    assert columns[3] == first | more
    assert "network" not in columns[4]


def test_series_of_different_spheres_are_refused(jobs, tmp_path):
    results = read_results(jobs, [])
    results.series[1].write_text(results.series[1].read_text().replace("s0", "s9"))
    with pytest.raises(DataError, match="and other runs have different columns"):
        write_timeseries(results, tmp_path)


def test_matrices_of_runs_and_measures(jobs, tmp_path):
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "old.csv").touch()
    write_conmat(read_results(jobs, []), tmp_path)
    short = ("covariance", "fisher-z", "correlation", "spearman", "effective-dof")
    expected = {
        f"sub-{label}_task-rest_{name}.csv": value(number, label)
        for label in SERIES
        for number, name in enumerate(short)
    }
    assert {path.name for path in (tmp_path / "csv").iterdir()} == {*expected}
    for name, number in expected.items():
        matrix = np.loadtxt(tmp_path / "csv" / name, delimiter=",")
        assert np.isnan(matrix[0, 1])
        np.testing.assert_allclose(matrix[1:], np.full((4, 5), number), rtol=1e-9)
    index = read(tmp_path / "index.json")
    assert [each["filename"] for each in index] == [*expected]
    assert [each["name"] for each in index] == [name.removesuffix(".csv") for name in expected]
    assert [each["unit"] for each in index] == ["", "z", "r", "r", ""] * 2
    assert index[1]["desc"] == f"Fisherz of sub-01 task-rest space-{SPACE}"
    assert [each["label"] for each in read(tmp_path / "label.json")] == ["1", "2", "3", "4", "5"]


def test_names_of_matrices_say_the_run_unless_the_task_has_only_that(jobs, monkeypatch):
    alone = [matrix.name for matrix in read_results(jobs[:1], []).matrices]
    assert alone == ["covariance", "fisher-z", "correlation", "spearman", "effective-dof"]
    # What an earlier call has left is no result of this one.
    monkeypatch.setattr(WORK.processing, "effective_dof", False)
    monkeypatch.setattr(WORK.processing, "connectivity", ("fisher-z", "pearson"))
    alone = [matrix.name for matrix in read_results(jobs[:1], []).matrices]
    assert alone == ["fisher-z", "correlation"]
    failed = read_results([jobs[2], jobs[1]], [])
    assert [str(job) for job in failed.jobs] == [f"sub-02 task-rest space-{SPACE}"]
    assert failed.matrices[1].name == "sub-02_task-rest_correlation"
    assert failed.used.tolist() == [True, False, True, True, True]
    # A group of runs has matrices alone, of those measures that it has.
    name = parse_name(f"sub-01_space-{SPACE}_desc-preproc_bold.nii.gz")
    group = Source(OutputPaths(jobs[0].paths.root, name, "mean"), f"sub-01 space-{SPACE}")
    source, target = (each.paths.matrix(SEEDS, "simple", "fisherz") for each in (jobs[0], group))
    target.write_bytes(source.read_bytes())
    of_all = read_results(jobs[:1], [group]).matrices
    assert [matrix.name for matrix in of_all] == [*alone, "sub-01_fisher-z"]
    assert read_results(jobs[2:], []) is None


def test_several_pages_have_a_list_and_a_single_one_is_the_index(tmp_path):
    pages = [tmp_path / name for name in ("sub-01.html", "sub-02_ses-a.html")]
    for page in pages:
        page.write_text(f"page {page.stem}")
    html = tmp_path / "report" / "html"
    write_report(pages, tmp_path / "report")
    assert {path.name for path in html.iterdir()} == {"index.html", *(p.name for p in pages)}
    assert (html / "sub-02_ses-a.html").read_text() == "page sub-02_ses-a"
    links = '<li><a href="sub-01.html">sub-01.html</a></li><li><a href="sub-02_ses-a.html">'
    assert links in (html / "index.html").read_text()
    write_report(pages[1:], tmp_path / "report")
    assert [path.name for path in html.iterdir()] == ["index.html"]
    assert (html / "index.html").read_text() == "page sub-02_ses-a"
    write_report([], tmp_path / "report")
    assert not [*html.iterdir()]
