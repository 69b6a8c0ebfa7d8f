"""Negative controls at the group level: averages of tables, and QC-FC of permuted motion."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest

from bids_spheres.group.head_motion import motion_design, permuted_qc_fc
from bids_spheres.group.model import MEAN_FD, Design
from bids_spheres.group.options import GroupOptions
from bids_spheres.group.stream import EdgeValues
from bids_spheres.group.workflow import run_group
from tests.group.conftest import correlations, read_tsv

EDGES = 300


def simulated(rng, n, effect=0.0, missing=0, edges=EDGES):
    """Edges of n participants that share a factor, with motion in them, and motion."""
    motion = rng.gamma(4, 0.05, n)
    z = (motion - motion.mean()) / motion.std()
    factor = rng.standard_normal((n, 1)) * rng.uniform(0, 0.7, edges)
    array = rng.standard_normal((n, edges)) + factor + effect * z[:, None]
    array[0, :missing] = np.nan
    values = EdgeValues(edges)
    for i, row in enumerate(array):
        values.add(f"sub-{i:03d}", row)
    return values, array, dict(zip(values.participants, motion, strict=True))


def medians(array, motion, orders):
    array = array[:, np.isfinite(array).all(axis=0)]
    edges = (array - array.mean(axis=0)) / array.std(axis=0)
    z = (motion - motion.mean()) / motion.std()
    return np.array([np.median(np.abs(z[order] @ edges / len(z))) for order in orders])


def test_the_null_is_that_of_permuted_motion():
    rng = np.random.default_rng(0)
    values, array, motion = simulated(rng, 30, effect=0.3, missing=20)
    cells = permuted_qc_fc(values, motion_design(motion), np.ones(EDGES, dtype=bool), seed=1)
    fd = np.array([*motion.values()])
    observed, *null = medians(
        array, fd, [np.arange(30), *(rng.permutation(30) for _ in range(4000))]
    )
    assert cells["qc_fc_null"] == pytest.approx(np.mean(null), rel=0.05)
    excess = (observed - np.mean(null)) / np.std(null)
    assert cells["qc_fc_excess"] == pytest.approx(excess, rel=0.2)
    assert cells["qc_fc_p"] == pytest.approx(np.mean(np.array(null) >= observed), abs=0.02)
    again = permuted_qc_fc(values, motion_design(motion), np.ones(EDGES, dtype=bool), seed=1)
    assert again == cells


def test_excess_of_nothing_is_nothing_in_groups_of_any_size_and_grows_with_motion():
    excess, null = {}, {}
    for n in (15, 120):
        for effect in (0.0, 0.5):
            found = []
            for seed in range(12):
                values, _, motion = simulated(np.random.default_rng(seed), n, effect, edges=80)
                design, every = motion_design(motion), np.ones(80, dtype=bool)
                found.append(permuted_qc_fc(values, design, every, seed))
            excess[n, effect] = np.mean([cells["qc_fc_excess"] for cells in found])
            null[n] = np.mean([cells["qc_fc_null"] for cells in found])
    assert null[15] > 2 * null[120]
    # The mean of 12 with a standard deviation of 1
    assert abs(excess[15, 0.0]) < 1
    assert abs(excess[120, 0.0]) < 1
    assert excess[15, 0.5] > 1
    assert excess[120, 0.5] > 4


def test_what_covariates_explain_is_no_motion():
    rng = np.random.default_rng(2)
    values, array, motion = simulated(rng, 60)
    age = np.array([*motion.values()]) * 100 + rng.standard_normal(60)
    with_age = EdgeValues(EDGES)
    for label, row in zip(values.participants, array + 0.5 * age[:, None], strict=True):
        with_age.add(label, row)
    plain = motion_design(motion)
    columns = np.column_stack([plain.values, age])
    adjusted = Design(plain.participants, ("Intercept", MEAN_FD, "age"), columns)
    every = np.ones(EDGES, dtype=bool)
    assert permuted_qc_fc(with_age, plain, every, 0)["qc_fc_excess"] > 4
    assert permuted_qc_fc(with_age, adjusted, every, 0)["qc_fc_excess"] < 2


def test_without_differences_in_motion_nothing_is_permuted():
    values, _, motion = simulated(np.random.default_rng(3), 10)
    same = motion_design(dict.fromkeys(motion, 0.2))
    assert permuted_qc_fc(values, same, np.ones(EDGES, dtype=bool), 0) == {}


def test_without_controls_of_participants_there_is_a_warning(outputs, rng, caplog):
    for i in range(4):
        outputs.add(f"{i:02d}", correlations(rng, 5), MeanFramewiseDisplacement=0.1 + i / 50)
    assert run_group(outputs.root, GroupOptions(controls=True)) == []
    assert "No run has negative controls" in caplog.text


def test_strategies_have_the_means_of_their_runs(outputs, rng, caplog):
    shares = rng.uniform(0, 0.2, (8, 3))
    for i, (surrogate, nominal, fluid) in enumerate(shares):
        path = outputs.add(f"{i:02d}", correlations(rng, 5), MeanFramewiseDisplacement=0.1 + i / 50)
        table = pd.DataFrame(
            {
                "control": ["seeds", "surrogate", "fluid", "mirrored"],
                "significant": [0.5, surrogate, fluid if i else np.nan, 0.5],
                "significant_nominal": [0.6, nominal, 0.1, 0.6],
                "similarity": [np.nan, np.nan, np.nan, i / 10],
            }
        )
        stem = path.name.replace("_stat-pearsoncorrelation", "").replace("_relmat", "_controls")
        table.to_csv(path.with_name(stem), sep="\t", index=False, na_rep="n/a")
    assert run_group(outputs.root, GroupOptions(controls=True)) == []
    assert "No run has negative controls" not in caplog.text
    row = read_tsv(outputs.root / "group" / "strategies.tsv").iloc[0]
    means = row[["surrogate_significant", "surrogate_significant_nominal", "fluid_significant"]]
    expected = [*shares[:, :2].mean(axis=0), shares[1:, 2].mean()]
    np.testing.assert_allclose(means.astype(float), expected)
    assert row["mirrored_similarity"] == pytest.approx(0.35)
    assert 0 < row["qc_fc_p"] <= 1
    assert run_group(outputs.root, GroupOptions()) == []
    row = read_tsv(outputs.root / "group" / "strategies.tsv").iloc[0]
    assert row.filter(regex="surrogate|fluid|mirrored|null|excess|qc_fc_p$").isna().all()


def test_controls_are_of_the_runs_with_a_result(outputs, rng):
    """Of every run, however many a participant has; not of excluded or unreadable ones."""
    shares = {("01", 1): 0.1, ("01", 2): 0.2, ("02", 1): 0.6, ("02", 2): 0.9, ("03", 1): 0.95}
    for (label, run), share in shares.items():
        gone = {"Excluded": "too short", "DegreesOfFreedom": 0} if share == 0.9 else {}
        path = outputs.add(label, correlations(rng, 5), source=f"task-rest_run-{run}", **gone)
        stem = path.name.replace("_stat-pearsoncorrelation", "").replace("_relmat", "_controls")
        text = f"control\tsignificant\tsignificant_nominal\tsimilarity\nsurrogate\t{share}"
        others = f"\nfluid\t{share / 2}\t0\t0\nmirrored\t0\t0\t{share / 4}\n"
        path.with_name(stem).write_text(f"{text}\t{share / 8}\t0{others}")
    path.write_text("nothing\n")
    assert len(run_group(outputs.root, GroupOptions(controls=True))) == 1
    row = read_tsv(outputs.root / "group" / "strategies.tsv").iloc[0]
    columns = ["surrogate_significant", "fluid_significant", "mirrored_similarity"]
    columns.append("surrogate_significant_nominal")
    np.testing.assert_allclose(row[columns].astype(float), 0.3 / np.array([1, 2, 4, 8]))


def test_p_is_the_share_of_orders_that_reach_the_same():
    """Of four participants there are 24, of which each is drawn often."""
    rng = np.random.default_rng(8)
    motion = dict(zip((f"sub-{i}" for i in range(4)), (0.1, 0.5, 0.2, 0.9), strict=True))
    fd, values = np.array([*motion.values()]), EdgeValues(5)
    array = fd[:, np.newaxis] + rng.normal(0, 0.15, (4, 5))
    for label, row in zip(motion, array, strict=True):
        values.add(label, row)
    every = np.ones(5, dtype=bool)
    cells = permuted_qc_fc(values, motion_design(motion), every, seed=0)
    observed, *others = medians(array, fd, [list(order) for order in permutations(range(4))])
    share = np.mean(np.array([observed, *others]) >= observed - 1e-9)
    assert share < 0.1
    assert cells["qc_fc_p"] == pytest.approx(share, abs=0.03)
    assert cells["qc_fc_p"] > share / 2
    assert cells["qc_fc_null"] == pytest.approx(np.mean([observed, *others]), abs=0.03)
    assert permuted_qc_fc(values, motion_design(motion), every, seed=1) != cells


def test_the_seed_is_that_of_the_call(outputs, rng):
    for i in range(5):
        outputs.add(f"{i:02d}", correlations(rng, 5), MeanFramewiseDisplacement=0.1 + i / 50)
    null = []
    for seed in (0, 3):
        assert run_group(outputs.root, GroupOptions(controls=True, seed=seed)) == []
        null.append(read_tsv(outputs.root / "group" / "strategies.tsv")["qc_fc_null"][0])
    assert null[0] != null[1]
    assert null[0] == pytest.approx(null[1], rel=0.1)


@pytest.mark.slow
def test_of_more_than_5000_edges_every_second_is_permuted(rng):
    values, motion = EdgeValues(5001), motion_design({f"sub-{i}": i**2 / 50 for i in range(5)})
    for label in motion.participants:
        values.add(label, rng.standard_normal(5001))
    every = np.ones(5001, dtype=bool)
    second = np.arange(5001) % 2 == 0
    assert permuted_qc_fc(values, motion, every, 0) == permuted_qc_fc(values, motion, second, 0)


def test_controls_of_some_strategies_are_not_missed_in_others(outputs, rng, caplog):
    for label, strategy in product(("01", "02"), ("36P", "simple")):
        path = outputs.add(label, correlations(rng, 5), strategy=strategy)
    stem = path.name.replace("_stat-pearsoncorrelation", "").replace("_relmat", "_controls")
    rows = [f"{name}\t0.1\t0.2\t0.3" for name in ("surrogate", "fluid", "mirrored")]
    head = "control\tsignificant\tsignificant_nominal\tsimilarity"
    path.with_name(stem).write_text("\n".join([head, *rows]) + "\n")
    assert run_group(outputs.root, GroupOptions(controls=True)) == []
    assert "No run has negative controls" not in caplog.text
    table = read_tsv(outputs.root / "group" / "strategies.tsv").set_index("strategy")
    expected = {"36P": np.nan, "simple": 0.1}
    assert table["surrogate_significant"].to_dict() == pytest.approx(expected, nan_ok=True)
