"""The interface of all executors."""

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
    """Something that applies a function to many things, mostly in other processes."""

    def run(
        self, do: Callable[[Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[Item, Result | Lost]]:
        """Yield every item with the result of the function, in the order in which they end.

        An item whose worker is lost is tried once more when all others are done. Nothing is at
        work any more when the generator is closed or comes to its end, as far as that is in the
        executor's power.

        Parameters
        ----------
        do : callable
            Of a module that workers can import; raises nothing.
        items : sequence
            Can be pickled, as can results.
        """
        ...
