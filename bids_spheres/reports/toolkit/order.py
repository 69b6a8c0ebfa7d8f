"""Spheres in the order of their networks, and where each network stands in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.engine.seeds import NO_NETWORK, is_network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Group:
    """Neighbours in an order that belong together: from `start`, up to and without `stop`."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Order:
    """A new order of spheres."""

    indices: NDArray[np.intp]  # (S,); Which sphere is at each place
    groups: tuple[Group, ...] = ()  # Networks; empty when no sphere has one


def network_order(networks: Sequence[str]) -> Order:
    """Networks in the order of their first sphere; those without a network come last.

    >>> order = network_order(["b", "n/a", "a", "b"])
    >>> order.indices.tolist(), [group.name for group in order.groups]
    ([0, 3, 2, 1], ['b', 'a', 'n/a'])
    """
    names = list(dict.fromkeys(networks))
    if len(names) < 2 and names[:1] in ([], [NO_NETWORK]):
        return Order(np.arange(len(networks)))
    names.sort(key=lambda name: not is_network(name))  # sorting keeps the order of equals
    members = [np.flatnonzero([network == name for network in networks]) for name in names]
    edges = np.cumsum([0, *map(len, members)]).tolist()
    groups = (
        Group(name, start, stop)
        for name, start, stop in zip(names, edges[:-1], edges[1:], strict=True)
    )
    return Order(np.concatenate(members), tuple(groups))


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Rising places moved as little as needed to be `gap` apart from `low` to `high`.

    >>> spread([1, 2, 50], 10, 0, 60)
    [1.0, 11.0, 50.0]
    """
    moved: list[float] = []
    for place in places:
        moved.append(max(float(place), moved[-1] + gap) if moved else max(float(place), low))
    ceiling = high
    for i in reversed(range(len(moved))):
        moved[i] = min(moved[i], ceiling)
        ceiling = moved[i] - gap
    return moved
