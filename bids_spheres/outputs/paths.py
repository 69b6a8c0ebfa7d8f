"""Names of our files: the path of everything that is written for a run, from plain values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from bids_spheres.files.names import Name
from bids_spheres.outputs.sidecars import own_uri

if TYPE_CHECKING:
    from pathlib import Path

DSEG, TIMESERIES, RELMAT, BOLDMAP = "dseg", "timeseries", "relmat", "boldmap"
"""Suffixes of what belongs to a seed set in a space."""

CONTROLS = "controls"
"""Suffix of relations of negative controls."""

DESIGN, OUTLIERS = "design", "outliers"
"""Suffixes of what is the same for every space and seed set of a run."""

SPHERES = "spheres"
"""Label of the entity ``desc`` of spheres as they were drawn."""

REGIONS = "regions"
"""Label of the entity ``desc`` of regions of a parcellation."""

UNCLEANED = "raw"
"""Label of the entity ``desc`` of series before cleaning; no strategy may have it as its name."""

PEARSON, FISHER_Z, EFFECTIVE_DOF = "pearsoncorrelation", "fisherz", "effectivedof"
"""Labels of the entity ``stat``; the last is of effective degrees of freedom, no relation."""

PLACEMENT_MEAN, PLACEMENT_SD = "placementmean", "placementsd"
"""Labels of Fisher's z over random placements of spheres."""

NO_MEASURE = frozenset({EFFECTIVE_DOF, PLACEMENT_MEAN, PLACEMENT_SD})
"""Labels of matrices that say how good a relation is, and are none."""


SEEDS = "seeds"
"""Stands for the entity of a seed set, be it published (``atlas``) or not (``seg``)."""

GROUP_FOLDER = "group"
"""Where in the output dataset results of the group level are."""

GROUP_SUMMARY = "summary.json"
"""Which groups the last call of the group level was about, and what it could not do."""

STATMAP = "statmap"
"""Suffix of images of contrasts."""

GROUP_SUFFIXES = frozenset(
    {
        *("mean", "sd", "n", "t", "p", "q"),
        *("networks", "model", "edges", "stacked", "participants", "coverage"),
        *("clusters", STATMAP, "nbs", "cnbs", "harmonization", "reliability", "networkreliability"),
        "minutes",
        *("specifications", "robustness"),
    }
)
"""Suffixes of results of a group, and of what is the same for all strategies."""


CONTRAST = "contrast"
"""Entity of results of one contrast of a group."""


class SeedSetLabels(Protocol):
    """How a seed set is called in names: as `SeedTable` is."""

    @property
    def label(self) -> str:
        """Label of the set."""

    @property
    def published(self) -> bool:
        """True for sets that ship with the package."""

    @property
    def scale(self) -> str | None:
        """What tells sets apart that differ by their radius only."""

    @property
    def regions(self) -> object:
        """Where regions are, if they are no spheres."""


def seed_entities(seeds: SeedSetLabels) -> dict[str, str | None]:
    """Entities of a seed set: ``atlas`` of a published one, else ``seg``, and ``scale``."""
    return {"atlas" if seeds.published else "seg": seeds.label, "scale": seeds.scale}


@dataclass(frozen=True)
class OutputPaths:
    """Paths of the outputs of a run, or of several runs put together.

    Parameters
    ----------
    root : Path
        Of the output dataset.
    name : Name
        Of an image of the run.
    aggregation : str
        What makes one series of a sphere's voxels.

    Examples
    --------
    >>> from pathlib import Path
    >>> from bids_spheres import load_seeds
    >>> from bids_spheres.files.names import parse_name
    >>> bold = parse_name("sub-01_task-rest_space-T1w_desc-preproc_bold.nii.gz")
    >>> paths = OutputPaths(Path("out"), bold, "mean")
    >>> paths.matrix(load_seeds("Power2011"), "simple", PEARSON).name
    'sub-01_task-rest_space-T1w_atlas-Power2011_stat-pearsoncorrelation_desc-simple_relmat.tsv'
    """

    root: Path
    name: Name
    aggregation: str

    def spheres(self, seeds: SeedSetLabels, extension: str = ".tsv") -> Path:
        """The spheres of one seed set, or its regions, as table, image or sidecar."""
        desc = SPHERES if seeds.regions is None else REGIONS
        return self._path(DSEG, extension, **seed_entities(seeds), desc=desc)

    def uncleaned(self, seeds: SeedSetLabels, extension: str = ".tsv.gz") -> Path:
        """Series of one seed set before cleaning."""
        return self.series(seeds, UNCLEANED, extension)

    def series(self, seeds: SeedSetLabels, strategy: str, extension: str = ".tsv") -> Path:
        """Series after the cleaning of a strategy."""
        entities = {**seed_entities(seeds), "stat": self.aggregation, "desc": strategy}
        return self._path(TIMESERIES, extension, **entities)

    def matrix(
        self, seeds: SeedSetLabels, strategy: str, stat: str, extension: str = ".tsv"
    ) -> Path:
        """Matrix over pairs of spheres; `stat` is the label of the measure."""
        entities = {**seed_entities(seeds), "stat": stat, "desc": strategy}
        return self._path(RELMAT, extension, **entities)

    def controls(self, seeds: SeedSetLabels, strategy: str, extension: str = ".tsv") -> Path:
        """Relations of negative controls."""
        return self._path(CONTROLS, extension, **seed_entities(seeds), desc=strategy)

    def seed_map(
        self, seeds: SeedSetLabels, seed: str, strategy: str, extension: str = ".nii.gz"
    ) -> Path:
        """Map of one seed, by its label."""
        entities = {**seed_entities(seeds), "label": seed, "stat": FISHER_Z, "desc": strategy}
        return self._path(BOLDMAP, extension, **entities)

    def design(self, strategy: str, extension: str = ".tsv") -> Path:
        """Regressors; the same for every space and seed set."""
        return self._of_run(DESIGN, strategy, extension)

    def outliers(self, strategy: str, extension: str = ".tsv") -> Path:
        """Censored volumes; the same for every space and seed set."""
        return self._of_run(OUTLIERS, strategy, extension)

    def uri(self, path: Path) -> str:
        """BIDS URI of a file of the dataset."""
        return own_uri(path.relative_to(self.root).as_posix())

    def _of_run(self, suffix: str, strategy: str, extension: str) -> Path:
        no_image = {"space": None, "cohort": None, "res": None, "den": None}
        return self._path(suffix, extension, **no_image, desc=strategy)

    def _path(self, suffix: str, extension: str, **entities: str | None) -> Path:
        return self._folder / str(self.name.with_(suffix, extension, **entities))

    @cached_property
    def _folder(self) -> Path:
        return self.root / self.name.folder


def label_of(name: Name, key: str) -> str:
    """Label of an entity; ``"func"`` for images without a space, "" for others without it.

    Examples
    --------
    >>> from bids_spheres.files.names import parse_name
    >>> name = parse_name("sub-01_task-rest_seg-mine_relmat.tsv")
    >>> label_of(name, "space"), label_of(name, SEEDS), label_of(name, "run")
    ('func', 'mine', '')
    """
    if key == SEEDS:
        return name.get("atlas") or name.get("seg") or ""
    return name.get(key) or ("func" if key == "space" else "")


def image_name(group: Name) -> Name:
    """What is the same for all strategies and measures of a group."""
    kept = (entity for entity in group.entities if entity[0] not in ("stat", "desc"))
    return Name(tuple(kept), group.suffix, group.extension)


def of_contrast(contrast: str, suffix: str) -> str:
    """What a result of a contrast is, in the place of a suffix.

    >>> of_contrast("age", "edges")
    'contrast-age_edges'
    """
    return f"{CONTRAST}-{contrast}_{suffix}"


def map_of_contrast(contrast: str, stat: str) -> str:
    """What an image of a contrast is, in the place of a suffix.

    >>> map_of_contrast("age", "t")
    'contrast-age_stat-t_statmap'
    """
    return f"{CONTRAST}-{contrast}_stat-{stat}_{STATMAP}"


def group_of_contrast(name: Name) -> Name:
    """Name of the group of a file of one of its contrasts; any other name as it is."""
    keys = [key for key, _ in name.entities]
    end = keys.index(CONTRAST) if CONTRAST in keys else len(keys)
    return Name(name.entities[:end], name.suffix, name.extension)


def title(name: Name) -> str:
    """Entities of a group, for messages."""
    return "_".join(f"{key}-{label}" for key, label in name.entities)


def group_path(root: Path, group: Name, what: str, extension: str = ".tsv") -> Path:
    """Path of a result of a group: the entities it is about, and what it is as suffix."""
    return root / GROUP_FOLDER / str(Name(group.entities, what, extension))
