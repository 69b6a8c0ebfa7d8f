"""What denoising strategies do, in lines of text; loads no library of images or tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_spheres.confounds.columns import column_names
from bids_spheres.confounds.strategy_file import load_strategy
from bids_spheres.data.published import published_strategies
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bids_spheres.confounds.strategy import Censor, HeadMotion, TemporalFilter


def describe_strategies(names: Sequence[str] = ()) -> Iterator[str]:
    """Describe what strategies regress out, censor and filter, in lines of text.

    Parameters
    ----------
    names : sequence of str
        Names or files; all that ship with the package without them.
    """
    for name in names or published_strategies():
        strategy = load_strategy(name)
        yield strategy.name
        if strategy.description:
            yield f"  {strategy.description}"
        yield f"  columns:   {', '.join(column_names(strategy)) or 'none'}"
        if strategy.head_motion:
            yield f"  motion:    {_motion(strategy.head_motion)}"
        yield f"  censoring: {_censoring(strategy.censor)}"
        yield f"  filter:    {_filter(strategy.filter)}"
        yield f"  image:     {' or '.join(f'desc-{kind}' for kind in strategy.bold_kinds)}"
        least = [count(strategy.min_volumes, "volume")] if strategy.min_volumes else []
        least += [f"{strategy.min_seconds:g} s"] if strategy.min_seconds else []
        if least:
            yield f"  at least:  {' and '.join(least)}"
        yield ""


def _motion(rules: HeadMotion) -> str:
    radius = rules.head_radius
    size = "of the participant's brain" if radius == "auto" else f"{radius:g} mm"
    name = f"filtered by {rules.filter}, " if rules.filter else ""
    return f"{name}head radius {size}{', regressors too' * rules.filter_regressors}"


def _censoring(rules: Censor) -> str:
    parts = []
    if rules.fd_threshold is not None:
        parts.append(f"framewise displacement > {rules.fd_threshold:g} mm")
    if rules.std_dvars_threshold is not None:
        parts.append(f"standardized DVARS > {rules.std_dvars_threshold:g}")
    if rules.rmsd_threshold is not None:
        parts.append(f"root mean square displacement > {rules.rmsd_threshold:g} mm")
    if rules.combine == "all" and len(parts) > 1:
        parts = [" and ".join(parts)]
    if rules.before or rules.after:
        parts.append(f"{rules.before} volumes before and {rules.after} after each")
    if rules.min_segment:
        parts.append(f"stretches shorter than {count(rules.min_segment, 'volume')}")
    return "; ".join(parts) or "only volumes before the steady state"


def _filter(chosen: TemporalFilter | None) -> str:
    if chosen is None:
        return "none"
    low, high = chosen.high_pass, chosen.low_pass
    band = " to ".join(
        [f"{low:g}" if low is not None else "0", f"{high:g} Hz" if high is not None else "Nyquist"]
    )
    order = f" of order {chosen.order}" if chosen.type == "butterworth" else ""
    return f"{chosen.type}{order}, {band} passes"
