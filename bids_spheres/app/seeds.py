"""Seed sets and centres of regions, in lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_spheres.data.published import published_seed_sets
from bids_spheres.engine.seeds import is_network, load_seeds
from bids_spheres.spaces.parcellations import load_regions
from bids_spheres.wording import count, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def describe_seed_sets(names: Sequence[str] = ()) -> Iterator[str]:
    """Describe seed sets, in lines of text.

    Parameters
    ----------
    names : sequence of str
        Names or files; all that ship with the package without them.
    """
    for name in names or published_seed_sets():
        seeds = load_seeds(name)
        yield seeds.label
        if description := seeds.metadata.get("Description"):
            yield f"  {description}"
        low, high = seeds.radii.min(), seeds.radii.max()
        radii = number(low) if low == high else f"{number(low)} to {number(high)}"
        yield f"  seeds:     {count(len(seeds), 'seed')} with a radius of {radii} mm"
        if networks := [n for n in dict.fromkeys(seeds.networks or ()) if is_network(n)]:
            yield f"  networks:  {', '.join(networks)}"
        yield f"  space:     {seeds.space or 'that of the images'}"
        if doi := seeds.metadata.get("DOI"):
            yield f"  source:    https://doi.org/{doi}"
        yield ""


def centroids_of(parcellation: str, space: str | None = None) -> Iterator[str]:
    """Table of the centres of mass of regions, as ``--seeds`` takes it, line by line.

    Parameters
    ----------
    parcellation : str
        What ``--parcellation`` takes.
    space : str, optional
        As `bids_spheres.spaces.parcellations.load_regions` takes it.
    """
    (table,) = load_regions([parcellation], (), space=space)
    with_network = table.networks is not None
    yield "\t".join(("name", "x", "y", "z", *["network"] * with_network, "space"))
    networks = table.networks or ("",) * len(table)
    for name, point, network in zip(table.names, table.coordinates, networks, strict=True):
        cells = (name, *(f"{mm:.6g}" for mm in point.tolist()), *[network] * with_network)
        yield "\t".join((*cells, str(table.space)))
