"""The table of exclusions, kept by many processes."""

from __future__ import annotations

import json
import multiprocessing

import pytest

from bids_spheres.errors import DataError, UsageError
from bids_spheres.outputs.shared import EXCLUSION_COLUMNS, record_exclusions

HEADER = (
    "participant_id\tsession_id\tsource\tstrategy\treason\tn_volumes\tn_kept\trank\t"
    "lost_to_filter\tlost_to_censoring\tdegrees_of_freedom\tseconds\tmin_degrees_of_freedom\t"
    "min_volumes\tmin_seconds\n"
)


def bold(participant="01", run=1):
    return f"sub-{participant}/func/sub-{participant}_task-rest_run-{run}_desc-preproc_bold.nii.gz"


def row(strategy="simple", participant="01", run=1, **changes):
    return {
        "participant_id": f"sub-{participant}",
        "session_id": None,
        "source": bold(participant, run),
        "strategy": strategy,
        "reason": "3 of 200 volumes are left, fewer than 100",
        "n_volumes": 200,
        "n_kept": 3,
        "rank": 26,
        "lost_to_filter": 0,
        "lost_to_censoring": 0,
        "degrees_of_freedom": -23,
        "seconds": 2.4,
        "min_degrees_of_freedom": 1,
        "min_volumes": 100,
        "min_seconds": None,
        **changes,
    }


def table(output_dir):
    """Source and strategy of every row."""
    lines = (output_dir / "exclusions.tsv").read_text().split("\n")
    assert lines[0] + "\n" == HEADER
    assert lines[-1] == ""
    return [tuple(line.split("\t")[2:4]) for line in lines[1:-1]]


def test_a_row(tmp_path):
    source = "sub-01/ses-a/func/sub-01_ses-a_bold.nii.gz"
    made = row(session_id="ses-a", source=source, seconds=1 / 3, min_seconds=240.0)
    record_exclusions(tmp_path, source, ["simple"], [made])
    assert (tmp_path / "exclusions.tsv").read_text() == HEADER + (
        f"sub-01\tses-a\t{source}\tsimple\t3 of 200 volumes are left, fewer than 100\t"
        "200\t3\t26\t0\t0\t-23\t0.3333333333\t1\t100\t240\n"
    )


def test_what_is_missing_is_na(tmp_path):
    made = row(rank=None, min_volumes=None, reason="")
    record_exclusions(tmp_path, bold(), ["simple"], [made])
    assert (tmp_path / "exclusions.tsv").read_text() == HEADER + (
        f"sub-01\tn/a\t{bold()}\tsimple\tn/a\t200\t3\tn/a\t0\t0\t-23\t2.4\t1\tn/a\tn/a\n"
    )


def test_columns_are_described(tmp_path):
    record_exclusions(tmp_path, bold(), ["simple"], [row()])
    about = json.loads((tmp_path / "exclusions.json").read_text())
    assert list(about) == HEADER.split() == list(EXCLUSION_COLUMNS)
    assert all(about[name]["Description"] for name in EXCLUSION_COLUMNS)
    assert {name: about[name]["Units"] for name in EXCLUSION_COLUMNS if "Units" in about[name]} == {
        "seconds": "s",
        "min_seconds": "s",
    }


def test_reasons_stay_on_their_line(tmp_path):
    reason = 'no\tvolume\r\nis left of "200"'
    record_exclusions(tmp_path, bold(), ["simple"], [row(reason=reason)])
    lines = (tmp_path / "exclusions.tsv").read_text().split("\n")
    assert lines[1].split("\t")[4] == 'no volume is left of "200"'
    assert len(lines) == 3


def test_a_run_speaks_for_itself_and_for_the_strategies_tried(tmp_path):
    both = ["simple", "24P"]
    record_exclusions(tmp_path, bold(run=1), both, [row("simple"), row("24P")])
    record_exclusions(tmp_path, bold(run=2), both, [row("simple", run=2)])
    record_exclusions(tmp_path, bold(run=1), ["36P"], [row("36P")])
    everything = [(bold(run=1), "24P"), (bold(run=1), "36P"), (bold(run=1), "simple")]
    assert table(tmp_path) == [*everything, (bold(run=2), "simple")]
    record_exclusions(tmp_path, bold(run=1), both, [row("24P", n_kept=4)])
    assert table(tmp_path) == [*everything[:2], (bold(run=2), "simple")]
    assert "\t200\t4\t26\t" in (tmp_path / "exclusions.tsv").read_text().split("\n")[1]


def test_order_is_that_of_people(tmp_path):
    runs = [("10", 1), ("2", 10), ("2", 9), ("02", 1), ("1", 1)]
    for participant, run in runs:
        for strategy in ("36P", "9P"):
            made = row(strategy, participant, run)
            record_exclusions(tmp_path, made["source"], [strategy], [made])
    sources = [bold("1"), bold("02"), bold("2", 9), bold("2", 10), bold("10")]
    assert table(tmp_path) == [(source, name) for source in sources for name in ("9P", "36P")]


def test_no_table_is_left_without_rows(tmp_path):
    record_exclusions(tmp_path, bold(), ["simple"], [row()])
    record_exclusions(tmp_path, bold(), ["simple"], [])
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
    record_exclusions(tmp_path, bold(run=2), ["simple"], [row(run=2)])
    assert table(tmp_path) == [(bold(run=2), "simple")]


def test_where_nothing_is_to_be_said_nothing_is_done(tmp_path):
    record_exclusions(tmp_path, bold(), ["simple"], [])
    assert list(tmp_path.iterdir()) == []
    record_exclusions(tmp_path, bold(), ["simple"], [row()])
    before = {path: path.stat() for path in tmp_path.rglob("*")}
    record_exclusions(tmp_path, bold(), ["simple"], [row()])
    record_exclusions(tmp_path, bold(), ["24P"], [])
    record_exclusions(tmp_path, bold(run=2), ["simple"], [])
    after = {path: path.stat() for path in tmp_path.rglob("*")}
    assert [(path, s.st_ino, s.st_mtime_ns) for path, s in after.items()] == [
        (path, s.st_ino, s.st_mtime_ns) for path, s in before.items()
    ]


@pytest.mark.parametrize(
    "text", ["run\treason\n", HEADER + "sub-01\tn/a\n", HEADER.replace("\t", ",")]
)
def test_a_table_that_is_not_ours_is_left_alone(tmp_path, text):
    path = tmp_path / "exclusions.tsv"
    path.write_text(text)
    with pytest.raises(DataError, match="is not the table that is kept there") as error:
        record_exclusions(tmp_path, bold(), ["simple"], [row()])
    assert str(path) in error.value.message
    assert path.read_text() == text


def test_a_row_that_a_killed_call_left_out_of_the_table_is_withdrawn_as_well(tmp_path):
    record_exclusions(tmp_path, bold(), ["simple"], [row()])
    (tmp_path / "exclusions.tsv").unlink()
    record_exclusions(tmp_path, bold(), ["simple"], [])
    # What others may put into the table meanwhile is told to go by a part that says so.
    (part,) = (tmp_path / "logs" / "exclusions").iterdir()
    assert part.name.endswith("-none.tsv")
    assert not (tmp_path / "exclusions.tsv").exists()


@pytest.mark.parametrize("strange", [row(run=2), row("24P")])
def test_rows_of_others_are_refused(tmp_path, strange):
    with pytest.raises(UsageError, match="is not among the exclusions"):
        record_exclusions(tmp_path, bold(), ["simple"], [row(), strange])
    assert list(tmp_path.iterdir()) == []


def calls(output_dir, participants, keep):
    """Every run excluded for both strategies; then for one, or for none."""
    for participant in participants:
        source = bold(participant)
        both = [row(strategy, participant) for strategy in ("simple", "24P")]
        yield output_dir, source, ["simple", "24P"], both
        yield output_dir, source, ["simple", "24P"], both[:1] if keep(participant) else []


@pytest.mark.slow
def test_no_row_of_another_process_is_lost(tmp_path):
    everyone = [f"{number:02d}" for number in range(60)]
    work = list(calls(tmp_path, everyone, keep=lambda label: int(label) % 3 == 0))
    with multiprocessing.get_context("spawn").Pool(12) as pool:
        pool.starmap(record_exclusions, work, chunksize=10)
        pool.close()
        pool.join()
    assert table(tmp_path) == [(bold(label), "simple") for label in everyone[::3]]
    assert not list(tmp_path.rglob(".tmp-*"))
