"""Files of TemplateFlow: transforms between templates, and their brain masks.

The template home is the folder that ``TEMPLATEFLOW_HOME`` names, else TemplateFlow's own default, a
cache in the user's home. A file in it is used by its name, without importing ``templateflow``,
which indexes the whole home, or creates it. It is imported only to download a missing file: to the
default home when that exists already, as nothing is written below ``$HOME`` that the user did not
set up. Two processes must not download the same file at the same time, so ask for what is needed
before the work is spread over processes.
"""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from bids_spheres.errors import MissingInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

HOME_VARIABLE = "TEMPLATEFLOW_HOME"  # environment variable that names the template home


@dataclass(frozen=True)
class _Wanted:
    """A file of a template, which may have a ``+`` and a cohort (``MNIInfant+2``).

    `endings` are what may follow the template in the file's name, TemplateFlow's usual form first;
    `query` is the same file in the terms of TemplateFlow.
    """

    space: str
    endings: tuple[str, ...]
    query: Mapping[str, object]

    def paths(self, home: Path) -> list[Path]:
        """Where it may be in a home."""
        template, _, cohort = self.space.partition("+")
        folder, name = home / f"tpl-{template}", f"tpl-{template}"
        if cohort:
            folder, name = folder / f"cohort-{cohort}", f"{name}_cohort-{cohort}"
        return [folder / f"{name}_{ending}" for ending in self.endings]

    def inside(self, home: Path) -> Path | None:
        """The path where it is; an empty file stands for one that can be downloaded."""
        files = (path for path in self.paths(home) if path.is_file())
        return next((path for path in files if path.stat().st_size), None)

    def missing(self, home: Path, reason: str) -> MissingInputError:
        """Error that names the file and why it could not be downloaded."""
        path = self.paths(home)[0]
        return MissingInputError(
            f"{path.name} is not in the template home {home} and was not downloaded: {reason}.",
            hint=f"Offline, set {HOME_VARIABLE} to a folder that holds {path.relative_to(home)}. "
            f"With a network, set it to a new folder, to have the file downloaded there.",
        )


def template_home() -> Path:
    """Folder of TemplateFlow's files, by the environment or a cache; it need not exist."""
    from platformdirs import user_cache_dir  # noqa: PLC0415 - only where a template is needed

    return Path(os.environ.get(HOME_VARIABLE) or user_cache_dir("templateflow")).absolute()


def template_transform(source: str, target: str) -> Path:
    """TemplateFlow's transform that takes *points* between templates; downloaded if missing.

    Named ``tpl-<source>_from-<target>_mode-image_xfm.h5``, as points go against the way of images
    (`bids_spheres.spaces.itk`); of 205 MB between MNI152NLin6Asym and MNI152NLin2009cAsym.
    """
    query = {"from": target, "mode": "image", "suffix": "xfm", "extension": ".h5"}
    return _obtain(_Wanted(source, (f"from-{target}_mode-image_xfm.h5",), query))


def template_mask(space: str, resolution: int = 2) -> Path:
    """TemplateFlow's brain mask, ``res-`` as its index (mm for MNI152); downloaded if missing."""
    query = {"resolution": resolution, "desc": "brain", "suffix": "mask", "extension": ".nii.gz"}
    endings = tuple(f"res-{r}_desc-brain_mask.nii.gz" for r in (f"{resolution:02d}", resolution))
    return _obtain(_Wanted(space, endings, query))


def template_atlas(space: str, atlas: str, desc: str) -> Path:
    """TemplateFlow's image of an atlas, and the table beside it; downloaded if missing.

    Labels (``dseg``) at the finest resolution that is 1 mm or 2 mm, or maps (``probseg``). `atlas`
    and `desc` are as ``Schaefer2018`` and ``100Parcels7Networks``; `desc` may be empty.
    """
    named = f"atlas-{atlas}" + (f"_desc-{desc}" if desc else "")
    query = {"atlas": atlas, "desc": desc or None}
    for suffix in ("dseg", "probseg"):
        with suppress(MissingInputError):
            _obtain(_Wanted(space, (f"{named}_{suffix}.tsv",), query | {"extension": ".tsv"}))
    images = [
        _Wanted(
            space,
            (f"res-{resolution:02d}_{named}_{suffix}.nii.gz",),
            {**query, "suffix": suffix, "resolution": resolution, "extension": ".nii.gz"},
        )
        for suffix in ("dseg", "probseg")
        for resolution in (1, 2)
    ]
    home = template_home()
    if paths := [path for image in images if (path := image.inside(home))]:
        return paths[0]
    problems = []
    for image in images:
        try:
            return _obtain(image)
        except MissingInputError as error:
            problems.append(error)
    # That a file could not be downloaded says more than that TemplateFlow has no such file.
    raise max(problems, key=lambda problem: problem.__cause__ is not None)


def _obtain(wanted: _Wanted) -> Path:
    """Path of a file, downloaded if missing."""
    home = template_home()
    if path := wanted.inside(home):
        return path
    if not os.environ.get(HOME_VARIABLE) and not home.is_dir():
        raise wanted.missing(home, f"{HOME_VARIABLE} is not set, and its default is not there")
    template, _, cohort = wanted.space.partition("+")
    query = {**wanted.query, **({"cohort": int(cohort)} if cohort.isdigit() else {})}
    try:
        with warnings.catch_warnings():
            # It warns that it fills a home that was empty.
            warnings.simplefilter("ignore", ResourceWarning)
            client = import_module("templateflow.client").TemplateFlowClient(root=home)
            client.get(template, **query)
    except BaseException as error:
        # TemplateFlow takes every file that is not empty for complete, and so do we.
        if partial := wanted.inside(home):
            partial.write_bytes(b"")
        if isinstance(error, OSError):
            unreachable = f"the network could not be reached ({type(error).__name__})"
            raise wanted.missing(home, error.strerror or unreachable) from error
        if isinstance(error, RuntimeError):
            raise wanted.missing(home, str(error)) from error
        raise
    if path := wanted.inside(home):
        return path
    raise wanted.missing(home, "TemplateFlow does not know of it, or this home does not list it")
