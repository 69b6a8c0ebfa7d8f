"""Negative controls: simulated series whose relations are known, and tables against the image."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from zlib import crc32

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from scipy import stats
from scipy.signal import detrend, lfilter

from bids_spheres.engine import Grid, sphere_weights
from bids_spheres.engine.seeds import SeedTable
from bids_spheres.participant.controls import (
    control_sets,
    controls_table,
    fluid_centres,
    phase_randomized,
    shifts,
    surrogate_series,
)
from bids_spheres.participant.series import clean_series, effective_dof
from bids_spheres.participant.sphere_sets import SphereSet, UsableVoxels
from tests.conftest import AFFINE, MNI, SHAPE
from tests.participant.test_series import KEPT, run_design

STEM = f"sub-01_task-rest_space-{MNI}_seg-mine_desc-simple_controls"


def autoregressive(rng, n_volumes, n_series, coefficient):
    noise = rng.standard_normal((n_volumes + 100, n_series))
    return lfilter([1], [1, -coefficient], noise, axis=0)[100:]


def by_chance(share, n):
    """Whether a share of n tests at .05 is within what chance gives in 999 of 1000 cases."""
    low, high = stats.binom(n, 0.05).ppf([0.0005, 0.9995]) / n
    return low <= share <= high


@pytest.mark.parametrize("n", [120, 121])
def test_surrogates_keep_spectra_and_means_and_lose_relations(n):
    rng = np.random.default_rng(0)
    series = np.repeat(autoregressive(rng, n, 1, 0.5), 60, axis=1) + 3
    surrogates = phase_randomized(series, rng)
    power = np.abs(np.fft.rfft(surrogates, axis=0))
    np.testing.assert_allclose(power, np.abs(np.fft.rfft(series, axis=0)), atol=1e-9)
    np.testing.assert_allclose(surrogates.mean(axis=0), series.mean(axis=0))
    r = np.corrcoef(surrogates.T)[np.triu_indices(60, 1)]
    assert abs(r.mean()) < 0.02
    assert r.std() > 0.05


@pytest.mark.parametrize("coefficient", [0, 0.6], ids=["white", "autocorrelated"])
@pytest.mark.parametrize("n_regressors", [0, 24])
@pytest.mark.parametrize("kept", [KEPT["all"], KEPT["gap"]], ids=["all", "gap"])
def test_right_degrees_of_freedom_give_5_percent_and_naive_ones_more(
    coefficient, n_regressors, kept
):
    rng = np.random.default_rng(1)
    series = autoregressive(rng, 200, 30, coefficient)
    design = run_design(kept, rng.standard_normal((200, n_regressors)), min_dof=1)
    table = controls_table(clean_series(series, design), {}, design, 7).set_index("control")
    surrogate = table.loc["surrogate"]
    assert (surrogate["spheres"], surrogate["pairs"]) == (150, 150 * 149 / 2)
    assert by_chance(surrogate["significant"], 11175)
    assert (surrogate["significant_nominal"] > 0.1) == (coefficient > 0)


def test_relations_of_seeds_are_none_of_surrogates_and_a_seed_fixes_these():
    rng = np.random.default_rng(5)
    design = run_design(KEPT["all"])
    series = clean_series(rng.standard_normal((200, 30)) + rng.standard_normal((200, 1)), design)
    tables = [
        controls_table(series, {}, design, seed).set_index("control")["significant"]
        for seed in (7, 7, 8)
    ]
    assert tables[0]["seeds"] > 0.99
    # Spectra share their chance peaks, as the series do.
    assert 0.05 < tables[0]["surrogate"] < 0.09
    assert tables[0]["surrogate"] == tables[1]["surrogate"] != tables[2]["surrogate"]


def test_fluid_without_the_seeds_signal_is_at_chance_and_with_it_is_not():
    rng = np.random.default_rng(2)
    design = run_design(KEPT["all"])
    seeds = clean_series(rng.standard_normal((200, 40)), design)
    fluid = clean_series(rng.standard_normal((200, 20)), design)
    shares = {}
    for name, shared in (("alone", 0), ("shared", 0.5)):
        common = shared * rng.standard_normal((200, 1))
        parts = {"fluid": fluid + common}
        row = controls_table(seeds + common, parts, design, 0).set_index("control").loc["fluid"]
        assert (row["spheres"], row["pairs"]) == (20, 800)
        shares[name] = row["significant"]
    assert by_chance(shares["alone"], 800)
    assert shares["shared"] > 0.4


def test_mirrored_seeds_are_as_similar_as_their_matrices():
    rng = np.random.default_rng(3)
    design = run_design(KEPT["all"])
    seeds, mirrored = (
        clean_series(rng.standard_normal((200, 5)) @ rng.standard_normal((5, 12)), design)
        for _ in range(2)
    )
    mirrored[:, 3] = np.nan
    table = controls_table(seeds, {"mirrored": mirrored}, design, 0).set_index("control")
    first, second = np.triu_indices(12, 1)
    known = (first != 3) & (second != 3)
    r = [np.corrcoef(x.T)[first[known], second[known]] for x in (seeds, mirrored)]
    assert table.loc["mirrored", "similarity"] == pytest.approx(np.corrcoef(r)[0, 1])
    assert table.loc["mirrored", "pairs"] == known.sum()


def test_an_excluded_run_has_no_relations():
    series = np.random.default_rng(4).standard_normal((200, 6))
    design = run_design(KEPT["gap"], min_dof=129)
    table = controls_table(clean_series(series, design), {}, design, 0)
    assert (table["pairs"] == 0).all()
    assert table.filter(like="significant").isna().to_numpy().all()


def test_spheres_of_fluid_are_apart_and_hold_the_most():
    fluid = np.zeros((30, 30, 30), dtype=bool)
    fluid[4:12, 4:12, 4:12] = True
    fluid[20:23, 20:23, 20:23] = True
    fluid[28, 2, 2] = True
    grid = Grid(fluid.shape, np.diag([2.0, 2, 2, 1]))
    centres = fluid_centres(fluid, grid, 4.0)
    points = 2.0 * np.argwhere(fluid)
    held = [(np.linalg.norm(points - c, axis=1) <= 4 + 1e-6).sum() for c in centres]
    every = (np.linalg.norm(points[:, None] - points, axis=-1) <= 4 + 1e-6).sum(axis=1)
    assert held[0] == every.max()
    assert held == sorted(held, reverse=True)
    assert min(held) >= 4
    apart = np.linalg.norm(centres[:, None] - centres, axis=-1)[np.triu_indices(len(centres), 1)]
    assert apart.min() > 8
    assert any((c > 38).all() for c in centres)
    assert len(fluid_centres(np.zeros_like(fluid), grid, 4.0)) == 0


def test_control_spheres_are_mirrored_or_in_fluid_that_no_seed_uses():
    affine = np.diag([3.0, 3, 3, 1])
    affine[:3, 3] = -30
    grid = Grid((20, 20, 20), affine)
    seeds, radii = np.array([[-12.0, 0, 0], [9, 6, -3]]), np.array([6.0, 8])
    inside = np.zeros(grid.shape, dtype=bool)
    inside[2:-2, 2:-2, 2:10] = True
    fluid = np.random.default_rng(6).uniform(0.85, 1, grid.shape)
    usable = UsableVoxels(inside, grid, tissues={"CSF": fluid})
    weights = sphere_weights(seeds, radii, grid, inside)
    table = SeedTable("mine", ("a", "b"), seeds, radii)
    spheres = SphereSet(table, weights, slice(0, 2), 0.5, {"SpatialReference": MNI})
    mirrored, in_fluid = control_sets(spheres, usable, 2)
    np.testing.assert_array_equal(mirrored.seeds.coordinates, seeds * [-1, 1, 1])
    expected = sphere_weights(seeds * [-1, 1, 1], radii, grid, inside)
    np.testing.assert_array_equal(mirrored.weights.used, expected.used)
    voxels = in_fluid.weights.voxels
    assert fluid.ravel(order="F")[voxels].min() >= 0.9
    assert inside.ravel(order="F")[voxels].all()
    assert not set(voxels) & set(weights.voxels)
    assert not in_fluid.missing.any()
    assert (mirrored.columns, in_fluid.columns.start) == (slice(2, 4), 4)
    native = replace(spheres, sidecar={"SpatialReference": "T1w"})
    assert [own.seeds.label for own in control_sets(native, usable, 2)] == ["fluid"]
    assert not [*control_sets(native, replace(usable, tissues={}), 2)]


@pytest.fixture
def call(tiny, seeds_file, tmp_path, run_app):
    """Results with an image of fluid in some voxels of the grid."""
    tiny.add_run(n_volumes=80)

    def called(name, *options, fluid=None):
        if fluid is not None:
            share = np.zeros(SHAPE, np.float32)
            share[fluid] = 1
            anat = tiny.root / "sub-01" / "anat"
            anat.mkdir(exist_ok=True)
            path = anat / f"sub-01_space-{MNI}_label-CSF_probseg.nii.gz"
            nib.Nifti1Image(share, AFFINE).to_filename(path)
        words = (tiny.root, tmp_path / name, "participant", "--seeds", seeds_file)
        done = run_app(*words, "--report-level", "none", *options)
        assert done.status == 0, done.err
        return tmp_path / name / "sub-01" / "func"

    return called


def test_a_run_has_a_table_for_each_strategy(call):
    func = call("out", "--controls", "--strategy", "simple", "none", fluid=np.s_[2:5, 2:6, 2:6])
    assert len(list(func.glob("*_controls.tsv"))) == 2
    table = pd.read_csv(func / f"{STEM}.tsv", sep="\t", index_col="control")
    assert [*table.index] == ["seeds", "surrogate", "fluid", "mirrored"]
    assert table.loc["seeds", ["spheres", "pairs"]].tolist() == [3, 3]
    assert table.loc["surrogate", "pairs"] == 150 * 149 / 2
    assert table.loc["fluid", "spheres"] >= 1
    assert table.loc["fluid", "pairs"] == 3 * table.loc["fluid", "spheres"]
    # Left and right change places; the front one goes to its own place.
    assert table.loc["mirrored", "spheres"] == 3
    facts = json.loads((func / f"{STEM}.json").read_text())
    series = json.loads(next(func.glob("*desc-simple_timeseries.json")).read_text())
    assert facts["DegreesOfFreedom"] == series["DegreesOfFreedom"]
    assert facts["SurrogateSeed"] == crc32(f"{STEM}.tsv".encode())
    own = f"bids::sub-01/func/{STEM.replace('_desc', '_stat-mean_desc')}"
    assert facts["Sources"][0] == own.replace("controls", "timeseries.tsv")
    assert facts["Sources"][1:] == series["Sources"][:2]
    assert (facts["Strategy"], facts["Seeds"]) == ("simple", "mine")
    assert facts["SpatialReference"] == MNI
    first = (func / f"{STEM}.tsv").read_bytes()
    again = call("again", "--controls", "--strategy", "simple", "none")
    assert (again / f"{STEM}.tsv").read_bytes() == first
    without = call("without", "--strategy", "simple", "none")
    assert not list(without.glob("*_controls*"))
    for path in without.glob("*.tsv"):
        assert (func / path.name).read_bytes() == path.read_bytes(), path.name


OWN = np.array([(-10.0, 0, 0), (10, 4, 0), (0, 10, 4), (-6, -10, 8), (14, -10, 0)])
RADIUS = 5.0


def distances(points):
    """Of all voxels from points, mm: (N, X, Y, Z)."""
    centres = np.moveaxis(np.indices(SHAPE), 0, -1) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    return np.linalg.norm(centres - np.asarray(points)[:, None, None, None], axis=-1)


def spheres_by_hand(points, inside):
    """Voxels of spheres, with the nearest one if it is farther than the radius, in a mask."""
    mm = distances(points)
    nearest = mm == mm.min(axis=(1, 2, 3), keepdims=True)
    return ((mm <= RADIUS + 1e-6) | nearest) & inside


FLUID = np.array([(-2.0, -14, -10), (10, 10, -10)])
"""Centres of two stars of seven voxels of fluid, each of which a sphere holds."""


@pytest.fixture
def related(tiny, tmp_path, run_app):
    """Results, and the voxels of seeds, of mirrored ones and of fluid.

    One seed has the signal of fluid; seeds and their mirrored ones have partly the same.
    """
    bold = tiny.add_run(n_volumes=80)
    img, rng = nib.load(bold), np.random.default_rng(8)
    inside = np.zeros(SHAPE, dtype=bool)
    inside[1:-1, 1:-1, 1:-1] = True
    seeds, mirrored = (spheres_by_hand(OWN * side, inside) for side in ([1, 1, 1], [-1, 1, 1]))
    stars = distances(FLUID) <= 4
    assert (stars.sum(axis=(1, 2, 3)) == 7).all()
    assert not (stars.any(axis=0) & (seeds.any(axis=0) | ~inside)).any()
    data, courses = img.get_fdata() + 0, 40 * rng.standard_normal((80, 6))
    courses[:, 2:4] += courses[:, :2]
    for own, other, course in zip(seeds, mirrored, courses.T, strict=False):
        data[own | other] += course
    data[seeds[0] | stars.any(axis=0)] += courses[:, 5]
    nib.Nifti1Image(data.astype(np.float32), AFFINE, img.header).to_filename(bold)
    path = tiny.root / "sub-01" / "anat" / f"sub-01_space-{MNI}_label-CSF_probseg.nii.gz"
    path.parent.mkdir()
    nib.Nifti1Image(stars.any(axis=0).astype(np.float32), AFFINE).to_filename(path)
    rows = [f"s{i}\t{x}\t{y}\t{z}\n" for i, (x, y, z) in enumerate(OWN)]
    (tmp_path / "mine.tsv").write_text("name\tx\ty\tz\n" + "".join(rows))
    words = ("--seeds", tmp_path / "mine.tsv", "--strategy", "none", "--controls", "--radius", "5")
    words += ("--report-level", "participant")
    done = run_app(tiny.root, tmp_path / "out", "participant", *words)
    assert done.status == 0, done.err
    cleaned = detrend(nib.load(bold).get_fdata(), axis=-1)
    sets = {"seeds": seeds, "mirrored": mirrored, "fluid": stars}
    return tmp_path / "out", {
        name: [cleaned[voxels].mean(axis=0) for voxels in own] for name, own in sets.items()
    }


def controls_of(folder):
    (path,) = folder.rglob("*_controls.tsv")
    left = json.loads(path.with_suffix(".json").read_text())["DegreesOfFreedom"]
    return pd.read_csv(path, sep="\t", index_col="control"), left


def test_signals_of_fluid_and_of_the_other_side_are_found(related):
    folder, series = related
    table, left = controls_of(folder)
    every = np.corrcoef(np.vstack([series["seeds"], series["fluid"]]))
    pairs = np.triu_indices(5, 1)
    r = {
        "seeds": every[pairs],
        "fluid": every[:5, 5:].ravel(),
        "mirrored": np.corrcoef(series["mirrored"])[pairs],
    }
    columns = ["spheres", "pairs", "significant_nominal"]
    for (control, own), n in zip(r.items(), (5, 2, 5), strict=True):
        z = np.abs(np.arctanh(own)) * np.sqrt(left + 1 - 3)
        share = np.mean(2 * stats.norm.sf(z) < 0.05)
        found = table.loc[control, columns].astype(float)
        np.testing.assert_allclose(found, [n, 10, share], err_msg=control)
    similarity = np.corrcoef(r["seeds"], r["mirrored"])[0, 1]
    assert table.loc["mirrored", "similarity"] == pytest.approx(similarity, abs=1e-5)
    assert 0.2 < similarity < 1
    # The seed with its signal, of five, and both spheres of fluid
    assert table.loc["fluid", "significant"] >= 0.2


def test_the_page_has_the_numbers_of_the_table(related):
    folder, _ = related
    table, _ = controls_of(folder)
    page = BeautifulSoup((folder / "sub-01.html").read_text(), "html.parser")
    (found,) = [own for own in page.find_all("table") if "Mirrored seeds" in own.thead.get_text()]
    heads = [th.span.get_text().strip() for th in found.thead.find_all("th")]
    cells = [cell.get_text().strip() for cell in found.tbody.tr.find_all(["th", "td"])]
    shown = dict(zip(heads, cells, strict=True))
    shares = {"Surrogates": "surrogate", "Fluid": "fluid", "Mirrored seeds": "mirrored"}
    for head, control in (shares | {"Seeds": "seeds"}).items():
        expected = 100 * table.loc[control, "significant"]
        assert float(shown[head]) == pytest.approx(expected, abs=0.051)
    similarity = table.loc["mirrored", "similarity"]
    assert float(shown["Similarity of mirrored"]) == pytest.approx(similarity, abs=0.0051)


@pytest.mark.parametrize("fluid", [None, np.s_[0, :, :]], ids=["no image", "outside the mask"])
def test_what_image_and_mask_do_not_give_is_missing(call, fluid):
    func = call("out", "--controls", "--aggregation", "median", fluid=fluid)
    table = pd.read_csv(func / f"{STEM}.tsv", sep="\t", index_col="control")
    assert table.loc["fluid", ["spheres", "pairs"]].tolist() == [0, 0]
    assert np.isnan(table.loc["fluid", "significant"])
    assert table.loc["surrogate", "pairs"] > 0


# Numbers by hand


def orthonormal(n_volumes, n_series):
    """White series without mean and trend, of which none correlates with another."""
    basis = np.random.default_rng(9).standard_normal((n_volumes, n_series + 2))
    basis[:, 0], basis[:, 1] = 1, np.arange(n_volumes)
    return np.linalg.qr(basis)[0][:, 2:]


def test_the_critical_correlation_of_198_degrees_of_freedom():
    """Of a normal distribution, z = atanh(r) has the variance 1 / (198 + 1 - 3)."""
    design, (x, y, z) = run_design(KEPT["all"]), orthonormal(200, 3).T
    critical = np.tanh(stats.norm.ppf(0.975) / np.sqrt(196))
    mixed = [r * x + np.sqrt(1 - r**2) * other for r, other in ((critical + 2e-4, y),)]
    mixed += [-r * x + np.sqrt(1 - r**2) * other for r, other in ((critical - 2e-4, z),)]
    series = np.column_stack([x, *mixed, np.full(200, np.nan)])
    table = controls_table(series, {}, design, 0).set_index("control")
    assert table.loc["seeds", ["spheres", "pairs"]].tolist() == [3, 3]
    assert table.loc["seeds", "significant_nominal"] == pytest.approx(1 / 3)
    effective = effective_dof(series, design)
    pairs = ([0, 0, 1], [1, 2, 2])
    r = np.corrcoef(series[:, :3].T)[pairs]
    expected = np.abs(np.arctanh(r)) * np.sqrt(effective[pairs] - 3) > 1.959964
    assert table.loc["seeds", "significant"] == pytest.approx(expected.mean())
    assert table.loc["fluid", ["spheres", "pairs"]].tolist() == [0, 0]
    assert table.loc["mirrored", ["spheres", "pairs"]].tolist() == [0, 0]
    assert table["similarity"].isna().all()
    assert [*table.index] == ["seeds", "surrogate", "fluid", "mirrored"]


@pytest.mark.parametrize(("n_volumes", "share"), [(3, 0), (4, 0), (200, 1)])
def test_series_that_are_the_same_correlate_where_there_are_degrees_of_freedom(n_volumes, share):
    """Without mean and trend 1 and 2 are left of three and four: z has no variance."""
    design = run_design(np.ones(n_volumes, bool), min_dof=1)
    series = np.repeat(orthonormal(n_volumes, 1), 2, axis=1) * [1, -2]
    table = controls_table(series, {}, design, 0).set_index("control")
    assert table.loc["seeds", "pairs"] == 1
    assert table.loc["seeds", "significant_nominal"] == share


@pytest.mark.parametrize(("n_seeds", "similar"), [(2, False), (3, True)])
def test_two_matrices_of_more_than_two_pairs_are_compared(n_seeds, similar):
    design, rng = run_design(KEPT["all"]), np.random.default_rng(4)
    seeds, mirrored = (clean_series(rng.standard_normal((200, n_seeds)), design) for _ in range(2))
    table = controls_table(seeds, {"mirrored": mirrored}, design, 0).set_index("control")
    assert np.isfinite(table.loc["mirrored", "similarity"]) == similar
    assert table.loc["mirrored", "pairs"] == n_seeds * (n_seeds - 1) / 2


@pytest.mark.parametrize(("n_seeds", "n_surrogates"), [(149, 298), (150, 150), (7, 154)])
def test_surrogates_are_at_least_150_and_as_many_of_each_seed(n_seeds, n_surrogates):
    design, rng = run_design(KEPT["gap"]), np.random.default_rng(4)
    seeds = clean_series(rng.standard_normal((200, n_seeds)), design)
    lacking = np.column_stack([np.full(len(seeds), np.nan), seeds])
    surrogates = surrogate_series(lacking, design, 5)
    assert surrogates.shape == (130, n_surrogates)
    assert abs(surrogates.mean(axis=0)).max() < 1e-12
    assert abs(np.flatnonzero(KEPT["gap"]) @ surrogates).max() < 1e-8
    np.testing.assert_array_equal(surrogates, surrogate_series(seeds, design, 5))
    assert surrogate_series(lacking[:, :1], design, 5).shape == (130, 0)


@pytest.mark.parametrize(("number", "centres"), [(3, 0), (4, 1)])
def test_a_sphere_of_fluid_has_four_voxels(number, centres):
    fluid = np.zeros((5, 5, 9), dtype=bool)
    fluid[2, 2, 2], fluid[1, 2, 2], fluid[2, 3, 2] = True, True, True
    fluid[2, 2, 3] = number == 4
    fluid[0, 0, 8] = True  # alone
    found = fluid_centres(fluid, Grid(fluid.shape, np.diag([3.0, 3, 3, 1])), 3.0)
    np.testing.assert_array_equal(found, np.array([[6.0, 6, 6]])[:centres].reshape(-1, 3))


def test_voxels_at_the_rim_of_a_sphere_of_fluid_are_held_in_spite_of_rounding():
    """Of a row of seven voxels of 1.1 mm: 3 x 1.1 is more than 3.3 by the computer."""
    fluid = np.zeros((9, 3, 3), dtype=bool)
    fluid[1:8, 1, 1] = True
    found = fluid_centres(fluid, Grid(fluid.shape, np.diag([1.1, 1.1, 1.1, 1])), 3.3)
    np.testing.assert_allclose(found, [[4.4, 1.1, 1.1]])


def test_there_are_at_most_20_spheres_of_fluid():
    fluid = np.zeros((25, 25, 5), dtype=bool)
    fluid[1::5, 1::5, 1] = fluid[2::5, 1::5, 1] = fluid[1::5, 2::5, 1] = fluid[1::5, 1::5, 2] = True
    grid = Grid(fluid.shape, np.eye(4))
    assert len(fluid_centres(fluid, grid, 1.0)) == 20
    assert len(fluid_centres(fluid[:20], Grid((20, 25, 5), np.eye(4)), 1.0)) == 20
    assert len(fluid_centres(fluid[:15], Grid((15, 25, 5), np.eye(4)), 1.0)) == 15


@pytest.mark.parametrize(("share", "number"), [(0.9, 1), (0.899999, 0)])
def test_fluid_has_a_probability_of_nine_tenths(share, number):
    grid = Grid((12, 12, 12), np.diag([3.0, 3, 3, 1]))
    table = SeedTable("mine", ("a", "b", "c"), np.full((3, 3), 3.0), np.array([3.0, 4, 9]))
    weights = sphere_weights(table.coordinates, table.radii, grid)
    spheres = SphereSet(table, weights, slice(0, 3), 0.5, {"SpatialReference": "T1w"})
    tissues = {"CSF": np.full(grid.shape, share), "GM": np.ones(grid.shape)}
    found = [*control_sets(spheres, UsableVoxels(None, None, tissues=tissues), 7)]
    assert len(found) == number
    if found:
        (fluid,) = found
        assert set(fluid.seeds.radii) == {4.0}
        assert fluid.seeds.names == tuple(f"fluid{i}" for i in range(len(fluid.seeds)))
        assert fluid.columns == slice(7, 7 + len(fluid.seeds))
        np.testing.assert_array_equal(fluid.weights.asked, fluid.weights.used)
        assert (fluid.weights.coverage == 1).all()


def test_random_shifts_fill_a_ball_evenly():
    moved = shifts(3.0, 4000, 2)
    assert moved.shape == (4000, 2, 3)
    far = np.linalg.norm(moved, axis=2)
    assert far.max() <= 3
    assert abs(moved.mean(axis=(0, 1))).max() < 0.08
    share = (far / 3) ** 3  # of the volume within: uniform
    assert stats.kstest(share.ravel(), "uniform").pvalue > 0.001
    assert abs(np.corrcoef(far.T)[0, 1]) < 0.06
    np.testing.assert_allclose(moved.std(axis=(0, 1)), 3 / np.sqrt(5), rtol=0.05)
    np.testing.assert_array_equal(shifts(6.0, 4000, 2), 2 * moved)


def test_control_spheres_of_a_tissue_and_of_a_mask_on_another_grid():
    affine = np.diag([3.0, 3, 3, 1])
    affine[:3, 3] = -30
    grid = Grid((20, 20, 20), affine)
    seeds, radii = np.array([[-12.0, 0, 0], [9, 6, -3], [18, -9, 3]]), np.array([6.0, 8, 7])
    # A mask whose voxels are twice as large, so that every one holds eight of the image.
    coarse = np.diag([6.0, 6, 6, 1])
    coarse[:3, 3] = -28.5
    small = np.random.default_rng(1).random((10, 10, 10)) < 0.7
    large = small.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    tissue = np.random.default_rng(2).random(grid.shape) < 0.4
    tissue[:8] = True
    usable = UsableVoxels(small, Grid(small.shape, coarse), tissue=tissue)
    weights = sphere_weights(seeds, radii, grid, small, Grid(small.shape, coarse))
    table = SeedTable("mine", ("a", "b", "c"), seeds, radii)
    spheres = SphereSet(table, weights, slice(0, 3), 0.5, {"SpatialReference": MNI})
    (mirrored,) = control_sets(spheres, usable, 3)
    mm = np.moveaxis(np.indices(grid.shape), 0, -1) * 3.0 - 30
    places = (seeds * [-1, 1, 1])[:, None, None, None]
    balls = np.linalg.norm(mm - places, axis=-1) <= radii[:, None, None, None] + 1e-6
    assert mirrored.weights.used.tolist() == (balls & large).sum(axis=(1, 2, 3)).tolist()
    assert mirrored.weights.asked.tolist() == (balls & tissue).sum(axis=(1, 2, 3)).tolist()
    fluid = np.full(grid.shape, 0.95)
    found = [*control_sets(spheres, replace(usable, tissue=None, tissues={"CSF": fluid}), 3)]
    voxels = found[-1].weights.voxels
    assert large.ravel(order="F")[voxels].all()
    assert (fluid == 0.95).all()  # the caller's
    region = replace(table, regions=SimpleNamespace())
    alone = control_sets(replace(spheres, seeds=region), replace(usable, tissues={}), 3)
    assert [*alone] == []


@pytest.mark.parametrize("rules", [{}, {"equal_seconds": 100, "equal_seconds_seed": 3}])
def test_surrogates_are_free_of_what_was_regressed_out_in_the_volumes_in_use(rules):
    rng = np.random.default_rng(6)
    regressors = rng.standard_normal((200, 3)).cumsum(axis=0)
    design = run_design(KEPT["gap"], regressors, **rules)
    seeds = clean_series(rng.standard_normal((200, 4)), design)
    surrogates = surrogate_series(seeds, design, 5)
    where = np.flatnonzero(design.used)
    assert surrogates.shape == (len(where), 152)
    # Of all kept volumes trend and mean were removed; a line in time takes up what is left of them.
    kept = np.flatnonzero(KEPT["gap"])
    lines = np.column_stack([np.ones(len(kept)), kept])
    free = regressors[kept] - lines @ np.linalg.lstsq(lines, regressors[kept], rcond=None)[0]
    for column in (np.ones(len(where)), where, *free[np.isin(kept, where)].T):
        r = column @ surrogates / np.linalg.norm(column) / np.linalg.norm(surrogates, axis=0)
        assert abs(r).max() < 1e-8
