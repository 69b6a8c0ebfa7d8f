"""Versions of what a result may depend on."""

from __future__ import annotations

import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from bids_spheres import __version__


def versions() -> dict[str, str]:
    """Names and versions of what a result may depend on, as this process has them."""
    found = {
        "bids-spheres": __version__,
        "Python": f"{platform.python_version()} on {platform.platform()}",
    }
    for name in ("h5py", "nibabel", "numpy", "pandas", "pybids", "scipy", "zlib-ng"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
