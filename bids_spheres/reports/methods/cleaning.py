"""Sentences about cleaning that hold for every strategy, and about connectivity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_spheres.reports.methods.denoising import removes_global_signal, removes_something
from bids_spheres.reports.methods.markdown import cite, code, escape, listing
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bids_spheres.reports.methods.methods_facts import MethodsFacts

_STANDARDIZED = {
    "zscore_sample": "standardized to zero mean and unit variance, with the sample standard "
    "deviation (N - 1)",
    "zscore": "standardized to zero mean and unit variance, with the population standard "
    "deviation (N)",
    "psc": r"expressed as per cent signal change, 100 (x - mean) / \|mean\|",
}
"""By the names of `bids_spheres.engine.clean`, with its formulas."""


def cleaning(facts: MethodsFacts) -> Iterator[str]:
    """What all strategies have in common."""
    if len(facts.strategies) > 1:
        names = listing([escape(strategy.name) for strategy in facts.strategies])
        yield f"These {len(facts.strategies)} strategies ({names}) were alternatives."
    flagged = "that fMRIPrep flagged as acquired before the magnetization was steady"
    n = facts.dummy_scans
    if isinstance(n, int) and n > 0:
        first = "volume" if n == 1 else f"{n} volumes"
        yield f"The first {first} of each run, and any others {flagged}, were left out."
    else:
        yield f"Volumes {flagged} were left out."
    regresses = any(map(removes_something, facts.strategies))
    if facts.detrend:
        what = "signals and confounds before regression" if regresses else "the signals"
        yield f"Mean and linear trend were removed from {what}."
    standardize = "zscore_sample" if facts.standardize is True else facts.standardize
    if standardize:
        yield f"At the end, the signals were {_STANDARDIZED[standardize]}."
    if least := facts.min_dof:
        trend = ["trend"] if facts.detrend else []
        removed = [*(["confounds"] if regresses else []), "mean", *trend]
        counted = f"volumes kept, less the rank of {listing(removed)}"
        if any(own.filter and own.filter.type != "cosine" for own in facts.strategies):
            counted += (
                "; with a Butterworth filter, one over the variance that the correlation of two "
                "independent white series has after the same steps"
            )
        yield (
            f"Runs that a strategy left with fewer than {count(least, 'degree')} of freedom "
            f"({counted}) were excluded from its results."
        )
    if facts.full_length:
        yield "In the files of time series, volumes left out are rows of missing values."
    if any(map(removes_global_signal, facts.strategies)):
        yield f"Removal of the global signal is debated {cite('murphy2009', 'fox2009')}."
    kinds = [
        (s.motion, s.wm_csf, s.global_signal, s.compcor, s.ica_aroma) for s in facts.strategies
    ]
    if any(map(any, kinds)):
        compared = cite("ciric2017", "parkes2018", "wang2024")
        yield f"Benchmarks have compared strategies of this kind {compared}."


_SHRUNK = f"a covariance shrunk after Ledoit and Wolf {cite('ledoit2004')}"

_MEASURES = {
    "pearsoncorrelation": "Pearson's correlation coefficient",
    "fisherz": "Fisher's z, the inverse hyperbolic tangent of Pearson's correlation coefficient "
    f"{cite('fisher1915')}",
    "spearmancorrelation": f"Spearman's rank correlation coefficient {cite('spearman1904')}",
    "covariance": "the sample covariance",
    "ledoitwolfcorrelation": f"the correlation coefficient from {_SHRUNK}",
    "partialcorrelation": "the partial correlation given all others of the set "
    f"{cite('marrelec2006')}, from {_SHRUNK}",
    "precision": f"the precision, which is the inverse of {_SHRUNK}",
}
"""By the labels of their ``stat`` entities."""


def connectivity(measures: Sequence[str], things: str) -> Iterator[str]:
    """Which measures were computed; an unknown one by its label."""
    if measures:
        named = listing([_MEASURES.get(label) or code(label) for label in measures])
        yield f"Connectivity of all pairs of {things} of a set was measured in each run by {named}."
