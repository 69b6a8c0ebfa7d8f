"""Our own tables and sidecars read back."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_spheres.errors import DataError, ReadWriteError
from bids_spheres.files.atomic import MISSING
from bids_spheres.files.regular import open_regular
from bids_spheres.outputs.links import read_facts

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]


def read_table(path: Path) -> pd.DataFrame:
    """A TSV file, with ``n/a`` and nothing else as missing.

    Raises
    ------
    DataError
        When it is no table.
    ReadWriteError
        When it can't be read.
    """
    try:
        with open_regular(path) as file:
            return pd.read_csv(file, sep="\t", na_values=[MISSING], keep_default_na=False)
    except DataError:
        raise
    except OSError as error:
        raise ReadWriteError(f"{path} can't be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise DataError(f"{path} is not a table: {error}.") from error


def read_numbers(path: Path) -> FloatArray:
    """Values of a table of numbers; columns without a number are NaN throughout."""
    return np.asarray(read_table(path).to_numpy(dtype=np.float64, na_value=np.nan))


def read_matrix(path: Path) -> FloatArray:
    """Values of a matrix, (S, S), without the column that names its rows.

    Raises
    ------
    DataError
        When it is not square.
    """
    values = read_table(path).iloc[:, 1:].to_numpy(dtype=np.float64, na_value=np.nan)
    if values.shape[0] != values.shape[1]:
        raise DataError(f"{path} is not square: {values.shape[0]} rows, {values.shape[1]} columns.")
    return np.asarray(values)


@dataclass(frozen=True, eq=False)
class Spheres:
    """Table of the spheres of one seed set in one space of a run.

    Parameters
    ----------
    path : Path
    names, networks : tuple of str
        S of them; a sphere without a network has ``n/a``.
    seeds : (S, 3) array, mm
    radii : (S,) array, mm
    asked, voxels, overlaps : (S,) int arrays
        Voxels in the sphere, those used, and those of them also in another sphere.
    coverage, tsnr : (S,) arrays
    used, seed_in_mask : (S,) bool arrays
        Which have a series, and which have the seed's own voxel.
    facts : mapping
        The sidecar.
    """

    path: Path
    names: tuple[str, ...]
    networks: tuple[str, ...]
    seeds: FloatArray
    radii: FloatArray
    asked: NDArray[np.intp]
    voxels: NDArray[np.intp]
    overlaps: NDArray[np.intp]
    coverage: FloatArray
    tsnr: FloatArray
    used: NDArray[np.bool_]
    seed_in_mask: NDArray[np.bool_]
    facts: dict[str, Any]

    @property
    def image(self) -> Path:
        """Image of their numbers."""
        return self.path.with_suffix(".nii.gz")


def read_spheres(path: Path) -> Spheres:
    """Read the table of spheres.

    Raises
    ------
    DataError
        When a column is missing or holds something else.
    """
    missing = {name: [MISSING] for name in _NUMBERS}
    try:
        with open_regular(path) as file:
            table = pd.read_csv(
                file,
                sep="\t",
                keep_default_na=False,
                na_values=missing,
                dtype=dict.fromkeys(_WORDS, str),
            )
        numbers = {name: table[name].to_numpy(dtype=np.float64) for name in _NUMBERS}
        names, networks = (tuple(table[name]) for name in _WORDS)
    except (KeyError, ValueError) as error:
        raise DataError(f"{path} is not a table of spheres: {error}.") from error
    return Spheres(
        path=path,
        names=names,
        networks=networks,
        seeds=np.stack([numbers[axis] for axis in "xyz"], axis=1),
        radii=numbers["radius"],
        asked=numbers["voxels_asked"].astype(np.intp),
        voxels=numbers["voxels_used"].astype(np.intp),
        overlaps=numbers["overlap"].astype(np.intp),
        coverage=numbers["coverage"],
        tsnr=numbers["tsnr"],
        used=numbers["used"] == 1,
        seed_in_mask=numbers["seed_in_mask"] == 1,
        facts=read_facts(path.with_suffix(".json")),
    )


_WORDS = ("name", "network")
_NUMBERS = (
    *("x", "y", "z", "radius", "voxels_asked", "voxels_used", "overlap", "coverage", "tsnr"),
    *("used", "seed_in_mask"),
)


@dataclass(frozen=True, eq=False)
class Series:
    """Cleaned series of one seed set after one strategy.

    Parameters
    ----------
    values : (T, S) array
        One row for every volume; NaN where it is censored or the sphere is missing.
    kept : (T,) bool array
    facts : mapping
        The sidecar.
    """

    values: FloatArray
    kept: NDArray[np.bool_]
    facts: dict[str, Any]

    @property
    def t_r(self) -> float:
        """Repetition time, s."""
        return float(self.facts.get("RepetitionTime") or 1)

    @property
    def exclusion(self) -> str | None:
        """Why there are no results, if so."""
        reason = self.facts.get("Excluded")
        return str(reason) if reason else None


def read_series(path: Path, outliers: Path | None) -> Series:
    """Read cleaned series, and put those of kept volumes where they were in the run.

    Raises
    ------
    DataError
        When the table has neither a row for each volume nor one for each that was kept.
    """
    values, facts = read_numbers(path), read_facts(path.with_suffix(".json"))
    kept = np.ones(len(values), dtype=bool) if outliers is None else read_kept(outliers)
    if len(values) == len(kept):
        return Series(values, kept, facts)
    if len(values) != int(kept.sum()):
        raise DataError(
            f"{path} has {len(values)} rows, and {outliers} keeps {kept.sum()} of {len(kept)}.",
            hint="One of them is of another call; write both anew.",
        )
    full = np.full((len(kept), values.shape[1]), np.nan)
    full[kept] = values
    return Series(full, kept, facts)


def read_uncleaned(path: Path) -> Series:
    """Read series before cleaning, of every volume.

    Raises
    ------
    DataError
        When it is no table.
    ReadWriteError
        When it can't be read.
    """
    facts = read_facts(path.with_suffix("").with_suffix(".json"))
    try:
        with open_regular(path) as file:
            table = pd.read_csv(
                file,
                sep="\t",
                header=None,
                na_values=[MISSING],
                keep_default_na=False,
                dtype=float,
                compression="gzip",
            )
    except (OSError, EOFError, zlib.error) as error:
        raise ReadWriteError(f"{path} can't be read: {error}.") from error
    except ValueError as error:
        raise DataError(f"{path} is not a table of numbers: {error}.") from error
    values = table.to_numpy(dtype=np.float64)
    return Series(values, np.ones(len(values), dtype=bool), facts)


def read_kept(path: Path) -> NDArray[np.bool_]:
    """Which volumes are not censored, (T,)."""
    return np.asarray(read_table(path)["censored"].to_numpy() == 0)
