"""Maps of seeds on the group's page against the files that were written, read by other means."""

from __future__ import annotations

import json
import re

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage, stats

from bids_spheres.reports.group import load_level, seed_maps
from bids_spheres.reports.group.methods_text import group_methods
from tests.group.conftest import POINTS, SETTINGS, correlations, new_outputs
from tests.reports.group.conftest import page_of, read
from tests.reports.group.test_page import by_id, table_of, words

N, SHAPE = 8, (20, 24, 20)
AFFINE = np.diag([8.0, 8.0, 8.0, 1.0])
AFFINE[:3, 3] = -76, -110, -70
EFFECT = (slice(12, 16), slice(10, 15), slice(7, 11))
STEM = "label-{}_desc-simple_contrast-mean"


def save_map(outputs, participant, seed, values):
    name = f"sub-{participant}_task-rest_space-{outputs.space}_atlas-Tiny_label-{seed}"
    path = outputs.root / f"sub-{participant}" / "func" / f"{name}_stat-fisherz_desc-simple_"
    nib.save(nib.Nifti1Image(values.astype(np.float32), AFFINE), f"{path}boldmap.nii.gz")
    content = json.dumps({**SETTINGS, "Seed": seed})
    path.with_name(f"{path.name}boldmap.json").write_text(content)


def fill(outputs, rng, seeds):
    for i in range(N):
        label = f"{i + 1:02d}"
        outputs.add(label, correlations(rng, len(POINTS)))
        for seed in seeds:
            values = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 1)
            values[EFFECT] += 0.9
            save_map(outputs, label, seed, values)
    options = {"inference": ("maxt", "cluster"), "permutations": 100, "cluster_threshold": 0.01}
    path, problems = page_of(outputs, seed_maps=("all",), **options)
    assert problems == []
    return outputs, path


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """Maps of two seeds with an effect, and the page."""
    outputs = new_outputs(tmp_path_factory.mktemp("maps") / "out")
    return fill(outputs, np.random.default_rng(20090101), ("s1", "s3"))


@pytest.fixture
def document(mapped, parse):
    return parse(mapped[1].read_text(encoding="utf-8"))


def test_clusters_are_those_of_the_file(mapped, document):
    threshold = stats.t.isf(0.01 / 2, N - 1)
    for i, seed in enumerate(("s1", "s3"), start=1):
        written = read(mapped[0].path(f"{STEM.format(seed)}_clusters.tsv"))
        rows = table_of(document, f"maps-{i}-clusters")
        assert 1 <= len(rows) == min(len(written), 15)
        for row, own in zip(rows, written.to_dict("records"), strict=False):
            assert (row["No."], row["Nearest"]) == (own["cluster"], own["nearest_seed"])
            assert row["Size voxels"] == own["size"]
            assert float(row["Threshold"]) == pytest.approx(threshold, abs=0.006)
            for head, column in (("Peak", "peak"), ("p size", "p_size"), ("p mass", "p_mass")):
                assert float(row[head]) == pytest.approx(float(own[column]), rel=0.01, abs=0.005)
            for axis in "xyz":
                assert float(row[f"{axis} mm"]) == pytest.approx(float(own[axis]), abs=0.05)
        peak = written[[*"xyz"]].iloc[0].to_numpy(float)
        place = np.linalg.solve(AFFINE[:3, :3], peak - AFFINE[:3, 3]).round().astype(int)
        assert all(part.start <= at < part.stop for part, at in zip(EFFECT, place, strict=True))


def test_pictures_say_threshold_and_voxels(mapped, document):
    p = nib.load(mapped[0].path(f"{STEM.format('s1')}_stat-psize_statmap.nii.gz")).get_fdata()
    text = words(by_id(document, "maps"))
    n = int((p < 0.05).sum())
    assert n >= 80
    assert f"Coloured: {n} voxels with family-wise p < 0.05 of the size of their cluster" in text
    assert "which says nothing of single voxels" in text
    t = nib.load(mapped[0].path(f"{STEM.format('s1')}_stat-t_statmap.nii.gz")).get_fdata()
    (low, high), *_ = re.findall(r"t from -([\d.]+) to ([\d.]+)", text)
    strongest = np.abs(t[p < 0.05]).max()
    assert (float(low), float(high)) == pytest.approx((strongest, strongest), abs=0.006)
    assert "Contrast mean: the mean over participants, tested by 100" in text
    assert "tested by 100 sign flips" in text


def test_the_number_of_pictures_is_limited_and_the_others_are_named(mapped, monkeypatch):
    monkeypatch.setattr(seed_maps, "MOST_MAPS", 1)
    (section,) = seed_maps.map_sections(load_level(mapped[0].root))
    assert [len(block.graphics) for block in section.blocks] == [1]
    name = mapped[0].path(f"{STEM.format('s3')}_stat-t_statmap.nii.gz").name
    text = "To keep this page small, 1 other map is not shown here: "
    assert section.notes == (f"{text}{name}.",)


def test_methods_of_a_dataset_with_maps_alone(tmp_path, parse):
    outputs = new_outputs(tmp_path / "out")
    outputs.points, outputs.networks = POINTS[:1], ("n/a",)
    rng = np.random.default_rng(4)
    for i in range(N):
        outputs.add(f"{i + 1:02d}", np.ones((1, 1)))
        save_map(outputs, f"{i + 1:02d}", "s0", rng.standard_normal(SHAPE))
    options = {"inference": ("maxt", "cluster", "tfce"), "permutations": 20, "seed": 3}
    path, _ = page_of(outputs, seed_maps=("all",), tfce_step=0.5, tail="positive", **options)
    methods = group_methods(load_level(outputs.root))
    (text,) = methods.paragraphs
    threshold = stats.t.isf(0.001, N - 1)
    for expected in (
        "correlation of 1 seed with every voxel were averaged over runs and tested",
        "In maps the contrast mean was tested by one-sided (positive) t tests, corrected over all",
        "all voxels by the false discovery rate (Benjamini",
        "was tested by 20 sign flips (Winkler et al., 2014), drawn with the seed 3.",
        "single voxels by the largest statistic of all voxels (max-T)",
        f"clusters of voxels that share faces beyond t of {threshold:.2f}, in size and mass",
        "enhancement (extent to the power of 0.5, height of 2.0, steps of 0.5) (Smith and Nichols,",
    ):
        assert expected in text
    assert "pairs" not in text
    keys = {reference.key for reference in methods.references}
    assert keys == {"winkler2014", "smith2009", "benjamini1995"}
    assert "Contrast mean" in words(by_id(parse(path.read_text(encoding="utf-8")), "maps"))


def test_a_map_without_an_effect_is_shown_whole(tmp_path, parse):
    outputs = new_outputs(tmp_path / "out")
    rng = np.random.default_rng(3)
    for i in range(N):
        outputs.add(f"{i + 1:02d}", correlations(rng, len(POINTS)))
        save_map(outputs, f"{i + 1:02d}", "s1", rng.standard_normal(SHAPE))
    path, _ = page_of(outputs, seed_maps=("all",))
    document = parse(path.read_text(encoding="utf-8"))
    q = nib.load(outputs.path(f"{STEM.format('s1')}_stat-q_statmap.nii.gz")).get_fdata()
    assert not (q < 0.05).any()
    text = words(by_id(document, "maps"))
    assert "No voxel has q < 0.05 by the false discovery rate; all are coloured." in text
    assert "Clusters" not in text


def test_a_map_of_an_f_test_has_one_sign(tmp_path):
    outputs = new_outputs(tmp_path / "out")
    rng = np.random.default_rng(6)
    for i in range(N):
        outputs.add(f"{i + 1:02d}", correlations(rng, len(POINTS)))
        values = rng.standard_normal(SHAPE)
        values[EFFECT] += 30 * (i % 3)
        save_map(outputs, f"{i + 1:02d}", "s1", values)
    labels = [f"{i + 1:02d}" for i in range(N)]
    outputs.participants(participant_id=labels, site=[*"abcabcab"])
    page_of(outputs, seed_maps=("all",), model="site", contrast=("F:it=site",))
    (section,) = seed_maps.map_sections(load_level(outputs.root))
    (graphic,) = section.blocks[0].graphics
    folder = outputs.root / "group"
    (path,) = folder.glob("*label-s1*_contrast-it_stat-f_statmap.nii.gz")
    strongest = nib.load(path).get_fdata().max()
    (shown,) = re.findall(r"White to red: F from 0 to ([\d.]+);", graphic.caption)
    assert float(shown) == pytest.approx(strongest, abs=0.006)
    path.with_name(path.name.replace("stat-f", "stat-q")).unlink()
    assert load_level(outputs.root).maps == ()
