"""The methods section that the results carry, in plain words with its references."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bids_spheres.errors import UsageError
from bids_spheres.files.atomic import read_text
from bids_spheres.outputs.shared import CITATION_FILE, methods_file
from bids_spheres.reports.methods import cited_keys, in_plain_words, load_references

if TYPE_CHECKING:
    from pathlib import Path

    from bids_spheres.reports.methods import Reference

_METHODS = re.compile(r"^## Methods\n(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class MethodsText:
    """Paragraphs, what they cite in the order of the first citation, and the file they are from."""

    paragraphs: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    file: str = CITATION_FILE


def read_methods(output_dir: Path, participant: str) -> MethodsText:
    """The participant's text, or without one that of the last call; empty where there is none."""
    for file in (methods_file(participant), CITATION_FILE):
        if match := _METHODS.search(read_text(output_dir / file)):
            return _parsed(match, file)
    return MethodsText()


def _parsed(match: re.Match[str], file: str) -> MethodsText:
    text, known = match["text"].strip(), load_references()
    paragraphs = tuple(_plain(paragraph) for paragraph in text.split("\n\n") if paragraph.strip())
    cited = tuple(known[key] for key in cited_keys(text) if key in known)
    return MethodsText(paragraphs, cited, file)


def _plain(paragraph: str) -> str:
    try:
        return in_plain_words(paragraph)
    except UsageError:
        return paragraph  # by another version, which cites what this one does not know
