"""What the user asks of the group level, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass

from bids_spheres.settings import GroupChoices

RUN_KEYS = ("sub", "ses", "task", "acq", "run", "echo")
"""Entities that tell which runs are meant, and not what was made of them."""


@dataclass(frozen=True)
class GroupOptions(GroupChoices):
    """Choices of the group level, with the labels they apply to.

    Parameters
    ----------
    select : tuple of (str, tuple of str)
        Labels to keep, without their keys, by entity: ``(("task", ("rest",)), ("desc",
        ("simple", "36P")))``. An entity that is not named keeps all. ``seeds`` stands for
        ``atlas`` and ``seg``, ``"func"`` for a name without ``space``.
    expected : tuple of (str, str)
        Participants of the input and of its table, with their key, and where they are known from.
    """

    select: tuple[tuple[str, tuple[str, ...]], ...] = ()
    expected: tuple[tuple[str, str], ...] = ()
