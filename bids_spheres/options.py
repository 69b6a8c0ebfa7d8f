"""Options of the command line, and what they make: `Settings`.

Imports at the top are cheap, so that ``--help`` and ``--version`` answer at once.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, NoReturn

from bids_spheres import __version__
from bids_spheres.argument_types import (
    ExtendByLists,
    count,
    dummy_scans,
    label_reader,
    length,
    megabytes,
    named_path,
    number,
    number_or_off,
    share,
    slurm_word,
    whole,
    width,
)
from bids_spheres.errors import EXIT_STATUSES, UnknownLevelError, UsageError, printable
from bids_spheres.settings import (
    DEFAULT_STRATEGY,
    GROUP,
    OFF,
    OVERRIDES,
    PARTICIPANT,
    Execution,
    GroupChoices,
    Labels,
    Processing,
    Settings,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_EXAMPLES = """\
Try it on simulated data:      bids-spheres demo demo-output
See the denoising strategies:  bids-spheres strategies
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are a line and a hint, without a page of all options."""

    def error(self, message: str) -> NoReturn:
        hint = f"{self.prog} --help tells all options."
        if message.startswith("the following arguments are required"):
            hint = (
                "Give them first, before all options: one that takes several values, as --atlas "
                "and --seeds do, takes every word up to the next option."
            )
        shown = printable(message if len(message) < 400 else f"{message[:400]}...")
        self.exit(2, f"{self.prog}: error: {shown}\n  hint: {hint}\n")


def main_parser() -> argparse.ArgumentParser:
    """Parser of the BIDS App."""
    parser = _Parser(
        prog="bids-spheres",
        description="Time series and connectivity of spheres around seed coordinates, "
        "from fMRIPrep's output.",
        epilog=f"{_EXAMPLES}\n{_told_statuses()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "bids_dir",
        type=Path,
        help="fMRIPrep's output, or a dataset with derivatives/fmriprep* in it",
    )
    parser.add_argument("output_dir", type=Path, help="folder of the results")
    parser.add_argument(
        "analysis_level",
        help="participant: time series and connectivity of every run; group: a summary of what "
        "that level has written for all participants, of whom or which the options choose",
    )
    _add_seed_options(parser)
    _add_denoising_options(parser)
    _add_selection_options(parser)
    _add_group_options(parser)
    _add_running_options(parser)
    _add_common_options(parser)
    _add_resource_options(parser)
    _add_cluster_options(parser)
    return parser


def _told_statuses() -> str:
    """Lines that say what every exit status means."""
    told = "; ".join(f"{status} {meaning}" for status, meaning in EXIT_STATUSES.items())
    return fill(f"Exit status: 0 all done; {told}.", width=88)


def demo_parser() -> argparse.ArgumentParser:
    """Parser of ``bids-spheres demo``."""
    parser = _Parser(
        prog="bids-spheres demo",
        description="Write a small simulated fMRIPrep dataset and run both levels on it.",
        allow_abbrev=False,
    )
    parser.add_argument("output_dir", type=Path, help="folder to write everything into")
    _add_common_options(parser)
    return parser


def strategies_parser() -> argparse.ArgumentParser:
    """Parser of ``bids-spheres strategies``."""
    parser = _Parser(
        prog="bids-spheres strategies",
        description="Tell what denoising strategies regress out, censor and filter.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "strategy", nargs="*", metavar="NAME", help="names, or files of your own (default: all)"
    )
    _add_talk_options(parser.add_argument_group("running"))
    return parser


_GROUP_ONLY = frozenset(GroupChoices.__dataclass_fields__)
_GROUP_TOO = frozenset(
    {
        *("bids_dir", "output_dir", "analysis_level", "config", "dry_run"),
        *("participant_label", "session_label", "task_label", "acquisition", "run", "echo"),
        *("space", "res", "atlas", "seeds", "radius", "strategy", "connectivity"),
        *("report_level", "reports_only", "overwrite", "verbose", "quiet", "debug", "nprocs"),
        *("executor", "dask_scheduler", "dask_scheduler_file", "dask_slurm"),  # told by itself
    }
)


def idle_options(level: str, typed: Iterable[str]) -> list[str]:
    """Flags of those options that change nothing at an analysis level.

    Parameters
    ----------
    level : str
    typed : iterable of str
        Names of options that the user typed.

    Raises
    ------
    UsageError
        When one promises that nothing is written, and is not of that level.
    """
    names = set(typed)
    idle = names - _GROUP_ONLY - _GROUP_TOO if level == GROUP else names & _GROUP_ONLY
    if "explain" in idle:
        raise UsageError(
            "--explain is of the participant level.",
            hint="At the group level --dry-run tells what there is, and writes nothing.",
        )
    return sorted(f"--{name.replace('_', '-')}" for name in idle)


def settings_of(options: argparse.Namespace) -> Settings:
    """Settings that the options of `main_parser` stand for.

    Raises
    ------
    UnknownLevelError
        When there is no such analysis level.
    UsageError
        When options contradict each other.
    """
    if options.analysis_level not in (PARTICIPANT, GROUP):
        raise UnknownLevelError(
            f"There is no analysis level {options.analysis_level!r}.",
            hint=f"The levels are {PARTICIPANT} and, when that is done, {GROUP}.",
        )
    given = vars(options)
    # What a group is made of is chosen among what there is; what is not named is not chosen from.
    defaults = options.analysis_level == PARTICIPANT
    return Settings(
        bids_dir=options.bids_dir,
        output_dir=options.output_dir,
        analysis_level=options.analysis_level,
        derivatives=tuple(options.derivatives),
        labels=_labels(given),
        atlas=tuple(options.atlas),
        seeds=tuple(options.seeds),
        radius=tuple(dict.fromkeys(options.radius)),
        strategy=tuple(options.strategy or [DEFAULT_STRATEGY] * defaults),
        overrides=tuple(
            (key, None if given[name] == OFF and name != "filter" else given[name])
            for name, key in OVERRIDES.items()
            if given[name] is not None
        ),
        outliers=options.outliers,
        processing=_processing(options, ["pearson"] * defaults),
        concatenate=options.concatenate,
        group=GroupChoices(
            model=options.model,
            participants_table=options.participants_table,
            by_session=options.by_session,
            pool_spaces=options.pool_spaces,
            qcfc_covariates=tuple(options.qcfc_covariates),
            min_participants=options.min_participants,
        ),
        bids_database_dir=options.bids_database_dir,
        work_dir=options.work_dir,
        execution=_execution(options),
        report_level=options.report_level,
        reports_only=options.reports_only,
        overwrite=options.overwrite,
        hash_inputs=options.hash_inputs,
        strict=options.strict,
        stop_on_first_error=options.stop_on_first_error,
    )


def _labels(given: dict[str, Any]) -> Labels:
    fields = [name for name in Labels.__dataclass_fields__ if name != "bids_filter_file"]
    labels = {name: tuple(given[name]) for name in fields}
    return Labels(**labels, bids_filter_file=given["bids_filter_file"])


def _processing(options: argparse.Namespace, measures: Iterable[str]) -> Processing:
    return Processing(
        detrend=options.detrend,
        standardize=False if options.standardize == OFF else options.standardize,
        dummy_scans=options.dummy_scans,
        min_dof=options.min_dof,
        full_length=options.full_length,
        mask=options.mask,
        min_coverage=options.min_coverage,
        overlap=options.overlap,
        warp_seeds=options.warp_seeds,
        aggregation=options.aggregation,
        smoothing_fwhm=options.smoothing_fwhm or None,
        connectivity=tuple(options.connectivity or measures),
        seed_maps=options.seed_maps,
        effective_dof=options.effective_dof,
    )


_DASK = ("dask_scheduler", "dask_scheduler_file", "dask_slurm")
"""Options each of which says where workers are."""


def _execution(options: argparse.Namespace) -> Execution:
    """Where jobs are done.

    Raises
    ------
    UsageError
        When options contradict each other.
    """
    given = [name for name in _DASK if getattr(options, name)]
    flags = [f"--{name.replace('_', '-')}" for name in given]
    if len(flags) > 1:
        raise UsageError(
            f"{flags[0]} and {flags[1]} both say where the workers are.", hint="Give one of them."
        )
    if flags and options.executor == "local":
        raise UsageError(
            f"--executor local does not go with {flags[0]}.",
            hint="Leave one of them out; --executor dask is meant when workers are named.",
        )
    if flags and options.mem:
        raise UsageError(
            f"--mem limits a call on one machine, and {flags[0]} has the jobs done elsewhere.",
            hint="For Slurm give the memory of each job, as in --dask-slurm memory=4GB.",
        )
    return Execution(
        executor="dask" if flags else options.executor or "local",
        nprocs=options.nprocs,
        omp_nthreads=options.omp_nthreads,
        mem=options.mem,
        dask_scheduler=options.dask_scheduler,
        dask_scheduler_file=options.dask_scheduler_file,
        dask_slurm=tuple(options.dask_slurm),
    )


def _add_seed_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("seeds")
    group.add_argument(
        "--atlas",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="built-in seed sets: Power2011, Dosenbach2010, Seitzman2018, Raichle2011",
    )
    group.add_argument(
        "--seeds",
        nargs="+",
        action="extend",
        default=[],
        type=Path,
        metavar="FILE",
        help="your own seeds: TSV or CSV with columns x, y, z in mm and optionally name, radius, "
        'network; "Space" in a JSON file beside it',
    )
    group.add_argument(
        "--radius",
        nargs="+",
        action="extend",
        default=[],
        type=length,
        metavar="MM",
        help="radius of all spheres (default: the seed set's); several give every set with each",
    )
    _add_sphere_options(group)
    _add_relation_options(group)


def _add_sphere_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        *_both("--warp-seeds"),
        action="store_true",
        help="map seeds between MNI templates by TemplateFlow's transforms (default: use them "
        "as they are, with a note)",
    )
    group.add_argument(
        "--mask",
        default="run",
        metavar="run|template|none|PATH",
        help="voxels that spheres may use (default: run, the brain mask of each)",
    )
    group.add_argument(
        *_both("--min-coverage"),
        type=share,
        default=0.5,
        metavar="SHARE",
        help="share of a sphere's voxels that must have a signal, else it is n/a (default: 0.5)",
    )
    group.add_argument(
        "--overlap",
        choices=("allow", "error", "nearest"),
        default="allow",
        help="voxels in several spheres of a set: use them in each (default), stop, or give "
        "them to the nearest seed",
    )
    group.add_argument(
        "--aggregation",
        choices=("mean", "median", "eigenvariate"),
        default="mean",
        help="what makes one series of a sphere's voxels; medians and eigenvariates are of voxels "
        "that were cleaned (default: mean)",
    )
    group.add_argument(
        *_both("--smoothing-fwhm"),
        type=width,
        metavar="MM",
        help="smooth images by a Gaussian of this width first (default: don't)",
    )


def _add_relation_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--connectivity",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="relations between spheres: pearson (default), fisher-z, partial, covariance, "
        "precision, ledoit-wolf, spearman",
    )
    group.add_argument(
        *_both("--seed-maps"),
        action="store_true",
        help="also write a map of Fisher's z of every seed with every voxel in the mask",
    )
    group.add_argument(
        *_both("--effective-dof"),
        action="store_true",
        help="also write the effective degrees of freedom of each correlation, given the "
        "autocorrelation of both series",
    )
    group.add_argument(
        "--concatenate",
        choices=("session", "participant"),
        help="also relate the series of all selected runs of a task in a session, or of a "
        "participant: one run after the other, each standardized first",
    )


def _add_denoising_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("denoising")
    group.add_argument(
        "--strategy",
        nargs="+",
        action="extend",
        metavar="NAME",
        help=f"denoising strategies by name (default: {DEFAULT_STRATEGY}; all: bids-spheres "
        "strategies), or JSON or YAML files of your own",
    )
    group.add_argument(
        "--explain",
        action="store_true",
        help="only tell what the strategies come to in each run; no image is read",
    )
    group.add_argument(
        "--detrend",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="remove the linear trend (default: do)",
    )
    group.add_argument(
        "--standardize",
        choices=("zscore_sample", "zscore", "psc", OFF),
        default="zscore_sample",
        help="scale of the series (default: zscore_sample)",
    )
    _add_filter_options(group)
    _add_censoring_options(group)


def _add_filter_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--filter", choices=("butterworth", "cosine", OFF), help="temporal filter of all strategies"
    )
    for name, what in (("high-pass", "lowest"), ("low-pass", "highest")):
        told = f"{what} frequency that passes the filter, or none"
        group.add_argument(*_both(f"--{name}"), type=number_or_off, metavar="HZ", help=told)
    group.add_argument(
        *_both("--filter-order"), type=count, metavar="N", help="of the Butterworth filter"
    )


def _add_censoring_options(group: argparse._ArgumentGroup) -> None:
    for name, unit, told in (
        ("fd-threshold", "MM", "censor volumes of larger framewise displacement; none is off"),
        ("std-dvars-threshold", "X", "censor volumes of larger standardized DVARS; none is off"),
    ):
        group.add_argument(*_both(f"--{name}"), type=number_or_off, metavar=unit, help=told)
    for name, told in (
        ("censor-before", "volumes censored before each outlier"),
        ("censor-after", "volumes censored after each outlier"),
        ("min-segment", "censor stretches of fewer volumes between censored ones"),
        ("min-volumes", "exclude runs with fewer volumes left"),
    ):
        group.add_argument(*_both(f"--{name}"), type=whole, metavar="N", help=told)
    group.add_argument(
        *_both("--min-seconds"), type=number, metavar="S", help="exclude runs with less time left"
    )
    group.add_argument(
        *_both("--min-dof"),
        type=count,
        default=10,
        metavar="N",
        help="exclude runs with fewer degrees of freedom after cleaning (default: 10)",
    )
    group.add_argument(
        *_both("--dummy-scans"),
        type=dummy_scans,
        metavar="N|auto",
        help="volumes to leave out at the start; auto: those that fMRIPrep calls non-steady",
    )
    group.add_argument(
        "--outliers",
        type=Path,
        metavar="PATH",
        help="your own outlier table (a row per volume, 1 = censored) of a single run, or a "
        "folder with one *_outliers.tsv for every run",
    )
    group.add_argument(
        *_both("--full-length"),
        action="store_true",
        help="keep a row of n/a for every censored volume",
    )


def _add_selection_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("selection of runs")
    group.add_argument(
        "-d",
        "--derivatives",
        nargs="+",
        action="extend",
        default=[],
        type=named_path,
        metavar="[NAME=]PATH",
        help="fMRIPrep's output, when it is neither bids_dir nor in bids_dir/derivatives; and "
        "what goes with it: aroma=PATH (fMRIPost-AROMA), tedana=PATH",
    )
    for flag, key, what in (
        ("participant-label", "sub", "participants"),
        ("session-label", "ses", "sessions"),
        ("task-label", "task", "tasks"),
        ("acquisition", "acq", "acquisitions"),
        ("run", "run", "runs"),
        ("echo", "echo", "echoes"),
        ("space", "space", "spaces"),
        ("res", "res", "resolutions"),
    ):
        otherwise = "the MNI space" if key == "space" else "all"
        told = f"{what} to use, with or without {key}-, or @FILE of them (default: {otherwise})"
        _add_labels(group, *_both(f"--{flag}"), key=key, told=told)

    group.add_argument(
        *_both("--bids-filter-file"),
        type=Path,
        metavar="FILE",
        help='JSON file of further filters: {"bold": {"direction": "AP", "run": [1, 2]}}',
    )
    group.add_argument(
        *_both("--bids-database-dir"),
        type=Path,
        metavar="PATH",
        help="folder in which pybids keeps its index of the input from call to call; delete it "
        "when the input has changed",
    )


def _add_labels(group: argparse._ArgumentGroup, *flags: str, key: str, told: str) -> None:
    """Add an option that takes labels of an entity, or ``@FILE`` with such labels."""
    group.add_argument(
        *flags,
        nargs="+",
        action=ExtendByLists,
        default=[],
        type=label_reader(key),
        metavar="LABEL",
        help=told,
    )


def _add_group_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("group level")
    group.add_argument(
        "--model",
        metavar="FORMULA",
        help='variables of participants that explain every edge, as in "age + C(site)"; mean_fd '
        "is the mean framewise displacement",
    )
    group.add_argument(
        *_both("--participants-table"),
        type=Path,
        metavar="FILE",
        help="table of these variables (default: participants.tsv of bids_dir, of the raw dataset "
        "it was made from, or of output_dir)",
    )
    group.add_argument(
        *_both("--by-session"),
        action="store_true",
        help="summarize every session by itself (default: average the sessions of a participant)",
    )
    group.add_argument(
        *_both("--pool-spaces"),
        action="store_true",
        help="put participants whose images are in different MNI spaces into one group (default: a "
        "group for every space)",
    )
    group.add_argument(
        *_both("--qcfc-covariates"),
        nargs="+",
        action="extend",
        default=[],
        metavar="COLUMN",
        help="columns of that table, such as age sex, that the correlation of edges with head "
        "motion (QC-FC) is adjusted for",
    )
    group.add_argument(
        *_both("--min-participants"),
        type=count,
        default=3,
        metavar="N",
        help="test no edge that fewer participants have (default: 3)",
    )


def _add_running_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("keeping and repeating")
    group.add_argument(
        *_both("--dry-run"),
        action="store_true",
        help="only tell which runs were found, what is missing, and what would be written",
    )
    group.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="JSON or YAML file of options by their names, such as logs/*_settings.json of an "
        "earlier call; what the command line says counts more",
    )
    group.add_argument(
        *("-w", *_both("--work-dir")),
        type=Path,
        metavar="PATH",
        help="folder for temporary files (default: the output folder)",
    )
    for name, told in (
        ("overwrite", "make everything again (default: what is missing or out of date)"),
        (
            "hash-inputs",
            "compare what is in input files, not sizes and times; takes as long as to read them",
        ),
        (
            "strict",
            (
                "do nothing when a strategy can't be applied to one of the runs (default: do all "
                "others, and end with status 1)"
            ),
        ),
        ("stop-on-first-error", "don't go on with other runs when one has failed"),
    ):
        group.add_argument(*_both(f"--{name}"), action="store_true", help=told)
    _add_report_options(parser.add_argument_group("reports"))


def _add_report_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        *_both("--report-level"),
        choices=("participant", "session", "none"),
        default="participant",
        help="one page for each participant (default), for each session, or none",
    )
    group.add_argument(
        *_both("--reports-only"),
        action="store_true",
        help="only make the pages again, from results that are there",
    )


def _add_common_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("running")
    group.add_argument(
        "--nprocs",
        type=count,
        default=1,
        metavar="N",
        help="runs at work in parallel (default: 1)",
    )
    _add_talk_options(group)


def _add_resource_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("resources; what is written does not depend on them")
    group.add_argument(
        *_both("--omp-nthreads"),
        type=count,
        metavar="N",
        help="threads of one run: 1 reads and computes by turns, from 2 on one of them reads ahead "
        "(default: that, on one core of a cluster); linear algebra has one thread always, since "
        "sums in another order differ in the last bit",
    )
    group.add_argument(
        "--mem",
        type=megabytes,
        metavar="MB",
        help="memory of the call, in MB or as 16GB: fewer runs than --nprocs are at work in "
        "parallel where so many are not expected to fit (default: no limit)",
    )


def _add_cluster_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('clusters, which need pip install "bids-spheres[dask]"')
    group.add_argument(
        "--executor",
        choices=("local", "dask"),
        help="do runs in processes of this machine (default), or by Dask: in --nprocs workers on "
        "this machine, or where one of the next options says",
    )
    group.add_argument(
        *_both("--dask-scheduler"),
        metavar="ADDRESS",
        help="use all workers of a scheduler that is there already, as tcp://10.0.0.1:8786; each "
        "must see the folders by the same names and have this version installed",
    )
    group.add_argument(
        *_both("--dask-scheduler-file"),
        type=Path,
        metavar="FILE",
        help="the same, where dask scheduler --scheduler-file FILE has left its address",
    )
    group.add_argument(
        *_both("--dask-slurm"),
        nargs="+",
        action="extend",
        default=[],
        type=slurm_word,
        metavar="SETTING",
        help="have Slurm start the workers: settings of dask-jobqueue's SLURMCluster as KEY=VALUE "
        "or in a YAML or JSON file, e.g. queue=short account=lab walltime=04:00:00 memory=4GB "
        "jobs=100. By default --nprocs jobs with one worker each, --omp-nthreads cores or one, "
        "the memory that the largest run needs, 30 minutes, or what jobqueue.yaml says",
    )


def _add_talk_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-v", "--verbose", action="count", default=0, help="say more")
    group.add_argument("-q", "--quiet", action="count", default=0, help="only warnings and errors")
    group.add_argument("--debug", action="store_true", help="show tracebacks")
    group.add_argument("--version", action="version", version=f"bids-spheres {__version__}")


def _both(flag: str) -> tuple[str, ...]:
    """A flag in both spellings that users type: with - and with _."""
    return tuple(dict.fromkeys((flag, "--" + flag[2:].replace("-", "_"))))
