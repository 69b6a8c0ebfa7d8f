"""What the room needs."""

from __future__ import annotations

import subprocess
import sys

_LOADED = """
import sys
import bids_spheres.group.inference
print(*sorted({name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names))
"""


def test_numpy_and_scipy_are_all_that_is_loaded():
    done = subprocess.run(
        [sys.executable, "-c", _LOADED], capture_output=True, text=True, check=True
    )
    loaded = {name for name in done.stdout.split() if not name.startswith("_")}
    assert {"numpy", "scipy"} < loaded
    assert not loaded & {"pandas", "nibabel", "sklearn", "matplotlib", "joblib", "nilearn", "tqdm"}
