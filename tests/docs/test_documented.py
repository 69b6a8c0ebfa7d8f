"""Columns and keys that both levels really write, against those that pages tell of."""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path

import pytest

from tests.docs.written import TABLES, columns_of, sidecars, tables

DOCS = Path(__file__).resolve().parents[2] / "docs"

GROUP_MATRICES = tuple(f"group {what}" for what in ("mean", "sd", *"ntpq"))
OF_EDGES = ("contrast edges", "contrast nbs", "contrast cnbs")
OF_MAPS = ("contrast clusters", "contrast statmap")
MULTIVERSE = ("specifications", "robustness")
REPEATED = ("reliability", "networkreliability", "harmonization", "minutes")
OTHER_RESULTS = ("networks", "model", "edges", "stacked", "participants", *OF_EDGES, *REPEATED)
SHORT = {
    "data": ("timeseries", "relmat", "relmat of runs", "boldmap"),
    "group matrices": GROUP_MATRICES,
    "contrast results": tuple(f"group {what}" for what in (*OF_EDGES, *OF_MAPS)),
    "contrast tables": tuple(f"group {what}" for what in OF_EDGES),
    "map results": tuple(f"group {what}" for what in OF_MAPS),
    "multiverse": tuple(f"group {what}" for what in MULTIVERSE),
    "group results": (*GROUP_MATRICES, *(f"group {what}" for what in OTHER_RESULTS)),
}
"""What words on the page of keys stand for."""

NAMED_BY_SEEDS = ("timeseries", "raw timeseries", "relmat", "relmat of runs", *GROUP_MATRICES)
"""Tables whose columns have the names of seeds."""

NAMED_BY_INPUT = ("design",)
"""Tables whose columns have the names of fMRIPrep's confounds."""

HEADINGS = {
    "dseg": "Spheres",
    "outliers": "Volumes left out",
    "controls": "Negative controls",
    "exclusions": "Exclusions",
    "group runs": "`runs.tsv`",
    "group strategies": "`strategies.tsv`",
    "group stability": "`stability.tsv`",
    **{
        f"group {what}": f"`*_{what}.tsv`"
        for what in (
            "participants",
            "edges",
            "networks",
            "model",
            "coverage",
            *MULTIVERSE,
            *REPEATED,
        )
    },
    **{
        f"group {what}": f"`*_{what.replace(' ', '-<name>_')}.tsv`"
        for what in (*OF_EDGES, OF_MAPS[0])
    },
}
"""Where on the page of outputs the columns of a kind of table are."""


@pytest.fixture(scope="module")
def generated():
    """The module that fills generated parts of pages."""
    sys.path.insert(0, str(DOCS / "_ext"))
    try:
        yield import_module("generated")
    finally:
        sys.path.remove(str(DOCS / "_ext"))


@pytest.fixture(scope="module")
def sections(generated):
    """Text below every heading of the page of outputs."""
    page = generated.filled((DOCS / "reference" / "outputs.md").read_text(encoding="utf-8"))
    parts = re.split(r"^#+ (.+)$", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def first_cells(text):
    """Names in the first column of all tables."""
    rows = re.findall(r"^\| (`[^|]*?) \|", text, flags=re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_every_column_is_documented_and_every_documented_one_is_written(everything, sections):
    written = tables(everything)
    for kind, heading in HEADINGS.items():
        documented = first_cells(sections[heading])
        if kind == "outliers":
            documented |= {"censored"}  # in a sentence above the table
            assert "`censored`" in sections[heading]
            documented |= first_cells(sections["Head motion measured anew"])
        assert documented == written.pop(kind), kind
    assert written.pop("descriptions") == {"desc_id", "description"}
    atlas = written.pop("atlas dseg")
    row = next(line for line in sections["Files of the dataset"].splitlines() if "_dseg" in line)
    assert all(f"`{name}`" in row for name in atlas)
    assert set(written) - {"group stacked"} == {*NAMED_BY_SEEDS, *NAMED_BY_INPUT}


def test_other_columns_are_named_by_seeds_and_by_the_input(everything, demo_dataset):
    seeds = {
        name
        for path in everything.rglob("*_desc-spheres_dseg.tsv")
        for name in [line.split("\t")[1] for line in path.read_text().splitlines()[1:]]
    }
    confounds = {
        name for path in demo_dataset.rglob("*_timeseries.tsv") for name in columns_of(path)
    }
    written = tables(everything)
    for kind in NAMED_BY_SEEDS:
        expected = seeds if kind.endswith("timeseries") else seeds | {"Node"}
        assert written[kind] <= expected, kind
    assert written["design"] <= confounds | {"intercept"}
    edges = written["group stacked"] - {"participant_id"}
    assert edges in ({"values"}, {str(edge) for edge in range(1, len(edges) + 1)})


def documented_keys():
    """Kinds of JSON files that the page says have a key, by key."""
    text = (DOCS / "reference" / "sidecars.md").read_text(encoding="utf-8")
    found = defaultdict(set)
    for names, kinds in re.findall(r"^\| (`[^|]*`) \| ([^|]+) \|", text, flags=re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", names):
            for kind in kinds.strip().split(", "):
                found[name].update(SHORT.get(kind, (kind,)))
    return found


OF_SOME_CALLS = {
    *("Tissue", "HeadMotion", "QCFCPermutationSeed"),
    *("Within", "Clusters", "ParticipantWeights", "Harmonized", "HarmonizedInPermutations"),
}
"""Keys that the last call of the group does not give to all kinds of files that may have them."""


def test_every_key_is_documented_for_the_files_that_have_it(everything):
    written = defaultdict(set)
    for kind, keys in sidecars(everything).items():
        for key in keys:
            written[key].add(kind)
    documented = documented_keys()
    assert set(written) - set(documented) == set()
    # Of other seed sets than the test's, and of regions
    counts = ("WithoutVoxels", "PartlyOutsideMask", "OfTooLittleCoverage")
    others = {"Parcellation", "RegionSignals", *(f"Regions{count}" for count in counts)}
    assert set(documented) - set(written) == {"DerivedFrom", *others}
    wrong = {key: documented[key] ^ kinds for key, kinds in written.items()}
    # The group leaves out settings that are null, as these are in some of its calls here.
    wrong |= {key: written[key] - documented[key] for key in OF_SOME_CALLS}
    assert {key: kinds for key, kinds in wrong.items() if kinds} == {}


def test_keys_within_keys_are_documented(everything):
    text = (DOCS / "reference" / "sidecars.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|", text, flags=re.MULTILINE))
    within = defaultdict(set)
    for path in everything.rglob("*_boldmap.json"):
        content = json.loads(path.read_text())
        within["CensoringThresholds"] |= set(content["CensoringThresholds"])
        if content["SoftwareFilters"] != "n/a":
            within["SoftwareFilters"] |= set(content["SoftwareFilters"])
            within["SoftwareFilters"] |= set(content["SoftwareFilters"]["Temporal"])
    assert len(within) == 2
    for key, names in within.items():
        assert all(f"`{name}`" in rows[key] for name in names), (key, names)


def test_reasons_to_leave_volumes_out_are_those_of_the_sidecars(everything, sections):
    reasons = set()
    for path in everything.rglob("*_boldmap.json"):
        reasons |= set(json.loads(path.read_text())["CensoredVolumes"])
    assert reasons == first_cells(sections["Volumes left out"])


def patterns_of(text):
    """Names of files in the first column of tables, as patterns."""
    return [re.sub("<[a-z]+>", "*", name) for name in first_cells(text)]


def test_every_file_is_in_a_table_of_files(everything, sections):
    run, dataset, group = (
        patterns_of(sections[f"Files of {what}"]) for what in ("a run", "the dataset", "the group")
    )
    for path in everything.rglob("*"):
        relative = path.relative_to(everything)
        place = {"group": group, "func": run}.get(path.parent.name, dataset)
        sidecar = path.suffix == ".json" and any(
            path.with_name(path.stem + extension).is_file() for extension in (*TABLES, ".nii.gz")
        )
        if path.is_file() and not sidecar:
            name = path.name if place is not dataset else relative.as_posix()
            assert any(fnmatch(name, pattern) for pattern in place), relative


def test_every_option_is_on_the_page_of_the_command_line(generated):
    page = generated.filled((DOCS / "reference" / "command-line.md").read_text(encoding="utf-8"))
    from bids_spheres.app import parser as parsers  # noqa: PLC0415

    for parser in (parsers.main_parser(), *map(parsers.command_parser, parsers.COMMANDS)):
        for action in parser._actions:
            names = [n for n in action.option_strings if "_" not in n] or [action.dest]
            assert all(re.search(rf"{{option}}.*{re.escape(n)}\b", page) for n in names), names


def test_every_exit_status_is_on_the_page_with_the_exception_that_stands_for_it(generated):
    from bids_spheres import errors  # noqa: PLC0415

    table = generated.exit_statuses()
    assert re.findall(r"^\| (\d+) \|", table, re.MULTILINE) == [
        "0",
        *map(str, errors.EXIT_STATUSES),
    ]
    for kind in vars(errors).values():
        if isinstance(kind, type) and kind.__name__ not in ("BidsSpheresError", "Sequence"):
            assert re.search(
                rf"^\| {kind.exit_status} \| .+ \| `bids_spheres.errors.{kind.__name__}` \|$",
                table,
                re.MULTILINE,
            )


def test_a_part_that_does_not_exist_is_an_error(generated):
    with pytest.raises(KeyError):
        generated.filled("<!-- generated: nothing_of_this_name -->\n")
