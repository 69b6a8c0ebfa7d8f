"""Every option of the app, each declared once, and the frozen settings that they make."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bids_spheres.data.published import seed_set_name, strategy_name
from bids_spheres.settings.option import Output, build, declared_options, option
from bids_spheres.settings.values import (
    OFF,
    Kind,
    Labels,
    Memory,
    NamedPath,
    NameOrPath,
    Number,
    PathName,
    choice,
    file_or_seed,
    jitter,
    key_and_value,
    tissue_rule,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import DataclassInstance

    from bids_spheres.confounds.design import DummyScans
    from bids_spheres.engine.aggregate import Aggregation
    from bids_spheres.engine.clean import Standardize
    from bids_spheres.engine.regions import MapWeighting

DEFAULT_STRATEGY = "simple"

Level = Literal["session", "participant"]  # whose runs are put one after the other
PARTICIPANT, GROUP = LEVELS = ("participant", "group")  # analysis levels
MASKS = ("run", "template", OFF)  # what mask can be instead of a file
ALL = "all"  # word for all seeds, where some can be named

_FILE, _FOLDER, _NAME = PathName("FILE"), PathName(), Kind("NAME")
_COUNT = Number(least=1, whole=True)
_WHOLE = Number(whole=True)
_SHARE = Number("SHARE", most=1, unit="a share")
# What is smoothed more is no image any more, and the weights of a sphere fill memory.
_FWHM = Number("MM", most=40, unit="a length in mm", zero_is_off=True)
# Longer than a head: a larger radius is in other units.
_RADIUS = Number("MM", most=1000, unit="a length in mm")
_SPHERES: tuple[Output, ...] = ("spheres", "series")
_DESIGN: tuple[Output, ...] = ("design", "series")

# Options of each section of the help; of the first two, those that sidecars record as well.
_seeds = partial(option, section="seeds")
_seeds_at_both = partial(_seeds, levels=LEVELS)
_spheres = partial(_seeds, affects=_SPHERES, mixing="refuse")
_voxels = partial(_spheres, voxels=True)
_denoising = partial(option, section="denoising")
_series = partial(_denoising, affects=("series",), mixing="refuse")
_selection = partial(option, section="selection of runs")
_group = partial(option, section="group level", levels=(GROUP,))
_keeping = partial(option, section="keeping and repeating")
# The group level says by itself that they have no effect there.
_clusters = partial(option, section="clusters", levels=LEVELS)


@dataclass(frozen=True)
class Processing:
    """What is done with every run, apart from seeds and strategies."""

    warp_seeds: bool = _seeds(
        "map seeds between MNI templates by TemplateFlow's transforms (default: use them as they "
        "are, with a note)",
        affects=_SPHERES,
    )
    mask: str = _voxels(
        "voxels that spheres may use (default: run, the brain mask of each run)",
        NameOrPath("|".join((*MASKS, "PATH")), is_path=lambda path: str(path) not in MASKS),
        default="run",
        sidecar="Mask",
        common=True,
        methods={
            "run": "the run's brain mask",
            "template": "the template's brain mask",
            OFF: "the image",
        },
    )
    tissue: str | None = _voxels(
        "use voxels of the participant's own grey matter (GM), white matter (WM) or fluid (CSF): "
        "those of a probability of at least 0.5 or as given (GM:0.3), or all, weighted by it "
        "(GM:weight)",
        Kind("TISSUE[:SHARE|:weight]", read=tissue_rule),
        sidecar="Tissue",
    )
    exclude_mask: str | None = _voxels(
        "leave out voxels of lesions: a mask of all participants, or a folder with masks under "
        "BIDS names, in the space of the images",
        NameOrPath("PATH"),
        sidecar="ExcludeMask",
        methods="Voxels of a mask, as of lesions, were left out.",
        mixing="note",
    )
    min_coverage: float = _voxels(
        "smallest share of a sphere's voxels that must have a signal; the sphere is n/a below "
        "it (default: 0.5)",
        Number("SHARE", most=1, unit="a share"),
        default=0.5,
        sidecar="MinimumCoverage",
        methods="{Things} in which less than {percent:g} per cent of the voxels had a signal that "
        "varied over time were set to missing.",
    )
    overlap: Literal["allow", "error", "nearest"] = _voxels(
        "voxels in several spheres of a set: use them in each (default), stop, or give them to "
        "the nearest seed",
        choice("allow", "error", "nearest"),
        default="allow",
        sidecar="Overlap",
        methods={
            "nearest": "Voxels in several {things} of a set were assigned to the nearest {centre}."
        },
    )
    aggregation: Aggregation = _spheres(
        "how the voxels of a sphere make one series (default: mean)",
        choice("mean", "median", "eigenvariate"),
        default="mean",
        sidecar="Aggregation",
        methods={"mean": "mean", "median": "median", "eigenvariate": "first eigenvariate"},
    )
    despike: bool = _spheres(
        "squeeze spikes of every voxel of the spheres first, by the rule of AFNI's 3dDespike",
        sidecar="Despike",
        methods="Spikes in the series of the voxels were squeezed before anything else, by the "
        "rule of AFNI's 3dDespike [@cox1996].",
    )
    smoothing_fwhm: float | None = _spheres(
        "smooth images by a Gaussian of this width first (default: off)",
        _FWHM,
        sidecar="SmoothingFWHM",
        common=True,
    )
    connectivity: tuple[str, ...] = _seeds_at_both(
        "measures of connectivity between spheres: pearson (default), fisher-z, partial, "
        "covariance, precision, ledoit-wolf, spearman",
        _NAME,
        default=("pearson",),
        selects_at_group=True,
        common=True,
    )
    seed_maps: tuple[str, ...] = _seeds_at_both(
        "also write maps of Fisher's z between the named seeds or regions, or all, and every voxel "
        "in the mask; at the group level average and test these maps",
        _NAME,
        default=(),
        alone=ALL,
    )
    effective_dof: bool = _seeds(
        "also write the effective degrees of freedom of each correlation, given the "
        "autocorrelation of both series"
    )
    placement_jitter: str | None = _seeds(
        "also shift every sphere N times (default: 50) at random by at most so many mm, and write "
        "mean and standard deviation of each correlation over these placements",
        Kind("MM[:N]", read=jitter),
    )
    controls: bool = _seeds_at_both(
        "also write how many pairs of series correlate that should not: surrogates with random "
        "phases, spheres in fluid, and mirrored seeds; at the group level average these, and "
        "compare QC-FC with permutations of head motion"
    )
    detrend: bool = _series(
        "remove the linear trend (default: on)", default=True, sidecar="Detrend"
    )
    standardize: Standardize = _series(
        "scale of the series (default: zscore_sample)",
        choice("zscore_sample", "zscore", "psc", OFF, off=False),
        default="zscore_sample",
        sidecar="Standardize",
        methods={
            **dict.fromkeys(
                ("zscore_sample", "True"),
                "standardized to zero mean and unit variance, with the sample standard deviation "
                "(N - 1)",
            ),
            "zscore": "standardized to zero mean and unit variance, with the population standard "
            "deviation (N)",
            "psc": r"expressed as per cent signal change, 100 (x - mean) / \|mean\|",
        },
    )
    min_dof: int = _series(
        "exclude runs with fewer degrees of freedom after cleaning (default: 10)",
        _COUNT,
        default=10,
        sidecar="MinimumDegreesOfFreedom",
        mixing="note",
    )
    dummy_scans: DummyScans = _series(
        "volumes to leave out at the start (those that fMRIPrep marks as non-steady are always "
        "left out); auto: as many as fMRIPrep marks",
        Number("N|auto", whole=True, words=("auto",)),
        affects=_DESIGN,
        sidecar="DummyScans",
        common=True,
    )
    equal_seconds: float | None = _series(
        "after cleaning, use as much data of every run and exclude those with less (default: off)",
        Number("S", zero_is_off=True),
        affects=_DESIGN,
        sidecar="EqualSeconds",
        methods="So that there was as much data of every run, {value:g} s of it were used after "
        "cleaning, namely {which}; runs with less were excluded.",
    )
    equal_seconds_seed: int | None = _series(
        "draw these volumes at random, with this seed (default: the first that are kept)",
        _WHOLE,
        affects=_DESIGN,
        sidecar="EqualSecondsSeed",
        needs=("equal_seconds",),
    )
    full_length: bool = _denoising(
        "keep a row of n/a for every censored volume",
        affects=("series",),
        methods="In the files of time series, volumes left out are rows of missing values.",
    )

    @property
    def placements(self) -> tuple[float, int] | None:
        """Distance of random placements of spheres, mm, and their number."""
        distance, _, number = (self.placement_jitter or "").partition(":")
        return (float(distance), int(number)) if distance else None


def _change(text: str, kind: Kind, key: str, **rest: Any) -> Any:
    return _denoising(text, kind, changes=key, **rest)


_FREQUENCY = Number("HZ", words=(OFF,))


@dataclass(frozen=True)
class StrategyChanges:
    """Options that change a key of every strategy; None leaves it as the strategy has it."""

    filter: str | None = _change(
        "temporal filter of all strategies", choice("butterworth", "cosine", OFF), "filter.type"
    )
    high_pass: float | str | None = _change(
        "lowest frequency that passes the filter, or none", _FREQUENCY, "filter.high_pass"
    )
    low_pass: float | str | None = _change(
        "highest frequency that passes the filter, or none", _FREQUENCY, "filter.low_pass"
    )
    filter_order: int | None = _change("order of the Butterworth filter", _COUNT, "filter.order")
    motion_filter: str | None = _change(
        "filter realignment parameters before framewise displacement is computed: gratton2020, "
        "fair2020, lowpass:BPM, notch:LOW:HIGH in breaths a minute, or none",
        Kind("FILTER"),
        "head_motion.filter",
    )
    head_radius: float | str | None = _change(
        "radius at which rotations count in framewise displacement (default: fMRIPrep's column, "
        "50 mm); auto: of a sphere of the participant's brain volume",
        Number("MM|auto", words=("auto",)),
        "head_motion.head_radius",
    )
    fd_threshold: float | str | None = _change(
        "censor volumes of larger framewise displacement; none is off",
        Number("MM", words=(OFF,)),
        "censor.fd_threshold",
        common=True,
    )
    std_dvars_threshold: float | str | None = _change(
        "censor volumes of larger standardized DVARS; none is off",
        Number("X", words=(OFF,)),
        "censor.std_dvars_threshold",
    )
    rmsd_threshold: float | str | None = _change(
        "censor volumes of larger root mean square displacement; none is off",
        Number("MM", words=(OFF,)),
        "censor.rmsd_threshold",
    )
    censor_combine: Literal["any", "all"] | None = _change(
        "censor volumes above any of the thresholds, or only those above all that are given",
        choice("any", "all"),
        "censor.combine",
    )
    censor_before: int | None = _change(
        "volumes censored before each outlier", _WHOLE, "censor.before"
    )
    censor_after: int | None = _change(
        "volumes censored after each outlier", _WHOLE, "censor.after"
    )
    min_segment: int | None = _change(
        "censor stretches of fewer volumes between censored ones", _WHOLE, "censor.min_segment"
    )
    min_volumes: int | None = _change("exclude runs with fewer volumes left", _WHOLE, "min_volumes")
    min_seconds: float | None = _change(
        "exclude runs with less time left", Number("S"), "min_seconds"
    )

    def as_keys(self) -> dict[str, object]:
        """Keys of a strategy, joined by dots, and their values; None switches one off."""
        given = {
            each.option.changes: getattr(self, each.name) for each in declared_options(type(self))
        }
        off = {key for key, value in given.items() if value == OFF and key != "filter.type"}
        return {k: None if k in off else v for k, v in given.items() if v is not None}


def _labels(what: str, key: str, otherwise: str = "all", **rest: Any) -> Any:
    text = f"{what} to use, with or without {key}-, or @FILE of them (default: {otherwise})"
    return _selection(text, Labels(key=key), default=(), levels=LEVELS, **rest)


@dataclass(frozen=True)
class Selected:
    """Labels to keep, without their keys; empty keeps all (of `space`: the MNI space)."""

    participant_label: tuple[str, ...] = _labels("participants", "sub", common=True)
    session_label: tuple[str, ...] = _labels("sessions", "ses", common=True)
    task_label: tuple[str, ...] = _labels("tasks", "task", common=True, aliases=("--task-id", "-t"))
    acquisition: tuple[str, ...] = _labels("acquisitions", "acq")
    run: tuple[str, ...] = _labels("runs", "run")
    echo: tuple[str, ...] = _labels("echoes", "echo")
    space: tuple[str, ...] = _labels("spaces", "space", "the MNI space", common=True)
    res: tuple[str, ...] = _labels("resolutions", "res")
    bids_filter_file: Path | None = _selection(
        'JSON file of further filters: {"bold": {"direction": "AP", "run": [1, 2]}}', _FILE
    )

    def named(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """Flag, key of the entity and labels of every option that names labels."""
        for declared in declared_options(type(self)):
            kind, labels = declared.option.kind, getattr(self, declared.name)
            if isinstance(kind, Labels) and labels:
                yield declared.flag, kind.key, labels


@dataclass(frozen=True)
class GroupChoices:
    """What is wanted of the group level."""

    model: str | None = _group(
        'variables of participants that explain every edge, as in "age + C(site)"; mean_fd is '
        "the mean framewise displacement",
        Kind("FORMULA"),
        common=True,
    )
    contrast: tuple[str, ...] = _group(
        "test NAME=TERMS, a sum of terms of the model with factors, as old=age or diff=a-0.5*b; "
        "F:NAME=TERMS tests several together, with commas or as all levels of a factor",
        Kind("NAME=TERMS"),
        default=(),
    )
    tail: Literal["two", "positive", "negative"] = _group(
        "tails of tests of the mean and of contrasts (default: two)",
        choice("two", "positive", "negative"),
        default="two",
    )
    inference: tuple[str, ...] = _group(
        "corrections of those tests for the number of edges: fdr (default, always written), and "
        "by permutations maxt (family-wise, every edge), nbs (components above a threshold), tfnbs "
        "(without a threshold), cnbs (pairs of networks); of maps maxt, cluster and tfce",
        choice("fdr", "maxt", "nbs", "tfnbs", "cnbs", "cluster", "tfce"),
        default=("fdr",),
    )
    permutations: int = _group(
        "permutations or sign flips (default: 5000); all, where they are no more",
        _COUNT,
        default=5000,
    )
    seed: int = _group("number that fixes the random permutations (default: 0)", _WHOLE, default=0)
    within: Literal["session", "task", "run"] | None = _group(
        "repeated measures: contrasts compare these conditions within participants, as "
        "change=post-pre, and their reliability is written; with a model the conditions are a "
        "column of it, and standard errors are robust to the rows of a participant",
        choice("session", "task", "run"),
    )
    stability: bool = _group(
        "correlate matrices of split halves and of the first 2, 4, 6 ... minutes of each run with "
        "that of the whole, and find the minutes that pairs of networks need"
    )
    clusters: str | None = _group(
        "column of that table, as site or family, within which errors may be correlated: robust "
        "standard errors (CR2)",
        Kind("COLUMN"),
    )
    weights: Literal["precision"] | None = _group(
        "precision: random effects, which weight participants by how precise their values are",
        choice("precision"),
    )
    harmonize: str | None = _group(
        "column of sites whose shifts and scales ComBat removes before models and contrasts; "
        "effects of the model are kept",
        Kind("COLUMN"),
    )
    harmonize_within: bool = _group(
        "estimate ComBat anew in each permutation, so that tests are not liberal"
    )
    harmonize_from: Path | None = _group(
        "apply the estimates of an earlier call, a *_harmonization.tsv", _FILE
    )
    blocks: str | None = _group(
        "column of that table, as site or family: participants change places within a block alone",
        Kind("COLUMN"),
    )
    whole_blocks: bool = _group(
        "blocks of the same size change places as a whole, or signs, as families do"
    )
    variance_groups: str | None = _group(
        "column of that table: participants with the same value have the same variance, others "
        "may differ (Welch's t for two groups)",
        Kind("COLUMN"),
    )
    nbs_threshold: float = _group(
        "t above which edges join components of nbs (default: 3.1); of an F test its p counts",
        Number("T"),
        default=3.1,
    )
    tfnbs_extent: float = _group(
        "power of the extent of components in tfnbs (default: 0.4)", Number("E"), default=0.4
    )
    tfnbs_height: float = _group(
        "power of the threshold in tfnbs (default: 3)", Number("H"), default=3.0
    )
    tfnbs_step: float = _group(
        "step between thresholds in tfnbs (default: 0.1)", Number("STEP", least=0.001), default=0.1
    )
    cluster_threshold: float = _group(
        "p of voxels that join clusters of maps (default: 0.001)",
        Number("P", most=0.5),
        default=0.001,
    )
    tfce_extent: float = _group(
        "power of the size of clusters in tfce (default: 0.5)", Number("E"), default=0.5
    )
    tfce_height: float = _group(
        "power of the threshold in tfce (default: 2)", Number("H"), default=2.0
    )
    tfce_step: float | Literal["auto"] = _group(
        "step between thresholds in tfce (default: 0.1), or auto: a hundredth of the largest t",
        Number("STEP", least=0.001, words=("auto",)),
        default=0.1,
    )
    participants_table: Path | None = _group(
        "table with these variables (default: participants.tsv of bids_dir, of the raw "
        "dataset it was made from, or of output_dir)",
        _FILE,
        common=True,
    )
    by_session: bool = _group(
        "summarize every session separately (default: average the sessions of a participant)"
    )
    pool_spaces: bool = _group(
        "put participants whose images are in different MNI spaces into one group (default: a "
        "group for every space)"
    )
    qcfc_covariates: tuple[str, ...] = _group(
        "columns of that table, such as age sex, for which the correlation of edges with head "
        "motion (QC-FC) is adjusted",
        Kind("COLUMN"),
        default=(),
    )
    min_participants: int = _group(
        "do not test edges that fewer participants have (default: 3)", _COUNT, default=3
    )
    stacked_format: Literal["tsv", "parquet"] = _group(
        "table with the edges of all participants as compressed text (default), or as Parquet, "
        "which is read faster and needs pyarrow",
        choice("tsv", "parquet"),
        default="tsv",
    )
    multiverse: bool = _group(
        "write effects - means of pairs of networks, and contrasts - under every strategy, radius, "
        "measure and seed set of the same nodes, which are robust, and what each choice changes"
    )
    multiverse_edges: tuple[str, ...] = _group(
        "edges whose mean is one more effect of --multiverse, as PCC,mPFC",
        Kind("NODE,NODE"),
        default=(),
    )
    robust_q: float = _group(
        "q below which an effect of --multiverse is significant (default: 0.05)",
        _SHARE,
        default=0.05,
    )
    robust_share: float = _group(
        "share of analyses in which an effect of one sign must be significant to be robust, among "
        "those whose QC-FC is within chance (default: 0.8)",
        _SHARE,
        default=0.8,
    )
    robust_qcfc: float = _group(
        "largest share of edges that go with head motion (p < 0.05) in an analysis whose QC-FC is "
        "within chance (default: 0.1); with --controls its p by permutations of motion decides",
        _SHARE,
        default=0.1,
    )


@dataclass(frozen=True)
class Execution:
    """Where and how jobs are done; what is written does not depend on it."""

    nprocs: int = option(
        "runs to process in parallel (default: 1)",
        _COUNT,
        default=1,
        levels=LEVELS,
        common=True,
        aliases=("--n-cpus", "-n-cpus", "--nthreads"),
        section="running",
    )
    omp_nthreads: int | None = option(
        "threads per run: with 1 it reads and computes in turn, from 2 on one thread reads "
        "ahead (default: 2, which share one core on a cluster); linear algebra always has one "
        "thread, since sums in another order differ in the last bit",
        _COUNT,
        section="resources",
    )
    mem: int | None = option(
        "memory for the whole call, in MB or as 16GB: fewer runs than --nprocs are processed "
        "in parallel when so many are not expected to fit (default: no limit)",
        Memory(),
        aliases=("--mem-mb",),
        section="resources",
    )
    executor: Literal["local", "dask"] | None = _clusters(
        "where runs are processed: local processes (default), or Dask workers, --nprocs of "
        "them on this machine or as one of the next options says",
        choice("local", "dask"),
    )
    dask_scheduler: str | None = _clusters(
        "use all workers of a running scheduler, as tcp://10.0.0.1:8786; each must see the "
        "folders under the same names and have this version installed",
        Kind("ADDRESS"),
    )
    dask_scheduler_file: Path | None = _clusters(
        "the same, with the file in which dask scheduler --scheduler-file FILE has left its "
        "address",
        _FILE,
    )
    dask_slurm: tuple[str, ...] = _clusters(
        "have Slurm start the workers: settings of dask-jobqueue's SLURMCluster as KEY=VALUE, e.g. "
        "queue=short account=lab walltime=04:00:00 memory=4GB jobs=100. By default --nprocs jobs "
        "with one worker each, --omp-nthreads cores or one, the memory that the largest run needs, "
        "30 minutes, or what jobqueue.yaml says",
        Kind("KEY=VALUE", read=key_and_value),
        default=(),
    )


# Options that wrappers of BIDS Apps type: why they have no effect, and whether they take a value.
IGNORED = {
    "--skip-bids-validation": ("the input is not validated", False),
    "--notrack": ("nothing is tracked", False),
    "--fs-license-file": ("FreeSurfer is not used", True),
}


@dataclass(frozen=True)
class Settings:
    """Settings of one call; at the group level an empty `strategy` stands for all there are."""

    bids_dir: Path = option(
        "fMRIPrep's output, or a dataset with derivatives/fmriprep* in it",
        default=MISSING,
        kind=_FOLDER,
        levels=LEVELS,
    )
    output_dir: Path = option("folder of the results", default=MISSING, kind=_FOLDER, levels=LEVELS)
    analysis_level: str = option(
        "participant: time series and connectivity of every run; group: a summary of what the "
        "participant level has written, or of the part that the options select",
        default=PARTICIPANT,
        kind=Kind("LEVEL"),
        levels=LEVELS,
    )
    atlas: tuple[str, ...] = _seeds_at_both(
        "built-in seed sets: Power2011, Dosenbach2010, Seitzman2018, Raichle2011",
        Kind("NAME", read=seed_set_name),
        default=(),
        common=True,
    )
    seeds: tuple[Path | str, ...] = _seeds_at_both(
        "your own seeds: tables with columns x, y, z in mm and optionally name, radius, network, "
        'and "Space" in a JSON file beside it; or typed, as PCC=0,-52,18',
        PathName("FILE|[NAME=]X,Y,Z", read=file_or_seed),
        default=(),
        common=True,
    )
    parcellation: tuple[str, ...] = _seeds_at_both(
        "regions instead of spheres: images of labels or 4-D images of maps, BIDS-Atlas datasets, "
        "or TemplateFlow's atlases, as Schaefer2018:100Parcels7Networks",
        NameOrPath("FILE|NAME", is_path=Path.exists),
        default=(),
    )
    roi: tuple[Path, ...] = _seeds_at_both(
        "masks of regions, which are one set of regions", _FILE, default=()
    )
    parcellation_space: str | None = _seeds(
        "space of images of regions whose names and JSON files don't say it, and template of "
        "TemplateFlow's atlases (default of these: MNI152NLin2009cAsym)",
        Kind("SPACE"),
        needs=("parcellation", "roi"),
    )
    parcellation_weights: MapWeighting = _seeds(
        "signals of maps: least-squares, all maps together, or mean, weighted by each map "
        "(default: least-squares)",
        choice("least-squares", "mean"),
        default="least-squares",
        needs=("parcellation",),
    )
    radius: tuple[float, ...] = _seeds_at_both(
        "radius of all spheres (default: the seed set's); each set is extracted once per radius",
        _RADIUS,
        default=(),
        common=True,
    )
    processing: Processing = field(default_factory=Processing)
    concatenate: Level | None = _seeds(
        "also relate all selected runs of a task in a session, or of a participant, as one: "
        "each standardized, one after the other",
        choice("session", "participant"),
        common=True,
    )
    strategy: tuple[str, ...] = _denoising(
        f"denoising strategies by name (default: {DEFAULT_STRATEGY}; all: bids-spheres "
        "strategies), or JSON or YAML files of your own",
        NameOrPath("NAME", read=strategy_name, is_path=attrgetter("suffix")),
        default=(DEFAULT_STRATEGY,),
        levels=LEVELS,
        selects_at_group=True,
        common=True,
    )
    changes: StrategyChanges = field(default_factory=StrategyChanges)
    outliers: Path | None = _denoising(
        "your own outlier table (a row per volume, 1 = censored) of a single run, or a folder "
        "with one *_outliers.tsv for every run",
        _FOLDER,
    )
    derivatives: tuple[tuple[str, Path], ...] = _selection(
        "fMRIPrep's output, if it is neither bids_dir nor in bids_dir/derivatives; also "
        "outputs of other programs: aroma=PATH (fMRIPost-AROMA), tedana=PATH, and by any other "
        "name tables of your own, whose columns strategies can name",
        NamedPath(),
        default=(),
        short="-d",
        common=True,
        levels=LEVELS,
    )
    labels: Selected = field(default_factory=Selected)
    bids_database_dir: Path | None = _selection(
        "folder in which pybids keeps its index of the input between calls; delete it when "
        "the input has changed",
        _FOLDER,
    )
    group: GroupChoices = field(default_factory=GroupChoices)
    work_dir: Path | None = _keeping(
        "folder for temporary files (default: the output folder)",
        _FOLDER,
        short="-w",
        common=True,
        levels=LEVELS,
    )
    overwrite: bool = _keeping(
        "make everything again (default: only what is missing or out of date)",
        levels=LEVELS,
        common=True,
    )
    hash_inputs: bool = _keeping(
        "compare the contents of input files instead of sizes and times; takes as long as "
        "reading them"
    )
    strict: bool = _keeping(
        "process nothing when a strategy can't be applied to one of the runs (default: "
        "process the others, and end with status 1)"
    )
    stop_on_first_error: bool = _keeping("stop when a run fails")
    report_level: Literal["participant", "session", "none"] = option(
        "one page for each participant (default), for each session, or none",
        choice("participant", "session", OFF),
        default="participant",
        levels=LEVELS,
        section="reports",
    )
    reports_only: bool = option(
        "only make the pages again, from existing results", levels=LEVELS, section="reports"
    )
    execution: Execution = field(default_factory=Execution)

    @property
    def temporary_dir(self) -> Path:
        """Where temporary files go."""
        return self.work_dir or self.output_dir

    def absolute(self) -> Settings:
        """The same with absolute paths, for processes that have another working directory."""
        return build(Settings, _values(self, "absolute"))

    def to_json(self) -> dict[str, object]:
        """What options stand for these settings, with JSON types only; paths are absolute."""
        shown = _values(self.absolute(), "show").items()
        return {name: list(v) if isinstance(v, tuple) else v for name, v in shown}


def _values(settings: DataclassInstance, form: Literal["absolute", "show"]) -> dict[str, object]:
    """Values of all options by name, those of nested settings too, in a form of their kind."""
    values: dict[str, object] = {}
    for each in fields(settings):
        value = getattr(settings, each.name)
        if "option" not in each.metadata:
            values |= _values(value, form)
            continue
        convert = getattr(each.metadata["option"].kind or Kind(), form)
        if isinstance(value, tuple):
            values[each.name] = tuple(map(convert, value))
        else:
            values[each.name] = None if value is None else convert(value)
    return values


def settings_that_affect(output: Output) -> tuple[str, ...]:
    """Names of the settings of `Processing` on which an output depends."""
    return tuple(d.name for d in declared_options(Processing) if output in d.option.affects)


def sidecar_of(processing: Processing, output: Output) -> dict[str, object]:
    """What the sidecar of an output records of how it was made, under the keys that options name.

    Of "series": what is not recorded of the spheres already.
    """
    return {
        declared.option.sidecar: getattr(processing, declared.name)
        for declared in declared_options(Processing)
        if declared.option.affects[:1] == (output,) and declared.option.sidecar
    }


def methods_of(processing: Processing, output: Output, **words: object) -> dict[str, str]:
    """What the methods text says of how an output was made, by the names of options."""
    return {
        declared.name: declared.option.in_methods(getattr(processing, declared.name), **words)
        for declared in declared_options(Processing)
        if declared.option.affects[:1] == (output,)
    }


def sidecar_keys(**wanted: Any) -> tuple[str, ...]:
    """Keys under which sidecars record settings whose `Option` has some attributes."""
    return tuple(
        declared.option.sidecar
        for declared in declared_options(Processing)
        if all(getattr(declared.option, name) == value for name, value in wanted.items())
    )
