"""Files that the whole output dataset shares.

Every call writes them, and an array of jobs makes thousands of calls: a file that is as it should
be is only read, and what other calls put into one is kept (see `bids.shared_tables`).
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bids_spheres.errors import DataError, OutputError, UsageError
from bids_spheres.files.atomic import (
    MISSING,
    cell,
    check_folders,
    json_text,
    look_again,
    write_if_changed,
)
from bids_spheres.files.text import read_own_text
from bids_spheres.outputs.exclusions import EXCLUSIONS
from bids_spheres.outputs.links import dataset_uri, linked_dataset
from bids_spheres.outputs.logs import record_folders
from bids_spheres.outputs.shared_tables import Cells, SharedTable
from bids_spheres.outputs.sidecars import (
    GENERATOR,
    SPHERE_COLUMNS,
    atlas_description,
    bidsignore,
    dataset_description,
    readme,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.files.text import JsonObject
    from bids_spheres.inputs.dataset import Dataset


_SHARED_NAMES = ("dataset_description.json", "README.md", ".bidsignore", "descriptions.tsv")
"""Files at the root that would be overwritten."""

DESCRIPTIONS = SharedTable(
    "descriptions.tsv",
    ("desc_id", "description"),
    keys=("desc_id",),
    order=lambda row: row,
    about={
        "Description": "What the label of the entity desc stands for in file names of this dataset"
    },
)
"""Labels of ``desc-``, made from one part for each."""


def _linked(_path: Path, text: str, _columns: Sequence[str]) -> list[Cells]:
    links = _json_object(text).get("DatasetLinks")
    known = links.items() if isinstance(links, dict) else ()
    return [(str(name), uri) for name, uri in known if isinstance(uri, str)]


def _description(before: str, _columns: Sequence[str], rows: Sequence[Cells]) -> str:
    """The same with what this version says; a person may have added other keys."""
    return json_text(_json_object(before) | dataset_description({row[0]: row[1] for row in rows}))


LINKS = SharedTable(
    "dataset_description.json",
    ("name", "uri"),
    keys=("name",),
    order=lambda _row: 0,  # in the order in which they came
    read=_linked,
    write=_description,
)
"""Other datasets in the description of this one, made from one part for each."""


def check_output_dir(output_dir: Path, inputs: Sequence[Path]) -> None:
    """Refuse to write where something else lives.

    Raises
    ------
    UsageError
        When the folder lies in an input dataset.
    OutputError
        When it is a file or below one, can't be reached, is a dataset that this package did
        not make, or has a folder that is a link to another place.
    MissingInputError, ReadWriteError
        When git-annex has not fetched what tells whose dataset it is, or it can't be read.
    """
    check_place(output_dir)
    for root in inputs:
        if output_dir.resolve().is_relative_to(root.resolve()):
            raise UsageError(
                f"The output folder {output_dir} lies in the input {root}.",
                hint="The input is never written to; choose a folder outside it.",
            )
    # In this order: whoever begins the dataset at this moment writes the description first.
    there = [name for name in _SHARED_NAMES if os.path.lexists(output_dir / name)]
    look_again(output_dir)
    if there and GENERATOR not in _generators(output_dir / LINKS.name):
        raise OutputError(
            f"{output_dir} is another dataset: its {there[0]} is not by {GENERATOR}.",
            hint="Choose an empty or a new folder for the results.",
        )
    tables = (LINKS, DESCRIPTIONS, EXCLUSIONS)
    folders = [table.parts_folder(output_dir) for table in tables]
    check_folders(output_dir, [*folders, *record_folders(output_dir)])


def check_place(output_dir: Path) -> None:
    """Refuse a folder that can't be there.

    Raises
    ------
    OutputError
        When it is a file or below one, or the way to it leads nowhere.
    """
    try:
        place = output_dir.resolve()
        nearest = _nearest_existing(place)
    except (OSError, RuntimeError) as error:  # the latter for links in a circle, until Python 3.12
        why = getattr(error, "strerror", None) or error
        raise OutputError(f"The output folder {output_dir} can't be used: {why}.") from error
    if not nearest.is_dir():
        lies = "is" if nearest == place else f"lies in {nearest}, which is"
        raise OutputError(f"The output folder {output_dir} {lies} a file.")


def _nearest_existing(place: Path) -> Path:
    """Nearest existing ancestor, or the folder itself; errors but for missing ones are raised."""
    for folder in (place, *place.parents):
        with suppress(FileNotFoundError, NotADirectoryError):
            folder.stat()
            return folder
    return place


@dataclass(frozen=True)
class Replaced:
    """Something that an earlier call wrote, and this one wrote otherwise.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        Which entry of it.
    before, now : str
    """

    path: Path
    what: str
    before: str
    now: str

    def __str__(self) -> str:
        return (
            f"{self.path}: {self.what} was {self.before!r} for an earlier call, and is "
            f"{self.now!r} now. Files that call wrote go by what it was."
        )


def write_shared_files(
    output_dir: Path,
    datasets: Mapping[str, Dataset],
    seed_sets: Sequence[SeedTable],
    descriptions: Mapping[str, str],
) -> list[Replaced]:
    """Write what describes the dataset, its seed sets and its ``desc-`` labels.

    Any number of processes may do so at the same time. A file that says all of it is not touched.

    Parameters
    ----------
    output_dir : Path
    datasets : mapping of str to Dataset
        Inputs by the names that they have in ``DatasetLinks``; those of earlier calls are kept,
        and so are keys of dataset_description.json that are not ours, such as ``Authors``.
    seed_sets : sequence of SeedTable
    descriptions : mapping of str to str
        Label of ``desc-`` to a sentence; labels of earlier calls are kept.

    Returns
    -------
    list of Replaced
        Links and labels that stood for something else before, for the caller to warn of.

    Raises
    ------
    DataError
        When descriptions.tsv or exclusions.tsv is not the table that was written there.
    MissingInputError
        When git-annex has not fetched one of them.
    OutputError, ReadWriteError
        When a file can't be written or read.
    """
    # What can't be changed is found before anything else is.
    DESCRIPTIONS.rows(output_dir)
    EXCLUSIONS.rows(output_dir)
    links = {name: dataset_uri(dataset.root, output_dir) for name, dataset in datasets.items()}
    labels = {f"desc-{cell(label)}": cell(text) for label, text in descriptions.items()}
    replaced = [
        *_change(output_dir, LINKS, links, lambda uri: linked_dataset(uri, output_dir)),
        *_change(output_dir, DESCRIPTIONS, labels, lambda text: text),
    ]
    EXCLUSIONS.complete(output_dir)
    write_if_changed(output_dir / ".bidsignore", bidsignore())
    write_if_changed(output_dir / "README.md", readme(datasets.values()))
    for seeds in seed_sets:
        if seeds.published:
            _write_atlas(output_dir, seeds)
    return replaced


def _generators(description: Path) -> list[object]:
    try:
        entries = _json_object(read_own_text(description)).get("GeneratedBy", [])
        return [entry.get("Name") for entry in entries]
    except (DataError, AttributeError, TypeError):
        return []


def _json_object(text: str) -> JsonObject:
    """Empty for what is none: a broken file is written anew, with what this call knows."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _change(
    output_dir: Path, table: SharedTable, new: Mapping[str, str], meaning: Callable[[str], object]
) -> list[Replaced]:
    """Put pairs into a table; return those that stood for something else."""
    before = table.change(output_dir, {(name,): (name, text) for name, text in new.items()})
    return [
        Replaced(output_dir / table.name, name, earlier, new[name])
        for name, earlier in before.values()
        if meaning(earlier) != meaning(new[name])
    ]


def _write_atlas(output_dir: Path, seeds: SeedTable) -> None:
    stem = f"atlas-{seeds.label}"
    description = json_text(atlas_description(seeds.metadata))
    write_if_changed(output_dir / f"{stem}_description.json", description)
    networks = seeds.networks or [MISSING] * len(seeds)
    rows = [
        f"{i}\t{name}\t{x:g}\t{y:g}\t{z:g}\t{radius:g}\t{network}"
        for i, (name, (x, y, z), radius, network) in enumerate(
            zip(seeds.names, seeds.coordinates, seeds.radii, networks, strict=True), start=1
        )
    ]
    columns = ("x", "y", "z", "radius", "network")
    header = "\t".join(["index", "name", *columns])
    write_if_changed(output_dir / f"{stem}_dseg.tsv", "\n".join([header, *rows]) + "\n")
    about = json_text({name: SPHERE_COLUMNS[name] for name in columns})
    write_if_changed(output_dir / f"{stem}_dseg.json", about)
