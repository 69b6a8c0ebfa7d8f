"""What the user asks of the group level, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from bids_spheres.errors import UsageError
from bids_spheres.settings.table import GroupChoices

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN_KEYS = ("sub", "ses", "task", "acq", "run", "echo")
"""Entities that tell which runs are meant, and not what was made of them."""

CONDITION_KEYS = {"session": "ses", "task": "task", "run": "run"}
"""Entities whose labels are the conditions of repeated measures."""


_OWN_CLUSTERS = "--within with a model has clusters of its own: the participants."
_OWN_SIGNS = "Rows of a participant change signs together already."
_NOT_PERMUTED = (
    "Leave --inference out; or take --blocks in place of --clusters, and --contrast in place of "
    "--model to compare the conditions of --within, as change=post-pre."
)
_NO_VOXELS = "The estimates of edges are not those of voxels: run the group level twice."
_EXCLUSIVE = (
    ("clusters", ("weights", "variance_groups", "within"), _OWN_CLUSTERS),
    ("weights", ("variance_groups", "within", "harmonize"), "Leave one of them out."),
    ("within", ("blocks", "variance_groups", "harmonize"), _OWN_SIGNS),
    ("seed_maps", ("harmonize_from",), _NO_VOXELS),
    ("multiverse", ("weights",), "Leave one of them out."),
    ("harmonize_within", ("harmonize_from",), "The one estimates anew what the other gives."),
)
"""An option, those that it does not go with, and what to do."""

_NEEDED = (
    ("multiverse_edges", "multiverse", "Add it."),
    ("whole_blocks", "blocks COLUMN", "Name the column of families or sites."),
    ("harmonize_within", "harmonize COLUMN", "Name the column of sites."),
    ("harmonize_from", "harmonize COLUMN", "Name the column of sites."),
)
"""An option, the one that it needs, and what to do."""


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


@dataclass(frozen=True)
class GroupOptions(GroupChoices):
    """Choices of the group level, with the labels they apply to.

    `select` are labels to keep, without their keys, by entity: ``(("task", ("rest",)), ("desc",
    ("simple", "36P")))``; an entity that is not named keeps all. ``seeds`` stands for ``atlas`` and
    ``seg``, ``"func"`` for a name without ``space``. `expected` are participants of the input and
    of its table, with their key, and where they are known from. With `seed_maps` maps of these
    seeds are averaged too; with `controls` negative controls, and head motion is permuted.
    """

    select: tuple[tuple[str, tuple[str, ...]], ...] = ()
    expected: tuple[tuple[str, str], ...] = ()
    seed_maps: tuple[str, ...] = ()
    controls: bool = False

    def __post_init__(self) -> None:
        """Refuse (UsageError) options that exclude one another, or need one that is missing."""
        for broken, problem, hint in self._rules():
            if broken:
                raise UsageError(problem, hint=hint)
        if self.harmonize_within and not self.blocks:
            # Tests are liberal when participants change their site and are harmonized there.
            object.__setattr__(self, "blocks", self.harmonize)

    @property
    def grouping(self) -> dict[str, bool]:
        """How matrices become groups, as `group_of` takes it."""
        return {
            "by_session": self.by_session,
            "pool_spaces": self.pool_spaces,
            "within_task": self.within == "task",
        }

    def _rules(self) -> Iterator[tuple[object, str, str]]:
        """Whether a rule is broken, what is wrong then, and what to do."""
        yield (
            self.contrast and not (self.model or self.within),
            "--contrast is about the terms of a model, or the conditions of --within.",
            'Give a model, as --model "age + sex"; without one the mean is tested.',
        )
        yield (
            self.within == "session" and self.by_session,
            "--within session compares the sessions that --by-session keeps apart.",
            "Leave one of them out.",
        )
        permuted = [name for name in self.inference if name != "fdr"]
        yield (
            permuted and (self.clusters or (self.within and self.model) or self.weights),
            "Permutations don't go with --clusters, --weights or --within with a model.",
            _NOT_PERMUTED,
        )
        yield (
            permuted and (self.model or self.within) and not self.contrast,
            f"--inference {' '.join(permuted)} corrects contrasts, and none is named.",
            "Add --contrast, as age=age for a model with age, or change=post-pre for --within.",
        )
        yield (
            self.stacked_format == "parquet" and find_spec("pyarrow") is None,
            "--stacked-format parquet needs pyarrow, which is not installed.",
            'pip install "bids-spheres[group]"',
        )
        for name, others, hint in _EXCLUSIVE:
            *flags, last = map(_flag, others)
            alternatives = " or ".join(filter(None, [", ".join(flags), last]))
            broken = getattr(self, name) and any(getattr(self, other) for other in others)
            yield broken, f"{_flag(name)} does not go with {alternatives}.", hint
        yield (
            {"cluster", "tfce"} & {*self.inference} and not self.seed_maps,
            "--inference cluster and tfce are about maps of seeds.",
            "Add --seed-maps, or take nbs and tfnbs for edges.",
        )
        for edge in self.multiverse_edges:
            yield (
                "," not in edge,
                f"--multiverse-edges {edge} is not NODE,NODE.",
                "Name both seeds of the edge, with a comma between them.",
            )
        for name, needed, hint in _NEEDED:
            broken = getattr(self, name) and not getattr(self, needed.split()[0])
            yield broken, f"{_flag(name)} needs --{needed}.", hint
