"""Options from a file.

A configuration file holds options by their names, as the record of settings in ``logs`` does. It is
turned into words of a command line, so that types, choices and messages are those of the options;
what the user typed counts more.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import DataError, UsageError, did_you_mean
from bids_spheres.files.text import parse_json, parse_yaml, read_text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


def with_config(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """Words of a command line with those that its ``--config`` file stands for."""
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config", type=Path)
    path: Path | None = finder.parse_known_args(list(words))[0].config
    if path is None:
        return list(words)
    text = read_text(path, "configuration file")
    content = (parse_json if path.suffix.lower() == ".json" else parse_yaml)(text, path)
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise DataError(f"{path} must hold options by their names, as in atlas: [Power2011].")
    positional, named = option_words(parser, content, path, typed_options(parser, words))
    # An option that takes several words ends where the next flag begins: the user's come first.
    return [*positional, *words, *named]


def option_words(
    parser: argparse.ArgumentParser,
    content: Mapping[str, Any],
    path: Path,
    given: Collection[str] = (),
) -> tuple[list[str], list[str]]:
    """Positional words and options that the content of a file stands for, without those `given`."""
    options = {action.dest: action for action in parser._actions}  # noqa: SLF001 - has no other name
    positional: list[str] = []
    named: list[str] = []
    for name, value in content.items():
        dest = name.replace("-", "_")
        if name.startswith("_") or value in (None, []):
            continue  # remarks, and options without a value
        if dest not in options or dest in ("help", "help_all", "version", "config"):
            raise UsageError(
                f"{path}: {name!r} is no option.", hint=did_you_mean(dest, list(options))
            )
        if dest not in given:
            words = _words(options[dest], value, path)
            (named if options[dest].option_strings else positional).extend(words)
    return positional, named


def typed_options(parser: argparse.ArgumentParser, words: Sequence[str]) -> set[str]:
    """Options that the user typed, by their names; those without a flag included."""
    flags = {word.partition("=")[0] for word in words if word.startswith("-")}
    given = {a.dest for a in parser._actions if flags & set(a.option_strings)}  # noqa: SLF001
    bare = bool(words) and not words[0].startswith("-")
    positionals = [a.dest for a in parser._actions if not a.option_strings]  # noqa: SLF001
    return given | (set(positionals) if bare else set())


def _words(action: argparse.Action, value: Any, path: Path) -> list[str]:
    """Words of a command line that give an option a value."""
    if not action.option_strings:
        return [str(value)]
    flag = max(action.option_strings, key=len)
    if isinstance(action, argparse.BooleanOptionalAction) and isinstance(value, bool):
        no = [flag for flag in action.option_strings if flag.startswith("--no-")]
        yes = [flag for flag in action.option_strings if flag not in no]
        return (yes if value else no)[:1]
    if action.nargs == 0:
        if not isinstance(value, bool | int):
            raise UsageError(f"{path}: {action.dest} must be true or false, not {value!r}.")
        return [flag] * int(value)
    if action.const and isinstance(value, bool):
        return [flag] * value
    values = value if isinstance(value, list) else [value]
    if any(isinstance(item, dict | list | bool) for item in values):
        raise UsageError(f"{path}: {action.dest} can't be {value!r}.")
    # One word each time, so that a value that begins with a minus is not taken for an option.
    return [f"{flag}={item}" for item in values]
