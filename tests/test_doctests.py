"""Examples in the docstrings of the installed package."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module

import pytest

import bids_spheres

MODULES = [
    module.name
    for module in pkgutil.walk_packages(bids_spheres.__path__, "bids_spheres.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(import_module(name)).failed == 0
