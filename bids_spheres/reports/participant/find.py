"""Which of our files belong to a participant: names alone, nothing is read."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bids_spheres.files.names import Name, parse_name
from bids_spheres.inputs.runs import natural
from bids_spheres.outputs.paths import EFFECTIVE_DOF, UNCLEANED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OF_IMAGE = ("space", "cohort", "atlas", "seg", "scale", "res", "den")
_OF_RESULT = ("label", "stat", "desc")
_SUFFIXES = frozenset({"dseg", "timeseries", "relmat", "design", "outliers"})


@dataclass(frozen=True)
class SetFiles:
    """Files of one seed set in one space of a run.

    Parameters
    ----------
    name : Name
        Entities that all of them share.
    spheres : Path or None
        Table of spheres; None for what was made of several runs.
    uncleaned : Path or None
        Series before cleaning.
    series : mapping of str to Path
        Table of each strategy.
    relations : mapping of (stat, strategy) to Path
        Matrices.
    """

    name: Name
    spheres: Path | None = None
    uncleaned: Path | None = None
    series: dict[str, Path] = field(default_factory=dict)
    relations: dict[tuple[str, str], Path] = field(default_factory=dict)

    @property
    def space(self) -> str:
        """Space of the images."""
        return self.name.get("space") or "func"

    @property
    def seeds(self) -> str:
        """Label of the seed set, with its radius where it was used with several."""
        label = self.name.get("atlas") or self.name.get("seg") or "n/a"
        scale = self.name.get("scale")
        return f"{label}, {scale}" if scale else label

    @property
    def stats(self) -> tuple[str, ...]:
        """Measures of relation, Pearson's correlation first."""
        found = dict.fromkeys(stat for stat, _ in self.relations if stat != EFFECTIVE_DOF)
        return tuple(sorted(found, key=lambda stat: (stat != "pearsoncorrelation", stat)))


@dataclass(frozen=True)
class RunFiles:
    """Files of one run, or of several runs put together.

    Parameters
    ----------
    name : Name
        Entities of the run.
    designs, outliers : mapping of str to Path
        Tables of each strategy.
    sets : tuple of SetFiles
        One for each seed set and space.
    """

    name: Name
    designs: dict[str, Path] = field(default_factory=dict)
    outliers: dict[str, Path] = field(default_factory=dict)
    sets: tuple[SetFiles, ...] = ()

    @property
    def together(self) -> bool:
        """Whether it stands for several runs, of which there are matrices alone."""
        return not self.designs

    @property
    def title(self) -> str:
        """The entities, without the participant."""
        words = [f"{key}-{label}" for key, label in self.name.entities if key != "sub"]
        return " ".join(words) or "run"

    @property
    def strategies(self) -> tuple[str, ...]:
        """All that left something, in alphabetical order."""
        found = {*self.designs, *(s for one in self.sets for s in one.series)}
        found |= {strategy for one in self.sets for _, strategy in one.relations}
        return tuple(sorted(found, key=natural))


def participants_with_outputs(output_dir: Path) -> list[str]:
    """Labels, without ``sub-``, of the participants that have a folder in the results."""
    folders = (path.name for path in output_dir.glob("sub-*") if path.is_dir())
    return sorted((name.removeprefix("sub-") for name in folders), key=natural)


def sessions_with_outputs(output_dir: Path, participant: str) -> list[str]:
    """Labels, without ``ses-``, of a participant's sessions."""
    folders = (path.name for path in (output_dir / f"sub-{participant}").glob("ses-*"))
    return sorted((name.removeprefix("ses-") for name in folders), key=natural)


def find_runs(output_dir: Path, participant: str, session: str | None = None) -> list[RunFiles]:
    """What was written for every run of a participant, or of one of the sessions.

    Parameters
    ----------
    output_dir : Path
    participant, session : str
        Labels, without their keys.

    Returns
    -------
    list of RunFiles
        In the order of their names; those of several runs together come last.
    """
    members: dict[Name, list[tuple[Name, Path]]] = defaultdict(list)
    for name, path in _outputs(output_dir / f"sub-{participant}"):
        if session is None or name.get("ses") == session:
            members[_without(name, (*_OF_IMAGE, *_OF_RESULT))].append((name, path))
    runs = [_run(name, files) for name, files in members.items()]
    return sorted(runs, key=lambda run: (run.together, natural(str(run.name))))


def _outputs(folder: Path) -> Iterator[tuple[Name, Path]]:
    patterns = (f"{level}func/*.{end}" for level in ("", "ses-*/") for end in ("tsv", "tsv.gz"))
    for path in sorted(path for pattern in patterns for path in folder.glob(pattern)):
        try:
            name = parse_name(path.name)
        except ValueError:
            continue  # not ours: names that we write can be parsed
        if name.suffix in _SUFFIXES and name.get("desc"):
            yield name, path


def _without(name: Name, keys: tuple[str, ...]) -> Name:
    kept = tuple(entity for entity in name.entities if entity[0] not in keys)
    return Name(kept, "", "")


def _run(name: Name, files: list[tuple[Name, Path]]) -> RunFiles:
    run = RunFiles(name)
    members: dict[Name, list[tuple[Name, Path]]] = defaultdict(list)
    for each, path in files:
        if each.suffix in ("design", "outliers"):
            tables = run.designs if each.suffix == "design" else run.outliers
            tables[str(each.get("desc"))] = path
        else:
            members[_without(each, _OF_RESULT)].append((each, path))
    sets = [_set(key, files) for key, files in members.items()]
    sets.sort(key=lambda one: natural(str(one.name)))
    return RunFiles(run.name, run.designs, run.outliers, tuple(sets))


def _set(name: Name, files: list[tuple[Name, Path]]) -> SetFiles:
    spheres = [path for each, path in files if each.suffix == "dseg"]
    series = {str(n.get("desc")): path for n, path in files if n.suffix == "timeseries"}
    return SetFiles(
        name,
        spheres[0] if spheres else None,
        series.pop(UNCLEANED, None),
        series,
        {
            (str(n.get("stat")), str(n.get("desc"))): path
            for n, path in files
            if n.suffix == "relmat"
        },
    )
