"""What was written of a participant, read into memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bids_spheres.outputs.find import find_runs
from bids_spheres.outputs.links import Links, read_links
from bids_spheres.outputs.logs import find_crashes, last_settings
from bids_spheres.reports.toolkit.order import Order, network_order
from bids_spheres.settings import GROUP

if TYPE_CHECKING:
    from pathlib import Path

    from bids_spheres.files.text import JsonObject
    from bids_spheres.outputs.find import RunResults, SeedSetResults
    from bids_spheres.outputs.read import Series, Spheres


@dataclass(frozen=True, eq=False)
class SeedSet:
    """Results of one seed set in one space of a run."""

    anchor: str  # Identifier in the page
    files: SeedSetResults
    spheres: Spheres | None  # None where neither the run's nor another run's table is there
    series: dict[str, Series]  # By strategy; empty for several runs together
    # Sidecar of each strategy's series, or of its matrices for several runs together.
    facts: dict[str, dict[str, Any]]
    # Before cleaning; None for several runs together, and where that was not written.
    uncleaned: Series | None = None

    @property
    def title(self) -> str:
        """Seed set and space."""
        return f"{self.files.label} in {self.files.space}"

    @cached_property
    def order(self) -> Order | None:
        """Spheres by network."""
        return None if self.spheres is None else network_order(self.spheres.networks)


@dataclass(frozen=True, eq=False)
class Run:
    """Results of one run."""

    anchor: str
    files: RunResults
    strategies: tuple[str, ...]  # In the order in which the report shows them
    sets: tuple[SeedSet, ...]

    @property
    def title(self) -> str:
        """Entities, and that there are several runs, if so."""
        return f"{self.files.title}, runs together" if self.files.together else self.files.title


@dataclass(frozen=True, eq=False)
class Participant:
    """Results of one participant, or of one session."""

    label: str  # Without ``sub-``
    session: str | None
    runs: tuple[Run, ...]
    links: Links
    # Of the last call that concerned the participant; empty when there is no record.
    settings: dict[str, Any]
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
    """Read all that was written of a participant, matrices apart.

    Parameters
    ----------
    output_dir : Path
    label, session : str
        Without their keys.

    Raises
    ------
    DataError, ReadWriteError
        When a table or a sidecar can't be read.
    """
    links = read_links(output_dir)

    def about_it(settings: JsonObject) -> bool:
        labels = settings.get("participant_label")
        chosen = map(str, labels if isinstance(labels, list) else [])
        return settings.get("analysis_level") != GROUP and (not labels or label in chosen)

    settings_path, settings = last_settings(output_dir, about_it, label)
    strategies = settings.get("strategy")
    wanted = list(map(str, strategies)) if isinstance(strategies, list) else []
    runs = tuple(
        Run(
            f"run-{i}",
            files,
            tuple(sorted(files.strategies, key=lambda s: wanted.index(s) if s in wanted else 99)),
            tuple(_seed_set(f"run-{i}-set-{j}", own) for j, own in enumerate(files.seed_sets, 1)),
        )
        for i, files in enumerate(find_runs(output_dir, label, session), start=1)
    )
    failures = tuple(crash.message for crash in find_crashes(output_dir, label, session))
    return Participant(label, session, runs, links, settings, settings_path, failures)


def _seed_set(anchor: str, files: SeedSetResults) -> SeedSet:
    series = {strategy: files.series(strategy) for strategy in files.series_paths}
    facts = {
        strategy: series[strategy].sidecar if strategy in series else files.sidecar(strategy)
        for strategy in files.strategies
    }
    return SeedSet(anchor, files, files.spheres, series, facts, files.uncleaned)
