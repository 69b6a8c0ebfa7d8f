"""The parsers of the command line, made from the declared options, and the settings they make.

Imports at the top are cheap, so that ``--help`` and ``--version`` answer at once.
"""

from __future__ import annotations

import argparse
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, NoReturn

from bids_spheres import __version__
from bids_spheres.data import published
from bids_spheres.errors import (
    EXIT_STATUSES,
    MissingInputError,
    UnknownLevelError,
    UsageError,
    did_you_mean,
    printable,
)
from bids_spheres.files.text import is_there
from bids_spheres.outputs.paths import SEEDS
from bids_spheres.settings.option import SECTIONS, Declared, build, declared_options, option
from bids_spheres.settings.table import (
    GROUP,
    IGNORED,
    LEVELS,
    MASKS,
    PARTICIPANT,
    Execution,
    GroupChoices,
    Settings,
)
from bids_spheres.settings.values import Labels, Number, PathName

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence


SHORT_USAGE = """\
usage:
  bids-spheres demo FOLDER
      try it: write a small simulated dataset and run everything on it
  bids-spheres FMRIPREP OUTPUT participant --atlas Power2011
      time series and connectivity of every run of an fMRIPrep dataset
  bids-spheres FMRIPREP OUTPUT group
      summarize what the participant level has written

bids-spheres --help lists common options, --help-all all of them; bids-spheres strategies and
bids-spheres seeds describe the denoising strategies and the seed sets, and bids-spheres export
writes results for other programs.\
"""

_talk = partial(option, section="running", levels=LEVELS)


@dataclass(frozen=True)
class Talk:
    """How much a call says."""

    verbose: int = _talk("say more", default=0, short="-v", common=True)
    quiet: int = _talk("only warnings and errors", default=0, short="-q", common=True)
    debug: bool = _talk("show tracebacks")


_about = partial(option, section="keeping and repeating", levels=LEVELS, common=True)


@dataclass(frozen=True)
class Call:
    """What a call of the app does instead of the work, or where it finds its options."""

    explain: bool = option(
        "only show the design of each strategy in each run; no image is read",
        section="denoising",
        common=True,
    )
    dry_run: bool = _about("only list the runs, what they lack, and what would be written")
    config: Path | None = _about(
        "JSON or YAML file of options by their names, such as logs/*_settings.json of an earlier "
        "call; what the command line says counts more",
        PathName("FILE"),
    )


_TALK = tuple(declared_options(Talk))
TALK_FLAGS = frozenset(flag for each in _TALK for flag in each.flags)
_ALL = (*declared_options(Settings), *declared_options(Call), *_TALK)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are a line and a hint, without a page of all options."""

    def error(self, message: str) -> NoReturn:
        every = "--help-all" if "--help-all" in self._option_string_actions else "--help"
        hint = f"{self.prog} {every} lists all options."
        _, is_unknown, words = message.partition("unrecognized arguments: ")
        if is_unknown:
            flags = [flag for flag in self._option_string_actions if flag.startswith("--")]
            typed = words.split()[0].partition("=")[0].replace("_", "-")
            hint = did_you_mean(typed, flags) + hint
        if message.startswith("the following arguments are required") and "--" not in message:
            hint = (
                "Give them first, before all options: one that takes several values, as --atlas "
                "and --seeds do, takes every word up to the next option."
            )
        shown = printable(message if len(message) < 400 else f"{message[:400]}...")
        self.exit(2, f"{self.prog}: error: {shown}\n  hint: {hint}\n")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help that shows flags with dashes; those with underscores are known as well."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        shown = copy(action)
        shown.option_strings = [flag for flag in action.option_strings if "_" not in flag]
        return super()._format_action_invocation(shown)


class _Help(argparse.Action):
    """Print the help, with common options alone or with all."""

    def __call__(self, *_: object) -> NoReturn:
        """Print, and end the process."""
        parser = main_parser(common_alone=self.dest == "help")
        parser.print_help()
        parser.exit()


def main_parser(*, common_alone: bool = False) -> argparse.ArgumentParser:
    """Parser of the BIDS App, of all options or for the help on common ones."""
    meanings = "; ".join(f"{status} {meaning}" for status, meaning in EXIT_STATUSES.items())
    statuses = fill(f"Exit status: 0 all done; {meanings}.", width=88)
    others = "Less common options:           bids-spheres --help-all\n" if common_alone else ""
    parser = _Parser(
        prog="bids-spheres",
        usage="bids-spheres bids_dir output_dir {participant,group} [options]",
        description="Time series and connectivity of spheres around seed coordinates, from "
        "fMRIPrep's output.\n\n"
        "Try it on simulated data:      bids-spheres demo demo-output\n"
        "See the denoising strategies:  bids-spheres strategies\n"
        "See the seed sets:             bids-spheres seeds\n"
        "Export to other programs:      bids-spheres export\n"
        f"Explain one correlation:       bids-spheres why --help\n{others}",
        epilog=statuses,
        formatter_class=_Formatter,
        allow_abbrev=False,
        add_help=False,
    )
    shown = [o for o in _ALL if o.option.common or not o.option.section or not common_alone]
    _add_options(parser, shown)
    about = parser.add_argument_group("help")
    for flags, text in ((("-h", "--help"), "common options"), (("--help-all",), "all options")):
        about.add_argument(*flags, action=_Help, nargs=0, default=argparse.SUPPRESS, help=text)
    return parser


def translate(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Translate options of other BIDS Apps, which wrappers type; with a note on each."""
    ours = {alias: each.flag for each in _ALL for alias in each.option.aliases}
    translated, notes, rest = [], [], iter(words)
    for word in rest:
        typed, sign, value = word.partition("=")
        flag = typed.replace("_", "-")
        if flag in ours:
            translated.append(f"{ours[flag]}{sign}{value}")
            notes.append(f"{typed} is taken as {ours[flag]}.")
        elif flag in IGNORED:
            why, takes_value = IGNORED[flag]
            if takes_value and not sign:
                next(rest, None)
            notes.append(f"{typed} has no effect: {why}.")
        else:
            translated.append(word)
    return translated, notes


@dataclass(frozen=True)
class Command:
    """A command, its function as ``module.name`` in `app`, and what adds arguments to its parser.

    That returns options which are declared elsewhere.
    """

    text: str
    function: str
    add_arguments: Callable[[argparse.ArgumentParser], Sequence[Declared]]


def command_parser(name: str) -> argparse.ArgumentParser:
    """Parser of a command."""
    command = COMMANDS[name]
    parser = _Parser(
        prog=f"bids-spheres {name}",
        description=command.text,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    _add_options(parser, [*command.add_arguments(parser), *_TALK])
    return parser


def demo_arguments(parser: argparse.ArgumentParser) -> Sequence[Declared]:
    """Add the arguments of ``bids-spheres demo``."""
    parser.add_argument("output_dir", type=Path, help="folder to write everything into")
    return [each for each in declared_options(Execution) if each.name == "nprocs"]


def names_argument(parser: argparse.ArgumentParser, dest: str, own: str) -> Sequence[Declared]:
    """Add names of sets that ship with the package, or of the user's `own` files."""
    text = f"names, or {own} of your own (default: all)"
    parser.add_argument(dest, nargs="*", metavar="NAME", help=text)
    return ()


def seeds_arguments(parser: argparse.ArgumentParser) -> Sequence[Declared]:
    """Add the arguments of ``bids-spheres seeds``."""
    group = parser.add_argument_group("centres of regions")
    text = "print the centres of mass of the regions of a parcellation, as a table"
    group.add_argument("--centroids-of", metavar="FILE|NAME", help=text)
    text = "its space, where its name does not say it"
    group.add_argument("--parcellation-space", metavar="SPACE", help=text)
    return names_argument(parser, "seeds", "tables")


EDGE_ENTITIES = {
    "session": "ses",
    "task": "task",
    "acquisition": "acq",
    "reconstruction": "rec",
    "direction": "dir",
    "run": "run",
    "echo": "echo",
    "space": "space",
    "res": "res",
    "strategy": "desc",
    "seed_set": SEEDS,
    "radius": "scale",
    "connectivity": "stat",
}
"""Options of ``why`` that choose a matrix, and the entities of its name."""


def why_arguments(parser: argparse.ArgumentParser) -> Sequence[Declared]:
    """Add the arguments of ``bids-spheres why``."""
    parser.add_argument("output_dir", type=Path, help="results of the participant level")
    edge = parser.add_argument_group("the correlation")
    edge.add_argument("--edge", metavar="A,B", required=True, help="names of two seeds or regions")
    edge.add_argument("--participant", metavar="LABEL", required=True, help="whose")
    which = parser.add_argument_group("which of several")
    others: dict[str, tuple[str, Callable[[str], object], str]] = {
        "res": ("LABEL", str, "of this resolution"),
        "strategy": ("NAME", published.strategy_name, "after this denoising strategy"),
        "seed_set": ("NAME", published.seed_set_name, "of this set of seeds or regions"),
        "radius": ("MM", Number("MM"), "of spheres of this radius"),
        "connectivity": ("NAME", str, "of this measure (default: pearson)"),
    }
    for name in EDGE_ENTITIES:
        metavar, kind, text = others.get(name, ("LABEL", str, f"of this {name}"))
        which.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, type=kind, help=text)
    return ()


# Options that select among results, as at the group level.
_SELECTING = (
    *("participant_label", "session_label", "task_label", "acquisition", "run", "echo", "space"),
    *("res", "atlas", "seeds", "parcellation", "roi", "radius", "strategy", "connectivity"),
)


def export_arguments(parser: argparse.ArgumentParser) -> Sequence[Declared]:
    """Add the arguments of ``bids-spheres export``."""
    parser.add_argument("output_dir", type=Path, help="results of the participant level")
    parser.add_argument("folder", type=Path, help="folder to write into")
    group = parser.add_argument_group("export")
    group.add_argument(
        "--format",
        nargs="+",
        required=True,
        choices=("npz", "mat", "csv", "graphml", "brainnet", "nbs"),
        help="npz (NumPy), mat (MATLAB, Octave), csv, graphml (NetworkX, Gephi), brainnet "
        "(BrainNet Viewer), nbs (Network-Based Statistic Toolbox)",
    )
    group.add_argument("--timeseries", action="store_true", help="time series in place of matrices")
    text = "one file for all runs of a task, space, seed set, strategy and measure"
    group.add_argument("--stacked", action="store_true", help=text)
    return [each for each in _ALL if each.name in _SELECTING]


COMMANDS = {
    "demo": Command(
        "Write a small simulated fMRIPrep dataset and run both levels on it.",
        "demo.run_demo",
        demo_arguments,
    ),
    "export": Command(
        "Write matrices or time series of results for other programs. Options select as they do at "
        "the group level.",
        "group_level.export_results",
        export_arguments,
    ),
    "seeds": Command(
        "List seed sets, or print a table of the centres of regions for --seeds.",
        "listings.list_seeds",
        seeds_arguments,
    ),
    "strategies": Command(
        "List what denoising strategies regress out, censor and filter.",
        "listings.list_strategies",
        partial(names_argument, dest="strategy", own="files"),
    ),
    "why": Command(
        "Recompute one correlation from the image, and tell which voxels, volumes and columns it "
        "is made of, what is left, and whether it equals that of the file.",
        "why.explain_edge",
        why_arguments,
    ),
}


class _Extend(argparse.Action):
    """Extend a list by the values of one option; labels come in lists of their own."""

    def __call__(self, *called: Any) -> None:
        """Take the words of one option in."""
        _, namespace, values, _ = called
        values = values or [self.const]
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
        many = {"nargs": "*", "const": declared.option.alone} if declared.option.alone else {}
        about |= {"nargs": "+", "action": _Extend, "default": []} | many
    return about


def ignored_options(options: argparse.Namespace, typed: Collection[str]) -> list[str]:
    """Flags of `typed` options without effect in this call; a `UsageError` for --explain."""
    level, ignored = options.analysis_level, []
    for each in (declared for declared in _ALL if declared.name in typed):
        needs = each.option.needs
        if level not in each.option.levels:
            ignored.append(each.flag)
        elif needs and not any(getattr(options, name) for name in needs):
            others = " or ".join(f"--{name.replace('_', '-')}" for name in needs)
            ignored.append(f"{each.flag} (without {others})")
    if "--explain" in ignored:
        raise UsageError(
            "--explain works only at the participant level.",
            hint="At the group level --dry-run lists what would be summarized; nothing is written.",
        )
    return sorted(ignored)


def settings_of(options: argparse.Namespace) -> Settings:
    """Settings of the options of `main_parser`; an error when these contradict each other."""
    if options.analysis_level not in LEVELS:
        raise UnknownLevelError(
            f"Unknown analysis level {options.analysis_level!r}.",
            hint=f"The levels are {PARTICIPANT} and, when that is done, {GROUP}.",
        )
    values = dict(vars(options))
    for each in declared_options(Settings):
        if isinstance(each.default, tuple) and not values[each.name]:
            everything = options.analysis_level == GROUP and each.option.selects_at_group
            values[each.name] = () if everything else each.default
    workers = ("dask_scheduler", "dask_scheduler_file", "dask_slurm")
    places = [f"--{name.replace('_', '-')}" for name in workers if values[name]]
    if len(places) > 1:
        raise UsageError(
            f"{places[0]} and {places[1]} both say where the workers are.", hint="Give one of them."
        )
    if places and options.executor == "local":
        raise UsageError(
            f"--executor local does not go with {places[0]}.",
            hint="Leave one of them out; --executor dask is meant when workers are named.",
        )
    if places and options.mem:
        raise UsageError(
            f"--mem limits a call on one machine, and {places[0]} has the jobs done elsewhere.",
            hint="For Slurm give the memory of each job, as in --dask-slurm memory=4GB.",
        )
    values["executor"] = "dask" if places else options.executor or "local"
    return build(Settings, values)


def check_words(settings: Settings) -> None:
    """Check that seeds are given, names known, and the user's files and folders present.

    Not for calls that only read results: these may name files that are gone, and need no input.
    """
    for name in settings.processing.connectivity:
        published.measure_name(name)
    for name in settings.atlas:
        if name not in published.published_seed_sets():
            raise published.unknown_seed_set(name)
    strategies = published.published_strategies()
    own = [name for name in settings.strategy if name not in strategies]
    for name in own:
        if Path(name).suffix.lower() not in published.STRATEGY_FILES:
            raise published.unknown_strategy(name)
    for folder in (settings.bids_dir, *(path for _, path in settings.derivatives)):
        if not folder.exists():
            raise MissingInputError(f"The folder {folder} does not exist.")
    no_file = f"The strategies that need no file are: {', '.join(strategies)}."
    mask_hint = "Give run, template, none, or the path of a mask image."
    mask = settings.processing.mask
    tables = [path for path in settings.seeds if isinstance(path, Path)]
    _check_files(
        *(("The seed table", path, published.hint_for_seeds(path)) for path in tables),
        *(("--roi: the image", path, "") for path in settings.roi),
        *(("The strategy file", Path(name), no_file) for name in own),
        ("--mask: the image", None if mask in MASKS else Path(mask), mask_hint),
        ("The outlier table or folder of such tables", settings.outliers, ""),
        ("The filter file", settings.labels.bids_filter_file, ""),
    )
    if not (settings.atlas or settings.seeds or settings.parcellation or settings.roi):
        raise UsageError(
            "No seeds are given.",
            hint="Name a built-in set (--atlas Power2011), a table of your own (--seeds FILE), or "
            "regions (--parcellation FILE, --roi FILE).",
        )


def check_group_files(choices: GroupChoices) -> None:
    """Check that the files of the group level are present."""
    table, estimates = choices.participants_table, choices.harmonize_from
    hint = "A call with --harmonize writes it as *_harmonization.tsv into its group folder."
    _check_files(
        ("The table of participants", table, "Name the participants.tsv of the dataset."),
        ("--harmonize-from: the file", estimates, hint),
    )


def _check_files(*files: tuple[str, Path | None, str]) -> None:
    """Refuse files of the user's that are missing; each has a name and a hint."""
    for called, path, hint in files:
        if path and not is_there(path):
            raise MissingInputError(f"{called} {path} is missing.", hint=hint)
