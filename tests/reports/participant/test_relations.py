"""Matrices and pairs of a run in words and tables, from values by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bids_spheres.reports.participant import page
from bids_spheres.reports.participant.relations import regressor_block, relation_blocks
from bids_spheres.reports.toolkit.charts import network_order
from tests.reports.group.values import square

N = np.nan
PEARSON, PARTIAL = "pearsoncorrelation", "partialcorrelation"
NETWORKS = ("v", "m", "v", "n/a")
VALUES = square(4, [0.2, -0.6, N, 0.1, N, N], [1, 1, 1, N])
STAGE = SimpleNamespace(strongest_pairs=lambda matrix, strategy: (matrix, strategy))
STYLES = {"b": "series-1", "a": "series-0"}


def seeds_of(matrices, measures=(PEARSON,), networks=NETWORKS, sidecar=()):
    """A seed set with matrices by measure and strategy."""

    def matrix(strategy, stat=PEARSON):
        values = matrices[stat, strategy]
        return SimpleNamespace(values=values, names=tuple("pqrs"), sidecar=dict(sidecar))

    n = len(networks)
    spheres = SimpleNamespace(
        names=tuple("pqrs"[:n]),
        networks=networks,
        noun="sphere",
        coordinates=10.0 * np.arange(3 * n).reshape(n, 3),
    )
    return SimpleNamespace(
        anchor="set",
        spheres=spheres,
        order=network_order(networks),
        files=SimpleNamespace(measures=measures, matrix_paths=matrices, matrix=matrix),
    )


def blocks_of(seeds):
    return {block.heading: block for block in relation_blocks(seeds, STYLES, STAGE)}


REST = "90 % of pairs from 11 to 29), given the autocorrelation of both series."
TITLE = "Pearson's correlation"


def test_words_of_matrices():
    blocks = blocks_of(seeds_of({(PEARSON, "a"): VALUES, (PEARSON, "b"): square(4, 0.9)}))
    title, *_ = blocks
    first, second = blocks[title].graphics
    assert (first.heading, second.heading) == ("b", "a")  # in the order of the page
    assert second.caption == (
        f"{title} after a: median 0.1, strongest -0.6 between p and r; 1 sphere without a series "
        "(grey). Mean within networks -0.6, between networks 0.15."
    )
    assert first.caption == (
        f"{title} after b: median 0.9, strongest 0.9 between p and q. "
        "Mean within networks 0.9, between networks 0.9."
    )
    assert {graphic.chart.labels[-1].text for graphic in blocks[title].graphics} == {"0.9"}
    assert [own[1] for own in blocks[f"Strongest pairs: {title}"].graphics] == ["b", "a"]
    caption = blocks[f"Distribution: {title}"].graphics[0].caption
    assert caption.startswith("b: mean 0.9, standard deviation 0. a: mean -0.1, standard dev")


@pytest.mark.parametrize("networks", [("v", "v", "v", "n/a"), ("v", "m", "k", "n/a")])
def test_means_of_networks_need_pairs_within_and_between_them(networks):
    caption = next(iter(blocks_of(seeds_of({(PEARSON, "a"): VALUES}, networks=networks)).values()))
    assert "within networks" not in caption.graphics[0].caption


def test_missing_pairs_are_no_pairs_of_networks():
    blocks = blocks_of(seeds_of({(PEARSON, "a"): VALUES}, networks=("v", "m", "v", "v")))
    caption = next(iter(blocks.values())).graphics[0].caption
    assert caption.endswith(" Mean within networks -0.6, between networks 0.15.")


def test_pairs_of_a_seed_without_a_network_are_not_between_networks():
    values = square(4, [0.2, -0.6, 0.9, 0.1, 0.7, 0.8])
    graphics = next(iter(blocks_of(seeds_of({(PEARSON, "a"): values})).values())).graphics
    assert graphics[0].caption.endswith(" Mean within networks -0.6, between networks 0.15.")


def test_measures_without_a_value_are_not_shown():
    own = {(PEARSON, "a"): square(4, N, 1), (PARTIAL, "b"): VALUES, ("new", "a"): VALUES}
    blocks = blocks_of(seeds_of(own, (PEARSON, PARTIAL, "new")))
    assert len(blocks) == 6
    assert "new" in blocks
    distribution = blocks["Distribution: new"].graphics[0]
    assert any(label.text == "new" for label in distribution.chart.labels)
    assert blocks_of(SimpleNamespace(spheres=None)) == {}


def test_how_many_volumes_a_pair_is_worth():
    worth = {("effectivedof", "a"): square(4, [10, 20, N, 30, N, N], 100)}
    seeds = seeds_of({(PEARSON, "a"): VALUES, (PEARSON, "b"): VALUES, **worth})
    (notes,) = [block.notes for head, block in blocks_of(seeds).items() if "Distribution" in head]
    assert notes == (f"a: a pair is worth 20 independent volumes (median; {REST}",)
    partial = seeds_of({(PARTIAL, "a"): VALUES, **worth}, (PARTIAL,))
    (notes,) = [block.notes for head, block in blocks_of(partial).items() if "Distribution" in head]
    assert notes == ()


def test_pairs_that_depend_most_on_placement():
    sd = square(4, [0.05, 0.3, N, 0.1, N, N], 0.0)
    mean = square(4, [0.5, -1.0, N, 2.0, N, N], 0.0)
    own = {("placementsd", "a"): sd, ("placementmean", "a"): mean}
    own |= {("placementsd", "b"): square(4, N, N), ("placementmean", "b"): square(4, N, N)}
    facts = {"PlacementJitter": 2.5, "NumberOfPlacements": 20}
    (block,) = blocks_of(seeds_of(own, (), sidecar=facts)).values()
    assert block.heading == "Placement of spheres"
    (words,) = block.notes
    assert words.startswith("Every sphere was shifted at random 20 times, by up to 2.5 mm, and")
    assert "Median over all pairs: 0.1 after a. The" in words
    name, table = block.table
    assert name == "set-placement"
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["p", "r", "a", "-0.762", "0.3"],
        ["q", "r", "a", "0.964", "0.1"],
        ["p", "q", "a", "0.462", "0.05"],
    ]
    only = {key: value for key, value in own.items() if key[1] == "b"}
    (block,) = blocks_of(seeds_of(only, (), sidecar=facts)).values()
    assert "Median over all pairs: n/a." in block.notes[0]
    assert block.table[1].rows == ()


# Regressors


def regressors(columns, strategies=("a",), **files):
    values = np.random.default_rng(0).standard_normal((9, len(columns)))
    design = pd.DataFrame(values, columns=columns)
    own = {"designs": dict.fromkeys(strategies, ""), "design": lambda _: design, "outliers": {}}
    files = SimpleNamespace(**{**own, **files})
    return regressor_block(
        SimpleNamespace(anchor="run-1", strategies=("none", *strategies), files=files)
    )


def test_regressors_of_many_kinds_stand_in_blocks():
    columns = ["cosine00", "cosine01", "trans_x", "trans_y_derivative1", "rot_x", "a_comp_cor_00"]
    columns += ["csf", "csf_power2", "white_matter", "global_signal", "belt", "trans_z"]
    block, names = regressors(columns)
    (graphic,) = block.graphics
    labels = [label.text for label in graphic.chart.labels if label.style == "name"]
    assert len(labels) == 2 * 12
    assert "trans_y_derivative1" in labels
    assert names == {"run-1-design-1": tuple(columns)}
    block, _ = regressors([*columns, "rot_y"])
    (graphic,) = block.graphics
    labels = [label.text for label in graphic.chart.labels if label.style == "name"]
    kinds = ["cosines", "translations", "rotations", "aCompCor", "CSF", "white matter"]
    kinds += ["global signal", "belt", "translations", "rotations"]
    assert labels == kinds * 2
    divide = next(mark.path for mark in graphic.chart.marks if mark.style == "divide")
    side = graphic.chart.rasters[0].width
    starts = [2, 4, 5, 6, 8, 9, 10, 11, 12]
    assert [
        round((float(part.split(",")[1].split("h")[0]) - 6) * 13 / side)
        for part in divide.split("M")[1::2]
    ] == starts
    assert graphic.caption.startswith("13 regressors of a over the kept volumes. The strongest")


def test_strategies_with_two_regressors_or_more_have_a_matrix():
    assert regressors(["csf"]) == (None, {})
    assert regressors(["csf", "belt"], ()) == (None, {})
    _, names = regressors(["csf", "belt"], ("x", "y"))
    assert names == {f"run-1-design-{i}": ("csf", "belt") for i in (1, 2)}


# Remarks


def view_of(facts, matrix_paths=(), together=False):
    seeds = SimpleNamespace(
        facts=facts,
        title="Mine in MNI",
        noun="sphere",
        series={},
        files=SimpleNamespace(matrix_paths=dict(matrix_paths)),
    )
    files = SimpleNamespace(together=together)
    run = SimpleNamespace(strategies=("a", "b"), styles={"a": "", "b": ""}, files=files)
    return page._set_view(run, seeds, None)["remarks"]


def test_why_nothing_is_shown():
    excluded = {"a": {"Excluded": "few volumes"}, "b": {}}
    assert view_of(excluded) == [
        "a: excluded, and so not shown. few volumes.",
        "Neither series nor matrices were written.",
    ]
    assert view_of(excluded, together=True) == ["Neither series nor matrices were written."]


@pytest.mark.parametrize(
    ("matrix_paths", "remarks"),
    [
        ({(PEARSON, "a"): ""}, ["Fewer than two spheres have a series: no pairs."]),
        ({}, []),
    ],
)
def test_series_without_pairs(monkeypatch, matrix_paths, remarks):
    monkeypatch.setattr(page, "signal_view", lambda *_: (["series"], None))
    assert view_of({}, matrix_paths) == remarks


def test_runs_together_have_no_spheres_of_their_own(monkeypatch):
    """Their pictures are in the page, as the charts of pairs refer to them."""
    shown = {}
    drawn = {n: SimpleNamespace(stage=SimpleNamespace(scene=None)) for n in ("one", "both")}
    views = {"relation_blocks": [], "regressor_block": (None, {}), "controls_table": None}
    for name, value in views.items():
        monkeypatch.setattr(page.relations, name, lambda *_, value=value: value)
    for name, value in {
        "signal_view": ([], None),
        "seed_map_blocks": (),
        "motion_block": None,
    }.items():
        monkeypatch.setattr(page, name, lambda *_, value=value: value)
    for name in ("summary", "verdicts", "cautions", "runs_table"):
        monkeypatch.setattr(page, name, lambda _: ())
    monkeypatch.setattr(page, "seeds_section", lambda run, *_: drawn[run.title])
    monkeypatch.setattr(page, "page", lambda *_, **values: shown.update(values))
    runs = []
    for title, together in (("one", False), ("both", True)):
        seeds = seeds_of({})
        seeds.spheres.sidecar = {"Sources": ["bids:raw:a", "bids::own", f"bids:raw:{title}"]}
        seeds.facts, seeds.title, seeds.noun = {"a": {"Sources": ["bids:raw:a"]}}, "Mine", "sphere"
        files = SimpleNamespace(together=together)
        about = {"anchor": title, "title": title, "strategies": ("a",), "styles": {"a": ""}}
        runs.append(SimpleNamespace(sets=[seeds], files=files, **about))
    links = SimpleNamespace(roots={"raw": Path("input")})
    about = {"label": "1", "title": "sub-1", "output_dir": Path("nowhere"), "links": links}
    about |= {"settings": {}, "settings_path": None, "failures": ("failed",)}
    page.participant_page(SimpleNamespace(runs=runs, **about))
    assert shown["seeds"] == (drawn["one"],)
    assert shown["stages"] == (drawn["one"].stage, drawn["both"].stage)
    assert shown["warnings"] == ("failed",)
    assert shown["inputs"] == ["bids:raw:a", "bids:raw:one", "bids:raw:both"]
    assert shown["names"] == {"set-names": ("p", "r", "q", "s")}
    assert shown["datasets"] == (("raw", "input"),)
