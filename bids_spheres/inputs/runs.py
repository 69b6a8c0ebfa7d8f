"""Group the files of datasets into runs.

Images of one run in one space share all entities but ``desc``; `matching` finds the mask, the
tables and the JSON files that belong to them, `selection` chooses among them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import InvalidDatasetError
from bids_spheres.files.names import as_written, natural, parse_name
from bids_spheres.files.text import read_json_object
from bids_spheres.inputs.dataset import MAIN, PROGRAMS, index_files
from bids_spheres.inputs.matching import KEEP_ONE, FilesOfImages
from bids_spheres.wording import listing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.files.names import Name
    from bids_spheres.inputs.dataset import Files, Inputs
    from bids_spheres.inputs.selection import Selection, Skipped

_IMAGES = (".nii.gz", ".nii")

_CONFOUNDS, _AROMA = "confounds table", "table of AROMA's components"
_MIXING, _METRICS = "tedana mixing matrix", "tedana table of metrics"
_TABLES: Mapping[tuple[str, str | None], str] = {
    ("timeseries", "confounds"): _CONFOUNDS,
    ("regressors", "confounds"): _CONFOUNDS,
    ("timeseries", "aroma"): _AROMA,
    ("mixing", "ICA"): _MIXING,
    ("metrics", "tedana"): _METRICS,
}
"""Suffix and ``desc`` of the tables of a run."""


@dataclass(frozen=True)
class Tables:
    """Tables of one run: fMRIPrep's and its JSON file, fMRIPost-AROMA's, tedana's two.

    `own` are ``*_timeseries.tsv`` of the user's own, with the names of their datasets; `events`
    are there where a strategy needs them.
    """

    confounds: Path | None = None
    metadata: Path | None = None
    aroma: Path | None = None
    tedana: tuple[Path, Path] | None = None
    own: tuple[tuple[str, Path], ...] = ()
    events: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Paths of the tables of fMRIPrep and other programs."""
        return tuple(p for p in (self.confounds, self.aroma, *(self.tedana or ())) if p)


@dataclass(frozen=True)
class Run:
    """One run in one space, and the files that belong to it.

    `name` is that of its images without ``desc``; `images` have every ``desc`` and path,
    `sidecars` images and their JSON files. `problem` says which two files compete for a place.
    """

    name: Name
    images: tuple[tuple[str, Path], ...]
    mask: Path | None
    tables: Tables
    sidecars: tuple[tuple[Path, Path], ...] = ()
    problem: str = ""

    def __str__(self) -> str:
        return " ".join(as_written(self.name.entities))

    @property
    def participant(self) -> str:
        """Label of the participant, without its key."""
        return self.name.get("sub") or ""

    @property
    def space(self) -> str:
        """Space of the images, with the cohort; "func" for the grid of acquisition."""
        return self.name.space or "func"

    def image(self, kinds: Iterable[str]) -> Path | None:
        """The image whose ``desc`` comes first in `kinds`."""
        images = dict(self.images)
        return next((images[kind] for kind in kinds if kind in images), None)

    def metadata(self, image: Path) -> dict[str, Any]:
        """Content of the JSON file of an image; empty without one."""
        return read_json_object(self.sidecar(image), optional=True)

    def sidecar(self, image: Path) -> Path:
        """Path of the JSON file of an image, whether it exists or not."""
        return dict(self.sidecars).get(image) or image.with_name(
            image.name.partition(".")[0] + ".json"
        )


@dataclass(frozen=True)
class SelectedRuns:
    """Runs that are selected, in the order of their names; and images not used, with the reason."""

    runs: tuple[Run, ...]
    skipped: tuple[tuple[Path, str], ...]


def _hint_of_images(kinds: set[str]) -> str:
    """What to do when a dataset has images of these kinds alone, or none."""
    if not kinds:
        return "Is this fMRIPrep's output folder, and did fMRIPrep finish?"
    return (
        f"Its images are {listing([f'*_desc-{kind}_bold' for kind in sorted(kinds)])}: choose a "
        "strategy that starts from them (bids-spheres strategies), or name the outputs of the "
        "program that writes the others, as in --derivatives aroma=PATH or tedana=PATH."
    )


def find_runs(
    inputs: Inputs,
    selection: Selection,
    kinds: Iterable[str],
    database: Path | None = None,
    *,
    usable: Callable[[str], bool] = bool,
) -> SelectedRuns:
    """Runs with a BOLD image whose ``desc`` is one of `kinds`; `usable` judges MNI spaces.

    InvalidDatasetError when no BOLD image is of these kinds, or two files compete for a place in
    every run; NothingSelectedError names the filter that left nothing, and the labels that exist.
    """
    files = _Files(inputs, selection.participants, database)
    wanted = tuple(dict.fromkeys(kinds))
    bolds = [item for item in files.bolds if item[1].get("desc") in wanted]
    if not bolds:
        raise InvalidDatasetError(
            f"{inputs.main.root} holds no preprocessed BOLD image "
            f"({', '.join(f'*_desc-{kind}_bold.nii.gz' for kind in wanted)}).",
            hint=_hint_of_images({str(name.get("desc")) for _, name in files.bolds}),
        )
    unwanted = (path for path, name in files.bolds if name.get("desc") not in wanted)
    skipped = [*files.skipped, *((path, "no strategy starts from it") for path in unwanted)]
    images: dict[frozenset[tuple[str, str]], Files] = defaultdict(list)
    for item in selection.apply(bolds, usable, skipped):
        images[frozenset(item[1].without_desc.values.items())].append(item)
    runs = sorted(map(files.run, images.values()), key=lambda run: natural(str(run)))
    if all(run.problem for run in runs):
        raise InvalidDatasetError(
            f"No run can be used. {listing(list(dict.fromkeys(run.problem for run in runs)), 3)}",
            hint=KEEP_ONE,
        )
    return SelectedRuns(tuple(runs), tuple(skipped))


class _Files:
    """Files of fMRIPrep's output and of the datasets used with it, by what they are."""

    def __init__(self, inputs: Inputs, participants: Sequence[str], database: Path | None) -> None:
        self.bolds: Files = []
        self.skipped: Skipped = []
        self._sidecars = FilesOfImages("JSON file")
        self._masks = FilesOfImages("brain mask", spaces_differ=True)
        self._tables = {table: FilesOfImages(table) for table in set(_TABLES.values())}
        self._metadata: dict[Path, FilesOfImages] = {}
        self._own_tables: dict[tuple[str, str], FilesOfImages] = {}
        for number, (link, dataset) in enumerate(inputs.all.items()):
            # Only fMRIPrep's output must have every participant.
            wanted = participants if link == MAIN else ()
            files, skipped = index_files(dataset, wanted, database and database / link)
            self.skipped += skipped
            for path, name in files:
                if not participants or name.get("sub") in participants:
                    self._add(number, link, path, name)

    def _add(self, dataset: int, link: str, path: Path, name: Name) -> None:
        """Add a file of a dataset; `matching` prefers those of a lower number."""
        what, is_image = (name.suffix, name.get("desc")), name.extension in _IMAGES
        if name.suffix == "bold" and is_image:
            self.bolds.append((path, name))
        elif name.suffix == "bold" and name.extension == ".json":
            self._sidecars.add(dataset, path, name)
        elif what == ("mask", "brain") and is_image and path.parent.name == "func":
            self._masks.add(dataset, path, name.without_desc)
        elif name.extension == ".tsv" and (table := _TABLES.get(what)):
            self._tables[table].add(dataset, path, name.without_desc)
        elif name.extension == ".json" and _TABLES.get(what) == _CONFOUNDS:
            beside = FilesOfImages("JSON file of a confounds table")
            self._metadata.setdefault(path.parent, beside).add(dataset, path, name.without_desc)
        if link not in PROGRAMS and (name.suffix, name.extension) == ("timeseries", ".tsv"):
            desc = name.get("desc") or ""
            own = FilesOfImages(f"desc-{desc} table in {link}")
            self._own_tables.setdefault((link, desc), own).add(0, path, name.without_desc)

    def run(self, images: Files) -> Run:
        """Join images of one run in one space with the files that belong to them."""
        first, problems = images[0][1], []
        kinds: dict[str, Path] = {}
        for path, name in sorted(images):
            other = kinds.setdefault(name.get("desc") or "", path)
            if other != path:
                problems.append(f"{other} and {path} are both the same image of one run.")

        def own(files: FilesOfImages, image: Name) -> Path | None:
            try:
                return files.of(image)
            except InvalidDatasetError as error:
                problems.append(error.message)
                return None

        tables = {table: own(files, first) for table, files in self._tables.items()}
        confounds, mixing, metrics = tables[_CONFOUNDS], tables[_MIXING], tables[_METRICS]
        metadata = None
        if confounds:
            beside, described = confounds.with_suffix(".json"), self._metadata.get(confounds.parent)
            if beside.is_dir():
                metadata = beside  # not in the index, and an error to read
            elif described:
                metadata = own(described, parse_name(confounds.name).without_desc)
        own_tables = [(link, own(files, first)) for (link, _), files in self._own_tables.items()]
        sidecars = [(path, own(self._sidecars, image)) for path, image in images]
        return Run(
            name=first.with_(first.suffix, first.extension),
            images=tuple((image.get("desc") or "", path) for path, image in images),
            mask=own(self._masks, first),
            tables=Tables(
                confounds=confounds,
                metadata=metadata,
                aroma=tables[_AROMA],
                tedana=(mixing, metrics) if mixing and metrics else None,
                # A table that stands in for one of fMRIPrep or AROMA is no other table as well.
                own=tuple((x, p) for x, p in own_tables if p and p not in tables.values()),
            ),
            sidecars=tuple((path, sidecar) for path, sidecar in sidecars if sidecar),
            problem=" ".join(problems),
        )
