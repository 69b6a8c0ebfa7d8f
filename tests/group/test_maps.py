"""Maps of seeds at the group level, against scipy and nilearn on small images."""

from __future__ import annotations

import json
from itertools import product

import nibabel as nib
import numpy as np
import pytest
from nilearn.mass_univariate import permuted_ols
from scipy import ndimage, stats

from tests.group.conftest import SETTINGS, correlations, read_tsv

SHAPE = (7, 8, 6)
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
AFFINE[:2, :2] = [[2.4, -1.8], [1.8, 2.4]]  # oblique, of 3 mm
AFFINE[:3, 3] = -10, -12, -9
LABELS = [f"{i:02d}" for i in range(1, 8)]
STEM = "task-rest_space-MNI152NLin2009cAsym_atlas-Tiny_label-s1_desc-simple"


@pytest.fixture
def call(run_app, tmp_path):
    """Call the group level without a page."""

    def run(outputs, *words):
        words = ("--seed-maps", "--report-level", "none", *words)
        return run_app(tmp_path / "no", outputs.root, "group", *words)

    return run


@pytest.fixture
def filled(outputs, rng):
    """Smooth maps of seven participants, with an effect in a corner; the mask lacks a plane."""
    maps = []
    for label in LABELS:
        outputs.add(label, correlations(rng, 5))
        values = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 0.8)
        values[1:4, 1:4, 1:4] += 0.8
        values[-1] = 0
        maps.append(values.astype(np.float32).astype(float))
        name = f"sub-{label}_task-rest_space-MNI152NLin2009cAsym_atlas-Tiny_label-s1_stat-fisherz"
        path = outputs.root / f"sub-{label}" / "func" / f"{name}_desc-simple_boldmap.nii.gz"
        nib.save(nib.Nifti1Image(values.astype(np.float32), AFFINE), path)
        path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps(SETTINGS))
    return outputs, np.array(maps)


def image(outputs, contrast, stat):
    path = outputs.root / "group" / f"{STEM}_contrast-{contrast}_stat-{stat}_statmap.nii.gz"
    return nib.load(path)


def tfce(t, inside, step):
    """Absolute scores of voxels, by their definition."""
    scores = np.zeros(len(t))
    for sign in (1, -1):
        volume = np.zeros(SHAPE)
        volume[inside] = sign * t
        for h in np.arange(1, int(volume.max() / step) + 1) * step:
            labels, _ = ndimage.label(volume >= h - 1e-9)
            sizes = np.bincount(labels.ravel()).astype(float)
            sizes[0] = 0
            scores += sizes[labels][inside] ** 0.5 * h**2 * step
    return scores


def test_means_of_maps_are_those_of_scipy(filled, call):
    outputs, maps = filled
    done = call(outputs)
    assert done.status == 0, done.err
    inside = maps[0] != 0
    expected = stats.ttest_1samp(maps[:, inside], 0)
    got = {stat: image(outputs, "mean", stat) for stat in ("effect", "t", "p", "q", "n", "d")}
    np.testing.assert_allclose(got["t"].affine, AFFINE)
    values = {stat: img.get_fdata()[inside] for stat, img in got.items()}
    np.testing.assert_allclose(values["effect"], maps[:, inside].mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(values["t"], expected.statistic, rtol=1e-4)
    np.testing.assert_allclose(values["p"], expected.pvalue, rtol=1e-4)
    q = stats.false_discovery_control(expected.pvalue)
    np.testing.assert_allclose(values["q"], q, rtol=1e-4)
    assert set(values["n"]) == {len(LABELS)}
    assert np.isnan(got["t"].get_fdata()[~inside]).all()
    path = outputs.root / "group" / f"{STEM}_contrast-mean_stat-t_statmap.json"
    about = json.loads(path.read_text())
    assert (about["Contrast"], about["Tail"], about["NumberOfParticipants"]) == ("mean", "two", 7)
    assert about["Description"] == "effect / standard error"


def test_a_voxel_outside_of_the_mask_of_some_is_the_mean_of_the_others(filled, call):
    outputs, maps = filled
    path = next((outputs.root / "sub-02" / "func").glob("*_boldmap.nii.gz"))
    values = maps[1].astype(np.float32)
    values[3, 4, 2] = 0  # what maps have outside of the mask
    nib.save(nib.Nifti1Image(values, AFFINE), path)
    assert call(outputs, "--min-participants", "6").status == 0
    left = np.delete(maps[:, 3, 4, 2], 1)
    expected = {"effect": left.mean(), "t": stats.ttest_1samp(left, 0).statistic, "n": 6}
    for stat, value in expected.items():
        got = image(outputs, "mean", stat).get_fdata()[3, 4, 2]
        assert got == pytest.approx(value, rel=1e-5)


def test_all_flips_of_maps_by_hand(filled, call):
    outputs, maps = filled
    words = ("--inference", "maxt", "cluster", "tfce", "--cluster-threshold", "0.01")
    done = call(outputs, *words, "--tfce-step", "0.5")
    assert done.status == 0, done.err
    inside = maps[0] != 0
    rows, threshold = maps[:, inside], stats.t.isf(0.005, 6)
    largest = {"t": [], "size": [], "mass": []}
    scores = []
    for signs in product((1, -1), repeat=7):
        t = stats.ttest_1samp(rows * np.array(signs)[:, np.newaxis], 0).statistic
        largest["t"].append(np.abs(t).max())
        scores.append(tfce(t, inside, 0.5))
        sizes, masses = [0], [0]
        for sign in (1, -1):
            volume = np.zeros(SHAPE)
            volume[inside] = sign * t
            labels, number = ndimage.label(volume > threshold)
            for own in range(1, number + 1):
                sizes.append(np.sum(labels == own))
                masses.append(np.sum(volume[labels == own] - threshold))
        largest["size"].append(max(sizes))
        largest["mass"].append(max(masses))
    observed = stats.ttest_1samp(rows, 0).statistic
    p = [np.mean(np.array(largest["t"]) >= abs(t) - 1e-9) for t in observed]
    np.testing.assert_allclose(image(outputs, "mean", "pmaxt").get_fdata()[inside], p, rtol=1e-5)
    most = np.array([score.max() for score in scores])
    p = [np.mean(most >= score - 1e-6) if score else 1 for score in scores[0]]
    np.testing.assert_allclose(image(outputs, "mean", "ptfce").get_fdata()[inside], p, rtol=1e-5)
    table = read_tsv(outputs.root / "group" / f"{STEM}_contrast-mean_clusters.tsv")
    volume = np.zeros(SHAPE)
    volume[inside] = observed
    first = table.iloc[0]
    labels, _ = ndimage.label(volume > threshold)
    sizes = np.bincount(labels.ravel())[1:]
    assert first["size"] == sizes.max()
    assert first["p_size"] == pytest.approx(np.mean(np.array(largest["size"]) >= sizes.max()))
    assert first["p_mass"] == pytest.approx(
        np.mean(np.array(largest["mass"]) >= first["mass"] - 1e-6)
    )
    peak = np.unravel_index(np.argmax(np.where(labels == sizes.argmax() + 1, volume, 0)), SHAPE)
    np.testing.assert_allclose(
        first[["x", "y", "z"]].astype(float), nib.affines.apply_affine(AFFINE, peak)
    )
    assert first["peak"] == pytest.approx(volume[peak])
    points = outputs.points
    distances = np.linalg.norm(points - nib.affines.apply_affine(AFFINE, peak), axis=1)
    assert first["nearest_seed"] == f"s{distances.argmin()}"
    assert first["distance"] == pytest.approx(distances.min())


def test_random_permutations_agree_with_nilearn(filled, call, rng):
    outputs, maps = filled
    age = rng.uniform(20, 60, len(LABELS))
    outputs.participants(participant_id=LABELS, age=age)
    words = ("--model", "age", "--contrast", "age=age", "--inference", "maxt")
    done = call(outputs, *words, "--permutations", "500")
    assert done.status == 0, done.err
    inside = maps[0] != 0
    theirs = permuted_ols(
        age[:, np.newaxis], maps[:, inside], n_perm=500, model_intercept=True, random_state=0,
        two_sided_test=True, output_type="dict",
    )  # fmt: skip
    p = 10.0 ** -np.ravel(theirs["logp_max_t"])
    ours = image(outputs, "age", "pmaxt").get_fdata()[inside]
    assert np.abs(ours - p).max() < 4 * np.sqrt(2 * 0.25 / 500)


def test_maps_of_another_grid_are_refused(filled, call):
    outputs, _ = filled
    path = next((outputs.root / "sub-02" / "func").glob("*_boldmap.nii.gz"))
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.float32), AFFINE), path)
    done = call(outputs)
    assert done.status == 1
    assert "another grid" in done.err
    assert not list((outputs.root / "group").glob("*_statmap.*"))


def test_results_of_maps_stay_without_the_option_and_are_renewed_with_it(
    filled, call, run_app, tmp_path
):
    outputs, _ = filled
    assert call(outputs, "--inference", "maxt").status == 0
    folder = outputs.root / "group"
    assert len(list(folder.glob("*_stat-pmaxt_statmap.nii.gz"))) == 1
    words = (tmp_path / "no", outputs.root, "group", "--report-level", "none")
    assert run_app(*words).status == 0
    assert len(list(folder.glob("*_stat-pmaxt_statmap.nii.gz"))) == 1
    assert call(outputs).status == 0
    assert not list(folder.glob("*_stat-pmaxt_statmap.*"))
    assert list(folder.glob("*_stat-t_statmap.nii.gz"))


@pytest.mark.slow
def test_names_choose_seeds(filled, run_app, tmp_path):
    outputs, _ = filled
    words = (tmp_path / "no", outputs.root, "group", "--report-level", "none", "--seed-maps")
    assert run_app(*words, "s2").status == 0
    assert not list((outputs.root / "group").glob("*_statmap.nii.gz"))
    assert run_app(*words, "s1").status == 0
    assert image(outputs, "mean", "t").shape == SHAPE


def test_seeds_are_known_by_the_names_in_sidecars(filled, run_app, tmp_path):
    """Labels in names of files are without signs, and numbered where they are the same."""
    outputs, _ = filled
    for path in outputs.root.rglob("*_boldmap.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"Seed": "left M1"}))
    words = (tmp_path / "no", outputs.root, "group", "--report-level", "none", "--seed-maps")
    assert run_app(*words, "right M1").status == 0
    assert not list((outputs.root / "group").glob("*_statmap.nii.gz"))
    assert run_app(*words, "left M1").status == 0
    assert image(outputs, "mean", "t").shape == SHAPE


def test_one_participant_has_no_map_of_a_group(filled, call):
    done = call(filled[0], "--participant-label", "01")
    assert "one participant has neither spread nor tests" in done.err
    assert "full rank" not in done.err


def test_who_is_not_in_the_model_of_maps_is_named(filled, call):
    outputs, _ = filled
    outputs.participants(participant_id=LABELS, age=[20, 31, "n/a", 25, 44, 61, 52])
    done = call(outputs, "--model", "age", "--contrast", "age=age")
    assert done.status == 0, done.err
    assert f"{STEM}: 1 participant of 7 not in the model: sub-03 (without age)" in done.err
    inside = image(outputs, "age", "t").get_fdata()[1, 1, 1]
    assert np.isfinite(inside)
    assert np.nanmax(image(outputs, "age", "n").get_fdata()) == 6


def test_a_model_of_maps_without_contrasts_tests_nothing_and_says_so(filled, call):
    outputs, _ = filled
    outputs.participants(participant_id=LABELS, age=[20, 31, 27, 25, 44, 61, 52])
    done = call(outputs, "--model", "age")
    assert done.status == 0, done.err
    assert f"{STEM}: no map is tested; add --contrast" in done.err
    assert not list((outputs.root / "group").glob("*_statmap.nii.gz"))


def test_seed_maps_without_maps(outputs, rng, call):
    for label in LABELS[:3]:
        outputs.add(label, correlations(rng, 5))
    done = call(outputs)
    assert done.status == 0, done.err
    assert "has no maps of seeds" in done.err
