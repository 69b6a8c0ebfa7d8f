"""What the user asks of the group level, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

RUN_KEYS = ("sub", "ses", "task", "acq", "run", "echo")
"""Entities that tell which runs are meant, and not what was made of them."""


@dataclass(frozen=True)
class GroupOptions:
    """What is wanted of the group level.

    Parameters
    ----------
    select : tuple of (str, tuple of str)
        Labels to keep, without their keys, by entity: ``(("task", ("rest",)), ("desc",
        ("simple", "36P")))``. An entity that is not named keeps all. ``seeds`` stands for
        ``atlas`` and ``seg``, ``"func"`` for a name without ``space``.
    by_session : bool
        Summarize every session by itself, instead of averaging a participant's sessions.
    expected : tuple of (str, str)
        Participants of the input and of its table, with their key, and where they are known from.
    model : str, optional
        Formula of participants' variables that explain edges, e.g. ``"age + sex"``.
    participants_table : Path, optional
        participants.tsv with those variables; by default that of the output dataset.
    pool_spaces : bool
        Put participants whose images are in different MNI spaces into one group.
    qcfc_covariates : tuple of str
        Columns of the same table that QC-FC is adjusted for.
    min_participants : int
        Participants without whom an edge is not tested.
    """

    select: tuple[tuple[str, tuple[str, ...]], ...] = ()
    by_session: bool = False
    expected: tuple[tuple[str, str], ...] = ()
    model: str | None = None
    participants_table: Path | None = None
    pool_spaces: bool = False
    qcfc_covariates: tuple[str, ...] = ()
    min_participants: int = 3
