"""Text and JSON of others and of ours: which may be missing, and which may be of any size."""

from __future__ import annotations

import pytest

from bids_spheres.errors import DataError, MissingInputError, ReadWriteError
from bids_spheres.files.regular import MAX_BYTES
from bids_spheres.files.text import read_json_object, read_own_text, read_text

LARGE = b'{"a": 1}' + b" " * MAX_BYTES


def annexed(path):
    path.symlink_to("../.git/annex/objects/xX/yY/MD5E-s1--0.json/MD5E-s1--0.json")


def test_a_file_that_may_be_missing(tmp_path):
    path = tmp_path / "x.json"
    assert read_json_object(path, optional=True) == {}
    assert read_own_text(path) == ""
    with pytest.raises(MissingInputError, match="There is no JSON file"):
        read_json_object(path)
    with pytest.raises(MissingInputError, match="There is no table"):
        read_text(path, "table")


@pytest.mark.parametrize("read", [read_json_object, read_text, read_own_text])
def test_a_file_that_git_annex_has_not_fetched_is_not_a_missing_one(tmp_path, read):
    path = tmp_path / "x.json"
    annexed(path)
    with pytest.raises(MissingInputError, match="git-annex has its name only") as error:
        read(path, **({"optional": True} if read is read_json_object else {}))
    assert f"datalad get {path}" in error.value.hint


def test_a_link_that_leads_nowhere_is_not_taken_for_no_file(tmp_path):
    path = tmp_path / "x.json"
    path.symlink_to("elsewhere.json")
    with pytest.raises(MissingInputError, match="There is no JSON file"):
        read_json_object(path, optional=True)


def test_an_empty_file_is_no_object(tmp_path):
    path = tmp_path / "x.json"
    path.touch()
    with pytest.raises(DataError, match="not valid JSON: it is empty"):
        read_json_object(path, optional=True)


def test_only_ours_may_be_of_any_size(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(LARGE)
    with pytest.raises(DataError, match="more than 64 MB"):
        read_json_object(path)
    assert len(read_own_text(path)) == len(LARGE)


@pytest.mark.parametrize("content", ["[1]", "1", '"a"', "null"])
def test_json_that_is_no_object(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(DataError, match="must hold a JSON object"):
        read_json_object(path)


def test_how_to_share_is_said_of_what_we_have_written(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("bids_spheres.files.text.open_regular", refuse)
    monkeypatch.setattr("bids_spheres.files.text.read_limited", refuse)
    with pytest.raises(ReadWriteError, match="Permission denied") as error:
        read_own_text(tmp_path / "x.json")
    assert "chmod g" in error.value.hint
    with pytest.raises(ReadWriteError, match="Permission denied") as error:
        read_text(tmp_path / "x.json")
    assert error.value.hint is None
