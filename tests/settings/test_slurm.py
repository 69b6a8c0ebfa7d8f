"""Settings of Slurm's jobs: what is taken, and what is refused."""

from __future__ import annotations

import pytest

from bids_spheres.errors import UsageError
from bids_spheres.settings.slurm import read_slurm_settings


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


@pytest.mark.parametrize("word", ["cores=0", "jobs=many", "processes=-1", "cores="])
def test_numbers_that_make_no_sense(word):
    with pytest.raises(UsageError, match="must be a number from 1"):
        read_slurm_settings([word])
