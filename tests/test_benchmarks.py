"""Benchmarks name functions that exist."""

from __future__ import annotations

from importlib import import_module
from operator import attrgetter

import pytest

from tests.conftest import PROJECT


@pytest.fixture
def group(monkeypatch):
    """The benchmark of the group level."""
    monkeypatch.syspath_prepend(PROJECT / "benchmarks")
    return import_module("group")


def test_parts_of_the_group_level_that_are_timed_exist(group):
    for module, name in group._PARTS:
        holder = import_module(f"bids_spheres.group.{module}")
        assert callable(attrgetter(name)(holder)), (module, name)
