"""Series through a strategy, against each step written out with scipy and numpy."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import signal, stats
from scipy.interpolate import CubicSpline
from sklearn.covariance import ledoit_wolf

from bids_spheres.confounds.design import Design
from bids_spheres.confounds.strategy import Censor, Strategy, TemporalFilter
from bids_spheres.engine.aggregate import VoxelSeries
from bids_spheres.engine.connectivity import measure
from bids_spheres.engine.seeds import SeedTable
from bids_spheres.errors import UsageError
from bids_spheres.files.names import parse_name
from bids_spheres.outputs.paths import OutputPaths
from bids_spheres.participant.designs import RunDesign, Timing
from bids_spheres.participant.series import (
    check_chosen,
    chosen_seeds,
    clean_series,
    cleaning_sidecar,
    effective_dof,
    regressed_out,
    seed_labels,
    sidecar_beside,
    write_relations,
    write_series,
)
from bids_spheres.participant.sphere_sets import SphereSet
from bids_spheres.settings.table import Processing

T_R = 2.0
BAND = TemporalFilter(0.01, 0.1, order=3)


def run_design(kept, regressors=None, chosen=None, names=None, **rules):
    """A strategy in a run with given regressors and kept volumes."""
    values = np.empty((len(kept), 0)) if regressors is None else regressors
    names = tuple(f"x{i}" for i in range(values.shape[1])) if names is None else names
    design = Design(names, values, kept, np.full(len(kept), np.nan))
    strategy = Strategy("a", "", names, filter=chosen, censor=Censor(fd_threshold=0.5))
    return RunDesign(strategy, design, Timing(len(kept), T_R), Processing(**rules))


def without(columns, series):
    """Residuals of least squares."""
    return series - columns @ np.linalg.lstsq(columns, series, rcond=None)[0]


def band_passed(values, kept, chosen=BAND):
    """Interpolated between the first and the last kept volume, detrended, filtered, censored."""
    where = np.flatnonzero(kept)
    inside = np.arange(where[0], where[-1] + 1)
    filled = np.where(kept[inside, None], values[inside], CubicSpline(where, values[where])(inside))
    filled = without(np.column_stack([np.ones(len(inside)), inside]), filled)
    edges = [edge for edge in (chosen.high_pass, chosen.low_pass) if edge]
    kind = "band" if len(edges) == 2 else ("high" if chosen.high_pass else "low")
    edges = edges if len(edges) == 2 else edges[0]
    sections = signal.butter(chosen.order, edges, kind, output="sos", fs=1 / T_R)
    return signal.sosfiltfilt(sections, filled, axis=0)[kept[inside]]


def standardized(values):
    values = values - values.mean(axis=0)
    return values / values.std(axis=0, ddof=1)


@pytest.fixture
def series():
    """Independent noise, with one drift, and artefacts where volumes are censored."""
    rng = np.random.default_rng(5)
    return rng.standard_normal((200, 8)) + np.linspace(-3, 3, 200)[:, None]


KEPT = {
    "all": np.ones(200, bool),
    "gap": ~np.isin(np.arange(200), np.arange(50, 120)),
    "ends": np.isin(np.arange(200), np.arange(6, 190)),
    "mirrored": ~np.isin(np.arange(200), [0, 1, 2, 60, 61, 139, 198, 199]),
}


@pytest.mark.parametrize("kept", KEPT.values(), ids=KEPT)
@pytest.mark.parametrize("n_regressors", [0, 6])
def test_without_a_filter_the_trend_is_linear_in_time(series, kept, n_regressors):
    regressors = np.random.default_rng(1).standard_normal((200, n_regressors)).cumsum(axis=0)
    series[~kept] += 1e3
    cleaned = clean_series(series, run_design(kept, regressors))
    lines = np.column_stack([np.ones(200), np.arange(200), regressors])[kept]
    np.testing.assert_allclose(
        cleaned, standardized(without(lines, series[kept])), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("kept", KEPT.values(), ids=KEPT)
def test_a_filter_sees_no_censored_volume_and_ends_with_the_kept_ones(series, kept):
    regressors = np.random.default_rng(1).standard_normal((200, 6)).cumsum(axis=0)
    series[~kept] += 1e3
    cleaned = clean_series(series, run_design(kept, regressors, BAND, min_dof=1))
    filtered, removed = band_passed(series, kept), band_passed(regressors, kept)
    removed = np.column_stack([np.ones(len(removed)), removed])
    filtered -= filtered.mean(axis=0)  # what the mean of the regressors has in common with it
    expected = standardized(without(removed - [0, *removed[:, 1:].mean(axis=0)], filtered))
    np.testing.assert_allclose(cleaned, expected, rtol=1e-6, atol=1e-8)


def test_independent_series_with_one_drift_do_not_correlate(series):
    cleaned = clean_series(series, run_design(KEPT["gap"]))
    assert abs(np.corrcoef(cleaned.T)[np.triu_indices(8, 1)].mean()) < 0.05


@pytest.mark.parametrize("kept", KEPT.values(), ids=KEPT)
@pytest.mark.parametrize("named", [False, True])
def test_a_cosine_filter_beside_regressors(series, kept, named):
    """Of floor(2 * 400 s * 0.01 Hz) = 8 cosines; fMRIPrep's stand in for them."""
    phase = np.pi / 200 * (np.arange(200) + 0.5)
    ours = np.cos(np.outer(phase, np.arange(1, 9)))
    theirs = np.cos(np.outer(phase, np.arange(1, 4)))
    names = ("cosine00", "cosine01", "cosine02") if named else ("x", "y", "z")
    chosen = TemporalFilter(0.01, type="cosine")
    cleaned = clean_series(series, run_design(kept, theirs, chosen, names))
    lines = np.column_stack([np.ones(200), np.arange(200), theirs if named else ours])[kept]
    np.testing.assert_allclose(
        cleaned, standardized(without(lines, series[kept])), rtol=1e-6, atol=1e-8
    )


def test_rules_of_the_call(series):
    kept = KEPT["all"]
    plain = clean_series(series, run_design(kept, detrend=False, standardize=False))
    np.testing.assert_allclose(plain, series)
    scaled = clean_series(series, run_design(kept, detrend=False, standardize="zscore"))
    np.testing.assert_allclose(scaled, (series - series.mean(axis=0)) / series.std(axis=0))


def test_spheres_without_a_signal_and_excluded_runs(series):
    series[:, 2] = np.nan
    cleaned = clean_series(series, run_design(KEPT["gap"]))
    assert np.isnan(cleaned[:, 2]).all()
    assert not np.isnan(np.delete(cleaned, 2, axis=1)).any()
    series[3, 4] = np.nan
    as_they_are = run_design(KEPT["all"], detrend=False, standardize=False)
    assert np.isnan(clean_series(series, as_they_are)[:, 4]).all()
    excluded = run_design(KEPT["gap"], min_dof=129)
    assert excluded.exclusion is not None
    assert np.isnan(clean_series(series, excluded)).all()
    assert clean_series(series, excluded).shape == (130, 8)
    assert np.isnan(effective_dof(cleaned, excluded)).all()
    assert run_design(KEPT["gap"], min_dof=128).exclusion is None


@pytest.mark.parametrize("rules", [{}, {"standardize": "psc"}, {"equal_seconds": 100}])
@pytest.mark.parametrize("kept", [KEPT["all"], KEPT["gap"]], ids=["all", "gap"])
def test_medians_are_of_cleaned_voxels_of_spheres_with_a_signal(kept, rules):
    """Three spheres of unequal sizes, of which the second lacks a signal."""
    rng = np.random.default_rng(6)
    sizes, regressors = np.array([5, 4, 7]), rng.standard_normal((200, 3)).cumsum(axis=0)
    voxels = 100 + regressors @ rng.standard_normal((3, 16)) + rng.standard_normal((200, 16))
    usable = np.ones(16, bool)
    usable[[1, 5, 6, 7, 8, 12]] = False
    stops = sizes.cumsum()
    kept_voxels = VoxelSeries((voxels - 3) / 2, (2.0, 3.0), stops - sizes, stops, usable)
    before = kept_voxels.aggregated("median")
    design = run_design(kept, regressors, aggregation="median", **rules)
    cleaned = clean_series(before, design, kept_voxels)
    lines = np.column_stack([np.ones(200), np.arange(200), regressors])[kept]
    rows = design.used[kept]
    assert np.isnan(cleaned[:, 1]).all()
    for sphere, chosen in ((0, [0, 2, 3, 4]), (2, [9, 10, 11, 13, 14, 15])):
        median = np.median(without(lines, voxels[kept][:, chosen]), axis=1)
        scaled = (median - median.mean()) / median.std(ddof=1)
        if rules.get("standardize") == "psc":
            scaled = 100 * (median - median.mean()) / np.median(voxels[kept][:, chosen], 1).mean()
        np.testing.assert_allclose(cleaned[:, sphere], scaled[rows], rtol=1e-6, atol=1e-8)


def by_definition(cleaned, kept, removed, max_lag):
    """N of every two series, with every matrix written out (Dutilleul 1993), not bounded."""
    where = np.flatnonzero(kept)
    p = np.eye(len(where)) - removed @ np.linalg.pinv(removed)
    apart = np.abs(np.subtract.outer(where, where))
    patterns = [p @ (apart == lag) @ p for lag in range(max_lag + 1)]
    design = np.stack([pattern.ravel() for pattern in patterns], axis=1)
    nearest = np.linalg.pinv(design)
    covariances = [
        (design @ (nearest @ np.outer(x, x).ravel())).reshape(p.shape) for x in (p @ cleaned).T
    ]
    return np.array(
        [
            [1 + np.trace(x) * np.trace(y) / np.trace(x @ y) for x in covariances]
            for y in covariances
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize("kept", [KEPT["gap"], KEPT["mirrored"]], ids=["gap", "mirrored"])
@pytest.mark.parametrize("chosen", [None, BAND, TemporalFilter(low_pass=0.1)], ids=str)
def test_effective_degrees_of_freedom_with_24_regressors(series, kept, chosen):
    """Regressors filtered as the series were, lags up to the root of the kept volumes, a bound."""
    smooth = signal.lfilter([1], [1, -0.5], series, axis=0)
    regressors = np.random.default_rng(1).standard_normal((200, 24)).cumsum(axis=0)
    design = run_design(kept, regressors, chosen)
    cleaned = clean_series(smooth, design)
    removed = band_passed(regressors, kept, chosen) if chosen else regressors[kept]
    removed = np.column_stack([np.ones(kept.sum()), np.flatnonzero(kept), removed])
    found = effective_dof(cleaned, design)
    expected = by_definition(cleaned, kept, removed, int(np.sqrt(kept.sum())))
    bound = design.degrees_of_freedom.residual + 1
    assert found.max() <= bound + 1e-9
    inside = (expected > 1) & (expected < bound)
    assert inside.any()
    np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-5)
    np.testing.assert_allclose(found[~inside], bound)


def test_regressors_with_a_drift_are_filtered_without_it():
    """Else the filter sees a jump from the end to the beginning, in the regressors alone."""
    rng = np.random.default_rng(2)
    kept = ~np.isin(np.arange(80), [0, 30, 31, 60])
    smooth = signal.lfilter([1], [1, -0.95], rng.standard_normal((80, 6)), axis=0)
    regressors = rng.standard_normal((80, 3)).cumsum(axis=0) + np.linspace(0, 30, 80)[:, None]
    slow = TemporalFilter(high_pass=0.008, order=2)
    design = run_design(kept, regressors, slow)
    cleaned = clean_series(smooth, design)
    removed = np.column_stack(
        [np.ones(kept.sum()), np.flatnonzero(kept), band_passed(regressors, kept, slow)]
    )
    found = effective_dof(cleaned, design)
    expected = by_definition(cleaned, kept, removed, int(np.sqrt(kept.sum())))
    bound = design.degrees_of_freedom.residual + 1
    inside = (expected > 1) & (expected < bound)
    assert inside.sum() > 4
    np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-5)


def test_white_series_have_all_degrees_of_freedom_that_cleaning_leaves():
    """The bound: N independent values have a variance of 1 / (N - 1)."""
    rng = np.random.default_rng(0)
    design = run_design(KEPT["gap"], rng.standard_normal((200, 24)))
    found = effective_dof(clean_series(rng.standard_normal((200, 60)), design), design)
    assert design.degrees_of_freedom.residual == 130 - 26
    assert found.max() == 130 - 26 + 1


def test_white_series_have_all_degrees_of_freedom_of_the_volumes_that_are_drawn():
    rng = np.random.default_rng(0)
    design = run_design(KEPT["gap"], equal_seconds=100)
    found = effective_dof(clean_series(rng.standard_normal((200, 60)), design), design)
    n_drawn, left = 50, design.degrees_of_freedom.residual
    assert design.used.sum() == n_drawn
    assert n_drawn - 3 < left < n_drawn
    assert found.max() == pytest.approx(min(left, n_drawn - 2) + 1)  # without mean and trend


# Small parts


def design_with_nothing(n_volumes, **rules):
    return run_design(np.ones(n_volumes, bool), **rules)


def test_the_first_volumes_or_drawn_ones_are_used():
    kept = KEPT["ends"]
    places = np.flatnonzero(kept)
    for seconds, number in ((20, 10), (21, 11), (20 + 1e-7, 10), (20 + 1e-5, 11)):
        used = run_design(kept, equal_seconds=seconds).used
        np.testing.assert_array_equal(np.flatnonzero(used), places[:number])
    drawn = run_design(kept, equal_seconds=20, equal_seconds_seed=3)
    expected = np.random.default_rng(3).choice(places, 10, replace=False)
    np.testing.assert_array_equal(np.flatnonzero(drawn.used), np.sort(expected))
    assert not (drawn.used & ~kept).any()
    np.testing.assert_array_equal(drawn.reasons["undrawn"], kept & ~drawn.used)
    assert "undrawn" not in drawn.design.reasons  # which other calls share
    zero = run_design(kept, equal_seconds=20, equal_seconds_seed=0)
    assert (zero.used != run_design(kept, equal_seconds=20).used).any()
    for seconds in (368, 400):  # of 184 volumes
        assert run_design(kept, equal_seconds=seconds, equal_seconds_seed=3).used is kept
    assert run_design(kept).used is kept
    assert "undrawn" not in run_design(kept).reasons


@pytest.mark.parametrize(
    ("seconds", "excluded"), [(368, False), (368 + 5e-7, False), (368.1, True)]
)
def test_a_run_with_less_time_than_is_used_of_all_is_excluded(seconds, excluded):
    design = run_design(KEPT["ends"], equal_seconds=seconds)
    assert (design.exclusion is not None) is excluded
    if excluded:
        row = design.exclusion_row(parse_name("sub-1_bold.nii"), "a", design.exclusion)
        assert row["min_seconds"] == pytest.approx(368.1)
        assert (row["participant_id"], row["session_id"]) == ("sub-1", None)


def test_few_degrees_of_freedom_are_told_and_very_few_exclude_a_run():
    assert list(design_with_nothing(27).warnings()) == []
    (told,) = design_with_nothing(26).warnings()
    assert told.startswith("a leaves 24 degrees of freedom of this run, fewer than 25 (26 volumes")
    (told,) = design_with_nothing(12).warnings()
    assert told.startswith("a leaves 10 degrees")
    (told,) = design_with_nothing(11).warnings()
    assert told.startswith("a leaves too little of this run, and its outputs are n/a: 9 degrees of")
    noted = design_with_nothing(50)
    noted = replace(noted, design=replace(noted.design, notes=("x", "y")))
    assert list(noted.warnings()) == ["a: x", "a: y"]


REASON = (
    "125 degrees of freedom, fewer than 126 (130 volumes kept - 5 rank removed - 0 lost to "
    "filtering)"
)


def test_a_row_of_the_table_of_exclusions():
    design = run_design(
        KEPT["gap"], np.random.default_rng(0).standard_normal((200, 3)), min_dof=126
    )
    name = parse_name("sub-01_ses-b_task-x_bold.nii")
    row = design.exclusion_row(name, "sub-01/a.nii", design.exclusion)
    assert row == {
        "participant_id": "sub-01",
        "session_id": "ses-b",
        "source": "sub-01/a.nii",
        "strategy": "a",
        "reason": REASON,
        "n_volumes": 200,
        "n_kept": 130,
        "rank": 5,
        "lost_to_filter": 0,
        "lost_to_censoring": 0,
        "degrees_of_freedom": 125,
        "seconds": 260.0,
        "min_degrees_of_freedom": 126,
        "min_volumes": None,
        "min_seconds": None,
    }


def test_what_was_regressed_out_is_trend_and_filtered_regressors(series):
    kept, regressors = KEPT["mirrored"], series[:, :2].cumsum(axis=0)
    trend = np.linspace(-1, 1, 200)[kept, None]
    plain = regressed_out(run_design(kept, regressors))
    assert plain.shape == (kept.sum(), 3)
    np.testing.assert_allclose(plain[:, :1], trend)
    columns = np.column_stack([np.ones(kept.sum()), np.flatnonzero(kept)])
    np.testing.assert_allclose(plain[:, 1:], without(columns, regressors[kept]), atol=1e-8)
    filtered = regressed_out(run_design(kept, regressors, BAND, detrend=False))
    np.testing.assert_allclose(filtered, band_passed(regressors, kept), atol=1e-6)
    assert regressed_out(run_design(kept)).shape == (kept.sum(), 1)
    assert regressed_out(run_design(kept, detrend=False)).shape == (kept.sum(), 0)
    drawn = run_design(kept, regressors, equal_seconds=100)
    np.testing.assert_allclose(regressed_out(drawn), plain[:50])


NAMES = ("left M1", "left-M1", "PCC", "- -", "ü")


def test_labels_of_seeds_and_which_are_chosen():
    seeds = SeedTable("x", NAMES, np.zeros((5, 3)), np.zeros(5))
    assert seed_labels(seeds) == ("leftM1x1", "leftM1x2", "PCC", "x4", "x5")
    assert chosen_seeds(seeds, ("left-M1", "PCC")) == {1: "leftM1x2", 2: "PCC"}
    assert list(chosen_seeds(seeds, ("PCC", "all"))) == [0, 1, 2, 3, 4]
    assert chosen_seeds(seeds, ()) == {}
    check_chosen(("all", "PCC"), [seeds])
    with pytest.raises(UsageError, match=r"^--seed-maps: no seed is named PCX\.\n") as caught:
        check_chosen(("PCC", "PCX"), [seeds])
    assert caught.value.hint.startswith("Did you mean PCC? ")


def test_relations_have_their_sidecars(tmp_path):
    values = np.random.default_rng(0).standard_normal((50, 3))
    seeds = SeedTable("mine", ("a", "b", "c"), np.zeros((3, 3)), np.full(3, 5.0))
    paths = OutputPaths(tmp_path, parse_name("sub-1_task-x_space-T1w_bold.nii"), "mean")
    measures = ("pearson", "ledoit-wolf", "fisher-z")
    write_relations((paths, seeds, "s"), measures, values, {"A": 1}, ["bids::x.tsv"])

    def about(stat):
        path = paths.matrix(seeds, "s", stat)
        table = pd.read_csv(path, sep="\t", index_col=0)
        return table, json.loads(path.with_suffix(".json").read_text())

    table, facts = about("pearsoncorrelation")
    np.testing.assert_allclose(table, np.corrcoef(values.T), atol=1e-9)
    assert [*table.index] == [*table.columns] == ["a", "b", "c"]
    assert "Shrinkage" not in facts
    assert (facts["A"], facts["NodeFiles"]) == (1, ["bids::x.tsv"])
    assert (facts["Weighted"], facts["Directed"]) == (True, False)
    assert facts["StorageFormat"] == "Full"
    _, facts = about(measure("ledoit-wolf").stat)
    assert facts["Shrinkage"] == pytest.approx(ledoit_wolf(stats.zscore(values))[1], abs=1e-9)
    assert "Shrinkage" not in about("fisherz")[1]
    write_relations((paths, seeds, "none"), measures, values[:0], {}, [])
    path = paths.matrix(seeds, "none", measure("ledoit-wolf").stat)
    assert "Shrinkage" not in json.loads(path.with_suffix(".json").read_text())
    assert pd.read_csv(path, sep="\t", index_col=0).isna().all(axis=None)


def test_the_mean_of_displacements_is_of_those_that_are_known():
    motion = SimpleNamespace(
        displacement=np.array([np.nan, 0.1, np.nan, 0.3]), head_radius=50.0, stop_band=()
    )
    design = run_design(KEPT["all"])
    about = cleaning_sidecar(replace(design, design=replace(design.design, motion=motion)), [])
    assert about["MeanFramewiseDisplacementRecomputed"] == pytest.approx(0.2)
    motion.displacement[:] = np.nan
    about = cleaning_sidecar(replace(design, design=replace(design.design, motion=motion)), [])
    assert about["MeanFramewiseDisplacementRecomputed"] is None


def test_the_sidecar_of_a_strategy_counts_what_is_left():
    kept = KEPT["gap"].copy()
    reasons = {"framewise_displacement": ~kept, "x": np.zeros(200, bool)}
    design = run_design(kept, np.random.default_rng(0).standard_normal((200, 4)), equal_seconds=100)
    moved = np.r_[np.nan, np.linspace(0, 1, 199)]
    inner = replace(design.design, reasons=reasons, framewise_displacement=moved, notes=("n",))
    about = cleaning_sidecar(replace(design, design=inner), ["bids:a:b"])
    expected = {
        "Sources": ["bids:a:b"],
        "Strategy": "a",
        "Description": "",
        "StrategyNotes": ["n"],
        "NuisanceParameters": ["x0", "x1", "x2", "x3"],
        "SoftwareFilters": "n/a",
        "NumberOfVolumes": 200,
        "NumberOfVolumesKept": 130,
        "NumberOfVolumesCensored": 70,
        "NumberOfVolumesUsed": 50,
        "RankRemoved": 6,
        "DimensionsLostToFilter": 0,
        "HeadMotion": None,
        "HeadRadius": None,
        "MotionStopBand": None,
        "Excluded": None,
        "MeanFramewiseDisplacementRecomputed": None,
        "VolumesWithFramewiseDisplacement": 199,
        "CensoredVolumes": {"framewise_displacement": 70, "x": 0, "undrawn": 80},
        "Detrend": True,
        "Standardize": "zscore_sample",
        "MinimumDegreesOfFreedom": 10,
    }
    assert {key: about[key] for key in expected} == expected
    assert about["MeanFramewiseDisplacement"] == pytest.approx(0.5)
    assert about["CensoringThresholds"]["fd_threshold"] == 0.5
    left = 130 - 6 - about["DimensionsLostToDrawing"]
    assert about["DegreesOfFreedom"] == pytest.approx(left)
    assert 70 < about["DimensionsLostToDrawing"] < 80
    filtered = cleaning_sidecar(run_design(kept, chosen=BAND, min_dof=126), [])
    assert filtered["SoftwareFilters"]["Temporal"]["low_pass"] == 0.1
    assert filtered["DimensionsLostToFilter"] > 0
    assert "degrees of freedom, fewer than 126 (130 volumes kept" in filtered["Excluded"]


@pytest.mark.parametrize(
    ("stat", "begins", "placed"),
    [
        ("effectivedof", "Effective number of volumes of the correlation of two spheres", False),
        ("placementmean", "Mean of Fisher's z of Pearson's r over random placements", True),
        ("placementsd", "Standard deviation of Fisher's z of Pearson's r over random", True),
    ],
)
def test_sidecars_of_what_is_beside_correlations(stat, begins, placed):
    about = sidecar_beside(stat, ["bids::n.tsv"], Processing(placement_jitter="2.5:7"))
    assert about["RelationshipMeasure"].startswith(begins)
    assert about["NodeFiles"] == ["bids::n.tsv"]
    expected = (2.5, 7, 0) if placed else (None, None, None)
    keys = ("PlacementJitter", "NumberOfPlacements", "PlacementSeed")
    assert tuple(about.get(key) for key in keys) == expected


def test_series_of_drawn_volumes_have_a_row_for_every_volume(tmp_path):
    """And what is beside correlations says whether it is of the series or of the image."""
    kept = KEPT["gap"]
    rules = {"equal_seconds": 100, "equal_seconds_seed": 3, "full_length": True}
    design = run_design(kept, **rules)
    seeds = SeedTable("mine", ("a", "b"), np.zeros((2, 3)), np.full(2, 5.0))
    paths = OutputPaths(tmp_path, parse_name("sub-1_task-x_space-T1w_bold.nii"), "mean")
    spheres = SphereSet(seeds, None, slice(0, 2), 0.5, {"Sources": ["bids:x:image"]})
    cleaned = np.random.default_rng(0).standard_normal((50, 2))
    before, matrices = cleaned.copy(), (np.full((2, 2), 7.0), np.full((2, 2), 8.0))
    sidecar = cleaning_sidecar(design, ["bids:x:table"])
    beside = dict(zip(("effectivedof", "placementsd"), matrices, strict=True))
    write_series(paths, spheres, design, cleaned, sidecar=sidecar, beside=beside)
    np.testing.assert_array_equal(cleaned, before)
    assert sidecar["Sources"] == ["bids:x:table"]
    table = pd.read_csv(paths.series(seeds, "a"), sep="\t").to_numpy()
    assert table.shape == (200, 2)
    np.testing.assert_allclose(table[design.used], cleaned, atol=1e-9)
    assert np.isnan(table[~design.used]).all()
    both, own = ["bids:x:image", "bids:x:table"], [paths.uri(paths.series(seeds, "a"))]
    sources = {
        stat: json.loads(paths.matrix(seeds, "a", stat, ".json").read_text())["Sources"]
        for stat in ("pearsoncorrelation", *beside)
    }
    assert sources == {"pearsoncorrelation": own, "effectivedof": own, "placementsd": both}
    facts = json.loads(paths.series(seeds, "a", ".json").read_text())
    assert (facts["Sources"], facts["FullLength"]) == (both, True)
    for stat, value in (("effectivedof", 7), ("placementsd", 8)):
        assert (pd.read_csv(paths.matrix(seeds, "a", stat), sep="\t", index_col=0) == value).all(
            axis=None
        )


def test_relations_of_an_excluded_run_are_missing_and_tell_of_no_shrinkage(tmp_path):
    design = run_design(KEPT["gap"], min_dof=129, connectivity=("ledoit-wolf",))
    seeds = SeedTable("mine", ("a", "b"), np.zeros((2, 3)), np.full(2, 5.0))
    paths = OutputPaths(tmp_path, parse_name("sub-1_task-x_space-T1w_bold.nii"), "mean")
    spheres = SphereSet(seeds, None, slice(0, 2), 0.5, {"Sources": ["bids:x:image"], "Mask": "run"})
    cleaned = clean_series(np.random.default_rng(0).standard_normal((200, 2)), design)
    sidecar = cleaning_sidecar(design, [])
    write_series(paths, spheres, design, cleaned, sidecar=sidecar, beside={})
    assert pd.read_csv(paths.series(seeds, "a"), sep="\t").shape == (130, 2)
    path = paths.matrix(seeds, "a", measure("ledoit-wolf").stat)
    assert pd.read_csv(path, sep="\t", index_col=0).isna().all(axis=None)
    facts = json.loads(path.with_suffix(".json").read_text())
    assert "Shrinkage" not in facts
    assert facts["Excluded"].startswith("128 degrees of freedom, fewer than 129")
    assert (facts["Mask"], facts["Strategy"]) == ("run", "a")
    assert not {"FullLength", "RepetitionTime", "SamplingFrequency"} & set(facts)  # of the series


def test_names_of_maps_may_be_those_of_any_set():
    first, second = (
        SeedTable("x", names, np.zeros((len(names), 3)), np.zeros(len(names)))
        for names in (("a", "b", "c"), ("d", "b"))
    )
    check_chosen(("a", "d"), [first, second])
    check_chosen(("d",), [first, second])
    assert chosen_seeds(first, ("d", "b")) == {1: "b"}
    assert chosen_seeds(second, ("d", "b")) == {0: "d", 1: "b"}
    with pytest.raises(UsageError, match="no seed is named e"):
        check_chosen(("d", "e"), [first, second])


def test_what_a_filter_takes_without_and_with_censored_volumes():
    """Of frequencies k / 400 Hz those of 4 to 40 pass; a filter without gaps loses none to them."""
    rules = {"equal_seconds": None, "min_dof": 199}
    name = parse_name("sub-1_bold.nii")
    for kept, some in ((KEPT["all"], False), (KEPT["gap"], True)):
        design = run_design(kept, chosen=BAND, **rules)
        about = cleaning_sidecar(design, [])
        row = design.exclusion_row(name, "a", design.exclusion)
        assert row["lost_to_filter"] == about["DimensionsLostToFilter"]
        assert row["lost_to_censoring"] == about["DimensionsLostToCensoring"]
        assert (abs(row["lost_to_censoring"]) > 0.1) is some
        if not some:
            assert row["lost_to_filter"] == pytest.approx(2 * 3 + 2 * 59 + 1, rel=0.15)
        left = kept.sum() - row["rank"] - row["lost_to_filter"] - row["lost_to_censoring"]
        assert row["degrees_of_freedom"] == pytest.approx(left)
    strategy = replace(design.strategy, min_volumes=60, min_seconds=90.0)
    row = replace(design, strategy=strategy).exclusion_row(name, "a", design.exclusion)
    assert (row["min_volumes"], row["min_seconds"]) == (60, 90)
