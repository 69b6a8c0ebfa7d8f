"""``bids-spheres-brainlife``: the task in the current folder, from config.json to product.json."""

from __future__ import annotations

import argparse
import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bids_spheres import __version__
from bids_spheres.app import main as cli
from bids_spheres.app.config_file import option_words
from bids_spheres.app.parser import main_parser, settings_of
from bids_spheres.errors import FAULT, SOME_FAILED, BidsSpheresError, printable
from bids_spheres.integrations.brainlife.product import collected_messages, message, write_product
from bids_spheres.integrations.brainlife.task import link_inputs, read_task
from bids_spheres.settings.table import PARTICIPANT
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bids_spheres.integrations.brainlife.task import Task

CONFIG, PRODUCT = Path("config.json"), Path("product.json")
"""Names set by the platform."""

INPUTS, DERIVATIVES = Path("fmriprep"), Path("derivatives")
"""Folders of links to the inputs, and of the results as BIDS derivatives."""


def main(argv: Sequence[str] | None = None) -> int:
    """Do the task in the current folder; return the exit status, as of the command line."""
    parser = argparse.ArgumentParser(
        prog="bids-spheres-brainlife",
        description="Do the task of brainlife.io in the current folder: read config.json, write "
        "timeseries/, conmat/, report/ and product.json.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{parser.prog} {__version__}")
    parser.parse_args(argv)
    try:
        return _do_task(read_task(CONFIG))
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


def _do_task(task: Task) -> int:
    """Process the runs of a task, and write the outputs in the data types of the platform."""
    parser = main_parser()
    options = option_words(parser, task.options, CONFIG)[1]
    words = [str(INPUTS), str(DERIVATIVES), PARTICIPANT, *options]
    link_inputs(task, INPUTS)
    notes = [message("warning", note) for note in task.notes]
    with collected_messages() as messages:
        try:
            status = cli.main(words)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else FAULT
    if status not in (0, SOME_FAILED):
        write_product(PRODUCT, [*notes, *messages], None)
        return status

    from bids_spheres.app.planning import plan_jobs  # noqa: PLC0415
    from bids_spheres.integrations.brainlife import datatypes  # noqa: PLC0415
    from bids_spheres.outputs.find import pages_of_participants  # noqa: PLC0415
    from bids_spheres.participant.concatenation import group_runs  # noqa: PLC0415

    logging.getLogger("bids_spheres").setLevel(logging.ERROR)  # warnings were logged above
    settings = settings_of(parser.parse_args(words))
    jobs = plan_jobs(settings)[1]
    results = datatypes.read_results(jobs, group_runs(jobs, settings.concatenate))
    if results is not None:
        datatypes.write_timeseries(results, Path("timeseries"))
        datatypes.write_conmat(results, Path("conmat"))
        datatypes.write_report(pages_of_participants(DERIVATIVES), Path("report"))
        done = f"{len(results.jobs)} of {count(len(task.runs), 'run')} done."
        messages.append(message("success", done))
    write_product(PRODUCT, [*notes, *messages], results)
    return status
