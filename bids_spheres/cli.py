"""Arguments to `Settings`, settings to work, outcomes to an exit status.

Imports at the top are cheap, so that ``--help`` and ``--version`` answer at once; everything
that loads pandas, scipy or pybids is imported by the function that needs it.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bids_spheres.config import typed_options, with_config
from bids_spheres.errors import (
    FAULT,
    INTERRUPTED,
    READ_WRITE_FAILED,
    SOME_FAILED,
    BidsSpheresError,
    TemporaryError,
    printable,
)
from bids_spheres.memory_limits import MORE_MEMORY, is_out_of_memory, prepare_for_limits
from bids_spheres.options import (
    demo_parser,
    idle_options,
    main_parser,
    settings_of,
    strategies_parser,
)
from bids_spheres.settings import GROUP, Execution, Settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    Command = Callable[[argparse.Namespace], int]

logger = logging.getLogger("bids_spheres")


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
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        options, work = _parsed(words)
        prepare_for_limits()
        _configure_logging(options.verbose - options.quiet)
        with _with_a_home():
            return work(options)
    except BrokenPipeError:
        # Whoever read our lines, as `head` does, has seen enough; nothing is left to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("bids-spheres: interrupted; what was finished is written.", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - users get a message; --debug shows the rest
        if "--debug" in words:
            traceback.print_exc()
        message, status = _told(error)
        print(f"bids-spheres: error: {message}", file=sys.stderr)
        return status


@contextmanager
def _with_a_home() -> Iterator[None]:
    """Give a user a home who has none, as one whom a container does not know.

    pybids and platformdirs fail without one; nothing is ever there.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = os.devnull
        try:
            yield
        finally:
            del os.environ["HOME"]
    else:
        yield


def _told(error: Exception) -> tuple[str, int]:
    """Message and exit status of an error."""
    if isinstance(error, BidsSpheresError):
        return str(error), error.exit_status
    if is_out_of_memory(error):
        return f"Out of memory.\n  hint: {MORE_MEMORY}", TemporaryError.exit_status
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return printable(f"{where}{error.strerror or error}."), READ_WRITE_FAILED
    fault = printable(f"unexpected {type(error).__name__}: {error}")
    hint = "That is a fault of this program or of a library; please report what --debug shows."
    return f"{fault}\n  hint: {hint}", FAULT


class _Printable(logging.Formatter):
    """Lines without characters that would move the cursor, whatever names of files hold."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _parsed(arguments: list[str]) -> tuple[argparse.Namespace, Command]:
    """Options, and what to do with them."""
    commands: dict[str, tuple[Callable[[], argparse.ArgumentParser], Command]] = {
        "demo": (demo_parser, _run_demo),
        "strategies": (strategies_parser, _tell_strategies),
    }
    named = arguments[0] if arguments else ""
    if named in commands:
        make_parser, work = commands[named]
        return make_parser().parse_args(arguments[1:]), work
    parser = main_parser()
    options = parser.parse_args(with_config(parser, arguments))
    typed = typed_options(parser, arguments)
    # Platforms type out every default: what says nothing new is as if it were not said.
    options.typed = {name for name in typed if getattr(options, name) != parser.get_default(name)}
    return options, _run


def _configure_logging(verbosity: int) -> None:
    """Log lines to standard error, plain when it is not a terminal."""
    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable("%(levelname).1s %(message)s"))
    logger.handlers[:] = [handler]
    logger.setLevel(levels[max(-1, min(verbosity, 1)) + 1])


def _run(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    if idle := idle_options(options.analysis_level, options.typed):
        logger.warning("Of no effect at the %s level: %s", options.analysis_level, ", ".join(idle))
    return (_run_group if settings.analysis_level == GROUP else _run_participants)(
        options, settings
    )


def _run_group(options: argparse.Namespace, settings: Settings) -> int:
    from bids_spheres.group_level import dry_run_group, run_group_level  # noqa: PLC0415

    if options.dry_run:
        dry_run_group(settings)
        return 0
    return SOME_FAILED if run_group_level(settings) else 0


def _run_participants(options: argparse.Namespace, settings: Settings) -> int:
    from bids_spheres import workflow  # noqa: PLC0415 - keeps --help fast

    if options.explain or options.dry_run:
        (workflow.explain if options.explain else workflow.dry_run)(settings)
        return 0
    return SOME_FAILED if workflow.run_participants(settings, debug=options.debug) else 0


def _tell_strategies(options: argparse.Namespace) -> int:
    from bids_spheres.explain import describe_strategies  # noqa: PLC0415 - keeps --help fast

    for line in describe_strategies(options.strategy):
        print(line)
    return 0


def _run_demo(options: argparse.Namespace) -> int:
    from bids_spheres.bids.shared import check_place  # noqa: PLC0415
    from bids_spheres.demo import check_demo_dir  # noqa: PLC0415
    from bids_spheres.group_level import run_group_level  # noqa: PLC0415
    from bids_spheres.workflow import run_participants  # noqa: PLC0415

    out: Path = options.output_dir
    check_place(out / "fmriprep")
    check_demo_dir(out / "fmriprep")
    settings = _simulated(out, options.nprocs)
    failures = run_participants(settings, debug=options.debug)
    problems = run_group_level(replace(settings, analysis_level=GROUP))
    results = settings.output_dir
    print(
        f"Time series and correlations: {results / 'sub-01' / 'func'}\n"
        f"What the files are:           {results / 'README.md'}\n"
        f"The truth that was simulated: {out / 'truth'}\n"
        f"A report of each participant: {results / 'sub-01.html'}\n"
        f"The report of the group:      {results / 'group.html'}"
    )
    return SOME_FAILED if failures or problems else 0


def _simulated(out: Path, nprocs: int) -> Settings:
    """Write the simulated dataset; return the settings with which to process it."""
    from bids_spheres.demo import (  # noqa: PLC0415
        SPACE,
        write_demo_dataset,
        write_own_seeds,
        write_truth,
    )

    source, seeds = out / "fmriprep", out / "seeds" / "networks.tsv"
    logger.info("Writing a simulated dataset of three participants into %s", source)
    write_truth(write_demo_dataset(source), out / "truth")
    write_own_seeds(seeds, SPACE)
    return Settings(
        bids_dir=source,
        output_dir=out / "bids-spheres",
        atlas=("Power2011",),
        seeds=(seeds,),
        strategy=("simple", "scrubbing"),
        execution=Execution(nprocs=nprocs),
    )
