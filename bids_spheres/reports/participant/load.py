"""What was written of a participant, read into memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from bids_spheres.outputs.find import find_runs
from bids_spheres.outputs.links import Links, read_links
from bids_spheres.outputs.logs import find_crashes, last_settings
from bids_spheres.outputs.sidecars import texts
from bids_spheres.reports.toolkit.charts import Order, network_order, strategy_styles
from bids_spheres.settings.table import GROUP

if TYPE_CHECKING:
    from pathlib import Path

    from bids_spheres.files.text import JsonObject
    from bids_spheres.outputs.find import RunResults, SeedSetResults
    from bids_spheres.outputs.read import Series, Spheres
    from bids_spheres.outputs.sidecars import Sidecar


@dataclass(frozen=True, eq=False)
class SeedSet:
    """Results of one seed set in one space of a run."""

    anchor: str  # Identifier in the page
    files: SeedSetResults
    spheres: Spheres | None  # None where neither the run's nor another run's table is there
    series: dict[str, Series]  # By strategy; empty for several runs together
    facts: dict[str, Sidecar]  # Of each strategy's series, or else of its matrices
    uncleaned: Series | None = None  # Series before cleaning, where they were written

    @property
    def title(self) -> str:
        """Seed set and space."""
        return f"{self.files.label} in {self.files.space}"

    @cached_property
    def order(self) -> Order:
        """Spheres by network; empty where their table is gone."""
        return network_order(() if self.spheres is None else self.spheres.networks)

    @property
    def noun(self) -> str:
        """What its nodes are, in a word."""
        return "sphere" if self.spheres is None else self.spheres.noun


@dataclass(frozen=True, eq=False)
class Run:
    """Results of one run."""

    anchor: str
    files: RunResults
    styles: dict[str, str]  # Line style of each strategy, in the order in which they are shown
    sets: tuple[SeedSet, ...]

    @property
    def strategies(self) -> tuple[str, ...]:
        """Strategies in the order in which the report shows them."""
        return tuple(self.styles)

    @property
    def title(self) -> str:
        """Entities, with a remark for several runs together."""
        return f"{self.files.title}, runs together" if self.files.together else self.files.title


@dataclass(frozen=True, eq=False)
class Participant:
    """Results of one participant, or of one session."""

    label: str  # Without ``sub-``
    session: str | None
    runs: tuple[Run, ...]
    links: Links
    # Of the last call that concerned the participant; empty without a record.
    settings: JsonObject
    settings_path: Path | None
    failures: tuple[str, ...] = ()  # Which runs have failed, and why

    @property
    def output_dir(self) -> Path:
        """Root of the results."""
        return self.links.output_dir

    @property
    def title(self) -> str:
        """Labels with their keys."""
        return f"sub-{self.label}" + (f" ses-{self.session}" if self.session else "")


def load_participant(output_dir: Path, label: str, session: str | None = None) -> Participant:
    """Read results but for matrices; DataError or ReadWriteError for what can't be read."""

    def about_it(call: JsonObject) -> bool:
        labels = texts(call.get("participant_label"))
        return call.get("analysis_level") != GROUP and (not labels or label in labels)

    settings_path, settings = last_settings(output_dir, about_it, label)
    wanted = texts(settings.get("strategy"))
    found = find_runs(output_dir, label, session)
    styles = strategy_styles(strategy for files in found for strategy in files.strategies)
    runs = []
    for i, files in enumerate(found, start=1):
        ordered = sorted(files.strategies, key=lambda s: wanted.index(s) if s in wanted else 99)
        sets = []
        for j, own in enumerate(files.seed_sets, 1):
            series = {strategy: own.series(strategy) for strategy in own.series_paths}
            facts = {
                strategy: series[strategy].sidecar if strategy in series else own.sidecar(strategy)
                for strategy in own.strategies
            }
            anchor = f"run-{i}-set-{j}"
            sets.append(SeedSet(anchor, own, own.spheres, series, facts, own.uncleaned))
        runs.append(Run(f"run-{i}", files, {s: styles[s] for s in ordered}, tuple(sets)))
    failures = tuple(crash.message for crash in find_crashes(output_dir, label, session))
    links = read_links(output_dir)
    return Participant(label, session, tuple(runs), links, settings, settings_path, failures)
