"""Settings of Slurm's jobs: what is taken, and what is refused."""

from __future__ import annotations

import json

import pytest

from bids_spheres.errors import DataError, MissingInputError, UsageError

pytest.importorskip("distributed")

from bids_spheres.execute.slurm import read_slurm_settings


def test_words():
    words = ["queue=short", "time=04:00:00", "mem=4GB", "cores=2", "jobs=10", "job-name=x=y"]
    assert read_slurm_settings(words) == {
        "queue": "short",
        "walltime": "04:00:00",
        "memory": "4GB",
        "cores": 2,
        "jobs": 10,
        "job_name": "x=y",
    }


def test_lists_grow_word_by_word():
    words = ["job_extra_directives=--qos=low", "job_extra_directives=--gres=tmp:1"]
    assert read_slurm_settings(words) == {"job_extra_directives": ["--qos=low", "--gres=tmp:1"]}


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("name", ["s.yaml", "s.json"])
def test_files_as_dask_jobqueue_has_them(tmp_path, nested, name):
    path = tmp_path / name
    content = {"queue": "long", "job-script-prologue": ["module load x"], "cores": None}
    path.write_text(json.dumps({"jobqueue": {"slurm": content}} if nested else content))
    read = read_slurm_settings([path, "queue=short"])
    assert read == {"queue": "short", "job_script_prologue": ["module load x"]}


@pytest.mark.parametrize("word", ["cores=0", "jobs=many", "processes=-1", "cores="])
def test_numbers_that_make_no_sense(word):
    with pytest.raises(UsageError, match="must be a number from 1"):
        read_slurm_settings([word])


@pytest.mark.parametrize(
    ("text", "error", "phrase"),
    [
        ("cores: 1.5\n", UsageError, "must be a number from 1"),
        ("- queue\n", DataError, "must hold settings by their names"),
        (None, MissingInputError, "file of Slurm settings"),
    ],
)
def test_files_that_make_no_sense(tmp_path, text, error, phrase):
    path = tmp_path / "s.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=phrase):
        read_slurm_settings([path])
