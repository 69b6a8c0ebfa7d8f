"""Volumes of images as the masker reads them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bids_spheres.masker.parameters import Series


@pytest.mark.parametrize("number", [0, 3, 4, 6, 7])
def test_a_volume_is_that_of_its_number_however_it_is_read(number):
    data = np.arange(8 * 24.0).reshape(8, 24)
    blocks = [data[:4], data[4:7], data[7:]]
    grid = SimpleNamespace(shape=(2, 3, 4))
    volumes = SimpleNamespace(grid=grid, name="x.nii", blocks=lambda: iter(blocks))
    series = Series((), volumes)
    volume = series.volume(number)
    # As NIfTI has it: the first axis is the fastest.
    assert volume[1, 2, 3] == data[number, 1 + 2 * 2 + 6 * 3] == 24 * number + 23
    assert volume[1, 0, 0] == 24 * number + 1
    with pytest.raises(IndexError, match=r"x.nii has no volume 9"):
        series.volume(8)
