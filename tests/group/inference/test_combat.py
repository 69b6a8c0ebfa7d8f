"""ComBat against numbers of neuroHarmonize."""

from __future__ import annotations

import numpy as np
import pytest

from bids_spheres.group.inference import fit_combat
from bids_spheres.group.inference.linear_model import column_blocks

SITES = np.repeat([0, 1, 2], [6, 8, 7])
AGE = np.cos(3 * np.arange(21))[:, np.newaxis]


def data():
    waves = np.sin(np.outer(np.arange(1, 22), np.arange(1, 9)) ** 1.1)
    site = SITES[:, np.newaxis]
    return (1 + 0.5 * site) * waves + 0.4 * site * np.cos(np.arange(8)) + 0.3 * AGE


# harmonizationLearn of neuroHarmonize 2.5.2: the first edges in rows 0, 6, 20
HARMONIZED = [
    [1.346554489, 0.991824515, 0.060475274, -1.039814076, -0.469205301, 1.532032267],
    [1.908935907, -0.280221246, -0.205509603, 0.552097185, -0.573260771, -1.102710791],
    [-0.189247019, -1.689831839, 0.829375104, -1.421076328, -1.638269552, -0.172235464],
]
SHIFT_OF_1 = [-0.132660882, 0.046587812, -0.051253427, 0.995071972]
SCALE_OF_2 = [1.653326428, 1.421640999, 1.660402241, 2.0448294]


@pytest.mark.parametrize("width", [8, 3])
def test_numbers_are_those_of_neuroharmonize(monkeypatch, width):
    """Also when a part of the edges is in memory at a time."""
    monkeypatch.setattr(column_blocks, "__defaults__", (8 * 21 * width,))
    combat = fit_combat(data(), SITES, AGE)
    np.testing.assert_allclose(combat.shift[1, :4], SHIFT_OF_1, atol=1e-6)
    np.testing.assert_allclose(combat.scale[2, :4], SCALE_OF_2, atol=1e-6)
    harmonized = combat.apply(data(), SITES, AGE)
    np.testing.assert_allclose(harmonized[[0, 6, 20], :6], HARMONIZED, atol=1e-6)
    # Rows are harmonized one by one, so that estimates serve for others.
    np.testing.assert_array_equal(
        combat.apply(data()[9:11], SITES[9:11], AGE[9:11]), harmonized[9:11]
    )


def test_iterations_end_when_those_of_neuroharmonize_do():
    """Negative shifts change by a negative share, and don't keep them going."""
    sites = np.repeat([0, 1], [4, 9])
    z = np.sin(np.outer(np.arange(1, 14), np.arange(1, 5)) ** 1.26) - (sites == 0)[:, np.newaxis]
    combat = fit_combat(z, sites, np.zeros((13, 0)))
    shift = [-0.965801619, -0.677798845, -1.552747432, -0.691880507]
    scale = [1.191355939, 1.127700401, 0.969631932, 1.530018223]
    np.testing.assert_allclose(combat.shift[0], shift, atol=1e-8)
    np.testing.assert_allclose(combat.scale[0], scale, atol=1e-8)


def test_sites_become_alike_and_covariates_stay():
    rng = np.random.default_rng(0)
    sites, age = np.repeat([0, 1], 100), rng.standard_normal((200, 1))
    z = rng.standard_normal((200, 50)) * (1 + sites[:, np.newaxis]) + 2 * sites[:, np.newaxis] + age
    harmonized = fit_combat(z, sites, age).apply(z, sites, age)
    rest = harmonized - age
    means, spreads = ([f(rest[sites == s], axis=0) for s in (0, 1)] for f in (np.mean, np.std))
    assert abs(means[1] - means[0]).mean() < 0.15
    assert abs(spreads[1] / spreads[0] - 1).mean() < 0.1
    slopes = [np.polyfit(age[:, 0], column, 1)[0] for column in harmonized.T]
    assert np.mean(slopes) == pytest.approx(1, abs=0.1)


def test_missing_values_do_not_count():
    z = data()
    z[2, 3] = np.nan
    combat = fit_combat(z, SITES, AGE)
    rows = np.arange(21) != 2
    alone = fit_combat(z[rows][:, [3, 6]], SITES[rows], AGE[rows])
    assert combat.mean[3] == pytest.approx(alone.mean[0])
    assert combat.standard_deviation[3] == pytest.approx(alone.standard_deviation[0])
    harmonized = combat.apply(z, SITES, AGE)
    assert np.argwhere(np.isnan(harmonized)).tolist() == [[2, 3]]
    # one participant of a site, no variance, nobody
    z[:5, 4], z[:, 5], z[:, 6] = np.nan, 1.0, np.nan
    harmonized = fit_combat(z, SITES, AGE).apply(z, SITES, AGE)
    assert np.flatnonzero(np.isnan(harmonized).all(axis=0)).tolist() == [4, 5, 6]


def test_what_cannot_be_harmonized():
    z = data()
    for sites in (np.zeros(21, int), SITES + 1):
        with pytest.raises(ValueError, match="two sites or more"):
            fit_combat(z, sites, AGE)
    with pytest.raises(ValueError, match="site 1 has one participant"):
        fit_combat(z, np.arange(21) // 20, AGE)
    with pytest.raises(ValueError, match="full rank"):
        fit_combat(z, SITES, SITES[:, np.newaxis].astype(float))
    with pytest.raises(ValueError, match="two edges"):
        fit_combat(z[:, :1], SITES, AGE)
    combat = fit_combat(z, SITES, AGE)
    with pytest.raises(ValueError, match="only the sites 0 to 2"):
        combat.apply(z, SITES + 1, AGE)
    with pytest.raises(ValueError, match="8 edges and 1 covariates"):
        combat.apply(z[:, :5], SITES, AGE)
    with pytest.raises(ValueError, match="8 edges and 1 covariates"):
        combat.apply(z, SITES, np.hstack([AGE, AGE**2]))


def test_two_participants_are_enough_for_a_site_and_for_an_edge_of_it():
    z, sites = data()[4:], SITES[4:]  # two of the first site
    z[:6, 2] = np.where(np.arange(6) < 4, z[:6, 2], np.nan)
    z[10:15, 5] = np.nan  # two of the last one have this edge
    z[2:9, 6] = np.nan  # one of the second one
    combat = fit_combat(z, sites, AGE[4:])
    known = np.ones(8, dtype=bool)
    known[6] = False
    for values in (combat.shift, combat.scale):
        np.testing.assert_array_equal(np.isfinite(values), np.tile(known, (3, 1)))
    assert (
        np.isfinite(combat.apply(z, sites, AGE[4:])[:, known]).sum()
        == np.isfinite(z[:, known]).sum()
    )


def test_before_they_are_shrunk_estimates_are_means_and_variances_of_sites():
    """With many participants the rows count, and not the distribution over edges."""
    rng = np.random.default_rng(8)
    sites = np.repeat([0, 1], [3000, 1000])
    z = rng.standard_normal((4000, 6)) * np.where(sites == 1, 2, 1)[:, np.newaxis]
    z += np.outer(sites, np.arange(6)) / 2
    z[3400:, 2] = np.nan  # of the second site
    combat = fit_combat(z, sites, np.zeros((4000, 0)))
    means = np.array([np.nanmean(z[sites == site], axis=0) for site in (0, 1)])
    share = np.where(np.arange(6) == 2, 400 / 3400, 0.25)
    np.testing.assert_allclose(combat.mean, (1 - share) * means[0] + share * means[1])
    squares = sum(np.nansum((z[sites == site] - means[site]) ** 2, axis=0) for site in (0, 1))
    np.testing.assert_allclose(
        combat.standard_deviation, np.sqrt(squares / np.isfinite(z).sum(axis=0))
    )
    shifts = (means - combat.mean) / combat.standard_deviation
    np.testing.assert_allclose(combat.shift, shifts, atol=0.01)
    variances = [np.nanvar(z[sites == site], axis=0, ddof=1) for site in (0, 1)]
    np.testing.assert_allclose(combat.scale, variances / combat.standard_deviation**2, rtol=0.1)


def test_units_of_covariates_do_not_matter():
    z, expected = data(), fit_combat(data(), SITES, AGE)
    tiny = fit_combat(z, SITES, 1e-20 * AGE)
    np.testing.assert_allclose(tiny.coefficients, 1e20 * expected.coefficients)
    np.testing.assert_allclose(tiny.scale, expected.scale)
