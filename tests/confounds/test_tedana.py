"""tedana's two tables against nilearn, on its own test data."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nilearn.interfaces.fmriprep import load_confounds

from bids_spheres.confounds.design import make_design
from bids_spheres.confounds.strategy import Strategy
from bids_spheres.confounds.tables import read_tedana, tedana_regressors
from bids_spheres.errors import DataError

PATH = Path("mixing.tsv")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Paths of the tables of a run, beside its BOLD image."""
    folder = tmp_path_factory.mktemp("tedana")
    data = resources.files("nilearn.interfaces.fmriprep") / "data"
    for name in ("ICA_mixing", "tedana_metrics"):
        shutil.copy(str(data / f"test_desc-{name}.tsv"), folder / f"sub-1_desc-{name}.tsv")
    (folder / "sub-1_desc-optcom_bold.nii.gz").touch()
    return folder / "sub-1_desc-ICA_mixing.tsv", folder / "sub-1_desc-tedana_metrics.tsv"


def table_of(n_volumes):
    return pd.DataFrame({"csf": np.arange(float(n_volumes))})


def test_rejected_components_are_nilearns(tables):
    image = str(tables[0].with_name("sub-1_desc-optcom_bold.nii.gz"))
    expected, kept = load_confounds(image, ("tedana",), tedana="aggressive")
    strategy = Strategy("a", "", tedana="aggressive")
    n_volumes = len(expected)
    design = make_design(
        table_of(n_volumes), strategy, PATH, n_volumes, extra=[read_tedana(*tables)]
    )
    assert set(design.columns) == set(expected.columns)
    assert kept is None
    assert design.kept.all()
    values = design.values - design.values.mean(axis=0)
    np.testing.assert_allclose(values, expected[list(design.columns)], atol=1e-10)


def test_orthogonal_components_are_uncorrelated_with_accepted_ones():
    rng = np.random.default_rng(0)
    mixing = pd.DataFrame(rng.standard_normal((50, 5)), columns=[f"ICA_{i:02d}" for i in range(5)])
    metrics = pd.DataFrame(
        {
            "Component": [f"ICA_{i}" for i in range(5)],  # as tedana 24 pads them
            "classification": ["accepted", "rejected", "accepted", "rejected", "ignored"],
        }
    )
    regressors = tedana_regressors(mixing, metrics, PATH)
    strategy = Strategy("a", "", tedana="orthogonal")
    design = make_design(table_of(50), strategy, PATH, 50, extra=[regressors])
    assert design.columns == ("rejected_orth_ICA_01", "rejected_orth_ICA_03")
    with_signal = np.corrcoef(design.values.T, mixing[["ICA_00", "ICA_02"]].T)[:2, 2:]
    np.testing.assert_allclose(with_signal, 0, atol=1e-12)
    # Together with the accepted ones they span what the plain ones do.
    both = np.column_stack([mixing.iloc[:, :4], design.values, np.ones(50)])
    assert np.linalg.matrix_rank(both) == 5


def test_nothing_rejected():
    mixing = pd.DataFrame({"ICA_00": [1.0, 2, 3]})
    metrics = pd.DataFrame({"Component": ["ICA_00"], "classification": ["accepted"]})
    extra = [tedana_regressors(mixing, metrics, PATH)]
    for form in ("aggressive", "orthogonal"):
        design = make_design(table_of(3), Strategy("a", "", tedana=form), PATH, 3, extra=extra)
        assert design.columns == ()
        assert design.notes == ("tedana rejected no component of this run.",)


def test_without_its_tables():
    with pytest.raises(DataError, match="no tedana components"):
        make_design(table_of(3), Strategy("a", "", tedana="aggressive"), PATH, 3)


@pytest.mark.parametrize(
    ("metrics", "phrase"),
    [
        ({"component": ["ICA_00"], "classification": ["accepted"]}, "has no column Component"),
        ({"Component": ["ICA_00"]}, "has no column classification"),
        ({"Component": ["ICA_01"], "classification": ["accepted"]}, "has no component that the"),
    ],
)
def test_tables_that_dont_belong_together(metrics, phrase):
    with pytest.raises(DataError, match=phrase):
        tedana_regressors(pd.DataFrame({"ICA_00": [1.0, 2]}), pd.DataFrame(metrics), PATH)
