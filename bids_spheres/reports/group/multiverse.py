"""Effects over all choices of analysis: specification curves, and which effects are robust.

As Simonsohn et al. 2020 (doi:10.1038/s41562-020-0912-z) draw them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_spheres.errors import DataError
from bids_spheres.files.names import natural
from bids_spheres.reports.group.load import SYMBOLS
from bids_spheres.reports.toolkit import charts, render
from bids_spheres.reports.toolkit.charts import WIDTH, Axis, Frame, Label, Mark
from bids_spheres.wording import collect, count, listing, number, percent, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from bids_spheres.files.text import JsonObject
    from bids_spheres.outputs.find import GroupFiles
    from bids_spheres.reports.group.load import FloatArray, Level

# Columns of choices, and their names
CHOICES = {"strategy": "Strategy", "scale": "Radius", "measure": "Measure", "seeds": "Seed set"}

_COLUMNS = (
    ("Median", "median", 1, 3, ""),
    ("From", "minimum", 1, 3, ""),
    ("To", "maximum", 1, 3, ""),
    ("Positive", "positive", 100, 1, "%"),
    ("Significant", "significant", 100, 1, "%"),
    ("Within chance", "within_chance", 1, 0, "by QC-FC"),
    ("Significant", "significant_within_chance", 100, 1, "% of these"),
    *((title, f"share_{choice}", 100, 1, "% of variance") for choice, title in CHOICES.items()),
)
_LEFT, _RIGHT, _TOP, _CURVE, _QC_FC, _ROW, _GAP = 150, 100, 8, 180, 60, 15, 26  # pixels
_DASH = " \N{EN DASH} "
_HOW_TO_READ = (
    "A column is a specification. Lines: 95 % confidence intervals; hollow dots: not significant. "
    "QC-FC: share of pairs that go with motion, with the limit of chance (dashed). Bars: share of "
    "the variance of estimates that a choice explains (Shapley values)."
)


@dataclass(frozen=True, eq=False)
class Effect:
    """A mean or contrast of some pairs, with its estimates."""

    anchor: str
    family: str
    row: pd.Series  # Of the table of effects
    rows: pd.DataFrame  # A specification each, the smallest estimate first
    about: JsonObject  # Their sidecar

    @property
    def is_named(self) -> bool:
        """Whether it is about edges that the call named."""
        return not isinstance(self.row["network_1"], str)

    @property
    def name(self) -> str:
        """Networks or edges, after the contrast unless it is the mean."""
        first, second, contrast = self.row["network_1"], self.row["network_2"], self.row["contrast"]
        pairs = f"Within {first}" if first == second else f"{first}{_DASH}{second}"
        if self.is_named:
            pairs = listing([_DASH.join(edge) for edge in self.about["NamedEdges"]])
        return pairs if contrast == "mean" else f"{contrast}: {pairs}"

    @property
    def shares(self) -> dict[str, float]:
        """What choices with alternatives explain of the variance of the estimates."""
        shares = {choice: float(self.row[f"share_{choice}"]) for choice in CHOICES}
        return {choice: share for choice, share in shares.items() if np.isfinite(share)}

    @property
    def estimates(self) -> str:
        """Range of the estimates, and what choices explain, in words."""
        low, high, middle = (number(self.row[name]) for name in ("minimum", "maximum", "median"))
        known = f"{count(len(self.rows), 'estimate')} from {low} to {high}, median {middle}"
        parts = [f"{CHOICES[name].lower()} {percent(share)}" for name, share in self.shares.items()]
        explained = f" Variance explained: {listing(parts)}." if parts else ""
        return f"{self.name}: {known}.{explained}"

    @property
    def verdict(self) -> str:
        """What the rule of the call says, with its numbers."""
        row, limit = self.row, self.about["Robust"]["Q"]
        n, positive = int(row["specifications"]), round(row["specifications"] * row["positive"])
        signs = f"{positive} of {n} estimates are positive"
        if positive in (0, n):
            signs = f"all {n} estimates are {'positive' if positive else 'negative'}"
        tests = "no specification has QC-FC within chance"
        if within := int(row["within_chance"]):
            significant = round(within * row["significant_within_chance"])
            tests = f"q < {limit:g} in {significant} of {within} whose QC-FC is within chance"
        word = {"robust": "Robust", "fragile": "Fragile"}.get(row["verdict"], "No verdict")
        return f"{word}: {signs}; {tests}."


def effects(level: Level) -> list[Effect]:
    """Effects of all families of specifications that have an estimate."""
    found: list[Effect] = []
    for files in level.families:
        about, title = read_rule(files), files.image_title
        rows = files.table("specifications", ("effect", "estimate", *CHOICES))
        known = rows[rows["estimate"].notna()]
        for _, row in files.table("robustness", ("effect", "verdict")).iterrows():
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


def motion_rule(rule: Mapping[str, float]) -> str:
    """When QC-FC is within chance."""
    if p := rule.get("QCFCPermutationP"):
        return f"QC-FC has p of at least {p:g} by permutations of head motion"
    return f"at most {percent(rule['QCFCSignificant'])} of pairs go with motion (p < .05)"


def robustness_section(found: Sequence[Effect]) -> render.Section:
    """Which effects are robust, by which rule, and the table of all."""
    sentences = []
    for family in dict.fromkeys(effect.family for effect in found):
        own = [effect for effect in found if effect.family == family]
        rule, n = own[0].about["Robust"], len(own[0].about["Specifications"])
        robust = [effect.name for effect in own if effect.row["verdict"] == "robust"]
        named = f": {listing(robust, 8)}" if robust else ""
        sentences.append(
            f"{family}: {len(robust) or 'none'} of {count(len(own), 'effect')} "
            f"{plural(len(robust) or 1, 'is', 'are')} robust over {count(n, 'specification')}"
            f"{named}. Robust means one sign in all of them, and q < {rule['Q']:g} in at least "
            f"{percent(rule['Share'])} of those in which QC-FC is within chance: "
            f"{motion_rule(rule)}."
        )
    rows = pd.DataFrame([effect.row for effect in found])
    families = [effect.family for effect in found]
    table = render.table_of(
        "Effects over all specifications; estimates are Fisher's z.",
        render.text_column("Effect", [effect.name for effect in found]),
        *((render.text_column("Of", families),) if len(set(families)) > 1 else ()),
        render.text_column("Verdict", rows["verdict"].fillna("n/a")),
        *(
            render.number_column(label, factor * rows[name], digits, unit)
            for label, name, factor, digits, unit in _COLUMNS
            if rows[name].notna().any()
        ),
        file="group/*_robustness.tsv",
    )
    return render.Section("multiverse", "", "", sentences=tuple(sentences), tables=(table,))


def curve_sections(level: Level, found: Sequence[Effect], most: int) -> Iterator[render.Section]:
    """A specification curve for each effect: named edges and contrasts, then the largest."""
    order = sorted(
        found, key=lambda e: (not e.is_named, e.row["contrast"] == "mean", -abs(e.row["median"]))
    )
    several = len({effect.family for effect in found}) > 1
    for effect in order[:most]:
        title = f"{effect.family}: {effect.name}" if several else effect.name
        names = tuple(dict.fromkeys(effect.rows["strategy"]))
        blocks = (render.Block("Specification curve", (_curve(level, effect),)),)
        yield render.Section(effect.anchor, title, title, names, (effect.verdict,), blocks=blocks)


def _curve(level: Level, effect: Effect) -> render.Graphic:
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
    columns = _Columns(level, effect, middles, min(3.2, 0.4 * width / n))
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
    more_marks, more_texts, bottom = columns.choices(bottom)
    alt = effect.estimates
    chart = charts.Chart(WIDTH, int(bottom), alt, (*marks, *more_marks), (*texts, *more_texts))
    return render.Graphic(chart, f"{alt} {_HOW_TO_READ}")


@dataclass(frozen=True, eq=False)
class _Columns:
    """Specifications of an effect in their columns, in the colours of their strategies."""

    level: Level
    effect: Effect
    middles: FloatArray  # pixels
    radius: float

    def paths(self, paths: Sequence[str], style: str, chosen: NDArray[np.bool_]) -> Iterator[Mark]:
        """A mark for each strategy, of the paths of its chosen columns."""
        shown = zip(self.effect.rows["strategy"], paths, chosen, strict=True)
        own = collect((strategy, path) for strategy, path, is_chosen in shown if is_chosen)
        for strategy in self.effect.rows["strategy"].unique():
            look = f"{style} {self.level.styles[strategy]}"
            yield Mark("".join(own.get(strategy, [])), look, strategy)

    def dots(self, down: ArrayLike, style: str, chosen: NDArray[np.bool_]) -> Iterator[Mark]:
        """Dots at these pixels from the top."""
        places = np.stack(np.broadcast_arrays(self.middles, np.asarray(down)), axis=1)
        paths = [charts.circles(place[None], self.radius) for place in places]
        return self.paths(paths, style, chosen)

    def choices(self, top: float) -> tuple[list[Mark], list[Label], float]:
        """Dots that mark choices, bars of what they explain, and the pixels to the last row."""
        marks: list[Mark] = []
        texts: list[Label] = []
        right = WIDTH - _RIGHT
        for choice, title in CHOICES.items():
            options = self.effect.rows[choice].fillna("n/a").astype(str)
            if options.nunique() < 2:
                continue
            texts.append(Label(_LEFT - 8, top + 4, title, "end", "name"))
            if (share := self.effect.shares.get(choice)) is not None:
                bar = f"M{right + 8},{top - 5:.1f}h{max(0.5, 50 * share):.1f}v10H{right + 8}Z"
                marks.append(Mark(bar, "stripe", title=f"{title}: {percent(share)}"))
                texts.append(Label(WIDTH - 2, top + 4, percent(share), "end"))
            for option in sorted(set(options), key=natural):
                top += _ROW
                text = SYMBOLS.get(option, option) if choice == "measure" else option
                texts.append(Label(_LEFT - 8, top + 4, charts.shorten(text, 22), "end"))
                marks.append(Mark(f"M{_LEFT},{top:.1f}H{right}", "grid"))
                marks += self.dots(top, "dot", (options == option).to_numpy())
            top += _GAP
        return marks, texts, top - _GAP / 2
