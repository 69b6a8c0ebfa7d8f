"""Files that the whole output dataset shares.

Every call writes them, and an array of jobs makes thousands of calls: a file that is as it should
be is only read, and what earlier calls put into one is kept, by a change under a lock.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bids_spheres.bids.files import (
    MISSING,
    cell,
    json_text,
    read_text,
    table_rows,
    table_text,
    write_if_changed,
    write_json,
)
from bids_spheres.bids.locks import look_again, update_text
from bids_spheres.bids.sidecars import (
    GENERATOR,
    atlas_description,
    bidsignore,
    dataset_description,
    readme,
)
from bids_spheres.errors import OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bids_spheres.bids.dataset import Dataset
    from bids_spheres.engine.seeds import SeedTable


_SHARED_NAMES = ("dataset_description.json", "README.md", ".bidsignore", "descriptions.tsv")
"""Files at the root that would be overwritten."""

_DESCRIPTION_COLUMNS = ("desc_id", "description")
_ABOUT_DESCRIPTIONS = {
    "Description": "What the label of the entity desc stands for in file names of this dataset"
}


def check_output_dir(output_dir: Path, inputs: Sequence[Path]) -> None:
    """Refuse to write where something else lives.

    Raises
    ------
    UsageError
        When the folder lies in an input dataset.
    OutputError
        When it is a file or below one, can't be reached, or is a dataset that this package did
        not make.
    """
    check_place(output_dir)
    for root in inputs:
        if output_dir.resolve().is_relative_to(root.resolve()):
            raise UsageError(
                f"The output folder {output_dir} lies in the input {root}.",
                hint="The input is never written to; choose a folder outside it.",
            )
    # In this order: whoever begins the dataset at this moment writes the description first.
    there = [name for name in _SHARED_NAMES if (output_dir / name).exists()]
    look_again(output_dir)
    if there and GENERATOR not in _generators(output_dir / "dataset_description.json"):
        raise OutputError(
            f"{output_dir} is another dataset: its {there[0]} is not by {GENERATOR}.",
            hint="Choose an empty or a new folder for the results.",
        )


def write_record(
    output_dir: Path, settings: Mapping[str, Any], participants: Sequence[str] = ()
) -> Path:
    """Write the settings of a call, under the time of its start.

    Those of a call about one participant go into a folder of the participant's own: an array of
    ten thousand tasks makes so many, and who looks for the last one is not to read all of them.

    Parameters
    ----------
    output_dir : Path
    settings : mapping
    participants : sequence of str
        Labels of those whom the call is about; empty for all.

    Returns
    -------
    Path
        Of the record.

    Raises
    ------
    OutputError
        When that is not possible.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    one = len(participants) == 1
    folder = calls_folder(output_dir, participants[0]) if one else output_dir / "logs"
    path = folder / f"{stamp}_settings.json"
    write_json(path, settings)
    return path


def calls_folder(output_dir: Path, participant: str) -> Path:
    """Folder of the records of calls that were about one participant alone."""
    return output_dir / "logs" / "calls" / f"sub-{participant}"


def check_place(output_dir: Path) -> None:
    """Refuse a folder that can't be there.

    Raises
    ------
    OutputError
        When it is a file or below one, or the way to it leads nowhere.
    """
    try:
        place = output_dir.resolve()
        nearest = _nearest(place)
    except (OSError, RuntimeError) as error:  # the latter for links in a circle, until Python 3.12
        why = getattr(error, "strerror", None) or error
        raise OutputError(f"The output folder {output_dir} can't be used: {why}.") from error
    if not nearest.is_dir():
        lies = "is" if nearest == place else f"lies in {nearest}, which is"
        raise OutputError(f"The output folder {output_dir} {lies} a file.")


def _nearest(place: Path) -> Path:
    """The folder itself, or the one that is there of those above it."""
    for folder in (place, *place.parents):
        try:
            folder.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
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
        When descriptions.tsv is not the table that was written there. It is not begun anew, as
        nobody else knows the labels of earlier calls.
    TemporaryError
        When another process is at one of the files for too long.
    OutputError, ReadWriteError
        When a file can't be written or read.
    """
    # What can't be changed is found before anything else is.
    known = output_dir / "descriptions.tsv"
    table_rows(known, read_text(known), _DESCRIPTION_COLUMNS)
    links = {name: dataset.root.as_uri() for name, dataset in datasets.items()}
    replaced = _write_links(output_dir / "dataset_description.json", links)
    replaced += _write_descriptions(known, descriptions)
    write_if_changed(output_dir / ".bidsignore", bidsignore())
    write_if_changed(output_dir / "README.md", readme(datasets.values()))
    for seeds in seed_sets:
        if seeds.published:
            _write_atlas(output_dir, seeds)
    return replaced


def _generators(description: Path) -> list[str]:
    try:
        entries = json.loads(description.read_text(encoding="utf-8")).get("GeneratedBy", [])
        return [entry.get("Name") for entry in entries]
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return []


def _write_links(path: Path, links: Mapping[str, str]) -> list[Replaced]:
    def change(text: str) -> str:
        known = _json_object(text)
        return json_text(known | dataset_description({**_links(known), **links}))

    before = _links(_json_object(update_text(path, change) or ""))
    return _replaced(path, before, links)


def _json_object(text: str) -> dict[str, Any]:
    """Empty for what is none: a broken file is written anew, with what this call knows."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _links(description: Mapping[str, Any]) -> dict[str, str]:
    links = description.get("DatasetLinks")
    return links if isinstance(links, dict) else {}


def _write_descriptions(path: Path, descriptions: Mapping[str, str]) -> list[Replaced]:
    new = {f"desc-{cell(label)}": cell(text) for label, text in descriptions.items()}

    def known(text: str) -> dict[str, str]:
        return {row[0]: row[1] for row in table_rows(path, text, _DESCRIPTION_COLUMNS)}

    def change(text: str) -> str:
        return table_text(_DESCRIPTION_COLUMNS, sorted((known(text) | new).items()))

    return _replaced(path, known(update_text(path, change, _ABOUT_DESCRIPTIONS) or ""), new)


def _replaced(path: Path, before: Mapping[str, str], now: Mapping[str, str]) -> list[Replaced]:
    return [
        Replaced(path, key, before[key], value)
        for key, value in now.items()
        if before.get(key, value) != value
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
    header = "index\tname\tx\ty\tz\tradius\tnetwork"
    write_if_changed(output_dir / f"{stem}_dseg.tsv", "\n".join([header, *rows]) + "\n")
