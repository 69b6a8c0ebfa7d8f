"""How much correlations depend on where exactly spheres are, against nilearn and brute force."""

from __future__ import annotations

import json
import warnings

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nilearn.maskers import NiftiSpheresMasker
from scipy import signal

from bids_spheres import open_results
from bids_spheres.engine import stream
from bids_spheres.participant.controls import shifts

INSIDE = np.array([(-6.0, 0, 0), (6, 0, 0), (0, 6, 4)])
RADIUS = 5.0


def write_seeds(path, points):
    rows = [f"s{i}\t{x}\t{y}\t{z}" for i, (x, y, z) in enumerate(points)]
    path.write_text("\n".join(["name\tx\ty\tz", *rows]) + "\n")
    return path


def spread(run_app, tiny, tmp_path, points, *options):
    """Mean and standard deviation that a call writes, and the sidecar of the latter."""
    seeds = write_seeds(tmp_path / "own.tsv", points)
    words = ("--seeds", seeds, "--strategy", "none", "--report-level", "none")
    done = run_app(tiny.root, tmp_path / "out", "participant", *words, *options)
    assert done.status == 0, done.err
    func = tmp_path / "out" / "sub-01" / "func"
    paths = [
        next(func.glob(f"*_stat-placement{what}_desc-none_relmat.tsv")) for what in ("mean", "sd")
    ]
    values = [pd.read_csv(path, sep="\t", index_col=0).to_numpy() for path in paths]
    return *values, json.loads(paths[1].with_suffix(".json").read_text())


def statistics(z):
    """Of (N, S, S) values."""
    known = np.isfinite(z)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mean, sd = np.nanmean(z, axis=0), np.nanstd(z, axis=0, ddof=1)
    return np.where(known.sum(axis=0) > 0, mean, np.nan), np.where(
        known.sum(axis=0) > 1, sd, np.nan
    )


def fisher_z(series):
    with np.errstate(all="ignore"):
        z = np.arctanh(np.corrcoef(series.T))
    np.fill_diagonal(z, np.nan)
    return z


def brute_force(bold, mask, points, function=np.mean, least=0.5):
    """Series of spheres from all voxels of the image; NaN with too little coverage."""
    data, affine = nib.load(bold).get_fdata(), nib.load(bold).affine
    # Room around the image, for what a sphere would have outside
    pad = 6
    ijk = np.stack(
        np.meshgrid(*[np.arange(-pad, n + pad) for n in data.shape[:3]], indexing="ij"), -1
    )
    centres = ijk @ affine[:3, :3].T + affine[:3, 3]
    inside = np.pad(nib.load(mask).get_fdata() > 0, pad)
    volumes = np.pad(data, [(pad, pad)] * 3 + [(0, 0)])
    series = np.full((data.shape[3], len(points)), np.nan)
    for i, point in enumerate(points):
        distance = np.linalg.norm(centres - point, axis=-1)
        members = (distance <= RADIUS) | (distance == distance.min())
        used = members & inside
        if used.sum() >= least * members.sum():
            series[:, i] = function(signal.detrend(volumes[used], axis=1), axis=0)
    return series


@pytest.mark.parametrize("fwhm", [None, 6])
def test_spread_is_that_of_nilearns_masker_at_the_shifted_places(run_app, tiny, tmp_path, fwhm):
    bold = tiny.add_run()
    smoothing = ["--smoothing-fwhm", fwhm] if fwhm else []
    found = spread(run_app, tiny, tmp_path, INSIDE, "--placement-jitter", "3:8", *smoothing)
    mask = bold.with_name(bold.name.replace("preproc_bold", "brain_mask"))
    # In double precision: nilearn smooths in that of the image
    img = nib.Nifti1Image(nib.load(bold).get_fdata(), nib.load(bold).affine)
    z = []
    for shift in shifts(3, 8, len(INSIDE)):
        masker = NiftiSpheresMasker(
            [tuple(point) for point in INSIDE + shift], radius=RADIUS, allow_overlap=True,
            mask_img=str(mask), detrend=True, standardize="zscore_sample", t_r=2.0,
            smoothing_fwhm=fwhm,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            z.append(fisher_z(masker.fit_transform(img)))
    mean, sd = statistics(np.array(z))
    np.testing.assert_allclose(found[0], mean, atol=1e-6)
    np.testing.assert_allclose(found[1], sd, atol=1e-6)
    facts = found[2]
    assert (facts["PlacementJitter"], facts["NumberOfPlacements"]) == (3, 8)
    assert facts["PlacementSeed"] == 0
    assert any(bold.name in source for source in facts["Sources"])


def test_there_are_50_placements_unless_a_number_is_given(run_app, tiny, tmp_path):
    bold = tiny.add_run()
    mask = bold.with_name(bold.name.replace("preproc_bold", "brain_mask"))
    mean, sd, facts = spread(run_app, tiny, tmp_path, INSIDE, "--placement-jitter", "3")
    assert (facts["PlacementJitter"], facts["NumberOfPlacements"]) == (3, 50)
    z = [fisher_z(brute_force(bold, mask, INSIDE + shift)) for shift in shifts(3, 50, 3)]
    expected = statistics(np.array(z))
    np.testing.assert_allclose(mean, expected[0], atol=1e-6)
    np.testing.assert_allclose(sd, expected[1], atol=1e-6)


def test_spheres_may_share_voxels_once_they_are_shifted(run_app, tiny, tmp_path):
    """Overlap is an error of the places that are wanted, not of random ones."""
    bold = tiny.add_run()
    mask = bold.with_name(bold.name.replace("preproc_bold", "brain_mask"))
    points = INSIDE[:2]
    placed = [points + shift for shift in shifts(4, 12, 2)]
    assert min(np.linalg.norm(a - b) for a, b in placed) < 7 < 2 * RADIUS
    options = ("--placement-jitter", "4:12", "--overlap", "error")
    mean, sd, _ = spread(run_app, tiny, tmp_path, points, *options)
    expected = statistics(np.array([fisher_z(brute_force(bold, mask, at)) for at in placed]))
    np.testing.assert_allclose([mean, sd], expected, atol=1e-6)


@pytest.mark.parametrize("aggregation", ["mean", "median"])
def test_placements_outside_the_mask_do_not_count(run_app, tiny, tmp_path, aggregation):
    """Seeds on the mask's edge, with voxels of which none is finite throughout beside it."""
    bold = tiny.add_run()
    mask = bold.with_name(bold.name.replace("preproc_bold", "brain_mask"))
    points = np.array([*INSIDE, (-18.0, 2, 2), (-90, 0, 0)])
    options = ("--placement-jitter", "4:12", "--aggregation", aggregation)
    mean, sd, _ = spread(run_app, tiny, tmp_path, points, *options)
    function = getattr(np, aggregation)
    placed = [points + shift for shift in shifts(4, 12, len(points))]
    z = np.array([fisher_z(brute_force(bold, mask, at, function)) for at in placed])
    number = np.isfinite(z[:, 3, 0]).sum()
    assert 1 < number < 12  # some placements of the fourth seed have too little coverage
    expected = statistics(z)
    np.testing.assert_allclose(mean, expected[0], atol=1e-6)
    np.testing.assert_allclose(sd, expected[1], atol=1e-6)
    assert np.isnan(sd[4]).all()


def test_spread_is_large_where_two_signals_meet(run_app, tiny, tmp_path):
    """Left of x = 0 one signal, right of it another: r depends on the share of each side."""
    bold = tiny.add_run()
    img = nib.load(bold)
    n = img.shape[3]
    basis = [np.ones(n), np.arange(n), *np.random.default_rng(0).standard_normal((2, n))]
    # Orthogonal to one another, to the mean and to the trend
    first, second = np.linalg.qr(np.transpose(basis))[0].T[2:]
    x = np.arange(img.shape[0]) * 4 - 22
    sides = np.where((x < 0)[:, None], first, second)
    data = 1000 + 50 * np.broadcast_to(sides[:, None, None], img.shape)
    nib.Nifti1Image(data, img.affine, img.header).to_filename(bold)
    points = np.array([(-12.0, 0, 0), (-10, 4, 0), (0, 0, 0)])
    mean, sd, _ = spread(run_app, tiny, tmp_path, points, "--placement-jitter", "3:30")
    # Two seeds of one signal, wherever they are placed: r = 1, which has no z, or rounding of it
    assert not sd[0, 1] > 1e-6
    grid = np.stack(np.meshgrid(*[np.arange(k) * 4 for k in img.shape[:3]], indexing="ij"), -1)
    grid = grid + img.affine[:3, 3]
    left = []
    for shift in shifts(3, 30, 3):
        distance = np.linalg.norm(grid - (points + shift)[2], axis=-1)
        members = (distance <= RADIUS) | (distance == distance.min())
        left.append((grid[members][:, 0] < 0).mean())
    left = np.array(left)
    r = left / np.hypot(left, 1 - left)
    z = np.arctanh(r[r < 1 - 1e-9])
    assert len(z) > 10
    np.testing.assert_allclose(mean[0, 2], z.mean(), atol=1e-5)
    np.testing.assert_allclose(sd[0, 2], z.std(ddof=1), atol=1e-5)
    assert sd[0, 2] > 0.2


def test_spread_of_a_smooth_image_is_small(run_app, tiny, tmp_path):
    """Signals that change over decimetres, and noise that is a millionth of them."""
    bold = tiny.add_run()
    img, rng = nib.load(bold), np.random.default_rng(1)
    x, y, _ = (np.arange(k) * 4 for k in img.shape[:3])
    waves = [np.cos(x / 150)[:, None] * np.ones(len(y)), np.sin(y / 150) * np.ones((len(x), 1))]
    courses = rng.standard_normal((3, img.shape[3]))
    field = sum(
        wave[..., None, None] * course
        for wave, course in zip([*waves, waves[0] * 0 + 1], courses, strict=True)
    )
    data = 1000 + 50 * np.broadcast_to(field, img.shape)
    nib.Nifti1Image(data, img.affine, img.header).to_filename(bold)
    points = np.array([(-12.0, -12, 0), (12, 12, 0), (12, -12, 4)])
    _, sd, _ = spread(run_app, tiny, tmp_path, points, "--placement-jitter", "2:20")
    pairs = sd[np.triu_indices(3, 1)]
    assert (pairs > 0).all()
    assert pairs.max() < 0.12


def test_shifts_are_uniform_in_a_ball():
    sizes = np.linalg.norm(shifts(3, 400, 50), axis=2).ravel()
    assert sizes.max() <= 3
    # The volume within r is (r / 3)^3 of the ball's.
    np.testing.assert_allclose(np.mean((sizes / 3) ** 3), 0.5, atol=0.01)
    np.testing.assert_allclose(shifts(3, 400, 50).mean(axis=(0, 1)), 0, atol=0.03)


def test_the_image_is_read_once_and_matrices_stay_what_they_are(
    run_app, tiny, tmp_path, monkeypatch
):
    bold, opened, original = tiny.add_run(), [], stream.open_gzip

    def spy(path):
        opened.append(path)
        return original(path)

    monkeypatch.setattr(stream, "open_gzip", spy)
    seeds = write_seeds(tmp_path / "own.tsv", INSIDE)
    words = (tiny.root, tmp_path / "out", "participant", "--seeds", seeds, "--report-level", "none")
    words = (*words, "--strategy", "24P", "none", "--work-dir", tmp_path / "work")
    assert run_app(*words, "--placement-jitter", "3:4").status == 0
    assert opened.count(bold) == 1
    assert list((tmp_path / "work").iterdir()) == []
    func = tmp_path / "out" / "sub-01" / "func"
    made = {path.name: path.read_bytes() for path in func.glob("*.tsv")}
    assert "0 of 1 run to do" in run_app(*words, "--placement-jitter", "3.0:4", "--dry-run").out
    assert "1 of 1 run to do" in run_app(*words, "--placement-jitter", "3:5", "--dry-run").out
    assert run_app(*words, "--overwrite").status == 0
    again = {path.name: path.read_bytes() for path in func.glob("*.tsv")}
    assert {name for name in made if again[name] != made[name]} == set()


def test_the_page_lists_the_pairs_that_depend_most_on_placement(run_app, tiny, tmp_path):
    tiny.add_run()
    options = ("--placement-jitter", "3:4", "--report-level", "participant")
    mean, sd, _ = spread(run_app, tiny, tmp_path, INSIDE, *options)
    page = BeautifulSoup((tmp_path / "out" / "sub-01.html").read_text(), "html.parser")
    (heading,) = page.find_all(string="Placement of spheres")
    block = heading.find_parent("section")
    rows = [
        [cell.get_text() for cell in row.find_all(["th", "td"])] for row in block.find_all("tr")
    ]
    order = sorted([(0, 1), (0, 2), (1, 2)], key=lambda pair: -sd[pair])
    assert [row[:3] for row in rows[1:]] == [[f"s{i}", f"s{j}", "none"] for i, j in order]
    for (i, j), row in zip(order, rows[1:], strict=True):
        assert float(row[3].replace("\N{MINUS SIGN}", "-")) == round(np.tanh(mean[i, j]), 3)
        assert float(row[4]) == round(sd[i, j], 3)
    assert "4 times, by up to 3 mm" in block.get_text()


def test_results_know_it_as_no_measure(run_app, tiny, tmp_path):
    tiny.add_run()
    _, sd, _ = spread(run_app, tiny, tmp_path, INSIDE, "--placement-jitter", "2:2")
    results = open_results(tmp_path / "out")
    assert results.measures == ("pearsoncorrelation",)
    assert list(results.runs["measure"]) == ["pearsoncorrelation"]
    np.testing.assert_allclose(results.matrix(measure="placementsd").values, sd)


def test_an_excluded_run_has_none(run_app, tiny, tmp_path):
    tiny.add_run()
    options = ("--placement-jitter", "2:2", "--min-volumes", "50")
    mean, sd, _ = spread(run_app, tiny, tmp_path, INSIDE, *options)
    assert np.isnan(mean).all()
    assert np.isnan(sd).all()


@pytest.mark.parametrize(
    "text", ["0", "-1", "3:", "3:1", "3:x", "x", "30", "nan", "3:2000", "3:2:1"]
)
def test_what_is_no_jitter_is_refused(run_app, tiny, tmp_path, text):
    tiny.add_run()
    seeds = write_seeds(tmp_path / "own.tsv", INSIDE)
    words = (tiny.root, tmp_path / "out", "participant", "--seeds", seeds)
    done = run_app(*words, f"--placement-jitter={text}")
    assert done.status == 2
    assert "as 3 or 3:100" in done.err
