"""What the platform is told of a task."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pytest

from bids_spheres.integrations.brainlife.product import collected_messages
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
