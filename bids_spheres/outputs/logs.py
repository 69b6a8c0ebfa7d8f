"""The folder ``logs``: settings and methods of calls, and files about runs that failed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bids_spheres.files.atomic import check_folders, write_json
from bids_spheres.files.text import read_own_text
from bids_spheres.outputs.sidecars import read_own_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.files.text import JsonObject

LOGS = "logs"
"""Name of the folder in an output dataset."""

CITATION_FILE = "logs/CITATION.md"
"""Path in the output of the methods text of the last call."""


def done_folder(output_dir: Path) -> Path:
    """Folder of the records of the inputs and settings that each run was made from."""
    return output_dir / LOGS / "done"


def write_record(
    output_dir: Path, settings: Mapping[str, object], participants: Sequence[str] = ()
) -> Path:
    """Write the settings of a call into a file named after the time of its start.

    Settings for a single participant go into a folder of the participant's own: an array of ten
    thousand tasks writes as many, which nobody should have to read to find the last one.
    `participants` are labels; empty for all.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    single = len(participants) == 1
    folder = calls_folder(output_dir, participants[0]) if single else output_dir / LOGS
    check_folders(output_dir, [folder])
    path = folder / f"{stamp}_settings.json"
    write_json(path, settings)
    return path


def calls_folder(output_dir: Path, participant: str) -> Path:
    """Folder of the records of calls for one participant alone."""
    return output_dir / LOGS / "calls" / f"sub-{participant}"


def methods_file(participant: str) -> str:
    """Path in the output of the methods text for one participant's results.

    That of a call, ``logs/CITATION.md``, covers all of its participants and their spaces.
    """
    return f"logs/methods/sub-{participant}.md"


def recorded_settings(
    output_dir: Path, participant: str | None = None
) -> Iterator[tuple[Path, JsonObject]]:
    """Path and content of the records of settings of calls, the newest first.

    With the label of a participant, the participant's own records too.
    """
    folders = [output_dir / LOGS]
    if participant is not None:
        folders.append(calls_folder(output_dir, participant))
    records = (path for folder in folders for path in folder.glob("*_settings.json"))
    for path in sorted(records, key=lambda path: path.name, reverse=True):
        yield path, read_own_json(path)


def last_settings(
    output_dir: Path, wanted: Callable[[JsonObject], bool], participant: str | None = None
) -> tuple[Path | None, JsonObject]:
    """The newest of `recorded_settings` that is `wanted`, if any."""
    records = recorded_settings(output_dir, participant)
    return next((record for record in records if wanted(record[1])), (None, {}))


@dataclass(frozen=True)
class Crash:
    """The file about a run that failed."""

    path: Path

    @property
    def entities(self) -> Mapping[str, str]:
        """Labels of the run by entity."""
        words = self.path.stem.removeprefix("crash-").split("_")
        return {key: label for key, _, label in (word.partition("-") for word in words)}

    @property
    def message(self) -> str:
        """Which run failed and why."""
        first, _, rest = read_own_text(self.path).partition("\n\n")
        why = " ".join(rest.partition("\n\n")[0].split())
        return f"{first.rpartition(', ')[0]} has failed: {why or f'see {self.path.name}'}"


def crash_file(output_dir: Path, job: str) -> Path:
    """File about the failure of a job with this name."""
    return output_dir / LOGS / f"crash-{job.replace(' ', '_')}.txt"


def find_crashes(
    output_dir: Path, participant: str | None = None, session: str | None = None
) -> list[Crash]:
    """Files about failed runs of all, or of one participant or session."""
    crashes = map(Crash, sorted((output_dir / LOGS).glob("crash-sub-*.txt")))
    return [
        crash
        for crash in crashes
        if participant in (None, crash.entities["sub"])
        and session in (None, crash.entities.get("ses"))
    ]
