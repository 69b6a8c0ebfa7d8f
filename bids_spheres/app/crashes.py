"""Files about runs that failed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bids_spheres.files.atomic import json_text, remove, write_text
from bids_spheres.outputs.logs import crash_file
from bids_spheres.process.versions import versions

if TYPE_CHECKING:
    from bids_spheres.participant.outcomes import Outcome
    from bids_spheres.settings import Settings


def keep_crash(outcome: Outcome, settings: Settings) -> None:
    """Write what is known of a failure; after a success remove what an earlier call wrote.

    Message, traceback, versions where the run was tried, and settings; nothing of the environment,
    which holds secrets.
    """
    path = crash_file(settings.output_dir, outcome.job)
    if outcome.error is None:
        remove(path)
        return
    when = datetime.now(UTC).isoformat(timespec="seconds")
    software = outcome.versions or versions()
    parts = (
        f"{outcome.job}, {when}",
        outcome.error,
        outcome.trace.rstrip() or "No traceback: the process is gone.",
        "\n".join(f"{name} {version}" for name, version in software.items()),
        json_text(settings.to_json()).rstrip(),
    )
    write_text(path, "\n\n".join(parts) + "\n")
