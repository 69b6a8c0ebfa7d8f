"""Strategies side by side: residual motion, modularity, and degrees of freedom lost.

As Ciric et al. 2017 (doi:10.1016/j.neuroimage.2017.03.020) and Parkes et al. 2018
(doi:10.1016/j.neuroimage.2017.12.073) compare strategies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from bids_spheres.reports.group.group_warnings import FEW_PARTICIPANTS
from bids_spheres.reports.toolkit import charts, render
from bids_spheres.reports.toolkit.distributions import Sample, distribution_block
from bids_spheres.wording import listing, number, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from numpy.typing import NDArray

    from bids_spheres.reports.group.load import FloatArray, Level, Result

_LEFT, _RIGHT, _GAP, _TOP, _ROW, _DOT = 124, 6, 16, 60, 24, 4.5  # pixels
_MOST_NAME = 18  # letters
_NUMBER = 0.35  # Room for a number right of the last dot, as a share of the width left of it
_ON_MOTION = (
    "The first three columns say how much head motion is left in connectivity: the nearer to the "
    "grey bars, which are what chance alone gives, the better."
)
_ON_THE_REST = (
    "Modularity is how clearly networks stand out. The last column is the price in degrees of "
    "freedom."
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


def chance_median(degrees_of_freedom: float) -> float:
    """Median absolute correlation of unrelated normal values; NaN without degrees of freedom.

    (r + 1) / 2 has the beta distribution with both parameters v / 2, and v = n - 2 for n pairs,
    fewer when covariates are taken out.

    >>> round(chance_median(38), 3)
    0.11
    """
    if degrees_of_freedom < 1:
        return float("nan")
    return float(2 * stats.beta.ppf(0.75, degrees_of_freedom / 2, degrees_of_freedom / 2) - 1)


@dataclass(frozen=True)
class Measure:
    """A column of the figure: one of the table of strategies times a factor."""

    column: str
    title: str  # Stands above it
    hint: str  # Below the title
    factor: float
    digits: int
    score: Callable[[FloatArray], FloatArray]  # The least is best
    span: tuple[float, float]  # Of its axis at least, as small differences must not look large

    def values(self, rows: pd.DataFrame) -> FloatArray:
        """Values of all strategies, as the figure shows them."""
        return rows[self.column].to_numpy(np.float64) * self.factor

    def by_chance(self, rows: pd.DataFrame) -> list[float]:
        """Value of each strategy by chance alone, or without dependence; empty if unknown."""
        if self.column == "qc_fc_median":
            return [chance_median(left) for left in rows["qc_fc_degrees_of_freedom"]]
        levels = {"qc_fc_significant": 5.0, _DISTANCE: 0.0}
        return [levels[self.column]] * len(rows) if self.column in levels else []

    def in_words(self, rows: pd.DataFrame) -> str:
        """Values of all strategies, and what chance gives, in a sentence."""
        values = zip(rows["strategy"], self.values(rows), strict=True)
        listed = [f"{name} {number(v, self.digits)}" for name, v in values if np.isfinite(v)]
        chance = [value for value in self.by_chance(rows) if np.isfinite(value)]
        by_chance = f", {number(min(chance), self.digits)} by chance" if any(chance) else ""
        return sentence(f"{self.title}: {listing(listed, 16)}{by_chance}")

    def best_of(self, values: FloatArray) -> NDArray[np.bool_]:
        """Which of values are best, to the digits shown; none where all are equal."""
        scores = self.score(np.round(values, self.digits))
        best, worst = np.nanmin(scores), np.nanmax(scores)
        return np.asarray((scores == best) & (best < worst))

    def panel(
        self, level: Level, rows: pd.DataFrame, frame: charts.Frame, *, ranked: bool
    ) -> tuple[list[charts.Mark], list[charts.Label]]:
        """A dot and a number for each strategy, in the frame of one self."""
        grid, ticks = frame.x_marks()
        labels = [
            charts.Label(frame.left, _TOP - 28, self.title, "start", "name"),
            charts.Label(frame.left, _TOP - 13, self.hint, "start"),
            *(label for label in ticks if label.text),
        ]
        left, width = f"{frame.left:.1f}", f"{frame.width:.1f}"
        lanes = "".join(f"M{left},{down:.1f}h{width}" for _, down in _lines(rows))
        by_chance = "".join(
            f"M{across:.1f},{frame.top + _ROW * row:.1f}v{_ROW}"
            for row, across in enumerate(frame.across(self.by_chance(rows)))
            if np.isfinite(across)
        )
        chance = charts.Mark(by_chance, "chance", title="By chance")
        marks = [*grid, charts.Mark(lanes, "grid"), chance]
        values = self.values(rows)
        best = self.best_of(values) & ranked
        for (strategy, down), value, is_best in zip(_lines(rows), values, best, strict=True):
            if np.isfinite(value):
                across = float(frame.across(value))
                dot = charts.circles(np.array([[across, down]]), _DOT)
                marks.append(charts.Mark(dot, f"dot {level.styles[strategy]}", strategy))
                text = charts.tick_text(float(number(value, self.digits)))
                look = "name value best" if is_best else "value"
                labels.append(charts.Label(across + _DOT + 4, down + 4, text, "start", look))
        return marks, labels


_DISTANCE = "qc_fc_distance_spearman"
_LESS, _MORE = "less is better", "more is better"
MEASURES = (
    Measure("qc_fc_median", "QC-FC, median |r|", _LESS, 1, 2, np.positive, (0, 0.1)),
    Measure("qc_fc_significant", "Pairs with p < .05 (%)", _LESS, 100, 1, np.positive, (0, 10)),
    Measure(_DISTANCE, "Distance dependence", "near 0 is better", 1, 2, np.abs, (-0.1, 0.1)),
    Measure("modularity", "Modularity", _MORE, 1, 2, np.negative, (0, 0.1)),
    Measure(
        "degrees_of_freedom_lost", "D.o.f. lost", "less is cheaper", 1, 0, np.positive, (0, 10)
    ),
)


def reading(level: Level) -> tuple[str, str]:
    """How to choose a strategy; limits of the comparison, and the covariates of QC-FC."""
    if not level.strategies["qc_fc_median"].notna().any():
        return _ON_THE_REST, ""
    caveats = CAVEATS
    if names := level.covariates:
        caveats += f" Here QC-FC is a partial correlation, adjusted for {listing(names, 16)}."
    return f"{_ON_MOTION} {_ON_THE_REST} {_HOW_TO_CHOOSE}", caveats


def comparison_sections(level: Level, shown: Collection[str]) -> Iterator[render.Section]:
    """Every condition that is connectivity, with pairs of groups whose anchors are in `shown`."""
    for condition in level.conditions:
        results = [result for result in condition.results if result.row is not None]
        rows = pd.DataFrame([result.row for result in results])
        if len(results) > 1 or (results and rows["qc_fc_median"].notna().any()):
            figure = render.Block("Strategies side by side", (_figure(level, rows),))
            own = [result for result in results if result.anchor in shown]
            blocks = figure, *_motion_blocks(level, own)
            yield condition.section("compare-", rows["strategy"], blocks=blocks)


# The figure by which to choose; `rows` are those of the table of strategies


def _figure(level: Level, rows: pd.DataFrame) -> render.Graphic:
    width = (charts.WIDTH - _LEFT - _RIGHT - _GAP * (len(MEASURES) - 1)) / len(MEASURES)
    height = _ROW * len(rows)
    # Images that were smoothed differently are not comparable, and few participants give chance.
    alike = rows["smoothing_fwhm"].nunique(dropna=False) < 2
    few = rows["qc_fc_participants"].min() < FEW_PARTICIPANTS
    marks: list[charts.Mark] = []
    labels = [
        charts.Label(_LEFT - 10, middle + 4, charts.shorten(strategy, _MOST_NAME), "end", "name")
        for strategy, middle in _lines(rows)
    ]
    known = [m for m in MEASURES if np.isfinite(m.values(rows)).any()]
    for i, measure in enumerate(known):
        # Room for a number to the right of each dot.
        ends = np.append(measure.values(rows), [*measure.by_chance(rows), *measure.span])
        tight = charts.axis(ends, "", zero=True, room=0.06)
        high = tight.high + _NUMBER * (tight.high - tight.low)
        ticks = [tick for tick in charts.round_ticks(tight.low, high, 4) if tick <= tight.high]
        x = charts.Axis(tight.low, high, "", tuple(ticks))
        left = _LEFT + i * (width + _GAP)
        frame = charts.Frame(left, _TOP, width, height, x, charts.Axis(0, len(rows)))
        if measure is MEASURES[0]:
            labels.append(charts.Label(left, 13, "Head motion that is left", "start", "axis"))
        ranked = alike and not (few and measure.column.startswith("qc_fc"))
        panel_marks, panel_labels = measure.panel(level, rows, frame, ranked=ranked)
        marks += panel_marks
        labels += panel_labels
    alt = " ".join(measure.in_words(rows) for measure in known)
    chart = charts.Chart(charts.WIDTH, _TOP + height + 24, alt, tuple(marks), tuple(labels))
    caption = "The best of each column is in bold."
    if not alike:
        caption = "None is marked as best, as images were smoothed differently."
    if chance := [value for value in MEASURES[0].by_chance(rows) if np.isfinite(value)]:
        if alike and few:
            caption += (
                " None is marked in the columns of head motion: with fewer than "
                f"{FEW_PARTICIPANTS} participants, differences are mostly chance."
            )
        caption += (
            f" Grey bars: by chance, a median |r| of {number(min(chance))}, p < .05 in 5 % of "
            "pairs, and no dependence on distance."
        )
    return render.Graphic(chart, caption)


def _lines(rows: pd.DataFrame) -> Iterator[tuple[str, float]]:
    """Each strategy, and the pixels from the top to the middle of its line."""
    for row, strategy in enumerate(rows["strategy"]):
        yield strategy, _TOP + _ROW * (row + 0.5)


def _motion_blocks(level: Level, results: Sequence[Result]) -> Iterator[render.Block]:
    """How pairs correlate with motion; nothing where that is not known."""
    samples, half = [], 0.0  # half of the degrees of freedom
    for result in results:
        edges = result.table("edges")
        r = edges["qc_fc"][edges["node_1"] != edges["node_2"]].to_numpy(np.float64)
        if np.isfinite(r).any() and result.row is not None:
            style = level.styles[result.strategy]
            samples.append(Sample(result.strategy, r, style, result.strategy))
            half = max(half, int(result.row["qc_fc_degrees_of_freedom"]) / 2)

    def by_chance(edges: FloatArray) -> FloatArray:
        return np.diff(stats.beta.cdf((edges + 1) / 2, half, half))

    if samples:
        yield distribution_block(
            f"Motion in pairs of {results[0].image.noun}s (QC-FC)",
            "Correlation with motion, r",
            samples,
            results[0].image.points,
            ["Values that fall with distance mean that motion makes neighbours look connected."],
            by_chance=by_chance if half > 0 else None,
        )


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
    ("qc_fc_excess", "QC-FC excess", "s.d. by chance", 1, 1),
    ("surrogate_significant", "Surrogates", "% p < .05", 100, 1),
    ("fluid_significant", "Fluid", "% p < .05", 100, 1),
    ("mirrored_similarity", "Mirrored", "similarity", 1, 2),
    ("icc_median", "Reliability", "median ICC(2,1)", 1, 2),
    ("discriminability", "Discriminability", "", 1, 2),
    ("identification_rate", "Identified", "%", 100, 1),
    ("split_half", "Split halves", "corr. of matrices", 1, 2),
    ("minutes_for_r", "Minutes for r", "of .8", 1, 1),
    ("minutes_for_icc", "Minutes for ICC", "of .8", 1, 1),
)


def strategies_table(level: Level) -> render.Table:
    """A row for every group that is connectivity."""
    parts = {
        result.entities: condition.parts
        for condition in level.conditions
        for result in condition.results
        if result.row is not None
    }
    rows = level.strategies.set_index("group").reindex(list(parts))
    # Widths that are equal are of no use to choose; others are of some calls alone.
    left_out = [name for name, *_ in _TABLE[-10:] if name not in rows or rows[name].isna().all()]
    if rows["smoothing_fwhm"].nunique(dropna=False) < 2:
        left_out.append("smoothing_fwhm")
    return render.table_of(
        "Strategies: the same numbers, and those of group/strategies.tsv.",
        render.text_column("Strategy", rows["strategy"]),
        *(
            render.text_column(head, [own[head] for own in parts.values()])
            for head in next(iter(parts.values()), {})
        ),
        *(
            render.number_column(label, rows[name] * factor, digits, unit)
            for name, label, unit, factor, digits in _TABLE
            if name not in left_out
        ),
        file="group/strategies.tsv",
    )
