"""Keys of JSON sidecars, descriptions of columns, and content of dataset-level files.

Keys are those of BIDS where it has one (``Sources``, ``SamplingFrequency``, ``RepetitionTime``),
and of BEP 012 and BEP 017 for time series and matrices.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, NotRequired, TypedDict, cast
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
"""Hint about a file that is not as it was written."""

BIDS_VERSION = "1.11.1"
"""Atlases are part of BIDS since 1.11.0."""

GENERATOR = "bids_spheres"
"""Name of this package in ``GeneratedBy``."""

BIDSIGNORE = (
    *("*_timeseries.*", "*_relmat.*", "*_design.*", "*_outliers.*", "*_boldmap.*"),
    *("*_controls.*", "exclusions.*", "*.html", "figures", "group"),
)
"""Patterns of files that the released BIDS schema does not know yet."""


def bids_uri(path: Path, links: Iterable[tuple[str, Path]]) -> str:
    """BIDS URI of a file; a plain file URI when it lies outside the linked datasets.

    `links` are names and roots of datasets; the name of this one is empty.
    """
    for name, root in links:
        if path.is_relative_to(root):
            # A plus may stand in the path of a URI, and stands in names of BIDS: space-MNIInfant+2.
            return f"bids:{name}:{quote(path.relative_to(root).as_posix(), safe='/+')}"
    return path.resolve().as_uri()


def dataset_description(links: Mapping[str, str]) -> JsonObject:
    """Content of the output's dataset_description.json; `links` are URIs of inputs by name."""
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


class GeneratedBy(TypedDict):
    """The program that wrote a file."""

    Name: str
    Version: str


class ImageSidecar(TypedDict, total=False):
    """Seeds and image, and how seeds came into the image's space.

    Keys for values of options, such as ``Mask``, are declared with the options.
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


class DesignSidecar(TypedDict):
    """Regressors and censored volumes of a strategy."""

    Sources: list[str]
    Strategy: str
    Description: str
    NuisanceParameters: list[str]
    StrategyNotes: list[str]


class MotionSidecar(TypedDict):
    """How head motion was recomputed; None for fMRIPrep's measure."""

    HeadMotion: JsonObject | None
    HeadRadius: float | None
    MotionStopBand: list[float] | None
    MeanFramewiseDisplacementRecomputed: float | None


class SummedSidecar(TypedDict):
    """What cleaning leaves: numbers of runs that add up when they are put together."""

    NumberOfVolumes: int
    NumberOfVolumesKept: int
    NumberOfVolumesCensored: int
    RankRemoved: int
    DimensionsLostToFilter: float
    DimensionsLostToCensoring: float


class CleaningSidecar(DesignSidecar, MotionSidecar, SummedSidecar):
    """Cleaning of series and what it leaves of them, beside the keys that options declare."""

    SoftwareFilters: JsonObject | str
    NumberOfVolumesUsed: int
    CensoredVolumes: dict[str, int]
    CensoringThresholds: JsonObject
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
    """A matrix of several runs, beside the keys on which all runs agree."""

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


class Sidecar(TypedDict, total=False):
    """Keys that readers look up in the sidecar of a file of a run, which has some of them."""

    Sources: list[str]
    GeneratedBy: list[GeneratedBy]
    SpatialReference: str
    SpaceNote: str
    SeedTransforms: list[str]
    Radius: float | list[float]
    MinimumCoverage: float
    DespikedShare: float | None
    DespikeNote: str
    Columns: list[str]
    NuisanceParameters: list[str]
    NumberOfVolumes: int
    NumberOfVolumesKept: int
    CensoredVolumes: dict[str, int]
    CensoringThresholds: JsonObject
    RankRemoved: int
    DimensionsLostToFilter: float
    DimensionsLostToCensoring: float
    DegreesOfFreedom: float
    MeanFramewiseDisplacement: float | None
    MeanFramewiseDisplacementRecomputed: float | None
    VolumesWithFramewiseDisplacement: int
    Excluded: str | None
    RepetitionTime: float
    RelationshipMeasure: str
    NodeFiles: list[str]
    PlacementJitter: float
    NumberOfPlacements: int
    Concatenation: str
    Seed: str


def sampling(t_r: float) -> SamplingSidecar:
    """Times of volumes, one every `t_r` seconds."""
    return SamplingSidecar(SamplingFrequency=1 / t_r, RepetitionTime=t_r)


def generated_by() -> list[GeneratedBy]:
    """The package, as every sidecar names it."""
    return [GeneratedBy(Name=GENERATOR, Version=__version__)]


_UNITS = {
    **dict.fromkeys(("x", "y", "z", "radius", "distance", "moved", "smoothing_fwhm"), "mm"),
    **dict.fromkeys(("fd", "fd_recomputed", "mean_fd", "mean_fd_recomputed"), "mm"),
    **dict.fromkeys(("minutes", "minutes_kept"), "min"),
    **dict.fromkeys(("minutes_for_r", "minutes_for_icc", "longest"), "min"),
    **dict.fromkeys(("seconds", "min_seconds"), "s"),
    "volume": "mm3",
}
"""Units of columns, in whichever table."""


def described(columns: Mapping[str, str]) -> JsonObject:
    """Descriptions of columns of a table as in its sidecar, and units of those that have one."""
    return {
        name: {"Description": text} | ({"Units": _UNITS[name]} if name in _UNITS else {})
        for name, text in columns.items()
    }


def column_descriptions(names: Sequence[str], networks: Sequence[str] | None) -> JsonObject:
    """Descriptions of the columns of seeds that have a network."""
    known = dict(zip(names, networks, strict=True)) if networks else {}
    texts = {name: f"Seed of the network {n}" for name, n in known.items() if n != "n/a"}
    return {name: {"Description": text} for name, text in texts.items()}


LEFT = {
    "lost_to_filter": "Degrees of freedom that the temporal filter takes",
    "lost_to_censoring": "Degrees of freedom that censoring takes beyond the volumes themselves, "
    "because a filter sees interpolated volumes in their place",
    "degrees_of_freedom": "1 / variance of the correlation of two independent white series after "
    "cleaning: n_kept - rank - lost_to_filter - lost_to_censoring",
}
"""What columns of runs and of exclusions say of the degrees of freedom that are left."""

DISPLACEMENTS = described(
    {
        "fd": "Framewise displacement in fMRIPrep's table",
        "fd_recomputed": "Framewise displacement as HeadMotion of the strategy measures it",
    }
)
"""Columns of tables of censored volumes where a strategy recomputes motion."""

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
    **described(
        {
            "spheres": "Series; of fluid, those in fluid",
            "pairs": "Pairs of series with a correlation",
            "significant": "Share of pairs with p < 0.05 by their effective degrees of freedom; of "
            "surrogates and fluid these are false positives, 0.05 by chance",
            "significant_nominal": "Share of pairs with p < 0.05 by DegreesOfFreedom, as if series "
            "were white",
            "similarity": "Correlation over pairs of the correlations of mirrored spheres with "
            "those of the seeds",
        }
    ),
}
"""Columns of the table of negative controls."""

SPHERE_COLUMNS = described(
    {
        "x": "Coordinate of the seed, left to right",
        "y": "Coordinate of the seed, posterior to anterior",
        "z": "Coordinate of the seed, inferior to superior",
        "radius": "Radius of the sphere",
        "network": "Network of the seed, where its source gives one",
        "voxels_asked": "Voxels whose centre lies in the sphere; with --tissue those of the tissue",
        "voxels_used": "Those of them that lie in the image and in its mask",
        "coverage": "Share of voxels_asked that is used and has a signal: finite, not constant",
        "used": "1: has a time series; 0: coverage is 0 or below MinimumCoverage",
        "seed_in_mask": "1: the voxel that holds the seed is one of those used",
        "overlap": "Voxels used that are also in another sphere of the set",
        "tsnr": "Temporal signal-to-noise ratio before cleaning: mean over the sphere's voxels of "
        "temporal mean / standard deviation of all volumes, censored ones too",
    }
)
"""Columns of the table of spheres beside `index` and `name`, which BIDS defines."""

EXTRA_COLUMNS = described(
    {
        "grey_matter": "Mean probability of grey matter over the voxels used",
        "white_matter": "Mean probability of white matter over the voxels used",
        "csf": "Mean probability of cerebrospinal fluid over the voxels used",
        "despiked": "Share of the values of its voxels that despiking changed",
        "moved": "How far transforms between templates moved the seed from its published or given "
        "coordinates",
    }
)
"""Columns of both tables where the dataset has images of tissues in the space of the run, after
despiking, and of seeds of another template."""

REGION_COLUMNS = described(
    {
        **dict.fromkeys("xyz", "Centre of mass"),
        "volume": "Volume of the region in the parcellation",
        "network": "Network of the region, where its source gives one",
        "voxels_asked": "Voxels of the region on the grid of the image; of maps, those of at least "
        "1 % of the largest weight; with --tissue those of the tissue",
        "voxels_used": "Those of them that lie in the image and in its mask",
        "coverage": "Share of the region's voxels, of maps of the weights, that is used and has a "
        "signal: finite, not constant",
        "used": "1: has a time series; 0: coverage is 0 or below MinimumCoverage, or a mean has "
        "weights that sum to 0 or less",
        "overlap": "Voxels used that are also in another region of the set",
        "tsnr": "Temporal signal-to-noise ratio before cleaning: (weighted) mean over the region's "
        "voxels of temporal mean / standard deviation of all volumes",
    }
)
"""Columns of the table of regions."""


def sidecar_path(path: Path) -> Path:
    """The JSON file beside a table or an image."""
    return path.with_name(f"{path.name.partition('.')[0]}.json")


def texts(value: object) -> list[str]:
    """A list of a sidecar as words; empty for anything else."""
    return list(map(str, value)) if isinstance(value, list) else []


def read_own_json(path: Path) -> JsonObject:
    """Content of a JSON file of bids_spheres; empty without one, DataError when it is no object."""
    text = read_own_text(path)
    return json_object(text, path) if text else {}


def read_sidecar(
    path: Path, *, optional: bool = False, parse_float: Callable[[str], float] | None = None
) -> Sidecar:
    """Sidecar of a table or an image of a run; where it is `optional`, empty without one.

    MissingInputError else, DataError when it holds no JSON object. `parse_float` converts numbers
    with a point or exponent.
    """
    sidecar = sidecar_path(path)
    text = read_own_text(sidecar)
    if not (text or optional):
        raise MissingInputError(f"There is no sidecar {sidecar}.", hint=ANEW)
    content = json_object(text, sidecar, parse_float=parse_float) if text else {}
    return cast("Sidecar", content)
