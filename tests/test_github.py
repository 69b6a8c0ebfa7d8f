"""Workflows, Dependabot and forms: whether they are what GitHub reads, and ask for little."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((PROJECT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)

needs_schemas = pytest.mark.skipif(
    find_spec("check_jsonschema") is None, reason="needs check-jsonschema"
)


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(path):
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.slow
@needs_schemas
@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("vendor.dependabot", [PROJECT / ".github" / "dependabot.yml"]),
        ("vendor.readthedocs", [PROJECT / ".readthedocs.yaml"]),
    ],
)
def test_files_follow_their_schemas(schema, paths):
    assert paths
    call = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *paths]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@each_workflow
def test_a_workflow_may_read_and_no_more_unless_a_job_says_so(path):
    assert read(path)["permissions"] == {"contents": "read"}
    for name, job in read(path)["jobs"].items():
        allowed = {"publish-wheel": {"id-token": "write"}, "publish-image": {"packages": "write"}}
        assert job.get("permissions", {}) == allowed.get(name, {}), name


@each_workflow
def test_actions_are_of_a_fixed_major_version(path):
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert used
    for action in used:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@(release/)?v\d+|.+@[0-9a-f]{40}", action), action


@each_workflow
def test_what_others_write_never_gets_into_a_script(path):
    for step in steps(path):
        assert "${{" not in step.get("run", ""), step


@each_workflow
def test_jobs_end_by_themselves_and_checkouts_keep_no_password(path):
    for name, job in read(path)["jobs"].items():
        assert job["timeout-minutes"] <= 120, name
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False


def test_only_a_tag_publishes():
    jobs = read(PROJECT / ".github" / "workflows" / "publish.yml")["jobs"]
    for name, job in jobs.items():
        publishes = name.startswith("publish-")
        assert ("github.ref_type == 'tag'" in job.get("if", "")) == publishes
        assert ("permissions" in job) == publishes


def test_every_python_that_is_promised_is_tested():
    matrix = read(PROJECT / ".github" / "workflows" / "test.yml")["jobs"]["tests"]["strategy"]
    promised = re.findall(
        r"Programming Language :: Python :: (3\.\d+)", (PROJECT / "pyproject.toml").read_text()
    )
    assert matrix["matrix"]["python-version"] == promised


def test_long_tests_are_run_every_night_and_not_by_default():
    nightly = read(PROJECT / ".github" / "workflows" / "nightly.yml")
    # YAML takes "on" for a truth value.
    (when,) = nightly[True]["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* \*", when["cron"])
    assert [step["run"] for step in nightly["jobs"]["long"]["steps"] if "pytest" in str(step)] == [
        "pytest -n auto -m long",
        "pytest tests/group/inference/test_peers.py",
    ]
    options = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["pytest"]
    assert options["ini_options"]["addopts"][-2:] == ["-m", "not long"]


def test_continuous_integration_is_run_as_it_is():
    everything = read(PROJECT / ".github" / "workflows" / "test.yml")["jobs"]["everything"]
    assert "bash .ci/run" in [step.get("run") for step in everything["steps"]]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_forms_have_what_github_needs(path):
    form = read(path)
    if path.stem == "config":
        assert form == {"blank_issues_enabled": False}
        return
    assert {"name", "description", "body"} <= set(form)
    ids = [part["id"] for part in form["body"] if part["type"] != "markdown"]
    assert len(ids) == len(set(ids)) > 0
    for part in form["body"]:
        assert part["type"] in ("markdown", "textarea", "input", "dropdown", "checkboxes")
        assert part["attributes"].get("label") or part["type"] == "markdown"


def test_the_form_for_bugs_asks_for_the_traceback():
    form = read(PROJECT / ".github" / "ISSUE_TEMPLATE" / "bug.yml")
    (debug,) = (part for part in form["body"] if part.get("id") == "debug")
    assert "--debug" in debug["attributes"]["label"]
    assert debug["validations"]["required"]


def test_the_citation_is_of_this_version():
    from bids_spheres import __version__  # noqa: PLC0415

    citation = read(PROJECT / "CITATION.cff")
    assert citation["version"] == __version__
    assert citation["license"] == "Apache-2.0"
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
