"""Pictures of maps, and the table of files, from values by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bids_spheres.engine import Grid
from bids_spheres.reports.group import seed_maps
from bids_spheres.reports.group.page import files_table
from bids_spheres.reports.participant.sphere_section import Background

GRID = Grid((3, 3, 2), np.diag([2.0, 2, 2, 1]))
T = np.zeros((3, 3, 2))
T[0, 0, 0], T[1, 1, 0], T[2, 2, 1], T[0, 2, 1] = 3.0, -6.5, 5.0, np.nan


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn of maps, and a maker of them."""
    calls, images = [], {}

    def map_slices(scene, maps, names, limits):
        calls.append((scene, maps[0].values.reshape(T.shape, order="F"), names, limits))
        return np.zeros((2, 2, 3), np.uint8)

    monkeypatch.setattr(seed_maps.sphere_figures, "map_slices", map_slices)
    monkeypatch.setattr(seed_maps, "find_group_background", lambda _: Background())
    monkeypatch.setattr(seed_maps, "read_image", images.get)

    def of(label="s1", contrast="age", clusters=None, statistic="t", strategy="a", **p):
        stats = frozenset({statistic, *p})
        paths = {stat: Path(f"{label}-{contrast}-{stat}") for stat in stats}
        images.update({paths[stat]: (values, GRID) for stat, values in p.items()})
        images[paths[statistic]] = (np.abs(T) if statistic == "f" else T, GRID)
        return SimpleNamespace(
            space="MNI",
            name={"label": label},
            contrast=contrast,
            stats=stats,
            clusters=clusters,
            statistic=statistic,
            strategy=strategy,
            image_title="rest",
            about={"Model": "age"},
            sidecar=lambda _: {},
            image_path=paths.get,
        )

    return calls, of


def graphics_of(*maps):
    sections = [*seed_maps.map_sections(SimpleNamespace(maps=maps))]
    return [graphic for s in sections for block in s.blocks for graphic in block.graphics]


def below(*places, value=0.01):
    p = np.full(T.shape, 0.05)
    for place in places:
        p[place] = value
    return p


def test_the_most_corrected_p_chooses_what_is_coloured(drawn):
    calls, of = drawn
    own = of(q=below((0, 0, 0), (1, 1, 0), (2, 2, 1)), pmaxt=below((1, 1, 0)))
    (graphic,) = graphics_of(own)
    assert (
        "t of age after a. Coloured: 1 voxel with family-wise p < 0.05 by the l" in graphic.caption
    )
    ((scene, values, names, limits),) = calls
    assert np.argwhere(values).tolist() == [[1, 1, 0]]
    assert limits == (np.finfo(float).tiny, 6.5)
    assert "Blue to red: t from -6.5 to 6.5; white rings: peaks." in graphic.caption
    assert (names, scene.centres.tolist()) == (["lowest"], [[2, 2, 0]])


def test_where_nothing_is_significant_all_is_coloured(drawn):
    calls, of = drawn
    (graphic,) = graphics_of(of(q=below()))  # 0.05 is not below 0.05
    assert "No voxel has q < 0.05 by the false discovery rate; all are coloured." in graphic.caption
    ((scene, values, names, _),) = calls
    np.testing.assert_array_equal(values, np.nan_to_num(T))
    assert (names, scene.centres.tolist()) == (["highest", "lowest"], [[4, 4, 2], [2, 2, 0]])


def test_peaks_are_those_of_clusters_that_are_coloured(drawn):
    calls, of = drawn
    clusters = pd.DataFrame(
        {
            "x": [0.0, 4, 2],
            "y": [0.0, 4, 2],
            "z": [0.0, 2, 0],
            "nearest_seed": ["p", "q", "r"],
            "cluster": [1, 2, 3],
            "size": [9, 8, 7],
            "mass": 1.0,
            "p_size": 0.1,
            "p_mass": 0.2,
            "peak": 3.0,
            "distance": 1.5,
        }
    )
    own = of(q=below((2, 2, 1), (1, 1, 0)), clusters=clusters)
    graphics_of(own)
    ((scene, _, names, _),) = calls
    assert (names, scene.centres.tolist()) == (["q", "r"], [[4, 4, 2], [2, 2, 0]])
    assert scene.radii.tolist() == [5, 5]
    # The largest are shown.
    many = pd.concat([clusters[2:]] * 8).assign(nearest_seed=[*"abcdefgh"])
    graphics_of(of(q=below((1, 1, 0)), clusters=many))
    assert calls[-1][2] == [*"abcdef"]


def test_an_f_test_is_white_to_red(drawn):
    calls, of = drawn
    (graphic,) = graphics_of(of(q=below((1, 1, 0)), statistic="f"))
    assert graphic.caption.startswith("F of age after a. ")
    assert "White to red: F from 0 to 6.5;" in graphic.caption
    assert calls[0][3][1] == 6.5


def test_a_section_for_each_seed_and_a_block_for_each_contrast(drawn):
    _, of = drawn
    p = below((1, 1, 0))
    maps = [
        of("s1", "age", q=p),
        of("s2", "age", q=p),
        of("s1", "sex", q=p),
        of("s1", "age", strategy="b", q=p),
    ]
    first, second = seed_maps.map_sections(SimpleNamespace(maps=tuple(maps)))
    assert (first.title, second.title) == ("Seed s1: rest", "Seed s2: rest")
    assert [(block.heading, len(block.graphics)) for block in first.blocks] == [
        ("Map of age", 2),
        ("Map of sex", 1),
    ]
    assert (first.strategies, second.strategies) == (("a", "b"), ("a",))
    assert (first.tables, first.notes, second.notes) == ((), (), ())


def test_many_maps_are_named_in_the_last_section(drawn):
    _, of = drawn
    maps = tuple(of(f"s{i}", q=below()) for i in range(14))
    sections = [*seed_maps.map_sections(SimpleNamespace(maps=maps))]
    assert len(sections) == 12
    assert [bool(section.notes) for section in sections] == [*[False] * 11, True]
    assert (
        sections[-1].notes[0].endswith("2 other maps are not shown here: s12-age-t and s13-age-t.")
    )


def test_tables_of_the_group_are_linked_by_group(tmp_path):
    (tmp_path / "group").mkdir()
    group = "task-rest_space-MNI_seg-Mine_stat-pearsoncorrelation_desc-a"
    for name in (
        *("runs.tsv", f"{group}_mean.tsv", f"{group}_contrast-age_edges.tsv", "notes 1.tsv"),
        *(f"{group}_mean.json", "notes.txt"),
    ):
        (tmp_path / "group" / name).touch()
    rows = [[cell.text for cell in row] for row in files_table(tmp_path).rows]
    assert rows == [
        ["not by this version", "all groups", "notes 1.tsv"],
        ["quality of every run", "all groups", "runs.tsv"],
        ["effects and tests of a contrast", group, "contrast-age_edges.tsv"],
        ["mean over participants", group, "mean.tsv"],
    ]
    links = [row[2].href for row in files_table(tmp_path).rows]
    assert links[0] == "group/notes%201.tsv"
    assert links[3] == f"group/{group}_mean.tsv"
    for i in range(596):
        (tmp_path / "group" / f"x{i}.tsv").touch()
    more = []
    for name in ("y0.tsv", "y1.tsv", "y2.tsv"):
        table = files_table(tmp_path)
        assert len(table.rows) == 600
        more.append(table.caption.partition(" describes it.")[2])
        (tmp_path / "group" / name).touch()
    assert more == ["", " 1 more is in the folder group.", " 2 more are in the folder group."]
