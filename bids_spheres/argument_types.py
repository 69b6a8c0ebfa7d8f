"""Words of a command line to values: types of options, whose errors say what a word should be."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import BidsSpheresError
from bids_spheres.settings import OFF
from bids_spheres.textfiles import read_text

if TYPE_CHECKING:
    from collections.abc import Callable

_WIDEST = 40.0
"""mm. What is smoothed more is no image any more, and the weights of a sphere fill memory."""

_MOST_DIGITS = 9
"""Of a number of volumes or processes."""

_LONGEST = 1000.0
"""mm. Longer than a head, so that a larger radius is in other units."""


class ExtendByLists(argparse.Action):
    """Extend a list by the lists that the type of an option makes of its words."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Take the words of one option in."""
        del parser, option_string
        there = getattr(namespace, self.dest, None) or []
        setattr(namespace, self.dest, [*there, *(label for labels in values for label in labels)])


def label_reader(key: str) -> Callable[[str], list[str]]:
    """Reader of a label of an entity, with or without its key, or of ``@FILE`` with labels."""

    def labels(text: str) -> list[str]:
        words = _words_of(Path(text[1:])) if text.startswith("@") else [text]
        return [word.removeprefix(f"{key}-") for word in words]

    return labels


def _words_of(path: Path) -> list[str]:
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


def named_path(text: str) -> tuple[str, Path]:
    """``NAME=PATH`` as both, or a path without a name."""
    name, sign, path = text.partition("=")
    # A path may hold the sign as well; a name never holds a separator.
    named = bool(sign) and os.sep not in name and name.isalnum()
    return (name, Path(path)) if named else ("", Path(text))


def number(text: str) -> float:
    """A number of 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of 0 or more")
    return value


def share(text: str) -> float:
    """A number from 0 to 1."""
    value = number(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share from 0 to 1")
    return value


def length(text: str) -> float:
    """A radius, mm."""
    return _millimetres(text, _LONGEST)


def width(text: str) -> float:
    """A width of smoothing, mm."""
    return _millimetres(text, _WIDEST)


def _millimetres(text: str, most: float) -> float:
    try:
        value = number(text)
    except argparse.ArgumentTypeError as error:
        message = f"{text} is not a length in mm; give a number, as 5"
        raise argparse.ArgumentTypeError(message) from error
    if value > most:
        raise argparse.ArgumentTypeError(f"{text} is not a length of up to {most:g} mm")
    return value


def number_or_off(text: str) -> float | str:
    """A number of 0 or more, or none."""
    return OFF if text == OFF else number(text)


def whole(text: str) -> int:
    """A whole number of 0 or more."""
    if not text.isdecimal() or len(text) > _MOST_DIGITS:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number")
    return int(text)


def count(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or len(text) > _MOST_DIGITS or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 is needed, not {text}")
    return int(text)


_MEGABYTES = {"M": 1, "G": 1000, "T": 1_000_000}


def megabytes(text: str) -> int:
    """MB of an amount of memory; a bare number is of MB, as for fMRIPrep and Slurm."""
    number = text.upper().removesuffix("B")
    unit = _MEGABYTES.get(number[-1:])
    try:
        amount = float(number[:-1] if unit else number) * (unit or 1)
    except ValueError:
        amount = 0.0
    if not 1 <= amount < 10**_MOST_DIGITS:
        raise argparse.ArgumentTypeError(f"{text} is no amount of memory; give one as 8000 or 8GB")
    return int(amount)


def slurm_word(text: str) -> str | Path:
    """A setting, or a file of settings."""
    key, sign, _ = text.partition("=")
    return text if sign and key.replace("-", "_").isidentifier() else Path(text)


def dummy_scans(text: str) -> Any:
    """A number of volumes, or auto."""
    return text if text == "auto" else whole(text)
