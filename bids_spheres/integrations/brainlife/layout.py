"""The inputs of a task in the layout and with the names of fMRIPrep's output, by links."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

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
    wanted = {root / "dataset_description.json": json_text(_DESCRIPTION)}
    links: dict[Path, Path] = {}
    for run in task.runs:
        links |= {root / name.folder / str(name): target for name, target in _links(run)}
        name = _name(run, "bold", ".json", desc="preproc")
        wanted[root / name.folder / str(name)] = json_text(_sidecar(run))
        if run.regressors is None and (text := _no_regressors(run)):
            name = _table(run, ".tsv")
            wanted[root / name.folder / str(name)] = text
    for old in {p for p in root.rglob("*") if not p.is_dir()} - {*wanted, *links}:
        remove(old)
    for path, text in wanted.items():
        write_if_changed(path, text)
    for path, target in links.items():
        _link(path, target)


def _name(run: RunInputs, suffix: str, extension: str, desc: str) -> Name:
    return Name((*run.entities, ("desc", desc)), suffix, extension)


def _table(run: RunInputs, extension: str) -> Name:
    """Name of the table of a run, which is the same in every space."""
    labels = [each for each in run.entities if each[0] != "space"]
    return Name((*labels, ("desc", "confounds")), "timeseries", extension)


def _no_regressors(run: RunInputs) -> str:
    """A table of the numbers of volumes alone; empty when the image can't be read."""
    try:
        volumes = open_volumes(run.bold.path).n_volumes
    except BidsSpheresError:
        return ""  # the run fails with a message of its own
    return table_text(["volume"], [[str(number)] for number in range(volumes)])


def _links(run: RunInputs) -> Iterator[tuple[Name, Path]]:
    bold = run.bold.path
    yield _name(run, "bold", _extension(bold), "preproc"), bold
    if run.mask:
        yield _name(run, "mask", _extension(run.mask), "brain"), run.mask
    if run.regressors:
        yield _table(run, ".tsv"), run.regressors
        about = run.regressors.with_suffix(".json")
        if about.is_file():
            yield _table(run, ".json"), about


def _extension(image: Path) -> str:
    return ".nii.gz" if image.name.endswith(".gz") else ".nii"


def _sidecar(run: RunInputs) -> dict[str, Any]:
    """Fields of BIDS among the metadata, over which a sidecar of the image's own counts."""
    known = {key: value for key, value in run.bold.meta.items() if key[:1].isupper()}
    beside = run.bold.path.with_name(run.bold.path.name.split(".")[0] + ".json")
    return {**known, **(read_json_object(beside) if beside.is_file() else {})}


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
