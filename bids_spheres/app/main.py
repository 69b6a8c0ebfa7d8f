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
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bids_spheres.app.config_file import typed_options, with_config
from bids_spheres.app.early_checks import check_words
from bids_spheres.app.parser import (
    demo_parser,
    ignored_options,
    main_parser,
    settings_of,
    strategies_parser,
)
from bids_spheres.errors import (
    INTERRUPTED,
    SOME_FAILED,
    TERMINATED,
    ReadWriteError,
    printable,
)
from bids_spheres.execute.ending import ended_at_once, ended_by_sigterm
from bids_spheres.execute.failure import describe_error
from bids_spheres.execute.memory_limits import prepare_for_limits
from bids_spheres.settings import GROUP

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

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
            options, do = _parsed(words)
            prepare_for_limits()
            _configure_logging(options.verbose - options.quiet)
            with _with_a_home():
                status = do(options)
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


def _parsed(words: list[str]) -> tuple[argparse.Namespace, Callable[[argparse.Namespace], int]]:
    """Options, and what to do with them."""
    if words[:1] == ["demo"]:
        return demo_parser().parse_args(words[1:]), _run_demo
    if words[:1] == ["strategies"]:
        return strategies_parser().parse_args(words[1:]), _list_strategies
    parser = main_parser()
    options = parser.parse_args(with_config(parser, words))
    typed = typed_options(parser, words)
    # Platforms type out every default: what says nothing new is as if it were not said.
    options.typed = {name for name in typed if getattr(options, name) != parser.get_default(name)}
    return options, _run_level


def _configure_logging(verbosity: int) -> None:
    """Log lines to standard error, warnings of libraries too."""
    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable("%(levelname).1s %(message)s"))
    handler.addFilter(_Once())
    logger.handlers[:] = [handler]
    warnings.showwarning = lambda message, *_, **__: logger.warning("%s", message)
    logger.setLevel(levels[max(-1, min(verbosity, 1)) + 1])


def _run_level(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    if ignored := ignored_options(options.analysis_level, options.typed):
        logger.warning(
            "Of no effect at the %s level: %s", options.analysis_level, ", ".join(ignored)
        )
    if settings.analysis_level == GROUP:
        with ended_at_once():
            from bids_spheres.app.group_level import dry_run_group, run_group_level  # noqa: PLC0415

        if options.dry_run:
            dry_run_group(settings)
            return 0
        return SOME_FAILED if run_group_level(settings) else 0
    if not settings.reports_only:
        check_words(settings)
    with ended_at_once():
        from bids_spheres.app import participant_level  # noqa: PLC0415 - keeps --help fast

    if options.explain or options.dry_run:
        (participant_level.explain if options.explain else participant_level.dry_run)(settings)
        return 0
    return SOME_FAILED if participant_level.run_participants(settings, debug=options.debug) else 0


def _list_strategies(options: argparse.Namespace) -> int:
    with ended_at_once():
        from bids_spheres.app.preview import describe_strategies  # noqa: PLC0415

    for line in describe_strategies(options.strategy):
        print(line)
    return 0


def _run_demo(options: argparse.Namespace) -> int:
    with ended_at_once():
        from bids_spheres.app.demo import run_demo  # noqa: PLC0415 - keeps --help fast

    done = run_demo(options.output_dir, options.nprocs, debug=options.debug)
    return 0 if done else SOME_FAILED
