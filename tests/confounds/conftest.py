"""nilearn as the oracle, on every confounds table of the test data."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from nilearn.interfaces.fmriprep import load_confounds, load_confounds_strategy

from bids_spheres.confounds.design import make_design
from bids_spheres.confounds.tables import read_confounds, read_metadata

if TYPE_CHECKING:
    from pathlib import Path

MINI = "fmriprep-mini/sub-03/func/sub-03_task-functionallocalizer"
PYBIDS = "confounds/fmriprep-20.2.1_pybids/sub-01_task-mixedgamblestask"
REGRESSORS = "desc-confounds_regressors.tsv"
TABLES = {
    "mini-run-1": f"{MINI}_run-1_desc-confounds_timeseries.tsv",
    "mini-run-2": f"{MINI}_run-2_desc-confounds_timeseries.tsv",
    "1.4-aroma": f"confounds/fmriprep-1.4_aroma_nilearn/test_{REGRESSORS}",
    "1.4-steady": f"confounds/fmriprep-1.4_no-nonsteady_nilearn/no_nonsteady_{REGRESSORS}",
    "20.2.1-run-01": f"{PYBIDS}_run-01_desc-preproc_timeseries.tsv",
    "20.2.1-run-02": f"{PYBIDS}_run-02_desc-preproc_timeseries.tsv",
    "21": "confounds/fmriprep-21_nilearn/test-v21_desc-confounds_timeseries.tsv",
    "21-90-rows": "confounds/fmriprep-21_90rows_nilearn/test-v21_desc-confounds_timeseries.tsv",
    "missing-columns": f"confounds/missing_columns/missing_{REGRESSORS}",
}


@dataclass(frozen=True)
class RealTable:
    """A table of the test data, in a tree in which nilearn finds it."""

    path: Path
    table: pd.DataFrame
    metadata: dict
    image_stem: str

    def design(self, strategy, **options):
        """What we make of it."""
        n_volumes = len(self.table)
        return make_design(
            self.table, strategy, self.path, n_volumes, metadata=self.metadata, **options
        )

    def nilearn(self, **options):
        """Columns, values and kept volumes that nilearn takes from it."""
        full_aroma = (
            options.get("ica_aroma") == "full" or options.get("denoise_strategy") == "ica_aroma"
        )
        desc = "smoothAROMAnonaggr" if full_aroma else "preproc"
        image = f"{self.image_stem}_space-MNI152NLin2009cAsym_desc-{desc}_bold.nii.gz"
        loader = load_confounds_strategy if "denoise_strategy" in options else load_confounds
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            confounds, kept = loader(image, **options)
        if confounds is None:
            confounds = pd.DataFrame(index=range(len(self.table)))
        return confounds, np.arange(len(self.table)) if kept is None else kept


def same(design, confounds, kept):
    """Whether a design is nilearn's, but for the mean that nilearn takes away; a reason if not."""
    if set(design.columns) != set(confounds.columns):
        return f"columns differ: {set(design.columns) ^ set(confounds.columns)}"
    if not np.array_equal(np.flatnonzero(design.kept), kept):
        return f"volumes differ: {np.flatnonzero(design.kept)} and {kept}"
    if not design.columns or not len(kept):
        return None
    values = design.values - design.values[design.kept].mean(axis=0)
    expected = confounds[list(design.columns)].to_numpy()
    close = np.isclose(values, expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())
    return None if close.all() else "values differ"


@pytest.fixture(scope="session")
def real_table(test_data, tmp_path_factory):
    """A function from the name of a table to the table."""
    made = {}

    def find(name):
        if name not in made:
            made[name] = _real_table(test_data / TABLES[name], tmp_path_factory.mktemp(name))
        return made[name]

    return find


def _real_table(path, folder):
    # nilearn finds tables by BIDS names, which not all of these have.
    copy = folder / f"sub-1_desc-confounds_{path.stem.rpartition('_')[2]}.tsv"
    shutil.copy(path, copy)
    metadata = read_metadata(path)
    if metadata:
        shutil.copy(path.with_suffix(".json"), copy.with_suffix(".json"))
    for desc in ("preproc", "smoothAROMAnonaggr"):
        (folder / f"sub-1_space-MNI152NLin2009cAsym_desc-{desc}_bold.nii.gz").touch()
    return RealTable(path, read_confounds(path), metadata, str(folder / "sub-1"))


@pytest.fixture(scope="session")
def same_as_nilearn():
    """`same`, for tests that can't import from here."""
    return same
