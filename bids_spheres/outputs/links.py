"""Where other datasets are, as ``DatasetLinks`` and ``SourceDatasets`` say it.

A dataset that is *near* is named by its path from this one, so that both can be moved, copied or
zipped together and still find each other; any other has a ``file://`` URI. Near is one that lies,
with all links followed, below a common folder that is not the root of the file tree, when the two
and that folder are on one file system. In a container, whose input and output are usually mounted
at ``/data`` and ``/out``, no two are near.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from bids_spheres.outputs.sidecars import read_sidecar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bids_spheres.files.text import JsonObject


def dataset_uri(root: Path, output_dir: Path) -> str:
    """URI of a dataset: a path relative to `output_dir` when it is near, else ``file://``.

    Parameters
    ----------
    root : Path
        Of the dataset.
    output_dir : Path
        Of the one that refers to it; need not exist.

    Examples
    --------
    >>> dataset_uri(Path("/nowhere/my study/fmriprep"), Path("/nowhere/my study/spheres"))
    '../fmriprep'
    >>> dataset_uri(Path("/my data"), Path("/out"))
    'file:///my%20data'
    """
    there, here = root.resolve(), output_dir.resolve()
    common = Path(os.path.commonpath([there, here]))
    if common == Path(common.anchor) or len(set(map(_device, (there, here, common)))) > 1:
        return there.as_uri()
    # A colon would end the scheme of a URI.
    return quote(Path(os.path.relpath(there, here)).as_posix(), safe="/+")


def _device(folder: Path) -> int | None:
    """File system of a folder, or of the nearest that exists above it."""
    nearest = next((place for place in (folder, *folder.parents) if place.exists()), None)
    return nearest.stat().st_dev if nearest else None


def linked_dataset(uri: str, output_dir: Path) -> Path | None:
    """Root of the dataset that a URI in the description of `output_dir` stands for.

    Parameters
    ----------
    uri : str
        As `dataset_uri` makes it; without a scheme it starts from `output_dir`.
    output_dir : Path

    Returns
    -------
    Path or None
        None for another scheme than ``file``, and for what is no URI.
    """
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    # The links on the way to the output are followed before those that lead up from it.
    return None if parts.scheme else Path(os.path.normpath(output_dir.resolve() / unquote(uri)))


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

    def first(self, facts: Mapping[str, object], ending: str) -> Path | None:
        """The first source of a sidecar whose name ends so, when it is there."""
        uris = (uri for uri in sources(facts) if unquote(uri).endswith(ending))
        return next((path for uri in uris if (path := self.path(uri))), None)


def sources(facts: Mapping[str, object]) -> list[str]:
    """What a sidecar says its file was made of."""
    given = facts.get("Sources")
    return [str(uri) for uri in given] if isinstance(given, list) else []


def read_description(root: Path) -> JsonObject:
    """What the dataset_description.json of a dataset says; nothing where there is none."""
    return read_sidecar(root / "dataset_description.json", optional=True)


def read_links(output_dir: Path) -> Links:
    """What the results' dataset_description.json says of other datasets."""
    described = read_description(output_dir).get("DatasetLinks")
    links = described if isinstance(described, dict) else {}
    roots = {name: linked_dataset(str(uri), output_dir) for name, uri in links.items()}
    return Links(output_dir, {name: root for name, root in roots.items() if root is not None})


def all_sources(facts: Iterable[Mapping[str, object]]) -> list[str]:
    """Every source of several sidecars that is not of the results themselves, once."""
    found = dict.fromkeys(uri for each in facts for uri in sources(each))
    return [uri for uri in found if not uri.startswith("bids::")]
