"""From config.json to a dataset of fMRIPrep with its runs."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from tests.integrations.brainlife.conftest import matrix, series


def test_keys_that_are_not_there(tiny_task, run_task):
    for key in ("mask", "regressors", "strategy", "_inputs", "_outputs", "_app", "_tid"):
        del tiny_task.config[key]
    tiny_task.write()
    status, err = run_task(tiny_task)
    assert status == 0, err
    assert list((tiny_task.folder / "fmriprep").glob("sub-01/func/sub-01_task-rest_space-*"))
    first, second, *_ = tiny_task.messages("warning")
    assert "No mask is given" in first
    assert "No regressors are given" in second
    assert tiny_task.messages("success") == ["1 of 1 run done."]


@pytest.mark.slow
def test_runs_are_matched_by_their_metadata(task, tiny, seeds_file, run_task):
    bolds = [tiny.add_run("sub-03_task-rest_run-1"), tiny.add_run("sub-03_task-rest_run-2")]
    shutil.copy(bolds[0], bolds[1])  # the same image: only the regressors differ
    table = bolds[1].with_name("sub-03_task-rest_run-2_desc-confounds_timeseries.tsv")
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *reversed(rows)]).replace("n/a", "0") + "\n")
    task.stage_runs(bolds, order=(1, 0))
    del task.config["atlas"]
    task.write(seeds=str(seeds_file), radius=6, strategy="24P", concatenate="participant")
    status, err = run_task(task)
    assert status == 0, err
    func = task.folder / "fmriprep" / "sub-03" / "func"
    linked = [path.resolve() for path in sorted(func.glob("*_desc-confounds_timeseries.tsv"))]
    assert [path.parent.name for path in linked] == ["regressors1", "regressors2"]
    names = [each["name"] for each in task.json("conmat/index.json")]
    runs = [f"sub-03_task-rest_run-0{number}" for number in (1, 2)]
    assert names[::2] == [f"{stem}_correlation" for stem in (*runs, "sub-03_task-rest")]
    table = series(task)
    assert len(table) == 80
    for number, stem in enumerate(runs):
        part = table.iloc[40 * number : 40 * (number + 1), :3]
        np.testing.assert_allclose(
            matrix(task, f"{stem}_correlation")[:3, :3], np.corrcoef(part.T), atol=1e-8
        )
    together = matrix(task, "sub-03_task-rest_correlation")
    np.testing.assert_allclose(together[:3, :3], np.corrcoef(table.iloc[:, :3].T), atol=1e-8)


@pytest.mark.parametrize(
    ("text", "status"), [(None, 66), ("", 65), ("[1]", 65), ('{"bold": ', 65)], ids=repr
)
def test_no_config_that_can_be_read(tiny_task, run_task, text, status):
    path = tiny_task.folder / "config.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    ended, err = run_task(tiny_task)
    assert (ended, "config.json" in err) == (status, True)
    assert len(tiny_task.messages("error")) == 1


def test_metadata_become_the_sidecar(tiny_task, run_task):
    beside = next((tiny_task.root).rglob("bold.json"))
    beside.unlink()
    tiny_task.input_of("bold")["meta"] |= {"RepetitionTime": 2.5, "FlipAngle": 90}
    tiny_task.config |= {"low_pass": 0.08, "high_pass": "0.02", "filter": "butterworth"}
    tiny_task.write(strategy="none")
    status, err = run_task(tiny_task)
    assert status == 0, err
    (path,) = (tiny_task.folder / "derivatives").rglob("*_desc-none_timeseries.json")
    assert json.loads(path.read_text())["RepetitionTime"] == 2.5
    (sidecar,) = (tiny_task.folder / "fmriprep").rglob("*_bold.json")
    assert json.loads(sidecar.read_text()) == {
        "TaskName": "functional localizer",
        "RepetitionTime": 2.5,
        "FlipAngle": 90,
    }
