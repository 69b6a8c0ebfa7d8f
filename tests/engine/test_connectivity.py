"""Against numpy, scipy, scikit-learn and nilearn."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nilearn.connectome import ConnectivityMeasure
from scipy.stats import spearmanr
from sklearn import covariance as sklearn_covariance

from bids_spheres.data import published
from bids_spheres.engine import clean, pearson_correlation
from bids_spheres.engine.connectivity import (
    MEASURES,
    Moments,
    concatenate,
    covariance,
    fisher_transform,
    fisher_z,
    ledoit_wolf,
    ledoit_wolf_correlation,
    measure,
    partial_correlation,
    precision,
    spearman_correlation,
)
from bids_spheres.errors import DataError, UsageError

every_measure = pytest.mark.parametrize("which", MEASURES, ids=lambda which: which.name)

SHAPES = [(3, 2), (40, 5), (30, 60), (200, 30)]
"""(T, S), with more volumes than series and fewer."""


def correlated(shape, seed=0, scale=None):
    """Series that share signals; each of another variance, and none of mean 0."""
    rng = np.random.default_rng(seed)
    n_volumes, n_series = shape
    shared = rng.standard_normal((n_volumes, 3)) @ rng.standard_normal((3, n_series))
    sizes = rng.uniform(0.5, 5, n_series) if scale is None else scale
    return 100 + sizes * (shared + rng.standard_normal(shape))


def by_nilearn(kind, series, standardize=False):
    return ConnectivityMeasure(kind=kind, standardize=standardize).fit_transform([series])[0]


@pytest.mark.parametrize("shape", [(2, 3), (3, 1), (40, 5), (30, 264)])
@pytest.mark.parametrize(("mean", "sd"), [(0, 1), (1e4, 20), (-3, 1e-6), (1e7, 0.01)])
def test_correlation_is_that_of_numpy(shape, mean, sd):
    rng = np.random.default_rng(1)
    series = rng.normal(mean, sd, shape) + sd * rng.standard_normal((shape[0], 1))
    matrix = pearson_correlation(series)
    rounding = 1e-15 * abs(mean) / sd
    expected = np.atleast_2d(np.corrcoef(series.T))
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-12 + rounding)
    np.testing.assert_array_equal(matrix, matrix.T)
    assert (np.diag(matrix) == 1).all()
    assert np.abs(matrix).max() <= 1


def test_opposite_and_scaled_series():
    x = np.random.default_rng(0).standard_normal(25)
    matrix = pearson_correlation(np.column_stack([x, 7 - 3 * x, 0.1 * x + 1e3]))
    np.testing.assert_allclose(matrix, [[1, -1, 1], [-1, 1, -1], [1, -1, 1]], rtol=1e-9)


@pytest.mark.parametrize(
    "bad",
    [0, 0.1, 1e9 / 3, np.nan, [1, np.nan] + [2] * 18],
    ids=["zero", "constant", "large constant", "missing", "one missing"],
)
def test_series_without_correlation_are_nan_and_others_are_not(bad):
    series = np.random.default_rng(2).normal(100, 3, (20, 4))
    others = [0, 1, 3]
    expected = np.full((4, 4), np.nan)
    expected[np.ix_(others, others)] = np.corrcoef(series[:, others].T)
    series[:, 2] = bad
    np.testing.assert_allclose(pearson_correlation(series), expected, atol=1e-12)


@pytest.mark.parametrize(("spread", "defined"), [(1e-10, True), (1e-13, False)])
def test_how_little_a_series_may_vary(spread, defined):
    """By more than rounding errors, of its level: as 1e-10, and not 1e-13."""
    noise = np.random.default_rng(2).standard_normal((50, 2))
    for level in (1, 1e6):
        matrix = pearson_correlation(level * (1 + spread * noise * [1, 1e6]))
        assert np.isfinite(matrix[0, 1]) == defined
        if defined:
            assert matrix[0, 1] == pytest.approx(np.corrcoef(noise.T)[0, 1], abs=1e-4)


@pytest.mark.parametrize(
    "series", [np.ones((1, 3)), np.full((5, 3), np.nan), np.zeros((5, 3))], ids=str
)
def test_nothing_to_correlate(series):
    matrix = pearson_correlation(series)
    assert matrix.shape == (3, 3)
    assert np.isnan(matrix).all()


def test_no_series():
    assert pearson_correlation(np.empty((5, 0))).shape == (0, 0)


def test_the_argument_is_left_alone():
    series = np.random.default_rng(3).standard_normal((6, 2))
    before = series.copy()
    pearson_correlation(series)
    np.testing.assert_array_equal(series, before)


def test_a_constant_series_stays_undefined_after_cleaning():
    rng = np.random.default_rng(0)
    series = 100 + rng.standard_normal((100, 3))
    series[:, 1] = 1234.567
    cleaned = clean(series, confounds=rng.standard_normal((100, 20)), detrend=True)
    assert (cleaned[:, 1] == 0).all()
    matrix = pearson_correlation(cleaned)
    assert np.isnan(matrix[1]).all()
    assert np.isfinite(matrix[[0, 2]][:, [0, 2]]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.int16, ">f8"])
def test_series_of_other_types_are_computed_in_double_precision(dtype):
    series = np.random.default_rng(4).normal(1000, 50, (60, 4)).astype(dtype)
    expected = np.corrcoef(series.astype(np.float64).T)
    np.testing.assert_allclose(pearson_correlation(series), expected, atol=1e-14)


@pytest.mark.parametrize("shape", [(2, 3), (40, 5), (30, 60)])
def test_fisher_z_is_arctanh_of_numpys_correlation(shape):
    series = correlated(shape)
    off_diagonal = ~np.eye(shape[1], dtype=bool)
    r = np.corrcoef(series.T)[off_diagonal]
    known = np.abs(r) < 1 - 1e-12
    z = fisher_z(series)
    np.testing.assert_allclose(z[off_diagonal][known], np.arctanh(r[known]), rtol=1e-9)
    assert np.isnan(z[off_diagonal][~known]).all()
    assert np.isnan(np.diag(z)).all()


@pytest.mark.parametrize(
    ("r", "z"),
    [
        (0.0, 0.0),
        (0.5, np.log(3) / 2),
        (-0.8, -np.log(9) / 2),
        (1 - 1e-9, np.log((2 - 1e-9) / 1e-9) / 2),
        (1.0, np.nan),
        (-1.0, np.nan),
        (1 - 1e-15, np.nan),
        (np.nan, np.nan),
    ],
)
def test_fisher_transform_by_its_formula(r, z):
    np.testing.assert_allclose(fisher_transform(np.array(r)), z, rtol=1e-7)


def test_spheres_of_the_same_voxels_have_no_infinite_z():
    series = correlated((50, 3))
    twice = np.column_stack([series, 3 * series[:, 0] + 7, -series[:, 1]])
    z = fisher_z(twice)
    assert not np.isinf(z).any()
    assert np.isnan(z[0, 3])
    assert np.isnan(z[1, 4])
    assert np.isfinite(z[0, 4])


@pytest.mark.parametrize("shape", SHAPES)
def test_spearman_is_that_of_scipy(shape):
    series = correlated(shape)
    expected = spearmanr(series).statistic
    expected = expected if shape[1] > 2 else np.array([[1, expected], [expected, 1]])
    np.testing.assert_allclose(spearman_correlation(series), expected, atol=1e-12)


def test_ties_share_their_rank():
    series = np.random.default_rng(5).integers(0, 4, (30, 6)).astype(float)
    np.testing.assert_allclose(
        spearman_correlation(series), spearmanr(series).statistic, atol=1e-12
    )


def test_spearman_sees_order_alone():
    x = np.random.default_rng(6).standard_normal(40)
    matrix = spearman_correlation(np.column_stack([x, np.exp(3 * x), -(x**3)]))
    np.testing.assert_allclose(matrix, [[1, 1, -1], [1, 1, -1], [-1, -1, 1]])


@pytest.mark.parametrize("shape", SHAPES)
def test_covariance_is_that_of_numpy(shape):
    series = correlated(shape)
    np.testing.assert_allclose(covariance(series), np.cov(series.T), rtol=1e-10)


@pytest.mark.parametrize("shape", [(2, 4), (5, 1), *SHAPES])
@pytest.mark.parametrize("scale", [None, 1e-4, 1e5])
def test_ledoit_wolf_is_that_of_scikit_learn(shape, scale):
    series = correlated(shape, scale=scale)
    expected, expected_shrinkage = sklearn_covariance.ledoit_wolf(series)
    shrunk, shrinkage = ledoit_wolf(series)
    np.testing.assert_allclose(shrinkage, expected_shrinkage, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(shrunk, expected, rtol=1e-10, atol=1e-10 * shrunk.max())


@given(st.integers(3, 60), st.integers(2, 70), st.integers(0, 2**32 - 1))
def test_ledoit_wolf_is_that_of_scikit_learn_for_any_shape(n_volumes, n_series, seed):
    series = correlated((n_volumes, n_series), seed)
    expected, expected_shrinkage = sklearn_covariance.ledoit_wolf(series)
    shrunk, shrinkage = ledoit_wolf(series)
    assert 0 <= shrinkage <= 1
    np.testing.assert_allclose(shrinkage, expected_shrinkage, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(shrunk, expected, rtol=1e-9, atol=1e-10 * shrunk.max())


def test_independent_series_of_one_variance_are_shrunk_most():
    rng = np.random.default_rng(7)
    noise = rng.standard_normal((30, 200))
    _, all_the_way = ledoit_wolf(noise)
    _, little = ledoit_wolf(noise + 3 * rng.standard_normal((30, 1)))
    assert all_the_way > 0.9
    assert little < 0.2


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [None, 1, 1e-3])
@pytest.mark.parametrize(
    ("function", "kind"), [(precision, "precision"), (partial_correlation, "partial correlation")]
)
def test_shrunk_measures_are_those_of_nilearn(shape, scale, function, kind):
    series = correlated(shape, scale=scale)
    expected = by_nilearn(kind, series)
    tolerance = 1e-8 * np.abs(expected).max()
    np.testing.assert_allclose(function(series), expected, rtol=1e-8, atol=tolerance)


@pytest.mark.parametrize("shape", SHAPES)
def test_ledoit_wolf_correlation_is_nilearns_correlation(shape):
    series = correlated(shape)
    expected = by_nilearn("correlation", series, standardize=True)
    np.testing.assert_allclose(ledoit_wolf_correlation(series), expected, atol=1e-8)


def test_partial_correlation_is_that_of_residuals():
    """With many volumes nothing is shrunk; then the definition by regression holds."""
    series = correlated((100_000, 4), scale=1)
    others = np.column_stack([np.ones(len(series)), series[:, 2:]])
    residuals = series[:, :2] - others @ np.linalg.lstsq(others, series[:, :2], rcond=None)[0]
    expected = np.corrcoef(residuals.T)[0, 1]
    np.testing.assert_allclose(partial_correlation(series)[0, 1], expected, atol=2e-3)


@pytest.mark.parametrize("n_series", [2, 5, 90])
@pytest.mark.parametrize(
    "signs", [[1, -1], [1, -1, 1, 1, -1, -1]], ids=["two volumes", "repeated volumes"]
)
def test_what_even_shrinking_does_not_make_invertible_is_missing(n_series, signs):
    """The volumes are a pattern and its opposite: the covariance has rank 1, and is not shrunk."""
    rng = np.random.default_rng(n_series)
    for _ in range(20):
        pattern = rng.normal(size=n_series) * 10 ** rng.uniform(-3, 3, n_series)
        series = np.outer(signs, pattern) + rng.normal(0, 100, n_series)
        assert np.isnan(precision(series)).all()
        assert np.isnan(partial_correlation(series)).all()
        assert 0 <= ledoit_wolf(series)[1] < 1e-12
    shrunk_a_little = series + np.abs(pattern).mean() * rng.normal(0, 0.1, series.shape)
    assert np.isfinite(precision(shrunk_a_little)).all() == (len(signs) > 2)


@pytest.mark.parametrize("level", [5e-6, 1e-4])
def test_a_covariance_of_hardly_more_than_rank_1_is_not_inverted(level):
    """Shrunk by less than a millionth of a millionth per series."""
    rng = np.random.default_rng(3)
    series = np.outer([1, -1, 1, 1, -1, -1], rng.normal(size=90)) + level * rng.normal(size=(6, 90))
    share = sklearn_covariance.ledoit_wolf(series)[1]
    assert share > 1e-12
    assert np.isfinite(precision(series)).all() == (share > 90e-12)


def test_rounding_of_large_values_makes_no_two_volumes_invertible():
    series = 1e11 + np.random.default_rng(3).normal(size=(2, 3))
    assert ledoit_wolf(series)[1] > 3e-12  # of rounding errors alone
    assert np.isnan(precision(series)).all()


def test_the_precision_of_one_series_of_two_volumes_is_that_of_its_variance():
    np.testing.assert_allclose(precision(np.array([[1.0], [5.0]])), [[1 / 4]])


def test_relations_of_one_series_alone():
    series = correlated((20, 1))
    np.testing.assert_allclose(precision(series), 1 / series.var())
    assert partial_correlation(series) == 1
    assert ledoit_wolf_correlation(series) == 1


@every_measure
@pytest.mark.parametrize("shape", [(100, 264), (300, 40)])
def test_matrices_are_exactly_symmetric(which, shape):
    matrix = which.function(correlated(shape))
    np.testing.assert_array_equal(matrix, matrix.T)
    assert np.isfinite(matrix[~np.eye(len(matrix), dtype=bool)]).all()


@every_measure
def test_no_correlation_is_beyond_one_and_a_diagonal_says_what_it_is(which):
    matrix = which.function(correlated((100, 264)))
    diagonal = np.diag(matrix)
    if which.valid_diagonal:
        assert len(np.unique(diagonal)) == 264
    elif which.name == "fisher-z":
        assert np.isnan(diagonal).all()
    else:
        assert (diagonal == 1).all()
        assert np.abs(matrix).max() <= 1


@every_measure
@pytest.mark.parametrize(
    "bad",
    [0, 1e9 / 3, np.nan, np.inf, [1, np.nan] + [2] * 18, [-np.inf] + [2] * 19],
    ids=["zero", "constant", "missing", "infinite", "one missing", "one infinite"],
)
def test_a_series_without_relations_leaves_those_of_others(which, bad):
    series = correlated((20, 5))
    others = [0, 1, 3, 4]
    expected = np.full((5, 5), np.nan)
    expected[np.ix_(others, others)] = which.function(series[:, others])
    shrinkage = which.shrinkage(series[:, others]) if which.shrinkage else None
    series[:, 2] = bad
    np.testing.assert_allclose(which.function(series), expected, rtol=1e-12)
    assert shrinkage is None or which.shrinkage(series) == pytest.approx(shrinkage)


@every_measure
@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (5, 0)])
def test_nothing_to_relate(which, shape):
    matrix = which.function(np.ones(shape))
    assert matrix.shape == (shape[1],) * 2
    assert np.isnan(matrix).all()
    assert which.shrinkage is None or np.isnan(which.shrinkage(np.ones(shape)))


@every_measure
def test_one_dimension_is_not_enough(which):
    with pytest.raises(DataError, match=r"not \(20,\)"):
        which.function(np.ones(20))


@every_measure
def test_no_measure_changes_its_argument(which):
    series = correlated((20, 4))
    before = series.copy()
    which.function(series)
    np.testing.assert_array_equal(series, before)


@pytest.mark.parametrize("name", ["partial", "precision"])
def test_shrinkage_of_measures_of_the_covariance(name):
    series = correlated((40, 30))
    _, expected = sklearn_covariance.ledoit_wolf(series)
    assert measure(name).shrinkage(series) == pytest.approx(expected)


def test_shrinkage_of_the_correlation_is_that_of_standardized_series():
    series = correlated((40, 30))
    standardized = (series - series.mean(axis=0)) / series.std(axis=0, ddof=1)
    _, expected = sklearn_covariance.ledoit_wolf(standardized)
    assert measure("ledoit-wolf").shrinkage(series) == pytest.approx(expected)
    ratio = ledoit_wolf_correlation(series)[0, 1] / np.corrcoef(series.T)[0, 1]
    assert ratio == pytest.approx(1 - expected)


@pytest.mark.parametrize(
    ("typed", "stat"),
    [
        ("pearson", "pearsoncorrelation"),
        ("Pearson correlation", "pearsoncorrelation"),
        ("fisher-z", "fisherz"),
        ("fisher_z", "fisherz"),
        ("FisherZ", "fisherz"),
        ("partial", "partialcorrelation"),
        ("partial correlation", "partialcorrelation"),
        ("covariance", "covariance"),
        ("precision", "precision"),
        ("ledoit-wolf", "ledoitwolfcorrelation"),
        ("ledoitwolfcorrelation", "ledoitwolfcorrelation"),
        ("spearman", "spearmancorrelation"),
    ],
)
def test_measures_are_found_by_friendly_names(typed, stat):
    assert measure(typed).stat == stat


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("peerson", "Did you mean pearson? "),
        ("fisher", "Did you mean fisherz? "),
        ("correlation", "Did you mean pearsoncorrelation? "),
        ("dtw", "The measures are: pearson, fisher-z, partial, "),
        ("", "The measures are: pearson, fisher-z, partial, "),
    ],
)
def test_an_unknown_measure_is_an_error_with_a_hint(typed, hint):
    with pytest.raises(UsageError, match="is no measure of connectivity") as error:
        measure(typed)
    assert error.value.hint.startswith(hint)


def test_every_label_can_stand_in_a_file_name_and_is_there_once():
    for which in MEASURES:
        assert which.stat.isalpha()
        assert which.stat.islower()
        assert measure(which.stat) is measure(which.name) is which
    assert {which.name: which.stat for which in MEASURES} == published.MEASURES


def test_measures_can_not_be_changed():
    with pytest.raises(FrozenInstanceError):
        MEASURES[0].name = "other"


def test_relate_takes_a_name_as_well():
    series = correlated((30, 3))
    np.testing.assert_allclose(measure("covariance").function(series), np.cov(series.T))


def test_concatenated_runs_are_standardized_each():
    parts = [correlated((50, 3), seed=1), 1e3 * correlated((80, 3), seed=2)]
    together = concatenate(parts)
    expected = [(part - part.mean(axis=0)) / part.std(axis=0, ddof=1) for part in parts]
    np.testing.assert_allclose(together, np.vstack(expected), atol=1e-12)


def test_one_run_is_standardized_as_well():
    part = correlated((50, 3))
    expected = (part - part.mean(axis=0)) / part.std(axis=0, ddof=1)
    np.testing.assert_allclose(concatenate([part]), expected, atol=1e-12)


def test_a_difference_between_runs_is_no_correlation():
    rng = np.random.default_rng(8)
    parts = [rng.standard_normal((300, 2)) + level for level in (0, 50)]
    assert pearson_correlation(np.vstack(parts))[0, 1] > 0.9
    assert abs(pearson_correlation(concatenate(parts))[0, 1]) < 0.15


@pytest.mark.parametrize("bad", [np.nan, 0, 1234.567], ids=["missing", "zero", "constant"])
@pytest.mark.parametrize("run", [0, 1, 2])
def test_a_series_missing_in_one_run_is_missing_in_all(bad, run):
    parts = [correlated((n_volumes, 3), seed=n_volumes) for n_volumes in (20, 25, 22)]
    parts[run][:, 1] = bad
    together = concatenate(parts)
    assert np.isnan(together[:, 1]).all()
    assert np.isfinite(together[:, [0, 2]]).all()
    assert np.isnan(parts[run - 1]).sum() == 0


def test_a_run_of_two_volumes_can_be_put_together_with_others():
    parts = [correlated((20, 2)), np.array([[1.0, 9], [4, 5]])]
    size = np.sqrt(0.5)
    np.testing.assert_allclose(concatenate(parts)[20:], [[-size, size], [size, -size]])


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([], "No runs"),
        ([(20, 3), (20, 4)], "3 and 4"),
        ([(20, 3), (20, 3), (20, 2)], "2 and 3"),
        ([(20, 3), (1, 3)], "of 1 volume"),
        ([(20, 3), (0, 3)], "of no volumes"),
        ([(20,), (20,)], "shape"),
    ],
)
def test_runs_that_can_not_be_put_together(shapes, message):
    with pytest.raises(DataError, match=message):
        concatenate([np.ones(shape) for shape in shapes])


def test_moments_of_arrays_with_gaps_are_those_of_numpy():
    rng = np.random.default_rng(0)
    arrays = 1e6 + rng.standard_normal((9, 5)) * [1, 10, 0.1, 1, 1]
    arrays[rng.random((9, 5)) < 0.3] = np.nan
    arrays[:, 3] = np.nan
    arrays[1:, 4], arrays[0, 4] = np.nan, 7
    arrays[[2, 5], [0, 1]] = np.inf, -np.inf
    moments = Moments(5)
    for values in arrays:
        moments.add(values)
    known = np.isfinite(arrays)
    np.testing.assert_array_equal(moments.n, known.sum(axis=0))
    arrays[~known] = np.nan
    np.testing.assert_allclose(moments.known_mean[:3], np.nanmean(arrays[:, :3], axis=0))
    np.testing.assert_allclose(moments.sd[:3], np.nanstd(arrays[:, :3], axis=0, ddof=1), rtol=1e-6)
    assert moments.mean[3:].tolist() == [0, 7]
    np.testing.assert_array_equal(moments.known_mean[3:], [np.nan, 7])
    assert np.isnan(moments.sd[3:]).all()
