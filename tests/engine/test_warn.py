"""Where warnings of the engine point."""

import numpy as np
import pytest

from bids_spheres.engine import clean


def test_warnings_point_at_the_caller():
    with pytest.warns(UserWarning, match="mean 0") as caught:
        clean(np.zeros((9, 1)), standardize="psc", detrend=False)
    assert caught[0].filename == __file__
