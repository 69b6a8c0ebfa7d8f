"""Text and JSON of others and of ours: which may be missing, and which may be of any size."""

from __future__ import annotations

import sys

import pytest

from bids_spheres.errors import DataError, MissingInputError, ReadWriteError
from bids_spheres.files.regular import MAX_BYTES
from bids_spheres.files.text import (
    is_there,
    json_object,
    parse_json,
    parse_number,
    parse_yaml,
    read_json_object,
    read_own_text,
    read_text,
)

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

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("bids_spheres.files.text.open_regular", fail)
    with pytest.raises(ReadWriteError, match="Input/output error") as error:
        read_own_text(tmp_path / "x.json")
    assert error.value.hint is None


@pytest.mark.parametrize("start", ["", "../../.git"])
def test_text_that_is_a_pointer_of_git_annex(tmp_path, start):
    path = tmp_path / "x.json"
    path.write_text(f"{start}/annex/objects/MD5E-s1--0.json\n")
    for read in (read_text, read_own_text, read_json_object):
        with pytest.raises(MissingInputError, match="git-annex has its name only"):
            read(path)


@pytest.mark.parametrize(
    ("start", "kind", "how"),
    [
        (b"PK\x03\x04", "an Excel, OpenDocument or zip file", "as text with tabs (TSV)"),
        (b"\xd0\xcf\x11\xe0", "an Excel file", "as text with tabs (TSV)"),
        (b"\xff\xfe", "UTF-16", "with UTF-8 encoding"),
        (b"\xfe\xff", "UTF-16", "with UTF-8 encoding"),
        (b"\x1f\x8b", "compressed by gzip", "uncompressed"),
    ],
)
def test_formats_that_are_often_given_as_text(tmp_path, start, kind, how):
    path = tmp_path / "x.tsv"
    path.write_bytes(start + b"abc")
    with pytest.raises(DataError) as caught:
        read_text(path)
    assert caught.value.message == f"{path} can't be read as text: it is {kind}."
    assert caught.value.hint == f"Save it {how}."


def test_line_ends_and_the_first_line(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_bytes(b"\xef\xbb\xbfa\tb\r\n1\t2\r3\t4\n")
    assert read_text(path) == "a\tb\n1\t2\n3\t4\n"
    assert read_text(path, first_line=True) == "a\tb\n"


def test_a_link_is_there_even_if_it_leads_nowhere(tmp_path):
    (tmp_path / "a").touch()
    (tmp_path / "b").symlink_to("none")
    assert [is_there(tmp_path / name) for name in "abc"] == [True, True, False]


def test_a_key_that_is_there_twice(tmp_path):
    text, path = '{"a": {"b": 1, "c": 2, "b": 3}, "d": 1.25}', tmp_path / "x.json"
    assert parse_json(text, path) == {"a": {"b": 3, "c": 2}, "d": 1.25}
    with pytest.raises(DataError, match=r"x\.json: key b occurs twice\."):
        parse_json(text, path, unique_keys=True)
    assert json_object('{"d": 1.250}', path, parse_float=str) == {"d": "1.250"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" \n", "x.json is not valid JSON: it is empty."),
        ("[" * 100_000, "x.json is not valid JSON: it is nested too deeply."),
        ("1" * 5000, "x.json is not valid JSON: Exceeds the limit (4300 digits) for integer"),
        ('{"a": 1,}', "x.json is not valid JSON: "),
    ],
)
def test_text_that_is_no_json(tmp_path, text, message):
    with pytest.raises(DataError) as caught:
        parse_json(text, tmp_path / "x.json")
    assert message in caught.value.message
    assert ";" not in caught.value.message


@pytest.mark.parametrize(
    ("content", "kind"), [("[1]", "list"), ("1.5", "float"), ('"a"', "str"), ("null", "NoneType")]
)
def test_the_type_that_is_no_object_is_named(tmp_path, content, kind):
    with pytest.raises(DataError, match=rf"x\.json must hold a JSON object, not a {kind}\."):
        json_object(content, tmp_path / "x.json")


def test_yaml_of_options(tmp_path):
    text = "a: [1, 2.5]\nb: {c: yes, d: none}\n"
    assert parse_yaml(text, tmp_path / "x.yaml") == {"a": [1, 2.5], "b": {"c": True, "d": "none"}}


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("a: &x 1\nb: *x\n", "aliases (*) can't be used.", "Write the value again."),
        ("a: !!int x\n", "the tag !!int can't be used.", "Leave it out."),
        ("a: !mine x\n", "the tag !mine can't be used.", "Leave it out."),
        ("a: 1\nb: 2\na: 3\n", "key a occurs twice.", None),
        ("- x\n- b: [{c: 1, c: 2}]\n", "key c occurs twice.", None),
    ],
)
def test_yaml_that_would_mean_something_else(tmp_path, text, message, hint):
    with pytest.raises(DataError) as caught:
        parse_yaml(text, tmp_path / "x.yaml")
    assert caught.value.message == f"{tmp_path / 'x.yaml'}: {message}"
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("text", "phrase"),
    [("a: 1\n\tb: 2\n", ", in line 2."), ("a: [1\n", "x.yaml is not YAML: ")],
)
def test_text_that_is_no_yaml(tmp_path, text, phrase):
    with pytest.raises(DataError) as caught:
        parse_yaml(text, tmp_path / "x.yaml")
    assert phrase in caught.value.message
    assert "\n" not in caught.value.message


def test_yaml_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(DataError, match="needs the package PyYAML") as caught:
        parse_yaml("a: 1", tmp_path / "x.yaml")
    assert caught.value.hint == "pip install pyyaml, or write it as JSON."


@pytest.mark.parametrize(
    ("cell", "value"),
    [(" 1.5 ", 1.5), ("-2e3", -2000), ("0", 0), ("inf", float("inf")), ("1,5", None), ("x", None)],
)
def test_numbers_in_cells(cell, value):
    assert parse_number(cell) == value


@pytest.mark.parametrize("cell", ["", "  ", "n/a", "N/A", "NA", "na", "NaN", " nan "])
def test_cells_without_a_number(cell):
    assert parse_number(cell) != parse_number(cell)


@pytest.mark.parametrize("cell", ["none", "-", "n.a.", "null"])
def test_words_in_cells_that_are_no_missing_value(cell):
    assert parse_number(cell) is None
