"""Files that the whole output dataset shares, and the table of excluded runs.

Every call writes them, and an array of jobs makes thousands of calls. So a file with the right
content is only read, and what other calls put into it is kept (see `outputs.shared_tables`).
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from bids_spheres.errors import DataError, OutputError, UsageError
from bids_spheres.files import atomic
from bids_spheres.files.names import natural
from bids_spheres.files.text import read_own_text
from bids_spheres.outputs import sidecars
from bids_spheres.outputs.links import dataset_uri, linked_dataset, nearest_existing
from bids_spheres.outputs.logs import LOGS, done_folder
from bids_spheres.outputs.shared_tables import Cells, SharedTable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.files.text import JsonObject
    from bids_spheres.inputs.dataset import Dataset


_SHARED_NAMES = ("dataset_description.json", "README.md", ".bidsignore", "descriptions.tsv")
"""Files at the root that would be overwritten in another dataset."""

DESCRIPTIONS = SharedTable(
    "descriptions.tsv",
    ("desc_id", "description"),
    keys=("desc_id",),
    order=lambda row: row,
    about={
        "Description": "What the label of the entity desc stands for in file names of this dataset"
    },
)
"""What labels of ``desc-`` stand for."""


def _read_links(_path: Path, text: str, _columns: Sequence[str]) -> list[Cells]:
    links = _json_object(text).get("DatasetLinks")
    pairs = links.items() if isinstance(links, dict) else ()
    return [(str(name), uri) for name, uri in pairs if isinstance(uri, str)]


def _write_description(before: str, _columns: Sequence[str], rows: Sequence[Cells]) -> str:
    # A person may have added other keys, which are kept.
    return atomic.json_text(
        _json_object(before) | sidecars.dataset_description({row[0]: row[1] for row in rows})
    )


LINKS = SharedTable(
    "dataset_description.json",
    ("name", "uri"),
    keys=("name",),
    order=lambda _row: 0,  # as they are added
    read=_read_links,
    write=_write_description,
)
"""Other datasets in the description of this one."""


EXCLUSION_COLUMNS = sidecars.described(
    {
        "participant_id": "Participant of the run",
        "session_id": "Session of the run; n/a without sessions",
        "source": "BOLD file of the run, relative to the dataset that it is from",
        "strategy": "Strategy of cleaning for which the run is excluded",
        "reason": "What there is too little of",
        "n_volumes": "Volumes of the run",
        "n_kept": "Volumes that are not censored",
        "rank": "Dimensions that the regressors take, with the mean and, where it is removed, the "
        "trend",
        **sidecars.LEFT,
        "seconds": "Duration of the kept volumes",
        "min_degrees_of_freedom": "Degrees of freedom that a run must have",
        "min_volumes": "Kept volumes that a run must have; n/a: any number",
        "min_seconds": "Duration of kept volumes that a run must have; n/a: any",
    }
)
"""Columns of the table of exclusions."""

EXCLUSIONS = SharedTable(
    "exclusions.tsv",
    tuple(EXCLUSION_COLUMNS),
    keys=("source", "strategy"),
    order=lambda row: [natural(word) for word in row[2:4]],
    about=EXCLUSION_COLUMNS,
)
"""Runs that have no result because too little data is left, a row for each run and strategy.

A job replaces the rows of its own run alone; a run that is not excluded any more leaves the table.
"""


def record_exclusions(
    output_dir: Path,
    source: str,
    strategies: Sequence[str],
    rows: Sequence[Mapping[str, object]],
) -> None:
    """Record in the table of exclusions which of the strategies tried on a run exclude it.

    Any number of processes may do so at the same time. `source` is the BOLD file relative to the
    root of its dataset. A row has a value, or None, for each of `EXCLUSION_COLUMNS`; rows of
    strategies that were not tried are kept. A table without rows is removed. UsageError for a row
    of another run or strategy; DataError when the table is not ours.
    """
    for row in rows:
        if row["source"] != source or row["strategy"] not in strategies:
            raise UsageError(
                f"{row['source']} with {row['strategy']} is not among the exclusions of {source} "
                f"with {', '.join(strategies)}."
            )
    excluded = {
        row["strategy"]: tuple(atomic.cell(row[name]) for name in EXCLUSION_COLUMNS) for row in rows
    }
    keys = {name: (atomic.cell(source), atomic.cell(name)) for name in strategies}
    EXCLUSIONS.change(output_dir, {key: excluded.get(name) for name, key in keys.items()})


def check_output_dir(output_dir: Path, inputs: Sequence[Path]) -> None:
    """Refuse an output folder that is not ours to write to.

    UsageError when it lies in an input dataset; OutputError when it is a file or below one, can't
    be reached, is a dataset of another program, or has a folder that is a link to another place.
    """
    check_place(output_dir)
    for root in inputs:
        if output_dir.resolve().is_relative_to(root.resolve()):
            raise UsageError(
                f"The output folder {output_dir} lies in the input {root}.",
                hint="The input is never written to; choose a folder outside it.",
            )
    # In this order: a call that begins the dataset at this moment writes the description first.
    present = [name for name in _SHARED_NAMES if os.path.lexists(output_dir / name)]
    atomic.look_again(output_dir)
    if present and sidecars.GENERATOR not in _generators(output_dir / LINKS.name):
        raise OutputError(
            f"{output_dir} is another dataset: its {present[0]} is not by {sidecars.GENERATOR}.",
            hint="Choose an empty or a new folder for the results.",
        )
    tables = (LINKS, DESCRIPTIONS, EXCLUSIONS)
    parts = [table.parts_folder(output_dir) for table in tables]
    atomic.check_folders(output_dir, [*parts, output_dir / LOGS / "calls", done_folder(output_dir)])


def check_place(output_dir: Path) -> None:
    """Refuse a folder that is a file or below one, or whose path leads nowhere (OutputError)."""
    try:
        place = output_dir.resolve()
        nearest = nearest_existing(place)
    except (OSError, RuntimeError) as error:  # the latter for links in a circle, until Python 3.12
        why = getattr(error, "strerror", None) or error
        raise OutputError(f"The output folder {output_dir} can't be used: {why}.") from error
    if not nearest.is_dir():
        lies = "is" if nearest == place else f"lies in {nearest}, which is"
        raise OutputError(f"The output folder {output_dir} {lies} a file.")


def write_shared_files(
    output_dir: Path,
    datasets: Mapping[str, Dataset],
    seed_sets: Sequence[SeedTable],
    descriptions: Mapping[str, str],
) -> list[str]:
    """Write what describes the dataset, its seed sets and its ``desc-`` labels.

    Any number of processes may do so at the same time. `datasets` are the inputs by their names in
    ``DatasetLinks``, `descriptions` a sentence for each label of ``desc-``; those of earlier calls
    are kept, and so are other keys of dataset_description.json, such as ``Authors``. Returns a
    warning for each link and label that stood for something else before. DataError when
    descriptions.tsv or exclusions.tsv is another table.
    """
    # A table that can't be changed is noticed before anything is written.
    DESCRIPTIONS.rows(output_dir)
    EXCLUSIONS.rows(output_dir)
    links = {name: dataset_uri(dataset.root, output_dir) for name, dataset in datasets.items()}
    labels = {
        f"desc-{atomic.cell(label)}": atomic.cell(text) for label, text in descriptions.items()
    }
    replaced = [
        *_change(output_dir, LINKS, links, lambda uri: linked_dataset(uri, output_dir)),
        *_change(output_dir, DESCRIPTIONS, labels, lambda text: text),
    ]
    EXCLUSIONS.complete(output_dir)
    atomic.write_if_changed(output_dir / ".bidsignore", sidecars.bidsignore())
    atomic.write_if_changed(output_dir / "README.md", sidecars.readme(datasets.values()))
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
    """Object in a JSON text; empty for a broken one, which this call then writes anew."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _change(
    output_dir: Path, table: SharedTable, new: Mapping[str, str], meaning: Callable[[str], object]
) -> list[str]:
    """Put pairs into a table; return a warning for each whose meaning changed."""
    before = table.change(output_dir, {(name,): (name, text) for name, text in new.items()})
    return [
        f"{output_dir / table.name}: {name} was {earlier!r} for an earlier call, and is "
        f"{new[name]!r} now. Files that call wrote go by what it was."
        for name, earlier in before.values()
        if meaning(earlier) != meaning(new[name])
    ]


def _write_atlas(output_dir: Path, seeds: SeedTable) -> None:
    stem = f"atlas-{seeds.label}"
    # The key is about columns of our own table of seeds.
    description = atomic.json_text({k: v for k, v in seeds.metadata.items() if k != "Columns"})
    atomic.write_if_changed(output_dir / f"{stem}_description.json", description)
    networks = seeds.networks or [atomic.MISSING] * len(seeds)
    pairs = zip(seeds.names, seeds.coordinates, seeds.radii, networks, strict=True)
    rows = [
        [str(number), name, *(f"{mm:g}" for mm in (*point, radius)), network]
        for number, (name, point, radius, network) in enumerate(pairs, start=1)
    ]
    columns = ("x", "y", "z", "radius", "network")
    text = atomic.table_text(("index", "name", *columns), rows)
    atomic.write_if_changed(output_dir / f"{stem}_dseg.tsv", text)
    about = atomic.json_text({name: sidecars.SPHERE_COLUMNS[name] for name in columns})
    atomic.write_if_changed(output_dir / f"{stem}_dseg.json", about)
