"""Files about runs that failed."""

from __future__ import annotations

import platform
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from bids_spheres import __version__
from bids_spheres.bids.files import json_text, remove, write_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bids_spheres.execute.outcomes import Outcome
    from bids_spheres.settings import Settings


def crash_file(output_dir: Path, job: str) -> Path:
    """File about the failure of a job, by the job's name."""
    return output_dir / "logs" / f"crash-{job.replace(' ', '_')}.txt"


def keep_crash(outcome: Outcome, settings: Settings) -> None:
    """Write what is known of a failure; after a success remove what an earlier call wrote.

    Message, traceback, versions and settings; nothing of the environment, which holds secrets.

    Raises
    ------
    OutputError
        When the file can't be written or removed.
    """
    path = crash_file(settings.output_dir, outcome.job)
    if outcome.error is None:
        remove(path)
        return
    when = datetime.now(UTC).isoformat(timespec="seconds")
    parts = (
        f"{outcome.job}, {when}",
        outcome.error,
        outcome.trace.rstrip() or "No traceback: the process is gone.",
        "\n".join(f"{name} {version}" for name, version in _versions()),
        json_text(settings.to_json()).rstrip(),
    )
    write_text(path, "\n\n".join(parts) + "\n")


def _versions() -> Iterator[tuple[str, str]]:
    """Names and versions of what a result may depend on."""
    yield "bids-spheres", __version__
    yield "Python", f"{platform.python_version()} on {platform.platform()}"
    for name in ("h5py", "nibabel", "numpy", "pandas", "pybids", "scipy", "zlib-ng"):
        with suppress(PackageNotFoundError):
            yield name, version(name)
