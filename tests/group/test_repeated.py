"""Repeated measures, clusters and weights of the group level, from the command line."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from scipy.special import polygamma
from statsmodels.stats.meta_analysis import combine_effects

from tests.group.conftest import GROUP, PEARSON, correlations, read_tsv, upper

S = 5
LABELS = [f"{i:02d}" for i in range(1, 8)]


@pytest.fixture
def call(run_app, tmp_path):
    """Call the group level without a page."""

    def run(outputs, *words):
        return run_app(tmp_path / "no", outputs.root, "group", "--report-level", "none", *words)

    return run


@pytest.fixture
def sessions(outputs, rng):
    """Seven participants of two sessions, one of whom lacks the second; z by session."""
    z = {"pre": [], "post": []}
    for label in LABELS:
        for name, values in z.items():
            matrix = correlations(rng, S, shared=rng.uniform(0, 0.9))
            values.append(np.arctanh(upper(matrix)))
            if (label, name) != (LABELS[-1], "post"):
                outputs.add(label, matrix, source=f"ses-{name}_task-rest")
    outputs.participants(participant_id=LABELS, age=rng.uniform(20, 60, len(LABELS)))
    return outputs, {name: np.array(values) for name, values in z.items()}


def table_of(outputs, contrast, what="edges", group=GROUP):
    stem = f"{group}_stat-{PEARSON}_desc-simple_contrast-{contrast}_{what}.tsv"
    path = outputs.root / "group" / stem
    return read_tsv(path), json.loads(path.with_suffix(".json").read_text())


def test_a_comparison_of_sessions_is_a_paired_test(sessions, call):
    outputs, z = sessions
    words = ("--within", "session", "--contrast", "change=post-pre", "--inference", "maxt")
    done = call(outputs, *words)
    assert done.status == 0, done.err
    assert "1 participant without all conditions of change: sub-07" in done.err
    edges, about = table_of(outputs, "change")
    expected = stats.ttest_rel(z["post"][:6], z["pre"][:6])
    np.testing.assert_allclose(edges["t"], expected.statistic, rtol=1e-7)
    np.testing.assert_allclose(edges["p"], expected.pvalue, rtol=1e-7)
    difference = z["post"][:6] - z["pre"][:6]
    np.testing.assert_allclose(edges["effect"], difference.mean(axis=0), rtol=1e-7)
    maxima = []
    for signs in product((1, -1), repeat=6):
        flipped = difference * np.array(signs)[:, np.newaxis]
        maxima.append(np.abs(stats.ttest_1samp(flipped, 0).statistic).max())
    share = [np.mean(np.array(maxima) >= abs(t) - 1e-9) for t in expected.statistic]
    np.testing.assert_allclose(edges["p_maxt"], share)
    assert about["Weights"] == [{"post": 1, "pre": -1}]
    assert (about["Within"], about["Permutations"]) == ("session", 64)


def test_a_balanced_model_of_sessions_is_the_paired_test_too(sessions, call):
    """Errors robust to participants: of two rows each, CR2 is the standard error of differences."""
    outputs, z = sessions
    words = ("--participant-label", *LABELS[:6], "--within", "session")
    done = call(outputs, *words, "--model", "session", "--contrast", "change=session")
    assert done.status == 0, done.err
    edges, about = table_of(outputs, "change")
    expected = stats.ttest_rel(z["pre"][:6], z["post"][:6])
    np.testing.assert_allclose(edges["t"], expected.statistic, rtol=1e-6)
    np.testing.assert_allclose(edges["degrees_of_freedom"], 5, rtol=1e-6)
    assert about["Clusters"] == "participant_id"
    people = outputs.result("participants")
    assert people["in_model"].tolist() == [1] * 6


def test_tasks_within_participants(outputs, rng, call):
    z = {}
    for task in ("rest", "movie"):
        for label in LABELS:
            matrix = correlations(rng, S)
            z[task, label] = np.arctanh(upper(matrix))
            outputs.add(label, matrix, source=f"task-{task}")
    done = call(outputs, "--within", "task", "--contrast", "film=movie-rest")
    assert done.status == 0, done.err
    edges, _ = table_of(outputs, "film", group=GROUP.removeprefix("task-rest_"))
    rest, movie = ([z[task, label] for label in LABELS] for task in ("rest", "movie"))
    np.testing.assert_allclose(edges["t"], stats.ttest_rel(movie, rest).statistic, rtol=1e-7)
    strategies = read_tsv(outputs.root / "group" / "strategies.tsv")
    assert strategies["participants"].tolist() == [len(LABELS)]


def test_errors_robust_to_sites_of_one_participant_each_are_hc2(outputs, rng, call):
    age = rng.uniform(20, 60, len(LABELS))
    z = []
    for label in LABELS:
        matrix = correlations(rng, S)
        z.append(np.arctanh(upper(matrix)))
        outputs.add(label, matrix)
    outputs.participants(participant_id=LABELS, age=age, site=list("abcdefg"))
    words = ("--model", "age", "--contrast", "age=age", "--clusters", "site")
    assert call(outputs, *words).status == 0
    edges, about = table_of(outputs, "age")
    for row, values in zip(edges.itertuples(), np.transpose(z), strict=True):
        fit = smf.ols("z ~ age", pd.DataFrame({"z": values, "age": age})).fit(cov_type="HC2")
        np.testing.assert_allclose(row.standard_error, fit.bse["age"], rtol=1e-7)
        np.testing.assert_allclose(row.effect, fit.params["age"], rtol=1e-7)
    assert about["Clusters"] == "site"
    done = call(outputs, *words, "--inference", "maxt")
    assert done.status == 2
    assert "--clusters" in done.err


def test_random_effects_weight_by_precision(outputs, rng, call):
    """Paule & Mandel with Knapp & Hartung's errors, as statsmodels has them."""
    freedom = [4, 30, 12, 80, 9, 55, 20]
    z = []
    for label, v in zip(LABELS, freedom, strict=True):
        matrix = correlations(rng, S, v, shared=rng.uniform(0, 1))
        z.append(np.arctanh(upper(matrix)))
        outputs.add(label, matrix, DegreesOfFreedom=v)
    assert call(outputs, "--weights", "precision").status == 0
    edges, about = table_of(outputs, "mean")
    variances = np.array([polygamma(1, (v - 1) / 2) / 2 for v in freedom])
    for row, values in zip(edges.itertuples(), np.transpose(z), strict=True):
        expected = combine_effects(values, variances, method_re="iterated", use_t=True, atol=1e-12)
        assert row.effect == pytest.approx(expected.mean_effect_re, rel=1e-6)
        assert row.standard_error == pytest.approx(expected.sd_eff_w_re_hksj, rel=1e-5)
        assert row.tau2 == pytest.approx(expected.tau2, rel=1e-5, abs=1e-9)
        assert row.cochran_q == pytest.approx(expected.q, rel=1e-6)
        assert row.i2 == pytest.approx(max(expected.i2, 0), abs=1e-9)
    assert about["ParticipantWeights"] == "precision"


def test_effective_degrees_of_freedom_weight_edges(outputs, rng, call):
    z, volumes = [], []
    for label in LABELS:
        matrix = correlations(rng, S, shared=rng.uniform(0, 1))
        effective = rng.uniform(20, 90, (S, S))
        effective = np.round((effective + effective.T) / 2, 6)
        outputs.add(label, effective, stat="effectivedof")
        outputs.add(label, matrix)
        z.append(np.arctanh(upper(matrix)))
        volumes.append(upper(effective))
    assert call(outputs, "--weights", "precision", "--connectivity", "pearson").status == 0
    edges, _ = table_of(outputs, "mean")
    for row, values, n in zip(
        edges.itertuples(), np.transpose(z), np.transpose(volumes), strict=True
    ):
        expected = combine_effects(
            values, 1 / (n - 3), method_re="iterated", use_t=True, atol=1e-12
        )
        assert row.effect == pytest.approx(expected.mean_effect_re, rel=1e-6)
        assert row.tau2 == pytest.approx(expected.tau2, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--within", "session", "--contrast", "a=post-per"), "Did you mean"),
        (("--within", "session", "--contrast", "F:a=post,pre"), "pairs of conditions"),
        (("--within", "session", "--by-session"), "--by-session"),
        (("--model", "age + (1|site)"), "--clusters site"),
        (("--whole-blocks",), "--blocks"),
        (("--weights", "precision", "--inference", "nbs"), "Permutations"),
        (("--harmonize-within",), "--harmonize COLUMN"),
    ],
)
def test_what_does_not_go_together(sessions, call, words, said):
    outputs, _ = sessions
    done = call(outputs, *words)
    assert done.status == 2, done.err
    assert said in done.err
