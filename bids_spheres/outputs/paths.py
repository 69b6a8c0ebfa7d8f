"""Names and paths of everything that is written for a run or a group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bids_spheres.files.names import IMAGE_ENTITIES, Name, as_written
from bids_spheres.outputs.sidecars import bids_uri

if TYPE_CHECKING:
    from pathlib import Path

    from bids_spheres.engine.seeds import SeedTable

DSEG, TIMESERIES, RELMAT, BOLDMAP = "dseg", "timeseries", "relmat", "boldmap"
"""Suffixes of files of a seed set in a space."""

CONTROLS = "controls"
"""Suffix of relations of negative controls."""

DESIGN, OUTLIERS = "design", "outliers"
"""Suffixes of files that every space and seed set of a run shares."""

SPHERES, REGIONS, UNCLEANED = "spheres", "regions", "raw"
"""Labels of ``desc``: spheres, regions of a parcellation, and series before cleaning.

No strategy may have the last as its name.
"""

PEARSON, FISHER_Z, EFFECTIVE_DOF = "pearsoncorrelation", "fisherz", "effectivedof"
"""Labels of ``stat``; the last marks effective degrees of freedom, which are no relation."""

PLACEMENT_MEAN, PLACEMENT_SD = "placementmean", "placementsd"
"""Labels of ``stat``: Fisher's z over random placements of spheres."""

NO_MEASURE = frozenset({EFFECTIVE_DOF, PLACEMENT_MEAN, PLACEMENT_SD})
"""Labels of matrices that qualify a relation and are none themselves."""

SEEDS = "seeds"
"""Stands for the entity of a seed set: ``atlas`` of a published one, else ``seg``."""

GROUP_FOLDER = "group"
"""Folder of the results of the group level."""

GROUP_SUMMARY = "summary.json"
"""Groups of the last call of the group level, and what it could not do."""

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
"""Suffixes of results of a group, and of files that all strategies share."""

CONTRAST = "contrast"
"""Entity of results of a contrast."""


def seed_entities(seeds: SeedTable) -> dict[str, str | None]:
    """Entities of a seed set: ``atlas`` of a published one, else ``seg``, and ``scale``."""
    return {"atlas" if seeds.published else "seg": seeds.label, "scale": seeds.scale}


@dataclass(frozen=True)
class OutputPaths:
    """Paths of the outputs of a run or of several concatenated runs.

    `name` is that of an image of the run, `aggregation` what turns a sphere's voxels into a series.

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

    def spheres(self, seeds: SeedTable, extension: str = ".tsv") -> Path:
        """Spheres or regions of a seed set, as table, image or sidecar."""
        desc = SPHERES if seeds.regions is None else REGIONS
        return self._path(DSEG, extension, seeds, desc=desc)

    def uncleaned(self, seeds: SeedTable, extension: str = ".tsv.gz") -> Path:
        """Series of a seed set before cleaning."""
        return self.series(seeds, UNCLEANED, extension)

    def series(self, seeds: SeedTable, strategy: str, extension: str = ".tsv") -> Path:
        """Series cleaned by a strategy."""
        return self._path(TIMESERIES, extension, seeds, stat=self.aggregation, desc=strategy)

    def matrix(self, seeds: SeedTable, strategy: str, stat: str, extension: str = ".tsv") -> Path:
        """Matrix over pairs of spheres; `stat` is the measure's label."""
        return self._path(RELMAT, extension, seeds, stat=stat, desc=strategy)

    def controls(self, seeds: SeedTable, strategy: str, extension: str = ".tsv") -> Path:
        """Relations of negative controls."""
        return self._path(CONTROLS, extension, seeds, desc=strategy)

    def seed_map(
        self, seeds: SeedTable, seed: str, strategy: str, extension: str = ".nii.gz"
    ) -> Path:
        """Map of one seed, by the seed's label."""
        return self._path(BOLDMAP, extension, seeds, label=seed, stat=FISHER_Z, desc=strategy)

    def design(self, strategy: str, extension: str = ".tsv") -> Path:
        """Regressors."""
        return self._path(DESIGN, extension, desc=strategy)

    def outliers(self, strategy: str, extension: str = ".tsv") -> Path:
        """Censored volumes."""
        return self._path(OUTLIERS, extension, desc=strategy)

    def uri(self, path: Path) -> str:
        """BIDS URI of a file of the dataset."""
        return bids_uri(path, [("", self.root)])

    def _path(
        self, suffix: str, extension: str, seeds: SeedTable | None = None, **entities: str
    ) -> Path:
        """Path of a file of a seed set, or else of the run, which names no image."""
        own = dict.fromkeys(IMAGE_ENTITIES) if seeds is None else seed_entities(seeds)
        name = self.name.with_(suffix, extension, **own | entities)
        return self.root / name.folder / str(name)


def label_of(name: Name, key: str) -> str:
    """Label of an entity; for a missing one ``"func"`` as the space, else "".

    >>> from bids_spheres.files.names import parse_name
    >>> name = parse_name("sub-01_task-rest_seg-mine_relmat.tsv")
    >>> label_of(name, "space"), label_of(name, SEEDS), label_of(name, "run")
    ('func', 'mine', '')
    """
    if key == SEEDS:
        return name.get("atlas") or name.get("seg") or ""
    return name.get(key) or ("func" if key == "space" else "")


def image_name(group: Name) -> Name:
    """Name of what all strategies and measures of a group share."""
    kept = tuple(entity for entity in group.entities if entity[0] not in ("stat", "desc"))
    return Name(kept, group.suffix, group.extension)


def of_contrast(contrast: str, suffix: str) -> str:
    """Ending of the name of a result of a contrast, as a suffix: ``"contrast-age_edges"``."""
    return f"{CONTRAST}-{contrast}_{suffix}"


def map_of_contrast(contrast: str, stat: str) -> str:
    """Ending of the name of an image of a contrast: ``"contrast-age_stat-t_statmap"``."""
    return of_contrast(contrast, f"stat-{stat}_{STATMAP}")


def group_of_contrast(name: Name) -> Name:
    """Name of the group that a file of a contrast belongs to; other names stay the same."""
    keys = [key for key, _ in name.entities]
    end = keys.index(CONTRAST) if CONTRAST in keys else len(keys)
    return Name(name.entities[:end], name.suffix, name.extension)


def title(name: Name) -> str:
    """Entities of a group, for messages."""
    return "_".join(as_written(name.entities))


def group_path(root: Path, group: Name, what: str, extension: str = ".tsv") -> Path:
    """Path of a result of a group; `what` is its suffix."""
    return root / GROUP_FOLDER / str(Name(group.entities, what, extension))
