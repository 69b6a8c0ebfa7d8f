"""Spectra of series against scipy, and motion to scale."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.signal

from bids_spheres.reports.participant import time_courses
from bids_spheres.reports.participant.time_courses import (
    mean_spectrum,
    motion_block,
    periodogram,
    shared_variance,
    signal_view,
)
from bids_spheres.reports.toolkit.charts import network_order
from bids_spheres.wording import percent

T_R = 2.0


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_the_periodogram_is_scipys_with_gaps(rng):
    times = np.sort(rng.choice(np.arange(200), 130, replace=False)) * T_R
    series = rng.standard_normal((130, 3))
    series -= series.mean(axis=0)
    frequencies = np.arange(1, 80) / (200 * T_R)
    ours = periodogram(times, series, frequencies)
    for s in range(3):
        theirs = scipy.signal.lombscargle(times, series[:, s], 2 * np.pi * frequencies)
        np.testing.assert_allclose(ours[:, s], theirs, rtol=1e-7)


@pytest.mark.parametrize("n", [100, 101])
def test_the_periodogram_of_regular_times_is_the_classic_one(rng, n):
    series = rng.standard_normal((n, 4))
    series -= series.mean(axis=0)
    frequencies = np.arange(1, n // 2 + 1) / (n * T_R)
    ours = periodogram(np.arange(n) * T_R, series, frequencies)
    _, theirs = scipy.signal.periodogram(series, fs=1 / T_R, axis=0, detrend=False)
    # A density of one side, in units of 1 / Hz.
    np.testing.assert_allclose(ours, theirs[1:] / (2 * T_R), rtol=1e-8)


@pytest.mark.parametrize("censored", [0, 40])
def test_a_spectrum_has_its_peak_where_the_sine_is(rng, censored):
    n, frequency = 240, 0.05
    kept = np.ones(n, dtype=bool)
    kept[rng.choice(n, censored, replace=False)] = False
    sine = np.sin(2 * np.pi * frequency * np.arange(n) * T_R)
    series = 100 * sine[:, None] + rng.standard_normal((n, 5))
    series[~kept] = np.nan
    series = np.column_stack([series, np.full(n, np.nan)])
    spectrum = mean_spectrum(series, kept, T_R)
    assert spectrum.frequencies[spectrum.density.argmax()] == pytest.approx(frequency, abs=0.002)
    step = spectrum.frequencies[1] - spectrum.frequencies[0]
    assert spectrum.density.sum() * step == pytest.approx(1)
    assert spectrum.frequencies[-1] <= 1 / (2 * T_R)


def test_long_runs_have_no_more_points_than_a_chart_shows(rng):
    spectrum = mean_spectrum(rng.standard_normal((1200, 3)), np.ones(1200, dtype=bool), 0.8)
    assert len(spectrum.frequencies) <= 160
    # White noise: the same power everywhere.
    assert spectrum.density[:80].mean() == pytest.approx(spectrum.density[80:].mean(), rel=0.15)


def test_nothing_to_see_has_no_spectrum():
    assert mean_spectrum(np.empty((0, 3)), np.empty(0, dtype=bool), 2) is None
    assert mean_spectrum(np.full((50, 3), np.nan), np.ones(50, dtype=bool), 2) is None
    assert mean_spectrum(np.ones((50, 3)), np.ones(50, dtype=bool), 2) is None


@pytest.mark.parametrize(("n", "n_points", "first"), [(643, 107, 2), (644, 107, 2), (1300, 130, 3)])
def test_neighbouring_frequencies_share_a_point(rng, n, n_points, first):
    """Of 321, 322 and 650 frequencies three, three and five have a point of a chart."""
    spectrum = mean_spectrum(rng.standard_normal((n, 2)), np.ones(n, dtype=bool), T_R)
    assert len(spectrum.frequencies) == n_points
    every = 5 if n == 1300 else 3
    np.testing.assert_allclose(
        spectrum.frequencies, (first + every * np.arange(n_points)) / (n * T_R)
    )


def test_a_spectrum_of_eight_volumes_is_the_mean_over_series_that_vary(rng):
    series = rng.standard_normal((12, 3)) * [1, 10, 100] + [5, 0, -7]
    series = np.column_stack([series, np.full(12, 3.0)])
    kept = np.ones(12, dtype=bool)
    kept[[2, 5, 6, 11]] = False
    spectrum = mean_spectrum(series, kept, T_R)
    np.testing.assert_allclose(spectrum.frequencies, np.arange(1, 7) / 24)
    own = series[kept][:, :3]
    z = (own - own.mean(axis=0)) / own.std(axis=0)
    power = np.mean(
        [
            scipy.signal.lombscargle(
                np.flatnonzero(kept) * T_R, z[:, s], 2 * np.pi * np.arange(1, 7) / 24
            )
            for s in range(3)
        ],
        axis=0,
    )
    np.testing.assert_allclose(spectrum.density, power / power.sum() * 24, rtol=1e-7)
    kept[0] = False
    assert mean_spectrum(series, kept, T_R) is None


@pytest.mark.parametrize("r", [-0.6, 0.0, 0.5])
def test_two_series_share_one_plus_their_correlation_over_two(rng, r):
    basis = np.linalg.qr(np.column_stack([np.ones(30), rng.standard_normal((30, 2))]))[0]
    first, second = basis[:, 1], r * basis[:, 1] + np.sqrt(1 - r**2) * basis[:, 2]
    series = np.column_stack([3 + first, 7 - 20 + 5 * second])
    assert shared_variance(series) == pytest.approx((1 + r) / 2)
    more = np.column_stack([series, np.full(30, 2.0), np.full(30, np.nan)])
    assert shared_variance(more) == pytest.approx((1 + r) / 2)
    assert shared_variance(series[:3]) is not None
    assert shared_variance(series[:2]) is None
    assert shared_variance(np.full((9, 2), np.nan)) is None
    assert shared_variance(np.empty((0, 2))) is None


N = 10
FD = np.array([np.nan, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
DVARS = np.array([np.nan, 1, 1, 1, 1, 2, 1, 1, 1, 1])


@pytest.fixture
def run(tmp_path):
    """Two strategies, of which one censors; with a table of motion."""
    table = pd.DataFrame({"framewise_displacement": FD, " std_dvars ": DVARS, "rmsd": FD / 2})
    table.to_csv(tmp_path / "confounds.tsv", sep="\t", index=False, na_rep="n/a")
    kept = {"a": np.ones(N, bool), "b": ~np.isin(np.arange(N), [0, 5])}
    outliers = {name: tmp_path / f"{name}_outliers.tsv" for name in "ab"}
    for name, path in outliers.items():
        pd.DataFrame({"censored": 1 - kept[name]}).to_csv(path, sep="\t", index=False)
    limits = {
        "a": {"fd_threshold": 0.5, "std_dvars_threshold": None, "rmsd_threshold": None},
        "b": {"fd_threshold": 0.5, "std_dvars_threshold": 1.5, "rmsd_threshold": None},
    }
    facts = {name: {"CensoringThresholds": own} for name, own in limits.items()}
    return SimpleNamespace(
        files=SimpleNamespace(outliers=outliers, kept=kept.__getitem__),
        strategies=("a", "b"),
        styles={"a": "series-0", "b": "series-3"},
        sets=[SimpleNamespace(facts=facts)],
        limits=limits,
        links=SimpleNamespace(first=lambda *_: tmp_path / "confounds.tsv"),
    )


def numbers_in(path):
    return np.array(re.findall(r"-?[\d.]+", path), float)


def test_motion_is_drawn_to_scale(run):
    block = motion_block(run, run.links)
    (graphic,) = block.graphics
    assert block.notes == ()
    assert graphic.caption == (
        "Framewise displacement: mean 0.5 mm, highest 0.9 mm at volume 9. Standardized DVARS: mean "
        "1.11, highest 2 at volume 5. No volume is censored by a. Volumes are counted from 0."
    )
    chart = graphic.chart
    assert chart.alt.endswith("a leaves out no volumes of 10. b leaves out 2 volumes of 10.")
    assert (chart.width, chart.height) == (780, 8 + 2 * (84 + 14) + 2 * 14 + 40)
    assert [(key.style, key.text, key.of) for key in graphic.legend] == [
        ("swatch series-3", "censored by b", "b"),
        ("threshold", "threshold", ""),
    ]
    across = 130 + 634 * (np.arange(1, N) + 0.5) / N
    courses = [mark.path for mark in chart.marks if mark.style == "course"]
    for path, values, top, high in (
        (courses[0], FD, 8, 0.9 * 1.06),
        (courses[1], DVARS, 8 + 98, 2 * 1.06),
    ):
        found = numbers_in(path).reshape(-1, 2)
        np.testing.assert_allclose(found[:, 0], across, atol=0.06)
        np.testing.assert_allclose(found[:, 1], top + 84 * (1 - values[1:] / high), atol=0.06)
    levels = [mark for mark in chart.marks if mark.style == "threshold"]
    assert [(mark.of, mark.title) for mark in levels] == [
        ("", "Threshold 0.5"),
        ("b", "Threshold 1.5"),
    ]
    down = 8 + 84 * (1 - 0.5 / 0.954)
    assert levels[0].path == f"M130.0,{down:.1f}H764.0"
    censored = [m for m in chart.marks if m.style == "censored series-3" and m.of == "b"]
    step = 63.4
    for mark, top in zip(censored, (8, 106), strict=True):
        assert mark.path == "".join(
            f"M{130 + step * t:.1f},{top:.1f}H{130 + step * (t + 1):.1f}V{top + 84:.1f}"
            f"H{130 + step * t:.1f}Z"
            for t in (0, 5)
        )
    lanes = [m.path for m in chart.marks if m.style == "lane"]
    assert lanes == ["M130.0,205.0H764.0V217.0H130.0Z", "M130.0,219.0H764.0V231.0H130.0Z"]
    stripes = {m.of: m.path for m in chart.marks if m.style.startswith("stripe")}
    assert stripes["a"] == ""
    assert stripes["b"].startswith("M130.0,219.0H193.4V231.0H130.0ZM447.0,219.0")
    names = [(label.text, label.across, label.down) for label in chart.labels if label.text in "ab"]
    assert names == [("a", 124, 215), ("b", 124, 229)]
    volumes = [label for label in chart.labels if label.text == "Volume"]
    assert [(label.across, label.down) for label in volumes] == [(447, 204 + 28 + 32)]


def test_which_measures_and_thresholds_are_shown(run, tmp_path):
    run.limits["b"]["rmsd_threshold"] = 0.25
    run.limits["a"]["fd_threshold"] = 0.3
    block = motion_block(run, run.links)
    marks = [mark for mark in block.graphics[0].chart.marks if mark.style == "threshold"]
    assert [(m.of, m.title) for m in marks] == [
        ("a", "Threshold 0.3"),
        ("b", "Threshold 0.5"),
        ("b", "Threshold 1.5"),
        ("b", "Threshold 0.25"),
    ]
    assert "Root mean square displacement: mean 0.25 mm, highest 0.45" in block.graphics[0].caption
    # A strategy that measures anew compares its threshold with what it measured.
    anew = pd.DataFrame({"censored": np.zeros(N, int), "fd_recomputed": FD / 3})
    anew.to_csv(run.files.outliers["b"], sep="\t", index=False, na_rep="n/a")
    caption = motion_block(run, run.links).graphics[0].caption
    assert caption.startswith(
        "Framewise displacement as b recomputes it: mean 0.17 mm, highest 0.3 mm at volume 9. "
        "Framewise displacement: mean 0.5 mm"
    )
    graphic = motion_block(run, run.links).graphics[0]
    titles = [m.title for m in graphic.chart.marks if m.style == "threshold"]
    assert titles == ["Threshold 0.5", "Threshold 0.3", "Threshold 1.5", "Threshold 0.25"]
    # A table of another length is not that of the run.
    pd.DataFrame({"framewise_displacement": FD[1:]}).to_csv(
        tmp_path / "confounds.tsv", sep="\t", index=False
    )
    run.files.outliers["b"].write_text("censored\n" + "0\n" * N)
    block = motion_block(run, run.links)
    assert block.graphics[0].caption == ("No volume is censored by a. Volumes are counted from 0.")
    assert len(block.notes) == 1
    pd.DataFrame({"framewise_displacement": [*FD, 0.1]}).to_csv(
        tmp_path / "confounds.tsv", sep="\t", index=False
    )
    assert len(motion_block(run, run.links).notes) == 1
    run.files.outliers = {}
    assert motion_block(run, run.links) is None


def seeds_of(before=True, n_spheres=3, n=200):
    """Series of one frequency beside noise, with two volumes left out."""
    rng = np.random.default_rng(2)
    kept = ~np.isin(np.arange(n), [3, 50])
    sine = np.sin(2 * np.pi * 0.05 * T_R * np.arange(n))[:, None]
    values = sine + 0.01 * rng.standard_normal((n, n_spheres))
    values[~kept] = np.nan
    about = {"t_r": T_R, "exclusion": None}
    noise = SimpleNamespace(values=rng.standard_normal(values.shape), kept=kept | True, **about)
    return SimpleNamespace(
        series={"a": SimpleNamespace(values=values, kept=kept, **about)},
        spheres=object(),
        uncleaned=noise if before else None,
        order=network_order(["n/a"] * n_spheres),
        anchor="set-1",
        noun="sphere",
    )


def test_carpets_and_spectra_before_and_after_cleaning():
    seeds = seeds_of()
    (carpets, spectra), (name, raster) = signal_view(seeds, {"a": "series-1"})
    assert (carpets.heading, name) == ("Series before and after cleaning", "set-1-before")
    assert carpets.notes[0].startswith(
        "A row for each sphere (in the order of the table), a column for each volume; black to"
    )
    (graphic,) = carpets.graphics
    kept = seeds.series["a"].kept
    shares = [shared_variance(s.values[kept]) for s in (seeds.series["a"], seeds.uncleaned)]
    assert shares[0] > 0.99
    assert shares[1] < 0.6
    assert graphic.caption == (
        f"3 series in 198 volumes of 200, after a. Their mean explains {percent(shares[0])} of "
        f"their variance, {percent(shares[1])} before cleaning."
    )
    first, second = graphic.chart.rasters
    assert (first.src, first.left, first.top, first.width, first.height) == (
        *("#set-1-before", 130, 20, 306, 48),
    )
    assert (second.left, second.width, raster.left) == (130 + 306 + 22, 306, 130)
    (chart,) = spectra.graphics
    shown = (
        r" a: 0\.0\d+\s% of the power below 0\.01 Hz, 9\d(\.\d)?\s% from 0\.01 to 0\.1 Hz, "
        r"\d(\.\d+)?\s% above"
    )
    assert re.search(shown, chart.caption)
    lines = {mark.style: numbers_in(mark.path).reshape(-1, 2) for mark in chart.chart.marks[-2:]}
    for style in ("before", "line series-1"):
        np.testing.assert_allclose(lines[style][[0, -1], 0], [130 + 634 / 100, 764], atol=0.1)
    peak = lines["line series-1"][:, 1].argmin()
    assert lines["line series-1"][peak, 0] == pytest.approx(130 + 634 * 0.05 / 0.25, abs=0.1)


def test_shares_of_power_in_three_bands():
    """Sines of the lowest frequency, at the border of 0.01 Hz, and above 0.1 Hz."""
    seeds, times = seeds_of(before=False), T_R * np.arange(200)
    waves = [np.sin(2 * np.pi * f * times + 0.3) for f in (0.0025, 0.01, 0.2)]
    own = seeds.series["a"]
    own.values = np.tile((waves[0] + np.sqrt(2) * waves[1] + waves[2])[:, None], 3)
    own.kept = np.ones(200, bool)
    (_, spectra), _ = signal_view(seeds, {"a": "series-1"})
    assert spectra.graphics[0].caption.startswith(
        "a: 25\xa0% of the power below 0.01 Hz, 50\xa0% from 0.01 to 0.1 Hz, 25\xa0% above. Mean"
    )


def test_greys_before_cleaning_are_those_of_volumes_that_any_strategy_keeps(monkeypatch):
    typical = []
    raster = time_courses.matrices.carpet_raster
    monkeypatch.setattr(
        time_courses.matrices,
        "carpet_raster",
        lambda *about: (typical.extend(about[3:]), raster(*about))[1],
    )
    seeds = seeds_of()
    first = seeds.series["a"]
    kept = ~np.isin(np.arange(200), [50, 60])
    values = np.where(kept[:, None], seeds.uncleaned.values, np.nan)
    seeds.series["b"] = SimpleNamespace(values=values, kept=kept, t_r=T_R, exclusion=None)
    signal_view(seeds, {"a": "series-1", "b": "series-2"})
    (own,) = typical
    assert np.flatnonzero(~own).tolist() == [50]
    assert np.flatnonzero(~first.kept).tolist() == [3, 50]


def test_words_of_carpets_count_kept_volumes_alone():
    """A sphere that lacks one volume has a series; what is left out does not count."""
    seeds = seeds_of(n_spheres=4)
    own, before = seeds.series["a"], seeds.uncleaned
    own.values[:, 1] = np.nan
    own.values[7, 2] = np.nan
    before.values[~own.kept] = 1e6 * np.arange(4)
    (carpets, _), _ = signal_view(seeds, {"a": "series-1"})
    shares = [shared_variance(s.values[own.kept]) for s in (own, before)]
    assert carpets.graphics[0].caption == (
        f"3 series in 198 volumes of 200, after a. Their mean explains {percent(shares[0])} of "
        f"their variance, {percent(shares[1])} before cleaning."
    )
    assert shares[1] < 0.6


def test_series_of_another_length_before_cleaning_are_not_shown():
    seeds = seeds_of()
    seeds.uncleaned.values = seeds.uncleaned.values[1:]
    (carpets, _), picture = signal_view(seeds, {"a": "series-1"})
    assert (carpets.heading, picture) == ("Series", None)


def test_series_without_those_before_cleaning_or_alone():
    (carpets, _), picture = signal_view(seeds_of(before=False), {"a": "series-1"})
    assert (carpets.heading, picture) == ("Series", None)
    assert carpets.notes[0].endswith("The results do not include the series before cleaning.")
    (graphic,) = carpets.graphics
    assert "before cleaning" not in graphic.caption
    assert [raster.left for raster in graphic.chart.rasters] == [130]
    (alone, _), _ = signal_view(seeds_of(n_spheres=1), {"a": "series-1"})
    assert alone.graphics[0].caption == "1 series in 198 volumes of 200, after a."
    (many, _), _ = signal_view(seeds_of(n_spheres=300, n=400), {"a": "series-1"})
    assert many.notes[0].startswith("A row for the mean of 2 spheres (in the order of the table)")
    assert "a column for the mean of 2 volumes;" in many.notes[0]
    nothing = seeds_of()
    nothing.spheres = None
    assert signal_view(nothing, {"a": "series-1"}) == ([], None)
    excluded = seeds_of()
    excluded.series["a"].exclusion = "few volumes"
    assert signal_view(excluded, {"a": "series-1"}) == ([], None)
