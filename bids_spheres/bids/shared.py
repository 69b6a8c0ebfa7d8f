"""Files that the whole output dataset shares."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

from bids_spheres.bids.files import MISSING, write_json, write_text
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


def check_output_dir(output_dir: Path, inputs: Sequence[Path]) -> None:
    """Refuse to write where something else lives.

    Raises
    ------
    UsageError
        When the folder lies in an input dataset.
    OutputError
        When it is a file, or a dataset that this package did not make.
    """
    for root in inputs:
        if output_dir.resolve().is_relative_to(root.resolve()):
            raise UsageError(
                f"The output folder {output_dir} lies in the input {root}.",
                hint="The input is never written to; choose a folder outside it.",
            )
    if output_dir.exists() and not output_dir.is_dir():
        raise OutputError(f"The output folder {output_dir} is a file.")
    description = output_dir / "dataset_description.json"
    if GENERATOR in _generators(description):
        return
    for name in _SHARED_NAMES:
        if (output_dir / name).exists():
            raise OutputError(
                f"{output_dir} is another dataset: its {name} is not by {GENERATOR}.",
                hint="Choose an empty or a new folder for the results.",
            )


def write_shared_files(
    output_dir: Path,
    dataset: Dataset,
    seed_sets: Sequence[SeedTable],
    descriptions: Mapping[str, str],
) -> None:
    """Write what describes the dataset, its seed sets and its ``desc-`` labels.

    Parameters
    ----------
    output_dir : Path
    dataset : Dataset
        The input.
    seed_sets : sequence of SeedTable
    descriptions : mapping
        Label of ``desc-`` to a sentence; labels of earlier calls are kept.
    """
    write_json(output_dir / "dataset_description.json", dataset_description(dataset))
    write_text(output_dir / ".bidsignore", bidsignore())
    write_text(output_dir / "README.md", readme(dataset))
    _write_descriptions(output_dir / "descriptions.tsv", descriptions)
    for seeds in seed_sets:
        if seeds.published:
            _write_atlas(output_dir, seeds)


def _generators(description: Path) -> list[str]:
    try:
        entries = json.loads(description.read_text(encoding="utf-8")).get("GeneratedBy", [])
        return [entry.get("Name") for entry in entries]
    except (OSError, ValueError, AttributeError, TypeError):
        return []


def _write_descriptions(path: Path, descriptions: Mapping[str, str]) -> None:
    known: dict[str, str] = {}
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as table:
            known = {
                row["desc_id"]: row["description"] for row in csv.DictReader(table, delimiter="\t")
            }
    new = {f"desc-{label}": text for label, text in descriptions.items()}
    rows = sorted({**known, **new}.items())
    lines = ["desc_id\tdescription", *(f"{label}\t{text}" for label, text in rows)]
    about = "What the label of the entity desc stands for in file names of this dataset"
    write_json(path.with_suffix(".json"), {"Description": about})
    write_text(path, "\n".join(lines) + "\n")


def _write_atlas(output_dir: Path, seeds: SeedTable) -> None:
    stem = f"atlas-{seeds.label}"
    write_json(output_dir / f"{stem}_description.json", atlas_description(seeds.metadata))
    networks = seeds.networks or [MISSING] * len(seeds)
    rows = [
        f"{i}\t{name}\t{x:g}\t{y:g}\t{z:g}\t{radius:g}\t{network}"
        for i, (name, (x, y, z), radius, network) in enumerate(
            zip(seeds.names, seeds.coordinates, seeds.radii, networks, strict=True), start=1
        )
    ]
    header = "index\tname\tx\ty\tz\tradius\tnetwork"
    write_text(output_dir / f"{stem}_dseg.tsv", "\n".join([header, *rows]) + "\n")
