"""What the user asked for, as one frozen value.

`Settings` is made once, from the command line, and passed on. Its JSON form is the record of
provenance written beside the outputs, under the names of the options.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from bids_spheres.confounds.design import DummyScans
    from bids_spheres.engine.aggregate import Aggregation
    from bids_spheres.engine.clean import Standardize

DEFAULT_STRATEGY = "simple"

Level = Literal["session", "participant"]
"""Whose runs are put one after the other."""

PARTICIPANT, GROUP = "participant", "group"
"""Analysis levels."""

OFF = "none"
"""How an option says that a threshold, an edge or a step is not to be."""

OVERRIDES = {
    "fd_threshold": "censor.fd_threshold",
    "std_dvars_threshold": "censor.std_dvars_threshold",
    "censor_before": "censor.before",
    "censor_after": "censor.after",
    "min_segment": "censor.min_segment",
    "filter": "filter.type",
    "filter_order": "filter.order",
    "high_pass": "filter.high_pass",
    "low_pass": "filter.low_pass",
    "min_volumes": "min_volumes",
    "min_seconds": "min_seconds",
}
"""Options that change a key of every strategy."""


@dataclass(frozen=True)
class Processing:
    """What is done with every run, apart from seeds and strategies.

    Parameters
    ----------
    detrend : bool
        Remove the linear trend.
    standardize : str or bool
        As in `bids_spheres.engine.clean`.
    dummy_scans : int or "auto", optional
        Volumes to leave out at the start, see `bids_spheres.confounds.make_design`.
    min_dof : int
        Degrees of freedom without which a run is excluded.
    full_length : bool
        Write a row for every volume, missing values for censored ones.
    mask : str
        ``"run"``, ``"template"``, ``"none"``, or the path of an image: voxels that spheres use.
    min_coverage : float
        Share of a sphere's voxels that must have a signal; below it the sphere is missing.
    overlap : str
        ``"allow"`` voxels in several spheres of a set, call them an ``"error"``, or give them to
        the ``"nearest"`` seed.
    warp_seeds : bool
        Map coordinates between templates, instead of using them as they are.
    aggregation : str
        What makes one series of the voxels of a sphere.
    smoothing_fwhm : float, optional
        Width of the Gaussian by which images are smoothed, mm.
    connectivity : tuple of str
        Names of measures, see `bids_spheres.engine.connectivity.measure`.
    seed_maps : bool
        Write a seed-to-voxel map for every seed.
    effective_dof : bool
        Also write the effective degrees of freedom of each correlation.
    """

    detrend: bool = True
    standardize: Standardize = "zscore_sample"
    dummy_scans: DummyScans = None
    min_dof: int = 10
    full_length: bool = False
    mask: str = "run"
    min_coverage: float = 0.5
    overlap: Literal["allow", "error", "nearest"] = "allow"
    warp_seeds: bool = False
    aggregation: Aggregation = "mean"
    smoothing_fwhm: float | None = None
    connectivity: tuple[str, ...] = ("pearson",)
    seed_maps: bool = False
    effective_dof: bool = False


@dataclass(frozen=True)
class Labels:
    """Labels to keep, without their keys; empty keeps all (of `space`: the MNI space).

    `bids_filter_file` is a JSON file of further ones.
    """

    participant_label: tuple[str, ...] = ()
    session_label: tuple[str, ...] = ()
    task_label: tuple[str, ...] = ()
    acquisition: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    echo: tuple[str, ...] = ()
    space: tuple[str, ...] = ()
    res: tuple[str, ...] = ()
    bids_filter_file: Path | None = None


@dataclass(frozen=True)
class GroupChoices:
    """What is wanted of the group level.

    Parameters
    ----------
    model : str, optional
        Formula of participants' variables that explain edges, e.g. ``"age + sex"``.
    participants_table : Path, optional
        Table of these variables; the participants.tsv of the dataset without it.
    by_session : bool
        Summarize every session by itself, instead of averaging a participant's sessions.
    pool_spaces : bool
        Put participants whose images are in different MNI spaces into one group.
    qcfc_covariates : tuple of str
        Columns of that table that the correlation of edges with motion is adjusted for.
    min_participants : int
        Participants without whom an edge is not tested.
    """

    model: str | None = None
    participants_table: Path | None = None
    by_session: bool = False
    pool_spaces: bool = False
    qcfc_covariates: tuple[str, ...] = ()
    min_participants: int = 3


@dataclass(frozen=True)
class Execution:
    """Where and how jobs are done; what is written does not depend on it.

    Parameters
    ----------
    executor : {"local", "dask"}
        Processes of this machine, or workers of `dask.distributed`.
    nprocs : int
        Jobs at work at the same time.
    omp_nthreads : int, optional
        Threads of one job; None: one, and one that reads ahead.
    mem : int, optional
        Memory of a call on this machine, MB; None leaves it unlimited.
    dask_scheduler : str, optional
        Address of a scheduler that runs already.
    dask_scheduler_file : Path, optional
        File in which such a scheduler has left its address.
    dask_slurm : tuple of str or Path
        ``key=value`` settings of workers to be started by Slurm, or files of such settings.
    """

    executor: Literal["local", "dask"] = "local"
    nprocs: int = 1
    omp_nthreads: int | None = None
    mem: int | None = None
    dask_scheduler: str | None = None
    dask_scheduler_file: Path | None = None
    dask_slurm: tuple[str | Path, ...] = ()


@dataclass(frozen=True)
class Settings:
    """Settings of one call.

    Parameters
    ----------
    bids_dir, output_dir : Path
    analysis_level : str
        ``"participant"`` or ``"group"``.
    derivatives : tuple of (str, Path)
        Folders of derivatives and what they are; ``""`` leaves that to their description.
    labels : Labels
    atlas : tuple of str
        Names of built-in seed sets.
    seeds : tuple of Path
        Tables of the user's own seeds.
    radius : tuple of float
        mm, over what the seed sets say; several give every set with each of them.
    strategy : tuple of str
        Names or files of denoising strategies; at the group level none stands for all.
    overrides : tuple of (str, value)
        Keys of a strategy, from its top and joined by dots, that hold for all of them.
    outliers : Path, optional
        Folder of tables of outliers, or the one table of a single run.
    processing : Processing
    concatenate : str, optional
        Also relate the series of all runs of a task: of a ``"session"`` or ``"participant"``.
    group : GroupChoices
    bids_database_dir : Path, optional
        Where pybids keeps its index from call to call.
    work_dir : Path, optional
        Where there is room for temporary files; the output folder without it.
    execution : Execution
    report_level : {"participant", "session", "none"}
        Of what there is one page each.
    reports_only : bool
        Only make these, from results that are there.
    overwrite : bool
        Make everything again, also what is up to date.
    hash_inputs : bool
        Tell by what is in input files, not by their sizes and times, whether they changed.
    strict : bool
        Do nothing when a strategy can't be applied to one of the runs.
    stop_on_first_error : bool
        Don't go on with other runs when one has failed.
    """

    bids_dir: Path
    output_dir: Path
    analysis_level: str = PARTICIPANT
    derivatives: tuple[tuple[str, Path], ...] = ()
    labels: Labels = field(default_factory=Labels)
    atlas: tuple[str, ...] = ()
    seeds: tuple[Path, ...] = ()
    radius: tuple[float, ...] = ()
    strategy: tuple[str, ...] = (DEFAULT_STRATEGY,)
    overrides: tuple[tuple[str, Any], ...] = ()
    outliers: Path | None = None
    processing: Processing = field(default_factory=Processing)
    concatenate: Level | None = None
    group: GroupChoices = field(default_factory=GroupChoices)
    bids_database_dir: Path | None = None
    work_dir: Path | None = None
    execution: Execution = field(default_factory=Execution)
    report_level: Literal["participant", "session", "none"] = "participant"
    reports_only: bool = False
    overwrite: bool = False
    hash_inputs: bool = False
    strict: bool = False
    stop_on_first_error: bool = False

    @property
    def temporary_dir(self) -> Path:
        """Where temporary files go."""
        return self.work_dir or self.output_dir

    @property
    def nprocs(self) -> int:
        """Jobs at work at the same time."""
        return self.execution.nprocs

    def absolute(self) -> Settings:
        """The same with absolute paths, for processes that have another working directory."""
        settings: Settings = _absolute(self)
        rules = self.processing
        mask = rules.mask if rules.mask in ("run", "template", OFF) else _path_text(rules.mask)
        # A strategy without an ending is one of the package's.
        strategies = tuple(_path_text(s) if Path(s).suffix else s for s in self.strategy)
        return replace(settings, strategy=strategies, processing=replace(rules, mask=mask))

    def to_json(self) -> dict[str, Any]:
        """What options stand for these settings, with JSON types only; paths are absolute."""
        content: dict[str, Any] = asdict(self.absolute())
        for part in ("labels", "processing", "group", "execution"):
            content |= content.pop(part)
        content["derivatives"] = [
            f"{name}={path.resolve()}" if name else str(path.resolve())
            for name, path in self.derivatives
        ]
        content["standardize"] = content["standardize"] or OFF
        given = dict(content.pop("overrides"))
        changed = {name: given[key] for name, key in OVERRIDES.items() if key in given}
        content |= {name: OFF if value is None else value for name, value in changed.items()}
        return {key: _json_value(value) for key, value in content.items()}


def _path_text(path: str) -> str:
    return str(Path(path).absolute())


def _absolute(value: Any) -> Any:
    if isinstance(value, Path):
        return value.absolute()
    if isinstance(value, tuple):
        return tuple(map(_absolute, value))
    if is_dataclass(value) and not isinstance(value, type):
        parts = {part.name: _absolute(getattr(value, part.name)) for part in fields(value)}
        return replace(value, **parts)
    return value


def _json_value(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.resolve())
    if isinstance(value, tuple):
        return [_json_value(item) for item in value]
    return value
