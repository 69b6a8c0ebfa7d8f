"""Masks, coverage, overlap, aggregation, smoothing and scaling, through the command line.

The numbers are compared with searches over all voxels, with nilearn, and with numpy.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel.affines import apply_affine
from nilearn.connectome import ConnectivityMeasure
from nilearn.image import resample_to_img, smooth_img
from nilearn.interfaces.fmriprep import load_confounds
from nilearn.maskers import NiftiSpheresMasker
from nilearn.signal import clean as nilearn_clean
from sklearn.decomposition import PCA

if TYPE_CHECKING:
    from pathlib import Path

FSL, ICBM = "MNI152NLin6Asym", "MNI152NLin2009cAsym"
RAW = ("--strategy", "none", "--standardize", "none", "--no-detrend")
RADIUS = 7.0


def read_table(path):
    return pd.read_csv(path, sep="\t")


def quietly(call, *args, **kwargs):
    """Call nilearn without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*args, **kwargs)


@dataclass(frozen=True)
class Output:
    """What a call wrote of one run and one seed set."""

    root: Path

    def path(self, pattern):
        (path,) = self.root.rglob(pattern)
        return path

    @property
    def spheres(self):
        return read_table(self.path("*_desc-spheres_dseg.tsv")).set_index("name")

    @property
    def labels(self):
        return np.asarray(nib.load(self.path("*_desc-spheres_dseg.nii.gz")).dataobj)

    @property
    def series(self):
        return read_table(self.path("*_timeseries.tsv"))

    @property
    def methods(self):
        """What the methods text says of voxels."""
        return (self.root / "logs" / "CITATION.md").read_text()

    def facts(self, ending="_desc-[!r]*_timeseries"):
        return json.loads(self.path(f"*{ending}.json").read_text())

    def matrix(self, stat="pearsoncorrelation"):
        return read_table(self.path(f"*_stat-{stat}_*_relmat.tsv")).set_index("Node")


# --- small images with everything known ---------------------------------------------------------

SEEDS = {
    "left": (-10.2, 0.3, 0.1),
    "right": (9.6, -0.4, 1.1),
    "front": (0.5, 10.1, 4.3),
    "back": (1.2, -11.3, -3.4),
    "edge": (-22.4, 0.7, 5.2),
}


@pytest.fixture
def run(run_app, tiny, tmp_path):
    """A run of the tiny dataset and the call on it with five seeds, of which one is at the edge."""
    bold = tiny.add_run()
    seeds = tmp_path / "own.tsv"
    rows = [f"{name}\t{x}\t{y}\t{z}" for name, (x, y, z) in SEEDS.items()]
    seeds.write_text("\n".join(["name\tx\ty\tz", *rows]) + "\n")

    def call(*options, status=0, radius=RADIUS):
        output = tmp_path / f"out{len(list(tmp_path.glob('out*')))}"
        sphere = ("--seeds", seeds, "--radius", radius)
        done = run_app(tiny.root, output, "participant", *sphere, *RAW, *options)
        assert done.status == status, done.err
        assert "Traceback" not in done.err
        return Output(output), done.err

    return bold, call


def mask_of(bold):
    return bold.with_name(bold.name.replace("preproc_bold", "brain_mask"))


def distances(img, seed):
    """From every voxel's centre to a seed, mm."""
    centres = apply_affine(img.affine, np.moveaxis(np.indices(img.shape[:3]), 0, -1))
    return np.linalg.norm(centres - seed, axis=-1)


def in_ball(img, seed, radius=RADIUS):
    """Voxels whose centre lies within the radius; none is at the rim."""
    far = distances(img, seed)
    assert not (np.abs(far - radius) < 1e-6).any()
    return far < radius


def asked(img, seed, radius=RADIUS):
    """Voxels of a sphere on a lattice without end: those of a box of 17 about the seed."""
    middle = np.rint(apply_affine(np.linalg.inv(img.affine), seed))
    offsets = np.indices((17, 17, 17)).reshape(3, -1).T - 8
    far = np.linalg.norm(apply_affine(img.affine, middle + offsets) - seed, axis=1)
    assert far.max() > 2 * radius
    return int((far < radius).sum())


def nilearns(img, seeds, mask=None, radius=RADIUS, fwhm=None):
    """Means over spheres by nilearn, not cleaned."""
    # In double precision, or nilearn would cut the means of whole numbers to whole numbers.
    img = nib.Nifti1Image(img.get_fdata(), img.affine, img.header, dtype=np.float64)
    masker = NiftiSpheresMasker(
        [tuple(map(float, seed)) for seed in seeds],
        radius=radius,
        mask_img=mask,
        smoothing_fwhm=fwhm,
        allow_overlap=True,
        dtype="float64",
        standardize=None,
        reports=False,
    )
    return quietly(masker.fit_transform, img)


# --- coverage -----------------------------------------------------------------------------------


def silence(data, where, how):
    """Take the signal from some voxels."""
    if how == "nan":
        data[where] = np.nan
    elif how == "nan in two volumes":
        data[where, 5], data[where, 17] = np.nan, np.nan
    elif how == "infinite in one":
        data[where, 9] = np.inf
    elif how == "zero":
        data[where] = 0
    elif how == "constant":
        data[where] = data[where][:, :1]
    else:
        raise ValueError(how)


@pytest.fixture
def silent(run):
    """Make a share of two spheres silent: 40 per cent of `left`, 60 of `right`.

    Returns what is left of every sphere, as a share, by counting.
    """
    bold, call = run

    def prepare(how, dtype=np.float32, slope=None):
        img = nib.load(bold)
        # All spheres share a wave, so that they are related.
        data = (img.get_fdata() + 8 * np.sin(np.arange(img.shape[3]))).astype(dtype)
        mask = np.asarray(nib.load(mask_of(bold)).dataobj) != 0
        where = np.zeros(mask.shape, bool)
        for name, share in (("left", 0.4), ("right", 0.6)):
            ball = np.argwhere(in_ball(img, SEEDS[name]))
            where[tuple(ball[: round(share * len(ball))].T)] = True
        silence(data, where, how)
        new = nib.Nifti1Image(data, img.affine, img.header, dtype=dtype)
        if slope:
            new.header.set_slope_inter(slope, 0)
        new.to_filename(bold)
        alive = mask & ~where
        shares = {
            name: (in_ball(img, seed) & alive).sum() / asked(img, seed)
            for name, seed in SEEDS.items()
        }
        assert shares["front"] == shares["back"] == 1
        assert 0.5 < shares["left"] < 0.7
        assert 0 < shares["right"] < 0.5
        assert 0 < shares["edge"] < 0.5
        return shares

    return bold, call, prepare


SILENCES = [
    ("nan", np.float32, None),
    ("nan in two volumes", np.float32, None),
    ("infinite in one", np.float32, None),
    ("zero", np.float32, None),
    ("constant", np.float32, None),
    ("nan in two volumes", np.float64, None),
    ("zero", np.int16, None),
    ("constant", np.int16, None),
    ("zero", np.int16, 0.25),
    ("constant", np.int16, 0.25),
]
STEPS = [
    (),
    ("--smoothing-fwhm", 6),
    ("--aggregation", "median"),
    ("--aggregation", "median", "--smoothing-fwhm", 6),
    ("--aggregation", "eigenvariate", "--smoothing-fwhm", 6),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", STEPS, ids=lambda options: " ".join(map(str, options)) or "mean"
)
@pytest.mark.parametrize(("how", "dtype", "slope"), SILENCES)
def test_voxels_without_a_signal_do_not_cover(silent, how, dtype, slope, options):
    _, call, prepare = silent
    shares = prepare(how, dtype, slope)
    output, log = call(*options)
    spheres = output.spheres
    np.testing.assert_allclose(spheres["coverage"], [*shares.values()], rtol=1e-9)
    used = [share >= 0.5 for share in shares.values()]
    assert spheres["used"].astype(bool).tolist() == used == [True, False, True, True, False]
    assert "own: 5 spheres, 1 with their seed outside the mask, 1 partly outside the mask, " in log
    assert "2 with a coverage below 0.5 (n/a)" in log
    assert output.series.notna().all().tolist() == used
    assert output.series.isna().all().tolist() == [not one for one in used]


def test_voxels_used_are_those_of_the_mask_whatever_they_hold(silent):
    """So that the two columns tell why coverage is low."""
    bold, call, prepare = silent
    prepare("nan")
    img, mask = nib.load(bold), np.asarray(nib.load(mask_of(bold)).dataobj) != 0
    spheres = call()[0].spheres
    for name, seed in SEEDS.items():
        assert spheres.loc[name, "voxels_used"] == (in_ball(img, seed) & mask).sum()
        assert spheres.loc[name, "voxels_asked"] == asked(img, seed)


def alive_of(img):
    """Voxels that are finite and vary."""
    data = img.get_fdata()
    return np.isfinite(data).all(axis=3) & (np.ptp(np.nan_to_num(data), axis=3) > 0)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["nan", "nan in two volumes", "infinite in one", "constant"])
@pytest.mark.parametrize("fwhm", [None, 5])
def test_series_are_those_of_the_other_voxels(silent, how, fwhm):
    """As nilearn has them, where these are no voxels by its mask and 0 to its smoothing."""
    bold, call, prepare = silent
    prepare(how)
    output, log = call("--min-coverage", 0, *(("--smoothing-fwhm", fwhm) if fwhm else ()))
    img, mask = nib.load(bold), nib.load(mask_of(bold))
    alive = alive_of(img)
    clean = nib.Nifti1Image(np.where(alive[..., None], img.get_fdata(), 0), img.affine)
    left = nib.Nifti1Image((alive & (mask.get_fdata() > 0)).astype(np.uint8), img.affine)
    theirs = nilearns(clean, SEEDS.values(), left, fwhm=fwhm)
    np.testing.assert_allclose(output.series, theirs, rtol=1e-5)
    assert "own: 2 of 5 spheres hold voxels that are constant or, in some volume, not fin" in log
    assert bold.name in log
    assert (f"{bold.name} was read twice: it" in log) == ("two" in how or "one" in how)


def test_no_warning_where_all_voxels_have_a_signal(run):
    _, call = run
    assert "are constant or" not in call()[1]


def test_spheres_of_low_coverage_are_missing_in_matrices(silent):
    _, call, prepare = silent
    prepare("zero")
    output, _ = call("--connectivity", "pearson", "covariance", "partial", "spearman")
    lost, kept = ["right", "edge"], ["left", "front", "back"]
    series = output.series[kept]
    partial = ConnectivityMeasure(kind="partial correlation", standardize=False)
    expected = {
        "pearsoncorrelation": series.corr(),
        "covariance": series.cov(),
        "partialcorrelation": quietly(partial.fit_transform, [series.to_numpy()])[0],
        "spearmanrho": series.corr("spearman"),
    }
    stats = {
        path.name.split("_stat-")[1].split("_")[0] for path in output.root.rglob("*relmat.tsv")
    }
    assert len(stats) == 4
    for stat in stats:
        matrix = output.matrix(stat)
        assert list(matrix.index) == list(matrix.columns) == list(SEEDS)
        assert matrix.loc[lost].isna().all(axis=None)
        assert matrix[lost].isna().all(axis=None)
        assert matrix.loc[kept, kept].notna().all(axis=None)
        if stat in expected:
            np.testing.assert_allclose(matrix.loc[kept, kept], expected[stat], rtol=1e-6, atol=1e-8)
    assert len(stats & set(expected)) >= 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("least", "used"),
    [
        (0, [True, True, True, True, True]),
        (0.5, [True, False, True, True, False]),
        (1, [False, False, True, True, False]),
    ],
)
def test_least_coverage(silent, least, used):
    _, call, prepare = silent
    prepare("nan in two volumes")
    output, log = call("--min-coverage", least)
    assert output.spheres["used"].astype(bool).tolist() == used
    assert output.series.notna().all().tolist() == used
    assert (f"coverage below {least:g}" in log) == (not all(used))
    assert (f"less than {100 * least:g} per cent of the voxels" in output.methods) == (least > 0)
    facts = output.facts("_dseg")
    assert facts["MinimumCoverage"] == least
    assert facts["SpheresOfTooLittleCoverage"] == used.count(False)


@pytest.mark.slow
@pytest.mark.parametrize(("up", "used"), [(0, 1), (1, 0)])
def test_a_coverage_of_just_the_least_is_enough(silent, up, used):
    _, call, prepare = silent
    share = prepare("zero")["left"]
    least = np.nextafter(share, 2) if up else share
    assert call("--min-coverage", repr(float(least)))[0].spheres.loc["left", "used"] == used


@pytest.mark.slow
def test_a_sphere_without_any_signal(silent):
    """Missing, even when spheres of any coverage are kept."""
    bold, call, _ = silent
    img = nib.load(bold)
    data = img.get_fdata(dtype=np.float32)
    data[in_ball(img, SEEDS["left"])] = 0
    nib.Nifti1Image(data, img.affine, img.header).to_filename(bold)
    for options in ((), ("--detrend", "--standardize", "zscore_sample")):
        output, _ = call("--min-coverage", 0, *options)
        spheres, matrix = output.spheres, output.matrix()
        assert (spheres.loc["left", "coverage"], spheres.loc["left", "used"]) == (0, 0)
        assert output.series["left"].isna().all()
        others = [name for name in SEEDS if name != "left"]
        assert matrix.loc["left", others].isna().all()
        assert matrix.loc[others, others].notna().all(axis=None)
    output, log = call()
    assert output.spheres.loc["left", "used"] == 0
    assert output.series["left"].isna().all()
    assert "2 with a coverage below 0.5" in log


@pytest.mark.parametrize("share", ["1.5", "-0.1", "half"])
def test_a_share_that_is_none(run, share):
    _, call = run
    call(f"--min-coverage={share}", status=2)


# --- masks --------------------------------------------------------------------------------------


@pytest.fixture
def scan(run_app, real_scan, test_data, tmp_path, monkeypatch):
    """The real scan in a template's space, and a call on it with some of Power's seeds."""
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(test_data / "templateflow"))
    stem = f"sub-03_task-functionallocalizer_run-1_space-{ICBM}_desc"
    files = [
        real_scan / "sub-03" / "func" / f"{stem}-{k}.nii.gz" for k in ("preproc_bold", "brain_mask")
    ]

    points = pd.read_csv(test_data / "seeds" / "power_2011.csv")[["X", "Y", "Z"]].iloc[::12]
    points.rename(columns=str.lower).to_csv(tmp_path / "some.csv", index=False)

    def call(*options, status=0):
        seeds = ("--seeds", tmp_path / "some.csv")
        words = [real_scan, tmp_path / "out", "participant", *seeds, *RAW]
        done = run_app(*words, "--run", 1, "--radius", 6.1, "--min-coverage", 0, *options)
        assert done.status == status, done.err
        assert "Traceback" not in done.err
        return Output(tmp_path / "out"), done.err

    return files, call


@pytest.fixture
def masks(scan, test_data, tmp_path):
    """Masks by what --mask calls them: its word, and the image to compare with."""
    rng = np.random.default_rng(3)
    half = nib.Nifti1Image((rng.random((60, 70, 50)) < 0.5).astype(np.uint8), np.eye(4))
    half.affine[:3, :3] = np.diag([-3.1, 3, 3])
    half.affine[:3, 3] = 90, -120, -70
    path = tmp_path / "half.nii.gz"
    nib.Nifti1Image(np.asarray(half.dataobj), half.affine).to_filename(path)
    template = test_data / "templateflow" / f"tpl-{ICBM}"
    return {
        "run": ("run", nib.load(scan[0][1])),
        "template": ("template", nib.load(*template.glob("*_desc-brain_mask.nii.gz"))),
        "another grid": (path, nib.load(path)),
        "none": ("none", None),
    }


def on_grid(mask, bold):
    """A mask at the voxels of an image, by nilearn."""
    if mask is None:
        return np.ones(bold.shape[:3], bool)
    first = bold.slicer[..., 0]
    resampled = quietly(
        resample_to_img, mask, first, interpolation="nearest", force_resample=True, copy_header=True
    )
    return np.asarray(resampled.dataobj) != 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("run", "the run's brain mask whose"),
        ("template", "the template's brain mask whose"),
        ("another grid", "a mask that was the same for all runs whose"),
        ("none", "the image whose"),
    ],
)
def test_masks(scan, masks, kind, told):
    (bold_path, _), call = scan
    word, mask = masks[kind]
    output, _ = call("--mask", word)
    bold, spheres = nib.load(bold_path), output.spheres
    seeds, allowed = spheres[["x", "y", "z"]].to_numpy(), on_grid(mask, bold)
    balls = [in_ball(bold, seed, 6.1) for seed in seeds]
    assert spheres["voxels_used"].tolist() == [(ball & allowed).sum() for ball in balls]
    assert spheres["voxels_asked"].tolist() == [asked(bold, seed, 6.1) for seed in seeds]
    usable = allowed & alive_of(bold)
    there = np.array([(ball & usable).any() for ball in balls])
    assert there.sum() > 18
    assert (spheres["used"] == there).all()
    left = nib.Nifti1Image(usable.astype(np.uint8), bold.affine)
    theirs = nilearns(bold, seeds[there], left, 6.1)
    np.testing.assert_allclose(output.series.loc[:, there], theirs, rtol=1e-6, atol=1e-6)
    assert f"of those voxels of {told}" in output.methods
    facts = output.facts()
    assert facts["Mask"] == str(word)
    assert len([uri for uri in facts["Sources"] if uri.endswith("mask.nii.gz")]) == (
        kind in ("run", "template")
    )


def test_a_mask_of_probabilities_or_on_another_grid_is_told(run, tmp_path):
    bold, call = run
    img = nib.load(bold)
    values = np.random.default_rng(3).random(img.shape[:3]).astype(np.float32)
    affine = img.affine.copy()
    affine[2, 3] += 0.1
    nib.Nifti1Image(values, affine).to_filename(tmp_path / "prob.nii.gz")
    output, log = call("--mask", tmp_path / "prob.nii.gz", "--min-coverage", 0)
    assert "prob.nii.gz holds probabilities; its mask is where they are at least .5" in log
    assert "prob.nii.gz has another affine, although the same shape," in log
    for name, seed in SEEDS.items():
        expected = (in_ball(img, seed) & (values >= 0.5)).sum()
        assert output.spheres.loc[name, "voxels_used"] == expected


def test_masks_differ(scan, masks):
    """So that the test above tells one from another."""
    bold = nib.load(scan[0][0])
    sizes = {kind: on_grid(mask, bold).sum() for kind, (_, mask) in masks.items()}
    assert len(set(sizes.values())) == 4


def test_whole_image_at_its_edge(run):
    """Of a sphere at the edge of the image only what lies outside is missing."""
    bold, call = run
    img = nib.load(bold)
    spheres = call("--mask", "none")[0].spheres
    for name, seed in SEEDS.items():
        used = in_ball(img, seed).sum()
        assert spheres.loc[name, "voxels_used"] == used
        assert spheres.loc[name, "coverage"] == pytest.approx(used / asked(img, seed))
    assert spheres.loc["edge", "coverage"] < 1


def test_the_whole_image_needs_no_mask(run):
    bold, call = run
    mask_of(bold).unlink()
    assert call("--mask", "none")[0].series.notna().all(axis=None)
    _, log = call(status=1)
    assert f"No brain mask belongs to {bold}" in log
    assert "--mask template, none or PATH does without" in log


def test_a_mask_that_is_not_there(run, tmp_path):
    _, call = run
    output, log = call("--mask", tmp_path / "nowhere.nii.gz", status=66)
    assert f"--mask: the image {tmp_path / 'nowhere.nii.gz'}" in log
    assert not output.root.exists()


def test_a_word_that_is_no_mask(run):
    _, call = run
    output, log = call("--mask", "tempalte", status=66)
    assert "Give run, template, none, or the path of a mask image" in log
    assert not output.root.exists()


@pytest.mark.parametrize("kind", ["no image", "empty", "four-dimensional"])
def test_a_mask_that_cannot_be_used(run, tmp_path, kind):
    _, call = run
    path = tmp_path / "mask.nii.gz"
    if kind == "no image":
        path.write_bytes(b"something else")
    else:
        shape = (5, 5, 5) if kind == "empty" else (5, 5, 5, 2)
        nib.Nifti1Image(np.zeros(shape, np.uint8), np.eye(4)).to_filename(path)
    output, log = call("--mask", path, status=65)
    assert str(path) in log
    assert not output.root.exists()


def test_a_template_mask_that_cannot_be_had(run, tmp_path, monkeypatch):
    _, call = run
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / f"tpl-{ICBM}").mkdir(parents=True)
    output, log = call("--mask", "template", status=66)
    assert f"tpl-{ICBM}_res-02_desc-brain_mask.nii.gz is not in the template home" in log
    assert not output.root.exists()


def test_no_template_has_a_participants_own_space(run_app, tiny, tmp_path):
    tiny.add_run(space="T1w")
    call = [tiny.root, tmp_path / "out", "participant", "--atlas", "Power2011", "--space", "T1w"]
    done = run_app(*call, "--mask", "template")
    assert done.status == 2
    assert "--mask template: no template has the space T1w" in done.err


# --- overlap ------------------------------------------------------------------------------------

CLOSE = {
    "a": (-6.0, 0.0, 2.0),
    "b": (2.0, 0.0, 2.0),  # as far from the voxels of x = -2 as `a`
    "c": (2.0, 5.5, 3.0),
    "far": (10.0, -12.0, -9.0),
    "hidden": (-6.0, 0.0, 2.0),  # `a` again: all its voxels are the first's
}
RADII = {"a": 8.3, "b": 8.3, "c": 6.1, "far": 5.3, "hidden": 8.3}


@pytest.fixture
def close(run_app, tiny, tmp_path):
    """Two sets of seeds whose spheres share voxels, and a call on them."""
    bold = tiny.add_run()
    rows = [f"{n}\t{x}\t{y}\t{z}\t{RADII[n]}" for n, (x, y, z) in CLOSE.items()]
    for name in ("close", "again"):
        (tmp_path / f"{name}.tsv").write_text("\n".join(["name\tx\ty\tz\tradius", *rows]) + "\n")

    def call(*options, sets=("close",), status=0):
        tables = [tmp_path / f"{name}.tsv" for name in sets]
        words = [tiny.root, tmp_path / "out", "participant", "--seeds", *tables]
        done = run_app(*words, *RAW, "--min-coverage", 0, *options)
        assert done.status == status, done.err
        return Output(tmp_path / "out"), done.err

    return bold, call


def all_of(bold):
    """Distances of voxels to seeds and which are in which sphere and the mask, (S, X, Y, Z)."""
    img, mask = nib.load(bold), np.asarray(nib.load(mask_of(bold)).dataobj) != 0
    far = np.array([distances(img, seed) for seed in CLOSE.values()])
    balls = np.array([in_ball(img, CLOSE[n], RADII[n]) & mask for n in CLOSE])
    return img, far, balls


def test_overlap_is_allowed_and_told(close):
    bold, call = close
    img, _, balls = all_of(bold)
    output, _ = call()
    means = [img.get_fdata()[ball].mean(axis=0) for ball in balls]
    np.testing.assert_allclose(output.series.to_numpy().T, means, rtol=1e-6)
    shared = balls.sum(axis=0) > 1
    assert output.spheres["overlap"].tolist() == [(ball & shared).sum() for ball in balls]
    assert output.facts()["Overlap"] == "allow"
    assert "nearest seed" not in output.methods


def test_overlap_goes_to_the_nearest_seed(close):
    bold, call = close
    img, far, balls = all_of(bold)
    # The first of those that are equally near, but for rounding
    owner = np.where(balls, far.round(9), np.inf).argmin(axis=0)
    own = np.array([ball & (owner == i) for i, ball in enumerate(balls)])
    ties = np.abs(far[0] - far[1]) < 1e-9
    assert (own[0] & balls[1] & ties).sum() > 5
    assert not own[4].any()

    output, log = call("--overlap", "nearest")
    spheres = output.spheres
    assert spheres["voxels_used"].tolist() == own.sum(axis=(1, 2, 3)).tolist()
    assert (spheres["overlap"] == 0).all()
    np.testing.assert_array_equal(output.labels, sum((i + 1) * one for i, one in enumerate(own)))
    names = list(CLOSE)[:4]
    means = [img.get_fdata()[one].mean(axis=0) for one in own[:4]]
    np.testing.assert_allclose(output.series[names].to_numpy().T, means, rtol=1e-6)
    # What a sphere lost to another it does not ask for.
    lost = [(ball & ~one).sum() for ball, one in zip(balls, own, strict=True)][:4]
    whole = [asked(img, CLOSE[name], RADII[name]) for name in names]
    assert spheres.loc[names, "voxels_asked"].tolist() == np.subtract(whole, lost).tolist()
    assert output.series["hidden"].isna().all()
    assert spheres.loc["hidden", "used"] == 0
    assert "1 without a voxel" in log
    assert output.facts()["Overlap"] == "nearest"
    assert "were assigned to the nearest seed" in output.methods


@pytest.mark.slow
def test_sets_do_not_take_voxels_from_each_other(close):
    bold, call = close
    _, _, balls = all_of(bold)
    output, _ = call("--overlap", "nearest", sets=("close", "again"))
    one, other = (
        read_table(output.path(f"*_seg-{n}_desc-spheres_dseg.tsv")) for n in ("close", "again")
    )
    pd.testing.assert_frame_equal(one, other)
    assert one["voxels_used"].sum() == balls.any(axis=0).sum()


def test_overlap_as_an_error_names_the_spheres(close):
    _, call = close
    output, log = call("--overlap", "error", status=1)
    assert "4 spheres of close share voxels with others: a, b, c, hidden" in log
    assert "--overlap nearest or allow" in log
    assert not list(output.root.rglob("*_timeseries.tsv"))


def test_spheres_apart_are_no_error(run):
    _, call = run
    assert (call("--overlap", "error")[0].spheres["overlap"] == 0).all()


# --- aggregation, smoothing, scaling ------------------------------------------------------------


def voxels_of(bold, fwhm=None):
    """Series of the voxels of every sphere in the mask, (T, n)."""
    img, mask = nib.load(bold), np.asarray(nib.load(mask_of(bold)).dataobj) != 0
    data = quietly(smooth_img, nib.Nifti1Image(img.get_fdata(), img.affine), fwhm).get_fdata()
    return {name: data[in_ball(img, seed) & mask].T for name, seed in SEEDS.items()}


@pytest.mark.slow
@pytest.mark.parametrize("fwhm", [None, 6.5])
def test_median(run, fwhm):
    bold, call = run
    smoothing = ("--smoothing-fwhm", fwhm) if fwhm else ()
    output, _ = call("--aggregation", "median", "--min-coverage", 0, *smoothing)
    expected = {name: np.median(voxels, axis=1) for name, voxels in voxels_of(bold, fwhm).items()}
    np.testing.assert_allclose(output.series, pd.DataFrame(expected), rtol=1e-5)
    assert output.path("*_timeseries.tsv").name.endswith("_stat-median_desc-none_timeseries.tsv")
    assert output.facts()["Aggregation"] == "median"


@pytest.mark.slow
@pytest.mark.parametrize("fwhm", [None, 6.5])
def test_eigenvariate(run, fwhm):
    """First principal component over the root of the voxels' number, as SPM scales it."""
    bold, call = run
    smoothing = ("--smoothing-fwhm", fwhm) if fwhm else ()
    output, _ = call("--aggregation", "eigenvariate", "--min-coverage", 0, *smoothing)
    for name, voxels in voxels_of(bold, fwhm).items():
        pca = PCA(1, svd_solver="full").fit(voxels)
        sign = np.sign(pca.components_.sum())
        scores = sign * pca.transform(voxels)[:, 0] / np.sqrt(voxels.shape[1])
        np.testing.assert_allclose(
            output.series[name] - voxels.mean(), scores, atol=1e-4 * scores.std()
        )
    assert output.path("*_timeseries.tsv").name.endswith(
        "_stat-eigenvariate_desc-none_timeseries.tsv"
    )


def moving(bold, rng):
    """Give a sphere a signal, and motion whose mean over its voxels is 0; the signal."""
    img = nib.load(bold)
    table = bold.with_name("sub-01_task-rest_desc-confounds_timeseries.tsv")
    motion = read_table(table)["trans_x"].to_numpy()
    motion = (motion - motion.mean()) / motion.std()
    n_volumes = img.shape[3]
    signal = rng.standard_normal(n_volumes)
    data = 1000 + 6 * rng.standard_normal(img.shape)
    ball = np.argwhere(in_ball(img, SEEDS["front"]))
    loading = rng.standard_normal(len(ball))
    loading -= loading.mean()
    for voxel, load in zip(ball, loading, strict=True):
        data[tuple(voxel)] += 3 * signal + 40 * load * motion
    nib.Nifti1Image(data.astype(np.float32), img.affine, img.header).to_filename(bold)
    return signal


@pytest.mark.slow
@pytest.mark.parametrize("fwhm", [None, 4])
def test_eigenvariates_and_medians_are_of_cleaned_voxels(run, fwhm):
    """As SPM takes them: motion that the mean does not see does not take their place."""
    bold, call = run
    signal = moving(bold, np.random.default_rng(12))
    img, mask = nib.load(bold), nib.load(mask_of(bold)).get_fdata() > 0
    data = quietly(smooth_img, nib.Nifti1Image(img.get_fdata(), img.affine), fwhm).get_fdata()
    voxels = data[in_ball(img, SEEDS["front"]) & mask].T
    table = read_table(bold.with_name("sub-01_task-rest_desc-confounds_timeseries.tsv"))
    confounds = table.filter(regex="^(trans|rot)_|^cosine").bfill().to_numpy()
    cleaned = quietly(nilearn_clean, voxels, confounds=confounds, detrend=True, standardize=False)
    left, _, right = np.linalg.svd(cleaned - cleaned.mean(axis=0), full_matrices=False)
    expected = {
        "eigenvariate": left[:, 0] * np.sign(right[0].sum()),
        "median": np.median(cleaned, axis=1),
    }
    for aggregation, series in expected.items():
        options = ("--smoothing-fwhm", fwhm) if fwhm else ()
        chosen = ("--strategy", "24P", "none", "--detrend", "--standardize", "zscore_sample")
        output, _ = call("--aggregation", aggregation, *chosen, *options)
        ours = read_table(output.path("*_desc-24P_timeseries.tsv"))["front"]
        scaled = (series - series.mean()) / series.std(ddof=1)
        np.testing.assert_allclose(ours, scaled, atol=1e-4)
        uncleaned = read_table(output.path("*_desc-none_timeseries.tsv"))["front"]
        if fwhm is None:
            r = np.corrcoef(ours, signal)[0, 1]
            assert r > 0.4
            if aggregation == "eigenvariate":
                assert abs(np.corrcoef(uncleaned, signal)[0, 1]) < r / 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "slope"), [(np.float32, None), (np.int16, None), (np.int16, 0.5)]
)
@pytest.mark.parametrize("fwhm", [3, 6, 12.5])
def test_smoothing_is_nilearns(run, fwhm, dtype, slope):
    bold, call = run
    img = nib.load(bold)
    new = nib.Nifti1Image(img.get_fdata().astype(dtype), img.affine, img.header, dtype=dtype)
    if slope:
        new.header.set_slope_inter(slope, 0)
    new.to_filename(bold)
    output, _ = call("--smoothing-fwhm", fwhm, "--min-coverage", 0)
    theirs = nilearns(nib.load(bold), SEEDS.values(), nib.load(mask_of(bold)), fwhm=fwhm)
    # Of the changes over time, which are some per cent of the signal
    changes = theirs - theirs.mean(axis=0)
    np.testing.assert_allclose(output.series, theirs, rtol=1e-5)
    np.testing.assert_allclose(
        output.series - output.series.mean(), changes, atol=1e-5 * changes.std()
    )
    assert output.facts()["SmoothingFWHM"] == fwhm


def test_no_smoothing(run):
    bold, call = run
    output, _ = call("--smoothing-fwhm", 0, "--min-coverage", 0)
    theirs = nilearns(nib.load(bold), SEEDS.values(), nib.load(mask_of(bold)))
    np.testing.assert_allclose(output.series, theirs, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["none", "24P"])
@pytest.mark.parametrize("detrend", [True, False])
@pytest.mark.parametrize("standardize", ["zscore_sample", "zscore", "psc", "none"])
def test_scaling_is_nilearns(run_app, tiny, tmp_path, standardize, detrend, strategy):
    bold = tiny.add_run(n_volumes=60)
    data = nib.load(bold)
    drift = np.linspace(0, 30, 60, dtype=np.float32)  # so that a trend is there to be removed
    nib.Nifti1Image(data.get_fdata(dtype=np.float32) + drift, data.affine, data.header).to_filename(
        bold
    )
    names = ["left", "right", "front", "back"]
    seeds = tmp_path / "own.tsv"
    rows = ["\t".join([name, *map(str, SEEDS[name])]) for name in names]
    seeds.write_text("\n".join(["name\tx (mm)\ty (mm)\tz (mm)", *rows]) + "\n")
    words = ["--strategy", strategy, "--standardize", standardize, "--radius", RADIUS]
    words += [] if detrend else ["--no-detrend"]
    done = run_app(tiny.root, tmp_path / "out", "participant", "--seeds", seeds, *words)
    assert done.status == 0, done.err

    raw = nilearns(nib.load(bold), [SEEDS[n] for n in names], nib.load(mask_of(bold)))
    confounds = None
    if strategy == "24P":
        parts = {"strategy": ("motion", "high_pass"), "motion": "full"}
        confounds, _ = quietly(load_confounds, str(bold), **parts)
    # nilearn knows the z-score by the standard deviation of the sample only.
    theirs = {"none": None, "zscore": "zscore_sample"}.get(standardize, standardize)
    expected = quietly(nilearn_clean, raw, detrend=detrend, standardize=theirs, confounds=confounds)
    if standardize == "zscore":
        expected *= np.sqrt(60 / 59)
    output = Output(tmp_path / "out")
    np.testing.assert_allclose(output.series, expected, rtol=1e-5, atol=1e-5 * expected.std())
    facts = output.facts()
    assert facts["Detrend"] is detrend
    assert facts["Standardize"] == (False if standardize == "none" else standardize)
