"""Contrasts as users write them, and the weights that they have for the terms of a design."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.errors import DataError, UsageError, did_you_mean
from bids_spheres.group.inference import Contrast
from bids_spheres.wording import listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

_WRITTEN = re.compile(r"(?P<f>F:)?(?P<name>[A-Za-z0-9]+)=(?P<text>.+)", re.DOTALL)
_NUMBER = r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+"

_WHOLE_FACTORS = " F:NAME=TERM takes all levels of a factor."

MEAN = Contrast("mean", np.ones((1, 1)))
"""What is tested without a model: the constant of a design without anything else."""


@dataclass(frozen=True)
class ContrastText:
    """A contrast as it is written on the command line.

    Parameters
    ----------
    name : str
        Letters and digits, as it becomes part of file names.
    text : str
        A linear combination of terms, as ``0.5*a - b``; of an F test several, with commas.
    is_f : bool
        Whether they are tested together.
    """

    name: str
    text: str
    is_f: bool


def read_contrasts(words: Iterable[str]) -> tuple[ContrastText, ...]:
    """Read ``NAME=TERMS`` and ``F:NAME=TERMS``.

    Raises
    ------
    UsageError
        When one has another form, or two have one name.
    """
    contrasts: dict[str, ContrastText] = {}
    for word in words:
        match = _WRITTEN.fullmatch(word)
        if match is None:
            raise UsageError(
                f"--contrast {word} is not NAME=TERMS.",
                hint='Write it like age=age, "diff=groupA - groupB" or F:site=C(site), with a name '
                "of letters and digits.",
            )
        # Names of files differ by more than case, as some file systems don't know it.
        if match["name"].casefold() in map(str.casefold, contrasts):
            raise UsageError(
                f"Two contrasts have the name {match['name']}, where case does not count.",
                hint="Give each contrast a name of its own.",
            )
        contrasts[match["name"]] = ContrastText(match["name"], match["text"], bool(match["f"]))
    return tuple(contrasts.values())


def contrast_for(
    contrast: ContrastText, terms: Sequence[str], groups: Mapping[str, Sequence[int]]
) -> Contrast:
    """Weights of a contrast for the terms of a design.

    Parameters
    ----------
    contrast : ContrastText
    terms : sequence of str
        Names of the k columns.
    groups : mapping of str to sequence of int
        Columns of each term of the formula: all levels of a factor.

    Raises
    ------
    UsageError
        When a part is neither a column nor a term.
    DataError
        When its rows are not independent, or all weights are 0.
    """
    columns = {_plain(term): [number] for number, term in enumerate(terms)}
    columns = {_plain(term): list(numbers) for term, numbers in groups.items()} | columns
    rows: list[FloatArray] = []
    for part in _parts(_plain(contrast.text)) if contrast.is_f else [_plain(contrast.text)]:
        if contrast.is_f and part in columns:
            rows.extend(np.eye(len(terms))[columns[part]])
        else:
            rows.append(_combination(contrast, part, columns, terms))
    weights = np.array(rows)
    if np.linalg.matrix_rank(weights) < len(weights):
        raise DataError(
            f"The contrast {contrast.name} ({contrast.text}) has weights that are all 0, or that "
            "follow from one another."
        )
    return Contrast(contrast.name, weights)


def _combination(
    contrast: ContrastText, text: str, columns: Mapping[str, list[int]], terms: Sequence[str]
) -> FloatArray:
    """Weights (k,) of a sum of columns, each with a sign and a factor."""
    single = {name: numbers[0] for name, numbers in columns.items() if len(numbers) == 1}
    # The longest first, as one name may begin another.
    names = "|".join(re.escape(name) for name in sorted(single, key=len, reverse=True))
    summand = re.compile(rf"([+-]?)(?:({_NUMBER})\*)?({names})(?=[+-]|$)")
    weights, place = np.zeros(len(terms)), 0
    while place < len(text):
        match = summand.match(text, place)
        if match is None or (place and not match[1]):
            raise UsageError(
                f"The contrast {contrast.name}: {text[place:]} is no sum of terms of the model.",
                hint=f"{did_you_mean(text[place:].lstrip('+-'), terms)}"
                f"Its terms are {listing(list(terms), 20)}."
                + ("" if contrast.is_f or len(single) == len(columns) else _WHOLE_FACTORS),
            )
        weights[single[match[3]]] += float(f"{match[1]}{match[2] or 1}")
        place = match.end()
    return weights


def _parts(text: str) -> Iterator[str]:
    """Parts between commas that are in no bracket."""
    depth, part = 0, ""
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and not depth:
            yield part
            part = ""
        else:
            part += letter
    yield part


def _plain(text: str) -> str:
    return "".join(text.split())
