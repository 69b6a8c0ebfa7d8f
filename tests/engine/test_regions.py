"""Regions of images: the numbers of nilearn's maskers, coverage by hand, names from every table."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from nilearn.image import index_img, resample_to_img
from nilearn.maskers import NiftiLabelsMasker, NiftiMapsMasker
from numpy.testing import assert_allclose, assert_array_equal

from bids_spheres.engine.extract import extract
from bids_spheres.engine.regions import (
    image_on_grid,
    load_masks,
    load_parcellation,
    region_labels,
    row_weights,
)
from bids_spheres.engine.spheres import Grid, label_volume, sphere_weights, stack_weights
from bids_spheres.engine.stream import load_mask, open_volumes
from bids_spheres.errors import DataError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:FutureWarning")

SHAPE, T = (18, 20, 16), 30
AFFINE = np.array([[3.0, 0, 0, -26], [0, 3, 0, -30], [0, 0, 3, -20], [0, 0, 0, 1]])
FINE = np.array([[2.1, 0.1, 0, -24], [0, 2.2, 0, -27], [0, 0, 2, -19], [0, 0, 0, 1]])
FINE_SHAPE = (22, 24, 20)
NO_STEPS = {"resampling_target": "data", "standardize": None, "strategy": "mean"}


def save(folder, values, affine, name):
    nib.Nifti1Image(values, affine).to_filename(folder / name)
    return folder / name


@pytest.fixture
def bold(tmp_path):
    noise = np.random.default_rng(0).standard_normal((*SHAPE, T)) * 20 + 900
    return save(tmp_path, noise.astype(np.float32), AFFINE, "bold.nii.gz")


@pytest.fixture
def mask(tmp_path):
    inside = np.zeros(SHAPE, np.uint8)
    inside[2:-2, 2:-3, 1:-2] = 1
    return save(tmp_path, inside, AFFINE, "mask.nii.gz")


@pytest.fixture(params=["same grid", "other grid"])
def grid(request):
    return (SHAPE, AFFINE) if request.param == "same grid" else (FINE_SHAPE, FINE)


@pytest.fixture
def atlas(tmp_path, grid):
    """Labels 3, 7, 11 and 20 in blocks."""
    shape, affine = grid
    labels = np.zeros(shape, np.int16)
    half = [n // 2 for n in shape]
    for value, x in ((3, slice(2, half[0])), (7, slice(half[0], -3))):
        labels[x, 3 : half[1], 2:-4] = value
        labels[x, half[1] : -3, 2:-4] = value * 2 + 5 + (value == 7)
    return save(tmp_path, labels, affine, "atlas.nii.gz")


@pytest.fixture
def maps(tmp_path, grid):
    shape, affine = grid
    ijk = np.stack(np.indices(shape), axis=-1)
    centres = np.array([[6, 6, 6], [12, 7, 8], [8, 13, 7]]) * np.array(shape) / SHAPE
    distance = ((ijk[..., None, :] - centres) ** 2).sum(axis=-1)
    values = np.exp(-distance / 8) * (distance < 60)
    return save(tmp_path, values.astype(np.float32), affine, "maps.nii.gz")


def ours(bold, table, mask=None, fwhm=None, **options):
    volumes = open_volumes(bold)
    weights = row_weights(table, volumes.grid, *(load_mask(mask) if mask else ()))
    return extract(volumes, weights, fwhm, **options)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("fwhm", [None, 5.0])
def test_labels_as_nilearn(bold, mask, atlas, masked, fwhm):
    table, _ = load_parcellation(atlas, "mine", "MNI")
    mask = mask if masked else None
    masker = NiftiLabelsMasker(atlas, mask_img=mask, smoothing_fwhm=fwhm, **NO_STEPS)
    expected = masker.fit_transform(bold)
    series = ours(bold, table, mask, fwhm).timeseries
    assert_allclose(series, expected, rtol=1e-6)
    assert table.names == ("region_03", "region_07", "region_11", "region_20")


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("fwhm", [None, 5.0])
def test_maps_as_nilearn(bold, mask, maps, masked, fwhm):
    table, _ = load_parcellation(maps, "mine", "MNI")
    mask = mask if masked else None
    options = {key: value for key, value in NO_STEPS.items() if key != "strategy"}
    expected = NiftiMapsMasker(maps, mask_img=mask, smoothing_fwhm=fwhm, **options)
    series = ours(bold, table, mask, fwhm).timeseries
    assert_allclose(series, expected.fit_transform(bold), rtol=1e-6)


@pytest.mark.parametrize("inside", [False, True])
def test_probabilities_on_another_grid_as_nilearn(tmp_path, bold, inside):
    values = np.random.default_rng(2).random(FINE_SHAPE).astype(np.float32)
    if inside:
        values[[0, -1]] = values[:, [0, -1]] = values[:, :, [0, -1]] = 0
    path = save(tmp_path, values, FINE, "GM_probseg.nii.gz")
    target = index_img(str(bold), 0)
    expected = resample_to_img(path, target, interpolation="linear").get_fdata()
    found = image_on_grid(path, open_volumes(bold).grid)
    assert np.mean(expected > 0) > 0.2
    assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["labels", "maps"])
def test_regions_of_a_real_scan_as_nilearn(real_scan, tmp_path, kind):
    folder = real_scan / "sub-03" / "func"
    stem = "sub-03_task-functionallocalizer_run-1_space-MNI152NLin2009cAsym"
    scan = nib.load(folder / f"{stem}_desc-preproc_bold.nii.gz")
    data = scan.get_fdata()
    inside = nib.load(folder / f"{stem}_desc-brain_mask.nii.gz").get_fdata() > 0
    varying = inside & (data.std(axis=-1) > 0) & np.isfinite(data).all(axis=-1)
    mask = save(tmp_path, varying.astype(np.uint8), scan.affine, "varying.nii.gz")
    # On a grid of its own, around 12 points in the brain
    affine = np.diag([2.7, 2.9, 3.1, 1])
    corner = scan.affine @ [*(n * 0.15 for n in scan.shape[:3]), 1]
    affine[:3, :3] *= np.sign(np.diag(scan.affine)[:3])
    affine[:3, 3] = corner[:3] + 0.4
    extent = 0.7 * np.abs(np.diag(scan.affine)[:3]) * scan.shape[:3]
    shape = tuple((extent // np.abs(np.diag(affine)[:3])).astype(int))
    points = np.random.default_rng(4).uniform(0.2, 0.8, (12, 3)) * shape
    ijk = np.stack(np.indices(shape), axis=-1)
    distance = ((ijk[..., None, :] - points) ** 2).sum(axis=-1)
    values = (distance.argmin(axis=-1) + 1).astype(np.int16)
    if kind == "maps":
        values = (np.exp(-distance / 18) * (distance < 100)).astype(np.float32)
    path = save(tmp_path, values, affine, f"{kind}.nii.gz")
    masker = {"labels": NiftiLabelsMasker, "maps": NiftiMapsMasker}[kind]
    exact = nib.Nifti1Image(data, scan.affine)
    nilearns = masker(path, mask_img=mask, resampling_target="data", standardize=None)
    expected = nilearns.fit_transform(exact)
    series = ours(
        folder / f"{stem}_desc-preproc_bold.nii.gz", load_parcellation(path, "m", "M")[0], mask
    )
    assert expected.shape[1] == 12
    assert_allclose(series.timeseries, expected, rtol=1e-6)


def test_weighted_means_of_maps(bold, maps, grid):
    table, _ = load_parcellation(maps, "mine", "MNI", "mean")
    series = ours(bold, table).timeseries
    if grid[0] == SHAPE:
        values, data = (nib.load(p).get_fdata().reshape(-1, n) for p, n in ((maps, 3), (bold, T)))
        assert_allclose(series, (values.T @ data / values.sum(axis=0)[:, None]).T, rtol=1e-6)
    weights = row_weights(table, open_volumes(bold).grid)
    assert_allclose(weights.coverage, 1, atol=1e-6)


def test_scaled_integers_give_the_same_signals_of_maps(tmp_path, bold, maps):
    data = nib.load(bold).get_fdata()
    img = nib.Nifti1Image(np.zeros((*SHAPE, T), np.int16), AFFINE)
    img.header.set_slope_inter(0.05, 700)
    stored = np.rint((data - 700) / 0.05).astype(np.int16)
    img = nib.Nifti1Image(stored * 0.05 + 700, AFFINE, img.header)
    img.header.set_data_dtype(np.int16)
    img.header.set_slope_inter(0.05, 700)
    img.to_filename(tmp_path / "scaled.nii")
    table, _ = load_parcellation(maps, "mine", "MNI")
    expected = NiftiMapsMasker(maps, resampling_target="data", standardize=None)
    series = ours(tmp_path / "scaled.nii", table).timeseries
    assert_allclose(series, expected.fit_transform(tmp_path / "scaled.nii"), rtol=1e-5)


def test_bad_voxels_leave_maps_as_if_masked(tmp_path, bold, maps):
    """Also those that are bad late in the run, for which the image is read again."""
    data = nib.load(bold).get_fdata(dtype=np.float32)
    bad = np.zeros(SHAPE, bool)
    bad[6, 6, 6] = bad[12, 8, 8] = bad[7, 12, 7] = True
    data[6, 6, 6] = 5
    data[12, 8, 8, 25] = np.nan
    data[7, 12, 7, :] = np.nan
    path = save(tmp_path, data, AFFINE, "bad.nii.gz")
    without = save(tmp_path, (~bad).astype(np.uint8), AFFINE, "good.nii.gz")
    table, _ = load_parcellation(maps, "mine", "MNI")
    extraction = ours(path, table)
    assert_allclose(extraction.timeseries, ours(bold, table, without).timeseries, rtol=1e-9)
    assert extraction.reduced.all()
    assert extraction.read_twice


@pytest.mark.parametrize("late", [False, True])
def test_bad_voxels_leave_smoothed_regions(tmp_path, bold, atlas, late):
    """Smoothing sees 0 there, and they are in no mean."""
    data = nib.load(bold).get_fdata(dtype=np.float32)
    bad = np.zeros(SHAPE, bool)
    bad[5:7, 6:8, 5:8] = True
    data[bad] = np.nan if late else 3
    if late:
        data[bad, :20] = 900
    table, _ = load_parcellation(atlas, "mine", "MNI")
    series = ours(save(tmp_path, data, AFFINE, "bad.nii.gz"), table, fwhm=4.0).timeseries
    data[bad] = 0
    zeroed = save(tmp_path, data, AFFINE, "zero.nii.gz")
    good = save(tmp_path, (~bad).astype(np.uint8), AFFINE, "good.nii.gz")
    masker = NiftiLabelsMasker(atlas, mask_img=good, smoothing_fwhm=4.0, **NO_STEPS)
    assert_allclose(series, masker.fit_transform(zeroed), rtol=1e-6)


def test_coverage_counts_what_lies_outside_of_mask_and_image(tmp_path, bold):
    labels = np.zeros((4, 2, 2), np.uint8)
    labels[:, 0], labels[:, 1] = 1, 2
    # Half of the voxels are beyond the first plane of the image.
    affine = AFFINE.copy()
    affine[:3, 3] = AFFINE[:3, :3] @ [-2, 5, 5] + AFFINE[:3, 3]
    table, _ = load_parcellation(save(tmp_path, labels, affine, "edge.nii.gz"), "mine", "MNI")
    inside = np.ones(SHAPE, np.uint8)
    inside[1] = 0
    mask = save(tmp_path, inside, AFFINE, "m.nii.gz")
    weights = row_weights(table, open_volumes(bold).grid, *load_mask(mask))
    assert_array_equal(weights.asked, [8, 8])
    assert_array_equal(weights.used, [2, 2])
    assert_array_equal(ours(bold, table, mask, moments=True).moments.coverage(weights), [0.25] * 2)
    assert_allclose(table.coordinates[0], AFFINE[:3, :3] @ [-0.5, 5, 5.5] + AFFINE[:3, 3])
    assert_allclose(4 / 3 * np.pi * table.radii**3, 8 * 27, rtol=1e-4)


def test_regions_reach_to_the_edge_of_their_image(tmp_path, bold):
    """To the centres of its outermost voxels, as nilearn interpolates; all of that is asked for."""
    labels = np.ones((5, 6, 4), np.int16)
    labels[-1, :, :], labels[:, -1, :], labels[:, :, -1] = 2, 3, 4
    affine = np.array([[7.0, 0, 0, -14], [0, 6.4, 0, -17], [0, 0, 7.7, -12], [0, 0, 0, 1]])
    maps = np.stack([labels == label for label in (1, 2, 3, 4)], axis=-1) * np.float32(0.8)
    for kind, values in ((NiftiLabelsMasker, labels), (NiftiMapsMasker, maps)):
        path = save(tmp_path, values, affine, f"{kind.__name__}.nii")
        masker = kind(path, resampling_target="data", standardize=None)
        extraction = ours(bold, load_parcellation(path, "mine", "MNI")[0])
        assert_allclose(extraction.timeseries, masker.fit_transform(bold), rtol=1e-6)
        assert_allclose(extraction.weights.coverage, 1, rtol=1e-12)


def test_regions_beside_spheres(bold, maps, atlas):
    """Each set has the numbers that it has alone."""
    volumes = open_volumes(bold)
    seeds = sphere_weights([[0, 0, 0], [9, -9, 3]], 6, volumes.grid)
    tables = [load_parcellation(path, "mine", "MNI")[0] for path in (maps, atlas)]
    parts = [seeds, *(row_weights(table, volumes.grid) for table in tables)]
    together = extract(volumes, stack_weights(parts)).timeseries
    alone = np.hstack([extract(volumes, part).timeseries for part in parts])
    assert_allclose(together, alone, rtol=1e-12)


def test_masks_are_regions_that_may_overlap(tmp_path, bold):
    data, paths = nib.load(bold).get_fdata(), []
    for name, part in (("left", np.s_[3:8, 4:9, 4:8]), ("right", np.s_[6:12, 4:9, 4:8])):
        inside = np.zeros(SHAPE, np.uint8)
        inside[part] = 1
        paths.append(save(tmp_path, inside, AFFINE, f"{name}.nii.gz"))
    table, _ = load_masks(paths, "roi", "MNI")
    extraction = ours(bold, table)
    expected = [data[nib.load(path).get_fdata() > 0].mean(axis=0) for path in paths]
    assert_allclose(extraction.timeseries.T, expected, rtol=1e-6)
    assert table.names == ("left", "right")
    assert_array_equal(extraction.weights.overlaps, [2 * 5 * 4] * 2)


def test_the_radius_of_a_mask_is_that_of_a_ball_of_its_volume(tmp_path):
    paths, sides = [], {"coarse": 3.0, "fine": 1.5, "long": 4.0}
    for name, side in sides.items():
        inside = np.zeros((8, 9, 7), np.uint8)
        inside[2:6, 3:7, 1:6] = 1
        paths.append(save(tmp_path, inside, np.diag([side, 2, 2, 1]), f"{name}.nii.gz"))
    table, _ = load_masks(paths, "roi", "MNI")
    volumes = np.array([4 * 4 * 5 * side * 2 * 2 for side in sides.values()])
    assert_allclose(4 / 3 * np.pi * table.radii**3, volumes, rtol=1e-4)
    assert_allclose(table.coordinates, [(3.5 * side, 9, 6) for side in sides.values()])


def test_regions_are_drawn_as_they_are(bold, tmp_path):
    labels = np.random.default_rng(1).integers(0, 4, SHAPE).astype(np.int16) * 5
    table, _ = load_parcellation(save(tmp_path, labels, AFFINE, "a.nii"), "mine", "MNI")
    drawn = label_volume(row_weights(table, open_volumes(bold).grid), table.coordinates)
    assert_array_equal(drawn, labels // 5)


def test_voxels_of_maps_are_counted_and_drawn_by_their_weights(bold, maps, mask, grid):
    if grid[0] != SHAPE:
        pytest.skip("by hand on the same grid")
    table, _ = load_parcellation(maps, "mine", "MNI")
    weights = row_weights(table, open_volumes(bold).grid, *load_mask(mask))
    values, inside = nib.load(maps).get_fdata(), nib.load(mask).get_fdata() > 0
    own = values >= 0.01 * values.max(axis=(0, 1, 2))
    assert_array_equal(weights.asked, own.sum(axis=(0, 1, 2)))
    assert_array_equal(weights.used, own[inside].sum(axis=0))
    shared = own & (own.sum(axis=-1) > 1)[..., None]
    assert_array_equal(weights.overlaps, shared[inside].sum(axis=0))
    most = np.where(own, values, 0).argmax(axis=-1) + 1
    drawn = label_volume(weights, table.coordinates)
    assert_array_equal(drawn, np.where(own.any(axis=-1) & inside, most, 0))


def test_a_voxel_that_varies_late_counts_in_smoothed_regions(tmp_path, bold, atlas):
    data = nib.load(bold).get_fdata(dtype=np.float32)
    data[5:8, 6:9, 5:8, :20] = 900
    path = save(tmp_path, data, AFFINE, "late.nii.gz")
    table, _ = load_parcellation(atlas, "mine", "MNI")
    masker = NiftiLabelsMasker(atlas, smoothing_fwhm=4.0, **NO_STEPS)
    extraction = ours(path, table, fwhm=4.0)
    assert_allclose(extraction.timeseries, masker.fit_transform(path), rtol=1e-6)
    assert extraction.read_twice


@pytest.mark.parametrize(("voxel", "reduced"), [(8, True), (9, True), (10, False)])
def test_a_map_is_reduced_by_voxels_that_count(tmp_path, bold, voxel, reduced):
    """Those of a hundredth of its largest weight or more."""
    weights = np.zeros((*SHAPE, 2))
    weights[8, 8, 8:11, 0], weights[2, 2, 2:4, 1] = [1, 0.5, 0.009], 1
    table, _ = load_parcellation(save(tmp_path, weights, AFFINE, "maps.nii"), "mine", "MNI")
    values = nib.load(bold).get_fdata()
    values[8, 8, voxel] = 7
    extraction = ours(save(tmp_path, values, AFFINE, "constant.nii"), table)
    assert extraction.reduced.tolist() == [reduced, False]


def test_maps_have_no_median(bold, maps):
    with pytest.raises(UsageError, match="weighted means, and no median"):
        ours(bold, load_parcellation(maps, "mine", "MNI")[0], aggregation="median")


# Names

TSV = "index\tname\tnetwork\n20\tD\tVis\n3\tA\tDMN\n7\tB\tDMN\n11\tC\t\n"
XML = (
    "<atlas><header><type>Probabilistic</type></header><data>"
    '<label index="2" x="1">A</label><label index="6">B &amp; co</label>'
    '<label index="10">C</label><label index="19">D</label></data></atlas>'
)
LUT = "# No. Label\n0 Unknown 0 0 0 0\n3 A 1 2 3 0\n7 B 1 2 3 0\n11 C 1 2 3 0\n20 D 1 2 3 0\n"


@pytest.mark.parametrize(
    ("name", "table", "text"),
    [
        ("atlas.nii.gz", "atlas.tsv", TSV),
        ("atlas.nii.gz", "atlas.csv", TSV.replace("\t", ",")),
        ("atlas.nii", "atlas.xml", XML),
        ("atlas.nii.gz", "atlas.txt", LUT),
        ("tpl-X_res-02_atlas-Y_desc-4_dseg.nii.gz", "tpl-X_atlas-Y_desc-4_dseg.tsv", TSV),
    ],
)
def test_names_from_tables(tmp_path, name, table, text):
    labels = np.zeros((4, 4, 4), np.int16)
    labels[:, 0], labels[:, 1], labels[:, 2], labels[:, 3] = 3, 7, 11, 20
    (tmp_path / table).write_text(text)
    (tmp_path / "tpl-X_atlas-Z_desc-4_dseg.tsv").write_text("index\tname\n1\tno\n")
    found, notes = load_parcellation(save(tmp_path, labels, AFFINE, name), "mine", "MNI")
    assert found.names == ("A", "B & co" if text == XML else "B", "C", "D")
    assert not notes
    if text == TSV:
        assert found.networks == ("DMN", "DMN", "n/a", "Vis")


def fsl_atlas(kind, image, *rows):
    labels = "".join(f'<label index="{n}" x="1">{name}</label>' for n, name in rows)
    images = f"<images><imagefile>/{image}-2mm</imagefile></images>"
    return f"<atlas><header><type>{kind}</type>{images}</header><data>{labels}</data></atlas>"


def test_fsls_lists_of_a_label_atlas_count_as_the_image_does(tmp_path):
    """Only probabilistic atlases have an image of the likeliest that counts from 1."""
    labels = np.zeros((4, 4, 4), np.int16)
    labels[:, 0], labels[:, 1] = 3, 7
    text = fsl_atlas("Label", "T/Talairach-labels", (0, "Background"), (3, "A"), (7, "B"))
    (tmp_path / "atlas.xml").write_text(text)
    table, _ = load_parcellation(save(tmp_path, labels, AFFINE, "atlas.nii.gz"), "mine", "MNI")
    assert table.names == ("A", "B")


@pytest.mark.parametrize("kind", ["Probabilistic", "Probabalistic"])
@pytest.mark.parametrize("maps", [False, True])
def test_the_list_of_fsl_is_that_of_the_family_of_the_image(tmp_path, maps, kind):
    """As in FSL's folder of atlases: lists above the folders of images, of other names."""
    folder = tmp_path / "HarvardOxford"
    folder.mkdir()
    rows = (0, "Frontal Pole"), (1, "Insular Cortex")
    for place, part in (("Cortical", "cort"), ("Subcortical", "sub")):
        named = rows if part == "cort" else [(0, "Thalamus"), (1, "Caudate")]
        text = fsl_atlas(kind, f"HarvardOxford/HarvardOxford-{part}-prob", *named)
        (tmp_path / f"HarvardOxford-{place}.xml").write_text(text)
    if maps:
        values = np.random.default_rng(0).random((4, 4, 4, 2)).astype(np.float32)
        path = save(folder, values, AFFINE, "HarvardOxford-cort-prob-2mm.nii.gz")
    else:
        labels = np.zeros((4, 4, 4), np.int16)
        labels[0], labels[1] = 1, 2
        path = save(folder, labels, AFFINE, "HarvardOxford-cort-maxprob-thr25-2mm.nii.gz")
    numbers = [0, 1] if maps else [1, 2]
    assert region_labels(path, numbers, maps=maps).names == ("Frontal Pole", "Insular Cortex")
    assert load_parcellation(path, "mine", "MNI")[0].names == ("Frontal Pole", "Insular Cortex")


def test_rows_and_labels_that_do_not_match_are_said(tmp_path):
    labels = np.arange(27, dtype=np.int16).reshape(3, 3, 3) % 4
    (tmp_path / "atlas.tsv").write_text("index\tname\n1\tA\n2\tB\n9\tgone\n")
    found, notes = load_parcellation(save(tmp_path, labels, AFFINE, "atlas.nii"), "mine", "MNI")
    assert found.names == ("A", "B", "region_3")
    assert "does not name one region" in notes[0] or "does not name 1 region" in notes[0]
    assert "1 region of atlas.tsv has no voxel" in notes[1]


@pytest.mark.parametrize("first", [0, 1])
def test_maps_are_counted_from_0_or_1(tmp_path, first):
    values = np.random.default_rng(0).random((5, 5, 5, 2)).astype(np.float32)
    (tmp_path / "a.tsv").write_text(f"index\tname\n{first + 1}\tB\n{first}\tA\n")
    assert load_parcellation(save(tmp_path, values, AFFINE, "a.nii"), "m", "MNI")[0].names == (
        "A",
        "B",
    )


@pytest.mark.parametrize(
    ("values", "table", "phrase"),
    [
        (np.full((3, 3, 3), 0.5, np.float32), None, "labels are whole numbers"),
        (np.zeros((3, 3, 3), np.int16), None, "0 labels are no parcellation"),
        (np.full((3, 3, 3), -1, np.int16), None, "labels are whole numbers above 0"),
        (np.float32([[[1, 2, 2.01]]]), None, "labels are whole numbers above 0"),
        (np.int16([[[1, 2, -1]]]), None, "labels are whole numbers above 0"),
        (np.arange(100_002, dtype=np.int32)[:, None, None], None, "100001 labels are no parc"),
        (np.ones((3, 3, 3), np.int16), "a\tb\n1\t2\n", "no columns index and name"),
        (np.ones((3, 3, 3, 2), np.float32), "index\tname\n1\tA\n", "names 1 region"),
    ],
)
def test_what_is_no_parcellation(tmp_path, values, table, phrase):
    if table:
        (tmp_path / "a.tsv").write_text(table)
    with pytest.raises(DataError, match=phrase):
        load_parcellation(save(tmp_path, values, AFFINE, "a.nii"), "mine", "MNI")


def test_a_region_between_the_voxels_of_the_image_is_empty(tmp_path):
    """One voxel of 1 mm that no centre of a voxel of 4 mm falls into; first or last of all."""
    grid = Grid((3, 3, 3), np.diag([4.0, 4, 4, 1]))
    for lost, used in ((5, [18, 0]), (1, [0, 18])):
        labels = np.zeros((12, 12, 12), np.int16)
        labels[:6] = 3
        labels[7, 7, 7] = lost
        path = tmp_path / f"{lost}_dseg.nii"
        nib.Nifti1Image(labels, np.eye(4)).to_filename(path)
        table, _ = load_parcellation(path, "x", "MNI")
        weights = row_weights(table, grid)
        assert weights.used.tolist() == used
        assert weights.asked.tolist() == [max(n, 1) for n in used]
        assert weights.empty.tolist() == [n == 0 for n in used]
        small = table.coordinates[used.index(0)]
        assert small.tolist() == [7, 7, 7]
        assert table.radii[used.index(0)] == pytest.approx((3 / (4 * np.pi)) ** (1 / 3), abs=1e-4)
        assert table.regions.values == tuple(sorted((3, lost)))


@pytest.mark.parametrize("kind", ["labels", "maps"])
def test_regions_in_a_mask_on_another_grid(tmp_path, kind):
    """A mask one voxel to the right, so that the first plane has none, with a gap at x = 2."""
    labels = np.ones((4, 3, 2), np.int16)
    labels[2:] = 2
    values = labels if kind == "labels" else np.float32(labels[..., None] == [1, 2])
    table, _ = load_parcellation(save(tmp_path, values, np.eye(4), "a.nii"), "mine", "MNI")
    inside, shifted = np.ones((4, 3, 2), bool), np.eye(4)
    inside[1], shifted[0, 3] = False, 1
    weights = row_weights(table, Grid((4, 3, 2), np.eye(4)), inside, Grid((4, 3, 2), shifted))
    assert_array_equal(weights.grid.unflat(weights.voxels)[:, 0], [1, 3] * 6)
    assert_allclose(weights.coverage, 0.5)


@pytest.mark.parametrize("text", ["", "# index name\n", "\n \n"])
def test_a_table_without_a_row_names_nothing(tmp_path, text):
    path = tmp_path / "a_dseg.nii"
    path.with_suffix(".tsv").write_text(text)
    with pytest.raises(DataError, match=r"a_dseg\.tsv"):
        region_labels(path, [1, 2], maps=False)


def test_the_place_of_a_map_is_its_centre_of_mass(tmp_path):
    """Of what is positive and finite; its volume is the sum over the largest value."""
    values = np.zeros((4, 5, 6, 2), np.float32)
    values[0, 1, 2, 0], values[3, 1, 2, 0], values[2, 4, 5, 0] = 1, 3, -7
    values[1, 2, 3, 1], values[1, 2, 4, 1], values[0, 0, 0, 1] = 0.5, 0.25, np.nan
    values[2, 0, 1, 0], values[3, 4, 5, 1] = np.inf, -np.inf
    affine = np.array([[-2.0, 0, 0, 14], [0, 3, 0, -7], [0, 0, 4, 1], [0, 0, 0, 1]])
    table, notes = load_parcellation(save(tmp_path, values, affine, "a.nii"), "mine", "MNI")
    assert table.names == ("region_1", "region_2")
    assert_allclose(table.coordinates, [(9.5, -4, 9), (12, -1, 14.3333)], atol=1e-4)
    assert_allclose(4 / 3 * np.pi * table.radii**3, [24 * 4 / 3, 24 * 1.5], rtol=1e-4)
    assert table.networks is None
    regions = table.regions
    assert (regions.kind, regions.values, regions.weighting) == ("maps", (0, 1), "least-squares")
    assert notes == ["No table of names beside it; regions are called by their numbers."]


def test_two_sets_of_maps_beside_spheres_and_means(tmp_path, bold, mask):
    """Of unequal numbers, in a mask that cuts them; signals of either set are found by itself."""
    rng, paths = np.random.default_rng(6), []
    for n in (3, 2):
        values = rng.random((*SHAPE, n)).astype(np.float32) ** 4
        paths.append(save(tmp_path, values, AFFINE, f"{n}.nii.gz"))
    volumes, inside = open_volumes(bold), load_mask(mask)
    seeds = sphere_weights([[0, 0, 0], [9, -9, 3]], 6, volumes.grid, *inside)
    kinds = (paths[0], "least-squares"), (paths[1], "mean"), (paths[1], "least-squares")
    tables = [load_parcellation(path, "mine", "MNI", kind)[0] for path, kind in kinds]
    first, means, last = (row_weights(table, volumes.grid, *inside) for table in tables)
    stacked = stack_weights([first, seeds, means, last])
    series = extract(volumes, stacked).timeseries
    options = {key: value for key, value in NO_STEPS.items() if key != "strategy"}
    for path, rows in ((paths[0], slice(0, 3)), (paths[1], slice(7, 9))):
        expected = NiftiMapsMasker(path, mask_img=mask, **options).fit_transform(bold)
        assert_allclose(series[:, rows], expected, rtol=1e-5)
    kept, data = nib.load(mask).get_fdata() > 0, nib.load(bold).get_fdata()
    values = [nib.load(path).get_fdata() for path in paths]
    part = values[1][kept]
    assert_allclose(series[:, 5:7], (part.T @ data[kept] / part.sum(axis=0)[:, None]).T, rtol=1e-6)
    three, two = (v[kept].sum(axis=0) / v.sum(axis=(0, 1, 2)) for v in values)
    assert_allclose(stacked.coverage, [*three, *seeds.coverage, *two, *two], rtol=1e-6)
    assert not stacked.compact


def test_labels_beside_spheres_in_a_smoothed_image(bold, atlas):
    """Their boxes would be as large as the image; means are those of either alone."""
    volumes = open_volumes(bold)
    points = np.array([[0.0, 0, 0], [9, -9, 3]])
    seeds = sphere_weights(points, 6, volumes.grid)
    labels = row_weights(load_parcellation(atlas, "mine", "MNI")[0], volumes.grid)
    stacked = stack_weights([seeds, labels])
    assert (seeds.compact, labels.compact, stacked.compact) == (True, False, False)
    series = extract(volumes, stacked, 5.0).timeseries
    masker = NiftiLabelsMasker(atlas, smoothing_fwhm=5.0, **NO_STEPS)
    assert_allclose(series[:, 2:], masker.fit_transform(bold), rtol=1e-6)
    assert_allclose(series[:, :2], extract(volumes, seeds, 5.0).timeseries, rtol=1e-6)


def test_one_label_of_several_on_another_grid(tmp_path, bold):
    labels = np.random.default_rng(3).integers(0, 4, FINE_SHAPE).astype(np.int16)
    path, target = save(tmp_path, labels, FINE, "seg.nii.gz"), index_img(str(bold), 0)
    for label in (1, 3):
        alone = save(tmp_path, (labels == label).astype(np.float32), FINE, f"{label}.nii")
        expected = resample_to_img(alone, target, interpolation="linear").get_fdata()
        assert_allclose(image_on_grid(path, open_volumes(bold).grid, label), expected, atol=1e-6)
    values = np.resize(np.float32([-0.5, 0.25, 3, 1]), SHAPE)
    beyond = image_on_grid(save(tmp_path, values, AFFINE, "x.nii"), open_volumes(bold).grid)
    assert_allclose(beyond, values.clip(0, 1))


@pytest.mark.parametrize(
    "text",
    [
        "Value;ROI\n3;B\n1;A\n",
        "id,region\n3,B\n1,A\n",
        "label\tname\n3\tB\n1\tA\n",
        "value\tlabel\tindex\n9\tB\t3\n8\tA\t1\n",
        "index\tlabel\tname\n3\tx\tB\n1\ty\tA\n",
        "3 B\n1 A\n",
        "index, name\n3, B\n1.0, A\n",
        "label;name\n3;B\n1;A\n",
        "index\tname\tcolour (r, g, b)\n3\tB\t0\n1\tA\t0\n",
        "3 B 10 20 30\n1 A 1 2 3\n",
    ],
)
def test_columns_of_numbers_and_names_by_what_they_are_called(tmp_path, text):
    path = tmp_path / "a_dseg.nii"
    (tmp_path / "a_dseg.csv").write_text(text)
    assert region_labels(path, [1, 3], maps=False).names == ("A", "B")


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("label\tx\n1\tA\n", "no columns index and name"),
        ("index\tname\n1\tA\n3\n", "or a row is too short"),
        ("index\tname\none\tA\n", "an index is not a whole number"),
    ],
)
def test_tables_of_regions_that_can_not_be_used(tmp_path, text, phrase):
    (tmp_path / "a_dseg.tsv").write_text(text)
    with pytest.raises(DataError, match=phrase):
        region_labels(tmp_path / "a_dseg.nii", [1, 3], maps=False)


def test_of_several_tables_the_nearest_names_the_regions(tmp_path):
    """Its own name, then those of its entities in its folder and the two above."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    path = folder / "tpl-X_atlas-Y_dseg.nii.gz"
    (folder / "dseg.tsv").write_text("index\tname\n2\tof no image\n")
    (folder / "tpl-X_atlas-Z.tsv").write_text("index\tname\n2\tof another\n")
    assert region_labels(path, [2], maps=False).names == ("region_2",)
    for place, name in (
        (tmp_path / "tpl-X_dseg.tsv", "far"),
        (tmp_path / "a" / "atlas-Y_dseg.tsv", "near"),
        (folder / "tpl-X_atlas-Y.tsv", "nearer"),
        (folder / "tpl-X_atlas-Y_dseg.txt", "own"),
    ):
        place.write_text(f"index\tname\n2\t{name}\n")
        assert region_labels(path, [2], maps=False).names == (name,)


def test_of_several_masks_those_of_probabilities_are_noted(tmp_path, bold):
    binary, chances = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.float32)
    binary[3:6, 4:9, 4:8] = 1
    chances[8:12, 4:7, 5:8] = np.resize(np.float32([0.2, 0.5, 0.9, 0.49, 1]), (4, 3, 3))
    paths = [save(tmp_path, v, AFFINE, f"{n}.nii") for n, v in (("b", binary), ("c", chances))]
    table, notes = load_masks(paths, "roi", "MNI")
    assert notes == [
        f"{paths[1]} holds probabilities; its mask is where they are at least .5.",
    ]
    data = nib.load(bold).get_fdata()
    expected = [data[binary > 0].mean(axis=0), data[chances >= 0.5].mean(axis=0)]
    assert_allclose(ours(bold, table).timeseries.T, expected, rtol=1e-6)
    sizes = [60, (chances >= 0.5).sum()]
    assert_allclose(4 / 3 * np.pi * table.radii**3, 27 * np.array(sizes), rtol=1e-4)


def test_maps_have_no_spikes_of_voxels(bold, maps):
    with pytest.raises(UsageError, match="and no spikes of single voxels to squeeze"):
        ours(bold, load_parcellation(maps, "mine", "MNI")[0], despike=True)


def test_regions_lie_where_their_voxels_do(atlas, grid):
    table, _ = load_parcellation(atlas, "mine", "MNI")
    labels, (_, affine) = np.asarray(nib.load(atlas).dataobj), grid
    numbers = (3, 7, 11, 20)
    assert table.regions.values == numbers
    centres = [np.argwhere(labels == n).mean(axis=0) for n in numbers]
    assert_allclose(table.coordinates, nib.affines.apply_affine(affine, centres), atol=1e-4)
    volumes = [abs(np.linalg.det(affine)) * (labels == n).sum() for n in numbers]
    assert len(set(volumes)) > 1
    assert_allclose(4 / 3 * np.pi * table.radii**3, volumes, rtol=1e-4)


def test_labels_may_be_stored_as_real_numbers_with_rounding_and_gaps(tmp_path):
    labels = np.float32([[[2.99999, 3.00001], [7, 0]], [[np.nan, 7], [6.99999, 3]]])
    path = save(tmp_path, labels, np.diag([2.0, 2, 2, 1]), "a.nii")
    table, _ = load_parcellation(path, "mine", "MNI")
    assert table.regions.values == (3, 7)
    assert_allclose(4 / 3 * np.pi * table.radii**3, [8 * 3, 8 * 3], rtol=1e-4)
    assert_allclose(table.coordinates, [(2 / 3, 2 / 3, 4 / 3), (4 / 3, 4 / 3, 2 / 3)], atol=1e-4)
    weights = row_weights(table, Grid((2, 2, 2), np.diag([2.0, 2, 2, 1])))
    assert weights.membership.toarray().sum(axis=1).tolist() == [3, 3]
    on_grid = image_on_grid(path, weights.grid, 3)
    assert_array_equal(on_grid, [[[1, 1], [0, 0]], [[0, 0], [0, 1]]])


def test_coverage_of_maps_does_not_depend_on_their_unit(tmp_path):
    values = np.zeros((4, 3, 2, 2), np.float32)
    values[:, 1, 1] = [(1, 4), (2, 3), (3, 2), (2, 1)]
    inside = np.ones((4, 3, 2), bool)
    inside[0] = False
    grid = Grid((4, 3, 2), np.eye(4))
    for unit in (1, 1000, 0.001):
        path = save(tmp_path, values * np.float32(unit), np.eye(4), f"{unit}.nii")
        table, _ = load_parcellation(path, "mine", "MNI")
        weights = row_weights(table, grid, inside)
        assert_allclose(weights.coverage, [7 / 8, 6 / 10], rtol=1e-6)
        assert (weights.asked.tolist(), weights.used.tolist()) == ([4, 4], [3, 3])


def test_an_image_that_is_replaced_by_one_of_the_same_size_is_read_again(tmp_path):
    grid = Grid((2, 2, 2), np.eye(4))
    for n in (1, 5):
        labels = np.ones(8, np.int16)
        labels[:n] = 2
        path = save(tmp_path, labels.reshape(2, 2, 2), np.eye(4), "a.nii")
        table, _ = load_parcellation(path, "mine", "MNI")
        assert row_weights(table, grid).used.tolist() == [8 - n, n]


def test_regions_without_a_name_or_a_network_in_the_table(tmp_path):
    path = tmp_path / "a_dseg.nii"
    table = tmp_path / "a_dseg.tsv"
    table.write_text("index\tname\tnetwork_label\n12\t\tVis\n3\tA\t\n")
    labels = region_labels(path, [3, 12], maps=False)
    assert (labels.names, labels.networks) == (("A", "region_12"), ("", "Vis"))
    table.write_text("index\tname\tnetwork\n12\tB\t\n3\tA\t\n")
    assert region_labels(path, [3, 12], maps=False).networks == ()


def test_names_of_a_colour_table_may_hold_commas(tmp_path):
    (tmp_path / "a_dseg.txt").write_text("1 Gyrus, left 10 20 30 0\n2 Gyrus, right 1 2 3 0\n")
    names = region_labels(tmp_path / "a_dseg.nii", [1, 2], maps=False).names
    assert names == ("Gyrus, left", "Gyrus, right")


@pytest.mark.parametrize("fwhm", [None, 5.0])
def test_maps_of_components_have_weights_of_both_signs(tmp_path, bold, mask, grid, fwhm):
    """Some sum to less than 0; in an image of scaled integers with voxels that are bad late."""
    shape, affine = grid
    values = np.random.default_rng(9).standard_normal((*shape, 4)).astype(np.float32)
    values += np.float32([-0.5, 0.5, 0, -2])
    path = save(tmp_path, values, affine, "components.nii.gz")
    table, _ = load_parcellation(path, "mine", "MNI")
    stored = np.rint(nib.load(bold).get_fdata() * 20 - 300).astype(np.int16)
    image = nib.Nifti1Image(stored, AFFINE)
    image.header.set_slope_inter(0.05, 15)
    image.to_filename(tmp_path / "scaled.nii")
    options = {key: value for key, value in NO_STEPS.items() if key != "strategy"}
    masker = NiftiMapsMasker(path, mask_img=mask, smoothing_fwhm=fwhm, **options)
    exact = nib.Nifti1Image(stored * np.float64(np.float32(0.05)) + 15, AFFINE)
    expected = masker.fit_transform(exact)
    extraction = ours(tmp_path / "scaled.nii", table, mask, fwhm, moments=True)
    scale = np.abs(expected).max(axis=0)
    assert_allclose(extraction.timeseries / scale, expected / scale, atol=1e-6)
    assert_allclose(extraction.moments.coverage(extraction.weights), extraction.weights.coverage)
    if shape == SHAPE:
        sizes, inside = np.abs(values), nib.load(mask).get_fdata() > 0
        share = sizes[inside].sum(axis=0) / sizes.sum(axis=(0, 1, 2))
        assert_allclose(extraction.weights.coverage, share, rtol=1e-5)
        own = sizes >= 0.01 * sizes.max(axis=(0, 1, 2))
        assert_array_equal(extraction.weights.asked, own.sum(axis=(0, 1, 2)))
        kept = sizes[inside] >= 0.01 * sizes[inside].max(axis=0)
        assert_array_equal(extraction.weights.used, kept.sum(axis=0))
        moments, weights = extraction.moments, np.abs(values[inside])
        ratio = exact.get_fdata()[inside].mean(axis=1) / exact.get_fdata()[inside].std(1, ddof=1)
        mean_ratio = weights.T @ ratio / weights.sum(axis=0)
        assert_allclose(moments.tsnr(extraction.weights), mean_ratio, rtol=1e-5)


def test_a_voxel_that_is_bad_late_leaves_maps_of_both_signs(tmp_path, bold):
    """Also those in which weights of bad voxels cancel."""
    values = np.random.default_rng(9).standard_normal((*SHAPE, 2)).astype(np.float32)
    values[4, 4, 4], values[4, 4, 5] = (2, -3), (-2, -1)
    data = nib.load(bold).get_fdata(dtype=np.float32)
    data[4, 4, 4:6, 20] = np.nan
    table, _ = load_parcellation(save(tmp_path, values, AFFINE, "m.nii"), "mine", "MNI")
    series = ours(save(tmp_path, data, AFFINE, "bad.nii"), table).timeseries
    good = np.ones(SHAPE, np.uint8)
    good[4, 4, 4:6] = 0
    without = save(tmp_path, good, AFFINE, "good.nii")
    assert_allclose(series, ours(bold, table, without).timeseries, rtol=1e-9, atol=1e-7)


def test_a_voxel_of_a_hundredth_of_the_largest_weight_counts(tmp_path):
    """Exactly: powers of two and a hundred times them."""
    values = np.zeros((5, 1, 1, 2), np.float32)
    values[:, 0, 0] = np.array([[100, 0], [1, 6.25], [0.99, 0.0625], [-1, 0.0624], [50, 0]])
    table, _ = load_parcellation(save(tmp_path, values, np.eye(4), "a.nii"), "mine", "MNI")
    weights = row_weights(table, Grid((5, 1, 1), np.eye(4)))
    assert (weights.asked.tolist(), weights.used.tolist()) == ([4, 2], [4, 2])
    assert weights.seed_used.tolist() == [True, True]


def test_a_map_without_a_positive_weight_is_no_region(tmp_path):
    values = np.ones((3, 3, 3, 3), np.float32)
    values[..., 1] = 0
    with pytest.raises(UsageError, match=r"a\.nii: regions without a voxel: region_2\.$"):
        load_parcellation(save(tmp_path, values, AFFINE, "a.nii"), "mine", "MNI")


def test_repeated_names_of_regions_have_a_number(tmp_path):
    labels = np.arange(12, dtype=np.int16).reshape(3, 2, 2) % 4
    (tmp_path / "a.tsv").write_text("index\tname\n1\tA\n2\tB\n3\tA\n")
    table, notes = load_parcellation(save(tmp_path, labels, AFFINE, "a.nii"), "mine", "MNI")
    assert table.names == ("A_1", "B", "A_2")
    assert notes == ["Repeated names have a number now: A."]
    paths = [tmp_path / side / "m.nii" for side in ("left", "right")]
    for path in paths:
        path.parent.mkdir()
        save(path.parent, (labels == 1).astype(np.uint8), AFFINE, path.name)
    table, notes = load_masks(paths, "roi", "MNI")
    assert (table.names, len(notes)) == (("m_1", "m_2"), 1)


def test_how_many_regions_a_table_does_not_name_and_names_too_much(tmp_path):
    (tmp_path / "a.tsv").write_text("index\tname\n0\tnone\n2\tB\n8\tx\n9\ty\n11\tz\n")
    labels = region_labels(tmp_path / "a.nii", [1, 2, 4], maps=False)
    assert labels.names == ("region_1", "B", "region_4")
    assert labels.notes == (
        "a.tsv does not name 2 regions.",
        "3 regions of a.tsv have no voxel: left out.",
    )


@pytest.mark.parametrize("ending", ["tsv", "csv", "txt", "lut", "ctab", "xml"])
def test_endings_of_files_with_names(tmp_path, ending):
    text = {"tsv": "index\tname\n2\tA\n", "csv": "index,name\n2,A\n"}.get(ending, "2 A 1 2 3 0\n")
    text = fsl_atlas("Label", "x/x", (2, "A")) if ending == "xml" else text
    (tmp_path / f"a.b.{ending}").write_text(text)
    for name in ("a.b.nii", "a.b.nii.gz"):
        assert region_labels(tmp_path / name, [2], maps=False).names == ("A",)


@pytest.mark.parametrize("beside", [False, True])
def test_voxels_used_of_a_map_are_some_of_those_asked_for(tmp_path, beside):
    """A hundredth of the largest weight of the map, also where that lies outside of the mask."""
    values = np.zeros((6, 1, 1, 3), np.float32)
    values[:, 0, 0] = np.array(
        [[200, 100, 0], [2, 0.9, -3], [1.9, 0.9, 4], [-2, 0.9, 0.05], [100, 0, 0], [1, 0.5, 0.03]]
    )
    table, _ = load_parcellation(save(tmp_path, values, np.eye(4), "a.nii"), "mine", "MNI")
    # The first voxel lies outside of the image, that before the last outside of the mask.
    affine = np.eye(4)
    affine[0, 3] = 1
    grid = Grid((5, 1, 1), affine)
    mask = np.array([1, 1, 1, 0, 1], bool).reshape(5, 1, 1)
    weights = row_weights(table, grid, mask)
    if beside:
        spheres = sphere_weights([[2, 0, 0]], 1, grid, mask)
        weights = stack_weights([weights, spheres])
        assert (weights.asked[3], weights.used[3], weights.overlaps[3]) == (7, 3, 3)
    assert weights.asked[:3].tolist() == [4, 1, 3]
    assert weights.used[:3].tolist() == [2, 0, 3]
    assert weights.overlaps[:3].tolist() == [2, 0, 2 + beside]
    assert weights.empty[:3].tolist() == [False, True, False]
    assert weights.partial[:3].tolist() == [True, False, False]
    # Coverage is the share of weights
    expected = [6.9 / 306.9, 3.2 / 103.2, 1]
    assert_allclose(weights.coverage[:3], expected, rtol=1e-6)


def test_numbers_of_regions_without_a_name_sort_as_text(tmp_path):
    path = tmp_path / "a.nii"
    for n, first, last in ((9, "region_1", "region_9"), (10, "region_01", "region_10")):
        names = region_labels(path, range(n), maps=True).names
        assert (names[0], names[-1], list(names)) == (first, last, sorted(names))
    assert region_labels(path, [9, 99], maps=False).names == ("region_09", "region_99")


@pytest.mark.parametrize(("kind", "first"), [("probabilistic", 1), ("Statistic", 0)])
def test_probabilistic_lists_of_fsl_count_from_0_in_any_case(tmp_path, kind, first):
    (tmp_path / "a.xml").write_text(fsl_atlas(kind, "x/x", (0, "A"), (1, "B")))
    named = region_labels(tmp_path / "a.nii", [first, first + 1], maps=False)
    assert (named.names, named.notes) == (("A", "B"), ())
