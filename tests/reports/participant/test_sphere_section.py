"""Spheres of a run in sentences, colours and tables, and the image behind them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from bids_spheres.outputs.links import Links
from bids_spheres.outputs.read import Spheres
from bids_spheres.reports.participant import sphere_section
from bids_spheres.reports.participant.sphere_section import (
    find_background,
    seed_map_blocks,
    seeds_section,
)
from bids_spheres.reports.toolkit.sphere_figures import EMPTY, FULL, PARTIAL, Scene
from bids_spheres.wording import NO_BREAK

N = np.nan


def spheres_of(coverage, name="seg-Mine_desc-spheres_dseg.tsv", sidecar=(), **columns):
    """Spheres p, q, r ... with these shares of their voxels."""
    n = len(coverage)
    values = {
        "names": tuple("pqrstuvw"[:n]),
        "networks": ("n/a",) * n,
        "coordinates": np.arange(3.0 * n).reshape(n, 3),
        "radii": np.full(n, 5.0),
        "voxels_asked": np.full(n, 20),
        "voxels_used": np.full(n, 10),
        "overlap": np.zeros(n, int),
        "coverage": np.array(coverage, float),
        "tsnr": np.full(n, N),
        "used": np.array(coverage) >= 0.5,
        "seed_in_mask": np.ones(n, bool),
    }
    values |= {
        key: np.asarray(value) if key not in ("names", "networks") else value
        for key, value in columns.items()
    }
    spheres = Spheres(Path(name), **values)
    vars(spheres)["sidecar"] = dict(sidecar)
    return spheres


@pytest.fixture
def section(monkeypatch):
    """The section of spheres, without pictures and background."""
    stage = SimpleNamespace(of=lambda scene, _: SimpleNamespace(scene=scene))
    pixels, drawn = np.zeros((2, 2, 3), np.uint8), []

    def mosaic(_, labels, names):
        drawn.append((labels, names))
        return pixels

    monkeypatch.setattr(sphere_section, "Stage", stage)
    monkeypatch.setattr(sphere_section.sphere_figures, "overview", lambda *_: pixels)
    monkeypatch.setattr(sphere_section.sphere_figures, "mosaic", mosaic)
    monkeypatch.setattr(sphere_section, "find_background", lambda *_: sphere_section.Background())

    def of(coverage, **columns):
        spheres = spheres_of(coverage, **columns)
        files = SimpleNamespace(spheres_path=Path("x_dseg.tsv"))
        seeds = SimpleNamespace(anchor="set", title="Mine in MNI", files=files)
        return seeds_section(SimpleNamespace(title="run-1"), seeds, spheres, None)

    of.drawn = drawn
    return of


def column(table, label, unit=""):
    (place,) = (i for i, c in enumerate(table.columns) if (c.label, c.unit) == (label, unit))
    return [(row[place].text, row[place].tone) for row in table.rows]


def test_spheres_with_all_some_and_too_few_of_their_voxels(section):
    """A sphere without a series is none of those that have all of their voxels."""
    own = section(
        [1, 0.75, 1, 0.25, 0.5],
        used=[True, True, False, False, True],
        sidecar={"MinimumCoverage": 0.5},
        seed_in_mask=[False, True, False, False, True],
        overlap=[0, 3, 1, 0, 0],
    )
    least = f"less than 50{NO_BREAK}% of their voxels"
    assert own.sentences == (
        "5 spheres with a radius of 5 mm.",
        f"1 have all of their voxels, 2 some, and 2 too few to have a series ({least}): r and s.",
        "In 3 the voxel of the seed lies outside the mask.",
        "Spheres that share voxels with another: 2.",
    )
    assert own.stage.scene.colours().tolist() == [FULL, PARTIAL, EMPTY, EMPTY, PARTIAL]
    (table,) = own.tables
    assert column(table, "Coverage", "%") == [
        *(("100", ""), ("75", "warn"), ("100 (no series)", "bad"), ("25 (no series)", "bad")),
        ("50", "warn"),
    ]
    assert column(table, "Shared", "voxels") == [(text, "") for text in "03100"]
    assert column(table, "No.") == [(text, "") for text in "12345"]
    assert [text for text, _ in column(table, "z", "mm")] == ["2", "5", "8", "11", "14"]
    heads = [head.label for head in table.columns]
    assert not {"Network", "Radius"} & set(heads)
    assert (table.head, table.file) == (1, "x_dseg.tsv")


def test_seeds_whose_voxel_is_not_used(section):
    seeds = {"seed_in_mask": [True, False]}
    for overlap, more in (("nearest", " or belongs to a nearer seed"), ("allow", "")):
        own = section([1, 1], sidecar={"Overlap": overlap}, **seeds)
        assert own.sentences[2] == f"In 1 the voxel of the seed lies outside the mask{more}."
    regions = section([1, 1], name="seg-Mine_desc-regions_dseg.tsv", **seeds)
    assert not any("outside" in sentence for sentence in regions.sentences)


@pytest.mark.parametrize(
    ("coverage", "least", "words"),
    [
        ([1, 1], 0.5, "Each of them has all of its voxels."),
        ([1, 1 - 1e-9], 0.5, "Each of them has all of its voxels."),
        ([1, 0.9, 0.6], 0.5, "1 have all of their voxels, the other 2 some."),
        ([1, 0.4], 0, "1 have all of their voxels, 0 some, and 1 too few to have a series: q."),
    ],
)
def test_spheres_that_all_have_a_series(section, coverage, least, words):
    assert section(coverage, sidecar={"MinimumCoverage": least}).sentences[1] == words


def test_signal_despiking_and_notes(section):
    facts = {"DespikedShare": 0.01234, "SpaceNote": "Of another space.", "DespikeNote": None}
    own = section([1] * 5, tsnr=[10, 20, N, 40, 100], sidecar=facts, radii=[5, 5, 5, 5, 6])
    # The 5th, 50th and 95th percentile of four values
    assert own.sentences[2:] == (
        "Median temporal signal-to-noise ratio: 30 (90 % of spheres from 12 to 91).",
        "Despiking changed 1.23% of the values of its voxels.",
        "Of another space.",
    )
    assert own.notes[1].startswith("tSNR: temporal signal-to-noise ratio")
    (table,) = own.tables
    assert [text for text, _ in column(table, "tSNR")] == ["10", "20", "n/a", "40", "100"]
    assert [text for text, _ in column(table, "Radius", "mm")] == ["5", "5", "5", "5", "6"]
    plain = section([1, 1], sidecar={"DespikedShare": 0})
    assert len(plain.notes) == 1
    assert len(plain.sentences) == 2


def test_regions_and_networks(section):
    own = section([1, 0.5], name="seg-Mine_desc-regions_dseg.tsv", networks=("motor", "n/a"))
    assert own.sentences[0].startswith("2 regions of 0.5 cm³")
    assert "of the region on the grid of the image" in own.notes[0]
    (table,) = own.tables
    assert [text for text, _ in column(table, "Network")] == ["motor", "n/a"]
    assert table.caption == "Regions, coverage and signal."
    slices, brain = own.figures
    assert slices.caption.startswith("Voxels of the regions. Blue: the whole region has a signal")
    assert brain.caption == "All regions to scale, transparent. Colours as above."


@pytest.mark.parametrize(
    ("networks", "most", "words"),
    [
        (("motor", "n/a"), 1, ", transparent. Colours are networks; outlines are as"),
        (("motor", "n/a"), 2, " to scale, transparent. Colours as above."),
        (("n/a", "n/a"), 1, " to scale, transparent. Colours as above."),
    ],
)
def test_many_spheres_have_the_colours_of_their_networks(
    section, monkeypatch, networks, most, words
):
    monkeypatch.setattr(sphere_section.sphere_figures, "MANY", most)
    _, brain = section([1, 0.5], networks=networks).figures
    assert brain.caption.startswith(f"All spheres{words}")


def test_voxels_that_are_drawn_are_those_of_the_image(section, tmp_path):
    """Numbers beyond those of the table are of an image of another call."""
    labels = np.arange(8).reshape(2, 2, 2)
    save(tmp_path / "x_dseg.nii.gz", labels)
    section([1] * 6, name=str(tmp_path / "x_dseg.tsv"))
    section([1, 1])
    (drawn, names), (nothing, _) = section.drawn
    assert drawn.values.tolist() == [0, 4, 2, 6, 1, 5, 3, 0]
    assert (names, nothing) == (tuple("pqrstu"), None)


# The image behind


def save(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.asarray(data, np.float32), np.eye(4)), path)


@pytest.fixture
def prep(tmp_path, monkeypatch):
    """A run with its mask, reference and image, and templates."""
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "templates"))
    stem = "sub-1_task-rest_space-MNI+2"
    values = np.zeros((4, 4, 4, 2))
    values[1, 1, 1, 0] = values[2, 2, 2, 1] = 9
    save(tmp_path / f"{stem}_boldref.nii.gz", values)
    save(tmp_path / f"{stem}_desc-brain_mask.nii.gz", values[..., 0] > 0)
    (tmp_path / f"{stem}_desc-preproc_bold.nii.gz").touch()
    for resolution in ("01", "2"):
        name = f"tpl-MNI_cohort-2_res-{resolution}_T1w.nii.gz"
        save(tmp_path / "templates" / "tpl-MNI" / "cohort-2" / name, values[..., 1])
    return tmp_path, stem


def found(root, stem):
    uris = [f"bids:x:{stem}_desc-preproc_bold.nii.gz", f"bids:x:{stem}_desc-brain_mask.nii.gz"]
    facts = {"Sources": uris, "SpatialReference": "MNI+2"}
    return find_background(facts, Links(root, {"x": root}))


def test_the_first_image_that_can_be_read_is_behind(prep):
    root, stem = prep
    background = found(*prep)
    assert (background.words, background.over) == (
        "the run's BOLD reference image",
        " over the run's BOLD reference image",
    )
    # Of several volumes the first.
    grey = background.picture.grey[:-1].reshape((4, 4, 4), order="F")
    assert np.argwhere(grey).tolist() == [[1, 1, 1]]
    (root / f"{stem}_boldref.nii.gz").write_bytes(b"no image")
    assert found(*prep).words == "the T1-weighted template MNI+2"
    folder = root / "templates" / "tpl-MNI" / "cohort-2"
    # Coarse before fine, and empty where it was not downloaded.
    save(folder / "tpl-MNI_cohort-2_res-01_T1w.nii.gz", np.zeros((9, 9, 9)))
    assert found(*prep).picture.grid.shape == (4, 4, 4)
    (folder / "tpl-MNI_cohort-2_res-2_T1w.nii.gz").write_bytes(b"")
    assert found(*prep).picture.grid.shape == (9, 9, 9)
    (folder / "tpl-MNI_cohort-2_res-01_T1w.nii.gz").unlink()
    assert found(*prep).words == "the brain mask"
    (root / f"{stem}_desc-brain_mask.nii.gz").unlink()
    nothing = found(*prep)
    assert (nothing.picture, nothing.words, nothing.over) == (None, "", "")


# Maps of seeds


def test_maps_of_the_first_seeds_that_have_one(tmp_path, monkeypatch):
    spheres = spheres_of([1] * 8)
    paths = []
    for i, name in enumerate(["nobody", "w", "q", "p", "s", "r", "u", "t", "v"]):
        path = tmp_path / f"{i}_boldmap.nii.gz"
        values = np.full((2, 2, 2), float(i))
        values[0, 0, 0] = np.nan
        save(path, values)
        path.with_name(f"{i}_boldmap.json").write_text(f'{{"Seed": "{name}"}}')
        paths.append(path)
    paths[2].write_bytes(b"no image")  # of q
    files = SimpleNamespace(seed_maps=lambda strategy: paths if strategy == "a" else [])
    seeds = SimpleNamespace(spheres=spheres, files=files, noun="sphere")
    drawn = []

    def map_slices(scene, maps, names):
        drawn.append((scene.centres, [own.values[-1] for own in maps], names))
        assert maps[0].values[0] == 0  # in place of NaN
        return np.zeros((2, 2, 3), np.uint8)

    monkeypatch.setattr(sphere_section.sphere_figures, "map_slices", map_slices)
    scene = Scene(spheres.coordinates, spheres.radii)
    (block,) = seed_map_blocks(seeds, ["a", "b"], scene)
    ((centres, values, names),) = drawn
    assert names == ["p", "r", "s", "t", "u", "w"]
    assert values == [3, 5, 4, 7, 6, 1]
    np.testing.assert_array_equal(centres, spheres.coordinates[[0, 2, 3, 4, 5, 7]])
    (graphic,) = block.graphics
    assert graphic.caption.startswith(
        "Fisher z of every voxel's correlation with p, r, s, t, u and w after a. Blue to red: -0.8 "
        "to 0.8, transparent within 0.2; white: the sphere. Maps written: 9;"
    )
    assert [*seed_map_blocks(seeds, ["b"], scene)] == []
    seeds.spheres = None
    assert [*seed_map_blocks(seeds, ["a"], scene)] == []
