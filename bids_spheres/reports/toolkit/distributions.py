"""Distributions of several samples in one chart: histograms, and medians along distance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_spheres.reports.toolkit import charts
from bids_spheres.reports.toolkit.matrices import pairs
from bids_spheres.reports.toolkit.render import Block, Graphic
from bids_spheres.wording import coefficient, number, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike

    from bids_spheres.engine.arrays import FloatArray

STEP = 10.0  # Width of the bins along distance, mm
_LEFT, _HEIGHT = 56, 190  # pixels
_FEWEST_BINS, _N_BINS = 6, 50
# Fewer values than this are dots in rows, so many pixels high, instead of a histogram
_FEW, _STRIP = 20, 56
_DOTS = 300  # Up to this many pairs, each is drawn as a dot


@dataclass(frozen=True, eq=False)
class Sample:
    """Values with a name and a line style."""

    name: str
    values: FloatArray  # (N,); NaN is left out
    style: str
    of: str = ""  # Strategy, where readers can hide strategies

    @property
    def known(self) -> FloatArray:
        """Values that are not missing."""
        return self.values[np.isfinite(self.values)]

    @property
    def key(self) -> charts.Key:
        """Its entry in a legend."""
        return charts.Key(f"line {self.style}", self.name, self.of)


def bins(samples: Sequence[Sample]) -> FloatArray:
    """Edges of bins for 99.9 % of the values of all samples."""
    joined = np.concatenate([sample.known for sample in samples])
    low, high = np.percentile(joined, (0.05, 99.95)) if joined.size else (0.0, 1.0)
    pad = 0.02 * (high - low) or 0.5
    return np.linspace(low - pad, high + pad, number_of_bins(samples) + 1)


def number_of_bins(samples: Sequence[Sample]) -> int:
    """Twice the cube root of the number of values, by Rice's rule, within limits."""
    most = max((sample.known.size for sample in samples), default=0)
    return int(np.clip(round(2 * most ** (1 / 3)), _FEWEST_BINS, _N_BINS))


def histogram(
    samples: Sequence[Sample],
    edges: FloatArray,
    *,
    label: str,
    share: str,
    alt: str,
    expected: FloatArray | None = None,
) -> charts.Chart:
    """Histograms as step lines, in per cent, with a broad line for shares by chance, (B,).

    `edges` are those of the B bins, `label` and `share` name the axes; few values are dots.
    """
    most = max((sample.known.size for sample in samples), default=0)
    if most < _FEW and expected is None:
        return _strips(samples, label, alt)
    drawn = [] if expected is None else [("chance", "", 100 * expected)]
    drawn += [(f"line {s.style}", s.of, 100 * shares(s.values, edges)) for s in samples]
    x = charts.axis(edges, label, most=6)
    y = charts.axis([heights.max() for *_, heights in drawn], share, zero=True, room=0.05, most=5)
    frame = charts.Frame(_LEFT, 8, charts.HALF - _LEFT - 8, _HEIGHT, x, y)
    corners = np.repeat(edges, 2)
    marks = tuple(
        charts.Mark(frame.line(corners, np.pad(np.repeat(heights, 2), 1)), style, of)
        for style, of, heights in drawn
    )
    return charts.chart_of([charts.Plot(frame, marks)], charts.HALF, _HEIGHT + 50, alt)


def _strips(samples: Sequence[Sample], label: str, alt: str) -> charts.Chart:
    """A dot for each value, a row for each sample; equal values are stacked."""
    x = charts.axis(np.concatenate([sample.known for sample in samples]), label, room=0.05, most=6)
    height = _STRIP * len(samples)
    frame = charts.Frame(16, 8, charts.HALF - 32, height, x, charts.Axis(0, len(samples)))
    grid, labels = frame.x_marks()
    marks = [*grid]
    for row, sample in enumerate(samples):
        across = np.sort(frame.across(sample.known))
        # As many neighbours as hide each other are one above the other.
        stack = [int((across[:i] > at - 8).sum()) for i, at in enumerate(across)]
        down = frame.top + _STRIP * (row + 1) - 8 - 9.0 * np.minimum(stack, 4)
        path = charts.circles(np.stack([across, down], axis=1), 4.0)
        marks.append(charts.Mark(path, f"dot faint {sample.style}", sample.of))
    return charts.Chart(charts.HALF, int(8 + height + 42), alt, tuple(marks), labels)


def spread_words(sample: Sample) -> str:
    """Mean and standard deviation of a sample, in a sentence."""
    known = sample.known
    if not known.size:
        return f"{sample.name}: no value."
    words = f"{sample.name}: mean {number(float(known.mean()))}"
    if known.size > 1:
        words += f", standard deviation {number(float(known.std()))}"
    return f"{words}."


def shares(values: FloatArray, edges: ArrayLike) -> FloatArray:
    """Share of the finite values in each of B bins, (B,); the outer bins include all beyond."""
    borders = np.asarray(edges, dtype=np.float64)
    finite = np.clip(values[np.isfinite(values)], borders[0], borders[-1])
    counts, _ = np.histogram(finite, borders)
    return counts / max(len(finite), 1)


FEWEST = 10  # Fewest values of a bin for which quartiles are given


@dataclass(frozen=True, eq=False)
class Trend:
    """Quartiles of values along another quantity."""

    middles: FloatArray  # (B,)
    lower: FloatArray  # (B,); NaN for bins with fewer than `FEWEST` values
    median: FloatArray
    upper: FloatArray
    # Spearman's rank correlation of the two quantities; NaN where it is not defined.
    correlation: float


def trend_along(along: FloatArray, values: FloatArray, width: float) -> Trend:
    """Quartiles of `values` in bins of `width` along `along`, and the correlation of the two."""
    good = np.isfinite(along) & np.isfinite(values)
    along, values = along[good], values[good]
    n_bins = int(along.max() // width) + 1 if along.size else 0
    which = (along // width).astype(int)
    quartiles = np.full((3, n_bins), np.nan)
    for i in range(n_bins):
        inside = values[which == i]
        if len(inside) >= FEWEST:
            quartiles[:, i] = np.percentile(inside, (25, 50, 75))
    middles = (np.arange(n_bins, dtype=np.float64) + 0.5) * width
    lower, median, upper = quartiles
    return Trend(middles, lower, median, upper, spearman(along, values))


def spearman(x: FloatArray, y: FloatArray) -> float:
    """Rank correlation; NaN for fewer than three pairs or without variation."""
    # `scipy.stats` has it as well, but takes longer to import than a page to write.
    ranks = pd.DataFrame({"x": x, "y": y}).rank()
    return float(ranks.corr(min_periods=3).to_numpy()[0, 1])


@dataclass(frozen=True, eq=False)
class Along:
    """Samples of values of pairs along the distance of their nodes."""

    samples: Sequence[Sample]
    distances: FloatArray  # (N,), mm

    @cached_property
    def trends(self) -> list[Trend]:
        """Medians and quartiles of each sample in steps of `STEP` mm."""
        return [trend_along(self.distances, sample.values, STEP) for sample in self.samples]

    @property
    def known(self) -> bool:
        """Whether any bin has enough pairs for a median."""
        return any(bool(np.isfinite(trend.median).any()) for trend in self.trends)

    @property
    def few(self) -> bool:
        """Whether pairs are few enough to draw each."""
        return len(self.distances) <= _DOTS

    @property
    def drawn(self) -> str:
        """What the chart shows, in a sentence."""
        words = ["a dot for each pair"] if self.few else []
        if not self.few or any(map(_is_line, self.trends)):
            words.append(f"median and quartiles of pairs in steps of {STEP:g} mm")
        return sentence("; ".join(words))

    @property
    def words(self) -> str:
        """A sentence for each sample."""
        words = []
        for sample, trend in zip(self.samples, self.trends, strict=True):
            text = "too few pairs for a correlation with distance"
            if np.isfinite(trend.correlation):
                text = f"rank correlation with distance {coefficient(trend.correlation)}"
            words.append(f"{sample.name}: {text}.")
        return " ".join(words)

    def chart(self, label: str) -> charts.Chart:
        """Medians as lines and quartiles as bands, with `label` at the upward axis."""
        x = charts.axis(self.distances, "Distance between centres (mm)", zero=True, most=6)
        ends = (np.append(trend.lower, trend.upper) for trend in self.trends)
        single = [sample.values for sample in self.samples] if self.few else []
        y = charts.axis(np.concatenate([[0.0], *ends, *single]), label, room=0.04, most=5)
        frame = charts.Frame(_LEFT, 8, charts.HALF - _LEFT - 8, _HEIGHT, x, y)
        marks = [charts.Mark(frame.level(0.0), "lead")]
        for sample in self.samples if self.few else ():
            dots = np.stack([frame.across(self.distances), frame.down(sample.values)], axis=1)
            path = charts.circles(dots[np.isfinite(sample.values)], 2.2)
            marks.append(charts.Mark(path, f"dot faint {sample.style}", sample.of))
        for sample, trend in zip(self.samples, self.trends, strict=True):
            if _is_line(trend):
                band = frame.band(trend.middles, trend.lower, trend.upper)
                line = frame.line(trend.middles, trend.median)
                marks.append(charts.Mark(band, f"band {sample.style}", sample.of))
                marks.append(charts.Mark(line, f"line {sample.style}", sample.of))
        plot = charts.Plot(frame, tuple(marks))
        return charts.chart_of([plot], charts.HALF, _HEIGHT + 50, self.words)


def _is_line(trend: Trend) -> bool:
    """Whether two medians can be connected."""
    return int(np.isfinite(trend.median).sum()) > 1


def distribution_block(
    heading: str,
    label: str,
    samples: Sequence[Sample],
    points: FloatArray,
    notes: Sequence[str] = (),
    *,
    by_chance: Callable[[FloatArray], FloatArray] | None = None,
) -> Block:
    """Histogram of values of all pairs, and their medians along distance.

    Samples have a value for each pair of the N nodes at `points`, (N, 3), mm; `label` is that of
    the axis of values. `by_chance` gives the shares of bins with these edges by chance alone.
    """
    words = " ".join(map(spread_words, samples))
    legend, edges = tuple(sample.key for sample in samples), bins(samples)
    expected = None if by_chance is None else by_chance(edges)
    words = words if expected is None else f"Grey: distribution by chance. {words}"
    chart = histogram(samples, edges, label=label, share="Pairs (%)", alt=words, expected=expected)
    graphics = [Graphic(chart, words, "All pairs", legend=legend)]
    distances = pairs(np.linalg.norm(points[:, None] - points[None], axis=-1))
    along = Along(samples, distances)
    if along.known or along.few:
        caption = f"{along.drawn} {along.words}"
        graphics.append(Graphic(along.chart(label), caption, "Along distance", legend=legend))
    return Block(heading, tuple(graphics), tuple(notes), columns=2)
