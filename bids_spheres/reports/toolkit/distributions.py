"""How values spread, of several samples in one chart: histograms, and medians along distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.toolkit.charts import (
    HALF,
    Frame,
    Key,
    Mark,
    Plot,
    axis,
    chart_of,
    circles,
)
from bids_spheres.reports.toolkit.summaries import shares, trend
from bids_spheres.wording import coefficient, number, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from bids_spheres.reports.toolkit.charts import Chart
    from bids_spheres.reports.toolkit.summaries import Trend

    FloatArray = NDArray[np.float64]

STEP = 10.0
"""Width of the bins along distance, mm."""

_LEFT, _HEIGHT = 56, 190  # pixels
_FEWEST_BINS, _N_BINS = 6, 50
_DOTS = 300
"""Pairs up to which each has a dot of its own."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Values with a name and a style.

    Parameters
    ----------
    name : str
    values : (N,) array
        NaN is left out.
    style : str
        Of its line.
    of : str
        What it belongs to, where readers choose among such.
    """

    name: str
    values: FloatArray
    style: str
    of: str = ""

    @property
    def known(self) -> FloatArray:
        """Values without those that are missing."""
        return self.values[np.isfinite(self.values)]

    @property
    def key(self) -> Key:
        """Its entry in a legend."""
        return Key(f"line {self.style}", self.name, self.of)


@dataclass(frozen=True)
class Words:
    """Labels of the axes of a chart, and what it says."""

    x: str
    y: str
    alt: str


def bins(samples: Sequence[Sample]) -> FloatArray:
    """Edges of bins that hold all samples, but for one value in a thousand."""
    joined = np.concatenate([sample.known for sample in samples])
    low, high = np.percentile(joined, (0.05, 99.95)) if joined.size else (0.0, 1.0)
    pad = 0.02 * (high - low) or 0.5
    return np.linspace(low - pad, high + pad, number_of_bins(samples) + 1)


def number_of_bins(samples: Sequence[Sample]) -> int:
    """Twice the cube root of the number of values, by Rice's rule, within limits.

    >>> number_of_bins([Sample("few", np.arange(27.0), "")])
    6
    """
    most = max((sample.known.size for sample in samples), default=0)
    return int(np.clip(round(2 * most ** (1 / 3)), _FEWEST_BINS, _N_BINS))


def histogram(
    samples: Sequence[Sample],
    edges: FloatArray,
    words: Words,
    expected: FloatArray | None = None,
) -> Chart:
    """Lines in steps, of the share of each sample's values in bins, per cent.

    Parameters
    ----------
    samples : sequence of Sample
    edges : (B + 1,) array
    words : Words
    expected : (B,) array, optional
        Shares to compare with, as a dashed line.
    """
    spread = [100 * shares(sample.values, edges) for sample in samples]
    compared = [] if expected is None else [100 * expected]
    x = axis(edges, words.x, most=6)
    highest = [float(heights.max()) for heights in (*spread, *compared)]
    y = axis(highest, words.y, zero=True, room=0.05, most=5)
    frame = Frame(_LEFT, 8, HALF - _LEFT - 8, _HEIGHT, x, y)
    marks = [
        Mark(frame.line(*_steps(edges, heights)), f"line {sample.style}", sample.of)
        for sample, heights in zip(samples, spread, strict=True)
    ]
    marks += [Mark(frame.line(*_steps(edges, heights)), "threshold") for heights in compared]
    return chart_of([Plot(frame, tuple(marks))], HALF, _HEIGHT + 50, words.alt)


def _steps(edges: FloatArray, heights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Corners of a line in steps."""
    return np.repeat(edges, 2), np.concatenate([[0], np.repeat(heights, 2), [0]])


def spread_words(sample: Sample) -> str:
    """Mean and standard deviation of a sample, in a sentence."""
    known = sample.known
    if not known.size:
        return f"{sample.name}: no value."
    mean, deviation = float(known.mean()), float(known.std())
    return f"{sample.name}: mean {number(mean)}, standard deviation {number(deviation)}."


@dataclass(frozen=True, eq=False)
class Along:
    """Samples of pairs, and how far apart the nodes of each pair are.

    Parameters
    ----------
    samples : sequence of Sample
    trends : sequence of Trend
        Of each sample.
    distances : (N,) array, mm
    """

    samples: Sequence[Sample]
    trends: Sequence[Trend]
    distances: FloatArray

    @classmethod
    def of(cls, samples: Sequence[Sample], distances: FloatArray) -> Along:
        """Medians and quartiles in steps of `STEP` mm."""
        trends = [trend(distances, sample.values, STEP) for sample in samples]
        return cls(samples, trends, distances)

    @property
    def known(self) -> bool:
        """Whether there are enough pairs anywhere to tell a median."""
        return any(bool(np.isfinite(one.median).any()) for one in self.trends)

    @property
    def few(self) -> bool:
        """Whether there are so few pairs that each is drawn."""
        return len(self.distances) <= _DOTS

    @property
    def drawn(self) -> str:
        """What the chart shows, in a sentence."""
        quartiles = f"median and quartiles of pairs in steps of {STEP:g} mm"
        if self.few and not any(_is_line(one) for one in self.trends):
            return "A dot for each pair."
        return sentence(f"a dot for each pair; {quartiles}" if self.few else quartiles)

    @property
    def words(self) -> str:
        """A sentence for each sample."""
        return " ".join(
            f"{sample.name}: {_told(one.correlation)}."
            for sample, one in zip(self.samples, self.trends, strict=True)
        )

    def chart(self, label: str) -> Chart:
        """Medians as lines and quartiles as bands, with `label` at the upward axis."""
        x = axis(self.distances, "Distance between seeds (mm)", zero=True, most=6)
        ends = (np.append(one.lower, one.upper) for one in self.trends)
        single = [sample.values for sample in self.samples] if self.few else []
        y = axis(np.concatenate([[0.0], *ends, *single]), label, room=0.04, most=5)
        frame = Frame(_LEFT, 8, HALF - _LEFT - 8, _HEIGHT, x, y)
        zero = Mark(frame.level(0.0), "lead")
        pairs = zip(self.samples, self.trends, strict=True)
        marks = [_dots(sample, self.distances, frame) for sample in self.samples if self.few]
        marks += [mark for sample, one in pairs for mark in _trend_marks(sample, one, frame)]
        return chart_of([Plot(frame, (zero, *marks))], HALF, _HEIGHT + 50, self.words)


def _told(value: float) -> str:
    if not np.isfinite(value):
        return "too few pairs for a correlation with distance"
    return f"rank correlation with distance {coefficient(value)}"


def _is_line(one: Trend) -> bool:
    return int(np.isfinite(one.median).sum()) > 1


def _dots(sample: Sample, along: FloatArray, frame: Frame) -> Mark:
    known = np.isfinite(sample.values)
    places = np.stack([frame.across(along[known]), frame.down(sample.values[known])], axis=1)
    return Mark(circles(places, 2.2), f"dot faint {sample.style}", sample.of)


def _trend_marks(sample: Sample, one: Trend, frame: Frame) -> Iterator[Mark]:
    if not _is_line(one):
        return
    yield Mark(frame.band(one.middles, one.lower, one.upper), f"band {sample.style}", sample.of)
    yield Mark(frame.line(one.middles, one.median), f"line {sample.style}", sample.of)
