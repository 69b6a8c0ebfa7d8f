"""Settings that the methods text describes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bids_spheres import __version__
from bids_spheres.settings import Processing

if TYPE_CHECKING:
    from bids_spheres.confounds import Strategy
    from bids_spheres.engine.seeds import SeedTable


@dataclass(frozen=True)
class MethodsFacts(Processing):
    """How runs were processed, with the input, seeds and strategies that it was done with.

    Parameters
    ----------
    version : str
        Of this software.
    pipeline, pipeline_version : str, optional
        What preprocessed the input, from ``GeneratedBy`` of its dataset_description.json; None
        when that does not say.
    spaces : tuple of str
        BIDS names of the images' spaces, e.g. ``"MNI152NLin2009cAsym"``; empty: not mentioned.
    seed_sets : tuple of SeedTable
        With their radii as used, and the coordinates and the space of their source.
    transformed : tuple of str
        Labels of those seed sets whose coordinates were transformed to the space of the images.
    strategies : tuple of Strategy
    external_outliers : bool
        Whether tables of the user's own marked volumes to censor.
    measures : tuple of str
        Of connectivity, by the label of their ``stat`` entity; empty: none was computed.
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
