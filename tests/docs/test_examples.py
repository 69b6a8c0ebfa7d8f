"""Every example on every page runs, or says why it does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.examples import Example, Session, examples

PROJECT = Path(__file__).resolve().parents[2]
PAGES = sorted((PROJECT / "docs").rglob("*.md"))
"""All pages; the README's own commands are run by continuous integration as they stand."""

RUNNABLE = [page for page in PAGES if any(not one.not_run for one in examples(page))]


@pytest.fixture
def session(demo_dataset, tmp_path, monkeypatch) -> Session:
    """A folder with the input of the demo in it, from which examples are run."""
    folder = tmp_path / "demo-output"
    shutil.copytree(demo_dataset, folder / "fmriprep")
    monkeypatch.chdir(folder)
    return Session(folder)


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.stem)
def test_examples_of_a_page_run(page, session):
    for example in examples(page):
        if not example.not_run:
            session.run(example)


def test_reasons_not_to_run_are_told_of_examples_only():
    for page in PAGES:
        told = page.read_text(encoding="utf-8").count("<!-- not run:")
        assert told == sum(example.not_run is not None for example in examples(page)), page


@pytest.fixture
def failing(tmp_path):
    def make(kind: str, code: str) -> Example:
        return Example(tmp_path / "page.md", 1, kind, code, None)

    return make


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("bash", "false | true\n"),
        ("bash", "bids-spheres nowhere out participant\n"),
        ("pycon", ">>> 1 + 1\n3\n"),
        ("python", "raise AssertionError\n"),
    ],
)
def test_an_example_that_fails_is_noticed(kind, code, failing, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(AssertionError):
        Session(tmp_path / "folder").run(failing(kind, code))


def test_output_that_a_page_does_not_have_is_noticed(failing, tmp_path):
    (tmp_path / "folder").mkdir()
    session = Session(tmp_path / "folder")
    session.run(failing("bash", "echo one\necho two\n"))
    session.run(failing("text", "one\n...\n"))
    with pytest.raises(AssertionError, match="printed was"):
        session.run(failing("text", "one\nthree\n"))
