"""Which edges are tested, and when tests against 0 do not hold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from bids_spheres.group.options import GroupOptions
from bids_spheres.group.workflow import run_group
from tests.group.conftest import PEARSON, correlations, read_tsv, upper, without

S = 5
LABELS = [f"{i:02d}" for i in range(1, 31)]
GONE = "TestsAgainstZeroDoNotHold"


def add_lacking(outputs, rng, n_by_node):
    """Participants, of whom only the first n have a node; their edges as Fisher's z."""
    matrices = []
    for i, label in enumerate(LABELS[: max(n_by_node)]):
        lacking = [node for node, n in enumerate(n_by_node) if i >= n]
        matrices.append(without(correlations(rng, len(n_by_node)), *lacking))
        outputs.add(label, matrices[-1])
    return np.arctanh([upper(matrix) for matrix in matrices])


@pytest.mark.parametrize(("least", "tested_from"), [(3, 3), (7, 7), (1, 2)])
def test_edges_that_few_have_are_not_tested_and_stay_out_of_q(outputs, rng, least, tested_from):
    z = add_lacking(outputs, rng, (9, 9, 7, 6, 2))
    assert run_group(outputs.root, GroupOptions(min_participants=least)) == []
    n = np.sum(~np.isnan(z), axis=0)
    p = np.asarray(stats.ttest_1samp(z, 0, nan_policy="omit").pvalue)
    tested = n >= tested_from
    for what, values in (("p", p[tested]), ("q", multipletests(p[tested], method="fdr_bh")[1])):
        written = upper(outputs.matrix(what))
        np.testing.assert_allclose(written[tested], values, rtol=1e-6)
        assert np.isnan(written[~tested]).all()
    np.testing.assert_array_equal(np.isnan(upper(outputs.matrix("t"))), ~tested)
    # What is only described is described of all.
    np.testing.assert_allclose(upper(outputs.matrix("mean")), np.tanh(np.nanmean(z, axis=0)))
    np.testing.assert_array_equal(upper(outputs.matrix("n")), n)
    about = outputs.about("p")
    assert about["MinimumParticipants"] == least
    assert about["EdgesWithoutTest"] == np.sum(~tested)


def test_two_participants_are_described_and_not_tested(outputs, rng, caplog):
    z = add_lacking(outputs, rng, (2,) * S)
    with caplog.at_level("WARNING", "bids_spheres"):
        assert run_group(outputs.root, GroupOptions()) == []
    assert "2 participants, and a test needs 3" in caplog.text
    np.testing.assert_allclose(upper(outputs.matrix("sd")), z.std(axis=0, ddof=1))
    assert not list((outputs.root / "group").glob("*_[tpq].tsv"))


def test_terms_that_fewer_have_are_not_tested_and_stay_out_of_q(outputs, rng):
    z = add_lacking(outputs, rng, (20, 20, 9, 5, 4))
    age, dose = rng.uniform(20, 60, (2, 20))
    table = outputs.participants(participant_id=LABELS[:20], age=age, dose=dose)
    for least in (3, 8):
        options = {"participants_table": table, "model": "age + dose", "min_participants": least}
        assert run_group(outputs.root, GroupOptions(**options)) == []
        rows, about = outputs.result("model"), outputs.about("model")
        n = np.sum(~np.isnan(z), axis=0)
        # Three terms leave nothing of three participants, and one degree of freedom of four.
        tested = n >= max(least, 4)
        for _, own in rows.groupby("term"):
            np.testing.assert_array_equal(own["p"].notna(), tested)
            q = multipletests(own["p"][tested], method="fdr_bh")[1]
            np.testing.assert_allclose(own["q"][tested], q, rtol=1e-6)
            np.testing.assert_array_equal(own["coefficient"].notna(), n >= 4)
        assert about["EdgesWithoutCoefficients"] == np.sum(n < 4)


# When tests against 0 do not hold


def test_regression_of_the_global_signal_makes_unrelated_series_correlated(rng):
    """Why it is said: the tests are right after other cleaning, and mostly wrong after this."""
    n_people, n_volumes, n_nodes = 40, 200, 40
    shares = {}
    for removed in (False, True):
        z = []
        for _ in range(n_people):
            series = rng.standard_normal((n_volumes, n_nodes))
            # The first half of the nodes have something in common, but not with the other half.
            series[:, : n_nodes // 2] += rng.standard_normal((n_volumes, 1))
            if removed:
                signal = series.mean(axis=1, keepdims=True)
                series -= signal @ np.linalg.lstsq(signal, series, rcond=None)[0]
            between = np.corrcoef(series.T)[: n_nodes // 2, n_nodes // 2 :]
            z.append(np.arctanh(between.ravel()))
        shares[removed] = np.mean(stats.ttest_1samp(z, 0).pvalue < 0.05)
    assert shares[False] < 0.1
    assert shares[True] > 0.3


@pytest.mark.parametrize(
    ("regressors", "removed"),
    [
        (["trans_x", "global_signal"], True),
        (["global_signal", "global_signal_derivative1", "cosine00"], True),
        (["trans_x", "csf"], False),
    ],
)
def test_the_removed_global_signal_is_told(outputs, rng, regressors, removed):
    for label in LABELS[:6]:
        outputs.add(label, correlations(rng, S), NuisanceParameters=regressors)
    assert run_group(outputs.root, GroupOptions()) == []
    for what in ("t", "p", "q"):
        reasons = outputs.about(what)[GONE]
        assert any("global signal" in reason for reason in reasons) is removed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "slope", "told"), [(30, 3, True), (30, 0, False), (20, 3, True), (19, 3, False)]
)
def test_edges_that_go_with_motion_are_told(outputs, rng, n, slope, told):
    for i, label in enumerate(LABELS[:n]):
        fd = 0.02 * i
        matrix = correlations(rng, S, 400, shared=0.2 + slope * fd)
        outputs.add(label, matrix, MeanFramewiseDisplacement=fd)
    assert run_group(outputs.root, GroupOptions()) == []
    share = read_tsv(outputs.root / "group" / "strategies.tsv")["qc_fc_significant"][0]
    assert bool(share > 0.1) is (slope > 0)
    reasons = outputs.about("t")[GONE]
    assert any("head motion" in reason for reason in reasons) is told


def test_what_is_not_tested_needs_no_such_remark(outputs, rng):
    for label in LABELS[:6]:
        outputs.add(
            label, correlations(rng, S), stat="covariance", NuisanceParameters=["global_signal"]
        )
    assert run_group(outputs.root, GroupOptions()) == []
    (path,) = (outputs.root / "group").glob("*_stat-covariance_*_mean.json")
    assert GONE not in path.read_text()
    assert PEARSON not in path.name
