"""Strategies side by side: residual motion, modularity, and degrees of freedom lost.

As Ciric et al. 2017 (doi:10.1016/j.neuroimage.2017.03.020) and Parkes et al. 2018
(doi:10.1016/j.neuroimage.2017.12.073) compare strategies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from bids_spheres.reports.group.group_warnings import FEW_PARTICIPANTS
from bids_spheres.reports.toolkit.charts import (
    WIDTH,
    Axis,
    Chart,
    Frame,
    Label,
    Mark,
    axis,
    circles,
    round_ticks,
    shorten,
    tick_text,
)
from bids_spheres.reports.toolkit.distributions import Sample, distribution_block
from bids_spheres.reports.toolkit.render import (
    Block,
    Graphic,
    Section,
    Table,
    number_column,
    table_of,
    text_column,
)
from bids_spheres.wording import listing, number, sentence

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from numpy.typing import NDArray

    from bids_spheres.reports.group.load import Level, Result

    FloatArray = NDArray[np.float64]

_LEFT, _RIGHT, _GAP, _TOP, _ROW, _DOT = 124, 6, 16, 60, 24, 4.5  # pixels
_MOST_NAME = 18  # letters
_NUMBER = 0.35
"""Room for a number right of the last dot, as a share of the width left of it."""

_ON_MOTION = (
    "The first three columns say how much head motion is left in connectivity: the nearer to the "
    "grey bars, which are what chance alone gives, the better."
)
_ON_THE_REST = (
    "Modularity is how clearly the networks of the seeds stand out. The last column is the price "
    "in degrees of freedom."
)
_HOW_TO_CHOOSE = (
    "A good strategy is near chance on the left without losing modularity or more degrees of "
    "freedom than runs can spare."
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
    """One column of the figure, from a column of the table of strategies times a factor.

    `title` and `hint` stand above it; `best` is "least", "most" or "nearest to 0"; `span` is the
    smallest range of its axis, as small differences must not look large.
    """

    column: str
    title: str
    hint: str
    factor: float
    digits: int
    best: str
    span: tuple[float, float]

    @property
    def of_motion(self) -> bool:
        """Whether it says how much head motion is left."""
        return self.column.startswith("qc_fc")

    def values(self, results: Sequence[Result]) -> FloatArray:
        """Of each strategy, as the figure shows them."""
        rows = [result.row for result in results if result.row is not None]
        return np.array([float(row[self.column]) for row in rows]) * self.factor

    def by_chance(self, results: Sequence[Result]) -> list[float]:
        """Value of each strategy by chance alone, or without dependence; empty if unknown."""
        if self is _QC_FC:
            rows = [result.row for result in results if result.row is not None]
            return [chance_median(int(row["qc_fc_degrees_of_freedom"])) for row in rows]
        levels = {"qc_fc_significant": 5.0, "qc_fc_distance_spearman": 0.0}
        return [levels[self.column]] * len(results) if self.column in levels else []

    def best_of(self, values: FloatArray) -> NDArray[np.bool_]:
        """Which strategies are best, to the digits shown; none where all are equal."""
        scores = np.round(values, self.digits)
        if self.best == "most":
            scores = -scores
        elif self.best == "nearest to 0":
            scores = np.abs(scores)
        known = np.isfinite(scores)
        if known.sum() < 2 or np.ptp(scores[known]) == 0:
            return np.zeros(len(values), dtype=bool)
        return np.asarray(known & (scores == np.min(scores[known])))


_QC_FC = Measure("qc_fc_median", "QC-FC, median |r|", "less is better", 1, 2, "least", (0, 0.1))
MEASURES = (
    _QC_FC,
    Measure(
        "qc_fc_significant", "Pairs with p < .05 (%)", "less is better", 100, 1, "least", (0, 10)
    ),
    Measure(
        "qc_fc_distance_spearman",
        "Distance dependence",
        "near 0 is better",
        1,
        2,
        "nearest to 0",
        (-0.1, 0.1),
    ),
    Measure("modularity", "Modularity", "more is better", 1, 2, "most", (0, 0.1)),
    Measure("degrees_of_freedom_lost", "D.o.f. lost", "less is cheaper", 1, 0, "least", (0, 10)),
)


def reading(level: Level) -> tuple[str, str]:
    """How to choose a strategy; limits of the comparison, and the covariates of QC-FC."""
    names = dict.fromkeys(name for result in level.results for name in result.covariates)
    adjusted = f" Here QC-FC is a partial correlation, adjusted for {listing(list(names), 16)}."
    if not level.strategies["qc_fc_median"].notna().any():
        return _ON_THE_REST, ""
    return f"{_ON_MOTION} {_ON_THE_REST} {_HOW_TO_CHOOSE}", CAVEATS + (adjusted if names else "")


def comparison_sections(level: Level, shown: Collection[str]) -> Iterator[Section]:
    """Figures of every condition that is connectivity.

    Parameters
    ----------
    level : Level
    shown : collection of str
        Anchors of the groups whose pairs may be read.
    """
    for condition in level.conditions:
        results = [result for result in condition.results if result.row is not None]
        if not (len(results) > 1 or np.isfinite(_QC_FC.values(results)).any()):
            continue
        figure = Block("Strategies side by side", (_figure(level, results),))
        own = [result for result in results if result.anchor in shown]
        yield Section(
            f"compare-{condition.anchor}",
            condition.title,
            condition.short,
            tuple(result.strategy for result in results),
            blocks=(figure, *_motion_blocks(level, own)),
        )


def chance_median(degrees_of_freedom: int) -> float:
    """Median absolute correlation of unrelated normal values; NaN without degrees of freedom.

    (r + 1) / 2 has the beta distribution with both parameters v / 2, and v = n - 2 for n pairs,
    fewer when covariates are taken out.

    >>> round(chance_median(38), 3)
    0.11
    """
    if degrees_of_freedom < 1:
        return float("nan")
    return float(2 * stats.beta.ppf(0.75, degrees_of_freedom / 2, degrees_of_freedom / 2) - 1)


# The figure by which to choose


def _figure(level: Level, results: Sequence[Result]) -> Graphic:
    width = (WIDTH - _LEFT - _RIGHT - _GAP * (len(MEASURES) - 1)) / len(MEASURES)
    height = _ROW * len(results)
    middles = _TOP + _ROW * (np.arange(len(results)) + 0.5)
    rows = [result.row for result in results if result.row is not None]
    # Images that were smoothed differently are not comparable, and few participants give chance.
    alike = len({float(row["smoothing_fwhm"]) for row in rows}) < 2
    few = min(int(row["qc_fc_participants"]) for row in rows) < FEW_PARTICIPANTS
    marks: list[Mark] = []
    labels = [
        Label(_LEFT - 10, down + 4, shorten(result.strategy, _MOST_NAME), "end", "name")
        for result, down in zip(results, middles, strict=True)
    ]
    words: list[str] = []
    for measure in MEASURES:
        values = measure.values(results)
        if not np.isfinite(values).any():
            continue
        # Room for a number to the right of each dot.
        ends = np.append(values, [*measure.by_chance(results), *measure.span])
        tight = axis(ends, "", zero=True, room=0.06)
        high = tight.high + _NUMBER * (tight.high - tight.low)
        ticks = [tick for tick in round_ticks(tight.low, high, 4) if tick <= tight.high]
        x = Axis(tight.low, high, "", tuple(ticks))
        left = _LEFT + len(words) * (width + _GAP)
        frame = Frame(left, _TOP, width, height, x, Axis(0, len(results)))
        if measure is _QC_FC:
            labels.append(Label(left, 13, "Head motion that is left", "start", "axis"))
        ranked = alike and not (few and measure.of_motion)
        panel_marks, panel_labels = _panel(level, results, measure, frame, ranked=ranked)
        marks += panel_marks
        labels += panel_labels
        listed = [
            f"{result.strategy} {number(value, measure.digits)}"
            for result, value in zip(results, values, strict=True)
            if np.isfinite(value)
        ]
        chance = [value for value in measure.by_chance(results) if np.isfinite(value)]
        by_chance = f", {number(min(chance), measure.digits)} by chance" if any(chance) else ""
        words.append(sentence(f"{measure.title}: {listing(listed, 16)}{by_chance}"))
    chart = Chart(WIDTH, _TOP + height + 24, " ".join(words), tuple(marks), tuple(labels))
    return Graphic(chart, _caption(results, alike=alike, few=few))


def _caption(results: Sequence[Result], *, alike: bool, few: bool) -> str:
    """What is in bold, and what chance gives."""
    caption = "The best of each column is in bold."
    if not alike:
        caption = "None is marked as best, as images were smoothed differently."
    if chance := [value for value in _QC_FC.by_chance(results) if np.isfinite(value)]:
        if alike and few:
            caption += (
                " None is marked in the columns of head motion: with fewer than "
                f"{FEW_PARTICIPANTS} participants, differences are mostly chance."
            )
        caption += (
            f" Grey bars: by chance, a median |r| of {number(min(chance))}, p < .05 in 5 % of "
            "pairs, and no dependence on distance."
        )
    return caption


def _panel(
    level: Level, results: Sequence[Result], measure: Measure, frame: Frame, *, ranked: bool
) -> tuple[list[Mark], list[Label]]:
    """A dot and a number for each strategy, in the frame of one measure."""
    grid, ticks = frame.x_marks()
    labels = [
        Label(frame.left, _TOP - 28, measure.title, "start", "name"),
        Label(frame.left, _TOP - 13, measure.hint, "start"),
        *(label for label in ticks if label.text),
    ]
    middles = frame.top + _ROW * (np.arange(len(results)) + 0.5)
    lanes = "".join(f"M{frame.left:.1f},{down:.1f}h{frame.width:.1f}" for down in middles)
    by_chance = "".join(
        f"M{across:.1f},{frame.top + _ROW * row:.1f}v{_ROW}"
        for row, across in enumerate(frame.across(measure.by_chance(results)))
        if np.isfinite(across)
    )
    marks = [*grid, Mark(lanes, "grid"), Mark(by_chance, "chance", title="By chance")]
    values = measure.values(results)
    best = measure.best_of(values) & ranked
    for result, value, down, is_best in zip(results, values, middles, best, strict=True):
        if not np.isfinite(value):
            continue
        across = float(frame.across(value))
        dot = circles(np.array([[across, down]]), _DOT)
        marks.append(Mark(dot, f"dot {level.styles[result.strategy]}", result.strategy))
        text = tick_text(float(number(value, measure.digits)))
        look = "name value best" if is_best else "value"
        labels.append(Label(across + _DOT + 4, down + 4, text, "start", look))
    return marks, labels


# QC-FC of all pairs


def _motion_blocks(level: Level, results: Sequence[Result]) -> Iterator[Block]:
    """How pairs correlate with motion; nothing where that is not known."""
    samples, degrees_of_freedom = [], 0
    for result in results:
        edges = result.table("edges")
        r = edges["qc_fc"][edges["node_1"] != edges["node_2"]].to_numpy(np.float64)
        if np.isfinite(r).any() and result.row is not None:
            style = level.styles[result.strategy]
            samples.append(Sample(result.strategy, r, style, result.strategy))
            left = int(result.row["qc_fc_degrees_of_freedom"])
            degrees_of_freedom = max(degrees_of_freedom, left)

    def by_chance(edges: FloatArray) -> FloatArray:
        half = degrees_of_freedom / 2
        return np.diff(stats.beta.cdf((edges + 1) / 2, half, half))

    if samples:
        yield distribution_block(
            "Motion in pairs of seeds (QC-FC)",
            "Correlation with motion, r",
            samples,
            results[0].image.points,
            ["Values that fall with distance mean that motion makes neighbours look connected."],
            by_chance=by_chance if degrees_of_freedom > 0 else None,
        )


# The table

_TABLE: tuple[tuple[str, str, str, float, int], ...] = (
    ("participants", "N", "", 1, 0),
    ("runs", "Runs", "", 1, 0),
    ("runs_excluded", "Excluded", "", 1, 0),
    ("mean_fd", "Mean FD", "mm", 1, 2),
    ("smoothing_fwhm", "Smoothing", "mm", 1, 1),
    ("censored", "Censored", "%", 100, 1),
    ("degrees_of_freedom_lost", "D.o.f. lost", "", 1, 0),
    ("qc_fc_median", "QC-FC", "median |r|", 1, 3),
    ("qc_fc_significant", "p < .05", "% of pairs", 100, 1),
    ("qc_fc_distance_spearman", "Distance", "rank corr.", 1, 2),
    ("modularity", "Modularity", "", 1, 3),
    ("icc_median", "Reliability", "median ICC(2,1)", 1, 2),
    ("discriminability", "Discriminability", "", 1, 2),
    ("identification_rate", "Identified", "%", 100, 1),
)


def strategies_table(level: Level) -> Table:
    """A row for every group that is connectivity."""
    heads, parts = level.distinct
    results = [
        (result, part)
        for condition, part in zip(level.conditions, parts, strict=True)
        for result in condition.results
        if result.row is not None
    ]
    rows = level.strategies.set_index("group").reindex([result.entities for result, _ in results])
    # Widths that are equal are of no use to choose; repeated measures are needed for reliability.
    left_out = [
        *(["smoothing_fwhm"] if rows["smoothing_fwhm"].nunique(dropna=False) < 2 else []),
        *(name for name, *_ in _TABLE[-3:] if name not in rows or rows[name].isna().all()),
    ]
    return table_of(
        "Strategies: the same numbers, and those of group/strategies.tsv.",
        text_column("Strategy", rows["strategy"]),
        *(text_column(head, [part[i] for _, part in results]) for i, head in enumerate(heads)),
        *(
            number_column(label, rows[name] * factor, digits, unit)
            for name, label, unit, factor, digits in _TABLE
            if name not in left_out
        ),
        file="group/strategies.tsv",
    )
