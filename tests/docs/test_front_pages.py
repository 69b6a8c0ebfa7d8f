"""README and CONTRIBUTING, against the package, pyproject.toml and the files they name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from bids_spheres.data.published import published_strategies
from bids_spheres.engine import published_seed_sets
from bids_spheres.settings.table import GROUP, PARTICIPANT

PROJECT = Path(__file__).resolve().parents[2]
README, CONTRIBUTING = (
    (PROJECT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md")
)


def test_readme_names_both_levels_and_everything_that_ships():
    for level in (PARTICIPANT, GROUP):
        assert re.search(rf"^bids-spheres \S+ \S+ {level}\b", README, re.MULTILINE)
    for name in (*published_strategies(), *published_seed_sets()):
        assert f"`{name}`" in README, name


def test_readme_has_its_two_commands_where_continuous_integration_reads_them():
    for marker in ("run", "test"):
        assert re.search(rf"<!-- {marker} -->\n```bash\npip install .+\n```\n", README)


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_links_lead_to_files(text):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (PROJECT / target).exists(), target


def test_the_house_is_that_of_the_import_contracts():
    with (PROJECT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers = next(one for one in contracts if "down the house" in one["name"])["layers"]
    floors = [
        (len(layers) - below, name.removeprefix("bids_spheres."))
        for below, row in enumerate(layers)
        for name in row.split(" : ")
    ]
    _, _, house = CONTRIBUTING.partition("## The house")
    rows = re.findall(r"^\| (\d) \| (`[^|]+`) \|", house, re.MULTILINE)
    told = [(int(floor), name) for floor, cell in rows for name in re.findall(r"`(\w+)`", cell)]
    assert told == [(floor, name) for floor, name in floors if name != "__main__"]
    modules = {
        path.stem
        for path in (PROJECT / "bids_spheres").iterdir()
        # What git has moved away leaves folders of compiled files.
        if path.name[0] not in "_." and (path.is_file() or any(path.glob("*.py")))
    }
    assert modules - {"py"} == {name for _, name in told}
