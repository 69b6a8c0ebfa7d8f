"""Process items on this machine or on many; a failure becomes a record and does not stop others.

An `Executor` applies a function to many items and does not know what they are. `local` has
worker processes of its own; `dask` uses the workers of a Dask scheduler, once they have given the
`proof` that they see the same files and software. `clusters` starts or finds a scheduler, or has
Slurm start its workers. The last two import Dask when it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from bids_spheres.errors import BidsSpheresError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")


class Lost(BidsSpheresError):  # noqa: N818 - a record, which is never raised
    """An item given up after two workers died on it."""


class Executor(Protocol):
    """Applies a function to many items, mostly in other processes."""

    def run(
        self, do: Callable[[Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[Item, Result | Lost]]:
        """Yield every item with the result of the function, in the order in which they end.

        An item whose worker is lost is tried once more when all others are done. When the generator
        ends or is closed, nothing is at work any more, as far as the executor can help it. The
        function comes from a module that workers can import and raises nothing; items and results
        can be pickled.
        """
        ...
