"""Which of fMRIPrep's transforms belong to a run, on trees of empty files."""

from __future__ import annotations

import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from bids_spheres.errors import InvalidDatasetError
from bids_spheres.spaces.fmriprep import find_transforms, transform_files
from bids_spheres.spaces.itk import move_points


def chain_points(points, paths):
    """Coordinates of points that went through all files."""
    return move_points(points, paths).coordinates


MNI = "MNI152NLin2009cAsym"
RUN = {"sub": "01", "task": "rest", "run": "1"}


@pytest.fixture
def tree(tmp_path):
    """Make empty files; return those of a participant that are transforms."""

    def make(*names, participant="01"):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return transform_files(tmp_path, participant)

    return make


def names(paths):
    return [path.name.partition("_from-")[2] for path in paths]


def anat(start, end, folder="sub-01/anat/sub-01"):
    return f"{folder}_from-{start}_to-{end}_mode-image_xfm.h5"


def coreg(stem="sub-01/func/sub-01_task-rest_run-1"):
    return f"{stem}_from-boldref_to-T1w_mode-image_desc-coreg_xfm.txt"


def test_template_to_native_takes_two_files_each_named_the_other_way(tree):
    files = tree(anat("T1w", MNI), anat(MNI, "T1w"), coreg())
    way = find_transforms(files, RUN, MNI, "func")
    assert names(way) == [
        f"T1w_to-{MNI}_mode-image_xfm.h5",
        "boldref_to-T1w_mode-image_desc-coreg_xfm.txt",
    ]


def test_native_is_called_scanner_until_23_1(tree):
    stem = "sub-01/func/sub-01_task-rest_run-1"
    files = tree(
        f"{stem}_from-scanner_to-T1w_mode-image_xfm.txt",
        f"{stem}_from-T1w_to-scanner_mode-image_xfm.txt",
        anat("T1w", MNI),
        anat(MNI, "T1w"),
    )
    assert names(find_transforms(files, RUN, "T1w", "func")) == [
        "scanner_to-T1w_mode-image_xfm.txt"
    ]
    assert names(find_transforms(files, RUN, "func", MNI)) == [
        "T1w_to-scanner_mode-image_xfm.txt",
        f"{MNI}_to-T1w_mode-image_xfm.h5",
    ]


def test_head_motion_and_fieldmap_transforms_are_not_taken(tree):
    stem = "sub-01/func/sub-01_task-rest_run-1"
    files = tree(
        f"{stem}_from-orig_to-boldref_mode-image_desc-hmc_xfm.txt",
        f"{stem}_from-scanner_to-boldref_mode-image_xfm.txt",
        f"{stem}_from-boldref_to-auto00000_mode-image_xfm.txt",
        f"{stem}_from-boldref_to-T1w_mode-image_desc-fmap_xfm.txt",
    )
    assert find_transforms(files, RUN, "T1w", "func") == ()


def test_sidecars_and_other_files_are_not_transforms(tree):
    files = tree(
        anat("T1w", MNI),
        anat("T1w", MNI).replace(".h5", ".json"),
        "sub-01/anat/sub-01_desc-preproc_T1w.nii.gz",
        "sub-02/anat/sub-02_from-T1w_to-MNI152NLin2009cAsym_mode-image_xfm.h5",
    )
    assert names(files) == [f"T1w_to-{MNI}_mode-image_xfm.h5"]


def test_label_of_the_participant_with_or_without_prefix(tree, tmp_path):
    files = tree(anat("T1w", MNI))
    assert transform_files(tmp_path, "sub-01") == files
    assert transform_files(tmp_path, "1") == ()


def test_each_run_has_its_own(tree):
    stem = "sub-01/func/sub-01_task-rest_run-{}"
    files = tree(coreg(stem.format(1)), coreg(stem.format(2)))
    for run in ("1", "2"):
        (path,) = find_transforms(files, {**RUN, "run": run}, "T1w", "func")
        assert f"_run-{run}_" in path.name


def test_echoes_share_that_of_their_run(tree):
    files = tree(coreg())
    assert len(find_transforms(files, {**RUN, "echo": "2"}, "T1w", "func")) == 1


def test_anatomy_of_the_own_session_comes_before_that_above(tree):
    own = anat("T1w", MNI, "sub-01/ses-b/anat/sub-01_ses-b_acq-mprage")
    other = anat("T1w", MNI, "sub-01/ses-a/anat/sub-01_ses-a")
    files = tree(own, other, anat("T1w", MNI))
    (path,) = find_transforms(files, {**RUN, "ses": "b"}, MNI, "T1w")
    assert path.name == own.rpartition("/")[2]
    (path,) = find_transforms(files, {**RUN, "ses": "c"}, MNI, "T1w")
    assert "_ses-" not in path.name


def test_only_anatomy_may_be_in_another_session(tree):
    files = tree(anat("T1w", MNI, "sub-01/ses-a/anat/sub-01_ses-a"))
    assert len(find_transforms(files, {**RUN, "ses": "b"}, MNI, "T1w")) == 1


@pytest.mark.parametrize("mine", ["sub-01/ses-b/anat/sub-01_ses-b", "sub-01/anat/sub-01"])
def test_no_part_of_the_way_is_in_another_session_while_there_is_another_way(tree, mine):
    # By T2w in the run's own session (or above sessions); directly in another one.
    files = tree(
        anat("T1w", MNI, "sub-01/ses-a/anat/sub-01_ses-a"),
        anat("T2w", MNI, mine),
        "sub-01/ses-b/func/sub-01_ses-b_task-rest_from-boldref_to-T2w_mode-image_xfm.txt",
        "sub-01/ses-b/func/sub-01_ses-b_task-rest_from-boldref_to-T1w_mode-image_xfm.txt",
    )
    way = find_transforms(files, {**RUN, "ses": "b"}, MNI, "func")
    assert names(way) == [f"T2w_to-{MNI}_mode-image_xfm.h5", "boldref_to-T2w_mode-image_xfm.txt"]


@pytest.mark.parametrize(("run", "own"), [("1", "01"), ("01", "1")])
def test_indices_are_matched_by_value(tree, run, own):
    stem = "sub-01/func/sub-01_task-rest_run-{}"
    files = tree(coreg(stem.format(own)), coreg(stem.format("2")))
    (path,) = find_transforms(files, {**RUN, "run": run}, "T1w", "func")
    assert f"_run-{own}_" in path.name


def test_runs_of_one_index_have_two_transforms_that_do_the_same(tree):
    stem = "sub-01/func/sub-01_task-rest_run-{}"
    files = tree(coreg(stem.format("1")), coreg(stem.format("01")))
    with pytest.raises(InvalidDatasetError, match=r"run-01_.*run-1_.* do the same"):
        find_transforms(files, RUN, "T1w", "func")


@pytest.mark.parametrize(
    ("source", "found"), [("MNIInfant+2", 1), ("MNIInfant", 1), ("MNIInfant+1", 0)]
)
def test_templates_with_or_without_their_cohort(tree, source, found):
    files = tree(anat("T1w", "MNIInfant+2"))
    assert len(find_transforms(files, RUN, source, "T1w")) == found


def test_several_in_other_sessions_are_not_chosen_from(tree):
    files = tree(
        anat("T1w", MNI, "sub-01/ses-a/anat/sub-01_ses-a"),
        anat("T1w", MNI, "sub-01/ses-c/anat/sub-01_ses-c"),
    )
    with pytest.raises(InvalidDatasetError, match=r"ses-a.*ses-c"):
        find_transforms(files, {**RUN, "ses": "b"}, MNI, "T1w")


def test_functional_transforms_of_another_session_are_not_the_runs(tree):
    files = tree(coreg("sub-01/ses-a/func/sub-01_ses-a_task-rest_run-1"))
    assert find_transforms(files, {**RUN, "ses": "b"}, "T1w", "func") == ()


def test_anatomy_of_another_participant_is_not_the_runs(tree):
    files = tree(anat("T1w", MNI, "sub-02/anat/sub-02"), participant="02")
    assert len(files) == 1
    assert find_transforms(files, RUN, MNI, "T1w") == ()


def test_t2w_reference_and_template_with_cohort(tree):
    files = tree(
        anat("T2w", "MNIInfant+2"),
        "sub-01/func/sub-01_task-rest_run-1_from-boldref_to-T2w_mode-image_desc-coreg_xfm.txt",
    )
    assert len(find_transforms(files, RUN, "MNIInfant+2", "func")) == 2


def test_templates_are_not_linked_through_a_subject(tree):
    files = tree(anat("T1w", MNI), anat("MNI152NLin6Asym", "T1w"))
    assert find_transforms(files, RUN, MNI, "MNI152NLin6Asym") == ()


@pytest.mark.parametrize("version", ["20.2.0rc0", "21.0.1"])
def test_real_trees(test_data, tree, version):
    listing = (test_data / "trees" / f"ds000001-fmriprep-{version}.txt").read_text().split()
    tree(
        *[
            entry[entry.index("sub-") :]
            for entry in listing
            if "/sub-" in f"/{entry}" and "xfm" in entry
        ]
    )
    files = tree(participant="10")
    run = {"sub": "10", "task": "balloonanalogrisktask", "run": "3"}
    for template in (MNI, "MNI152NLin6Asym"):
        assert [path.name for path in find_transforms(files, run, template, "func")] == [
            f"sub-10_from-T1w_to-{template}_mode-image_xfm.h5",
            "sub-10_task-balloonanalogrisktask_run-3_from-scanner_to-T1w_mode-image_xfm.txt",
        ]


def rotation(axis, degrees, *shift):
    """Matrix (4, 4) of a rotation about an axis, then a shift; mm, RAS."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler(axis, degrees, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def write_affine(path, matrix):
    """Write an ITK transform, which is in LPS, that takes points by a matrix in RAS."""
    flip = np.diag([-1, -1, 1, 1])
    lps = flip @ matrix @ flip
    numbers = " ".join(f"{x:.14g}" for x in [*lps[:3, :3].ravel(), *lps[:3, 3]])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        f"Parameters: {numbers}\nFixedParameters: 0 0 0\n"
    )


def test_the_transform_of_the_run_comes_before_that_of_the_task(tmp_path):
    """Rotations do not commute: an order or a file that is wrong moves points elsewhere."""
    to_anatomy, of_run = rotation("y", 25, 3, -2, 7), rotation("x", -40, 0, 5, 1)
    func = tmp_path / "sub-01" / "func"
    ends = "_from-boldref_to-T1w_mode-image_desc-coreg_xfm.txt"
    anatomy = tmp_path / "sub-01" / "anat" / f"sub-01_from-T1w_to-{MNI}_mode-image_xfm.txt"
    write_affine(anatomy, to_anatomy)
    write_affine(func / f"sub-01_task-rest{ends}", rotation("z", 70, 1, 1, 1))
    write_affine(func / f"sub-01_task-rest_run-1{ends}", of_run)
    points = np.array([[10.0, -20, 30], [-5, 8, 2]])
    moved = chain_points(points, find_transforms(transform_files(tmp_path, "01"), RUN, MNI, "func"))
    np.testing.assert_allclose(moved, apply_affine(of_run @ to_anatomy, points), atol=1e-4)
    of_task = RUN | {"run": "2"}
    moved = chain_points(
        points, find_transforms(transform_files(tmp_path, "01"), of_task, MNI, "func")
    )
    expected = apply_affine(rotation("z", 70, 1, 1, 1) @ to_anatomy, points)
    np.testing.assert_allclose(moved, expected, atol=1e-4)


def test_of_transforms_of_a_run_that_of_the_most_entities_counts(tmp_path):
    func = tmp_path / "sub-01" / "func"
    ends = "from-boldref_to-T1w_mode-image_desc-coreg_xfm.txt"
    files = [
        func / f"sub-01_task-x{own}_{ends}" for own in ("", "_acq-a", "_acq-a_run-1", "_run-2")
    ]
    run = {"sub": "01", "task": "x", "acq": "a", "run": "01"}
    assert find_transforms(files, run, "T1w", "func") == (files[2],)
    assert find_transforms(files[:2], run, "T1w", "func") == (files[1],)
    assert find_transforms(files[:1], run, "T1w", "func") == (files[0],)
    assert find_transforms(files[3:], run, "T1w", "func") == ()


def test_files_are_in_the_order_of_their_names_and_clashes_too(tree):
    labels = ["k", "c", "x", "a", "q", "f", "u", "h"]
    files = tree(*(anat("T1w", f"MNI{label}") for label in labels))
    assert names(files) == [f"T1w_to-MNI{label}_mode-image_xfm.h5" for label in sorted(labels)]
    stem = "sub-01/func/sub-01_task-rest_run-{}"
    both = tree(coreg(stem.format("1")), coreg(stem.format("01")))
    with pytest.raises(InvalidDatasetError, match=r"run-01_\S+ and \S+_run-1_\S+ do the same"):
        find_transforms(both[::-1], RUN, "T1w", "func")


@pytest.mark.parametrize(
    "name",
    [
        f"sub-01_from-T1w_to-{MNI}_mode-points_xfm.h5",
        f"sub-01_from-T1w_to-{MNI}_xfm.h5",
        f"sub-01_from-T1w_to-{MNI}_mode-image_xfm.json",
        f"sub-01_from-T1w_to-{MNI}_mode-image_desc-brain_xfm.h5",
        f"sub-02_from-T1w_to-{MNI}_mode-image_xfm.h5",
    ],
)
def test_of_files_that_are_given_only_transforms_of_images_of_the_participant_count(tmp_path, name):
    folder = tmp_path / "sub-01" / "anat"
    usable = folder / f"sub-01_from-T1w_to-{MNI}_mode-image_xfm.mat"
    assert find_transforms([folder / name], RUN, MNI, "T1w") == ()
    assert find_transforms([folder / name, usable], RUN, MNI, "T1w") == (usable,)


def test_of_ways_by_both_anatomical_images_that_by_t1w_counts(tree):
    stem = "sub-01/func/sub-01_task-rest_run-1_from-boldref_to-{}_mode-image_xfm.txt"
    files = tree(*(anat(x, MNI) for x in ("T2w", "T1w")), *map(stem.format, ("T2w", "T1w")))
    assert names(find_transforms(files, RUN, MNI, "func")) == [
        f"T1w_to-{MNI}_mode-image_xfm.h5",
        "boldref_to-T1w_mode-image_xfm.txt",
    ]
    # Of T1w there is only a part of the way.
    part = [path for path in files if "boldref_to-T1w" not in path.name]
    assert names(find_transforms(part, RUN, MNI, "func"))[0].startswith("T2w_to-")


def test_a_transform_of_runs_without_a_task_in_its_name_is_the_runs_by_its_entities(tmp_path):
    """It lies in func, so that another session's is no run's, and one with the task counts more."""
    func = tmp_path / "sub-01" / "ses-a" / "func"
    ends = "from-boldref_to-T1w_mode-image_desc-coreg_xfm.txt"
    of_session, of_task = (func / f"sub-01_ses-a_{own}{ends}" for own in ("", "task-x_"))
    run = {"sub": "01", "ses": "a", "task": "x", "run": "2"}
    assert find_transforms([of_session, of_task], run, "T1w", "func") == (of_task,)
    assert find_transforms([of_session], run, "T1w", "func") == (of_session,)
    assert find_transforms([of_session], run | {"ses": "b"}, "T1w", "func") == ()
