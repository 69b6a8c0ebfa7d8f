"""BIDS URIs of sidecars to files, as far as the datasets are still where they were."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from bids_spheres.errors import DataError
from bids_spheres.files.atomic import read_text
from bids_spheres.outputs.dataset_links import linked_dataset

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Links:
    """Datasets by the names that sidecars give them.

    Parameters
    ----------
    output_dir : Path
    roots : mapping of str to Path
    """

    output_dir: Path
    roots: Mapping[str, Path]

    def path(self, uri: str) -> Path | None:
        """The file that a URI stands for, when it is there."""
        found = self._resolved(uri)
        return found if found is not None and found.is_file() else None

    def _resolved(self, uri: str) -> Path | None:
        if uri.startswith("bids::"):
            return self.output_dir / unquote(uri[len("bids::") :])
        if uri.startswith("bids:"):
            _, name, relative = uri.split(":", maxsplit=2)
            root = self.roots.get(name)
            return None if root is None else root / unquote(relative)
        return linked_dataset(uri, self.output_dir) if ":" in uri else None

    def first(self, facts: Mapping[str, Any], ending: str) -> Path | None:
        """The first source of a sidecar whose name ends so, when it is there."""
        uris = (uri for uri in sources(facts) if unquote(uri).endswith(ending))
        return next((path for uri in uris if (path := self.path(uri))), None)


def sources(facts: Mapping[str, Any]) -> list[str]:
    """What a sidecar says its file was made of."""
    given = facts.get("Sources")
    return [str(uri) for uri in given] if isinstance(given, list) else []


def read_links(output_dir: Path) -> Links:
    """What the results' dataset_description.json says of other datasets."""
    described = read_facts(output_dir / "dataset_description.json").get("DatasetLinks")
    links = described if isinstance(described, dict) else {}
    roots = {name: linked_dataset(str(uri), output_dir) for name, uri in links.items()}
    return Links(output_dir, {name: root for name, root in roots.items() if root is not None})


def all_sources(facts: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every source of several sidecars that is not of the results themselves, once."""
    found = dict.fromkeys(uri for each in facts for uri in sources(each))
    return [uri for uri in found if not uri.startswith("bids::")]


def read_facts(path: Path) -> dict[str, Any]:
    """What a JSON file says; nothing where there is none.

    Raises
    ------
    DataError
        When it is there and is no JSON object.
    """
    text = read_text(path)
    try:
        facts = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}.") from error
    if not isinstance(facts, dict):
        raise DataError(f"{path} is not a JSON object.")
    return facts
