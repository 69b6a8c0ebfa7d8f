"""Seeds and images in different spaces, through the command line."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copy

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import requests
from nibabel.affines import apply_affine

from bids_spheres.app.main import main
from bids_spheres.engine.seeds import SeedTable
from bids_spheres.errors import UsageError
from bids_spheres.files.names import parse_name
from bids_spheres.inputs.runs import Run, Tables
from bids_spheres.participant import seeds_in_space
from bids_spheres.participant.seeds_in_space import (
    can_use,
    place_in_run,
    place_in_template,
    transformed_labels,
)
from bids_spheres.spaces.placement import SeedsInSpace

FSL, ICBM = "MNI152NLin6Asym", "MNI152NLin2009cAsym"
TRUTH = Path(__file__).parents[1] / "spaces" / "data"
SCAN = "sub-03_task-functionallocalizer_run-{run}"

# Lancaster et al. (2007), MNI coordinates of FSL to Talairach, as in their icbm_fsl2tal.m
FSL_TO_TALAIRACH = np.array(
    [
        [0.9464, 0.0034, -0.0026, -1.0680],
        [-0.0083, 0.9479, -0.0580, -1.0239],
        [0.0053, 0.0617, 0.9010, 3.1883],
    ]
)


def from_talairach(points):
    return np.linalg.solve(FSL_TO_TALAIRACH[:, :3], (points - FSL_TO_TALAIRACH[:, 3]).T).T


def to_talairach(points):
    return points @ FSL_TO_TALAIRACH[:, :3].T + FSL_TO_TALAIRACH[:, 3]


def read_table(path):
    return pd.read_csv(path, sep="\t")


def points_of(spheres):
    return spheres[["x", "y", "z"]].to_numpy()


def only(folder, pattern):
    (path,) = folder.rglob(pattern)
    return path


def spheres_in(output, pattern="*"):
    """Table and sidecar of the spheres of one run."""
    path = only(output, f"{pattern}_desc-spheres_dseg.tsv")
    return read_table(path), json.loads(path.with_suffix(".json").read_text())


def published(test_data):
    """Coordinates of Raichle et al. (2011), Talairach, from the table of the publication."""
    table = pd.read_csv(test_data / "seeds" / "raichle_2011_36nodes.csv")
    return table[["x", "y", "z"]].to_numpy(dtype=float)


def write_seeds(path, points, space=None):
    rows = [f"s{i}\t{x}\t{y}\t{z}" for i, (x, y, z) in enumerate(points)]
    path.write_text("\n".join(["name\tx\ty\tz", *rows]) + "\n")
    if space:
        path.with_suffix(".json").write_text(json.dumps({"Space": space}))
    return path


def write_affine(path, matrix):
    """Write an ITK transform that takes points by a (4, 4) matrix, mm, RAS."""
    flip = np.diag([-1, -1, 1, 1])
    lps = flip @ matrix @ flip
    numbers = " ".join(f"{x:.14g}" for x in [*lps[:3, :3].ravel(), *lps[:3, 3]])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        f"Parameters: {numbers}\nFixedParameters: 0 0 0\n"
    )
    return path


def shift(path, *by):
    matrix = np.eye(4)
    matrix[:3, 3] = by
    return write_affine(path, matrix)


def anatomical(tiny, sub, source, target):
    """Where fMRIPrep puts the transform of images of `source` to `target`."""
    name = f"sub-{sub}_from-{source}_to-{target}_mode-image_xfm.txt"
    return tiny.root / f"sub-{sub}" / "anat" / name


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A template home that holds no transform, and no network."""

    def get(*_args, **_options):
        raise requests.ConnectionError

    folder = tmp_path / "templates"
    for template in (FSL, ICBM):
        (folder / f"tpl-{template}").mkdir(parents=True)
        (folder / f"tpl-{template}" / "template_description.json").write_text("{}")
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(folder))
    monkeypatch.setattr("requests.get", get)
    return folder


@pytest.fixture(scope="session")
def truth():
    """Points, mm, and where ITK took them through the transforms beside this folder's."""
    found = json.loads((TRUTH / "truth.json").read_text())
    return {key: np.array(found[key]) for key in ("points", "composite", "affine")}


def install(home, kind, source, target):
    """Put a transform by which points go from `source` to `target` where TemplateFlow has it."""
    name = f"tpl-{source}_from-{target}_mode-image_xfm.h5"
    copy(TRUTH / f"{kind}.h5", home / f"tpl-{source}" / name)


# --- the real scan in the participant's own space -----------------------------------------------


@dataclass(frozen=True)
class Done:
    """A call on the real scan."""

    root: Path
    func: Path
    log: str

    def read(self, ending, space="_space-T1w", run=1):
        path = self.func / (SCAN.format(run=run) + space + ending)
        if path.suffix == ".json":
            return json.loads(path.read_text())
        return read_table(path)

    def series(self, space, run=1, atlas="Power2011"):
        return self.read(f"_atlas-{atlas}_stat-mean_desc-none_timeseries.tsv", space, run)

    def spheres(self, space, atlas="Power2011"):
        return self.read(f"_atlas-{atlas}_desc-spheres_dseg.tsv", space)


def work_on(root, output, *arguments):
    call = [root, output, "participant", "--strategy", "none", "--radius", 10, *arguments]
    call += ["--report-level", "none"]
    with redirect_stderr(io.StringIO()) as log:
        status = main([str(word) for word in call])
    assert status == 0, log.getvalue()
    return Done(root, output / "sub-03" / "func", log.getvalue())


@pytest.fixture(scope="module")
def both(real_scan, tmp_path_factory):
    """Spheres of 10 mm in the images of both spaces at once."""
    seeds = ["--atlas", "Power2011", "Raichle2011"]
    output = tmp_path_factory.mktemp("both") / "out"
    return work_on(real_scan, output, *seeds, "--space", "T1w", ICBM)


def turned():
    """Head turned and moved, RAS."""
    angle = np.deg2rad(12)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = 7, -11, 23
    return matrix


def add_acquired_images(root, real_scan):
    """Images of run 1 without a space: the voxels of those in T1w, elsewhere in the scanner."""
    stem = SCAN.format(run=1)
    for kind in ("preproc_bold", "brain_mask"):
        image = nib.load(real_scan / "sub-03" / "func" / f"{stem}_space-T1w_desc-{kind}.nii.gz")
        moved = nib.Nifti1Image(image.dataobj.get_unscaled(), turned() @ image.affine, image.header)
        moved.to_filename(root / "sub-03" / "func" / f"{stem}_desc-{kind}.nii.gz")
    name = f"{stem}_from-boldref_to-T1w_mode-image_desc-coreg_xfm.txt"
    # By ITK's way, images go from boldref to T1w and points from T1w to boldref.
    write_affine(root / "sub-03" / "func" / name, turned())


@pytest.fixture(scope="module")
def scan_with_acquired(real_scan, tmp_path_factory):
    """The real scan with images on a grid of acquisition of run 1."""
    root = tmp_path_factory.mktemp("scan") / "fmriprep"
    for path in real_scan.rglob("*"):
        copied = root / path.relative_to(real_scan)
        if path.is_file():
            copied.parent.mkdir(parents=True, exist_ok=True)
            copied.symlink_to(path)
    add_acquired_images(root, real_scan)
    return root


@pytest.fixture(scope="module", params=["func", "boldref"])
def acquired(request, scan_with_acquired, tmp_path_factory):
    """Spheres of 10 mm on that grid, by both of its names."""
    output = tmp_path_factory.mktemp(request.param) / "out"
    return work_on(
        *(scan_with_acquired, output, "--atlas", "Power2011", "Raichle2011"),
        *("--space", request.param),
    )


def correlations(one, other):
    """Of the series of each sphere that is in the brain in both."""
    found = one.corrwith(other)
    there = one.notna().all() & other.notna().all()
    return found[there].to_numpy()


@pytest.mark.slow
@pytest.mark.parametrize("run", [1, 2])
def test_series_of_the_own_space_are_those_of_the_template(both, run):
    alike = correlations(both.series("_space-T1w", run), both.series(f"_space-{ICBM}", run))
    assert len(alike) > 235
    assert alike.mean() > 0.95


@pytest.mark.slow
def test_series_of_the_grid_of_acquisition_are_those_of_the_template(acquired, both):
    alike = correlations(acquired.series(""), both.series(f"_space-{ICBM}"))
    assert len(alike) > 235
    assert alike.mean() > 0.95
    # The same voxels as in T1w, but for rounding at the rims of spheres
    assert correlations(acquired.series(""), both.series("_space-T1w")).mean() > 0.999


def test_spaces_do_not_collide(both):
    ends = [
        f"_atlas-{atlas}_{end}"
        for atlas in ("Power2011", "Raichle2011")
        for end in (
            *(f"desc-spheres_dseg.{e}" for e in ("tsv", "json", "nii.gz")),
            *(f"stat-mean_desc-raw_timeseries.{e}" for e in ("tsv.gz", "json")),
            *(f"stat-mean_desc-none_timeseries.{e}" for e in ("tsv", "json")),
            *(f"stat-pearsoncorrelation_desc-none_relmat.{e}" for e in ("tsv", "json")),
        )
    ]
    tables = [f"_desc-none_{s}.{e}" for s in ("design", "outliers") for e in ("tsv", "json")]
    expected = {
        SCAN.format(run=run) + rest
        for run in (1, 2)
        for rest in (*tables, *(f"_space-{s}{end}" for s in ("T1w", ICBM) for end in ends))
    }
    assert {path.name for path in both.func.iterdir()} == expected


def test_images_without_a_space_have_none_in_outputs(acquired):
    names = {path.name for path in acquired.func.iterdir()}
    assert len(names) == 22
    assert not any("_space-" in name for name in names)
    assert SCAN.format(run=1) + "_atlas-Power2011_desc-spheres_dseg.nii.gz" in names


def parameters_of(path):
    """Matrix and translation of an ITK affine about the origin, in RAS."""
    with h5py.File(path) as file:
        numbers = file["TransformGroup/1/TransformParameters"][()]
    flip = np.array([-1.0, -1, 1])
    return numbers[:9].reshape(3, 3) * np.outer(flip, flip), numbers[9:] * flip


@pytest.fixture
def in_anatomy(real_scan, test_data):
    """Coordinates of both sets in the anatomical image of the real scan, by arithmetic."""
    anat = real_scan / "sub-03" / "anat"
    name = f"sub-03_from-T1w_to-{ICBM}_mode-image_xfm.h5"
    matrix, translation = parameters_of(anat / name)
    power = pd.read_csv(test_data / "seeds" / "power_2011.csv")
    sets = {
        "Power2011": power[["X", "Y", "Z"]].to_numpy(dtype=float),
        "Raichle2011": from_talairach(published(test_data)),
    }
    return {atlas: points @ matrix.T + translation for atlas, points in sets.items()}


@pytest.mark.parametrize("atlas", ["Power2011", "Raichle2011"])
def test_coordinates_go_through_the_transforms(atlas, both, acquired, in_anatomy):
    own = points_of(both.spheres("_space-T1w", atlas))
    np.testing.assert_allclose(own, in_anatomy[atlas], rtol=1e-8, atol=1e-7)
    on_grid = points_of(acquired.spheres("", atlas))
    moved = apply_affine(turned(), in_anatomy[atlas])
    # Numbers in text files are read in single precision.
    np.testing.assert_allclose(on_grid, moved, atol=1e-5)


def linked(uris, root):
    """Files that BIDS URIs of the input stand for."""
    assert all(uri.startswith("bids:preprocessed:") for uri in uris)
    return [root / uri.removeprefix("bids:preprocessed:") for uri in uris]


FILES = ["_desc-spheres_dseg", "_stat-mean_desc-none_timeseries"]


@pytest.mark.parametrize("ending", FILES)
def test_sidecars_tell_the_way_to_the_own_space(both, ending):
    facts = both.read(f"_atlas-Power2011{ending}.json")
    name = f"sub-03_from-T1w_to-{ICBM}_mode-image_xfm.h5"
    assert facts["SpatialReference"] == "T1w"
    assert facts["SeedSpace"] == FSL
    assert f"in {FSL} and are used in {ICBM} as they are" in facts["SpaceNote"]
    assert f"were brought to T1w by {name}" in facts["SpaceNote"]
    assert linked(facts["SeedTransforms"], both.root) == [both.root / "sub-03" / "anat" / name]


def test_sidecars_tell_the_way_to_the_grid_of_acquisition(acquired):
    facts = acquired.read("_atlas-Raichle2011_desc-spheres_dseg.json", "")
    files = linked(facts["SeedTransforms"], acquired.root)
    assert facts["SeedSpace"] == "Talairach"
    assert [path.parent.name for path in files] == ["anat", "func"]
    assert all(path.is_file() and path.name in facts["SpaceNote"] for path in files)


def test_log_tells_the_way_of_each_run(both):
    told = [line for line in both.log.splitlines() if "were brought to T1w by" in line]
    assert len(told) == 4
    assert all("space-T1w: The coordinates of " in line for line in told)


def test_methods_text_tells_of_transforms(both):
    text = (both.func.parents[1] / "logs" / "CITATION.md").read_text()
    assert "Power2011, taken to be in MNI152NLin6Asym space, were transformed" in text
    assert "were transformed to the space of the images [@lancaster2007]" in text
    assert "without conversion" not in text


def test_a_space_without_images_is_nothing_selected(run_app, real_scan, tmp_path):
    call = [real_scan, tmp_path / "out", "participant", "--atlas", "Power2011"]
    done = run_app(*call, "--space", "func")
    assert done.status == 18, done.err
    assert "--space func leaves no run" in done.err
    assert f"Available: space-{ICBM} and space-T1w" in done.err
    assert not (tmp_path / "out").exists()


def test_a_space_without_images_beside_one_with(run_app, tiny, tmp_path):
    tiny.add_run()
    seeds = write_seeds(tmp_path / "own.tsv", [(0, 0, 0)])
    call = [tiny.root, tmp_path / "out", "participant", "--seeds", seeds]
    done = run_app(*call, "--space", "func", ICBM)
    assert done.status == 0, done.err
    assert "--space func: no run has it" in done.err
    assert len(list((tmp_path / "out").rglob("*_timeseries.tsv"))) == 1


# --- runs with and without transforms -----------------------------------------------------------

POINTS = np.array([[-9.0, 1, 2], [8, -4, 0], [3, 9, -5]])


@pytest.fixture
def natives(tiny, tmp_path):
    """Images of three participants in T1w, and a call; transforms of the first and the third."""
    for sub, by in (("01", (1, 2, 3)), ("02", None), ("03", (-4, 0.5, 0))):
        tiny.add_run(f"sub-{sub}_task-rest", space="T1w")
        if by:
            shift(anatomical(tiny, sub, "T1w", ICBM), *by)
    seeds = write_seeds(tmp_path / "own.tsv", POINTS, ICBM)
    return [tiny.root, tmp_path / "out", "participant", "--seeds", seeds, "--space", "T1w"]


@pytest.mark.slow
@pytest.mark.parametrize("nprocs", [1, 2])
def test_a_run_without_transforms_fails_alone(run_app, natives, nprocs):
    done = run_app(*natives, "--nprocs", nprocs)
    assert done.status == 1
    assert f"leads from {ICBM} to T1w" in done.err
    assert f"from-T1w_to-{ICBM}_mode-image_xfm" in done.err
    assert "1 of 3 runs failed:\n  sub-02 task-rest space-T1w" in done.err
    output = natives[1]
    assert not (output / "sub-02").exists()
    for sub, by in (("01", (1, 2, 3)), ("03", (-4, 0.5, 0))):
        spheres, _ = spheres_in(output, f"sub-{sub}*")
        np.testing.assert_allclose(points_of(spheres), np.add(POINTS, by))
        series = read_table(only(output, f"sub-{sub}*_timeseries.tsv"))
        assert series.notna().all(axis=None)


@pytest.mark.slow
def test_a_damaged_transform_fails_alone(run_app, natives, tiny):
    damaged = anatomical(tiny, "02", "T1w", ICBM).with_suffix(".h5")
    damaged.parent.mkdir()
    damaged.write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    done = run_app(*natives)
    assert done.status == 1
    assert str(damaged) in done.err
    assert "1 of 3 runs failed:\n  sub-02" in done.err
    assert len(list(natives[1].rglob("*_timeseries.tsv"))) == 2


@pytest.mark.slow
def test_own_seeds_of_the_very_space_stay(run_app, natives, tmp_path):
    seeds = write_seeds(tmp_path / "native.tsv", POINTS, "T1w")
    natives[4] = seeds
    done = run_app(*natives)
    assert done.status == 0, done.err
    spheres, facts = spheres_in(natives[1], "sub-02*")
    np.testing.assert_array_equal(points_of(spheres), POINTS)
    assert "SpaceNote" not in facts


@pytest.mark.slow
@pytest.mark.parametrize(("space", "name"), [("boldref", "func"), ("func", "boldref")])
def test_both_names_of_the_grid_of_acquisition_are_one(run_app, tiny, tmp_path, space, name):
    bold = tiny.add_run()
    for path in bold.parent.glob(f"*_space-{ICBM}_*"):
        path.rename(path.with_name(path.name.replace(f"_space-{ICBM}", "")))
    seeds = write_seeds(tmp_path / "own.tsv", POINTS, space)
    call = [tiny.root, tmp_path / "out", "participant", "--seeds", seeds, "--space", name]
    done = run_app(*call)
    assert done.status == 0, done.err
    spheres, facts = spheres_in(tmp_path / "out")
    np.testing.assert_array_equal(points_of(spheres), POINTS)
    assert "SpaceNote" not in facts
    assert "were brought to" not in done.err
    assert "transformed" not in (tmp_path / "out" / "logs" / "CITATION.md").read_text()


def test_a_transform_of_any_template_serves(run_app, natives, tiny, tmp_path):
    """FMRIPrep writes them for every template asked for, which need not be one of MNI's."""
    shift(anatomical(tiny, "02", "T1w", "OASIS30ANTs"), 0, 0, 6)
    natives[4] = write_seeds(tmp_path / "oasis.tsv", POINTS, "OASIS30ANTs")
    done = run_app(*natives)
    assert done.status == 1
    assert "2 of 3 runs failed:\n  sub-01 task-rest space-T1w and sub-03 task-rest space-T1w" in (
        done.err
    )
    (line,) = [line for line in done.err.splitlines() if "None of the 1 transform files" in line]
    assert line.startswith("ERROR sub-01 task-rest space-T1w and 1 more run in ")
    spheres, _ = spheres_in(natives[1], "sub-02*")
    np.testing.assert_allclose(points_of(spheres), np.add(POINTS, (0, 0, 6)))


# --- between templates --------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("source", "target"), [(FSL, ICBM), (ICBM, FSL)])
def test_warped_seeds_are_where_itk_takes_them(
    run_app, tiny, tmp_path, home, truth, source, target
):
    tiny.add_run(space=target)
    install(home, "composite", source, target)
    install(home, "affine", target, source)  # that way would be the wrong one
    seeds = write_seeds(tmp_path / "own.tsv", truth["points"], source)
    done = run_app(tiny.root, tmp_path / "out", "participant", "--seeds", seeds, "--warp-seeds")
    assert done.status == 0, done.err
    spheres, facts = spheres_in(tmp_path / "out")
    np.testing.assert_allclose(points_of(spheres), truth["composite"], rtol=1e-8, atol=1e-6)
    distance = np.linalg.norm(np.array(truth["composite"]) - truth["points"], axis=1)
    np.testing.assert_allclose(spheres["moved"], distance, rtol=1e-6, atol=1e-6)
    file = home / f"tpl-{source}" / f"tpl-{source}_from-{target}_mode-image_xfm.h5"
    assert facts["SeedSpace"] == source
    assert facts["SeedTransforms"] == [file.as_uri()]
    assert facts["SpaceNote"] in done.err
    assert f"were brought to {target} by {file.name}" in facts["SpaceNote"]
    text = (tmp_path / "out" / "logs" / "CITATION.md").read_text()
    assert "were transformed to the space of the images." in text


def test_warped_seeds_in_the_real_template(run_app, tiny, tmp_path, home):
    """With a registration of the real templates: a few millimetres, and not the same everywhere."""
    tiny.add_run(space=FSL)
    copy(only(TRUTH, "tpl-*_xfm.h5"), home / f"tpl-{ICBM}")
    points = np.array(np.meshgrid([-30, 30], [-60, 0, 40], [-10, 30])).reshape(3, -1).T
    seeds = write_seeds(tmp_path / "own.tsv", points, ICBM)
    done = run_app(tiny.root, tmp_path / "out", "participant", "--seeds", seeds, "--warp-seeds")
    assert done.status == 0, done.err
    moved = points_of(spheres_in(tmp_path / "out")[0]) - points
    assert np.linalg.norm(moved, axis=1).max() < 15
    assert np.ptp(moved, axis=0).min() > 0.5


def test_talairach_is_warped_from_fsls_template(run_app, tiny, tmp_path, home, truth):
    tiny.add_run()
    install(home, "composite", FSL, ICBM)
    seeds = write_seeds(tmp_path / "own.tsv", to_talairach(truth["points"]), "Talairach")
    done = run_app(tiny.root, tmp_path / "out", "participant", "--seeds", seeds, "--warp-seeds")
    assert done.status == 0, done.err
    spheres, facts = spheres_in(tmp_path / "out")
    np.testing.assert_allclose(points_of(spheres), truth["composite"], rtol=1e-7, atol=1e-6)
    assert "Lancaster et al. (2007)" in facts["SpaceNote"]
    assert "as they are" not in facts["SpaceNote"]
    assert len(facts["SeedTransforms"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "own", "expected", "n_files"),
    [
        ((), False, "points", 1),
        (("--warp-seeds",), False, "composite", 2),
        ((), True, "points", 1),
        (("--warp-seeds",), True, "points", 1),
    ],
    ids=["as they are", "warped", "own transform", "own transform before warping"],
)
def test_the_way_from_another_template_to_the_own_space(
    run_app, tiny, tmp_path, home, truth, options, own, expected, n_files
):
    """Through the template that fMRIPrep was asked for, unless it was that of the seeds."""
    tiny.add_run(space="T1w")
    install(home, "composite", FSL, ICBM)
    shift(anatomical(tiny, "01", "T1w", ICBM), 1, 2, 3)
    by = (1, 2, 3)
    if own:
        by = (-3, 0, 1)
        shift(anatomical(tiny, "01", "T1w", FSL), *by)
    seeds = write_seeds(tmp_path / "own.tsv", truth["points"], FSL)
    call = [tiny.root, tmp_path / "out", "participant", "--seeds", seeds, "--space", "T1w"]
    done = run_app(*call, *options)
    assert done.status == 0, done.err
    spheres, facts = spheres_in(tmp_path / "out")
    np.testing.assert_allclose(points_of(spheres), truth[expected] + by, rtol=1e-7, atol=1e-6)
    assert "moved" not in spheres  # the frames of template and scan have different origins
    assert len(facts["SeedTransforms"]) == n_files
    assert ("used in" in facts["SpaceNote"]) == (n_files == 1 and not own)


@pytest.fixture(params=["not there", "to be downloaded"])
def missing(request, home):
    """Name of the transform between templates, which can't be had."""
    path = home / f"tpl-{FSL}" / f"tpl-{FSL}_from-{ICBM}_mode-image_xfm.h5"
    if request.param == "to be downloaded":
        path.touch()
    return path.name


def test_no_transform_between_templates(run_app, tiny, tmp_path, missing):
    tiny.add_run()
    call = [tiny.root, tmp_path / "out", "participant", "--atlas", "Power2011", "--warp-seeds"]
    done = run_app(*call)
    assert done.status == 66
    assert done.err.count("error:") == 1
    assert f"{missing} is not in the template home" in done.err
    assert "TEMPLATEFLOW_HOME" in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


def test_a_damaged_transform_between_templates(run_app, tiny, tmp_path, home):
    tiny.add_run()
    path = home / f"tpl-{FSL}" / f"tpl-{FSL}_from-{ICBM}_mode-image_xfm.h5"
    path.write_bytes(b"<html>not found</html>")
    call = [tiny.root, tmp_path / "out", "participant", "--atlas", "Power2011", "--warp-seeds"]
    done = run_app(*call)
    assert done.status == 65
    assert str(path) in done.err
    assert not (tmp_path / "out").exists()


def test_seeds_of_the_images_template_need_no_transform(run_app, tiny, tmp_path):
    tiny.add_run(space=FSL)
    call = [tiny.root, tmp_path / "out", "participant", "--atlas", "Power2011", "--warp-seeds"]
    done = run_app(*call)
    assert done.status == 0, done.err
    assert "SpaceNote" not in spheres_in(tmp_path / "out")[1]


@pytest.mark.parametrize("space", [FSL, ICBM])
def test_talairach_seeds_are_converted(run_app, tiny, tmp_path, test_data, space):
    tiny.add_run(space=space)
    done = run_app(tiny.root, tmp_path / "out", "participant", "--atlas", "Raichle2011")
    assert done.status == 0, done.err
    spheres, facts = spheres_in(tmp_path / "out")
    expected = from_talairach(published(test_data))
    np.testing.assert_allclose(points_of(spheres), expected, rtol=1e-8, atol=1e-7)
    # The two frames differ by 5 to 13 mm in places.
    assert 5 < np.linalg.norm(expected - published(test_data), axis=1).max() < 13
    assert facts["SeedSpace"] == "Talairach"
    assert facts["SeedTransforms"] == []
    assert f"to {FSL} by the transform of Lancaster et al. (2007)" in facts["SpaceNote"]
    assert ("used in MNI152NLin2009cAsym as they are" in facts["SpaceNote"]) == (space == ICBM)
    assert facts["SpaceNote"] in done.err
    text = (tmp_path / "out" / "logs" / "CITATION.md").read_text()
    assert "were transformed to the space of the images [@lancaster2007]" in text
    assert "@article{lancaster2007," in text


@pytest.mark.slow
def test_seeds_of_the_other_template_are_used_with_a_note(run_app, tiny, tmp_path, test_data):
    tiny.add_run()
    done = run_app(tiny.root, tmp_path / "out", "participant", "--atlas", "Power2011")
    assert done.status == 0, done.err
    spheres, facts = spheres_in(tmp_path / "out")
    power = pd.read_csv(test_data / "seeds" / "power_2011.csv")
    np.testing.assert_array_equal(points_of(spheres), power[["X", "Y", "Z"]])
    assert facts["SeedSpace"] == FSL
    assert facts["SeedTransforms"] == []
    assert f"are in {FSL} and are used in {ICBM} as they are" in facts["SpaceNote"]
    assert "--warp-seeds" in facts["SpaceNote"]
    assert facts["SpaceNote"] in done.err
    text = (tmp_path / "out" / "logs" / "CITATION.md").read_text()
    assert f"taken to be in {FSL} space, were used in {ICBM} without conversion" in text
    assert "lancaster2007" not in text


@pytest.mark.slow
def test_a_note_is_logged_once_for_several_radii(run_app, tiny, tmp_path):
    tiny.add_run()
    call = [tiny.root, tmp_path / "out", "participant", "--atlas", "Power2011"]
    done = run_app(*call, "--radius", 5, 8)
    assert done.status == 0, done.err
    notes = [
        json.loads(path.read_text())["SpaceNote"]
        for path in (tmp_path / "out").rglob("*_desc-spheres_dseg.json")
    ]
    assert len(notes) == 2
    assert len(set(notes)) == 1
    assert done.err.count(notes[0]) == 1


def test_seeds_move_again_when_a_transform_changes(run_app, natives, tiny):
    for by in ((1, 2, 3), (5, 0, -2)):
        shift(anatomical(tiny, "01", "T1w", ICBM), *by)
        done = run_app(*natives, "--participant-label", "01")
        assert done.status == 0, done.err
        spheres, _ = spheres_in(natives[1])
        np.testing.assert_allclose(points_of(spheres), np.add(POINTS, by))


# --- seeds that do not tell their space, and spaces nobody knows ----------------------------------


def test_own_seeds_without_a_space_in_a_template(run_app, tiny, tmp_path):
    tiny.add_run()
    seeds = write_seeds(tmp_path / "own.tsv", POINTS)
    done = run_app(tiny.root, tmp_path / "out", "participant", "--seeds", seeds)
    assert done.status == 0, done.err
    spheres, facts = spheres_in(tmp_path / "out")
    np.testing.assert_array_equal(points_of(spheres), POINTS)
    assert {"SeedSpace", "SpaceNote", "SeedTransforms"}.isdisjoint(facts)


@pytest.mark.parametrize("spaces", [("T1w",), (ICBM, "T1w"), ("func",)])
def test_own_seeds_without_a_space_in_a_participants_own(run_app, tiny, tmp_path, spaces):
    bold = tiny.add_run(space="T1w")
    tiny.add_run()
    for kind in ("preproc_bold", "brain_mask"):
        image = bold.with_name(bold.name.replace("preproc_bold", kind))
        copy(image, image.with_name(image.name.replace("_space-T1w", "")))
    seeds = write_seeds(tmp_path / "own.tsv", POINTS)
    call = [tiny.root, tmp_path / "out", "participant", "--seeds", seeds, "--space", *spaces]
    done = run_app(*call)
    assert done.status == 2, done.err
    assert "seeds of own don't say in which space they are" in done.err
    assert f"images are in {spaces[-1]}, the participant's own" in done.err
    assert 'Write "Space" into the JSON file' in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("seed_space", "image_space", "status"),
    [
        ("fsaverage", ICBM, 2),
        ("T1w", ICBM, 2),
        ("func", ICBM, 2),
        ("mni152nlin2009casym", ICBM, 2),
        ("MNIPediatricAsym", "MNIPediatricAsym", 0),
    ],
)
@pytest.mark.parametrize("options", [(), ("--warp-seeds",)])
def test_spaces_between_which_nothing_leads(
    run_app, tiny, tmp_path, seed_space, image_space, status, options
):
    tiny.add_run(space=image_space)
    seeds = write_seeds(tmp_path / "own.tsv", POINTS, seed_space)
    done = run_app(tiny.root, tmp_path / "out", "participant", "--seeds", seeds, *options)
    assert done.status == status, done.err
    if status:
        assert f"are in {seed_space} space, but the images in {image_space}" in done.err
        assert done.err.count("error:") == 1
    assert (tmp_path / "out").exists() == (status == 0)


ADULTS = "differ by a few millimetres"
OTHERS = "other heads than the 152 adults"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed_space", "image_space", "level", "phrase"),
    [
        (FSL, "MNI152Lin", "INFO", ADULTS),
        ("MNI152NLin6Sym", ICBM, "INFO", ADULTS),
        ("Talairach", "MNI152NLin2009cSym", "INFO", ADULTS),
        ("MNI305", ICBM, "WARNING", OTHERS),
        (FSL, "MNIPediatricAsym_cohort-2", "WARNING", OTHERS),
        ("MNIPediatricAsym+1", "MNIPediatricAsym_cohort-2", "WARNING", OTHERS),
        ("MNIPediatricAsym+2", "MNIPediatricAsym_cohort-2", None, None),
        ("MNIPediatricAsym", "MNIPediatricAsym_cohort-2", None, None),
        ("MNIPediatricAsym+2", "MNIPediatricAsym", None, None),
    ],
)
def test_other_mni_templates_are_used_with_a_note(
    run_app, tiny, tmp_path, seed_space, image_space, level, phrase
):
    tiny.add_run(space=image_space)
    seeds = write_seeds(tmp_path / "own.tsv", POINTS, seed_space)
    call = [tiny.root, tmp_path / "out", "participant", "--seeds", seeds, "--strategy", "none"]
    done = run_app(*call)
    assert done.status == 0, done.err
    notes = [line for line in done.err.splitlines() if "are used in" in line]
    space = image_space.replace("_cohort-", "+")
    if level is None:
        assert notes == []
    else:
        (note,) = notes
        assert note.startswith(f"{level} The coordinates of own")
        assert f"are used in {space} as they are" in note
        assert phrase in note
    (sidecar,) = (tmp_path / "out").rglob("*_desc-none_timeseries.json")
    facts = json.loads(sidecar.read_text())
    assert facts["SpatialReference"] == space
    assert (phrase or "") in facts.get("SpaceNote", "")
    if seed_space != "Talairach":
        (table,) = (tmp_path / "out").rglob("*_desc-spheres_dseg.tsv")
        rows = [line.split("\t") for line in table.read_text().splitlines()]
        at = [rows[0].index(axis) for axis in "xyz"]
        assert [[float(row[i]) for i in at] for row in rows[1:]] == [
            list(map(float, p)) for p in POINTS
        ]


@pytest.mark.parametrize("image_space", ["MNIPediatricAsym_cohort-2", "MNI152Lin"])
def test_templates_without_a_transform_are_refused_where_seeds_are_to_be_mapped(
    run_app, tiny, tmp_path, image_space
):
    tiny.add_run(space=image_space)
    seeds = write_seeds(tmp_path / "own.tsv", POINTS, FSL)
    done = run_app(tiny.root, tmp_path / "out", "participant", "--seeds", seeds, "--warp-seeds")
    assert done.status == 2
    assert "TemplateFlow has no transform for --warp-seeds" in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("label", ["MNIInfant+2", "MNIInfant", "MNIInfant:cohort-2"])
def test_cohorts_are_chosen_by_their_names(run_app, tiny, tmp_path, label):
    for space in ("MNIInfant_cohort-2", "MNIInfant_cohort-1", ICBM):
        tiny.add_run(space=space)
    seeds = write_seeds(tmp_path / "own.tsv", POINTS, "MNIInfant")
    call = [tiny.root, tmp_path / "out", "participant", "--seeds", seeds, "--strategy", "none"]
    done = run_app(*call, "--space", label)
    assert done.status == 0, done.err
    spaces = {p.name.split("_space-")[1].split("_")[0] for p in tmp_path.rglob("*_dseg.tsv")}
    assert spaces == {"MNIInfant+2"} | ({"MNIInfant+1"} if label == "MNIInfant" else set())


# Whether there is a way, and whether it moves seeds


def seeds_in(space, label="mine", regions=None):
    xyz = np.array([[1.0, 2, 3], [-4, 5, 6]])
    return SeedTable(label, ("a", "b"), xyz, np.full(2, 5.0), space=space, regions=regions)


@pytest.mark.parametrize(
    ("space", "images", "usable"),
    [
        (None, ICBM, True),
        (None, "T1w", False),
        (FSL, ICBM, True),
        (FSL, "T1w", True),
        ("T1w", "T1w", True),
        ("T1w", "boldref", True),
        ("T1w", ICBM, False),
        ("Talairach", ICBM, True),
    ],
)
def test_which_seeds_can_be_used_with_which_images(space, images, usable):
    sets = [seeds_in("T1w" if images in ("T1w", "boldref") else None), seeds_in(space)]
    assert can_use(sets, images, warp=False) is usable
    assert can_use(sets[::-1], images, warp=False) is usable
    if usable:
        assert bool(place_in_template(sets, images, warp=False)) == (images == ICBM)
    else:
        with pytest.raises(UsageError):
            place_in_template(sets, images, warp=False)


def test_seeds_of_a_near_template_are_used_as_they_are_with_a_note(caplog):
    sets = [seeds_in(FSL), seeds_in(FSL, "other"), seeds_in(ICBM), seeds_in(None)]
    with caplog.at_level("INFO", "bids_spheres"):
        placed = place_in_template(sets, ICBM, warp=False)
    for before, after in zip(sets, placed, strict=True):
        assert after.table.coordinates.tolist() == before.coordinates.tolist()
        assert after.moved == ()
    assert [bool(each.note) for each in placed] == [True, True, False, False]
    assert {record.levelname for record in caplog.records} == {"INFO"}
    notes = list(dict.fromkeys(each.note for each in placed if each.note))
    assert caplog.messages == notes


@pytest.mark.parametrize("warp", [False, True])
def test_regions_of_another_template_are_never_mapped(warp):
    regions = seeds_in(FSL, "mine", regions=object())
    (placed,) = place_in_template([regions], ICBM, warp=warp)
    assert placed.table.coordinates.tolist() == regions.coordinates.tolist()
    assert placed.note.startswith(f"The regions of mine are in {FSL} and are used in {ICBM} as")
    assert (placed.table.space, placed.moved, placed.transforms) == (ICBM, (), ())


def test_which_sets_are_transformed():
    regions = seeds_in(FSL, "regions", regions=object())
    sets = [
        *(seeds_in(FSL, "six"), seeds_in(ICBM, "nine"), seeds_in(None, "none"), regions),
        seeds_in("Talairach", "old"),
    ]
    assert transformed_labels(sets, [ICBM], warp=False) == ("old",)
    assert transformed_labels(sets, [ICBM], warp=True) == ("six", "old")
    assert transformed_labels(sets, [FSL, ICBM], warp=True) == ("six", "nine", "old")
    assert transformed_labels(sets, ["T1w", ICBM], warp=False) == ("six", "nine", "old")
    assert transformed_labels([seeds_in("func")], ["func", "boldref"], warp=True) == ()
    assert transformed_labels([seeds_in("T1w")], ["T1w"], warp=True) == ()
    assert transformed_labels([seeds_in("T1w")], ["boldref"], warp=True) == ("mine",)


@pytest.mark.parametrize(
    ("space", "images", "usable"),
    [
        *((FSL, ICBM, True), (ICBM, ICBM, True), ("T1w", "T1w", True), ("MNI305", FSL, True)),
        *((FSL, "T1w", False), ("T1w", FSL, False), ("Talairach", FSL, False)),
    ],
)
def test_regions_are_used_in_their_space_or_in_another_template_of_the_mni(space, images, usable):
    assert can_use([seeds_in(space, regions=object())], images, warp=True) is usable


def test_transforms_of_every_dataset_serve_and_of_two_templates_fsls_comes_first(tmp_path):
    name = parse_name("sub-1_task-x_space-T1w_bold.nii.gz")
    run, roots = Run(name, (), None, Tables()), [tmp_path / "a", tmp_path / "b"]
    moved = {ICBM: (4, 5, 6), FSL: (1, 2, 3)}
    for root, (template, by) in zip(roots, moved.items(), strict=True):
        file = f"sub-1_from-T1w_to-{template}_mode-image_xfm.txt"
        shift(root / "sub-1" / "anat" / file, *by)
        shift(root / "sub-2" / "anat" / file.replace("sub-1", "sub-2"), 50, 0, 0)
    sets = [seeds_in(FSL), seeds_in(ICBM), seeds_in("MNI152NLin6Sym"), seeds_in("T1w")]
    placed = place_in_run(sets, run, roots, warp=False)
    for seeds, found, by in zip(
        sets, placed, (moved[FSL], moved[ICBM], moved[FSL], (0, 0, 0)), strict=True
    ):
        np.testing.assert_allclose(found.table.coordinates, seeds.coordinates + by)
    assert [len(each.transforms) for each in placed] == [1, 1, 1, 0]
    first = place_in_run(sets[2:3], run, roots[:1], warp=False)
    np.testing.assert_allclose(first[0].table.coordinates, sets[2].coordinates + moved[ICBM])


def test_seeds_that_moved_are_those_of_their_set():
    other = seeds_in(FSL)
    sets = [seeds_in("Talairach"), replace(other, coordinates=other.coordinates[::-1])]
    first, second = place_in_template(sets, FSL, warp=False)
    change = from_talairach(sets[0].coordinates) - sets[0].coordinates
    np.testing.assert_allclose(first.moved, np.linalg.norm(change, axis=1))
    assert second.moved == ()


def test_seeds_of_which_one_stays_are_moved(monkeypatch):
    up = np.array([[0.0, 0, 3], [0, 0, 0]])

    def place(seeds, *_, **__):
        return SeedsInSpace(replace(seeds, coordinates=seeds.coordinates + up))

    monkeypatch.setattr(seeds_in_space, "_place", place)
    (placed,) = place_in_template([seeds_in(FSL)], ICBM, warp=True)
    assert placed.moved == (3, 0)


@pytest.mark.parametrize(("warp", "first"), [(False, ICBM), (True, FSL)])
def test_seeds_are_warped_on_the_way_to_the_own_space_if_so_wanted(
    tmp_path, monkeypatch, warp, first
):
    name = parse_name("sub-1_task-x_space-T1w_bold.nii.gz")
    file = f"sub-1_from-T1w_to-{ICBM}_mode-image_xfm.txt"
    shift(tmp_path / "sub-1" / "anat" / file, 1, 2, 3)
    asked = []
    place = lambda seeds, *_: asked.append(seeds.space) or SeedsInSpace(seeds)  # noqa: E731
    monkeypatch.setattr(seeds_in_space, "place_seeds", place)
    place_in_run([seeds_in(FSL)], Run(name, (), None, Tables()), [tmp_path], warp=warp)
    assert asked == [first]


@pytest.mark.parametrize(("space", "images"), [("MNI305", ICBM), (ICBM, "MNI305")])
def test_templates_of_other_heads_are_warned_of(caplog, space, images):
    caplog.set_level("INFO", "bids_spheres")
    (placed,) = place_in_template([seeds_in(space)], images, warp=False)
    assert seeds_in_space.OTHER_HEADS in placed.note
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize("warp", [False, True])
def test_talairach_seeds_go_to_any_template_of_the_mni_as_those_of_fsl_do(warp):
    assert can_use([seeds_in("Talairach")], "MNI305", warp=warp) is not warp
    assert not can_use([seeds_in("Talairach")], "fsaverage", warp=warp)
