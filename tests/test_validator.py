"""Outputs against the BIDS validator, offline."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from bids_spheres.cli import main


@pytest.fixture(scope="module")
def validator():
    found = shutil.which("bids-validator-deno", path=sysconfig.get_path("scripts"))
    assert found, "the extra 'test' installs bids-validator-deno"
    return Path(found)


def errors(validator, dataset):
    done = subprocess.run(
        [validator, dataset, "--format", "json"], capture_output=True, text=True, check=False
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    return [issue for issue in issues if issue["severity"] == "error"]


@pytest.mark.slow
def test_demo_is_valid(validator, tmp_path):
    assert main(["demo", str(tmp_path)]) == 0
    assert errors(validator, tmp_path / "bids-spheres") == []


@pytest.mark.slow
def test_real_scan_is_valid(validator, tmp_path, real_scan, seeds_file):
    sets = ["--atlas", "Power2011", "Seitzman2018", "--seeds", str(seeds_file)]
    call = [str(real_scan), str(tmp_path / "out"), "participant", *sets]
    assert main([*call, "--strategy", "simple", "24P"]) == 0
    assert errors(validator, tmp_path / "out") == []


def test_the_validator_would_notice(validator, tmp_path):
    (tmp_path / "sub-01" / "func").mkdir(parents=True)
    (tmp_path / "sub-01" / "func" / "sub-01_nonsense.tsv").write_text("a\n1\n")
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    assert errors(validator, tmp_path)
