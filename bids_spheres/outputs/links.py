"""Where other datasets are, by ``DatasetLinks`` and ``SourceDatasets``.

A dataset that is *near* has a relative path, so that both datasets can be moved, copied or zipped
together; any other has a ``file://`` URI. Two datasets are near when, with all links followed, they
lie on one file system below a common folder that is not the root of the file tree. In a container,
whose input and output are usually mounted at ``/data`` and ``/out``, none are near.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from bids_spheres.outputs.sidecars import read_own_json, texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bids_spheres.files.text import JsonObject
    from bids_spheres.outputs.sidecars import Sidecar


def dataset_uri(root: Path, output_dir: Path) -> str:
    """URI of a dataset: a path relative to `output_dir` when it is near, else ``file://``.

    >>> dataset_uri(Path("/nowhere/my study/fmriprep"), Path("/nowhere/my study/spheres"))
    '../fmriprep'
    >>> dataset_uri(Path("/my data"), Path("/out"))
    'file:///my%20data'
    """
    dataset, results = root.resolve(), output_dir.resolve()
    common = Path(os.path.commonpath([dataset, results]))
    devices = {nearest_existing(place).stat().st_dev for place in (dataset, results, common)}
    if common == Path(common.anchor) or len(devices) > 1:
        return dataset.as_uri()
    # A colon would end the scheme of a URI.
    return quote(Path(os.path.relpath(dataset, results)).as_posix(), safe="/+")


def nearest_existing(place: Path) -> Path:
    """Nearest existing ancestor, or the folder itself; errors other than absence are raised."""
    for folder in (place, *place.parents):
        with suppress(FileNotFoundError, NotADirectoryError):
            folder.stat()
            return folder
    return place


def linked_dataset(uri: str, output_dir: Path) -> Path | None:
    """Root of the dataset with a URI from `dataset_uri`; None for other schemes than ``file``."""
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
    """Roots of other datasets by the names that BIDS URIs in sidecars use."""

    output_dir: Path
    roots: Mapping[str, Path]

    def path(self, uri: str) -> Path | None:
        """File that a URI stands for; None when it does not exist."""
        if uri.startswith("bids:"):
            _, name, relative = uri.split(":", maxsplit=2)
            root = self.roots.get(name) if name else self.output_dir
            path = None if root is None else root / unquote(relative)
        else:
            path = linked_dataset(uri, self.output_dir) if ":" in uri else None
        return path if path is not None and path.is_file() else None

    def first(self, sidecar: Sidecar, ending: str) -> Path | None:
        """First existing source in a sidecar whose name has an ending; None without any."""
        uris = (uri for uri in sources(sidecar) if unquote(uri).endswith(ending))
        return next((path for uri in uris if (path := self.path(uri))), None)


def sources(sidecar: Sidecar) -> list[str]:
    """URIs of the files that a file was made from, by its sidecar."""
    return texts(sidecar.get("Sources"))


def read_description(root: Path) -> JsonObject:
    """Content of a dataset's dataset_description.json; empty when it is missing."""
    return read_own_json(root / "dataset_description.json")


def read_links(output_dir: Path) -> Links:
    """Datasets that the results' dataset_description.json links to."""
    content = read_description(output_dir).get("DatasetLinks")
    links = content if isinstance(content, dict) else {}
    roots = {name: linked_dataset(str(uri), output_dir) for name, uri in links.items()}
    return Links(output_dir, {name: root for name, root in roots.items() if root is not None})


def all_sources(sidecars: Iterable[Sidecar]) -> list[str]:
    """Sources of several sidecars, each once, without files of the results themselves."""
    uris = dict.fromkeys(uri for sidecar in sidecars for uri in sources(sidecar))
    return [uri for uri in uris if not uri.startswith("bids::")]
