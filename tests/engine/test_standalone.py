"""The engine with numpy, scipy and nibabel alone."""

from __future__ import annotations

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

import bids_spheres

CODE = """
import importlib.abc, json, sys

ALLOWED = {"numpy", "scipy", "nibabel", "bids_spheres", "zlib_ng", "packaging", "typing_extensions"}

class OnlyThese(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in ALLOWED | sys.stdlib_module_names and not top.startswith("_"):
            raise ModuleNotFoundError(f"{name} is not there", name=name)

sys.meta_path.insert(0, OnlyThese())
from bids_spheres.engine import extract_spheres
seeds = [(-10, 0, 0), (10, 0, 0)]
print(json.dumps(extract_spheres(sys.argv[1], seeds, radius=6).timeseries.tolist()))
"""


@pytest.mark.parametrize("without", ["", "zlib_ng"])
def test_time_series_without_anything_else(tiny, without):
    bold = tiny.add_run(n_volumes=5)
    code = CODE.replace(f'"{without}", ', "") if without else CODE
    done = subprocess.run(
        [sys.executable, "-c", code, bold], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

    img = nib.load(bold)
    data, affine = img.get_fdata(), img.affine
    grid = np.stack(np.indices(data.shape[:3]), axis=-1) @ affine[:3, :3].T + affine[:3, 3]
    expected = [
        data[np.linalg.norm(grid - seed, axis=-1) <= 6].mean(axis=0)
        for seed in ((-10, 0, 0), (10, 0, 0))
    ]
    np.testing.assert_allclose(json.loads(done.stdout), np.transpose(expected), rtol=1e-6)


def test_public_names_are_lazy():
    code = "import sys, bids_spheres; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    assert len(bids_spheres.load_seeds("Power2011")) == 264
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        bids_spheres.nothing  # noqa: B018 - the access is what is tested
