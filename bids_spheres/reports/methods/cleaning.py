"""Sentences about cleaning that hold for every strategy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_spheres.reports.methods.denoising import (
    is_benchmarked,
    removes_global_signal,
    removes_something,
)
from bids_spheres.reports.methods.wording import cite, escape, listing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids_spheres.reports.methods.facts import MethodsFacts

_STANDARDIZED = {
    "zscore_sample": "standardized to zero mean and unit variance, with the sample standard "
    "deviation (N - 1)",
    "zscore": "standardized to zero mean and unit variance, with the population standard "
    "deviation (N)",
    "psc": r"expressed as per cent signal change, 100 (x - mean) / \|mean\|",
}
"""By the names of `bids_spheres.engine.clean`, with its formulas."""


def cleaning(facts: MethodsFacts) -> Iterator[str]:
    """What all strategies have in common; nothing without a strategy."""
    if not facts.strategies:
        return
    if len(facts.strategies) > 1:
        names = listing([escape(strategy.name) for strategy in facts.strategies])
        yield f"These {len(facts.strategies)} strategies ({names}) were alternatives."
    yield _left_out(facts)
    yield from _detrending(facts)
    yield from _standardization(facts)
    yield from _exclusion(facts)
    if facts.full_length:
        yield "In the files of time series, volumes left out are rows of missing values."
    if any(map(removes_global_signal, facts.strategies)):
        yield f"Removal of the global signal is debated {cite('murphy2009', 'fox2009')}."
    if any(map(is_benchmarked, facts.strategies)):
        compared = cite("ciric2017", "parkes2018", "wang2024")
        yield f"Benchmarks have compared strategies of this kind {compared}."


def _left_out(facts: MethodsFacts) -> str:
    flagged = "that fMRIPrep flagged as acquired before the magnetization was steady"
    n = facts.dummy_scans
    if isinstance(n, int) and n > 0:
        first = "volume" if n == 1 else f"{n} volumes"
        return f"The first {first} of each run, and any others {flagged}, were left out."
    return f"Volumes {flagged} were left out."


def _detrending(facts: MethodsFacts) -> Iterator[str]:
    if facts.detrend:
        removes = any(map(removes_something, facts.strategies))
        of_what = "signals and confounds before regression" if removes else "the signals"
        yield f"Mean and linear trend were removed from {of_what}."


def _standardization(facts: MethodsFacts) -> Iterator[str]:
    how = "zscore_sample" if facts.standardize is True else facts.standardize
    if how:
        yield f"At the end, the signals were {_STANDARDIZED[how]}."


def _exclusion(facts: MethodsFacts) -> Iterator[str]:
    """How degrees of freedom were counted, and how many a run had to have."""
    least = facts.min_dof
    if least > 0:
        degrees = "degree" if least == 1 else "degrees"
        yield (
            f"Runs that a strategy left with fewer than {least} {degrees} of freedom "
            f"({_counted(facts)}) were excluded from its results."
        )


def _counted(facts: MethodsFacts) -> str:
    removed = ["confounds"] if any(map(removes_something, facts.strategies)) else []
    removed += ["mean", "trend"] if facts.detrend else ["mean"]
    rank = f"volumes kept, less the rank of {listing(removed)}"
    filters = {strategy.filter.type for strategy in facts.strategies if strategy.filter}
    if "butterworth" in filters:
        return (
            f"{rank}; with a Butterworth filter, one over the variance that the correlation of two "
            "independent white series has after the same steps"
        )
    return rank
