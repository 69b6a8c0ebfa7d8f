"""What the platform is told of a task."""

from __future__ import annotations

import json
import logging
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from bids_spheres.integrations.brainlife.datatypes import Matrix, Results
from bids_spheres.integrations.brainlife.product import collected_messages, message, write_product
from tests.integrations.brainlife.conftest import matrix, real_run


@pytest.mark.slow
def test_product_is_small_and_in_the_platforms_words(task, real_scan, run_task):
    task.stage_run(real_run(real_scan, 1))
    task.write()
    assert run_task(task)[0] == 0
    product = task.json("product.json")
    assert (task.folder / "product.json").stat().st_size < 8000
    messages = [item for item in product["brainlife"] if "msg" in item]
    assert {item["type"] for item in messages} <= {"error", "danger", "warning", "info", "success"}
    figures = [item for item in product["brainlife"] if "msg" not in item]
    assert [figure["type"] for figure in figures] == ["plotly", "plotly"]
    edges = matrix(task)[np.triu_indices(264, k=1)]
    assert sum(figures[0]["data"][0]["y"]) == np.isfinite(edges).sum()
    # The mean of two networks, from the matrix and the labels that are written
    heat = figures[1]["data"][0]
    network = np.array([node.get("network") for node in task.json("conmat/label.json")])
    values = matrix(task)
    np.fill_diagonal(values, np.nan)
    for row, column in ((0, 3), (3, 3)):
        pair = network == heat["y"][row], network == heat["x"][column]
        assert heat["z"][row][column] == pytest.approx(np.nanmean(values[np.ix_(*pair)]), abs=6e-4)
    assert product["tags"] == ["seeds-Power2011", "strategy-simple"]


def test_messages_that_are_logged_and_printed(capsys):
    with collected_messages() as messages:
        logger = logging.getLogger("bids_spheres.some.module")
        logger.info("2 runs")
        for _ in range(2):
            logger.warning("sub-01: %s\n  hint: wait", "too")
        logger.error("sub-02: bad")
        sys.stderr.write("I 2 runs\nbids-spheres: error: 2 problems:\n")
        sys.stderr.write("- one\n- two\n  hint: mend\nend\n")
    assert messages == [
        {"type": "warning", "msg": "sub-01: too\nhint: wait"},
        {"type": "error", "msg": "sub-02: bad"},
        {"type": "error", "msg": "2 problems:\n- one\n- two\nhint: mend"},
    ]
    assert "I 2 runs\n" in capsys.readouterr().err


def test_errors_come_first_and_a_few_messages_are_enough(tmp_path):
    warnings = [message("warning", f"w{number}") for number in range(18)]
    errors = [message("error", f"e{number}") for number in range(2)]
    path = tmp_path / "product.json"
    write_product(path, [*warnings[:9], *errors, *warnings[9:]], None)
    assert json.loads(path.read_text()) == {"brainlife": [*errors, *warnings]}
    write_product(path, [*warnings, message("success", "done"), *errors, *errors], None)
    *shown, last = json.loads(path.read_text())["brainlife"]
    assert shown == [*errors, *errors, *warnings[:16]]
    assert last == {"type": "warning", "msg": "3 more are in the log."}
    write_product(path, [*warnings, *errors, *errors[:1]], None)
    *_, last = json.loads(path.read_text())["brainlife"]
    assert last == {"type": "warning", "msg": "1 more is in the log."}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a" * 600, "a" * 600),
        ("a" * 601, "a" * 600 + "..."),
        ("  one \n\n  - two\x1b\n", "one\n\n- two\\x1b"),
    ],
)
def test_what_is_shown_of_a_message(text, shown):
    assert message("info", text) == {"type": "info", "msg": shown}


NAN = np.nan
MATRIX = [
    [1, -0.9, 0.25, 0.5, NAN, 0.3],
    [-0.9, 1, -0.125, 0.75, NAN, 0.2],
    [0.25, -0.125, 1, 0.0625, NAN, 0.1],
    [0.5, 0.75, 0.0625, 1, NAN, 0.4],
    [NAN] * 6,
    [0.3, 0.2, 0.1, 0.4, NAN, 1],
]


def results(networks, matrix=MATRIX):
    """Results of two runs, of which the first has two matrices."""
    values = np.array(matrix, float)
    other = Matrix("sub-01", "other", "covariance", "Covariance", 7 * values)
    first = Matrix("sub-01 task-x", "first", "pearson", "Pearson correlation", values)
    work = SimpleNamespace(
        seed_sets=[SimpleNamespace(label="mine")], strategies=[SimpleNamespace(name="24P")]
    )
    jobs = (SimpleNamespace(work=work, name="a"), SimpleNamespace(work=work, name="b"))
    used = np.array([True, True, False, True, False, True])
    return Results(jobs, (), SimpleNamespace(networks=networks), used, (first, other))


def figures(tmp_path, *arguments):
    write_product(tmp_path / "product.json", [message("info", "x")], results(*arguments))
    product = json.loads((tmp_path / "product.json").read_text())
    assert product["brainlife"][0] == {"type": "info", "msg": "x"}
    assert product["tags"] == ["seeds-mine", "strategy-24P"]
    assert product["spheres"] == {"total": 6, "used": 4}
    assert len(product["runs"]) == 2
    return product["brainlife"][1:]


def test_figures_of_the_first_matrix_of_the_first_run(tmp_path):
    bars, heat = figures(tmp_path, ("B", "A", "B", "A", "C", "n/a"))
    assert bars["desc"] == "Pearson correlation of all pairs, sub-01 task-x"
    # Ten pairs of five spheres from -0.9 to 0.75, in 40 bins
    width = (0.75 + 0.9) / 40
    centres, counts = (np.array(bars["data"][0][axis]) for axis in "xy")
    np.testing.assert_allclose(centres, -0.9 + width * (np.arange(40) + 0.5), rtol=1e-3)
    pairs = [-0.9, 0.25, 0.5, -0.125, 0.75, 0.0625, 0.3, 0.2, 0.1, 0.4]
    places = [min(int((pair + 0.9) / width), 39) for pair in pairs]
    assert counts.tolist() == [places.count(place) for place in range(40)]
    data = heat["data"][0]
    assert data["x"] == data["y"] == ["A", "B", "C"]
    between = (-0.9 + 0.5 - 0.125 + 0.0625) / 4
    expected = [[0.75, round(between, 3), None], [round(between, 3), 0.25, None], [None] * 3]
    assert data["z"] == expected
    assert (data["zmin"], data["zmax"]) == (-0.75, 0.75)


def test_colours_are_symmetric_where_the_largest_mean_is_negative(tmp_path):
    matrix = [[1, -0.8, 0.2], [-0.8, 1, -0.4], [0.2, -0.4, 1]]
    data = figures(tmp_path, ("A", "A", "B"), matrix)[1]["data"][0]
    assert data["z"] == [[-0.8, -0.1], [-0.1, None]]
    assert (data["zmin"], data["zmax"]) == (-0.8, 0.8)


@pytest.mark.parametrize(("number", "drawn"), [(1, 1), (2, 2), (30, 2), (31, 1)])
def test_networks_are_drawn_if_there_are_some_and_not_too_many(tmp_path, number, drawn):
    networks = (*(f"N{i % number:02d}" for i in range(31)), "n/a", "")
    matrix = np.add.outer(np.arange(33.0), np.arange(33.0)) / 64
    assert len(figures(tmp_path, networks, matrix)) == drawn


def test_no_figures_without_a_number(tmp_path):
    assert figures(tmp_path, ("A", "B") * 3, np.full((6, 6), np.nan)) == []


def test_a_mean_of_almost_zero_has_no_sign(tmp_path):
    data = figures(tmp_path, ("A", "A", "B"), [[1, -1e-4, 0.2], [-1e-4, 1, 0], [0.2, 0, 1]])
    assert str(data[1]["data"][0]["z"][0]) == "[0.0, 0.1]"
