"""Verdicts, warnings and the table of runs, from sidecars."""

from __future__ import annotations

import base64
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bids_spheres.reports.participant.load import Run
from bids_spheres.reports.participant.relations import controls_table, regressor_block
from bids_spheres.reports.participant.summary import cautions, runs_table, summary, verdicts
from bids_spheres.wording import NO_BREAK

PER_CENT = f"{NO_BREAK}%"


def facts(kept, left, fd=0.1, n=100, **more):
    """Sidecar of a strategy."""
    return {
        "NumberOfVolumesKept": kept,
        "NumberOfVolumes": n,
        "DegreesOfFreedom": left,
        "MeanFramewiseDisplacement": fd,
        **more,
    }


def run_of(title, *, together=False, spheres=None, label="Mine", space="MNI", **strategies):
    """Results of a run with one seed set."""
    seeds = SimpleNamespace(
        files=SimpleNamespace(label=label, space=space),
        facts=strategies,
        spheres=spheres,
        noun="sphere",
        title=f"{label} in {space}",
    )
    files = SimpleNamespace(together=together, title=title)
    return Run(f"run-{title}", files, dict.fromkeys(strategies, "series-0"), (seeds,))


def participant(*runs):
    return SimpleNamespace(title="sub-01", runs=runs)


def test_a_verdict_is_that_of_the_worst_strategy():
    run = run_of(
        "r", a=facts(90, 60.4), b=facts(70, 20.2, 0.3), c=facts(5, -3, 0.2, Excluded="few volumes")
    )
    (verdict,) = verdicts(participant(run))
    assert (verdict.anchor, verdict.name, verdict.tone) == ("run-r", "r", "bad")
    assert verdict.text == (
        "excluded for c; 70 of 100 volumes kept after b: many censored; mean FD 0.3 mm: high; "
        "20 degrees of freedom after b: few"
    )
    same = run_of("s", a=facts(80, 25, np.nan), b=facts(80, 25, None))
    (verdict,) = verdicts(participant(same))
    assert (verdict.text, verdict.tone) == ("80 of 100 volumes kept; 25 degrees of freedom", "")
    (verdict,) = verdicts(participant(run_of("t", a={"MeanFramewiseDisplacement": 0.6})))
    assert (verdict.text, verdict.tone) == ("mean FD 0.6 mm: very high", "bad")


def test_what_is_at_the_top():
    limits = {"fd_threshold": 0.5, "std_dvars_threshold": None}
    first = run_of("r", a=facts(90, 60, CensoringThresholds=limits), b=facts(90, 60))
    second = run_of(
        "s", space="T1w", b=facts(90, 60), c=facts(9, 6, CensoredVolumes={"external": 3})
    )
    both = run_of("t", together=True, b=facts(180, 120))
    first_words, second_words = summary(participant(first, second, both))
    assert first_words == ("2 runs in MNI and T1w; 1 seed set (Mine); 3 strategies (a, b and c).")
    assert second_words == "b censors nothing: volumes with much motion stay in."
    for key in ("std_dvars_threshold", "rmsd_threshold"):
        own = run_of("r", a=facts(9, 6, CensoringThresholds={key: 0.0}))
        assert len([*summary(participant(own))]) == 1
    none = run_of("r", a=facts(9, 6, CensoredVolumes={"external": 0}), b=facts(9, 6))
    assert [*summary(participant(none))][1].startswith("a and b censor nothing:")
    assert [*summary(participant())] == ["No results of sub-01 were written."]


def test_few_degrees_of_freedom_and_what_they_mean():
    """Of Fisher's z with 20, 1.96 / sqrt(18), and so r = 0.43."""
    runs = [run_of("r", a=facts(90, 24.9), b=facts(90, 25)), run_of("s", a=facts(90, 20))]
    runs.append(run_of("t", together=True, a=facts(90, 3)))
    (words,) = cautions(participant(*runs))
    assert words == (
        "r and s: few degrees of freedom. With 20, one pair in 20 of unrelated series correlates "
        "beyond \N{PLUS-MINUS SIGN}0.43 by chance, and more pairs where series are autocorrelated."
    )
    assert cautions(participant(run_of("r", a=facts(90, 2)))) == [
        "r: few degrees of freedom, down to 2: correlations say nothing."
    ]
    (words,) = cautions(participant(run_of("r", a=facts(90, 20), b=facts(90, 22))))
    assert "With 20, one pair in 20" in words
    (words,) = cautions(participant(run_of("r", a=facts(90, 3))))
    assert "beyond \N{PLUS-MINUS SIGN}0.96 by chance" in words
    gone = {"Excluded": "3 volumes are left"}
    runs = [run_of(x, a=facts(3, 1, **gone), b=facts(3, 1, **gone), c=facts(9, 40)) for x in "rs"]
    assert cautions(participant(*runs)) == ["r and s: excluded for a and b. 3 volumes are left."]


def test_spheres_of_which_little_is_there():
    spheres = SimpleNamespace(
        names=("p", "q", "r", "s", "t"),
        used=np.array([True, True, False, True, True]),
        coverage=np.array([0.7, 0.75, 0.3, 0.5, 1]),
    )
    first, second = cautions(participant(run_of("x", spheres=spheres, a=facts(90, 60))))
    assert first == (
        "x: 1 sphere of 5 of Mine in MNI without a series, because too few of their voxels have a "
        "signal: r."
    )
    assert second == (
        f"x: 2 spheres of 5 of Mine in MNI with a series of less than 75{PER_CENT} of their "
        f"voxels, down to 50{PER_CENT}: s and p."
    )


def column(table, label):
    (place,) = (i for i, head in enumerate(table.columns) if head.label == label)
    return [row[place] for row in table.rows]


def test_the_table_of_runs():
    run = run_of(
        "r",
        a=facts(79, 24.44, 0.56, RankRemoved=12, DimensionsLostToFilter=7.25),
        b=facts(80, 25, 0.2, DimensionsLostToCensoring=2.5),
        c=facts(3, -1.5, 0.3, Excluded="few"),
        d={},
    )
    table = runs_table(participant(run))
    left = column(table, "Degrees of freedom")
    assert [(cell.text, cell.tone) for cell in left] == [
        *(("24.4", "warn"), ("25", ""), ("-1.5 (excluded)", "bad"), ("n/a", "")),
    ]
    assert [(cell.text, cell.tone) for cell in column(table, "Kept")] == [
        *(("79", "warn"), ("80", ""), ("3", ""), ("n/a", "")),
    ]
    assert [(cell.text, cell.tone) for cell in column(table, "Mean FD")] == [
        *(("0.56", "bad"), ("0.2", ""), ("0.3", "warn"), ("n/a", "")),
    ]
    assert [cell.text for cell in column(table, "Lost to filter")] == ["7.2", *["n/a"] * 3]
    assert [cell.text for cell in column(table, "Lost to censoring")][1] == "2.5"
    assert column(table, "Rank removed")[0].text == "12"
    assert column(table, "Run")[0].href == "#run-r"
    labels = [head.label for head in table.columns]
    assert "Space" not in labels
    assert "Mean FD recomputed" not in labels
    mixed = runs_table(participant(run_of("r", a=facts(79, 60), b=facts(80, 24))))
    assert [cell.tone for cell in column(mixed, "Kept")] == ["warn", ""]
    assert [cell.tone for cell in column(mixed, "Degrees of freedom")] == ["", "warn"]
    other = run_of("s", space="T1w", a=facts(9, 6, MeanFramewiseDisplacementRecomputed=0.125))
    table = runs_table(participant(run, other))
    assert [cell.text for cell in column(table, "Space")] == [*["MNI"] * 4, "T1w"]
    assert [cell.text for cell in column(table, "Mean FD recomputed")][-1] == "0.12"


def correlations_of(values, kept=None):
    """Values of the drawn matrix, unpacked, and its caption."""
    names = [f"r{i}" for i in range(values.shape[1])]
    design = pd.DataFrame(values, columns=names)
    files = SimpleNamespace(designs={"a": ""}, design=lambda _: design)
    files.outliers, files.kept = {} if kept is None else {"a": ""}, lambda _: kept
    block, rows = regressor_block(SimpleNamespace(anchor="run-1", strategies=("a",), files=files))
    assert rows == {"run-1-design-0": tuple(names)}
    (graphic,) = block.graphics
    whole = np.frombuffer(base64.b64decode(graphic.matrix.packed.values), "<i2").astype(float)
    matrix = np.full((len(names),) * 2, np.nan)
    own = np.where(whole == -32768, np.nan, whole * graphic.matrix.packed.step)
    matrix[np.triu_indices(len(names))] = own
    return np.where(np.isnan(matrix), matrix.T, matrix), graphic.caption


def test_correlations_of_regressors():
    values = np.random.default_rng(0).standard_normal((20, 4)) * [1, 1e-6, 1e5, 1] + [0, 3, 0, 0]
    values[:, 3] = 1e9 / 3
    found, caption = correlations_of(values)
    np.testing.assert_allclose(found[:3, :3], np.corrcoef(values[:, :3].T), atol=2e-5)
    assert np.isnan(found[3]).all()
    assert np.isnan(found[:, 3]).all()
    assert "1 regressor without variation (grey)." in caption
    kept = np.arange(20) % 3 > 0
    found, _ = correlations_of(values, kept)
    np.testing.assert_allclose(found[:3, :3], np.corrcoef(values[kept, :3].T), atol=2e-5)
    assert np.isnan(correlations_of(values[:2])[0]).all()
    assert np.isfinite(correlations_of(values[:3, :2])[0]).all()


def test_negative_controls_in_a_table():
    shares = {"surrogate": 0.05, "fluid": 0.125, "mirrored": np.nan, "seeds": 0.4}
    controls = {
        "significant": shares,
        "significant_nominal": {"surrogate": 0.25},
        "similarity": {"mirrored": 0.333},
    }
    files = SimpleNamespace(controls_paths={"b": ""}, controls=lambda _: controls)
    run = SimpleNamespace(
        strategies=("a", "b"), sets=[SimpleNamespace(files=files, title="Mine in MNI")]
    )
    table = controls_table(run)
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["b", "Mine in MNI", "5", "25", "12.5", "n/a", "0.33", "40"]
    ]
    files.controls_paths = {}
    assert controls_table(run) is None


@pytest.mark.parametrize("strategies", [{}, {"a": {}}])
def test_sidecars_that_say_nothing(strategies):
    (verdict,) = verdicts(participant(run_of("r", **strategies)))
    assert (verdict.text, verdict.tone) == ("", "")
    assert cautions(participant(run_of("r", **strategies))) == []


def test_volumes_and_degrees_of_freedom_may_be_least_after_different_strategies():
    (verdict,) = verdicts(participant(run_of("r", a=facts(70, 60), b=facts(90, 20))))
    assert verdict.text == (
        "70 of 100 volumes kept after a: many censored; mean FD 0.1 mm; "
        "20 degrees of freedom after b: few"
    )


def test_seed_sets_of_a_space_share_a_row():
    """By the first that has the strategy; another space has rows of its own."""
    run = run_of("r", a=facts(90, 60))
    first, second, third = (
        run_of("r", space=space, **own).sets[0]
        for space, own in (
            ("MNI", {"a": facts(90, 60)}),
            ("MNI", {"a": facts(80, 50), "b": facts(70, 40)}),
            ("T1w", {"a": facts(60, 30)}),
        )
    )
    styles = dict.fromkeys("ab", "series-0")
    run = Run("run-r", run.files, styles, (third, first, second))
    table = runs_table(participant(run))
    shown = [[cell.text for cell in column(table, head)] for head in ("Space", "Strategy", "Kept")]
    assert list(zip(*shown, strict=True)) == [
        *(("T1w", "a", "60"), ("MNI", "a", "90"), ("MNI", "b", "70")),
    ]
    gone = {"a": facts(3, 1, Excluded="few volumes")}
    sets = tuple(run_of("r", space=space, **gone).sets[0] for space in ("MNI", "T1w"))
    (verdict,) = verdicts(participant(Run("run-r", run.files, {"a": "series-0"}, sets)))
    assert verdict.text == "excluded for a; mean FD 0.1 mm"
    (verdict,) = verdicts(participant(run_of("r", a={**facts(80, 25), "DegreesOfFreedom": None})))
    assert verdict.text == "80 of 100 volumes kept; mean FD 0.1 mm"
