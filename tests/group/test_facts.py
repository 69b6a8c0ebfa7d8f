"""Reading what the participant level wrote."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from bids_spheres.errors import BidsSpheresError, DataError, MissingInputError
from bids_spheres.group.facts import (
    OtherVersionError,
    as_integer,
    check_geometry,
    differences,
    read_facts,
    regressor_kinds,
)
from bids_spheres.group.options import GroupOptions
from bids_spheres.group.workflow import run_group
from bids_spheres.outputs.read import read_columns, read_upper_triangle
from tests.group.conftest import SETTINGS, correlations, without, write_tsv

NAMES = ("a", "1", 'say "x"', "NA")


def matrix_file(path, matrix, names=NAMES):
    table = pd.DataFrame(matrix, columns=list(names))
    table.insert(0, "Node", list(names))
    write_tsv(path, table)
    return path


@pytest.mark.parametrize(("diagonal", "k"), [(False, 1), (True, 0)])
def test_upper_triangle(tmp_path, rng, diagonal, k):
    matrix = without(correlations(rng, 4) * 1e-7, 2)
    path = matrix_file(tmp_path / "m.tsv", matrix)
    read = read_upper_triangle(path, NAMES, diagonal=diagonal)
    np.testing.assert_allclose(read, matrix[np.triu_indices(4, k)], rtol=1e-9)


def test_upper_triangle_of_one_node(tmp_path):
    path = matrix_file(tmp_path / "m.tsv", np.array([[2.5]]), ("a",))
    assert read_upper_triangle(path, ("a",), diagonal=False).tolist() == []
    assert read_upper_triangle(path, ("a",), diagonal=True).tolist() == [2.5]


@pytest.mark.parametrize("names", [NAMES[::-1], NAMES[:3], (*NAMES, "more")])
def test_other_nodes(tmp_path, names):
    path = matrix_file(tmp_path / "m.tsv", np.eye(4))
    with pytest.raises(DataError, match="other nodes"):
        read_upper_triangle(path, names, diagonal=False)


@pytest.mark.parametrize(
    ("line", "cut", "said"),
    [
        (2, "1\t0\t1\t0", "not square"),  # a cell too few
        (2, "1\t0\t1\t0\t0\t0", "not square"),
        (1, "a\t1\t0\t0\tmuch", "not a number"),
        (1, "a\t1\t0\t\t0", "empty cell"),
        (1, "a\t1\t0\tinf\t0", "not finite"),
        (1, "a\t1\t0\t0.5\x00\x00\t0", "not a number"),
        (1, "a\t1\t0\t0.5 0.5\t0", "not a number"),
        (1, "b\t1\t0\t0\t0", "other nodes"),
        (3, None, "not square"),
    ],
)
def test_matrices_that_were_cut_or_changed(tmp_path, line, cut, said):
    path = matrix_file(tmp_path / "m.tsv", np.eye(4))
    lines = path.read_text().splitlines()
    lines[line:] = [cut, *lines[line + 1 :]] if cut else []
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=said):
        read_upper_triangle(path, NAMES, diagonal=False)


def test_rows_in_another_order_than_columns(tmp_path, rng):
    path = matrix_file(tmp_path / "m.tsv", correlations(rng, 4))
    header, first, second, *rest = path.read_text().splitlines()
    path.write_text("\n".join([header, second, first, *rest]) + "\n")
    with pytest.raises(DataError, match="other nodes"):
        read_upper_triangle(path, NAMES, diagonal=True)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("lost", [1, 2, 9, 30, None])
def test_matrices_that_end_too_early(tmp_path, rng, lost, diagonal):
    """Also by half of the last number, which would still be one."""
    path = matrix_file(tmp_path / "m.tsv", rng.standard_normal((4, 4)))
    path.write_bytes(path.read_bytes()[: -lost if lost else 0])
    with pytest.raises(DataError, match=r"cut off|empty|not square"):
        read_upper_triangle(path, NAMES, diagonal=diagonal)


def test_columns_as_text(tmp_path):
    columns = {"name": NAMES, "x": [1, -2.5, 3, 4], "network": ["n/a", 'a "b', "c", "d"]}
    write_tsv(tmp_path / "t.tsv", pd.DataFrame(columns))
    read = read_columns(tmp_path / "t.tsv", ("x", "name", "network"))
    assert read == {
        "x": ("1", "-2.5", "3", "4"),
        "name": NAMES,
        "network": ("n/a", 'a "b', "c", "d"),
    }


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"name\tx\n",  # no row
        b"name\tx\na\t1",  # cut off, maybe within a number
        b"name\tx\na\n",
        b"name\ny\n",
        b"name\tx\na\xff\t1\n",
        b'name\tx\n"a\t1\nb\t2\n',
    ],
)
def test_tables_that_can_not_be_used(tmp_path, content):
    (tmp_path / "t.tsv").write_bytes(content)
    with pytest.raises(DataError, match=r"t\.tsv"):
        read_columns(tmp_path / "t.tsv", ("x", "name"))


def test_no_matrix(tmp_path):
    with pytest.raises(MissingInputError):
        read_upper_triangle(tmp_path / "m.tsv", NAMES, diagonal=False)


def facts(path, **changes):
    content = {**SETTINGS, **changes}
    path.with_suffix(".json").write_text(json.dumps(content))
    return read_facts(path)


def test_facts_of_a_run(tmp_path):
    read = facts(tmp_path / "m.tsv", DegreesOfFreedom=61.5)
    assert (read.n_volumes, read.n_kept, read.degrees_of_freedom) == (120, 110, 61.5)
    assert (read.mean_fd, read.n_fd, read.excluded) == (0.1, 119, None)
    assert np.isnan([read.mean_fd_recomputed, read.rank, read.lost_to_filter]).all()
    # The well-known variance of Fisher's z, 1 / (n - 3), is near the exact one for many volumes.
    assert read.weight == pytest.approx(62.5 - 3, abs=0.01)


def test_the_degrees_of_freedom_of_an_excluded_run_need_not_be_known(tmp_path):
    read = facts(tmp_path / "m.tsv", DegreesOfFreedom=None, Excluded="too short")
    assert np.isnan(read.degrees_of_freedom)


def test_motion_that_is_not_known(tmp_path):
    unknown = {"MeanFramewiseDisplacement": None, "VolumesWithFramewiseDisplacement": 0}
    assert np.isnan(facts(tmp_path / "m.tsv", **unknown).mean_fd)


@pytest.mark.parametrize(
    ("changes", "possible"),
    [
        ({"NumberOfVolumesKept": 120}, True),
        ({"NumberOfVolumesKept": 121}, False),
        ({"NumberOfVolumesKept": 0, "Excluded": "nothing is left"}, True),
        ({"NumberOfVolumesKept": -1, "Excluded": "nothing is left"}, False),
        ({"NumberOfVolumesKept": 0, "NumberOfVolumes": 0, "Excluded": "empty"}, False),
        ({"VolumesWithFramewiseDisplacement": 120}, True),
        ({"VolumesWithFramewiseDisplacement": 121}, False),
        ({"VolumesWithFramewiseDisplacement": 1}, True),
        ({"VolumesWithFramewiseDisplacement": 0}, False),
        ({"MeanFramewiseDisplacement": 0}, True),
        ({"MeanFramewiseDisplacement": -0.01}, False),
        ({"DegreesOfFreedom": 1.01}, True),
        ({"DegreesOfFreedom": 1}, False),
        ({"DegreesOfFreedom": 1, "Excluded": "too short"}, True),
        ({"Excluded": 1}, False),
    ],
)
def test_numbers_of_a_run_that_can_be(tmp_path, changes, possible):
    if possible:
        assert facts(tmp_path / "m.tsv", **changes).n_kept == changes.get(
            "NumberOfVolumesKept", 110
        )
        return
    with pytest.raises(DataError, match=r"m\.json"):
        facts(tmp_path / "m.tsv", **changes)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"Radius": 5}, True),  # however the number is written
        ({"Radius": 6.0}, False),
        ({"SmoothingFWHM": 6}, False),
        ({"CensoringThresholds": {"fd_threshold": 0.5}}, False),
        ({"SoftwareFilters": {"Temporal": {"low_pass": 0.1}}}, False),
        ({"Standardize": False}, False),
        ({"NuisanceParameters": ["trans_x", "cosine00", "cosine01"]}, True),  # a longer run
        ({"NuisanceParameters": ["cosine00"]}, False),
        *(
            ({key: "other"}, False)
            for key in ("Seeds", "SeedSpace", "Mask", "MinimumCoverage", "Overlap", "Aggregation")
        ),
        *(({key: "other"}, False) for key in ("Strategy", "HeadMotion", "RelationshipMeasure")),
        *(({key: True}, False) for key in ("ValidDiagonal", "DummyScans")),
        ({"Description": "other", "MinimumDegreesOfFreedom": 15}, True),
        ({"Excluded": "too short", "NumberOfVolumesKept": 10, "RankRemoved": 3}, True),
        ({"MeanFramewiseDisplacement": 0.7, "DegreesOfFreedom": 3}, True),
        ({"Sources": ["bids::x"]}, True),
    ],
)
def test_settings_that_matter(tmp_path, changes, same):
    path = tmp_path / "m.tsv"
    assert (facts(path).settings == facts(path, **changes).settings) is same


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1]",
        "{",
        json.dumps({"GeneratedBy": SETTINGS["GeneratedBy"]}),
        json.dumps({**SETTINGS, "DegreesOfFreedom": None}),
        json.dumps({**SETTINGS, "DegreesOfFreedom": 0}),
        json.dumps({**SETTINGS, "NuisanceParameters": None}),
    ],
)
def test_sidecars_that_can_not_be_used(tmp_path, content):
    (tmp_path / "m.json").write_text(content)
    with pytest.raises(BidsSpheresError, match=r"m\.json"):
        read_facts(tmp_path / "m.tsv")


def test_kinds_of_regressors_do_not_depend_on_the_run():
    short = ["csf", "trans_x_power2", "w_comp_cor_00", "aroma_motion_04"]
    long = [*short, "cosine00", "cosine01", "w_comp_cor_01", "motion_outlier00"]
    assert regressor_kinds(short) == regressor_kinds(long)
    assert regressor_kinds(short) == ["csf", "trans_x_power2", "w_comp_cor_*"]
    assert regressor_kinds(["trans_x_derivative1"]) != regressor_kinds(["trans_x"])


@pytest.mark.parametrize(
    ("patch", "refused"), [("0.2.0", ""), ("0.2.9", ""), ("0.1.9", "0.1.9"), ("1.2.1", "1.2.1")]
)
def test_another_minor_version_is_refused(tmp_path, monkeypatch, patch, refused):
    monkeypatch.setattr("bids_spheres.group.facts.__version__", "0.2.1")
    # What worked on the files later comes behind.
    made_by = [{"Name": "bids_spheres", "Version": patch}, {"Name": "x", "Version": "9.9"}]
    if not refused:
        assert facts(tmp_path / "m.tsv", GeneratedBy=made_by).n_volumes == 120
        return
    with pytest.raises(OtherVersionError, match="Run the participant level again") as caught:
        facts(tmp_path / "m.tsv", GeneratedBy=made_by)
    assert caught.value.version == refused


@pytest.mark.parametrize("made_by", [None, [], [{}], "x", [{"Version": 3}]])
def test_what_tells_no_version_is_of_an_early_one(tmp_path, made_by):
    with pytest.raises(OtherVersionError):
        facts(tmp_path / "m.tsv", GeneratedBy=made_by)


def test_what_sidecars_of_a_group_say_of_settings(tmp_path):
    own = facts(tmp_path / "m.tsv", SmoothingFWHM=6.0, DummyScans=None).described
    assert (own["SmoothingFWHM"], own["Radius"], own["Strategy"]) == (6, 5, "simple")
    assert (own["Description"], own["MinimumDegreesOfFreedom"]) == ("A test.", 1)
    assert own["ValidDiagonal"] is False
    # Regressors depend on the run; what is not set is left out.
    assert not {"NuisanceParameters", "DummyScans", "SeedSpace"} & set(own)


def settings(**values):
    return tuple((key, json.dumps(value)) for key, value in values.items())


def test_differences_name_people_once_and_settings_that_differ_alone():
    made = [
        ("sub-1", settings(a=1, b=None)),
        ("sub-2", settings(a=2, b=None)),
        ("sub-1", settings(a=1, b=None)),
        ("sub-3", settings(a=1, b=None)),
    ]
    assert differences(made) == [
        "a is 1 in 2 participants (sub-1 and sub-3) and 2 in 1 participant (sub-2)"
    ]
    assert differences(made[:1] * 3) == []


def test_long_settings_are_shown_by_where_they_differ():
    first, second = [f"seed {i}" for i in range(12)], [f"seed {i}" for i in range(12)]
    second[4] = second[9] = "other"
    (found,) = differences([("sub-1", settings(x=first)), ("sub-2", settings(x=second))])
    assert found == (
        'x is "seed 4" at place 5 of 12 in 1 participant (sub-1) and "other" at place 5 of 12 in '
        "1 participant (sub-2)"
    )
    (found,) = differences([("sub-1", settings(x=first)), ("sub-2", settings(x=first[:11]))])
    assert (
        found
        == "x is a list of 12 in 1 participant (sub-1) and a list of 11 in 1 participant (sub-2)"
    )
    # What is no list does not say where two lists differ.
    made = [
        ("sub-0", settings(x=None)),
        ("sub-1", settings(x=first)),
        ("sub-2", settings(x=second)),
    ]
    (found,) = differences(made)
    assert found == (
        'x is null in 1 participant (sub-0) and "seed 4" at place 5 of 12 in 1 participant (sub-1) '
        'and "other" at place 5 of 12 in 1 participant (sub-2)'
    )


@pytest.mark.parametrize(
    ("letters", "shown"), [(58, '"' + 58 * "a" + '"'), (59, '"' + 56 * "a" + "...")]
)
def test_long_texts_are_cut_off(letters, shown):
    made = [("sub-1", settings(x="a" * letters)), ("sub-2", settings(x=1))]
    assert differences(made) == [
        f"x is {shown} in 1 participant (sub-1) and 1 in 1 participant (sub-2)"
    ]


def test_spheres_that_were_drawn_again_are_told_by_setting():
    old, new = settings(Radius=5, Mask="run"), settings(Radius=6, Mask="run")
    check_geometry([("sub-1", old, old), ("sub-2", new, new)])
    with pytest.raises(DataError) as error:
        check_geometry([("sub-1", old, new), ("sub-2", old, old), ("sub-3", old, new)])
    assert error.value.message == (
        "spheres were drawn again after the matrices were made: Radius was 5 and is 6 in 2 "
        "participants (sub-1 and sub-3)."
    )


def test_the_space_of_seeds_may_differ_in_pooled_spaces_alone(outputs, rng):
    for label, space in (("01", "MNI152NLin6Asym"), ("02", "MNI152NLin2009cAsym")):
        outputs.add(label, correlations(rng, 5), SeedSpace=space)
    with pytest.raises(DataError, match='SeedSpace is "MNI152NLin6Asym" in 1 participant'):
        run_group(outputs.root, GroupOptions())
    assert run_group(outputs.root, GroupOptions(pool_spaces=True)) == []
    for path in (outputs.root / "group").glob("*_space-MNI_*_[ntpq].json"):
        assert not {"SeedSpace", "Differences"} & set(json.loads(path.read_text()))


def test_numbers_without_a_fraction_are_integers_however_large():
    for text, value in (("5.0", 5), ("2.048e3", 2048), ("-0.0", 0), ("1e6", 1_000_000)):
        assert as_integer(text) == value
        assert isinstance(as_integer(text), int)
    assert as_integer("0.25") == 0.25


def test_the_order_of_keys_of_a_setting_does_not_matter(tmp_path):
    thresholds = {"fd_threshold": 0.5, "std_dvars_threshold": None}
    turned = dict(reversed(thresholds.items()))
    first, second = (
        facts(tmp_path / "m.tsv", CensoringThresholds=own).settings for own in (thresholds, turned)
    )
    assert first == second
