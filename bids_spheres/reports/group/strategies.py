"""Strategies side by side: what motion still explains, what is left to see, and the price.

Ciric et al. 2017 (doi:10.1016/j.neuroimage.2017.03.020) and Parkes et al. 2018
(doi:10.1016/j.neuroimage.2017.12.073) compare strategies so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from bids_spheres.reports.toolkit.charts import (
    WIDTH,
    Axis,
    Frame,
    Label,
    Mark,
    axis,
    chart_of,
    circles,
    round_ticks,
    series_style,
    shorten,
    tick_text,
)
from bids_spheres.reports.toolkit.distributions import (
    STEP,
    Along,
    Sample,
    Words,
    histogram,
    number_of_bins,
)
from bids_spheres.reports.toolkit.render import Block, Cell, Column, Graphic, Table
from bids_spheres.wording import listing, number

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from bids_spheres.reports.group.load import Level, Result

    FloatArray = NDArray[np.float64]

_LEFT, _RIGHT, _GAP, _TOP, _ROW, _DOT = 124, 6, 16, 42, 24, 4.5  # pixels
_MOST_NAME = 18  # letters
_NUMBER = 0.35
"""Room for a number right of the last dot, as a share of what is left of it."""

HOW_TO_READ = (
    "How to choose: the first three columns say how much head motion is left in connectivity, and "
    "the nearer to the dashed lines, the better: they are what chance alone gives. Modularity is "
    "how clearly the networks of the seeds are seen. The last column is the price in degrees of "
    "freedom. A good strategy is near chance on the left without losing modularity or more degrees "
    "of freedom than runs can spare."
)
CAVEATS = (
    "Cautions: QC-FC is the correlation over participants of the strength of a pair with mean "
    "framewise displacement; it depends on how many participants there are and how differently "
    "they move, and traits that go with motion, such as age, are in it too. A strategy that leaves "
    "out runs has an easier task: compare its participants and their mean FD. Global signal "
    "regression lowers QC-FC and raises modularity, and can leave more dependence on distance "
    "(Ciric et al. 2017; Parkes et al. 2018)."
)


@dataclass(frozen=True)
class Measure:
    """One column of the figure.

    Parameters
    ----------
    column : str
        Of the table of strategies.
    title, hint : str
        Above it, in two lines.
    words : str
        In sentences.
    factor : float
        From the table to the figure.
    digits : int
    best : str
        ``"least"``, ``"most"`` or ``"nearest to 0"``.
    span : tuple of float
        What its axis shows at least: small differences must not look large.
    """

    column: str
    title: str
    hint: str
    words: str
    factor: float
    digits: int
    best: str
    span: tuple[float, float]

    def score(self, values: FloatArray) -> FloatArray:
        """The smaller the better."""
        if self.best == "most":
            return -values
        return np.abs(values) if self.best == "nearest to 0" else values


def caveats(level: Level) -> str:
    """What to be careful about, with what QC-FC is adjusted for."""
    names = dict.fromkeys(name for result in level.results for name in result.covariates)
    if not names:
        return CAVEATS
    return (
        f"{CAVEATS} Here QC-FC is a partial correlation, adjusted for {listing(list(names), 16)}."
    )


def comparable(rows: _Rows) -> bool:
    """Whether the images of all strategies were smoothed alike."""
    return len({float(row["smoothing_fwhm"]) for _, row in rows}) < 2


MEASURES = (
    Measure(
        column="qc_fc_median",
        title="QC-FC, median |r|",
        hint="less is better",
        words="median |r|",
        factor=1,
        digits=2,
        best="least",
        span=(0, 0.1),
    ),
    Measure(
        column="qc_fc_significant",
        title="Pairs with p < .05 (%)",
        hint="less is better",
        words="pairs with p < .05, per cent",
        factor=100,
        digits=1,
        best="least",
        span=(0, 10),
    ),
    Measure(
        column="qc_fc_distance_spearman",
        title="Distance dependence",
        hint="near 0 is better",
        words="rank correlation of QC-FC and distance",
        factor=1,
        digits=2,
        best="nearest to 0",
        span=(-0.1, 0.1),
    ),
    Measure(
        column="modularity",
        title="Modularity",
        hint="more is better",
        words="modularity",
        factor=1,
        digits=2,
        best="most",
        span=(0, 0.1),
    ),
    Measure(
        column="degrees_of_freedom_lost",
        title="Freedom lost (d.o.f.)",
        hint="less is cheaper",
        words="degrees of freedom lost",
        factor=1,
        digits=0,
        best="least",
        span=(0, 10),
    ),
)


@dataclass(frozen=True, eq=False)
class Compared:
    """Strategies of one condition, for the page.

    Parameters
    ----------
    anchor, title, short : str
    strategies : tuple of str
    blocks : tuple of Block
    """

    anchor: str
    title: str
    short: str
    strategies: tuple[str, ...]
    blocks: tuple[Block, ...]

    @property
    def entry(self) -> tuple[str, str]:
        """Identifier and heading."""
        return self.anchor, self.short


def compared(level: Level, shown: Collection[str]) -> Iterator[Compared]:
    """Figures of every condition that is connectivity.

    Parameters
    ----------
    level : Level
    shown : collection of str
        Anchors of the groups whose pairs may be read.
    """
    for one in level.conditions:
        rows = [
            (result, row) for result in one.results if (row := level.row_of(result)) is not None
        ]
        if not rows or not (len(rows) > 1 or np.isfinite(_values(rows, MEASURES[0])).any()):
            continue
        figure = Block("Strategies side by side", (_figure(level, rows),))
        own = [result for result, _ in rows if result.anchor in shown]
        yield Compared(
            f"compare-{one.anchor}",
            one.title,
            one.short,
            tuple(result.strategy for result, _ in rows),
            (figure, *_motion_blocks(level, own)),
        )


_Rows = list[tuple["Result", "pd.Series"]]


def _values(rows: _Rows, measure: Measure) -> FloatArray:
    return np.array([float(row[measure.column]) for _, row in rows]) * measure.factor


# The figure by which to choose


def _figure(level: Level, rows: _Rows) -> Graphic:
    shown = [measure for measure in MEASURES if np.isfinite(_values(rows, measure)).any()]
    width = (WIDTH - _LEFT - _RIGHT - _GAP * (len(MEASURES) - 1)) / len(MEASURES)
    height = _ROW * len(rows)
    marks: list[Mark] = []
    labels: list[Label] = list(_row_names(rows))
    for place, measure in enumerate(shown):
        frame = Frame(
            _LEFT + place * (width + _GAP),
            _TOP,
            width,
            height,
            _axis(rows, measure),
            Axis(0, len(rows)),
        )
        own_marks, own_labels = _panel(level, rows, measure, frame)
        marks += own_marks
        labels += own_labels
    words = " ".join(_measure_words(rows, measure) for measure in shown)
    chart = replace(
        chart_of((), WIDTH, _TOP + height + 24, words), marks=tuple(marks), labels=tuple(labels)
    )
    return Graphic(chart, _caption(rows))


def _caption(rows: _Rows) -> str:
    """What lines and letters mean; numbers are in the figure."""
    chance = [value for value in _chance(rows, MEASURES[0]) if np.isfinite(value)]
    best = "The best of each column is in bold."
    if not comparable(rows):
        best = "None is marked as best, as images were smoothed differently."
    if not chance:
        return best
    return (
        f"{best} Dashed: by chance, a median |r| of "
        f"{number(min(chance))}, p < .05 in 5 % of pairs, and no dependence on distance."
    )


def _row_names(rows: _Rows) -> Iterator[Label]:
    for row, (result, _) in enumerate(rows):
        down = _TOP + _ROW * (row + 0.5) + 4
        yield Label(_LEFT - 10, down, shorten(result.strategy, _MOST_NAME), "end", "name")


def _axis(rows: _Rows, measure: Measure) -> Axis:
    """From the least to the largest value, with room for a number to the right of each."""
    values = np.append(_values(rows, measure), [*_chance(rows, measure), *measure.span])
    tight = axis(values, "", zero=True, room=0.06)
    high = tight.high + _NUMBER * (tight.high - tight.low)
    ticks = [tick for tick in round_ticks(tight.low, high, 4) if tick <= tight.high]
    return Axis(tight.low, high, "", tuple(ticks))


def _chance(rows: _Rows, measure: Measure) -> list[float]:
    """What to compare each strategy with: chance, or no dependence; empty for none."""
    if measure.column == "qc_fc_median":
        return [chance_median(int(row["qc_fc_degrees_of_freedom"])) for _, row in rows]
    levels = {"qc_fc_significant": 5.0, "qc_fc_distance_spearman": 0.0}
    level = levels.get(measure.column)
    return [] if level is None else [level] * len(rows)


def chance_median(degrees_of_freedom: int) -> float:
    """Median of the absolute correlation of unrelated normal values; NaN without freedom.

    (r + 1) / 2 has the beta distribution with both parameters v / 2, and v = n - 2 for n pairs,
    fewer when covariates are taken out.

    >>> round(chance_median(38), 3)
    0.11
    """
    if degrees_of_freedom < 1:
        return float("nan")
    return float(2 * stats.beta.ppf(0.75, degrees_of_freedom / 2, degrees_of_freedom / 2) - 1)


def _panel(
    level: Level, rows: _Rows, measure: Measure, frame: Frame
) -> tuple[list[Mark], list[Label]]:
    grid, ticks = frame.x_marks()
    head = [
        Label(frame.left, 14, measure.title, "start", "name"),
        Label(frame.left, 29, measure.hint, "start"),
    ]
    values = _values(rows, measure)
    best = _best(values, measure) if comparable(rows) else np.zeros(len(values), dtype=bool)
    marks = [*grid, *_lanes(frame, len(rows)), *_chance_marks(rows, measure, frame)]
    labels = [*head, *(label for label in ticks if label.text)]
    for row, (result, _) in enumerate(rows):
        if np.isfinite(values[row]):
            style = series_style(level.number_of(result.strategy))
            marks.append(_dot(frame, row, values[row], style, result.strategy))
            labels.append(_value(frame, row, values[row], measure, bold=bool(best[row])))
    return marks, labels


def _best(values: FloatArray, measure: Measure) -> NDArray[np.bool_]:
    """Which strategies are the best as far as the digits shown tell; none where all are alike."""
    scores = measure.score(np.round(values, measure.digits))
    known = np.isfinite(scores)
    if known.sum() < 2 or np.ptp(scores[known]) == 0:
        return np.zeros(len(values), dtype=bool)
    return np.asarray(known & (scores == np.min(scores[known])))


def _lanes(frame: Frame, n: int) -> Iterator[Mark]:
    middles = frame.top + _ROW * (np.arange(n) + 0.5)
    yield Mark("".join(f"M{frame.left:.1f},{at:.1f}h{frame.width:.1f}" for at in middles), "grid")


def _chance_marks(rows: _Rows, measure: Measure, frame: Frame) -> Iterator[Mark]:
    path = "".join(
        f"M{at:.1f},{frame.top + _ROW * row:.1f}v{_ROW}"
        for row, at in enumerate(frame.across(_chance(rows, measure)))
        if np.isfinite(at)
    )
    yield Mark(path, "threshold", title="By chance")


def _dot(frame: Frame, row: int, value: float, style: str, strategy: str) -> Mark:
    centre = np.array([[float(frame.across(value)), frame.top + _ROW * (row + 0.5)]])
    return Mark(circles(centre, _DOT), f"dot {style}", strategy)


def _value(frame: Frame, row: int, value: float, measure: Measure, *, bold: bool) -> Label:
    """The number, right of its dot."""
    across = float(frame.across(value)) + _DOT + 4
    text = tick_text(float(number(value, measure.digits)))
    style = "name value best" if bold else "value"
    return Label(across, frame.top + _ROW * (row + 0.5) + 4, text, "start", style)


def _measure_words(rows: _Rows, measure: Measure) -> str:
    values = _values(rows, measure)
    told = [
        f"{result.strategy} {number(value, measure.digits)}"
        for value, (result, _) in zip(values, rows, strict=True)
        if np.isfinite(value)
    ]
    chance = [value for value in _chance(rows, measure) if np.isfinite(value)]
    by_chance = ""
    if chance and measure.column != "qc_fc_distance_spearman":
        by_chance = f", {number(min(chance), measure.digits)} by chance"
    words = measure.words
    return f"{words[:1].upper()}{words[1:]}: {listing(told, 16)}{by_chance}."


# QC-FC of all pairs


def _motion_blocks(level: Level, results: Sequence[Result]) -> Iterator[Block]:
    samples, distances, freedom = [], None, 0
    for result in results:
        edges = result.edges
        r = edges["qc_fc"].to_numpy(np.float64)
        between = edges["node_1"].to_numpy() != edges["node_2"].to_numpy()
        if np.isfinite(r[between]).any():
            distances = edges["distance"].to_numpy(np.float64)[between]
            style = series_style(level.number_of(result.strategy))
            samples.append(Sample(result.strategy, r[between], style, result.strategy))
            row = level.row_of(result)
            freedom = max(freedom, 0 if row is None else int(row["qc_fc_degrees_of_freedom"]))
    if distances is not None:
        along = Along.of(samples, distances)
        graphics = ((_along(along),) if along.known else ()) + (_spread(samples, freedom),)
        yield Block("Motion in pairs of seeds (QC-FC)", graphics, columns=2)


def _along(along: Along) -> Graphic:
    caption = (
        f"Median and quartiles in steps of {STEP:g} mm. A line that falls means that motion makes "
        f"neighbours look related. {along.words}"
    )
    legend = tuple(sample.key for sample in along.samples)
    return Graphic(
        along.chart("Correlation with motion, r"), caption, "Along distance", legend=legend
    )


def _spread(samples: Sequence[Sample], degrees_of_freedom: int) -> Graphic:
    largest = max(float(np.abs(sample.known).max()) for sample in samples)
    limit = min(1.0, max(0.2, 1.05 * largest))
    edges = np.linspace(-limit, limit, number_of_bins(samples) + 1)
    words = " ".join(
        f"{sample.name}: half of the pairs beyond {number(float(np.median(np.abs(sample.known))))} "
        "in absolute value."
        for sample in samples
    )
    chance = _chance_shares(edges, degrees_of_freedom)
    chart = histogram(
        samples, edges, Words("Correlation with motion, r", "Pairs (%)", words), chance
    )
    caption = words if chance is None else f"Dashed: what chance gives. {words}"
    return Graphic(chart, caption, "All pairs", legend=tuple(sample.key for sample in samples))


def _chance_shares(edges: FloatArray, degrees_of_freedom: int) -> FloatArray | None:
    if degrees_of_freedom < 1:
        return None
    return np.diff(stats.beta.cdf((edges + 1) / 2, degrees_of_freedom / 2, degrees_of_freedom / 2))


# The table

_TABLE: tuple[tuple[str, Column, float, int], ...] = (
    ("participants", Column("N"), 1, 0),
    ("runs", Column("Runs"), 1, 0),
    ("runs_excluded", Column("Excluded"), 1, 0),
    ("mean_fd", Column("Mean FD", unit="mm"), 1, 2),
    ("smoothing_fwhm", Column("Smoothing", unit="mm"), 1, 1),
    ("censored", Column("Censored", unit="%"), 100, 1),
    ("degrees_of_freedom_lost", Column("Freedom lost", unit="d.o.f."), 1, 0),
    ("qc_fc_median", Column("QC-FC", unit="median |r|"), 1, 3),
    ("qc_fc_significant", Column("p < .05", unit="% of pairs"), 100, 1),
    ("qc_fc_distance_spearman", Column("Distance", unit="rank corr."), 1, 2),
    ("modularity", Column("Modularity"), 1, 3),
)


def strategies_table(level: Level) -> Table:
    """A row for every group that is connectivity."""
    heads, places = level.apart
    # A column that says the same of all strategies is of no use to choose one.
    alike = level.strategies["smoothing_fwhm"].nunique(dropna=False) < 2
    shown = [part for part in _TABLE if part[0] != "smoothing_fwhm" or not alike]
    rows = []
    for one, place in zip(level.conditions, places, strict=True):
        for result in one.results:
            row = level.row_of(result)
            if row is None:
                continue
            cells = (_cell(row[name], factor, digits) for name, _, factor, digits in shown)
            rows.append((Cell(result.strategy), *map(Cell, place), *cells))
    where = (Column(head, numeric=False) for head in heads)
    columns = (
        Column("Strategy", numeric=False),
        *where,
        *(column for _, column, _, _ in shown),
    )
    caption = "Strategies: the same numbers, and those of group/strategies.tsv."
    return Table(caption, columns, tuple(rows))


def _cell(value: float, factor: float, digits: int) -> Cell:
    scaled = float(value) * factor
    if not np.isfinite(scaled):
        return Cell("n/a", "")
    return Cell(number(scaled, digits), float(f"{scaled:.6g}"))
