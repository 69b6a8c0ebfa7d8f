"""Kinds of option values: how a word of the command line becomes a value, and how it is shown.

A kind can be called with a word, as argparse does; its error says what the word should be. Its
attributes say what it takes, for documentation and descriptors.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from bids_spheres.errors import BidsSpheresError
from bids_spheres.files.text import read_text

OFF = "none"
"""The word that switches a threshold, an edge or a step off."""

_MOST_DIGITS = 9
"""Of a number of volumes, processes or MB."""


@dataclass(frozen=True)
class Kind:
    """Any text.

    Parameters
    ----------
    metavar : str
        Stands for the value in the help.
    """

    metavar: str = "TEXT"

    def __call__(self, text: str) -> Any:
        """Value of a word.

        Raises
        ------
        argparse.ArgumentTypeError
            When the word is no such value.
        """
        return self._read(text)

    def show(self, value: Any) -> Any:
        """The value as it stands in a record of settings, with JSON types only."""
        return self._show(value)

    def absolute(self, value: Any) -> Any:
        """The value with an absolute path, if it is or holds a relative one."""
        return value.absolute() if isinstance(value, Path) else value

    def _read(self, text: str) -> Any:
        return text

    def _show(self, value: Any) -> Any:
        return value


@dataclass(frozen=True)
class Choice(Kind):
    """One of several words.

    Parameters
    ----------
    words : tuple of str
    off : str or bool
        Value that "none" stands for.
    """

    words: tuple[str, ...] = ()
    off: str | bool = OFF

    def _read(self, text: str) -> Any:
        if text not in self.words:
            known = ", ".join(self.words)
            raise argparse.ArgumentTypeError(f"invalid choice: {text!r} (choose from {known})")
        return self.off if text == OFF else text

    def _show(self, value: Any) -> Any:
        return OFF if value == self.off else value


@dataclass(frozen=True)
class PathName(Kind):
    """Path of a file or folder."""

    metavar: str = "PATH"

    def _read(self, text: str) -> Any:
        return Path(text)

    def _show(self, value: Any) -> Any:
        return str(value.resolve())


@dataclass(frozen=True)
class WordOrPath(Kind):
    """One of several words, or the path of a file; both as text.

    Parameters
    ----------
    words : tuple of str
    """

    words: tuple[str, ...] = ()

    def absolute(self, value: str) -> str:
        """The same word, or an absolute path."""
        return value if value in self.words else str(Path(value).absolute())


@dataclass(frozen=True)
class NameOrFile(Kind):
    """A name that ships with the package, or a file of the user's own, which has an ending."""

    metavar: str = "NAME"

    def absolute(self, value: str) -> str:
        """The same name, or an absolute path."""
        return str(Path(value).absolute()) if Path(value).suffix else value


@dataclass(frozen=True)
class NamedPath(Kind):
    """``NAME=PATH`` as both, or a path without a name."""

    metavar: str = "[NAME=]PATH"

    def _read(self, text: str) -> Any:
        name, sign, path = text.partition("=")
        # A path may hold the sign as well; a name never holds a separator.
        named = bool(sign) and os.sep not in name and name.isalnum()
        return (name, Path(path)) if named else ("", Path(text))

    def absolute(self, value: tuple[str, Path]) -> tuple[str, Path]:
        """The same name with an absolute path."""
        return value[0], value[1].absolute()

    def _show(self, value: Any) -> Any:
        name, path = value
        return f"{name}={path.resolve()}" if name else str(path.resolve())


@dataclass(frozen=True)
class Number(Kind):
    """A number within limits, both included, or one of some words.

    Parameters
    ----------
    least, most : float
    whole : bool
        Take whole numbers only.
    words : tuple of str
        Words that are taken as they are.
    unit : str
        Name of the quantity for messages, as in "a length in mm".
    zero_is_off : bool
        Take 0 as None, which switches a step off.
    """

    metavar: str = "N"
    least: float = 0.0
    most: float = inf
    whole: bool = False
    words: tuple[str, ...] = ()
    unit: str = ""
    zero_is_off: bool = False

    def _read(self, text: str) -> Any:
        if text in self.words:
            return text
        value = self._parse(text)
        if value is None or not self.least <= value <= self.most or value == inf:
            raise argparse.ArgumentTypeError(f"{text} is not {self.description}")
        return None if self.zero_is_off and value == 0 else value

    def _parse(self, text: str) -> float | None:
        if self.whole:
            return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else None
        try:
            return float(text)
        except ValueError:
            return None

    @property
    def description(self) -> str:
        """What is taken, in words."""
        name = self.unit or ("a whole number" if self.whole else "a number")
        limits = f" from {self.least:g}" + (f" to {self.most:g}" if self.most < inf else "")
        return " or ".join([name + limits, *self.words])


@dataclass(frozen=True)
class Labels(Kind):
    """Labels of an entity, each with or without its key, or ``@FILE`` with one on every line.

    Parameters
    ----------
    key : str
        Of the entity, as ``sub``.
    """

    metavar: str = "LABEL"
    key: str = ""

    def _read(self, text: str) -> Any:
        words = _first_words(Path(text[1:])) if text.startswith("@") else [text]
        return [word.removeprefix(f"{self.key}-") for word in words]


def choice(*words: str, off: str | bool = OFF) -> Choice:
    """One of several words."""
    return Choice("|".join(words), words, off)


def _first_words(path: Path) -> list[str]:
    """First word of every line of a file; of a table with ``participant_id``, without its header.

    Raises
    ------
    argparse.ArgumentTypeError
        When it can't be read, or has none.
    """
    try:
        lines = read_text(path, "list of labels").splitlines()
    except BidsSpheresError as error:
        raise argparse.ArgumentTypeError(error.message.rstrip(".")) from error
    words = [line.split()[0] for line in lines if line.strip()]
    words = words[1:] if words[:1] == ["participant_id"] else words
    if not words:
        raise argparse.ArgumentTypeError(f"{path} holds no label")
    return words


@dataclass(frozen=True)
class Memory(Kind):
    """An amount of memory in MB; a bare number is of MB, as for fMRIPrep and Slurm."""

    metavar: str = "MB"

    def _read(self, text: str) -> Any:
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


@dataclass(frozen=True)
class SettingOrFile(Kind):
    """A setting as ``KEY=VALUE``, or a file of settings."""

    metavar: str = "SETTING"

    def _read(self, text: str) -> Any:
        key, sign, _ = text.partition("=")
        return text if sign and key.replace("-", "_").isidentifier() else Path(text)

    def _show(self, value: Any) -> Any:
        return value if isinstance(value, str) else str(value.resolve())
