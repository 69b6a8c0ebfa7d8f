"""Arguments to `Settings`, settings to work, outcomes to an exit status.

Imports at the top are cheap, so that ``--help`` and ``--version`` answer at once; everything
that loads pandas, scipy or pybids is imported by the function that needs it.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from contextlib import ExitStack, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from bids_spheres.app import parser as cli
from bids_spheres.app import streams
from bids_spheres.app.config_file import typed_options, with_config
from bids_spheres.app.memory_limits import prepare_for_limits
from bids_spheres.data.published import begins_like_a_seed
from bids_spheres.errors import INTERRUPTED, SOME_FAILED, TERMINATED, describe_error
from bids_spheres.process.signals import ended_at_once, ended_by_sigterm
from bids_spheres.settings.table import GROUP

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

logger = logging.getLogger("bids_spheres")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, by default that of the process; return its exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    # argparse takes -38,-22,56 for an option, and not what begins with a blank. --seeds=-38,-22,56
    # is an option with a value, though its beginning could be the name of a seed.
    words = [
        f" {word}" if re.match(r"-[^-].*,", word) and begins_like_a_seed(word) else word
        for word in given
    ]
    streams.open_missing_streams()
    if not words or words in (["help"], ["demo"]):
        asked_for = words == ["help"]
        print(cli.SHORT_USAGE, file=sys.stdout if asked_for else sys.stderr)
        return 0 if asked_for else 2
    try:
        with ended_by_sigterm(), redirect_stdout(streams.StandardOutput(sys.stdout)):
            status = _run(words)
            sys.stdout.flush()
            return status
    except BrokenPipeError:
        # Whoever read our lines, as `head` does, has seen enough; nothing is left to flush.
        streams.discard_output()
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


def _run(words: list[str]) -> int:
    """Do what the command line says; return the exit status."""
    # How much it says may be said before the command.
    place = next((i for i, word in enumerate(words) if word not in cli.TALK_FLAGS), 0)
    command, notes = cli.COMMANDS.get(words[place]), list[str]()
    if command:
        parser = cli.command_parser(words.pop(place))
        options = parser.parse_args(words)
    else:
        parser = cli.main_parser()
        words, notes = cli.translate(words)
        options = parser.parse_args(with_config(parser, words))
        typed = typed_options(parser, words)
        # Platforms type out every default: what says nothing new is as if it were not said.
        options.typed = {each for each in typed if vars(options)[each] != parser.get_default(each)}
    prepare_for_limits()
    streams.configure_logging(options.verbose - options.quiet)
    for note in notes:
        logger.info("%s", note)
    module, name = (command.function if command else "main.run_level").split(".")
    with ExitStack() as stack:
        try:
            Path.home()
        except RuntimeError:  # pybids fails without it, for users who are unknown in a container
            os.environ["HOME"] = os.devnull
            stack.callback(os.environ.pop, "HOME")
        with ended_at_once():
            run = getattr(import_module(f"bids_spheres.app.{module}"), name)
        return int(run(options))


def run_level(options: Namespace) -> int:
    """Do an analysis level as the options of `main_parser` say; return the exit status."""
    settings = cli.settings_of(options)
    if ignored := cli.ignored_options(options, options.typed):
        logger.warning(
            "Of no effect at the %s level: %s", options.analysis_level, ", ".join(ignored)
        )
    if settings.analysis_level == GROUP:
        cli.check_group_files(settings.group)
        with ended_at_once():
            from bids_spheres.app import group_level  # noqa: PLC0415 - keeps --help fast

        if options.dry_run:
            group_level.dry_run_group(settings)
            return 0
        return SOME_FAILED if group_level.run_group_level(settings) else 0
    if not settings.reports_only:
        cli.check_words(settings)
    with ended_at_once():
        from bids_spheres.app import participant_level, planning  # noqa: PLC0415 - as above

    if options.explain or options.dry_run:
        (planning.explain if options.explain else planning.dry_run)(settings)
        return 0
    run = participant_level.run_participants
    if settings.reports_only:
        run = participant_level.rewrite_reports
    return SOME_FAILED if run(settings, debug=options.debug) else 0
