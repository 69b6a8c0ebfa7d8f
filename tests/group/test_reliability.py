"""Agreement of conditions by formulas of mean squares, and of parts of runs by numpy."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist

from bids_spheres.group.edges import Edges, NetworkMeans
from bids_spheres.group.options import GroupOptions
from bids_spheres.group.reliability import (
    STEP,
    compare_conditions,
    correlate_edges,
    minutes_needed,
    run_stability,
)
from bids_spheres.group.testing import Rows
from bids_spheres.group.workflow import run_group
from tests.group.conftest import PEARSON, SETTINGS, new_outputs, read_tsv, upper, write_tsv
from tests.group.test_repeated import icc

NETWORKS = ("x", "x", "y", "n/a")
CONDITIONS = ("a", "b", "c")


def rows_of(values, order):
    """Rows of participants and conditions in an order, of an array (P, S, E)."""
    n_edges = values.shape[2]
    rows = Rows(n_edges)
    for person, condition in order:
        label = f"sub-{person}"
        if label not in rows.values.participants:
            rows.values.add(label, values[person].mean(axis=0))
        rows.repeated.add(f"{label} {condition}", values[person, condition])
        rows.conditions.append((label, CONDITIONS[condition]))
    return rows


def means_of_networks():
    return NetworkMeans(Edges(tuple("abcd"), NETWORKS, diagonal=False))


def test_participants_with_all_conditions_in_any_order(rng, monkeypatch):
    # Less than one edge at a time fits: it is one all the same.
    monkeypatch.setattr("bids_spheres.group.reliability._BLOCK", 3)
    person, noise = rng.standard_normal((5, 1, 6)), rng.standard_normal((5, 3, 6))
    values = 1.5 * person + noise
    order = [(p, c) for p in range(5) for c in range(3) if (p, c) != (3, 1)]
    rng.shuffle(order)
    found = compare_conditions(rows_of(values, order), means_of_networks())
    complete = values[[0, 1, 2, 4]]
    expected = np.array([icc(complete[:, :, edge]) for edge in range(6)])
    np.testing.assert_allclose(found.edges[["icc21", "icc31"]], expected, rtol=1e-9)
    assert found.edges["n"].tolist() == [4] * 6
    assert (found.edges["icc21_low"] < found.edges["icc21"]).all()
    assert (found.edges["icc31_high"] > found.edges["icc31"]).all()
    # Edges in rows of the triangle: ab of x with x; ac and bc of x with y.
    of_pairs = np.stack([complete[..., 0], complete[..., [1, 3]].mean(axis=-1)], axis=-1)
    networks = pd.DataFrame(found.networks)[["icc21", "icc31"]].to_numpy()
    np.testing.assert_allclose(networks[0], icc(of_pairs[:, :, 0]), rtol=1e-9)
    np.testing.assert_allclose(networks[1], icc(of_pairs[:, :, 1]), rtol=1e-9)
    assert np.isnan(networks[2]).all()  # no edge joins y with y
    rates = []
    for first, second in combinations(range(3), 2):
        r = np.corrcoef(complete[:, first], complete[:, second])[:4, 4:]
        rates += [np.mean(r.argmax(axis=axis) == np.arange(4)) for axis in (0, 1)]
    assert found.identification_rate == pytest.approx(np.mean(rates))
    # Of all measurements, those of the fourth participant as well.
    stacked = np.array([values[p, c] for p, c in order])
    people, distances = np.array([p for p, _ in order]), cdist(stacked, stacked)
    shares = [
        np.mean(distances[i, people != p] > distances[i, j])
        for i, p in enumerate(people)
        for j in np.flatnonzero(people == p)
        if i != j
    ]
    assert found.discriminability == pytest.approx(np.mean(shares))


@pytest.mark.parametrize(
    ("people", "conditions", "known"), [(2, 2, True), (1, 2, False), (2, 1, False)]
)
def test_two_participants_with_two_conditions_are_enough(rng, people, conditions, known):
    values = rng.standard_normal((2, 3, 6))
    order = [(p, c) for p in range(people) for c in range(conditions)]
    order += [(1, 2)] * (people == 1)  # of another who lacks the others
    found = compare_conditions(rows_of(values, order), means_of_networks())
    assert (found is not None) is known
    if found:
        expected = [icc(values[:, :2, edge])[0] for edge in range(6)]
        np.testing.assert_allclose(found.edges["icc21"], expected, rtol=1e-9)


T_R = 2.0
LABELS = [f"{i:02d}" for i in range(1, 7)]
POINTS = np.random.default_rng(1).uniform(-50, 50, (9, 3))
NETWORK_OF = ("default",) * 4 + ("visual",) * 4 + ("n/a",)
PAIRS = {("default", "default"): 6, ("default", "visual"): 16, ("visual", "visual"): 6}


@pytest.fixture
def dataset(tmp_path, rng):
    """Series of six people in two sessions of 12 to 14 minutes, and their matrices.

    After the strategy 36P there is noise alone: r of parts with the whole grows slowly, and
    nothing is the same in both sessions.
    """
    outputs = new_outputs(tmp_path / "out")
    outputs.points, outputs.networks = POINTS, NETWORK_OF
    series = {}
    for label in LABELS:
        mixing = rng.standard_normal((9, 9)) + 2 * np.eye(9)
        for session, n in (("1", 360), ("2", 420)):
            signal, noise = rng.standard_normal((2, n, 9))
            by_strategy = {"simple": signal @ mixing + 0.3 * noise, "36P": noise}
            for strategy, own in by_strategy.items():
                values = np.round(own, 6)
                series[strategy, label, session] = values
                matrix = np.round(np.corrcoef(values.T), 9)
                facts = {"source": f"ses-{session}_task-rest", "strategy": strategy}
                save(outputs.add(label, matrix, **facts), values)
    return outputs, series


def save(matrix_path, values, names=None):
    """Write the series of a matrix, as the participant level does."""
    stem = matrix_path.name.replace(f"_stat-{PEARSON}_", "_stat-mean_").replace("_relmat", "")
    path = matrix_path.with_name(stem.replace(".tsv", "_timeseries.tsv"))
    columns = names or [f"s{i}" for i in range(values.shape[1])]
    write_tsv(path, pd.DataFrame(values, columns=columns))
    content = {**SETTINGS, "RepetitionTime": T_R}
    path.with_suffix(".json").write_text(json.dumps(content))
    return path


@pytest.fixture
def call(run_app, tmp_path):
    """Call the group level with --stability and without a page."""

    def run(outputs, *words):
        options = ("--stability", "--report-level", "none", *words)
        return run_app(tmp_path / "no", outputs.root, "group", *options)

    return run


def z_of(values):
    return np.arctanh(upper(np.corrcoef(values.T)))


def agreement(part, whole, chosen=slice(None)):
    return np.corrcoef(z_of(part)[chosen], z_of(whole)[chosen])[0, 1]


def edges_of(first, second):
    rows, columns = np.triu_indices(9, 1)
    ends = np.sort(np.array([np.array(NETWORK_OF)[rows], np.array(NETWORK_OF)[columns]]), axis=0)
    return np.flatnonzero((ends == np.array([[first], [second]])).all(axis=0))


def reached(minutes, curve):
    """First crossing of .8, on a fine grid between the points."""
    grid = np.linspace(minutes[0], minutes[-1], 200001)
    above = np.interp(grid, minutes, curve) >= 0.8
    return grid[np.argmax(above)] if above.any() else np.nan


def icc21(values):
    """ICC(2,1) of participants and sessions, by the mean squares of an analysis of variance."""
    n, k = values.shape
    grand = values.mean()
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    between = k * np.sum((rows - grand) ** 2) / (n - 1)
    sessions = n * np.sum((columns - grand) ** 2) / (k - 1)
    rest = np.sum((values - rows[:, None] - columns + grand) ** 2) / ((n - 1) * (k - 1))
    return (between - rest) / (between + (k - 1) * rest + k * (sessions - rest) / n)


def test_parts_of_every_run_against_the_whole(dataset, call):
    outputs, series = dataset
    done = call(outputs)
    assert done.status == 0, done.err
    table = read_tsv(outputs.root / "group" / "stability.tsv")
    assert len(table) == 2 * 6 * (5 + 6)  # 2 to 10, and to 12 minutes
    by_run = table.groupby(["strategy", "participant_id", "session_id"])
    for (strategy, person, session), own in by_run:
        values = series[strategy, person.removeprefix("sub-"), session.removeprefix("ses-")]
        half = len(values) // 2
        assert own["minutes_kept"].unique() == pytest.approx([len(values) * T_R / 60])
        expected = agreement(values[:half], values[half:])
        assert own["split_half"].unique() == pytest.approx([expected])
        for row in own.itertuples():
            part = values[: int(row.minutes * 60 / T_R)]
            assert row.r == pytest.approx(agreement(part, values))
    assert set(table["strategy"]) == {"simple", "36P"}


@pytest.mark.parametrize("strategy", ["simple", "36P"])
def test_minutes_that_pairs_of_networks_need(dataset, call, strategy):
    outputs, every = dataset
    series = {
        (label, session): values
        for (name, label, session), values in every.items()
        if name == strategy
    }
    assert call(outputs).status == 0
    table = outputs.result("minutes", strategy=strategy)
    assert table["participants"].unique() == [6]
    minutes = np.arange(1, 7) * STEP
    rows = {("n/a", "n/a"): np.arange(36)} | {pair: edges_of(*pair) for pair in PAIRS}
    assert [tuple(x) for x in table[["network_1", "network_2"]].fillna("n/a").to_numpy()] == [*rows]
    assert table["edges"].tolist() == [36, *PAIRS.values()]
    for row, chosen in zip(table.itertuples(), rows.values(), strict=True):
        r = np.full((6, 2, 6), np.nan)
        z = np.full((6, 2, 6), np.nan)
        for (label, session), values in series.items():
            lengths = [int(length * 60 / T_R) for length in minutes]
            for part, n in enumerate(n for n in lengths if n < len(values)):
                cell = int(label) - 1, int(session) - 1, part
                r[cell] = agreement(values[:n], values, chosen)
                z[cell] = z_of(values[:n])[chosen].mean()
        curve = np.nanmean(r, axis=1).mean(axis=0)
        assert row.minutes_for_r == pytest.approx(reached(minutes, curve), abs=1e-3, nan_ok=True)
        assert (row.longest, row.r) == (12, pytest.approx(curve[-1]))
        icc = [icc21(z[:, :, part]) for part in range(5)]  # no first session has 12 minutes
        expected = reached(minutes[:5], icc)
        assert row.minutes_for_icc == pytest.approx(expected, abs=1e-3, nan_ok=True)
        assert np.isnan(row.icc)
    # Those of noise are near those of theory: r of a part is the root of its share.
    needs = table[["minutes_for_r", "minutes_for_icc"]].iloc[0].to_list()
    expected = [2, 4] if strategy == "simple" else [0.64 * 12, np.nan]
    assert needs == pytest.approx(expected, abs=1.5, nan_ok=True)
    strategies = read_tsv(outputs.root / "group" / "strategies.tsv").set_index("strategy")
    assert strategies.loc[strategy, "minutes_for_r"] == table["minutes_for_r"].iloc[0]
    halves = read_tsv(outputs.root / "group" / "stability.tsv").drop_duplicates(
        ["source", "strategy"]
    )
    halves = halves.groupby("strategy")["split_half"].mean()
    assert strategies.loc[strategy, "split_half"] == pytest.approx(halves[strategy])


@pytest.mark.slow
def test_the_page_says_how_many_minutes_it_takes(dataset, run_as_typed, tmp_path):
    outputs, _ = dataset
    page = outputs.root / "group.html"
    words = (tmp_path / "no", outputs.root, "group")
    shown = ("Split halves", "Minutes for r", "Minutes for ICC", "Gordon", "Noble")
    assert run_as_typed(*words).status == 0
    assert not [text for text in shown if text in page.read_text()]
    assert run_as_typed(*words, "--stability").status == 0
    assert [text for text in shown if text in page.read_text()] == [*shown]
    for strategy in ("simple", "36P"):
        minutes = outputs.result("minutes", strategy=strategy).iloc[0]
        assert f">{minutes['minutes_for_r']:.1f}<" in page.read_text()


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([0.5, 0.7, 0.9], 5.0),
        ([0.9, 0.95, 1], 2.0),
        ([0.1, 0.2, 0.3], np.nan),
        ([np.nan, 0.9, 0.9], 4.0),
        ([0.7, 0.9, np.nan], 3.0),
        ([0.5, 0.7, 0.8], 6.0),
        ([0.8, 0.7, 0.9], 2.0),
        ([0.4, 0.9, 0.2], 3.6),
        ([0.7, 0.3, 0.9], 4 + 2 * 0.5 / 0.6),
        ([0.5, np.nan, 0.9], 6.0),
    ],
)
def test_where_a_curve_reaches_the_target(curve, expected):
    found = minutes_needed(np.array([2.0, 4, 6]), np.array(curve))
    assert found == pytest.approx(expected, nan_ok=True)


def test_censored_rows_missing_spheres_and_lost_series(outputs, rng, call):
    """Rows of censored volumes are left out, spheres without a signal have no edges."""
    series = {}
    for label in LABELS[:4]:
        values = rng.standard_normal((200, 5)) + rng.standard_normal((200, 1))
        path = outputs.add(label, np.round(np.corrcoef(values.T), 9))
        series[label] = values
        if label == "01":
            values[::10] = np.nan
        elif label == "02":
            values[:, 3] = np.nan
        if label != "04":
            save(path, values)
    done = call(outputs)
    assert done.status == 0, done.err
    assert "no stability of 1 run without series" in done.err
    table = read_tsv(outputs.root / "group" / "stability.tsv").set_index("participant_id")
    assert set(table.index) == {"sub-01", "sub-02", "sub-03"}
    kept = series["01"][np.isfinite(series["01"]).all(axis=1)]
    assert table.loc["sub-01", "minutes_kept"].iloc[0] == pytest.approx(180 * T_R / 60)
    assert table.loc["sub-01", "r"].iloc[0] == pytest.approx(agreement(kept[:60], kept))
    known = np.delete(series["02"], 3, axis=1)
    assert table.loc["sub-02", "r"].iloc[1] == pytest.approx(agreement(known[:120], known))
    # One edge has no correlation over edges.
    pairs = outputs.result("minutes").set_index("network_1")
    assert pairs.loc["default", "r"].isna().any()


def test_runs_below_two_minutes_and_networks_of_one_seed(outputs, rng, call):
    outputs.networks = ("default", "default", "visual", "visual", "motor")
    for label in LABELS[:3]:
        values = rng.standard_normal((50, 5)) + rng.standard_normal((50, 1))
        path = outputs.add(label, np.round(np.corrcoef(values.T), 9))
        save(path, values)
    done = call(outputs)
    assert done.status == 0, done.err
    table = read_tsv(outputs.root / "group" / "stability.tsv")
    assert len(table) == 3
    assert table[["minutes", "r"]].isna().all(axis=None)
    assert table["split_half"].notna().all()
    minutes = outputs.result("minutes")
    assert minutes["edges"].tolist() == [10, 1, 4, 2, 1, 2]
    assert minutes[["minutes_for_r", "longest", "r"]].isna().all(axis=None)
    path = save(path, np.vstack([values] * 3))
    assert call(outputs, "--participant-label", LABELS[2]).status == 0
    assert len(read_tsv(outputs.root / "group" / "stability.tsv")) == 2


def test_without_the_option_nothing_of_it_is_left(dataset, call, run_app, tmp_path):
    outputs, _ = dataset
    assert call(outputs).status == 0
    folder = outputs.root / "group"
    assert len([*folder.glob("*_minutes.tsv"), folder / "stability.tsv"]) == 3
    assert run_app(tmp_path / "no", outputs.root, "group", "--report-level", "none").status == 0
    assert not [*folder.glob("*_minutes.*"), *folder.glob("stability.*")]
    assert "split_half" not in read_tsv(folder / "strategies.tsv").dropna(axis=1, how="all")


def test_pearson_correlations_are_needed(outputs, rng, call):
    for label in LABELS[:3]:
        matrix = np.round(np.corrcoef(rng.standard_normal((5, 90))), 9)
        outputs.add(label, matrix, stat="partialcorrelation")
    done = call(outputs)
    assert done.status == 0, done.err
    assert "--stability is about Pearson correlations" in done.err
    assert "without series" not in done.err


def test_series_are_needed(outputs, rng, call):
    for label in LABELS[:3]:
        outputs.add(label, np.round(np.corrcoef(rng.standard_normal((5, 90))), 9))
    done = call(outputs)
    assert done.status == 0, done.err
    assert "no stability of 3 runs without series" in done.err


def test_parts_have_the_volumes_nearest_to_their_minutes(rng):
    """Of 0.72 s: 2 minutes are 166.7 volumes, and 4 are 333.3."""
    series = rng.standard_normal((400, 9)) @ (rng.standard_normal((9, 9)) + 2 * np.eye(9))
    edges = Edges(tuple("abcdefghi"), ("n/a",) * 9, diagonal=False)
    found = run_stability(series, 0.72, edges, NetworkMeans(edges))
    assert found.minutes_kept == pytest.approx(4.8)
    expected = [agreement(series[:n], series) for n in (167, 333)]
    np.testing.assert_allclose(found.r[:, 0], expected, rtol=1e-9)
    assert found.split_half == pytest.approx(agreement(series[:200], series[200:]))
    np.testing.assert_allclose(found.means[0, 0], z_of(series[:167]).mean(), rtol=1e-9)
    # What a missing sphere leaves is averaged.
    lacking = series.copy()
    lacking[:, 4] = np.nan
    means = run_stability(lacking, 0.72, edges, NetworkMeans(edges)).means[:, 0]
    known = np.delete(series, 4, axis=1)
    np.testing.assert_allclose(means, [z_of(known[:n]).mean() for n in (167, 333)], rtol=1e-9)
    # Of exactly two minutes there is no part that is shorter.
    exactly = run_stability(series[:240], 0.5, edges, NetworkMeans(edges))
    assert exactly.r.shape == (0, 1)


def test_correlations_over_sets_of_edges_are_those_of_numpy(rng):
    members = np.array([0, 2, 2, 0, 3, 2, 0, -1, 2, 3, 4, 4, 4])
    first, second = rng.standard_normal((2, 13))
    first[8], second[10] = np.nan, np.inf
    found = correlate_edges(first, second, members, 6)
    for own in (0, 2):
        chosen = (members == own) & np.isfinite(first) & np.isfinite(second)
        assert chosen.sum() == 3
        assert found[own] == pytest.approx(np.corrcoef(first[chosen], second[chosen])[0, 1])
    # None, two of two, two of three, and none.
    assert np.isnan(found[[1, 3, 4, 5]]).all()
    assert np.isnan(correlate_edges(np.ones(4), rng.standard_normal(4), np.zeros(4, int), 1)).all()


@pytest.mark.parametrize(("n_long", "longest"), [(2, 6), (1, 4)])
def test_parts_that_half_of_the_participants_have(outputs, rng, call, n_long, longest):
    """Of four; 7 minutes have parts of 2, 4 and 6, and 5 minutes of 2 and 4."""
    r = []
    for i, label in enumerate(LABELS[:4]):
        n = 210 if i < n_long else 150
        values = rng.standard_normal((n, 5)) + rng.standard_normal((n, 1))
        save(outputs.add(label, np.round(np.corrcoef(values.T), 9)), values)
        if len(values) > longest * 30:
            r.append(agreement(values[: longest * 30], values))
    done = call(outputs)
    assert done.status == 0, done.err
    row = outputs.result("minutes").iloc[0]
    assert (row["participants"], row["longest"], row["edges"]) == (4, longest, 10)
    assert row["r"] == pytest.approx(np.mean(r))
    assert outputs.about("minutes")["Target"] == 0.8
    assert row[["icc", "minutes_for_icc"]].isna().all()


def test_series_are_those_of_the_aggregation(outputs, rng):
    """Those of means beside them are of another length."""
    series = {}
    for label in LABELS[:3]:
        values = rng.standard_normal((150 + int(label), 5)) + rng.standard_normal(
            (150 + int(label), 1)
        )
        path = outputs.add(label, np.round(np.corrcoef(values.T), 9), Aggregation="median")
        saved = save(path, values)
        for own in (saved, saved.with_suffix(".json")):
            own.rename(own.with_name(own.name.replace("_stat-mean_", "_stat-median_")))
        save(path, values[:100])
        series[f"sub-{label}"] = values
    assert run_group(outputs.root, GroupOptions(stability=True)) == []
    table = read_tsv(outputs.root / "group" / "stability.tsv").drop_duplicates("source")
    found = table.set_index("participant_id")["minutes_kept"].to_dict()
    expected = {label: len(values) * T_R / 60 for label, values in series.items()}
    assert found == pytest.approx(expected)


def test_means_of_parts_are_over_runs_then_sessions_then_participants(outputs, rng):
    lengths = {("01", 1, 1): 210, ("01", 1, 2): 240, ("01", 2, 1): 215}
    lengths |= {("02", 1, 1): 205, ("02", 2, 1): 90, ("03", 1, 1): 150}
    r, halves = {}, []
    for (label, session, run), n in lengths.items():
        values = rng.standard_normal((n, 5)) + rng.uniform(0, 1) * rng.standard_normal((n, 1))
        source = f"ses-{session}_task-rest_run-{run}"
        save(outputs.add(label, np.round(np.corrcoef(values.T), 9), source=source), values)
        r[label, session, run] = [agreement(values[:m], values) for m in (60, 120, 180) if m < n]
        halves.append(agreement(values[: n // 2], values[n // 2 :]))
    gone = {"source": "ses-2_task-rest", "Excluded": "moved", "DegreesOfFreedom": 0}
    save(outputs.add("03", np.full((5, 5), np.nan), **gone), rng.standard_normal((210, 5)))
    assert run_group(outputs.root, GroupOptions(stability=True)) == []
    row = outputs.result("minutes").iloc[0]
    assert (row["participants"], row["longest"]) == (3, 6)
    first = ((r["01", 1, 1][2] + r["01", 1, 2][2]) / 2 + r["01", 2, 1][2]) / 2
    assert row["r"] == pytest.approx((first + r["02", 1, 1][2]) / 2)
    # One participant alone has six minutes in both sessions.
    assert np.isnan(row["icc"])
    strategies = read_tsv(outputs.root / "group" / "strategies.tsv").iloc[0]
    assert strategies["split_half"] == pytest.approx(np.mean(halves))


def test_agreement_of_parts_that_less_than_half_of_the_participants_have_does_not_count(
    outputs, rng
):
    """Two of five have 6 minutes in both sessions, of which the last two minutes agree."""
    z = {}
    for i, label in enumerate(LABELS[:5]):
        for session in (1, 2):
            n = 210 if i < 2 else 150
            shared = np.full((n, 1), 0.2 + 0.6 * ((i + session) % 2))
            shared[120:180] = 5 * i if i < 2 else 0.5
            values = rng.standard_normal((n, 5)) + shared * rng.standard_normal((n, 1))
            source = f"ses-{session}_task-rest"
            save(outputs.add(label, np.round(np.corrcoef(values.T), 9), source=source), values)
            z[i, session] = [z_of(values[:m]).mean() for m in (60, 120, 180) if m < n]
    of_two = np.array([[z[i, session][2] for session in (1, 2)] for i in range(2)])
    assert icc21(of_two) > 0.9
    assert run_group(outputs.root, GroupOptions(stability=True)) == []
    row = outputs.result("minutes").iloc[0]
    assert (row["participants"], row["longest"]) == (5, 4)
    assert np.isnan(row["minutes_for_icc"])
    of_all = np.array([[z[i, session][1] for session in (1, 2)] for i in range(5)])
    assert row["icc"] == pytest.approx(icc21(of_all))


def test_what_less_than_half_of_the_participants_reach_is_not_reached(outputs, rng):
    """Of noise, whose r with the whole is the root of the share of a part."""
    outputs.points, outputs.networks = POINTS, NETWORK_OF
    r = []
    for i, label in enumerate(LABELS[:5]):
        values = rng.standard_normal((210 if i < 2 else 115, 9))
        save(outputs.add(label, np.round(np.corrcoef(values.T), 9)), values)
        r.append([agreement(values[:n], values) for n in (60, 120, 180) if n < len(values)])
    assert np.mean([own[2] for own in r[:2]]) > 0.8
    assert run_group(outputs.root, GroupOptions(stability=True)) == []
    row = outputs.result("minutes").iloc[0]
    assert (row["longest"], row["r"]) == (2, pytest.approx(np.mean([own[0] for own in r])))
    assert row["r"] < 0.8
    assert np.isnan(row["minutes_for_r"])
