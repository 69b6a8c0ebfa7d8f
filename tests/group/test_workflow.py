"""The group level from files to files, against numpy, scipy and statsmodels on what was written."""

from __future__ import annotations

import json
import logging
import tracemalloc
from itertools import product

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import integrate, stats
from scipy.spatial.distance import pdist
from statsmodels.stats.multitest import multipletests

from bids_spheres.errors import (
    DataError,
    MissingInputError,
    NothingSelectedError,
    OutputError,
)
from bids_spheres.files.names import parse_name
from bids_spheres.group.files import Unusable, all_matrices, group_of
from bids_spheres.group.gather import gather_group, gather_image
from bids_spheres.group.head_motion import HeadMotion
from bids_spheres.group.inference.linear_model import column_blocks
from bids_spheres.group.options import GroupOptions
from bids_spheres.group.summary import Analysis, summarize
from bids_spheres.group.workflow import run_group
from bids_spheres.outputs.paths import image_name
from tests.group.conftest import (
    NETWORKS,
    POINTS,
    correlations,
    read_tsv,
    upper,
    without,
    write_tsv,
)

S = len(POINTS)
E = S * (S - 1) // 2
LABELS = [f"{i:02d}" for i in range(1, 10)]


def group(outputs, **options):
    return run_group(outputs.root, GroupOptions(**options))


@pytest.fixture
def filled(outputs, rng):
    """Nine participants, of whom some lack a node, and their edges as Fisher z (9, E)."""
    matrices = [correlations(rng, S) for _ in LABELS]
    for i, node in ((2, 0), (5, 0), (5, 3)):
        matrices[i] = without(matrices[i], node)
    for label, matrix in zip(LABELS, matrices, strict=True):
        outputs.add(label, matrix, MeanFramewiseDisplacement=0.01 * int(label) ** 2)
    return outputs, np.arctanh([upper(matrix) for matrix in matrices])


def test_mean_spread_number_and_tests(filled):
    outputs, z = filled
    assert group(outputs) == []
    tested = stats.ttest_1samp(z, 0, nan_policy="omit")
    expected = {
        "mean": np.tanh(np.nanmean(z, axis=0)),
        "sd": np.nanstd(z, axis=0, ddof=1),
        "n": np.sum(~np.isnan(z), axis=0),
        "t": np.asarray(tested.statistic),
        "p": np.asarray(tested.pvalue),
        "q": multipletests(np.asarray(tested.pvalue), method="fdr_bh")[1],
    }
    assert expected["n"].min() == 7
    for what, values in expected.items():
        matrix = outputs.matrix(what)
        np.testing.assert_array_equal(matrix, matrix.T)
        np.testing.assert_allclose(upper(matrix), values, rtol=1e-7)
        diagonal = np.ones(S) if what == "mean" else np.full(S, np.nan)
        np.testing.assert_array_equal(np.diag(matrix), diagonal)


def test_every_table_has_a_sidecar_and_a_name_of_entities(filled):
    outputs, _ = filled
    outputs.participants(participant_id=LABELS, age=range(20, 29))
    group(outputs, model="age")
    folder = outputs.root / "group"
    tables = [path for path in folder.iterdir() if path.suffix != ".json"]
    assert len(tables) == 14
    for path in tables:
        about = json.loads((folder / (path.name.split(".")[0] + ".json")).read_text())
        if path.name not in ("runs.tsv", "strategies.tsv"):
            assert str(parse_name(path.name)) == path.name
        columns = read_tsv(path).columns if path.suffix == ".tsv" else []
        assert "Node" in columns or set(columns) <= set(about)


def test_sidecars_say_what_was_done(filled):
    outputs, _ = filled
    group(outputs)
    about = outputs.about("mean")
    assert (about["NumberOfParticipants"], about["NumberOfRuns"]) == (9, 9)
    assert (about["Radius"], about["Strategy"]) == (5, "simple")
    assert about["RelationshipMeasure"] == "Pearson correlation"
    assert about["Scale"] == "the measure: mean of Fisher z, transformed back"
    assert (about["StorageFormat"], about["Directed"]) == ("Full", False)
    assert (about["ValidDiagonal"], about["MinimumParticipants"]) == (False, 3)
    assert about["QCFCCovariates"] == []
    scales = {what: outputs.about(what)["Scale"] for what in ("sd", "n", "t", "p", "q", "stacked")}
    assert scales == {**dict.fromkeys("ntpq", "n/a"), "sd": "Fisher z", "stacked": "Fisher z"}
    tails = {what: outputs.about(what).get("Tail") for what in ("mean", "sd", "n", "t", "p", "q")}
    assert tails == {**dict.fromkeys(("mean", "sd", "n", "t")), "p": "two", "q": "two"}
    # What a result is goes before what its runs are.
    described = {what: outputs.about(what)["Description"] for what in ("mean", "n")}
    assert described == {"mean": "Mean over participants", "n": "Participants who have the edge"}
    names = ("NuisanceParameters", "PooledSpaces", "Differences", "QCFCPermutationSeed")
    assert not {*names} & set(about)
    group(outputs, controls=True, seed=7)
    assert outputs.about("mean")["QCFCPermutationSeed"] == 7


def _weight(freedom):
    def density(r):
        return (1 - r**2) ** ((freedom - 3) / 2)

    squares = integrate.quad(lambda r: np.arctanh(r) ** 2 * density(r), -1, 1)[0]
    return integrate.quad(density, -1, 1)[0] / squares


def test_runs_are_averaged_by_their_degrees_of_freedom(outputs, rng):
    first, second, other, alone = (correlations(rng, S) for _ in range(4))
    second = without(second, 1)
    outputs.add("01", first, source="task-rest_run-1", DegreesOfFreedom=20.5)
    outputs.add("01", second, source="task-rest_run-2", DegreesOfFreedom=70.0)
    session = outputs.add("01", other, source="ses-b_task-rest_dir-AP", DegreesOfFreedom=3.0)
    assert session.parts[-3] == "ses-b"
    outputs.add("02", alone)
    assert group(outputs) == []
    z = np.arctanh([upper(m) for m in (first, second, other, alone)])
    # 1 / var(z) for 20.5, 70 and 3 degrees of freedom, by numerical integration of z^2 over the
    # density of r, (1 - r^2)^((v - 3) / 2).
    weights = np.where(np.isnan(z[:3]), 0, [[_weight(v)] for v in (20.5, 70.0, 3.0)])
    one = np.nansum(weights * z[:3], axis=0) / weights.sum(axis=0)
    expected = np.tanh((one + z[3]) / 2)
    np.testing.assert_allclose(upper(outputs.matrix("mean")), expected, rtol=1e-8)
    people = outputs.result("participants").set_index("participant_id")
    assert people["runs"].tolist() == [3, 1]
    assert people["degrees_of_freedom"].tolist() == [93.5, 90]


def test_sessions_by_themselves(outputs, rng):
    matrices = {}
    for label in ("01", "02"):
        for session in ("a", "b"):
            matrices[label, session] = correlations(rng, S)
            outputs.add(label, matrices[label, session], source=f"ses-{session}_task-rest")
    assert group(outputs, by_session=True) == []
    for session in ("a", "b"):
        (path,) = (outputs.root / "group").glob(f"ses-{session}_task-rest_*_mean.tsv")
        z = np.arctanh([upper(matrices[label, session]) for label in ("01", "02")])
        mean = read_tsv(path).drop(columns="Node").to_numpy(float)
        np.testing.assert_allclose(upper(mean), np.tanh(z.mean(axis=0)), rtol=1e-8)


def test_measures_that_are_no_correlations_are_averaged_as_they_are(outputs, rng):
    matrices = []
    for label in LABELS:
        series = rng.standard_normal((50, S)) * 3
        matrices.append(np.round(np.cov(series.T), 6))
        outputs.add(label, matrices[-1], stat="covariance", ValidDiagonal=True)
    assert group(outputs) == []
    mean, sd = (outputs.matrix(what, stat="covariance") for what in ("mean", "sd"))
    np.testing.assert_allclose(mean, np.mean(matrices, axis=0), rtol=1e-8)
    np.testing.assert_allclose(sd, np.std(matrices, axis=0, ddof=1), rtol=1e-8)
    for what in "tpq":
        assert not outputs.path(f"stat-covariance_desc-simple_{what}.tsv").exists()
    for what, scale in (
        *dict.fromkeys(("mean", "sd", "stacked"), "as the measure").items(),
        ("n", "n/a"),
    ):
        about = json.loads(outputs.path(f"stat-covariance_desc-simple_{what}.json").read_text())
        assert about["Scale"] == scale
    edges = outputs.result("edges", stat="covariance")
    assert len(edges) == E + S
    assert (edges["distance"][edges["node_1"] == edges["node_2"]] == 0).all()


def test_matrices_that_are_no_connectivity_are_no_strategy(outputs, rng):
    for label, session in product(LABELS[:4], "ab"):
        source = f"ses-{session}_task-rest"
        outputs.add(label, 50 + correlations(rng, S), stat="effectivedof", source=source)
        outputs.add(label, correlations(rng, S), source=source)
    outputs.participants(participant_id=LABELS[:4], age=[20, 31, 25, 44])
    for options in ({"model": "age"}, {"within": "session"}):
        assert group(outputs, **options) == []
        strategies = read_tsv(outputs.root / "group" / "strategies.tsv")
        assert strategies["measure"].tolist() == ["pearsoncorrelation"]
        written = {path.name for path in (outputs.root / "group").glob("*_stat-effectivedof_*")}
        whats = {name.rpartition("_")[2].partition(".")[0] for name in written}
        assert whats == {"mean", "sd", "n", "edges", "stacked", "participants"}
        about = outputs.path("stat-effectivedof_desc-simple_mean.json").read_text()
        assert "QCFCCovariates" not in about


def test_networks(filled):
    outputs, z = filled
    group(outputs)
    table = outputs.result("networks").set_index(["network_1", "network_2"])
    assert table.index.tolist() == [
        ("default", "default"),
        ("default", "visual"),
        ("visual", "visual"),
    ]
    rows, columns = np.triu_indices(S, 1)
    nets = np.array(NETWORKS)
    for (first, second), row in table.iterrows():
        chosen = (nets[rows] == first) & (nets[columns] == second)
        there = ~np.isnan(z[:, chosen]).all(axis=1)
        person = np.nanmean(z[there][:, chosen], axis=1)
        limits = stats.ttest_1samp(person, 0).confidence_interval(0.95)
        assert row["n"] == there.sum()
        # On the scale of z, where means and limits are on that of r: r's spread depends on r.
        np.testing.assert_allclose(row["sd"], person.std(ddof=1), rtol=1e-8)
        np.testing.assert_allclose(row["mean"], np.tanh(person.mean()), rtol=1e-8)
        np.testing.assert_allclose([row["ci_low"], row["ci_high"]], np.tanh(limits), rtol=1e-8)


def test_the_stacked_table_has_the_edges_of_the_index(filled):
    outputs, z = filled
    group(outputs)
    path = outputs.path("stat-pearsoncorrelation_desc-simple_stacked.tsv.gz")
    table = pd.read_csv(path, sep="\t", na_values=["n/a"], index_col="participant_id")
    stacked = table.to_numpy()
    assert table.columns.tolist() == outputs.result("edges")["edge"].astype(str).tolist()
    assert table.index.tolist() == [f"sub-{label}" for label in LABELS]
    np.testing.assert_allclose(stacked, z, rtol=1e-7)
    names = outputs.result("edges")[["node_1", "node_2"]].to_numpy().tolist()
    rows, columns = np.triu_indices(S, 1)
    assert names == [[f"s{i}", f"s{j}"] for i, j in zip(rows, columns, strict=True)]


def test_the_model_is_that_of_statsmodels(filled):
    outputs, z = filled
    ages = [21, 35, 28, 44, 52, 30, None, 26, 39]
    sexes = list("FMFMFMFMM")
    outputs.participants(participant_id=[f"sub-{x}" for x in LABELS], age=ages, sex=sexes)
    assert group(outputs, model="age + sex") == []
    table = outputs.result("model").set_index(["node_1", "node_2", "term"])
    data = pd.DataFrame({"age": ages, "sex": sexes})
    names = {"Intercept": "Intercept", "age": "age", "sex[T.M]": "sex[T.M]"}
    assert outputs.about("model")["Terms"] == list(names)
    for values, (i, j) in zip(z.T, zip(*np.triu_indices(S, 1), strict=True), strict=True):
        fit = smf.ols("z ~ age + sex", data.assign(z=values), missing="drop").fit()
        for term in names:
            row = table.loc[f"s{i}", f"s{j}", term]
            assert (row["n"], row["degrees_of_freedom"]) == (fit.nobs, fit.df_resid)
            got = row[["coefficient", "standard_error", "t", "p"]].to_numpy(float)
            expected = [source[term] for source in (fit.params, fit.bse, fit.tvalues, fit.pvalues)]
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-9)
    people = outputs.result("participants").set_index("participant_id")
    assert people["in_model"].tolist() == [1] * 6 + [0] + [1] * 2
    assert people.loc["sub-07", "reason"] == "model: without age"
    about = outputs.about("model")
    assert about["LeftOut"] == {"sub-07": "without age"}
    assert (about["Model"], about["Scale"]) == ("age + sex", "Fisher z")
    assert (about["NumberOfParticipantsInModel"], about["EdgesWithoutCoefficients"]) == (8, 0)
    first = table.loc["s0", "s1", "age"]
    assert first["d"] == pytest.approx(first["coefficient"] / _residual_sd(z[:, 0], ages, sexes))
    assert first["partial_r"] == pytest.approx(
        first["t"] / np.sqrt(first["t"] ** 2 + first["degrees_of_freedom"])
    )


def _residual_sd(values, ages, sexes):
    known = np.array([age is not None for age in ages]) & np.isfinite(values)
    x = np.column_stack([np.ones(9), [age or 0 for age in ages], np.array(sexes) == "M"])[known]
    left = values[known] - x @ np.linalg.pinv(x.astype(float)) @ values[known]
    return np.sqrt(np.sum(left**2) / (known.sum() - 3))


def test_a_model_that_can_not_be_estimated_keeps_nothing_else_back(filled):
    outputs, _ = filled
    outputs.participants(participant_id=LABELS, age=[30] * 9)
    (problem,) = group(outputs, model="age")
    assert "no model is estimated" in problem
    assert outputs.path("stat-pearsoncorrelation_desc-simple_mean.tsv").exists()
    assert not outputs.path("stat-pearsoncorrelation_desc-simple_model.tsv").exists()


def test_excluded_runs_do_not_count_and_are_told(outputs, rng):
    matrices = [correlations(rng, S) for _ in range(3)]
    for label, matrix in zip(LABELS, matrices, strict=False):
        outputs.add(label, matrix)
    gone = {"Excluded": "3 volumes are left"}
    nothing = np.full((S, S), np.nan)
    outputs.add("04", nothing, DegreesOfFreedom=-2, **gone)
    outputs.add("03", nothing, source="task-rest_run-2", DegreesOfFreedom=-2, **gone)
    assert group(outputs) == []
    expected = np.tanh(np.mean([np.arctanh(upper(m)) for m in matrices], axis=0))
    np.testing.assert_allclose(upper(outputs.matrix("mean")), expected, rtol=1e-8)
    people = outputs.result("participants").set_index("participant_id")
    assert people["used"].tolist() == [1, 1, 1, 0]
    assert people["runs_excluded"].tolist() == [0, 0, 1, 1]
    assert people["runs"].tolist() == [1, 1, 1, 0]
    assert people["degrees_of_freedom"].tolist() == [90, 90, 90, 0]
    assert people.loc["sub-04", "reason"] == "every run is excluded: 3 volumes are left"
    runs = read_tsv(outputs.root / "group" / "runs.tsv").set_index("source")
    assert runs["excluded"].to_dict() == {
        "sub-01_task-rest": 0,
        "sub-02_task-rest": 0,
        "sub-03_task-rest": 0,
        "sub-03_task-rest_run-2": 1,
        "sub-04_task-rest": 1,
    }
    assert runs.loc["sub-04_task-rest", "reason"] == "3 volumes are left"
    (row,) = read_tsv(outputs.root / "group" / "strategies.tsv").itertuples()
    assert (row.participants, row.runs, row.runs_excluded) == (3, 5, 2)


def test_when_every_run_is_excluded(outputs):
    outputs.add("01", np.full((S, S), np.nan), Excluded="too short", DegreesOfFreedom=0)
    assert group(outputs) == []
    assert outputs.result("participants")["used"].tolist() == [0]
    assert not outputs.path("stat-pearsoncorrelation_desc-simple_mean.tsv").exists()


def test_one_participant_has_a_mean_and_no_tests(outputs, rng, caplog):
    matrix = correlations(rng, S)
    outputs.add("01", matrix)
    with caplog.at_level(logging.WARNING, "bids_spheres"):
        assert group(outputs) == []
    assert "one participant" in caplog.text
    np.testing.assert_allclose(upper(outputs.matrix("mean")), upper(matrix), rtol=1e-8)
    written = {path.name.rpartition("_")[2] for path in (outputs.root / "group").iterdir()}
    assert not written & {"sd.tsv", "t.tsv", "p.tsv", "q.tsv"}


def test_participants_of_whom_little_is_left_are_told_once(outputs, rng, caplog):
    for strategy in ("simple", "36P"):
        for label, freedom in (("01", 24.9), ("02", 25.0), ("03", 80.0)):
            outputs.add(label, correlations(rng, S), strategy=strategy, DegreesOfFreedom=freedom)
        for run in (1, 2):  # which together have enough
            facts = {"source": f"task-rest_run-{run}", "DegreesOfFreedom": 15}
            outputs.add("04", correlations(rng, S), strategy=strategy, **facts)
    with caplog.at_level(logging.WARNING, "bids_spheres"):
        assert group(outputs) == []
    (line,) = (line for line in caplog.messages if "fewer than 25 degrees of freedom" in line)
    assert line.endswith(
        "1 participant with fewer than 25 degrees of freedom, whose edges are mostly noise: sub-01"
    )
    assert "desc-simple" in line
    assert "desc-36P" in line


def test_a_single_seed_is_related_to_nothing(outputs, caplog):
    outputs.points, outputs.networks = POINTS[:1], NETWORKS[:1]
    outputs.add("01", np.ones((1, 1)))
    with caplog.at_level(logging.WARNING, "bids_spheres"):
        assert group(outputs) == []
    assert "single seed" in caplog.text
    assert len(read_tsv(outputs.root / "group" / "runs.tsv")) == 1


def test_quality_of_runs(outputs, rng):
    facts = {"NumberOfVolumes": 200, "NumberOfVolumesKept": 150, "DegreesOfFreedom": 99}
    coverage = [1, 0.8, 0.6, 0.2, 0]
    source = "ses-x_task-rest_acq-fast_run-2"
    outputs.add("01", correlations(rng, S), source=source, coverage=coverage, tsnr=40, **facts)
    outputs.add("01", correlations(rng, S), source=source, strategy="36P", coverage=coverage)
    assert group(outputs) == []
    table = read_tsv(outputs.root / "group" / "runs.tsv")
    assert table["strategy"].tolist() == ["36P", "simple"]
    row = table.iloc[1]
    assert row["source"] == "sub-01_ses-x_task-rest_acq-fast_run-2"
    assert row[["session_id", "task", "run", "seeds"]].tolist() == ["ses-x", "rest", 2, "Tiny"]
    assert row[["n_volumes", "n_kept", "n_censored"]].tolist() == [200, 150, 50]
    assert row[["degrees_of_freedom", "spheres_missing"]].tolist() == [99, 2]
    assert row["coverage"] == pytest.approx(np.mean(coverage))


def test_seeds_that_the_group_lacks(outputs, rng):
    shares = {
        "01": [[1, 1, 1, 1, 1], [1, 0.4, 1, 1, 0]],
        "02": [[1, 0.2, 1, 1, 0]],
        "03": [[1, 0.8, 1, 0.7, 0]],
    }
    for label, runs in shares.items():
        for run, coverage in enumerate(runs, start=1):
            source = f"task-rest_run-{run}"
            outputs.add(label, correlations(rng, S), source=source, coverage=coverage)
    assert group(outputs) == []
    table = read_tsv(outputs.path("coverage.tsv"))
    assert table["name"].tolist() == [f"s{i}" for i in range(S)]
    assert table["participants"].tolist() == [3, 2, 3, 3, 1]
    np.testing.assert_allclose(table["share"], [1, 2 / 3, 1, 1, 1 / 3], rtol=1e-9)
    np.testing.assert_allclose(table["coverage"], [1, 1.7 / 3, 1, 2.7 / 3, 0.5 / 3], rtol=1e-9)


@pytest.mark.parametrize(("lacking", "told"), [(2, False), (3, True)])
def test_seeds_that_more_than_half_lack_are_named(outputs, rng, caplog, lacking, told):
    for i in range(4):
        coverage = [1, 1, 0.2 if i < lacking else 1, 1, 1]
        outputs.add(f"{i:02d}", correlations(rng, S), coverage=coverage)
    with caplog.at_level(logging.WARNING, "bids_spheres"):
        assert group(outputs) == []
    named = "1 of 5 seeds are missing in more than half of the participants: s2"
    assert (named in caplog.text) is told


@pytest.mark.parametrize(("n", "told"), [(2, True), (3, False), (4, False)])
def test_a_group_of_just_enough_participants_is_tested(outputs, rng, caplog, n, told):
    for i in range(n):
        for run in (1, 2):
            outputs.add(f"{i:02d}", correlations(rng, S), source=f"task-rest_run-{run}")
    with caplog.at_level(logging.WARNING, "bids_spheres"):
        assert group(outputs) == []
    assert ("and a test needs 3 (--min-participants)" in caplog.text) is told
    about = outputs.about("mean")
    assert (about["NumberOfParticipants"], about["NumberOfRuns"]) == (n, 2 * n)


def test_the_variance_of_a_node_is_no_edge_of_the_benchmark(outputs, rng):
    for label in LABELS:
        fd = 0.02 * int(label)
        matrix = np.cov(rng.standard_normal((50, S)).T) + np.diag(np.full(S, 10 * fd))
        facts = {"MeanFramewiseDisplacement": fd, "ValidDiagonal": True}
        outputs.add(label, matrix, stat="covariance", **facts)
    assert group(outputs) == []
    edges = outputs.result("edges", stat="covariance")
    between = edges["node_1"] != edges["node_2"]
    assert edges["qc_fc"][~between].min() > 0.5
    (row,) = read_tsv(outputs.root / "group" / "strategies.tsv").itertuples()
    assert row.qc_fc_edges == E
    assert row.qc_fc_median == pytest.approx(edges["qc_fc"][between].abs().median())
    expected = stats.spearmanr(edges["qc_fc"][between], edges["distance"][between]).statistic
    assert row.qc_fc_distance_spearman == pytest.approx(expected)


# What must not be mixed


def test_runs_with_different_settings_are_refused_and_others_done(filled, rng):
    outputs, _ = filled
    for label in LABELS:
        outputs.add(label, correlations(rng, S), strategy="36P")
    group(outputs)
    outputs.add("04", correlations(rng, S), SmoothingFWHM=6.0)
    (problem,) = group(outputs)
    assert "SmoothingFWHM is 0 in 8 participants" in problem
    assert "and 6 in 1 participant (sub-04)" in problem
    # Neither a result, nor what is left of the call before.
    assert not list((outputs.root / "group").glob("*_desc-simple_*"))
    assert outputs.path("stat-pearsoncorrelation_desc-36P_mean.tsv").exists()
    assert group(outputs, select=(("sub", ("01", "02", "03")),)) == []
    assert outputs.about("mean")["NumberOfParticipants"] == 3


@pytest.mark.parametrize("space", ["OASIS30ANTs", "MNIPediatricAsym"])
def test_places_of_seeds_are_the_same_in_every_template(outputs, rng, space):
    outputs.space = space
    outputs.add("01", correlations(rng, S))
    outputs.points = POINTS + np.array([0, 0, 0.5])
    outputs.add("02", correlations(rng, S))
    with pytest.raises(DataError, match="coordinates"):
        group(outputs)


@pytest.mark.parametrize("change", ["name", "coordinates", "network", "radius", "radius by 0.2"])
def test_runs_with_different_spheres_are_refused(filled, rng, change):
    outputs, _ = filled
    path = outputs.add("04", correlations(rng, S))
    spheres = next(path.parent.glob("*_dseg.tsv"))
    table = read_tsv(spheres)
    change, _, by = change.partition(" by ")
    column = {"coordinates": "x"}.get(change, change)
    table[column] = table[column].astype(object)
    table.loc[1, column] = {"x": 41.0, "radius": 5 + float(by or 3)}.get(column, "other")
    table.to_csv(spheres, sep="\t", index=False, na_rep="n/a")
    with pytest.raises(DataError, match="sub-04") as caught:
        group(outputs)
    assert change in str(caught.value)


def test_in_their_own_spaces_participants_have_seeds_in_different_places(outputs, rng):
    outputs.space = "T1w"
    outputs.add("01", correlations(rng, S))
    outputs.points = 1.5 * POINTS
    outputs.add("02", correlations(rng, S))
    assert group(outputs) == []
    (path,) = (outputs.root / "group").glob("*_edges.tsv")
    distance = np.linalg.norm(POINTS[0] - POINTS[1])
    assert read_tsv(path)["distance"][0] == pytest.approx(1.25 * distance)


def test_distances_are_means_of_those_of_runs_and_not_of_mean_places(outputs, rng):
    """Of a head that lies on its side, distances are those of one that does not."""
    outputs.space = "T1w"
    outputs.add("01", correlations(rng, S))
    outputs.points = POINTS[:, [1, 2, 0]]
    outputs.add("02", correlations(rng, S))
    assert group(outputs) == []
    (path,) = (outputs.root / "group").glob("*_edges.tsv")
    np.testing.assert_allclose(read_tsv(path)["distance"], pdist(POINTS))


def test_networks_that_change_places_are_refused(outputs, rng):
    outputs.add("01", correlations(rng, S))
    outputs.networks = (*NETWORKS[2:4], *NETWORKS[:2], NETWORKS[4])
    outputs.add("02", correlations(rng, S))
    with pytest.raises(DataError, match="networks is"):
        group(outputs)


def test_nodes_and_themselves_are_edges_where_the_sidecar_says_so(outputs, rng):
    for label, (stat, valid) in product(LABELS[:2], (("covariance", False), ("fisherz", True))):
        outputs.add(label, correlations(rng, S), stat=stat, ValidDiagonal=valid)
    assert group(outputs) == []
    assert len(outputs.result("edges", stat="covariance")) == E
    assert len(outputs.result("edges", stat="fisherz")) == E + S


def test_p_of_edges_that_too_few_have_do_not_count_for_q(filled):
    outputs, z = filled
    assert group(outputs, min_participants=9) == []
    p = np.asarray(stats.ttest_1samp(z, 0, nan_policy="omit").pvalue)
    there = np.isfinite(z).all(axis=0)
    assert there.sum() == 3
    for what, values in (("p", p[there]), ("q", multipletests(p[there], method="fdr_bh")[1])):
        written = upper(outputs.matrix(what))
        np.testing.assert_allclose(written[there], values, rtol=1e-7)
        assert np.isnan(written[~there]).all()
    assert outputs.about("mean")["EdgesWithoutTest"] == 7


@pytest.mark.parametrize(
    ("key", "value", "change"),
    [
        ("Seeds", "Other", 'Seeds was "Tiny" and is "Other"'),
        ("SeedSpace", "T1w", 'SeedSpace was null and is "T1w"'),
        ("Radius", 5.5, "Radius was 5 and is 5.5"),
        ("Mask", "none", 'Mask was "run" and is "none"'),
        ("Overlap", "exclude", 'Overlap was "allow" and is "exclude"'),
        ("MinimumCoverage", 0.9, "MinimumCoverage was 0.5 and is 0.9"),
        ("Tissue", "GM", 'Tissue was null and is "GM"'),
        ("ExcludeMask", "lesion.nii", 'ExcludeMask was null and is "lesion.nii"'),
    ],
)
def test_spheres_that_were_drawn_anew_are_noticed(filled, key, value, change):
    outputs, _ = filled
    sidecar = next((outputs.root / "sub-02" / "func").glob("*_dseg.json"))
    content = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**content, key: value}))
    with pytest.raises(DataError, match=rf"drawn again.*{change} in 1 participant \(sub-02\)"):
        group(outputs)


def test_descriptions_and_versions_that_differ_are_told(filled, rng, caplog):
    outputs, _ = filled
    outputs.add("02", correlations(rng, S), Description="Another.")
    with caplog.at_level(logging.WARNING, "bids_spheres"):
        assert group(outputs) == []
    assert '"Another." in 1 participant (sub-02)' in caplog.text


def test_entities_tell_groups_apart(outputs, rng):
    matrices = {}
    for source in ("task-rest_acq-a", "task-rest_acq-b", "task-rest_echo-2", "task-nback"):
        matrices[source] = correlations(rng, S)
        outputs.add("01", matrices[source], source=source)
    assert group(outputs) == []
    assert len(read_tsv(outputs.root / "group" / "strategies.tsv")) == 4
    for source, matrix in matrices.items():
        (path,) = (outputs.root / "group").glob(f"{source}_space*_mean.tsv")
        mean = read_tsv(path).drop(columns="Node").to_numpy(float)
        np.testing.assert_allclose(upper(mean), upper(matrix), rtol=1e-8)


# What is missing or broken


def test_a_participant_with_a_broken_matrix_is_left_out_as_a_whole(filled, rng):
    outputs, z = filled
    broken = outputs.add("04", correlations(rng, S), source="task-rest_run-2")
    broken.write_text(broken.read_text()[:-30])
    (problem,) = group(outputs)
    assert problem.startswith("sub-04 is left out")
    assert broken.name in problem
    others = np.delete(z, 3, axis=0)
    expected = np.tanh(np.nanmean(others, axis=0))
    np.testing.assert_allclose(upper(outputs.matrix("mean")), expected, rtol=1e-8)
    people = outputs.result("participants").set_index("participant_id")
    assert people["used"].sum() == 8
    assert people.loc["sub-04", "reason"] == "a matrix can't be read"
    about = outputs.about("mean")
    assert (about["NumberOfParticipants"], about["NumberOfRuns"]) == (8, 8)
    (row,) = read_tsv(outputs.root / "group" / "strategies.tsv").itertuples()
    assert (row.participants, row.qc_fc_participants, row.runs) == (8, 8, 10)
    assert row.mean_fd == pytest.approx(np.mean([0.01 * i**2 for i in range(1, 10) if i != 4]))
    # Nor is it in a model whose variables it has.
    outputs.participants(participant_id=LABELS, age=range(20, 29))
    group(outputs, model="age")
    people = outputs.result("participants").set_index("participant_id")
    assert people["in_model"].tolist() == [1] * 3 + [0] + [1] * 5
    assert outputs.about("model")["NumberOfParticipantsInModel"] == 8
    assert outputs.result("model")["n"].max() == 8


@pytest.mark.parametrize("lost", ["*_relmat.json", "*_dseg.tsv", "*_dseg.json"])
def test_a_run_without_one_of_its_files_is_left_out(filled, lost):
    outputs, z = filled
    next((outputs.root / "sub-04" / "func").glob(lost)).unlink()
    (problem,) = group(outputs)
    assert "sub-04" in problem
    expected = np.tanh(np.nanmean(np.delete(z, 3, axis=0), axis=0))
    np.testing.assert_allclose(upper(outputs.matrix("mean")), expected, rtol=1e-8)
    people = outputs.result("participants").set_index("participant_id")
    assert people["reason"].dropna().to_dict() == {"sub-04": "outputs can't be used"}


def test_an_earlier_model_goes_when_none_is_asked_for(filled):
    outputs, _ = filled
    outputs.participants(participant_id=LABELS, age=range(20, 29))
    group(outputs, model="age")
    mine = outputs.root / "group" / "task-rest_notes.tsv"
    mine.write_text("a user's own\n")
    group(outputs)
    assert not list((outputs.root / "group").glob("*_model.*"))
    assert mine.exists()


def test_precision_has_the_sign_of_no_connectivity(outputs, rng):
    """It is the more negative the stronger two series are related: others are its negative."""
    motion = rng.gamma(2, 0.1, len(LABELS))
    matrices = [correlations(rng, S) + fd for fd in motion]
    for label, matrix, fd in zip(LABELS, matrices, motion, strict=True):
        facts = {"MeanFramewiseDisplacement": fd, "ValidDiagonal": True}
        outputs.add(label, -matrix, stat="precision", **facts)
        outputs.add(label, matrix, stat="covariance", **facts)
    assert group(outputs) == []
    edges = [outputs.result("edges", stat=stat) for stat in ("precision", "covariance")]
    np.testing.assert_allclose(*(one["qc_fc"] for one in edges), rtol=1e-9)
    rows = read_tsv(outputs.root / "group" / "strategies.tsv").set_index("measure")
    columns = ["qc_fc_median", "qc_fc_distance_spearman", "modularity"]
    same = rows.loc[["precision", "covariance"], columns].to_numpy()
    np.testing.assert_allclose(same[0], same[1], rtol=1e-9)
    means = [outputs.matrix("mean", stat=stat) for stat in ("precision", "covariance")]
    np.testing.assert_allclose(means[0], -means[1], rtol=1e-9)


def test_participants_whose_motion_is_not_known_are_not_in_the_benchmark(filled, rng):
    outputs, _ = filled
    outputs.add("10", correlations(rng, S), MeanFramewiseDisplacement=None)
    assert group(outputs) == []
    (row,) = read_tsv(outputs.root / "group" / "strategies.tsv").itertuples()
    assert (row.participants, row.qc_fc_participants) == (10, 9)


def test_motion_that_is_not_known_leaves_the_benchmark_open(outputs, rng):
    for label in LABELS:
        outputs.add(label, correlations(rng, S), MeanFramewiseDisplacement=None)
    assert group(outputs) == []
    (row,) = read_tsv(outputs.root / "group" / "strategies.tsv").itertuples()
    assert (row.qc_fc_participants, row.qc_fc_edges) == (0, 0)
    assert np.isnan([row.qc_fc_median, row.mean_fd]).all()


def test_selection(filled, rng, caplog):
    outputs, _ = filled
    outputs.add("01", correlations(rng, S), strategy="36P", source="task-nback")
    select = (("sub", ("sub-01", "02", "99")), ("desc", ("simple",)), ("seeds", ("Tiny",)))
    with caplog.at_level(logging.WARNING, "bids_spheres"):
        assert group(outputs, select=select) == []
    assert "sub-99" in caplog.text
    assert outputs.result("participants")["participant_id"].tolist() == ["sub-01", "sub-02"]
    assert read_tsv(outputs.root / "group" / "strategies.tsv")["strategy"].tolist() == ["simple"]


def test_a_selection_that_leaves_nothing_says_what_there_was(filled):
    outputs, _ = filled
    with pytest.raises(NothingSelectedError, match="Available: task-rest"):
        group(outputs, select=(("task", ("nback",)),))
    with pytest.raises(NothingSelectedError, match="Available: seeds-Tiny"):
        group(outputs, select=(("seeds", ("Power2011",)),))


def test_folders_that_are_no_output(outputs, tmp_path):
    with pytest.raises(MissingInputError, match="no matrix"):
        group(outputs)
    with pytest.raises(MissingInputError, match=r"no dataset_description\.json"):
        run_group(tmp_path / "nowhere", GroupOptions())
    (outputs.root / "dataset_description.json").write_text("{}")
    with pytest.raises(OutputError, match="another dataset"):
        group(outputs)


@pytest.mark.slow
def test_memory_does_not_grow_with_participants(outputs, rng, monkeypatch):
    # Columns are held in parts of 16 MB, which would be all of so few participants.
    monkeypatch.setattr(column_blocks, "__defaults__", (2**14,))
    outputs.points = rng.uniform(-60, 60, (60, 3))
    outputs.networks = ["n/a"] * 60
    peaks = []
    for count in (40, 70):  # more than are held back to be written together
        for i in range(count):
            outputs.add(f"{i:03d}", correlations(rng, 60))
        files = all_matrices(outputs.root)
        name = group_of(files[0], by_session=False)
        motion = HeadMotion(files, GroupOptions())
        gathered = gather_group(
            name, files, gather_image(image_name(name), files, Unusable()), motion, Unusable()
        )
        summarize(gathered, outputs.root, Analysis(GroupOptions()))  # loads what it needs
        tracemalloc.start()
        summarize(gathered, outputs.root, Analysis(GroupOptions()))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    edges_of_all = 30 * 8 * 60 * 59 / 2
    assert peaks[1] - peaks[0] < edges_of_all / 3


def test_runs_put_together_do_not_count_twice(filled, rng):
    outputs, z = filled
    for label in ("02", "04"):
        source = "task-rest_dir-AP"
        path = outputs.add(label, correlations(rng, S), source=source, Concatenation="Runs")
        if label == "02":  # in the place of the other is what is left of a run of that name
            for extension in ("json", "tsv"):
                next(path.parent.glob(f"*_dir-AP_*_dseg.{extension}")).unlink()
    assert group(outputs) == []
    expected = np.tanh(np.nanmean(z, axis=0))
    np.testing.assert_allclose(upper(outputs.matrix("mean")), expected, rtol=1e-8)
    assert outputs.result("participants")["runs"].tolist() == [1] * 9
    # By another strategy it is a run still, of the same spheres.
    outputs.add("04", correlations(rng, S), source="task-rest_dir-AP", strategy="36P")
    assert group(outputs) == []
    assert outputs.result("participants", strategy="36P")["used"].sum() == 1


@pytest.mark.slow
def test_what_the_participant_level_writes(tiny, seeds_file, run_app, tmp_path):
    out = tmp_path / "out"
    for stem in ("sub-01_task-rest", "sub-02_task-rest_run-1", "sub-02_task-rest_run-2"):
        tiny.add_run(stem)
    tiny.add_run("sub-03_task-rest", n_volumes=28)  # too few for the strategy's 31 dimensions
    call = ["participant", "--seeds", seeds_file, "--connectivity", "pearson", "covariance"]
    call += ["--concatenate", "participant"]
    assert run_app(tiny.root, out, *call, "--radius", "6").status == 0
    assert len(list(out.glob("sub-02/func/sub-02_task-rest_space-*_relmat.tsv"))) == 2
    assert run_group(out, GroupOptions()) == []
    runs = read_tsv(out / "group" / "runs.tsv")
    assert runs["excluded"].tolist() == [0, 0, 0, 1]
    z, weights = [], []
    for stem in ("sub-01_task-rest", "sub-02_task-rest_run-1", "sub-02_task-rest_run-2"):
        (path,) = out.glob(f"sub-*/func/{stem}_*_stat-pearsoncorrelation_*_relmat.tsv")
        z.append(np.arctanh(upper(read_tsv(path).drop(columns="Node").to_numpy(float))))
        weights.append(json.loads(path.with_suffix(".json").read_text())["DegreesOfFreedom"])
    second = np.average(z[1:], axis=0, weights=weights[1:])
    (path,) = (out / "group").glob("*_stat-pearsoncorrelation_desc-simple_mean.tsv")
    mean = upper(read_tsv(path).drop(columns="Node").to_numpy(float))
    np.testing.assert_allclose(mean, np.tanh((z[0] + second) / 2), rtol=1e-7)
    (path,) = (out / "group").glob("*_coverage.tsv")
    assert read_tsv(path).set_index("name")["share"].to_dict() == {
        "left": 1,
        "right": 1,
        "front": 1,
        "far": 0,
    }


def test_coverage_tells_where_seeds_are(outputs, rng):
    outputs.space = ""
    for label, shift in (("01", 0.0), ("02", 3.0)):
        outputs.points = POINTS + shift
        outputs.add(label, correlations(rng, S))
    assert group(outputs) == []
    (path,) = (outputs.root / "group").glob("*_coverage.tsv")
    table = read_tsv(path)
    np.testing.assert_allclose(table[["x", "y", "z"]], POINTS + 1.5)
    assert table["radius"].tolist() == [5] * S


def test_the_last_call_is_told(outputs, rng):
    for strategy in ("simple", "36P"):
        outputs.add("01", correlations(rng, S), strategy=strategy)
        outputs.add("02", correlations(rng, S), strategy=strategy)
    broken = outputs.add("03", correlations(rng, S))
    broken.with_suffix(".json").write_text("{")
    problems = group(outputs, select=(("desc", ("simple",)),))
    summary = json.loads((outputs.root / "group" / "summary.json").read_text())
    assert summary["Problems"] == problems
    assert len(problems) == 1
    (name,) = summary["Groups"]
    assert outputs.path("stat-pearsoncorrelation_desc-simple_mean.tsv").name == f"{name}_mean.tsv"
    group(outputs)
    summary = json.loads((outputs.root / "group" / "summary.json").read_text())
    assert summary["Groups"] == [name.replace("simple", "36P"), name]


def test_when_nothing_could_be_done_no_call_is_told(outputs, rng):
    path = outputs.add("01", correlations(rng, S))
    assert group(outputs) == []
    path.with_suffix(".json").write_text("{")
    with pytest.raises(DataError):
        group(outputs)
    names = ("summary.json", "runs.tsv", "strategies.tsv")
    assert not [name for name in names if (outputs.root / "group" / name).exists()]


def test_sidecars_say_what_differs_and_what_is_odd_about_a_model(outputs, rng):
    for label in LABELS:
        outputs.add(label, correlations(rng, S), MinimumDegreesOfFreedom=1)
    second = {"source": "task-rest_run-2", "MinimumDegreesOfFreedom": 15}
    outputs.add("03", correlations(rng, S), **second)
    path = outputs.participants(participant_id=LABELS, site=[1, 2] * 4 + [1])
    path.with_suffix(".json").write_text(json.dumps({"site": {"Levels": {"1": "a"}}}))
    assert group(outputs, model="site") == []
    (difference,) = outputs.about("mean")["Differences"]
    assert "15 in 1 participant (sub-03)" in difference
    (note,) = outputs.about("model")["Notes"]
    assert "C(site)" in note


def test_a_node_that_nobody_has_is_missing_in_the_mean(outputs, rng):
    for label in LABELS[:3]:
        outputs.add(label, without(correlations(rng, S), 3))
    assert group(outputs) == []
    mean = outputs.matrix("mean")
    np.testing.assert_array_equal(np.diag(mean), [1, 1, 1, np.nan, 1])
    assert np.isnan(mean[3]).all()
    assert np.isfinite(np.delete(np.delete(mean, 3, 0), 3, 1)).all()
    assert outputs.about("mean")["EdgesWithoutTest"] == 4


def test_edges_whose_coefficients_are_not_known_are_counted(outputs, rng):
    """Of two terms: an edge of two participants determines them, and leaves nothing."""
    for i, label in enumerate(LABELS[:6]):
        outputs.add(label, correlations(rng, S) if i < 2 else without(correlations(rng, S), 4))
    outputs.participants(participant_id=LABELS[:6], age=[20, 31, 25, 44, 37, 52])
    assert group(outputs, model="age") == []
    assert outputs.about("model")["EdgesWithoutCoefficients"] == 4
    assert outputs.result("model")["coefficient"].isna().sum() == 2 * 4


@pytest.mark.parametrize("key", ["SeedSpace", "Standardize"])
def test_settings_that_differ_are_refused_within_a_space(outputs, rng, key):
    outputs.add("01", correlations(rng, S), **{key: "a"})
    outputs.add("02", correlations(rng, S), **{key: "b"})
    with pytest.raises(DataError, match=rf'{key} is "a" in 1 participant \(sub-01\) and "b" in 1'):
        group(outputs)


@pytest.mark.parametrize(("shift", "refused"), [(2e-5, False), (2e-4, True)])
def test_coordinates_agree_to_a_tenth_of_a_micrometre(outputs, rng, shift, refused):
    outputs.add("01", correlations(rng, S))
    outputs.points = POINTS + shift * np.eye(5)[:, :3]
    outputs.add("02", correlations(rng, S))
    if refused:
        with pytest.raises(DataError, match="coordinates"):
            group(outputs)
        return
    assert group(outputs) == []
    assert outputs.about("mean")["NumberOfParticipants"] == 2


def test_seeds_of_a_single_voxel_have_a_radius_of_zero(outputs, rng):
    for label in ("01", "02"):
        path = outputs.add(label, correlations(rng, S), source="task-rest")
        (spheres,) = path.parent.glob("*_dseg.tsv")
        spheres.write_text(spheres.read_text().replace("\t5\tdefault", "\tn/a\tdefault"))
    assert group(outputs) == []
    assert read_tsv(outputs.path("coverage.tsv"))["radius"].tolist() == [0, 0, 5, 5, 5]


def test_a_participant_who_has_a_sphere_in_one_run_has_it(outputs, rng):
    for run, coverage in enumerate(([1, 0, 1, 0.6, 0], [0, 1, 1, 0.2, 0]), start=1):
        for strategy in ("simple", "36P"):
            facts = {"source": f"task-rest_run-{run}", "coverage": coverage, "strategy": strategy}
            outputs.add("01", correlations(rng, S), **facts)
    assert group(outputs) == []
    table = read_tsv(outputs.path("coverage.tsv"))
    assert table["participants"].tolist() == [1, 1, 1, 1, 0]
    np.testing.assert_allclose(table["coverage"], [0.5, 0.5, 1, 0.4, 0])
    about = json.loads(outputs.path("coverage.json").read_text())
    assert about["NumberOfRuns"] == 2


def test_seed_sets_have_coverage_and_numbers_of_runs_of_their_own(outputs, rng):
    for label in ("01", "02", "03"):
        outputs.add(label, correlations(rng, S), coverage=[1, 1, 1, 1, 0.2 if label == "01" else 1])
    of_other = {"seeds": "seg-Other", "Seeds": "Other"}
    for run, share in ((1, 0.6), (2, 0.8), (3, 1)):
        facts = {"source": f"task-rest_run-{run}", "coverage": [share, 1, 1, 1, 1], **of_other}
        outputs.add("01", correlations(rng, S), **facts)
    outputs.add("02", correlations(rng, S), coverage=[0.1, 0.2, 0.3, 0.4, 0.25], **of_other)
    assert group(outputs) == []
    coverage, runs = {}, {}
    for path in (outputs.root / "group").glob("*_coverage.tsv"):
        seeds = dict(parse_name(path.name).entities)
        coverage[seeds.get("seg")] = read_tsv(path)
        runs[seeds.get("seg")] = json.loads(path.with_suffix(".json").read_text())["NumberOfRuns"]
    assert runs == {None: 3, "Other": 4}
    assert coverage[None]["participants"].tolist() == [3, 3, 3, 3, 2]
    assert coverage["Other"]["participants"].tolist() == [1] * 5
    assert coverage["Other"]["share"].tolist() == [0.5] * 5
    np.testing.assert_allclose(coverage["Other"]["coverage"], [0.45, 0.6, 0.65, 0.7, 0.625])
    strategies = read_tsv(outputs.root / "group" / "strategies.tsv").set_index("seeds")
    assert strategies["runs"].to_dict() == {"Tiny": 3, "Other": 4}
    assert strategies["participants"].to_dict() == {"Tiny": 3, "Other": 2}


def test_edges_of_one_participant_have_a_mean_and_no_spread(outputs, rng):
    matrices = [correlations(rng, S), without(correlations(rng, S), 1), correlations(rng, S)]
    matrices[2] = without(matrices[2], 1)
    for label, matrix in zip(LABELS, matrices, strict=False):
        outputs.add(label, matrix)
    assert group(outputs) == []
    z = np.arctanh([upper(matrix) for matrix in matrices])
    alone = np.isnan(z).any(axis=0)
    sd, mean = (upper(outputs.matrix(what)) for what in ("sd", "mean"))
    np.testing.assert_allclose(sd[~alone], z[:, ~alone].std(axis=0, ddof=1), rtol=1e-7)
    assert np.isnan(sd[alone]).all()
    np.testing.assert_allclose(mean[alone], np.tanh(z[0, alone]), rtol=1e-7)
    assert np.isfinite(upper(outputs.matrix("p"))).tolist() == (~alone).tolist()


def test_reasons_of_a_model_are_of_those_whose_matrices_are_used(outputs, rng):
    """Of repeated measures as well, in which a participant has several rows."""
    for label, session in product(LABELS[:6], ("pre", "post")):
        path = outputs.add(label, correlations(rng, S), source=f"ses-{session}_task-rest")
    path.write_text("nothing\n")
    ages = [20, "n/a", 25, 44, "n/a"]
    outputs.participants(participant_id=[*LABELS[:4], LABELS[5]], age=ages)
    options = {"within": "session", "model": "age + session"}
    assert len(group(outputs, **options)) == 1
    people = outputs.result("participants").set_index("participant_id")
    assert people["reason"].dropna().to_dict() == {
        "sub-02": "model: without age",
        "sub-05": "model: not in participants.tsv",
        "sub-06": "a matrix can't be read",
    }
    assert people["in_model"].tolist() == [1, 0, 1, 1, 0, 0]
    assert outputs.about("model")["NumberOfParticipantsInModel"] == 3


def test_of_spheres_that_can_not_be_mixed_no_earlier_result_is_left(filled, rng):
    outputs, _ = filled
    for label in LABELS:
        outputs.add(label, correlations(rng, S), strategy="36P")
    outputs.add("01", correlations(rng, S), source="task-nback")
    assert group(outputs) == []
    outputs.points = POINTS + 5
    outputs.add("04", correlations(rng, S))
    (problem,) = group(outputs)
    assert "coordinates" in problem
    folder = outputs.root / "group"
    assert not list(folder.glob("task-rest_*"))
    assert list(folder.glob("task-nback_*_mean.tsv"))


def test_a_sphere_of_no_voxel_has_no_coverage(outputs, rng):
    """As a region that the grid of the image of a run does not reach."""
    for label, run in (("01", 1), ("02", 1), ("02", 2), ("03", 1)):
        coverage = [1, 0.8, 1, 1, 0.6 * (run - 1)]
        source = f"task-rest_run-{run}"
        path = outputs.add(label, correlations(rng, S), source=source, coverage=coverage)
        if (label, run) == ("02", 1):
            (spheres,) = path.parent.glob("*_run-1_*_dseg.tsv")
            write_tsv(spheres, read_tsv(spheres).assign(coverage=[np.nan, 0.8, 1, 1, np.nan]))
    assert group(outputs) == []
    coverage = read_tsv(outputs.path("coverage.tsv"))["coverage"]
    np.testing.assert_allclose(coverage, [2.5 / 3, 0.8, 1, 1, 0.3 / 3])
