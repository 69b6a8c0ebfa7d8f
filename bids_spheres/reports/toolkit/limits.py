"""Limits beyond which pages warn of head motion, of censoring and of few degrees of freedom."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.confounds.degrees_of_freedom import FEW_DEGREES_OF_FREEDOM
from bids_spheres.wording import count, number, percent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bids_spheres.reports.toolkit.render import TableColumn

HIGH_MOTION, VERY_HIGH_MOTION = 0.25, 0.55
"""Mean framewise displacement, mm: the stringent and the lenient limit of Parkes et al. 2018
(doi:10.1016/j.neuroimage.2017.12.073)."""

# Share of volumes with much motion beyond which Parkes et al. exclude a participant
MANY_CENSORED = 0.2

LIMITS_IN_WORDS = (
    f"Amber: mean FD above {HIGH_MOTION} mm, more than {percent(MANY_CENSORED)} of volumes "
    f"censored, or fewer than {FEW_DEGREES_OF_FREEDOM} degrees of freedom, with which one pair in "
    "20 correlates beyond 0.39 by chance. Red: mean FD above "
    f"{VERY_HIGH_MOTION} mm, at most 2 degrees of freedom, or excluded. The limits of motion and "
    "censoring are those of Parkes et al. 2018 (doi:10.1016/j.neuroimage.2017.12.073), for "
    "Jenkinson's framewise displacement; that of Power, which fMRIPrep writes, is larger."
)


@dataclass(frozen=True)
class Judgement:
    """A quantity in words, and ``"warn"`` or ``"bad"`` beyond a limit."""

    text: str
    tone: str = ""


def judge_motion(mean_fd: float) -> Judgement:
    """Mean framewise displacement, mm; NaN where it is not known."""
    if not np.isfinite(mean_fd):
        return Judgement("mean FD not known")
    text = f"mean FD {number(mean_fd)} mm"
    if mean_fd > VERY_HIGH_MOTION:
        return Judgement(f"{text}: very high", "bad")
    return Judgement(f"{text}: high", "warn") if mean_fd > HIGH_MOTION else Judgement(text)


def judge_censoring(kept: float, n_volumes: float) -> Judgement:
    """Volumes that are kept, of all."""
    text = f"{kept:,.0f} of {count(int(n_volumes), 'volume')} kept"
    many = kept < (1 - MANY_CENSORED) * n_volumes
    return Judgement(f"{text}: many censored", "warn") if many else Judgement(text)


def judge_degrees_of_freedom(left: float) -> Judgement:
    """Degrees of freedom that cleaning leaves."""
    text = f"{number(left, 0)} degrees of freedom"
    if left <= 2:
        return Judgement(f"{text}: too few", "bad")
    return Judgement(f"{text}: few", "warn") if left < FEW_DEGREES_OF_FREEDOM else Judgement(text)


def toned(column: TableColumn, judgements: Iterable[Judgement]) -> TableColumn:
    """A column of a table in the colours of judgements."""
    head, cells = column
    return head, [replace(cell, tone=j.tone) for cell, j in zip(cells, judgements, strict=True)]


@dataclass(frozen=True)
class Verdict:
    """One line and a colour for a run or a participant."""

    anchor: str
    name: str
    text: str
    tone: str = ""

    @classmethod
    def of(cls, anchor: str, name: str, judgements: list[Judgement]) -> Verdict:
        """Join judgements; the worst gives the colour."""
        tone = min((j.tone for j in judgements if j.tone), default="")  # "bad" is before "warn"
        return cls(anchor, name, "; ".join(j.text for j in judgements), tone)
