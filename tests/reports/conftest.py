"""Calls here are about pages."""

from __future__ import annotations

import pytest


@pytest.fixture
def run_app(run_as_typed):
    """Call the command line in this process, with its pages."""
    return run_as_typed
