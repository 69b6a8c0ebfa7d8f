"""Effects over all choices of analysis: formulas, and data in which the robust ones are known."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import permutations, product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_spheres.files.names import parse_name
from bids_spheres.group.edges import Edges, NetworkMeans, Scale
from bids_spheres.group.head_motion import Benchmark
from bids_spheres.group.model import MEAN
from bids_spheres.group.multiverse import (
    Multiverse,
    estimate_effects,
    robustness,
    shapley_shares,
    specification_curves,
)
from bids_spheres.group.options import GroupOptions
from bids_spheres.group.stream import EdgeValues
from bids_spheres.group.testing import all_participants
from bids_spheres.group.workflow import run_group
from tests.group.conftest import SPACE, new_outputs, read_tsv, without

LABELS = [f"{i:02d}" for i in range(1, 13)]
STEM = f"task-rest_space-{SPACE}_atlas-Tiny"
DEFAULT, BETWEEN, VISUAL = ("default", "default"), ("default", "visual"), ("visual", "visual")


@pytest.fixture
def call(run_app, tmp_path):
    """Call the group level without a page."""

    def run(outputs, *words):
        return run_app(tmp_path / "no", outputs.root, "group", "--report-level", "none", *words)

    return run


ORIGIN = np.eye(5) / 2
"""What makes the diagonal of correlations finite on the scale of z."""


def matrix(within_default, between, within_visual, rest=0.0):
    """Correlations of the five nodes: two of each network, and one of none, with (4,) others."""
    z = np.zeros((5, 5))
    z[4, :4] = z[:4, 4] = rest
    z[:2, :2], z[2:4, 2:4] = within_default, within_visual
    z[:2, 2:4] = z[2:4, :2] = between
    r = np.tanh(z)
    np.fill_diagonal(r, 1)
    return r


def tables(outputs, stem=STEM):
    """Both tables and their sidecars."""
    paths = [
        outputs.root / "group" / f"{stem}_{what}.tsv" for what in ("specifications", "robustness")
    ]
    sidecars = [json.loads(path.with_suffix(".json").read_text()) for path in paths]
    return (*map(read_tsv, paths), *sidecars)


def row(table, networks, contrast="mean"):
    """Rows of an effect."""
    own = table[(table["network_1"] == networks[0]) & (table["network_2"] == networks[1])]
    return own[own["contrast"] == contrast]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Twelve participants, three strategies and two radii.

    Within default all strategies see an effect. Within visual one does not. Between networks the
    sign depends on the strategy. After the strategy `moved` all edges go with head motion, and
    the effect within default drowns in it.
    """
    outputs, rng = new_outputs(tmp_path_factory.mktemp("many") / "out"), np.random.default_rng(1)
    fd = np.linspace(0.05, 0.6, len(LABELS))
    for (label, motion), strategy, radius in product(
        zip(LABELS, fd, strict=True), ("simple", "36P", "moved"), (4, 6)
    ):
        moved = 5 * (motion - fd.mean()) if strategy == "moved" else 0
        noise = rng.normal(0, 0.02, 3) + moved
        z = np.array([0.3, {"simple": -0.2}.get(strategy, 0.2), {"36P": 0}.get(strategy, 0.3)])
        z[0] += 0.05 * (radius == 6)
        outputs.add(
            label,
            matrix(*(z + noise), rest=rng.normal(0, 0.1, 4) + moved),
            strategy=strategy,
            seeds=f"atlas-Tiny_scale-{radius}mm",
            Radius=radius,
            MeanFramewiseDisplacement=motion,
        )
    return outputs.root


@pytest.fixture
def simulated(written, outputs):
    """A copy of these outputs."""
    shutil.copytree(written, outputs.root, dirs_exist_ok=True)
    return outputs


def test_robust_and_fragile_effects_are_those_that_were_simulated(simulated, call):
    done = call(simulated, "--multiverse")
    assert done.status == 0, done.err
    curves, effects, _, about = tables(simulated)
    motion = curves.groupby("strategy")["qc_fc_within_chance"].unique().map(list)
    assert motion.to_dict() == {"36P": [1], "moved": [0], "simple": [1]}
    own = {pair: row(effects, pair).iloc[0] for pair in (DEFAULT, BETWEEN, VISUAL)}
    assert {pair: own[pair]["verdict"] for pair in own} == {
        DEFAULT: "robust", BETWEEN: "fragile", VISUAL: "fragile"
    }  # fmt: skip
    # Drowned in motion, but that does not count.
    assert own[DEFAULT]["significant"] == pytest.approx(4 / 6)
    assert own[DEFAULT]["significant_within_chance"] == 1
    assert own[DEFAULT]["positive"] == 1
    assert own[BETWEEN]["positive"] == pytest.approx(4 / 6)
    assert own[BETWEEN]["share_strategy"] > 0.95
    assert own[VISUAL]["significant_within_chance"] == 0.5
    assert about["Choices"] == {
        "strategy": ["36P", "moved", "simple"], "scale": ["4mm", "6mm"],
        "measure": ["pearsoncorrelation"], "seeds": ["Tiny"],
    }  # fmt: skip
    assert about["Robust"] == {"Q": 0.05, "Share": 0.8, "QCFCSignificant": 0.1}
    assert effects["share_measure"].isna().all()


def test_numbers_that_decide_can_be_chosen(simulated, call):
    words = ("--robust-qcfc", "1", "--robust-share", "0.6", "--robust-q", "0.01")
    assert call(simulated, "--multiverse", *words).status == 0
    _, effects, _, about = tables(simulated)
    assert about["Robust"] == {"Q": 0.01, "Share": 0.6, "QCFCSignificant": 1}
    assert row(effects, DEFAULT).iloc[0]["within_chance"] == 6
    assert row(effects, DEFAULT).iloc[0]["verdict"] == "robust"  # 4 of 6
    call(simulated, "--multiverse", "--robust-qcfc", "1")
    assert row(tables(simulated)[1], DEFAULT).iloc[0]["verdict"] == "fragile"


def test_shares_and_q_at_their_limits():
    """At least the share is robust, q below its limit is significant, and 0 has no sign."""
    effect = {"effect": 1, "contrast": "mean", "network_1": "a", "network_2": "b"}
    names = {"scale": "", "measure": "x", "seeds": "y", "qc_fc_within_chance": 1}
    cells = [("s", 0.1, 0.01), ("t", 0.2, 0.05), ("u", 0.3, 0.04), ("v", 0.4, 0.2)]
    table = pd.DataFrame(
        {**effect, **names, "strategy": s, "estimate": estimate, "q": q} for s, estimate, q in cells
    )
    for share, verdict in ((0.5, "robust"), (0.51, "fragile")):
        (row,) = robustness(table, GroupOptions(robust_share=share)).itertuples()
        assert (row.significant_within_chance, row.within_chance, row.verdict) == (0.5, 4, verdict)
    table.loc[0, "estimate"] = 0.0
    (row,) = robustness(table, GroupOptions(robust_share=0.5)).itertuples()
    assert (row.verdict, row.positive, row.minimum) == ("fragile", 0.75, 0)


def test_with_controls_permutations_of_motion_say_what_is_within_chance(simulated, call):
    done = call(simulated, "--multiverse", "--controls", "--robust-qcfc", "1")
    assert done.status == 0, done.err
    curves, effects, _, about = tables(simulated)
    motion = curves.groupby("strategy")["qc_fc_within_chance"].unique().map(list)
    assert motion.to_dict() == {"36P": [1], "moved": [0], "simple": [1]}
    by_group = read_tsv(simulated.root / "group" / "strategies.tsv").set_index("group")["qc_fc_p"]
    found = curves[["group", "qc_fc_p"]].drop_duplicates().set_index("group")["qc_fc_p"]
    pd.testing.assert_series_equal(found.sort_index(), by_group.sort_index())
    # No order of twelve participants is as good as the one that was simulated.
    assert curves.loc[curves["strategy"] == "moved", "qc_fc_p"].max() < 0.01
    assert row(effects, DEFAULT).iloc[0]["within_chance"] == 4
    assert about["Robust"]["QCFCPermutationP"] == 0.05


def test_head_motion_that_is_left_is_that_of_the_table_of_strategies(simulated, call):
    assert call(simulated, "--multiverse").status == 0
    columns = ["qc_fc_median", "qc_fc_significant"]
    by_group = read_tsv(simulated.root / "group" / "strategies.tsv").set_index("group")[columns]
    found = tables(simulated)[0][["group", *columns]].drop_duplicates().set_index("group")
    assert len(found) == 6
    assert found["qc_fc_median"].nunique() == 6
    pd.testing.assert_frame_equal(found.sort_index(), by_group.sort_index())


@pytest.fixture
def negative(outputs, rng):
    """Within default and visual all is negative, between them the sign depends on the strategy.

    One edge of ten goes with head motion, in both strategies.
    """
    fd = np.linspace(0.05, 0.6, len(LABELS))
    for (label, motion), strategy in product(zip(LABELS, fd, strict=True), ("simple", "36P")):
        rest = rng.normal(0, 0.1, 4) + 5 * (motion - fd.mean()) * np.eye(4)[0]
        sign = 1 if strategy == "simple" else -1
        z = np.array([-0.3, 0.2 * sign, -0.2]) + rng.normal(0, 0.02, 3)
        facts = {"strategy": strategy, "MeanFramewiseDisplacement": motion}
        outputs.add(label, matrix(*z, rest=rest), **facts)
    return outputs


def test_an_effect_that_is_negative_throughout_is_robust(negative, call):
    assert call(negative, "--multiverse", "--robust-qcfc", "0.5").status == 0
    _, effects, *_ = tables(negative)
    for pair in (DEFAULT, VISUAL):
        own = row(effects, pair).iloc[0]
        assert (own["verdict"], own["positive"], own["significant_within_chance"]) == (
            "robust", 0, 1
        )  # fmt: skip
        assert own["maximum"] < 0
    assert row(effects, BETWEEN).iloc[0]["verdict"] == "fragile"


def test_where_signs_agree_and_all_have_head_motion_left_there_is_no_verdict(negative, call):
    assert call(negative, "--multiverse", "--robust-qcfc", "0").status == 0
    curves, effects, *_ = tables(negative)
    assert (curves["qc_fc_significant"] > 0).all()
    assert (curves["qc_fc_within_chance"] == 0).all()
    assert effects["within_chance"].tolist() == [0, 0, 0]
    assert effects["significant_within_chance"].isna().all()
    assert row(effects, DEFAULT)["verdict"].isna().all()
    assert row(effects, VISUAL)["verdict"].isna().all()
    assert row(effects, BETWEEN).iloc[0]["verdict"] == "fragile"


def test_spread_over_placements_is_averaged_and_no_effect(negative, rng, call):
    values = {"placementmean": [], "placementsd": []}
    for label, stat, strategy in product(LABELS, values, ("simple", "36P")):
        own = np.round(rng.uniform(0, 2, (5, 5)), 6)
        own = np.triu(own, 1) + np.triu(own, 1).T + np.diag(np.full(5, np.nan))
        negative.add(label, own, stat=stat, strategy=strategy)
        values[stat] += [own] if strategy == "simple" else []
    assert call(negative, "--multiverse").status == 0
    assert set(tables(negative)[0]["measure"]) == {"pearsoncorrelation"}
    for stat, own in values.items():
        # They are on the scale of z already.
        mean, sd = np.mean(own, axis=0), np.std(own, axis=0, ddof=1)
        np.testing.assert_allclose(negative.matrix("mean", stat=stat), mean, rtol=1e-8)
        np.testing.assert_allclose(negative.matrix("sd", stat=stat), sd, rtol=1e-7)
        tests = [negative.path(f"stat-{stat}_desc-simple_{what}.tsv") for what in "tpq"]
        assert not [path for path in tests if path.exists()]


def test_estimates_are_those_of_scipy_and_sorted(simulated, call):
    call(simulated, "--multiverse")
    curves, *_ = tables(simulated)
    assert len(curves) == 3 * 6
    for _, own in curves.groupby("effect"):
        assert own["rank"].tolist() == [1, 2, 3, 4, 5, 6]
        assert own["estimate"].is_monotonic_increasing
    one = curves[(curves["strategy"] == "simple") & (curves["scale"] == "4mm")].sort_values(
        "effect"
    )
    pairs = {DEFAULT: ([0], [1]), BETWEEN: ([0, 0, 1, 1], [2, 3, 2, 3]), VISUAL: ([2], [3])}
    z = {pair: [] for pair in pairs}
    for label in LABELS:
        path = next(simulated.root.rglob(f"sub-{label}_*scale-4mm*desc-simple_relmat.tsv"))
        values = np.arctanh(read_tsv(path).iloc[:, 1:].to_numpy() - ORIGIN)
        for pair, ends in pairs.items():
            z[pair].append(values[ends].mean())
    tests = [stats.ttest_1samp(z[pair], 0) for pair in pairs]
    for test, pair in zip(tests, pairs, strict=True):
        own = row(one, pair).iloc[0]
        low, high = test.confidence_interval(0.95)
        np.testing.assert_allclose(own["estimate"], np.mean(z[pair]), rtol=1e-8)
        np.testing.assert_allclose([own["ci_low"], own["ci_high"]], [low, high], rtol=1e-6)
        np.testing.assert_allclose(own["p"], test.pvalue, rtol=1e-6)
    q = stats.false_discovery_control([test.pvalue for test in tests])
    np.testing.assert_allclose([row(one, pair)["q"].iloc[0] for pair in pairs], q, rtol=1e-6)


@pytest.fixture
def aged(outputs, rng):
    """Age shows between networks after both strategies; a missing node, and a third measure."""
    age = np.linspace(20, 70, len(LABELS))
    for (label, years), strategy in product(zip(LABELS, age, strict=True), ("simple", "36P")):
        z = np.array([0.3, 0.01 * (years - 45), -0.1]) + rng.normal(0, 0.02, 3)
        own = matrix(*z, rest=rng.normal(0, 0.1, 4))
        own = without(own, 3) if label == "05" else own
        fd = 0.1 + 0.1 * (int(label) % 2)
        by_stat = {
            "pearsoncorrelation": own,
            "fisherz": np.arctanh(own - ORIGIN),
            "covariance": own,
        }
        for (stat, values), seeds in product(by_stat.items(), ("atlas-Tiny", "seg-Zed")):
            facts = {"seeds": seeds, "MeanFramewiseDisplacement": fd}
            outputs.add(label, values, strategy=strategy, stat=stat, **facts)
    outputs.participants(participant_id=LABELS, age=age)
    return outputs, age


@pytest.mark.slow
def test_contrasts_and_named_edges(aged, call):
    outputs, age = aged
    words = ("--model", "age", "--contrast", "old=age", "F:both=Intercept,age")
    done = call(outputs, "--multiverse", "--multiverse-edges", "s0,s2", "s3,s1", *words)
    assert done.status == 0, done.err
    curves, effects, _, about = tables(outputs)
    assert set(effects["contrast"]) == {"mean", "old"}
    # Fisher's z is the same as Pearson's correlation; a covariance is on no scale of z.
    assert set(curves["measure"]) == {"pearsoncorrelation"}
    assert set(curves["seeds"]) == {"Tiny", "Zed"}
    assert len(about["Specifications"]) == 4
    assert about["NamedEdges"] == [["s0", "s2"], ["s3", "s1"]]
    assert about["Model"] == "age"
    named = effects[effects["network_1"].isna()]
    assert named["contrast"].tolist() == ["mean", "old"]
    for pair in (BETWEEN, (None, None)):
        own = curves[curves["network_1"].isna()] if pair[0] is None else row(curves, pair, "old")
        own = own[(own["contrast"] == "old") & (own["group"].str.endswith("simple"))].iloc[0]
        means = []
        for label in LABELS:
            name = f"sub-{label}_*atlas-Tiny_stat-pearson*simple_relmat.tsv"
            path = next(outputs.root.rglob(name))
            z = np.arctanh(read_tsv(path).iloc[:, 1:].to_numpy() - ORIGIN)
            ends = ([0, 0, 1, 1], [2, 3, 2, 3]) if pair[0] else ([0, 3], [2, 1])
            means.append(np.nanmean(z[ends]))
        line = stats.linregress(age, means)
        np.testing.assert_allclose(own["estimate"], line.slope, rtol=1e-7)
        np.testing.assert_allclose(own["standard_error"], line.stderr, rtol=1e-6)
        assert own["n"] == 12
    assert row(effects, BETWEEN, "old")["verdict"].item() == "robust"
    assert row(effects, DEFAULT, "old")["verdict"].item() == "fragile"


def test_conditions_of_repeated_measures(outputs, rng, call):
    for label, strategy, session in product(LABELS, ("simple", "36P"), ("pre", "post")):
        z = np.array([0.3, 0.1 + 0.4 * (session == "post"), 0.2]) + rng.normal(0, 0.02, 3)
        own = matrix(*z, rest=rng.normal(0, 0.1, 4))
        facts = {"MeanFramewiseDisplacement": 0.1 + 0.1 * (int(label) % 2)}
        source = f"ses-{session}_task-rest"
        outputs.add(label, own, strategy=strategy, source=source, **facts)
    words = ("--within", "session", "--contrast", "change=post-pre")
    assert call(outputs, "--multiverse", *words).status == 0
    _, effects, *_ = tables(outputs)
    change = row(effects, BETWEEN, "change").iloc[0]
    assert change["verdict"] == "robust"
    assert change["median"] == pytest.approx(0.4, abs=0.02)
    assert row(effects, DEFAULT, "change")["verdict"].item() == "fragile"


@pytest.mark.slow
def test_tables_of_earlier_calls_go(simulated, call):
    call(simulated, "--multiverse")
    done = call(simulated, "--multiverse", "--strategy", "simple", "--radius", "4", "6")
    assert done.status == 0
    assert set(tables(simulated)[0]["strategy"]) == {"simple"}
    done = call(simulated, "--multiverse", "--radius", "6")
    assert done.status == 0
    assert set(tables(simulated)[0]["scale"]) == {"6mm"}
    assert "scale-" not in done.err.replace("_scale-", "")
    assert call(simulated).status == 0
    group = simulated.root / "group"
    assert not [*group.glob("*_robustness.*"), *group.glob("*_specifications.*")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--multiverse-edges", "s0,s1"), "--multiverse-edges needs --multiverse"),
        (("--multiverse", "--multiverse-edges", "s0"), "is not NODE,NODE"),
        (("--multiverse", "--weights", "precision"), "does not go with --weights"),
    ],
)
def test_options_that_do_not_go(simulated, call, words, message):
    done = call(simulated, *words)
    assert done.status == 2
    assert message in done.err


def test_seeds_without_networks_need_named_edges(outputs, rng, call):
    outputs.networks = ("n/a",) * 5
    for label, strategy in product(LABELS[:5], ("simple", "36P")):
        own = matrix(0.2, 0.1, 0.3, rest=rng.normal(0, 0.1, 4))
        outputs.add(label, own, strategy=strategy)
        outputs.add(label, own, strategy=strategy, stat="precision")  # which is not tested
    done = call(outputs, "--multiverse")
    assert done.status == 1
    assert "--multiverse has no effect: seeds have no networks" in done.err
    done = call(outputs, "--multiverse", "--multiverse-edges", "s0,s9")
    assert "--multiverse has no effect" in done.err
    assert "--multiverse-edges s0,s9: these are not two of s0, s1, s2, s3 and s4." in done.err
    assert "Did you mean s" in done.err
    assert call(outputs, "--multiverse", "--multiverse-edges", "s0,s1").status == 0
    assert tables(outputs)[1]["contrast"].tolist() == ["mean"]


def test_edges_with_commas_and_edges_named_twice(outputs, rng, call, monkeypatch):
    names = ["PCC, left", "PCC, right", "mPFC", "s3", "s4"]
    monkeypatch.setattr(type(outputs), "names", names)
    for label, strategy in product(LABELS[:5], ("simple", "36P")):
        outputs.add(label, matrix(*rng.normal(0.2, 0.1, 3)), strategy=strategy)
    edges = ("PCC, left,mPFC", "PCC, left, PCC, right", "PCC, right,PCC, left")
    assert call(outputs, "--multiverse", "--multiverse-edges", *edges[:2]).status == 0
    curves, _, about, _ = tables(outputs)
    assert about["NamedEdges"] == [["PCC, left", "mPFC"], ["PCC, left", "PCC, right"]]
    assert call(outputs, "--multiverse", "--multiverse-edges", *edges).status == 0
    pd.testing.assert_frame_equal(tables(outputs)[0], curves)


def test_one_participant_is_not_tested(outputs, rng, call):
    for strategy in ("simple", "36P"):
        outputs.add("01", matrix(*rng.normal(0.2, 0.1, 3)), strategy=strategy)
    done = call(outputs, "--multiverse")
    assert done.status == 1
    assert "no group has a measure on the scale of z and enough participants" in done.err


def test_one_specification_is_no_multiverse(outputs, rng, call):
    for label in LABELS[:4]:
        outputs.add(label, matrix(*rng.normal(0.2, 0.1, 3)))
    done = call(outputs, "--multiverse")
    assert done.status == 1
    assert "there is one" in done.err


def test_nothing_is_said_where_nothing_is_asked_for_and_no_group_has_edges(tmp_path):
    """As where all seed sets have a single seed."""
    assert Multiverse(GroupOptions()).write(tmp_path) == ([], [])


def designed(sizes):
    """All combinations of choices, by their names."""
    levels = product(*(range(size) for size in sizes))
    return pd.DataFrame(levels, columns=["strategy", "scale", "measure"][: len(sizes)])


def test_shares_of_a_balanced_design_are_sums_of_squares(rng):
    design = designed((3, 2, 2))
    values = rng.standard_normal(3)[design["strategy"]] + 0.1 * rng.standard_normal(12)
    values += 2 * design["scale"].to_numpy()
    shares = shapley_shares(values, {name: design[name].tolist() for name in design})
    total = ((values - values.mean()) ** 2).sum()
    for name, share in shares.items():
        means = pd.Series(values).groupby(design[name]).transform("mean")
        assert share == pytest.approx(((means - values.mean()) ** 2).sum() / total)


def test_shares_of_any_design_are_means_over_orders(rng):
    design = designed((3, 2, 2)).drop(index=[0, 5, 6])
    values = rng.standard_normal(len(design)) + design["scale"].to_numpy()

    def r_squared(names):
        dummies = pd.get_dummies(design[list(names)].astype(str)) if names else design[[]]
        x = np.column_stack([np.ones(len(design)), dummies.to_numpy(float)])
        residuals = values - x @ np.linalg.pinv(x) @ values
        return 1 - residuals.var() / values.var()

    expected = dict.fromkeys(design, 0.0)
    for order in permutations(design):
        for place, name in enumerate(order):
            expected[name] += (r_squared(order[: place + 1]) - r_squared(order[:place])) / 6
    shares = shapley_shares(values, {name: design[name].tolist() for name in design})
    assert shares == pytest.approx(expected)
    assert sum(shares.values()) == pytest.approx(r_squared(tuple(design)))


def test_nothing_is_explained_where_nothing_varies():
    assert shapley_shares(np.full(3, 0.7), {"strategy": ["a", "b", "c"]}) == {}
    one = {"strategy": ["a", "b"], "scale": ["4", "4"]}
    assert shapley_shares(np.array([0.1, 0.4]), one) == {"strategy": pytest.approx(1)}


def effects(estimates, q, within, strategies=("a", "b", "c", "d", "e")):
    """One effect under several strategies, as a table of a group each."""
    return [
        pd.DataFrame(
            {
                "contrast": ["mean"],
                "network_1": ["x"],
                "network_2": ["y"],
                "estimate": [estimate],
                "q": [own_q],
                "qc_fc_within_chance": [own],
                "strategy": [name],
                "scale": ["4mm"],
                "measure": ["r"],
                "seeds": ["s"],
            }
        )
        for estimate, own_q, own, name in zip(estimates, q, within, strategies, strict=True)
    ]


@pytest.mark.parametrize(
    ("estimates", "q", "within", "verdict"),
    [
        # 4 of 5 are enough; q of 0.05 is not below 0.05.
        ((5, 3, 4, 2, 1), (0.049, 0.01, 0.02, 0.03, 0.05), (1,) * 5, "robust"),
        ((5, 3, 4, 2, 1), (0.049, 0.01, 0.02, 0.05, 0.05), (1,) * 5, "fragile"),
        ((5, 3, 4, 2, -1), (0.01,) * 5, (1,) * 5, "fragile"),
        ((5, 3, 4, 2, 0), (0.01,) * 5, (1,) * 5, "fragile"),
        ((5, 3, 4, 2, 1), (0.01,) * 5, (0, 0, np.nan, 0, np.nan), "n/a"),
        ((5, 3, 4, 2, 1), (0.3, 0.01, 0.3, 0.3, 0.3), (0, 1, 0, 0, 0), "robust"),
        ((np.nan, -3, -4, -2, -1), (np.nan, 0.01, 0.01, 0.01, 0.01), (1,) * 5, "robust"),
        # Too few participants for a test have an estimate all the same.
        ((5, 3, 4, 2, 1), (np.nan, 0.01, 0.01, 0.01, 0.01), (1,) * 5, "robust"),
        ((5, 3, 4, 2, 1), (np.nan, np.nan, 0.01, 0.01, 0.01), (1,) * 5, "fragile"),
    ],
)
def test_verdicts_by_hand(estimates, q, within, verdict):
    table = specification_curves(effects(estimates, q, within))
    (row,) = robustness(table, GroupOptions()).to_dict("records")
    known = [value for value in estimates if not np.isnan(value)]
    assert row["verdict"] == verdict
    assert (row["effect"], row["contrast"], row["network_2"]) == (1, "mean", "y")
    assert row["specifications"] == len(known)
    assert (row["minimum"], row["maximum"]) == (min(known), max(known))
    assert row["median"] == np.median(known)
    assert row["positive"] == np.mean([value > 0 for value in known])
    significant = [
        own < 0.05 for own, value in zip(q, estimates, strict=True) if not np.isnan(value)
    ]
    assert row["significant"] == np.mean(significant)
    assert row["within_chance"] == sum(
        own == 1 for own, value in zip(within, estimates, strict=True) if not np.isnan(value)
    )
    assert row["r_squared"] == row["share_strategy"] == pytest.approx(1)
    assert np.isnan([row["share_scale"], row["share_seeds"]]).all()


def test_specifications_are_numbered_by_effect_and_sorted_by_estimate():
    first = effects((2, 1, 3), (1,) * 3, (1,) * 3, "abc")
    second = [table.assign(network_1="z", estimate=-table["estimate"]) for table in first]
    tables = [pd.concat(pair) for pair in zip(second, first, strict=True)]
    found = specification_curves(tables)
    columns = ["effect", "rank", "network_1", "strategy", "estimate"]
    assert found[columns].to_numpy().tolist() == [
        [1, 1, "z", "c", -3],
        [1, 2, "z", "a", -2],
        [1, 3, "z", "b", -1],
        [2, 1, "x", "b", 1],
        [2, 2, "x", "a", 2],
        [2, 3, "x", "c", 3],
    ]


def test_edges_that_no_seed_set_has_together_are_told(outputs, rng, call, monkeypatch):
    for letters, seeds in (("abcde", "atlas-Tiny"), ("fghij", "seg-Other")):
        monkeypatch.setattr(type(outputs), "names", list(letters))
        for label in LABELS[:4]:
            for strategy in ("simple", "36P"):
                own = matrix(*rng.normal(0.2, 0.1, 3), rest=rng.normal(0, 0.1, 4))
                outputs.add(label, own, strategy=strategy, seeds=seeds)
    done = call(outputs, "--multiverse", "--multiverse-edges", "a,b", "g,f")
    assert done.status == 1
    assert "--multiverse-edges: no seed set has all of these edges." in done.err
    assert "are not two of" not in done.err
    done = call(outputs, "--multiverse", "--multiverse-edges", "a,b", "d,c")
    assert done.status == 0, done.err
    about = tables(outputs)[2]
    assert about["NamedEdges"] == [["a", "b"], ["d", "c"]]
    assert (about["Tail"], about["MinimumParticipants"], about["Model"]) == ("two", 3, "1")


def test_fisher_z_counts_where_there_is_no_pearson_correlation_and_tasks_are_apart(outputs, rng):
    for label, strategy, task in product(LABELS[:4], ("simple", "36P"), ("rest", "nback")):
        level = 0.2 if task == "rest" else -0.4
        own = matrix(*rng.normal(level, 0.05, 3), rest=rng.normal(0, 0.1, 4))
        facts = {"strategy": strategy, "source": f"task-{task}"}
        outputs.add(label, np.arctanh(own - ORIGIN), stat="fisherz", **facts)
        if strategy == "simple":
            outputs.add(label, own, **facts)
    assert run_group(outputs.root, GroupOptions(multiverse=True)) == []
    for task, sign in (("rest", 1), ("nback", -1)):
        stem = STEM.replace("rest", task)
        curves, effects, about, _ = tables(outputs, stem)
        expected = [
            f"{stem}_stat-{end}" for end in ("fisherz_desc-36P", "pearsoncorrelation_desc-simple")
        ]
        assert about["Specifications"] == sorted(set(curves["group"])) == expected
        assert about["Choices"]["measure"] == ["fisherz", "pearsoncorrelation"]
        assert (sign * effects["median"] > 0.1).all()
        assert effects["specifications"].tolist() == [2, 2, 2]


def summary_of(stem, strategy, *, share=0.1, p=None, networks=("x", "y")):
    """Of a group with one effect."""
    (table,) = effects((0.5,), (0.01,), (0,), "a")
    group = SimpleNamespace(
        name=parse_name(f"{stem}_stat-fisherz_desc-{strategy}_relmat.tsv"),
        title=strategy,
        edges=SimpleNamespace(names=("a", "b"), networks=networks),
        scale=Scale("fisherz"),
    )
    return SimpleNamespace(
        group=group,
        mean=None,
        effects={"mean": table.drop(columns=["strategy", "scale", "measure", "seeds"])},
        benchmark=Benchmark(median=0.2, share=share),
        permuted_motion={} if p is None else {"qc_fc_p": p},
    )


def test_other_acquisitions_and_spaces_are_not_specifications(tmp_path):
    multiverse, stems = Multiverse(GroupOptions(multiverse=True)), [STEM]
    stems += [STEM.replace("_space", "_acq-b_space"), STEM.replace("2009cAsym", "6Asym")]
    for stem, strategy in product(stems, ("36P", "9P")):
        multiverse.add(summary_of(stem, strategy))
    names, problems = multiverse.write(tmp_path)
    assert (len(names), problems) == (3, [])
    for stem in stems:
        assert len(read_tsv(tmp_path / "group" / f"{stem}_specifications.tsv")) == 2


def test_nodes_of_other_networks_are_not_specifications(tmp_path):
    multiverse = Multiverse(GroupOptions(multiverse=True))
    multiverse.add(summary_of(STEM, "36P"))
    multiverse.add(summary_of(STEM, "9P", networks=("x", "z")))
    names, problems = multiverse.write(tmp_path)
    assert names == []
    assert len(problems) == 2


@pytest.mark.parametrize(
    ("share", "p", "within"),
    [
        (0.1, None, 1),
        (0.11, None, 0),
        (0.0, 0.05, 1),
        (0.0, 0.049, 0),
        (0.9, 0.05, 1),
        (np.nan, None, np.nan),
    ],
)
def test_what_is_just_within_chance(tmp_path, share, p, within):
    """A share of 0.1, or p of 0.05; what is not known is neither within nor beyond."""
    multiverse = Multiverse(GroupOptions(multiverse=True))
    for strategy in ("36P", "9P"):
        multiverse.add(summary_of(STEM, strategy, share=share, p=p))
    assert multiverse.write(tmp_path)[1] == []
    curves = read_tsv(tmp_path / "group" / f"{STEM}_specifications.tsv")
    np.testing.assert_array_equal(curves["qc_fc_within_chance"], [within] * 2)
    np.testing.assert_array_equal(curves["qc_fc_p"], [np.nan if p is None else p] * 2)
    about = json.loads((tmp_path / "group" / f"{STEM}_specifications.json").read_text())
    assert about["Specifications"] == about["Choices"]["strategy"] == ["9P", "36P"]


def test_effects_are_means_of_what_is_made_of_the_edges(rng):
    """As by ComBat in each permutation; named edges count when all of them are there."""
    edges = Edges(tuple("abcd"), ("y", "x", "x", "n/a"), diagonal=False)
    rows, values = rng.standard_normal((8, 6)), EdgeValues(6)
    for i, row in enumerate(rows):
        values.add(f"sub-{i}", row)
    sample = replace(all_participants(values), transform=lambda array: array**3)
    for named, n_effects in (((), 2), (("d,a", "b,c"), 3), (("d,a", "b,e"), 2)):
        summary = SimpleNamespace(
            options=GroupOptions(multiverse=True, multiverse_edges=named),
            networks=NetworkMeans(edges),
            group=SimpleNamespace(edges=edges),
        )
        table = estimate_effects(summary, sample, [MEAN])["mean"]
        # None of y with y; ab and ac of y with x; bc of x with x; then ad and bc.
        own = [rows[:, [0, 1]] ** 3, rows[:, [3]] ** 3, rows[:, [2, 3]] ** 3][:n_effects]
        means = np.array([each.mean(axis=1) for each in own])
        tests = stats.ttest_1samp(means, 0, axis=1)
        np.testing.assert_allclose(table["estimate"], means.mean(axis=1), rtol=1e-9)
        np.testing.assert_allclose(table["p"], tests.pvalue, rtol=1e-9)
        q = stats.false_discovery_control(tests.pvalue)
        np.testing.assert_allclose(table["q"], q, rtol=1e-9)
