"""Seed tables: what is read, and what is said about tables that can't be."""

from __future__ import annotations

import csv
import json
import os
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
    typed_seeds,
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
        PLAIN.replace("\t", ";"),
        PLAIN + "\t\t\n\t\t\n",
        PLAIN.replace("-", "\N{MINUS SIGN}"),
        PLAIN.replace("-", "\N{EN DASH}"),
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
        "semicolons",
        "blank cells at the end",
        "minus signs of an article",
        "dashes of an article",
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
    assert load_seeds(path, radius=0).radii.tolist() == [0, 0]
    given = load_seeds(path, radius=7)
    replaced = load_seeds(path).with_radius(7)
    for seeds in (given, replaced):
        np.testing.assert_array_equal(seeds.radii, [7, 7])
        np.testing.assert_array_equal(seeds.coordinates, [[1, 2, 3], [4, 5, 6]])
        assert seeds.label == "mine"
    np.testing.assert_array_equal(load_seeds(path).radii, [3, 4])


@pytest.mark.parametrize(
    "name",
    ["gyrus\u00a0präcentralis", "🧠", "👨\u200d👩\u200d👧", "<b>x</b>", "../../x", '5" left'],
)
def test_names_of_every_kind(write, name):
    quoted = name.replace('"', '""')
    assert load_seeds(write(f'name,x,y,z\n"{quoted}",1,2,3\n')).names == (name,)


def test_what_is_not_used_is_logged(write, caplog):
    beside = {"Spce": "T1w", "radius": 3, "Authors": ["A"], "x": {"Units": "mm"}}
    path = write("nmae,index,x,y,z,remarks\na,1,1,2,3,\n", beside=beside)
    with caplog.at_level("INFO", "bids_spheres"):
        assert load_seeds(path).names == ("a",)
    sidecar = path.with_suffix(".json")
    assert [record.getMessage().strip() for record in caplog.records] == [
        f"{path}: The column remarks is not used.",
        f"{path}: Columns: name from nmae.",
        f"{sidecar}: the key Spce is not used. Did you mean Space?",
        f"{sidecar}: the key radius is not used. Did you mean DefaultRadius?",
    ]
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "WARNING", "INFO", "INFO"]
    caplog.clear()
    load_seeds("Power2011")
    assert not caplog.records


def test_decimals_with_a_comma(write):
    with pytest.raises(DataError, match="'1,5' in row 1, column 'x', is not a number") as caught:
        load_seeds(write("x;y;z\n1,5;2;3\n"))
    assert caught.value.hint == "Write decimals with a point."


def test_a_quotation_mark_that_is_not_closed(write):
    with pytest.raises(DataError, match="row 1 has 1 cells, the header 4") as caught:
        load_seeds(write('name\tx\ty\tz\n"left\t1\t2\t3\nright\t1\t2\t3\n'))
    assert "is not closed" in caught.value.hint


@pytest.mark.parametrize("radius", [-1, np.nan, np.inf, -np.inf, 1001, 1e300])
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
        ("x|y|z\n1|2|3\n", "no column x, y, z (found: x|y|z)"),
        ("x,y,z\n", "the table has no rows"),
        ("x,y,z\n1,2,3\n1,two,3\n", "'two' in row 2, column 'y', is not a number"),
        ("x\ty\tz\n1,5\t2\t3\n", "'1,5' in row 1, column 'x', is not a number"),
        ("x,y,z\n1,2,3\n\n4,,6\n", "a coordinate is missing in row 2"),
        ("x,y,z\n1,2,n/a\n", "a coordinate is missing in row 1"),
        ("x,y,z\n1,2,3\n1,,3\n1,2,3\n,,3\n", "a coordinate is missing in row 2"),
        ("x,y,z,radius\n1,2,3,4\n1,2,3,-2\n1,2,3,-3\n", "the radius in row 2 is not a length"),
        ("x,y,z\n1,2,NaN\n", "a coordinate is missing in row 1"),
        ("name,x,y,z\nx,n/a,2,30\ny,1,2,30\n", "a coordinate is missing in row 1"),
        ("x,y,z,x\n1,2,3,40\n", "column x"),
        ("x,y,z,X\n1,2,3,40\n", "column x"),
        ('name,x,y,z\n"a\tb",1,2,3\n', "holds control characters"),
        ("x,y,z\n1,2,3\n1,2\n", "row 2 has 2 cells, the header 3"),
        ("x,y,z\n1,2,3,4\n", "row 1 has 4 cells, the header 3"),
        ('name,x,y,z\n"a,1,2,3\nb,4,5,6\n', "row 1 has 1 cells, the header 4"),
        ("x,y,z,radius\n1,2,3,-4\n", "the radius in row 1 is not a length in mm: -4"),
        ("x,y,z,radius\n1,2,3,4\n1,2,3,inf\n", "the radius in row 2 is not a length in mm: inf"),
        ("x,y,z,radius\n1,2,3,1001\n", "the radius in row 1 is not a length in mm: 1001"),
        ("x,y,z,radius\n1,2,3,big\n", "'big' in row 1, column 'radius', is not a number"),
        (b"x,y,z\n1,2,\xff\n", "can't be read as text: byte 10 is not UTF-8"),
        ("name,x,y,z\né,1,2,3\n".encode("latin-1"), "can't be read as text: byte 11 is not UTF-8"),
        ("x,y,z\n1,2,3\n".encode("utf-16"), "can't be read as text: it is UTF-16"),
        (b"PK\x03\x04\x14\x00\x06\x00", "can't be read as text: it is an Excel, OpenDocument"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "can't be read as text: it is an Excel file"),
        ("x,y,z\n1,2,3\ninf,2,3\n", "inf in row 2 is no coordinate in mm"),
        ("x,y,z\n1,2,-1e300\n", "-1e+300 in row 1 is no coordinate in mm"),
        ("x,y,z\n1_0,2,3\n", "'1_0' in row 1, column 'x', is not a number"),
        ('name,x,y,z\n"a\nb",1,2,3\n', "the name 'a\\nb' holds control characters"),
        ("name,x,y,z\na\u2028b,1,2,3\n", "the name 'a\\u2028b' holds control characters"),
        ("x,y,z,network\n1,2,3,a\x1b[2Jb\n", "the network 'a\\x1b[2Jb' holds control characters"),
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
        ('{"Space": " "}', "`Space` in the JSON file must be a name, not ' '"),
        ("[" * 100_000, "is not valid JSON: it is nested too deeply"),
        (f'{{"DefaultRadius": 1{"0" * 5000}}}', "is not valid JSON: Exceeds the limit"),
        (f'{{"DefaultRadius": 1{"0" * 400}}}', "`DefaultRadius` must be a length in mm"),
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
    with pytest.raises(DataError, match=r"mine\.json can't be read as text: byte 11 is not"):
        load_seeds(path)


@pytest.mark.parametrize("load", [load_seed_file, lambda path: load_seeds(Path(path))])
def test_a_table_that_is_not_there(tmp_path, load):
    with pytest.raises(MissingInputError, match=r"There is no seed table .*none\.tsv") as caught:
        load(tmp_path / "none.tsv")
    assert "Power2011" in caught.value.hint
    with pytest.raises(DataError, match="is a folder; a seed table is needed"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Power2011", "is a built-in set: --atlas Power2011"),
        ("power2011", "Did you mean Power2011?"),
    ],
)
def test_a_built_in_set_that_is_taken_for_a_file(tmp_path, name, hint):
    with pytest.raises(MissingInputError) as caught:
        load_seed_file(tmp_path / name)
    assert hint in caught.value.hint


@pytest.mark.parametrize("broken", ["table", "JSON file"])
@pytest.mark.parametrize("kind", ["link", "pointer", "link kept as text"])
def test_what_git_annex_has_not_fetched(write, broken, kind):
    path = write(PLAIN, "my seeds.tsv", beside={"Space": "T1w"})
    absent = path if broken == "table" else path.with_suffix(".json")
    absent.unlink()
    objects = "annex/objects/Zx/1q/MD5E-s9--0a/MD5E-s9--0a"
    if kind == "link":
        absent.symlink_to(f"../.git/{objects}")
    else:
        before = "../../.git/" if "link" in kind else "/"
        absent.write_text(before + objects + "\n")
    with pytest.raises(MissingInputError, match=r"The content of .* is not here") as caught:
        load_seed_file(path)
    assert caught.value.hint == f"Get it with: datalad get '{absent}'"


def test_a_table_that_speaks_of_annexes_is_a_table(write):
    seeds = load_seeds(write("x\ty\tz\tsource\n1\t2\t3\t../.git/annex/objects/a\n"))
    np.testing.assert_array_equal(seeds.coordinates, [[1, 2, 3]])


@pytest.mark.parametrize("name", ["_-_.tsv", "脑.csv", ".tsv", "..tsv"])
def test_a_name_without_letters_gives_no_label(write, name):
    with pytest.raises(UsageError, match="No label can be made") as caught:
        load_seed_file(write(PLAIN, name))
    assert "letters (a-z) or digits" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "label"), [("überblick.tsv", "uberblick"), ("my-own_2.x.csv", "myown2")]
)
def test_a_label_has_the_letters_of_the_name(write, name, label):
    assert load_seed_file(write(PLAIN, name)).label == label


def test_a_table_that_may_not_be_read(write, monkeypatch):
    path, opened = write(PLAIN), os.open

    def refuse(name, *args, **kwargs):
        if name == path:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(name, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ReadWriteError, match=r"mine\.tsv can't be read: Permission denied"):
        load_seed_file(path)


@pytest.mark.parametrize(
    ("words", "units"),
    [
        (["0.149,0,-0.1"], "metres"),
        (["0.15,0,-0.1"], None),
        (["0,0,0"], None),
        (["11.99,0,0.5", "1.5,2,-3"], "centimetres"),
        (["12,0,0.5", "1.5,2,-3"], None),
        (["-12,0,0.5", "1.5,2,-3"], None),
        (["11.99,0,0.5", "1,2,-3"], None),
        (["11.99,0,0.5"], None),
        (["0.1,0,0", "0.149,0.1,-0.1"], "metres"),
    ],
)
def test_units_by_how_far_seeds_are_from_the_origin(words, units):
    if units is None:
        assert len(typed_seeds(words)) == len(words)
    else:
        with pytest.raises(DataError, match=f"these look like {units}, not mm"):
            typed_seeds(words)


def test_the_largest_lengths():
    assert typed_seeds(["-10000,0,0"]).coordinates.tolist() == [[-10000, 0, 0]]
    with pytest.raises(DataError, match=r"--seeds: -10000\.5 in row 2 is no coordinate"):
        typed_seeds(["1,2,3", "4,-10000.5,10001"])
    assert typed_seeds(["1,2,3"]).with_radius(1000).radii.tolist() == [1000]
    for radius in (1000.1, -0.1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="must be a length in mm"):
            typed_seeds(["1,2,3"]).with_radius(radius)
    table = typed_seeds(["a = 1, 2, 3", "4,5,6", "a=7,8,9"])
    assert table.names == ("a_1", "seed_2", "a_2")
    assert (table.label, table.space, table.networks) == ("typed", None, None)
    assert table.radii.tolist() == [5, 5, 5]
    assert typed_seeds(["1,2,3"] * 10).names[8:] == ("seed_09", "seed_10")


def test_a_diameter_that_is_missing_is_twice_the_default_radius(write):
    path = write("x,y,z,diameter\n1,2,30,8\n4,5,60,\n7,8,90,0\n", beside={"DefaultRadius": 3})
    assert load_seeds(path).radii.tolist() == [4, 3, 0]


def test_a_table_may_have_the_ending_of_the_file_beside_it(write):
    assert load_seeds(write(PLAIN, "mine.json")).coordinates.tolist() == POINTS


def test_blanks_in_the_name_of_a_network_are_one(write):
    path = write("x,y,z,network\n1,2,30,Default \u00a0 mode\n4,5,60, \n7,8,90,Visual\n")
    assert load_seeds(path).networks == ("Default mode", "n/a", "Visual")


def test_only_the_last_equals_sign_of_a_typed_seed_ends_its_name():
    assert typed_seeds(["a=b=1,2,30", "4, 5 ,60"]).names == ("a=b", "seed_2")
