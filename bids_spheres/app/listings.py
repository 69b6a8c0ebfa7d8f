"""What denoising strategies and seed sets are, in lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_spheres.confounds.columns import column_names
from bids_spheres.confounds.strategy_file import load_strategy
from bids_spheres.data.published import published_seed_sets, published_strategies
from bids_spheres.wording import count, number

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

    from bids_spheres.confounds.strategy import Censor, TemporalFilter


def list_strategies(options: Namespace) -> int:
    """Print what denoising strategies do."""
    for line in describe_strategies(options.strategy):
        print(line)
    return 0


def describe_strategies(names: Sequence[str] = ()) -> Iterator[str]:
    """Describe what strategies, by default all that ship with the package, do to series."""
    for name in names or published_strategies():
        strategy = load_strategy(name)
        yield strategy.name
        if strategy.description:
            yield f"  {strategy.description}"
        yield f"  columns:   {', '.join(column_names(strategy)) or 'none'}"
        if motion := strategy.head_motion:
            radius = motion.head_radius
            size = "of the participant's brain" if radius == "auto" else f"{radius:g} mm"
            by = f"filtered by {motion.filter}, " if motion.filter else ""
            too = ", regressors too" * motion.filter_regressors
            yield f"  motion:    {by}head radius {size}{too}"
        yield f"  censoring: {describe_censoring(strategy.censor)}"
        yield f"  filter:    {describe_filter(strategy.filter)}"
        yield f"  image:     {' or '.join(f'desc-{kind}' for kind in strategy.bold_kinds)}"
        least = [count(strategy.min_volumes, "volume")] if strategy.min_volumes else []
        least += [f"{strategy.min_seconds:g} s"] if strategy.min_seconds else []
        if least:
            yield f"  at least:  {' and '.join(least)}"
        yield ""


def describe_censoring(rules: Censor) -> str:
    """Describe which volumes are left out."""
    thresholds = (
        ("framewise displacement", rules.fd_threshold, " mm"),
        ("standardized DVARS", rules.std_dvars_threshold, ""),
        ("root mean square displacement", rules.rmsd_threshold, " mm"),
    )
    parts = [f"{name} > {x:g}{unit}" for name, x, unit in thresholds if x is not None]
    if rules.combine == "all" and len(parts) > 1:
        parts = [" and ".join(parts)]
    if rules.before or rules.after:
        parts.append(f"{rules.before} volumes before and {rules.after} after each")
    if rules.min_segment:
        parts.append(f"stretches shorter than {count(rules.min_segment, 'volume')}")
    return "; ".join(parts) or "only volumes before the steady state"


def describe_filter(band: TemporalFilter | None) -> str:
    """Describe which frequencies pass a temporal filter."""
    if band is None:
        return "none"
    low = "0" if band.high_pass is None else f"{band.high_pass:g}"
    high = "Nyquist" if band.low_pass is None else f"{band.low_pass:g} Hz"
    order = f" of order {band.order}" if band.type == "butterworth" else ""
    return f"{band.type}{order}, {low} to {high} passes"


def list_seeds(options: Namespace) -> int:
    """Print what seed sets are, or the centres of regions as a table that ``--seeds`` takes."""
    from bids_spheres.engine.seeds import is_network, load_seeds  # noqa: PLC0415 - loads numpy

    if options.centroids_of:
        from bids_spheres.spaces.parcellations import load_regions  # noqa: PLC0415 - reads images

        (table,) = load_regions([options.centroids_of], (), space=options.parcellation_space)
        places = [[f"{mm:.6g}" for mm in axis] for axis in table.coordinates.T.tolist()]
        columns: dict[str, Sequence[str | None]] = {"name": table.names}
        columns |= zip("xyz", places, strict=True)
        columns |= {"network": table.networks} if table.networks is not None else {}
        columns["space"] = [table.space] * len(table)
        for row in (columns, *zip(*columns.values(), strict=True)):
            print(*row, sep="\t")
        return 0
    for name in options.seeds or published_seed_sets():
        seeds = load_seeds(name)
        print(seeds.label)
        if description := seeds.metadata.get("Description"):
            print(f"  {description}")
        low, high = seeds.radii.min(), seeds.radii.max()
        radii = number(low) if low == high else f"{number(low)} to {number(high)}"
        print(f"  seeds:     {count(len(seeds), 'seed')} with a radius of {radii} mm")
        if named := [n for n in dict.fromkeys(seeds.networks or ()) if is_network(n)]:
            print(f"  networks:  {', '.join(named)}")
        print(f"  space:     {seeds.space or 'that of the images'}")
        if doi := seeds.metadata.get("DOI"):
            print(f"  source:    https://doi.org/{doi}")
        print()
    return 0
