"""Maps of seeds at the group level, against scipy and nilearn on small images."""

from __future__ import annotations

import json
import warnings
from itertools import product

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.glm.second_level import non_parametric_inference
from nilearn.mass_univariate import permuted_ols
from scipy import ndimage, special, stats

from bids_spheres.group.inference import arrange
from bids_spheres.group.options import GroupOptions
from bids_spheres.group.workflow import run_group
from tests.group.conftest import SETTINGS, SPACE, correlations, read_tsv
from tests.group.test_repeated import cochran_q, paule_mandel

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


def about(outputs, contrast, stat):
    path = outputs.root / "group" / f"{STEM}_contrast-{contrast}_stat-{stat}_statmap.json"
    return json.loads(path.read_text())


def save_map(outputs, label, values, session=None, seed="s1", space=SPACE, **facts):
    """A map of a participant, in a session or without sessions."""
    folder = outputs.root / f"sub-{label}" / (f"ses-{session}" if session else "") / "func"
    folder.mkdir(parents=True, exist_ok=True)
    source = f"sub-{label}_ses-{session}" if session else f"sub-{label}"
    name = f"{source}_task-rest_space-{space}_atlas-Tiny_label-{seed}_stat-fisherz"
    path = folder / f"{name}_desc-simple_boldmap.nii.gz"
    nib.save(nib.Nifti1Image(values.astype(np.float32), AFFINE), path)
    content = json.dumps({**SETTINGS, **facts})
    path.with_name(path.name.replace(".nii.gz", ".json")).write_text(content)


@pytest.fixture
def sessions(outputs, rng):
    """Maps of seven participants before and after, with a change in a corner."""
    maps = rng.standard_normal((7, 2, *SHAPE)) + 0.5
    maps[:, 1, 1:4, 1:4, 1:4] += 1.2
    for label, of_sessions in zip(LABELS, maps, strict=True):
        for session, values in zip(("pre", "post"), of_sessions, strict=True):
            source = f"ses-{session}_task-rest"
            outputs.add(label, correlations(rng, 5), source=source)
            save_map(outputs, label, values, session)
    return outputs, maps.astype(np.float32).astype(float).reshape(7, 2, -1)


def tfce(t, inside, extent, height, step):
    """Absolute scores of voxels, by their definition."""
    scores = np.zeros(len(t))
    for sign in (1, -1):
        volume = np.zeros(SHAPE)
        volume[inside] = sign * t
        for h in np.arange(1, int(volume.max() / step + 1e-9) + 1) * step:
            labels, _ = ndimage.label(volume >= h - 1e-9)
            sizes = np.bincount(labels.ravel()).astype(float)
            sizes[0] = 0
            scores += np.where(sizes > 0, sizes**extent, 0)[labels][inside] * h**height * step
    return scores


def test_means_of_maps_are_those_of_scipy(filled, call):
    outputs, maps = filled
    done = call(outputs)
    assert done.status == 0, done.err
    inside = maps[0] != 0
    expected = stats.ttest_1samp(maps[:, inside], 0)
    got = {stat: image(outputs, "mean", stat) for stat in ("effect", "t", "p", "q", "n", "d")}
    np.testing.assert_allclose(got["t"].affine, AFFINE)
    assert {img.get_data_dtype() for img in got.values()} == {np.dtype("float32")}
    values = {stat: img.get_fdata()[inside] for stat, img in got.items()}
    np.testing.assert_allclose(values["effect"], maps[:, inside].mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(values["t"], expected.statistic, rtol=1e-4)
    np.testing.assert_allclose(values["p"], expected.pvalue, rtol=1e-4)
    d = maps[:, inside].mean(axis=0) / maps[:, inside].std(axis=0, ddof=1)
    np.testing.assert_allclose(values["d"], d, rtol=1e-4)
    q = stats.false_discovery_control(expected.pvalue)
    np.testing.assert_allclose(values["q"], q, rtol=1e-4)
    assert set(values["n"]) == {len(LABELS)}
    assert np.isnan(got["t"].get_fdata()[~inside]).all()
    path = outputs.root / "group" / f"{STEM}_contrast-mean_stat-t_statmap.json"
    about = json.loads(path.read_text())
    assert (about["Contrast"], about["Tail"], about["NumberOfParticipants"]) == ("mean", "two", 7)
    assert (about["Description"], about["Scale"]) == ("effect / standard error", "Fisher z")


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


def test_runs_of_a_participant_count_by_their_degrees_of_freedom(filled, call):
    outputs, maps = filled
    path = next((outputs.root / "sub-02" / "func").glob("*_boldmap.nii.gz"))
    about = path.with_name(path.name.replace(".nii.gz", ".json"))
    about.write_text(json.dumps({**SETTINGS, "DegreesOfFreedom": 20}))
    second = np.where(maps[1] == 0, 0, maps[1] + 0.5).astype(np.float32)
    second[3, 4, 2] = np.nan
    lacking = maps[1].astype(np.float32)
    lacking[2, 5, 3] = 0  # outside of the mask of this run
    nib.save(nib.Nifti1Image(lacking, AFFINE), path)
    third = maps[4].astype(np.float32)
    third[1, 6, 3] = 0  # six participants have it, one of whom has it twice
    nib.save(
        nib.Nifti1Image(third, AFFINE),
        next((outputs.root / "sub-05" / "func").glob("*_boldmap.nii.gz")),
    )
    for name, freedom, values in (("dir-AP", 3, second), ("dir-PA", 80, 9 * second)):
        other = path.with_name(path.name.replace("task-rest", f"task-rest_{name}"))
        nib.save(nib.Nifti1Image(values, AFFINE), other)
        facts = {"DegreesOfFreedom": freedom, **({"Excluded": "?"} if freedom == 80 else {})}
        content = json.dumps({**SETTINGS, **facts})
        other.with_name(other.name.replace(".nii.gz", ".json")).write_text(content)
    # A voxel of one of the runs is the participant's.
    assert call(outputs, "--min-participants", "7").status == 0
    # 1 / var(z) is 2 / trigamma((v - 1) / 2); that of 3 degrees of freedom is 12 / pi^2.
    first, last = 2 / special.polygamma(1, 9.5), 12 / np.pi**2
    own = (first * maps[1] + last * second) / (first + last)
    own[3, 4, 2], own[2, 5, 3] = maps[1][3, 4, 2], second[2, 5, 3]
    everyone = np.array([own if i == 1 else values for i, values in enumerate(maps)])
    inside = maps[0] != 0
    inside[1, 6, 3] = False
    effect = image(outputs, "mean", "effect").get_fdata()
    assert np.isnan(effect[1, 6, 3])
    got = effect[inside]
    np.testing.assert_allclose(got, everyone[:, inside].mean(axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("tail", "sign"), [("positive", 1), ("negative", -1)])
def test_clusters_of_one_tail(filled, call, tail, sign):
    outputs, maps = filled
    words = ("--tail", tail, "--inference", "cluster", "--permutations", "9")
    words += ("--cluster-threshold", "0.05")
    assert call(outputs, *words).status == 0
    inside, threshold = maps[0] != 0, stats.t.isf(0.05, 6)
    volume = np.zeros(SHAPE)
    volume[inside] = sign * stats.ttest_1samp(maps[:, inside], 0).statistic
    labels, number = ndimage.label(volume > threshold)
    expected = sorted(np.bincount(labels.ravel())[1:], reverse=True)
    table = read_tsv(outputs.root / "group" / f"{STEM}_contrast-mean_clusters.tsv")
    assert table["size"].tolist() == expected
    assert table["cluster"].tolist() == [*range(1, number + 1)]
    assert (table["sign"] == sign).all()
    assert table["peak"].iloc[0] * sign > threshold
    np.testing.assert_allclose(
        table["mass"].sum(), np.sum(volume[volume > threshold] - threshold), rtol=1e-5
    )
    places = np.linalg.solve(AFFINE[:3, :3], (table[["x", "y", "z"]] - AFFINE[:3, 3]).T).round()
    peaks = volume[tuple(places.astype(int))]
    np.testing.assert_allclose(sign * table["peak"], peaks, rtol=1e-5)
    about = json.loads((outputs.root / "group" / f"{STEM}_contrast-mean_clusters.json").read_text())
    assert about["Threshold"] == pytest.approx(threshold)
    stem = f"{STEM}_contrast-mean_stat"
    for stat in ("psize", "pmass", "p", "t", "q"):
        own = json.loads((outputs.root / "group" / f"{stem}-{stat}_statmap.json").read_text())
        assert own.get("Threshold") == (
            about["Threshold"] if stat[1:] in ("size", "mass") else None
        )
    lone = labels[tuple(places.astype(int))]
    assert len(set(lone.tolist())) == number


@pytest.mark.parametrize("tail", ["positive", "negative"])
def test_clusters_of_an_f_test_have_the_p_of_both_tails(filled, call, tail):
    """Root of F of 2 and 7 - 3 degrees of freedom with that p, whatever the tail."""
    outputs, _ = filled
    outputs.participants(participant_id=LABELS, site=list("aabbccc"))
    words = ("--model", "site", "--contrast", "F:it=site", "--inference", "cluster")
    words += ("--permutations", "5", "--tail", tail, "--cluster-threshold", "0.3")
    done = call(outputs, *words)
    assert done.status == 0, done.err
    path = outputs.root / "group" / f"{STEM}_contrast-it_clusters.json"
    threshold = json.loads(path.read_text())["Threshold"]
    assert threshold == pytest.approx(np.sqrt(stats.f.isf(0.3, 2, 4)))
    table = read_tsv(path.with_suffix(".tsv"))
    assert len(table) > 0
    assert (table["sign"] == 1).all()
    assert (table["peak"] > threshold).all()


def test_all_flips_of_maps_by_hand(filled, call):
    outputs, maps = filled
    words = ("--inference", "maxt", "cluster", "tfce", "--cluster-threshold", "0.01")
    powers = ("--tfce-extent", "0.8", "--tfce-height", "1.5", "--tfce-step", "0.5")
    done = call(outputs, *words, *powers)
    assert done.status == 0, done.err
    inside = maps[0] != 0
    rows, threshold = maps[:, inside], stats.t.isf(0.005, 6)
    largest = {"t": [], "size": [], "mass": []}
    scores = []
    for signs in product((1, -1), repeat=7):
        t = stats.ttest_1samp(rows * np.array(signs)[:, np.newaxis], 0).statistic
        largest["t"].append(np.abs(t).max())
        scores.append(tfce(t, inside, 0.8, 1.5, 0.5))
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
    said = about(outputs, "mean", "ptfce")
    assert said["TFCE"] == {"ExtentPower": 0.8, "HeightPower": 1.5, "Step": 0.5}
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


@pytest.mark.parametrize(("tail", "sign"), [("positive", 1), ("negative", -1)])
def test_all_flips_of_maps_of_one_tail(filled, call, tail, sign):
    """Of 5 participants, with thresholds of tfce that are hundredths of the largest t."""
    outputs, maps = filled
    words = ("--inference", "maxt", "cluster", "tfce", "--cluster-threshold", "0.02")
    people = ("--participant-label", *LABELS[:5])
    done = call(outputs, *words, *people, "--tfce-step", "auto", "--tail", tail)
    assert done.status == 0, done.err
    inside = maps[0] != 0
    rows, threshold = sign * maps[:5, inside], stats.t.isf(0.02, 4)
    largest, scores, sizes = [], [], []
    for signs in product((1, -1), repeat=5):
        t = stats.ttest_1samp(rows * np.array(signs)[:, np.newaxis], 0).statistic
        largest.append(t.max())
        above = np.maximum(t, 0)
        scores.append(tfce(above, inside, 0.5, 2, t.max() / 100))
        volume = np.zeros(SHAPE)
        volume[inside] = t
        sizes.append(np.bincount(ndimage.label(volume > threshold)[0].ravel())[1:].max(initial=0))
    observed = stats.ttest_1samp(rows, 0)
    got = {
        stat: image(outputs, "mean", stat).get_fdata()[inside]
        for stat in ("t", "p", "pmaxt", "ptfce", "psize")
    }
    np.testing.assert_allclose(got["t"], sign * observed.statistic, rtol=1e-4)
    np.testing.assert_allclose(got["p"], stats.t.sf(observed.statistic, 4), rtol=1e-4)
    p = [np.mean(np.array(largest) >= t - 1e-9) for t in observed.statistic]
    np.testing.assert_allclose(got["pmaxt"], p, rtol=1e-5)
    most = np.array([own.max() for own in scores])
    p = [np.mean(most >= own * (1 - 1e-9)) for own in scores[0]]
    np.testing.assert_allclose(got["ptfce"], p, rtol=1e-5)
    volume = np.zeros(SHAPE)
    volume[inside] = observed.statistic
    labels, _ = ndimage.label(volume > threshold)
    own = np.bincount(labels.ravel())
    own[0] = 0
    p = [np.mean(np.array(sizes) >= size) for size in own[labels][inside]]
    np.testing.assert_allclose(got["psize"], p, rtol=1e-5)
    said = about(outputs, "mean", "ptfce")
    assert (said["Tail"], said["TFCE"]["Step"], said["SmallestP"]) == (tail, "auto", 1 / 32)


def test_images_have_the_p_of_the_table_inside_of_clusters_and_1_elsewhere(filled, call):
    outputs, maps = filled
    words = ("--inference", "cluster", "--cluster-threshold", "0.01", "--permutations", "60")
    assert call(outputs, *words).status == 0
    inside, threshold = maps[0] != 0, stats.t.isf(0.005, 6)
    volume = np.zeros(SHAPE)
    volume[inside] = stats.ttest_1samp(maps[:, inside], 0).statistic
    table = read_tsv(outputs.root / "group" / f"{STEM}_contrast-mean_clusters.tsv")
    p_of_voxels = {name: np.ones(SHAPE) for name in ("size", "mass")}
    for row in table.itertuples():
        peak = tuple(np.linalg.solve(AFFINE, [row.x, row.y, row.z, 1])[:3].round().astype(int))
        labels, _ = ndimage.label(row.sign * volume > threshold)
        own = labels == labels[peak]
        assert np.sum(own) == row.size
        for name, values in p_of_voxels.items():
            values[own] = getattr(row, f"p_{name}")
    for name, values in p_of_voxels.items():
        got = image(outputs, "mean", f"p{name}").get_fdata()
        np.testing.assert_allclose(got[inside], values[inside], rtol=1e-5)
        assert (values < 1).sum() == table["size"].sum() > 0


def test_covariates_of_maps_have_the_slopes_and_f_of_least_squares(filled, call, rng):
    outputs, maps = filled
    ages, site = rng.uniform(20, 60, len(LABELS)), list("abaabba")
    order = rng.permutation(len(LABELS))
    outputs.participants(
        participant_id=np.array(LABELS)[order], age=ages[order], site=np.array(site)[order]
    )
    done = call(outputs, "--model", "age", "--contrast", "age=age")
    assert done.status == 0, done.err
    inside = maps[0] != 0
    rows = maps[:, inside]
    fits = [stats.linregress(ages, values) for values in rows.T]
    expected = {
        "effect": [fit.slope for fit in fits],
        "t": [fit.slope / fit.stderr for fit in fits],
        "p": [fit.pvalue for fit in fits],
        "q": stats.false_discovery_control([fit.pvalue for fit in fits]),
    }
    for stat, values in expected.items():
        got = image(outputs, "age", stat).get_fdata()[inside]
        np.testing.assert_allclose(got, values, rtol=1e-4, atol=1e-7)
    words = ("--model", "age + site", "--contrast", "F:both=age,site", "d=site")
    done = call(outputs, *words)
    assert done.status == 0, done.err
    design = np.column_stack([np.ones(7), ages, np.array(site) == "b"])
    full = np.linalg.lstsq(design, rows)[1]
    mean = np.sum((rows - rows.mean(axis=0)) ** 2, axis=0)
    f = (mean - full) / 2 / (full / 4)
    got = {stat: image(outputs, "both", stat).get_fdata()[inside] for stat in ("f", "p")}
    np.testing.assert_allclose(got["f"], f, rtol=1e-4)
    np.testing.assert_allclose(got["p"], stats.f.sf(f, 2, 4), rtol=1e-4)
    difference = np.linalg.lstsq(design, rows)[0][2]
    d = image(outputs, "d", "d").get_fdata()[inside]
    np.testing.assert_allclose(d, difference / np.sqrt(full / 4), rtol=1e-4, atol=1e-6)


def test_means_of_maps_agree_with_a_test_of_nilearn_of_second_level(filled, call):
    """Its sign flips are drawn, ours are all."""
    outputs, maps = filled
    assert call(outputs, "--inference", "maxt").status == 0
    inside = maps[0] != 0
    images = [nib.Nifti1Image(values.astype(np.float32), AFFINE) for values in maps]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = non_parametric_inference(
            images,
            design_matrix=pd.DataFrame({"intercept": np.ones(len(LABELS))}),
            mask=nib.Nifti1Image(inside.astype(np.uint8), AFFINE),
            n_perm=1000,
            two_sided_test=True,
            random_state=0,
            threshold=None,
        )
    p = 10.0 ** -theirs.get_fdata()[inside]
    ours = image(outputs, "mean", "pmaxt").get_fdata()[inside]
    assert (np.abs(ours - p) < 4 * np.sqrt(ours * (1 - ours) / 1000) + 2 / 1000).all()
    assert ours.min() < 0.1


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


@pytest.mark.slow
def test_changes_between_sessions_are_paired_tests(sessions, call):
    outputs, maps = sessions
    words = ("--within", "session", "--contrast", "change=post-pre", "sum=post+pre")
    done = call(outputs, *words, "--inference", "maxt", "tfce")
    assert done.status == 0, done.err
    before, after = maps[:, 0], maps[:, 1]
    expected = stats.ttest_rel(after, before)
    got = {
        stat: image(outputs, "change", stat).get_fdata().ravel() for stat in ("effect", "t", "p")
    }
    np.testing.assert_allclose(got["effect"], (after - before).mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(got["t"], expected.statistic, rtol=1e-4)
    np.testing.assert_allclose(got["p"], expected.pvalue, rtol=1e-4)
    largest = []
    for signs in product((1, -1), repeat=7):
        flipped = (after - before) * np.array(signs)[:, np.newaxis]
        largest.append(np.abs(stats.ttest_1samp(flipped, 0).statistic).max())
    p = [np.mean(np.array(largest) >= abs(t) - 1e-9) for t in expected.statistic]
    np.testing.assert_allclose(image(outputs, "change", "pmaxt").get_fdata().ravel(), p, rtol=1e-5)
    total = stats.ttest_1samp(after + before, 0).statistic
    np.testing.assert_allclose(image(outputs, "sum", "t").get_fdata().ravel(), total, rtol=1e-4)
    said = about(outputs, "change", "t")
    assert (said["Within"], said["Permutations"], said["AllPermutations"]) == ("session", 128, True)
    assert said["TFCE"] == {"ExtentPower": 0.5, "HeightPower": 2, "Step": 0.1}


def test_a_model_of_sessions_has_errors_robust_to_participants(sessions, call):
    """Of a balanced difference they are those of the paired test."""
    outputs, maps = sessions
    outputs.participants(participant_id=LABELS)
    words = ("--within", "session", "--model", "session", "--contrast", "change=session[T.pre]")
    done = call(outputs, *words)
    assert done.status == 0, done.err
    expected = stats.ttest_rel(maps[:, 0], maps[:, 1])
    t, p = (image(outputs, "change", stat).get_fdata().ravel() for stat in ("t", "p"))
    np.testing.assert_allclose(t, expected.statistic, rtol=1e-4)
    np.testing.assert_allclose(p, expected.pvalue, rtol=1e-4)


def test_precise_participants_weigh_more_in_maps(outputs, rng, call):
    """Paule & Mandel's equation, solved for some voxels."""
    volumes = [4, 30, 12, 80, 9, 55, 20]
    variances = np.array([special.polygamma(1, (v - 1) / 2) / 2 for v in volumes])
    maps = 0.3 + rng.standard_normal((7, *SHAPE)) * np.sqrt(variances + 0.1)[:, None, None, None]
    for label, values, v in zip(LABELS, maps, volumes, strict=True):
        outputs.add(label, correlations(rng, 5, v), DegreesOfFreedom=v)
        save_map(outputs, label, values, DegreesOfFreedom=v)
    done = call(outputs, "--weights", "precision")
    assert done.status == 0, done.err
    stats_of = {
        stat: image(outputs, "mean", stat).get_fdata() for stat in ("effect", "t", "tau2", "i2")
    }
    for voxel in [(0, 0, 0), (1, 2, 3), (3, 3, 3), (6, 7, 5), (2, 5, 1)]:
        z = maps[:, *voxel].astype(np.float32).astype(float)
        tau2, effect, error = paule_mandel(z, variances)
        assert stats_of["tau2"][voxel] == pytest.approx(tau2, rel=1e-4, abs=1e-6)
        assert stats_of["effect"][voxel] == pytest.approx(effect, rel=1e-4)
        assert stats_of["t"][voxel] == pytest.approx(effect / error, rel=1e-4)
        i2 = max(0, 1 - 6 / cochran_q(z, 1 / variances))
        assert stats_of["i2"][voxel] == pytest.approx(i2, rel=1e-3, abs=1e-5)
    assert (stats_of["tau2"] > 0).any()
    assert about(outputs, "mean", "t")["ParticipantWeights"] == "precision"


@pytest.mark.parametrize("words", [(), ("--harmonize-within", "--inference", "maxt")])
def test_sites_are_harmonized_in_maps(outputs, rng, call, words):
    """A shift of a site is gone with ComBat, and the effect of age is what it was without it."""
    n = 16
    labels, sites = [f"{i:02d}" for i in range(n)], np.arange(n) % 2
    age = np.repeat(rng.uniform(20, 60, n // 2), 2)  # as old at both sites
    plain = rng.standard_normal((n, *SHAPE)) + 0.05 * (age - 40)[:, None, None, None]
    shifted = plain + 4 * sites[:, None, None, None]
    for label, values in zip(labels, shifted, strict=True):
        outputs.add(label, correlations(rng, 5))
        save_map(outputs, label, values)
    outputs.participants(participant_id=labels, age=age, site=np.array(["a", "b"])[sites])
    model = ("--model", "age", "--contrast", "age=age", "--permutations", "9")
    done = call(outputs, *model, "--harmonize", "site", *words)
    assert done.status == 0, done.err
    assert ("tests after harmonization are liberal" in done.err) == (not words)
    fits = [stats.linregress(age, values) for values in plain.reshape(n, -1).T]
    r = np.array([fit.rvalue for fit in fits])
    expected = r * np.sqrt((n - 2) / (1 - r**2))
    t = image(outputs, "age", "t").get_fdata().ravel()
    # The site's means are estimated, which takes a degree of freedom that t does not count.
    assert np.corrcoef(t, expected)[0, 1] > 0.95
    assert np.median(t / expected) == pytest.approx(1, abs=0.1)
    assert about(outputs, "age", "t")["Harmonized"] == "site"
    raw = call(outputs, *model)
    assert raw.status == 0, raw.err
    shrunken = image(outputs, "age", "t").get_fdata().ravel()
    assert np.median(np.abs(shrunken)) < 0.7 * np.median(np.abs(expected))


def test_estimates_of_edges_are_not_for_maps(filled, call, tmp_path):
    outputs, _ = filled
    outputs.participants(participant_id=LABELS, age=range(7), site=list("abababa"))
    estimates = tmp_path / "estimates.tsv"
    estimates.touch()
    done = call(outputs, "--model", "age", "--harmonize", "site", "--harmonize-from", estimates)
    assert done.status == 2
    assert "--seed-maps does not go with --harmonize-from" in done.err


def test_contrasts_of_maps_share_one_set_of_permutations(filled, call, rng, monkeypatch):
    """Also F, whose clusters have a threshold of their own."""
    outputs, _ = filled
    drawn = []

    def count(*args, **options):
        drawn.append(args)
        return arrange(*args, **options)

    monkeypatch.setattr("bids_spheres.group.inference.freedman_lane.arrange", count)
    ages = rng.uniform(20, 60, (2, len(LABELS)))
    outputs.participants(participant_id=LABELS, age=ages[0], size=ages[1])
    words = ("--model", "age + size", "--permutations", "20", "--inference", "maxt", "cluster")
    done = call(outputs, *words, "--contrast", "a=age", "b=size", "F:both=age,size")
    assert done.status == 0, done.err
    # One for edges and one for the maps.
    assert len(drawn) == 2
    inside = np.isfinite(image(outputs, "both", "f").get_fdata())
    f = image(outputs, "both", "f").get_fdata()[inside]
    size = image(outputs, "both", "psize").get_fdata()[inside]
    limit = stats.f.isf(0.001, 2, len(LABELS) - 3)
    assert (size[f < limit] == 1).all()


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


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        (("--strategy", "24P"), ("Tiny", "24P", 2)),
        (("--atlas", "Other", "--strategy", "simple"), ("Other", "simple", 3)),
    ],
)
def test_strategies_and_seed_sets_choose_maps_and_contrasts(filled, call, rng, words, chosen):
    """Maps of the others are 2 or 3 times those of the first."""
    outputs, maps = filled
    ages = rng.uniform(20, 60, len(LABELS))
    outputs.participants(participant_id=LABELS, age=ages)
    for seeds, strategy, factor in (("Tiny", "24P", 2), ("Other", "simple", 3)):
        for label, values in zip(LABELS, maps, strict=True):
            about_matrix = {"strategy": strategy, "seeds": f"atlas-{seeds}"}
            outputs.add(label, correlations(rng, 5), Seeds=seeds, **about_matrix)
            stem = STEM.replace("Tiny", seeds).replace("_desc-simple", "")
            path = outputs.root / f"sub-{label}" / "func"
            path /= f"sub-{label}_{stem}_stat-fisherz_desc-{strategy}_boldmap.nii.gz"
            nib.save(nib.Nifti1Image((factor * values).astype(np.float32), AFFINE), path)
            content = json.dumps({**SETTINGS, "Seeds": seeds, "Strategy": strategy})
            path.with_name(path.name.replace(".nii.gz", ".json")).write_text(content)
    model = ("--model", "age", "--contrast", "old=age")
    done = call(outputs, *model, *words)
    assert done.status == 0, done.err
    folder, (seeds, strategy, factor) = outputs.root / "group", chosen
    names = [path.name for path in folder.glob("*_contrast-*")]
    assert {*names} == {*(path.name for path in folder.glob(f"*_atlas-{seeds}_*_contrast-old_*"))}
    assert all(f"_desc-{strategy}_" in name for name in names)
    assert sum(name.endswith("_edges.tsv") for name in names) == 1
    inside = maps[0] != 0
    slopes = np.polyfit(ages, factor * maps[:, inside], 1)[0]
    stem = STEM.replace("Tiny", seeds).replace("desc-simple", f"desc-{strategy}")
    effect = nib.load(folder / f"{stem}_contrast-old_stat-effect_statmap.nii.gz").get_fdata()
    np.testing.assert_allclose(effect[inside], slopes, rtol=1e-4, atol=1e-6)


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


def test_one_participant_has_no_map_of_a_group(sessions, call):
    """Of however many runs."""
    done = call(sessions[0], "--participant-label", "01")
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


@pytest.mark.parametrize(("shift", "refused"), [(1e-5, False), (1e-2, True)])
def test_maps_at_another_place_are_refused(filled, call, shift, refused):
    outputs, maps = filled
    path = next((outputs.root / "sub-02" / "func").glob("*_boldmap.nii.gz"))
    affine = AFFINE.copy()
    affine[1, 3] += shift
    nib.save(nib.Nifti1Image(maps[1].astype(np.float32), affine), path)
    done = call(outputs)
    assert ("another grid" in done.err) is refused
    assert done.status == int(refused)
    assert bool(list((outputs.root / "group").glob("*_statmap.*"))) is not refused


@pytest.mark.parametrize(("people", "words", "inside"), [(7, (), 3), (2, (), 2), (7, ("-", 1), 1)])
def test_voxels_that_enough_participants_have(outputs, rng, call, people, words, inside):
    """Of the default of three, or of both where there are two."""
    maps = rng.standard_normal((people, *SHAPE)) + 1
    for n in range(1, 4):  # the first n have the voxel
        maps[n:, 0, n, 0] = 0
    for label, values in zip(LABELS, maps, strict=False):
        outputs.add(label, correlations(rng, 5))
        save_map(outputs, label, values)
    done = call(outputs, *(("--min-participants", words[1]) if words else ()))
    assert done.status == 0, done.err
    n = image(outputs, "mean", "n").get_fdata()
    assert image(outputs, "mean", "n").header.get_xyzt_units()[0] == "mm"
    known = min(people, 3)
    expected = [own if own >= inside else np.nan for own in (1, 2, known)][:3]
    np.testing.assert_array_equal(n[0, 1:4, 0], expected)
    assert set(n[1:].ravel()) == {people}


def test_maps_of_excluded_runs_alone_are_no_group(filled, call):
    outputs, _ = filled
    for path in outputs.root.rglob("*_boldmap.json"):
        path.write_text(json.dumps({**SETTINGS, "Excluded": "too short"}))
    done = call(outputs)
    assert done.status == 1
    assert "no map can be used" in done.err


def test_maps_without_a_voxel_in_common(outputs, rng, call):
    for i, label in enumerate(LABELS[:3]):
        outputs.add(label, correlations(rng, 5))
        values = np.zeros(SHAPE)
        values[i] = 1
        save_map(outputs, label, values)
    done = call(outputs)
    assert done.status == 1
    assert "no voxel is in the maps of enough participants" in done.err


def test_maps_of_different_settings_are_not_mixed(filled, call):
    outputs, _ = filled
    path = next((outputs.root / "sub-02" / "func").glob("*_boldmap.json"))
    path.write_text(json.dumps({**SETTINGS, "SmoothingFWHM": 4}))
    done = call(outputs)
    assert done.status == 1
    assert "SmoothingFWHM is 0 in 6 participants" in done.err


def test_labels_of_maps_choose_seeds(filled, run_app, tmp_path):
    outputs, _ = filled
    words = (tmp_path / "no", outputs.root, "group", "--report-level", "none", "--seed-maps")
    assert run_app(*words, "s2").status == 0
    assert not list((outputs.root / "group").glob("*_statmap.nii.gz"))
    assert run_app(*words, "s2", "s1").status == 0
    assert image(outputs, "mean", "t").shape == SHAPE


def test_maps_that_cannot_be_permuted_are_told(filled, call):
    outputs, _ = filled
    outputs.participants(participant_id=LABELS, age=range(7), family=list("abcdefg"))
    words = ("--model", "age", "--contrast", "age=age", "--inference", "maxt")
    done = call(outputs, *words, "--blocks", "family")
    assert done.status == 1
    assert "nothing is permuted" in done.err
    assert not list((outputs.root / "group").glob("*_statmap.nii.gz"))


def test_every_seed_has_maps_of_its_own(outputs, rng):
    """Of different numbers of participants; names and labels choose them."""
    maps = rng.standard_normal((4, *SHAPE)).astype(np.float32).astype(float)
    for label, values in zip(LABELS, maps, strict=False):
        outputs.add(label, correlations(rng, 5))
        save_map(outputs, label, values, Seed="one")
        if label != "02":
            save_map(outputs, label, 0.5 - values, seed="s2", Seed="two")
    assert run_group(outputs.root, GroupOptions(seed_maps=("two", "s1"))) == []
    np.testing.assert_allclose(
        image(outputs, "mean", "effect").get_fdata(), maps.mean(axis=0), rtol=1e-4, atol=1e-6
    )
    path = outputs.root / "group" / f"{STEM.replace('s1', 's2')}_contrast-mean_stat-effect"
    effect = nib.load(path.with_name(f"{path.name}_statmap.nii.gz")).get_fdata()
    expected = 0.5 - maps[[0, 2, 3]].mean(axis=0)
    np.testing.assert_allclose(effect, expected, rtol=1e-4, atol=1e-6)
    facts = json.loads(path.with_name(f"{path.name}_statmap.json").read_text())
    assert facts["NumberOfParticipants"] == 3
    assert about(outputs, "mean", "effect")["NumberOfParticipants"] == 4


def test_head_motion_in_models_of_maps_is_that_of_all_runs(outputs, rng):
    """By volumes, those of excluded runs as well, which have no map."""
    maps = rng.standard_normal((7, *SHAPE)).astype(np.float32).astype(float)
    motion = rng.gamma(2, 0.1, (7, 2)).round(4)
    for label, values, (first, second) in zip(LABELS, maps, motion, strict=True):
        facts = {"MeanFramewiseDisplacement": first, "VolumesWithFramewiseDisplacement": 119}
        outputs.add(label, correlations(rng, 5), **facts)
        save_map(outputs, label, values, **facts)
        gone = {"Excluded": "too short", "NumberOfVolumes": 40, "NumberOfVolumesKept": 3}
        gone |= {"MeanFramewiseDisplacement": second, "VolumesWithFramewiseDisplacement": 39}
        outputs.add(label, np.full((5, 5), np.nan), source="task-rest_run-2", **gone)
    outputs.participants(participant_id=LABELS)
    options = GroupOptions(model="mean_fd", contrast=("moved=mean_fd",), seed_maps=("s1",))
    assert run_group(outputs.root, options) == []
    fd = motion @ [119, 39] / 158
    slopes = np.polyfit(fd, maps.reshape(7, -1), 1)[0]
    got = image(outputs, "moved", "effect").get_fdata().ravel()
    np.testing.assert_allclose(got, slopes, rtol=1e-4, atol=1e-5)


def test_maps_of_sessions_that_are_groups_by_themselves(sessions):
    outputs, maps = sessions
    options = GroupOptions(by_session=True, seed_maps=("s1",))
    assert run_group(outputs.root, options) == []
    for place, session in enumerate(("pre", "post")):
        stem = f"ses-{session}_{STEM}_contrast-mean_stat"
        effect = nib.load(outputs.root / "group" / f"{stem}-effect_statmap.nii.gz").get_fdata()
        expected = maps[:, place].mean(axis=0)
        np.testing.assert_allclose(effect.ravel(), expected, rtol=1e-4, atol=1e-6)


def test_maps_of_spaces_that_are_pooled_count_once_in_the_preferred_one(outputs, rng):
    """Seed sets may have been mapped in one of them, and sidecars say which there are."""
    maps = rng.standard_normal((4, *SHAPE)).astype(np.float32).astype(float)
    spaces = [(SPACE, "MNI152NLin6Asym")] * 2 + [("MNI152NLin6Asym",), (SPACE,)]
    for label, values, own in zip(LABELS, maps, spaces, strict=False):
        for place, space in enumerate(own):
            outputs.space = space
            outputs.add(label, correlations(rng, 5), SeedSpace=space)
            save_map(outputs, label, values + 7 * place, space=space, SeedSpace=space)
    for chosen in ((), (("space", ("MNI152NLin6Asym",)),)):
        options = GroupOptions(pool_spaces=True, seed_maps=("s1",), select=chosen)
        assert run_group(outputs.root, options) == []
        path = outputs.root / "group" / f"{STEM.replace(SPACE, 'MNI')}_contrast-mean_stat-effect"
        effect = nib.load(path.with_name(f"{path.name}_statmap.nii.gz")).get_fdata()
        expected = maps[:3].mean(axis=0) + 14 / 3 if chosen else maps.mean(axis=0)
        np.testing.assert_allclose(effect, expected, rtol=1e-4, atol=1e-5)
        facts = json.loads(path.with_name(f"{path.name}_statmap.json").read_text())
        pooled = {"MNI152NLin6Asym": 3} if chosen else {SPACE: 3, "MNI152NLin6Asym": 1}
        assert facts["PooledSpaces"] == pooled
        assert "SeedSpace" not in facts
