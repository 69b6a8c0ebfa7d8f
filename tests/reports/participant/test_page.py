"""The participant's page against the files it is made of, read here by other means."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import bs4
import numpy as np
import pandas as pd
import pytest
import scipy.signal
from PIL import Image

from bids_spheres.app.main import main
from bids_spheres.reports.participant.write_pages import Pages, attempt_report, write_report

LOST = ("filter", "censoring")
STRATEGIES = ("simple", "scrubbing")
WEIRD = '<b>a & "b"</b>\''


def write_seeds(path):
    rng = np.random.default_rng(5)
    names = [WEIRD, "</script><script>alert(1)</script>", *(f"seed{i}" for i in range(12)), "far"]
    places = [*rng.uniform(-12, 12, (14, 3)).round(1), (90, 0, 0)]
    networks = ["motor", "visual", "<i>odd</i>"]
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None)
        table.writerow(["name", "x", "y", "z", "radius", "network"])
        for i, (name, place) in enumerate(zip(names, places, strict=True)):
            table.writerow([name, *place, 5, networks[i % 3]])


def call(folder, *more):
    """Words of the command line that makes the results in a folder, or makes them again."""
    return [
        *(str(folder / "fmriprep"), str(folder / "out"), "participant", "--quiet"),
        *("--seeds", str(folder / "odd.tsv"), "--strategy", *STRATEGIES),
        *("--connectivity", "pearson", "partial", "--fd-threshold", "0.03", "--effective-dof"),
        *("--min-dof", "1", "--controls"),
        *more,
    ]


def make(tiny, folder):
    """Results of two runs; the second is too short for one of the strategies."""
    tiny.add_run("sub-01_task-rest_run-1", n_volumes=90)
    tiny.add_run("sub-01_task-rest_run-2", n_volumes=34)
    shutil.move(tiny.root, folder / "fmriprep")
    write_seeds(folder / "odd.tsv")
    assert main(call(folder)) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return tmp_path_factory.mktemp("shared")


@pytest.fixture
def made(tiny, shelf):
    """Results that tests only read."""
    return shelf / "out" if (shelf / "out").is_dir() else make(tiny, shelf)


@pytest.fixture
def own(tiny, tmp_path):
    """Results that a test may change; the input is beside them."""
    (tmp_path / "own").mkdir()
    return make(tiny, tmp_path / "own")


def soup_of(path):
    return bs4.BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@pytest.fixture
def soup(made):
    return soup_of(made / "sub-01.html")


def text(element):
    return " ".join(element.get_text(" ").split())


def table_of(soup, name):
    """Rows of a table as dictionaries by the words of its header."""
    table = soup.find(id=name)
    heads = [text(th.span) for th in table.thead.find_all("th")]
    return [
        dict(zip(heads, map(text, row.find_all(["th", "td"])), strict=True))
        for row in table.tbody.find_all("tr")
    ]


def output(made, run, end):
    (path,) = (made / "sub-01" / "func").glob(f"*run-{run}_*{end}")
    return path


def sidecar(made, run, strategy):
    return json.loads(output(made, run, f"stat-mean_desc-{strategy}_timeseries.json").read_text())


def unpacked(matrix):
    n, step = int(matrix["data-n"]), float(matrix["data-step"])
    whole = np.frombuffer(base64.b64decode(matrix["data-values"]), dtype="<i2").astype(float)
    values = np.full((n, n), np.nan)
    values[np.triu_indices(n)] = np.where(whole == -32768, np.nan, whole * step)
    return np.where(np.isnan(values), values.T, values)


def test_negative_controls_are_those_of_the_files(soup, made):
    for run in (1, 2):
        rows = table_of(soup, f"run-{run}-controls")
        assert [row["Strategy"] for row in rows] == [*STRATEGIES]
        for row in rows:
            path = output(made, run, f"desc-{row['Strategy']}_controls.tsv")
            table = pd.read_csv(path, sep="\t", index_col="control")
            for head, control in (("Surrogates", "surrogate"), ("Seeds", "seeds")):
                share = float(row[head].replace("n/a", "nan"))
                expected = 100 * table.loc[control, "significant"]
                assert share == pytest.approx(expected, abs=0.051, nan_ok=True)
            assert row["Fluid"] == "n/a"


# The page as a whole


def test_sections_come_in_their_order(soup):
    headings = [text(h) for h in soup.find_all("h2")]
    assert headings == [
        "Summary",
        "Warnings",
        "Seeds and coverage",
        "Signals and connectivity",
        "Methods",
        "Provenance",
    ]
    levels = [int(h.name[1]) for h in soup.find_all(re.compile("^h[1-6]$"))]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_nothing_comes_from_elsewhere(made, soup):
    html = (made / "sub-01.html").read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import", html)
    for element in soup.find_all(["img", "image", "use"]):
        assert (element.get("src") or element.get("href")).startswith(("data:", "#"))
    assert not soup.find_all(["link", "iframe", "object", "base"])
    assert not [script for script in soup.find_all("script") if script.get("src")]
    policy = soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert "default-src 'none'" in policy


def test_names_are_words_and_never_markup(soup):
    assert not soup.find_all("b")
    assert not soup.find_all("i")
    assert not [script for script in soup.find_all("script") if "alert" in script.text[:200]]
    listed = json.loads(soup.find(id="names-of-rows").string)
    assert WEIRD in listed["run-1-set-1-names"]
    assert any(row["Name"] == WEIRD for row in table_of(soup, "run-1-set-1-table"))
    assert any(row["Network"] == "<i>odd</i>" for row in table_of(soup, "run-1-set-1-table"))


def test_every_picture_says_what_it_shows(soup):
    pictures = [*soup.find_all("img"), *soup.find_all("svg", class_="chart")]
    assert len(pictures) > 15
    for picture in pictures:
        assert len(picture.get("alt") or picture.get("aria-label")) > 20
        assert int(picture["width"]) > 0
        assert int(picture["height"]) > 0
    for svg in soup.find_all("svg"):
        assert svg.get("role") == "img" or svg.get("aria-hidden") == "true"


def test_identifiers_are_there_once(soup):
    ids = [element["id"] for element in soup.find_all(id=True)]
    assert len(ids) == len(set(ids))
    for element in soup.find_all(attrs={"aria-labelledby": True}):
        assert element["aria-labelledby"] in ids
    for link in soup.find_all("a", href=re.compile("^#")):
        assert link["href"][1:] in ids
    for use in soup.find_all("use"):
        assert use["href"][1:] in ids


def test_every_control_is_a_button_or_a_select(soup):
    assert not soup.find_all(attrs={"onclick": True})
    for control in soup.find_all(attrs={"data-pick": True}):
        assert control.name == "button"
    assert all(m["tabindex"] == "0" for m in soup.find_all(class_="matrix"))


# Summary and warnings


def test_the_table_of_runs_is_what_sidecars_say(made, soup):
    rows = table_of(soup, "runs-table")
    assert len(rows) == 4
    for row in rows:
        facts = sidecar(made, row["Run"][-1], row["Strategy"])
        assert int(row["Volumes"]) == facts["NumberOfVolumes"]
        assert int(row["Kept"]) == facts["NumberOfVolumesKept"]
        assert float(row["Mean FD"]) == pytest.approx(facts["MeanFramewiseDisplacement"], abs=0.006)
        assert int(row["Rank removed"]) == facts["RankRemoved"]
        parts = [float(row["Kept"]), *(-float(row[f"Lost to {what}"]) for what in LOST)]
        left = sum(parts) - float(row["Rank removed"])
        assert left == pytest.approx(facts["DegreesOfFreedom"], abs=0.2)
        assert row["Degrees of freedom"].split()[0] == str(facts["DegreesOfFreedom"])
        assert ("excluded" in row["Degrees of freedom"]) == bool(facts["Excluded"])


@pytest.mark.slow
def test_the_page_says_which_strategies_censor_nothing(tiny, seeds_file, tmp_path):
    tiny.add_run(n_volumes=60)
    out = tmp_path / "out"
    call = [tiny.root, out, "participant", "--quiet", "--seeds", seeds_file]
    for options, phrase in (
        (["--strategy", "simple", "scrubbing"], "simple censors nothing: volumes with much"),
        (["--strategy", "simple", "24P", "scrubbing"], "simple and 24P censor nothing: volumes"),
        (["--strategy", "simple", "--fd-threshold", "5"], None),
    ):
        assert main([str(word) for word in (*call, *options)]) == 0
        page = (out / "sub-01.html").read_text()
        assert ("much motion stay in" in page) == (phrase is not None)
        assert phrase is None or phrase in page
        shutil.rmtree(out)


def test_warnings_tell_what_is_excluded_and_what_is_missing(made, soup):
    warnings = [text(item) for item in soup.find(class_="warnings").find_all("li")]
    excluded = [
        (run, strategy)
        for run in (1, 2)
        for strategy in STRATEGIES
        if sidecar(made, run, strategy)["Excluded"]
    ]
    assert excluded
    for run, strategy in excluded:
        reason = sidecar(made, run, strategy)["Excluded"]
        assert any(
            re.search(rf"run-{run}: excluded for [^.]*\b{strategy}\b", w) and reason in w
            for w in warnings
        )
    assert any("far" in w and "without a series" in w for w in warnings)


def test_few_degrees_of_freedom_come_with_what_they_mean(made, soup):
    (warning,) = (
        text(item)
        for item in soup.find(class_="warnings").find_all("li")
        if "few degrees" in item.text and "run-2" in item.text
    )
    left = min(
        facts["DegreesOfFreedom"]
        for facts in (sidecar(made, 2, strategy) for strategy in STRATEGIES)
        if not facts.get("Excluded")
    )
    limit = np.tanh(1.96 / np.sqrt(left - 2))
    assert f"With {left}," in warning
    assert float(re.search(r"±([\d.]+)", warning)[1]) == pytest.approx(limit, abs=0.006)


def test_a_line_and_a_colour_for_every_run(made, soup):
    lines = soup.find(class_="verdicts").find_all("li")
    assert [line.a["href"] for line in lines] == ["#run-1", "#run-2"]
    facts = [sidecar(made, 1, strategy) for strategy in STRATEGIES]
    kept = min(own["NumberOfVolumesKept"] for own in facts)
    assert f"{kept} of 90 volumes kept after scrubbing" in text(lines[0])
    assert f"mean FD {facts[0]['MeanFramewiseDisplacement']:.2f} mm" in text(lines[0])
    assert lines[1]["class"] == ["bad"]
    assert "excluded for scrubbing" in text(lines[1])


# Seeds


def test_the_table_of_spheres_is_what_was_written(made, soup):
    table = pd.read_csv(
        output(made, 1, "desc-spheres_dseg.tsv"), sep="\t", keep_default_na=False, quoting=0
    )
    rows = table_of(soup, "run-1-set-1-table")
    assert [row["Name"] for row in rows] == list(table["name"])
    for row, (_, written) in zip(rows, table.iterrows(), strict=True):
        for column, name in (("Used", "voxels_used"), ("Expected", "voxels_asked")):
            assert row[column] == str(written[name])
        share = float(row["Coverage"].split()[0])
        assert share == pytest.approx(100 * float(written["coverage"]), abs=0.06)
        assert ("no series" in row["Coverage"]) == (written["used"] == 0)
    assert rows[-1]["tSNR"] == "n/a"


# Signals


def test_censored_volumes_are_those_of_the_table(made, soup):
    chart = soup.find(id="run-1").find("svg", class_="chart")
    for strategy in STRATEGIES:
        censored = pd.read_csv(output(made, 1, f"desc-{strategy}_outliers.tsv"), sep="\t")
        stripes = chart.find_all("path", class_="stripe", attrs={"data-of": strategy})
        drawn = stripes[0]["d"].count("Z") if stripes else 0
        assert drawn == censored["censored"].sum()
    assert pd.read_csv(output(made, 1, "desc-scrubbing_outliers.tsv"), sep="\t")["censored"].any()


def test_motion_is_that_of_the_confounds_table(made, soup):
    table = pd.read_csv(
        made.parent / "fmriprep/sub-01/func/sub-01_task-rest_run-1_desc-confounds_timeseries.tsv",
        sep="\t",
        na_values="n/a",
    )
    chart = soup.find(id="run-1").find("svg", class_="chart")
    courses = chart.find_all("path", class_="course")
    for path, column in zip(courses, ("framewise_displacement", "std_dvars"), strict=True):
        drawn = np.array(re.findall(r"[ML]([\d.]+),([\d.]+)", path["d"]), dtype=float)
        known = table[column].dropna().to_numpy()
        assert len(drawn) == len(known)
        assert np.corrcoef(drawn[:, 1], known)[0, 1] < -0.9999
    assert f"mean {table['framewise_displacement'].mean():.2f} mm" in chart["aria-label"]


def carpet_of(soup, strategy):
    return next(
        f
        for f in soup.find(id="run-1").find_all("figure", attrs={"data-of": strategy})
        if "volumes of 90" in f.text
    )


def pixels_of(image):
    data = base64.b64decode(image["href"].partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_carpets_before_cleaning_stand_beside_those_after_it(made, soup):
    path = output(made, 1, "desc-raw_timeseries.tsv.gz")
    series = pd.read_csv(path, sep="\t", header=None, na_values="n/a").to_numpy()
    order = json.loads(soup.find(id="names-of-rows").string)["run-1-set-1-names"]
    columns = json.loads(path.with_name(path.name.replace(".tsv.gz", ".json")).read_text())
    series = series[:, [columns["Columns"].index(name) for name in order]]
    tables = [output(made, 1, f"desc-{strategy}_outliers.tsv") for strategy in STRATEGIES]
    # Volumes that every strategy leaves out don't count for what is typical.
    left_out = np.all([pd.read_csv(path, sep="\t")["censored"] == 1 for path in tables], axis=0)
    typical = series[~left_out]
    z = (series - typical.mean(axis=0)) / typical.std(axis=0, ddof=1)
    for strategy in STRATEGIES:
        chart = carpet_of(soup, strategy).find("svg", class_="chart")
        (use,), (image,) = chart.find_all("use"), chart.find_all("image")
        before = pixels_of(soup.find(id=use["href"][1:]))
        assert before.shape[:2] == (15, 90)
        seen = ~np.isnan(z)
        grey = np.clip(z.T / 4 + 0.5, 0, 1) * 255
        np.testing.assert_allclose(before[..., 0][seen.T], grey[seen.T], atol=6)
        assert float(use["x"]) < float(image["x"])
        assert use["y"] == image["y"]
        assert "before cleaning" in text(chart)
        assert "% before cleaning" in chart["aria-label"]


def test_carpets_have_a_row_for_every_sphere_and_a_gap_where_volumes_are_censored(made, soup):
    figure = carpet_of(soup, "scrubbing")
    pixels = pixels_of(figure.find("image"))
    assert pixels.shape[:2] == (15, 90)
    missing = pixels[..., 0] != pixels[..., 2]
    censored = pd.read_csv(output(made, 1, "desc-scrubbing_outliers.tsv"), sep="\t")["censored"]
    np.testing.assert_array_equal(missing.all(axis=0), censored == 1)


def mean_density(series, t_r=2.0):
    """Frequencies, Hz, and mean power of series of variance 1, whose integral is 1, by scipy."""
    kept = np.isfinite(series).any(axis=1)
    known = series[kept][:, np.isfinite(series[kept]).all(axis=0)]
    known = (known - known.mean(axis=0)) / known.std(axis=0)
    n = len(series)
    frequencies = np.arange(1, n // 2 + 1) / (n * t_r)
    angles = 2 * np.pi * frequencies[:-1]
    times = np.flatnonzero(kept) * t_r
    power = [scipy.signal.lombscargle(times, each, angles) for each in known.T]
    # At the Nyquist frequency, the last of an even number of volumes, there is no sine.
    nyquist = (np.cos(np.pi * times / t_r) @ known) ** 2 / len(times) / 2
    power = np.append(np.mean(power, axis=0), nyquist.mean())
    return frequencies, power / (power.sum() * frequencies[0])


def test_power_spectra_before_and_after_cleaning_are_those_of_scipy(made, soup):
    (heading,) = (h for h in soup.find(id="run-1").find_all("h5") if "Power" in h.text)
    assert text(heading) == "Power spectra before and after cleaning"
    chart = heading.parent.find("svg", class_="chart")
    ticks = [(float(t["x"]), float(t["y"]), float(text(t))) for t in chart.find_all(class_="tick")]
    lowest = max(y for _, y, _ in ticks)
    across = np.polyfit(*zip(*((v, x) for x, y, v in ticks if y == lowest), strict=True), 1)
    down = np.polyfit(*zip(*((v, y - 4) for _, y, v in ticks if y < lowest), strict=True), 1)
    styles = {"raw": {"class": "before"}} | {s: {"data-of": s} for s in STRATEGIES}
    for name, attributes in styles.items():
        (line,) = chart.find_all("path", attrs=attributes)
        drawn = np.array(re.findall(r"([\d.]+),([\d.]+)", line["d"]), dtype=float)
        series = np.full((90, 15), np.nan)
        if name == "raw":
            path = output(made, 1, "desc-raw_timeseries.tsv.gz")
            series[:] = pd.read_csv(path, sep="\t", header=None, na_values="n/a")
        else:
            outliers = pd.read_csv(output(made, 1, f"desc-{name}_outliers.tsv"), sep="\t")
            path = output(made, 1, f"stat-mean_desc-{name}_timeseries.tsv")
            series[outliers["censored"] == 0] = pd.read_csv(path, sep="\t", na_values="n/a")
        frequencies, density = mean_density(series)
        np.testing.assert_allclose(drawn[:, 0], np.polyval(across, frequencies), atol=0.2)
        np.testing.assert_allclose(drawn[:, 1], np.polyval(down, density), atol=0.2)


# Relations


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("stat", ["pearsoncorrelation", "partialcorrelation"])
def test_a_pointer_tells_what_the_matrix_holds(made, soup, strategy, stat):
    written = pd.read_csv(
        output(made, 1, f"stat-{stat}_desc-{strategy}_relmat.tsv"), sep="\t", na_values="n/a"
    ).set_index("Node")
    title = json.loads(output(made, 1, f"stat-{stat}_desc-{strategy}_relmat.json").read_text())
    names = json.loads(soup.find(id="names-of-rows").string)["run-1-set-1-names"]
    expected = written.loc[names, names].to_numpy(dtype=float)
    matrices = [
        figure.find(class_="matrix")
        for figure in soup.find(id="run-1").find_all("figure", attrs={"data-of": strategy})
        if figure.find(class_="matrix", attrs={"data-names": "run-1-set-1-names"})
    ]
    found = [m for m in matrices if np.allclose(unpacked(m), expected, atol=1e-3, equal_nan=True)]
    assert len(found) == 1
    assert (
        title["RelationshipMeasure"].split()[0].lower()
        in text(found[0].find_parent("section").find("h5")).lower()
    )


def test_rows_stand_by_network(made, soup):
    table = pd.read_csv(output(made, 1, "desc-spheres_dseg.tsv"), sep="\t", keep_default_na=False)
    network = dict(zip(table["name"], table["network"], strict=True))
    names = json.loads(soup.find(id="names-of-rows").string)["run-1-set-1-names"]
    kinds = [network[name] for name in names]
    assert kinds == sorted(kinds, key=list(dict.fromkeys(kinds)).index)
    assert sorted(names) == sorted(table["name"])


def test_correlations_of_regressors_are_those_of_the_design(made, soup):
    design = pd.read_csv(output(made, 1, "desc-scrubbing_design.tsv"), sep="\t")
    censored = pd.read_csv(output(made, 1, "desc-scrubbing_outliers.tsv"), sep="\t")["censored"]
    expected = design[censored == 0].corr().to_numpy()
    names = json.loads(soup.find(id="names-of-rows").string)
    (key,) = (k for k, v in names.items() if v == list(design.columns) and k.startswith("run-1-d"))
    matrix = soup.find(class_="matrix", attrs={"data-names": key})
    np.testing.assert_allclose(unpacked(matrix), expected, atol=1e-4)


def test_what_is_excluded_is_not_drawn(made, soup):
    run = soup.find(id="run-2")
    for strategy in STRATEGIES:
        shown = [
            figure
            for figure in run.find_all("figure", attrs={"data-of": strategy})
            if figure.find(class_="matrix", attrs={"data-names": "run-2-set-1-names"})
        ]
        assert bool(shown) != bool(sidecar(made, 2, strategy)["Excluded"])


def test_effective_degrees_of_freedom_are_told(made, soup):
    path = output(made, 1, "stat-effectivedof_desc-simple_relmat.tsv")
    values = pd.read_csv(path, sep="\t", na_values="n/a").iloc[:, 1:].to_numpy(dtype=float)
    upper = values[np.triu_indices(len(values), 1)]
    told = f"simple: a pair is worth {np.nanmedian(upper):.0f} independent volumes"
    assert told in text(soup.find(id="run-1"))


# Methods and provenance


def test_methods_and_references_are_those_of_the_citation_file(made, soup):
    methods = soup.find(id="methods")
    citation = (made / "logs" / "CITATION.md").read_text(encoding="utf-8")
    cited = re.findall(r"<(https://doi\.org/[^>]+)>", citation)
    assert [a["href"] for a in methods.find(class_="references").find_all("a")] == cited
    assert "[@" not in text(methods)
    assert "denoising strategy scrubbing" in text(methods)


@pytest.mark.slow
def test_the_command_of_the_page_does_the_same_again(own, run_app, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    command = shlex.split(soup_of(own / "sub-01.html").find(id="provenance").pre.text)
    assert command[0] == "bids-spheres"
    end = run_app(*command[1:])
    assert end.status == 0
    assert "0 of 2 runs to do" in end.err
    assert "2 up to date" in end.err


def test_the_command_of_a_call_about_one_participant(
    run_app, tiny, seeds_file, monkeypatch, tmp_path
):
    tiny.add_run()
    monkeypatch.chdir(tmp_path)
    call = [tiny.root.name, "out", "participant", "--seeds", seeds_file.name]
    assert run_app(*call, "--participant-label", "01").status == 0
    command = shlex.split(soup_of(tmp_path / "out/sub-01.html").find(id="provenance").pre.text)
    monkeypatch.chdir("/")
    end = run_app(*command[1:])
    assert end.status == 0, end.err
    assert "0 of 1 run to do, 1 up to date" in end.err


def test_provenance_names_every_source(made, soup):
    uris = {text(item) for item in soup.find(class_="uris").find_all("li")}
    for path in made.rglob("*timeseries.json"):
        assert set(json.loads(path.read_text())["Sources"]) <= uris
    settings = soup.find(id="provenance")
    assert "--config" in text(settings.find("pre"))
    assert "scrubbing" in text(settings)


# Reports again, and without this and that


@pytest.mark.slow
def test_the_page_is_made_again_without_any_image(own, run_app):
    before = (own / "sub-01.html").read_bytes()
    for path in own.parent.rglob("*_bold.nii.gz"):
        path.unlink()
    (own / "sub-01.html").unlink()
    end = run_app("gone", own, "participant", "--reports-only", "-q")
    assert (end.status, end.err) == (0, "")
    assert (own / "sub-01.html").read_bytes() == before


@pytest.mark.slow
def test_the_page_is_made_without_the_input(own, run_app):
    shutil.rmtree(own.parent / "fmriprep")
    assert run_app("gone", own, "participant", "--reports-only").status == 0
    soup = soup_of(own / "sub-01.html")
    assert "confounds table that the sidecars name does not exist" in text(soup)
    assert soup.find(id="run-1").find_all(class_="stripe")
    assert len(soup.find(id="seeds").find_all("img")) == 4


@pytest.mark.slow
def test_who_is_done_keeps_the_page(own, run_app):
    page = own / "sub-01.html"
    page.write_text("kept")
    assert run_app(*call(own.parent)).status == 0
    assert page.read_text() == "kept"
    page.unlink()
    assert run_app(*call(own.parent)).status == 0
    assert page.is_file()


def test_a_missing_participant_is_told(made, run_app):
    end = run_app("gone", made, "participant", "--reports-only", "--participant-label", "07")
    assert end.status == 18
    assert "no results of 07" in end.err
    end = run_app("gone", made / "nothing", "participant", "--reports-only")
    assert end.status == 66


@pytest.mark.slow
@pytest.mark.parametrize("level", ["none", "participant", "session"])
def test_pages_of_sessions(tiny, tmp_path, seeds_file, run_app, level):
    tiny.add_run("sub-01_ses-a_task-rest")
    tiny.add_run("sub-01_ses-b_task-rest")
    tiny.add_run("sub-02_task-rest")
    out = tmp_path / "out"
    options = ("--seeds", seeds_file, "--strategy", "24P", "--report-level", level)
    assert run_app(tiny.root, out, "participant", *options).status == 0
    pages = {path.name for path in out.glob("*.html")}
    assert (
        pages
        == {
            "none": set(),
            "participant": {"sub-01.html", "sub-02.html"},
            "session": {"sub-01_ses-a.html", "sub-01_ses-b.html", "sub-02.html"},
        }[level]
    )
    if level == "session":
        assert "ses-b" not in text(soup_of(out / "sub-01_ses-a.html").find(id="runs"))


@pytest.mark.slow
def test_a_run_that_failed_is_in_the_page_of_its_participant(tiny, tmp_path, seeds_file, run_app):
    tiny.add_run("sub-01_task-rest_run-1")
    tiny.add_run("sub-01_task-rest_run-2").write_bytes(b"no image")
    tiny.add_run("sub-02_task-rest")
    out = tmp_path / "out"
    assert run_app(tiny.root, out, "participant", "--seeds", seeds_file).status == 1
    warnings = text(soup_of(out / "sub-01.html").find(class_="warnings"))
    assert re.search(r"sub-01 task-rest run-2 .*has failed", warnings)
    assert "has failed" not in text(soup_of(out / "sub-02.html"))


@pytest.mark.parametrize("n_seeds", [1, 2])
def test_few_spheres_have_a_page(tiny, tmp_path, run_app, n_seeds):
    tiny.add_run("sub-01_task-rest", n_volumes=60)
    seeds = tmp_path / "few.tsv"
    seeds.write_text("".join(["x\ty\tz\n", *["0\t0\t0\n", "8\t0\t4\n"][:n_seeds]]))
    out = tmp_path / "out"
    assert run_app(tiny.root, out, "participant", "--seeds", seeds, "--radius", "4").status == 0
    run = soup_of(out / "sub-01.html").find(id="run-1")
    told = "Fewer than two spheres have a series" in text(run)
    assert told == (n_seeds == 1)
    pairs = run.find_all("figure", class_="graphic")
    dots = [dot for figure in pairs for dot in figure.find_all("path", class_="faint")]
    # One pair, among all and along distance.
    assert len(dots) == 2 * (n_seeds - 1)
    assert bool(run.find_all(class_="matrix", attrs={"data-names": "run-1-set-1-names"})) != told


def test_a_series_of_half_a_sphere_is_warned_of(tiny, tmp_path, run_app):
    tiny.add_run("sub-01_task-rest", n_volumes=60)
    seeds = tmp_path / "rim.tsv"
    # The mask ends 18 mm from the origin: of the second sphere half is in it.
    seeds.write_text("name\tx\ty\tz\ninner\t0\t0\t0\nrim\t18\t0\t0\n")
    out = tmp_path / "out"
    assert run_app(tiny.root, out, "participant", "--seeds", seeds, "--radius", "8").status == 0
    table = pd.read_csv(next(out.rglob("*_dseg.tsv")), sep="\t").set_index("name")
    coverage = table.loc["rim", "coverage"]
    assert 0.5 <= coverage < 0.75
    (warning,) = (
        text(item)
        for item in soup_of(out / "sub-01.html").find(class_="warnings").find_all("li")
        if "rim" in item.text
    )
    assert "1 sphere of 2" in warning
    assert float(re.search(r"down to ([\d.]+)", warning)[1]) == pytest.approx(
        100 * coverage, abs=0.06
    )


def test_without_motion_in_the_confounds_censoring_is_shown_alone(
    tiny, tmp_path, seeds_file, run_app
):
    bold = tiny.add_run("sub-01_task-rest", n_volumes=60)
    path = bold.with_name("sub-01_task-rest_desc-confounds_timeseries.tsv")
    table = pd.read_csv(path, sep="\t", keep_default_na=False)
    motion = [c for c in table if c in ("framewise_displacement", "std_dvars")]
    table.drop(columns=motion).to_csv(path, sep="\t", index=False)
    out = tmp_path / "out"
    assert (
        run_app(tiny.root, out, "participant", "--seeds", seeds_file, "--strategy", "24P").status
        == 0
    )
    soup = soup_of(out / "sub-01.html")
    assert "has no measure of motion" in text(soup.find(id="run-1"))
    assert table_of(soup, "runs-table")[0]["Mean FD"] == "n/a"


@pytest.mark.slow
def test_a_broken_table_costs_one_page(own):
    folder = own / "sub-02" / "func"
    folder.mkdir(parents=True)
    bad = folder / "sub-02_task-rest_space-T1w_seg-odd_desc-spheres_dseg.tsv"
    bad.write_text("what\tis\tthis\n1\t2\t3\n")
    good, broken = (attempt_report(Pages(own, label)) for label in ("01", "02"))
    assert good.problem is None
    assert "is not a table written by bids_spheres: KeyError 'name'" in broken.problem
    assert bad.name in broken.problem
    assert broken.paths == ()


@pytest.mark.slow
def test_several_processes_write_the_same_pages(tiny, tmp_path, seeds_file, run_app):
    tiny.add_run("sub-01_task-rest")
    tiny.add_run("sub-02_task-rest")
    out = tmp_path / "out"
    assert run_app(tiny.root, out, "participant", "--seeds", seeds_file).status == 0
    before = {path.name: path.read_bytes() for path in out.glob("*.html")}
    for path in out.glob("*.html"):
        path.unlink()
    done = run_app(tiny.root, out, "participant", "--reports-only", "--nprocs", 2)
    assert done.status == 0, done.err
    assert {path.name: path.read_bytes() for path in out.glob("*.html")} == before


@pytest.mark.slow
def test_runs_together_have_a_matrix_of_their_own(tiny, tmp_path, seeds_file, run_app):
    tiny.add_run("sub-01_task-rest_run-1", n_volumes=60)
    tiny.add_run("sub-01_task-rest_run-2", n_volumes=70)
    out = tmp_path / "out"
    options = ("--seeds", seeds_file, "--strategy", "24P", "--concatenate", "participant")
    assert run_app(tiny.root, out, "participant", *options).status == 0
    soup = soup_of(out / "sub-01.html")
    together = soup.find(id="run-3")
    assert "runs together" in text(together.h3)
    (path,) = (out / "sub-01" / "func").glob("sub-01_task-rest_space*_desc-24P_relmat.tsv")
    table = pd.read_csv(path, sep="\t", na_values="n/a").iloc[:, 1:].to_numpy(dtype=float)
    matrix = together.find(class_="matrix")
    np.testing.assert_allclose(unpacked(matrix), table, atol=1e-4)


@pytest.mark.slow
def test_nothing_is_written_to_the_home(own, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import sys; from pathlib import Path;"
        "from bids_spheres.reports.participant.write_pages import write_report;"
        "write_report(Path(sys.argv[1]), '01')"
    )
    environment = {
        k: v for k, v in os.environ.items() if k not in ("MPLCONFIGDIR", "XDG_CACHE_HOME")
    }
    environment |= {"HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[3])}
    subprocess.run([sys.executable, "-c", code, str(own)], env=environment, check=True)
    assert list(home.rglob("*")) == []


@pytest.mark.slow
def test_a_template_is_the_background_where_the_run_has_none(
    real_scan, test_data, tmp_path, monkeypatch, run_app
):
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(test_data / "templateflow"))
    source = tmp_path / "fmriprep"
    shutil.copytree(real_scan, source)
    options = ("--atlas", "Raichle2011", "--strategy", "24P", "--run", "1")
    assert run_app(source, tmp_path / "out", "participant", *options).status == 0
    page = tmp_path / "out" / "sub-03.html"
    assert "the run's BOLD reference image" in text(soup_of(page))
    for path in source.rglob("*boldref*"):
        path.unlink()
    write_report(tmp_path / "out", "03")
    assert "the T1-weighted template MNI152NLin2009cAsym" in text(soup_of(page))
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "no"))
    write_report(tmp_path / "out", "03")
    assert "over the brain mask" in text(soup_of(page))
    for path in source.rglob("*mask*"):
        path.unlink()
    write_report(tmp_path / "out", "03")
    assert "All spheres to scale, transparent" in text(soup_of(page))


@pytest.mark.slow
def test_a_page_of_a_real_scan_is_small(real_scan, tmp_path, run_app):
    out = tmp_path / "out"
    options = ("--atlas", "Power2011", "--strategy", "simple", "24P")
    assert run_app(real_scan, out, "participant", *options).status == 0
    assert (out / "sub-03.html").stat().st_size < 2 * 5e6


@pytest.mark.slow
def test_maps_of_seeds_are_shown(tiny, tmp_path, seeds_file, run_app):
    tiny.add_run("sub-01_task-rest", n_volumes=60)
    out = tmp_path / "out"
    options = ("--seeds", seeds_file, "--strategy", "24P", "simple", "--seed-maps")
    assert run_app(tiny.root, out, "participant", *options).status == 0
    n_maps = len(list(out.rglob("*desc-24P_boldmap.nii.gz")))
    page = out / "sub-01.html"
    (heading,) = (h for h in soup_of(page).find_all("h5") if text(h) == "Maps of seeds")
    figures = heading.parent.find_all("figure")
    assert {figure["data-of"] for figure in figures} == {"24P", "simple"}
    assert all(f"Maps written: {n_maps}" in text(figure) for figure in figures)
    for path in out.rglob("*_boldmap.nii.gz"):
        path.write_bytes(b"not an image")
    write_report(out, "01")
    assert "Maps of seeds" not in text(soup_of(page))


def test_where_coordinates_are_from_is_no_warning(real_scan, tmp_path, run_app):
    options = ("--atlas", "Raichle2011", "--strategy", "24P", "--run", "1")
    assert run_app(real_scan, tmp_path / "out", "participant", *options).status == 0
    soup = soup_of(tmp_path / "out" / "sub-03.html")
    (path,) = (tmp_path / "out").rglob("*_desc-spheres_dseg.json")
    note = json.loads(path.read_text())["SpaceNote"]
    assert note in text(soup.find(id="seeds"))
    assert note not in text(soup.find(class_="warnings"))
