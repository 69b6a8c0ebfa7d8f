"""Every option of the app, each declared once, and the frozen settings that they make.

`Settings` is made once, from the command line, and passed on. Its JSON form is the record of
provenance written beside the outputs, under the names of the options.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bids_spheres.settings.option import build, declared_options, option
from bids_spheres.settings.values import (
    OFF,
    FileOrSeed,
    ImageOrAtlas,
    Kind,
    Labels,
    Memory,
    NamedPath,
    NameOrFile,
    Number,
    PathName,
    SeedSet,
    Setting,
    TissueRule,
    WordOrPath,
    choice,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _typeshed import DataclassInstance

    from bids_spheres.confounds.design import DummyScans
    from bids_spheres.engine.aggregate import Aggregation
    from bids_spheres.engine.clean import Standardize
    from bids_spheres.settings.option import Output

DEFAULT_STRATEGY = "simple"

Level = Literal["session", "participant"]
"""Whose runs are put one after the other."""

PARTICIPANT, GROUP = "participant", "group"
"""Analysis levels."""

MASKS = ("run", "template", OFF)
"""What `mask` can be instead of a file."""

ALL = "all"
"""Word for all seeds, where some can be named."""

_BOTH = (PARTICIPANT, GROUP)
_FILE, _FOLDER, _NAME = PathName("FILE"), PathName(), Kind("NAME")
_COUNT = Number(least=1, whole=True)
_WHOLE = Number(whole=True)
_SPHERES: tuple[Output, ...] = ("spheres", "series")
_SERIES: tuple[Output, ...] = ("series",)


@dataclass(frozen=True)
class Processing:
    """What is done with every run, apart from seeds and strategies."""

    warp_seeds: bool = option(
        False,
        "map seeds between MNI templates by TemplateFlow's transforms (default: use them as they "
        "are, with a note)",
        "seeds",
        affects=_SPHERES,
    )
    mask: str = option(
        "run",
        "voxels that spheres may use (default: run, the brain mask of each run)",
        "seeds",
        WordOrPath("|".join((*MASKS, "PATH")), MASKS),
        affects=_SPHERES,
        sidecar="Mask",
        mixing="refuse",
        common=True,
    )
    tissue: str | None = option(
        None,
        "use voxels of the participant's own grey matter (GM), white matter (WM) or fluid (CSF): "
        "those of a probability of at least 0.5 or as given (GM:0.3), or all, weighted by it "
        "(GM:weight)",
        "seeds",
        TissueRule(),
        affects=_SPHERES,
        sidecar="Tissue",
        mixing="refuse",
    )
    exclude_mask: str | None = option(
        None,
        "leave out voxels of lesions: a mask of all participants, or a folder with masks under "
        "BIDS names, in the space of the images",
        "seeds",
        WordOrPath("PATH"),
        affects=_SPHERES,
        sidecar="ExcludeMask",
        mixing="note",
    )
    min_coverage: float = option(
        0.5,
        "smallest share of a sphere's voxels that must have a signal; the sphere is n/a below "
        "it (default: 0.5)",
        "seeds",
        Number("SHARE", most=1, unit="a share"),
        affects=_SPHERES,
        sidecar="MinimumCoverage",
        mixing="refuse",
    )
    overlap: Literal["allow", "error", "nearest"] = option(
        "allow",
        "voxels in several spheres of a set: use them in each (default), stop, or give them to "
        "the nearest seed",
        "seeds",
        choice("allow", "error", "nearest"),
        affects=_SPHERES,
        sidecar="Overlap",
        mixing="refuse",
    )
    aggregation: Aggregation = option(
        "mean",
        "how the voxels of a sphere make one series (default: mean)",
        "seeds",
        choice("mean", "median", "eigenvariate"),
        affects=_SPHERES,
        sidecar="Aggregation",
        mixing="refuse",
    )
    despike: bool = option(
        False,
        "squeeze spikes of every voxel of the spheres first, by the rule of AFNI's 3dDespike",
        "seeds",
        affects=_SPHERES,
        sidecar="Despike",
        mixing="refuse",
    )
    smoothing_fwhm: float | None = option(
        None,
        "smooth images by a Gaussian of this width first (default: off)",
        "seeds",
        # What is smoothed more is no image any more, and the weights of a sphere fill memory.
        Number("MM", most=40, unit="a length in mm", zero_is_off=True),
        affects=_SPHERES,
        sidecar="SmoothingFWHM",
        mixing="refuse",
        common=True,
    )
    connectivity: tuple[str, ...] = option(
        ("pearson",),
        "measures of connectivity between spheres: pearson (default), fisher-z, partial, "
        "covariance, precision, ledoit-wolf, spearman",
        "seeds",
        _NAME,
        levels=_BOTH,
        selects_at_group=True,
        common=True,
    )
    seed_maps: tuple[str, ...] = option(
        (),
        "also write maps of Fisher's z between the named seeds or regions, or all, and every voxel "
        "in the mask; at the group level average and test these maps",
        "seeds",
        _NAME,
        levels=_BOTH,
        alone=ALL,
    )
    effective_dof: bool = option(
        False,
        "also write the effective degrees of freedom of each correlation, given the "
        "autocorrelation of both series",
        "seeds",
    )
    detrend: bool = option(
        True,
        "remove the linear trend (default: on)",
        "denoising",
        affects=_SERIES,
        sidecar="Detrend",
        mixing="refuse",
    )
    standardize: Standardize = option(
        "zscore_sample",
        "scale of the series (default: zscore_sample)",
        "denoising",
        choice("zscore_sample", "zscore", "psc", OFF, off=False),
        affects=_SERIES,
        sidecar="Standardize",
        mixing="refuse",
    )
    min_dof: int = option(
        10,
        "exclude runs with fewer degrees of freedom after cleaning (default: 10)",
        "denoising",
        _COUNT,
        affects=_SERIES,
        sidecar="MinimumDegreesOfFreedom",
        mixing="note",
    )
    dummy_scans: DummyScans = option(
        None,
        "volumes to leave out at the start; auto: those that fMRIPrep marks as non-steady",
        "denoising",
        Number("N|auto", whole=True, words=("auto",)),
        affects=("design", "series"),
        sidecar="DummyScans",
        mixing="refuse",
        common=True,
    )
    equal_seconds: float | None = option(
        None,
        "after cleaning, use as much data of every run and exclude those with less (default: off)",
        "denoising",
        Number("S", zero_is_off=True),
        affects=("design", "series"),
        sidecar="EqualSeconds",
        mixing="refuse",
    )
    equal_seconds_seed: int | None = option(
        None,
        "draw these volumes at random, with this seed (default: the first that are kept)",
        "denoising",
        _WHOLE,
        affects=("design", "series"),
        sidecar="EqualSecondsSeed",
        mixing="refuse",
    )
    full_length: bool = option(
        False, "keep a row of n/a for every censored volume", "denoising", affects=_SERIES
    )


def _change(text: str, kind: Kind, key: str, **rest: Any) -> Any:
    return option(None, text, "denoising", kind, changes=key, **rest)


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
    return option((), text, "selection of runs", Labels(key=key), levels=_BOTH, **rest)


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
    bids_filter_file: Path | None = option(
        None,
        'JSON file of further filters: {"bold": {"direction": "AP", "run": [1, 2]}}',
        "selection of runs",
        _FILE,
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

    model: str | None = option(
        None,
        'variables of participants that explain every edge, as in "age + C(site)"; mean_fd is '
        "the mean framewise displacement",
        "group level",
        Kind("FORMULA"),
        levels=(GROUP,),
        common=True,
    )
    contrast: tuple[str, ...] = option(
        (),
        "test NAME=TERMS, a sum of terms of the model with factors, as old=age or diff=a-0.5*b; "
        "F:NAME=TERMS tests several together, with commas or as all levels of a factor",
        "group level",
        Kind("NAME=TERMS"),
        levels=(GROUP,),
    )
    tail: Literal["two", "positive", "negative"] = option(
        "two",
        "tails of tests of the mean and of contrasts (default: two)",
        "group level",
        choice("two", "positive", "negative"),
        levels=(GROUP,),
    )
    inference: tuple[str, ...] = option(
        ("fdr",),
        "corrections of those tests for the number of edges: fdr (default, always written), and "
        "by permutations maxt (family-wise, every edge), nbs (components above a threshold), tfnbs "
        "(without a threshold), cnbs (pairs of networks); of maps maxt, cluster and tfce",
        "group level",
        choice("fdr", "maxt", "nbs", "tfnbs", "cnbs", "cluster", "tfce"),
        levels=(GROUP,),
    )
    permutations: int = option(
        5000,
        "permutations or sign flips (default: 5000); all, where they are no more",
        "group level",
        _COUNT,
        levels=(GROUP,),
    )
    seed: int = option(
        0,
        "number that fixes the random permutations (default: 0)",
        "group level",
        _WHOLE,
        levels=(GROUP,),
    )
    within: Literal["session", "task", "run"] | None = option(
        None,
        "repeated measures: contrasts compare these conditions within participants, as "
        "change=post-pre, and their reliability is written; with a model the conditions are a "
        "column of it, and standard errors are robust to the rows of a participant",
        "group level",
        choice("session", "task", "run"),
        levels=(GROUP,),
    )
    clusters: str | None = option(
        None,
        "column of that table, as site or family, within which errors may be correlated: robust "
        "standard errors (CR2)",
        "group level",
        Kind("COLUMN"),
        levels=(GROUP,),
    )
    weights: Literal["precision"] | None = option(
        None,
        "precision: random effects, which weight participants by how precise their values are",
        "group level",
        choice("precision"),
        levels=(GROUP,),
    )
    harmonize: str | None = option(
        None,
        "column of sites whose shifts and scales ComBat removes before models and contrasts; "
        "effects of the model are kept",
        "group level",
        Kind("COLUMN"),
        levels=(GROUP,),
    )
    harmonize_within: bool = option(
        False,
        "estimate ComBat anew in each permutation, so that tests are not liberal",
        "group level",
        levels=(GROUP,),
    )
    harmonize_from: Path | None = option(
        None,
        "apply the estimates of an earlier call, a *_harmonization.tsv",
        "group level",
        _FILE,
        levels=(GROUP,),
    )
    blocks: str | None = option(
        None,
        "column of that table, as site or family: participants change places within a block alone",
        "group level",
        Kind("COLUMN"),
        levels=(GROUP,),
    )
    whole_blocks: bool = option(
        False,
        "blocks of the same size change places as a whole, or signs, as families do",
        "group level",
        levels=(GROUP,),
    )
    variance_groups: str | None = option(
        None,
        "column of that table: participants with the same value have the same variance, others "
        "may differ (Welch's t for two groups)",
        "group level",
        Kind("COLUMN"),
        levels=(GROUP,),
    )
    nbs_threshold: float = option(
        3.1,
        "t above which edges join components of nbs (default: 3.1); of an F test its p counts",
        "group level",
        Number("T"),
        levels=(GROUP,),
    )
    tfnbs_extent: float = option(
        0.4,
        "power of the extent of components in tfnbs (default: 0.4)",
        "group level",
        Number("E"),
        levels=(GROUP,),
    )
    tfnbs_height: float = option(
        3.0,
        "power of the threshold in tfnbs (default: 3)",
        "group level",
        Number("H"),
        levels=(GROUP,),
    )
    tfnbs_step: float = option(
        0.1,
        "step between thresholds in tfnbs (default: 0.1)",
        "group level",
        Number("STEP", least=0.001),
        levels=(GROUP,),
    )
    cluster_threshold: float = option(
        0.001,
        "p of voxels that join clusters of maps (default: 0.001)",
        "group level",
        Number("P", most=0.5),
        levels=(GROUP,),
    )
    tfce_extent: float = option(
        0.5,
        "power of the size of clusters in tfce (default: 0.5)",
        "group level",
        Number("E"),
        levels=(GROUP,),
    )
    tfce_height: float = option(
        2.0,
        "power of the threshold in tfce (default: 2)",
        "group level",
        Number("H"),
        levels=(GROUP,),
    )
    tfce_step: float | Literal["auto"] = option(
        0.1,
        "step between thresholds in tfce (default: 0.1), or auto: a hundredth of the largest t",
        "group level",
        Number("STEP", least=0.001, words=("auto",)),
        levels=(GROUP,),
    )
    participants_table: Path | None = option(
        None,
        "table with these variables (default: participants.tsv of bids_dir, of the raw "
        "dataset it was made from, or of output_dir)",
        "group level",
        _FILE,
        levels=(GROUP,),
        common=True,
    )
    by_session: bool = option(
        False,
        "summarize every session separately (default: average the sessions of a participant)",
        "group level",
        levels=(GROUP,),
    )
    pool_spaces: bool = option(
        False,
        "put participants whose images are in different MNI spaces into one group (default: a "
        "group for every space)",
        "group level",
        levels=(GROUP,),
    )
    qcfc_covariates: tuple[str, ...] = option(
        (),
        "columns of that table, such as age sex, for which the correlation of edges with head "
        "motion (QC-FC) is adjusted",
        "group level",
        Kind("COLUMN"),
        levels=(GROUP,),
    )
    min_participants: int = option(
        3,
        "do not test edges that fewer participants have (default: 3)",
        "group level",
        _COUNT,
        levels=(GROUP,),
    )
    stacked_format: Literal["tsv", "parquet"] = option(
        "tsv",
        "table with the edges of all participants as compressed text (default), or as Parquet, "
        "which is read faster and needs pyarrow",
        "group level",
        choice("tsv", "parquet"),
        levels=(GROUP,),
    )


@dataclass(frozen=True)
class Execution:
    """Where and how jobs are done; what is written does not depend on it."""

    nprocs: int = option(
        1,
        "runs to process in parallel (default: 1)",
        "running",
        _COUNT,
        levels=_BOTH,
        common=True,
        aliases=("--n-cpus", "-n-cpus", "--nthreads"),
    )
    omp_nthreads: int | None = option(
        None,
        "threads per run: with 1 it reads and computes in turn, from 2 on one thread reads "
        "ahead (default: 2, which share one core on a cluster); linear algebra always has one "
        "thread, since sums in another order differ in the last bit",
        "resources",
        _COUNT,
    )
    mem: int | None = option(
        None,
        "memory for the whole call, in MB or as 16GB: fewer runs than --nprocs are processed "
        "in parallel when so many are not expected to fit (default: no limit)",
        "resources",
        Memory(),
        aliases=("--mem-mb",),
    )
    executor: Literal["local", "dask"] | None = option(
        None,
        "where runs are processed: local processes (default), or Dask workers, --nprocs of "
        "them on this machine or as one of the next options says",
        "clusters",
        choice("local", "dask"),
        levels=_BOTH,  # where the group level says by itself that it has no effect
    )
    dask_scheduler: str | None = option(
        None,
        "use all workers of a running scheduler, as tcp://10.0.0.1:8786; each must see the "
        "folders under the same names and have this version installed",
        "clusters",
        Kind("ADDRESS"),
        levels=_BOTH,  # where the group level says by itself that it has no effect
    )
    dask_scheduler_file: Path | None = option(
        None,
        "the same, with the file in which dask scheduler --scheduler-file FILE has left its "
        "address",
        "clusters",
        _FILE,
        levels=_BOTH,  # where the group level says by itself that it has no effect
    )
    dask_slurm: tuple[str, ...] = option(
        (),
        "have Slurm start the workers: settings of dask-jobqueue's SLURMCluster as KEY=VALUE, e.g. "
        "queue=short account=lab walltime=04:00:00 memory=4GB jobs=100. By default --nprocs jobs "
        "with one worker each, --omp-nthreads cores or one, the memory that the largest run needs, "
        "30 minutes, or what jobqueue.yaml says",
        "clusters",
        Setting(),
        levels=_BOTH,  # where the group level says by itself that it has no effect
    )


class IgnoredOption(NamedTuple):
    """An option that wrappers of BIDS Apps type, and that has no effect here."""

    why: str
    takes_value: bool = False


IGNORED = {
    "--skip-bids-validation": IgnoredOption("the input is not validated"),
    "--notrack": IgnoredOption("nothing is tracked"),
    "--fs-license-file": IgnoredOption("FreeSurfer is not used", takes_value=True),
}


@dataclass(frozen=True)
class Settings:
    """Settings of one call; at the group level an empty `strategy` stands for all there are."""

    bids_dir: Path = option(
        MISSING,
        "fMRIPrep's output, or a dataset with derivatives/fmriprep* in it",
        kind=_FOLDER,
        levels=_BOTH,
    )
    output_dir: Path = option(MISSING, "folder of the results", kind=_FOLDER, levels=_BOTH)
    analysis_level: str = option(
        PARTICIPANT,
        "participant: time series and connectivity of every run; group: a summary of what the "
        "participant level has written, or of the part that the options select",
        kind=Kind("LEVEL"),
        levels=_BOTH,
    )
    atlas: tuple[str, ...] = option(
        (),
        "built-in seed sets: Power2011, Dosenbach2010, Seitzman2018, Raichle2011",
        "seeds",
        SeedSet(),
        levels=_BOTH,
        common=True,
    )
    seeds: tuple[Path | str, ...] = option(
        (),
        "your own seeds: tables with columns x, y, z in mm and optionally name, radius, network, "
        'and "Space" in a JSON file beside it; or typed, as PCC=0,-52,18',
        "seeds",
        FileOrSeed(),
        levels=_BOTH,
        common=True,
    )
    parcellation: tuple[str, ...] = option(
        (),
        "regions instead of spheres: images of labels or 4-D images of maps, BIDS-Atlas datasets, "
        "or TemplateFlow's atlases, as Schaefer2018:100Parcels7Networks",
        "seeds",
        ImageOrAtlas(),
        levels=_BOTH,
    )
    roi: tuple[Path, ...] = option(
        (),
        "masks of regions, which are one set of regions",
        "seeds",
        _FILE,
        levels=_BOTH,
    )
    parcellation_space: str | None = option(
        None,
        "space of images of regions whose names and JSON files don't say it, and template of "
        "TemplateFlow's atlases (default of these: MNI152NLin2009cAsym)",
        "seeds",
        Kind("SPACE"),
    )
    parcellation_weights: str = option(
        "least-squares",
        "signals of maps: least-squares, all maps together, or mean, weighted by each map "
        "(default: least-squares)",
        "seeds",
        choice("least-squares", "mean"),
    )
    radius: tuple[float, ...] = option(
        (),
        "radius of all spheres (default: the seed set's); each set is extracted once per radius",
        "seeds",
        # Longer than a head: a larger radius is in other units.
        Number("MM", most=1000, unit="a length in mm"),
        levels=_BOTH,
        common=True,
    )
    processing: Processing = field(default_factory=Processing)
    concatenate: Level | None = option(
        None,
        "also relate all selected runs of a task in a session, or of a participant, as one: "
        "each standardized, one after the other",
        "seeds",
        choice("session", "participant"),
        common=True,
    )
    strategy: tuple[str, ...] = option(
        (DEFAULT_STRATEGY,),
        f"denoising strategies by name (default: {DEFAULT_STRATEGY}; all: bids-spheres "
        "strategies), or JSON or YAML files of your own",
        "denoising",
        NameOrFile(),
        levels=_BOTH,
        selects_at_group=True,
        common=True,
    )
    changes: StrategyChanges = field(default_factory=StrategyChanges)
    outliers: Path | None = option(
        None,
        "your own outlier table (a row per volume, 1 = censored) of a single run, or a folder "
        "with one *_outliers.tsv for every run",
        "denoising",
        _FOLDER,
    )
    derivatives: tuple[tuple[str, Path], ...] = option(
        (),
        "fMRIPrep's output, if it is neither bids_dir nor in bids_dir/derivatives; also "
        "outputs of other programs: aroma=PATH (fMRIPost-AROMA), tedana=PATH, and by any other "
        "name tables of your own, whose columns strategies can name",
        "selection of runs",
        NamedPath(),
        short="-d",
        common=True,
    )
    labels: Selected = field(default_factory=Selected)
    bids_database_dir: Path | None = option(
        None,
        "folder in which pybids keeps its index of the input between calls; delete it when "
        "the input has changed",
        "selection of runs",
        _FOLDER,
    )
    group: GroupChoices = field(default_factory=GroupChoices)
    work_dir: Path | None = option(
        None,
        "folder for temporary files (default: the output folder)",
        "keeping and repeating",
        _FOLDER,
        short="-w",
        common=True,
        levels=_BOTH,
    )
    overwrite: bool = option(
        False,
        "make everything again (default: only what is missing or out of date)",
        "keeping and repeating",
        levels=_BOTH,
        common=True,
    )
    hash_inputs: bool = option(
        False,
        "compare the contents of input files instead of sizes and times; takes as long as "
        "reading them",
        "keeping and repeating",
    )
    strict: bool = option(
        False,
        "process nothing when a strategy can't be applied to one of the runs (default: "
        "process the others, and end with status 1)",
        "keeping and repeating",
    )
    stop_on_first_error: bool = option(False, "stop when a run fails", "keeping and repeating")
    report_level: Literal["participant", "session", "none"] = option(
        "participant",
        "one page for each participant (default), for each session, or none",
        "reports",
        choice("participant", "session", OFF),
        levels=_BOTH,
    )
    reports_only: bool = option(
        False,
        "only make the pages again, from existing results",
        "reports",
        levels=_BOTH,
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


def sidecar_keys(mixing: str) -> tuple[str, ...]:
    """Keys under which sidecars record settings that the group level treats in one way."""
    declared = declared_options(Processing)
    return tuple(d.option.sidecar for d in declared if d.option.mixing == mixing)
