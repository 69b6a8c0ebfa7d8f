"""Results opened as a user opens them."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_spheres import open_results
from bids_spheres.errors import DataError, MissingInputError

NAMES = ("left", "right", "front", "far")
TABLE = "sub-01_task-rest_run-1_space-MNI152NLin2009cAsym_seg-mine"


@pytest.fixture
def output(make_dataset, tmp_path, seeds_file, run_app):
    """Two runs of one participant without their first volumes, alone and together."""
    tiny = make_dataset(tmp_path / "fmriprep")
    for run in (1, 2):
        tiny.add_run(f"sub-01_task-rest_run-{run}", n_volumes=60 + run)
    out = tmp_path / "out"
    flags = ["--seeds", seeds_file, "--strategy", "none", "simple", "--dummy-scans", "4"]
    flags += ["--connectivity", "pearson", "covariance", "--concatenate", "participant"]
    done = run_app(tiny.root, out, "participant", *flags, "--report-level", "none")
    assert done.status == 0, done.err
    return out


def test_what_there_is(output):
    results = open_results(output)
    assert results.participants == ("01",)
    titles = [run.title for run in results.runs]
    assert titles == ["task-rest run-1", "task-rest run-2", "task-rest"]
    assert [run.together for run in results.runs] == [False, False, True]
    assert results.strategies == ("none", "simple")
    assert results.measures == ("pearsoncorrelation", "covariance")
    assert [own.label for run in results.runs for own in run.seed_sets] == ["mine"] * 3
    assert repr(results) == (
        "<Results: 3 runs of 1 participant; seeds mine; strategies none and simple; measures "
        "pearsoncorrelation and covariance>"
    )


def test_series_stand_where_they_were_in_the_run(output):
    run = open_results(output).runs[0]
    (seeds,) = run.seed_sets
    series = seeds.series("simple")
    func = output / "sub-01" / "func"
    censored = pd.read_csv(func / "sub-01_task-rest_run-1_desc-simple_outliers.tsv", sep="\t")
    kept = censored["censored"].to_numpy() == 0
    assert kept.tolist() == [False] * 4 + [True] * 57
    np.testing.assert_array_equal(series.kept, kept)
    np.testing.assert_array_equal(run.kept("simple"), kept)
    assert np.isnan(series.values[~kept]).all()
    written = pd.read_csv(func / f"{TABLE}_stat-mean_desc-simple_timeseries.tsv", sep="\t")
    pd.testing.assert_frame_equal(
        series.to_frame().reset_index(drop=True), written, check_dtype=False
    )
    assert series.to_frame().index.tolist() == np.flatnonzero(kept).tolist()
    assert (series.names, series.t_r, series.exclusion) == (NAMES, 2.0, None)


def test_matrices_are_those_of_the_series(output):
    for run in open_results(output).runs[:2]:
        (seeds,) = run.seed_sets
        values = seeds.series("simple").to_frame().to_numpy()
        matrix = seeds.matrix("simple")
        assert (matrix.names, matrix.title) == (NAMES, "Pearson correlation")
        expected = np.corrcoef(values[:, :3], rowvar=False)
        np.testing.assert_allclose(matrix.values[:3, :3], expected, atol=1e-8)
        assert np.isnan(matrix.values[3]).all()
        covariance = seeds.matrix("simple", "covariance").to_frame()
        np.testing.assert_allclose(
            covariance.loc["left", "right"], np.cov(values[:, 0], values[:, 1])[0, 1], atol=1e-8
        )


def test_spheres_and_signals_before_cleaning(output, tmp_path):
    (seeds,) = open_results(output).runs[0].seed_sets
    spheres = seeds.spheres
    assert spheres.names == NAMES
    assert spheres.used.tolist() == [True, True, True, False]
    np.testing.assert_array_equal(spheres.coordinates[0], [-10, 0, 0])
    labels = nib.load(spheres.image).get_fdata()
    bold = nib.load(
        tmp_path / "fmriprep" / "sub-01" / "func" / f"{TABLE.removesuffix('_seg-mine')}"
        "_desc-preproc_bold.nii.gz"
    ).get_fdata()
    assert spheres.voxels_used[0] == (labels == 1).sum()
    np.testing.assert_allclose(seeds.uncleaned.values[:, 0], bold[labels == 1].mean(0), rtol=1e-6)
    assert seeds.uncleaned.names == NAMES


def test_runs_together_have_the_spheres_of_the_first(output):
    results = open_results(output)
    first, *_, together = (run.seed_sets[0] for run in results.runs)
    assert together.spheres.path == first.spheres.path
    assert together.sidecar("simple")["NumberOfRuns"] == 2
    with pytest.raises(MissingInputError, match="no series of the strategy simple"):
        together.series("simple")


def test_what_is_not_there(output, tmp_path):
    (seeds,) = open_results(output).runs[0].seed_sets
    with pytest.raises(MissingInputError, match="no pearsoncorrelation after the") as error:
        seeds.matrix("36P")
    assert error.value.hint == "Available: none and simple."
    with pytest.raises(MissingInputError, match="holds no results"):
        open_results(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("ending", "text", "read"),
    [
        ("stat-mean_desc-simple_timeseries.tsv", "left\nmuch\n", lambda s: s.series("simple")),
        ("stat-mean_desc-simple_timeseries.tsv", "left\n1\n2\n", lambda s: s.series("simple")),
        (
            "stat-pearsoncorrelation_desc-simple_relmat.tsv",
            "Node\ta\tb\na\t1\t0\n",
            lambda s: s.matrix("simple"),
        ),
        ("desc-spheres_dseg.tsv", "index\tname\n1\tleft\n", lambda s: s.spheres),
        ("stat-mean_desc-simple_timeseries.json", "[1]", lambda s: s.sidecar("simple")),
    ],
)
def test_files_that_were_changed(output, ending, text, read):
    path = output / "sub-01" / "func" / f"{TABLE}_{ending}"
    path.write_text(text)
    (seeds,) = open_results(output).runs[0].seed_sets
    with pytest.raises(DataError, match=path.name):
        read(seeds)


def test_a_sidecar_is_read_when_it_is_asked_for(output):
    path = output / "sub-01" / "func" / f"{TABLE}_stat-mean_desc-simple_timeseries.json"
    (seeds,) = open_results(output).runs[0].seed_sets
    series = seeds.series("simple")
    path.write_text(json.dumps({"RepetitionTime": 3.5, "Excluded": "too short"}))
    assert (series.t_r, series.exclusion) == (3.5, "too short")
