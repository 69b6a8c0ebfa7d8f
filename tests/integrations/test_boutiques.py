"""descriptor.json: what it says of the command line, to Boutiques and when it is run by that."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bids_spheres import __version__, errors
from bids_spheres.app.parser import main_parser
from bids_spheres.data.published import MEASURES, published_seed_sets
from bids_spheres.integrations import boutiques
from bids_spheres.integrations.boutiques import _DRAFT_IDS
from bids_spheres.settings import values

PROJECT = Path(__file__).resolve().parents[2]
DESCRIPTOR = PROJECT / "descriptor.json"


@pytest.fixture(scope="module")
def described() -> dict:
    return json.loads(DESCRIPTOR.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def inputs(described) -> dict[str, dict]:
    return {each["id"]: each for each in described["inputs"]}


def test_the_file_is_what_the_parser_says():
    assert DESCRIPTOR.read_text(encoding="utf-8") == boutiques.text(), (
        "the parser has changed: python -m bids_spheres.integrations.boutiques > descriptor.json"
    )


def test_every_option_can_be_given(inputs):
    flags = {each.get("command-line-flag", "").partition("=")[0] for each in inputs.values()}
    for action in main_parser()._actions:
        if action.dest not in ("help", "help_all", "version", "config"):
            name = _DRAFT_IDS.get(action.dest, action.dest)
            assert name in inputs or flags & set(action.option_strings), action.dest


def test_version_and_statuses(described):
    assert described["tool-version"] == __version__
    codes = {each["code"] for each in described["error-codes"]}
    families = [errors.BidsSpheresError]
    for family in families:
        families += family.__subclasses__()
    assert codes >= {family.exit_status for family in families}
    assert codes >= {2, 70, 128 + signal.SIGINT, 128 + signal.SIGTERM}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("InputDataset", {"type": "File", "optional": False}),
        ("AnalysisLevel", {"type": "String", "value-choices": ["participant", "group"]}),
        ("atlas", {"value-choices": list(published_seed_sets())}),
        ("connectivity", {"value-choices": list(MEASURES), "list": True}),
        ("atlas", {"type": "String", "list": True, "command-line-flag": "--atlas"}),
        ("seeds", {"type": "File", "list": True}),
        ("radius", {"type": "Number", "list": True, "minimum": 0, "maximum": 1000}),
        ("min_coverage", {"minimum": 0, "maximum": 1, "default-value": 0.5, "integer": False}),
        ("smoothing_fwhm", {"type": "Number", "minimum": 0, "maximum": 40}),
        ("censor_before", {"type": "Number", "integer": True, "minimum": 0}),
        ("nprocs", {"type": "Number", "integer": True, "minimum": 1, "default-value": 1}),
        ("fd_threshold", {"type": "Number", "integer": False, "minimum": 0}),
        ("fd_threshold_none", {"type": "Flag", "command-line-flag": "--fd-threshold=none"}),
        ("dummy_scans", {"type": "Number", "integer": True, "minimum": 0}),
        ("dummy_scans_auto", {"type": "Flag", "command-line-flag": "--dummy-scans=auto"}),
        ("mask", {"type": "String", "default-value": "run", "command-line-flag-separator": "="}),
        ("overlap", {"value-choices": ["allow", "error", "nearest"], "default-value": "allow"}),
        ("no_detrend", {"type": "Flag", "command-line-flag": "--no-detrend"}),
        ("verbose", {"type": "Flag"}),
        ("derivatives", {"type": "String", "list": True}),
        ("work_dir", {"type": "File", "command-line-flag": "--work-dir"}),
    ],
)
def test_what_an_option_takes(inputs, name, what):
    assert inputs[name] | what == inputs[name]


def test_outputs_of_the_draft_are_lists_where_several_files_have_the_name():
    files = boutiques.descriptor(draft=True)["output-files"]
    lists = {each["path-template"]: each["list"] for each in files if "list" in each}
    assert lists == {name: "*" in name for name in lists}
    assert set(lists.values()) == {True, False}
    assert len(boutiques.descriptor()["output-files"]) == 1


def test_defaults_of_the_group_level_are_not_given_with_every_call(inputs):
    assert "default-value" not in inputs["permutations"]
    assert inputs["min_dof"]["default-value"] == 10


def test_groups_are_those_of_the_help(described):
    groups = {group["name"]: group["members"] for group in described["groups"]}
    assert {"radius", "overlap"} <= set(groups["seeds"])
    assert {"no_detrend", "high_pass", "high_pass_none"} <= set(groups["denoising"])


def test_new_options_need_no_change_of_the_generator():
    parser = main_parser()
    group = parser.add_argument_group("novelties; new here")
    group.add_argument("--room", type=values.Memory(), help="memory, 100%% of it")
    group.add_argument("--level", type=values.Number(least=0.5, most=99.5), default=2.0)
    group.add_argument("--engine", type=values.choice("local", "dask"), default="local")
    kind = values.Kind("KEY=VALUE", read=values.key_and_value)
    group.add_argument("--helpers", nargs="+", action="extend", default=[], type=kind)
    group.add_argument("--say", action=argparse.BooleanOptionalAction, default=False)
    made = boutiques.descriptor(parser)
    new = {each["id"]: each for each in made["inputs"]}
    assert (new["room"]["type"], new["room"]["description"]) == ("Number", "memory, 100% of it")
    assert (new["level"]["minimum"], new["level"]["maximum"]) == (0.5, 99.5)
    assert (new["level"]["integer"], new["level"]["default-value"]) == (False, 2.0)
    assert new["engine"]["value-choices"] == ["local", "dask"]
    assert (new["helpers"]["type"], new["helpers"]["list"]) == ("String", True)
    assert new["say"]["command-line-flag"] == "--say"
    members = ["room", "level", "engine", "helpers", "say"]
    assert made["groups"][-1] == {
        "id": "novelties_options",
        "name": "novelties",
        "members": members,
    }
    assert made["command-line"].endswith("[ROOM] [LEVEL] [ENGINE] [HELPERS] [SAY]")


def test_each_word_of_a_number_is_a_flag():
    parser = main_parser()
    parser.add_argument("--level", type=values.Number(words=("auto", "none")))
    new = {each["id"]: each for each in boutiques.descriptor(parser)["inputs"]}
    for word in ("auto", "none"):
        assert new[f"level_{word}"]["command-line-flag"] == f"--level={word}"
        assert new[f"level_{word}"]["disables-inputs"] == ["level"]


# What follows runs Boutiques.


@pytest.fixture
def bosh(tmp_path):
    """Call Boutiques in a folder with its own home, and with our command in the path."""
    if importlib.util.find_spec("boutiques") is None:
        pytest.skip("the package boutiques is not installed")
    command = tmp_path / "bin" / "bids-spheres"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bids_spheres "$@"\n')
    command.chmod(0o755)
    environment = os.environ | {
        "HOME": str(tmp_path),
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(PROJECT),
    }

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        code = "import sys, boutiques; sys.argv[0] = 'bosh'; sys.exit(boutiques.bosh())"
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return call


def test_names_are_as_a_person_writes_them(inputs):
    names = {name: each["name"] for name, each in inputs.items()}
    wanted = {
        "InputDataset": "fMRIPrep output or BIDS dataset",
        "min_dof": "Minimum degrees of freedom",
        "fd_threshold_none": "FD threshold: none",
        "smoothing_fwhm": "Smoothing FWHM",
        "nprocs": "Runs at a time",
    }
    assert names | wanted == names


def test_cluster_options_are_a_group_of_their_own(described):
    groups = {group["name"]: group["members"] for group in described["groups"]}
    names = ["executor", "dask_scheduler", "dask_scheduler_file", "dask_slurm"]
    assert groups["clusters"] == names


def test_the_draft_of_the_execution_specification(bosh, tmp_path):
    """Ids of its version 0.1.0.dev, for a call with its flag and no other argument."""
    words = [sys.executable, "-m", "bids_spheres", "--bids-exec-spec"]
    printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    (tmp_path / "draft.json").write_text(printed)
    done = bosh("validate", "draft.json")
    assert done.returncode == 0, done.stderr
    content = json.loads(printed)
    assert content["custom"]["BIDSAppSpecVersion"] == "0.1.0.dev"
    required = {"InputDataset", "OutputLocation", "AnalysisLevel", "Help", "ToolVersion"}
    assert required <= {each["id"] for each in content["inputs"]}
    optional = {each["path-template"] for each in content["output-files"] if each["optional"]}
    assert {"[OUTPUT_DIR]/group.html", "[OUTPUT_DIR]/sub-*.html"} <= optional


def test_the_image_is_the_one_that_the_documentation_builds(described):
    text = (PROJECT / "docs" / "how-to" / "containers.md").read_text(encoding="utf-8")
    assert f"--tag {described['container-image']['image']} " in text


def test_boutiques_accepts_it(bosh):
    plain, bids = bosh("validate", DESCRIPTOR), bosh("validate", "--bids", DESCRIPTOR)
    assert (plain.returncode, plain.stdout.strip()) == (0, "OK"), plain.stderr
    assert bids.returncode == 0, bids.stderr
    assert "BIDS validation OK" in bids.stdout


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["-c"]], ids=["needed", "all"])
def test_boutiques_makes_words_that_the_parser_takes(bosh, options):
    done = bosh("exec", "simulate", DESCRIPTOR, *options)
    assert done.returncode == 0, done.stderr
    line = done.stdout.strip().splitlines()[-1]
    # Random words have no meaning to these options.
    for option, word in (("tissue", "GM"), ("dask_slurm", "queue=x"), ("placement_jitter", "3")):
        line = re.sub(rf"\bstr_{option}\w*", word, line)
    words = line.partition(" bids-spheres ")[2].split()
    parsed = main_parser().parse_args(words)
    assert parsed.analysis_level in ("participant", "group")
    assert str(parsed.output_dir) == line.removeprefix("mkdir -p ").partition(";")[0]


def _files(folder: Path) -> dict[str, bytes]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths if "logs" not in p.parts}


@pytest.mark.slow
def test_launched_by_boutiques_it_does_what_it_does_alone(bosh, run_app, tiny, tmp_path):
    tiny.add_run()
    tiny.add_run("sub-02_task-rest")
    tiny.add_run("sub-03_task-rest")
    (tmp_path / "my seeds.tsv").write_text("name\tx\ty\tz\na\t-10\t0\t0\nb\t10\t0\t0\n")
    (tmp_path / "other.tsv").write_text("name\tx\ty\tz\nc\t0\t10\t4\nd\t6\t-6\t4\ne\t0\t0\t0\n")
    invocation = {
        "InputDataset": "fmriprep",
        "OutputLocation": "by bosh",
        "AnalysisLevel": "participant",
        "participant_label": ["01", "sub-02"],
        "seeds": ["my seeds.tsv", "other.tsv"],
        "radius": [6, 8.5],
        "strategy": ["none", "24P"],
        "connectivity": ["pearson", "fisher-z", "covariance"],
        "min_coverage": 0.25,
        "smoothing_fwhm": 5.5,
        "fd_threshold": 0.05,
        "high_pass_none": True,
        "no_detrend": True,
        "full_length": True,
        "standardize": "psc",
        "report_level": "none",
    }
    (tmp_path / "invocation.json").write_text(json.dumps(invocation))
    done = bosh(
        *("exec", "launch", "--no-container", "--skip-data-collection"),
        *(DESCRIPTOR, "invocation.json"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    alone = run_app(
        *(tiny.root, tmp_path / "alone", "participant", "--participant-label", "01", "02"),
        *("--seeds", tmp_path / "my seeds.tsv", tmp_path / "other.tsv", "--radius", 6, 8.5),
        *("--strategy", "none", "24P", "--connectivity", "pearson", "fisher-z", "covariance"),
        *("--min-coverage", 0.25, "--smoothing-fwhm", 5.5, "--fd-threshold", 0.05),
        *("--high-pass", "none", "--no-detrend", "--full-length", "--standardize", "psc"),
        *("--report-level", "none"),
    )
    assert alone.status == 0, alone.err
    expected = _files(tmp_path / "alone")
    # 2 runs x 2 seed sets x 2 radii: 2 strategies with a table of series and three matrices each
    assert sum(name.endswith("_timeseries.tsv") for name in expected) == 16
    assert sum(name.endswith("_relmat.tsv") for name in expected) == 48
    assert _files(tmp_path / "by bosh") == expected


@pytest.mark.slow
def test_boutiques_tells_what_an_exit_status_means(bosh, tiny, tmp_path):
    tiny.add_run()
    invocation = {"InputDataset": "fmriprep", "OutputLocation": "out"}
    invocation |= {"AnalysisLevel": "participant"}
    invocation |= {"atlas": ["Power2011"], "task_label": ["other"]}
    (tmp_path / "invocation.json").write_text(json.dumps(invocation))
    done = bosh(
        *("exec", "launch", "--no-container", "--skip-data-collection"),
        *(DESCRIPTOR, "invocation.json"),
    )
    assert done.returncode == 18
    assert "the filters leave no run" in done.stdout + done.stderr
