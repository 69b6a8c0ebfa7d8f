"""Seeds brought into the space of an image: by which files, and to where."""

from __future__ import annotations

import pickle
from dataclasses import replace

import h5py
import nibabel as nib
import numpy as np
import pytest

from bids_spheres.engine.extract import extract_spheres
from bids_spheres.engine.seeds import SeedTable, load_seeds
from bids_spheres.errors import MissingInputError, UsageError
from bids_spheres.spaces.fmriprep import transform_files
from bids_spheres.spaces.itk import move_points
from bids_spheres.spaces.placement import (
    MNI_TO_TALAIRACH,
    RunTransforms,
    place_seeds,
    route,
    talairach_to_mni,
)


def chain_points(points, paths):
    """Coordinates of points that went through all files."""
    return move_points(points, paths).coordinates


FSL, ICBM = "MNI152NLin6Asym", "MNI152NLin2009cAsym"
RUN = {"sub": "01", "task": "rest"}


def shift(path, right, front, up):
    """Write a transform that moves points, mm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        member = file.create_group("TransformGroup/1")
        member["TransformType"] = [b"AffineTransform_double_3_3"]
        # LPS
        member["TransformParameters"] = [1.0, 0, 0, 0, 1, 0, 0, 0, 1, -right, -front, up]
        member["TransformFixedParameters"] = [0.0] * 3
    return path


@pytest.fixture
def home(tmp_path, monkeypatch):
    """TemplateFlow's transforms between the MNI152 templates: 1 mm to the right and back."""
    folder = tmp_path / "templates"
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(folder))
    shift(folder / f"tpl-{FSL}" / f"tpl-{FSL}_from-{ICBM}_mode-image_xfm.h5", 1, 0, 0)
    shift(folder / f"tpl-{ICBM}" / f"tpl-{ICBM}_from-{FSL}_mode-image_xfm.h5", -1, 0, 0)
    return folder


@pytest.fixture
def subject(tmp_path):
    """fMRIPrep's transforms of a run, which was run for the ICBM template alone."""
    folder = tmp_path / "fmriprep" / "sub-01"
    shift(folder / "anat" / f"sub-01_from-T1w_to-{ICBM}_mode-image_xfm.h5", 0, 10, 0)
    shift(folder / "anat" / f"sub-01_from-{ICBM}_to-T1w_mode-image_xfm.h5", 0, -10, 0)
    name = "sub-01_task-rest_from-{}_to-{}_mode-image_xfm.h5"
    shift(folder / "func" / name.format("boldref", "T1w"), 0, 0, 100)
    shift(folder / "func" / name.format("T1w", "boldref"), 0, 0, -100)
    return RunTransforms(transform_files(tmp_path / "fmriprep", "01"), RUN)


def table(space, points=((1, 2, 3), (-4, 5, -6))):
    return SeedTable(
        label="Mine",
        names=("a", "b"),
        coordinates=np.array(points, dtype=float),
        radii=np.array([4.0, 6.0]),
        networks=("x", "y"),
        space=space,
        metadata={"Space": space},
    )


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("source", "target", "moved"),
    [
        (ICBM, "T1w", (0, 10, 0)),
        (ICBM, "func", (0, 10, 100)),
        ("T1w", "boldref", (0, 0, 100)),
        ("T1w", ICBM, (0, -10, 0)),
        ("func", ICBM, (0, -10, -100)),
        (FSL, ICBM, (1, 0, 0)),
        (ICBM, FSL, (-1, 0, 0)),
        (FSL, "T1w", (1, 10, 0)),
        (FSL, "func", (1, 10, 100)),
        ("T1w", FSL, (-1, -10, 0)),
    ],
)
def test_seeds_move_as_the_files_on_the_way_say(subject, source, target, moved):
    seeds = table(source)
    placed = place_seeds(seeds, target, subject)
    np.testing.assert_allclose(placed.table.coordinates, seeds.coordinates + moved)
    assert placed.table.space == target
    assert placed.transforms == route(source, target, subject)
    assert all(path.name in placed.note for path in placed.transforms)


@pytest.mark.usefixtures("home")
def test_all_but_coordinates_and_space_stays():
    seeds = table(FSL)
    placed = place_seeds(seeds, ICBM).table
    assert (placed.label, placed.names, placed.networks) == ("Mine", ("a", "b"), ("x", "y"))
    assert placed.radii.tolist() == [4, 6]
    assert seeds.space == FSL
    assert seeds.coordinates[0].tolist() == [1, 2, 3]


@pytest.mark.usefixtures("home")
def test_talairach_goes_to_the_template_of_fsl_first():
    seeds = table("Talairach")
    fsl = talairach_to_mni(seeds.coordinates)
    placed = place_seeds(seeds, FSL)
    np.testing.assert_allclose(placed.table.coordinates, fsl)
    assert "Lancaster et al. (2007)" in placed.note
    assert placed.transforms == ()
    np.testing.assert_allclose(place_seeds(seeds, ICBM).table.coordinates, np.add(fsl, (1, 0, 0)))


@pytest.mark.usefixtures("home")
def test_talairach_to_the_grid_of_a_run(subject):
    seeds = table("Talairach")
    placed = place_seeds(seeds, "func", subject)
    expected = np.add(talairach_to_mni(seeds.coordinates), (1, 10, 100))
    np.testing.assert_allclose(placed.table.coordinates, expected)
    assert len(placed.transforms) == 3


@pytest.mark.parametrize(("source", "target"), [(ICBM, ICBM), (None, ICBM), (None, "T1w")])
def test_seeds_of_this_space_or_of_none_stay_as_they_are(source, target):
    seeds = table(source)
    placed = place_seeds(seeds, target)
    assert placed.table is seeds
    assert (placed.note, placed.transforms) == ("", ())


def test_both_names_of_the_native_space_are_one():
    assert route("func", "boldref") == ()


def test_templates_are_not_linked_through_a_subject(subject, tmp_path, monkeypatch):
    (tmp_path / "other" / f"tpl-{FSL}").mkdir(parents=True)
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "other"))
    anat = subject.files[0].parent
    own = shift(anat / f"sub-01_from-T1w_to-{FSL}_mode-image_xfm.h5", 0, 11, 0)
    assert len(subject.find(ICBM, "T1w")) == 1
    with pytest.raises(MissingInputError, match=f"tpl-{FSL}_from-{ICBM}_mode-image_xfm.h5"):
        place_seeds(table(FSL), ICBM, RunTransforms((*subject.files, own), RUN))


@pytest.mark.usefixtures("home")
def test_own_transform_of_the_template_comes_before_two(subject):
    anat = subject.files[0].parent
    own = shift(anat / f"sub-01_from-T1w_to-{FSL}_mode-image_xfm.h5", 0, 11, 0)
    transforms = RunTransforms((*subject.files, own), RUN)
    assert route(FSL, "T1w", transforms) == (own,)


@pytest.mark.usefixtures("home")
def test_no_way_names_the_file_that_would_be_one():
    with pytest.raises(MissingInputError, match="None of the 0 transform files") as caught:
        place_seeds(table(ICBM), "T1w", RunTransforms((), RUN))
    assert f"from-T1w_to-{ICBM}" in str(caught.value.hint)


@pytest.mark.usefixtures("home")
def test_template_that_is_not_linked_and_a_subject(subject):
    with pytest.raises(MissingInputError, match="MNIInfant"):
        place_seeds(table("MNIInfant+2"), "T1w", subject)


@pytest.mark.usefixtures("home")
def test_no_image_is_in_talairach_space():
    with pytest.raises(UsageError, match="Talairach"):
        place_seeds(table(FSL), "Talairach")


@pytest.mark.usefixtures("home")
def test_placement_travels_to_other_processes(subject):
    placed = place_seeds(table(ICBM), "func", subject)
    copy = pickle.loads(pickle.dumps(placed))  # noqa: S301 - our own
    assert copy.transforms == placed.transforms
    assert np.array_equal(copy.table.coordinates, placed.table.coordinates)
    assert pickle.loads(pickle.dumps(subject)) == subject  # noqa: S301 - our own


def test_seeds_outside_of_a_displacement_field_are_named(tmp_path):
    """ITK leaves them where they are; so do we, and say so."""
    name = "sub-01_from-T1w_to-MNI152NLin2009cAsym_mode-image_xfm.h5"
    path = tmp_path / "anat" / name
    path.parent.mkdir()
    with h5py.File(path, "w") as file:
        member = file.create_group("TransformGroup/0")
        member["TransformType"] = [b"DisplacementFieldTransform_float_3_3"]
        grid = [10, 10, 10, -90, -90, -90, 20, 20, 20, 1, 0, 0, 0, 1, 0, 0, 0, 1]
        member["TransformFixedParameters"] = np.array(grid, float)
        member["TransformParameters"] = np.full(3000, 5, "f4")
    seeds = table(ICBM, [(0, 0, 0), (0, 0, 300)])
    placed = place_seeds(seeds, "T1w", RunTransforms((path,), {"sub": "01"}))
    np.testing.assert_allclose(placed.table.coordinates, [(-5, -5, 5), (0, 0, 300)])
    assert placed.note.endswith(" and so not displaced by it: b.")


# --- a real scan ------------------------------------------------------------------------------


@pytest.fixture
def scan(real_scan):
    """Power's seeds as if in the space of the scan, its transforms and images."""
    seeds = replace(load_seeds("Power2011"), space=ICBM)
    entities = {"sub": "03", "task": "functionallocalizer", "run": "1"}
    return seeds, RunTransforms(transform_files(real_scan, "03"), entities), real_scan


def spheres(root, space, seeds, run=1):
    """Time series of spheres of 10 mm, (T, S)."""
    stem = root / "sub-03" / "func" / f"sub-03_task-functionallocalizer_run-{run}_space-{space}"
    mask = f"{stem}_desc-brain_mask.nii.gz"
    return extract_spheres(f"{stem}_desc-preproc_bold.nii.gz", seeds, 10, mask).timeseries


def correlations(one, other):
    """Of the spheres that are in the brain in both."""
    pairs = zip(one.T, other.T, strict=True)
    return np.array([np.corrcoef(a, b)[0, 1] for a, b in pairs if np.isfinite(a + b).all()])


@pytest.mark.parametrize("run", [1, 2])
def test_same_time_series_in_the_subjects_space_as_in_the_templates(scan, run):
    seeds, transforms, root = scan
    placed = place_seeds(seeds, "T1w", transforms)
    in_template = spheres(root, ICBM, seeds, run)
    similar = correlations(spheres(root, "T1w", placed.table, run), in_template)
    assert len(similar) > 250
    assert similar.mean() > 0.95


def test_other_time_series_through_the_file_named_as_points_go(scan):
    seeds, transforms, root = scan
    (used,) = place_seeds(seeds, "T1w", transforms).transforms
    (other,) = set(transforms.files) - {used}
    wrong = replace(seeds, coordinates=chain_points(seeds.coordinates, [other]))
    in_template = spheres(root, ICBM, seeds)
    assert correlations(spheres(root, "T1w", wrong), in_template).mean() < 0.6


def test_same_time_series_on_the_grid_of_the_run(scan, tmp_path):
    """The T1w-space image with its head turned: same voxels, and an affine for where they are."""
    seeds, transforms, root = scan
    angle = np.deg2rad(12)
    turned = np.array(
        [
            [np.cos(angle), -np.sin(angle), 0, 7],
            [np.sin(angle), np.cos(angle), 0, -11],
            [0, 0, 1, 23],
            [0, 0, 0, 1],
        ]
    )
    flip = np.diag([-1, -1, 1, 1])
    lps = flip @ turned @ flip
    numbers = " ".join(f"{x:.12g}" for x in [*lps[:3, :3].ravel(), *lps[:3, 3]])
    stem = "sub-03_task-functionallocalizer_run-1"
    coreg = tmp_path / "func" / f"{stem}_from-boldref_to-T1w_mode-image_desc-coreg_xfm.txt"
    coreg.parent.mkdir()
    coreg.write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_float_3_3\n"
        f"Parameters: {numbers}\nFixedParameters: 0 0 0\n"
    )
    func = root / "sub-03" / "func"
    native = []
    for kind in ("preproc_bold", "brain_mask"):
        image = nib.load(func / f"{stem}_space-T1w_desc-{kind}.nii.gz")
        native.append(nib.Nifti1Image(image.dataobj[...], turned @ image.affine))

    transforms = RunTransforms((*transforms.files, coreg), transforms.entities)
    placed = place_seeds(seeds, "func", transforms)
    in_anatomy = spheres(root, "T1w", place_seeds(seeds, "T1w", transforms).table)
    on_grid = extract_spheres(native[0], placed.table, 10, native[1]).timeseries
    assert len(placed.transforms) == 2
    np.testing.assert_allclose(on_grid, in_anatomy, rtol=1e-2)


@pytest.mark.parametrize(
    ("entities", "told"),
    [
        ({"ses": "b"}, "_xfm.h5 (of ses-a, as ses-b has none)."),
        ({"ses": "a"}, "_xfm.h5."),
        ({}, "_xfm.h5 (of ses-a)."),
    ],
)
def test_a_transform_of_another_session_is_told(tmp_path, entities, told):
    folder = tmp_path / "sub-01" / "ses-a" / "anat"
    shift(folder / f"sub-01_ses-a_from-T1w_to-{ICBM}_mode-image_xfm.h5", 0, 10, 0)
    own = RunTransforms(transform_files(tmp_path, "01"), {**RUN, **entities})
    placement = place_seeds(table(ICBM), "T1w", own)
    assert placement.note.endswith(told)
    np.testing.assert_allclose(placement.table.coordinates, [(1, 12, 3), (-4, 15, -6)])


POOLED = np.array(
    [
        (0.9357, 0.0029, -0.0072, -1.0423),
        (-0.0065, 0.9396, -0.0726, -1.3940),
        (0.0103, 0.0752, 0.8967, 3.6475),
    ]
)
SPM = np.array(
    [
        (0.9254, 0.0024, -0.0118, -1.0207),
        (-0.0048, 0.9316, -0.0871, -1.7667),
        (0.0152, 0.0883, 0.8924, 4.0926),
    ]
)
"""Of Lancaster et al. (2007): for other software, and for SPM2."""


def test_pooled_transform_lies_between_the_two_it_was_pooled_from():
    # Fitted to both halves of the data at once: a digit wrong in any of the three would show.
    between = (MNI_TO_TALAIRACH[:3] + SPM) / 2
    np.testing.assert_allclose(POOLED[:, :3], between[:, :3], atol=3e-4)
    np.testing.assert_allclose(POOLED, between, atol=0.01)


def test_points_near_to_those_that_nimare_gives_for_the_pooled_transform():
    # NiMARE's own tests of tal2mni, its implementation of Lancaster et al. (2007)
    talairach = [(-44, 31, 27), (20, -32, 14), (28, -76, 28)]
    mni = [
        (-45.83997568, 35.97904559, 23.55194326),
        (22.69248975, -31.34145016, 13.91284087),
        (31.53113226, -76.61685748, 33.22105166),
    ]
    np.testing.assert_allclose(talairach_to_mni(talairach), mni, atol=2)


def test_forward_matrix_brings_points_back():
    talairach = load_seeds("Raichle2011").coordinates
    mni = talairach_to_mni(talairach)
    back = [
        [sum(row[i] * p[i] for i in range(3)) + row[3] for row in MNI_TO_TALAIRACH[:3]] for p in mni
    ]
    np.testing.assert_allclose(back, talairach, atol=1e-10)


def test_brains_become_larger_and_seeds_stay_near():
    # Lancaster et al. (2007): MNI brains are larger; disparities of up to a little over 1 cm
    talairach = load_seeds("Raichle2011").coordinates
    moved = np.linalg.norm(talairach_to_mni(talairach) - talairach, axis=1)
    assert 1 < moved.mean() < 10
    assert moved.max() < 15
    assert np.linalg.det(MNI_TO_TALAIRACH) < 1


def test_differences_between_the_fits_are_as_documented():
    seeds = load_seeds("Raichle2011").coordinates
    for matrix, most in ((POOLED, 2), (SPM, 4)):
        other = np.linalg.solve(matrix[:, :3], (seeds - matrix[:, 3]).T).T
        apart = np.linalg.norm(other - talairach_to_mni(seeds), axis=1)
        assert apart.max() < most


def test_a_template_that_none_is_linked_with_leads_nowhere(tmp_path):
    """Although there are transforms of the templates that are linked with one another."""
    anat = tmp_path / "sub-01" / "anat"
    files = tuple(
        anat / f"sub-01_from-{a}_to-{b}_mode-image_xfm.h5"
        for template in ("MNI152NLin6Asym", "MNI152NLin2009cAsym")
        for a, b in (("T1w", template), (template, "T1w"))
    )
    transforms = RunTransforms(files, {"sub": "01"})
    for source, target in (("MNIPediatricAsym+2", "T1w"), ("T1w", "MNIPediatricAsym+2")):
        with pytest.raises(MissingInputError, match="None of the 4 transform files for the run"):
            route(source, target, transforms)


def test_the_matrix_is_that_of_the_article():
    """icbm2tal for FSL, in the notation in which brainmap.org publishes it."""
    text = "0.9464 0.0034 -0.0026 -1.0680; -0.0083 0.9479 -0.0580 -1.0239; "
    text += "0.0053 0.0617  0.9010  3.1883; 0.0000 0.0000 0.0000 1.0000"
    rows = [[float(number) for number in row.split()] for row in text.split(";")]
    assert MNI_TO_TALAIRACH.tolist() == rows


@pytest.mark.usefixtures("home")
def test_by_another_template_the_note_and_the_files_are_in_the_order_of_the_points(subject):
    seeds = table("Talairach")
    placed = place_seeds(seeds, "func", subject)
    names = [path.name for path in placed.transforms]
    assert names == [
        f"tpl-{FSL}_from-{ICBM}_mode-image_xfm.h5",
        f"sub-01_from-T1w_to-{ICBM}_mode-image_xfm.h5",
        "sub-01_task-rest_from-boldref_to-T1w_mode-image_xfm.h5",
    ]
    assert placed.note == (
        "The coordinates of Mine, in Talairach, were brought to func by the transform of Lancaster "
        f"et al. (2007) to {FSL} and then {' and then '.join(names)}."
    )
    assert [path.name for path in route("func", FSL, subject)] == [
        "sub-01_task-rest_from-T1w_to-boldref_mode-image_xfm.h5",
        f"sub-01_from-{ICBM}_to-T1w_mode-image_xfm.h5",
        f"tpl-{ICBM}_from-{FSL}_mode-image_xfm.h5",
    ]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("source", "target"), [("Talairach", ICBM), (ICBM, "Talairach")])
def test_files_lead_neither_to_nor_from_talairach(source, target):
    with pytest.raises(UsageError, match=f"from {source} to {target}"):
        route(source, target)
    assert route("T1w", "T1w") == route(ICBM, ICBM) == ()


@pytest.mark.usefixtures("home")
def test_without_transforms_a_subjects_space_is_out_of_reach():
    with pytest.raises(MissingInputError, match="None of the 0 transform files"):
        place_seeds(table(ICBM), "T1w")
    with pytest.raises(MissingInputError, match="from T1w to MNI152NLin6Asym"):
        route("T1w", FSL)
