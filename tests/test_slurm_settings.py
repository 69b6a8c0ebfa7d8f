"""Settings of Slurm's jobs: what is taken, and what is refused."""

from __future__ import annotations

import json

import pytest

from bids_spheres.errors import DataError, MissingInputError, UsageError
from bids_spheres.execute.slurm import read_slurm_settings


def test_words():
    words = ["queue=short", "time=04:00:00", "mem=4G", "cores=2", "jobs=10", "job-name=x y"]
    read = read_slurm_settings(words)
    assert read.jobs == 10
    assert read.options == {
        "queue": "short",
        "walltime": "04:00:00",
        "memory": "4GiB",  # what Slurm means by 4G
        "cores": 2,
        "job_name": "x y",
    }


@pytest.mark.parametrize(
    ("given", "meant"),
    [("4GB", "4GB"), ("4G", "4GiB"), ("4 GiB", "4GIB"), ("512M", "512MiB"), ("1.5TB", "1.5TB")],
)
def test_amounts_of_memory_are_ones_that_dask_reads(given, meant):
    assert read_slurm_settings([f"memory={given}"]).options == {"memory": meant}
    dask = pytest.importorskip("dask.utils")
    units = {"4GB": 4e9, "4G": 2**32, "4 GiB": 2**32, "512M": 2**29, "1.5TB": 1.5e12}
    assert dask.parse_bytes(meant) == units[given]


def test_lists_grow_word_by_word():
    words = ["job_extra_directives=--qos=low", "job_extra_directives=--gres=tmp:1"]
    assert read_slurm_settings(words).options == {
        "job_extra_directives": ["--qos=low", "--gres=tmp:1"]
    }


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("name", ["s.yaml", "s.json"])
def test_files_as_dask_jobqueue_has_them(tmp_path, nested, name):
    path = tmp_path / name
    content = {"queue": "long", "job-script-prologue": ["module load x"], "cores": None}
    path.write_text(json.dumps({"jobqueue": {"slurm": content}} if nested else content))
    read = read_slurm_settings([path, "queue=short"])
    assert read.options == {"queue": "short", "job_script_prologue": ["module load x"]}


@pytest.mark.parametrize(
    ("word", "phrase"),
    [
        ("quue=x", "no setting 'quue'"),
        ("cores=0", "must be a whole number from 1, not '0'"),
        ("memory=4", "must be an amount of memory with its unit"),
        ("walltime=soon", "must be a time as Slurm takes it"),
        ("nanny=maybe", "must be true or false"),
        ("queue=", "must be a word"),
        ("scheduler_options=x", "must be settings by their names"),
    ],
)
def test_words_that_make_no_sense(word, phrase):
    with pytest.raises(UsageError, match=phrase):
        read_slurm_settings([word])


@pytest.mark.parametrize(
    ("text", "error", "phrase"),
    [
        ("walltime: 12:00:00\n", UsageError, "must be in quotes"),
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
