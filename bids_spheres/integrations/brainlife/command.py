"""``bids-spheres-brainlife``: the task in the current folder, from config.json to product.json."""

from __future__ import annotations

import argparse
import io
import logging
import sys
from contextlib import redirect_stderr, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bids_spheres import __version__
from bids_spheres.app import main as cli
from bids_spheres.app.config_file import option_words
from bids_spheres.app.parser import main_parser, settings_of
from bids_spheres.errors import FAULT, BidsSpheresError, printable
from bids_spheres.integrations.brainlife.product import message, messages_of, write_product
from bids_spheres.integrations.brainlife.task import read_task
from bids_spheres.settings import PARTICIPANT
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bids_spheres.integrations.brainlife.datatypes import Results
    from bids_spheres.integrations.brainlife.task import Task

CONFIG, PRODUCT = Path("config.json"), Path("product.json")
"""Names that the platform gives."""

INPUTS, DERIVATIVES = Path("fmriprep"), Path("derivatives")
"""Folders of links to the inputs, and of all results as BIDS derivatives."""


def main(argv: Sequence[str] | None = None) -> int:
    """Do the task in the current folder.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit status, as of the command line.
    """
    parser = argparse.ArgumentParser(
        prog="bids-spheres-brainlife",
        description="Do the task of brainlife.io in the current folder: read config.json, write "
        "timeseries/, conmat/, report/ and product.json.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{parser.prog} {__version__}")
    parser.parse_args(argv)
    try:
        return _do(read_task(CONFIG))
    except BidsSpheresError as error:
        return _failed(str(error), error.exit_status)
    except Exception as error:  # noqa: BLE001 - the platform shows a message, and no traceback
        fault = f"unexpected {type(error).__name__}: {error}"
        hint = "That is a fault of this program; please report it."
        return _failed(f"{fault}\n  hint: {hint}", FAULT)


def _failed(text: str, status: int) -> int:
    """Report an error that ends the task, on standard error and to the platform."""
    shown = printable(text)
    print(f"bids-spheres-brainlife: error: {shown}", file=sys.stderr)  # noqa: T201 - to be read
    with suppress(BidsSpheresError):  # the first error is the one to know
        write_product(PRODUCT, [message("error", shown.replace("\n  hint: ", "\n"))], None)
    return status


def _do(task: Task) -> int:
    from bids_spheres.integrations.brainlife.layout import link_inputs  # noqa: PLC0415 - keeps --help fast

    parser = main_parser()
    options = option_words(parser, task.options, task.config)[1]
    words = [str(INPUTS), str(DERIVATIVES), PARTICIPANT, *options]
    link_inputs(task, INPUTS)
    status, log = _called(words)
    messages = [*(message("warning", note) for note in task.notes), *messages_of(log)]
    results = _write(words) if status in (0, 1) else None
    if results is not None:
        done = f"{len(results.jobs)} of {count(len(task.runs), 'run')} done."
        messages.append(message("success", done))
    write_product(PRODUCT, messages, results)
    return status


def _called(words: Sequence[str]) -> tuple[int, str]:
    """Exit status of the command line, and what it wrote to standard error meanwhile."""
    kept = _Kept(sys.stderr, io.StringIO())
    with redirect_stderr(kept):
        try:
            status = cli.main(words)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else FAULT
    return status, kept.copy.getvalue()


class _Kept(io.TextIOBase):
    """A stream to write to that keeps a copy."""

    def __init__(self, stream: TextIO, copy: io.StringIO) -> None:
        self._stream = stream
        self.copy = copy

    def write(self, text: str) -> int:
        """Write to both."""
        self.copy.write(text)
        return self._stream.write(text)

    def flush(self) -> None:
        """Flush what can be."""
        self._stream.flush()


def _write(words: Sequence[str]) -> Results | None:
    """Write the outputs of the call in the data types of the platform."""
    from bids_spheres.app.participant_level import plan_jobs  # noqa: PLC0415
    from bids_spheres.integrations.brainlife import datatypes  # noqa: PLC0415 - keeps --help fast
    from bids_spheres.participant.concatenation import group_runs  # noqa: PLC0415

    logging.getLogger("bids_spheres").setLevel(logging.ERROR)  # all has been said
    settings = settings_of(main_parser().parse_args(words))
    jobs = plan_jobs(settings)[1]
    results = datatypes.read_results(jobs, group_runs(jobs, settings.concatenate))
    if results is not None:
        datatypes.write_timeseries(results, Path("timeseries"))
        datatypes.write_conmat(results, Path("conmat"))
        datatypes.write_report(sorted(DERIVATIVES.glob("sub-*.html")), Path("report"))
    return results
