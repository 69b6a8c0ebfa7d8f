"""The inputs of a task in the layout and with the names of fMRIPrep's output, by links."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from bids_spheres.engine.stream import open_volumes
from bids_spheres.errors import BidsSpheresError, OutputError
from bids_spheres.files.atomic import json_text, remove, table_text, write_if_changed
from bids_spheres.files.names import Name
from bids_spheres.files.text import read_json_object

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bids_spheres.integrations.brainlife.task import RunInputs, Task

_DESCRIPTION = {
    "Name": "Inputs of a task on brainlife.io",
    "BIDSVersion": "1.9.0",
    "DatasetType": "derivative",
    "GeneratedBy": [{"Name": "brainlife.io"}],
}


def link_inputs(task: Task, root: Path) -> None:
    """Make a dataset of links to the inputs of a task.

    Links and files that are right are left as they are, so that a second call finds nothing
    changed; those of another config.json are removed.

    Parameters
    ----------
    task : Task
    root : Path
        Folder of the dataset, of nothing else.

    Raises
    ------
    OutputError
        When it can't be written.
    DataError
        When a sidecar is no JSON.
    """
    contents: dict[Path, Path | str] = {root / "dataset_description.json": json_text(_DESCRIPTION)}
    for run in task.runs:
        contents |= {root / name.folder / str(name): content for name, content in _contents(run)}
    for old in {p for p in root.rglob("*") if not p.is_dir()} - {*contents}:
        remove(old)
    for path, content in contents.items():
        if isinstance(content, str):
            write_if_changed(path, content)
        else:
            _link(path, content)


def _contents(run: RunInputs) -> Iterator[tuple[Name, Path | str]]:
    """Names of the files of a run, and what each leads to or holds."""
    bold, regressors = run.bold.path, run.regressors
    # A sidecar of the image's own counts over the metadata of the platform.
    known = {key: value for key, value in run.bold.meta.items() if key[:1].isupper()}
    beside = bold.with_name(bold.name.split(".")[0] + ".json")
    image = (*run.entities, ("desc", "preproc"))
    yield Name(image, "bold", ".json"), json_text(known | read_json_object(beside, optional=True))
    yield Name(image, "bold", _extension(bold)), bold
    if run.mask:
        yield Name((*run.entities, ("desc", "brain")), "mask", _extension(run.mask)), run.mask

    labels = tuple(each for each in run.entities if each[0] != "space")
    table = Name((*labels, ("desc", "confounds")), "timeseries", ".tsv")
    if regressors:
        yield table, regressors
        if (about := regressors.with_suffix(".json")).is_file():
            yield replace(table, extension=".json"), about
    else:
        # A table of the numbers of volumes alone; an unreadable image fails with its own message.
        with suppress(BidsSpheresError):
            volumes = range(open_volumes(bold).n_volumes)
            yield table, table_text(["volume"], [[str(number)] for number in volumes])


def _extension(image: Path) -> str:
    return ".nii.gz" if image.name.endswith(".gz") else ".nii"


def _link(path: Path, target: Path) -> None:
    """Make a link that stays right when all folders of a workflow are moved together."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        relative = os.path.relpath(target.resolve(), path.parent.resolve())
        if path.is_symlink() and os.readlink(path) == relative:  # noqa: PTH115 - a str to compare
            return
        path.unlink(missing_ok=True)
        path.symlink_to(relative)
    except OSError as error:
        raise OutputError(f"{path} can't be linked: {error.strerror or error}.") from error
