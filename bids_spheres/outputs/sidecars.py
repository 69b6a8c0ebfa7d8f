"""What goes into JSON sidecars and dataset-level files.

Keys are those of BIDS where it has one (``Sources``, ``SamplingFrequency``,
``RepetitionTime``), and of BEP 012 and BEP 017 for time series and matrices. Functions here
return plain dictionaries and text; `bids.files` writes them.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, NotRequired, TypedDict
from urllib.parse import quote

from bids_spheres import __version__
from bids_spheres.errors import MissingInputError
from bids_spheres.files.text import json_object, read_own_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.files.text import JsonObject
    from bids_spheres.inputs.dataset import Dataset

ANEW = "Run the participant level anew for this run."
"""What to do about a file that is not as it was written."""

BIDS_VERSION = "1.11.1"
"""Since 1.11.0 it knows atlases."""

GENERATOR = "bids_spheres"
"""Name under which this package appears in ``GeneratedBy``."""

BIDSIGNORE = (
    *("*_timeseries.*", "*_relmat.*", "*_design.*", "*_outliers.*", "*_boldmap.*"),
    *("*_controls.*", "exclusions.*", "*.html", "figures", "group"),
)
"""What the released BIDS schema does not know yet."""


def input_uri(path: Path, links: Iterable[tuple[str, Path]]) -> str:
    """BIDS URI of an input file; a plain file URI when it lies outside the linked datasets."""
    for name, root in links:
        if path.is_relative_to(root):
            return f"bids:{name}:{_uri_path(path.relative_to(root).as_posix())}"
    return path.resolve().as_uri()


def own_uri(relative: str) -> str:
    """BIDS URI of a file of this dataset."""
    return f"bids::{_uri_path(relative)}"


def _uri_path(path: str) -> str:
    # A plus may stand in the path of a URI, and stands in names of BIDS: space-MNIInfant+2.
    return quote(path, safe="/+")


def dataset_description(links: Mapping[str, str]) -> JsonObject:
    """Content of the output's dataset_description.json.

    Parameters
    ----------
    links : mapping of str to str
        Name and URI of every input dataset.
    """
    return {
        "Name": "bids_spheres: time series and connectivity of spheres around seeds",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [
            {
                "Name": GENERATOR,
                "Version": __version__,
                "Description": "Mean BOLD signal in spheres around seed coordinates, "
                "cleaned of confounds, and its connectivity",
            }
        ],
        "SourceDatasets": [{"URL": uri} for uri in dict.fromkeys(links.values())],
        "DatasetLinks": dict(links),
    }


def readme(datasets: Iterable[Dataset]) -> str:
    """Content of the output's README.md, with the names of the input datasets."""
    template = resources.files("bids_spheres") / "data" / "output_readme.md"
    text = template.read_text(encoding="utf-8")
    names = '", "'.join(dict.fromkeys(dataset.name for dataset in datasets))
    return text.replace("{version}", __version__).replace("{dataset}", names)


def bidsignore() -> str:
    """Content of the output's .bidsignore."""
    return "\n".join(BIDSIGNORE) + "\n"


def atlas_description(metadata: Mapping[str, object]) -> JsonObject:
    """Content of atlas-<label>_description.json, without what only concerns our own table."""
    return {key: value for key, value in metadata.items() if key != "Columns"}


class GeneratedBy(TypedDict):
    """The program that wrote a file."""

    Name: str
    Version: str


class ImageSidecar(TypedDict, total=False):
    """Which seeds on which image, with where seeds come from when they are from another space.

    The keys of what options set, such as ``Mask``, are declared with the options.
    """

    Sources: list[str]
    GeneratedBy: list[GeneratedBy]
    SpatialReference: str
    Seeds: str
    SeedSpace: str | None
    SpaceNote: str
    SeedTransforms: list[str]
    Radius: float | list[float]
    RadiusUnits: str
    SmoothingBefore: str | None
    DespikedShare: float | None
    DespikeNote: str


class SpheresSidecar(TypedDict):
    """What the spheres of a run came to."""

    Description: str
    Resolution: str
    SpheresWithoutVoxels: int
    SpheresPartlyOutsideMask: int
    SpheresOfTooLittleCoverage: int
    SeedsOutsideMask: int


class RegionsSidecar(TypedDict):
    """What the regions of a parcellation came to in a run."""

    Description: str
    Resolution: str
    Parcellation: list[str]
    RegionSignals: str
    RegionsWithoutVoxels: int
    RegionsPartlyOutsideMask: int
    RegionsOfTooLittleCoverage: int


class UncleanedSidecar(TypedDict):
    """What series before cleaning are."""

    Description: str
    Columns: list[str]
    SoftwareFilters: str
    NuisanceParameters: list[str]
    Detrend: bool
    Standardize: bool
    NumberOfVolumes: int
    DegreesOfFreedom: float


class DesignSidecar(TypedDict):
    """Regressors and censored volumes of a strategy."""

    Sources: list[str]
    Strategy: str
    Description: str
    NuisanceParameters: list[str]
    StrategyNotes: list[str]


class MotionSidecar(TypedDict):
    """How head motion was measured anew; None for fMRIPrep's measure."""

    HeadMotion: JsonObject | None
    HeadRadius: float | None
    MotionStopBand: list[float] | None
    MeanFramewiseDisplacementRecomputed: float | None


class CleaningSidecar(DesignSidecar, MotionSidecar):
    """What was done to series beside the keys that options declare, and what is left of them."""

    SoftwareFilters: JsonObject | str
    NumberOfVolumes: int
    NumberOfVolumesKept: int
    NumberOfVolumesCensored: int
    NumberOfVolumesUsed: int
    CensoredVolumes: dict[str, int]
    CensoringThresholds: JsonObject
    RankRemoved: int
    DimensionsLostToFilter: float
    DimensionsLostToCensoring: float
    DimensionsLostToDrawing: float
    DegreesOfFreedom: float
    MeanFramewiseDisplacement: float | None
    VolumesWithFramewiseDisplacement: int
    Excluded: str | None


class SamplingSidecar(TypedDict):
    """Times of the volumes of a series."""

    SamplingFrequency: float
    RepetitionTime: float


class SeriesSidecar(SamplingSidecar):
    """Cleaned series, beside image and cleaning."""

    Sources: list[str]
    FullLength: bool


class MatrixSidecar(TypedDict):
    """A matrix over pairs of spheres."""

    RelationshipMeasure: str
    Weighted: bool
    Directed: bool
    ValidDiagonal: bool
    StorageFormat: str
    NodeFiles: list[str]
    Software: str
    Shrinkage: NotRequired[float]
    PlacementJitter: NotRequired[float]
    NumberOfPlacements: NotRequired[int]
    PlacementSeed: NotRequired[int]


class ConcatenationSidecar(TypedDict):
    """A matrix of several runs, beside what all runs agree on."""

    Sources: list[str]
    Concatenation: str
    NumberOfRuns: int
    ExcludedRuns: dict[str, str | None]
    MissingRuns: dict[str, str]
    NodesMissingInSomeRuns: list[str]
    CensoredVolumes: dict[str, int]
    DegreesOfFreedom: float
    MeanFramewiseDisplacement: float | None
    MeanFramewiseDisplacementRecomputed: float | None
    NodeFiles: list[str]


class SeedMapSidecar(TypedDict):
    """A map of one seed, beside image and cleaning."""

    Sources: list[str]
    Seed: str
    SeedCoordinates: list[float]
    RelationshipMeasure: str
    Resolution: str


class ControlsSidecar(TypedDict):
    """Relations of negative controls."""

    Sources: list[str]
    GeneratedBy: list[GeneratedBy]
    SpatialReference: str
    Seeds: str
    Strategy: str
    DegreesOfFreedom: float
    SurrogateSeed: int


def sampling(t_r: float) -> SamplingSidecar:
    """Times of volumes, one every `t_r` seconds."""
    return SamplingSidecar(SamplingFrequency=1 / t_r, RepetitionTime=t_r)


def generated_by() -> list[GeneratedBy]:
    """How every sidecar names the package."""
    return [GeneratedBy(Name=GENERATOR, Version=__version__)]


def column_descriptions(names: Sequence[str], networks: Sequence[str] | None) -> JsonObject:
    """Descriptions of seed columns: their networks, where they have one."""
    if networks is None:
        return {}
    return {
        name: {"Description": f"Seed of the network {network}"}
        for name, network in zip(names, networks, strict=True)
        if network != "n/a"
    }


DISPLACEMENTS: JsonObject = {
    "fd": {"Description": "Framewise displacement in fMRIPrep's table", "Units": "mm"},
    "fd_recomputed": {
        "Description": "Framewise displacement as HeadMotion of the strategy measures it",
        "Units": "mm",
    },
}
"""Columns of tables of censored volumes where a strategy measures motion anew."""

CONTROL_COLUMNS: JsonObject = {
    "control": {
        "Description": "What correlates",
        "Levels": {
            "seeds": "Seeds with one another, for comparison",
            "surrogate": "Series with random phases and the spectra of the seeds' cleaned series",
            "fluid": "Seeds with spheres in cerebrospinal fluid",
            "mirrored": "Spheres at the seeds mirrored from left to right (x to -x)",
        },
    },
    "spheres": {"Description": "Series; of fluid, those in fluid"},
    "pairs": {"Description": "Pairs of series with a correlation"},
    "significant": {
        "Description": "Share of pairs with p < 0.05 by their effective degrees of freedom; of "
        "surrogates and fluid these are false positives, 0.05 by chance"
    },
    "significant_nominal": {
        "Description": "Share of pairs with p < 0.05 by DegreesOfFreedom, as if series were white"
    },
    "similarity": {
        "Description": "Correlation over pairs of the correlations of mirrored spheres with those "
        "of the seeds"
    },
}
"""Columns of the table of negative controls."""

SPHERE_COLUMNS: JsonObject = {
    "x": {"Description": "Coordinate of the seed, left to right", "Units": "mm"},
    "y": {"Description": "Coordinate of the seed, posterior to anterior", "Units": "mm"},
    "z": {"Description": "Coordinate of the seed, inferior to superior", "Units": "mm"},
    "radius": {"Description": "Radius of the sphere", "Units": "mm"},
    "network": {"Description": "Network of the seed, where its source gives one"},
    "voxels_asked": {
        "Description": "Voxels whose centre lies in the sphere; with --tissue those of the tissue"
    },
    "voxels_used": {"Description": "Those of them that lie in the image and in its mask"},
    "coverage": {
        "Description": "Share of voxels_asked that is used and has a signal: finite, not constant"
    },
    "used": {"Description": "1: has a time series; 0: coverage is 0 or below MinimumCoverage"},
    "seed_in_mask": {"Description": "1: the voxel that holds the seed is one of those used"},
    "overlap": {"Description": "Voxels used that are also in another sphere of the set"},
    "tsnr": {
        "Description": "Temporal signal-to-noise ratio before cleaning: mean over the sphere's "
        "voxels of temporal mean / standard deviation of all volumes, censored ones too"
    },
}
"""Columns of the table of spheres, beside `index` and `name`, which BIDS defines."""

EXTRA_COLUMNS: JsonObject = {
    **{
        column: {"Description": f"Mean probability of {tissue} over the voxels used"}
        for column, tissue in (
            ("grey_matter", "grey matter"),
            ("white_matter", "white matter"),
            ("csf", "cerebrospinal fluid"),
        )
    },
    "despiked": {"Description": "Share of the values of its voxels that despiking changed"},
    "moved": {
        "Description": "How far transforms between templates moved the seed from its published or "
        "given coordinates",
        "Units": "mm",
    },
}
"""Columns of both tables where the dataset has images of tissues in the space of the run, after
despiking, and of seeds of another template."""

REGION_COLUMNS: JsonObject = {
    **{axis: {"Description": "Centre of mass", "Units": "mm"} for axis in "xyz"},
    "volume": {"Description": "Volume of the region in the parcellation", "Units": "mm3"},
    "network": {"Description": "Network of the region, where its source gives one"},
    "voxels_asked": {
        "Description": "Voxels of the region on the grid of the image; of maps, those of at least "
        "1 % of the largest weight; with --tissue those of the tissue"
    },
    "voxels_used": SPHERE_COLUMNS["voxels_used"],
    "coverage": {
        "Description": "Share of the region's voxels, of maps of the weights, that is used and has "
        "a signal: finite, not constant"
    },
    "used": SPHERE_COLUMNS["used"],
    "overlap": {"Description": "Voxels used that are also in another region of the set"},
    "tsnr": {
        "Description": "Temporal signal-to-noise ratio before cleaning: (weighted) mean over the "
        "region's voxels of temporal mean / standard deviation of all volumes"
    },
}
"""Columns of the table of regions."""


def sidecar_path(path: Path) -> Path:
    """The JSON file beside a table or an image."""
    return path.with_name(f"{path.name.partition('.')[0]}.json")


def read_sidecar(
    path: Path, *, optional: bool = False, parse_float: Callable[[str], float] | None = None
) -> JsonObject:
    """Content of a sidecar.

    Parameters
    ----------
    path : Path
        Of the JSON file.
    optional : bool
        Take a file that is not there for an empty one.
    parse_float : callable, optional
        Makes numbers of what has a point or an exponent.

    Raises
    ------
    MissingInputError
        When it is not there, or git-annex has not fetched it.
    DataError
        When it holds no JSON object.
    ReadWriteError
        When it can't be read.
    """
    text = read_own_text(path)
    if text:
        return json_object(text, path, parse_float=parse_float)
    if optional:
        return {}
    raise MissingInputError(f"There is no sidecar {path}.", hint=ANEW)
