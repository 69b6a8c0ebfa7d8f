"""Origin of the results: the methods section, the call, its settings, versions, input files."""

from __future__ import annotations

import json
import platform
import re
import shlex
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from bids_spheres import __version__
from bids_spheres.errors import UsageError
from bids_spheres.files.text import read_own_text
from bids_spheres.outputs.links import read_description
from bids_spheres.outputs.logs import CITATION_FILE, methods_file
from bids_spheres.reports.methods.references import cited_keys, in_plain_words, load_references
from bids_spheres.wording import collect, listing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from bids_spheres.reports.methods.references import Reference

_LIBRARIES = ("numpy", "scipy", "nibabel", "pandas", "pybids")
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


def origin(
    output_dir: Path,
    path: Path | None,
    settings: Mapping[str, object],
    versions: Sequence[tuple[str, str]],
    options: Collection[str] = (),
) -> dict[str, object]:
    """Command, settings and software, by the names of the template's variables.

    `path` and `settings` are the record of a call, of which the values of `options` are shown, or
    of all; `versions` are those of `software`.
    """
    command, values = None, []
    if path is not None:
        call = [str(settings.get(key)) for key in ("bids_dir", "output_dir", "analysis_level")]
        record = Path(call[1]) / path.relative_to(output_dir)
        command = shlex.join(["bids-spheres", *call, "--config", str(record)])
    for name, value in settings.items():
        if value not in (None, [], "") and (not options or name in options):
            words: list[object] = value if isinstance(value, list) else [value]
            strings = (word if isinstance(word, str) else json.dumps(word) for word in words)
            values.append((name, ", ".join(strings)))
    libraries = []
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            libraries.append(f"{name} {version(name)}")
    page = f"bids_spheres {__version__}, Python {platform.python_version()}"
    of_page = ("This page", page), ("Libraries of this page", ", ".join(libraries))
    return {"command": command, "settings": values, "versions": (*versions, *of_page)}


def software(output_dir: Path, inputs: Mapping[str, Path] | None = None) -> list[tuple[str, str]]:
    """What the results, and the datasets that they were made from, were made with."""
    found = [("Results", text) for text in _generators(output_dir)]
    for name, root in (inputs or {}).items():
        with suppress(OSError, ValueError):  # the input may have changed since
            found += [(f"Input {name}", text) for text in _generators(root)]
    return found


def _generators(root: Path) -> Iterator[str]:
    entries = read_description(root).get("GeneratedBy")
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("Name"):
            yield f"{entry['Name']} {entry.get('Version') or ''}".strip()


def made_with(versions: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Software of the results, and of the output they were made from, in a sentence."""
    names = collect((what == "Results", text) for what, text in versions)
    if ours := names.get(True):
        source = f" from {listing(names[False])} output" if False in names else ""
        yield f"Made with {listing(ours)}{source}."
