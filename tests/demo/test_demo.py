"""The simulated dataset against formulas written down again, nibabel and nilearn."""

from __future__ import annotations

import csv
import hashlib
import json
import warnings
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bids_spheres.demo import DemoTruth, write_demo_dataset, write_truth
from bids_spheres.demo.networks import (
    CENTRES,
    nearest_network,
    network_correlation,
    read_seeds,
    seed_correlation,
    seed_signals,
)

if TYPE_CHECKING:
    from pathlib import Path

VOLUMES = {
    "sub-01_task-rest": 120,
    "sub-02_task-rest_run-1": 120,
    "sub-02_task-rest_run-2": 120,
    "sub-03_task-rest": 100,
}
STILL, MOVING = "sub-01_task-rest", "sub-03_task-rest"
SPACE = "space-MNI152NLin2009cAsym"
MOTION = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
FORMS = ("_derivative1", "_power2", "_derivative1_power2")
every_run = pytest.mark.parametrize("stem", VOLUMES)


@pytest.fixture(scope="session")
def root(simulated_dataset) -> Path:
    return simulated_dataset[0]


@pytest.fixture(scope="session")
def truth(simulated_dataset) -> DemoTruth:
    return simulated_dataset[1]


@pytest.fixture(scope="session")
def func(root, truth):
    """Return the path of a run's file, given the rest of its name."""
    assert set(truth.mean_fd) == set(VOLUMES)
    return lambda stem, ending: root / stem[:6] / "func" / f"{stem}_{ending}"


@pytest.fixture(scope="session")
def table(func):
    """Return a run's confounds as text, by column."""

    def read(stem):
        with func(stem, "desc-confounds_timeseries.tsv").open(newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t"))
        return {name: [row[name] for row in rows] for name in rows[0]}

    return read


@pytest.fixture(scope="session")
def numbers(table):
    """Return a run's confounds as numbers, by column, with NaN for n/a."""

    def read(stem):
        return {
            name: np.array([np.nan if cell == "n/a" else float(cell) for cell in column])
            for name, column in table(stem).items()
        }

    return read


@pytest.fixture(scope="session")
def bold(func):
    return lambda stem: nib.load(func(stem, f"{SPACE}_desc-preproc_bold.nii.gz"))


@pytest.fixture(scope="session")
def mask(func):
    return lambda stem: nib.load(func(stem, f"{SPACE}_desc-brain_mask.nii.gz"))


def seeds_inside(mask_img):
    points = read_seeds().points
    inverse = np.linalg.inv(mask_img.affine)
    voxel = np.rint(nib.affines.apply_affine(inverse, points)).astype(int)
    return np.asanyarray(mask_img.dataobj)[tuple(voxel.T)] > 0


# Files


def hashes(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_two_calls_write_the_same_bytes(root, truth, tmp_path):
    again = write_demo_dataset(tmp_path / "elsewhere")
    assert hashes(tmp_path / "elsewhere") == hashes(root)
    np.testing.assert_array_equal(again.correlation, truth.correlation)
    assert dict(again.mean_fd) == dict(truth.mean_fd)


@pytest.mark.usefixtures("truth")
def test_names_are_those_of_fmriprep_and_nothing_else_is_there(root):
    expected = {
        ".bidsignore",
        "dataset_description.json",
        "participants.json",
        "participants.tsv",
    }
    for stem in VOLUMES:
        folder = f"{stem[:6]}/func/{stem}"
        expected |= {f"{folder}_desc-confounds_timeseries.{end}" for end in ("tsv", "json")}
        expected |= {
            f"{folder}_{SPACE}_{rest}"
            for rest in (
                "boldref.nii.gz",
                "desc-brain_mask.json",
                "desc-brain_mask.nii.gz",
                "desc-preproc_bold.json",
                "desc-preproc_bold.nii.gz",
            )
        }
    assert set(hashes(root)) == expected


@pytest.mark.usefixtures("truth")
def test_at_most_six_megabytes(root):
    assert sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) <= 6e6


@pytest.mark.usefixtures("truth")
def test_gzip_headers_hold_no_time_and_no_name(root):
    for path in root.rglob("*.nii.gz"):
        head = path.read_bytes()[:8]
        assert head[3] == 0, path.name
        assert head[4:8] == bytes(4), path.name


@pytest.mark.usefixtures("truth")
def test_description_says_that_this_is_simulated(root):
    description = json.loads((root / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["BIDSVersion"] == "1.9.0"
    (generator,) = description["GeneratedBy"]
    assert (generator["Name"], generator["Version"]) == ("fMRIPrep", "24.1.1")
    assert "Simulated" in generator["Description"]


@pytest.mark.usefixtures("truth")
def test_participants_have_age_and_sex(root):
    lines = (root / "participants.tsv").read_text().splitlines()
    assert lines[0].split("\t") == ["participant_id", "age", "sex"]
    assert [line.split("\t")[0] for line in lines[1:]] == ["sub-01", "sub-02", "sub-03"]
    assert set(json.loads((root / "participants.json").read_text())) == {"age", "sex"}


# Images


@every_run
def test_bold_header(bold, func, stem):
    img = bold(stem)
    assert img.shape[3] == VOLUMES[stem]
    assert img.get_data_dtype() == np.int16
    assert img.header.get_zooms() == (5.0, 5.0, 5.0, 2.0)
    assert img.header.get_xyzt_units() == ("mm", "sec")
    sidecar = json.loads(func(stem, f"{SPACE}_desc-preproc_bold.json").read_text())
    assert sidecar == {"RepetitionTime": 2.0, "SkullStripped": False, "TaskName": "rest"}


@every_run
def test_images_of_a_run_share_an_mni_grid(bold, mask, func, stem):
    reference = nib.load(func(stem, f"{SPACE}_boldref.nii.gz"))
    for img in (bold(stem), mask(stem), reference):
        assert img.shape[:3] == (39, 46, 38)
        assert (int(img.header["sform_code"]), int(img.header["qform_code"])) == (4, 4)
        for affine in (img.get_sform(), img.get_qform()):
            np.testing.assert_allclose(affine[:3, :3], 5 * np.eye(3), atol=1e-6)
            np.testing.assert_allclose(affine[:3, 3], [-95, -130, -75], atol=1e-6)


def test_boldref_is_the_mean_of_the_steady_volumes(bold, func):
    reference = nib.load(func(STILL, f"{SPACE}_boldref.nii.gz")).get_fdata()
    step = bold(STILL).dataobj.slope
    expected = bold(STILL).get_fdata()[..., 2:].mean(axis=-1)
    assert np.abs(reference - expected).max() <= step / 2 + 1e-6


def test_mask_has_the_shape_of_a_brain(mask):
    img = mask(STILL)
    inside = np.asanyarray(img.dataobj)
    assert set(np.unique(inside)) == {0, 1}
    assert 1.5e6 < inside.sum() * 125 < 2.1e6  # mm^3; the template's brain has 1.89e6
    np.testing.assert_array_equal(inside, inside[::-1])
    where = nib.affines.apply_affine(img.affine, np.argwhere(inside))
    assert np.all(np.abs(where.min(axis=0) - [-72, -108, -60]) <= 6)
    assert np.all(np.abs(where.max(axis=0) - [72, 72, 81]) <= 6)


def test_all_runs_have_the_same_mask(mask):
    first, *others = [np.asanyarray(mask(stem).dataobj) for stem in VOLUMES]
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_a_few_seeds_lie_outside_of_the_mask(mask):
    inside = seeds_inside(mask(STILL))
    assert 0.85 <= inside.mean() <= 0.98
    lost = read_seeds().points[~inside]
    assert np.mean(lost[:, 2] < 0) > 0.5  # most of them low, where real images lose signal


# Confounds


@every_run
def test_one_row_per_volume(table, stem):
    assert {len(column) for column in table(stem).values()} == {VOLUMES[stem]}


@every_run
def test_what_is_missing_is_in_the_first_row(table, stem):
    for name, column in table(stem).items():
        misses = name.endswith(("_derivative1", "_derivative1_power2")) or name in {
            "framewise_displacement",
            "dvars",
            "std_dvars",
            "rmsd",
        }
        assert [row for row, cell in enumerate(column) if cell == "n/a"] == [0] * misses, name


@every_run
@pytest.mark.parametrize("name", [*MOTION, "global_signal", "csf", "white_matter"])
def test_derivatives_and_powers(numbers, stem, name):
    columns = numbers(stem)
    plain, derivative = columns[name], columns[f"{name}_derivative1"]
    close = {"rtol": 1e-8, "atol": 1e-12}
    np.testing.assert_allclose(derivative[1:], plain[1:] - plain[:-1], **close)
    np.testing.assert_allclose(columns[f"{name}_power2"], plain**2, **close)
    np.testing.assert_allclose(columns[f"{name}_derivative1_power2"], derivative**2, **close)


@every_run
def test_framewise_displacement(numbers, truth, stem):
    columns = numbers(stem)
    expected = [
        sum(
            abs(columns[f"trans_{axis}"][row] - columns[f"trans_{axis}"][row - 1]) for axis in "xyz"
        )
        + 50
        * sum(abs(columns[f"rot_{axis}"][row] - columns[f"rot_{axis}"][row - 1]) for axis in "xyz")
        for row in range(1, VOLUMES[stem])
    ]
    np.testing.assert_allclose(columns["framewise_displacement"][1:], expected, rtol=1e-8)
    assert truth.mean_fd[stem] == pytest.approx(np.mean(expected))


def rigid(parameters):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", parameters[3:]).as_matrix()
    matrix[:3, 3] = parameters[:3]
    return matrix


def test_rmsd_is_that_of_the_relative_transform(numbers):
    columns = numbers(MOVING)
    transforms = [rigid(row) for row in np.column_stack([columns[name] for name in MOTION])]
    for row in range(1, len(transforms)):
        change = transforms[row] @ np.linalg.inv(transforms[row - 1]) - np.eye(4)
        turn, shift = change[:3, :3], change[:3, 3]
        expected = np.sqrt(80**2 / 5 * np.trace(turn.T @ turn) + shift @ shift)
        assert columns["rmsd"][row] == pytest.approx(expected, rel=1e-6)


@every_run
def test_signals_come_from_the_image(numbers, bold, mask, stem):
    columns = numbers(stem)
    inside = bold(stem).get_fdata()[np.asanyarray(mask(stem).dataobj) > 0]
    np.testing.assert_allclose(columns["global_signal"], inside.mean(axis=0), atol=1e-6)
    scaled = inside / np.median(inside) * 1000
    expected = np.sqrt((np.diff(scaled, axis=1) ** 2).mean(axis=0))
    np.testing.assert_allclose(columns["dvars"][1:], expected, rtol=1e-8)
    assert np.nanmedian(columns["std_dvars"]) == pytest.approx(1, abs=0.2)
    for region in ("csf", "white_matter"):
        assert abs(np.corrcoef(columns[region], columns["csf_wm"])[0, 1]) > 0.2


@every_run
def test_cosines_are_those_of_nilearn(numbers, stem):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nilearn.glm.first_level.design_matrix import create_cosine_drift  # noqa: PLC0415
    columns = numbers(stem)
    skipped = sum(name.startswith("non_steady_state_outlier") for name in columns)
    cosines = np.column_stack([columns[name] for name in columns if name.startswith("cosine")])
    expected = create_cosine_drift(1 / 128, 2.0 * np.arange(VOLUMES[stem] - skipped))[:, :-1]
    np.testing.assert_allclose(cosines[skipped:], expected, atol=1e-8)
    assert not cosines[:skipped].any()


@every_run
def test_outliers_are_one_column_per_bad_volume(numbers, stem):
    columns = numbers(stem)
    bad = (columns["framewise_displacement"] > 0.5) | (columns["std_dvars"] > 1.5)
    found = [columns[name] for name in columns if name.startswith("motion_outlier")]
    np.testing.assert_array_equal(np.flatnonzero(bad), [np.argmax(column) for column in found])
    assert all(sorted(column)[-2:] == [0, 1] for column in found)


def test_only_the_first_participant_starts_before_the_steady_state(numbers, bold):
    for stem in VOLUMES:
        columns = numbers(stem)
        early = [name for name in columns if name.startswith("non_steady_state_outlier")]
        assert len(early) == (2 if stem == STILL else 0)
    np.testing.assert_array_equal(
        [np.argmax(numbers(STILL)[f"non_steady_state_outlier0{index}"]) for index in (0, 1)], [0, 1]
    )
    course = bold(STILL).get_fdata().mean(axis=(0, 1, 2))
    assert course[0] > course[1] > 1.03 * course[2:].max()


@every_run
def test_components(numbers, func, stem):
    columns = numbers(stem)
    metadata = json.loads(func(stem, "desc-confounds_timeseries.json").read_text())
    for letter, mask_name in (("t", None), ("c", "CSF"), ("w", "WM"), ("a", "combined")):
        names = [name for name in columns if name.startswith(f"{letter}_comp_cor_")]
        assert names == [f"{letter}_comp_cor_0{index}" for index in range(5)]
        assert [metadata[name].get("Mask") for name in names] == [mask_name] * 5
        courses = np.column_stack([columns[name] for name in names])
        np.testing.assert_allclose(courses.T @ courses, np.eye(5), atol=1e-4)
        shares = [metadata[name]["VarianceExplained"] for name in names]
        assert sorted(shares, reverse=True) == shares
        assert metadata[names[-1]]["CumulativeVarianceExplained"] == pytest.approx(sum(shares))


def test_participants_move_more_and_more(truth, numbers):
    levels = truth.mean_fd
    assert levels[STILL] < 0.1 < levels["sub-02_task-rest_run-1"] < 0.3 < levels[MOVING]
    outliers = [sum(name.startswith("motion_out") for name in numbers(stem)) for stem in VOLUMES]
    assert outliers[0] < outliers[1] < outliers[3] < 30


# Truth


def test_truth_is_a_correlation_matrix_that_follows_from_the_labels(truth):
    seeds = read_seeds()
    assert truth.seed_names == seeds.names
    assert len(set(truth.networks)) == len(CENTRES)
    assert truth.correlation.shape == (264, 264)
    np.testing.assert_array_equal(truth.correlation, truth.correlation.T)
    assert np.linalg.eigvalsh(truth.correlation).min() > 0
    label = np.array(truth.networks)
    same = (label[:, None] == label) & ~np.eye(264, dtype=bool)
    np.testing.assert_allclose(truth.correlation[same], 0.6)
    assert np.abs(truth.correlation[label[:, None] != label]).max() < 0.45
    with pytest.raises(ValueError, match="read-only"):
        truth.correlation[0, 1] = 0


def test_networks_are_left_right_symmetric_and_none_is_small():
    points = read_seeds().points
    network = nearest_network(points)
    np.testing.assert_array_equal(network, nearest_network(points * [-1, 1, 1]))
    assert np.bincount(network, minlength=len(CENTRES)).min() >= 10


def test_network_correlation_is_positive_definite():
    assert np.linalg.eigvalsh(network_correlation()).min() > 0.1


def test_long_signals_have_the_stated_correlation_and_band():
    network = np.repeat(np.arange(len(CENTRES)), 2)
    signals = seed_signals(network, 20_000, 2.0, np.random.default_rng(1))
    covariance = signals @ signals.T / signals.shape[1]
    np.testing.assert_allclose(covariance, seed_correlation(network), atol=0.06)
    power = (np.abs(np.fft.rfft(signals * np.hanning(signals.shape[1]))) ** 2).sum(axis=0)
    frequency = np.fft.rfftfreq(signals.shape[1], 2.0)
    inside = (frequency > 0.0095) & (frequency < 0.105)
    assert power[inside].sum() / power.sum() > 0.999


def test_write_truth(truth, tmp_path):
    folder = tmp_path / "results" / "truth"
    write_truth(truth, folder)
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "correlation.tsv",
        "networks.tsv",
    }
    lines = (folder / "networks.tsv").read_text().splitlines()
    assert lines[0] == "name\tnetwork"
    pairs = zip(truth.seed_names, truth.networks, strict=True)
    assert lines[1:] == [f"{name}\t{network}" for name, network in pairs]
    header, *rows = [
        line.split("\t") for line in (folder / "correlation.tsv").read_text().splitlines()
    ]
    assert header == ["Node", *truth.seed_names]
    assert [row[0] for row in rows] == list(truth.seed_names)
    np.testing.assert_allclose(np.array(rows)[:, 1:].astype(float), truth.correlation, atol=1e-9)
    assert all(f"| {stem} | " in (folder / "README.md").read_text() for stem in VOLUMES)


# Recovery of the truth, with nilearn as the judge


@pytest.fixture(scope="session")
def spheres(bold, mask):
    """Return the mean signals of 5 mm spheres per run, for the seeds inside the mask."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nilearn.maskers import NiftiSpheresMasker  # noqa: PLC0415

        points = read_seeds().points[seeds_inside(mask(STILL))]
        return {
            stem: NiftiSpheresMasker(
                points, radius=5, mask_img=mask(stem), allow_overlap=True
            ).fit_transform(bold(stem))
            for stem in VOLUMES
        }


def cleaned(path, signals, strategy):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nilearn.interfaces.fmriprep import load_confounds_strategy  # noqa: PLC0415
        from nilearn.signal import clean  # noqa: PLC0415

        confounds, sample_mask = load_confounds_strategy(str(path), denoise_strategy=strategy)
        return clean(signals, confounds=confounds, sample_mask=sample_mask, t_r=2.0)


def edges(matrix):
    return matrix[np.triu_indices(len(matrix), 1)]


def correlations(signals):
    return edges(np.corrcoef(signals.T))


@pytest.fixture(scope="session")
def true_edges(truth, mask):
    inside = seeds_inside(mask(STILL))
    return edges(truth.correlation[np.ix_(inside, inside)])


@pytest.fixture(scope="session")
def raw_edges(spheres):
    return {stem: correlations(signals[2:]) for stem, signals in spheres.items()}


@pytest.fixture(scope="session")
def clean_edges(spheres, func):
    return {
        stem: correlations(
            cleaned(func(stem, f"{SPACE}_desc-preproc_bold.nii.gz"), signals, "simple")
        )
        for stem, signals in spheres.items()
    }


def agreement(estimate, expected):
    return np.corrcoef(estimate, expected)[0, 1]


def test_cleaning_recovers_the_truth(clean_edges, true_edges):
    assert agreement(np.mean(list(clean_edges.values()), axis=0), true_edges) > 0.9
    assert all(agreement(run, true_edges) > 0.7 for run in clean_edges.values())


def test_cleaning_helps_most_where_somebody_moves(raw_edges, clean_edges, true_edges):
    gain = {
        stem: agreement(clean_edges[stem], true_edges) - agreement(raw_edges[stem], true_edges)
        for stem in VOLUMES
    }
    assert gain[MOVING] > 0.15
    assert gain[MOVING] > gain[STILL] > 0


@pytest.mark.parametrize("strategy", ["scrubbing", "compcor"])
def test_nilearn_finds_the_columns_of_other_strategies(func, spheres, true_edges, strategy):
    path = func(MOVING, f"{SPACE}_desc-preproc_bold.nii.gz")
    signals = cleaned(path, spheres[MOVING], strategy)
    kept = len(signals) < VOLUMES[MOVING]
    assert kept == (strategy == "scrubbing")
    assert agreement(correlations(signals), true_edges) > 0.65


def share_of_motion(signals, columns):
    """Return the variance of the signals that 24 motion parameters explain beyond the cosines."""
    slow = [name for name in columns if name.startswith("cosine")]
    moving = [name + form for name in MOTION for form in ("", *FORMS)]

    def rest(names):
        design = np.nan_to_num(np.column_stack([columns[name] for name in names]))[2:]
        design = np.column_stack([design / design.std(axis=0), np.ones(len(design))])
        return ((signals - design @ np.linalg.lstsq(design, signals)[0]) ** 2).sum(axis=0)

    return np.mean(1 - rest(slow + moving) / rest(slow))


def test_motion_explains_more_in_who_moves_more(spheres, numbers):
    shares = {
        stem: share_of_motion(signals[2:], numbers(stem)) for stem, signals in spheres.items()
    }
    assert shares[MOVING] > 2 * shares[STILL]
    assert shares[MOVING] > shares["sub-02_task-rest_run-1"] > shares[STILL]


def test_motion_ties_neighbours_together(raw_edges, clean_edges, true_edges, mask):
    points = read_seeds().points[seeds_inside(mask(STILL))]
    distance = edges(np.linalg.norm(points[:, None] - points, axis=-1))
    excess = {
        kind: np.corrcoef(run[MOVING] - true_edges, distance)[0, 1]
        for kind, run in (("raw", raw_edges), ("clean", clean_edges))
    }
    assert excess["raw"] < -0.08
    assert abs(excess["clean"]) < 0.05
