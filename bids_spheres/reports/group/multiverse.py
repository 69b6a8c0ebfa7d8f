"""Effects over all choices of analysis: specification curves, and which effects are robust.

As Simonsohn et al. 2020 (doi:10.1038/s41562-020-0912-z) draw them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.errors import DataError
from bids_spheres.files.names import natural
from bids_spheres.reports.group.load import SYMBOLS
from bids_spheres.reports.toolkit import charts
from bids_spheres.reports.toolkit.charts import WIDTH, Axis, Frame, Label, Mark
from bids_spheres.reports.toolkit.render import (
    Block,
    Graphic,
    Section,
    Table,
    number_column,
    table_of,
    text_column,
)
from bids_spheres.wording import count, listing, number, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from bids_spheres.files.text import JsonObject
    from bids_spheres.outputs.find import GroupFiles
    from bids_spheres.reports.group.load import FloatArray, Level

CHOICES = {"strategy": "Strategy", "scale": "Radius", "measure": "Measure", "seeds": "Seed set"}
"""Columns of choices, and their names."""

_OF_EFFECTS = (
    *("effect", "contrast", "network_1", "network_2", "specifications", "median", "minimum"),
    *("maximum", "positive", "significant", "within_chance", "significant_within_chance"),
    *("verdict", *(f"share_{choice}" for choice in CHOICES)),
)
_OF_SPECIFICATIONS = ("effect", "estimate", "ci_low", "ci_high", "q", "qc_fc_significant", *CHOICES)

_LEFT, _RIGHT, _TOP, _CURVE, _QC_FC, _ROW, _GAP = 150, 100, 8, 180, 60, 15, 26  # pixels
_DASH = " \N{EN DASH} "


@dataclass(frozen=True, eq=False)
class Effect:
    """A mean or contrast of some pairs: its row in the table of effects, and its estimates.

    `rows` has a specification each, the smallest estimate first; `about` is their sidecar.
    """

    anchor: str
    family: str
    row: pd.Series
    rows: pd.DataFrame
    about: JsonObject

    @property
    def pairs(self) -> str:
        """Networks of the pairs, or the named edges."""
        ends = [str(self.row["network_1"]), str(self.row["network_2"])]
        if self.is_named:
            return listing([_DASH.join(edge) for edge in self.about["NamedEdges"]])
        return f"Within {ends[0]}" if ends[0] == ends[1] else _DASH.join(ends)

    @property
    def is_named(self) -> bool:
        """Whether it is about edges that the call named."""
        return not isinstance(self.row["network_1"], str)

    @property
    def name(self) -> str:
        """Pairs, after the contrast unless it is the mean."""
        contrast = self.row["contrast"]
        return self.pairs if contrast == "mean" else f"{contrast}: {self.pairs}"

    @property
    def verdict(self) -> str:
        """What the rule of the call says, with its numbers."""
        row, limit = self.row, self.about["Robust"]["Q"]
        n, positive = int(row["specifications"]), round(row["specifications"] * row["positive"])
        signs = f"{positive} of {n} estimates are positive"
        if positive in (0, n):
            signs = f"all {n} estimates are {'positive' if positive else 'negative'}"
        within = int(row["within_chance"])
        tests = "no specification has QC-FC within chance"
        if within:
            significant = round(within * row["significant_within_chance"])
            tests = f"q < {limit:g} in {significant} of {within} whose QC-FC is within chance"
        word = {"robust": "Robust", "fragile": "Fragile"}.get(row["verdict"], "No verdict")
        return f"{word}: {signs}; {tests}."


def effects(level: Level) -> list[Effect]:
    """Effects of all families of specifications."""
    found: list[Effect] = []
    for files in level.families:
        about, title = read_rule(files), f"{files.measured}, {files.seeds} in {files.space}"
        table = files.table("robustness", _OF_EFFECTS)
        rows = files.table("specifications", _OF_SPECIFICATIONS)
        known = rows[rows["estimate"].notna()]
        for _, row in table.iterrows():
            own = known[known["effect"] == row["effect"]]
            if len(own):
                found.append(Effect(f"effect-{len(found) + 1}", title, row, own, about))
    return found


def read_rule(files: GroupFiles) -> JsonObject:
    """Choices, specifications and the rule of robust effects; DataError where they are missing."""
    about = files.sidecar("robustness")
    if not {"Choices", "Specifications", "NamedEdges", "Robust"} <= about.keys():
        path = files.path("robustness", ".json")
        raise DataError(f"{path} does not say what is robust.", hint="Run the group level anew.")
    return about


def robustness_section(found: Sequence[Effect]) -> Section:
    """Which effects are robust, by which rule, and the table of all."""
    sentences = []
    for family in dict.fromkeys(effect.family for effect in found):
        own = [effect for effect in found if effect.family == family]
        rule, n = own[0].about["Robust"], len(own[0].about["Specifications"])
        robust = [effect.name for effect in own if effect.row["verdict"] == "robust"]
        named = f": {listing(robust, 8)}" if robust else ""
        sentences.append(
            f"{family}: {len(robust) or 'none'} of {count(len(own), 'effect')} "
            f"{'is' if len(robust) < 2 else 'are'} robust over {count(n, 'specification')}{named}. "
            f"Robust means one sign in all of them, and q < {rule['Q']:g} in at least "
            f"{percent(rule['Share'])} of those in which QC-FC is within chance: at most "
            f"{percent(rule['QCFCSignificant'])} of pairs go with motion (p < .05)."
        )
    return Section(
        "multiverse", "Across choices", "", sentences=(*sentences,), tables=(_table(found),)
    )


def _table(found: Sequence[Effect]) -> Table:
    def values(name: str, factor: float = 1) -> list[float]:
        return [factor * effect.row[name] for effect in found]

    families = [effect.family for effect in found]
    shares = {
        title: values(f"share_{choice}", 100)
        for choice, title in CHOICES.items()
        if np.isfinite(values(f"share_{choice}")).any()
    }
    return table_of(
        "Effects over all specifications; estimates are Fisher's z.",
        text_column("Effect", [effect.name for effect in found]),
        *((text_column("Of", families),) if len(set(families)) > 1 else ()),
        text_column("Verdict", [effect.row["verdict"] for effect in found]),
        number_column("Median", values("median"), 3),
        number_column("From", values("minimum"), 3),
        number_column("To", values("maximum"), 3),
        number_column("Positive", values("positive", 100), 1, "%"),
        number_column("Significant", values("significant", 100), 1, "%"),
        number_column("Within chance", values("within_chance"), 0, "by QC-FC"),
        number_column("Significant", values("significant_within_chance", 100), 1, "% of these"),
        *(number_column(title, own, 1, "% of variance") for title, own in shares.items()),
        file="group/*_robustness.tsv",
    )


def curve_sections(level: Level, found: Sequence[Effect], most: int) -> Iterator[Section]:
    """A specification curve for each effect: named edges and contrasts, then the largest."""
    order = sorted(
        found, key=lambda e: (not e.is_named, e.row["contrast"] == "mean", -abs(e.row["median"]))
    )
    several = len({effect.family for effect in found}) > 1
    for effect in order[:most]:
        title = f"{effect.family}: {effect.name}" if several else effect.name
        yield Section(
            effect.anchor,
            title,
            title,
            tuple(dict.fromkeys(effect.rows["strategy"])),
            (effect.verdict,),
            blocks=(Block("Specification curve", (_curve(level, effect),)),),
        )


def _curve(level: Level, effect: Effect) -> Graphic:
    """Estimates and their intervals, QC-FC, and the choices of each specification in a column."""
    rows, n = effect.rows, len(effect.rows)
    x, width = Axis(0, n), WIDTH - _LEFT - _RIGHT
    ends = np.append(rows[["ci_low", "estimate", "ci_high"]].to_numpy(np.float64), 0.0)
    frame = Frame(_LEFT, _TOP, width, _CURVE, x, charts.axis(ends, "Estimate (z)", room=0.04))
    middles = frame.across(np.arange(n) + 0.5)
    grid, labels = frame.y_marks()
    marks, texts = [*grid, Mark(frame.level(0.0), "lead")], [*labels]
    low, high = (frame.down(rows[name]) for name in ("ci_low", "ci_high"))
    whiskers = [f"M{a:.1f},{b:.1f}V{c:.1f}" for a, b, c in zip(middles, low, high, strict=True)]
    columns = _Columns(level, rows["strategy"].tolist(), middles, min(3.2, 0.4 * width / n))
    marks += columns.paths(whiskers, "whisker", np.isfinite(low) & np.isfinite(high))
    is_significant = rows["q"].to_numpy(np.float64) < effect.about["Robust"]["Q"]
    marks += columns.dots(frame.down(rows["estimate"]), "dot", is_significant)
    marks += columns.dots(frame.down(rows["estimate"]), "dot hollow", ~is_significant)
    bottom: float = _TOP + _CURVE + _GAP
    shares = 100 * rows["qc_fc_significant"].to_numpy(np.float64)
    if np.isfinite(shares).any():
        limit = 100 * effect.about["Robust"]["QCFCSignificant"]
        y = charts.axis([*shares, limit], "QC-FC (%)", zero=True, room=0.06, most=3)
        frame = Frame(_LEFT, bottom, width, _QC_FC, x, y)
        grid, labels = frame.y_marks()
        texts += labels
        marks += [*grid, Mark(frame.level(limit), "threshold", title="Within chance")]
        marks += columns.dots(frame.down(shares), "dot", np.isfinite(shares))
        bottom += _QC_FC + _GAP
    more_marks, more_texts, bottom = _grid(effect, columns, bottom)
    words = _words(effect)
    chart = charts.Chart(WIDTH, int(bottom), words, (*marks, *more_marks), (*texts, *more_texts))
    return Graphic(chart, f"{words} {_HOW_TO_READ}")


_HOW_TO_READ = (
    "A column is a specification. Lines: 95 % confidence intervals; hollow dots: not significant. "
    "QC-FC: share of pairs that go with motion, with the limit of chance (dashed). Bars: share of "
    "the variance of estimates that a choice explains (Shapley values)."
)


@dataclass(frozen=True, eq=False)
class _Columns:
    """Specifications in their columns, in the colours of their strategies."""

    level: Level
    strategies: Sequence[str]
    middles: FloatArray  # pixels
    radius: float

    def paths(self, paths: Sequence[str], style: str, chosen: NDArray[np.bool_]) -> Iterator[Mark]:
        """A mark for each strategy, of the paths of its chosen columns."""
        for strategy in dict.fromkeys(self.strategies):
            own = [
                path
                for path, name, is_chosen in zip(paths, self.strategies, chosen, strict=True)
                if name == strategy and is_chosen
            ]
            yield Mark("".join(own), f"{style} {self.level.styles[strategy]}", strategy)

    def dots(self, down: ArrayLike, style: str, chosen: NDArray[np.bool_]) -> Iterator[Mark]:
        """Dots at these pixels from the top."""
        places = np.stack(np.broadcast_arrays(self.middles, np.asarray(down)), axis=1)
        paths = [charts.circles(place[None], self.radius) for place in places]
        return self.paths(paths, style, chosen)


def _grid(effect: Effect, columns: _Columns, top: float) -> tuple[list[Mark], list[Label], float]:
    """Dots that mark choices, bars of what they explain, and the pixels to the last row."""
    marks: list[Mark] = []
    texts: list[Label] = []
    right = WIDTH - _RIGHT
    for choice, title in CHOICES.items():
        options = effect.rows[choice].fillna("n/a").astype(str)
        share = effect.row[f"share_{choice}"]
        if options.nunique() < 2:
            continue
        texts.append(Label(_LEFT - 8, top + 4, title, "end", "name"))
        if np.isfinite(share):
            bar = f"M{right + 8},{top - 5:.1f}h{max(0.5, 50 * share):.1f}v10H{right + 8}Z"
            marks.append(Mark(bar, "stripe", title=f"{title}: {percent(share)}"))
            texts.append(Label(WIDTH - 2, top + 4, percent(share), "end"))
        for option in sorted(set(options), key=natural):
            top += _ROW
            text = SYMBOLS.get(option, option) if choice == "measure" else option
            texts.append(Label(_LEFT - 8, top + 4, charts.shorten(text, 22), "end"))
            marks.append(Mark(f"M{_LEFT},{top:.1f}H{right}", "grid"))
            marks += columns.dots(top, "dot", (options == option).to_numpy())
        top += _GAP
    return marks, texts, top - _GAP / 2


def _words(effect: Effect) -> str:
    row, n = effect.row, len(effect.rows)
    low, middle, high = (number(row[name]) for name in ("minimum", "median", "maximum"))
    words = f"{effect.name}: {count(n, 'estimate')} from {low} to {high}, median {middle}."
    shares = {
        title.lower(): row[f"share_{choice}"]
        for choice, title in CHOICES.items()
        if np.isfinite(row[f"share_{choice}"])
    }
    parts = [f"{title} {percent(share)}" for title, share in shares.items()]
    return f"{words} Variance explained: {listing(parts)}." if parts else words
