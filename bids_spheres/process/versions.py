"""Versions of the software that a result may depend on."""

from __future__ import annotations

import platform
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bids_spheres import __version__

_COMPARED = ("bids-spheres", "nibabel", "numpy", "pandas", "scipy")
"""Packages whose versions may change numbers."""


def versions() -> dict[str, str]:
    """Versions, in this process, of the software that a result may depend on."""
    installed = {
        "bids-spheres": __version__,
        "Python": f"{platform.python_version()} on {platform.platform()}",
    }
    for name in ("h5py", "nibabel", "numpy", "pandas", "pybids", "scipy", "zlib-ng"):
        with suppress(PackageNotFoundError):
            installed[name] = version(name)
    return installed


@cache
def software() -> dict[str, str]:
    """Versions that machines must share, with a digest, as a working copy has one version."""
    root, digest = Path(__file__).parents[1], sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix not in (".pyc", ".pyo"):
            content = sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(root)}\0{content}\0".encode())
    compared = {name: version for name, version in versions().items() if name in _COMPARED}
    return compared | {"bids-spheres with files of digest": digest.hexdigest()[:12]}
