"""BIDS URIs of sidecars to files, as far as the datasets are still where they were."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from bids_spheres.participant_report.tables import read_facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


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
        return _file(uri)

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
    roots = {name: _root(output_dir, str(uri)) for name, uri in links.items()}
    return Links(output_dir, {name: root for name, root in roots.items() if root is not None})


def _root(output_dir: Path, uri: str) -> Path | None:
    """Folder of a dataset; a link without a scheme starts from the results."""
    return _file(uri) if urlsplit(uri).scheme else output_dir / unquote(uri)


def _file(uri: str) -> Path | None:
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def all_sources(facts: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every source of several sidecars that is not of the results themselves, once."""
    found = dict.fromkeys(uri for each in facts for uri in sources(each))
    return [uri for uri in found if not uri.startswith("bids::")]
