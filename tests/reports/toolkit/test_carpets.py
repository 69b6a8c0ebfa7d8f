"""Carpets: greys of known series, rows in the order asked for, gaps where volumes are censored."""

from __future__ import annotations

import numpy as np
import pytest

from bids_spheres.reports.toolkit.carpets import (
    MOST_COLUMNS,
    MOST_ROWS,
    PALETTE,
    Panel,
    carpet_codes,
    carpet_raster,
    carpets,
    volumes_axis,
)
from bids_spheres.reports.toolkit.charts import Axis, Frame
from bids_spheres.reports.toolkit.order import network_order

LAST = len(PALETTE) - 2
GONE = len(PALETTE) - 1


def test_greys_go_from_two_deviations_below_to_two_above():
    rng = np.random.default_rng(0)
    series = rng.standard_normal((50, 3)) * [1, 10, 1000] + [0, 5, -7]
    z = (series - series.mean(axis=0)) / series.std(axis=0, ddof=1)
    expected = np.rint(np.clip(z / 4 + 0.5, 0, 1) * LAST)
    np.testing.assert_array_equal(carpet_codes(series), expected.T)


def test_censored_volumes_and_missing_spheres_are_told_apart_from_grey():
    series = np.random.default_rng(1).standard_normal((20, 4))
    series[5] = np.nan
    series[:, 2] = np.nan
    gone = carpet_codes(series) == GONE
    expected = np.zeros((4, 20), dtype=bool)
    expected[2] = expected[:, 5] = True
    np.testing.assert_array_equal(gone, expected)


def test_a_constant_series_is_in_the_middle():
    codes = carpet_codes(np.full((10, 1), 3.0))
    assert abs(codes - LAST / 2).max() <= 0.5


def test_large_carpets_are_averaged_to_what_a_screen_shows():
    series = np.random.default_rng(2).standard_normal((2 * MOST_COLUMNS, 2 * MOST_ROWS))
    series[: MOST_COLUMNS // 2] = np.nan
    codes = carpet_codes(series)
    assert codes.shape == (MOST_ROWS, MOST_COLUMNS)
    assert (codes[:, : MOST_COLUMNS // 4] == GONE).all()
    assert (codes[:, MOST_COLUMNS // 4 :] != GONE).all()
    # Of four independent values each, so that the spread is half of that of one.
    spread = (codes[:, MOST_COLUMNS // 4 :] / LAST - 0.5).std() * 4
    assert spread == pytest.approx(0.5, abs=0.02)


def test_networks_stand_beside_their_rows():
    series = np.random.default_rng(3).standard_normal((30, 40))
    order = network_order(["a"] * 10 + ["b"] * 20 + ["a"] * 10)
    frame = Frame(130, 4, 600, 160, volumes_axis(30, "Volume"), Axis(0, 40))
    panel = Panel(carpet_raster(series, order, frame), frame)
    chart = carpets([panel], order, "alt")
    places = {label.text: label.down for label in chart.labels if label.style == "name"}
    assert places["a"] == pytest.approx(4 + 160 / 4, abs=6)
    assert places["b"] == pytest.approx(4 + 160 * 3 / 4, abs=6)
    raster = chart.rasters[0]
    assert (raster.left, raster.top, raster.width, raster.height) == (130, 4, 600, 160)
