"""Test data, made once and kept: runs of 2 mm voxels, a mask, seeds, a dataset of fMRIPrep's form.

Images are noise on smooth fields that wax and wane within a brain of ellipsoidal shape, and
zero outside, so that they compress as preprocessed runs do. Everything follows from one seed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import struct
import sys
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from case import RADIUS, T_R
from measure import add_data_options, data_folder
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial import KDTree

from bids_spheres.engine import load_seeds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SHAPE = (97, 115, 97)
VOXEL = 2.0
AFFINE = np.array([[2.0, 0, 0, -96], [0, 2.0, 0, -132], [0, 0, 2.0, -78], [0, 0, 0, 1]])
LEVEL = 6
DTYPES = ("float32", "int16")
SUFFIXES = (".nii.gz", ".nii")
POWER = 264
"""Seeds of Power et al. 2011; any other number of seeds is drawn at random."""

_SEED = 20111117
_BRAIN = ((0.0, -18.0, 8.0), (70.0, 88.0, 66.0))
"""Centre and half axes, mm."""
_AROUND_SEEDS = 8.0
_FIELDS = 12
_PERIOD = 100
"""Volumes after which long runs repeat."""
_SPACE = "MNI152NLin2009cAsym"


def bold(folder: str, dtype: str, suffix: str, volumes: int) -> str:
    """Path of a run.

    Parameters
    ----------
    folder : str
    dtype : {"float32", "int16"}
    suffix : {".nii.gz", ".nii"}
    volumes : int
    """
    path = Path(folder) / f"bold_{dtype}_{volumes}{suffix}"
    if not path.exists():
        plain = path if suffix == ".nii" else Path(bold(folder, dtype, ".nii", volumes))
        with _new(path) as part:
            if suffix == ".nii":
                _write_plain(part, dtype, volumes)
            else:
                _compress(plain, part)
    return str(path)


def long_bold(folder: str, suffix: str, volumes: int) -> str:
    """Path of a float32 run in which 100 volumes repeat, so that it is made quickly.

    The compressed one is a single gzip member: blocks of a stream after which the compressor
    forgot all it knew can be written again and again.
    """
    path = Path(folder) / f"long_float32_{volumes}{suffix}"
    if not path.exists():
        period = Path(bold(folder, "float32", ".nii", _PERIOD))
        write = _repeat_plain if suffix == ".nii" else _repeat_compressed
        with _new(path) as part:
            write(period, part, volumes // _PERIOD)
    return str(path)


def volume_bytes(dtype: str) -> int:
    """Size of a volume."""
    return int(np.prod(SHAPE)) * np.dtype(dtype).itemsize


def mask(folder: str) -> str:
    """Path of the brain mask."""
    path = Path(folder) / "mask.nii.gz"
    if not path.exists():
        with _new(path) as part:
            nib.Nifti1Image(_brain().astype(np.uint8), AFFINE).to_filename(part)
    return str(path)


def seeds(folder: str, count: int) -> str:
    """Path of a table of seeds: those of Power et al. 2011, or so many at random."""
    path = Path(folder) / f"seeds_{count}.tsv"
    if not path.exists():
        points = load_seeds("Power2011").coordinates if count == POWER else _random_seeds(count)
        with _new(path) as part:
            np.savetxt(part, points, fmt="%.1f", delimiter="\t", header="x\ty\tz", comments="")
    return str(path)


def parcellation(folder: str) -> str:
    """Path of a label image: every voxel of the brain is of the nearest seed of Power et al."""
    path = Path(folder) / f"space-{_SPACE}_atlas-Nearest_dseg.nii.gz"
    if not path.exists():
        ijk = np.argwhere(_brain())
        points = ijk @ AFFINE[:3, :3].T + AFFINE[:3, 3]
        labels = np.zeros(SHAPE, np.int16)
        labels[tuple(ijk.T)] = KDTree(load_seeds("Power2011").coordinates).query(points)[1] + 1
        with _new(path) as new:
            nib.Nifti1Image(labels, AFFINE).to_filename(new)
    return str(path)


def dataset(folder: str, volumes: int, runs: int) -> str:
    """Path of a folder as fMRIPrep writes it: one participant, some float32 runs."""
    root = Path(folder) / f"fmriprep_{runs}x{volumes}"
    if not root.exists():
        with _new(root) as part:
            shutil.rmtree(part, ignore_errors=True)
            func = part / "sub-01" / "func"
            func.mkdir(parents=True)
            _write_json(part / "dataset_description.json", _description())
            for run in range(1, runs + 1):
                _link_run(folder, func, f"sub-01_task-rest_run-{run}", volumes)
    return str(root)


def _brain() -> NDArray[np.bool_]:
    """An ellipsoid and what lies around the seeds of Power et al. 2011."""
    points = np.stack(np.indices(SHAPE), axis=-1) * VOXEL + AFFINE[:3, 3]
    centre, axes = map(np.array, _BRAIN)
    inside = (((points - centre) / axes) ** 2).sum(axis=-1) <= 1
    elsewhere = np.ones(SHAPE, dtype=bool)
    ijk = np.rint((load_seeds("Power2011").coordinates - AFFINE[:3, 3]) / VOXEL).astype(int)
    elsewhere[tuple(ijk.T)] = False
    return np.asarray(inside | (distance_transform_edt(elsewhere, VOXEL) <= _AROUND_SEEDS))


def _random_seeds(count: int) -> NDArray[np.float64]:
    """Points off the voxel centres whose spheres lie in the brain."""
    rng = np.random.default_rng([_SEED, count])
    deep = np.argwhere(distance_transform_edt(_brain(), VOXEL) > RADIUS + 2 * VOXEL)
    ijk = rng.choice(deep, count, replace=False) + rng.uniform(-0.45, 0.45, (count, 3))
    return ijk * VOXEL + AFFINE[:3, 3]


def _smooth_field(rng: np.random.Generator, sigma: float) -> NDArray[np.float32]:
    noise = gaussian_filter(rng.standard_normal(SHAPE, np.float32), sigma, truncate=3)
    return noise / noise.std()


def _volumes(count: int) -> Iterator[NDArray[np.float32]]:
    """Volumes of a run, (X, Y, Z) each: about 1000 in the brain, where 2 % come and go."""
    rng = np.random.default_rng(_SEED)
    brain = _brain()
    baseline = 1000 + 150 * _smooth_field(rng, 6)
    fields = np.stack([_smooth_field(rng, 4) for _ in range(_FIELDS)])
    state = rng.standard_normal(_FIELDS)
    for _ in range(count):
        state = 0.8 * state + 0.6 * rng.standard_normal(_FIELDS)
        change = np.tensordot(5 * state.astype(np.float32), fields, axes=1)
        yield np.where(brain, baseline + change + 12 * _smooth_field(rng, 0.6), np.float32(0))


def _header(dtype: str, volumes: int) -> bytes:
    header: Any = nib.Nifti1Header()
    header.set_data_shape((*SHAPE, volumes))
    header.set_data_dtype(dtype)
    header.set_data_offset(352)
    header.set_sform(AFFINE, 4)
    header.set_qform(AFFINE, 4)
    header.set_zooms((VOXEL, VOXEL, VOXEL, T_R))
    header.set_xyzt_units("mm", "sec")
    return bytes(header.binaryblock.ljust(352, b"\0"))


def _write_plain(path: Path, dtype: str, volumes: int) -> None:
    with path.open("wb") as file:
        file.write(_header(dtype, volumes))
        for volume in _volumes(volumes):
            stored = np.rint(volume).astype(np.int16) if dtype == "int16" else volume
            file.write(stored.tobytes(order="F"))


def _compress(plain: Path, path: Path) -> None:
    with plain.open("rb") as source, gzip.open(path, "wb", compresslevel=LEVEL) as file:
        for chunk in _chunks(source):
            file.write(chunk)


def _repeat_plain(period: Path, path: Path, times: int) -> None:
    with path.open("wb") as file:
        file.write(_header("float32", times * _PERIOD))
        for _ in range(times):
            for chunk in _body(period):
                file.write(chunk)


def _repeat_compressed(period: Path, path: Path, times: int) -> None:
    header = _header("float32", times * _PERIOD)
    deflate = zlib.compressobj(LEVEL, wbits=-zlib.MAX_WBITS)
    head = deflate.compress(header) + deflate.flush(zlib.Z_FULL_FLUSH)
    block = b"".join(map(deflate.compress, _body(period))) + deflate.flush(zlib.Z_FULL_FLUSH)
    checksum, length = zlib.crc32(header), len(header)
    for _ in range(times):
        for chunk in _body(period):
            checksum, length = zlib.crc32(chunk, checksum), length + len(chunk)
    with path.open("wb") as file:
        file.write(b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + head)
        for _ in range(times):
            file.write(block)
        file.write(deflate.flush() + struct.pack("<LL", checksum, length % 2**32))


def _body(plain: Path) -> Iterator[bytes]:
    """What follows the header."""
    with plain.open("rb") as source:
        source.seek(352)
        yield from _chunks(source)


def _chunks(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(2**22):
        yield chunk


@contextmanager
def _new(path: Path) -> Iterator[Path]:
    """A name to write to; the file gets its own name only when it is whole."""
    part = path.with_name(f"part_{path.name}")
    yield part
    part.rename(path)


def _description() -> dict[str, Any]:
    return {
        "Name": "Generated for benchmarks, in fMRIPrep's layout",
        "BIDSVersion": "1.9.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "fMRIPrep", "Version": "24.1.1", "Description": "Simulated."}],
    }


def _link_run(folder: str, func: Path, stem: str, volumes: int) -> None:
    image = func / f"{stem}_space-{_SPACE}_desc-preproc_bold.nii.gz"
    os.link(bold(folder, "float32", ".nii.gz", volumes), image)
    os.link(mask(folder), func / f"{stem}_space-{_SPACE}_desc-brain_mask.nii.gz")
    _write_json(image.with_name(image.name.replace(".nii.gz", ".json")), {"RepetitionTime": T_R})
    _write_confounds(func / f"{stem}_desc-confounds_timeseries.tsv", volumes)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _write_confounds(path: Path, volumes: int) -> None:
    """The columns that strategies take: motion, signals, their four forms, and cosines."""
    rng = np.random.default_rng(_SEED)
    columns: dict[str, NDArray[np.float64]] = {}
    motion = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
    for name in ("global_signal", "csf", "white_matter", *motion):
        walk = 0.01 * rng.standard_normal(volumes).cumsum()
        change = np.concatenate([[np.nan], np.diff(walk)])
        forms = {"": walk, "_derivative1": change, "_power2": walk**2}
        forms["_derivative1_power2"] = change**2
        columns |= {name + form: values for form, values in forms.items()}
    phase = np.pi * (np.arange(volumes) + 0.5) / volumes
    columns |= {f"cosine{k:02d}": np.cos((k + 1) * phase) for k in range(6)}
    columns["framewise_displacement"] = np.concatenate([[np.nan], rng.gamma(2, 0.05, volumes - 1)])
    columns["std_dvars"] = np.concatenate([[np.nan], rng.gamma(60, 1 / 55, volumes - 1)])
    rows = zip(*columns.values(), strict=True)
    cells = [["n/a" if np.isnan(value) else f"{value:.8g}" for value in row] for row in rows]
    lines = ["\t".join(row) for row in ([*columns], *cells)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Make what `masker.py` needs."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    add_data_options(parser)
    options = parser.parse_args()
    if options.cache is None:
        sys.exit("--cache FOLDER is needed: a temporary folder would be deleted at once.")
    with data_folder(options.cache) as folder:
        print(mask(folder), *(seeds(folder, count) for count in (POWER, 2000)), sep="\n")
        for dtype in DTYPES:
            for suffix in reversed(SUFFIXES):
                print(bold(folder, dtype, suffix, options.volumes))


if __name__ == "__main__":
    main()
