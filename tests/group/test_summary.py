"""Means, tests and networks of a group."""

from __future__ import annotations

import logging
from itertools import product

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import integrate, stats
from statsmodels.stats.multitest import multipletests

from tests.group.conftest import (
    LABELS,
    NETWORKS,
    POINTS,
    E,
    S,
    correlations,
    group,
    read_tsv,
    upper,
    without,
)


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


def test_one_participant_has_a_mean_and_no_tests(outputs, rng, caplog):
    matrix = correlations(rng, S)
    outputs.add("01", matrix)
    with caplog.at_level(logging.WARNING, "bids_spheres"):
        assert group(outputs) == []
    assert "one participant" in caplog.text
    np.testing.assert_allclose(upper(outputs.matrix("mean")), upper(matrix), rtol=1e-8)
    written = {path.name.rpartition("_")[2] for path in (outputs.root / "group").iterdir()}
    assert not written & {"sd.tsv", "t.tsv", "p.tsv", "q.tsv"}


def test_a_single_seed_is_related_to_nothing(outputs, caplog):
    outputs.points, outputs.networks = POINTS[:1], NETWORKS[:1]
    outputs.add("01", np.ones((1, 1)))
    with caplog.at_level(logging.WARNING, "bids_spheres"):
        assert group(outputs) == []
    assert "single seed" in caplog.text
    assert len(read_tsv(outputs.root / "group" / "runs.tsv")) == 1


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
    # Nor are those counted that too few have for a test.
    assert group(outputs, model="age", min_participants=7) == []
    assert outputs.result("model")["p"].isna().all()
    assert outputs.about("model")["EdgesWithoutCoefficients"] == 4


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
