"""Results opened as a user opens them."""

from __future__ import annotations

import json
import re
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_spheres import open_results, pybids_config
from bids_spheres.errors import (
    DataError,
    MissingInputError,
    NothingSelectedError,
    OutputError,
    UsageError,
)
from tests.conftest import SEEDS

NAMES = ("left", "right", "front", "far")
TABLE = "sub-01_task-rest_run-1_space-MNI152NLin2009cAsym_seg-mine"


@pytest.fixture(scope="module")
def study(make_dataset, tmp_path_factory, call_once):
    """Two runs of one participant without their first volumes, alone and together."""
    folder = tmp_path_factory.mktemp("results") / "study"
    folder.mkdir()
    tiny = make_dataset(folder / "fmriprep")
    for run in (1, 2):
        tiny.add_run(f"sub-01_task-rest_run-{run}", n_volumes=60 + run)
    (folder / "mine.tsv").write_text(SEEDS)
    flags = ["--seeds", folder / "mine.tsv", "--strategy", "none", "simple", "--dummy-scans", "4"]
    flags += ["--connectivity", "pearson", "covariance", "--concatenate", "participant"]
    call_once(tiny.root, folder / "out", "participant", *flags)
    return folder


@pytest.fixture
def output(study, tmp_path):
    """A copy of the output, beside one of its input."""
    shutil.copytree(study, tmp_path, dirs_exist_ok=True)
    return tmp_path / "out"


def test_what_there_is(output):
    results = open_results(output)
    assert results.participants == ("01",)
    titles = [run.title for run in results]
    assert titles == ["task-rest run-1", "task-rest run-2", "task-rest"]
    assert [run.together for run in results] == [False, False, True]
    assert results.strategies == ("none", "simple")
    assert results.measures == ("pearsoncorrelation", "covariance")
    assert results.seeds == ("mine",)
    assert [own.label for run in results for own in run.seed_sets] == ["mine"] * 3
    assert repr(results) == (
        "<Results: 3 runs of 1 participant; seeds mine; strategies none and simple; measures "
        "pearsoncorrelation and covariance>"
    )


def test_a_row_for_each_run_strategy_and_measure(output):
    runs = open_results(output).runs
    assert len(runs) == 3 * 2 * 2
    assert list(runs)[:7] == [
        *("participant", "task", "run", "space", "seeds", "strategy", "measure")
    ]
    first = runs.query("run == '2' and strategy == 'simple' and measure == 'covariance'")
    assert len(first) == 1
    row = first.iloc[0]
    func = output / "sub-01" / "func"
    stem = TABLE.replace("run-1", "run-2")
    sidecar = json.loads((func / f"{stem}_stat-mean_desc-simple_timeseries.json").read_text())
    assert row["degrees_of_freedom"] == sidecar["DegreesOfFreedom"]
    assert row["mean_fd"] == sidecar["MeanFramewiseDisplacement"]
    spheres = pd.read_csv(func / f"{stem}_desc-spheres_dseg.tsv", sep="\t")
    assert row["coverage"] == pytest.approx(spheres["coverage"].mean())
    assert row["missing"] == 1
    assert row["matrix"] == func / f"{stem}_stat-covariance_desc-simple_relmat.tsv"
    assert row["timeseries"] == func / f"{stem}_stat-mean_desc-simple_timeseries.tsv"
    assert row["regions"] == func / f"{stem}_desc-spheres_dseg.tsv"


@pytest.mark.parametrize(
    ("labels", "n_rows"),
    [
        ({"run": 1}, 4),
        ({"run": "run-01", "strategy": "simple"}, 2),
        ({"run": [1, 2], "measure": "pearson"}, 4),
        ({"run": None}, 4),
        ({"run": np.nan}, 4),
        ({"run": np.int64(1)}, 4),
        ({"run": [1.0, None]}, 8),
        ({"sub": "01", "seeds": "mine", "stat": "covariance"}, 6),
        ({"participant": "sub-01", "seg": "mine", "space": "MNI152NLin2009cAsym"}, 12),
    ],
)
def test_words_select(output, labels, n_rows):
    part = open_results(output).select(**labels)
    assert len(part.runs) == n_rows
    assert all(run.seed_sets for run in part)


@pytest.mark.parametrize(
    ("labels", "error", "message", "hint"),
    [
        ({"task": "nback"}, NothingSelectedError, "task-nback", "Available: task-rest."),
        ({"strategi": "simple"}, UsageError, "strategi selects nothing", "Did you mean strategy?"),
        ({"measure": "person"}, UsageError, "no measure", "Did you mean pearson?"),
        ({"measure": "placement-sd"}, UsageError, "no measure", "Did you mean placementsd?"),
    ],
)
def test_words_that_select_nothing(output, labels, error, message, hint):
    with pytest.raises(error, match=message) as raised:
        open_results(output).select(**labels)
    assert hint in raised.value.hint


def test_a_radius_selects_whether_names_or_sidecars_have_it(output, tmp_path, run_app):
    seeds = tmp_path / "other.tsv"
    seeds.write_text("name\tx\ty\tz\tradius\nleft\t-10\t0\t0\t6\nright\t10\t0\t0\t6\n")
    mixed = tmp_path / "mixed.tsv"
    mixed.write_text(seeds.read_text().replace("10\t0\t0\t6", "10\t0\t0\t8", 1))
    words = (tmp_path / "fmriprep", output, "participant", "--strategy", "none", "--run", 1)
    words += ("--report-level", "none", "--controls")
    assert run_app(*words, "--seeds", mixed).status == 0
    assert run_app(*words, "--seeds", seeds, "--radius", 5, 6.5).status == 0
    assert run_app(*words, "--seeds", seeds).status == 0
    results = open_results(output)
    # "mine" has no radius of its own: 5 mm.
    assert results.select(radius=5).seeds == ("mine", "other, 5mm")
    assert results.select(radius="5mm", run=1, seeds="mine").select(strategy="none").seeds == (
        "mine",
    )
    assert results.select(radius=[6, 6.5]).seeds == ("other", "other, 6p5mm")
    assert results.select(radius=None).seeds == ("mine", "mixed", "other")
    (own,) = results.select(radius=6, run=1).runs["timeseries"]
    assert own.name.count("scale") == 0
    # Sidecars of controls have no radius; it is that of their spheres.
    (six,) = (own for run in results.select(radius=6, run=1) for own in run.seed_sets)
    assert six.controls("none").index.tolist() == ["seeds", "surrogate", "fluid", "mirrored"]
    with pytest.raises(NothingSelectedError, match="scale-7mm") as raised:
        results.select(radius=7)
    assert "scale-5mm, scale-6mm, scale-6p5mm and scale-(none)" in raised.value.hint


def test_one_of_each_is_read_and_several_are_refused(output):
    results = open_results(output)
    part = results.select(run=1, strategy="simple")
    (own,) = next(iter(part)).seed_sets
    np.testing.assert_array_equal(part.timeseries().values, own.series("simple").values)
    assert np.isnan(part.timeseries().values[:4]).all()
    np.testing.assert_array_equal(
        part.matrix(measure="covariance").values, own.matrix("simple", "covariance").values
    )
    assert part.regions().names == NAMES
    # Series before cleaning are of every strategy.
    assert own.uncleaned.values.shape == (61, 4)
    assert part.sidecar() == own.sidecar("simple")
    assert part.sidecar(measure="pearson")["RelationshipMeasure"] == "Pearson correlation"
    with pytest.raises(UsageError, match=r"2 matrices match, which differ in measure") as error:
        part.matrix()
    assert "pearsoncorrelation" in error.value.message
    chosen = "select(measure='pearsoncorrelation')"
    assert error.value.hint == f"Select one of each, as in {chosen}."
    assert part.select(measure="pearsoncorrelation").matrix().names == NAMES
    with pytest.raises(UsageError, match=r"differ in run \(1 and 2\) and strategy"):
        results.timeseries()


def test_matrices_of_all_runs(output, tmp_path):
    results = open_results(output).select(strategy="simple", measure="pearson")
    stack = results.matrices()
    assert stack.values.shape == (3, 4, 4)
    assert stack.names == NAMES == stack.regions.names
    for values, path in zip(stack.values, stack.runs["matrix"], strict=True):
        table = pd.read_csv(path, sep="\t", index_col=0)
        np.testing.assert_array_equal(values, table.to_numpy())
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    expected = [[values[pair] for pair in pairs] for values in stack.values]
    np.testing.assert_array_equal(stack.edges(), expected)
    on_disk = results.matrices(file=tmp_path / "stack.npy")
    assert isinstance(on_disk.values, np.memmap)
    np.testing.assert_array_equal(np.load(tmp_path / "stack.npy"), stack.values)
    with pytest.raises(UsageError, match="6 matrices match, which differ in strategy"):
        open_results(output).matrices(measure="pearson")


def test_many_matrices_are_in_a_temporary_file(output, monkeypatch):
    monkeypatch.setattr("bids_spheres.outputs.results._MEMORY", 0)
    stack = open_results(output).matrices(strategy="simple", measure="pearson", run=[1, 2])
    assert isinstance(stack.values, np.memmap)
    assert np.isfinite(stack.values[:, :3, :3]).all()


def test_a_file_of_matrices_is_whole_or_as_it_was(output, tmp_path):
    results = open_results(output)
    (path,) = output.rglob("*run-2*pearson*simple_relmat.tsv")
    labels = {"strategy": "simple", "measure": "pearson", "run": [1, 2]}
    values = results.matrices(file=tmp_path / "stack.npy", **labels).values
    path.write_text(path.read_text()[:-1])
    with pytest.raises(DataError, match="was cut off"):
        results.matrices(file=tmp_path / "stack.npy", **labels)
    np.testing.assert_array_equal(np.load(tmp_path / "stack.npy"), values)
    (tmp_path / "plain").touch()
    with pytest.raises(OutputError, match="can't be written"):
        results.matrices(file=tmp_path / "plain" / "stack.npy", **labels | {"run": 1})


@pytest.mark.usefixtures("output")
def test_outputs_of_fmriprep_are_no_results(tmp_path):
    with pytest.raises(MissingInputError, match="holds no results"):
        open_results(tmp_path / "fmriprep")


def test_a_notebook_shows_what_there_is_and_escapes_it(output):
    moved = output.rename(output.with_name("<b>out"))
    html = open_results(moved)._repr_html_()
    assert "&lt;b&gt;out" in html
    assert "<b>" not in html
    assert "3 runs of 1 participant" in html


def test_groups(output, run_app):
    with pytest.raises(MissingInputError, match="no results of the group level"):
        open_results(output).group()
    done = run_app(output.parent / "fmriprep", output, "group", "--report-level", "none")
    assert done.status == 0, done.err
    results = open_results(output)
    group = results.group(strategy="simple", measure="pearson")
    assert group.strategy == "simple"
    assert group.table("participants")["participant_id"].tolist() == ["sub-01"]
    with pytest.raises(MissingInputError, match="egdes") as error:
        group.table("egdes")
    assert error.value.hint.startswith("Did you mean edges? Available: edges, ")
    assert repr(group).startswith("<task-rest_space-MNI152NLin2009cAsym_seg-mine_")
    with pytest.raises(UsageError, match="4 groups match, which differ in ") as ambiguous:
        results.group()
    named = re.search(r"group\((.*)\)", ambiguous.value.hint)
    labels = dict(re.findall(r"(\w+)='(\w+)'", named[1]))
    assert sorted(labels) == ["measure", "strategy"]
    assert results.group(**labels).strategy == labels["strategy"]


def test_pybids_tells_files_apart(output, run_app):
    """By the packaged configuration; without it, pybids drops stat and scale."""
    bids = pytest.importorskip("bids")
    done = run_app(output.parent / "fmriprep", output, "group", "--report-level", "none")
    assert done.status == 0, done.err
    seed_map = "sub-01_task-rest_atlas-Power2011_scale-6p5mm_label-PCC_stat-fisherz_desc-a"
    (output / "sub-01" / "func" / f"{seed_map}_boldmap.nii.gz").touch()
    layout = bids.BIDSLayout(
        output, validate=False, config=["bids", "derivatives", pybids_config()]
    )
    found = layout.get(suffix="relmat", extension=".tsv", run=1, seg="mine", desc="simple")
    assert {file.entities["stat"] for file in found} == {"pearsoncorrelation", "covariance"}
    (series,) = layout.get(suffix="timeseries", extension=".tsv", run=2, stat="mean", desc="none")
    assert series.path == str(open_results(output).runs.query("run == '2'")["timeseries"].iloc[0])
    (found,) = layout.get(suffix="boldmap")
    labels = {"atlas": "Power2011", "scale": "6p5mm", "label": "PCC", "stat": "fisherz"}
    assert {key: found.entities[key] for key in labels} == labels


def test_series_stand_where_they_were_in_the_run(output):
    run = next(iter(open_results(output)))
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
    for run in open_results(output).select(run=[1, 2]):
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
    (seeds,) = next(iter(open_results(output))).seed_sets
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
    table = spheres.to_frame()
    assert table.index.tolist() == list(NAMES)
    assert table.loc["front", ["x", "y", "z"]].tolist() == [0, 10, 4]
    written = pd.read_csv(spheres.path, sep="\t", index_col="name")
    np.testing.assert_array_equal(table["coverage"], written["coverage"])
    np.testing.assert_allclose(seeds.uncleaned.values[:, 0], bold[labels == 1].mean(0), rtol=1e-6)
    assert seeds.uncleaned.names == NAMES


def test_runs_together_have_the_spheres_of_the_first(output):
    results = open_results(output)
    first, *_, together = (run.seed_sets[0] for run in results)
    assert together.spheres.path == first.spheres.path
    assert together.sidecar("simple")["NumberOfRuns"] == 2
    with pytest.raises(MissingInputError, match="no series of the strategy simple"):
        together.series("simple")


def test_what_is_not_there(output, tmp_path):
    (seeds,) = next(iter(open_results(output))).seed_sets
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
    (seeds,) = next(iter(open_results(output))).seed_sets
    with pytest.raises(DataError, match=path.name) as error:
        read(seeds)
    assert path.suffix == ".json" or error.value.hint


def test_a_sidecar_is_read_when_it_is_asked_for(output):
    path = output / "sub-01" / "func" / f"{TABLE}_stat-mean_desc-simple_timeseries.json"
    (seeds,) = next(iter(open_results(output))).seed_sets
    series = seeds.series("simple")
    path.write_text(json.dumps({"RepetitionTime": 3.5, "Excluded": "too short"}))
    assert (series.t_r, series.exclusion) == (3.5, "too short")
