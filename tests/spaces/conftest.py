"""Where the transforms made by ITK are, and where ITK takes points through them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def itk_data() -> Path:
    """Files that SimpleITK wrote (``make_transforms.py`` there)."""
    return DATA


@pytest.fixture(scope="session")
def itk_truth() -> SimpleNamespace:
    """Points, mm, RAS, and where ITK takes them."""
    truth = json.loads((DATA / "truth.json").read_text())
    truth["blob"] = {when: np.array(point) for when, point in truth["blob"].items()}
    return SimpleNamespace(**truth)
