"""What a call of the group level takes from its settings, and from where it takes tables."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from bids_spheres.app import group_level
from bids_spheres.app.group_level import dry_run_group, raw_datasets, run_group_level
from bids_spheres.app.parser import main_parser, settings_of
from bids_spheres.errors import DataError, MissingInputError


@pytest.fixture
def places(tmp_path):
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    return tmp_path / "in", tmp_path / "out"


@pytest.fixture
def run(places, monkeypatch):
    """Run the group level with a stand-in for its work; return options and what was done."""
    done = SimpleNamespace(records=[], problems=[], pages=[])

    def work(_, options):
        done.options = options
        return list(done.problems)

    def page(*words):
        done.pages.append(words)
        return "page"

    monkeypatch.setattr(group_level, "run_group", work)
    monkeypatch.setattr(group_level, "write_record", lambda *words: done.records.append(words))
    monkeypatch.setattr("bids_spheres.reports.group.write_group_report", page)

    def call(*words):
        options = main_parser().parse_args([*map(str, places), "group", *map(str, words)])
        done.returned = run_group_level(settings_of(options))
        return done

    return call


def test_what_a_call_does(run, caplog):
    done = run()
    assert (len(done.records), len(done.pages), done.returned) == (1, 1, [])
    assert len(run("--report-level", "none").pages) == 1
    assert len(run("--reports-only").records) == 2
    assert len(done.pages) == 2
    done.problems = ["a failed", "b failed"]
    caplog.clear()
    caplog.set_level("WARNING", "bids_spheres")  # which another call may have lowered
    assert run("--executor", "dask").returned == ["a failed", "b failed"]
    levels = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert levels == [
        (
            "WARNING",
            "--executor dask does nothing at the group level, which is one process.",
        ),
        ("ERROR", "a failed"),
        ("ERROR", "b failed"),
    ]


def test_what_the_record_and_the_page_of_a_call_are_about(run, places):
    work = places[1].parent / "work"
    done = run("--work-dir", work, "--tail", "positive")
    ((folder, settings),) = done.records
    assert (folder, settings["tail"], settings["work_dir"]) == (places[1], "positive", str(work))
    ((folder, temporary, names),) = done.pages
    assert (folder, temporary) == (places[1], work)
    # Options of this level, those of both levels included.
    assert {"tail", "model", "overwrite", "atlas"} <= set(names)
    assert not {"concatenate", "detrend", "fd_threshold"} & set(names)


def test_what_is_selected(run, tmp_path):
    strategy = tmp_path / "mine.json"
    strategy.write_text(json.dumps({"name": "own", "description": "x"}))
    options = run(
        *("--task-label", "rest", "a", "--run", "2", "--strategy", "36P", strategy),
        *("--atlas", "Power2011", "--seeds", "my seeds.tsv", "1,2,3", "4,5,6"),
        *("--parcellation", "Schaefer2018_desc-100Parcels7Networks", "--roi", "roi.nii"),
        *("--connectivity", "partial", "fisher-z", "--radius", "4", "6.5", "--space", "T1w"),
        *("--seed-maps", "--controls"),
    ).options
    chosen = dict(options.select)
    assert (chosen["task"], chosen["run"], chosen["space"]) == (("rest", "a"), ("2",), ("T1w",))
    assert chosen["desc"] == ("36P", "own")
    assert chosen["scale"] == ("4mm", "6p5mm", "")
    assert chosen["stat"] == ("partialcorrelation", "fisherz")
    regions = ("100Parcels7Networks", "roi")
    assert chosen["seeds"] == ("Power2011", "myseeds", "typed", *regions)
    assert (options.seed_maps, options.controls) == (("all",), True)
    plain = run().options
    assert plain.select == ()
    assert (plain.seed_maps, plain.controls) == ((), False)
    # Regions have no radius.
    assert dict(run("--radius", 4).options.select)["scale"] == ("4mm", "")


def write_table(folder, *labels):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "participants.tsv"
    rows = "".join(f"sub-{label}\t{i}\n" for i, label in enumerate(labels))
    path.write_text(f"participant_id\tage\n{rows}")
    return path


def test_a_table_is_taken_from_the_input_and_then_from_the_output(run, places):
    source, out = places
    with pytest.raises(MissingInputError) as caught:
        run("--model", "age")
    first, raw, last = source, source / "sourcedata" / "raw", out
    assert caught.value.message.endswith(f"is not in {first}, {raw}, {last}.")
    assert "--participants-table FILE" in caught.value.hint
    ours = write_table(out, "1")
    assert run("--model", "age").options.participants_table == ours
    theirs = write_table(raw, "1")
    assert run("--blocks", "age").options.participants_table == theirs
    own = write_table(places[0].parent / "mine", "1")
    named = run("--model", "age", "--participants-table", own)
    assert named.options.participants_table == own
    # No column is asked for.
    assert run("--participants-table", own).options.participants_table is None


@pytest.mark.parametrize(
    "words",
    [
        ("--blocks", "site"),
        ("--variance-groups", "site"),
        ("--clusters", "site"),
        ("--harmonize", "site"),
        ("--qcfc-covariates", "age"),
    ],
)
def test_options_with_columns_need_a_table(run, words):
    with pytest.raises(MissingInputError, match=r"options with columns need participants\.tsv"):
        run(*words)


def test_participants_that_are_expected(run, places, caplog):
    source, _ = places
    write_table(source, "01", "02")
    for name in ("sub-02", "derivatives/fmriprep-24/sub-03"):
        (source / name).mkdir(parents=True)
    (source / "sub-09").touch()
    other = places[0].parent / "other"
    (other / "sub-04").mkdir(parents=True)
    expected = dict(run("--derivatives", f"x={other}").options.expected)
    here, table = "in the input, without outputs", "in participants.tsv, not in the input"
    assert expected == {"sub-01": table} | dict.fromkeys(("sub-02", "sub-03", "sub-04"), here)
    assert list(expected) == ["sub-01", "sub-02", "sub-03", "sub-04"]
    (source / "participants.tsv").write_text("a\tb\n1\t2\n")
    caplog.clear()
    assert "sub-01" not in dict(run().options.expected)
    assert "Missing participants can't be looked up in the table: " in caplog.text
    with pytest.raises(DataError):
        run("--model", "age")
    with pytest.raises(DataError):
        run("--participants-table", source / "participants.tsv")


def test_where_a_raw_dataset_is_looked_for(tmp_path):
    study = tmp_path / "study"
    fmriprep = study / "derivatives" / "fmriprep"
    fmriprep.mkdir(parents=True)
    raw = [fmriprep / "sourcedata" / "raw", study, study / "sourcedata" / "raw"]
    assert list(raw_datasets(fmriprep)) == [fmriprep, *raw]
    (tmp_path / "data").mkdir()
    links = {"Name": "x", "BIDSVersion": "1.9.0", "DatasetLinks": {"raw": "../../../data"}}
    (fmriprep / "dataset_description.json").write_text(json.dumps(links))
    found = list(raw_datasets(fmriprep))
    assert [Path(path).resolve() for path in found] == [fmriprep, tmp_path / "data", *raw]
    (fmriprep / "dataset_description.json").write_text("{")
    assert list(raw_datasets(fmriprep)) == [fmriprep, *raw]
    link = tmp_path / "link"
    link.symlink_to(fmriprep)
    assert list(raw_datasets(link)) == [link, *raw]
    alone = tmp_path / "alone" / "fmriprep"
    alone.mkdir(parents=True)
    assert list(raw_datasets(alone)) == [alone, alone / "sourcedata" / "raw"]


def test_a_dry_run_counts_participants_and_matrices(places, capsys):
    _, out = places
    for run in ("sub-1_task-a", "sub-2_task-a", "sub-2_task-b", "sub-2_task-b_run-1"):
        folder = out / run.split("_")[0] / "func"
        folder.mkdir(parents=True, exist_ok=True)
        middle = "space-MNI305_seg-x_stat-pearsoncorrelation_desc-simple"
        (folder / f"{run}_{middle}_relmat.tsv").touch()
    options = main_parser().parse_args([*map(str, places), "group", "--task-label", "b"])
    dry_run_group(settings_of(options))
    (line,) = capsys.readouterr().out.splitlines()
    assert "task-b" in line.replace("task b", "task-b")
    assert line.endswith(": 1 participant, 2 matrices")
    dry_run_group(settings_of(main_parser().parse_args([*map(str, places), "group"])))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "2 participants, 2 matrices",
        "1 participant, 2 matrices",
    ]
