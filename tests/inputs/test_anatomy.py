"""Images of a participant's anatomy that belong to a BOLD image, by names alone."""

from __future__ import annotations

import pytest

from bids_spheres.files.names import parse_name
from bids_spheres.inputs.matching import anatomical_mask, lesion_masks, tissue_images

MNI = "MNI152NLin2009cAsym"


@pytest.fixture
def bold(tmp_path):
    """A BOLD image of the second of two sessions."""
    for session in ("a", "b"):
        (tmp_path / "sub-01" / f"ses-{session}" / "func").mkdir(parents=True)
    return tmp_path / "sub-01" / "ses-b" / "func" / f"sub-01_ses-b_task-x_space-{MNI}_bold.nii.gz"


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_the_brain_mask_is_that_of_the_anatomy_itself_and_of_the_same_session(bold, tmp_path):
    root = tmp_path / "sub-01"
    in_order = [
        "ses-b/anat/sub-01_ses-b_acq-1_desc-brain_mask.nii.gz",
        "ses-b/anat/sub-01_ses-b_acq-2_desc-brain_mask.nii.gz",
        "anat/sub-01_desc-brain_mask.nii.gz",
        "ses-a/anat/sub-01_ses-a_desc-brain_mask.nii.gz",
    ]
    touch(
        root,
        f"ses-b/anat/sub-01_ses-b_space-{MNI}_desc-brain_mask.nii.gz",
        f"anat/sub-01_space-{MNI}_desc-brain_mask.nii.gz",
        "anat/sub-01_desc-ribbon_mask.nii.gz",
    )
    assert anatomical_mask(bold) is None
    touch(root, *in_order)
    for name in in_order:
        assert anatomical_mask(bold) == root / name
        (root / name).unlink()


def test_of_other_sessions_the_first_by_name_has_the_mask(tmp_path):
    for session in ("m", "x", "c", "k", "z"):
        touch(tmp_path / "sub-01", f"ses-{session}/anat/sub-01_ses-{session}_desc-brain_mask.nii")
    bold = tmp_path / "sub-01" / "ses-w" / "func" / "sub-01_ses-w_task-x_bold.nii.gz"
    assert anatomical_mask(bold).name == "sub-01_ses-c_desc-brain_mask.nii"


def test_probabilities_of_tissues_come_before_a_segmentation(bold, tmp_path):
    root = tmp_path / "sub-01" / "anat"
    assert tissue_images(bold.parent, MNI) == {}
    touch(
        root,
        f"sub-01_space-{MNI}_desc-aseg_dseg.nii.gz",
        f"sub-01_space-{MNI}_atlas-Tian_dseg.nii.gz",
        f"sub-01_space-{MNI}_label-bone_probseg.nii.gz",
        "sub-01_dseg.nii.gz",
        "sub-01_label-GM_probseg.nii.gz",
    )
    assert tissue_images(bold.parent, MNI) == {}
    native = {
        "GM": (root / "sub-01_label-GM_probseg.nii.gz", None),
        "WM": (root / "sub-01_dseg.nii.gz", 2),
        "CSF": (root / "sub-01_dseg.nii.gz", 3),
    }
    assert tissue_images(bold.parent, "T1w") == tissue_images(bold.parent, "T2w") == native
    assert tissue_images(bold.parent, "func") == {}
    touch(root, f"sub-01_space-{MNI}_res-2_dseg.nii.gz")
    numbers = {label: number for label, (_, number) in tissue_images(bold.parent, MNI).items()}
    assert numbers == {"GM": 1, "WM": 2, "CSF": 3}
    touch(root, f"sub-01_space-{MNI}_label-WM_probseg.nii.gz")
    session = tmp_path / "sub-01" / "ses-b" / "anat"
    touch(session, f"sub-01_ses-b_space-{MNI}_label-WM_probseg.nii.gz")
    found = tissue_images(bold.parent, MNI)
    assert found["WM"] == (session / f"sub-01_ses-b_space-{MNI}_label-WM_probseg.nii.gz", None)
    assert found["CSF"] == (root / f"sub-01_space-{MNI}_res-2_dseg.nii.gz", 3)


def test_lesions_are_those_of_the_participant_the_session_and_the_space(tmp_path):
    run = parse_name(f"sub-01_ses-b_task-x_space-{MNI}_bold.nii.gz")
    used = [
        f"sub-01_space-{MNI}_label-lesion_roi.nii.gz",
        f"deep/er/sub-01_ses-b_space-{MNI}_dseg.nii",
        f"deep/sub-01_space-{MNI}_mask.nii.gz",
    ]
    touch(
        tmp_path,
        *used,
        f"sub-01_ses-a_space-{MNI}_mask.nii.gz",
        f"sub-02_space-{MNI}_mask.nii.gz",
        f"space-{MNI}_mask.nii.gz",
        f"sub-01_space-{MNI}_T1w.nii.gz",
        "sub-01_mask.nii.gz",
        "sub-01_space-T1w_mask.nii.gz",
        "lesion mask.nii.gz",
    )
    assert sorted(lesion_masks(tmp_path, run, MNI)) == sorted(tmp_path / name for name in used)
    native = {path.name for path in lesion_masks(tmp_path, run, "T1w")}
    assert native == {"sub-01_mask.nii.gz", "sub-01_space-T1w_mask.nii.gz"}


def test_a_folder_above_the_dataset_may_be_named_like_a_participant(tmp_path):
    """As of a study of one person, which has its datasets in sub-01."""
    root = tmp_path / "sub-07" / "fmriprep" / "sub-01"
    image = root / "ses-b" / "func" / f"sub-01_ses-b_task-x_space-{MNI}_bold.nii.gz"
    image.parent.mkdir(parents=True)
    touch(root, "anat/sub-01_desc-brain_mask.nii.gz")
    touch(tmp_path / "sub-07", "anat/sub-07_desc-brain_mask.nii.gz")
    assert anatomical_mask(image) == root / "anat" / "sub-01_desc-brain_mask.nii.gz"
