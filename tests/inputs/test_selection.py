"""Which images are selected, by names alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bids_spheres.errors import DataError, InvalidDatasetError, NothingSelectedError
from bids_spheres.files.names import parse_name
from bids_spheres.inputs.matching import find_events
from bids_spheres.inputs.selection import Filter, Selection, read_filters
from tests.inputs.conftest import select

FIRST, SECOND = "MNI152NLin2009cAsym", "MNI152NLin6Asym"


def files_of(*stems):
    """Images by the beginnings of their names."""
    names = [f"{stem}_desc-preproc_bold.nii.gz" for stem in stems]
    return [(Path(name), parse_name(name)) for name in names]


def apply(selection, files, usable=bool):
    """Beginnings of the names of what is selected, and of what is skipped with the reason."""
    skipped = []
    left = selection.apply(files, usable, skipped)
    assert len(left) + len(skipped) == len(files)
    return [stem(path) for path, _ in left], {stem(path): why for path, why in skipped}


def stem(path):
    return path.name.removesuffix("_desc-preproc_bold.nii.gz")


# The space of images where none is named


def test_every_participant_is_in_the_first_mni_space_that_it_has(caplog):
    files = files_of(
        *(f"sub-1_task-x_space-{space}" for space in ("T1w", SECOND, FIRST)),
        *(f"sub-2_task-x_space-{space}" for space in ("MNI152Lin", SECOND)),
        *(f"sub-3_task-x_space-{space}" for space in ("MNIPediatricAsym", "MNIInfant_cohort-2")),
        *("sub-4_task-x", "sub-4_task-x_space-T1w"),
    )
    left, skipped = apply(Selection(), files)
    assert left == [
        f"sub-1_task-x_space-{FIRST}",
        f"sub-2_task-x_space-{SECOND}",
        "sub-3_task-x_space-MNIInfant_cohort-2",
    ]
    assert set(skipped.values()) == {"in another space than the one that is taken"}
    assert "Left out: sub-4: in no MNI space in which the seeds can be used" in caplog.text
    assert "Available: space-(none), space-MNI152Lin, space-MNI152NLin2009cAsym" in caplog.text
    (line,) = (line for line in caplog.messages if "in different spaces" in line)
    assert f"{FIRST}: sub-1; {SECOND}: sub-2; MNIInfant+2: sub-3" in line


def test_a_space_in_which_seeds_can_be_used_comes_before_the_preferred_one(caplog):
    files = files_of(*(f"sub-{i}_task-x_space-{s}" for i in (1, 2) for s in (FIRST, SECOND)))
    left, _ = apply(Selection(), files, lambda space: space == SECOND)
    assert left == [f"sub-{i}_task-x_space-{SECOND}" for i in (1, 2)]
    # Where they can be used in none, the error about them says why.
    left, _ = apply(Selection(), files, lambda _: False)
    assert left == [f"sub-{i}_task-x_space-{FIRST}" for i in (1, 2)]
    assert "different spaces" not in caplog.text


def test_a_run_that_lacks_the_space_of_its_participant_is_named(caplog):
    files = files_of(
        *(f"sub-1_task-x_run-1_space-{space}" for space in (FIRST, SECOND)),
        *(f"sub-1_task-x_run-{run}_space-{SECOND}" for run in (10, 9, 22, 4)),
        "sub-1_task-x_run-3_space-T1w",
    )
    left, _ = apply(Selection(), files)
    assert left == [f"sub-1_task-x_run-1_space-{FIRST}"]
    (line,) = (line for line in caplog.messages if "taken for the participant" in line)
    first, *others, last = (f"sub-1_task-x_run-{run}" for run in (4, 9, 10, 22))
    assert line.startswith(f"{first}, {', '.join(others)} and {last}: no image in the space")


def test_no_mni_space_and_no_magnitude():
    with pytest.raises(NothingSelectedError, match="no --space is given") as error:
        apply(Selection(), files_of("sub-1_task-x_space-T1w", "sub-1_task-x"))
    assert error.value.hint == "Available: space-(none) and space-T1w."
    phase = files_of(f"sub-1_task-x_part-phase_space-{FIRST}")
    with pytest.raises(NothingSelectedError, match="No image of magnitude, only sub-1_task-x_part"):
        apply(Selection(), phase)
    assert apply(Selection(others=(Filter("-", "part", ("phase",)),)), phase)[0]


def test_of_other_mni_spaces_the_first_by_name_is_taken():
    spaces = [f"MNI{label}" for label in ("Pediatric", "305", "Infant", "152Lin", "Colin27")]
    files = files_of(*(f"sub-1_task-x_space-{space}" for space in spaces))
    assert apply(Selection(), files)[0] == ["sub-1_task-x_space-MNI152Lin"]


# Labels


@pytest.mark.parametrize(
    ("key", "labels", "numbers"),
    [
        ("run", ("1",), [0, 1]),
        ("run", ("02", ""), [2, 3]),
        ("run", ("*",), [0, 1, 2]),
        ("run", ("*", ""), [0, 1, 2, 3]),
        ("space", ("MNIInfant:cohort-2",), [0]),
        ("space", ("MNIInfant",), [0, 1]),
        ("space", ("func",), [2]),
        ("space", ("boldref", "T1w"), [2, 3]),
        ("res", ("2",), [1]),
        ("res", ("",), [0, 2, 3]),
        ("acq", ("a",), [0, 1, 2]),
        ("acq", ("01", "a"), [0, 1, 2]),
    ],
)
def test_labels_choose_images(key, labels, numbers):
    stems = [
        "sub-1_task-x_acq-a_run-1_space-MNIInfant_cohort-2",
        "sub-1_task-x_acq-a_run-01_space-MNIInfant_cohort-3_res-2",
        "sub-1_task-x_acq-a_run-2",
        "sub-1_task-x_acq-1_space-T1w",
    ]
    spaces = ("func", "T1w", "MNIInfant")
    others = ((key, labels),) if key == "acq" else ()
    wanted = {"space": spaces, **({} if others else {key: labels})}
    left, skipped = apply(select(others, **wanted), files_of(*stems))
    assert left == [stems[i] for i in numbers]
    assert all(labels[0] in why for why in skipped.values())


def test_labels_that_no_image_has(caplog):
    files = files_of(f"sub-1_task-x_run-2_space-{FIRST}", f"sub-2_task-y_run-10_space-{FIRST}")
    left, _ = apply(select(task=("x", "z")), files)
    assert left == [f"sub-1_task-x_run-2_space-{FIRST}"]
    assert "z: no run has it. Available: task-x and task-y." in caplog.text
    assert "Left out: sub-2: " in caplog.text
    with pytest.raises(NothingSelectedError, match="leaves no run") as error:
        apply(select(run=("3",)), files)
    assert error.value.hint == "Available: run-2 and run-10."


def test_a_resolution_is_chosen_among_images_of_the_space():
    stems = [f"sub-1_task-x_space-{space}_res-2" for space in (SECOND, "MNI152Lin")]
    stems += [f"sub-1_task-x_space-{SECOND}"]
    left, _ = apply(select(res=("2",)), files_of(*stems))
    assert left == stems[:1]


def test_a_resolution_does_not_choose_the_space():
    stems = [f"sub-1_task-x_space-{FIRST}", f"sub-1_task-x_space-{SECOND}_res-2"]
    with pytest.raises(NothingSelectedError, match="--res 2 leaves no run") as error:
        apply(select(res=("2",)), files_of(*stems))
    assert error.value.hint == "Available: res-(none)."
    assert apply(select(res=("2",), space=(FIRST, SECOND)), files_of(*stems))[0] == stems[1:]


def test_any_mni_space_may_be_the_one_in_which_seeds_can_be_used():
    stems = [f"sub-1_task-x_space-{space}" for space in ("MNI152Lin", "MNI152NLin6Sym", "MNI305")]
    for stem_ in stems:
        left, _ = apply(Selection(), files_of(*stems), lambda space, own=stem_: own.endswith(space))
        assert left == [stem_]


def test_every_entity_of_a_filter_file_counts():
    stems = [f"sub-1_task-x_acq-{a}_dir-{d}_run-{r}" for a in "pq" for d in "lr" for r in (1, 2)]
    files = files_of(*(f"{stem_}_space-{FIRST}" for stem_ in stems))
    others = (("acq", ("q",)), ("dir", ("l",)), ("run", ("02",)))
    for n in range(4):
        left, _ = apply(select(others[:n]), files)
        assert len(left) == 8 // 2**n
    assert left == [f"sub-1_task-x_acq-q_dir-l_run-2_space-{FIRST}"]


# Filter files


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            {"bold": {"session": ["ses-01", 2], "run": None, "acquisition": "*"}, "t1w": {}},
            (("ses", ("01", "2")), ("run", ("",)), ("acq", ("*",))),
        ),
        ({"direction": "dir-AP", "echo": [1, None]}, (("dir", ("AP",)), ("echo", ("1", "")))),
        ({"suffix": "bold", "datatype": "func", "desc": "x", "task": "x"}, (("task", ("x",)),)),
        ({"t1w": {"session": "01"}}, ()),
        ({"subject": "sub-01"}, (("sub", ("01",)),)),
        ({"ceagent": "a", "reconstruction": "b"}, (("ce", ("a",)), ("rec", ("b",)))),
        ({"resolution": "res-2", "density": 1}, (("res", ("2",)), ("den", ("1",)))),
        ({"extension": ".nii.gz", "scope": "raw", "run": 1}, (("run", ("1",)),)),
        *(({kind: {"run": 1}}, ()) for kind in ("sbref", "t2w", "flair", "roi", "fmap", "flash")),
        ({}, ()),
    ],
)
def test_filter_files_as_those_of_fmriprep(tmp_path, content, expected):
    path = tmp_path / "filters.json"
    path.write_text(json.dumps(content))
    assert read_filters(path) == expected
    assert read_filters(None) == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"sesion": "1"}, "no entity 'sesion'"),
        ({"bold": {"run": []}}, "run must be a label"),
        ({"bold": {"run": [True]}}, "run must be a label"),
        ({"run": 1.5}, "run must be a label"),
        ({"run": {"a": 1}}, "run must be a label"),
        ({"bold": ["run"]}, '"bold" must hold entities'),
    ],
)
def test_filter_files_that_make_no_sense(tmp_path, content, said):
    path = tmp_path / "filters.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=said):
        read_filters(path)


# Events


def test_of_events_those_with_most_of_the_runs_entities_count_wherever_they_are(tmp_path):
    folder = tmp_path / "sub-01" / "func"
    folder.mkdir(parents=True)
    near, far = folder / "task-x_events.tsv", tmp_path / "task-x_run-2_events.tsv"
    near.touch()
    run = parse_name("sub-01_task-x_run-2_bold.nii.gz")
    assert find_events(run, tmp_path) == near
    far.touch()
    assert find_events(run, tmp_path) == far


def test_events_are_inherited_from_the_folders_above(tmp_path):
    run = parse_name("sub-01_ses-b_task-x_run-1_space-T1w_desc-preproc_bold.nii.gz")
    folder = tmp_path / "sub-01" / "ses-b" / "func"
    folder.mkdir(parents=True)
    in_order = [
        tmp_path / "task-x_events.tsv",
        tmp_path / "sub-01" / "sub-01_task-x_events.tsv",
        tmp_path / "sub-01" / "ses-b" / "sub-01_ses-b_task-x_events.tsv",
        folder / "sub-01_ses-b_task-x_run-01_events.tsv",
    ]
    for other in (
        tmp_path / "task-y_events.tsv",
        tmp_path / "sub-01" / "sub-01_task-x_run-2_events.tsv",
        folder / "sub-01_ses-b_task-x_acq-a_events.tsv",
        folder / "not a name_events.tsv",
    ):
        other.touch()
    assert find_events(run, tmp_path) is None
    for path in in_order:
        path.touch()
        assert find_events(run, tmp_path) == path
    twice = folder / "sub-01_ses-b_task-x_run-1_events.tsv"
    twice.touch()
    with pytest.raises(InvalidDatasetError, match="are both the events of one run"):
        find_events(run, tmp_path)


def test_what_is_left_out_is_told_with_the_filter_and_the_participants(caplog):
    labels = (1, 2, 3, 10, 4, 21)
    files = files_of(
        *(f"sub-{i}_task-{'x' if i < 3 else 'y'}_run-{i}_space-{FIRST}" for i in labels),
        f"sub-1_task-y_run-7_space-{FIRST}",
    )
    left, skipped = apply(select(task=("x",)), files)
    assert left == [f"sub-{i}_task-x_run-{i}_space-{FIRST}" for i in (1, 2)]
    assert set(skipped.values()) == {"--task-label x"}
    assert caplog.messages == ["Left out: sub-3, sub-4, sub-10 and sub-21: --task-label x"]


def test_filters_apply_one_after_the_other_and_part_only_when_it_is_asked_for():
    stems = [
        f"sub-1_task-{task}_part-{part}_space-{FIRST}"
        for task in "xy"
        for part in ("mag", "phase", "real", "imag")
    ]
    left, skipped = apply(select(task=("x",)), files_of(*stems))
    assert left == stems[:1]
    phase = 'not of magnitude, and no --bids-filter-file asks for its "part"'
    assert [why for why in skipped.values() if why == phase] == [phase] * 6
    left, _ = apply(select((("part", ("phase", "mag")),), task=("y",)), files_of(*stems))
    assert left == stems[4:6]


def test_spaces_that_are_asked_for_are_those_of_every_participant(caplog):
    files = files_of(
        *(f"sub-{i}_task-x_space-{s}" for i, s in ((1, FIRST), (1, "T1w"), (2, "T1w"))),
        "sub-2_task-x",
        *(f"sub-10_task-x_space-{s}" for s in ("T1w", FIRST)),
    )
    left, skipped = apply(select(space=(FIRST, "func", "T1w")), files)
    assert (len(left), skipped) == (6, {})
    (line,) = caplog.messages
    assert line == (
        "Participants are in different spaces, which --space chooses. "
        f"{FIRST} and T1w: sub-1 and sub-10; T1w and func: sub-2"
    )
    caplog.clear()
    left, _ = apply(select(space=("T1w",)), files)
    assert len(left) == 3
    assert caplog.messages == []
    with pytest.raises(NothingSelectedError, match="--space MNI305 leaves no run") as error:
        apply(select(space=("MNI305",)), files)
    assert error.value.hint == f"Available: space-(none), space-{FIRST} and space-T1w."


def test_participants_are_listed_by_their_spaces_in_the_order_of_names(caplog):
    spaces = ["T1w", FIRST, "MNI305", "MNIInfant", "T2w"]
    files = files_of(
        *(f"sub-{i}_task-x_space-T2w" for i in (2, 10, 1)),
        *(f"sub-3_task-x_space-{space}" for space in spaces),
    )
    apply(select(space=tuple(spaces)), files)
    assert caplog.messages[0].endswith(
        f". {FIRST} and MNI305 and MNIInfant and T1w and T2w: sub-3; T2w: sub-1, sub-2 and sub-10"
    )


def test_images_without_a_space_are_not_taken_for_one_of_the_template(caplog):
    files = files_of(f"sub-1_task-x_space-{FIRST}", "sub-1_task-x", "sub-1_task-y_space-MNI")
    left, _ = apply(Selection(), files)
    assert left == [f"sub-1_task-x_space-{FIRST}"]
    assert caplog.messages == []


def test_a_space_of_a_filter_file_may_be_any(caplog):
    files = files_of(f"sub-1_task-x_space-{FIRST}", "sub-1_task-x_space-T1w", "sub-1_task-x")
    for label, number in (("T1w", 1), ("", 2), (FIRST, 0)):
        left, skipped = apply(select((("space", (label,)),)), files)
        assert left == [stem(files[number][0])]
        assert set(skipped.values()) == {f"--bids-filter-file {label}"}
    assert caplog.messages == []


def test_labels_are_listed_in_their_natural_order():
    files = files_of(*(f"sub-1_task-x_run-{i}_space-{FIRST}" for i in (30, 4, 11, 2, 10, 1)))
    with pytest.raises(NothingSelectedError) as error:
        apply(select(run=("3",)), files)
    assert error.value.hint == "Available: run-1, run-2, run-4, run-10, run-11 and run-30."


def test_seeds_that_can_be_used_for_one_participant_decide_for_none_of_the_others(caplog):
    files = files_of(
        *(f"sub-1_task-x_space-{space}" for space in (FIRST, SECOND)),
        f"sub-2_task-x_space-{FIRST}",
        f"sub-3_task-x_space-{SECOND}",
    )
    left, skipped = apply(Selection(), files, lambda space: space == SECOND)
    assert left == [f"sub-{i}_task-x_space-{SECOND}" for i in (1, 3)]
    assert len(skipped) == 2
    assert "Left out: sub-2: in no MNI space in which the seeds can be used" in caplog.text
    # The runs of one who is left out are not listed as well.
    assert len(caplog.messages) == 1


def test_participants_are_chosen_before_when_files_are_found(caplog):
    files = files_of(*(f"sub-{i}_task-x_space-{FIRST}" for i in (1, 2)))
    assert len(apply(select(sub=("2", "3")), files)[0]) == 2
    assert caplog.messages == []


def test_where_nothing_is_left_nobody_is_named_as_left_out(caplog):
    files = files_of(*(f"sub-{i}_task-x_space-{FIRST}" for i in (1, 2)))
    with pytest.raises(NothingSelectedError, match="--task-label y leaves no run"):
        apply(select(task=("y",)), files)
    assert caplog.messages == []


def test_an_image_of_a_part_that_bids_does_not_know_is_used():
    stems = [f"sub-1_task-x_part-{part}_space-{FIRST}" for part in ("own", "phase")]
    assert apply(Selection(), files_of(*stems))[0] == stems[:1]


def test_a_label_that_stands_for_none_is_not_missed(caplog):
    files = files_of(*(f"sub-1_task-x_run-{i}_space-{FIRST}" for i in (1, 2)))
    left, _ = apply(select(run=("2", "")), files)
    assert left == [f"sub-1_task-x_run-2_space-{FIRST}"]
    assert caplog.messages == []


@pytest.mark.parametrize(("label", "other"), [("func", "boldref"), ("boldref", "func")])
def test_a_space_that_is_named_as_the_grid_of_acquisition_is_one_too(label, other):
    stems = ["sub-1_task-x", f"sub-1_task-y_space-{label}", f"sub-1_task-z_space-{other}"]
    assert apply(select(space=(label,)), files_of(*stems))[0] == stems[:2]
