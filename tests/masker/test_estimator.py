"""The masker against nilearn's, nilearn's own tests of its masker, and scikit-learn's checks."""

from __future__ import annotations

import inspect
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


def test_several_runs_are_aggregated_run_by_run(img, data):
    labels = np.repeat([0, 1], [data.shape[3] // 2, data.shape[3] - data.shape[3] // 2])
    masker = NiftiSpheresMasker(
        SEEDS,
        radius=4,
        aggregation="median",
        detrend=True,
        standardize="zscore_sample",
        clean__runs=labels,
    )
    series = masker.fit_transform(img)
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
        one.to_filename(paths[name])
    opened = []
    inflate = import_module("bids_spheres.engine.stream").open_gzip

    def spy(path):
        opened.append(path.name)
        return inflate(path)

    monkeypatch.setattr("bids_spheres.engine.stream.open_gzip", spy)
    masker = NiftiSpheresMasker(SEEDS, radius=4, mask_img=paths["mask"])
    masker.fit_transform(paths["run"])
    assert sorted(opened) == ["mask.nii.gz", "run.nii.gz"]
