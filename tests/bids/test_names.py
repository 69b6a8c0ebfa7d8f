"""Names to entities and back."""

from __future__ import annotations

import string

import pytest
from bidsschematools.schema import load_schema
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_spheres.bids.names import ENTITY_ORDER, Name, parse_name

LABELS = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)
KEYS = st.lists(st.sampled_from(ENTITY_ORDER), unique=True, min_size=1)


@st.composite
def names(draw):
    keys = sorted(draw(KEYS), key=ENTITY_ORDER.index)
    entities = tuple((key, draw(LABELS)) for key in keys)
    return Name(entities, draw(LABELS), draw(st.sampled_from([".nii.gz", ".tsv", ".json"])))


@given(names())
@settings(derandomize=True, deadline=None)
def test_round_trip(name):
    assert parse_name(str(name)) == name


@given(names(), st.sampled_from(["atlas", "seg", "stat", "desc"]), LABELS)
@settings(derandomize=True, deadline=None)
def test_new_entities_keep_the_others_and_the_order(name, key, label):
    made = name.with_("relmat", ".tsv", **{key: label})
    labels = {k: v for k, v in name.entities if k != "desc"} | {key: label}
    assert dict(made.entities) == labels
    ranks = [ENTITY_ORDER.index(k) for k, _ in made.entities]
    assert ranks == sorted(ranks)


def test_order_is_that_of_the_bids_schema():
    schema = load_schema()
    order = [schema.objects.entities[name]["name"] for name in schema.rules.entities]
    # fMRIPrep writes the cohort of a template behind its space; stat is a draft.
    shared = [key for key in ENTITY_ORDER if key in order and key != "cohort"]
    assert shared == [key for key in order if key in shared]
    assert set(ENTITY_ORDER) - set(order) == {"stat"}


@pytest.mark.parametrize(
    "filename",
    ["bold.nii.gz", "sub-01", "sub-01_task-a_task-b_bold.nii", "sub_bold.nii", "sub-01__bold.nii"],
)
def test_what_is_no_bids_name(filename):
    with pytest.raises(ValueError, match=r"BIDS file|entity twice"):
        parse_name(filename)


def test_unknown_entities_survive():
    name = parse_name("sub-1_task-a_foo-3_space-T1w_desc-preproc_bold.nii.gz")
    made = name.with_("timeseries", ".tsv", seg="mine", desc="simple")
    assert str(made) == "sub-1_task-a_foo-3_space-T1w_seg-mine_desc-simple_timeseries.tsv"


def test_folder():
    assert str(parse_name("sub-1_ses-b_task-a_bold.nii").folder) == "sub-1/ses-b/func"
    assert str(parse_name("sub-1_task-a_bold.nii").folder) == "sub-1/func"
