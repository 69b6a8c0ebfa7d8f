"""The ``config.json`` of a task: files, what is known of them, and options.

Beside the keys that an app was registered with, the platform writes ``_inputs``: for every input
its data type, tags, ``meta`` (subject, session, run and fields of BIDS sidecars) and the ``keys``
that hold its files. Where a key holds a list, because the input is *multi*, the entries of
``_inputs`` with that key stand in the same order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_spheres.app.parser import Talk
from bids_spheres.errors import DataError, MissingInputError, UsageError, did_you_mean
from bids_spheres.files.names import plain_label
from bids_spheres.files.regular import not_fetched
from bids_spheres.files.text import read_json_object
from bids_spheres.settings import MASKS, PARTICIPANT, Settings, declared_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_FILES = ("bold", "regressors", "mask")
"""Keys of input files."""

_ONE = ("atlas", "seeds", "radius", "strategy")
"""Options that take one value here, as a task writes one table of time series."""

_ELSEWHERE = ("reports_only",)
"""Options that write no results."""

_TAG = re.compile(r"(?P<key>task|run|space)[-_](?P<label>.+)")


@dataclass(frozen=True)
class Dataset:
    """One input file and what the platform knows of it.

    Parameters
    ----------
    path : Path
    meta : mapping
    tags : tuple of str
    """

    path: Path
    meta: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()

    def label(self, *names: str) -> str:
        """Label of an entity from the first of some fields of `meta`, else from a tag."""
        known = (self.meta.get(name) for name in names)
        tagged = (m["label"] for t in self.tags if (m := _TAG.fullmatch(t)) and m["key"] in names)
        return next((label for each in (*known, *tagged) if (label := _clean(each))), "")

    @property
    def run(self) -> tuple[str, ...]:
        """Labels that distinguish the runs of one participant."""
        return self.label("session"), self.label("task", "TaskName"), self.label("run")


@dataclass(frozen=True)
class RunInputs:
    """Files of one run, and the entities of its name.

    Parameters
    ----------
    bold : Dataset
    regressors, mask : Path, optional
    entities : tuple of (key, label)
    """

    bold: Dataset
    regressors: Path | None
    mask: Path | None
    entities: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Task:
    """What a config.json asks for.

    Parameters
    ----------
    config : Path
    runs : tuple of RunInputs
    options : mapping
        Options of the command line by their names. Without masks no voxel is left out, and without
        regressors, unless a strategy is named, nothing is regressed out.
    """

    config: Path
    runs: tuple[RunInputs, ...]
    options: Mapping[str, Any]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user may not expect of it, a sentence each."""
        notes = []
        if self.options.get("mask") == "none":
            notes.append("No mask is given: spheres use every voxel that has a signal.")
        if not any(run.regressors for run in self.runs):
            notes.append("No regressors are given, so that none are removed.")
        return tuple(notes)


def read_task(config: Path) -> Task:
    """Read a config.json; paths in it are relative to the current folder.

    Raises
    ------
    MissingInputError
        When it, or a file that it names, is not there.
    DataError
        When it is not what the platform writes.
    UsageError
        When a parameter is not an option, or has several values where it takes one.
    """
    content = {
        key: value for key, value in read_json_object(config).items() if value not in _NOTHING
    }
    mask = content.pop("mask") if content.get("mask") in MASKS else "none"
    files = {key: _datasets(content, key, config) for key in _FILES}
    bolds = files["bold"]
    if not bolds:
        raise MissingInputError(
            f"{config} names no BOLD image.",
            hint='The key is "bold", and its input of the data type neuro/func/task.',
        )
    options = _options(content, config)
    if not files["mask"]:
        options["mask"] = mask
    if not files["regressors"]:
        options.setdefault("strategy", ["none"])
    regressors = _matched(files["regressors"], bolds, "regressors", config)
    masks = _matched(files["mask"], bolds, "mask", config)
    labels = [_labels(bold, bolds[0], options, config) for bold in bolds]
    if len({tuple(each.items()) for each in labels}) < len(labels):
        # Runs whose names are the same are numbered in their order.
        labels = [
            {key: label for key, label in each.items() if key != "space"}
            | {"run": str(number), "space": each["space"]}
            for number, each in enumerate(labels, start=1)
        ]
    entities = [tuple(each.items()) for each in labels]
    runs = map(RunInputs, bolds, regressors, masks, entities)
    return Task(config, tuple(runs), options)


_NOTHING: tuple[object, ...] = (None, "", [])
"""What the platform writes for an input or a parameter that was not given."""


def _datasets(content: Mapping[str, Any], key: str, config: Path) -> tuple[Dataset, ...]:
    """Files of a key, which may be one, several, or none."""
    given = content.get(key, [])
    paths = [path for path in (given if isinstance(given, list) else [given]) if path]
    if not all(isinstance(path, str) for path in paths):
        raise DataError(f"{config}: {key} must be a path or a list of paths, not {given!r}.")
    inputs = content.get("_inputs", [])
    if not isinstance(inputs, list) or not all(isinstance(each, dict) for each in inputs):
        raise DataError(f"{config}: _inputs is not the list that brainlife.io writes.")
    known = [each for each in inputs if key in (each.get("keys") or [])]
    known = known if len(known) == len(paths) else [{}] * len(paths)
    datasets = []
    for path, each in zip(map(Path, paths), known, strict=True):
        if not path.is_file():
            raise not_fetched(path) or MissingInputError(
                f"{config}: {key} is {path}, and there is no such file.",
                hint="Paths are relative to the folder in which the task runs.",
            )
        tags = [*(each.get("tags") or []), *(each.get("datatype_tags") or [])]
        known_tags = tuple(tag for tag in tags if isinstance(tag, str))
        datasets.append(Dataset(path, each.get("meta") or {}, known_tags))
    return tuple(datasets)


def _clean(label: object) -> str:
    """Letters and digits of a label, all that BIDS allows; what follows a colon is left out."""
    text = "" if label is None or isinstance(label, bool) else str(label).partition(":")[0]
    return plain_label(text)


def _options(content: Mapping[str, object], config: Path) -> dict[str, Any]:
    """Options of the command line, lists as lists.

    Those of the participant level that choose no runs, as config.json names runs itself.
    """
    allowed = {
        each.name: each
        for each in (*declared_options(Settings), *declared_options(Talk))
        if each.option.section and PARTICIPANT in each.option.levels
        if each.option.section != "selection of runs" or each.name == "space"
        if each.name not in _ELSEWHERE
    }
    named: dict[str, Any] = {}
    for key, value in content.items():
        name = key.replace("-", "_")
        if key.startswith("_") or key in _FILES:
            continue
        if name not in allowed:
            raise UsageError(
                f"{config}: {key!r} is no parameter here.",
                hint=did_you_mean(name, [*allowed, *_FILES]) + "Parameters are options of "
                "bids-spheres by their names; bids-spheres --help lists them.",
            )
        words = isinstance(value, str) and isinstance(allowed[name].default, tuple)
        named[name] = re.split(r"[\s,]+", str(value).strip()) if words else value
    lists = [name for name in _ONE if isinstance(named.get(name), list)]
    problems = [
        f": {name} has {len(named[name])} values, and takes one."
        for name in lists
        if len(named[name]) > 1
    ]
    if "atlas" in named and "seeds" in named:
        problems.append(" names an atlas and seeds.")
    if problems:
        raise UsageError(
            f"{config}{problems[0]}",
            hint="A task writes one table of time series; start one for each.",
        )
    return named


def _matched(
    given: Sequence[Dataset], bolds: Sequence[Dataset], key: str, config: Path
) -> list[Path | None]:
    """The file of every run: by what is known of it where that tells runs apart, else by order."""
    if not given:
        return [None] * len(bolds)
    if key == "mask" and len(given) == 1:
        return [given[0].path] * len(bolds)
    if len(given) != len(bolds):
        raise DataError(
            f"{config} names {len(bolds)} BOLD images and {len(given)} files of {key}.",
            hint="Give one for each image, in the same order, or none.",
        )
    by_run = {dataset.run: dataset.path for dataset in given}
    runs = [bold.run for bold in bolds]
    if len(set(runs)) == len(runs) and set(runs) == set(by_run):
        return [by_run[run] for run in runs]
    return [dataset.path for dataset in given]


def _labels(
    bold: Dataset, first: Dataset, options: Mapping[str, Any], config: Path
) -> dict[str, str]:
    """Entities of the name of a run, in their order."""
    given = options.get("space")
    space = _clean(given[0] if isinstance(given, list) else given) or bold.label("space")
    if not space:
        raise DataError(
            f"{config} does not say in which space {bold.path} is.",
            hint="Set the parameter space, e.g. to MNI152NLin2009cAsym, or tag the data set "
            "space-MNI152NLin2009cAsym.",
        )
    labels = {
        # A task is of one participant; what lacks the label belongs to the same.
        "sub": bold.label("subject") or first.label("subject") or "01",
        "ses": bold.label("session"),
        "task": bold.label("task", "TaskName") or "rest",
        "acq": bold.label("acquisition", "acq"),
        "run": bold.label("run"),
        "space": space,
    }
    return {key: label for key, label in labels.items() if label}
