"""The command line: what it answers, with which status, and what it leaves alone."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nilearn.signal import clean as nilearn_clean

from bids_spheres import __version__
from bids_spheres.app import streams
from bids_spheres.app.main import main
from bids_spheres.app.parser import main_parser, settings_of
from bids_spheres.demo.networks import CENTRES, network_correlation
from bids_spheres.engine import extract_spheres, load_seeds
from bids_spheres.errors import OutputError


def snapshot(folder):
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def series_files(output):
    return sorted(output.rglob("*_timeseries.tsv"))


def test_version_and_help(run_app):
    assert run_app("--version").out == f"bids-spheres {__version__}\n"
    shown = run_app("--help")
    assert shown.status == 0
    assert "--atlas" in shown.out
    assert "Exit status" in shown.out


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_start_up_is_cheap(argument):
    code = (
        "import sys\n"
        "from bids_spheres.app.main import main\n"
        "try:\n    main([sys.argv[1]])\n"
        "except SystemExit:\n    pass\n"
        "slow = {'numpy', 'pandas', 'scipy', 'matplotlib', 'bids', 'nibabel', 'tqdm'}\n"
        "sys.exit(', '.join(slow & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, argument], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "bids_spheres", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("bids-spheres ")


def test_own_seeds(run_app, tiny, seeds_file, tmp_path):
    tiny.add_run()
    before = snapshot(tiny.root)
    output = tmp_path / "out"
    done = run_app(tiny.root, output, "participant", "--seeds", seeds_file, "--radius", 6)
    assert done.status == 0, done.err
    (series,) = series_files(output)
    assert series.name == (
        "sub-01_task-rest_space-MNI152NLin2009cAsym_seg-mine_stat-mean_desc-simple_timeseries.tsv"
    )
    table = pd.read_csv(series, sep="\t")
    assert list(table.columns) == ["left", "right", "front", "far"]
    assert table["far"].isna().all()
    assert table.drop(columns="far").notna().all(axis=None)
    assert "1 without a voxel" in done.err
    assert snapshot(tiny.root) == before


@pytest.mark.parametrize(
    "words", [["PCC=0,-52"], ["-38,-22"], ["-38,-22,x"], ["PCC=0;-52;18"], ["-38", "-22", "56"]]
)
def test_seeds_that_are_not_typed_as_three_numbers(run_app, tiny, tmp_path, words):
    done = run_app(tiny.root, tmp_path / "out", "participant", "--seeds", *words)
    assert done.status == 66
    assert "hint: A seed is typed as three numbers in mm" in done.err
    assert words[0] in done.err


def test_typed_seeds(run_app, tiny, seeds_file, tmp_path):
    """A leading minus is that of a number, and the numbers are those of the same table."""
    tiny.add_run()
    table = pd.read_csv(seeds_file, sep="\t")
    words = [
        (f"{name}=" if i else "") + f"{x:g},{y:g},{z:g}"
        for i, (name, x, y, z) in enumerate(zip(*(table[c] for c in ("name", *"xyz")), strict=True))
    ]
    radius = ("--radius", "6")
    run_app(tiny.root, tmp_path / "file", "participant", "--seeds", seeds_file, *radius)
    assert not run_app(
        tiny.root, tmp_path / "typed", "participant", *radius, "--seeds", *words
    ).status
    theirs, ours = series_files(tmp_path / "file"), series_files(tmp_path / "typed")
    assert all("_seg-typed_" in path.name for path in ours)
    for path, other in zip(theirs, ours, strict=True):
        expected, typed = pd.read_csv(path, sep="\t"), pd.read_csv(other, sep="\t")
        np.testing.assert_array_equal(expected.to_numpy(), typed.to_numpy())
        assert list(typed.columns[1:]) == list(table["name"][1:])


def test_a_seed_that_begins_with_a_minus():
    options = main_parser().parse_args(["in", "out", "participant", "--seeds", " -38,-22,56"])
    assert settings_of(options).seeds == ("-38,-22,56",)


@pytest.mark.slow
def test_selection_by_labels_with_and_without_keys(run_app, tiny, seeds_file, tmp_path):
    for stem in (
        "sub-01_ses-a_task-rest_run-01",
        "sub-01_ses-a_task-rest_run-02",
        "sub-01_ses-b_task-rest_run-01",
        "sub-02_ses-a_task-nback_run-1",
    ):
        tiny.add_run(stem)

    def selected(*filters):
        output = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        done = run_app(
            tiny.root, output, "participant", "--seeds", seeds_file, "--strategy", "24P", *filters
        )
        assert done.status == 0, done.err
        return [path.name.split("_space")[0] for path in series_files(output)]

    assert len(selected()) == 4
    assert selected("--participant-label", "sub-02") == ["sub-02_ses-a_task-nback_run-1"]
    assert selected("--participant_label", "02") == ["sub-02_ses-a_task-nback_run-1"]
    assert selected("--session-label", "ses-b") == ["sub-01_ses-b_task-rest_run-01"]
    assert selected("--task-label", "nback") == ["sub-02_ses-a_task-nback_run-1"]
    assert selected("--run", "2") == ["sub-01_ses-a_task-rest_run-02"]
    assert len(selected("--run", "run-1", "--task-label", "task-rest")) == 2


@pytest.mark.slow
def test_same_bytes_for_any_number_of_processes(run_app, tiny, seeds_file, tmp_path):
    for run in (1, 2, 3):
        tiny.add_run(f"sub-01_task-rest_run-{run}")
    contents = []
    for nprocs in (1, 3):
        output = tmp_path / f"out{nprocs}"
        done = run_app(
            *(tiny.root, output, "participant", "--seeds", seeds_file, "--nprocs", nprocs)
        )
        assert done.status == 0, done.err
        # Pages quote the call, as the records in logs do.
        files = [p for p in sorted(output.rglob("*")) if p.is_file() and p.suffix != ".html"]
        files = [p for p in files if p.parent.name != "logs"]
        contents.append({path.relative_to(output): path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    assert len(contents[0]) > 20


def test_failed_runs_leave_the_others(run_app, tiny, seeds_file, tmp_path):
    tiny.add_run("sub-01_task-rest")
    truncated = tiny.add_run("sub-02_task-rest")
    truncated.write_bytes(truncated.read_bytes()[:40_000])
    short = tiny.add_run("sub-03_task-rest", n_volumes=30)
    table = short.with_name("sub-03_task-rest_desc-confounds_timeseries.tsv")
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-2]))
    output = tmp_path / "out"
    done = run_app(tiny.root, output, "participant", "--seeds", seeds_file)
    assert done.status == 1
    assert [path.name[:6] for path in series_files(output)] == ["sub-01"]
    assert "the file ends early, at volume" in done.err
    assert truncated.name in done.err
    assert "has 28 rows, but the BOLD image has 30 volumes" in done.err
    assert "2 of 3 runs failed" in done.err
    assert "Traceback" not in done.err
    assert not list(output.rglob(".tmp-*"))


def test_debug_shows_where_an_error_comes_from(run_app, tiny, seeds_file, tmp_path):
    bold = tiny.add_run()
    bold.write_bytes(gzip.compress(b"no image"))
    done = run_app(tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file, "--debug")
    assert done.status == 1
    assert "Traceback" in done.err


POWER = "{data} {out} participant --atlas Power2011"

BAD_CALLS = [
    (2, "No seeds are given", "{data} {out} participant"),
    (2, "no built-in seed set named 'Power'", "{data} {out} participant --atlas Power"),
    (2, "Did you mean Power2011", "{data} {out} participant --atlas Power2010"),
    (2, "no denoising strategy named 'smple'", f"{POWER} --strategy smple"),
    (2, "lies in the input", "{data} {data}/out participant --atlas Power2011"),
    (2, "is not a length", f"{POWER} --radius=-3"),
    (2, "0 is not a whole number from 1", f"{POWER} --nprocs 0"),
    (16, "has no dataset_description.json", "{tmp} {out} participant --atlas Power2011"),
    (16, "no preprocessed BOLD image", "{empty} {out} participant --atlas Power2011"),
    (16, "raw dataset without fMRIPrep", "{raw} {out} participant --atlas Power2011"),
    (17, "Unknown analysis level 'grup'", "{data} {out} grup --atlas Power2011"),
    (18, "has no sub-99", f"{POWER} --participant-label 99"),
    (18, "--task-label sleep leaves no run", f"{POWER} --task-label sleep"),
    (18, "Available: task-rest", f"{POWER} --task-label sleep"),
    (65, "no column x, y, z", "{data} {out} participant --seeds {badseeds}"),
    (66, "does not exist", "{tmp}/nowhere {out} participant --atlas Power2011"),
    (66, "seed table", "{data} {out} participant --seeds {tmp}/none.tsv"),
    (73, "is a file", "{data} {badseeds} participant --atlas Power2011"),
    (73, "is another dataset", "{data} {raw} participant --atlas Power2011"),
]


@pytest.fixture
def places(tiny, tmp_path):
    """Folders and files that calls go wrong with, by name."""
    tiny.add_run()
    tiny.add_run(space="T1w")
    for name, kind in (("empty", "derivative"), ("raw", "raw")):
        (tmp_path / name).mkdir()
        description = {"Name": name, "BIDSVersion": "1.9.0", "DatasetType": kind}
        (tmp_path / name / "dataset_description.json").write_text(json.dumps(description))
    seeds = tmp_path / "badseeds.csv"
    seeds.write_text("a,b\n1,2\n")
    folders = {name: tmp_path / name for name in ("empty", "raw", "out")}
    return {"data": tiny.root, "tmp": tmp_path, "badseeds": seeds, **folders}


@pytest.mark.parametrize(("status", "phrase", "call"), BAD_CALLS)
def test_bad_input_gets_a_message_and_a_status(run_app, places, status, phrase, call):
    before = snapshot(places["tmp"])
    done = run_app(*(word.format(**places) for word in call.split()))
    assert done.status == status, done.err
    assert phrase in done.err
    assert "Traceback" not in done.err
    assert snapshot(places["tmp"]) == before


def test_a_raw_dataset_with_derivatives_in_it(run_app, tiny, seeds_file, tmp_path):
    raw = tmp_path / "raw"
    (raw / "derivatives").mkdir(parents=True)
    (raw / "dataset_description.json").write_text('{"Name": "raw", "BIDSVersion": "1.9.0"}')
    tiny.add_run()
    named = run_app(
        *(raw, tmp_path / "out1", "participant", "--seeds", seeds_file, "-d", tiny.root)
    )
    assert named.status == 0, named.err
    tiny.root.rename(raw / "derivatives" / "fmriprep-24.1.1")
    found = run_app(raw, raw / "derivatives" / "spheres", "participant", "--seeds", seeds_file)
    assert found.status == 0, found.err
    assert len(series_files(raw / "derivatives" / "spheres")) == 1


def test_no_degrees_of_freedom_is_not_data(run_app, tiny, seeds_file, tmp_path):
    tiny.add_run(n_volumes=20)
    output = tmp_path / "out"
    done = run_app(tiny.root, output, "participant", "--seeds", seeds_file)
    assert done.status == 0
    assert "0 degrees of freedom, fewer than 10" in done.err
    (series,) = series_files(output)
    assert pd.read_csv(series, sep="\t").isna().all(axis=None)
    assert json.loads(series.with_suffix(".json").read_text())["DegreesOfFreedom"] == 0


def write_strategy(path, **content):
    path.write_text(json.dumps({"description": "For a test.", **content}))
    return path


def test_own_strategy_with_a_filter_and_censoring(run_app, tiny, seeds_file, tmp_path):
    """The numbers of nilearn, where no censored volume has its mirror image censored."""
    bold = tiny.add_run(n_volumes=80)
    table = bold.with_name("sub-01_task-rest_desc-confounds_timeseries.tsv")
    confounds = pd.read_csv(table, sep="\t", na_values=["n/a"])
    threshold = confounds["framewise_displacement"].nlargest(3).iloc[-1] - 1e-9
    strategy = write_strategy(
        tmp_path / "band.json",
        name="band",
        motion="basic",
        censor={"fd_threshold": threshold},
        filter={"high_pass": 0.01, "low_pass": 0.1, "type": "butterworth", "order": 3},
    )
    output = tmp_path / "out"
    call = [tiny.root, output, "participant", "--seeds", seeds_file, "--radius", 6]
    done = run_app(*call, "--strategy", strategy, "none")
    assert done.status == 0, done.err
    (series,) = output.rglob("*_desc-band_timeseries.tsv")
    (outliers,) = output.rglob("*_desc-band_outliers.tsv")
    kept = np.flatnonzero(pd.read_csv(outliers, sep="\t")["censored"] == 0)
    np.testing.assert_array_equal(
        kept, np.flatnonzero(~(confounds["framewise_displacement"] > threshold))
    )
    raw = extract_spheres(
        bold,
        load_seeds(seeds_file, radius=6),
        mask=bold.with_name(bold.name.replace("preproc_bold", "brain_mask")),
    ).timeseries[:, :3]
    expected = nilearn_clean(
        raw,
        detrend=True,
        standardize="zscore_sample",
        confounds=confounds.filter(regex="^(trans|rot)_[xyz]$").to_numpy(),
        sample_mask=kept,
        high_pass=0.01,
        low_pass=0.1,
        t_r=2.0,
        extrapolate=True,
        butterworth__order=3,
    )
    ours = pd.read_csv(series, sep="\t")[["left", "right", "front"]]
    np.testing.assert_allclose(ours.to_numpy(), expected, rtol=1e-6, atol=1e-6)
    facts = json.loads(series.with_suffix(".json").read_text())
    assert facts["SoftwareFilters"]["Temporal"]["low_pass"] == 0.1
    assert facts["DegreesOfFreedom"] == (
        len(kept) - facts["RankRemoved"] - facts["DimensionsLostToFilter"]
    )


@pytest.mark.parametrize(
    ("content", "status", "phrase"),
    [
        ({"name": "x", "motoin": "full"}, 65, "motoin"),
        ({"name": "x", "filter": {"low_pass": 0.3}}, 1, "Nyquist frequency, 0.25 Hz"),
        ({"name": "x", "ica_aroma": "full"}, 1, "starts from a desc-smoothAROMAnonaggr or"),
        ({"name": "none", "motion": "basic"}, 2, "Two strategies are named none"),
    ],
)
def test_own_strategies_that_cannot_be_used(
    run_app, tiny, seeds_file, tmp_path, content, status, phrase
):
    tiny.add_run()
    strategy = write_strategy(tmp_path / "mine.json", **content)
    call = [tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file]
    done = run_app(*call, "--strategy", "none", strategy)
    assert done.status == status, done.err
    assert phrase in done.err
    assert "Traceback" not in done.err


def test_scrubbing_states_why_volumes_left(run_app, tiny, seeds_file, tmp_path):
    bold = tiny.add_run(n_volumes=90)
    table = bold.with_name("sub-01_task-rest_desc-confounds_timeseries.tsv")
    confounds = pd.read_csv(table, sep="\t", na_values=["n/a"])
    confounds.loc[[40, 43], "framewise_displacement"] = 0.9
    confounds.to_csv(table, sep="\t", index=False, na_rep="n/a")
    call = [tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file]
    done = run_app(*call, "--strategy", "scrubbing")
    assert done.status == 0, done.err
    (path,) = (tmp_path / "out").rglob("*_outliers.tsv")
    outliers = pd.read_csv(path, sep="\t")
    assert np.flatnonzero(outliers["censored"]).tolist() == [40, 41, 42, 43]
    assert np.flatnonzero(outliers["framewise_displacement"]).tolist() == [40, 43]
    assert np.flatnonzero(outliers["segment"]).tolist() == [41, 42]


@pytest.mark.slow
def test_demo(run_app, tmp_path):
    done = run_app("demo", tmp_path / "demo")
    assert done.status == 0, done.err
    out = tmp_path / "demo" / "bids-spheres"
    assert len(series_files(out)) == 4 * 2 * 2  # runs, seed sets, strategies
    places = [Path(line.split(": ", 1)[1].strip()) for line in done.out.splitlines()]
    assert all(place.is_relative_to(tmp_path / "demo") and place.exists() for place in places)
    assert places[-1] == out / "group.html"


@pytest.mark.slow
def test_demo_finds_the_networks_that_it_simulated(run_app, tmp_path):
    assert run_app("demo", tmp_path / "demo", "-q").status == 0
    (path,) = (tmp_path / "demo").rglob("*_seg-networks_*_desc-simple_networks.tsv")
    table = pd.read_csv(path, sep="\t").set_index(["network_1", "network_2"])["mean"]
    truth = network_correlation()
    names = list(CENTRES)
    within = [table[name, name] for name in names]
    assert min(within) > 0.35  # 0.6 without noise
    measured = [table[pair] for pair in itertools.combinations(names, 2)]
    expected = 0.6 * truth[np.triu_indices(len(names), 1)]
    assert np.corrcoef(measured, expected)[0, 1] > 0.9


def test_files_of_others_are_left_alone(run_app, tiny, seeds_file, tmp_path):
    tiny.add_run()
    project = tmp_path / "project"
    project.mkdir()
    (project / "README.md").write_text("my notes")
    done = run_app(tiny.root, project, "participant", "--seeds", seeds_file)
    assert done.status == 73
    assert [path.read_text() for path in project.iterdir()] == ["my notes"]
    before = snapshot(tiny.root)
    done = run_app("demo", tiny.root.parent)
    assert done.status == 73
    assert "not the demo's" in done.err
    assert snapshot(tiny.root) == before


def test_another_runs_confounds_are_not_taken(run_app, tiny, seeds_file, tmp_path):
    tiny.add_run("sub-01_task-rest")
    second = tiny.add_run("sub-01_task-rest_run-2")
    second.with_name("sub-01_task-rest_run-2_desc-confounds_timeseries.tsv").unlink()
    call = [tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file]
    done = run_app(*call, "--strategy", "gsrOnly")
    assert done.status == 1
    assert "No confounds table belongs to" in done.err
    assert len(series_files(tmp_path / "out")) == 1


@pytest.mark.parametrize("space", ["T1w", "MNI", "fsaverage"])
def test_seeds_of_another_kind_of_space_are_refused(run_app, tiny, seeds_file, tmp_path, space):
    tiny.add_run()
    seeds_file.with_suffix(".json").write_text(json.dumps({"Space": space}))
    done = run_app(tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file)
    assert done.status == 2
    assert f"are in {space} space" in done.err


def test_a_seed_named_like_a_sidecars_key(run_app, tiny, tmp_path):
    tiny.add_run()
    seeds = tmp_path / "s.tsv"
    seeds.write_text("name\tx\ty\tz\tnetwork\nRepetitionTime\t0\t0\t0\ta\nb\t8\t8\t0\ta\n")
    done = run_app(tiny.root, tmp_path / "out", "participant", "--seeds", seeds)
    assert done.status == 0, done.err
    (path,) = series_files(tmp_path / "out")
    assert json.loads(path.with_suffix(".json").read_text())["RepetitionTime"] == 2.0
    seeds.write_text("name\tx\ty\tz\nNode\t0\t0\t0\n")
    assert "named Node" in run_app(tiny.root, tmp_path / "o2", "participant", "--seeds", seeds).err


def test_a_run_without_volumes_is_excluded(run_app, tiny, seeds_file, tmp_path):
    bold = tiny.add_run()
    table = bold.with_name("sub-01_task-rest_desc-confounds_timeseries.tsv")
    confounds = pd.read_csv(table, sep="\t", na_values=["n/a"])
    confounds["non_steady_state_outlier00"] = 1
    confounds.to_csv(table, sep="\t", index=False, na_rep="n/a")
    done = run_app(tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file)
    assert done.status == 0, done.err
    excluded = pd.read_csv(tmp_path / "out" / "exclusions.tsv", sep="\t")
    assert excluded["reason"].tolist() == ["no volume is left of 40"]
    (series,) = series_files(tmp_path / "out")
    assert pd.read_csv(series, sep="\t").shape == (0, 4)
    (matrix,) = (tmp_path / "out").rglob("*_relmat.tsv")
    assert pd.read_csv(matrix, sep="\t").set_index("Node").isna().all().all()


def test_an_error_of_the_system_is_one_line(run_app, monkeypatch, tmp_path):
    def broken(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied", "/data/x")

    monkeypatch.setattr("bids_spheres.app.participant_level.run_participants", broken)
    done = run_app(tmp_path, tmp_path / "out", "participant", "--atlas", "Power2011")
    assert done.status == 74
    assert done.err == "bids-spheres: error: /data/x: Permission denied.\n"


def test_interrupt_is_not_a_traceback(monkeypatch, capsys, tmp_path):
    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("bids_spheres.app.participant_level.run_participants", interrupted)
    assert main([str(tmp_path), str(tmp_path), "participant", "--atlas", "Power2011"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_participants_own_space_needs_a_transform(run_app, tiny, tmp_path):
    tiny.add_run(space="T1w")
    call = [tiny.root, tmp_path / "out", "participant", "--atlas", "Power2011", "--space", "T1w"]
    done = run_app(*call)
    assert done.status == 1
    assert "leads from MNI152NLin6Asym to T1w" in done.err
    assert not series_files(tmp_path / "out")


@pytest.mark.parametrize("detrend", [True, False])
def test_yes_and_no_of_a_configuration_file_are_what_they_say(
    tiny, tmp_path, seeds_file, run_app, detrend
):
    tiny.add_run()
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"seeds": [str(seeds_file)], "detrend": detrend}))
    out = tmp_path / "out"
    assert run_app(tiny.root, out, "participant", "--config", config).status == 0
    (sidecar,) = out.rglob("*_desc-simple_timeseries.json")
    assert json.loads(sidecar.read_text())["Detrend"] is detrend


def run_shell(words, *arguments):
    command = [sys.executable, "-P", "-m", "bids_spheres", *map(str, arguments)]
    return subprocess.run(
        ["/bin/sh", "-c", f"{shlex.join(command)} {words}"],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_closed_streams(tiny, seeds_file, tmp_path):
    """Nothing that a caller closes keeps results back, or gets into them."""
    tiny.add_run()
    call = [tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file]
    done = run_shell("<&- >&- 2>&-", *call, "--report-level", "none")
    assert done.returncode == 0
    (series,) = series_files(tmp_path / "out")
    assert len(pd.read_csv(series, sep="\t")) == 40


def test_output_that_cannot_be_written_is_named():
    done = run_shell("> /dev/full", "strategies")
    assert done.returncode == 74
    expected = "bids-spheres: error: Standard output can't be written: No space left on device.\n"
    assert done.stderr == expected


def test_records_hold_for_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = main_parser().parse_args(
        ["in", "out", "participant", "--mask", "my/mask.nii.gz", "--strategy", "36P", "mine.yaml"]
    )
    record = settings_of(options).to_json()
    assert record["mask"] == str(tmp_path / "my" / "mask.nii.gz")
    assert record["strategy"] == ["36P", str(tmp_path / "mine.yaml")]


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        (["nowhere", "out", "participant", "--atlas", "Power2011"], "nowhere does not exist"),
        ([".", "out", "participant", "--atlas", "Power2101"], "Did you mean Power2011?"),
        ([".", "out", "participant", "--strategy", "simpel"], "Did you mean simple?"),
        ([".", "out", "participant", "--atlass", "Power2011"], "--atlass"),
        ([".", "out", "participant", "--seeds", "no.tsv"], "The seed table no.tsv"),
        ([".", "out", "participant", "--seeds", "Power2011"], "a built-in set: --atlas Power2011"),
        ([".", "out", "participant", "--strategy", "no.json"], "The strategy file no.json"),
        ([".", "out", "participant", "--mask", "no.nii"], "--mask: the image no.nii"),
        ([".", "out", "participant", "--outliers", "no.tsv"], "The outlier table"),
        ([".", "out", "participant", "--bids-filter-file", "no.json"], "The filter file"),
        ([".", "out", "participant", "--connectivity", "peerson"], "Did you mean pearson?"),
        ([".", "out", "participant"], "No seeds are given"),
    ],
)
def test_wrong_names_are_told_before_libraries_are_loaded(words, phrase, tmp_path):
    code = (
        "import sys; from bids_spheres.app.main import main\n"
        "try: status = main(sys.argv[1:])\n"
        "except SystemExit as end: status = end.code\n"
        "slow = {'bids', 'matplotlib', 'nibabel', 'numpy', 'pandas', 'scipy'} & set(sys.modules)\n"
        "print(status, *slow)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert phrase in done.stderr
    is_missing = words[0] == "nowhere" or words[-1].startswith("no.") or "--seeds" in words
    assert done.stdout.strip() == ("66" if is_missing else "2")


def test_nothing_to_do_in_an_output_that_takes_no_record_is_no_error(
    run_app, tiny, seeds_file, tmp_path, monkeypatch
):
    tiny.add_run()
    call = (tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file)
    assert run_app(*call).status == 0

    def refused(*_):
        raise OutputError("logs can't be written: Read-only file system.")

    monkeypatch.setattr("bids_spheres.outputs.logs.write_record", refused)
    done = run_app(*call)
    assert done.status == 0
    assert "Nothing to do; no record of this call is kept: logs can't be written" in done.err
    assert run_app(*call, "--min-dof", "9").status == 73
    # The matrices of runs together would be written.
    assert run_app(*call, "--concatenate", "session").status == 73


LIBRARIES = """
import sys
from bids_spheres.app.main import main
assert main(sys.argv[1:]) == 0
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.slow
def test_a_call_loads_no_library_that_it_does_not_need(tiny, seeds_file, tmp_path):
    tiny.add_run()

    def loaded(*words):
        call = [sys.executable, "-P", "-c", LIBRARIES, *words]
        done = subprocess.run(call, capture_output=True, text=True, check=True)
        return set(done.stdout.splitlines()[-1].split())

    rare = {"bids", "formulaic", "h5py", "joblib", "nitransforms", "sklearn", "templateflow"}
    pages = {"jinja2", "matplotlib", "PIL"}
    none = ("--report-level", "none")
    assert not loaded("strategies") & (rare | pages | {"nibabel", "pandas", "scipy", "tqdm"})
    folders = (tiny.root, tmp_path / "out")
    runs = loaded(*folders, "participant", "--seeds", seeds_file, *none)
    assert not runs & (rare | pages)
    assert not loaded(*folders, "group", *none) & (rare | pages | {"tqdm"})
    assert not loaded(*folders, "group") & rare


# Round about the work


@pytest.fixture
def level(monkeypatch):
    """Stand-in for the participant level; note what it is called with."""
    called = []

    def work(settings, *, debug):
        called.append((settings, debug, os.environ.get("HOME")))
        if work.error:
            raise work.error
        return work.failures

    work.failures, work.error, work.called = [], None, called
    monkeypatch.setattr("bids_spheres.app.participant_level.run_participants", work)
    monkeypatch.setattr("bids_spheres.app.participant_level.rewrite_reports", work)
    return work


@pytest.fixture
def words(tmp_path):
    return [tmp_path, tmp_path / "out", "participant", "--atlas", "Power2011"]


def test_some_failures_are_status_1(run_app, level, words):
    assert run_app(*words).status == 0
    level.failures = ["sub-01"]
    assert run_app(*words).status == 1
    assert run_app(*words, "--reports-only").status == 1
    assert run_app(*words, "--debug").status == 1
    assert [debug for _, debug, _ in level.called] == [False, False, False, True]
    assert level.called[0][0].atlas == ("Power2011",)


def test_pages_are_written_again_without_input(run_app, level, tmp_path):
    done = run_app(tmp_path / "none", tmp_path / "out", "participant", "--reports-only")
    assert (done.status, len(level.called)) == (0, 1)


def test_a_user_without_a_home_gets_one_for_the_call(run_app, level, words, monkeypatch):
    def homeless():
        raise RuntimeError("no home")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert run_app(*words).status == 0
    assert level.called[0][2] == os.devnull
    assert "HOME" not in os.environ
    level.error = ValueError("no")
    assert run_app(*words).status == 70
    assert "HOME" not in os.environ


def test_a_reader_that_has_seen_enough_is_no_error(run_app, level, words, monkeypatch):
    discarded = []
    monkeypatch.setattr(streams, "discard_output", lambda: discarded.append(1))
    level.error = BrokenPipeError()
    done = run_app(*words)
    assert (done.status, done.err, discarded) == (0, "", [1])


def test_the_end_by_a_signal_is_told(run_app, level, words):
    level.error = SystemExit(143)
    done = run_app(*words)
    assert done.status == 143
    assert done.err.startswith("ERROR Ended by SIGTERM. What was finished is written; ")
    level.error = SystemExit(3)
    done = run_app(*words)
    assert (done.status, done.err) == (3, "")


def test_a_traceback_is_for_those_who_ask(run_app, level, words):
    level.error = OSError(13, "Permission denied", "/x")
    assert "Traceback" not in run_app(*words).err
    done = run_app(*words, "--debug")
    assert "Traceback" in done.err
    assert done.err.endswith("bids-spheres: error: /x: Permission denied.\n")


def test_defaults_that_are_typed_are_no_options_without_effect(run_app, level, words):
    told = run_app(*words, "--tail", "two", "--detrend").err
    assert "Of no effect" not in told
    assert level.called
    done = run_app(*words, "--tail", "negative", "--n-cpus", "2")
    assert "WARNING Of no effect at the participant level: --tail\n" in done.err
    assert "INFO --n-cpus is taken as --nprocs.\n" in done.err
    assert level.called[-1][0].execution.nprocs == 2
    assert run_app(*words, "-q", "--n-cpus", "2").err == ""
