"""Files of the simulated dataset."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from bids_spheres.demo import check_demo_dir, write_demo_dataset, write_own_seeds, write_truth
from bids_spheres.demo.networks import CENTRES, read_seeds
from bids_spheres.errors import OutputError
from tests.demo.conftest import SPACE, VOLUMES


def hashes(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_two_calls_write_the_same_bytes(root, truth, tmp_path):
    again = write_demo_dataset(tmp_path / "elsewhere")
    assert hashes(tmp_path / "elsewhere") == hashes(root)
    np.testing.assert_array_equal(again.correlation, truth.correlation)
    assert dict(again.mean_fd) == dict(truth.mean_fd)


@pytest.mark.slow
@pytest.mark.usefixtures("truth")
def test_names_are_those_of_fmriprep_and_nothing_else_is_there(root):
    expected = {
        ".bidsignore",
        "dataset_description.json",
        "participants.json",
        "participants.tsv",
    }
    for stem in VOLUMES:
        folder = f"{stem[:6]}/func/{stem}"
        expected |= {f"{folder}_desc-confounds_timeseries.{end}" for end in ("tsv", "json")}
        expected |= {
            f"{folder}_{SPACE}_{rest}"
            for rest in (
                "boldref.nii.gz",
                "desc-brain_mask.json",
                "desc-brain_mask.nii.gz",
                "desc-preproc_bold.json",
                "desc-preproc_bold.nii.gz",
            )
        }
    assert set(hashes(root)) == expected


@pytest.mark.usefixtures("truth")
def test_at_most_six_megabytes(root):
    assert sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) <= 6e6


@pytest.mark.usefixtures("truth")
def test_gzip_headers_hold_no_time_and_no_name(root):
    for path in root.rglob("*.nii.gz"):
        head = path.read_bytes()[:8]
        assert head[3] == 0, path.name
        assert head[4:8] == bytes(4), path.name


@pytest.mark.usefixtures("truth")
def test_description_says_that_this_is_simulated(root):
    description = json.loads((root / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["BIDSVersion"] == "1.9.0"
    (generator,) = description["GeneratedBy"]
    assert (generator["Name"], generator["Version"]) == ("fMRIPrep", "24.1.1")
    assert "Simulated" in generator["Description"]


@pytest.mark.usefixtures("truth")
def test_participants_have_age_and_sex(root):
    lines = (root / "participants.tsv").read_text().splitlines()
    assert lines[0].split("\t") == ["participant_id", "age", "sex"]
    assert [line.split("\t")[0] for line in lines[1:]] == ["sub-01", "sub-02", "sub-03"]
    assert set(json.loads((root / "participants.json").read_text())) == {"age", "sex"}


def test_write_truth(truth, tmp_path):
    folder = tmp_path / "results" / "truth"
    write_truth(truth, folder)
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "correlation.tsv",
        "networks.tsv",
    }
    lines = (folder / "networks.tsv").read_text().splitlines()
    assert lines[0] == "name\tnetwork"
    pairs = zip(truth.seed_names, truth.networks, strict=True)
    assert lines[1:] == [f"{name}\t{network}" for name, network in pairs]
    header, *rows = [
        line.split("\t") for line in (folder / "correlation.tsv").read_text().splitlines()
    ]
    assert header == ["Node", *truth.seed_names]
    assert [row[0] for row in rows] == list(truth.seed_names)
    np.testing.assert_allclose(np.array(rows)[:, 1:].astype(float), truth.correlation, atol=1e-9)
    assert all(f"| {stem} | " in (folder / "README.md").read_text() for stem in VOLUMES)


def test_own_seeds_are_the_four_of_each_network_nearest_to_a_centre(tmp_path):
    write_own_seeds(tmp_path / "new" / "mine.tsv", "T1w")
    assert json.loads((tmp_path / "new" / "mine.json").read_text()) == {"Space": "T1w"}
    lines = (tmp_path / "new" / "mine.tsv").read_text().splitlines()
    header, *rows = [line.split("\t") for line in lines]
    assert header == ["name", "x", "y", "z", "network"]
    assert [row[0] for row in rows] == [f"{name}_{k}" for name in CENTRES for k in (1, 2, 3, 4)]
    assert [row[4] for row in rows] == [name for name in CENTRES for _ in range(4)]
    centres = [(name, centre) for name, own in CENTRES.items() for centre in own]
    nearest = {name: [] for name in CENTRES}
    for point in read_seeds().points:
        folded = [abs(point[0]), *point[1:]]
        distance, name = min((np.linalg.norm(np.subtract(folded, c)), n) for n, c in centres)
        nearest[name].append((distance, *point))
    # Of equally near ones the first of the table
    expected = [sorted(own, key=lambda seed: seed[0].round(9))[:4] for own in nearest.values()]
    found = np.array([[float(cell) for cell in row[1:4]] for row in rows])
    np.testing.assert_array_equal(found, np.array(expected).reshape(-1, 4)[:, 1:])


def test_the_mean_displacement_of_each_run_is_in_the_readme(truth, tmp_path):
    write_truth(truth, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert text.endswith("".join(f"| {run} | {fd:.3f} |\n" for run, fd in truth.mean_fd.items()))


def test_the_demo_is_written_over_an_earlier_one_alone(root, tmp_path):
    check_demo_dir(tmp_path)
    check_demo_dir(root)
    (tmp_path / "dataset_description.json").write_text('{"Name": "Simulated"}')
    with pytest.raises(OutputError, match="is a dataset already, and not the demo's"):
        check_demo_dir(tmp_path)


def test_runs_of_one_participant_are_not_the_same(numbers):
    first, second = (numbers(f"sub-02_task-rest_run-{run}") for run in (1, 2))
    for name in ("trans_x", "global_signal", "csf"):
        assert np.abs(first[name] - second[name]).max() > 0.01
