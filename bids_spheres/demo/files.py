"""The formats on the disk, such that equal content gives equal bytes."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import nibabel as nib

from bids_spheres.files.atomic import table_text, write_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

MNI_CODE = 4


def write_tsv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table with a header; the cells are text already."""
    write_text(path, table_text(header, rows))


def write_image(
    path: Path,
    values: NDArray[Any],
    affine: NDArray[np.float64],
    t_r: float | None = None,
    slope: float | None = None,
) -> None:
    """Write a compressed NIfTI-1 image in MNI space.

    Parameters
    ----------
    path : Path
        Ends in ``.nii.gz``.
    values : (I, J, K) or (I, J, K, T) array
        Stored as they are, in their own type.
    affine : (4, 4) array
        Voxel indices to millimetres, both as sform and as qform, with code 4.
    t_r : float, optional
        Repetition time of a 4-D image, s.
    slope : float, optional
        What a step of ``values`` means.
    """
    image: Any = nib.Nifti1Image(values, affine)
    image.set_sform(affine, MNI_CODE)
    image.set_qform(affine, MNI_CODE)
    image.header.set_xyzt_units("mm", "sec" if t_r else None)
    if t_r:
        image.header.set_zooms((*image.header.get_zooms()[:3], t_r))
    if slope:
        image.header.set_slope_inter(slope, 0)
    # Neither a time nor a name in the gzip header: both would differ from call to call.
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=6, mtime=0))
