"""Files that the whole output dataset shares, written by many calls."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from bids_spheres.engine.seeds import SeedTable, load_seeds
from bids_spheres.errors import DataError, OutputError, UsageError
from bids_spheres.inputs.dataset import Dataset
from bids_spheres.outputs import shared
from bids_spheres.outputs.shared import check_output_dir, write_shared_files

FMRIPREP = Dataset(Path("/data/fmriprep"), "fMRIPrep")
AROMA = Dataset(Path("/data/with space"), "fMRIPost-AROMA")


def write(output_dir, datasets=None, descriptions=None, seed_sets=()):
    datasets = {"preprocessed": FMRIPREP} if datasets is None else datasets
    descriptions = {"simple": "Plain"} if descriptions is None else descriptions
    return write_shared_files(output_dir, datasets, seed_sets, descriptions)


def description(output_dir):
    return json.loads((output_dir / "dataset_description.json").read_text())


def rows(path):
    with path.open(newline="") as table:
        return list(csv.reader(table, delimiter="\t"))


def test_what_is_written(tmp_path):
    seeds = load_seeds("Power2011")
    both = {"preprocessed": FMRIPREP, "aroma": AROMA}
    assert write(tmp_path, both, {"simple": "Plain", "24P": "Motion"}, [seeds]) == []
    uris = ["file:///data/fmriprep", "file:///data/with%20space"]
    found = description(tmp_path)
    assert found["DatasetType"] == "derivative"
    assert found["DatasetLinks"] == {"preprocessed": uris[0], "aroma": uris[1]}
    assert found["SourceDatasets"] == [{"URL": uri} for uri in uris]
    assert rows(tmp_path / "descriptions.tsv") == [
        ["desc_id", "description"],
        ["desc-24P", "Motion"],
        ["desc-simple", "Plain"],
    ]
    assert 'from "fMRIPrep", "fMRIPost-AROMA".' in (tmp_path / "README.md").read_text()
    assert "exclusions.*" in (tmp_path / ".bidsignore").read_text().split("\n")
    atlas = rows(tmp_path / "atlas-Power2011_dseg.tsv")
    # The first of the 264 of Power et al. 2011.
    assert atlas[1][2:5] == ["-25", "-98", "-12"]
    assert len(atlas) == 1 + 264
    assert atlas[0] == ["index", "name", "x", "y", "z", "radius", "network"]
    assert [row[0] for row in atlas[1:]] == [str(number) for number in range(1, 265)]
    assert [row[1] for row in atlas[1:]] == list(seeds.names)
    assert {row[5] for row in atlas[1:]} == {"5"}
    assert [row[6] for row in atlas[1:]] == list(seeds.networks)
    described = json.loads((tmp_path / "atlas-Power2011_description.json").read_text())
    assert described == {k: v for k, v in seeds.metadata.items() if k != "Columns"}
    about = json.loads((tmp_path / "atlas-Power2011_dseg.json").read_text())
    # BIDS defines the first two columns itself.
    assert ["index", "name", *about] == atlas[0]
    assert about["x"]["Units"] == about["radius"]["Units"] == "mm"


def test_the_second_call_touches_nothing(tmp_path):
    seeds = [load_seeds("Power2011")]
    write(tmp_path, seed_sets=seeds)

    def state():
        found = {path: path.stat() for path in tmp_path.rglob("*")}
        return {path: (status.st_ino, status.st_mtime_ns) for path, status in found.items()}

    before = state()
    assert write(tmp_path, seed_sets=seeds) == []
    assert state() == before


def test_calls_add_up(tmp_path):
    write(tmp_path)
    assert write(tmp_path, {"aroma": AROMA}, {"aroma": "Melodic"}) == []
    assert list(description(tmp_path)["DatasetLinks"]) == ["preprocessed", "aroma"]
    assert [row[0] for row in rows(tmp_path / "descriptions.tsv")[1:]] == [
        "desc-aroma",
        "desc-simple",
    ]


def test_what_a_laboratory_adds_is_kept(tmp_path):
    write(tmp_path)
    path = tmp_path / "dataset_description.json"
    path.write_text(json.dumps(description(tmp_path) | {"Authors": ["Ramón y Cajal"]}))
    write(tmp_path, {"aroma": AROMA})
    assert description(tmp_path)["Authors"] == ["Ramón y Cajal"]
    assert set(description(tmp_path)["DatasetLinks"]) == {"preprocessed", "aroma"}


def test_another_meaning_is_kept_and_told(tmp_path):
    write(tmp_path)
    moved = Dataset(Path("/new/fmriprep"), "fMRIPrep")
    replaced = write(tmp_path, {"preprocessed": moved}, {"simple": "Not plain", "24P": "Motion"})
    (link, label) = replaced
    assert f"{tmp_path / 'dataset_description.json'}: preprocessed was 'file:///data/fm" in link
    assert "and is 'file:///new/fmriprep' now" in link
    assert f"{tmp_path / 'descriptions.tsv'}: desc-simple was 'Plain' for an earlier" in label
    assert "and is 'Not plain' now" in label
    assert ["desc-simple", "Not plain"] in rows(tmp_path / "descriptions.tsv")
    assert description(tmp_path)["DatasetLinks"] == {"preprocessed": "file:///new/fmriprep"}
    assert write(tmp_path, {"preprocessed": moved}, {"simple": "Not plain"}) == []


def test_another_way_to_write_the_same_place_is_not_told(tmp_path):
    output, near = tmp_path / "out", {"preprocessed": Dataset(tmp_path / "fmriprep", "fMRIPrep")}
    output.mkdir()
    write(output, near)
    assert description(output)["DatasetLinks"] == {"preprocessed": "../fmriprep"}
    text = json.dumps(description(output)).replace("../fmriprep", (tmp_path / "fmriprep").as_uri())
    (output / "dataset_description.json").write_text(text)
    assert write(output, near) == []
    assert description(output)["DatasetLinks"] == {"preprocessed": "../fmriprep"}


def test_a_description_stays_on_its_line(tmp_path):
    write(tmp_path, descriptions={"mine": 'Filter\tband\npass, "mine"', "empty": ""})
    lines = (tmp_path / "descriptions.tsv").read_text().split("\n")
    assert lines[1:] == ["desc-empty\tn/a", 'desc-mine\tFilter band pass, "mine"', ""]
    assert write(tmp_path, descriptions={"mine": 'Filter\tband\npass, "mine"'}) == []


@pytest.mark.parametrize(
    "text", ["desc_id\n", "label\tdescription\n", "desc_id\tdescription\ndesc-simple\n"]
)
def test_a_table_that_is_not_ours_is_not_replaced(tmp_path, text):
    path = tmp_path / "descriptions.tsv"
    path.write_text(text)
    with pytest.raises(DataError, match="is not the table that is kept there") as error:
        write(tmp_path)
    assert str(path) in error.value.message
    assert path.read_text() == text


@pytest.mark.parametrize("text", ["{", "[]", '{"DatasetLinks": ["a"]}', "[" * 100_000])
def test_a_broken_description_is_written_anew(tmp_path, text):
    (tmp_path / "dataset_description.json").write_text(text)
    assert write(tmp_path) == []
    assert description(tmp_path)["DatasetLinks"] == {"preprocessed": "file:///data/fmriprep"}


def call(output_dir, number):
    """What one of an array of jobs does."""
    for turn in range(5):
        name = f"{number}x{turn}"
        datasets = {f"d{name}": Dataset(Path(f"/data/{name}"), "fMRIPrep")}
        yield output_dir, datasets, [], {name: f"Strategy {name}"}


@pytest.mark.slow
def test_no_link_and_no_label_is_lost(tmp_path):
    calls = [arguments for number in range(12) for arguments in call(tmp_path, number)]
    with multiprocessing.get_context("spawn").Pool(12) as pool:
        replaced = pool.starmap(write_shared_files, calls, chunksize=5)
        pool.close()
        pool.join()
    assert replaced == [[]] * 60
    names = {f"{number}x{turn}" for number in range(12) for turn in range(5)}
    assert description(tmp_path)["DatasetLinks"] == {f"d{n}": f"file:///data/{n}" for n in names}
    assert rows(tmp_path / "descriptions.tsv")[1:] == [
        [f"desc-{name}", f"Strategy {name}"] for name in sorted(names, key="desc-{}".format)
    ]
    assert not list(tmp_path.rglob(".tmp-*"))


def test_an_output_folder_in_the_input(tmp_path):
    with pytest.raises(UsageError, match="lies in the input"):
        check_output_dir(tmp_path / "in" / "out", [tmp_path / "in"])
    inputs = [tmp_path / name for name in ("other", "in", "third")]
    for root in inputs:
        with pytest.raises(UsageError, match=f"lies in the input {root}"):
            check_output_dir(root / "out", inputs)


def test_an_output_folder_that_is_in_the_input_by_a_link(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for output, root in (("link/out", "in"), ("in/out", "link"), ("link", "in")):
        with pytest.raises(UsageError, match="lies in the input"):
            check_output_dir(tmp_path / output, [tmp_path / root])
    check_output_dir(tmp_path / "input", [tmp_path / "in"])  # a name that begins alike


def test_an_output_folder_that_is_a_file(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="is a file"):
        check_output_dir(tmp_path / "out", [])
    below = rf"new lies in {tmp_path / 'out'}, which is a file"
    with pytest.raises(OutputError, match=below):
        check_output_dir(tmp_path / "out" / "deep" / "new", [])


@pytest.mark.parametrize(
    "name", ["README.md", "dataset_description.json", "descriptions.tsv", ".bidsignore"]
)
def test_an_output_folder_of_others(tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(OutputError, match="is another dataset") as error:
        check_output_dir(tmp_path, [])
    assert name in error.value.message


def test_an_output_folder_of_ours(tmp_path):
    check_output_dir(tmp_path / "new", [tmp_path / "in"])
    write(tmp_path / "new")
    check_output_dir(tmp_path / "new", [tmp_path / "in"])
    assert description(tmp_path / "new")["GeneratedBy"][0]["Name"] == "bids_spheres"


def test_an_output_folder_that_another_job_begins_at_this_moment(tmp_path, monkeypatch):
    looked_at = []
    generators = shared._generators

    def begun_in_between(path):
        looked_at.append(path)
        return generators(path)

    lexists = os.path.lexists

    def begins(path):
        """Whatever is looked for first, the dataset is there right after."""
        answer = lexists(path)
        write(tmp_path)
        return answer

    monkeypatch.setattr(shared, "_generators", begun_in_between)
    monkeypatch.setattr(os.path, "lexists", begins)
    check_output_dir(tmp_path, [])
    assert looked_at == [tmp_path / "dataset_description.json"]


def test_seed_sets_of_users_are_no_atlases_of_the_dataset(tmp_path):
    table = tmp_path / "mine.tsv"
    table.write_text("x\ty\tz\n1.5\t2\t3\n40\t2\t3\n")
    write(tmp_path / "out", seed_sets=[load_seeds(table), load_seeds("Raichle2011", radius=6.5)])
    assert not list((tmp_path / "out").glob("atlas-mine*"))
    rows_of_atlas = rows(tmp_path / "out" / "atlas-Raichle2011_dseg.tsv")[1:]
    assert {row[5] for row in rows_of_atlas} == {"6.5"}
    assert len(rows_of_atlas) == 36


def test_atlases_have_seeds_of_different_sizes_and_none_may_have_networks(tmp_path):
    points = np.array([[-1.5, 2, 3], [40, -5.25, 6], [7, 8, -9]])
    odd = SeedTable("Odd", ("a", "b", "c"), points, np.array([4, 6.5, 0]), published=True)
    networks = ("A", "n/a", "B")
    even = SeedTable("Even", odd.names, -points, np.full(3, 5.0), networks, published=True)
    write(tmp_path, seed_sets=[odd, even])
    assert rows(tmp_path / "atlas-Odd_dseg.tsv")[1:] == [
        ["1", "a", "-1.5", "2", "3", "4", "n/a"],
        ["2", "b", "40", "-5.25", "6", "6.5", "n/a"],
        ["3", "c", "7", "8", "-9", "0", "n/a"],
    ]
    of_even = rows(tmp_path / "atlas-Even_dseg.tsv")[1:]
    assert [row[2:] for row in of_even][1:] == [
        ["-40", "5.25", "-6", "5", "n/a"],
        ["-7", "-8", "9", "5", "B"],
    ]


@pytest.mark.parametrize("name", ["exclusions.tsv", "descriptions.tsv"])
def test_nothing_is_written_beside_a_table_of_others(tmp_path, name):
    (tmp_path / name).write_text("run\treason\n")
    with pytest.raises(DataError, match="is not the table that is kept there"):
        write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_every_call_completes_the_table_of_exclusions(tmp_path):
    row = dict.fromkeys(shared.EXCLUSION_COLUMNS, 1) | {"source": "a", "strategy": "x"}
    shared.record_exclusions(tmp_path, "a", ["x"], [row])
    text = (tmp_path / "exclusions.tsv").read_text()
    (tmp_path / "exclusions.tsv").unlink()
    write(tmp_path)
    assert (tmp_path / "exclusions.tsv").read_text() == text


def test_a_program_is_named_once_in_the_readme(tmp_path):
    write(tmp_path, {"a": FMRIPREP, "b": AROMA, "c": Dataset(Path("/data/more"), "fMRIPrep")})
    assert 'from "fMRIPrep", "fMRIPost-AROMA".' in (tmp_path / "README.md").read_text()
