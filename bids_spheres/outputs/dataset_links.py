"""Where other datasets are, as ``DatasetLinks`` and ``SourceDatasets`` say it.

A dataset that is *near* is named by its path from this one, so that both can be moved, copied or
zipped together and still find each other; any other has a ``file://`` URI. Near is one that lies,
with all links followed, below a common folder that is not the root of the file tree, when the two
and that folder are on one file system. In a container, whose input and output are usually mounted
at ``/data`` and ``/out``, no two are near.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit


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
