"""Settings that the methods text describes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bids_spheres import __version__
from bids_spheres.settings import Processing

if TYPE_CHECKING:
    from bids_spheres.confounds.strategy import Strategy
    from bids_spheres.engine.seeds import SeedTable


@dataclass(frozen=True)
class MethodsFacts(Processing):
    """How runs were processed, with the input, seeds and strategies that it was done with.

    `pipeline` and its version are those of ``GeneratedBy`` of the input's dataset_description.json,
    and None when that does not say; `spaces` and `measures` are labels as in file names. Seed sets
    have their radii as used, and the coordinates of their source; `transformed` are the labels of
    those whose coordinates were transformed to the space of the images. `external_outliers`:
    tables of the user's own marked volumes to censor.
    """

    version: str = __version__
    pipeline: str | None = None
    pipeline_version: str | None = None
    spaces: tuple[str, ...] = ()
    seed_sets: tuple[SeedTable, ...] = ()
    transformed: tuple[str, ...] = ()
    strategies: tuple[Strategy, ...] = ()
    external_outliers: bool = False
    measures: tuple[str, ...] = ("pearsoncorrelation",)
