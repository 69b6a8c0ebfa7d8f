"""Where the results come from: the call, its settings, versions, and input files."""

from __future__ import annotations

import json
import platform
import shlex
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_spheres import __version__
from bids_spheres.outputs.links import all_sources, read_description
from bids_spheres.wording import listing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bids_spheres.reports.participant.load import Participant

_LIBRARIES = ("numpy", "scipy", "nibabel", "pandas", "pybids")


def command(participant: Participant) -> str | None:
    """A call that does the same again; None without a record of the settings."""
    settings, path = participant.settings, participant.settings_path
    if path is None:
        return None
    words = [str(settings.get(key)) for key in ("bids_dir", "output_dir", "analysis_level")]
    record = Path(words[1]) / path.relative_to(participant.output_dir)
    return shlex.join(["bids-spheres", *words, "--config", str(record)])


def settings(participant: Participant) -> tuple[tuple[str, str], ...]:
    """Names and values of the settings that say something."""
    return told(participant.settings)


def told(settings: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Names and values of settings that say something."""
    return tuple(
        (name, _text(value)) for name, value in settings.items() if value not in (None, [], "")
    )


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def made_by(participant: Participant) -> str:
    """What made the results and their input, in a sentence."""
    found = dict.fromkeys(
        text for name, text in _versions(participant) if name.startswith(("Results", "Input"))
    )
    return f"By {listing(list(found))}." if found else ""


def versions(participant: Participant) -> tuple[tuple[str, str], ...]:
    """Software of the results, of their input, and of this page."""
    return tuple(_versions(participant))


def _versions(participant: Participant) -> Iterator[tuple[str, str]]:
    yield from (("Results", text) for text in generators(read_description(participant.output_dir)))
    for name, root in participant.links.roots.items():
        for text in generators(_described(root)):
            yield f"Input {name}", text
    yield from of_this_page()


def of_this_page() -> Iterator[tuple[str, str]]:
    """Software that a page made now is made with."""
    yield "This page", f"bids_spheres {__version__}, Python {platform.python_version()}"
    yield "Libraries of this page", ", ".join(filter(None, map(_library, _LIBRARIES)))


def _described(root: Path) -> dict[str, Any]:
    try:
        return read_description(root)
    except (OSError, ValueError):
        return {}  # someone else's dataset, which may have changed since


def generators(description: Mapping[str, Any]) -> Iterator[str]:
    """Software that a dataset_description.json says it was made by."""
    entries = description.get("GeneratedBy")
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("Name"):
            yield f"{entry['Name']} {entry.get('Version') or ''}".strip()


def _library(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return ""


def inputs(participant: Participant) -> tuple[str, ...]:
    """URIs of every input file that sidecars name."""
    sets = [one for run in participant.runs for one in run.sets]
    facts = [one.spheres.sidecar for one in sets if one.spheres is not None]
    facts += [each for one in sets for each in one.facts.values()]
    return tuple(all_sources(facts))


def datasets(participant: Participant) -> tuple[tuple[str, str], ...]:
    """What the names in the URIs stand for."""
    return tuple((name, str(root)) for name, root in participant.links.roots.items())
