"""What the user asked for, as one frozen value.

`Settings` is made once, from the command line, and passed on. Its JSON form is the record of
provenance written beside the outputs.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bids_spheres.engine.clean import Standardize


@dataclass(frozen=True)
class Settings:
    """Settings of one call.

    Parameters
    ----------
    bids_dir, output_dir : Path
    analysis_level : str
        ``"participant"``.
    derivatives : Path, optional
        fMRIPrep's output folder, when `bids_dir` is neither it nor holds it.
    participant_label, session_label, task_label, run, space : tuple of str
        Labels to keep, without their keys; empty keeps all (of `space`: the MNI space).
    atlas : tuple of str
        Names of built-in seed sets.
    seeds : tuple of Path
        Tables of the user's own seeds.
    radius : float, optional
        mm, over what the seed sets say.
    strategy : tuple of str
        Names of denoising strategies.
    detrend : bool
        Remove the linear trend.
    standardize : str
        As in `bids_spheres.engine.clean`.
    nprocs : int
        Runs at work at the same time.
    """

    bids_dir: Path
    output_dir: Path
    analysis_level: str = "participant"
    derivatives: Path | None = None
    participant_label: tuple[str, ...] = ()
    session_label: tuple[str, ...] = ()
    task_label: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    space: tuple[str, ...] = ()
    atlas: tuple[str, ...] = ()
    seeds: tuple[Path, ...] = ()
    radius: float | None = None
    strategy: tuple[str, ...] = ()
    detrend: bool = True
    standardize: Standardize = "zscore_sample"
    nprocs: int = 1

    def to_json(self) -> dict[str, Any]:
        """Settings with JSON types only; paths are absolute."""
        return {key: _json_value(value) for key, value in asdict(self).items()}


def _json_value(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.resolve())
    if isinstance(value, tuple):
        return [_json_value(item) for item in value]
    return value
