"""Repeated measures, clusters and weights of the group level, from the command line."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from scipy import stats
from scipy.linalg import sqrtm
from scipy.optimize import brentq
from scipy.special import polygamma

from bids_spheres.group.inference import Exchangeability, arrange, fit_combat
from bids_spheres.group.options import GroupOptions
from bids_spheres.group.workflow import run_group
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
    assert not {"Clusters", "Terms"} & set(about)


def test_conditions_that_no_file_name_has(outputs, rng, call):
    for label in LABELS[:3]:
        outputs.add(label, correlations(rng, S))
    done = call(outputs, "--within", "session", "--contrast", "change=post-pre")
    assert done.status == 1
    assert "no file has a condition of --within in its name, as ses-pre" in done.err


def test_a_condition_that_does_not_exist(sessions, call):
    done = call(sessions[0], "--within", "session", "--contrast", "change=after-pre")
    assert done.status == 2
    assert "after-pre is no sum of conditions.\n" in done.err
    assert "They are post and pre." in done.err
    assert "F:NAME" not in done.err


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
    # Two rows of each of six participants.
    assert (set(edges["n"]), about["NumberOfParticipantsInModel"]) == ({12}, 6)
    assert "one for each condition" in about["n"]["Description"]
    assert "Satterthwaite" in about["degrees_of_freedom"]["Description"]
    people = outputs.result("participants")
    assert people["in_model"].tolist() == [1] * 6


@pytest.mark.parametrize(
    ("within", "sources", "group"),
    [
        ("task", ("task-rest", "task-movie"), GROUP.removeprefix("task-rest_")),
        ("run", ("task-rest_run-1", "task-rest_run-2"), GROUP),
    ],
)
def test_tasks_and_runs_within_participants(outputs, rng, call, within, sources, group):
    z = np.empty((2, len(LABELS), S * (S - 1) // 2))
    for condition, source in enumerate(sources):
        for i, label in enumerate(LABELS):
            matrix = correlations(rng, S, shared=rng.uniform(0, 0.9))
            z[condition, i] = np.arctanh(upper(matrix))
            outputs.add(label, matrix, source=source)
    first, second = (source.rpartition("-")[2] for source in sources)
    words = ("--within", within, "--contrast", f"change={second}-{first}", "--inference", "maxt")
    done = call(outputs, *words)
    assert done.status == 0, done.err
    edges, about = table_of(outputs, "change", group=group)
    expected = stats.ttest_rel(z[1], z[0])
    np.testing.assert_allclose(edges["t"], expected.statistic, rtol=1e-7)
    np.testing.assert_allclose(edges["p"], expected.pvalue, rtol=1e-7)
    flips = (np.array(signs)[:, np.newaxis] for signs in product((1, -1), repeat=7))
    maxima = [np.abs(stats.ttest_1samp(own * (z[1] - z[0]), 0).statistic).max() for own in flips]
    share = [np.mean(np.array(maxima) >= abs(t) - 1e-9) for t in expected.statistic]
    np.testing.assert_allclose(edges["p_maxt"], share)
    assert (about["Within"], about["Permutations"]) == (within, 128)
    assert about["Weights"] == [{first: -1, second: 1}]
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


def test_errors_robust_to_sites_of_different_sizes(outputs, rng, call):
    """CR2: residuals of a site by (I - H)^(-1/2); moments of a quadratic form give the df."""
    site = np.repeat(list("abcde"), [2, 2, 3, 4, 5])
    labels, n = [f"{i:02d}" for i in range(len(site))], len(site)
    age, z = rng.uniform(20, 60, n), []
    for label in labels:
        matrix = correlations(rng, S, shared=rng.uniform(0, 0.9))
        z.append(np.arctanh(upper(matrix)))
        outputs.add(label, matrix)
    order = rng.permutation(n)  # rows of the table are not those of files
    outputs.participants(participant_id=np.array(labels)[order], age=age[order], site=site[order])
    words = ("--model", "age", "--contrast", "age=age", "--clusters", "site")
    done = call(outputs, *words)
    assert done.status == 0, done.err
    x = np.column_stack([np.ones(n), age])
    hat = x @ np.linalg.pinv(x)
    scores = np.zeros((n, 5))
    for column, own in enumerate(site == name for name in "abcde"):
        root = np.linalg.inv(sqrtm((np.eye(n) - hat)[np.ix_(own, own)]).real)
        scores[own, column] = root @ np.linalg.pinv(x)[1, own]
    form = (np.eye(n) - hat) @ scores @ scores.T @ (np.eye(n) - hat)
    df = np.trace(form) ** 2 / np.trace(form @ form)
    error = np.sqrt(np.einsum("ne,nm,me->e", z, form, z))
    t = np.linalg.lstsq(x, np.array(z))[0][1] / error
    edges, about = table_of(outputs, "age")
    np.testing.assert_allclose(edges["standard_error"], error, rtol=1e-6)
    np.testing.assert_allclose(edges["degrees_of_freedom"], df, rtol=1e-6)
    np.testing.assert_allclose(edges["t"], t, rtol=1e-6)
    np.testing.assert_allclose(edges["p"], 2 * stats.t.sf(np.abs(t), df), rtol=1e-6)
    reach = stats.t.isf(0.025, df) * error
    np.testing.assert_allclose(edges["ci_high"] - edges["ci_low"], 2 * reach, rtol=1e-6)
    assert about["Clusters"] == "site"


def test_random_effects_weight_by_precision(outputs, rng, call):
    """Paule & Mandel's equation solved for tau^2, with Knapp & Hartung's errors."""
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
        tau2, effect, error = paule_mandel(values, variances)
        q = cochran_q(values, 1 / variances)
        assert row.effect == pytest.approx(effect, rel=1e-6)
        assert row.standard_error == pytest.approx(error, rel=1e-5)
        assert row.tau2 == pytest.approx(tau2, rel=1e-5, abs=1e-9)
        assert row.cochran_q == pytest.approx(q, rel=1e-6)
        assert row.i2 == pytest.approx(max(1 - 6 / q, 0), abs=1e-9)
        assert row.cochran_p == pytest.approx(stats.chi2.sf(q, 6), rel=1e-5)
        reach = stats.t.ppf(0.975, 6) * error
        assert row.ci_low == pytest.approx(effect - reach, rel=1e-5)
        assert row.ci_high == pytest.approx(effect + reach, rel=1e-5)
        assert row.p == pytest.approx(2 * stats.t.sf(abs(effect / error), 6), rel=1e-4)
    assert (edges["tau2"] > 0).any()
    assert about["ParticipantWeights"] == "precision"


@pytest.mark.parametrize(("tail", "sign"), [("positive", 1), ("negative", -1)])
@pytest.mark.parametrize("words", [("--weights", "precision"), ("--clusters", "site")])
def test_tails_of_other_errors_are_those_of_t(outputs, rng, call, tail, sign, words):
    """Intervals are of both tails all the same, and q is that of the p of the tail."""
    for label in LABELS:
        outputs.add(label, correlations(rng, S, shared=rng.uniform(0, 0.6)))
    age = rng.uniform(20, 60, len(LABELS))
    outputs.participants(participant_id=LABELS, age=age, site=list("aabbccd"))
    model = ("--model", "age", "--contrast", "age=age")
    done = call(outputs, *model, *words, "--tail", tail)
    assert done.status == 0, done.err
    edges, about = table_of(outputs, "age")
    t, df = edges["effect"] / edges["standard_error"], edges["degrees_of_freedom"]
    np.testing.assert_allclose(edges["t"], t, rtol=1e-6)
    np.testing.assert_allclose(edges["p"], stats.t.sf(sign * t, df), rtol=1e-5)
    np.testing.assert_allclose(edges["q"], stats.false_discovery_control(edges["p"]), rtol=1e-6)
    reach = stats.t.isf(0.025, df) * edges["standard_error"]
    np.testing.assert_allclose(edges["ci_low"], edges["effect"] - reach, rtol=1e-5)
    np.testing.assert_allclose(edges["ci_high"], edges["effect"] + reach, rtol=1e-5)
    partial = t / np.sqrt(t**2 + df)
    np.testing.assert_allclose(edges["partial_r"], partial, rtol=1e-6)
    assert about["Tail"] == tail


def cochran_q(values, weights):
    """Weighted sum of squares about the weighted mean."""
    return np.sum(weights * (values - np.average(values, weights=weights)) ** 2)


def paule_mandel(values, variances):
    """tau^2 by which the sum of squares is its degrees of freedom, else 0; mean and its error."""
    df = len(values) - 1

    def excess(tau2):
        return cochran_q(values, 1 / (variances + tau2)) - df

    tau2 = brentq(excess, 0, 10, xtol=1e-14) if excess(0) > 0 else 0
    weights = 1 / (variances + tau2)
    error = np.sqrt(cochran_q(values, weights) / df / weights.sum())
    return tau2, np.average(values, weights=weights), error


def test_random_effects_of_several_runs_weight_by_the_variance_of_their_mean(outputs, rng, call):
    """A mean of runs with weights 1 / variance has the variance 1 / sum of the weights."""
    z, weights = np.empty((7, 2, S * (S - 1) // 2)), np.empty((7, 2))
    for i, label in enumerate(LABELS):
        for run, v in enumerate(rng.integers(5, 80, 2)):
            matrix = correlations(rng, S, v, shared=rng.uniform(0, 1))
            z[i, run] = np.arctanh(upper(matrix))
            weights[i, run] = 2 / polygamma(1, (v - 1) / 2)
            outputs.add(label, matrix, source=f"task-rest_run-{run + 1}", DegreesOfFreedom=int(v))
    assert call(outputs, "--weights", "precision").status == 0
    edges, _ = table_of(outputs, "mean")
    total = weights.sum(axis=1)
    means = np.einsum("pr,pre->ep", weights, z) / total
    for row, values in zip(edges.itertuples(), means, strict=True):
        tau2, effect, _ = paule_mandel(values, 1 / total)
        assert row.cochran_q == pytest.approx(cochran_q(values, total), rel=1e-6)
        assert row.tau2 == pytest.approx(tau2, rel=1e-5, abs=1e-9)
        assert row.effect == pytest.approx(effect, rel=1e-6)


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
        tau2, effect, _ = paule_mandel(values, 1 / (n - 3))
        assert row.effect == pytest.approx(effect, rel=1e-6)
        assert row.tau2 == pytest.approx(tau2, rel=1e-5, abs=1e-9)


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


def mean_squares(values):
    """Of participants, sessions and the rest of a table of participants and sessions."""
    n, k = values.shape
    grand, rows, columns = values.mean(), values.mean(axis=1), values.mean(axis=0)
    between = k * np.sum((rows - grand) ** 2) / (n - 1)
    sessions = n * np.sum((columns - grand) ** 2) / (k - 1)
    rest = np.sum((values - rows[:, np.newaxis] - columns + grand) ** 2) / ((n - 1) * (k - 1))
    return between, sessions, rest


def icc(values):
    """ICC(2,1) and ICC(3,1) of a table of participants and sessions, by their mean squares."""
    n, k = values.shape
    between, sessions, rest = mean_squares(values)
    agreement = (between - rest) / (between + (k - 1) * rest + k * (sessions - rest) / n)
    return agreement, (between - rest) / (between + (k - 1) * rest)


def icc_limits(values):
    """Low and high of ICC(2,1), then of ICC(3,1), as on page 424 of Shrout & Fleiss 1979."""
    n, k = values.shape
    between, sessions, rest = mean_squares(values)
    rho, f = icc(values)[0], sessions / rest
    part = n * (1 + (k - 1) * rho) - k * rho
    v = (k - 1) * (n - 1) * (k * rho * f + part) ** 2
    v /= (n - 1) * k**2 * rho**2 * f**2 + part**2
    upper_f, lower_f = stats.f.ppf(0.975, n - 1, v), stats.f.ppf(0.975, v, n - 1)
    others = k * sessions + (k * n - k - n) * rest
    low = n * (between - upper_f * rest) / (upper_f * others + n * between)
    high = n * (lower_f * between - rest) / (others + n * lower_f * between)
    ratio, degrees = between / rest, (n - 1) * (k - 1)
    smaller = ratio / stats.f.ppf(0.975, n - 1, degrees)
    larger = ratio * stats.f.ppf(0.975, degrees, n - 1)
    return low, high, (smaller - 1) / (smaller + k - 1), (larger - 1) / (larger + k - 1)


def test_reliability_of_edges_networks_and_participants(sessions, call, monkeypatch):
    outputs, z = sessions
    done = call(outputs, "--within", "session")
    assert done.status == 0, done.err
    values = np.stack([z["pre"][:6], z["post"][:6]], axis=1)
    table = outputs.result("reliability")
    assert set(table["n"]) == {6}
    expected = np.array([icc(values[:, :, edge]) for edge in range(values.shape[2])])
    np.testing.assert_allclose(table[["icc21", "icc31"]].to_numpy(), expected, rtol=1e-6)
    limits = ["icc21_low", "icc21_high", "icc31_low", "icc31_high"]
    own = [icc_limits(values[:, :, edge]) for edge in range(values.shape[2])]
    np.testing.assert_allclose(table[limits].to_numpy(), own, rtol=1e-6)
    networks = outputs.result("networkreliability")
    between = values[:, :, [1, 2, 4, 5]].mean(axis=2)  # s0 and s1 with s2 and s3
    row = networks[networks["network_1"] != networks["network_2"]].iloc[0]
    np.testing.assert_allclose([row["icc21"], row["icc31"]], icc(between), rtol=1e-6)
    np.testing.assert_allclose(row[limits].astype(float), icc_limits(between), rtol=1e-6)
    # As for many edges, of which a part is in memory at a time.
    monkeypatch.setattr("bids_spheres.group.reliability._BLOCK", 3 * 6 * 2)
    assert call(outputs, "--within", "session").status == 0
    pd.testing.assert_frame_equal(outputs.result("reliability"), table)
    strategies = read_tsv(outputs.root / "group" / "strategies.tsv").iloc[0]
    assert strategies["icc_median"] == pytest.approx(np.median(expected[:, 0]))
    r = np.corrcoef(values[:, 0], values[:, 1])[:6, 6:]
    rates = [np.mean(r.argmax(axis=axis) == np.arange(6)) for axis in (0, 1)]
    assert strategies["identification_rate"] == pytest.approx(np.mean(rates))
    assert 0 <= strategies["discriminability"] <= 1


def test_participants_who_are_like_themselves_are_told_apart(outputs, rng, call):
    for label in LABELS:
        matrix = correlations(rng, S, shared=rng.uniform(0, 2))
        for session in ("a", "b", "c"):
            noise = np.triu(rng.uniform(-1e-3, 1e-3, (S, S)), 1)
            outputs.add(
                label,
                np.round(matrix + noise + noise.T, 9).clip(-1, 1),
                source=f"ses-{session}_task-rest",
            )
    assert call(outputs, "--within", "session").status == 0
    row = read_tsv(outputs.root / "group" / "strategies.tsv").iloc[0]
    assert (row["discriminability"], row["identification_rate"]) == (1, 1)
    assert row["icc_median"] > 0.95


@pytest.fixture
def sites(outputs, rng):
    """20 participants of two sites; the second adds a shift, and doubles the spread, of z."""
    n = 20
    labels, site = [f"{i:02d}" for i in range(n)], np.array(list("ab") * (n // 2))
    age = rng.uniform(20, 60, n)
    z = 0.2 + 0.004 * age[:, np.newaxis] + 0.1 * rng.standard_normal((n, 10))
    z = np.where(site[:, np.newaxis] == "b", 0.3 + 2 * z, z)
    for label, values in zip(labels, z, strict=True):
        matrix = np.eye(S)
        matrix[np.triu_indices(S, 1)] = np.tanh(values)
        matrix = np.round(np.triu(matrix) + np.triu(matrix, 1).T, 12)
        outputs.add(label, matrix)
    outputs.participants(participant_id=labels, age=age, site=site)
    return outputs, z, site, age


@pytest.mark.slow
def test_harmonized_sites_have_one_mean_and_the_estimates_can_be_applied(sites, call):
    outputs, *_ = sites
    words = ("--model", "age + site", "--contrast", "site=site", "--harmonize", "site")
    assert call(outputs, "--model", "age + site", "--contrast", "site=site").status == 0
    before, _ = table_of(outputs, "site")
    done = call(outputs, *words)
    assert done.status == 0, done.err
    assert "liberal" not in done.err
    after, about = table_of(outputs, "site")
    assert np.abs(after["effect"]).mean() < 0.1 * np.abs(before["effect"]).mean()
    assert about["Harmonized"] == "site"
    path = outputs.path(f"stat-{PEARSON}_desc-simple_harmonization.tsv")
    table = read_tsv(path)
    assert set(table["parameter"]) == {
        "mean",
        "standard_deviation",
        "coefficient",
        "shift",
        "scale",
    }
    kept = path.with_name("kept.tsv")
    kept.write_bytes(path.read_bytes())
    assert call(outputs, *words, "--harmonize-from", kept).status == 0
    again, _ = table_of(outputs, "site")
    np.testing.assert_allclose(again["effect"], after["effect"], atol=1e-8)
    done = call(outputs, "--model", "age", "--harmonize", "site", "--harmonize-from", kept)
    assert done.status == 0, done.err  # sites determine their own term, so that age is what is kept
    assert "liberal" in done.err
    done = call(outputs, "--model", "site", "--harmonize", "site", "--harmonize-from", kept)
    assert done.status == 1
    assert "the terms none" in done.err


def test_estimates_of_several_sites_are_those_of_the_site_that_is_left(sites, call):
    outputs, z, site, age = sites
    words = ("--model", "age", "--contrast", "age=age", "--harmonize", "site")
    assert call(outputs, *words).status == 0
    path = outputs.path(f"stat-{PEARSON}_desc-simple_harmonization.tsv")
    kept = path.with_name("kept.tsv")
    kept.write_bytes(path.read_bytes())
    chosen = site == "b"
    labels = [f"{i:02d}" for i in np.flatnonzero(chosen)]
    call_of_b = ("--participant-label", *labels, *words, "--harmonize-from", kept)
    done = call(outputs, *call_of_b)
    assert done.status == 0, done.err
    edges, _ = table_of(outputs, "age")
    known = {
        (parameter, label): own["value"].to_numpy()
        for (parameter, label), own in read_tsv(kept)
        .fillna({"label": "n/a"})
        .groupby(["parameter", "label"])
    }
    mean, spread = known["mean", "n/a"], known["standard_deviation", "n/a"]
    expected = mean + age[chosen, np.newaxis] * known["coefficient", "age"]
    shifted = z[chosen] - expected - spread * known["shift", "b"]
    harmonized = expected + shifted / np.sqrt(known["scale", "b"])
    slopes = np.polyfit(age[chosen], harmonized, 1)[0]
    np.testing.assert_allclose(edges["effect"], slopes, rtol=1e-5)


def test_combat_in_each_permutation(sites, call):
    outputs, z, site, age = sites
    words = ("--model", "age", "--contrast", "age=age", "--harmonize", "site")
    done = call(
        outputs, *words, "--harmonize-within", "--inference", "maxt", "--permutations", "19"
    )
    assert done.status == 0, done.err
    assert "liberal" not in done.err
    edges, about = table_of(outputs, "age")
    assert about["HarmonizedInPermutations"] is True
    assert about["Exchangeability"] == "permutations within blocks of site"
    codes, covariates = (site == "b").astype(int), age[:, np.newaxis]
    design = np.column_stack([np.ones(len(age)), age])
    within = Exchangeability(codes)
    maxima = []
    for rows in arrange(design, "permute", 19, exchangeability=within).apply(np.eye(20), 0, 20):
        new = z.mean(axis=0) + rows.T @ (z - z.mean(axis=0))
        new = fit_combat(new, codes, covariates).apply(new, codes, covariates)
        maxima.append(max(abs(sm.OLS(y, design).fit().tvalues[1]) for y in new.T))
    expected = [np.mean(np.array(maxima) >= abs(t) - 1e-9) for t in edges["t"]]
    np.testing.assert_allclose(edges["p_maxt"], expected)
    assert max(np.abs(edges["t"])) == pytest.approx(maxima[0], rel=1e-6)
    assert call(outputs, *words).status == 0
    assert np.allclose(table_of(outputs, "age")[0]["t"], edges["t"])


def test_edges_of_at_most_three_independent_volumes_are_missing_in_random_effects(
    outputs, rng, call
):
    """1 / (n - 3) is no variance; the participant stays in the other edges."""
    z, volumes = [], []
    for label in LABELS:
        matrix, effective = correlations(rng, S), np.full((S, S), 40.0 + int(label))
        if label in ("02", "05"):
            effective[0, 1] = effective[1, 0] = {"02": 3, "05": 2.5}[label]
            effective[2, 3] = effective[3, 2] = 3.5
        outputs.add(label, effective, stat="effectivedof")
        outputs.add(label, matrix)
        z.append(np.arctanh(upper(matrix)))
        volumes.append(upper(effective))
    assert call(outputs, "--weights", "precision", "--connectivity", "pearson").status == 0
    edges, about = table_of(outputs, "mean")
    z, volumes = np.array(z), np.array(volumes)
    assert edges["n"].tolist() == [5, *[7] * 9]
    for edge, row in enumerate(edges.itertuples()):
        known = volumes[:, edge] > 3
        tau2, effect, error = paule_mandel(z[known, edge], 1 / (volumes[known, edge] - 3))
        assert row.effect == pytest.approx(effect, rel=1e-6)
        assert row.standard_error == pytest.approx(error, rel=1e-5)
        assert row.tau2 == pytest.approx(tau2, rel=1e-5, abs=1e-9)
    assert not {"Clusters", "Within", "Harmonized", "VarianceGroups"} & set(about)


def test_reliability_says_its_scale_and_is_left_out_without_networks(sessions, call):
    outputs, _ = sessions
    assert call(outputs, "--within", "session").status == 0
    assert outputs.about("reliability")["Scale"] == "Fisher z"
    assert outputs.about("networkreliability")["Scale"] == "Fisher z"
    table = outputs.result("reliability")
    assert table.columns.tolist()[:4] == ["edge", "node_1", "node_2", "n"]
    assert table[["node_1", "node_2"]].to_numpy().tolist()[3] == ["s0", "s4"]
    networks = outputs.result("networkreliability")
    assert networks["edges"].tolist() == [1, 4, 1]
    assert not outputs.path(f"stat-{PEARSON}_desc-simple_contrast-mean_edges.tsv").exists()
    for path in outputs.root.glob("sub-*/ses-*/func/*_dseg.tsv"):
        path.write_text(path.read_text().replace("default", "n/a").replace("visual", "n/a"))
    assert call(outputs, "--within", "session").status == 0
    assert outputs.path(f"stat-{PEARSON}_desc-simple_reliability.tsv").exists()
    assert not list((outputs.root / "group").glob("*_network*.tsv"))


def test_a_mean_of_both_sessions_is_not_tested_where_conditions_are_compared(sessions, call):
    outputs, _ = sessions
    done = call(outputs, "--within", "session", "--contrast", "F:x=post,pre")
    assert (done.status, "pairs of conditions" in done.err) == (2, True)
    assert call(outputs, "--within", "session", "--contrast", "mean=0.5*post+0.5*pre").status == 0
    edges, about = table_of(outputs, "mean")
    assert about["Weights"] == [{"post": 0.5, "pre": 0.5}]
    assert (about["Model"], about["Contrast"]) == ("1", "mean")
    assert set(edges["n"]) == {6}


def test_conditions_without_a_weight_need_not_be_there(outputs, rng):
    z, lacking = {}, (("01", "mid"), ("02", "post"), ("07", "mid"))
    for label, session in product(LABELS, ("pre", "mid", "post")):
        if (label, session) not in lacking:
            matrix = correlations(rng, S, shared=rng.uniform(0, 0.9))
            z[label, session] = np.arctanh(upper(matrix))
            outputs.add(label, matrix, source=f"ses-{session}_task-rest")
    contrasts = ("change=post-pre", "half=mid - 0.5*pre")
    assert run_group(outputs.root, GroupOptions(within="session", contrast=contrasts)) == []
    for name, weights in (("change", {"post": 1, "pre": -1}), ("half", {"mid": 1, "pre": -0.5})):
        known = [label for label in LABELS if all((label, own) in z for own in weights)]
        sums = [sum(w * z[label, own] for own, w in weights.items()) for label in known]
        edges, about = table_of(outputs, name)
        assert about["Weights"] == [weights]
        assert set(edges["n"]) == {6 if name == "change" else 5}
        np.testing.assert_allclose(edges["effect"], np.mean(sums, axis=0), rtol=1e-7)
        np.testing.assert_allclose(edges["t"], stats.ttest_1samp(sums, 0).statistic, rtol=1e-7)


def test_conditions_of_measures_without_a_zero_are_compared_too(outputs, rng, call):
    """A covariance is not tested against 0, and its change is."""
    values = rng.uniform(0.5, 3, (2, len(LABELS), S, S)).round(6)
    for session, matrices in zip(("pre", "post"), values, strict=True):
        for label, own in zip(LABELS, matrices, strict=True):
            matrix = np.triu(own) + np.triu(own, 1).T
            source = f"ses-{session}_task-rest"
            outputs.add(label, matrix, stat="covariance", source=source, ValidDiagonal=True)
    assert call(outputs, "--within", "session", "--contrast", "change=post-pre").status == 0
    stem = f"{GROUP}_stat-covariance_desc-simple_contrast-change_edges.tsv"
    edges = read_tsv(outputs.root / "group" / stem)
    pre, post = values[:, :, *np.triu_indices(S)]
    np.testing.assert_allclose(edges["t"], stats.ttest_rel(post, pre).statistic, rtol=1e-6)
    np.testing.assert_allclose(edges["effect"], (post - pre).mean(axis=0), rtol=1e-6)


def test_conditions_that_nobody_has_together(outputs, rng, call):
    for label, session in zip(LABELS, ("pre", "post") * 3, strict=False):
        outputs.add(label, correlations(rng, S), source=f"ses-{session}_task-rest")
    done = call(outputs, "--within", "session", "--contrast", "change=post-pre")
    assert done.status == 1
    assert "no contrast is tested. nobody has all conditions of change: post and pre" in done.err
    assert outputs.path(f"stat-{PEARSON}_desc-simple_mean.tsv").exists()
