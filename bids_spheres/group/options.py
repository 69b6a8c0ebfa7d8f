"""What the user asks of the group level, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from bids_spheres.errors import UsageError
from bids_spheres.settings import GroupChoices

RUN_KEYS = ("sub", "ses", "task", "acq", "run", "echo")
"""Entities that tell which runs are meant, and not what was made of them."""

CONDITION_KEYS = {"session": "ses", "task": "task", "run": "run"}
"""Entities whose labels are the conditions of repeated measures."""


_Rule = tuple[bool, str, str]
"""Whether a rule is broken, what is wrong then, and what to do."""


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
    seed_maps : tuple of str
        Average and test maps of these seeds too, or of all.
    """

    select: tuple[tuple[str, tuple[str, ...]], ...] = ()
    expected: tuple[tuple[str, str], ...] = ()
    seed_maps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse (UsageError) options that exclude one another, or need one that is missing."""
        for broken, problem, hint in (*self._about_tests, *self._about_columns):
            if broken:
                raise UsageError(problem, hint=hint)
        if self.harmonize_within and not self.blocks:
            # Tests are liberal when participants change their site and are harmonized there.
            object.__setattr__(self, "blocks", self.harmonize)

    @property
    def _about_tests(self) -> tuple[_Rule, ...]:
        permuted = any(name != "fdr" for name in self.inference)
        repeated = bool(self.within and self.model)
        return (
            (
                bool(self.contrast) and not (self.model or self.within),
                "--contrast is about the terms of a model, or the conditions of --within.",
                'Give a model, as --model "age + sex"; without one the mean is tested.',
            ),
            (
                self.within == "session" and self.by_session,
                "--within session compares the sessions that --by-session keeps apart.",
                "Leave one of them out.",
            ),
            (
                permuted and bool(self.clusters or repeated or self.weights),
                "Permutations don't go with --clusters, --weights or --within with a model.",
                "Take --inference fdr, or --blocks for what may be permuted.",
            ),
            (
                bool(self.clusters) and bool(self.weights or self.variance_groups or self.within),
                "--clusters does not go with --weights, --variance-groups or --within.",
                "--within with a model has clusters of its own: the participants.",
            ),
            (
                bool(self.weights) and bool(self.variance_groups or self.within or self.harmonize),
                "--weights does not go with --variance-groups, --within or --harmonize.",
                "Leave one of them out.",
            ),
            (
                bool(self.within) and bool(self.blocks or self.variance_groups or self.harmonize),
                "--within does not go with --blocks, --variance-groups or --harmonize.",
                "Rows of a participant change signs together already.",
            ),
        )

    @property
    def _about_columns(self) -> tuple[_Rule, ...]:
        return (
            (
                self.stacked_format == "parquet" and find_spec("pyarrow") is None,
                "--stacked-format parquet needs pyarrow, which is not installed.",
                'pip install "bids-spheres[group]"',
            ),
            (
                bool({"cluster", "tfce"} & {*self.inference}) and not self.seed_maps,
                "--inference cluster and tfce are about maps of seeds.",
                "Add --seed-maps, or take nbs and tfnbs for edges.",
            ),
            (
                bool(self.seed_maps) and bool(self.within or self.weights or self.harmonize),
                "--seed-maps does not go with --within, --weights or --harmonize.",
                "Run the group level twice.",
            ),
            (
                self.whole_blocks and not self.blocks,
                "--whole-blocks needs --blocks COLUMN.",
                "Name the column of families or sites.",
            ),
            (
                bool(self.harmonize_within or self.harmonize_from) and not self.harmonize,
                "--harmonize-within and --harmonize-from need --harmonize COLUMN.",
                "Name the column of sites.",
            ),
            (
                self.harmonize_within and bool(self.harmonize_from),
                "--harmonize-within estimates anew what --harmonize-from gives.",
                "Leave one of them out.",
            ),
        )
