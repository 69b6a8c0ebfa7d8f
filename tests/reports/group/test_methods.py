"""What the methods section says of a group, from sidecars by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bids_spheres.reports.group.methods_text import group_methods
from bids_spheres.reports.group.multiverse import effects, motion_rule
from bids_spheres.reports.group.strategies import reading, strategies_table
from bids_spheres.wording import NO_BREAK
from tests.reports.group.values import condition_of, image_of, level_of, result_of

IMAGE = image_of(["n/a"] * 3)
RUNS = {
    "participant_id": ["sub-1", "sub-1", "sub-2", "sub-3"],
    "source": ["r1", "r2", "r3", "r4"],
    "strategy": "a",
    "excluded": [0, 1, 0, 0],
}
ORDINARY = "in an ordinary least squares model"


def text_of(*results, runs=RUNS, **level):
    methods = group_methods(level_of(condition_of(*results), runs=runs, **level))
    return methods.paragraphs[0] if methods.paragraphs else ""


def of_contrasts(**contrasts):
    """The methods of a group with contrasts, by name."""
    return text_of(result_of(IMAGE, contrast_sidecars=contrasts))


def test_runs_that_are_excluded_do_not_count():
    text = text_of(result_of(IMAGE))
    assert text.startswith("The group level rests on 3 participants and 3 runs. Correlations were")
    runs = {**RUNS, "excluded": [0, 0, 0, 1]}
    text = text_of(result_of(IMAGE), runs=runs)
    assert text.startswith(
        "The group level rests on 2 participants and 3 runs. Runs of a participant were averaged"
    )
    assert text_of(result_of(IMAGE, suffixes=())) == ""


def test_spaces_that_are_pooled():
    text = text_of(result_of(IMAGE, about={"PooledSpaces": {"A": 2, "B": 1}}))
    assert "in different spaces (A and B) were pooled, at the same seeds." in text
    assert "pooled" not in text_of(result_of(IMAGE, about={"PooledSpaces": {"A": 3}}))


def test_tests_of_means_and_why_they_do_not_hold():
    of_a = {"MinimumParticipants": 3, "TestsAgainstZeroDoNotHold": ["of motion"]}
    of_b = {"MinimumParticipants": 7, "TestsAgainstZeroDoNotHold": ["of motion", "of age"]}
    tails = [{"q": {"Tail": tail}} for tail in ("positive", "two")]
    results = [
        result_of(IMAGE, name, about=about, suffixes=("mean", "q"), sidecars=own)
        for name, about, own in zip("ab", (of_a, of_b), tails, strict=True)
    ]
    text = text_of(*results, result_of(IMAGE, "c", about={"MinimumParticipants": 9}))
    assert "with zero by one-sided (positive) and two-sided one-sample t tests, corrected" in text
    assert "Pairs of fewer than 7 participants were not tested." in text
    assert "After a and b these tests do not hold: of motion." in text
    assert "After b these tests do not hold: of age." in text
    plain = text_of(result_of(IMAGE, suffixes=("mean", "q")))
    assert "by two-sided one-sample t tests" in plain
    assert "Pairs of fewer than 2 participants were not tested." in plain
    assert "one-sample" not in text_of(result_of(IMAGE))


def test_networks_stability_and_reliability():
    for suffix, words in (("networks", "95 % confidence intervals of S"), ("reliability", "ICC(2")):
        assert words in text_of(result_of(IMAGE, suffixes=("mean", suffix)))
        assert words not in text_of(result_of(IMAGE))
    halves = pd.DataFrame({"split_half": [np.nan, 0.4]})
    text = text_of(result_of(IMAGE), strategies={"qc_fc_median": [np.nan]})
    assert "split halves" not in text
    level = level_of(condition_of(result_of(IMAGE)), runs=RUNS)
    level.strategies = level.strategies.reindex([0, 1]).assign(**halves)
    assert "split halves" in group_methods(level).paragraphs[0]
    level.strategies = level.strategies.assign(split_half=np.nan)
    assert "split halves" not in group_methods(level).paragraphs[0]


def test_motion_that_is_left():
    known = {"qc_fc_median": [np.nan, 0.1], "modularity": [np.nan, np.nan]}
    text = text_of(result_of(IMAGE), strategies=known, covariates=["age", "sex"])
    assert "before censoring), adjusted for age and sex, the share" in text
    assert "Modularity" not in text
    text = text_of(result_of(IMAGE), strategies={**known, "modularity": [0.2, np.nan]})
    assert "before censoring), the share" in text
    assert "Modularity is that of the positive part" in text
    assert "QC-FC" not in text_of(result_of(IMAGE), strategies={"modularity": [0.2]})


def test_models_by_what_was_assumed():
    abouts = (
        {"Model": "age"},
        {"Model": "age", "Harmonized": "site", "HarmonizedInPermutations": "site"},
        {"Model": "sex"},
        {"Model": "age", "ParticipantWeights": "precision", "Clusters": "family"},
    )
    results = [
        result_of(IMAGE, name, suffixes=("mean", "model"), model_about=about)
        for name, about in zip("abcd", abouts, strict=True)
    ]
    text = text_of(*results)
    assert f"{ORDINARY} (age and sex); coefficients" in text
    assert f"{ORDINARY} after ComBat over site, again in each permutation (" in text
    assert "in a random-effects model weighted by precision (" in text
    assert "with CR2 standard errors robust to family (" in text
    without = text_of(result_of(IMAGE, model_about=abouts[0]))
    assert "Each pair was explained" not in without


def test_contrasts_without_permutations():
    text = of_contrasts(
        mean={"Model": "1", "Tail": "two"},
        age={"Model": "age", "Tail": "positive"},
        sex={"Model": "sex", "Tail": "positive"},
        any={"Model": "age", "Tail": "n/a"},
    )
    assert "The contrasts age and sex were tested by one-sided (positive) t tests, corr" in text
    assert "The contrast any was tested by F tests, corrected over all pairs" in text
    assert "contrast mean" not in text
    assert "family-wise" not in text
    of_model = of_contrasts(mean={"Model": "age", "Tail": "two"})
    assert "The contrast mean was tested by two-sided t tests, corrected" in of_model
    changed = of_contrasts(change={"Model": "1", "Within": "session", "Tail": "negative"})
    assert "one-sided (negative) t tests of the weighted sum of sessions in each" in changed
    harmonized = of_contrasts(mean={"Model": "1", "Harmonized": "site", "Tail": "two"})
    assert f"two-sided t tests {ORDINARY} after ComBat over site (" in harmonized


FLIPS = {"Model": "1", "Exchangeability": "sign flips", "Seed": 5, "Tail": "two"}
PERMUTED = {"Model": "age", "Exchangeability": "permutations", "Seed": 7, "Tail": "positive"}


def test_permutations_of_all_contrasts():
    text = of_contrasts(
        mean={**FLIPS, "Permutations": 512, "AllPermutations": True, "Inference": ["fdr", "maxt"]},
        age={**PERMUTED, "Permutations": 5000, "AllPermutations": False, "Inference": ["cnbs"]},
    )
    assert (
        "The contrasts mean and age were tested by all 512 sign flips and 5,000 permutations "
        "(Freedman and Lane, 1983; Winkler et al., 2014), drawn with the seed 7."
    ) in text
    assert (
        "controlled for single pairs by the largest statistic of all pairs (max-T) and pairs of "
        "networks by the constrained"
    ) in text
    assert "test of a component" not in text
    every = {**FLIPS, "Permutations": 8, "AllPermutations": True, "Inference": ["nbs"]}
    text = of_contrasts(mean=every, age={"Model": "age", "Tail": "two"})
    assert "The contrast mean was tested by all 8 sign flips (Winkler et al., 2014)." in text
    assert "components of pairs beyond a threshold by" in text
    assert text.endswith("The test of a component is not a test of any single pair of it.")


def test_thresholds_and_powers_of_corrections():
    about = {**FLIPS, "Permutations": 9, "Inference": ["nbs", "tfnbs"]}
    powers = {"ExtentPower": 0.4, "HeightPower": 3.0}
    text = of_contrasts(
        one={**about, "Threshold": 3.1, "TFNBS": {**powers, "Step": 0.2}},
        any={**about, "Tail": "n/a", "Threshold": 2.256, "TFNBS": {**powers, "Step": "auto"}},
        more={**about, "Inference": ["maxt"], "Threshold": 9.0},
    )
    assert "components of pairs beyond t of 3.1 and a root of F of 2.26 by" in text
    assert (
        "statistic (extent to the power of 0.4, height of 3.0, steps of 0.2; extent to the power "
        "of 0.4, height of 3.0, automatic steps) ("
    ) in text


def test_maps_of_seeds():
    def own(label, contrast, stats, about):
        asked = []

        def sidecar(what):
            asked.append(what)
            return about

        return SimpleNamespace(
            name={"label": label}, contrast=contrast, stats=stats, statistic="t", sidecar=sidecar
        ), asked

    plain = {"Model": "age", "Tail": "two"}
    first, asked = own("s1", "age", {"t", "q"}, plain)
    second, asked_second = own("s1", "mean", {"t", "q", "psize"}, {"Model": "1", "Tail": "two"})
    text = text_of(result_of(IMAGE), maps=(first, second))
    assert "correlation of 1 seed with every voxel were averaged" in text
    assert f"In maps the contrast age was tested by two-sided t tests {ORDINARY} (age), c" in text
    assert (
        "In maps the contrast mean was tested by two-sided t tests, corrected over all vox" in text
    )
    assert asked == ["contrast-age_stat-t_statmap"]
    assert asked_second == ["contrast-mean_stat-psize_statmap"]


def family(about, specifications=None, robustness=None):
    """Specifications from values."""
    tables = {"specifications": specifications, "robustness": robustness}
    return SimpleNamespace(
        image_title="F", sidecar=lambda _: about, table=lambda what, _: tables[what]
    )


RULE = {
    "Choices": {"strategy": ["a", "b"], "scale": ["r4", "r5"], "measure": ["r"], "seeds": ["M"]},
    "Specifications": [1, 2, 3, 4],
    "NamedEdges": [],
    "Robust": {"Q": 0.01, "Share": 0.75, "QCFCSignificant": 0.1},
}


def test_specifications_and_what_is_robust():
    text = text_of(result_of(IMAGE), families=(family(RULE),))
    assert (
        "under all 4 specifications of strategy and radius (Simonsohn et al., 2020); one was "
        f"called robust if it had the same sign in all, and q below 0.01 in at least 75{NO_BREAK}% "
        f"of those in which at most 10{NO_BREAK}% of pairs go with motion (p < .05)."
    ) in text
    assert motion_rule({"QCFCPermutationP": 0.05, "QCFCSignificant": 0.1}) == (
        "QC-FC has p of at least 0.05 by permutations of head motion"
    )


def test_effects_have_the_specifications_with_an_estimate():
    specifications = pd.DataFrame(
        {
            "effect": ["x", "x", "y", "z"],
            "estimate": [-0.1, np.nan, np.nan, 0.3],
            "strategy": ["a", "b", "a", "b"],
        }
    )
    robustness = pd.DataFrame({"effect": ["z", "y", "x"], "verdict": ["robust", "n/a", "fragile"]})
    families = [
        family(RULE, specifications, robustness),
        family(RULE, specifications, robustness[2:]),
    ]
    found = effects(SimpleNamespace(families=families))
    assert [effect.anchor for effect in found] == ["effect-1", "effect-2", "effect-3"]
    assert [effect.row["effect"] for effect in found] == ["z", "x", "x"]
    assert [effect.rows["strategy"].tolist() for effect in found] == [["b"], ["a"], ["a"]]


# Strategies


def test_the_table_of_strategies():
    rows = pd.DataFrame(
        {
            "group": [
                "z",
                *(f"task-rest_space-MNI_seg-Mine_stat-pearsoncorrelation_desc-{s}" for s in "ab"),
            ],
            "strategy": ["z", "a", "b"],
            "participants": [1, 20, 21],
            "smoothing_fwhm": [6.0, 0.0, 0.0],
            "censored": [0.5, 0.125, 0.25],
            "icc_median": [0.5, np.nan, np.nan],
            "split_half": [np.nan, 0.5, np.nan],
            "identification_rate": [np.nan, 0.5, 0.25],
        }
    )
    names = ("runs", "runs_excluded", "mean_fd", "degrees_of_freedom_lost", "qc_fc_median")
    names += ("qc_fc_significant", "qc_fc_distance_spearman", "modularity")
    rows = rows.assign(**dict.fromkeys(names, 0.0)).astype({"qc_fc_significant": float})
    rows["qc_fc_significant"] = [0.9, 0.05, 0.123]
    results = [result_of(IMAGE, name, row=rows.iloc[i + 1]) for i, name in enumerate("ab")]
    level = level_of(condition_of(*results, result_of(IMAGE, "c"), parts={"Runs": "rest"}))
    level.strategies = rows
    table = strategies_table(level)
    heads = [head.label for head in table.columns]
    assert heads[:4] == ["Strategy", "Runs", "N", "Runs"]
    assert not {"Smoothing", "Reliability", "Surrogates"} & set(heads)
    cells = {
        (head.label, head.unit): [row[i].text for row in table.rows]
        for i, head in enumerate(table.columns)
    }
    assert cells["Strategy", ""] == ["a", "b"]
    assert cells["Censored", "%"] == ["12.5", "25"]
    assert cells["p < .05", "% of pairs"] == ["5", "12.3"]
    assert cells["Split halves", "corr. of matrices"] == ["0.5", "n/a"]
    assert cells["Identified", "%"] == ["50", "25"]
    level.strategies = rows.assign(smoothing_fwhm=[0.0, 6.0, np.nan])
    widths = [row[heads.index("Mean FD") + 1].text for row in strategies_table(level).rows]
    assert widths == ["6", "n/a"]


@pytest.mark.parametrize(("known", "n"), [([np.nan, 0.1], 3), ([np.nan, np.nan], 1)])
def test_how_to_choose_a_strategy(known, n):
    level = level_of(strategies={"qc_fc_median": known}, covariates=["age"])
    words, caveats = reading(level)
    assert ("near chance on the left" in words) == (n == 3)
    assert words.startswith("Modularity" if n == 1 else "The first three columns")
    assert caveats.endswith(" adjusted for age." if n == 3 else "")
    assert bool(caveats) == (n == 3)
