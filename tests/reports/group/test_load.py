"""Groups that are small, odd or incomplete: a smaller page with a clear word, and never none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bids_spheres.engine.connectivity import MEASURES
from bids_spheres.outputs import paths
from bids_spheres.reports.group import data_quality, load_level, page
from bids_spheres.reports.group.group_warnings import cautions
from bids_spheres.reports.group.load import SYMBOLS
from bids_spheres.reports.group.strategies import chance_median
from tests.group.conftest import NETWORKS, POINTS, correlations, without
from tests.reports.group.conftest import page_of
from tests.reports.group.test_page import by_id, table_of, words

S = len(POINTS)
GONE = {"Excluded": "3 volumes are left"}


@pytest.fixture
def rng():
    return np.random.default_rng(20130411)


def many(outputs, rng, n, **options):
    for i in range(1, n + 1):
        facts = {"MeanFramewiseDisplacement": 0.01 * i, **options}
        outputs.add(f"{i:02d}", correlations(rng, len(outputs.points)), **facts)


def read_page(parse, outputs, **options):
    path, _ = page_of(outputs, **options)
    return parse(path.read_text(encoding="utf-8"))


def warnings_of(document):
    return " ".join(map(words, document.all("section", id="warnings")))


def test_one_participant_is_told_to_be_one(outputs, rng, parse):
    many(outputs, rng, 1)
    document = read_page(parse, outputs)
    assert "With one participant, neither spread nor tests" in warnings_of(document)
    assert "below it" not in words(by_id(document, "connectivity"))
    assert words(document.all("h1")[0]) == "Group of 1 participant"
    assert "q" not in by_id(document, "condition-1").all("div", **{"class": "matrix"})[0].attrs.get(
        "data-more", ""
    )


def test_a_group_of_one_is_written_about_as_one(outputs, rng, parse):
    outputs.add("01", without(correlations(rng, S), 1), coverage=[1, 0, 1, 1, 1])
    document = read_page(parse, outputs)
    coverage = words(by_id(document, "coverage"))
    assert "The participant has 4 of 5 seeds; missing: s1." in coverage
    assert "Blue: the participant has the seed; red, dotted: the seed is missing." in coverage
    assert "All participants" not in coverage
    assert "4 pairs are missing in every participant" in words(by_id(document, "connectivity"))
    assert "Mean framewise displacement of the run: 0.1 mm." in words(document.all("header")[0])
    assert "from 0 to 1" not in words(document)
    assert "first three columns" not in words(by_id(document, "strategies"))


def test_nothing_is_best_in_motion_where_the_page_calls_it_chance(outputs, rng, parse):
    for strategy, left in (("24P", 60), ("simple", 90)):
        many(outputs, rng, 19, strategy=strategy, DegreesOfFreedom=left)
    document = read_page(parse, outputs)
    chart = by_id(document, "strategies").all("svg", **{"class": "chart"})[0]
    best = [words(text) for text in chart.all("text", **{"class": "name value best"})]
    assert "30" in best  # degrees of freedom lost
    assert "None is marked in the columns of head motion" in words(by_id(document, "strategies"))
    columns = sorted(float(t.attrs["x"]) for t in chart.all("text", **{"class": "name"}))
    marked = [float(t.attrs["x"]) for t in chart.all("text", **{"class": "name value best"})]
    assert min(marked) > columns[-2]  # modularity
    assert len(chart.all("path", **{"class": "chance"})) == 3


def test_brains_have_an_outline_without_a_template(outputs, rng, tmp_path, monkeypatch):
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path))
    many(outputs, rng, 3)
    page_of(outputs)
    (image,) = load_level(outputs.root).images
    (section,) = data_quality.seeds_sections([image])
    backdrop = section.stage.scene.backdrop
    inside, outside = (
        backdrop.at([np.array([x]), np.array([y]), np.array([z])]).item()
        for x, y, z in ((0, -17, 5), (0, -17, 90))
    )
    assert inside > 100 > outside
    assert "over an ellipsoid of the size of a brain" in section.figures[0].caption


def test_every_measure_has_a_short_name():
    assert set(SYMBOLS) == {measure.stat for measure in MEASURES}


@pytest.mark.slow
@pytest.mark.parametrize(("n", "warned"), [(19, True), (20, False)])
def test_few_participants_are_too_few_for_motion(outputs, rng, parse, n, warned):
    many(outputs, rng, n)
    assert ("too few to compare strategies" in warnings_of(read_page(parse, outputs))) == warned


def test_seeds_without_networks(outputs, rng, parse):
    outputs.networks = ("n/a",) * S
    many(outputs, rng, 5)
    document = read_page(parse, outputs)
    assert "Networks" not in [words(h) for h in document.all("h4")]
    chart = by_id(document, "strategies").all("svg")[0]
    labels = [words(text) for text in chart.all("text")]
    assert "QC-FC, median |r|" in labels
    assert "Modularity" not in labels
    assert table_of(document, "strategies-table")[0]["Modularity"] == "n/a"


def test_a_single_seed_has_runs_and_coverage(outputs, parse):
    outputs.points, outputs.networks = POINTS[:1], NETWORKS[:1]
    for label in ("01", "02"):
        outputs.add(label, np.ones((1, 1)))
    document = read_page(parse, outputs)
    assert len(table_of(document, "participants-table")) == 2
    assert not document.all("section", id="connectivity")
    assert not document.all("section", id="strategies")


def test_when_every_run_is_excluded(outputs, parse):
    outputs.add("01", np.full((S, S), np.nan), DegreesOfFreedom=-2, **GONE)
    document = read_page(parse, outputs)
    assert "1 of 1 run excluded by simple" in warnings_of(document)
    assert "no participant has a result" in words(by_id(document, "connectivity"))
    assert "No group has a result" in words(by_id(document, "methods"))


def test_strategies_that_rest_on_different_people(outputs, rng, parse):
    many(outputs, rng, 5)
    many(outputs, rng, 4, strategy="36P")
    outputs.add("05", np.full((S, S), np.nan), strategy="36P", DegreesOfFreedom=-2, **GONE)
    text = warnings_of(read_page(parse, outputs))
    assert "different participants (4 after 36P and 5 after simple)" in text


def test_own_spaces_say_that_places_are_means(outputs, rng, parse):
    outputs.space = ""
    for i in range(1, 4):
        outputs.points = POINTS + i
        outputs.add(f"{i:02d}", correlations(rng, S))
    document = read_page(parse, outputs)
    assert "coordinates of their own" in words(by_id(document, "coverage"))
    rows = table_of(document, "image-1-table")
    assert [float(row["x mm"]) for row in rows] == pytest.approx(POINTS[:, 0] + 2)


def test_sessions_are_chosen_and_link_to_their_pages(outputs, rng, parse):
    for i in range(1, 4):
        for session in ("a", "b"):
            outputs.add(f"{i:02d}", correlations(rng, S), source=f"ses-{session}_task-rest")
    (outputs.root / "sub-01_ses-b.html").write_text("page")
    (outputs.root / "sub-01.html").write_text("page")
    document = read_page(parse, outputs, by_session=True)
    (select,) = by_id(document, "connectivity").all("select")
    assert [words(option) for option in select.all("option")] == [
        "ses-a task-rest",
        "ses-b task-rest",
    ]
    links = by_id(document, "participants-table").all("a")
    assert [a.attrs["href"] for a in links] == ["sub-01.html", "sub-01_ses-b.html"]


def test_motion_that_is_not_known_is_told(outputs, rng, parse):
    many(outputs, rng, 3, MeanFramewiseDisplacement=None)
    document = read_page(parse, outputs)
    assert "The motion of 3 participants is not known" in warnings_of(document)
    assert table_of(document, "participants-table")[0]["Mean FD mm"] == "n/a"


def test_seeds_that_nobody_has(outputs, rng, parse):
    for i in range(1, 6):
        matrix = without(correlations(rng, S), 1)
        outputs.add(f"{i:02d}", matrix, coverage=[1, 0, 1, 1, 1])
    document = read_page(parse, outputs)
    assert "1 of 5 seeds is missing in every participant: s1." in warnings_of(document)
    told = "All participants have 4 of 5 seeds; 1 is missing in every participant: s1."
    assert told in words(by_id(document, "coverage"))


def test_every_kind_of_table_has_its_words():
    known = {kind.removeprefix("contrast-_") for kind in page.KINDS}
    assert paths.GROUP_SUFFIXES - known == {paths.STATMAP}  # images


def test_problems_failures_and_folders_without_a_matrix(outputs, rng, parse):
    many(outputs, rng, 3)
    broken = outputs.add("04", correlations(rng, S))
    broken.with_suffix(".json").write_text("{")
    (outputs.root / "sub-05").mkdir()
    (outputs.root / "logs").mkdir()
    (outputs.root / "logs" / "crash-sub-06_task-rest.txt").write_text("x")
    text = warnings_of(read_page(parse, outputs))
    assert "sub-04_task-rest is left out of" in text
    assert "is not valid JSON" in text
    assert "without a result after simple (outputs can't be used): sub-04" in text
    assert "without a result after simple (no matrix among the outputs): sub-05" in text
    assert "(failed at the participant level, see logs/crash-sub-06_task-rest.txt): sub-06" in text
    assert "1 run failed at the participant level, of sub-06" in text


def test_settings_that_differ_and_notes_of_models(outputs, rng, parse):
    many(outputs, rng, 4)
    outputs.add("05", correlations(rng, S), MinimumDegreesOfFreedom=15)
    outputs.participants(
        participant_id=[f"{i:02d}" for i in range(1, 6)], site=[1, 2, 1, 2, 2]
    ).with_suffix(".json").write_text(json.dumps({"site": {"Levels": {"1": "a", "2": "b"}}}))
    text = warnings_of(read_page(parse, outputs, model="site"))
    assert "Runs differ in MinimumDegreesOfFreedom is 1 in 4 participants" in text
    assert "In the model, site is taken as a number" in text


def test_matrices_that_are_no_connectivity_are_shown_without_strategies(outputs, rng, parse):
    for i in range(1, 4):
        matrix = 40 + 10 * correlations(rng, S)
        facts = {"stat": "effectivedof", "RelationshipMeasure": "effective degrees of freedom"}
        outputs.add(f"{i:02d}", matrix, **facts)
    document = read_page(parse, outputs)
    assert not document.all("section", id="strategies")
    assert "effective degrees of freedom" in words(by_id(document, "connectivity"))


# Many


def test_only_as_many_groups_as_a_page_can_hold(outputs, rng, parse, monkeypatch):
    for strategy in ("a", "b", "c"):
        many(outputs, rng, 3, strategy=strategy)
    monkeypatch.setattr(page, "MOST_BYTES", 200.0)
    document = read_page(parse, outputs)
    text = words(by_id(document, "connectivity"))
    assert "2 of 3 groups are shown here" in text
    assert "c: not shown" in text
    shown = {
        m.attrs["data-of"]
        for m in by_id(document, "condition-1").all("figure")
        if "data-of" in m.attrs
    }
    assert shown == {"a", "b"}
    assert len(table_of(document, "strategies-table")) == 3


def test_of_many_runs_the_worst_are_shown_and_all_pages_linked(outputs, rng, parse, monkeypatch):
    many(outputs, rng, 8)
    outputs.add("09", np.full((S, S), np.nan), DegreesOfFreedom=-2, **GONE)
    for i in range(1, 10):
        (outputs.root / f"sub-{i:02d}.html").write_text("page")
    monkeypatch.setattr(data_quality, "MOST_ROWS", 3)
    document = read_page(parse, outputs)
    rows = table_of(document, "participants-table")
    assert [row["Participant"] for row in rows] == ["sub-09", "sub-08", "sub-07"]
    section = by_id(document, "participants")
    assert "Of 9 runs these are the 3" in words(section)
    assert {a.attrs["href"] for a in section.all("a")} == {
        f"sub-{i:02d}.html" for i in range(1, 10)
    }


def test_networks_have_names_also_where_the_first_strategy_excludes_all_runs(outputs, rng, parse):
    for label in ("01", "02"):
        outputs.add(label, np.full((S, S), np.nan), strategy="a", **GONE)
        outputs.add(label, correlations(rng, S), strategy="b")
    document = read_page(parse, outputs)
    names = json.loads(by_id(document, "names-of-rows").text)
    assert names["image-1-networks"] == [n for n in dict.fromkeys(NETWORKS) if n != "n/a"]
    # What has no result is not left out to keep the page small.
    assert "groups are shown here" not in words(by_id(document, "connectivity"))


@pytest.mark.slow
def test_the_same_warning_of_many_groups_is_given_once(outputs, rng):
    for task in "abcde":
        for label in ("01", "02"):
            outputs.add(label, correlations(rng, S), source=f"task-{task}")
    page_of(outputs)
    texts = cautions(load_level(outputs.root))
    few = [text for text in texts if "too few" in text]
    assert len(few) == 1
    assert few[0].startswith("2 participants, too few")


def test_nothing_is_best_where_all_are_alike(outputs, rng, parse):
    for strategy in ("a", "b"):
        many(outputs, rng, 5, strategy=strategy)
    document = read_page(parse, outputs)
    best = document.all("text", **{"class": "name value best"})
    assert "30" not in [words(text) for text in best]  # degrees of freedom lost by both


# What chance gives


@pytest.mark.parametrize("n", [5, 12, 40])
def test_the_median_correlation_by_chance(n):
    rng = np.random.default_rng(n)
    x, y = rng.standard_normal((2, 40_000, n))
    x -= x.mean(axis=1, keepdims=True)
    y -= y.mean(axis=1, keepdims=True)
    r = (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    assert chance_median(n - 2) == pytest.approx(np.median(np.abs(r)), rel=0.02)


def test_two_participants_have_no_chance():
    assert np.isnan(chance_median(0))


def test_a_group_of_two_is_written_about_as_two(outputs, rng, parse):
    outputs.add("01", without(correlations(rng, S), 1), coverage=[1, 0, 1, 1, 1])
    outputs.add("02", correlations(rng, S))
    document = read_page(parse, outputs)
    coverage = words(by_id(document, "coverage"))
    assert "Both participants have 4 of 5 seeds; one lacks 1: s1." in coverage
    assert "Above the diagonal" not in words(by_id(document, "connectivity"))
    assert "Pairs rest on 1 to 2 participants." in words(by_id(document, "connectivity"))
