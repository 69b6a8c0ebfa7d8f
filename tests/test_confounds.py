"""Strategies and design matrices, against nilearn on real confounds tables."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nilearn.interfaces.fmriprep import load_confounds, load_confounds_strategy

from bids_spheres.confounds import (
    Strategy,
    load_strategy,
    make_design,
    published_strategies,
    read_confounds,
)
from bids_spheres.errors import DataError, UsageError

MOTION = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
FORMS = ("", "_derivative1", "_power2", "_derivative1_power2")
TISSUES = ("global_signal", "csf", "white_matter")

REAL_TABLES = [
    "fmriprep-mini/sub-03/func/sub-03_task-functionallocalizer_run-1_desc-confounds_timeseries.tsv",
    "fmriprep-mini/sub-03/func/sub-03_task-functionallocalizer_run-2_desc-confounds_timeseries.tsv",
    "confounds/fmriprep-1.4_aroma_nilearn/test_desc-confounds_regressors.tsv",
    "confounds/fmriprep-21_nilearn/test-v21_desc-confounds_timeseries.tsv",
    "confounds/fmriprep-21_90rows_nilearn/test-v21_desc-confounds_timeseries.tsv",
]

TISSUES_AND_MOTION = {"strategy": ("motion", "wm_csf", "global_signal"), "motion": "full"}
NILEARN_OPTIONS = {
    "simple": {"denoise_strategy": "simple"},
    "simpleGSR": {"denoise_strategy": "simple", "global_signal": "basic"},
    "24P": {"strategy": ("motion",), "motion": "full"},
    "27P": TISSUES_AND_MOTION,
    "36P": {**TISSUES_AND_MOTION, "wm_csf": "full", "global_signal": "full"},
    "gsrOnly": {"strategy": ("global_signal",), "global_signal": "basic"},
}


def four(names):
    return {name + form for name in names for form in FORMS}


def nilearn_confounds(table, folder, strategy):
    """Columns, values and kept volumes that nilearn takes from a table."""
    for path in (table, table.with_suffix(".json")):
        if path.exists():
            # nilearn finds tables by BIDS names, which not all of these have
            name = path.name.replace("test-v21", "sub-1").replace("test_", "sub-1_")
            shutil.copy(path, folder / name)
    (name,) = (path.name for path in folder.glob("*.tsv"))
    stem = name.split("_desc-")[0]
    image = folder / f"{stem}_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
    image.touch()
    options = NILEARN_OPTIONS[strategy]
    loader = load_confounds_strategy if "denoise_strategy" in options else load_confounds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        confounds, kept = loader(str(image), **options)
    return confounds, np.arange(len(confounds)) if kept is None else kept


def design_of(table_path, strategy):
    table = read_confounds(table_path)
    return make_design(table, load_strategy(strategy), table_path, len(table))


@pytest.mark.parametrize("table", REAL_TABLES)
@pytest.mark.parametrize("strategy", sorted(NILEARN_OPTIONS))
def test_same_columns_values_and_volumes_as_nilearn(test_data, tmp_path, table, strategy):
    path = test_data / table
    design = design_of(path, strategy)
    confounds, kept = nilearn_confounds(path, tmp_path, strategy)
    assert set(design.columns) == set(confounds.columns)
    # nilearn takes the mean of the kept volumes away.
    values = design.values - design.values[design.kept].mean(axis=0)
    expected = confounds[list(design.columns)].to_numpy()
    np.testing.assert_allclose(values, expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())
    np.testing.assert_array_equal(np.flatnonzero(design.kept), kept)


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("simple", four(MOTION) | {"csf", "white_matter", "cosine00"}),
        ("simpleGSR", four(MOTION) | {"csf", "white_matter", "cosine00", "global_signal"}),
        ("24P", four(MOTION)),
        ("27P", four(MOTION) | set(TISSUES)),
        ("36P", four(MOTION) | four(TISSUES)),
        ("gsrOnly", {"global_signal"}),
        ("none", set()),
    ],
)
def test_columns_of_the_published_strategies(tiny, name, columns):
    bold = tiny.add_run()
    path = bold.with_name("sub-01_task-rest_desc-confounds_timeseries.tsv")
    design = design_of(path, name)
    assert set(design.columns) == columns
    assert design.values.shape == (40, len(columns))


def test_every_published_strategy_is_tested_above():
    assert published_strategies() == tuple(
        sorted(["simple", "simpleGSR", "24P", "27P", "36P", "gsrOnly", "none"])
    )


def test_an_unknown_strategy_lists_those_there_are():
    with pytest.raises(UsageError, match=r"named 'simpleGRS'") as error:
        load_strategy("simpleGRS")
    assert "Did you mean simpleGSR?" in str(error.value)
    assert "36P" in str(error.value)


PATH = Path("sub-01_desc-confounds_timeseries.tsv")


def table_of(**columns):
    return pd.DataFrame({name: np.asarray(values, float) for name, values in columns.items()})


def strategy_of(*confounds):
    return Strategy("mine", "For a test.", confounds)


def test_first_row_takes_the_second_rows_value():
    table = table_of(a=[np.nan, 2, 3], b=[1, 5, 7])
    design = make_design(table, strategy_of("a", "b"), PATH, 3)
    np.testing.assert_array_equal(design.values, [[2, 1], [2, 5], [3, 7]])


def test_non_steady_state_volumes_are_not_kept():
    table = table_of(a=[1, 2, 3, 4], non_steady_state_outlier00=[1, 0, 0, 0])
    table["non_steady_state_outlier01"] = [0.0, 1, 0, 0]
    design = make_design(table, strategy_of("a"), PATH, 4)
    assert design.kept.tolist() == [False, False, True, True]


def test_patterns_and_names():
    table = table_of(cosine00=[1, 2], cosine01=[1, 3], cosine=[0, 1], rot_x=[3, 4])
    strategy = strategy_of(r"^cosine\d+$", "rot_x", "^rot", "^nothing")
    assert make_design(table, strategy, PATH, 2).columns == ("cosine00", "cosine01", "rot_x")


@pytest.mark.parametrize(
    ("table", "phrase"),
    [
        (table_of(a=[1, 2, 3]), "has 3 rows, but the BOLD image has 4 volumes"),
        (table_of(b=[1, 2, 3, 4]), "has no column a, which the strategy mine needs"),
        (table_of(a=[1, np.nan, 3, 4]), "value in column a, row 2, is missing"),
        (table_of(a=[1, 2, 3, np.inf]), "value in column a, row 4, is missing"),
        (table_of(a=[np.nan] * 4), "value in column a, row 1, is missing"),
        (pd.DataFrame({"a": [1, 2, "x", 4]}), "'x' in column a, row 3, is not a number"),
    ],
)
def test_unusable_tables(table, phrase):
    with pytest.raises(DataError, match=phrase) as error:
        make_design(table, strategy_of("a"), PATH, 4)
    assert str(PATH) in str(error.value)


def test_a_missing_column_names_a_similar_one():
    with pytest.raises(DataError, match="Similar columns there: white_matter"):
        make_design(table_of(white_matter=[1, 2]), strategy_of("whitematter"), PATH, 2)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00a\tb", b'a\tb\n"1\t2\n'])
def test_files_that_are_no_tables(tmp_path, content):
    path = tmp_path / "confounds.tsv"
    path.write_bytes(content)
    with pytest.raises(DataError, match="can't be read as a TSV table") as error:
        read_confounds(path)
    assert str(path) in str(error.value)


def test_rank_counts_dimensions_not_columns():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 50))
    table = table_of(a=a, b=1e6 + 1e-3 * b, c=a, d=2 * a - 3, e=np.full(50, 7), f=np.arange(50))
    design = make_design(table, strategy_of("^[a-f]$"), PATH, 50)
    assert design.rank(detrend=False) == 4  # mean, a, b, f
    assert design.rank(detrend=True) == 4  # f is the trend
    assert design.degrees_of_freedom(detrend=True) == 46


def test_rank_is_that_of_the_kept_volumes():
    table = table_of(a=[0, 0, 0, 0, 1], non_steady_state_outlier00=[0, 0, 0, 0, 1])
    design = make_design(table, strategy_of("a"), PATH, 5)
    assert (design.n_kept, design.rank(detrend=False)) == (4, 1)


def test_mean_framewise_displacement():
    table = table_of(a=[1, 2, 3], framewise_displacement=[np.nan, 0.2, 0.4])
    design = make_design(table, strategy_of("a"), PATH, 3)
    assert design.mean_framewise_displacement == pytest.approx(0.3)
    without = make_design(table[["a"]], strategy_of("a"), PATH, 3)
    assert np.isnan(without.mean_framewise_displacement)
