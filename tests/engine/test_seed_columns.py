"""Lists of seeds as people publish them: the same seeds whatever the form, or an error."""

from __future__ import annotations

import json
import logging

import numpy as np
import pandas as pd
import pytest

from bids_spheres.engine.seed_columns import read_columns
from bids_spheres.engine.seeds import load_seeds, seeds_from, typed_seeds
from bids_spheres.errors import DataError

POINTS = [[0, -52, 18], [-1.5, 50, -5], [46, -70, 36]]
NAMES = ("PCC", "mPFC", "left LP")


@pytest.fixture
def read(tmp_path, caplog):
    """Seeds of a text, and what was said about it."""

    def call(text, name="list.txt", sidecar=None):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        if sidecar:
            path.with_suffix(".json").write_text(sidecar)
        caplog.clear()
        with caplog.at_level(logging.INFO, "bids_spheres"):
            seeds = load_seeds(path)
        return seeds, " ".join(record.getMessage() for record in caplog.records)

    return call


ROWS = "PCC,0,-52,18\nmPFC,-1.5,50,-5\nleft LP,46,-70,36\n"
NUMBERS = "0,-52,18,PCC\n-1.5,50,-5,mPFC\n46,-70,36,left LP\n"
FORMS = {
    "ROI": "ROI,x,y,z\n" + ROWS,
    "Region": "Region,MNI_X,MNI_Y,MNI_Z\n" + ROWS,
    "label": "label,x_mni,y_mni,z_mni\n" + ROWS,
    "node": "node,x (mm),y (mm),z (mm)\n" + ROWS,
    "coord": "Brain region,xcoord,ycoord,zcoord\n" + ROWS,
    "words": "Lobule,MNI x,MNI y,MNI z\n" + ROWS,
    "centroid": "ROI Name,centroid_x,centroid_y,centroid_z\n" + ROWS,
    "RAS": "ROI Name,R,A,S\n" + ROWS,
    "tabs": ("name,x,y,z\n" + ROWS).replace(",", "\t"),
    "semicolons": ("name,x,y,z\n" + ROWS).replace(",", ";"),
    "blanks": "x  y z name\n" + NUMBERS.replace(",", "  "),
    "quoted blanks": 'x y z name\n0 -52 18 PCC\n-1.5 50 -5 mPFC\n46 -70 36 "left LP"\n',
    "sep": "sep=;\n" + ("name,x,y,z\n" + ROWS).replace(",", ";"),
    "comments": "# of a paper\n% more\n\nname,x,y,z\n" + ROWS + "# end\n",
    "header in a comment": "# name,x,y,z\n" + ROWS,
    "header in the last of the comments": "# of Smith, 2011\n% name,x,y,z\n" + ROWS,
    "no header, a comment at the end": NUMBERS + "# z,y,x,name\n",
    "no header, a comment of fewer cells": "# x,y,z\n" + NUMBERS,
    "another separator, as its line says": ("sep=|\nname,x,y,z\n" + ROWS).replace(",", "|"),
    "no header": NUMBERS,
    "no header, blanks": NUMBERS.replace(",", " "),
    "no header, names first": ROWS,
    "no header, counted": "1,0,-52,18,PCC\n2,-1.5,50,-5,mPFC\n3,46,-70,36,left LP\n",
    "no header, counted from 0": "0,0,-52,18,PCC\n1,-1.5,50,-5,mPFC\n2,46,-70,36,left LP\n",
    "title": "Table 1,,,\nname,x,y,z\n" + ROWS,
    "two lines": "Region,MNI coordinates,,\n,x,y,z\n" + ROWS,
    "triplets": 'Region;Centroid (MNI)\nPCC;"(0, -52, 18)"\nmPFC;-1.5 50 -5\n'
    'left LP;"[46; -70; 36]"\n',
    "numbered and named": "Label,Region,x,y,z\n"
    + "".join(f"{i},{row}\n" for i, row in enumerate(ROWS.splitlines(), start=1)),
    "both frames": "name,x_mni,y_mni,z_mni,x_tal,y_tal,z_tal\n"
    + "".join(f"{row},1,2,3\n" for row in ROWS.splitlines()),
    "trailing": "name,x,y,z,\n" + ROWS.replace("\n", ",\n"),
    "BOM and Windows": "\ufeff" + ("name,x,y,z\n" + ROWS).replace("\n", "\r\n"),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_seeds_in_every_form(read, form):
    seeds, _ = read(FORMS[form])
    np.testing.assert_array_equal(seeds.coordinates, POINTS)
    assert seeds.names == NAMES
    assert seeds.space is None
    np.testing.assert_array_equal(seeds.radii, [5, 5, 5])


@pytest.mark.parametrize(
    ("form", "note"),
    [
        ("no header", "The table has no header; its columns are taken for x, y, z and name"),
        ("ROI", "name from ROI"),
        ("RAS", "x from R, y from A, z from S"),
        ("title", "'Table 1' is taken for a title"),
    ],
)
def test_what_was_understood_is_said(read, form, note):
    assert note in read(FORMS[form])[1]


def test_a_column_that_counts_the_rows_is_not_worth_a_warning(read):
    assert "not used" not in read(FORMS["no header, counted"])[1]


def test_a_file_of_brainnet_viewer(read):
    seeds, _ = read("-38 -22 56 1 3.5 M1.L\n38 -22 56 1 2 M1.R\n", "motor.node")
    np.testing.assert_array_equal(seeds.coordinates, [[-38, -22, 56], [38, -22, 56]])
    assert seeds.names == ("M1.L", "M1.R")
    np.testing.assert_array_equal(seeds.radii, [5, 5])


@pytest.mark.parametrize(
    ("column", "radii"),
    [
        ("r", [4, 6]),
        ("radius(mm)", [4, 6]),
        ("Radius_mm", [4, 6]),
        ("diameter", [2, 3]),
        ("diam (mm)", [2, 3]),
    ],
)
def test_radii_and_diameters(read, column, radii):
    seeds, _ = read(f"x\ty\tz\t{column}\n0\t-52\t18\t4\n38\t-22\t56\t6\n")
    np.testing.assert_array_equal(seeds.radii, radii)


def test_r_beside_a_and_s_is_an_axis_and_no_radius(read):
    seeds, said = read("x,y,z,R,A,S\n0,-52,18,2,-50,17\n38,-22,56,40,-20,55\n")
    np.testing.assert_array_equal(seeds.coordinates, [[0, -52, 18], [38, -22, 56]])
    np.testing.assert_array_equal(seeds.radii, [5, 5])
    assert "The column R is not used" in said


def test_papers_and_sizes_of_clusters_change_no_number(read):
    rows = "PCC,0,-52,18,Fox 2005,120\nmPFC,-1,50,-5,Tal 2013,99\nLP,46,-70,36,Mnih 2015,9\n"
    seeds, said = read(f"name,x,y,z,reference,cluster size\n{rows}")
    assert (seeds.names, seeds.space) == (("PCC", "mPFC", "LP"), None)
    assert "column reference is not used" in said
    assert "column cluster size is not used" in said


def test_networks_and_other_columns(read):
    seeds, said = read("x y z radius(mm) netWorkbenchLabel netName\n0 -52 18 5 3 default\n")
    assert seeds.networks == ("default",)
    assert "column netWorkbenchLabel is not used" in said


def test_repeated_names_get_a_number(read):
    seeds, said = read("name,x,y,z\naPFC,1,2,30\nPCC,0,-52,18\naPFC,4,5,60\naPFC_1,7,8,90\n")
    assert seeds.names == ("aPFC_2", "PCC", "aPFC_3", "aPFC_1")
    assert "Repeated names have a number now: aPFC" in said


def test_numbers_that_are_called_rois_are_names_where_nothing_else_is(read):
    assert read("ROI,X,Y,Z\n7,-25,-98,-12\n9,27,-97,-13\n")[0].names == ("7", "9")
    assert read("index,X,Y,Z\n7,-25,-98,-12\n9,27,-97,-13\n")[0].names == ("seed_1", "seed_2")


def test_spaces_that_columns_name(read):
    assert read("tal_x,tal_y,tal_z\n0,-52,18\n")[0].space == "Talairach"
    assert read("x,y,z,space\n0,-52,18,T1w\n")[0].space == "T1w"
    seeds, _ = read("x,y,z,space\n0,-52,18,T1w\n", sidecar='{"Space": "MNI152NLin6Asym"}')
    assert seeds.space == "MNI152NLin6Asym"


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("x,y,z,radius_vox\n1,2,30,4\n", "radius_vox may say how large spheres are"),
        ("x,y,z,size\n1,2,30,4\n", "size may say how large spheres are"),
        ("x,y,z,units\n1,2,30,cm\n", "units may say how large"),
        ("x,y,z,size (mm)\n1,2,30,4\n", r"size \(mm\) may say how large"),
        ("x,y,z,size_mm\n1,2,30,4\n", "size_mm may say how large"),
        ("name,x,y,z,roi_size\na,1,2,30,4\n", "roi_size may say how large"),
        ("x,y,z,extent\n1,2,30,4\n", "extent may say how large"),
        ("x,y,z,coordinate_space\n1,2,30,Talairach\n", "coordinate_space may say in which space"),
        ("name,x,y,z,coordsys\na,1,2,30,MNI\n", "coordsys may say in which space"),
        ("x,y,z,reference\n1,2,30,TAL\n", "reference may say in which space"),
        ("x,y,z,reference\n1,2,30,MNI152\n", "reference may say in which space"),
        ("x,y,z,Reference\n1,2,30,a\n1,2,30,Talairach & Tournoux\n", "may say in which space"),
        ("x,y,z,r,radius\n1,2,30,4,4\n", "more than one column radius"),
        ("hemi,x,y,z\nL,38,-22,56\nR,38,-22,56\n", "says left where x is positive"),
        ("hemi,x,y,z\nL,0,-80,4\nL,38,-22,56\n", "says left where x is positive"),
        ("hemi,x,y,z\nR,-38,-22,56\nL,-40,-22,56\n", "says right where x is negative"),
        ("side,x,y,z\nRH,\u22128,1,2\nRH,0,1,2\n", "says right where x is negative"),
        ("x,y,z,space\n1,2,30,T1w\n1,2,30,MNI\n", "several spaces: MNI and T1w"),
        (
            "peak_x,peak_y,peak_z,centroid_x,centroid_y,centroid_z\n1,2,30,4,5,60\n",
            "several columns",
        ),
        ("x (cm),y (cm),z (cm)\n0,-5.2,1.8\n", "no column x, y, z"),
        ("0 -52 18 5 6\n1 -52 18 5 6\n", "no header, and 5 columns of numbers"),
        ("0 -52 18 5\n3 -52 18 5\n", "no header, and 4 columns of numbers"),
        ("1 -52 18 5\n", "no header, and 4 columns of numbers"),
        ("x y z name\n1 2 30 a b\n4 5 60\n", "row 2 has 3 cells, the header 4"),
        ("hemi,x,y,z\nL,abc,-22,56\n", "'abc' in row 1, column 'x', is not a number"),
        ("x,y,z\n-0.038,-0.022,0.056\n", "these look like metres, not mm"),
        ("x,y,z\n-3.8,-2.2,5.6\n0,-5.2,1.8\n", "these look like centimetres, not mm"),
        ("L,P,S\n38,22,56\n", "no column x, y, z"),
        ("x,y,z\n", "the table has no rows"),
    ],
)
def test_what_may_change_numbers_is_an_error(read, text, phrase):
    with pytest.raises(DataError, match=phrase) as caught:
        read(text)
    assert "list.txt" in caught.value.message


def test_a_side_does_not_matter_to_seeds_on_the_midline(read):
    points = [[0, -52, 18], [38, -22, 56]]
    seeds, _ = read("hemi,x,y,z\nL,0,-52,18\nR,38,-22,56\n")
    np.testing.assert_array_equal(seeds.coordinates, points)

    # One seed across the midline is no list whose sides are exchanged.
    seeds, _ = read("hemi,x,y,z\nR,-3,-22,56\nR,38,-22,56\nL,2,-22,56\nL,-38,-22,56\n")
    assert seeds.coordinates[:, 0].tolist() == [-3, 38, 2, -38]


def test_what_is_understood_is_said(read):
    _, said = read("ROI;Centroid (MNI)\nPCC;0 -52 18\n")
    assert "Columns: x, y and z from Centroid (MNI), name from ROI." in said
    assert "taken for Talairach's" in read("tal_x,tal_y,tal_z\n0,-52,18\n")[1]
    assert "Talairach" not in read("x,y,z,tal_x,tal_y,tal_z\n0,-52,18,0,-50,20\n")[1]


@pytest.mark.parametrize("header", ["x (cm),y (cm),z (cm)", "x_vox,y_vox,z_vox", "i,j,k"])
def test_columns_of_other_units_are_told_from_columns_that_are_missing(read, header):
    with pytest.raises(DataError, match="no column x, y, z") as caught:
        read(f"{header}\n10,52,18\n")
    assert caught.value.hint.startswith("Coordinates must be millimetres, and not ")
    assert header.split(",")[0] in caught.value.hint


def test_units_that_are_said_are_believed(read):
    text = "x,y,z\n-3.8,-2.2,5.6\n0,-5.2,1.8\n"
    np.testing.assert_array_equal(
        read(text, sidecar='{"Units": "mm"}')[0].coordinates, [[-3.8, -2.2, 5.6], [0, -5.2, 1.8]]
    )
    assert len(read(text.replace("x,y,z", "x mm,y mm,z mm"))[0]) == 2


def test_typed_seeds():
    seeds = typed_seeds(["PCC=0,-52,18", "-38,-22,56.5"])
    np.testing.assert_array_equal(seeds.coordinates, [[0, -52, 18], [-38, -22, 56.5]])
    assert (seeds.names, seeds.label) == (("PCC", "seed_2"), "typed")
    with pytest.raises(DataError, match="metres"):
        typed_seeds(["PCC=0,-0.052,0.018"])


def test_seeds_of_a_data_frame(tmp_path):
    frame = pd.DataFrame({"ROI": NAMES, "x_mni": [0, -1.5, 46], "y_mni": [-52, 50, -70]})
    frame["z_mni"] = [18, -5, 36]
    with pytest.warns(UserWarning, match="name from ROI") as caught:
        seeds = seeds_from(frame)
    assert caught[0].filename == __file__  # where the user calls, however deep it arises
    np.testing.assert_array_equal(seeds.coordinates, POINTS)
    assert seeds.names == NAMES
    frame.to_csv(tmp_path / "list.csv", index=False)
    assert seeds_from(str(tmp_path / "list.csv")).names == NAMES
    assert len(seeds_from("Raichle2011")) == 36
    assert seeds_from([(0, 0, 0)]) is None


def test_a_plain_table_and_one_without_a_header_leave_little_to_say():
    plain = read_columns("name\tx\ty\tz\tradius\na\t1\t2\t3\t4\nb\t5\t6\t7\t8\n", "t")
    assert (plain.notes, plain.space, plain.in_mm, plain.halved) == ((), None, False, False)
    assert plain.cells == {
        "name": ["a", "b"],
        "x": ["1", "5"],
        "y": ["2", "6"],
        "z": ["3", "7"],
        "radius": ["4", "8"],
    }
    assert plain.described == ("name", "x", "y", "z", "radius")
    bare = read_columns("1,2,3,left\n4,5,6,right\n", "t")
    assert bare.notes == ("The table has no header; its columns are taken for x, y, z and name.",)
    named = read_columns("x (mm),y (mm),z (mm),ROI name,diam\n1,2,3,a,9\n", "t")
    (note,) = named.notes
    assert note == (
        "Columns: x from x (mm), y from y (mm), z from z (mm), radius from diam, name from ROI "
        "name."
    )
    assert (named.in_mm, named.halved) == (True, True)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("label,region,x,y,z\na,b,1,2,30\nc,d,4,5,60\n", ("b", "d")),
        ("region,label,x,y,z\nb,a,1,2,30\nd,c,4,5,60\n", ("b", "d")),
        ("seed,name,area,x,y,z\na,b,c,1,2,30\n", ("b",)),
        ("roi,x,y,z,name\na,1,2,30,7\n", ("7",)),
    ],
)
def test_of_several_columns_of_names_the_surest_counts(read, text, names):
    seeds, said = read(text)
    assert seeds.names == names
    assert "is not used" in said


def test_of_several_columns_of_networks_the_first_counts(read):
    seeds, said = read("x,y,z,system,network\n1,2,30,a,b\n4,5,60,c,d\n")
    assert seeds.networks == ("a", "c")
    assert "The column network is not used." in said


def test_of_several_columns_of_triplets_that_of_the_template_counts(read):
    rows = 'PCC;"0, -50, 20";"0, -52, 18"\nLP;"45, -66, 35";"46, -70, 36"\n'
    seeds, _ = read("Region;Talairach;MNI\n" + rows)
    np.testing.assert_array_equal(seeds.coordinates, [[0, -52, 18], [46, -70, 36]])
    assert seeds.space is None
    with pytest.raises(DataError, match="no column x, y, z"):
        read("Region;First;Second\n" + rows)


def test_axes_that_are_called_by_different_names_are_one_triplet(read):
    seeds, _ = read("MNI x,y,z (mm)\n1,2,30\n4,5,60\n")
    np.testing.assert_array_equal(seeds.coordinates, [[1, 2, 30], [4, 5, 60]])
    with pytest.raises(DataError, match="more than one column x"):
        read("MNI x,y,z (mm),x seed\n1,2,30,7\n4,5,60,8\n")


def test_a_name_is_that_of_a_set_or_of_a_file(tmp_path, monkeypatch):
    """A set's before a file's; without an ending a file's before that of a set there is not."""
    monkeypatch.chdir(tmp_path)
    for name in ("Power2011", "mine"):
        (tmp_path / name).write_text("x\ty\tz\n1\t2\t30\n")
    assert (len(load_seeds("Power2011")), load_seeds("Power2011").published) == (264, True)
    assert load_seeds("mine").coordinates.tolist() == [[1, 2, 30]]
    assert load_seeds(tmp_path / "Power2011").coordinates.tolist() == [[1, 2, 30]]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        # Without a header: the first column with words, which may also hold numbers and gaps
        ("PCC,DMN,0,-52,18\nmPFC,DMN,-1.5,50,-5\n", ("PCC", "mPFC")),
        ("0,-52,18,7\n-1.5,50,-5,PCC\n", ("7", "PCC")),
        ("0,-52,18,PCC\n-1.5,50,-5\n", ("PCC", "seed_2")),
        # With one: a column of words of an unknown name, if it is the only one
        ("x,y,z,t\n0,-52,18,\n-1.5,50,-5,3.1\n", ("seed_1", "seed_2")),
        ("x,y,z,lobule,gyrus\n0,-52,18,a,b\n-1.5,50,-5,c,d\n", ("seed_1", "seed_2")),
        ("x,y,z,lobule,comment\n0,-52,18,a,b\n-1.5,50,-5,c,d\n", ("a", "c")),
        ("x,y,z,roi,lobule\n0,-52,18,7,a\n-1.5,50,-5,8,c\n", ("a", "c")),
        ("x,y,z,name,lobule\n0,-52,18,7,a\n-1.5,50,-5,8,c\n", ("7", "8")),
        # Cells are apart by what most lines hold
        ("name,x,y,z\nPCC; dorsal,0,-52,18\nLP,-1.5,50,-5\n", ("PCC; dorsal", "LP")),
    ],
)
def test_which_column_has_the_names(read, text, names):
    seeds, _ = read(text)
    np.testing.assert_array_equal(seeds.coordinates, POINTS[:2])
    assert seeds.names == names


def test_a_node_file_of_other_columns_is_a_table_as_any_other(read):
    seeds, _ = read("0 -52 18 PCC\n-1.5 50 -5 mPFC\n", "a.node")
    assert seeds.names == ("PCC", "mPFC")


@pytest.mark.parametrize(
    "header",
    [
        "x_mni,y_mni,z_mni,x,y,z",  # plain names, wherever they are
        "x_tal,y_tal,z_tal,x,y,z",
        "R,A,S,x_mni,y_mni,z_mni",  # letters are axes only where nothing else is
        "R,A,S,x,y,z",
    ],
)
def test_of_several_kinds_of_axes_the_plainest_count(read, header):
    seeds, _ = read(f"{header}\n1,2,30,4,5,60\n7,8,90,10,11,120\n")
    np.testing.assert_array_equal(seeds.coordinates, [[4, 5, 60], [10, 11, 120]])
    assert (seeds.space, seeds.radii.tolist()) == (None, [5, 5])


def test_a_column_of_spaces_that_is_empty_says_nothing(read):
    seeds, _ = read("tal_x,tal_y,tal_z,space\n0,-52,18,\n1,-52,18,\n")
    assert seeds.space == "Talairach"
    seeds, _ = read("tal_x,tal_y,tal_z,space\n0,-52,18,\n1,-52,18,MNI152NLin6Asym\n")
    assert seeds.space == "MNI152NLin6Asym"


@pytest.mark.parametrize(
    "column",
    [
        *("name", "ROI name", "Region_name", "label name", "ROI_label", "anatomical label"),
        *("region", "roi", "label", "node", "seed", "area", "brain region", "structure"),
        *("anatomy", "location"),
    ],
)
def test_what_a_column_of_names_is_called(read, column):
    """It is one although its cells are numbers, and others have words."""
    seeds, _ = read(f"lobule,gyrus,{column},x,y,z\na,b,7,1,2,30\nc,d,9,4,5,60\n")
    assert seeds.names == ("7", "9")


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ("name,ROI name", "a"),
        ("region name,ROI name", "b"),
        ("label name,region name", "b"),
        ("ROI label,label name", "b"),
        ("region,anatomical label", "b"),
        ("roi,region", "b"),
        ("label,roi", "b"),
        ("node,label", "b"),
        ("seed,node", "b"),
        ("location,area", "b"),
    ],
)
def test_of_names_for_names_the_more_certain_counts(read, columns, name):
    assert read(f"{columns},x,y,z\na,b,1,2,30\n")[0].names == (name,)


@pytest.mark.parametrize("column", ["network", "Network name", "netName", "net", "System"])
def test_what_a_column_of_networks_is_called(read, column):
    seeds, _ = read(f"x,y,z,{column}\n1,2,30,DMN\n4,5,60,\n")
    assert (seeds.networks, seeds.names) == (("DMN", "n/a"), ("seed_1", "seed_2"))


@pytest.mark.parametrize("column", ["hemisphere", "Hemi", "side", "L/R"])
@pytest.mark.parametrize(("left", "right"), [("L", "R"), ("left", "right"), ("LH", "RH")])
def test_what_a_column_of_sides_is_called(read, column, left, right):
    rows = f"{left},{{}}38,-22,56\n{right},{{}}36,-20,52\n"
    seeds, said = read(f"{column},x,y,z\n" + rows.format("-", ""))
    assert (seeds.names, said) == (("seed_1", "seed_2"), "")
    with pytest.raises(DataError, match="says left where x is positive"):
        read(f"{column},x,y,z\n" + rows.format("", ""))
    with pytest.raises(DataError, match="says right where x is negative"):
        read(f"{column};MNI\n{right};-38 -22 56\n{left};-36 -20 52\n")


@pytest.mark.parametrize(
    "column", ["", "Index", "number", "No.", "nr", "ID", "N", "idx", "ROI number", "roi_id"]
)
def test_numbers_of_rows_are_neither_names_nor_worth_a_note(read, column):
    seeds, said = read(f"{column},x,y,z\n7,1,2,30\n9,4,5,60\n")
    assert (seeds.names, said) == (("seed_1", "seed_2"), "")


@pytest.mark.parametrize(
    "column", ["comment", "comments", "note", "notes", "description", "reference", "DOI"]
)
def test_remarks_are_no_names(read, column):
    seeds, said = read(f"x,y,z,{column}\n1,2,30,a\n4,5,60,b\n")
    assert seeds.names == ("seed_1", "seed_2")
    assert f"The column {column} is not used." in said


@pytest.mark.parametrize(
    ("column", "divisor"),
    [
        *[(name, 1) for name in ("R", "rad", "Radius in mm", "ROI radius", "sphere_r", "seedrad")],
        *[(name, 2) for name in ("D", "diam", "ROI diameter (mm)", "sphere_d", "Seed Diameter")],
    ],
)
def test_what_a_column_of_sizes_is_called(read, column, divisor):
    seeds, _ = read(f"x,y,z,{column}\n0,-52,18,4\n38,-22,56,7\n")
    assert seeds.radii.tolist() == [4 / divisor, 7 / divisor]


@pytest.mark.parametrize(
    ("column", "said"),
    [
        *[(name, "how large") for name in ("sphere", "region_extent", "seed size", "sizeinmm")],
        *[(name, "how large") for name in ("radius_mm2", "unit", "mean radius", "max diam")],
        *[(name, "which space") for name in ("MNI space", "coord space", "coordinates system")],
        *[(name, "which space") for name in ("ref frame", "atlas_space", "spaces name", "roi_sys")],
        *[(name, "which space") for name in ("template name", "stereotaxic-space", "seed space")],
    ],
)
def test_columns_that_may_change_numbers(read, column, said):
    with pytest.raises(DataError, match=f"the column .* may say .*{said}"):
        read(f"x,y,z,{column}\n1,2,30,4\n")


@pytest.mark.parametrize(
    "form",
    [
        *(
            "MNI152 {}",
            "{}_MNI152",
            "MNI {} (mm)",
            "{}mm",
            "coord_{}",
            "{} coords",
            "coordinate {}",
        ),
        *("{}-coordinates", "center_{}", "{} centre", "centroid {}", "peak {}", "{}_pos"),
        *("position-{}", "seed {}", "roi_{}", "ROI centre {} (MNI)", "Peak {} coordinate (mm)"),
    ],
)
def test_what_columns_of_axes_are_called(read, form):
    header = ",".join(form.format(axis) for axis in "zxy")
    seeds, _ = read(f"{header}\n30,1,2\n0.9,0.4,0.5\n0.8,0.6,0.2\n")
    assert seeds.coordinates[0].tolist() == [1, 2, 30]
    assert seeds.space is None


@pytest.mark.parametrize("form", ["tal_{}", "{} (Talairach)", "Talairach {} mm"])
def test_axes_of_talairach(read, form):
    assert read(f"{','.join(map(form.format, 'xyz'))}\n1,2,30\n")[0].space == "Talairach"


def test_keys_that_say_where_a_table_comes_from_are_not_worth_a_note(read):
    known = ["Name", "Description", "Authors", "License", "ReferencesAndLinks", "DOI", "Species"]
    known += ["DerivedFrom", "LevelType", "SpaceDescription", "Columns", "Space", "Units", "x"]
    sidecar = json.dumps(dict.fromkeys(known, "mm") | {"DefaultRadius": 4, "Size": 3})
    seeds, said = read("x,y,z\n1,2,30\n", "list.tsv", sidecar)
    assert (seeds.space, seeds.radii.tolist()) == ("mm", [4])
    assert said.endswith("the key Size is not used.")
    assert said.count("is not used") == 1


@pytest.mark.parametrize(
    "text",
    [
        "Table 1\nx,y,z\n",
        "Table 1,,\nOf a paper,,\nof 2011,,\nx,y,z\n",
        "// of a paper\nx,y,z\n",
        "// x,y,z\n",
        "\n \nx,y,z\n\n",
        "",
        # Cells between tabs or semicolons may hold commas, also in every line.
        'n, N\tx\ty\tz\n"PCC, l"\t0\t-52\t18\n"mPFC, r"\t-1.5\t50\t-5\n',
        "n, N;x;y;z\nPCC, l;0;-52;18\nmPFC, r;-1.5;50;-5\n",
        "n; N\tx\ty\tz\nPCC; l\t0\t-52\t18\nmPFC; r\t-1.5\t50\t-5\n",
        # Three numbers in a cell of every row, and not of some
        "a;Centroid;comment\nPCC;0 -52 18;1 2 3\nmPFC;-1.5 50 -5;\n",
        "x,y,z\n0,-52,18\n// a remark\n-1.5,50,-5\n",
    ],
)
def test_what_is_around_the_numbers(read, text):
    whole = text if "-52" in text else f"{text}0,-52,18\n-1.5,50,-5\n"
    np.testing.assert_array_equal(read(whole)[0].coordinates, POINTS[:2])


def test_names_with_blanks_between_blanks_are_in_the_last_column(read):
    seeds, _ = read("x y z network name\n0 -52 18 DMN PCC\n-1.5 50 -5 Vis left LP\n")
    assert (seeds.names, seeds.networks) == (("PCC", "left LP"), ("DMN", "Vis"))


@pytest.mark.parametrize("column", ["space", "Template"])
def test_a_column_of_one_space_is_that_of_the_table(read, column):
    seeds, said = read(f"x,y,z,{column}\n0,-52,18,T1w\n1,2,30,T1w\n")
    assert (seeds.space, seeds.names, said) == ("T1w", ("seed_1", "seed_2"), "")


def test_the_last_cells_of_rows_between_tabs_may_be_empty(read):
    seeds, _ = read("name\tx\ty\tz\tradius\nPCC\t0\t-52\t18\t\nLP\t-1.5\t50\t-5\t4\n")
    assert seeds.radii.tolist() == [5, 4]


def test_repeated_names_that_end_in_a_number_are_told_apart_as_well(read):
    given = ["a_1", "a", "a_2", "a", "a_1", "a", "a_1_1"]
    names = read("name,x,y,z\n" + "".join(f"{name},1,2,30\n" for name in given))[0].names
    assert len(set(names)) == len(given)
    assert [name for name in ("a_2", "a_1_1") if name in names] == ["a_2", "a_1_1"]


@pytest.mark.parametrize("key", ["X", "x"])
def test_the_json_file_may_describe_columns_as_they_are_written(read, key):
    _, said = read("X,Y,Z\n1,2,30\n", "list.tsv", json.dumps({key: {"Units": "mm"}, "t": 1}))
    assert said.count("is not used") == 1
    assert "the key t is not used" in said


def test_a_column_that_only_begins_like_a_space_is_not_used(read):
    _, said = read("x,y,z,atlas space note\n1,2,30,4\n")
    assert "The column atlas space note is not used" in said
