"""Tasks of brainlife.io from config.json to what the platform keeps and shows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bids_spheres.integrations.brainlife.command import main
from tests.integrations.brainlife.conftest import MNI, matrix, real_run, series

PROJECT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_a_real_scan_with_the_sample_config(task, real_scan, run_task):
    task.stage_run(real_run(real_scan, 1))
    task.write()
    status, err = run_task(task)
    assert status == 0, err
    table, columns = series(task), task.json("timeseries/timeseries.json")
    assert table.shape == (52, 264)
    assert [each["column_name"] for each in columns] == list(table.columns)
    assert [each["in_parc"] for each in columns] == list(table.notna().all().astype(int))
    used = table.notna().all().to_numpy()
    # The matrices, from the series that are written, by their formulas
    correlation = matrix(task)
    np.testing.assert_allclose(
        correlation[np.ix_(used, used)], np.corrcoef(table.loc[:, used].T), atol=1e-8
    )
    assert np.isnan(correlation[~used]).all()
    off = ~np.eye(used.sum(), dtype=bool)
    np.testing.assert_allclose(
        matrix(task, "fisher-z")[np.ix_(used, used)][off],
        np.arctanh(correlation[np.ix_(used, used)][off]),
        atol=1e-7,
    )
    index, labels = task.json("conmat/index.json"), task.json("conmat/label.json")
    assert [each["filename"] for each in index] == ["correlation.csv", "fisher-z.csv"]
    assert all(set(each) == {"filename", "unit", "name", "desc"} for each in index)
    assert len(labels) == len(correlation) == 264
    assert labels[42] | {"name": "Power_043", "label": "43", "voxel_value": 43} == labels[42]
    assert "<h1" in (task.folder / "report" / "html" / "index.html").read_text(encoding="utf-8")
    # Entities come from the metadata, cleaned
    name = f"sub-03_ses-1_task-functionallocalizer_run-01_space-{MNI}_desc-preproc_bold.nii.gz"
    link = task.folder / "fmriprep" / "sub-03" / "ses-1" / "func" / name
    assert link.is_symlink()
    assert link.resolve().name == "bold.nii.gz"
    assert not link.readlink().is_absolute()


def test_known_physiology_survives(task, real_scan, run_task):
    """Left and right motor cortex correlate 0.74 in this run, detrended, spheres of 8 mm."""
    task.stage_run(real_run(real_scan, 1))
    (task.root / "motor.tsv").write_text("name\tx\ty\tz\nleft\t-38\t-22\t56\nright\t38\t-22\t56\n")
    del task.config["atlas"]
    task.write(seeds="../motor.tsv", radius=8, strategy="none")
    status, err = run_task(task)
    assert status == 0, err
    assert matrix(task)[0, 1] == pytest.approx(0.74, abs=0.01)


def test_a_second_call_does_nothing(tiny_task, run_task):
    tiny_task.write(strategy="gsrOnly")  # no warning of few degrees of freedom, which is said once
    assert run_task(tiny_task)[0] == 0
    before = tiny_task.outputs()
    assert len(before) >= 8
    status, err = run_task(tiny_task)
    assert status == 0
    assert "0 of 1 run to do" in err
    assert tiny_task.outputs() == before


@pytest.mark.slow
@pytest.mark.parametrize("unset", [None, "", []], ids=repr)
def test_without_mask_and_regressors(tiny_task, run_task, unset):
    tiny_task.write(mask=unset, regressors=unset, strategy=unset)
    status, err = run_task(tiny_task)
    assert status == 0, err
    table = series(tiny_task)
    assert len(table) == 40
    # Nothing but the linear trend is regressed out
    time = np.arange(len(table)) - (len(table) - 1) / 2
    assert abs(time @ table["left"].to_numpy()) < 1e-6
    warnings = " ".join(tiny_task.messages("warning"))
    assert "No mask is given" in warnings
    assert "No regressors are given" in warnings


def test_a_strategy_needs_regressors(tiny_task, run_task):
    tiny_task.write(regressors=None)
    status, err = run_task(tiny_task)
    assert status == 65
    assert any("24P" in said and "trans_x" in said for said in tiny_task.messages("error")), err
    assert "No regressors are given" in " ".join(tiny_task.messages("warning"))


def test_one_of_two_runs_fails(task, tiny, seeds_file, run_task):
    bolds = [tiny.add_run("sub-03_task-rest_run-1"), tiny.add_run("sub-03_task-rest_run-2")]
    bolds[1].write_bytes(bolds[1].read_bytes()[:2000])
    task.stage_runs(bolds, order=(0, 1))
    del task.config["atlas"]
    task.write(seeds=str(seeds_file), radius=6, strategy="24P")
    status, err = run_task(task)
    assert status == 1, err
    assert len(series(task)) == 40
    assert task.messages("success") == ["1 of 2 runs done."]
    assert any("run-02" in said for said in task.messages("error"))


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"bold": None}, 66, "names no BOLD image"),
        ({"bold": "../nowhere/bold.nii.gz"}, 66, "there is no such file"),
        ({"bold": {"path": "x"}}, 65, "must be a path or a list of paths"),
        ({"space": None, "_inputs": []}, 65, "in which space"),
        ({"_inputs": "none"}, 65, "_inputs is not the list"),
        ({"strategi": "simple"}, 2, "Did you mean strategy?"),
        ({"strategy": "simple 36P"}, 2, "values, and takes one"),
        ({"radius": [5, 6]}, 2, "values, and takes one"),
        ({"atlas": "Power2011"}, 2, "an atlas and seeds"),
        ({"radius": -3}, 2, "--radius: -3 is not a length"),
        ({"min_coverage": "much"}, 2, "much is not a share from 0 to 1"),
        ({"overlap": "maybe"}, 2, "invalid choice: 'maybe'"),
        ({"full_length": "yes"}, 2, "full_length must be true or false"),
        ({"connectivity": "pearsons"}, 2, "Did you mean pearson?"),
        ({"participant_label": "03"}, 2, "'participant_label' is no parameter here"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_said_once_and_everywhere(tiny_task, run_task, changes, status, said):
    tiny_task.write(**changes)
    ended, err = run_task(tiny_task)
    assert ended == status, err
    assert "Traceback" not in err
    assert said in err
    (told,) = tiny_task.messages("error")
    assert said in told
    assert not (tiny_task.folder / "timeseries").exists()


def test_a_failure_leaves_earlier_results(tiny_task, run_task):
    assert run_task(tiny_task)[0] == 0
    product = tiny_task.folder / "product.json"
    before = {p: kept for p, kept in tiny_task.outputs().items() if p != product}
    tiny_task.write(radius=-1)
    assert run_task(tiny_task)[0] == 2
    assert {p: kept for p, kept in tiny_task.outputs().items() if p != product} == before


@pytest.mark.slow
def test_another_config_leaves_nothing_of_the_first(tiny_task, run_task):
    tiny_task.write(connectivity="pearson covariance", mask=tiny_task.config["mask"])
    assert run_task(tiny_task)[0] == 0
    tiny_task.input_of("bold")["meta"]["run"] = "07"
    tiny_task.write(connectivity="spearman", mask=None)
    status, err = run_task(tiny_task)
    assert status == 0, err
    assert [p.name for p in (tiny_task.folder / "conmat" / "csv").iterdir()] == ["spearman.csv"]
    links = [path.name for path in (tiny_task.folder / "fmriprep").rglob("sub-*") if path.is_file()]
    assert len(links) == 3  # image, sidecar and table
    assert all("run-07" in name for name in links)


@pytest.mark.slow
def test_the_executable_of_the_platform(tiny_task, tmp_path):
    """`main` as the platform starts it: in the folder of the task, without arguments."""
    command = tmp_path / "bin" / "bids-spheres-brainlife"
    command.parent.mkdir()
    command.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -m bids_spheres.integrations.brainlife "$@"\n'
    )
    command.chmod(0o755)
    shutil.copy(
        PROJECT / "bids_spheres" / "integrations" / "brainlife" / "main", tiny_task.folder / "main"
    )
    path = f"{command.parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        ["./main"],
        cwd=tiny_task.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tiny_task.folder / "timeseries" / "timeseries.tsv.gz").is_file()


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_is_cheap_and_writes_nothing(argument, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main([argument])
    assert end.value.code == 0
    assert "bids-spheres-brainlife" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
