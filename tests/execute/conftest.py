"""Folders that a call and its workers share."""

from __future__ import annotations

import pytest


@pytest.fixture
def dataset(tmp_path):
    """Folders that are read, and folders that are written to."""
    for name in ("in", "out", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "in" / "dataset_description.json").write_text("{}")
    return [tmp_path / "in"], [tmp_path / "out", tmp_path / "work"]
