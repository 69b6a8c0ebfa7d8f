"""Origin of the results: the methods section, the call, its settings, versions, input files."""

from __future__ import annotations

import json
import platform
import re
import shlex
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
from bids_spheres.wording import listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bids_spheres.reports.methods.references import Reference
    from bids_spheres.reports.participant.load import Participant

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


def command(path: Path | None, settings: Mapping[str, object], output_dir: Path) -> str | None:
    """Command line that repeats the call with this record of settings; None without a record."""
    if path is None:
        return None
    words = [str(settings.get(key)) for key in ("bids_dir", "output_dir", "analysis_level")]
    record = Path(words[1]) / path.relative_to(output_dir)
    return shlex.join(["bids-spheres", *words, "--config", str(record)])


def settings_in_words(settings: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Names and values of the settings that have a value."""
    texts = []
    for name, value in settings.items():
        if value not in (None, [], ""):
            words = value if isinstance(value, list) else [value]
            strings = (word if isinstance(word, str) else json.dumps(word) for word in words)
            texts.append((name, ", ".join(strings)))
    return tuple(texts)


def made_with(participant: Participant) -> Iterator[str]:
    """Software of the results and of their input, in a sentence."""
    known = [*_versions_of_data(participant)]
    results = [text for name, text in known if name == "Results"]
    yield from sentence_of_software(results, [text for name, text in known if name != "Results"])


def sentence_of_software(results: Iterable[str], inputs: Iterable[str] = ()) -> Iterator[str]:
    """Software of the results, and of the output they were computed from."""
    ours, theirs = list(dict.fromkeys(results)), list(dict.fromkeys(inputs))
    if ours:
        source = f" from {listing(theirs)} output" if theirs else ""
        yield f"Made with {listing(ours)}{source}."


def versions(participant: Participant) -> tuple[tuple[str, str], ...]:
    """Software of the results, of their input, and of this page."""
    return (*_versions_of_data(participant), *versions_of_this_page())


def _versions_of_data(participant: Participant) -> Iterator[tuple[str, str]]:
    description = read_description(participant.output_dir)
    yield from (("Results", text) for text in generators(description))
    for name, root in participant.links.roots.items():
        try:
            description = read_description(root)
        except (OSError, ValueError):
            continue  # the input may have changed since
        yield from ((f"Input {name}", text) for text in generators(description))


def versions_of_this_page() -> Iterator[tuple[str, str]]:
    """Software that writes this page."""
    yield "This page", f"bids_spheres {__version__}, Python {platform.python_version()}"
    libraries = []
    for name in _LIBRARIES:
        try:
            libraries.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    yield "Libraries of this page", ", ".join(libraries)


def generators(description: Mapping[str, object]) -> Iterator[str]:
    """Software in ``GeneratedBy`` of a dataset_description.json."""
    entries = description.get("GeneratedBy")
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("Name"):
            yield f"{entry['Name']} {entry.get('Version') or ''}".strip()


def inputs(participant: Participant) -> tuple[str, ...]:
    """URIs of every input file that sidecars name."""
    sets = [seeds for run in participant.runs for seeds in run.sets]
    facts = [seeds.spheres.sidecar for seeds in sets if seeds.spheres is not None]
    facts += [sidecar for seeds in sets for sidecar in seeds.facts.values()]
    uris = dict.fromkeys(uri for sidecar in facts for uri in sidecar.get("Sources", []))
    return tuple(uri for uri in uris if not uri.startswith("bids::"))


def datasets(participant: Participant) -> tuple[tuple[str, str], ...]:
    """Names of datasets in the URIs, and their folders."""
    return tuple((name, str(root)) for name, root in participant.links.roots.items())
