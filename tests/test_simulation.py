"""Denoising against a simulated truth: known signals, nuisance from real confounds tables.

What comes out must be free of every regressor, and differ from the truth by sampling error alone;
an artefact of moving volumes must go with them, and the degrees of freedom in the sidecars must be
those that the scatter of correlations shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

from bids_spheres.app.main import main
from bids_spheres.confounds.design import make_design
from bids_spheres.confounds.strategy_file import load_strategy
from bids_spheres.confounds.tables import read_confounds
from bids_spheres.engine.clean import clean
from tests.simulation import (
    FD,
    T_R,
    THIRTY_SIX,
    Output,
    Spheres,
    bold,
    draw_spheres,
    expanded,
    framewise_displacement,
    jerked,
    pairs,
    read_table,
    smooth_artefact,
    wandered,
    write_dataset,
    write_run,
    write_strategy,
)

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

pytestmark = pytest.mark.slow

STILL = "fmriprep-20.2.1_pybids/sub-01_task-mixedgamblestask_run-02_desc-preproc_timeseries.tsv"
MOVING = "fmriprep-21_90rows_nilearn/test-v21_desc-confounds_timeseries.tsv"
LENGTH = 320
FD_THRESHOLD = 0.3


@dataclass(frozen=True, eq=False)
class Simulated:
    """A dataset, what is true in it, and what the command line made of it."""

    root: Path
    spheres: Spheres
    tables: dict[str, pd.DataFrame]
    output: Output


@pytest.fixture(scope="module")
def still(test_data):
    """Confounds of 160 volumes in which nobody moves more than 0.25 mm."""
    # The file's last 80 rows are pieces of the others, with steps in between.
    return read_table(test_data / "confounds" / STILL).iloc[:160]


@pytest.fixture(scope="module")
def moving(test_data):
    """Confounds of 90 volumes, three of them not steady, with a mean displacement of 1 mm."""
    return read_table(test_data / "confounds" / MOVING)


def run(root, spheres, strategies):
    output = root.parent / "out"
    seeds = spheres.write(root.parent / "seeds.tsv")
    call = ["--quiet", root, output, "participant", "--seeds", seeds, "--strategy", *strategies]
    call += ["--report-level", "none"]
    assert main([str(word) for word in call]) == 0
    return Output(output)


def scores(correlation, truth, freedom):
    """Fisher's z of the deviations from the truth in units of its standard error.

    A sample of n has n - 1 degrees of freedom, its mean removed; its atanh(r) is biased by
    rho / (2 (n - 1)) and has the variance 1 / (n - 3) (Fisher 1921). Every regressor takes one
    degree more.
    """
    bias = truth / (2 * freedom)
    return (np.arctanh(correlation) - np.arctanh(truth) - bias) * np.sqrt(freedom - 2)


def assert_mean(values, expected, accuracy):
    """The mean of independent values is as expected, within four of its standard errors."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    assert error < accuracy
    assert abs(np.mean(values) - expected) < 4 * error


# Known correlations under nuisance ten times as strong

KINDS = ("still", "moving", "stilllong", "movinglong")
REPETITIONS = 8


@pytest.fixture(scope="module")
def known(still, moving, tmp_path_factory):
    """Runs on the tables as they are, and on longer ones with the same movements."""
    rng = np.random.default_rng(1)
    spheres = draw_spheres(40, 6.0, rng)
    root = write_dataset(tmp_path_factory.mktemp("known") / "fmriprep")
    tables = {}
    for repetition in range(REPETITIONS):
        longer = [expanded(wandered(t, 20 * repetition, LENGTH)) for t in (still, moving)]
        for kind, table in zip(KINDS, (still, moving, *longer), strict=True):
            series = spheres.signals(len(table), rng) + spheres.nuisance(table, 10, rng)
            write_run(root, f"{kind}{repetition}", bold(spheres, series, rng), table)
            tables[f"{kind}{repetition}"] = table
    return Simulated(root, spheres, tables, run(root, spheres, ["36P", "none"]))


@pytest.mark.parametrize("kind", ["still", "moving"])
def test_the_simulation_expands_columns_as_fmriprep_does(kind, request):
    table = request.getfixturevalue(kind)
    simulated = expanded(table)
    assert simulated.shape[1] == 37
    for name, column in simulated.items():
        np.testing.assert_allclose(column, table[name], rtol=0, atol=1e-10 * table[name].std())


def file_of(simulated, label, ending):
    (path,) = (simulated.root / f"sub-{label}" / "func").glob(f"*{ending}")
    return path


def correlation_between(regressors, series):
    """(K, S) correlation of every regressor with every series."""
    return unit(regressors).T @ unit(series)


def unit(columns):
    """Columns without their mean, of length one."""
    centred = columns - columns.mean(axis=0)
    return centred / np.linalg.norm(centred, axis=0)


@pytest.mark.parametrize("label", [kind + "0" for kind in KINDS])
def test_nothing_of_any_regressor_is_left(known, label):
    data = nib.load(file_of(known, label, "_bold.nii.gz")).get_fdata()
    means = np.column_stack([data[voxels].mean(axis=0) for voxels in known.spheres.voxels])
    path = file_of(known, label, "_desc-confounds_timeseries.tsv")
    design = make_design(read_confounds(path), load_strategy("36P"), path, len(means))
    assert len(design.columns) == 36 + n_cosines(known, label)
    cleaned = clean(
        means,
        sample_mask=None if design.kept.all() else design.kept,
        confounds=design.values,
        interpolate="censored",
        t_r=T_R,
    )
    before = correlation_between(design.values[design.kept], means[design.kept])
    after = correlation_between(design.values[design.kept], cleaned)
    assert np.abs(before).max() > 0.5
    assert np.abs(after).max() < 1e-10
    # The files hold these numbers, to ten digits.
    np.testing.assert_allclose(known.output.series(label, "36P"), cleaned, rtol=1e-9, atol=1e-9)


def n_cosines(simulated, label):
    return sum(name.startswith("cosine") for name in simulated.tables[label].columns)


def rounding(values):
    """Largest error of numbers that are printed with ten digits."""
    size = np.where(values == 0, 1, np.abs(values))
    return np.where(values == 0, 0, 0.5 * 10.0 ** (np.floor(np.log10(size)) - 9))


@pytest.mark.parametrize("label", [kind + "0" for kind in KINDS])
def test_nothing_is_left_in_the_files_but_what_rounding_leaves(known, label):
    kept = slice(3, None) if label == "moving0" else slice(None)
    design = known.output.design(label, "36P").to_numpy()[kept]
    series = known.output.series(label, "36P")
    assert design.shape[1] == 36 + n_cosines(known, label)
    relative = [
        np.linalg.norm(rounding(x), axis=0) / np.linalg.norm(x - x.mean(axis=0), axis=0)
        for x in (design, series)
    ]
    bound = relative[0][:, None] + relative[1]
    assert bound.max() < 1e-6
    assert (np.abs(correlation_between(design, series)) < bound).all()


def test_nuisance_hides_the_truth_until_it_is_removed(known):
    truth = pairs(known.spheres.correlation)
    for label in known.tables:
        errors = [np.std(known.output.edges(label, s) - truth) for s in ("none", "36P")]
        assert errors[0] > 2 * errors[1]


def test_correlations_differ_from_the_truth_by_sampling_error(known):
    truth = pairs(known.spheres.correlation)
    z = [
        scores(known.output.edges(label, "36P"), truth, degrees_of_freedom(known, label))
        for label in known.tables
    ]
    assert_mean(np.mean(z, axis=1), 0, accuracy=0.05)
    assert_mean(np.mean(np.square(z), axis=1), 1, accuracy=0.03)


def degrees_of_freedom(simulated, label, strategy="36P"):
    return simulated.output.facts(label, strategy)["DegreesOfFreedom"]


def test_the_scatter_shows_that_regressors_cost_degrees_of_freedom(known):
    """87 steady volumes would scatter less than their 48 degrees of freedom do."""
    truth = pairs(known.spheres.correlation)
    labels = [f"moving{repetition}" for repetition in range(REPETITIONS)]
    assert {degrees_of_freedom(known, label) for label in labels} == {87 - 37 - 2}
    naive = [scores(known.output.edges(label, "36P"), truth, 87 - 1) for label in labels]
    assert np.mean(np.square(naive)) == pytest.approx((86 - 2) / (48 - 2), rel=0.1)


# An artefact of moving volumes that neighbours share

N_PARTICIPANTS = 30
SCRUB = {"fd_threshold": FD_THRESHOLD, "min_segment": 5}
CLEANED = "36Pscrub"


@pytest.fixture(scope="module")
def movers(still, tmp_path_factory):
    """Participants of whom each jerks once more than the one before.

    Regressors leave more of a trace in those who move more. The artefact comes on top in every
    volume of high displacement, is in proportion to it, and is new in each.
    """
    rng = np.random.default_rng(2)
    spheres = draw_spheres(40, 6.0, rng)
    folder = tmp_path_factory.mktemp("movers")
    root, tables = write_dataset(folder / "fmriprep"), {}
    for jerks in range(N_PARTICIPANTS):
        at = rng.choice(np.arange(5, LENGTH - 5, 8), jerks, replace=False)
        calm = wandered(still, int(rng.integers(150)), LENGTH)
        table = expanded(jerked(calm, at, rng.uniform(0.35, 1.5), rng))
        displacement = table[FD].fillna(0).to_numpy()
        linear = spheres.nuisance(table, 10 * (table[FD].mean() - 0.1), rng)
        artefact = smooth_artefact(np.where(displacement > FD_THRESHOLD, displacement, 0), rng)
        series = spheres.signals(LENGTH, rng) + linear
        tables[f"{jerks:02d}"] = table
        write_run(root, f"{jerks:02d}", bold(spheres, series, rng) + artefact, table)
    scrubbed = [
        write_strategy(folder, CLEANED, **THIRTY_SIX, censor=SCRUB),
        write_strategy(folder, "scrub", censor=SCRUB),
    ]
    return Simulated(root, spheres, tables, run(root, spheres, ["none", "36P", *scrubbed]))


def test_mean_displacement_is_that_of_power(movers):
    for label, table in movers.tables.items():
        facts = movers.output.facts(label, CLEANED)
        expected = framewise_displacement(table).mean()
        assert facts["MeanFramewiseDisplacement"] == pytest.approx(expected, rel=1e-9)


def test_volumes_with_the_artefact_are_censored(movers):
    censored = []
    for label, table in movers.tables.items():
        flags = movers.output.censored(label, CLEANED)
        assert (flags[table[FD] > FD_THRESHOLD] == 1).all()
        censored.append(flags.mean())
    assert censored[0] == 0
    assert 0.15 < censored[-1] < 0.4


def standardized(values):
    return (values - values.mean(axis=0)) / values.std(axis=0)


def trace_of_motion(movers, strategy):
    """How the link of edges to motion depends on their length, and what chance makes of that.

    Returns the correlation, over edges, of QC-FC (the correlation, over participants, of an edge
    and mean framewise displacement) with distance (Satterthwaite et al. 2012; Ciric et al. 2017);
    and 2000 more with participants permuted.
    """
    labels = list(movers.tables)
    edges = [np.arctanh(movers.output.edges(label, strategy)) for label in labels]
    facts = [movers.output.facts(label, strategy) for label in labels]
    motion = np.array([fact["MeanFramewiseDisplacement"] for fact in facts])
    rng = np.random.default_rng(0)
    shuffled = np.stack([motion, *(rng.permutation(motion) for _ in range(2000))], axis=1)
    qc_fc = standardized(shuffled).T @ standardized(np.stack(edges)) / len(labels)
    distance = standardized(movers.spheres.distances)
    slopes = standardized(qc_fc.T).T @ distance / len(distance)
    return slopes[0], slopes[1:]


@pytest.mark.parametrize("strategy", ["none", "36P", "scrub"])
def test_motion_leaves_a_trace_that_fades_with_distance(movers, strategy):
    """Neither regression nor scrubbing alone removes it: each leaves the other's part."""
    slope, chance = trace_of_motion(movers, strategy)
    assert slope < -0.2
    assert np.mean(chance <= slope) < 0.01


def test_regression_and_scrubbing_remove_the_trace_of_motion(movers):
    slope, chance = trace_of_motion(movers, CLEANED)
    assert abs(slope) < 0.1
    assert np.mean(np.abs(chance) >= abs(slope)) > 0.05


def test_short_edges_are_too_strong_until_motion_is_removed(movers):
    """Not only the link to motion: the correlations themselves are the simulated ones."""
    short, truth = movers.spheres.distances < 40, pairs(movers.spheres.correlation)
    excess = {
        strategy: np.array(
            [
                (movers.output.edges(label, strategy) - truth)[short].mean()
                for label in movers.tables
            ]
        )
        for strategy in ("none", "36P", CLEANED)
    }
    for strategy in ("none", "36P"):
        moved = excess[strategy][N_PARTICIPANTS // 2 :]
        assert moved.mean() > 4 * np.std(moved, ddof=1) / np.sqrt(len(moved))
    assert_mean(excess[CLEANED], 0, accuracy=0.01)


def test_scrubbed_correlations_differ_from_the_truth_by_sampling_error(movers):
    truth = pairs(movers.spheres.correlation)
    z = [
        scores(
            movers.output.edges(label, CLEANED), truth, degrees_of_freedom(movers, label, CLEANED)
        )
        for label in movers.tables
    ]
    assert_mean(np.mean(z, axis=1), 0, accuracy=0.05)
    assert_mean(np.mean(np.square(z), axis=1), 1, accuracy=0.03)


# Censored volumes

BAND = {"high_pass": 0.01, "low_pass": 0.1}
CENSORING = {
    "scrub": {},
    "scrub36P": THIRTY_SIX,
    "band": {"filter": BAND},
    "band36P": {**THIRTY_SIX, "filter": BAND},
    "cosine": {"filter": {"high_pass": 0.01, "type": "cosine"}},
}
SPIKES = {"bright": 1e4, "dark": -1e4, "huge": 1e9, "overflow": 1e30}


@pytest.fixture(scope="module")
def spiked(still, tmp_path_factory):
    """One run several times, with other values in the volumes that censoring takes out."""
    rng = np.random.default_rng(3)
    spheres = draw_spheres(20, 6.0, rng)
    folder = tmp_path_factory.mktemp("spiked")
    root = write_dataset(folder / "fmriprep")
    at = [0, 40, 41, 90, 150, 151, 200, LENGTH - 1]
    table = expanded(jerked(wandered(still, 0, LENGTH), at, 1.0, rng))
    censored = np.flatnonzero(table[FD] > FD_THRESHOLD)
    series = spheres.signals(LENGTH, rng) + spheres.nuisance(table, 3, rng)
    data = bold(spheres, series, rng)
    for label, size in {"original": 0, **SPIKES}.items():
        changed = data.copy()
        changed[..., censored] += np.float32(size)
        write_run(root, label, changed, table)
    for label, size in {"regressors": 1e3, "hugeregressors": 1e15}.items():
        changed = table.copy()
        columns = table.columns.drop(FD)
        changed.loc[censored, columns] = size * rng.standard_normal((len(censored), len(columns)))
        write_run(root, label, data, changed)
    censor = {"fd_threshold": FD_THRESHOLD, "min_segment": 3}
    own = [write_strategy(folder, n, **what, censor=censor) for n, what in CENSORING.items()]
    return Simulated(root, spheres, {}, run(root, spheres, ["36P", *own]))


@pytest.mark.parametrize("strategy", CENSORING)
@pytest.mark.parametrize(
    "label",
    [
        "bright",
        "dark",
        "huge",
        "overflow",
        "regressors",
    ],
)
def test_nothing_of_a_censored_volume_is_in_the_output(spiked, strategy, label):
    assert_same_files(spiked, strategy, label)


@pytest.mark.parametrize(
    "strategy",
    list(CENSORING),
)
def test_nothing_of_a_huge_censored_regressor_is_in_the_output(spiked, strategy):
    assert_same_files(spiked, strategy, "hugeregressors")


def assert_same_files(simulated, strategy, label):
    """To the last bit, because what is computed is the same."""
    for stat, kind in (("mean", "timeseries"), ("pearsoncorrelation", "relmat")):
        name = f"stat-{stat}_desc-{strategy}_{kind}.tsv"
        content = [simulated.output.path(who, name).read_bytes() for who in ("original", label)]
        assert content[0] == content[1]


@pytest.mark.parametrize("label", [*SPIKES, "regressors", "hugeregressors"])
def test_what_is_not_censored_is_in_the_output(spiked, label):
    """The same spikes change everything for a strategy that keeps all volumes."""
    change = spiked.output.series(label, "36P") - spiked.output.series("original", "36P")
    assert (np.abs(change).max(axis=0) > 0.1).all()


# Degrees of freedom of white noise

NOISE_BASES = {"none": {}, "24P": {"motion": "full"}, "36P": THIRTY_SIX}
NOISE_FILTERS = {
    "": {},
    "Band": {"filter": BAND},
    "High": {"filter": {"high_pass": 0.01}},
    "Low": {"filter": {"low_pass": 0.1}},
    "Cosine": {"filter": {"high_pass": 0.01, "type": "cosine"}},
}
NOISE_CASES = [
    ("complete", "none", ""),
    ("complete", "36P", ""),
    ("complete", "none", "Low"),
    ("complete", "none", "Cosine"),
    ("complete", "24P", "Band"),
    ("complete", "36P", "Band"),
    ("complete", "36P", "High"),
    ("complete", "none", "Band"),
    ("complete", "none", "High"),
    ("dummies", "36P", ""),
    ("dummies", "none", "Cosine"),
    ("dummies", "none", "Band"),
    ("dummies", "none", "High"),
    ("dummies", "24P", "Band"),
    ("dummies", "36P", "High"),
    ("scrubbed", "36P", ""),
    ("scrubbed", "none", "Cosine"),
    ("scrubbed", "none", "Low"),
    ("scrubbed", "36P", "Band"),
]


@pytest.fixture(scope="module")
def noise(still, tmp_path_factory):
    """White noise: complete, with three volumes that are not steady, with twenty jerks."""
    rng = np.random.default_rng(4)
    spheres = draw_spheres(200, 0.0, rng)
    folder = tmp_path_factory.mktemp("noise")
    root = write_dataset(folder / "fmriprep")
    calm = wandered(still, 0, LENGTH)
    unsteady = {f"non_steady_state_outlier{i:02d}": np.arange(LENGTH) == i for i in range(3)}
    at = rng.choice(np.arange(8, LENGTH - 8, 6), 20, replace=False)
    tables = {
        "complete": expanded(calm),
        "dummies": expanded(calm).assign(**{k: v.astype(int) for k, v in unsteady.items()}),
        "scrubbed": expanded(jerked(calm, at, 1.0, rng)),
    }
    for label, table in tables.items():
        series = rng.standard_normal((LENGTH, len(spheres)))
        write_run(root, label, bold(spheres, series, rng), table)
    wanted = dict.fromkeys((base, kind) for _, base, kind in NOISE_CASES)
    censor = {"fd_threshold": FD_THRESHOLD}
    own = [
        write_strategy(folder, b + f, **NOISE_BASES[b], **NOISE_FILTERS[f], censor=censor)
        for b, f in wanted
    ]
    return Simulated(root, spheres, tables, run(root, spheres, own))


@pytest.mark.parametrize(
    ("label", "base", "kind"),
    [pytest.param(*case, id="-".join(filter(None, case))) for case in NOISE_CASES],
)
def test_degrees_of_freedom_are_those_of_the_scatter(noise, label, base, kind):
    """Correlations of independent white noise have the variance 1 / degrees of freedom.

    Pairs share series: the standard error of the mean of r^2 is that over series, twice (Hoeffding
    1948, doi:10.1214/aoms/1177730196, on means over pairs).
    """
    correlation = noise.output.edges(label, base + kind)
    facts = noise.output.facts(label, base + kind)
    freedom = facts["DegreesOfFreedom"]
    squares = np.corrcoef(noise.output.series(label, base + kind).T) ** 2
    of_series = (squares.sum(axis=0) - 1) / (len(squares) - 1)
    error = 2 * of_series.std() / np.sqrt(len(squares))
    assert abs(np.mean(correlation**2) - 1 / freedom) < 3.5 * error
    assert 3.5 * error < 0.2 / freedom
    if kind in ("", "Cosine"):
        cosines = int(2 * LENGTH * T_R * 0.01) if kind else 0
        regressors = {"none": 0, "24P": 24, "36P": 36}[base]
        kept = len(noise.output.series(label, base + kind))
        assert freedom == kept - regressors - cosines - 2  # mean and trend


@pytest.mark.filterwarnings("ignore:Cosines exist in user supplied confounds")
@pytest.mark.parametrize("kind", ["still", "moving"])
def test_a_cosine_filter_works_beside_regressors(kind, request, tmp_path, run_app):
    """Nothing of the discrete cosines below the edge is left, whatever else is removed."""
    table = request.getfixturevalue(kind)
    rng = np.random.default_rng(5)
    spheres = draw_spheres(5, 6.0, rng)
    root = write_dataset(tmp_path / "fmriprep")
    write_run(root, "a", bold(spheres, spheres.signals(len(table), rng), rng), table)
    own = write_strategy(tmp_path, "c", motion="full", filter=NOISE_FILTERS["Cosine"]["filter"])
    seeds = spheres.write(tmp_path / "seeds.tsv")
    call = ["--quiet", root, tmp_path / "out", "participant", "--seeds", seeds, "--strategy", own]
    assert run_app(*call).status == 0
    series = Output(tmp_path / "out").series("a", "c")
    times = (np.arange(len(table)) + 0.5)[len(table) - len(series) :]
    orders = np.arange(1, int(2 * len(table) * T_R * 0.01) + 1)
    cosines = np.cos(np.pi / len(table) * np.outer(times, orders))
    assert np.abs(correlation_between(cosines, series)).max() < 1e-8
