"""Fixtures of the pages that the masker makes."""

from __future__ import annotations

from tests.reports.toolkit.conftest import background, facts, mask, parse

__all__ = ["background", "facts", "mask", "parse"]
