"""Arguments to `Settings`, settings to work, outcomes to an exit status.

Imports at the top are cheap, so that ``--help`` and ``--version`` answer at once; everything
that loads pandas, scipy or pybids is imported by the function that needs it.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
import warnings
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bids_spheres.app.config_file import typed_options, with_config
from bids_spheres.app.memory_limits import prepare_for_limits
from bids_spheres.app.parser import (
    demo_parser,
    ignored_options,
    main_parser,
    settings_of,
    strategies_parser,
)
from bids_spheres.data.published import (
    STRATEGY_FILES,
    hint_for_seeds,
    published_seed_sets,
    published_strategies,
    unknown_seed_set,
    unknown_strategy,
)
from bids_spheres.errors import (
    INTERRUPTED,
    SOME_FAILED,
    TERMINATED,
    MissingInputError,
    ReadWriteError,
    describe_error,
    printable,
)
from bids_spheres.execute.ending import ended_at_once, ended_by_sigterm
from bids_spheres.files.text import is_there
from bids_spheres.settings import GROUP, Execution, Settings
from bids_spheres.settings.values import OFF

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
    _open_missing_streams()
    try:
        with ended_by_sigterm(), redirect_stdout(_StandardOutput(sys.stdout)):
            options, work = _parsed(words)
            prepare_for_limits()
            _configure_logging(options.verbose - options.quiet)
            with _with_a_home():
                status = work(options)
            sys.stdout.flush()
            return status
    except BrokenPipeError:
        # Whoever read our lines, as `head` does, has seen enough; nothing is left to flush.
        _discard_output()
        return 0
    except SystemExit as end:
        if end.code == TERMINATED:
            # A signal has no traceback worth showing.
            logger.error("Ended by SIGTERM. What was finished is written; the next call goes on.")  # noqa: TRY400
        raise
    except KeyboardInterrupt:
        print("bids-spheres: interrupted; what was finished is written.", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - users get a message; --debug shows the rest
        if "--debug" in words:
            traceback.print_exc()
        message, status = describe_error(error)
        print(f"bids-spheres: error: {message}", file=sys.stderr)
        return status


def _open_missing_streams() -> None:
    """Open the null device for streams that whoever called has closed.

    It takes the number of the stream, which else the next file would get, and with it what other
    programs of this process write there.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


class _StandardOutput(io.TextIOBase):
    """Standard output whose errors say what could not be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text."""
        with self._naming_errors():
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        """Write what is left."""
        with self._naming_errors():
            self._stream.flush()

    @contextmanager
    def _naming_errors(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            _discard_output()
            raise ReadWriteError(f"Standard output can't be written: {error.strerror}.") from error


def _discard_output() -> None:
    """Let what is left for standard output go nowhere when Python flushes it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)


@contextmanager
def _with_a_home() -> Iterator[None]:
    """Set HOME for a user without one, who is unknown in a container.

    pybids and platformdirs fail without it; nothing is kept there.
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


class _Printable(logging.Formatter):
    """Lines without characters that would move the cursor, whatever names of files hold."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _Once(logging.Filter):
    """Passes a warning the first time only."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is logged."""
        message = record.getMessage()
        is_new = record.levelno != logging.WARNING or message not in self._said
        self._said.add(message)
        return is_new


def _log_warning(message: Warning | str, *_: object, **__: object) -> None:
    logger.warning("%s", message)


def _parsed(arguments: list[str]) -> tuple[argparse.Namespace, Command]:
    """Options, and what to do with them."""
    commands: dict[str, tuple[Callable[[], argparse.ArgumentParser], Command]] = {
        "demo": (demo_parser, _run_demo),
        "strategies": (strategies_parser, _list_strategies),
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
    handler.addFilter(_Once())
    logger.handlers[:] = [handler]
    warnings.showwarning = _log_warning
    logger.setLevel(levels[max(-1, min(verbosity, 1)) + 1])


def _run(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    if ignored := ignored_options(options.analysis_level, options.typed):
        logger.warning(
            "Of no effect at the %s level: %s", options.analysis_level, ", ".join(ignored)
        )
    _check_names(settings)
    return (_run_group if settings.analysis_level == GROUP else _run_participants)(
        options, settings
    )


def _check_names(settings: Settings) -> None:
    """Refuse names that stand for nothing before the libraries are loaded that use them.

    What only reads results may name seed sets and strategies of the user's own, which are known
    by the names of files, and needs no input.
    """
    if settings.reports_only or settings.analysis_level == GROUP:
        return
    for name in settings.atlas:
        if name not in published_seed_sets():
            raise unknown_seed_set(name)
    for name in settings.strategy:
        if name not in published_strategies() and Path(name).suffix.lower() not in STRATEGY_FILES:
            raise unknown_strategy(name)
    for folder in (settings.bids_dir, *(path for _, path in settings.derivatives)):
        if not folder.exists():
            raise MissingInputError(f"The folder {folder} is not there.")
    _check_files(settings)


def _check_files(settings: Settings) -> None:
    """Miss files of the user's before the libraries are loaded that read them."""
    strategies = published_strategies()
    no_file = f"The strategies that need no file are: {', '.join(strategies)}."
    own = [Path(name) for name in settings.strategy if name not in strategies]
    mask, outliers = settings.processing.mask, settings.outliers
    filters = settings.labels.bids_filter_file
    files = [("There is no seed table", path, hint_for_seeds(path)) for path in settings.seeds]
    files += [("There is no strategy file", path, no_file) for path in own]
    if mask not in ("run", "template", OFF):
        hint = "Give run, template, none, or the path of a mask image."
        files.append(("--mask: there is no image", Path(mask), hint))
    if outliers:
        files.append(("There is no outlier table or folder of such tables", outliers, ""))
    if filters:
        files.append(("There is no filter file", filters, ""))
    for problem, path, hint in files:
        if not is_there(path):
            raise MissingInputError(f"{problem} {path}.", hint=hint)


def _run_group(options: argparse.Namespace, settings: Settings) -> int:
    with ended_at_once():
        from bids_spheres.app.group_level import dry_run_group, run_group_level  # noqa: PLC0415

    if options.dry_run:
        dry_run_group(settings)
        return 0
    return SOME_FAILED if run_group_level(settings) else 0


def _run_participants(options: argparse.Namespace, settings: Settings) -> int:
    with ended_at_once():
        from bids_spheres.app import participant_level  # noqa: PLC0415 - keeps --help fast

    if options.explain or options.dry_run:
        (participant_level.explain if options.explain else participant_level.dry_run)(settings)
        return 0
    return SOME_FAILED if participant_level.run_participants(settings, debug=options.debug) else 0


def _list_strategies(options: argparse.Namespace) -> int:
    from bids_spheres.app.preview import describe_strategies  # noqa: PLC0415 - keeps --help fast

    for line in describe_strategies(options.strategy):
        print(line)
    return 0


def _run_demo(options: argparse.Namespace) -> int:
    from bids_spheres.app.group_level import run_group_level  # noqa: PLC0415
    from bids_spheres.app.participant_level import run_participants  # noqa: PLC0415
    from bids_spheres.demo import check_demo_dir  # noqa: PLC0415
    from bids_spheres.outputs.shared import check_place  # noqa: PLC0415

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
