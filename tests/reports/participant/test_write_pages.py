"""Whose pages are written, and where."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from bids_spheres.errors import MissingInputError, NothingSelectedError
from bids_spheres.outputs.logs import methods_file
from bids_spheres.reports.participant import load, page, write_pages
from bids_spheres.reports.participant.provenance import methods_text, read_methods
from bids_spheres.reports.participant.write_pages import (
    Written,
    outdated_participants,
    pages_of,
    participants_to_report,
    write_report,
    write_reports,
)


@pytest.fixture
def root(tmp_path):
    """One participant with two sessions, one without, and one whose page is missing."""
    for folder in ("sub-1/ses-b", "sub-1/ses-a", "sub-2/func", "sub-10/func", "other"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("sub-1", "sub-1_ses-a", "sub-2"):
        (tmp_path / f"{name}.html").touch()
    return tmp_path


def test_pages_that_are_missing_or_of_changed_participants(root):
    labels = ["1", "2", "10"]
    assert outdated_participants(root, "participant", labels, ()) == ["10"]
    assert outdated_participants(root, "participant", labels, {"2"}) == ["2", "10"]
    # Of two sessions one has a page.
    assert outdated_participants(root, "session", labels, ()) == ["1", "10"]
    (root / "sub-1_ses-b.html").touch()
    assert outdated_participants(root, "session", labels, ()) == ["10"]
    assert outdated_participants(root, "none", labels, ()) == []


def test_pages_of_a_participant_are_those_that_exist(root):
    (root / "sub-10_ses-a.html").touch()  # of nobody's session
    assert [path.name for path in pages_of(root, "1")] == ["sub-1.html", "sub-1_ses-a.html"]
    assert [path.name for path in pages_of(root, "2")] == ["sub-2.html"]
    assert pages_of(root, "10") == []


def test_all_participants_or_those_who_are_named(root):
    assert participants_to_report(root, []) == ["1", "2", "10"]
    assert participants_to_report(root, ["10", "1"]) == ["10", "1"]
    with pytest.raises(NothingSelectedError, match="no results of 3, 4") as caught:
        participants_to_report(root, ["3", "1", "4"])
    assert caught.value.hint == "It has those of 1, 2, 10."
    with pytest.raises(MissingInputError, match="no results to report"):
        participants_to_report(root / "other", [])


@pytest.mark.parametrize(
    ("runs", "failures", "names"),
    [((1,), (), ["sub-1.html"]), ((), ("failed",), ["sub-1.html"]), ((), (), [])],
)
def test_a_page_is_about_results_or_failures(root, monkeypatch, runs, failures, names):
    asked = []

    def participant(*about):
        asked.append(about)
        return SimpleNamespace(runs=runs, failures=failures)

    monkeypatch.setattr(load, "load_participant", participant)
    monkeypatch.setattr(page, "participant_page", lambda _: SimpleNamespace(html="page"))
    assert [path.name for path in write_report(root, "1")] == names
    assert [path.name for path in write_report(root, "1", "session")] == [
        *(["sub-1_ses-a.html", "sub-1_ses-b.html"] if names else []),
    ]
    assert write_report(root, "1", "none") == ()
    assert [path.name for path in write_report(root, "2", "session")] == [
        name.replace("1", "2") for name in names
    ]
    assert [about[1:] for about in asked] == [("1", None), ("1", "a"), ("1", "b"), ("2", None)]
    assert ((root / "sub-2.html").read_text() == "page") == bool(names)


@pytest.mark.parametrize(("debug", "said"), [(False, "broken"), (True, "Traceback")])
def test_pages_that_failed_are_returned_and_logged(root, caplog, debug, said):
    ends = [
        Written("1", (root / "sub-1_ses-b.html", root / "sub-1_ses-a.html")),
        Written("2", problem="broken", trace="Traceback"),
        MemoryError("the worker was killed"),
    ]

    class Executor:
        def run(self, function, items):
            assert function is write_pages.attempt_report
            assert [item.level for item in items] == ["session"] * 3
            yield from zip(items, ends, strict=True)

    caplog.set_level(logging.INFO, "bids_spheres")
    failed = write_reports(Executor(), root, "session", ["1", "2", "10"], debug=debug)
    assert [(own.label, own.problem) for own in failed] == [
        ("2", "broken"),
        ("10", "the worker was killed"),
    ]
    assert caplog.messages == [
        f"No report of sub-2: {said}",
        "No report of sub-10: the worker was killed",
        f"Reports: {root / 'sub-1_ses-a.html'} and 1 more",
    ]


# Provenance


def test_methods_of_the_participant_before_those_of_the_call(tmp_path):
    (tmp_path / "logs").mkdir()
    assert read_methods(tmp_path, "1").paragraphs == ()
    head = "# x\n\n## Methods\n\n"
    (tmp_path / "logs" / "CITATION.md").write_text(f"{head}All [@power2011].\n\n## BibTeX\n")
    text = read_methods(tmp_path, "1")
    assert text.paragraphs == ("All (Power et al., 2011).",)
    assert (text.file, [entry.key for entry in text.references]) == (
        "logs/CITATION.md",
        ["power2011"],
    )
    own = write_pages_methods(tmp_path)
    own.write_text(f"{head}First [@ciric2017; @power2011].\n\n\n\nLast [@power2011].")
    text = read_methods(tmp_path, "1")
    assert text.paragraphs == (
        "First (Ciric et al., 2017; Power et al., 2011).",
        "Last (Power et al., 2011).",
    )
    assert [entry.key for entry in text.references] == ["ciric2017", "power2011"]
    assert read_methods(tmp_path, "2").paragraphs == ("All (Power et al., 2011).",)


def write_pages_methods(root):
    """Where the methods of a participant are."""
    path = root / methods_file("1")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_citations_of_another_version_are_left_as_they_are():
    text = methods_text(["Old [@nobody2001].", "New [@power2011]."])
    assert text.paragraphs == ("Old [@nobody2001].", "New (Power et al., 2011).")
    assert [entry.key for entry in text.references] == ["power2011"]
    both = methods_text(["First [@power2011].", "Then [@ciric2017; @power2011]."])
    assert [entry.key for entry in both.references] == ["power2011", "ciric2017"]
