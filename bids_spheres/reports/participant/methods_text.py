"""The methods section in the results as plain text, with its references."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bids_spheres.errors import UsageError
from bids_spheres.files.text import read_own_text
from bids_spheres.outputs.logs import CITATION_FILE, methods_file
from bids_spheres.reports.methods import cited_keys, in_plain_words, load_references

if TYPE_CHECKING:
    from pathlib import Path

    from bids_spheres.reports.methods import Reference

_METHODS = re.compile(r"^## Methods\n(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class MethodsText:
    """Paragraphs, references in the order of their first citation, and the file of both."""

    paragraphs: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    file: str = CITATION_FILE


def read_methods(output_dir: Path, participant: str) -> MethodsText:
    """The participant's text, or else that of the last call; empty without either."""
    for file in (methods_file(participant), CITATION_FILE):
        if match := _METHODS.search(read_own_text(output_dir / file)):
            text = match["text"].strip()
            return methods_text([part for part in text.split("\n\n") if part.strip()], file)
    return MethodsText()


def methods_text(paragraphs: list[str], file: str = CITATION_FILE) -> MethodsText:
    """Paragraphs of Markdown as plain text, and the references that they cite."""
    known = load_references()
    keys = cited_keys("\n\n".join(paragraphs))
    plain = []
    for paragraph in paragraphs:
        try:
            plain.append(in_plain_words(paragraph))
        except UsageError:  # another version wrote it, and cites what this one does not know
            plain.append(paragraph)
    return MethodsText(tuple(plain), tuple(known[key] for key in keys if key in known), file)
