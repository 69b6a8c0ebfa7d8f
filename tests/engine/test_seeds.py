"""Seed tables: what is read, and what is said about tables that can't be."""

from __future__ import annotations

import csv
import json
import pickle
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from bids_spheres.engine.seeds import (
    DEFAULT_RADIUS,
    check_radius,
    load_published_seeds,
    load_seed_file,
    load_seeds,
    published_seed_sets,
)
from bids_spheres.errors import DataError, MissingInputError, ReadWriteError, UsageError

POINTS = [[-1.5, 2, 3], [40, -50.25, 6e1]]


@pytest.fixture
def write(tmp_path):
    """Write a table and, if given, the JSON file beside it; return the table's path."""

    def call(content, name="mine.tsv", beside=None):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        if beside is not None:
            text = beside if isinstance(beside, str) else json.dumps(beside)
            path.with_suffix(".json").write_text(text)
        return path

    return call


# What is read

PLAIN = "x\ty\tz\n-1.5\t2\t3\n40\t-50.25\t6e1\n"


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.replace("\t", ","),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace("\n", "\n\n"),
        PLAIN.rstrip("\n"),
        PLAIN.replace("\t", "\t ").replace("\n", " \n"),
        "\ufeff" + PLAIN,
        PLAIN.replace("x\ty\tz", "X\tY\tZ"),
        '"x","y","z"\n"-1.5","2","3"\n"40","-50.25","6e1"\n',
        "z,index,x,comment,y\n3,1,-1.5,first,2\n60,2,40,,-50.25\n",
    ],
    ids=[
        "tabs",
        "commas",
        "Windows",
        "old Macintosh",
        "blank lines",
        "no end of line",
        "spaces",
        "byte order mark",
        "upper case",
        "quotes",
        "other columns and order",
    ],
)
def test_coordinates_alone_are_a_table(write, content):
    seeds = load_seeds(write(content))
    np.testing.assert_array_equal(seeds.coordinates, POINTS)
    assert len(seeds) == 2
    assert (seeds.label, seeds.published, seeds.space, seeds.networks) == (
        "mine",
        False,
        None,
        None,
    )
    np.testing.assert_array_equal(seeds.radii, [DEFAULT_RADIUS] * 2)
    assert seeds.names == ("seed_1", "seed_2")


def test_every_column(write):
    content = (
        "Name,x,y,z,RADIUS,Network\n"
        '"gyrus, left",1,2,3,4.5,Default\n'
        "Sulcus é,4,5,6,0,\n"
        ",7,8,9,n/a,n/a\n"
    )
    seeds = load_seeds(write(content, "my-own.seeds.csv"))
    assert seeds.label == "myown"
    assert seeds.names == ("gyrus, left", "Sulcus é", "seed_3")
    assert seeds.networks == ("Default", "n/a", "n/a")
    np.testing.assert_array_equal(seeds.radii, [4.5, 0, DEFAULT_RADIUS])


def test_names_of_the_nameless_sort_as_the_rows_do(write):
    content = "x,y,z\n" + "".join(f"{i},0,0\n" for i in range(12))
    names = load_seeds(write(content)).names
    assert names[:2] == ("seed_01", "seed_02")
    assert list(names) == sorted(names)


def test_missing_names_are_as_if_there_were_none(write):
    content = "name\tx\ty\tz\nn/a\t1\t2\t3\nn/a\t4\t5\t6\n"
    assert load_seeds(write(content)).names == ("seed_1", "seed_2")


@pytest.mark.parametrize("name", ["NA", "NaN", "na"])
def test_an_abbreviation_is_a_name(write, name):
    # NA is the nucleus accumbens; BIDS has only n/a for what is missing
    assert load_seeds(write(f"name\tx\ty\tz\n{name}\t1\t2\t3\n")).names == (name,)


@pytest.mark.parametrize(
    ("beside", "space", "radii"),
    [
        ({"Space": "MNI152NLin6Asym"}, "MNI152NLin6Asym", [3, DEFAULT_RADIUS]),
        ({"DefaultRadius": 8}, None, [3, 8]),
        ({"DefaultRadius": 0, "Space": "T1w", "Other": [1]}, "T1w", [3, 0]),
        ({}, None, [3, DEFAULT_RADIUS]),
    ],
)
def test_the_json_file_beside_the_table(write, beside, space, radii):
    seeds = load_seeds(write("x,y,z,radius\n1,2,3,3\n4,5,6,\n", beside=beside))
    assert seeds.space == space
    np.testing.assert_array_equal(seeds.radii, radii)
    assert dict(seeds.metadata) == beside


def test_default_radius_holds_where_the_table_has_no_column(write):
    seeds = load_seeds(write(PLAIN, beside={"DefaultRadius": 2.5}))
    np.testing.assert_array_equal(seeds.radii, [2.5, 2.5])


def test_a_radius_goes_over_those_of_the_table(write):
    path = write("x,y,z,radius\n1,2,3,3\n4,5,6,4\n")
    given = load_seeds(path, radius=7)
    replaced = load_seeds(path).with_radius(7)
    for seeds in (given, replaced):
        np.testing.assert_array_equal(seeds.radii, [7, 7])
        np.testing.assert_array_equal(seeds.coordinates, [[1, 2, 3], [4, 5, 6]])
        assert seeds.label == "mine"
    np.testing.assert_array_equal(load_seeds(path).radii, [3, 4])


@pytest.mark.parametrize("radius", [-1, np.nan, np.inf, -np.inf])
def test_a_radius_that_is_no_length(write, radius):
    for call in (check_radius, load_seeds(write(PLAIN)).with_radius):
        with pytest.raises(UsageError, match="length in mm"):
            call(radius)
    with pytest.raises(UsageError, match="length in mm"):
        load_seeds(write(PLAIN), radius=radius)


@pytest.mark.parametrize("source", ["a published set", "a file"])
def test_tables_travel_to_other_processes(write, source):
    path = write("name,x,y,z,network\na,1,2,3,N\n", beside={"Space": "T1w"})
    seeds = load_seeds("Raichle2011" if source == "a published set" else path)
    other = pickle.loads(pickle.dumps(seeds))  # noqa: S301
    for field in ("label", "names", "networks", "space", "published"):
        assert getattr(other, field) == getattr(seeds, field)
    np.testing.assert_array_equal(other.coordinates, seeds.coordinates)
    np.testing.assert_array_equal(other.radii, seeds.radii)
    assert dict(other.metadata) == dict(seeds.metadata)
    assert other.metadata["Space"] == seeds.space


# Published sets


@pytest.mark.parametrize("load", [load_seeds, load_published_seeds])
@pytest.mark.parametrize("name", ["Dosenbach2010", "Power2011", "Raichle2011", "Seitzman2018"])
def test_published_sets_are_their_files(name, load):
    folder = files("bids_spheres") / "data" / "seeds"
    lines = (folder / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(lines, delimiter="\t"))
    facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    seeds = load(name)
    assert (seeds.label, seeds.published, seeds.space) == (name, True, facts["Space"])
    assert seeds.names == tuple(row["name"] for row in rows)
    points = [[float(row[axis]) for axis in "xyz"] for row in rows]
    np.testing.assert_array_equal(seeds.coordinates, points)
    radii = [float(row.get("radius") or facts["DefaultRadius"]) for row in rows]
    np.testing.assert_array_equal(seeds.radii, radii)
    networks = tuple(row["network"] for row in rows) if "network" in rows[0] else None
    assert seeds.networks == networks


def test_published_sets_are_listed():
    assert published_seed_sets() == ("Dosenbach2010", "Power2011", "Raichle2011", "Seitzman2018")


@pytest.mark.parametrize("load", [load_seeds, load_published_seeds])
@pytest.mark.parametrize(
    ("name", "near"),
    [("Power201", "Power2011"), ("power2011", "Power2011"), ("Seitzmann2018", "Seitzman2018")],
)
def test_an_unknown_set_lists_those_there_are(load, name, near):
    with pytest.raises(UsageError, match=f"no built-in seed set named '{name}'") as caught:
        load(name)
    assert f"Did you mean {near}?" in caught.value.hint
    assert all(known in caught.value.hint for known in published_seed_sets())


def test_a_name_like_no_other_gets_no_guess():
    with pytest.raises(UsageError) as caught:
        load_published_seeds("xyz")
    assert "Did you mean" not in caught.value.hint


# Tables that can't be used


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        ("", "no column x, y, z (found: nothing)"),
        ("\n \n", "no column x, y, z (found: nothing)"),
        ("x,y\n1,2\n", "no column z (found: x, y)"),
        ("a\tb\tz\n1\t2\t3\n", "no column x, y (found: a, b, z)"),
        ("1,2,3\n4,5,6\n", "no column x, y, z (found: 1, 2, 3)"),
        ("x;y;z\n1;2;3\n", "no column x, y, z (found: x;y;z)"),
        ("x,y,z\n", "the table has no rows"),
        ("x,y,z\n1,2,3\n1,two,3\n", "'two' in row 2, column 'y', is not a number"),
        ("x\ty\tz\n1,5\t2\t3\n", "'1,5' in row 1, column 'x', is not a number"),
        ("x,y,z\n1,2,3\n\n4,,6\n", "a coordinate is missing in row 2"),
        ("x,y,z\n1,2,n/a\n", "a coordinate is missing in row 1"),
        ("x,y,z\n1,2,NaN\n", "a coordinate is missing in row 1"),
        ("x,y,z,x\n1,2,3,40\n", "column x"),
        ("x,y,z,X\n1,2,3,40\n", "column x"),
        ("name,x,y,z\na,1,2,3\nb,1,2,3\na,4,5,6\n", "the name 'a' stands in more than one row"),
        ("name,x,y,z\nseed_2,1,2,3\n,4,5,6\n", "the name 'seed_2' stands in more than one row"),
        ('name,x,y,z\n"a\tb",1,2,3\n', "holds control characters"),
        ("x,y,z\n1,2,3\n1,2\n", "row 2 has 2 cells, the header 3"),
        ("x,y,z\n1,2,3,4\n", "row 1 has 4 cells, the header 3"),
        ('name,x,y,z\n"a,1,2,3\nb,4,5,6\n', "row 1 has 1 cells, the header 4"),
        ("x,y,z,radius\n1,2,3,-4\n", "the radius in row 1 is not a length: -4"),
        ("x,y,z,radius\n1,2,3,4\n1,2,3,inf\n", "the radius in row 2 is not a length: inf"),
        ("x,y,z,radius\n1,2,3,big\n", "'big' in row 1, column 'radius', is not a number"),
        (b"x,y,z\n1,2,\xff\n", "is not UTF-8 text (byte 10)"),
        ("name,x,y,z\né,1,2,3\n".encode("latin-1"), "is not UTF-8 text (byte 11)"),
        ("x,y,z\n1,2,3\n".encode("utf-16"), "is not UTF-8 text (byte 0)"),
        ('name,x,y,z\n"' + "a,1,2,3\n" * 20_000, "row 1"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) and "\n" not in value else "",
)
def test_tables_that_cannot_be_used(write, content, phrase):
    path = write(content)
    with pytest.raises(DataError) as caught:
        load_seeds(path)
    assert phrase in caught.value.message
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("beside", "phrase"),
    [
        ('{"Space": ', "is not valid JSON"),
        ("", "is not valid JSON"),
        ("[1, 2]", "must hold a JSON object, not a list"),
        ("null", "must hold a JSON object, not a NoneType"),
        ('{"Space": 5}', "`Space` in the JSON file must be a name, not 5"),
        *(
            (f'{{"DefaultRadius": {value}}}', "`DefaultRadius` must be a length in mm")
            for value in ("-1", '"5"', "true", "null", "[5]", "NaN", "Infinity")
        ),
    ],
)
def test_json_files_that_cannot_be_used(write, beside, phrase):
    path = write(PLAIN, beside=beside)
    with pytest.raises(DataError) as caught:
        load_seeds(path)
    assert phrase in caught.value.message
    assert str(path.parent / "mine.") in caught.value.message


def test_a_json_file_that_is_no_text(write):
    path = write(PLAIN)
    path.with_suffix(".json").write_bytes(b'{"Space": "\xff"}')
    with pytest.raises(DataError, match=r"mine\.json is not UTF-8 text"):
        load_seeds(path)


@pytest.mark.parametrize("load", [load_seed_file, lambda path: load_seeds(Path(path))])
def test_a_table_that_is_not_there(tmp_path, load):
    with pytest.raises(MissingInputError, match=r"none\.tsv is not there") as caught:
        load(tmp_path / "none.tsv")
    assert "Power2011" in caught.value.hint
    with pytest.raises(MissingInputError, match="is not there"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["_-_.tsv", "éü.csv", ".tsv"])
def test_a_name_without_letters_gives_no_label(write, name):
    with pytest.raises(UsageError, match="No label can be made") as caught:
        load_seed_file(write(PLAIN, name))
    assert "letters or digits" in caught.value.hint


def test_a_table_that_may_not_be_read(write, monkeypatch):
    path = write(PLAIN)

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(ReadWriteError, match=r"mine\.tsv: Permission denied"):
        load_seed_file(path)
