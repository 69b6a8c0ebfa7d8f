import csv
import json
import math
import re
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest

from bids_spheres.data.published import (
    MEASURES,
    begins_like_a_seed,
    hint_for_seeds,
    is_typed_seed,
    measure_name,
    parcellation_label,
    seed_set_name,
    strategy_name,
    unknown_seed_set,
)
from bids_spheres.errors import UsageError

FOLDER = files("bids_spheres") / "data" / "seeds"
KEYS = {
    "Name",
    "Description",
    "Authors",
    "License",
    "ReferencesAndLinks",
    "DOI",
    "Species",
    "Space",
    "SpaceDescription",
    "Columns",
}
BASE = ["index", "name", "x", "y", "z"]
# name: number of seeds, columns, space, default radius (none where each seed has its own), DOI
SETS = {
    "Dosenbach2010": (
        160,
        [*BASE, "network"],
        "MNI152NLin6Asym",
        5,
        "10.1126/science.1194144",
    ),
    "Power2011": (
        264,
        [*BASE, "network"],
        "MNI152NLin6Asym",
        5,
        "10.1016/j.neuron.2011.09.006",
    ),
    "Raichle2011": (36, [*BASE, "network"], "Talairach", 5, "10.1089/brain.2011.0019"),
    "Seitzman2018": (
        300,
        [*BASE, "radius", "network", "region"],
        "MNI152NLin6Asym",
        None,
        "10.1016/j.neuroimage.2019.116290",
    ),
}


def table(path, delimiter):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def shipped(name):
    return table(FOLDER / f"{name}.tsv", "\t")


def metadata(name):
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def published_dosenbach(folder):
    return [
        {
            "index": row["number"],
            "name": f"{re.sub('[ /]', '_', row['name'])}_{int(row['number']):03}",
            "x": row["x"],
            "y": row["y"],
            "z": row["z"],
            "network": row["network"],
        }
        for row in table(folder / "dosenbach_2010.csv", ",")
    ]


def published_power(folder):
    return [
        {
            "index": row["ROI"],
            "name": f"Power_{int(row['ROI']):03}",
            "x": row["X"],
            "y": row["Y"],
            "z": row["Z"],
        }
        for row in table(folder / "power_2011.csv", ",")
    ]


def published_raichle(folder):
    return [
        {
            "index": row["Label"],
            "name": row["Region"],
            "x": row["x"],
            "y": row["y"],
            "z": row["z"],
            "network": row["Region"].partition("_")[0],
        }
        for row in table(folder / "raichle_2011_36nodes.csv", ",")
    ]


def published_seitzman(folder):
    seeds = table(folder / "seitzman_2018_ROIs_300inVol_MNI_allInfo.txt", " ")
    labels = folder / "seitzman_2018_ROIs_anatomicalLabels.txt"
    legend, *codes = labels.read_text(encoding="utf-8").split()
    regions = dict(entry.split("=") for entry in legend.split(","))
    return [
        {
            "index": str(index),
            "name": f"{regions[code]}_{index:03}",
            "x": row["x"],
            "y": row["y"],
            "z": row["z"],
            "radius": row["radius(mm)"],
            "network": row["netName"],
            "region": regions[code],
        }
        for index, (row, code) in enumerate(zip(seeds, codes, strict=True), start=1)
    ]


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("Dosenbach2010", published_dosenbach),
        ("Power2011", published_power),
        ("Raichle2011", published_raichle),
        ("Seitzman2018", published_seitzman),
    ],
)
def test_every_row_is_as_published(name, published, test_data):
    rows = published(test_data / "seeds")
    # The published table of Power2011 has no networks; the tests below are about those.
    kept = rows[0].keys()
    assert [{key: row[key] for key in kept} for row in shipped(name)] == rows


SYSTEMS = {
    "Somatomotor hand": (30, "SomatomotorDorsal"),
    "Somatomotor mouth": (5, "SomatomotorLateral"),
    "Cingulo-opercular": (14, "CinguloOpercular"),
    "Auditory": (13, "Auditory"),
    "Default mode": (58, "DefaultMode"),
    "Memory retrieval": (5, "ParietoMedial"),
    "Visual": (31, "Visual"),
    "Fronto-parietal": (25, "FrontoParietal"),
    "Salience": (18, "Salience"),
    "Subcortical": (13, None),
    "Ventral attention": (9, "VentralAttention"),
    "Dorsal attention": (11, "DorsalAttention"),
    "Cerebellar": (4, None),
    "Uncertain": (28, "unassigned"),
}
"""Systems of Power 2011, their published numbers of seeds, and their names in Seitzman 2018."""


def test_systems_of_power_have_their_published_sizes():
    counts = Counter(row["network"] for row in shipped("Power2011"))
    assert counts == {name: number for name, (number, _) in SYSTEMS.items()}


def test_systems_of_power_are_those_of_the_same_seeds_in_seitzman():
    later = shipped("Seitzman2018")
    places = {tuple(float(row[axis]) for axis in "xyz"): row["network"] for row in later}
    pairs = Counter()
    for row in shipped("Power2011"):
        point = [float(row[axis]) for axis in "xyz"]
        nearest = min(places, key=lambda place: math.dist(place, point))
        if math.dist(nearest, point) < 2.5 and row["network"] != "Uncertain":
            pairs[SYSTEMS[row["network"]][1] == places[nearest]] += 1
    assert pairs == {True: 204, False: 12}


def test_every_set_has_a_table_and_a_description():
    names = {entry.name for entry in FOLDER.iterdir()}
    assert names == {f"{name}{extension}" for name in SETS for extension in (".tsv", ".json")}


@pytest.mark.parametrize("name", SETS)
def test_tables_are_complete_and_safe(name):
    number, columns, *_ = SETS[name]
    rows = shipped(name)
    assert all(list(row) == columns for row in rows)
    assert all(all(row.values()) for row in rows)
    assert [row["index"] for row in rows] == [str(index) for index in range(1, number + 1)]
    names = [row["name"] for row in rows]
    assert len(set(names)) == number
    assert all(re.fullmatch(r"[A-Za-z0-9_.+-]+", seed) for seed in names)
    assert len({(row["x"], row["y"], row["z"]) for row in rows}) == number
    assert all(math.isfinite(float(row[axis])) for row in rows for axis in "xyz")


@pytest.mark.parametrize("name", SETS)
def test_descriptions_say_what_the_tables_hold(name):
    _, columns, space, radius, doi = SETS[name]
    description = metadata(name)
    assert description.keys() >= KEYS
    assert all(description[key] for key in KEYS)
    assert description["Space"] == space
    assert description.get("DefaultRadius") == radius
    assert description["DOI"] == doi
    assert any(doi in reference for reference in description["ReferencesAndLinks"])
    assert list(description["Columns"]) == columns
    for column, entry in description["Columns"].items():
        assert entry["Description"]
        assert entry.get("Units") == ("mm" if column in {"x", "y", "z", "radius"} else None)


@pytest.mark.parametrize("name", [name for name, entry in SETS.items() if "network" in entry[1]])
def test_every_network_with_levels_is_explained(name):
    levels = metadata(name)["Columns"]["network"].get("Levels")
    networks = {row["network"] for row in shipped(name)}
    assert levels is None or levels.keys() == networks


def test_seitzman_radii_follow_the_region():
    radii = {(row["region"].startswith("cortex"), row["radius"]) for row in shipped("Seitzman2018")}
    assert radii == {(True, "5"), (False, "4")}


@pytest.mark.parametrize(
    ("name", "index", "expected"),
    [
        ("Dosenbach2010", 1, "1 vmPFC_001 6 64 3 default"),
        ("Dosenbach2010", 9, "9 vent_aPFC_009 42 48 -3 fronto-parietal"),
        ("Dosenbach2010", 41, "41 pre-SMA_041 10 5 51 sensorimotor"),
        ("Dosenbach2010", 160, "160 post_occipital_160 -4 -94 12 occipital"),
        ("Power2011", 1, "1 Power_001 -25 -98 -12 Uncertain"),
        ("Power2011", 2, "2 Power_002 27 -97 -13 Uncertain"),
        ("Raichle2011", 1, "1 DMN_PostCing 0 -52 27 DMN"),
        ("Raichle2011", 19, "19 ECN_AntPFC_L -44 45 0 ECN"),
        ("Raichle2011", 36, "36 AS_A1_R 59 -27 15 AS"),
        ("Seitzman2018", 1, "1 cortexL_001 -56.16 -44.76 -24.23 5 unassigned cortexL"),
        (
            "Seitzman2018",
            14,
            "14 cortexMid_014 0.05 -14.53 46.74 5 SomatomotorDorsal cortexMid",
        ),
        (
            "Seitzman2018",
            236,
            "236 hippocampus_236 -25.57 -11.78 -21.54 4 MedialTemporalLobe hippocampus",
        ),
        (
            "Seitzman2018",
            300,
            "300 cerebellum_300 12 -44 -18 4 SomatomotorDorsal cerebellum",
        ),
    ],
)
def test_known_seeds(name, index, expected):
    assert list(shipped(name)[index - 1].values()) == expected.split()


# Names that stand for what ships with the package


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        *[("power264", "Power2011"), ("Power 2011 (264)", "Power2011")],
        *[("dosenbach_160", "Dosenbach2010"), ("seitzman300", "Seitzman2018")],
        *[("Seitzman2020", "Seitzman2018"), ("raichle-36", "Raichle2011")],
        *[("SEITZMAN2018", "Seitzman2018"), ("Power 264b", "Power 264b")],
    ],
)
def test_names_of_seed_sets(typed, name):
    assert seed_set_name(typed) == name


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        *[("24p", "24P"), ("Simple-GSR", "simpleGSR"), ("a_comp_cor", "acompcor")],
        *[("ICA AROMA", "icaAROMA"), ("none", "none"), ("Mine", "Mine")],
    ],
)
def test_names_of_strategies(typed, name):
    assert strategy_name(typed) == name


def test_measures_have_the_labels_of_their_files():
    """Letters and digits alone, as BIDS wants them."""
    labels = {
        "pearson": "pearsoncorrelation",
        "fisher-z": "fisherz",
        "partial": "partialcorrelation",
        "covariance": "covariance",
        "precision": "precision",
        "ledoit-wolf": "ledoitwolfcorrelation",
        "spearman": "spearmancorrelation",
    }
    assert labels == MEASURES
    for name, label in labels.items():
        for typed in (name, label, name.upper(), label.title(), name.replace("-", " ")):
            assert measure_name(typed) == name
    with pytest.raises(UsageError) as error:
        measure_name("PEERSON")
    assert error.value.hint.startswith("Did you mean pearson? The measures are: pearson, fisher-z,")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        # Letters nearly in place, and digits that are the same, a slip, or those of another year
        *[
            ("Powr2011", "Power2011"),
            ("Powr2101", "Power2011"),
            ("Pow2011", "Power2011"),
            ("Powxx2011", None),
        ],
        *[("Power2101", "Power2011"), ("Power", "Power2011"), ("Power1999", "Power2011")],
        *[("Power201", "Power2011"), ("Power20111", "Power2011")],
        *[("Power20", None), ("Power201111", None), ("Powers2010", None)],
    ],
)
def test_of_sets_only_one_that_may_be_meant_is_suggested(typed, meant):
    hint = unknown_seed_set(typed).hint
    assert hint.startswith(f"Did you mean {meant}? The sets are: " if meant else "The sets are: ")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Power2011", "Power2011 is a built-in set: --atlas Power2011."),
        ("Power2011.tsv", "Did you mean Power2011? Built-in sets, for --atlas, are: Dosenbach"),
        ("0,-52", "A seed is typed as three numbers in mm"),
        ("PCC=0,-52", "A seed is typed as three numbers in mm"),
        ("mine.tsv", "Built-in sets, for --atlas, are: Dosenbach2010, Power2011, "),
    ],
)
def test_hints_for_a_table_that_is_not_there(name, hint):
    assert hint_for_seeds(Path(name)).startswith(hint)


@pytest.mark.parametrize(
    ("word", "is_one", "begins"),
    [
        *[("1,2,3", True, True), (" +1 , -.5 ,3. ", True, True), ("a b=1,2,3", True, True)],
        *[("1,2", False, True), ("-.5", False, True), ("1;2;3", False, True), ("1", False, True)],
        *[("=1,2,3", False, False), ("a,b=1,2,3", False, False), ("1,2,3,4", False, True)],
        *[("1e3,2,3", False, False), ("a/b=1,2,3", True, False), ("--x", False, False)],
        *[("x=a", False, False), ("1x", False, False), ("a=1,b", False, True)],
    ],
)
def test_words_that_are_seeds_or_begin_like_one(word, is_one, begins):
    assert (is_typed_seed(word), begins_like_a_seed(word)) == (is_one, begins)


@pytest.mark.parametrize(
    ("word", "label"),
    [
        ("tpl-A_atlas-X_seg-7n_scale-100_desc-th25_res-2_dseg.nii.gz", "X7n100th25"),
        ("scale-200_atlas-X.nii", "200X"),
        ("my-atlas-X.nii.gz", "myatlasX"),
        ("/data/atlas-X_dataset/", "X"),
        ("my.atlas/", "myatlas"),
        ("a.nii.gz.nii", "aniigz"),
    ],
)
def test_labels_of_parcellations(word, label):
    assert parcellation_label(word) == label
