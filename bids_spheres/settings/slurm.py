"""Settings of Slurm's jobs, as arguments of dask-jobqueue's ``SLURMCluster``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bids_spheres.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_ALIASES = {"partition": "queue", "time": "walltime", "mem": "memory", "name": "job_name"}
"""What Slurm calls them."""

_NUMBERS = ("jobs", "cores", "processes", "job_cpu")
_LISTS = ("job_extra_directives", "job_directives_skip", "job_script_prologue", "worker_extra_args")


def read_slurm_settings(words: Sequence[str]) -> dict[str, Any]:
    """Arguments of ``SLURMCluster``, and `jobs`; of one that is given twice, the last counts.

    Parameters
    ----------
    words : sequence of str
        ``key=value``, keys with ``_`` or ``-``.

    Raises
    ------
    UsageError
        When a number is none.
    """
    settings: dict[str, Any] = {}
    for key, value in (word.split("=", 1) for word in words):
        name = key.replace("-", "_")
        name = _ALIASES.get(name, name)
        if name in _NUMBERS and not (value.isdecimal() and int(value)):
            raise UsageError(f"--dask-slurm: {key} must be a number from 1, not {value!r}.")
        if name in _LISTS:
            settings.setdefault(name, []).append(value)
        else:
            settings[name] = int(value) if name in _NUMBERS else value
    return settings
