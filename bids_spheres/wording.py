"""Numbers and names in sentences, for every message and page."""

from __future__ import annotations


def count(n: int, thing: str, things: str | None = None) -> str:
    """How many there are of something.

    >>> count(1, "voxel"), count(1200, "voxel"), count(0, "radius", "radii")
    ('1 voxel', '1,200 voxels', 'no radii')
    """
    return f"{n:,} {plural(n, thing, things)}" if n else f"no {plural(n, thing, things)}"


def plural(n: int, thing: str, things: str | None = None) -> str:
    """A noun as it stands after a number.

    >>> plural(1, "run"), plural(2, "run"), plural(3, "has", "have")
    ('run', 'runs', 'have')
    """
    return thing if n == 1 else things or f"{thing}s"
