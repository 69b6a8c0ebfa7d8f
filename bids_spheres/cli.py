"""Arguments to `Settings`, settings to work, outcomes to an exit status.

Imports at the top are cheap, so that ``--help`` and ``--version`` answer at once; everything
that loads pandas, scipy or pybids is imported by the function that needs it.
"""

from __future__ import annotations

import argparse
import logging
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from bids_spheres import __version__
from bids_spheres.errors import BidsSpheresError, UnknownLevelError
from bids_spheres.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

logger = logging.getLogger("bids_spheres")

_INTERRUPTED = 130
_SOME_FAILED = 1
_READ_WRITE_FAILED = 74

_EPILOG = """\
Try it on simulated data:  bids-spheres demo demo-output

Exit status: 0 all done; 1 some runs failed, the others are written; 2 usage; 16 not the
BIDS dataset needed; 17 unknown analysis level; 18 the filters leave no run; 65 unusable
data; 66 input missing; 73 output can't be created; 74 read or write error.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit status of the BIDS execution specification.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    demo = arguments[:1] == ["demo"]
    options = _demo_parser().parse_args(arguments[1:]) if demo else _parser().parse_args(arguments)
    _configure_logging(options.verbose - options.quiet)
    work: Callable[[argparse.Namespace], int] = _run_demo if demo else _run
    try:
        return work(options)
    except BidsSpheresError as error:
        if options.debug:
            traceback.print_exc()
        print(f"bids-spheres: error: {error}", file=sys.stderr)
        return error.exit_status
    except OSError as error:
        if options.debug:
            traceback.print_exc()
        where = f"{error.filename}: " if error.filename else ""
        print(f"bids-spheres: error: {where}{error.strerror or error}.", file=sys.stderr)
        return _READ_WRITE_FAILED
    except KeyboardInterrupt:
        print("bids-spheres: interrupted; what was finished is written.", file=sys.stderr)
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bids-spheres",
        description="Time series and connectivity of spheres around seed coordinates, "
        "from fMRIPrep's output.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "bids_dir",
        type=Path,
        help="fMRIPrep's output, or a dataset with derivatives/fmriprep* in it",
    )
    parser.add_argument("output_dir", type=Path, help="folder of the results")
    parser.add_argument("analysis_level", help="participant")
    _add_seed_options(parser)
    _add_selection_options(parser)
    _add_common_options(parser)
    return parser


def _add_seed_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("seeds and denoising")
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
        type=_length,
        metavar="MM",
        help="radius of all spheres (default: the seed set's)",
    )
    group.add_argument(
        "--strategy",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="denoising strategies: simple (default), simpleGSR, scrubbing, scrubbingGSR, "
        "compcor, compcor6, 24P, 27P, 36P, acompcor, acompcorGSR, aroma, aromaGSR, gsrOnly, "
        "none; or a JSON or YAML file of your own",
    )


def _add_selection_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("selection of runs")
    group.add_argument(
        "-d",
        "--derivatives",
        type=Path,
        metavar="PATH",
        help="fMRIPrep's output, when it is neither bids_dir nor in bids_dir/derivatives",
    )
    for option, key, what in (
        ("participant", "sub", "participants"),
        ("session", "ses", "sessions"),
        ("task", "task", "tasks"),
    ):
        # Users type both spellings.
        flags = f"--{option}-label", f"--{option}_label"
        told = f"{what} to use, with or without {key}- (default: all)"
        _add_labels(group, *flags, key=key, told=told)
    for key, what in (("run", "runs (default: all)"), ("space", "spaces (default: MNI)")):
        _add_labels(group, f"--{key}", key=key, told=f"{what}, with or without {key}-")


def _add_labels(group: argparse._ArgumentGroup, *flags: str, key: str, told: str) -> None:
    """Add an option that takes labels of an entity."""
    group.add_argument(
        *flags,
        nargs="+",
        action="extend",
        default=[],
        type=_label_reader(key),
        metavar="LABEL",
        help=told,
    )


def _add_common_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("running")
    group.add_argument(
        "--nprocs",
        type=_count,
        default=1,
        metavar="N",
        help="runs at work in parallel (default: 1)",
    )
    group.add_argument("-v", "--verbose", action="count", default=0, help="say more")
    group.add_argument("-q", "--quiet", action="count", default=0, help="only warnings and errors")
    group.add_argument("--debug", action="store_true", help="show tracebacks")
    group.add_argument("--version", action="version", version=f"bids-spheres {__version__}")


def _demo_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bids-spheres demo",
        description="Write a small simulated fMRIPrep dataset and run the main job on it.",
        allow_abbrev=False,
    )
    parser.add_argument("output_dir", type=Path, help="folder to write everything into")
    _add_common_options(parser)
    return parser


def _label_reader(key: str) -> Callable[[str], str]:
    def label(text: str) -> str:
        return text.removeprefix(f"{key}-")

    return label


def _length(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a length in mm; give a number, as 5")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"at least one process is needed, not {text}")
    return int(text)


def _configure_logging(verbosity: int) -> None:
    """Log lines to standard error, plain when it is not a terminal."""
    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname).1s %(message)s"))
    logger.handlers[:] = [handler]
    logger.setLevel(levels[max(-1, min(verbosity, 1)) + 1])


def _settings(options: argparse.Namespace) -> Settings:
    if options.analysis_level != "participant":
        raise UnknownLevelError(
            f"There is no analysis level {options.analysis_level!r}.",
            hint="This version has one level: participant.",
        )
    return Settings(
        bids_dir=options.bids_dir,
        output_dir=options.output_dir,
        analysis_level=options.analysis_level,
        derivatives=options.derivatives,
        participant_label=tuple(options.participant_label),
        session_label=tuple(options.session_label),
        task_label=tuple(options.task_label),
        run=tuple(options.run),
        space=tuple(options.space),
        atlas=tuple(options.atlas),
        seeds=tuple(options.seeds),
        radius=options.radius,
        strategy=tuple(options.strategy or ["simple"]),
        nprocs=options.nprocs,
    )


def _run(options: argparse.Namespace) -> int:
    from bids_spheres.workflow import run_participants  # noqa: PLC0415 - keeps --help fast

    failures = run_participants(_settings(options), debug=options.debug)
    return _SOME_FAILED if failures else 0


def _run_demo(options: argparse.Namespace) -> int:
    from bids_spheres.demo import check_demo_dir, write_demo_dataset, write_truth  # noqa: PLC0415
    from bids_spheres.workflow import run_participants  # noqa: PLC0415

    out: Path = options.output_dir
    check_demo_dir(out / "fmriprep")
    logger.info("Writing a simulated dataset of three participants into %s", out / "fmriprep")
    truth = write_demo_dataset(out / "fmriprep")
    write_truth(truth, out / "truth")
    settings = Settings(
        bids_dir=out / "fmriprep",
        output_dir=out / "bids-spheres",
        atlas=("Power2011",),
        strategy=("simple",),
        nprocs=options.nprocs,
    )
    failures = run_participants(settings, debug=options.debug)
    print(
        f"Time series and correlations: {out / 'bids-spheres' / 'sub-01' / 'func'}\n"
        f"What the files are:           {out / 'bids-spheres' / 'README.md'}\n"
        f"The truth that was simulated: {out / 'truth'}"
    )
    return _SOME_FAILED if failures else 0
