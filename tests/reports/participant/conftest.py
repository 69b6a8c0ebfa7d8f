"""Fixtures of the pages that the participants have."""

from __future__ import annotations

from tests.reports.toolkit.conftest import parse

__all__ = ["parse"]
