"""The masker against nilearn's, nilearn's own tests of its masker, and scikit-learn's checks."""

from __future__ import annotations

import inspect
import os
import sys
import warnings
from importlib import import_module
from types import ModuleType

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from joblib import Memory
from nilearn._utils import niimg
from nilearn.image import resample_img
from nilearn.maskers import NiftiSpheresMasker as NilearnMasker
from nilearn.signal import clean as nilearn_clean
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from bids_spheres import NiftiSpheresMasker, load_seeds

SHAPE = (13, 12, 11)
AFFINE = np.array([[2.0, 0, 0, -12], [0, 2, 0, -11], [0, 0, 2.5, -13], [0, 0, 0, 1]])
SEEDS = [(-6.0, -5.0, -5.5), (5.0, 6.0, 4.0), (0.3, 0.2, 0.9)]
T = 50


def quietly(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    drift = np.cumsum(rng.standard_normal((*SHAPE, T)), axis=3)
    return 1000 + 20 * rng.standard_normal((*SHAPE, T)) + 5 * drift


@pytest.fixture(scope="module")
def img(data):
    return nib.Nifti1Image(data, AFFINE)


@pytest.fixture(scope="module")
def mask():
    values = np.zeros(SHAPE, np.uint8)
    values[1:-1, 1:-1, 1:-1] = 1
    return nib.Nifti1Image(values, AFFINE)


@pytest.fixture(scope="module")
def confounds():
    return np.random.default_rng(4).standard_normal((T, 3))


def compare(img, call=None, rtol=1e-6, **parameters):
    """Run both maskers and compare; returns ours."""
    parameters = {"radius": 4, "standardize": None, **parameters}
    call = call or {}
    theirs = quietly(NilearnMasker(SEEDS, **parameters).fit_transform, img, **call)
    ours = quietly(NiftiSpheresMasker(SEEDS, **parameters).fit_transform, img, **call)
    assert ours.dtype == theirs.dtype
    scale = np.abs(theirs).max(axis=0)
    assert_allclose(ours / scale, theirs / scale, rtol=rtol, atol=rtol)
    return ours


# nilearn's own tests


@pytest.fixture
def rng():
    """As nilearn's conftest has it."""
    return np.random.default_rng(42)


@pytest.fixture
def affine_eye():
    """As nilearn's conftest has it."""
    return np.eye(4)


def load_nilearns_tests():
    """The module of nilearn's tests, without its checks of nilearn's own base classes."""
    checks = ModuleType("nilearn._utils.estimator_checks")
    checks.check_estimator = checks.nilearn_check_estimator = lambda **_: []
    checks.return_expected_failed_checks = lambda _: {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, checks.__name__, checks)
        return import_module("nilearn.maskers.tests.test_nifti_spheres_masker")


NILEARN_TESTS = load_nilearns_tests()
NILEARN_TEST_NAMES = [
    name
    for name, function in vars(NILEARN_TESTS).items()
    if name.startswith("test_") and "check_estimator" not in name and callable(function)
]


@pytest.mark.parametrize("name", NILEARN_TEST_NAMES)
@pytest.mark.filterwarnings("ignore:A 3-D image gives one row:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Non-finite values detected:UserWarning")
def test_nilearns_own(name, request, monkeypatch):
    monkeypatch.setattr(NILEARN_TESTS, "NiftiSpheresMasker", NiftiSpheresMasker)
    function = getattr(NILEARN_TESTS, name)
    fixtures = {key: request.getfixturevalue(key) for key in inspect.signature(function).parameters}
    function(**fixtures)


def test_there_are_tests_of_nilearn_to_run():
    assert len(NILEARN_TEST_NAMES) >= 8


# scikit-learn's checks

NO_ARRAYS = "calls fit or transform with an array; a masker takes images"
INTERFACE = "nilearn's interface has **kwargs (clean__...) and memory=Memory(location=None)"
EXPECTED_FAILURES = {
    "check_estimators_dtypes": NO_ARRAYS,
    "check_dict_unchanged": NO_ARRAYS,
    "check_do_not_raise_errors_in_init_or_set_params": INTERFACE,
    "check_dont_overwrite_parameters": NO_ARRAYS,
    "check_no_attributes_set_in_init": INTERFACE,
    "check_parameters_default_constructible": INTERFACE,
    "check_dont_overwrite_attributes": NO_ARRAYS,
    "check_estimators_fit_returns_self": NO_ARRAYS,
    "check_estimators_overwrite_params": NO_ARRAYS,
    "check_estimators_pickle": NO_ARRAYS,
    "check_f_contiguous_array_estimator": NO_ARRAYS,
    "check_fit1d": NO_ARRAYS,
    "check_fit2d_1feature": NO_ARRAYS,
    "check_fit2d_1sample": NO_ARRAYS,
    "check_fit2d_predict1d": NO_ARRAYS,
    "check_fit_check_is_fitted": NO_ARRAYS,
    "check_fit_idempotent": NO_ARRAYS,
    "check_fit_score_takes_y": NO_ARRAYS,
    "check_methods_sample_order_invariance": NO_ARRAYS,
    "check_methods_subset_invariance": NO_ARRAYS,
    "check_n_features_in": NO_ARRAYS,
    "check_pipeline_consistency": NO_ARRAYS,
    "check_positive_only_tag_during_fit": NO_ARRAYS,
    "check_readonly_memmap_input": NO_ARRAYS,
    "check_transformer_data_not_an_array": NO_ARRAYS,
    "check_transformer_general": NO_ARRAYS,
    "check_transformer_preserve_dtypes": NO_ARRAYS,
}


@parametrize_with_checks(
    [NiftiSpheresMasker([(1, 1, 1)]), NiftiSpheresMasker([(1, 1, 1), (1, 2, 3)], radius=2)],
    expected_failed_checks=lambda _: EXPECTED_FAILURES,
)
def test_scikit_learn(estimator, check):
    check(estimator)


# every parameter


@pytest.mark.parametrize("radius", [None, 2, 3.5, 6])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("fwhm", [None, 5])
def test_extraction(img, mask, radius, masked, fwhm):
    seeds = [(-6, -5, -5.5), (6, 7, 4.5), (0, 1, 2)]
    for masker in (NilearnMasker, NiftiSpheresMasker):
        parameters = {"radius": radius, "mask_img": mask if masked else None, "standardize": None}
        made = masker(seeds, smoothing_fwhm=fwhm, allow_overlap=True, **parameters)
        result = quietly(made.fit_transform, img)
        if masker is NilearnMasker:
            expected = result
    assert_allclose(result, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "parameters",
    [
        {"standardize": "zscore_sample"},
        {"standardize": "psc"},
        {"standardize": True},
        {"standardize": False},
        {"detrend": True},
        {"detrend": True, "standardize": "zscore_sample", "standardize_confounds": False},
        {"high_variance_confounds": True, "detrend": True},
        {"low_pass": 0.1, "t_r": 2.0},
        {"high_pass": 0.01, "t_r": 2.0, "detrend": True},
        {"low_pass": 0.1, "high_pass": 0.01, "t_r": 2.0, "standardize": "zscore_sample"},
        {"dtype": "float32"},
        {"dtype": np.float64},
        {"dtype": "auto"},
        {"smoothing_fwhm": 4, "detrend": True, "standardize": "zscore_sample"},
        {"clean_args": {"filter": "cosine"}, "high_pass": 0.01, "t_r": 2.0},
        {
            "clean_args": {"butterworth__order": 3, "butterworth__padtype": "even"},
            "low_pass": 0.1,
            "t_r": 2.0,
        },
    ],
)
def test_cleaning(img, mask, confounds, parameters):
    compare(img, mask_img=mask, **parameters)
    compare(img, {"confounds": confounds}, **parameters)
    kept = np.r_[3:20, 22:47]
    compare(img, {"confounds": confounds, "sample_mask": kept}, **parameters)


def test_older_spelling_of_cleaning_arguments(img):
    parameters = {"radius": 4, "high_pass": 0.01, "t_r": 2.0, "standardize": None}
    old = NiftiSpheresMasker(SEEDS, clean__filter="cosine", **parameters)
    new = NiftiSpheresMasker(SEEDS, clean_args={"filter": "cosine"}, **parameters)
    plain = NiftiSpheresMasker(SEEDS, **parameters)
    assert_array_equal(old.fit_transform(img), new.fit_transform(img))
    assert not np.allclose(old.fit_transform(img), plain.fit_transform(img))
    order = NiftiSpheresMasker(SEEDS, clean__butterworth__order=2, **parameters)
    expected = quietly(
        NilearnMasker(SEEDS, clean_args={"butterworth__order": 2}, **parameters).fit_transform, img
    )
    assert_allclose(order.fit_transform(img), expected, rtol=1e-6, atol=1e-6 * expected.max())
    with pytest.raises(TypeError, match="no parameter 'filter'"):
        NiftiSpheresMasker(SEEDS, filter="cosine")


def test_parameters_can_be_got_set_and_cloned():
    masker = NiftiSpheresMasker(SEEDS, radius=3, clean__filter="cosine")
    assert clone(masker).get_params()["clean__filter"] == "cosine"
    masker.set_params(clean__filter=False, radius=5)
    assert (masker.get_params()["clean__filter"], masker.radius) == (False, 5)
    assert "radius=5" in repr(masker)
    names = list(inspect.signature(NiftiSpheresMasker).parameters)
    theirs = [p for p in inspect.signature(NilearnMasker).parameters if p != "seeds"]
    assert names[1 : 1 + len(theirs)] == theirs


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_means_of_stored_types(data, dtype):
    """Means are those of nilearn in double precision; of integers it drops the fraction."""
    stored = (data % 250).astype(dtype)
    img = nib.Nifti1Image(stored, AFFINE)
    wide = nib.Nifti1Image(stored.astype(np.float64), AFFINE)
    expected = quietly(NilearnMasker(SEEDS, radius=4, standardize=None).fit_transform, wide)
    ours = NiftiSpheresMasker(SEEDS, radius=4).fit_transform(img)
    assert ours.dtype == np.float32
    assert_allclose(ours, expected, rtol=1e-6)


def test_radius_per_seed(img):
    together = NiftiSpheresMasker(SEEDS, radius=[3, 5, 0]).fit_transform(img)
    for i, (seed, radius) in enumerate(zip(SEEDS, (3, 5, None), strict=True)):
        alone = quietly(NilearnMasker([seed], radius=radius, standardize=None).fit_transform, img)
        assert_allclose(together[:, i], np.ravel(alone), rtol=1e-9)


def test_seed_table_brings_names_and_radii():
    table = load_seeds("Seitzman2018")
    size = np.array([50, 60, 50])
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = [-98, -134, -90]
    mask_img = nib.Nifti1Image(np.ones(size, np.uint8), affine)
    masker = NiftiSpheresMasker(table, mask_img=mask_img, allow_overlap=True, empty="nan").fit()
    assert masker.get_feature_names_out().tolist() == list(table.names)
    assert_array_equal(masker.coverage_.index, table.names)
    centres = np.indices(size).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
    for i in (0, 250):
        inside = np.linalg.norm(centres - table.coordinates[i], axis=1) <= table.radii[i]
        assert masker.coverage_["voxels_used"].iloc[i] == max(1, inside.sum())


@pytest.mark.parametrize("aggregation", ["median", "eigenvariate"])
@pytest.mark.parametrize("fwhm", [None, 5])
def test_aggregations(img, data, aggregation, fwhm):
    from nilearn.image import smooth_img  # noqa: PLC0415 - only here

    volume = quietly(smooth_img, img, fwhm).get_fdata() if fwhm else data
    centres = np.moveaxis(np.indices(SHAPE), 0, -1) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    ours = NiftiSpheresMasker(
        SEEDS, radius=4, smoothing_fwhm=fwhm, aggregation=aggregation
    ).fit_transform(img)
    for i, seed in enumerate(SEEDS):
        voxels = volume[np.linalg.norm(centres - seed, axis=-1) <= 4].T
        if aggregation == "median":
            expected = np.median(voxels, axis=1)
        else:
            centred = voxels - voxels.mean(axis=0)
            values, vectors = np.linalg.eigh(centred.T @ centred)
            weights = vectors[:, -1] * np.sign(vectors[:, -1].sum())
            expected = centred @ weights / np.sqrt(values[-1]) * np.sqrt(values[-1] / len(weights))
            expected = expected + voxels.mean()
        assert_allclose(ours[:, i], expected, rtol=1e-9)


@pytest.mark.parametrize("fwhm", [None, 5])
def test_values_that_are_not_finite_are_told_as_nilearn_tells_them(data, fwhm):
    data = data.copy()
    inverse = np.linalg.inv(AFFINE)
    data[(*np.rint(inverse[:3, :3] @ SEEDS[0] + inverse[:3, 3]).astype(int), 3)] = np.nan
    bad = nib.Nifti1Image(data, AFFINE)
    masker = NiftiSpheresMasker(SEEDS, radius=4, smoothing_fwhm=fwhm)
    own = nib.Nifti1Image(data.copy(), AFFINE)  # nilearn replaces values in place
    read = lambda: niimg.safe_get_data(own, ensure_finite=True)  # noqa: E731
    said = []
    for call in (read, lambda: masker.fit_transform(bad)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
        said.append({str(w.message) for w in caught if "finite" in str(w.message)})
    assert said[0] == said[1] != set()


@pytest.mark.parametrize("standardize", ["zscore_sample", "zscore", "psc", None])
@pytest.mark.parametrize("aggregation", ["median", "eigenvariate"])
@pytest.mark.parametrize(
    "cleaning",
    [
        {"detrend": True},
        {"detrend": True, "low_pass": 0.1, "high_pass": 0.01, "t_r": 2.0},
        {"detrend": False},
    ],
    ids=["trend", "band", "regression"],
)
def test_aggregations_are_of_cleaned_voxels(
    img, data, confounds, cleaning, aggregation, standardize
):
    """Each voxel through nilearn's cleaning, then one series of them, then standardized."""
    kept = np.setdiff1d(np.arange(data.shape[3]), [3, 4, 11])
    masker = NiftiSpheresMasker(
        SEEDS, radius=4, aggregation=aggregation, standardize=standardize, **cleaning
    )
    ours = masker.fit_transform(img, confounds=confounds, sample_mask=kept)
    centres = np.moveaxis(np.indices(SHAPE), 0, -1) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    for i, seed in enumerate(SEEDS):
        raw = data[np.linalg.norm(centres - seed, axis=-1) <= 4].T.astype(np.float64)
        voxels = quietly(
            nilearn_clean,
            *(raw,),
            **{"confounds": confounds, "sample_mask": kept, "standardize": False, **cleaning},
            extrapolate=False,
        )
        expected, level = one_series(voxels, aggregation), one_series(raw, aggregation)
        if standardize in ("zscore", "zscore_sample"):
            expected = expected - expected.mean()
            expected = expected / expected.std(ddof=int(standardize == "zscore_sample"))
        elif standardize == "psc":
            level = level[kept].mean()
            expected = 100 * (expected - expected.mean()) / abs(level)
        assert_allclose(ours[:, i], expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


def one_series(voxels, aggregation):
    """Median, or first eigenvariate with the mean, of (T, n) voxels."""
    if aggregation == "median":
        return np.median(voxels, axis=1)
    vectors = np.linalg.eigh(np.cov(voxels.T))[1]
    direction = vectors[:, -1] * np.sign(vectors[:, -1].sum())
    return (voxels - voxels.mean(axis=0)) @ direction / np.sqrt(len(direction)) + voxels.mean()


@pytest.mark.parametrize("censored", [False, True])
def test_several_runs_are_aggregated_run_by_run(img, data, censored):
    n_first = data.shape[3] // 2
    labels = np.repeat([0, 1], [n_first, data.shape[3] - n_first])
    kept = [np.arange(6, n_first), np.arange(1, data.shape[3] - n_first - 1)]
    masker = NiftiSpheresMasker(
        SEEDS,
        radius=4,
        aggregation="median",
        detrend=True,
        standardize="zscore_sample",
        clean__runs=labels,
    )
    series = masker.fit_transform(img, sample_mask=kept if censored else None)
    if censored:
        labels = np.repeat([0, 1], list(map(len, kept)))
    assert len(series) == len(labels)
    for run in (0, 1):
        assert_allclose(series[labels == run].mean(axis=0), 0, atol=1e-6)
        assert_allclose(series[labels == run].std(axis=0, ddof=1), 1, rtol=1e-6)


# forms of input


def test_forms_of_one_series(tmp_path, img, data):
    path = tmp_path / "run.nii.gz"
    img.to_filename(path)
    for t in range(5):
        nib.Nifti1Image(data[..., t], AFFINE).to_filename(tmp_path / f"vol{t}.nii")
    masker = NiftiSpheresMasker(SEEDS, radius=4).fit()
    expected = quietly(NilearnMasker(SEEDS, radius=4, standardize=None).fit_transform, img)
    for form in (img, path, str(path), str(tmp_path / "ru?.nii.gz")):
        assert_allclose(masker.transform(form), expected, rtol=1e-6)
    volumes = [nib.Nifti1Image(data[..., t], AFFINE) for t in range(5)]
    for form in (
        volumes,
        [str(tmp_path / f"vol{t}.nii") for t in range(5)],
        str(tmp_path / "vol*"),
    ):
        assert_allclose(masker.transform(form), expected[:5], rtol=1e-6)


def test_a_3d_image_is_one_row(img, data):
    one = nib.Nifti1Image(data[..., 7], AFFINE)
    masker = NiftiSpheresMasker(SEEDS, radius=4).fit()
    with pytest.warns(DeprecationWarning, match="3-D"):
        row = masker.transform(one)
    assert row.shape == (1, 3)
    assert_allclose(row[0], masker.transform(img)[7], rtol=1e-12)


def test_a_pattern_of_one_3d_image_is_one_row_too(tmp_path, data):
    nib.Nifti1Image(data[..., 7], AFFINE).to_filename(tmp_path / "one.nii")
    with pytest.warns(DeprecationWarning, match="3-D"):
        row = NiftiSpheresMasker(SEEDS).fit().transform(str(tmp_path / "o*.nii"))
    assert row.shape == (1, 3)


def test_several_series(img, data, confounds):
    second = nib.Nifti1Image(data[..., :30], AFFINE)
    masker = NiftiSpheresMasker(SEEDS, radius=4, detrend=True, standardize="zscore_sample").fit()
    call = {"confounds": [confounds, confounds[:30]], "sample_mask": [np.arange(3, 50), None]}
    results = masker.transform([img, second], **call)
    assert [len(result) for result in results] == [47, 30]
    alone = masker.transform(img, confounds=confounds, sample_mask=np.arange(3, 50))
    assert_array_equal(results[0], alone)
    with pytest.raises(ValueError, match="one entry for each of the 2 images"):
        masker.transform([img, second], confounds=confounds)


def test_forms_of_confounds(tmp_path, img, confounds):
    parameters = {"radius": 4, "detrend": True, "standardize": "zscore_sample"}
    expected = quietly(NilearnMasker(SEEDS, **parameters).fit_transform, img, confounds=confounds)
    frame = pd.DataFrame(confounds, columns=list("abc"))
    frame.to_csv(tmp_path / "c.csv", index=False)
    frame.to_csv(tmp_path / "c.tsv", index=False, sep="\t")
    masker = NiftiSpheresMasker(SEEDS, **parameters).fit()
    split = [confounds[:, 0], frame[["b", "c"]]]
    for form in (confounds, frame, tmp_path / "c.csv", str(tmp_path / "c.tsv"), split):
        assert_allclose(masker.transform(img, confounds=form), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("form", ["index", "bool"])
def test_forms_of_sample_masks(img, form):
    kept = np.r_[2:30, 33:50]
    chosen = kept if form == "index" else np.isin(np.arange(T), kept)
    ours = compare(img, {"sample_mask": chosen}, standardize="zscore_sample", detrend=True)
    assert ours.shape == (45, 3)


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_containers(img, container):
    masker = NiftiSpheresMasker(SEEDS, radius=4).set_output(transform=container)
    frame = masker.fit_transform(img)
    assert type(frame).__module__.startswith(container)
    assert list(frame.columns) == [f"niftispheresmasker{i}" for i in range(3)]
    frames = masker.transform([img, img])
    assert [type(one) for one in frames] == [type(frame)] * 2
    masker.set_output(transform="default")
    assert isinstance(masker.transform(img), np.ndarray)


# attributes, inverse transform, errors


def test_attributes_and_requests(mask):
    masker = NiftiSpheresMasker(SEEDS, radius=4, mask_img=mask).fit()
    assert masker.n_elements_ == 3
    assert masker.seeds_ == [list(seed) for seed in SEEDS]
    assert masker.mask_img_.shape == SHAPE
    with config_context(enable_metadata_routing=True):
        masker.set_fit_request(imgs=True)
        masker.set_transform_request(confounds=True, sample_mask=True)
        masker.set_inverse_transform_request(region_signals=True)
        assert masker.get_metadata_routing().transform.requests["confounds"] is True


def test_coverage_and_overlap_tables(img):
    seeds = [(0, 1, 2), (2, 1, 2), (11, 1, 2), (100, 0, 0)]
    masker = NiftiSpheresMasker(seeds, radius=4, allow_overlap=True, empty="nan")
    signals = masker.fit_transform(img)
    assert np.isnan(signals).all(axis=0).tolist() == [False, False, False, True]
    centres = np.moveaxis(np.indices(SHAPE), 0, -1) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    inside = [np.linalg.norm(centres - seed, axis=-1) <= 4 for seed in seeds]
    assert masker.coverage_["voxels_used"].tolist() == [one.sum() for one in inside]
    assert masker.coverage_["coverage"].tolist()[0] == 1
    assert 0 < masker.coverage_["coverage"].iloc[2] < 1
    (row,) = masker.overlap_.itertuples(index=False)
    assert (row.first, row.second) == ("niftispheresmasker0", "niftispheresmasker1")
    assert row.voxels == (inside[0] & inside[1]).sum()


@pytest.mark.parametrize("signals", [np.array([1.0, 2, 3]), np.arange(12.0).reshape(4, 3)])
def test_inverse_transform(mask, signals):
    seeds = [(0, 1, 2), (2, 1, 2), (-6, -5, -5.5)]
    parameters = {"radius": 4, "mask_img": mask, "allow_overlap": True}
    expected = quietly(NilearnMasker(seeds, **parameters).fit().inverse_transform, signals)
    ours = NiftiSpheresMasker(seeds, **parameters).fit().inverse_transform(signals)
    assert ours.shape == expected.shape
    assert_allclose(ours.get_fdata(), expected.get_fdata(), rtol=1e-12, atol=1e-12)
    assert_array_equal(ours.affine, expected.affine)


@pytest.mark.parametrize(
    ("seeds", "phrase"),
    [
        (5, "Seeds must be a list of triplets of coordinates in native space"),
        ([1, 2, 3], "Seed #0 is not a valid triplet of coordinates"),
        ([(1, 2, 3), (1, 2)], "Seed #1 is of length 2 instead of 3"),
        ([(1, 2, np.nan)], "not a finite number"),
    ],
)
def test_seeds_that_are_none(seeds, phrase):
    with pytest.raises(ValueError, match=phrase):
        NiftiSpheresMasker(seeds).fit()


def test_seeds_by_name_by_path_and_as_a_data_frame(tmp_path):
    named = NiftiSpheresMasker("Raichle2011").fit()
    assert_array_equal(named.seeds_, load_seeds("Raichle2011").coordinates)
    assert named.get_feature_names_out()[0] == load_seeds("Raichle2011").names[0]
    frame = pd.DataFrame({"name": ["PCC", "mPFC"], "x": [0, -1.5], "y": [-52, 50], "z": [18, -5]})
    frame.to_csv(tmp_path / "dmn.csv", index=False)
    for seeds in (frame, tmp_path / "dmn.csv", str(tmp_path / "dmn.csv")):
        masker = NiftiSpheresMasker(seeds, radius=3).fit()
        assert_array_equal(masker.seeds_, [[0, -52, 18], [-1.5, 50, -5]])
        assert list(masker.get_feature_names_out()) == ["PCC", "mPFC"]


@pytest.mark.parametrize(
    ("parameters", "phrase"),
    [
        ({"radius": -1}, "must be a length"),
        ({"radius": [1, 2]}, "2 radii for 3 seeds"),
        ({"radius": [1, -2, 3]}, "must be a length"),
        ({"aggregation": "mode"}, "aggregation must be"),
        ({"empty": "drop"}, "empty must be"),
        ({"smoothing_fwhm": -3}, "smoothing_fwhm must be"),
        ({"mask_img": nib.Nifti1Image(np.zeros((3, 3, 3), np.uint8), AFFINE)}, "it is empty"),
    ],
)
def test_parameters_that_make_no_sense(parameters, phrase):
    with pytest.raises(ValueError, match=phrase):
        NiftiSpheresMasker(SEEDS, **parameters).fit()


def test_errors_users_match_on(img, mask):
    with pytest.raises(ValueError, match="These spheres are empty"):
        NiftiSpheresMasker([(500, 0, 0)], radius=2).fit_transform(img)
    with pytest.raises(ValueError, match="Overlap detected between spheres"):
        NiftiSpheresMasker([(0, 1, 2), (2, 1, 2)], radius=4).fit_transform(img)
    with pytest.raises(ValueError, match="Please provide mask_img at initialization"):
        NiftiSpheresMasker(SEEDS).fit().inverse_transform([1, 2, 3])
    with pytest.raises(ValueError, match="wrong shape"):
        NiftiSpheresMasker(SEEDS, mask_img=mask).fit().inverse_transform([1, 2])
    with pytest.raises(TypeError, match="cannot be bool"):
        NiftiSpheresMasker(SEEDS, dtype=bool).fit()
    with pytest.raises(TypeError, match="not compatible with nibabel format"):
        NiftiSpheresMasker(SEEDS).fit(np.zeros((3, 3, 3)))
    with pytest.raises(ValueError, match="No files matching"):
        NiftiSpheresMasker(SEEDS).fit().transform("/nowhere/*.nii")


# caching, messages, report


def test_cached_results_follow_the_file(tmp_path, data, monkeypatch):
    path = tmp_path / "run.nii"
    nib.Nifti1Image(data, AFFINE).to_filename(path)
    reads = []
    extract = import_module("bids_spheres.masker.parameters").extract

    def spy(volumes, *args, **kwargs):
        reads.append(volumes.name)
        return extract(volumes, *args, **kwargs)

    monkeypatch.setattr("bids_spheres.masker.parameters.extract", spy)
    for memory in (str(tmp_path / "a"), Memory(tmp_path / "b", verbose=0)):
        reads.clear()
        first = NiftiSpheresMasker(SEEDS, radius=4, memory=memory).fit_transform(path)
        second = NiftiSpheresMasker(SEEDS, radius=4, memory=memory).fit_transform(path)
        assert_array_equal(first, second)
        assert len(reads) == 1
        NiftiSpheresMasker(SEEDS, radius=3, memory=memory).fit_transform(path)
        assert len(reads) == 2
    with pytest.warns(UserWarning, match="memory_level is 0"):
        NiftiSpheresMasker(SEEDS, radius=4, memory=memory, memory_level=0).fit_transform(path)
    assert len(reads) == 3
    nib.Nifti1Image(data[..., :20] + 1, AFFINE).to_filename(path)
    changed = NiftiSpheresMasker(SEEDS, radius=4, memory=memory).fit_transform(path)
    assert_allclose(changed, first[:20] + 1, rtol=1e-6)


def test_messages(img, mask, capsys):
    NiftiSpheresMasker(SEEDS, radius=4).fit_transform(img)
    assert capsys.readouterr().out == ""
    masker = NiftiSpheresMasker(SEEDS, radius=4, mask_img=mask, smoothing_fwhm=3, verbose=1)
    masker.inverse_transform(masker.fit_transform(img))
    said = capsys.readouterr().out
    for step in (
        "Loading mask from",
        "Finished fit",
        "Loading data from",
        "Smoothing images",
        "Extracting region signals",
        "Cleaning extracted signals",
        "Computing image from signals",
    ):
        assert step in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "figures"), [("all", 3), (2, 2), ([2, 0], 2), (np.array([1]), 1), (9, 3)]
)
def test_report(img, mask, tmp_path, asked, figures):
    masker = NiftiSpheresMasker(SEEDS, radius=4, mask_img=mask).fit(img)
    report = masker.generate_report(displayed_spheres=asked)
    page = str(report)
    assert page.count('<section class="step') == figures
    report.save_as_html(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page
    assert "<iframe" in report.resize(300, 200).get_iframe()
    assert "<iframe" in report._repr_html_()
    asked_too_many = isinstance(asked, int) and asked > 3
    assert ('class="warnings"' in page) == asked_too_many


@pytest.mark.slow
def test_report_of_what_is_not_there(img):
    with pytest.raises(TypeError, match="should be either 'all' or a positive 'int'"):
        NiftiSpheresMasker(SEEDS).fit().generate_report(displayed_spheres=2.5)
    with pytest.warns(UserWarning, match="not been fitted"):
        assert "not been fitted" in str(NiftiSpheresMasker(SEEDS).generate_report())
    with pytest.warns(UserWarning, match="Report generation not enabled"):
        page = NiftiSpheresMasker(SEEDS, reports=False).fit(img).generate_report()
    assert "not enabled" in str(page)
    assert "No image was given to fit" in str(NiftiSpheresMasker(SEEDS).fit().generate_report())


def test_images_are_read_once(tmp_path, img, mask, monkeypatch):
    paths = {}
    for name, one in (("run", img), ("mask", mask)):
        paths[name] = tmp_path / f"{name}.nii.gz"
        nib.Nifti1Image(one.dataobj, one.affine).to_filename(paths[name])
    opened = []
    inflate = import_module("bids_spheres.engine.stream").open_gzip

    def spy(path):
        opened.append(path.name)
        return inflate(path)

    monkeypatch.setattr("bids_spheres.engine.stream.open_gzip", spy)
    masker = NiftiSpheresMasker(SEEDS, radius=4, mask_img=paths["mask"])
    masker.fit_transform(paths["run"])
    assert sorted(opened) == ["mask.nii.gz", "run.nii.gz"]


# What the report is made of


@pytest.fixture
def report_facts(monkeypatch):
    """Facts of a masker's report, without drawing it."""
    monkeypatch.setattr("bids_spheres.masker.report.masker_report", lambda facts: facts)

    def collect(masker, *args):
        return masker.generate_report(*args)

    return collect


def test_facts_of_a_report(data, mask, report_facts):
    masker = NiftiSpheresMasker(SEEDS, radius=[3, 0, 5], mask_img=mask, t_r=2.5, clean__order=3)
    odd = nib.Nifti1Image(data[..., :7], AFFINE)
    facts = report_facts(masker.fit(odd), [2, 0])
    assert facts.title == "NiftiSpheresMasker"
    assert facts.names == tuple(f"niftispheresmasker{i}" for i in range(3))
    assert_array_equal(facts.coordinates, SEEDS)
    assert facts.radii.tolist() == [3, 0, 5]
    assert facts.displayed == (2, 0)
    assert facts.warnings == ()
    # The volume in the middle, of which there are 3 before and 3 after.
    assert_allclose(facts.background.get_fdata(), data[..., 3], rtol=1e-6)
    assert facts.background.get_data_dtype() == np.float32
    assert_array_equal(facts.background.affine, AFFINE)
    assert facts.mask_voxels == 11 * 10 * 9
    inside = np.asarray(mask.dataobj, bool)
    centres = np.moveaxis(np.indices(SHAPE), 0, -1) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    for s, radius in ((0, 3), (2, 5)):
        sphere = np.linalg.norm(centres - SEEDS[s], axis=-1) <= radius
        assert (facts.weights.asked[s], facts.weights.used[s]) == (
            sphere.sum(),
            (sphere & inside).sum(),
        )
    shown = dict(facts.parameters)
    assert shown["radius"] == "[3, 0, 5]"
    assert (shown["t_r"], shown["clean__order"], shown["standardize"]) == ("2.5", "3", "False")
    assert "seeds" not in shown
    assert "memory" not in shown
    assert len(shown) == len(masker.get_params()) - 2


def test_the_background_of_a_report_is_of_the_first_series(img, data, mask, report_facts):
    four = nib.Nifti1Image(data[..., 10:14], AFFINE)
    facts = report_facts(NiftiSpheresMasker(SEEDS, radius=4).fit([four, img]))
    assert_allclose(facts.background.get_fdata(), data[..., 12], rtol=1e-6)
    assert (facts.mask_voxels, facts.displayed) == (None, (0, 1, 2))
    # The mask alone; overlapping and empty spheres are shown, though transform refuses them.
    seeds = [(0, 1, 2), (2, 1, 2), (500, 0, 0)]
    facts = report_facts(NiftiSpheresMasker(seeds, radius=4, mask_img=mask).fit(), 1)
    assert_array_equal(facts.background.get_fdata(), mask.get_fdata())
    assert (facts.mask_voxels, facts.displayed) == (990, (0,))
    assert facts.weights.empty.tolist() == [False, False, True]
    assert facts.weights.overlaps.all() == facts.weights.overlaps[2]
    # On another grid, numbers of voxels can't be compared.
    coarse = nib.Nifti1Image(data[::2, ::2, ::2, :2], AFFINE @ np.diag([2, 2, 2, 1]))
    facts = report_facts(NiftiSpheresMasker(SEEDS, radius=4, mask_img=mask).fit(coarse))
    assert facts.mask_voxels is None
    facts = report_facts(NiftiSpheresMasker(SEEDS, radius=4).fit(), "all")
    assert (facts.background, facts.weights, facts.mask_voxels) == (None, None, None)
    assert facts.warnings == ("No image was given to fit; spheres are drawn without a background.",)
    with pytest.warns(UserWarning, match="This masker has not been fitted yet"):
        facts = report_facts(NiftiSpheresMasker(SEEDS))
    assert (facts.names, facts.displayed, facts.coordinates.shape) == ((), (), (0, 3))
    assert facts.radii.shape == (0,)
    with pytest.warns(UserWarning, match="Report generation not enabled"):
        facts = report_facts(NiftiSpheresMasker(SEEDS, mask_img=mask, reports=False).fit(img), 7)
    assert (facts.names, facts.displayed, facts.background) == ((), (), None)
    assert len(facts.warnings) == 2


# Details


def test_clean_arguments_are_set_one_by_one():
    masker = NiftiSpheresMasker(SEEDS, clean__filter="cosine", clean__order=2)
    masker.set_params(clean__order=3)
    kept = {k: v for k, v in masker.get_params().items() if k.startswith("clean__")}
    assert kept == {"clean__filter": "cosine", "clean__order": 3}
    with pytest.raises(TypeError, match="no parameter 'order'"):
        NiftiSpheresMasker(SEEDS, clean__filter="cosine", order=2)


def test_clean_arguments_with_the_prefix_count_more_than_the_others(img):
    parameters = {"radius": 4, "high_pass": 0.01, "t_r": 2.0}
    both = NiftiSpheresMasker(
        SEEDS, clean_args={"filter": "butterworth"}, clean__filter="cosine", **parameters
    )
    prefixed = NiftiSpheresMasker(SEEDS, clean__filter="cosine", **parameters)
    assert_array_equal(both.fit_transform(img), prefixed.fit_transform(img))


@pytest.mark.parametrize(
    ("dtype", "stored", "expected"),
    [
        (None, np.float64, np.float64),
        (None, np.float32, np.float32),
        (None, np.int32, np.int32),
        (None, bool, np.int32),
        ("auto", np.float64, np.float32),
        ("auto", np.int64, np.int32),
        ("auto", np.uint8, np.float32),
        ("float64", np.int16, np.float64),
        (np.int16, np.float64, np.int16),
    ],
)
def test_type_of_inverse_transform(mask, dtype, stored, expected):
    masker = NiftiSpheresMasker(SEEDS, radius=4, mask_img=mask, dtype=dtype).fit()
    image = masker.inverse_transform(np.array([1, 0, 1]).astype(stored))
    assert image.get_data_dtype() == expected
    assert set(np.unique(image.dataobj)) == {0, 1}
    assert image.shape == SHAPE


@pytest.mark.parametrize(
    ("dtype", "stored", "expected"),
    [
        (None, np.int64, np.float64),
        (None, np.float64, np.float64),
        (None, np.float32, np.float32),
        (None, np.int16, np.float32),
        ("auto", np.int16, np.int32),
        ("auto", np.uint16, np.float32),
        ("auto", np.float64, np.float32),
        ("float32", np.float64, np.float32),
    ],
)
def test_type_of_transform(data, dtype, stored, expected):
    image = nib.Nifti1Image(data[..., :3].astype(stored), AFFINE, dtype=stored)
    assert NiftiSpheresMasker(SEEDS, dtype=dtype).fit_transform(image).dtype == expected


def test_inverse_transform_of_spheres_that_are_empty_or_share_voxels(mask):
    seeds = [(0, 1, 2), (2, 1, 2), (500, 0, 0)]
    parameters = {"radius": 4, "mask_img": mask, "allow_overlap": True}
    masker = NiftiSpheresMasker(seeds, empty="nan", **parameters).fit()
    signals = np.array([[1.0, 3, np.nan], [10, 20, np.nan]])
    image = masker.inverse_transform(signals).get_fdata()
    centres = np.moveaxis(np.indices(SHAPE), 0, -1) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    first, second = (np.linalg.norm(centres - seed, axis=-1) <= 4 for seed in seeds[:2])
    expected = np.zeros((*SHAPE, 2))
    expected[first], expected[second], expected[first & second] = (1, 10), (3, 20), (2, 15)
    assert_array_equal(image, expected)
    with pytest.raises(ValueError, match=r"These spheres are empty: \[2\]"):
        NiftiSpheresMasker(seeds, **parameters).fit().inverse_transform(signals)
    for wrong, said in (
        (np.zeros((2, 2, 3)), r"Expected \(2, 3\).*Got \(2, 2, 3\)"),
        (np.zeros((4, 2)), r"Expected \(4, 3\).*Got \(4, 2\)"),
        (np.zeros(2), r"Expected \(3,\).*Got \(2,\)"),
    ):
        with pytest.raises(ValueError, match=f"(?s){said}"):
            masker.inverse_transform(wrong)


def test_lists_of_images_and_what_goes_with_them(img, data, confounds, tmp_path):
    three, four = nib.Nifti1Image(data[..., 0], AFFINE), nib.Nifti1Image(data[..., :20], AFFINE)
    masker = NiftiSpheresMasker(SEEDS, radius=4).fit()
    for images, said in (([], "empty list"), ([three, four], "must hold 3-D or 4-D images")):
        with pytest.raises(ValueError, match=said):
            masker.transform(images)
    with pytest.raises(ValueError, match="more than one series; use transform"):
        masker.transform_single_imgs([four, four])
    own = (confounds[:20], None)
    results = masker.transform([four, img], confounds=own, sample_mask=(None, np.arange(5, 9)))
    assert_array_equal(results[0], masker.transform(four, confounds=own[0]))
    assert_array_equal(results[1], masker.transform(img)[5:9])
    for name in ("confounds", "sample_mask"):
        with pytest.raises(ValueError, match=f"{name} must be a list with one entry"):
            masker.transform([four, img], **{name: [None] * 3})
    # A name with brackets is a file's before it is a pattern; of a pattern, by name.
    volumes = {"run[1]": [1, 2], "run1": [2, 3], "v3": [5], "v1": [3], "v2": [4]}
    for name, chosen in volumes.items():
        nib.Nifti1Image(data[..., chosen], AFFINE).to_filename(tmp_path / f"{name}.nii")
    whole = masker.transform(img)
    assert_allclose(masker.transform(str(tmp_path / "run[1].nii")), whole[1:3], rtol=1e-6)
    assert_allclose(masker.transform(str(tmp_path / "run[123].nii")), whole[2:4], rtol=1e-6)
    assert_allclose(masker.transform(str(tmp_path / "v*.nii")), whole[3:6], rtol=1e-6)


def test_confounds_may_have_gaps_in_a_list(img, confounds):
    masker = NiftiSpheresMasker(SEEDS, radius=4, detrend=True).fit()
    expected = masker.transform(img, confounds=confounds)
    gaps = (confounds[:, :1], None, confounds[:, 1:])
    for given in (gaps, list(gaps), [None, confounds], (confounds,)):
        assert_allclose(masker.transform(img, confounds=given), expected, rtol=1e-9, atol=1e-9)
    assert_array_equal(masker.transform(img, confounds=[None]), masker.transform(img))


def test_cache_of_images_in_memory_and_of_files_of_the_same_size(tmp_path, data, monkeypatch):
    reads = []
    extract = import_module("bids_spheres.masker.parameters").extract
    monkeypatch.setattr(
        "bids_spheres.masker.parameters.extract",
        lambda *args, **kwargs: reads.append(1) or extract(*args, **kwargs),
    )
    masker = NiftiSpheresMasker(SEEDS, radius=4, memory=str(tmp_path / "cache")).fit()
    first, second = (nib.Nifti1Image(data[..., t : t + 5], AFFINE) for t in (0, 5))
    results = [masker.transform(one) for one in (first, second, first)]
    assert len(reads) == 2
    assert_array_equal(results[0], results[2])
    assert not np.allclose(results[0], results[1])
    masker.transform(first, sample_mask=[0, 1, 2])
    masker.transform(first, confounds=np.arange(5.0))
    assert len(reads) == 4
    path, other = tmp_path / "run.nii", tmp_path / "elsewhere" / "run.nii"
    other.parent.mkdir()
    first.to_filename(path)
    second.to_filename(other)
    stamp = path.stat().st_mtime_ns
    os.utime(other, ns=(stamp, stamp))
    assert_array_equal(masker.transform(path), results[0])
    assert_array_equal(masker.transform(other), results[1])
    second.to_filename(path)
    os.utime(path, ns=(stamp, stamp + 1))
    assert_array_equal(masker.transform(path), results[1])
    assert len(reads) == 7
    # Nothing is cached, and nothing is said of it, where no memory was given.
    NiftiSpheresMasker(SEEDS, memory_level=0).fit()


def test_messages_name_the_class_the_method_and_the_images(data, capsys, tmp_path):
    path = tmp_path / "run.nii"
    nib.Nifti1Image(data[..., :4], AFFINE).to_filename(path)
    mask = nib.Nifti1Image(np.ones(SHAPE, np.uint8), AFFINE)
    masker = NiftiSpheresMasker(SEEDS, radius=4, mask_img=mask, verbose=1).fit()
    named = "[NiftiSpheresMasker.transform_single_imgs] Loading data from"
    volumes = [nib.Nifti1Image(data[..., t], AFFINE) for t in (0, 1)]
    shown = "Nifti1Image of shape (13, 12, 11)"
    assert capsys.readouterr().out.splitlines() == [
        f"[NiftiSpheresMasker.fit] Loading mask from {shown}",
        "[NiftiSpheresMasker.fit] Finished fit",
    ]
    for images, words in (
        (path, str(path)),
        (nib.load(path), str(path)),
        (nib.Nifti1Image(data[..., :5], AFFINE), "Nifti1Image of shape (13, 12, 11, 5)"),
        (volumes, f"[{shown}, {shown}]"),
    ):
        masker.transform(images)
        lines = capsys.readouterr().out.splitlines()
        assert f"{named} {words}" in lines
        assert not any("Smoothing" in line for line in lines)


def test_tables_of_spheres_on_the_mask_and_then_on_the_image(data, mask):
    seeds = [(0, 1, 2), (500, 0, 0), (2, 1, 2), (2, 3, 2)]
    masker = NiftiSpheresMasker(seeds, radius=4, mask_img=mask, allow_overlap=True, empty="nan")
    coverage = masker.fit().coverage_
    assert list(coverage.columns) == ["voxels_asked", "voxels_used", "coverage", "overlap"]
    centres = np.moveaxis(np.indices(SHAPE), 0, -1) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    inside = [np.linalg.norm(centres - seed, axis=-1) <= 4 for seed in seeds]
    shared = [(inside[i] & inside[j]).sum() for i, j in ((0, 2), (0, 3), (2, 3))]
    overlap = masker.overlap_
    assert sorted(overlap.itertuples(index=False, name=None)) == [
        (f"niftispheresmasker{i}", f"niftispheresmasker{j}", n)
        for (i, j), n in zip(((0, 2), (0, 3), (2, 3)), shared, strict=True)
    ]
    others = [np.any([inside[j] for j in range(4) if j != i], axis=0) for i in range(4)]
    pairs = zip(inside, others, strict=True)
    assert coverage["overlap"].tolist() == [(own & other).sum() for own, other in pairs]
    assert coverage["coverage"].tolist()[:2] == [1, 0]
    fine = np.repeat(np.repeat(np.repeat(data[..., :1], 2, 0), 2, 1), 2, 2)
    masker.transform(nib.Nifti1Image(fine, AFFINE @ np.diag([0.5, 0.5, 0.5, 1])))
    assert masker.coverage_["voxels_used"].iloc[0] > 4 * inside[0].sum()


# Two of a kind


@pytest.mark.parametrize("aggregation", ["mean", "median"])
def test_runs_of_unequal_length_are_cleaned_each_by_its_own_volumes(
    img, data, confounds, aggregation
):
    """And stacked in the order of their labels, not of their volumes."""
    labels = np.repeat([1, 0], [32, 18])
    kept = {0: np.arange(2, 17), 1: np.r_[0:9, 11:32]}
    options = {"detrend": True, "standardize": "zscore_sample"}
    masker = NiftiSpheresMasker(
        SEEDS, radius=[4, 5, 3], aggregation=aggregation, clean__runs=labels, **options
    )
    masks = [kept[run] for run in (0, 1)]
    series = masker.fit_transform(img, confounds=confounds, sample_mask=masks)
    centres = np.moveaxis(np.indices(SHAPE), 0, -1) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    for i, (seed, radius) in enumerate(zip(SEEDS, (4, 5, 3), strict=True)):
        raw = data[np.linalg.norm(centres - seed, axis=-1) <= radius].T
        parts = []
        for run in (0, 1):
            own = {"confounds": confounds[labels == run], "sample_mask": kept[run].copy()}
            own |= {"detrend": True, "standardize": False}
            voxels = quietly(nilearn_clean, raw[labels == run], **own)
            part = np.mean(voxels, axis=1) if aggregation == "mean" else np.median(voxels, axis=1)
            parts.append((part - part.mean()) / part.std(ddof=1))
        assert_allclose(series[:, i], np.concatenate(parts), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("aggregation", ["mean", "median"])
def test_an_empty_sphere_before_others_of_unequal_radii(img, data, aggregation):
    seeds, radii = [SEEDS[0], (500, 0, 0), *SEEDS[1:]], [3, 4, 5, 0]
    masker = NiftiSpheresMasker(seeds, radii, aggregation=aggregation, empty="nan")
    series = masker.fit_transform(img)
    assert np.isnan(series[:, 1]).all()
    centres = np.moveaxis(np.indices(SHAPE), 0, -1) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    function = {"mean": np.mean, "median": np.median}[aggregation]
    for i in (0, 2, 3):
        distance = np.linalg.norm(centres - seeds[i], axis=-1)
        own = distance <= radii[i] if radii[i] else distance == distance.min()
        assert_allclose(series[:, i], function(data[own], axis=0), rtol=1e-9)


def test_a_mask_on_another_grid_is_that_of_nilearn(img):
    """Finer, and so that it cuts the spheres."""
    inside = np.random.default_rng(1).random((22, 21, 20)) < 0.6
    affine = np.array([[1.3, 0, 0, -13], [0, 1.3, 0, -13], [0, 0, 1.5, -14], [0, 0, 0, 1]])
    other = nib.Nifti1Image(inside.astype(np.uint8), affine)
    compare(img, mask_img=other)
    masker = NiftiSpheresMasker(SEEDS, radius=4, mask_img=other)
    masker.fit_transform(img)
    nearest = quietly(
        resample_img,
        other,
        target_affine=AFFINE,
        target_shape=SHAPE,
        interpolation="nearest",
        force_resample=True,
        copy_header=True,
    ).get_fdata()
    centres = np.moveaxis(np.indices(SHAPE), 0, -1) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    balls = [np.linalg.norm(centres - seed, axis=-1) <= 4 for seed in SEEDS]
    used = [int((ball & (nearest > 0)).sum()) for ball in balls]
    assert masker.coverage_["voxels_used"].tolist() == used
    assert masker.coverage_["voxels_asked"].tolist() == [ball.sum() for ball in balls]


def test_radii_are_those_of_the_table_unless_others_are_given():
    """Whole numbers not further than 1, 2 and 3 from the origin are 7, 33 and 123."""
    mask = nib.Nifti1Image(np.ones((16, 14, 15), np.uint8), np.eye(4))
    frame = pd.DataFrame({"name": ["a", "b"], "x": [4, 11], "y": [6, 7], "z": [5, 9]})
    with_radii = frame.assign(radius=[1, 2])
    for seeds, radius, asked in (
        (with_radii, None, [7, 33]),
        (with_radii, 3, [123, 123]),
        (with_radii, [2, 0], [33, 1]),
        (with_radii, 0, [1, 1]),
        ([(4, 6, 5), (11, 7, 9)], None, [1, 1]),
        ([(4, 6, 5), (11, 7, 9)], [3, 1], [123, 7]),
    ):
        masker = NiftiSpheresMasker(seeds, radius, mask_img=mask).fit()
        assert masker.coverage_["voxels_asked"].tolist() == asked


@pytest.mark.parametrize("aggregation", ["mean", "median"])
def test_what_a_user_gives_stays_as_it_is(data, confounds, aggregation):
    values = data[..., :30].copy(order="F")
    values[6, 6, 5, 3], values[2, 2, 2, :7] = np.nan, np.inf
    inside = np.ones(SHAPE, np.float32)
    inside[0] = 0
    given = {
        "image": values,
        "mask": inside,
        "confounds": confounds[:30].copy(),
        "kept": np.arange(3, 28),
        "signals": np.array([[1.0, 3, 2], [10, 20, 30]]),
        "seeds": np.array(SEEDS),
        "radii": np.array([4.0, 3, 5]),
    }
    before = {name: array.copy() for name, array in given.items()}
    masker = NiftiSpheresMasker(
        given["seeds"],
        given["radii"],
        mask_img=nib.Nifti1Image(inside, AFFINE),
        smoothing_fwhm=4,
        high_variance_confounds=True,
        detrend=True,
        standardize="psc",
        aggregation=aggregation,
        clean_args={"low_pass": 0.1, "t_r": 2.0},
    )
    images = nib.Nifti1Image(values, AFFINE)
    quietly(masker.fit_transform, images, confounds=given["confounds"], sample_mask=given["kept"])
    masker.inverse_transform(given["signals"])
    for name, array in given.items():
        assert_array_equal(array, before[name], err_msg=name)


def test_arguments_of_cleaning_count_more_than_what_nilearn_takes_by_default(img, confounds):
    """Here to interpolate the ends as well; no censored volume is the mirror of another."""
    call = {"confounds": confounds, "sample_mask": np.r_[3:20, 22:48]}
    band = {"low_pass": 0.1, "t_r": 2.0, "detrend": True}
    theirs = quietly(
        NilearnMasker(
            SEEDS, radius=4, standardize=None, clean_args={"extrapolate": True}, **band
        ).fit_transform,
        img,
        **call,
    )
    ours = {
        extrapolate: quietly(
            NiftiSpheresMasker(
                SEEDS, radius=4, clean_args={"extrapolate": extrapolate}, **band
            ).fit_transform,
            img,
            **call,
        )
        for extrapolate in (True, False)
    }
    assert_allclose(ours[True], theirs, rtol=1e-6, atol=1e-6)
    assert not np.allclose(ours[True], ours[False])
    plain = quietly(NiftiSpheresMasker(SEEDS, radius=4, **band).fit_transform, img, **call)
    assert_array_equal(plain, ours[False])


def test_voxels_without_a_signal_count_as_in_nilearn(data):
    """Constant ones as they are, those that are not finite as 0 at that time."""
    values = data.copy()
    for shift, value in (((0, 0, 0), 5), ((1, 0, 0), 0), ((0, 1, 0), 1e4)):
        values[tuple(np.add((6, 6, 6), shift))] = value
    values[5, 6, 6, 7] = values[6, 5, 6, :3] = np.nan
    bad = nib.Nifti1Image(values, AFFINE)
    for parameters in ({}, {"smoothing_fwhm": 4}):
        compare(bad, **parameters)


def test_what_goes_with_several_series_is_a_list_and_no_array(img, confounds):
    masker = NiftiSpheresMasker(SEEDS, radius=4).fit()
    for name, given in (
        ("confounds", np.stack([confounds] * 2)),
        ("sample_mask", np.arange(2)),
        ("confounds", "ab"),
    ):
        with pytest.raises(ValueError, match=f"{name} must be a list with one entry for each"):
            masker.transform([img, img], **{name: given})


def test_clean_arguments_count_more_than_parameters_of_the_same_name(img):
    plain = NiftiSpheresMasker(SEEDS, radius=4, detrend=True, low_pass=0.1, t_r=2.0)
    given = NiftiSpheresMasker(
        SEEDS, radius=4, low_pass=0.2, clean_args={"detrend": True, "low_pass": 0.1}, clean__t_r=2.0
    )
    assert_array_equal(given.fit_transform(img), plain.fit_transform(img))


def test_images_are_only_remembered_for_reports(img, report_facts):
    masker = NiftiSpheresMasker(SEEDS, radius=4, reports=False).fit(img)
    facts = report_facts(masker.set_params(reports=True))
    assert (facts.background, facts.weights) == (None, None)
    assert report_facts(masker.fit(img)).background is not None


def test_one_series_with_confounds_over_some_volumes(img, confounds):
    masker = NiftiSpheresMasker(SEEDS, radius=4, detrend=True).fit()
    call = {"confounds": confounds, "sample_mask": np.arange(4, 40)}
    series = masker.transform_single_imgs(img, **call)
    assert series.shape == (36, 3)
    assert_array_equal(series, masker.transform(img, **call))


def test_one_row_of_signals_is_an_image_of_one_volume(mask):
    masker = NiftiSpheresMasker(SEEDS, radius=4, mask_img=mask).fit()
    row = masker.inverse_transform(np.array([[1.0, 2, 3]]))
    assert row.shape == (*SHAPE, 1)
    assert_array_equal(row.get_fdata()[..., 0], masker.inverse_transform([1.0, 2, 3]).get_fdata())


def test_coverage_is_of_the_voxels_of_each_sphere():
    """Whole numbers not further than 1 and 2 from the origin are 7 and 33; the mask cuts both."""
    inside = np.zeros((9, 9, 9), np.uint8)
    inside[4:] = 1
    masker = NiftiSpheresMasker(
        [(4, 4, 4), (4, 4, 4)],
        [2, 1],
        mask_img=nib.Nifti1Image(inside, np.eye(4)),
        allow_overlap=True,
    ).fit()
    assert masker.coverage_["coverage"].tolist() == [(33 + 13) / 2 / 33, (7 + 5) / 2 / 7]
