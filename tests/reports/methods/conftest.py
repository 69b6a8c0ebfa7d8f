"""The methods text of a strategy and of options."""

from __future__ import annotations

import re
from importlib import resources

import numpy as np

from bids_spheres.confounds.strategy import Strategy
from bids_spheres.data.published import published_strategies
from bids_spheres.engine.seeds import SeedTable, published_seed_sets
from bids_spheres.reports.methods.citation import MethodsFacts, methods_paragraph
from bids_spheres.reports.methods.references import in_plain_words

DATA = resources.files("bids_spheres") / "data"
BIB = (DATA / "references.bib").read_text(encoding="utf-8")
PRESETS = published_strategies()
SETS = published_seed_sets()


def table(radii, label="mine", **more) -> SeedTable:
    n = len(radii)
    names = tuple(f"seed_{i}" for i in range(n))
    return SeedTable(label, names, np.zeros((n, 3)), np.array(radii, float), **more)


def told(strategy: Strategy | None = None, **facts) -> str:
    """The text in plain words; of coverage it speaks only when asked to."""
    strategies = () if strategy is None else (strategy,)
    facts = {"min_coverage": 0.0} | facts
    return in_plain_words(methods_paragraph(MethodsFacts(strategies=strategies, **facts)))


def own(**values) -> Strategy:
    return Strategy("mine", values.pop("description", ""), **values)


def check_prose(text: str) -> None:
    """What holds for any grammatical text of ours, in plain words."""
    assert not re.search(r"None|nan|  | [,.;:)]|\( |\.\.|;;|,,|\[@|\\", text)
    assert text.count("(") == text.count(")")
    for paragraph in text.split("\n\n"):
        assert re.match(r"[A-Z]", paragraph)
        assert paragraph.endswith(".")
        assert "\n" not in paragraph
