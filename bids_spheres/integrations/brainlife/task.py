"""Read the ``config.json`` of a task: options, and files that are linked as a dataset.

Beside the keys that an app was registered with, the platform writes ``_inputs``: for every input
its data type, tags, ``meta`` (subject, session, run and fields of BIDS sidecars) and the ``keys``
that hold its files. Where a key holds a list, because the input is *multi*, the entries of
``_inputs`` with that key are in the same order.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_spheres.app.parser import Talk
from bids_spheres.errors import (
    BidsSpheresError,
    DataError,
    MissingInputError,
    OutputError,
    UsageError,
    did_you_mean,
)
from bids_spheres.files.atomic import json_text, remove, table_text, write_if_changed
from bids_spheres.files.names import Name, plain_label
from bids_spheres.files.regular import not_fetched
from bids_spheres.files.text import read_json_object
from bids_spheres.settings.option import declared_options
from bids_spheres.settings.table import MASKS, PARTICIPANT, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


_FILES = ("bold", "regressors", "mask")
"""Keys of input files."""

_SINGLE = ("atlas", "seeds", "radius", "strategy")
"""Options that take one value here, as a task writes one table of time series."""

_NOTHING: tuple[object, ...] = (None, "", [])
"""What the platform writes for an input or a parameter that was not given."""

_TAG = re.compile(r"(?P<key>task|run|space)[-_](?P<label>.+)")


def _clean(label: object) -> str:
    """Letters and digits of a label up to a colon."""
    text = "" if label is None or isinstance(label, bool) else str(label).partition(":")[0]
    return plain_label(text)


@dataclass(frozen=True)
class Dataset:
    """An input file with its metadata and tags on the platform."""

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


def _extension(image: Path) -> str:
    return ".nii.gz" if image.name.endswith(".gz") else ".nii"


@dataclass(frozen=True)
class RunInputs:
    """Files of a run, and the entities of its name."""

    bold: Dataset
    regressors: Path | None
    mask: Path | None
    entities: tuple[tuple[str, str], ...]

    def files(self) -> Iterator[tuple[Name, Path | str]]:
        """Names of its files, with the target of each link or the text of each file."""
        from bids_spheres.engine.stream import open_volumes  # noqa: PLC0415 - keeps --help fast

        bold, regressors = self.bold.path, self.regressors
        # The image's own sidecar overrides the metadata of the platform.
        known = {key: value for key, value in self.bold.meta.items() if key[:1].isupper()}
        beside = bold.with_name(bold.name.split(".")[0] + ".json")
        image = (*self.entities, ("desc", "preproc"))
        about = json_text(known | read_json_object(beside, optional=True))
        yield Name(image, "bold", ".json"), about
        yield Name(image, "bold", _extension(bold)), bold
        if self.mask:
            mask = (*self.entities, ("desc", "brain"))
            yield Name(mask, "mask", _extension(self.mask)), self.mask

        labels = tuple(each for each in self.entities if each[0] != "space")
        table = Name((*labels, ("desc", "confounds")), "timeseries", ".tsv")
        if regressors:
            yield table, regressors
            if (metadata := regressors.with_suffix(".json")).is_file():
                yield replace(table, extension=".json"), metadata
        else:
            # A table with just the numbers of volumes; an unreadable image fails later.
            with suppress(BidsSpheresError):
                volumes = range(open_volumes(bold).n_volumes)
                yield table, table_text(["volume"], [[str(number)] for number in volumes])


@dataclass(frozen=True)
class Task:
    """Runs of a config.json, options of the command line by name, and notes for the user.

    Without masks no voxel is left out, and without regressors nothing is regressed out unless a
    strategy is named.
    """

    runs: tuple[RunInputs, ...]
    options: Mapping[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Config:
    """A config.json, without inputs and parameters that were not given."""

    path: Path
    content: dict[str, Any]

    def datasets(self, key: str) -> tuple[Dataset, ...]:
        """Files of a key: one, several or none."""
        given = self.content.get(key, [])
        paths = [path for path in (given if isinstance(given, list) else [given]) if path]
        if not all(isinstance(path, str) for path in paths):
            raise DataError(f"{self.path}: {key} must be a path or a list of paths, not {given!r}.")
        for path in map(Path, paths):
            if not path.is_file():
                raise not_fetched(path) or MissingInputError(
                    f"{self.path}: {key} is {path}, and there is no such file.",
                    hint="Paths are relative to the folder in which the task runs.",
                )
        inputs = self.content.get("_inputs", [])
        if not isinstance(inputs, list) or not all(isinstance(each, dict) for each in inputs):
            raise DataError(f"{self.path}: _inputs is not the list that brainlife.io writes.")
        known = [each for each in inputs if key in (each.get("keys") or [])]
        known = known if len(known) == len(paths) else [{}] * len(paths)
        return tuple(
            Dataset(
                Path(path),
                each.get("meta") or {},
                tuple(map(str, (*(each.get("tags") or ()), *(each.get("datatype_tags") or ())))),
            )
            for path, each in zip(paths, known, strict=True)
        )

    def options(self) -> dict[str, Any]:
        """Options of the command line, lists as lists.

        Those of the participant level that write results and do not select runs.
        """
        allowed = {
            each.name: each
            for each in (*declared_options(Settings), *declared_options(Talk))
            if each.option.section and PARTICIPANT in each.option.levels
            if each.option.section != "selection of runs" or each.name == "space"
            if each.name != "reports_only"
        }
        named: dict[str, Any] = {}
        for key, value in self.content.items():
            name = key.replace("-", "_")
            if key.startswith("_") or key in _FILES:
                continue
            if name not in allowed:
                raise UsageError(
                    f"{self.path}: {key!r} is no parameter here.",
                    hint=did_you_mean(name, [*allowed, *_FILES]) + "Parameters are options of "
                    "bids-spheres by their names; bids-spheres --help lists them.",
                )
            words = isinstance(value, str) and isinstance(allowed[name].default, tuple)
            named[name] = re.split(r"[\s,]+", str(value).strip()) if words else value
        counts = {n: len(named[n]) for n in _SINGLE if isinstance(named.get(n), list)}
        faults = [f": {n} has {k} values, and takes one." for n, k in counts.items() if k > 1]
        if {"atlas", "seeds"} <= named.keys():
            faults.append(" names an atlas and seeds.")
        if faults:
            hint = "A task writes one table of time series; start one for each."
            raise UsageError(f"{self.path}{faults[0]}", hint=hint)
        return named

    def matched(self, key: str, bolds: Sequence[Dataset]) -> list[Path | None]:
        """File of every run: by metadata where that distinguishes runs, else by order."""
        given = self.datasets(key)
        if not given:
            return [None] * len(bolds)
        if key == "mask" and len(given) == 1:
            return [given[0].path] * len(bolds)
        if len(given) != len(bolds):
            raise DataError(
                f"{self.path} names {len(bolds)} BOLD images and {len(given)} files of {key}.",
                hint="Give one for each image, in the same order, or none.",
            )
        by_run = {dataset.run: dataset.path for dataset in given}
        runs = [bold.run for bold in bolds]
        if len(set(runs)) == len(runs) and set(runs) == set(by_run):
            return [by_run[run] for run in runs]
        return [dataset.path for dataset in given]

    def labels(self, bold: Dataset, first: Dataset, given: Any) -> dict[str, str]:
        """Entities of a run's name in their order, maybe empty; `given` is the option `space`."""
        space = _clean(given[0] if isinstance(given, list) else given) or bold.label("space")
        if not space:
            raise DataError(
                f"{self.path} does not say in which space {bold.path} is.",
                hint="Set the parameter space, e.g. to MNI152NLin2009cAsym, or tag the data set "
                "space-MNI152NLin2009cAsym.",
            )
        return {
            # A task has one participant, also where the label is missing.
            "sub": bold.label("subject") or first.label("subject") or "01",
            "ses": bold.label("session"),
            "task": bold.label("task", "TaskName") or "rest",
            "acq": bold.label("acquisition", "acq"),
            "run": bold.label("run"),
            "space": space,
        }


def read_task(config: Path) -> Task:
    """Read a config.json, whose paths are relative to the current folder.

    MissingInputError when it or a file in it is missing, DataError when the platform does not write
    it so, UsageError when a parameter is no option or has too many values.
    """
    known = read_json_object(config).items()
    content = {key: value for key, value in known if value not in _NOTHING}
    mask = content.pop("mask") if content.get("mask") in MASKS else "none"
    file = _Config(config, content)
    if not (bolds := file.datasets("bold")):
        raise MissingInputError(
            f"{config} names no BOLD image.",
            hint='The key is "bold", and its input of the data type neuro/func/task.',
        )
    options = file.options()
    regressors, masks = file.matched("regressors", bolds), file.matched("mask", bolds)
    if not any(masks):
        options["mask"] = mask
    if not any(regressors):
        options.setdefault("strategy", ["none"])
    labels = [file.labels(bold, bolds[0], options.get("space")) for bold in bolds]
    if len({tuple(own.values()) for own in labels}) < len(labels):
        # Runs with equal names are numbered in their order.
        for number, own in enumerate(labels, start=1):
            own["run"] = str(number)
    entities = [tuple((key, label) for key, label in own.items() if label) for own in labels]
    runs = map(RunInputs, bolds, regressors, masks, entities)
    notes = []
    if options.get("mask") == "none":
        notes.append("No mask is given: spheres use every voxel that has a signal.")
    if not any(regressors):
        notes.append("No regressors are given, so that none are removed.")
    return Task(tuple(runs), options, tuple(notes))


_DESCRIPTION = {
    "Name": "Inputs of a task on brainlife.io",
    "BIDSVersion": "1.9.0",
    "DatasetType": "derivative",
    "GeneratedBy": [{"Name": "brainlife.io"}],
}


def link_inputs(task: Task, root: Path) -> None:
    """Make a dataset in a folder of its own: links to the inputs, under fMRIPrep's names.

    Correct links and files are left alone, so that a second call finds nothing changed; those of
    another config.json are removed.
    """
    contents: dict[Path, Path | str] = {root / "dataset_description.json": json_text(_DESCRIPTION)}
    for run in task.runs:
        contents |= {root / name.folder / str(name): content for name, content in run.files()}
    for old in {p for p in root.rglob("*") if not p.is_dir()} - {*contents}:
        remove(old)
    for path, content in contents.items():
        if isinstance(content, str):
            write_if_changed(path, content)
            continue
        try:
            # Relative, so that it stays right when all folders of a workflow are moved together.
            target = os.path.relpath(content.resolve(), path.parent.resolve())
            if not (path.is_symlink() and os.readlink(path) == target):  # noqa: PTH115 - a str
                path.parent.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)
                path.symlink_to(target)
        except OSError as error:
            raise OutputError(f"{path} can't be linked: {error.strerror or error}.") from error
