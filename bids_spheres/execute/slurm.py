"""What the user asks of Slurm: settings of dask-jobqueue's SLURMCluster, checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import DataError, UsageError, did_you_mean
from bids_spheres.textfiles import parse_json, parse_yaml, read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


@dataclass(frozen=True)
class SlurmSettings:
    """What workers are to be started.

    Parameters
    ----------
    options : mapping
        Arguments of ``SLURMCluster`` that were given.
    jobs : int or None
        How many jobs; None when that was not said.
    """

    options: Mapping[str, Any]
    jobs: int | None = None


def read_slurm_settings(words: Sequence[str | Path]) -> SlurmSettings:
    """Settings of the user's words and files; of one that is given twice, the last counts.

    Parameters
    ----------
    words : sequence of str or Path
        ``key=value``, keys with ``_`` or ``-``; or YAML or JSON files, in the form of
        ``SLURMCluster``'s arguments or of ``jobqueue.yaml``.

    Raises
    ------
    MissingInputError
        When a file is not there.
    DataError
        When a file holds no settings.
    UsageError
        When there is no such setting, or it can't have the value.
    """
    options: dict[str, Any] = {}
    for source, key, value in _pairs(words):
        name = _ALIASES.get(key.replace("-", "_"), key.replace("-", "_"))
        if name not in _KINDS:
            hint = f"{did_you_mean(name, [*_KINDS, *_ALIASES])}It has {', '.join(_KINDS)}."
            raise UsageError(f"{source}: there is no setting {key!r}.", hint=hint)
        try:
            made = _KINDS[name](value)
        except ValueError as error:
            raise UsageError(f"{source}: {key} {error}, not {value!r}.") from error
        repeated = isinstance(made, list) and isinstance(source, str)
        options[name] = [*options.get(name, []), *made] if repeated else made
    return SlurmSettings(options, options.pop("jobs", None))


def _pairs(words: Sequence[str | Path]) -> Iterator[tuple[str | Path, str, Any]]:
    for word in words:
        if isinstance(word, Path):
            yield from ((word, key, value) for key, value in _read(word).items())
        else:
            key, _, value = word.partition("=")
            yield "--dask-slurm", key, value


def _read(path: Path) -> dict[str, Any]:
    text = read_text(path, "file of Slurm settings")
    content = (parse_json if path.suffix.lower() == ".json" else parse_yaml)(text, path)
    for outer in ("jobqueue", "slurm"):
        if isinstance(content, dict) and isinstance(content.get(outer), dict):
            content = content[outer]
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise DataError(f"{path} must hold settings by their names, as in queue: short.")
    return {key: value for key, value in content.items() if value is not None}


def _text(value: Any) -> str:
    if isinstance(value, bool | dict | list) or not str(value).strip():
        raise ValueError("must be a word")
    return str(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"0*[1-9][0-9]{0,8}", str(value)):
        raise ValueError("must be a whole number from 1")
    return int(value)


def _bytes(value: Any) -> str:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)? ?[kmgt]i?b?", str(value), re.IGNORECASE):
        raise ValueError("must be an amount of memory with its unit, as 4GB")
    # Slurm writes G for what Dask calls GiB, and Dask knows no G.
    text = str(value).upper().replace(" ", "").removesuffix("B")
    return f"{text}B" if text.endswith("I") else f"{text}iB" if _is_slurms(value) else f"{text}B"


def _is_slurms(value: Any) -> bool:
    return not str(value).upper().endswith("B")


def _time(value: Any) -> str:
    if not re.fullmatch(r"([0-9]+-)?[0-9]+(:[0-9]+){0,2}|infinite", str(value), re.IGNORECASE):
        raise ValueError("must be a time as Slurm takes it, as 04:00:00 or 1-12:00:00")
    if isinstance(value, int):
        # YAML takes 12:00:00 for a number in base 60.
        raise ValueError('must be in quotes, as "04:00:00"')  # noqa: TRY004 - one kind is caught
    return str(value)


def _texts(value: Any) -> list[str]:
    return [_text(one) for one in value] if isinstance(value, list) else [_text(value)]


def _flag(value: Any) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise ValueError("must be true or false")
    return str(value).lower() == "true"


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("must be settings by their names, in a file")  # noqa: TRY004 - as above
    return value


_KINDS: Mapping[str, Callable[[Any], Any]] = {
    "jobs": _count,
    "queue": _text,
    "account": _text,
    "walltime": _time,
    "cores": _count,
    "memory": _bytes,
    "processes": _count,
    "job_cpu": _count,
    "job_mem": _text,
    "job_name": _text,
    "job_extra_directives": _texts,
    "job_directives_skip": _texts,
    "job_script_prologue": _texts,
    "worker_extra_args": _texts,
    "interface": _text,
    "protocol": _text,
    "python": _text,
    "shebang": _text,
    "local_directory": _text,
    "log_directory": _text,
    "shared_temp_directory": _text,
    "death_timeout": _text,
    "nanny": _flag,
    "scheduler_options": _mapping,
}
"""Arguments of ``SLURMCluster``, and what they must be."""

_ALIASES = {"partition": "queue", "time": "walltime", "mem": "memory", "name": "job_name"}
"""What Slurm calls them."""
