"""Matrices of several runs, against numpy, scipy and scikit-learn on the series of each run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.covariance import ledoit_wolf

from bids_spheres.app.planning import plan_jobs
from bids_spheres.confounds.strategy import Strategy
from bids_spheres.engine.connectivity import concatenate
from bids_spheres.engine.seeds import SeedTable
from bids_spheres.errors import UsageError
from bids_spheres.files.names import parse_name
from bids_spheres.inputs.runs import Run, Tables
from bids_spheres.participant.concatenation import (
    RunSeries,
    _GroupSeries,
    concatenate_runs,
    degrees_of_freedom,
    group_runs,
)
from bids_spheres.participant.plan import Job, JobImage, Work
from bids_spheres.settings.table import Processing, Settings

MNI = "space-MNI152NLin2009cAsym"
THERE = ["left", "right", "front"]
LENGTHS = {"1": 40, "2": 60}


@pytest.fixture
def place(tiny, seeds_file, tmp_path, run_app):
    """Call the app on the tiny dataset; give how it ended and the folder of outputs."""

    def call(*arguments):
        out = tmp_path / "out"
        words = ("--seeds", seeds_file, "--strategy", "gsrOnly", *arguments)
        return run_app(tiny.root, out, "participant", *words), out

    return call


@pytest.fixture
def two_runs(tiny):
    """Two runs of different length, one second of seven with much motion."""
    paths = {}
    for run, length in LENGTHS.items():
        paths[run] = tiny.add_run(f"sub-01_task-rest_run-{run}", n_volumes=length)
        move(paths[run], range(3, length, 7))
    return paths


def move(bold, volumes, size=2.0):
    """Set framewise displacement to `size` in some volumes of a run and to 0.1 mm in others."""
    path = bold.with_name(bold.name.split(f"_{MNI}")[0] + "_desc-confounds_timeseries.tsv")
    table = pd.read_csv(path, sep="\t")
    displacement = np.full(len(table), 0.1)
    displacement[list(volumes)] = size
    displacement[0] = np.nan
    table["framewise_displacement"] = displacement
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")


def read(path):
    return pd.read_csv(path, sep="\t")


def series_file(out, source, strategy="gsrOnly", space=MNI):
    stem = f"{source}_{space}_seg-mine_stat-mean_desc-{strategy}_timeseries.tsv"
    (path,) = out.rglob(stem)
    return path


def series(out, source, **names):
    """Series of a run as written, kept volumes and spheres in the mask alone."""
    return read(series_file(out, source, **names))[THERE].dropna().to_numpy()


def zscored(*runs):
    """Runs one after the other, each standardized with N - 1 by scipy."""
    return np.vstack([stats.zscore(run, ddof=1) for run in runs])


def matrix_file(out, shared, stat="pearsoncorrelation", strategy="gsrOnly", space=MNI):
    folder = out.joinpath(*[p for p in shared.split("_") if p[:4] in ("sub-", "ses-")], "func")
    return folder / f"{shared}_{space}_seg-mine_stat-{stat}_desc-{strategy}_relmat.tsv"


def matrix(path):
    table = read(path).set_index("Node")
    assert table.index.tolist() == table.columns.tolist() == [*THERE, "far"]
    assert table["far"].isna().all()
    assert table.loc["far"].isna().all()
    return table.loc[THERE, THERE].to_numpy()


def sidecar(path):
    return json.loads(path.with_suffix(".json").read_text())


def assert_written(path, expected):
    np.testing.assert_allclose(matrix(path), expected, rtol=1e-8, atol=1e-9)


def uris(out, *paths):
    return [f"bids::{path.relative_to(out).as_posix()}" for path in paths]


def matrices(out):
    return {path.name for path in out.rglob("*_relmat.tsv")}


# Values


def of_correlation(z):
    return np.corrcoef(z.T)


def of_fisher(z):
    changed = np.corrcoef(z.T)
    np.fill_diagonal(changed, 0)
    changed = np.arctanh(changed)
    np.fill_diagonal(changed, np.nan)
    return changed


def of_precision(z):
    return np.linalg.inv(ledoit_wolf(z)[0])


def of_partial(z):
    inverse = of_precision(z)
    scale = np.sqrt(np.diag(inverse))
    partial = -inverse / np.outer(scale, scale)
    np.fill_diagonal(partial, 1)
    return partial


def of_shrunk(z):
    shrunk = ledoit_wolf(stats.zscore(z, ddof=1))[0]
    scale = np.sqrt(np.diag(shrunk))
    return shrunk / np.outer(scale, scale)


MEASURES = {
    "pearson": ("pearsoncorrelation", of_correlation),
    "fisher-z": ("fisherz", of_fisher),
    "covariance": ("covariance", lambda z: np.cov(z.T)),
    "spearman": ("spearmancorrelation", lambda z: stats.spearmanr(z).statistic),
    "precision": ("precision", of_precision),
    "partial": ("partialcorrelation", of_partial),
    "ledoit-wolf": ("ledoitwolfcorrelation", of_shrunk),
}


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--standardize", "none", "--full-length")])
def test_every_measure_of_both_runs(place, two_runs, options):
    assert two_runs
    censoring = ("--fd-threshold", "0.5")
    told, out = place("--concatenate", "session", "--connectivity", *MEASURES, *censoring, *options)
    assert told.status == 0, told.err
    runs = [series(out, f"sub-01_task-rest_run-{run}") for run in LENGTHS]
    assert [len(run) for run in runs] == [40 - 6, 60 - 9]
    z = zscored(*runs)
    for stat, expected in MEASURES.values():
        assert_written(matrix_file(out, "sub-01_task-rest", stat), expected(z))
    facts = sidecar(matrix_file(out, "sub-01_task-rest", "precision"))
    assert facts["Shrinkage"] == pytest.approx(ledoit_wolf(z)[1], rel=1e-8)


@pytest.mark.slow
def test_runs_of_other_mean_and_scale_are_no_relation(place, tiny):
    """Without standardization the spheres would correlate by their means alone."""
    for run, level in (("1", 1000.0), ("2", 9000.0)):
        bold = tiny.add_run(f"sub-01_task-rest_run-{run}", n_volumes=80 + int(run))
        img = nib.load(bold)
        nib.Nifti1Image(img.get_fdata() / 1000 * level, img.affine, img.header).to_filename(bold)
    options = ("--strategy", "none", "--standardize", "none", "--no-detrend")
    told, out = place("--concatenate", "session", *options)
    assert told.status == 0, told.err
    runs = [series(out, f"sub-01_task-rest_run-{run}", strategy="none") for run in "12"]
    assert np.corrcoef(np.vstack(runs).T)[0, 1] > 0.9
    path = matrix_file(out, "sub-01_task-rest", strategy="none")
    assert_written(path, np.corrcoef(zscored(*runs).T))
    assert abs(matrix(path)[0, 1]) < 0.3


def test_series_of_earlier_calls_count(place, two_runs, tiny, seeds_file, tmp_path):
    assert two_runs
    for run in LENGTHS:  # as an array of jobs does
        assert place("--run", run)[0].status == 0
    out = tmp_path / "out"
    asked = Settings(tiny.root, out, seeds=(seeds_file,), strategy=("gsrOnly",))
    groups = group_runs(plan_jobs(asked)[1], "session")
    assert list(concatenate_runs(groups, ())) == []
    runs = [series(out, f"sub-01_task-rest_run-{run}") for run in LENGTHS]
    assert_written(matrix_file(out, "sub-01_task-rest"), of_correlation(zscored(*runs)))


@pytest.mark.slow
def test_several_seed_sets_and_strategies(place, two_runs, tmp_path):
    assert two_runs
    other = tmp_path / "two.tsv"
    other.write_text("name\tx\ty\tz\na\t-6\t0\t0\nb\t6\t0\t4\n")
    told, out = place("--concatenate", "session", "--seeds", other, "--strategy", "24P")
    assert told.status == 0, told.err
    for strategy in ("gsrOnly", "24P"):
        files = [
            out / "sub-01" / "func" / f"sub-01_task-rest{run}_{MNI}_seg-two_stat-{what}.tsv"
            for run, what in (
                ("_run-1", f"mean_desc-{strategy}_timeseries"),
                ("_run-2", f"mean_desc-{strategy}_timeseries"),
                ("", f"pearsoncorrelation_desc-{strategy}_relmat"),
            )
        ]
        *runs, both = [read(path) for path in files]
        expected = np.corrcoef(zscored(*(run.to_numpy() for run in runs)).T)
        np.testing.assert_allclose(both[["a", "b"]], expected, rtol=1e-8)


# Which runs go together


SESSIONS = ("ses-1_task-rest_run-1", "ses-1_task-rest_run-2", "ses-2_task-rest_run-1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("level", "groups"),
    [
        (
            "session",
            {"sub-01_ses-1_task-rest": SESSIONS[:2], "sub-01_ses-2_task-rest": SESSIONS[2:]},
        ),
        ("participant", {"sub-01_task-rest": SESSIONS}),
    ],
)
def test_sessions_and_participants(place, tiny, level, groups):
    for number, stem in enumerate(SESSIONS):
        tiny.add_run(f"sub-01_{stem}", n_volumes=40 + number)
    told, out = place("--concatenate", level)
    assert told.status == 0, told.err
    own = {matrix_file(out, f"sub-01_{stem}").name for stem in SESSIONS}
    assert matrices(out) - own == {matrix_file(out, shared).name for shared in groups}
    for shared, stems in groups.items():
        runs = [series(out, f"sub-01_{stem}") for stem in stems]
        path = matrix_file(out, shared)
        assert_written(path, of_correlation(zscored(*runs)))
        assert sidecar(path)["NumberOfRuns"] == len(stems)
        sources = [series_file(out, f"sub-01_{stem}") for stem in stems]
        assert sidecar(path)["Sources"] == uris(out, *sources)


@pytest.mark.slow
def test_one_run_in_each_session(place, tiny):
    """For a session its run's own matrix is there already; for the participant none is."""
    for session, length in (("1", 40), ("2", 50)):
        tiny.add_run(f"sub-01_ses-{session}_task-rest", n_volumes=length)
    own = {matrix_file(Path(), f"sub-01_ses-{i}_task-rest").name for i in "12"}
    told, out = place("--concatenate", "session")
    assert told.status == 0, told.err
    assert matrices(out) == own
    assert not any("NumberOfRuns" in sidecar(path) for path in out.rglob("*_relmat.tsv"))
    told, out = place("--concatenate", "participant")
    assert told.status == 0, told.err
    assert matrices(out) - own == {matrix_file(out, "sub-01_task-rest").name}
    runs = [series(out, f"sub-01_ses-{i}_task-rest") for i in "12"]
    assert_written(matrix_file(out, "sub-01_task-rest"), of_correlation(zscored(*runs)))


@pytest.mark.slow
@pytest.mark.parametrize("level", ["session", "participant"])
def test_a_participant_with_one_run_has_a_matrix_as_the_others(place, two_runs, tiny, level):
    assert two_runs
    tiny.add_run("sub-02_task-rest_run-1", n_volumes=45)
    told, out = place("--concatenate", level)
    assert told.status == 0, told.err
    path = matrix_file(out, "sub-02_task-rest")
    assert_written(path, np.corrcoef(series(out, "sub-02_task-rest_run-1").T))
    assert sidecar(path)["NumberOfRuns"] == 1
    assert sidecar(matrix_file(out, "sub-01_task-rest"))["NumberOfRuns"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("level", ["session", "participant"])
def test_other_entities_keep_runs_apart(place, tiny, level):
    stems = [
        f"sub-{sub}_task-{task}_acq-{acq}_run-{run}"
        for sub, task, acq, run in (
            ("01", "rest", "a", "1"),
            ("01", "rest", "a", "2"),
            ("01", "rest", "b", "1"),
            ("01", "film", "a", "1"),
            ("02", "rest", "a", "1"),
        )
    ]
    for number, stem in enumerate(stems):
        tiny.add_run(stem, n_volumes=40 + number)
        tiny.add_run(stem, space="MNI152NLin6Asym", n_volumes=40 + number)
    told, out = place("--concatenate", level, "--space", MNI[6:], "MNI152NLin6Asym")
    assert told.status == 0, told.err
    shared = dict.fromkeys(stem.rpartition("_")[0] for stem in stems)
    assert len(shared) == 4
    for space in (MNI, "space-MNI152NLin6Asym"):
        for name in shared:
            members = [stem for stem in stems if stem.startswith(name)]
            runs = [series(out, stem, space=space) for stem in members]
            path = matrix_file(out, name, space=space)
            assert_written(path, of_correlation(zscored(*runs)))
            assert sidecar(path)["NumberOfRuns"] == len(members)


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--dry-run",), ("--explain",)])
def test_a_matrix_of_all_runs_never_replaces_that_of_one(place, tiny, options):
    tiny.add_run("sub-01_task-rest")
    tiny.add_run("sub-01_task-rest_run-2", n_volumes=50)
    told, out = place("--concatenate", "session", *options)
    assert told.status == 2
    assert "--concatenate session" in told.err
    assert f"sub-01_task-rest_{MNI}_desc-preproc_bold.nii.gz has no run-" in told.err
    assert not out.exists()
    assert place("--concatenate", "session", "--run", "2")[0].status == 0


@pytest.mark.slow
def test_a_run_without_session_among_sessions(place, tiny):
    tiny.add_run("sub-01_task-rest")
    tiny.add_run("sub-01_ses-1_task-rest", n_volumes=50)
    told, out = place("--concatenate", "session")
    assert told.status == 0, told.err
    before = matrices(out)
    told, _ = place("--concatenate", "participant")
    assert told.status == 2
    assert matrices(out) == before


@pytest.mark.slow
def test_nothing_of_the_kind_without_the_option(place, two_runs):
    assert two_runs
    told, out = place()
    assert told.status == 0, told.err
    assert matrices(out) == {matrix_file(out, f"sub-01_task-rest_run-{i}").name for i in "12"}


# Runs that are left out


@pytest.mark.slow
def test_an_excluded_run_is_left_out_and_named(place, two_runs):
    assert two_runs
    told, out = place("--concatenate", "session", "--min-seconds", "100")
    assert told.status == 0, told.err
    path = matrix_file(out, "sub-01_task-rest")
    assert_written(path, np.corrcoef(series(out, "sub-01_task-rest_run-2").T))
    facts = sidecar(path)
    short, long = (series_file(out, f"sub-01_task-rest_run-{run}") for run in LENGTHS)
    assert facts["Sources"] == uris(out, long)
    reason = "80 s are left, fewer than 100"
    assert facts["ExcludedRuns"] == dict.fromkeys(uris(out, short), reason)
    assert (facts["NumberOfRuns"], facts["NumberOfVolumes"]) == (1, 60)
    (nodes,) = facts["NodeFiles"]
    assert "_run-2_" in nodes
    assert facts["DegreesOfFreedom"] == sidecar(long)["DegreesOfFreedom"]


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--full-length",)])
def test_a_run_without_a_signal_in_any_sphere(place, two_runs, options):
    img = nib.load(two_runs["1"])
    empty = nib.Nifti1Image(np.zeros(img.shape, np.float32), img.affine, img.header)
    empty.to_filename(two_runs["1"])
    told, out = place("--concatenate", "session", *options)
    assert told.status == 0, told.err
    path = matrix_file(out, "sub-01_task-rest")
    assert_written(path, np.corrcoef(series(out, "sub-01_task-rest_run-2").T))
    assert list(sidecar(path)["ExcludedRuns"].values()) == ["no sphere has a series"]


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--full-length",)])
def test_all_runs_excluded(place, two_runs, options):
    assert two_runs
    measures = ("--connectivity", "pearson", "partial")
    told, out = place("--concatenate", "session", "--min-volumes", "1000", *measures, *options)
    assert told.status == 0, told.err
    for stat in ("pearsoncorrelation", "partialcorrelation"):
        path = matrix_file(out, "sub-01_task-rest", stat)
        assert np.isnan(matrix(path)).all()
        facts = sidecar(path)
        assert (facts["NumberOfRuns"], facts["Sources"], facts["DegreesOfFreedom"]) == (0, [], 0)
        assert len(facts["ExcludedRuns"]) == 2
        assert facts["MeanFramewiseDisplacement"] is None


@pytest.mark.slow
def test_a_failed_run_is_left_out_even_if_an_earlier_call_had_written_it(place, tiny, two_runs):
    third = tiny.add_run("sub-01_task-rest_run-3", n_volumes=70)
    assert place("--concatenate", "session")[0].status == 0
    third.write_bytes(third.read_bytes()[:5000])
    told, out = place("--concatenate", "session")
    assert told.status == 1
    assert f"made without sub-01 task-rest run-3 {MNI}: It failed, or was not tried." in told.err
    assert len(two_runs) == 2
    runs = [series(out, f"sub-01_task-rest_run-{run}") for run in LENGTHS]
    path = matrix_file(out, "sub-01_task-rest")
    assert_written(path, of_correlation(zscored(*runs)))
    lost = series_file(out, "sub-01_task-rest_run-3")
    assert sidecar(path)["MissingRuns"] == dict.fromkeys(
        uris(out, lost), "It failed, or was not tried."
    )
    assert sidecar(path)["NumberOfRuns"] == 2


def test_nothing_is_written_when_all_runs_fail(place, two_runs):
    for bold in two_runs.values():
        bold.write_bytes(bold.read_bytes()[:5000])
    told, out = place("--concatenate", "session")
    assert told.status == 1
    assert "none of its runs is done" in told.err
    assert matrices(out) == set()


def test_nothing_is_written_when_no_series_can_be_read(place, two_runs, tiny, seeds_file):
    assert two_runs
    out = place()[1]
    before = matrices(out)
    for run in LENGTHS:
        series_file(out, f"sub-01_task-rest_run-{run}").unlink()
    asked = Settings(tiny.root, out, seeds=(seeds_file,), strategy=("gsrOnly",))
    *_, last = concatenate_runs(group_runs(plan_jobs(asked)[1], "session"), ())
    assert "no run is left for gsrOnly" in last
    assert matrices(out) == before


DAMAGE = {
    "gone": lambda path: path.unlink(),
    "cut": lambda path: path.write_text(path.read_text()[:300] + "\nleft"),
    "of other seeds": lambda path: path.write_text("a\tb\n1\t2\n"),
    "without its sidecar": lambda path: path.with_suffix(".json").unlink(),
    "of another program": lambda path: path.with_suffix(".json").write_text("{}"),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE)
def test_series_that_cannot_be_read(place, two_runs, tiny, seeds_file, damage):
    assert two_runs
    out = place()[1]
    DAMAGE[damage](series_file(out, "sub-01_task-rest_run-2"))
    asked = Settings(tiny.root, out, seeds=(seeds_file,), strategy=("gsrOnly",))
    (warning,) = concatenate_runs(group_runs(plan_jobs(asked)[1], "session"), ())
    assert f"made without sub-01 task-rest run-2 {MNI}: " in warning
    path = matrix_file(out, "sub-01_task-rest")
    assert_written(path, np.corrcoef(series(out, "sub-01_task-rest_run-1").T))
    assert len(sidecar(path)["MissingRuns"]) == 1


def test_a_run_that_an_earlier_call_had_in_it(place, two_runs):
    assert two_runs
    told, out = place("--concatenate", "session")
    assert "does not select" not in told.err
    told, _ = place("--concatenate", "session", "--run", "2")
    assert told.status == 0
    (lost,) = uris(out, series_file(out, "sub-01_task-rest_run-1"))
    assert f"an earlier call had {lost} in it" in told.err
    path = matrix_file(out, "sub-01_task-rest")
    assert_written(path, np.corrcoef(series(out, "sub-01_task-rest_run-2").T))


def test_a_sphere_missing_in_one_run_is_missing(place, two_runs):
    """Where the image of run 2 has no signal around the seed on the left."""
    img = nib.load(two_runs["2"])
    data = img.get_fdata()
    data[:5] = 0
    nib.Nifti1Image(data.astype(np.float32), img.affine, img.header).to_filename(two_runs["2"])
    told, out = place("--concatenate", "session")
    assert told.status == 0, told.err
    tables = [read(series_file(out, f"sub-01_task-rest_run-{run}")) for run in LENGTHS]
    assert tables[1]["left"].isna().all()
    path = matrix_file(out, "sub-01_task-rest")
    assert np.isnan(matrix(path)[0]).all()
    z = zscored(*(table[["right", "front"]].to_numpy() for table in tables))
    np.testing.assert_allclose(matrix(path)[1:, 1:], np.corrcoef(z.T), rtol=1e-8)
    assert sidecar(path)["NodesMissingInSomeRuns"] == ["left"]


# What the sidecar says


@pytest.mark.slow
def test_numbers_of_the_sidecar(place, two_runs):
    assert two_runs
    told, out = place("--concatenate", "session", "--fd-threshold", "0.5")
    assert told.status == 0, told.err
    facts = sidecar(matrix_file(out, "sub-01_task-rest"))
    assert facts["NumberOfRuns"] == 2
    assert facts["ExcludedRuns"] == facts["MissingRuns"] == {}
    assert facts["NumberOfVolumes"] == 40 + 60
    assert facts["NumberOfVolumesCensored"] == 6 + 9
    assert facts["NumberOfVolumesKept"] == 34 + 51
    assert facts["CensoredVolumes"]["framewise_displacement"] == 6 + 9
    # Mean, trend, a cosine and the global signal are removed in each run.
    assert facts["RankRemoved"] == 2 * 4
    assert facts["DimensionsLostToFilter"] == facts["DimensionsLostToCensoring"] == 0
    # 6 of 39 displacements are 2 mm in the first run, 9 of 59 in the second, the others 0.1 mm.
    expected = (6 * 2 + 33 * 0.1 + 9 * 2 + 50 * 0.1) / (39 + 59)
    assert facts["MeanFramewiseDisplacement"] == pytest.approx(expected)
    # Both runs lose 4 dimensions; see the formula at the variance of a weighted mean.
    variance = (33**2 / 30 + 50**2 / 47) / (33 + 50) ** 2
    assert facts["DegreesOfFreedom"] == pytest.approx(1 / variance)


@pytest.mark.slow
def test_facts_that_all_runs_share(place, two_runs):
    assert two_runs
    told, out = place("--concatenate", "session")
    assert told.status == 0, told.err
    facts = sidecar(matrix_file(out, "sub-01_task-rest"))
    assert facts["RelationshipMeasure"] == "Pearson correlation"
    assert (facts["Weighted"], facts["Directed"], facts["ValidDiagonal"]) == (True, False, False)
    assert facts["SpatialReference"] == MNI[6:]
    assert (facts["Seeds"], facts["Strategy"], facts["Radius"]) == ("mine", "gsrOnly", 5)
    assert facts["NuisanceParameters"] == ["cosine00", "global_signal"]
    for uri in [*facts["NodeFiles"], *facts["Sources"]]:
        assert (out / uri.removeprefix("bids::")).is_file()
    assert len(facts["NodeFiles"]) == len(facts["Sources"]) == 2


def test_what_runs_differ_in_is_not_said_of_all(place, tiny, tmp_path):
    for run, length in LENGTHS.items():
        bold = tiny.add_run(f"sub-01_task-rest_run-{run}", n_volumes=length)
        move(bold, ())
    path = bold.with_name("sub-01_task-rest_run-2_desc-confounds_timeseries.tsv")
    table = read(path)
    table["cosine01"] = np.cos(2 * np.pi * (np.arange(60) + 0.5) / 60)
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    own = tmp_path / "slow.json"
    own.write_text(json.dumps({"name": "slow", "confounds": [r"^cosine\d+$"]}))
    told, out = place("--concatenate", "session", "--strategy", own)
    assert told.status == 0, told.err
    facts = sidecar(matrix_file(out, "sub-01_task-rest", strategy="slow"))
    assert "NuisanceParameters" not in facts
    assert facts["RankRemoved"] == 2 + 1 + 2 + 2


@pytest.mark.slow
def test_seeds_named_like_a_key(place, two_runs, seeds_file):
    assert two_runs
    seeds_file.write_text("name\tx\ty\tz\tnetwork\nMask\t-10\t0\t0\tA\nSeeds\t10\t0\t0\tB\n")
    told, out = place("--concatenate", "session")
    assert told.status == 0, told.err
    facts = sidecar(matrix_file(out, "sub-01_task-rest"))
    assert (facts["Mask"], facts["Seeds"]) == ("run", "mine")


def write_run(group, number, values, **facts):
    """Series of a run of a group by hand, as its job would write them; return their URIs."""
    job = group.jobs[number]
    (seeds,) = job.work.seed_sets
    path = job.paths.series(seeds, "gsrOnly")
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(values, columns=list(seeds.names))
    table.to_csv(path, sep="\t", index=False, na_rep="n/a", float_format="%.12g")
    path.with_suffix(".json").write_text(json.dumps(facts))
    return job.paths.uri(path), job.paths.uri(job.paths.spheres(seeds))


def test_every_key_of_the_sidecar_by_hand(tiny, seeds_file, tmp_path):
    rng = np.random.default_rng(3)
    for run in "1234":
        tiny.add_run(f"sub-01_task-rest_run-{run}", n_volumes=10)
    asked = Settings(tiny.root, tmp_path / "out", seeds=(seeds_file,), strategy=("gsrOnly",))
    (group,) = group_runs(plan_jobs(asked)[1], "session")
    first = np.column_stack([rng.standard_normal((12, 3)), np.full(12, np.nan)])
    second = np.column_stack([rng.standard_normal((9, 2)), np.full((9, 2), np.nan)])
    second[[0, 4]] = np.nan  # volumes that are censored, in their rows
    common = {"Radius": 5, "SoftwareFilters": "n/a", "Mask": "run", "GeneratedBy": [{"Name": "x"}]}
    numbers = ("NumberOfVolumes", "NumberOfVolumesKept", "NumberOfVolumesCensored", "RankRemoved")
    numbers += ("DimensionsLostToFilter", "DimensionsLostToCensoring", "DegreesOfFreedom")
    numbers += ("VolumesWithFramewiseDisplacement", "MeanFramewiseDisplacement")
    rows = [(15, 12, 3, 4, 0.5, 0.25, 8.0, 14, 0.1), (9, 7, 2, 2, 1.5, 0.5, 3.0, 8, 0.4)]
    own = [dict(zip(numbers, row, strict=True)) for row in rows]
    own[0] |= {"CensoredVolumes": {"fd": 2, "dvars": 1}, "Standardize": "psc"}
    own[1] |= {"CensoredVolumes": {"fd": 2}, "Standardize": "zscore"}
    recomputed = {"MeanFramewiseDisplacementRecomputed": 0.2}
    one = write_run(group, 0, first, **common, **own[0], **recomputed)
    two = write_run(group, 1, second, **common, **own[1])
    gone = dict.fromkeys(numbers, 99) | {"Excluded": "too short", "Radius": 7}
    three = write_run(group, 2, np.full((5, 4), np.nan), **gone)
    (said,) = concatenate_runs([group], ())
    assert "made without sub-01 task-rest run-4" in said
    path = matrix_file(tmp_path / "out", "sub-01_task-rest")
    left, right = zscored(first[:, :2], second[[1, 2, 3, 5, 6, 7, 8], :2]).T
    table = read(path).set_index("Node")
    assert table.loc["left", "right"] == pytest.approx(np.corrcoef(left, right)[0, 1], rel=1e-8)
    assert table[["front", "far"]].isna().all(axis=None)
    facts = sidecar(path)
    assert (facts["NumberOfRuns"], facts["Sources"]) == (2, [one[0], two[0]])
    assert facts["NodeFiles"] == [one[1], two[1]]
    assert facts["NodesMissingInSomeRuns"] == ["front"]  # the last is missing in all
    assert facts["ExcludedRuns"] == {three[0]: "too short"}
    assert list(facts["MissingRuns"]) == [one[0].replace("run-1", "run-4")]
    assert facts["CensoredVolumes"] == {"fd": 4, "dvars": 1}
    sums = (24, 19, 5, 6, 2.0, 0.75)
    assert tuple(facts[name] for name in numbers[:6]) == sums
    # w = T' - 1 of every run: 1 / var of the weighted mean of two correlations.
    variance = (11**2 / 8 + 6**2 / 3) / 17**2
    assert facts["DegreesOfFreedom"] == pytest.approx(1 / variance)
    mean = (14 * 0.1 + 8 * 0.4) / 22
    assert facts["MeanFramewiseDisplacement"] == pytest.approx(mean)
    assert facts["MeanFramewiseDisplacementRecomputed"] is None  # unknown of one
    # What they agree in, without what is each one's own.
    assert (facts["Radius"], facts["SoftwareFilters"], facts["Mask"]) == (5, "n/a", "run")
    assert "Standardize" not in facts
    assert "GeneratedBy" not in facts  # of the series


def test_degrees_of_freedom_of_white_noise_in_runs_of_unlike_loss():
    """Simulated: 500 series in 90 and in 20 dimensions of 100 volumes; variance of correlations."""
    rng = np.random.default_rng(7)
    parts, used = [], []
    for freedom in (90, 20):
        basis = rng.standard_normal((100, freedom))
        basis = np.linalg.qr(basis - basis.mean(axis=0))[0]
        parts.append(basis @ rng.standard_normal((freedom, 500)))
        facts = {"DegreesOfFreedom": float(freedom)}
        used.append(RunSeries("", "", parts[-1], facts))
    correlations = np.corrcoef(concatenate(parts).T)[np.triu_indices(500, 1)]
    assert degrees_of_freedom(used) == pytest.approx(1 / np.mean(correlations**2), rel=0.03)
    assert degrees_of_freedom(used) < 0.7 * (90 + 20)
    assert degrees_of_freedom(used[:1]) == pytest.approx(90)
    assert degrees_of_freedom([]) == 0


@pytest.mark.slow
def test_the_option_is_in_the_record_and_comes_back_from_it(place, two_runs, run_app):
    assert two_runs
    told, out = place("--concatenate", "participant")
    assert told.status == 0, told.err
    (record,) = (out / "logs").glob("*_settings.json")
    assert json.loads(record.read_text())["concatenate"] == "participant"
    path = matrix_file(out, "sub-01_task-rest")
    path.unlink()
    assert run_app("--config", record).status == 0
    assert path.is_file()


# Without a call: which runs are together, and what is made of their files


SEEDS = SeedTable("mine", ("a", "b", "c"), np.zeros((3, 3)), np.full(3, 5.0))


def job_of(source, tmp_path, *strategies):
    """A job on a run in a space, whose image need not be there."""
    name = parse_name(f"{source}_{MNI}_bold.nii.gz")
    bold = Path(f"{source}_{MNI}_desc-preproc_bold.nii.gz")
    chosen = tuple(Strategy(one, "") for one in strategies or ("s",))
    work = Work((SEEDS,), chosen, Processing(), tmp_path / "out", (), threads=1)
    return Job(
        Run(name, (("preproc", bold),), None, Tables()), (JobImage(bold, chosen),), (), None, work
    )


def names_of(groups):
    return {str(group): [str(job.run.name.get("run")) for job in group.jobs] for group in groups}


def test_which_runs_belong_together(tmp_path):
    sources = [
        *("sub-1_ses-a_task-x_run-1", "sub-1_ses-a_task-x_run-2", "sub-1_ses-b_task-x_run-1"),
        *("sub-1_ses-a_task-y_run-1", "sub-2_ses-a_task-x_run-1"),
    ]
    jobs = [job_of(source, tmp_path) for source in sources]
    assert group_runs(jobs, None) == []
    space = MNI
    assert names_of(group_runs(jobs, "session")) == {
        f"sub-1 ses-a task-x {space}": ["1", "2"],
        f"sub-1 ses-b task-x {space}": ["1"],
        f"sub-1 ses-a task-y {space}": ["1"],
        f"sub-2 ses-a task-x {space}": ["1"],
    }
    groups = group_runs(jobs, "participant")
    assert names_of(groups) == {
        f"sub-1 task-x {space}": ["1", "2", "1"],
        f"sub-1 task-y {space}": ["1"],
        f"sub-2 task-x {space}": ["1"],
    }
    path = groups[0].paths.matrix(SEEDS, "s", "pearsoncorrelation")
    assert path.parent == tmp_path / "out" / "sub-1" / "func"
    assert path.name.startswith(f"sub-1_task-x_{MNI}_seg-mine_")


@pytest.mark.parametrize(("level", "keys"), [("session", "run-"), ("participant", "ses- or run-")])
def test_a_run_of_the_name_of_all_is_refused_beside_others_and_alone_its_own(tmp_path, level, keys):
    alone = job_of("sub-1_task-x", tmp_path)
    assert group_runs([alone], level) == []
    with pytest.raises(UsageError) as caught:
        group_runs([job_of("sub-1_task-x_run-2", tmp_path), alone], level)
    assert caught.value.message == (
        f"--concatenate {level}: the name of {alone.images[0].bold} has no {keys}, so that its own "
        "matrices would have the names of those of 2 runs together."
    )


def put(job, values, strategy="s", **facts):
    """Write series as a job does."""
    path = job.paths.series(SEEDS, strategy)
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(values, columns=SEEDS.names).to_csv(path, sep="\t", index=False, na_rep="n/a")
    numbers = {
        "NumberOfVolumes": 50,
        "NumberOfVolumesKept": 40,
        "NumberOfVolumesCensored": 10,
        "RankRemoved": 3,
        "DimensionsLostToFilter": 2.5,
        "DimensionsLostToCensoring": 1,
        "DegreesOfFreedom": 30.0,
        "VolumesWithFramewiseDisplacement": 49,
        "Excluded": None,
    }
    path.with_suffix(".json").write_text(json.dumps(numbers | facts))
    return path


@pytest.fixture
def pair(tmp_path):
    """Two runs, of 40 and 25 volumes, with what their sidecars say."""
    rng = np.random.default_rng(3)
    jobs = [job_of(f"sub-1_task-x_run-{i}", tmp_path) for i in "12"]
    first, second = rng.standard_normal((40, 3)), 5 + 3 * rng.standard_normal((25, 3))
    second[:, 2] = np.nan
    put(
        jobs[0],
        first,
        MeanFramewiseDisplacement=0.1,
        CensoredVolumes={"fd": 3, "x": 1},
        Detrend=True,
    )
    put(
        *(jobs[1], np.insert(second, 3, np.nan, axis=0)),
        MeanFramewiseDisplacement=0.4,
        CensoredVolumes={"fd": 2},
        RepetitionTime=2.0,
        NumberOfVolumes=30,
        DegreesOfFreedom=10.0,
        Detrend=False,
        RankRemoved=4,
        VolumesWithFramewiseDisplacement=29,
    )
    return jobs, (first, second)


def written(group):
    path = group.paths.matrix(SEEDS, "s", "pearsoncorrelation")
    return read(path).set_index("Node").to_numpy(), sidecar(path)


def test_series_of_runs_are_standardized_and_put_one_after_the_other(pair):
    jobs, (first, second) = pair
    (group,) = group_runs(jobs, "participant")
    assert list(concatenate_runs([group], ())) == []
    values, facts = written(group)
    both = [stats.zscore(part, ddof=1) for part in (first, second)]
    r = np.corrcoef(np.vstack(both)[:, :2].T)[0, 1]
    assert values[0, 1] == pytest.approx(r, abs=1e-9)
    expected = {
        "NumberOfRuns": 2,
        "NumberOfVolumes": 80,
        "NumberOfVolumesKept": 80,
        "NumberOfVolumesCensored": 20,
        "RankRemoved": 7,
        "DimensionsLostToFilter": 5,
        "DimensionsLostToCensoring": 2,
        "CensoredVolumes": {"fd": 5, "x": 1},
        "NodesMissingInSomeRuns": ["c"],
        "ExcludedRuns": {},
        "MissingRuns": {},
        "MeanFramewiseDisplacementRecomputed": None,
    }
    assert {key: facts[key] for key in expected} == expected
    assert facts["MeanFramewiseDisplacement"] == pytest.approx((49 * 0.1 + 29 * 0.4) / 78)
    left = (39 + 24) ** 2 / (39**2 / 30 + 24**2 / 10)
    assert facts["DegreesOfFreedom"] == pytest.approx(left)
    assert "Detrend" not in facts
    assert [source.split("/")[-1][:18] for source in facts["Sources"]] == [
        *("sub-1_task-x_run-1", "sub-1_task-x_run-2")
    ]


def test_runs_that_are_excluded_or_missing_or_lost_are_told(pair):
    jobs, _ = pair
    (group,) = group_runs(jobs, "participant")
    list(concatenate_runs([group], ()))
    put(jobs[0], np.full((40, 3), 1.0), Excluded="too short", Detrend=True)
    assert list(concatenate_runs([group], ())) == []
    _, facts = written(group)
    assert facts["NumberOfRuns"] == 1
    assert list(facts["ExcludedRuns"].values()) == ["too short"]
    assert facts["Detrend"] is False
    path = jobs[0].paths.series(SEEDS, "s")
    path.unlink()
    (told,) = concatenate_runs([group], ())
    assert told.startswith(f"{group}: made without {jobs[0]}: ")
    (told,) = concatenate_runs([group], {(str(jobs[0]), "s")})
    assert told == f"{group}: made without {jobs[0]}: It failed, or was not tried."
    (missing,) = written(group)[1]["MissingRuns"].values()
    assert missing == "It failed, or was not tried."
    (told,) = concatenate_runs([group], {(str(job), "s") for job in jobs})
    assert told == f"{group}: none of its runs is done, and no matrix of them is written."
    jobs[1].paths.series(SEEDS, "s").unlink()
    *_, told = concatenate_runs([group], {(str(jobs[0]), "other")})
    assert told == f"{group}: no run is left for s, and no matrix of all is written."


def test_runs_of_which_no_sphere_has_a_series_are_excluded(pair):
    jobs, _ = pair
    for job in jobs:
        put(job, np.full((40, 3), np.nan))
    (group,) = group_runs(jobs, "participant")
    assert list(concatenate_runs([group], ())) == []
    values, facts = written(group)
    assert np.isnan(values.astype(float)).all()
    assert (facts["NumberOfRuns"], facts["DegreesOfFreedom"]) == (0, 0)
    assert list(facts["ExcludedRuns"].values()) == ["no sphere has a series"] * 2
    assert (facts["MeanFramewiseDisplacement"], len(facts["NodeFiles"])) == (None, 2)


def test_runs_of_an_earlier_call_that_are_not_selected_any_more(pair):
    jobs, _ = pair
    (group,) = group_runs(jobs, "participant")
    list(concatenate_runs([group], ()))
    (fewer,) = group_runs(jobs[:1], "participant")
    (told,) = concatenate_runs([fewer], ())
    uri = jobs[1].paths.uri(jobs[1].paths.series(SEEDS, "s"))
    assert told == (f"{fewer}: an earlier call had {uri} in it, which this one does not select.")
    assert list(concatenate_runs([group], ())) == []


@pytest.mark.parametrize("text", ["{", "[1]", "{}"])
def test_an_earlier_matrix_whose_sidecar_is_broken_is_left_behind_without_a_word(pair, text):
    jobs, _ = pair
    (group,) = group_runs(jobs, "participant")
    list(concatenate_runs([group], ()))
    path = group.paths.matrix(SEEDS, "s", "pearsoncorrelation")
    path.with_suffix(".json").write_text(text)
    assert list(concatenate_runs([group], ())) == []
    assert len(written(group)[1]["Sources"]) == 2


def test_series_of_other_seeds_are_not_taken(pair):
    jobs, (first, _) = pair
    path = put(jobs[0], first)
    content = json.loads(path.with_suffix(".json").read_text())
    [group] = group_runs(jobs, "session")

    def read(seeds):
        series = _GroupSeries(group, seeds, "s", ())
        return [run.values.shape for run in series.used], [why for _, why in series.missing]

    assert read(SEEDS) == ([(40, 3), (25, 3)], [])
    for key in ("DegreesOfFreedom", "VolumesWithFramewiseDisplacement", "RankRemoved"):
        lacking = {name: value for name, value in content.items() if name != key}
        path.with_suffix(".json").write_text(json.dumps(lacking))
        shapes, [why] = read(SEEDS)
        assert shapes == [(25, 3)]
        assert "and its sidecar are not those of mine" in why
    assert read(replace(SEEDS, names=("a", "c", "b")))[0] == []


def test_a_strategy_that_failed_in_all_runs_keeps_no_other_back(tmp_path):
    rng = np.random.default_rng(4)
    jobs = [job_of(f"sub-1_task-x_run-{i}", tmp_path, "s", "t") for i in "12"]
    runs = [rng.standard_normal((n, 3)) for n in (30, 17)]
    for job, values in zip(jobs, runs, strict=True):
        put(job, rng.standard_normal((20, 3)), "s")
        put(job, values, "t")
    (group,) = group_runs(jobs, "session")
    lost = {(str(job), "s") for job in jobs}
    assert list(concatenate_runs([group], lost)) == [
        *(f"{group}: made without {job}: It failed, or was not tried." for job in jobs),
        f"{group}: no run is left for s, and no matrix of all is written.",
    ]
    assert not group.paths.matrix(SEEDS, "s", "pearsoncorrelation").exists()
    path = group.paths.matrix(SEEDS, "t", "pearsoncorrelation")
    z = np.vstack([stats.zscore(run, ddof=1) for run in runs])
    np.testing.assert_allclose(read(path).set_index("Node"), np.corrcoef(z.T), atol=1e-9)
