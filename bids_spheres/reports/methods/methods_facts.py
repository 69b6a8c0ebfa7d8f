"""Settings that the methods text describes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bids_spheres import __version__

if TYPE_CHECKING:
    from bids_spheres.confounds import Strategy
    from bids_spheres.confounds.design import DummyScans
    from bids_spheres.engine.clean import Standardize
    from bids_spheres.engine.seeds import SeedTable


@dataclass(frozen=True)
class MethodsFacts:
    """Settings of a call that matter to a reader of a paper.

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
    mask : str
        Voxels that spheres used: ``"run"``, ``"template"``, ``"none"``, or the path of an image.
    overlap : str
        Use of voxels in several spheres of a set: ``"nearest"`` gives them to the nearest seed.
    min_coverage : float
        Share of a sphere's voxels that must have a signal.
    aggregation : str
        As in `bids_spheres.engine.aggregate`.
    smoothing_fwhm : float, optional
        Width of the Gaussian by which images were smoothed, mm.
    strategies : tuple of Strategy
    dummy_scans : int or "auto", optional
        As for `bids_spheres.confounds.make_design`.
    external_outliers : bool
        Whether tables of the user's own marked volumes to censor.
    detrend : bool
    standardize : str or bool or None
        As in `bids_spheres.engine.clean`.
    min_degrees_of_freedom : int
        Fewest of a run; see `bids_spheres.confounds.exclusion`.
    full_length : bool
        Whether time series have a row of missing values for each volume left out.
    measures : tuple of str
        Of connectivity, by the label of their ``stat`` entity; empty: none was computed.
    """

    version: str = __version__
    pipeline: str | None = None
    pipeline_version: str | None = None
    spaces: tuple[str, ...] = ()
    seed_sets: tuple[SeedTable, ...] = ()
    transformed: tuple[str, ...] = ()
    mask: str = "run"
    overlap: str = "allow"
    min_coverage: float = 0.0
    aggregation: str = "mean"
    smoothing_fwhm: float | None = None
    strategies: tuple[Strategy, ...] = ()
    dummy_scans: DummyScans = None
    external_outliers: bool = False
    detrend: bool = True
    standardize: Standardize = "zscore_sample"
    min_degrees_of_freedom: int = 10
    full_length: bool = False
    measures: tuple[str, ...] = ("pearsoncorrelation",)
