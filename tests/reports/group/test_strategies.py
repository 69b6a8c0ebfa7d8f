"""What chance gives, and which strategy is best."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_spheres.reports.group.strategies import MEASURES, chance_median

COLUMNS = [
    "qc_fc_median",
    "qc_fc_significant",
    "qc_fc_distance_spearman",
    "modularity",
    "degrees_of_freedom_lost",
]


@pytest.mark.parametrize("v", [1, 2, 5.5, 38, 200])
def test_the_median_correlation_by_chance_is_that_of_students_t(v):
    t = stats.t.ppf(0.75, v)
    assert chance_median(v) == pytest.approx(t / np.sqrt(v + t**2))


def test_without_degrees_of_freedom_there_is_no_chance():
    assert np.isnan(chance_median(0.99))
    assert np.isnan(chance_median(-3))


def test_what_columns_show_and_what_chance_gives_in_them():
    assert [measure.column for measure in MEASURES] == COLUMNS
    rows = pd.DataFrame({column: [0.125, np.nan] for column in COLUMNS})
    rows["qc_fc_degrees_of_freedom"] = [38, 0]
    factors = [measure.values(rows)[0] / 0.125 for measure in MEASURES]
    assert factors == [1, 100, 1, 1, 1]
    chance = [measure.by_chance(rows) for measure in MEASURES]
    np.testing.assert_allclose(chance[0], [chance_median(38), np.nan])
    assert chance[1:] == [[5, 5], [0, 0], [], []]
    assert [measure.span for measure in MEASURES] == [
        *((0, 0.1), (0, 10), (-0.1, 0.1), (0, 0.1), (0, 10)),
    ]


@pytest.mark.parametrize(
    ("column", "values", "best"),
    [
        ("qc_fc_median", [0.2, 0.1, 0.3], [1]),
        ("qc_fc_median", [0.104, 0.1, 0.3], [0, 1]),  # alike to the digits shown
        ("qc_fc_median", [0.104, 0.1, 0.096], []),
        ("qc_fc_significant", [7.04, 7.0, 9], [0, 1]),
        ("qc_fc_distance_spearman", [-0.3, 0.1, -0.05], [2]),
        ("qc_fc_distance_spearman", [-0.1, 0.1, np.nan], []),
        ("modularity", [0.3, np.nan, 0.4], [2]),
        ("degrees_of_freedom_lost", [30.4, 30, 50], [0, 1]),
    ],
)
def test_which_values_are_best(column, values, best):
    (measure,) = (measure for measure in MEASURES if measure.column == column)
    assert np.flatnonzero(measure.best_of(np.array(values))).tolist() == best
