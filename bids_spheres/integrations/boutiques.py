"""Boutiques descriptor of the command line, made from the parser.

    python -m bids_spheres.integrations.boutiques > descriptor.json
    bids-spheres --bids-exec-spec

Inputs are made from the declared options; the constants below have the rest. The format is
Boutiques 0.5, with what its check of BIDS Apps (``bosh validate --bids``) requires and the ids of
the draft of the BIDS execution specification.

Differences from the parser:

- ``--config`` is left out: a Boutiques invocation is such a file itself, and the defaults that
  Boutiques puts on the command line would override the file.
- A flag can be given once, so ``-vv`` can't be; it does the same as ``-v``.
- ``--option=VALUE`` is used where possible, as a value may begin with a minus.
- An option for a number or a word, such as ``none``, is a Number, and a Flag for the word.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from math import isfinite
from typing import TYPE_CHECKING, Any

from bids_spheres import __version__
from bids_spheres.app.parser import main_parser
from bids_spheres.data.published import MEASURES, published_seed_sets
from bids_spheres.errors import EXIT_STATUSES
from bids_spheres.settings.option import declared_options
from bids_spheres.settings.table import GROUP, PARTICIPANT, Settings
from bids_spheres.settings.values import Choice, Memory, Number, PathName

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Input = dict[str, Any]

RESOURCES = {"cpu-cores": 2, "ram": 1, "disk-space": 2, "walltime-estimate": 600}
"""Resources for a participant with four runs of 490 volumes of 2 mm, in GB and seconds.

Measured with `benchmarks/data.py`, one run at a time, ``--atlas Power2011``: 13 s of processor
time, 275 MB of memory and 14 MB of disk; with ``--seed-maps --smoothing-fwhm 6``: 149 s, 379 MB and
889 MB. The rest is for slower disks and longer runs.
"""

_FIRST = ("bids_dir", "output_dir", "analysis_level", "participant_label", "session_label")
"""In the order that the check of BIDS Apps requires."""

_LEFT_OUT = ("help", "help_all", "version", "config")

_DRAFT_IDS = {
    "bids_dir": "InputDataset",
    "output_dir": "OutputLocation",
    "analysis_level": "AnalysisLevel",
    "help": "Help",
    "version": "ToolVersion",
}
"""Of version 0.1.0.dev of that draft."""

_WORDS = {
    **{word: word.upper() for word in ("bids", "fd", "dvars", "fwhm", "roi", "nbs", "tfnbs")},
    "dof": "degrees of freedom",
    "dir": "folder",
    "min": "minimum",
    "std": "standardized",
    "qcfc": "QC-FC",
    "nprocs": "runs at a time",
    "omp_nthreads": "threads of each run",
    "mem": "memory in MB",
    "res": "resolution",
    "bids_dir": "fMRIPrep output or BIDS dataset",
    "slurm": "Slurm",
    "dask": "Dask",
    "executor": "where runs are processed",
}
"""Names of options, and words in them, for people."""

_CLOSED = {"atlas": published_seed_sets(), "connectivity": tuple(MEASURES)}
"""Choices of options that also accept names of files or other spellings."""

_GROUP_ONLY = {
    each.name for each in declared_options(Settings) if PARTICIPANT not in each.option.levels
}

_RESULTS = {
    "id": "results",
    "name": "Results",
    "description": "BIDS derivatives: time series, connectivity, reports",
    "path-template": "[OUTPUT_DIR]",
    "optional": False,
}

_FILES = [
    {
        "id": id_,
        "name": name,
        "path-template": f"[OUTPUT_DIR]/{place}",
        "optional": True,
        "list": "*" in place,
    }
    for id_, name, place in (
        ("group_page", "Page of the group", "group.html"),
        ("pages", "Pages of participants", "sub-*.html"),
        ("spheres", "Spheres", "sub-*/func/*_desc-spheres_dseg.tsv"),
        ("series", "Time series", "sub-*/func/*_timeseries.tsv"),
        ("matrices", "Connectivity", "sub-*/func/*_relmat.tsv"),
        ("series_of_sessions", "Time series of sessions", "sub-*/ses-*/func/*_timeseries.tsv"),
        ("matrices_of_sessions", "Connectivity of sessions", "sub-*/ses-*/func/*_relmat.tsv"),
        ("group_tables", "Tables and matrices of the group", "group/*.tsv"),
    )
]
"""Single outputs."""

_HOME = {
    "id": "templateflow_home",
    "name": "TemplateFlow home",
    "description": "folder of TemplateFlow's files, for the environment variable "
    "TEMPLATEFLOW_HOME (default: what that is already, which in the image is a folder of its own)",
    "type": "File",
    "optional": True,
    "value-key": "[TEMPLATEFLOW_HOME]",
    "command-line-flag": "TEMPLATEFLOW_HOME=",
    "command-line-flag-separator": "",
}
"""A variable that Boutiques sets can't keep its current value; one that `env` sets can."""

_VARIABLES = [
    {
        "name": "PYTHONNOUSERSITE",
        "value": "1",
        "description": "Packages in the user's home, which some containers see, are not used.",
    },
    {
        "name": "TEMPLATEFLOW_AUTOUPDATE",
        "value": "0",
        "description": "TemplateFlow does not ask the network whether its index is new.",
    },
]


def descriptor(
    parser: argparse.ArgumentParser | None = None, *, draft: bool = False
) -> dict[str, object]:
    """Boutiques descriptor of a parser, by default that of the BIDS App.

    For the `draft` (``--bids-exec-spec``) it has what Boutiques' check of BIDS Apps forbids: single
    outputs, and flags for help and version.
    """
    parser = parser or main_parser()
    inputs = list(_inputs(parser))
    for name in ("help", "version") if draft else ():
        flag = {"type": "Flag", "optional": True, "command-line-flag": f"--{name}"}
        inputs.append({**_named(name), **flag})
    first = [f"[{name.upper()}]" for name in _FIRST]
    keys = dict.fromkeys([*first, *(each["value-key"] for each in inputs)])
    return {
        "name": "bids_spheres",
        "tool-version": __version__,
        "schema-version": "0.5",
        "description": parser.description,
        "author": "The bids_spheres developers",
        "command-line": f"mkdir -p [OUTPUT_DIR]; env {_HOME['value-key']} {parser.prog} "
        + " ".join(keys),
        # Without an index: the image that `docker build -t` builds here.
        "container-image": {"type": "docker", "image": f"bids-spheres:{__version__}"},
        # As /bin/sh it would be a login shell, in which PATH is not that of the image.
        "shell": "/bin/bash",
        "environment-variables": _VARIABLES,
        "inputs": [*inputs, _HOME],
        "groups": _groups(parser, inputs),
        "output-files": [_RESULTS, *(_FILES if draft else ())],
        "custom": {"BIDSAppSpecVersion": "0.1.0.dev"},
        "error-codes": [
            {"code": status, "description": meaning} for status, meaning in EXIT_STATUSES.items()
        ],
        "suggested-resources": RESOURCES,
        "tags": {"domain": ["neuroinformatics", "bids", "fmri"], "toolbox": "bids_spheres"},
    }


def text(*, draft: bool = False) -> str:
    """Content of descriptor.json, or what ``--bids-exec-spec`` prints."""
    return json.dumps(descriptor(draft=draft), indent=2, ensure_ascii=False) + "\n"


def _inputs(parser: argparse.ArgumentParser) -> Iterator[Input]:
    for action in parser._actions:  # noqa: SLF001
        if action.dest in _LEFT_OUT:
            continue
        text = parser._get_formatter()._expand_help(action) if action.help else ""  # noqa: SLF001
        about = {**_named(action.dest), "description": text}
        if action.dest == "output_dir":
            # The check of BIDS Apps requires a String and a File with one key. Boutiques drops a
            # key when the first input with it is not given, so that one is required.
            yield {**about, "type": "String", "optional": False}
            yield {
                **about,
                "id": f"{about['id']}_mount",
                "name": f"{about['name']} to mount",
                "description": "the same folder again, when it is there and outside the current "
                "one: containers get to see it by that",
                "type": "File",
                "optional": True,
            }
        elif not action.option_strings:
            yield {**about, **_value(action), "optional": False}
        else:
            # The long form of a flag, and the first of two spellings.
            flag = max(action.option_strings, key=len)
            yield {**about, **_option(action, flag), "optional": True}
            words = action.type.words if isinstance(action.type, Number) else ()
            for word in words if action.nargs is None else ():
                yield {
                    **_named(f"{action.dest}_{word}"),
                    "name": f"{about['name']}: {word}",
                    "description": f"{action.dest.replace('_', ' ')}: {word}",
                    "type": "Flag",
                    "command-line-flag": f"{flag}={word}",
                    "disables-inputs": [action.dest],
                    "optional": True,
                }


def _named(dest: str) -> Input:
    words = _WORDS.get(dest) or " ".join(_WORDS.get(word, word) for word in dest.split("_"))
    name = words if words.startswith("fMRI") else words[0].upper() + words[1:]
    return {"id": _DRAFT_IDS.get(dest, dest), "name": name, "value-key": f"[{dest.upper()}]"}


def _option(action: argparse.Action, flag: str) -> Input:
    if isinstance(action, argparse.BooleanOptionalAction):
        # Of --x and --no-x, the one that changes something.
        off = next(each for each in action.option_strings if each.startswith("--no-"))
        if not action.default:
            return {"type": "Flag", "command-line-flag": f"--{off.removeprefix('--no-')}"}
        text = f"don't {action.help}".partition(" (default")[0]
        named = _named(f"no_{action.dest}")
        return {**named, "description": text, "type": "Flag", "command-line-flag": off}
    if action.nargs == 0:
        return {"type": "Flag", "command-line-flag": flag}
    many = action.nargs is not None
    # Boutiques passes defaults in every call, where those of the group level may have no effect.
    shown = action.default not in (None, []) and action.dest not in _GROUP_ONLY
    default = {"default-value": action.default} if shown else {}
    # A list has one flag for all of its values; a single value follows = .
    separator = {} if many else {"command-line-flag-separator": "="}
    return {**_value(action), "command-line-flag": flag, **separator, **default}


def _value(action: argparse.Action) -> Input:
    """Boutiques type of the value of an option, with its limits."""
    many = {"list": True, "min-list-entries": 1} if action.nargs is not None else {}
    if action.dest == "analysis_level":
        # The app has an exit status of its own for other levels.
        return {"type": "String", "value-choices": [PARTICIPANT, GROUP], **many}
    kind = action.type
    if isinstance(kind, PathName):
        return {"type": "File", **many}
    if choices := _CLOSED.get(action.dest) or (kind.words if isinstance(kind, Choice) else ()):
        return {"type": "String", "value-choices": list(choices), **many}
    if isinstance(kind, Memory):
        return {"type": "Number", "integer": True, "minimum": 1, **many}
    if isinstance(kind, Number):
        limits = {"minimum": kind.least, "maximum": kind.most}
        known = {name: limit for name, limit in limits.items() if isfinite(limit)}
        return {"type": "Number", "integer": kind.whole, **known, **many}
    return {"type": "String", **many}


def _groups(parser: argparse.ArgumentParser, inputs: Sequence[Input]) -> list[dict[str, object]]:
    """Groups of the parser's help."""
    groups: list[dict[str, object]] = []
    given = [(each["id"], each.get("command-line-flag", "").partition("=")[0]) for each in inputs]
    for group in parser._action_groups:  # noqa: SLF001 - has no other name
        flags = {flag for a in group._group_actions for flag in a.option_strings}  # noqa: SLF001
        if members := [id_ for id_, flag in given if flag in flags]:
            title = re.split("[;,]", group.title or "options")[0]
            name = re.sub(r"\W+", "_", title).lower()
            groups.append({"id": f"{name}_options", "name": title, "members": members})
    return groups


if __name__ == "__main__":
    sys.stdout.write(text())
