"""Names to entities and back; outputs of different runs never have one name."""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
import pytest
from bidsschematools.schema import load_schema
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bids_spheres.confounds.strategy_file import load_strategy
from bids_spheres.engine.seeds import SeedTable
from bids_spheres.files.names import (
    ENTITY_ORDER,
    IMAGE_ENTITIES,
    INDICES,
    Name,
    as_written,
    entity_value,
    is_mni,
    named_files,
    natural,
    parse_name,
    plain_label,
    same_template,
)
from bids_spheres.inputs.runs import Run, Tables
from bids_spheres.participant.plan import Job, JobImage, Work
from bids_spheres.settings.table import Processing

OURS = ("atlas", "seg", "scale", "stat", "label", "desc")
"""Entities that outputs have and preprocessed images don't, but for `desc`."""

LABELS = st.text(string.ascii_letters + string.digits + "+", min_size=1, max_size=8)
KEYS = st.lists(st.sampled_from(ENTITY_ORDER), unique=True, min_size=1)
UNKNOWN = st.text(string.ascii_lowercase, min_size=2, max_size=4)
SEEDS = SeedTable("mine", ("a",), np.zeros((1, 3)), np.ones(1))


@st.composite
def names(draw, keys=KEYS):
    keys = sorted(draw(keys), key=ENTITY_ORDER.index)
    entities = tuple((key, draw(LABELS)) for key in keys)
    suffix = draw(st.text(string.ascii_letters + string.digits, min_size=1, max_size=8))
    return Name(entities, suffix, draw(st.sampled_from([".nii.gz", ".tsv", ".json"])))


@st.composite
def image_names(draw):
    """Names of preprocessed images of a participant."""
    keys = [key for key in ENTITY_ORDER if key not in OURS]
    labels = {key: draw(LABELS) for key in {"sub", *draw(st.sets(st.sampled_from(keys)))}}
    if "space" not in labels:
        labels.pop("cohort", None)
    labels["desc"] = draw(st.sampled_from(["preproc", "nonaggrDenoised"]))
    ordered = sorted(labels.items(), key=lambda entity: ENTITY_ORDER.index(entity[0]))
    return Name(tuple(ordered), "bold", ".nii.gz")


def job_of(name):
    """Job on one image, and the one strategy it is for."""
    bold, strategy = Path(str(name)), load_strategy("simple")
    work = Work((SEEDS,), (strategy,), Processing(), Path("/out"), ())
    run = Run(name.with_("bold", ".nii.gz"), (("preproc", bold),), None, Tables())
    return Job(run, (JobImage(bold, (strategy,)),), (), None, work), strategy


def of_image(name):
    """Outputs that are different for every image of a run."""
    job, strategy = job_of(name)
    return {
        job.paths.spheres(SEEDS, ".nii.gz"),
        job.paths.spheres(SEEDS),
        job.paths.series(SEEDS, strategy.name),
        job.paths.matrix(SEEDS, strategy.name, "pearsoncorrelation"),
    }


def of_run(name):
    """Outputs that all images of a run share."""
    job, strategy = job_of(name)
    return {job.paths.design(strategy.name), job.paths.outliers(strategy.name)}


@given(names())
@settings(derandomize=True, deadline=None)
def test_round_trip(name):
    assert parse_name(str(name)) == name


@given(image_names())
@settings(derandomize=True, deadline=None)
def test_names_of_outputs_are_names(name):
    for path in of_image(name) | of_run(name):
        made = parse_name(path.name)
        assert str(made) == path.name
        assert path.parent == Path("/out") / made.folder


@given(names(), st.sampled_from(["atlas", "seg", "stat", "desc"]), LABELS)
@settings(derandomize=True, deadline=None)
def test_new_entities_keep_the_others_and_the_order(name, key, label):
    assume(not {"space", "cohort"} <= {k for k, _ in name.entities})
    made = name.with_("relmat", ".tsv", **{key: label})
    labels = {k: v for k, v in name.entities if k != "desc"} | {key: label}
    assert dict(made.entities) == labels
    ranks = [ENTITY_ORDER.index(k) for k, _ in made.entities]
    assert ranks == sorted(ranks)


@given(image_names(), st.data())
@settings(derandomize=True, deadline=None)
def test_one_other_entity_is_another_name(name, data):
    """An entity with another label, one that is not there, or one that BIDS does not know."""
    labels = dict(name.entities)
    known = [
        key for key in ENTITY_ORDER if key not in OURS and (key != "cohort" or "space" in labels)
    ]
    key = data.draw(st.sampled_from(known) | UNKNOWN.filter(lambda key: key not in ENTITY_ORDER))
    label = data.draw(LABELS)
    assume(labels.get(key) != label)
    other = Name(tuple({**labels, key: label}.items()), "bold", ".nii.gz")
    assert not of_image(name) & of_image(other)
    if key in IMAGE_ENTITIES:
        assert of_run(name) == of_run(other)
    else:
        assert not of_run(name) & of_run(other)


def test_the_image_of_a_strategy_is_not_in_the_name():
    first, second = (
        parse_name(f"sub-1_task-a_space-T1w_desc-{desc}_bold.nii.gz") for desc in ("a", "b")
    )
    assert of_image(first) == of_image(second)


def test_order_is_that_of_the_bids_schema():
    schema = load_schema()
    order = [schema.objects.entities[name]["name"] for name in schema.rules.entities]
    shared = [key for key in ENTITY_ORDER if key in order]
    assert shared == [key for key in order if key in shared]
    # Of a draft.
    assert set(ENTITY_ORDER) - set(order) == {"stat"}


@pytest.mark.parametrize(
    "filename",
    [
        *("bold.nii.gz", "sub-01", "sub-01_task-a_task-b_bold.nii", "sub_bold.nii"),
        *("sub-01__bold.nii", "sub-01_bold", "sub-01_task-a.nii", "sub-01_.nii", "sub-0_1_b-.nii"),
    ],
)
def test_what_is_no_bids_name(filename):
    with pytest.raises(ValueError, match=r"BIDS file|entity twice"):
        parse_name(filename)


def test_unknown_entities_survive():
    name = parse_name("sub-1_task-a_foo-3_space-T1w_desc-preproc_bold.nii.gz")
    made = name.with_("timeseries", ".tsv", seg="mine", desc="simple")
    assert str(made) == "sub-1_task-a_foo-3_space-T1w_seg-mine_desc-simple_timeseries.tsv"


def test_unknown_entities_stand_after_the_images_and_before_those_of_derivatives():
    name = parse_name("sub-1_foo-3_task-a_hemi-L_space-T1w_res-2_desc-preproc_bold.nii.gz")
    assert str(name.with_("x", ".tsv")) == "sub-1_task-a_hemi-L_foo-3_space-T1w_res-2_x.tsv"


def test_a_cohort_joins_its_template():
    name = parse_name("sub-1_task-a_space-MNIInfant_cohort-2_res-1_desc-preproc_bold.nii.gz")
    made = name.with_("timeseries", ".tsv", seg="mine", desc="simple")
    assert str(made) == "sub-1_task-a_space-MNIInfant+2_seg-mine_res-1_desc-simple_timeseries.tsv"
    assert str(name.with_("design", ".tsv", space=None, cohort=None, res=None)) == (
        "sub-1_task-a_design.tsv"
    )


def test_folder():
    assert str(parse_name("sub-1_ses-b_task-a_bold.nii").folder) == "sub-1/ses-b/func"
    assert str(parse_name("sub-1_task-a_bold.nii").folder) == "sub-1/func"


def test_indices_are_numbers():
    values = [entity_value("run", label) for label in ("01", "1", "00", "10")]
    assert values == ["1", "1", "0", "10"]
    assert entity_value("task", "01") == "01"


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("MNIInfant+2", "MNIInfant", True),
        ("MNIInfant", "MNIInfant+2", True),
        ("MNIInfant+2", "MNIInfant+2", True),
        ("MNIInfant+2", "MNIInfant+3", False),
        ("MNIInfant+2", "MNIPediatric+2", False),
        (None, None, True),
        ("T1w", None, False),
    ],
)
def test_a_cohort_may_be_left_out(first, second, same):
    assert same_template(first, second) is same


def test_indices_are_those_of_the_schema():
    entities = load_schema().objects.entities
    assert {entities[key]["name"] for key in entities if entities[key]["format"] == "index"} == set(
        INDICES
    )


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        *((name, True) for name in ("MNI152Lin", "MNI152NLin2009cAsym", "MNI152NLin6Sym")),
        *((name, True) for name in ("MNI305", "MNIColin27", "MNIInfant", "MNIPediatricAsym+2")),
        *((name, False) for name in ("MNI", "T1w", "Talairach", "fsaverage", "MNI152", "xMNI305")),
    ],
)
def test_spaces_of_the_mni(space, expected):
    assert is_mni(space) is expected


def test_numbers_in_names_are_sorted_as_numbers():
    names = ["b1", "run-10", "run-2a1", "run-2", "a", "run-02b", "10", "9"]
    expected = ["9", "10", "a", "b1", "run-2", "run-2a1", "run-02b", "run-10"]
    assert sorted(names, key=natural) == expected


def test_letters_and_digits():
    assert plain_label("my-Atlas_2 (v1.0) é") == "myAtlas2v10"
    assert as_written([("sub", "01"), ("task", "a")]) == ["sub-01", "task-a"]


def test_values_are_normalized_and_labels_stay_as_they_are_written():
    name = parse_name("sub-01_ses-02_run-003_echo-0_space-MNIInfant_cohort-2_desc-preproc_bold.nii")
    assert name.get("run") == "003"
    assert name.get("task") is None
    assert name.space == "MNIInfant+2"
    assert name.values == {
        "sub": "01",
        "ses": "02",
        "run": "3",
        "echo": "0",
        "space": "MNIInfant+2",
        "desc": "preproc",
    }
    assert name.source == (("sub", "01"), ("ses", "02"), ("run", "003"), ("echo", "0"))
    assert (name.suffix, name.extension) == ("bold", ".nii")
    image = parse_name("sub-01_space-MNIInfant_cohort-2_hemi-L_res-1_den-2_desc-x_bold.nii")
    assert image.source == (("sub", "01"), ("hemi", "L"))
    alone = parse_name("sub-01_cohort-2_T1w.nii")
    assert (alone.space, alone.values["cohort"]) == (None, "2")
    assert [entity_value("run", label) for label in ("1a", "01a", "0+1")] == ["1a", "01a", "0+1"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "sub-1_task-a_bold_space-MNI152NLin2009cAsym_variant-smoothAROMAnonaggr_preproc.nii.gz",
            "sub-1_task-a_space-MNI152NLin2009cAsym_desc-smoothAROMAnonaggr_bold.nii.gz",
        ),
        (
            "sub-1_task-a_bold_space-T1w_brainmask.nii.gz",
            "sub-1_task-a_space-T1w_desc-brain_mask.nii.gz",
        ),
        ("sub-1_task-a_bold_confounds.tsv", "sub-1_task-a_desc-confounds_timeseries.tsv"),
        ("sub-1_task-a_bold_preproc.nii.gz", "sub-1_task-a_desc-preproc_bold.nii.gz"),
    ],
)
def test_names_of_the_first_fmriprep(old, new):
    assert str(parse_name(old)) == new


def test_files_with_other_names_are_left_out():
    paths = [Path("a/README"), Path("b/sub-1_bold.nii"), Path("c/sub-1_sub-2_bold.nii")]
    assert list(named_files(paths)) == [(paths[1], parse_name("sub-1_bold.nii"))]
