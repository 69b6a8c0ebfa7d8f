"""QC-FC, also adjusted for covariates and of edges that lack participants, by independent means."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from bids_spheres.errors import UsageError
from bids_spheres.group.options import GroupOptions
from bids_spheres.group.workflow import run_group
from tests.group.conftest import PEARSON, correlations, read_tsv, upper, without

S = 5
LABELS = [f"{i:02d}" for i in range(1, 31)]


@pytest.fixture
def filled(outputs, rng):
    """30 participants whose edges go with motion and age; nodes lack in some of them."""
    age = rng.uniform(20, 70, len(LABELS))
    sex = rng.permutation(list("FM") * 15)
    fd = 0.05 + 0.004 * age + 0.1 * rng.random(len(LABELS))
    matrices = []
    for i, label in enumerate(LABELS):
        matrix = correlations(rng, S, shared=0.2 + fd[i] + 0.01 * age[i])
        if i % 4 == 0:
            matrix = without(matrix, 0)
        if i > 1:
            matrix = without(matrix, 4)
        matrices.append(matrix)
        outputs.add(label, matrix, MeanFramewiseDisplacement=float(fd[i]))
    outputs.participants(participant_id=LABELS, age=age, sex=sex)
    data = pd.DataFrame({"fd": fd, "age": age, "male": (sex == "M").astype(float)})
    return outputs, np.arctanh([upper(matrix) for matrix in matrices]), data


def strategies(outputs):
    return read_tsv(outputs.root / "group" / "strategies.tsv").iloc[0]


def run(outputs, **options):
    table = outputs.root / "participants.tsv"
    return run_group(outputs.root, GroupOptions(participants_table=table, **options))


def test_moments_of_edges_that_different_participants_have(filled):
    outputs, z, data = filled
    assert run(outputs) == []
    edges, row = outputs.result("edges"), strategies(outputs)
    tested, distances = [], []
    for values, edge in zip(z.T, edges.itertuples(), strict=True):
        there = ~np.isnan(values)
        assert edge.n == there.sum()
        if edge.n < 3:  # those of the last node, which two participants have
            assert np.isnan([edge.qc_fc, edge.qc_fc_p]).all()
            continue
        expected = stats.pearsonr(data["fd"][there], values[there])
        np.testing.assert_allclose(edge.qc_fc, expected.statistic, rtol=1e-6)
        np.testing.assert_allclose(edge.qc_fc_p, expected.pvalue, rtol=1e-6)
        tested.append(expected)
        distances.append(edge.distance)
    assert sorted({*edges["n"]}) == [1, 2, 22, 30]
    r = np.array([one.statistic for one in tested])
    assert row["qc_fc_edges"] == len(r)
    assert row["qc_fc_median"] == pytest.approx(np.median(np.abs(r)))
    assert row["qc_fc_significant"] == pytest.approx(np.mean([t.pvalue < 0.05 for t in tested]))
    spearman = stats.spearmanr(r, distances).statistic
    assert row["qc_fc_distance_spearman"] == pytest.approx(spearman)
    assert (row["qc_fc_participants"], row["qc_fc_degrees_of_freedom"]) == (30, 28)


def test_partial_correlations_are_those_of_what_regressions_leave(filled):
    outputs, z, data = filled
    assert run(outputs, qcfc_covariates=("age", "sex")) == []
    edges = outputs.result("edges")
    for values, edge in zip(z.T, edges.itertuples(), strict=True):
        there = ~np.isnan(values)
        if there.sum() < 5:  # a constant, two covariates, motion, and one to spare
            assert np.isnan([edge.qc_fc, edge.qc_fc_p]).all()
            continue
        covariates = sm.add_constant(data.loc[there, ["age", "male"]])
        of_edge = sm.OLS(values[there], covariates).fit().resid
        of_motion = sm.OLS(data.loc[there, "fd"], covariates).fit().resid
        r = np.corrcoef(of_edge, of_motion)[0, 1]
        freedom = there.sum() - 2 - 2
        p = 2 * stats.t.sf(abs(r) * np.sqrt(freedom / (1 - r**2)), freedom)
        np.testing.assert_allclose([edge.qc_fc, edge.qc_fc_p], [r, p], rtol=1e-6)
        # The same by the inverse of the matrix of all correlations.
        columns = np.column_stack([values[there], data[there].to_numpy()])
        inverse = np.linalg.inv(np.corrcoef(columns.T))
        partial = -inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1])
        np.testing.assert_allclose(edge.qc_fc, partial, rtol=1e-6)
    row = strategies(outputs)
    assert (row["qc_fc_participants"], row["qc_fc_degrees_of_freedom"]) == (30, 26)
    about = json.loads(outputs.path(f"stat-{PEARSON}_desc-simple_edges.json").read_text())
    assert about["QCFCCovariates"] == ["age", "sex"]


def test_motion_that_goes_with_age_alone_explains_nothing_beyond_age(outputs, rng):
    """Edges follow age, and so does motion: QC-FC is high, and at chance when adjusted."""
    outputs.points = rng.uniform(-60, 60, (12, 3))
    outputs.networks = ["n/a"] * 12
    labels = [f"{i:03d}" for i in range(60)]
    age = rng.uniform(20, 80, 60)
    for label, years in zip(labels, age, strict=True):
        fd = 0.1 + 0.004 * years + 0.05 * rng.random()
        outputs.add(label, correlations(rng, 12, 150, 0.02 * years), MeanFramewiseDisplacement=fd)
    outputs.participants(participant_id=labels, age=age)
    assert run(outputs) == []
    assert strategies(outputs)["qc_fc_significant"] > 0.9
    assert run(outputs, qcfc_covariates=("age",)) == []
    assert strategies(outputs)["qc_fc_significant"] < 0.2


def test_covariates_with_the_negative_of_precision(outputs, rng):
    fd = rng.random(12)
    values = [correlations(rng, S) for _ in fd]
    for label, matrix, motion in zip(LABELS, values, fd, strict=False):
        outputs.add(label, matrix, stat="precision", MeanFramewiseDisplacement=float(motion))
    age = rng.uniform(20, 60, 12)
    outputs.participants(participant_id=LABELS[:12], age=age)
    assert run(outputs, qcfc_covariates=("age",)) == []
    edge = np.array([-upper(matrix)[0] for matrix in values])
    inverse = np.linalg.inv(np.corrcoef([edge, fd, age]))
    expected = -inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1])
    got = outputs.result("edges", stat="precision")["qc_fc"][0]
    assert got == pytest.approx(expected, rel=1e-6)


def test_whoever_lacks_a_covariate_is_left_out_of_qc_fc_alone(filled, caplog):
    outputs, z, data = filled
    ages = [None if i == 5 else age for i, age in enumerate(data["age"])]
    outputs.participants(participant_id=LABELS, age=ages)
    with caplog.at_level("WARNING", "bids_spheres"):
        assert run(outputs, qcfc_covariates=("age",)) == []
    assert "1 participant of 30 not in the adjusted QC-FC: sub-06 (without age)" in caplog.text
    assert strategies(outputs)["qc_fc_participants"] == 29
    np.testing.assert_array_equal(outputs.result("edges")["n"], np.sum(~np.isnan(z), axis=0))


@pytest.mark.parametrize(
    ("name", "said"), [("mean_fd", "take away the very thing"), ("agee", "Did you mean age")]
)
def test_covariates_that_make_no_sense(filled, name, said):
    outputs, _, _ = filled
    with pytest.raises(UsageError, match=said):
        run(outputs, qcfc_covariates=(name,))


def test_covariates_that_determine_one_another_keep_nothing_else_back(filled):
    outputs, _, data = filled
    age = data["age"].round()
    outputs.participants(participant_id=LABELS, age=age, months=12 * age)
    (problem,) = run(outputs, qcfc_covariates=("age", "months"))
    assert "QC-FC is not known" in problem
    assert outputs.path(f"stat-{PEARSON}_desc-simple_mean.tsv").exists()
    assert np.isnan(strategies(outputs)["qc_fc_median"])
    assert outputs.result("edges")["qc_fc"].isna().all()


def test_motion_is_that_of_all_volumes_of_a_participant(outputs, rng):
    """Of a long and a short run of each, of which the edges are a mean."""
    motion, z = rng.gamma(2, 0.1, (8, 2)).round(4), []
    for label, own in zip(LABELS, motion, strict=False):
        runs = [correlations(rng, S) for _ in own]
        for place, (matrix, fd, n) in enumerate(zip(runs, own, (119, 19), strict=True)):
            facts = {"MeanFramewiseDisplacement": fd, "VolumesWithFramewiseDisplacement": n}
            outputs.add(label, matrix, source=f"task-rest_run-{place}", **facts)
        z.append(np.arctanh([upper(matrix) for matrix in runs]).mean(axis=0))
    assert run(outputs) == []
    expected = [stats.pearsonr(motion @ [119, 19], edge).statistic for edge in np.transpose(z)]
    np.testing.assert_allclose(outputs.result("edges")["qc_fc"], expected, rtol=1e-6)
