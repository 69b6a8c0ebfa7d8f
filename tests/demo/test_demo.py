"""The truth of the simulated dataset is found again, with nilearn as the judge."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from bids_spheres.demo.networks import read_seeds
from tests.demo.conftest import FORMS, MOTION, MOVING, SPACE, STILL, VOLUMES, seeds_inside


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


@pytest.mark.slow
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
