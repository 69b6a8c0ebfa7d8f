"""The scikit-learn face of the engine: nilearn's `NiftiSpheresMasker`, sooner."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import nibabel as nib
import numpy as np
from joblib import Memory
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._set_output import _wrap_data_with_container
from sklearn.utils.validation import check_is_fitted

from bids_spheres.engine.aggregate import check_aggregation
from bids_spheres.engine.seeds import seeds_from
from bids_spheres.engine.smoothing import check_fwhm
from bids_spheres.engine.stream import image_grid, load_mask
from bids_spheres.engine.variance import high_variance_confounds
from bids_spheres.errors import DataError, UsageError
from bids_spheres.masker.parameters import (
    CLEAN_PREFIX,
    Recipe,
    Series,
    coordinates_of,
    open_series,
    output_dtype,
    radii_of,
    without_prefix,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

    import pandas as pd
    from nibabel.spatialimages import SpatialImage
    from numpy.typing import ArrayLike, DTypeLike, NDArray
    from sklearn.utils import Tags

    from bids_spheres.engine.aggregate import Aggregation
    from bids_spheres.engine.arrays import CleanArguments, FloatArray, IntArray
    from bids_spheres.engine.clean import SampleMask
    from bids_spheres.engine.regressors import Confounds
    from bids_spheres.engine.spheres import SphereWeights
    from bids_spheres.masker.parameters import Image, Images
    from bids_spheres.reports.toolkit.render import HTMLReport

T = TypeVar("T")

_CLEANING = ("detrend", "standardize", "standardize_confounds", "low_pass", "high_pass", "t_r")
"""Parameters that are arguments of `bids_spheres.clean` of the same name."""

_NOT_SHOWN = ("seeds", "memory")  # parameters that the report leaves out: its table has the seeds


class _SphereTransforms:
    """`transform` and its kin, apart from the class whose methods scikit-learn wraps."""

    def transform(
        self: Any,
        imgs: Images,
        confounds: Confounds | None = None,
        sample_mask: SampleMask | None = None,
    ) -> Any:
        """Extract cleaned time series from images.

        Parameters
        ----------
        imgs : path, pattern, nibabel image, or list of them
            A 3-D or 4-D image or a list of 3-D images is one series, a list of 4-D images
            several.
        confounds : path, (T, K) array-like, DataFrame, or list of them, optional
            Regressors to remove; for several series a list with one entry for each.
        sample_mask : array-like of bool (T,) or int, optional
            Volumes to keep; for several series a list with one entry for each.

        Returns
        -------
        (T, S) array or data frame, or a list of them

        Raises
        ------
        ValueError
            For empty or overlapping spheres unless allowed, images that can't be
            used, confounds of another length.
        """
        check_is_fitted(self)
        opened = open_series(imgs)
        if not isinstance(opened, list):
            return self._transformed(opened, confounds, sample_mask)
        own_confounds = _per_series(confounds, len(opened), "confounds")
        own_masks = _per_series(sample_mask, len(opened), "sample_mask")
        return list(map(self._transformed, opened, own_confounds, own_masks))

    def fit_transform(
        self: Any,
        imgs: Images,
        confounds: Confounds | None = None,
        sample_mask: SampleMask | None = None,
        *,
        y: None = None,
    ) -> Any:
        """`fit` and `transform` in one call; parameters and result as those of `transform`."""
        return self.fit(imgs, y).transform(imgs, confounds=confounds, sample_mask=sample_mask)


class NiftiSpheresMasker(  # type: ignore[misc]  # nilearn has confounds where scikit-learn has y
    _SphereTransforms, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Time series of spheres around seeds, with the interface of nilearn's masker.

    The numbers are those of `nilearn.maskers.NiftiSpheresMasker`; files are read as a stream.

    Parameters
    ----------
    seeds : list of triplets, (S, 3) array, SeedTable, DataFrame, str or path
        Coordinates in the space of the images, mm: numbers, a table of them, or what
        `bids_spheres.load_seeds` takes, the name of a built-in set or a file.
    radius : float or sequence of float, optional
        mm, of all spheres or of each. Default: the one voxel that holds the seed; of tables, sets
        and files their own radii, or 5 mm.
    mask_img : path or nibabel image, optional
        Voxels outside are not used.
    allow_overlap : bool
        Otherwise spheres that share a voxel are an error.
    smoothing_fwhm : float, optional
        Width of a Gaussian by which images are smoothed first, mm.
    standardize : {"zscore_sample", "zscore", "psc"} or bool or None
    standardize_confounds : bool
    high_variance_confounds : bool
        Also remove the regressors of `high_variance_confounds`.
    detrend : bool
    low_pass, high_pass : float, optional
        Hz.
    t_r : float, optional
        Repetition time, s.
    dtype : dtype or "auto", optional
        Of the result. "auto" is float32, or int32 for images of integers. Default: float32
        for images that fit it, else float64.
    memory : joblib.Memory or path, optional
        Where results are cached; a file that changed is read again.
    memory_level : int
        0 does not cache.
    verbose : int
        1 prints the steps.
    reports : bool
        Remember the images given to `fit`; `generate_report` reads one volume of them.
    clean_args : dict, optional
        Further arguments of `bids_spheres.clean`.
    aggregation : {"mean", "median", "eigenvariate"}
        What makes one series of a sphere's voxels. Medians and eigenvariates are taken of voxels
        that were cleaned, and standardized afterwards, as SPM does.
    empty : {"raise", "nan"}
        What to do about spheres without a voxel.
    **kwargs
        Further arguments of `bids_spheres.clean` with the prefix ``clean__``.

    Attributes
    ----------
    n_elements_ : int
        Number of seeds.
    seeds_ : list of list
        Their coordinates.
    mask_img_ : nibabel image or None
    coverage_, overlap_ : DataFrame
        Tables of voxels per sphere, and of spheres that share voxels.
    """

    # The first parameter of fit is X, which scikit-learn does not route; nilearn's is imgs.
    __metadata_request__fit = {"imgs": None}  # noqa: RUF012 - scikit-learn's protocol

    def __init__(  # noqa: PLR0917 - nilearn's signature
        self,
        seeds: Any,
        radius: float | Sequence[float] | None = None,
        mask_img: Image | None = None,
        allow_overlap: bool = False,
        smoothing_fwhm: float | None = None,
        standardize: Literal["zscore_sample", "zscore", "psc"] | bool | None = False,
        standardize_confounds: bool = True,
        high_variance_confounds: bool = False,
        detrend: bool = False,
        low_pass: float | None = None,
        high_pass: float | None = None,
        t_r: float | None = None,
        dtype: DTypeLike | Literal["auto"] | None = None,
        memory: Memory | str | PathLike[str] | None = Memory(location=None),  # noqa: B008
        memory_level: int = 1,
        verbose: int = 0,
        reports: bool = True,
        clean_args: CleanArguments | None = None,
        aggregation: Aggregation = "mean",
        empty: Literal["raise", "nan"] = "raise",
        **kwargs: object,
    ) -> None:
        self.seeds = seeds
        self.radius = radius
        self.mask_img = mask_img
        self.allow_overlap = allow_overlap
        self.smoothing_fwhm = smoothing_fwhm
        self.standardize = standardize
        self.standardize_confounds = standardize_confounds
        self.high_variance_confounds = high_variance_confounds
        self.detrend = detrend
        self.low_pass = low_pass
        self.high_pass = high_pass
        self.t_r = t_r
        self.dtype = dtype
        self.memory = memory
        self.memory_level = memory_level
        self.verbose = verbose
        self.reports = reports
        self.clean_args = clean_args
        self.aggregation = aggregation
        self.empty = empty
        self.clean_kwargs = without_prefix(kwargs)

    def get_params(self, deep: bool = True) -> dict[str, object]:
        """Parameters by name, those with the prefix ``clean__`` among them."""
        prefixed = {f"{CLEAN_PREFIX}{name}": value for name, value in self.clean_kwargs.items()}
        return {**super().get_params(deep=deep), **prefixed}

    def set_params(self, **params: object) -> Self:
        """Set parameters by name, those with the prefix ``clean__`` among them."""
        cleaning = {name: value for name, value in params.items() if name.startswith(CLEAN_PREFIX)}
        self.clean_kwargs = {**self.clean_kwargs, **without_prefix(cleaning)}
        super().set_params(**{k: v for k, v in params.items() if k not in cleaning})
        return self

    def fit(self, X: Images | None = None, y: None = None) -> Self:  # noqa: N803 - scikit-learn
        """Check seeds and mask.

        Parameters
        ----------
        X : images, optional
            As in `transform`; a volume of them is the background of the report.
        y : None
            Not used.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            When a parameter, the seeds or the mask can't be used.
        """
        del y
        table = seeds_from(self.seeds)
        coordinates = coordinates_of(self.seeds) if table is None else table.coordinates
        if self.empty not in ("raise", "nan"):
            raise UsageError(f"empty must be one of raise, nan, not {self.empty!r}.")
        mask, mask_grid, self.mask_img_ = None, None, None
        if self.mask_img is not None:
            self._log("fit", f"Loading mask from {_shown(self.mask_img)}")
            mask, mask_grid = load_mask(self.mask_img)
            self.mask_img_ = nib.Nifti1Image(mask.astype(np.uint8), mask_grid.affine)
            self._grid = mask_grid
        self.seeds_ = coordinates.tolist()
        self.n_elements_ = len(coordinates)
        self._names = None if table is None else table.names
        self._recipe = Recipe(
            coordinates=coordinates,
            radii=radii_of(self.radius, len(coordinates), table),
            mask=mask,
            mask_grid=mask_grid,
            allow_overlap=self.allow_overlap,
            empty=self.empty,
            fwhm=check_fwhm(self.smoothing_fwhm),
            aggregation=check_aggregation(self.aggregation),
            cleaning={
                **{name: getattr(self, name) for name in _CLEANING},
                **(self.clean_args or {}),
                **self.clean_kwargs,
            },
        )
        output_dtype(self.dtype, np.dtype(np.float32))
        given = self.memory
        self.memory_ = given if isinstance(given, Memory) else Memory(given, verbose=0)
        if self.memory_level == 0 and self.memory_.location is not None:
            unused = "memory_level is 0, so nothing is cached although a Memory was given."
            warnings.warn(unused, stacklevel=2)
        self._images: Series | None = None
        if X is not None:
            opened = open_series(X)
            first = opened[0] if isinstance(opened, list) else opened
            self._images = first if self.reports else None
        self._log("fit", "Finished fit")
        return self

    def transform_single_imgs(
        self,
        imgs: Images,
        confounds: Confounds | None = None,
        sample_mask: SampleMask | None = None,
    ) -> FloatArray:
        """Extract cleaned time series from one series of images.

        Parameters and errors as those of `transform`.

        Returns
        -------
        (T, S) array
        """
        check_is_fitted(self)
        opened = open_series(imgs)
        if isinstance(opened, list):
            raise DataError("A list of 4-D images is more than one series; use transform.")
        return self._signals(opened, confounds, sample_mask)

    def inverse_transform(self, region_signals: ArrayLike) -> nib.Nifti1Image:
        """Put values of spheres back into their voxels.

        Parameters
        ----------
        region_signals : (S,) or (T, S) array-like

        Returns
        -------
        nibabel image
            3-D or 4-D, on the grid of the mask; the mean where spheres overlap, 0 elsewhere.

        Raises
        ------
        ValueError
            Without `mask_img`, for signals of another number of spheres, and for empty or
            overlapping spheres unless allowed.
        """
        check_is_fitted(self)
        signals, n = np.atleast_1d(np.asarray(region_signals)), self.n_elements_
        if signals.ndim > 2 or signals.shape[-1] != n:
            expected = (n,) if signals.ndim == 1 else (len(signals), n)
            raise DataError(
                "Input to 'inverse_transform' has wrong shape.\n"
                f"Expected {expected}.\nGot {signals.shape}."
            )
        signals = signals.astype(np.int32) if signals.dtype == bool else signals
        if self.mask_img_ is None:
            raise UsageError(
                "Please provide mask_img at initialization to provide a reference for the "
                "inverse_transform."
            )
        self._log("inverse_transform", "Computing image from signals")
        weights = self._recipe.weights(image_grid(self.mask_img_))
        members = weights.membership.astype(np.float64)
        sharing = np.maximum(members.sum(axis=0), 1)[:, None]
        values = members.T @ np.atleast_2d(signals).T / sharing
        shape = weights.grid.shape
        image = np.zeros((int(np.prod(shape)), values.shape[1]))
        image[weights.voxels] = values
        image = image.reshape((*shape, -1), order="F")
        dtype = output_dtype(self.dtype, signals.dtype, signals.dtype)
        image = (image if signals.ndim == 2 else image[..., 0]).astype(dtype)
        return nib.Nifti1Image(image, self.mask_img_.affine)

    def generate_report(
        self, displayed_spheres: str | int | Sequence[int] | IntArray = "all"
    ) -> HTMLReport:
        """Make a page that shows where the spheres lie.

        Parameters
        ----------
        displayed_spheres : "all", int, list or array of int
            Which spheres get a figure of their own, or how many of the first.

        Returns
        -------
        HTMLReport
            With ``save_as_html``, ``open_in_browser``, ``get_iframe`` and ``resize``; shows
            itself in a notebook.

        Raises
        ------
        TypeError
            For another kind of `displayed_spheres`.
        """
        from bids_spheres.masker import report as page  # noqa: PLC0415 - loads matplotlib

        indices, notes = page.displayed_spheres(displayed_spheres, getattr(self, "n_elements_", 0))
        fitted = self.__sklearn_is_fitted__() and self.reports
        background: SpatialImage | None = self.mask_img_ if fitted else None
        if fitted and self._images is not None:
            volumes = self._images.volumes
            middle = self._images.volume(volumes.n_volumes // 2).astype(np.float32)
            background = nib.Nifti1Image(middle, volumes.grid.affine)
        notes = (*notes, *self._report_warnings(background))
        weights, mask_voxels = None, None
        if background is not None:
            grid, recipe = image_grid(background), self._recipe
            weights = recipe.weights(grid, checked=False)
            if recipe.mask is not None and recipe.mask_grid and recipe.mask_grid.matches(grid):
                mask_voxels = int(recipe.mask.sum())
        shown = {k: v for k, v in self.get_params(deep=False).items() if k not in _NOT_SHOWN}
        return page.masker_report(
            page.MaskerFacts(
                title=type(self).__name__,
                parameters={name: repr(value) for name, value in shown.items()},
                names=tuple(self.get_feature_names_out()) if fitted else (),
                coordinates=self._recipe.coordinates if fitted else np.empty((0, 3)),
                radii=self._recipe.radii if fitted else np.empty(0),
                background=background,
                weights=weights,
                mask_voxels=mask_voxels,
                displayed=indices if fitted else (),
                warnings=notes,
            )
        )

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[np.object_]:
        """Names of the columns: those of a table of seeds, else numbered."""
        check_is_fitted(self)
        if self._names is not None:
            return np.array(self._names, dtype=object)
        return super().get_feature_names_out(input_features)

    @property
    def _weights(self) -> SphereWeights:
        """On the grid of the last image, or of the mask."""
        return self._recipe.weights(self._grid, checked=False)

    @property
    def coverage_(self) -> pd.DataFrame:
        """Per sphere: voxels asked and used, their ratio, voxels shared with other spheres.

        On the grid of the last image, or of the mask; only there after `fit` with a mask, or
        after `transform`.
        """
        import pandas as pd  # noqa: PLC0415 - large, and seldom needed

        weights = self._weights
        columns = {
            "voxels_asked": weights.asked,
            "voxels_used": weights.used,
            "coverage": weights.coverage,
            "overlap": weights.overlaps,
        }
        return pd.DataFrame(columns, index=self.get_feature_names_out())

    @property
    def overlap_(self) -> pd.DataFrame:
        """Pairs of spheres that share voxels, and how many; there when `coverage_` is."""
        import pandas as pd  # noqa: PLC0415 - large, and seldom needed

        members = self._weights.membership.astype(np.intp)
        shared = sparse.triu(members @ members.T, k=1).tocoo()
        names = self.get_feature_names_out()
        return pd.DataFrame(
            {"first": names[shared.row], "second": names[shared.col], "voxels": shared.data}
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "seeds_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.no_validation = True
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.n_elements_

    def _transformed(
        self, series: Series, confounds: Confounds | None, sample_mask: SampleMask | None
    ) -> Any:
        if series.volumes.is_3d:
            warnings.warn(
                "A 3-D image gives one row of a 2-D array; later versions may give a 1-D array, "
                "as nilearn does from version 0.12 on.",
                DeprecationWarning,
                stacklevel=3,
            )
        signals = self._signals(series, confounds, sample_mask)
        return _wrap_data_with_container("transform", signals, series.images, self)

    def _signals(
        self, series: Series, confounds: Confounds | None, sample_mask: SampleMask | None
    ) -> FloatArray:
        self._log("transform_single_imgs", f"Loading data from {_shown(series.images)}")
        self._grid = series.volumes.grid
        if self._recipe.fwhm:
            self._log("transform_single_imgs", "Smoothing images")
        self._log("transform_single_imgs", "Extracting region signals")
        given = list(confounds) if isinstance(confounds, list | tuple) else [confounds]
        regressors: list[Any] = [part for part in given if part is not None]
        if self.high_variance_confounds:
            regressors.insert(0, self._computed(series, high_variance_confounds))
        self._log("transform_single_imgs", "Cleaning extracted signals")
        signals = self._computed(series, self._recipe.signals, regressors or None, sample_mask)
        return signals.astype(output_dtype(self.dtype, series.volumes.real_dtype))

    def _computed(
        self, series: Series, function: Callable[..., FloatArray], *arguments: object
    ) -> FloatArray:
        """Call a function of volumes, or take its result from the cache."""
        compute = _of_volumes
        if self.memory_level > 0 and self.memory_.location is not None:
            compute = self.memory_.cache(_of_volumes, ignore=["series"])
        return compute(series, series.fingerprint, function, *arguments)

    def _report_warnings(self, background: SpatialImage | None) -> tuple[str, ...]:
        if not self.__sklearn_is_fitted__():
            warnings.warn("This masker has not been fitted yet.", stacklevel=3)
            return ("This masker has not been fitted yet; there is nothing to show.",)
        if not self.reports:
            warnings.warn("Report generation not enabled: reports=False.", stacklevel=3)
            return ("Report generation was not enabled (reports=False).",)
        if background is None:
            return ("No image was given to fit; spheres are drawn without a background.",)
        return ()

    def _log(self, method: str, message: str) -> None:
        if self.verbose:
            print(f"[{type(self).__name__}.{method}] {message}")  # noqa: T201 - verbose asks for it


def _of_volumes(
    series: Series, key: object, function: Callable[..., FloatArray], *arguments: object
) -> FloatArray:
    """A function of the volumes of a series, which a cache recognises by `key`."""
    del key
    return function(series.volumes, *arguments)


def _per_series(values: Sequence[T] | T | None, count: int, name: str) -> list[T | None]:
    """One entry of `values` for each of several series."""
    if values is None:
        return [None] * count
    if not isinstance(values, list | tuple) or len(values) != count:
        raise UsageError(f"{name} must be a list with one entry for each of the {count} images.")
    return list(values)


def _shown(images: object) -> str:
    """Names of images, for the log."""
    if isinstance(images, tuple):
        names = [_shown(image) for image in images]
        return names[0] if len(names) == 1 else f"[{', '.join(names)}]"
    if isinstance(images, nib.spatialimages.SpatialImage):
        return images.get_filename() or f"{type(images).__name__} of shape {images.shape}"
    return str(images)
