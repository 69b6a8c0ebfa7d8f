"""The parsers of the command line, made from the declared options, and the settings they give.

Imports at the top are cheap, so that ``--help`` and ``--version`` answer at once.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, NoReturn

from bids_spheres import __version__
from bids_spheres.errors import EXIT_STATUSES, UnknownLevelError, UsageError, printable
from bids_spheres.settings import (
    GROUP,
    PARTICIPANT,
    Execution,
    Settings,
    build,
    declared_options,
    option,
)
from bids_spheres.settings.option import SECTIONS
from bids_spheres.settings.values import Labels, PathName

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bids_spheres.settings import Declared

_EXAMPLES = """\
Try it on simulated data:      bids-spheres demo demo-output
See the denoising strategies:  bids-spheres strategies
"""

_BOTH = (PARTICIPANT, GROUP)


@dataclass(frozen=True)
class Talk:
    """How much a call says."""

    verbose: int = option(0, "say more", "running", short="-v", levels=_BOTH)
    quiet: int = option(0, "only warnings and errors", "running", short="-q", levels=_BOTH)
    debug: bool = option(False, "show tracebacks", "running", levels=_BOTH)


@dataclass(frozen=True)
class Call:
    """What a call of the app does instead of the work, or where it finds its options."""

    explain: bool = option(
        False,
        "only tell what the strategies come to in each run; no image is read",
        "denoising",
    )
    dry_run: bool = option(
        False,
        "only tell which runs were found, what is missing, and what would be written",
        "keeping and repeating",
        levels=_BOTH,
    )
    config: Path | None = option(
        None,
        "JSON or YAML file of options by their names, such as logs/*_settings.json of an earlier "
        "call; what the command line says counts more",
        "keeping and repeating",
        PathName("FILE"),
        levels=_BOTH,
    )


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
        epilog=f"{_EXAMPLES}\n{_describe_statuses()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_options(parser, [*declared_options(Settings), *declared_options(Call), *_TALK])
    return parser


def _describe_statuses() -> str:
    """Lines that say what every exit status means."""
    meanings = "; ".join(f"{status} {meaning}" for status, meaning in EXIT_STATUSES.items())
    return fill(f"Exit status: 0 all done; {meanings}.", width=88)


def demo_parser() -> argparse.ArgumentParser:
    """Parser of ``bids-spheres demo``."""
    parser = _Parser(
        prog="bids-spheres demo",
        description="Write a small simulated fMRIPrep dataset and run both levels on it.",
        allow_abbrev=False,
    )
    parser.add_argument("output_dir", type=Path, help="folder to write everything into")
    processes = (each for each in declared_options(Execution) if each.name == "nprocs")
    _add_options(parser, [*processes, *_TALK])
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
    _add_options(parser, _TALK)
    return parser


_TALK = tuple(declared_options(Talk))


class _Extend(argparse.Action):
    """Extend a list by the values of one option; labels come in lists of their own."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Take the words of one option in."""
        del parser, option_string
        if isinstance(self.type, Labels):
            values = [label for labels in values for label in labels]
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), *values])


def _add_options(parser: argparse.ArgumentParser, options: Sequence[Declared]) -> None:
    """Add options under the headings of their sections, and --version."""
    for each in options:
        if not each.option.section:
            parser.add_argument(each.name, type=each.option.kind or str, help=each.option.help)
    for section in SECTIONS:
        chosen = [o for o in options if o.option.section and section.startswith(o.option.section)]
        if chosen:
            group = parser.add_argument_group(section)
            for each in chosen:
                group.add_argument(*each.flags, **_arguments(each))
        if section == "running":
            version = f"bids-spheres {__version__}"
            group.add_argument("--version", action="version", version=version)


def _arguments(declared: Declared) -> dict[str, Any]:
    """What argparse needs to know of an option: a switch, a count, a list or a value."""
    default, kind = declared.default, declared.option.kind
    about: dict[str, Any] = {"help": declared.option.help}
    if isinstance(default, bool):
        if default:
            return about | {"action": argparse.BooleanOptionalAction, "default": True}
        return about | {"action": "store_true"}
    if kind is None:
        return about | {"action": "count", "default": default}
    about |= {"type": kind, "metavar": kind.metavar, "default": default}
    if isinstance(default, tuple):
        about |= {"nargs": "+", "action": _Extend, "default": []}
    return about


def ignored_options(level: str, typed: Iterable[str]) -> list[str]:
    """Flags of the options that change nothing at an analysis level.

    Parameters
    ----------
    level : str
    typed : iterable of str
        Names of options that the user typed.

    Raises
    ------
    UsageError
        When one promises that nothing is written, and has no effect at that level.
    """
    known = (*declared_options(Settings), *declared_options(Call), *_TALK)
    names = set(typed)
    ignored = {each.name for each in known if level not in each.option.levels} & names
    if "explain" in ignored:
        raise UsageError(
            "--explain works only at the participant level.",
            hint="At the group level --dry-run lists what would be summarized; nothing is written.",
        )
    return sorted(f"--{name.replace('_', '-')}" for name in ignored)


def settings_of(options: argparse.Namespace) -> Settings:
    """Settings that the options of `main_parser` stand for.

    Raises
    ------
    UnknownLevelError
        When there is no such analysis level.
    UsageError
        When options contradict each other.
    """
    if options.analysis_level not in _BOTH:
        raise UnknownLevelError(
            f"There is no analysis level {options.analysis_level!r}.",
            hint=f"The levels are {PARTICIPANT} and, when that is done, {GROUP}.",
        )
    values = dict(vars(options))
    for each in declared_options(Settings):
        if isinstance(each.default, tuple) and not values[each.name]:
            everything = options.analysis_level == GROUP and each.option.selects_at_group
            values[each.name] = () if everything else each.default
    values["executor"] = _executor(options)
    return build(Settings, values)


_WORKERS = ("dask_scheduler", "dask_scheduler_file", "dask_slurm")
"""Options each of which says where workers are."""


def _executor(options: argparse.Namespace) -> str:
    """Who does the jobs.

    Raises
    ------
    UsageError
        When options contradict each other.
    """
    flags = [f"--{name.replace('_', '-')}" for name in _WORKERS if getattr(options, name)]
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
    return "dask" if flags else options.executor or "local"
