"""The finished page: saved, framed, opened."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from nilearn.reporting import HTMLReport as NilearnReport

from bids_spheres.errors import OutputError
from bids_spheres.reports.toolkit.render import HTMLReport

PAGE = '<!DOCTYPE html><html><body><p title="a">größer &amp; "mm³"</p></body></html>'


@pytest.fixture
def report():
    return HTMLReport(PAGE, 'Title "of" it')


@pytest.fixture
def opened(monkeypatch):
    """Addresses that a browser was asked to show."""
    addresses = []
    monkeypatch.setattr("webbrowser.open", lambda address: addresses.append(address) or True)
    return addresses


def test_the_page_is_its_text(report):
    assert str(report) == report.html == report.get_standalone() == PAGE
    assert report.body == '<p title="a">größer &amp; "mm³"</p>'


def test_has_what_users_of_nilearn_know():
    public = {name for name in dir(NilearnReport) if not name.startswith("_")}
    shown = {"_repr_html_", "_repr_mimebundle_"}
    assert public | shown <= set(dir(HTMLReport(PAGE, "t")))


def test_is_saved_in_utf8(report, tmp_path):
    report.save_as_html(str(tmp_path / "page.html"))
    assert (tmp_path / "page.html").read_bytes().decode("utf-8") == PAGE


def test_says_that_the_folder_is_missing(report, tmp_path):
    with pytest.raises(OutputError, match=r"the folder .*nowhere does not exist") as caught:
        report.save_as_html(tmp_path / "nowhere" / "page.html")
    assert caught.value.hint
    assert not (tmp_path / "nowhere").exists()


def test_says_that_a_folder_is_no_file(report, tmp_path):
    with pytest.raises(OutputError, match="can't be saved"):
        report.save_as_html(tmp_path)


def test_frame_holds_the_page(report, parse):
    (frame,) = parse(report.get_iframe()).all("iframe")
    assert frame.attrs["srcdoc"] == PAGE
    assert frame.attrs["title"] == 'Title "of" it'
    assert (frame.attrs["width"], frame.attrs["height"]) == ("800", "800")


def test_frame_has_the_size_asked_for(report, parse):
    assert report.resize(300, "200") is report
    assert (report.width, report.height) == (300, 200)
    (frame,) = parse(report.get_iframe(width=50)).all("iframe")
    assert (frame.attrs["width"], frame.attrs["height"]) == ("50", "200")


def test_a_size_that_is_no_number_becomes_the_default(report):
    with pytest.warns(UserWarning, match="no width in pixels; 800"):
        report.width = "wide"
    assert report.width == 800


def test_notebooks_show_the_frame(report):
    assert report._repr_html_() == report.get_iframe()
    assert report._repr_mimebundle_(include=None) == {"text/html": report.get_iframe()}


def test_opens_a_temporary_file(report, opened, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    report.open_in_browser()
    (address,) = opened
    path = Path(unquote(urlparse(address).path))
    assert path.read_text(encoding="utf-8") == PAGE
    assert path.is_relative_to(tmp_path)
    assert path.parent.stat().st_mode & 0o077 == 0  # for the user alone


def test_opens_the_file_asked_for(report, opened, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report.open_in_browser("a page.html")
    assert opened == [(tmp_path / "a page.html").as_uri()]


def test_says_where_the_page_is_without_a_browser(report, tmp_path, monkeypatch):
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    with pytest.warns(UserWarning, match="No web browser"):
        report.open_in_browser(tmp_path / "page.html")
