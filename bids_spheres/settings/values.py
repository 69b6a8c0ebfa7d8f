"""Kinds of option values: how a word of the command line becomes a value, and how it is shown."""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_spheres.data.published import is_typed_seed
from bids_spheres.errors import BidsSpheresError
from bids_spheres.files.text import read_text

if TYPE_CHECKING:
    from collections.abc import Callable

OFF = "none"  # the word that switches a threshold, an edge or a step off
_LONGEST = 40  # letters of a word in a message
_MOST_DIGITS = 9  # digits of a number of volumes, processes or MB


@dataclass(frozen=True)
class Kind:
    """Any text, or what `read` makes of it; `metavar` stands for the value in the help."""

    metavar: str = "TEXT"
    read: Callable[[str], object] = field(default=str, kw_only=True)

    def __call__(self, text: str) -> object:
        """Value of a word; an `argparse.ArgumentTypeError` says why it is none."""
        return self.read(text)

    def show(self, value: Any) -> object:
        """The value as it stands in a record of settings, with JSON types only."""
        return str(value.resolve()) if isinstance(value, Path) else value

    def absolute(self, value: Any) -> object:
        """The value with an absolute path, if it is or holds a relative one."""
        return value.absolute() if isinstance(value, Path) else value


@dataclass(frozen=True)
class Choice(Kind):
    """One of several words; `off` is the value that "none" stands for."""

    words: tuple[str, ...] = ()
    off: str | bool = OFF

    def __call__(self, text: str) -> str | bool:
        """The word, or what "none" stands for."""
        if text not in self.words:
            known = ", ".join(self.words)
            raise argparse.ArgumentTypeError(f"invalid choice: {text!r} (choose from {known})")
        return self.off if text == OFF else text

    def show(self, value: str | bool) -> str | bool:
        """Its text."""
        return OFF if value == self.off else value


@dataclass(frozen=True)
class PathName(Kind):
    """Path of a file or folder."""

    metavar: str = "PATH"
    read: Callable[[str], object] = field(default=Path, kw_only=True)


def file_or_seed(text: str) -> Path | str:
    """Path of a seed table, or a seed as it was typed, which stays text."""
    return text.strip() if is_typed_seed(text) else Path(text)


@dataclass(frozen=True)
class NameOrPath(Kind):
    """A path, or a name that stays as it is when `is_path` is false of it; both as text."""

    is_path: Callable[[Path], object] = field(default=bool, kw_only=True)

    def absolute(self, value: str) -> str:
        """The same name, or an absolute path."""
        path = Path(value)
        return str(path.absolute()) if self.is_path(path) else value


def tissue_rule(text: str) -> str:
    """A tissue, and the least probability that counts, or ``weight``; as text."""
    tissue, _, rule = text.partition(":")
    with suppress(ValueError):
        if tissue in ("GM", "WM", "CSF") and (rule in ("", "weight") or 0 < float(rule) <= 1):
            return text
    raise argparse.ArgumentTypeError(
        f"{text} is no tissue: give GM, WM or CSF, with a share as GM:0.5, or GM:weight"
    )


MOST_JITTER, MOST_PLACEMENTS = 20, 1000  # mm of random shifts of spheres, and how many


def jitter(text: str) -> str:
    """A distance in mm and a number of random placements within it, 50 by default; as text."""
    distance, colon, number = text.partition(":")
    with suppress(ValueError):
        mm, n = float(distance), int(number if colon else 50)
        if 0 < mm <= MOST_JITTER and 2 <= n <= MOST_PLACEMENTS:
            return f"{mm:g}:{n}"
    raise argparse.ArgumentTypeError(
        f"{text} is no distance of at most {MOST_JITTER} mm, with a number of placements from "
        f"2 to {MOST_PLACEMENTS} if any, as 3 or 3:100"
    )


@dataclass(frozen=True)
class NamedPath(Kind):
    """``NAME=PATH`` as both, or a path without a name."""

    metavar: str = "[NAME=]PATH"

    def __call__(self, text: str) -> tuple[str, Path]:
        """Name and path of a word; the name may be empty."""
        name, sign, path = text.partition("=")
        # A path may hold the sign as well; a name never holds a separator.
        named = bool(sign) and os.sep not in name and name.isalnum()
        return (name, Path(path)) if named else ("", Path(text))

    def absolute(self, value: tuple[str, Path]) -> tuple[str, Path]:
        """The same name with an absolute path."""
        return value[0], value[1].absolute()

    def show(self, value: tuple[str, Path]) -> str:
        """Its text."""
        name, path = value
        return f"{name}={path.resolve()}" if name else str(path.resolve())


@dataclass(frozen=True)
class Number(Kind):
    """A number within limits, both included, or one of some words, taken as they are.

    `unit` names the quantity in messages. With `zero_is_off` 0 stands for None, for no such step.
    """

    metavar: str = "N"
    least: float = 0.0
    most: float = inf
    whole: bool = False
    words: tuple[str, ...] = ()
    unit: str = ""
    zero_is_off: bool = False

    def __call__(self, text: str) -> float | str | None:
        """Number of a word, or the word."""
        if text in self.words:
            return text
        value: float | None = None
        if not self.whole:
            with suppress(ValueError):
                value = float(text)
        elif text.isdecimal() and len(text) <= _MOST_DIGITS:
            value = int(text)
        if value is None or not self.least <= value <= self.most or value == inf:
            shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
            raise argparse.ArgumentTypeError(f"{shown} is not {self.description}")
        return None if self.zero_is_off and value == 0 else value

    @property
    def description(self) -> str:
        """What is taken, in words."""
        name = self.unit or ("a whole number" if self.whole else "a number")
        limits = f" from {self.least:g}" + (f" to {self.most:g}" if self.most < inf else "")
        return " or ".join([name + limits, *self.words])


@dataclass(frozen=True)
class Labels(Kind):
    """Labels of an entity, with or without its key, or ``@FILE`` with one on every line."""

    metavar: str = "LABEL"
    key: str = ""

    def __call__(self, text: str) -> list[str]:
        """Labels of a word: one, or all of a file."""
        words = [text]
        if text.startswith("@"):
            path = Path(text[1:])
            try:
                lines = read_text(path, "list of labels").splitlines()
            except BidsSpheresError as error:
                raise argparse.ArgumentTypeError(error.message.rstrip(".")) from error
            words = [line.split()[0] for line in lines if line.strip()]
            # A table of participants has a header, and other columns.
            words = words[1:] if words[:1] == ["participant_id"] else words
            if not words:
                raise argparse.ArgumentTypeError(f"{path} holds no label")
        return [word.removeprefix(f"{self.key}-") for word in words]


def choice(*words: str, off: str | bool = OFF) -> Choice:
    """One of several words."""
    return Choice("|".join(words), words, off)


@dataclass(frozen=True)
class Memory(Kind):
    """An amount of memory in MB; a bare number is of MB, as for fMRIPrep and Slurm."""

    metavar: str = "MB"

    def __call__(self, text: str) -> int:
        """MB of a word."""
        number = text.upper().removesuffix("B")
        unit = {"M": 1, "G": 1000, "T": 1_000_000}.get(number[-1:])
        try:
            amount = float(number[:-1] if unit else number) * (unit or 1)
        except ValueError:
            amount = 0.0
        if not 1 <= amount < 10**_MOST_DIGITS:
            raise argparse.ArgumentTypeError(
                f"{text} is no amount of memory; give one as 8000 or 8GB"
            )
        return int(amount)


def key_and_value(text: str) -> str:
    """A setting of another program, ``KEY=VALUE``; as text."""
    key, sign, _ = text.partition("=")
    if not sign or not key.replace("-", "_").isidentifier():
        raise argparse.ArgumentTypeError(f"{text[:_LONGEST]} is no setting as KEY=VALUE")
    return text
