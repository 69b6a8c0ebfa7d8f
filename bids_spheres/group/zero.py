"""When tests of means against 0 do not hold, as unrelated series are not at 0 on average."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_spheres.group.facts import REGRESSORS, as_json
from bids_spheres.wording import percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids_spheres.group.benchmarks import Benchmark
    from bids_spheres.group.qc_fc import QcFc
    from bids_spheres.group.stream import Group

MOST_WITH_MOTION = 0.1
"""Share of edges that may go with motion; 0.05 do by chance."""

ENOUGH_PARTICIPANTS = 20
"""With fewer, that share is mostly chance."""

MURPHY = "(Murphy et al. 2009, doi:10.1016/j.neuroimage.2008.09.036)"

GLOBAL_SIGNAL = (
    "the global signal was regressed out, which shifts correlations until about as many are "
    f"negative as positive, so that unrelated series are not at 0 {MURPHY}"
)


def global_signal_removed(group: Group) -> bool:
    """Whether the global signal is among the regressors of a group."""
    kinds = as_json(group.runs[0].facts.settings)[REGRESSORS]
    return any(kind.startswith("global_signal") for kind in kinds)


def reasons_against_zero(group: Group, left: Benchmark, qc_fc: QcFc | None) -> Iterator[str]:
    """Why tests of means against 0 do not hold, a phrase each; none where nothing is known.

    Parameters
    ----------
    group : Group
    left : Benchmark
        What motion explains.
    qc_fc : QcFc or None
    """
    if global_signal_removed(group):
        yield GLOBAL_SIGNAL
    enough = qc_fc is not None and qc_fc.participants >= ENOUGH_PARTICIPANTS
    if enough and left.share > MOST_WITH_MOTION:
        yield (
            f"{percent(left.share)} of edges go with head motion (5 % would by chance), which "
            "shifts means away from 0 in itself"
        )
