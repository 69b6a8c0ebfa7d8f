"""Where other datasets are: paths that move with a study, and addresses for all others."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from bids_spheres.errors import MissingInputError
from bids_spheres.outputs import links
from bids_spheres.outputs.links import (
    Links,
    all_sources,
    dataset_uri,
    linked_dataset,
    read_links,
    sources,
)
from bids_spheres.outputs.sidecars import (
    bids_uri,
    column_descriptions,
    dataset_description,
    described,
    read_sidecar,
    sampling,
)


@pytest.mark.parametrize(
    ("dataset", "output", "uri"),
    [
        ("fmriprep", "out", "../fmriprep"),
        ("bids/derivatives/fmriprep", "bids/derivatives/spheres", "../fmriprep"),
        ("bids/derivatives/fmriprep", "results/spheres", "../../bids/derivatives/fmriprep"),
        ("out/sourcedata/fmriprep", "out", "sourcedata/fmriprep"),
        ("my study/fmriprep:1", "out", "../my%20study/fmriprep%3A1"),
    ],
)
def test_near(tmp_path, dataset, output, uri):
    (tmp_path / dataset).mkdir(parents=True)
    assert dataset_uri(tmp_path / dataset, tmp_path / output) == uri  # before there is an output
    (tmp_path / output).mkdir(parents=True, exist_ok=True)
    assert dataset_uri(tmp_path / dataset, tmp_path / output) == uri
    assert linked_dataset(uri, tmp_path / output) == tmp_path / dataset


def test_nothing_but_the_root_in_common(tmp_path):
    there = Path("/data/fm prep")
    assert dataset_uri(there, Path("/out")) == "file:///data/fm%20prep"
    assert linked_dataset("file:///data/fm%20prep", tmp_path) == there


@pytest.mark.parametrize("other", ["fmriprep", "out", ""])
def test_on_another_file_system(tmp_path, monkeypatch, other):
    """As a disk that is mounted in a study, or of which one dataset alone is mounted."""
    (tmp_path / "fmriprep").mkdir()
    (tmp_path / "out").mkdir()
    mounted = (tmp_path / other).resolve()
    monkeypatch.setattr(
        links, "nearest_existing", lambda place: Path("/proc") if place == mounted else tmp_path
    )
    uri = dataset_uri(tmp_path / "fmriprep", tmp_path / "out")
    assert uri == (tmp_path / "fmriprep").as_uri()


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no second file system")  # noqa: S108
def test_on_a_file_system_in_memory(tmp_path):
    device = Path("/dev/shm").stat().st_dev  # noqa: S108
    assert device != tmp_path.stat().st_dev
    assert dataset_uri(tmp_path, Path("/dev/shm/new")) == tmp_path.as_uri()  # noqa: S108


def test_an_output_folder_that_is_a_link(tmp_path):
    """The path starts where the files really are, and is followed from there."""
    (tmp_path / "study" / "fmriprep").mkdir(parents=True)
    (tmp_path / "disk" / "deep" / "out").mkdir(parents=True)
    out = tmp_path / "study" / "out"
    out.symlink_to(tmp_path / "disk" / "deep" / "out")
    uri = dataset_uri(tmp_path / "study" / "fmriprep", out)
    assert uri == "../../../study/fmriprep"
    assert linked_dataset(uri, out) == tmp_path / "study" / "fmriprep"


@pytest.mark.parametrize("uri", ["https://doi.org/10/x", "doi:10/x", "http://[", "bids:x:y"])
def test_what_is_no_folder(tmp_path, uri):
    assert linked_dataset(uri, tmp_path) is None


@pytest.mark.parametrize("name", ["sub-01_space-MNIInfant+2_T1w.nii", "brain mask 50%.nii"])
def test_addresses_of_files_lead_back_to_them(tmp_path, name):
    out, raw = tmp_path / "out", tmp_path / "raw data"
    links = Links(out, {"raw": raw})
    for folder in (out, raw):
        (folder / "sub-01").mkdir(parents=True)
        (folder / "sub-01" / name).touch()
    assert links.path(bids_uri(raw / "sub-01" / name, [("raw", raw)])) == raw / "sub-01" / name
    assert links.path(bids_uri(out / "sub-01" / name, [("", out)])) == out / "sub-01" / name
    assert links.path(bids_uri(raw / "sub-01" / name, [])) == raw / "sub-01" / name
    assert links.path(bids_uri(raw / "sub-02" / name, [("raw", raw)])) is None


def test_the_first_source_whose_name_ends_so_and_that_is_there(tmp_path):
    for name in ("b_bold.nii.gz.txt", "c d_bold.nii.gz", "e_bold.nii.gz"):
        (tmp_path / name).touch()
    names = ("a_bold.nii.gz", "b_bold.nii.gz.txt", "c%20d_bold.nii.gz", "e_bold.nii.gz")
    facts = {"Sources": [f"bids::{name}" for name in names]}
    links = Links(tmp_path, {})
    assert links.first(facts, "_bold.nii.gz") == tmp_path / "c d_bold.nii.gz"
    assert links.first(facts, "_mask.nii.gz") is None
    assert links.first({}, "_bold.nii.gz") is None


def test_uris_that_lead_nowhere(tmp_path):
    (tmp_path / "a:b.txt").touch()
    links = Links(tmp_path / "out", {"raw": tmp_path})
    assert links.path("bids:raw:a:b.txt") == tmp_path / "a:b.txt"
    assert links.path("bids:other:a:b.txt") is None
    assert links.path("a%3Ab.txt") is None  # neither of BIDS, nor with a scheme
    assert links.path((tmp_path / "a:b.txt").as_uri()) == tmp_path / "a:b.txt"
    assert links.path(tmp_path.as_uri()) is None  # a folder


def test_sources_of_several_files_are_those_of_other_datasets_once():
    facts = [{"Sources": ["bids:raw:b", "bids::x"]}, {"Sources": "text"}, {}]
    facts += [{"Sources": ["bids:raw:a", "bids:raw:b"]}]
    assert all_sources(facts) == ["bids:raw:b", "bids:raw:a"]
    assert sources(facts[0]) == ["bids:raw:b", "bids::x"]


@pytest.mark.parametrize("content", ['{"DatasetLinks": ["raw"]}', "{}", None])
def test_datasets_without_links(tmp_path, content):
    if content:
        (tmp_path / "dataset_description.json").write_text(content)
    assert read_links(tmp_path) == Links(tmp_path, {})


def test_links_to_other_than_folders_are_left_out(tmp_path):
    content = {"DatasetLinks": {"doi": "doi:10/x", "raw": "../raw", "far": "file:///data/a%20b"}}
    (tmp_path / "dataset_description.json").write_text(json.dumps(content))
    expected = {"raw": tmp_path.parent / "raw", "far": Path("/data/a b")}
    assert read_links(tmp_path).roots == expected


# Keys of sidecars


def test_an_input_file_belongs_to_the_first_dataset_that_holds_it(tmp_path):
    roots = [("other", tmp_path / "ot"), ("inner", tmp_path / "a" / "b"), ("outer", tmp_path / "a")]
    assert bids_uri(tmp_path / "a" / "b" / "x y.tsv", roots) == "bids:inner:x%20y.tsv"
    assert bids_uri(tmp_path / "a" / "x.tsv", roots) == "bids:outer:x.tsv"
    assert bids_uri(tmp_path / "other" / "x.tsv", roots) == (tmp_path / "other" / "x.tsv").as_uri()


def test_a_dataset_that_two_links_have_is_one_source():
    content = dataset_description({"b": "../x", "a": "../y", "c": "../x"})
    assert content["SourceDatasets"] == [{"URL": "../x"}, {"URL": "../y"}]
    assert list(content["DatasetLinks"].items()) == [("b", "../x"), ("a", "../y"), ("c", "../x")]
    assert (content["DatasetType"], content["BIDSVersion"]) == ("derivative", "1.11.1")


def test_columns_of_seeds_with_a_network_are_described():
    about = column_descriptions(["a", "b", "c"], ["visual", "n/a", "motor"])
    assert about == {
        "a": {"Description": "Seed of the network visual"},
        "c": {"Description": "Seed of the network motor"},
    }
    assert column_descriptions(["a"], None) == {}
    assert sampling(0.8) == {"SamplingFrequency": 1.25, "RepetitionTime": 0.8}


def test_a_sidecar_that_is_missing(tmp_path):
    assert read_sidecar(tmp_path / "x.json", optional=True) == {}
    with pytest.raises(MissingInputError, match=r"There is no sidecar .*x\.json") as error:
        read_sidecar(tmp_path / "x.json")
    assert error.value.hint == "Run the participant level anew for this run."
    (tmp_path / "x.json").write_text('{"a": 1.0, "b": 2, "c": 1.5}')
    read = read_sidecar(tmp_path / "x.json", parse_float=lambda text: f"<{text}>")
    assert read == {"a": "<1.0>", "b": 2, "c": "<1.5>"}


@pytest.fixture
def study(run_app, tiny, seeds_file, tmp_path):
    """A study with input and output, both levels, and how to call the app in a place."""
    tiny.add_run("sub-01_task-rest")
    tiny.add_run("sub-02_task-rest")
    home = tmp_path / "study"
    home.mkdir()
    shutil.move(tiny.root, home / "fmriprep")

    def call(home, *options, level="participant"):
        words = ("--seeds", seeds_file) if level == "participant" else ()
        return run_app(home / "fmriprep", home / "derivatives" / "out", level, *words, *options)

    assert call(home).status == 0
    assert call(home, level="group").status == 0
    return home, call


def check_resolves(home):
    """Every source is found below the study, and what was made of it says which program made it."""
    out = home / "derivatives" / "out"
    links = read_links(out)
    assert links.roots == {"preprocessed": home.resolve() / "fmriprep"}
    named = [
        uri
        for path in out.rglob("sub-*/func/*.json")
        for uri in json.loads(path.read_text())["Sources"]
    ]
    assert any("_bold.nii.gz" in uri for uri in named)
    for uri in named:
        path = links.path(uri)
        assert path is not None, uri
        assert path.resolve().is_relative_to(home.resolve())
    page = (out / "sub-01.html").read_text()
    assert "Input preprocessed" in page
    assert "fMRIPrep 24.1.1" in page
    assert str(home / "fmriprep") in page


@pytest.mark.slow
def test_a_study_that_is_moved(study, tmp_path):
    home, call = study
    text = (home / "derivatives" / "out" / "dataset_description.json").read_text()
    description = json.loads(text)
    assert description["DatasetLinks"] == {"preprocessed": "../../fmriprep"}
    assert description["SourceDatasets"] == [{"URL": "../../fmriprep"}]
    assert "file:" not in text
    pages = ("--report-level", "participant")
    assert call(home, *pages).status == 0
    check_resolves(home)
    new = tmp_path / "another place" / "renamed"
    new.parent.mkdir()
    home.rename(new)
    assert call(new, "--reports-only", *pages).status == 0
    assert call(new, level="group").status == 0
    check_resolves(new)
    again = call(new)
    assert again.status == 0
    assert "for an earlier call" not in again.err
    assert "0 of 2 runs to do" in again.err
    assert (new / "derivatives" / "out" / "dataset_description.json").read_text() == text


@pytest.mark.slow
def test_a_study_that_is_zipped_and_sent(study, tmp_path):
    home, _ = study
    archive = shutil.make_archive(str(tmp_path / "sent"), "zip", home)
    shutil.rmtree(home)
    shutil.unpack_archive(archive, tmp_path / "received")
    check_links = read_links(tmp_path / "received" / "derivatives" / "out").roots
    assert check_links == {"preprocessed": tmp_path / "received" / "fmriprep"}
    assert check_links["preprocessed"].is_dir()


@pytest.mark.slow
def test_links_of_an_earlier_version_are_made_relative_without_a_warning(study):
    home, call = study
    path = home / "derivatives" / "out" / "dataset_description.json"
    old = json.loads(path.read_text())
    old["DatasetLinks"] = {"preprocessed": (home / "fmriprep").as_uri()}
    path.write_text(json.dumps(old))
    shutil.rmtree(home / "derivatives" / "out" / "logs" / "dataset_description")
    done = call(home)
    assert "for an earlier call" not in done.err
    assert json.loads(path.read_text())["DatasetLinks"] == {"preprocessed": "../../fmriprep"}


def test_a_plus_stays_in_addresses(tmp_path):
    """As in names of BIDS: space-MNIInfant+2."""
    path = tmp_path / "a b" / "space-MNIInfant+2_x.tsv"
    assert bids_uri(path, [("raw", tmp_path)]) == "bids:raw:a%20b/space-MNIInfant+2_x.tsv"
    assert dataset_uri(tmp_path / "fm+prep", tmp_path / "out") == "../fm+prep"


def test_endings_of_sources_may_have_spaces(tmp_path):
    (tmp_path / "c d_bold.nii.gz").touch()
    sidecar = {"Sources": ["bids::c%20d_bold.nii.gz"]}
    assert Links(tmp_path, {}).first(sidecar, "c d_bold.nii.gz") == tmp_path / "c d_bold.nii.gz"


@pytest.mark.parametrize(
    ("unit", "names"),
    [
        ("mm", ["x", "y", "z", "radius", "distance", "moved", "smoothing_fwhm", "fd", "mean_fd"]),
        ("mm", ["fd_recomputed", "mean_fd_recomputed"]),
        ("min", ["minutes", "minutes_kept", "minutes_for_r", "minutes_for_icc", "longest"]),
        ("s", ["seconds", "min_seconds"]),
        ("mm3", ["volume"]),
        (None, ["n", "coverage", "tsnr", "r"]),
    ],
)
def test_units_of_columns(unit, names):
    about = described({name: f"About {name}" for name in names})
    expected = {"Units": unit} if unit else {}
    assert about == {name: {"Description": f"About {name}"} | expected for name in names}
