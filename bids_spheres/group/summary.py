"""One group: participants one after the other through all sums, and these to files."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import BidsSpheresError
from bids_spheres.group.agreement import differences
from bids_spheres.group.facts import REGRESSORS, as_json
from bids_spheres.group.model import design_for
from bids_spheres.group.moments import Comoments, Moments
from bids_spheres.group.motion import UNKNOWN, benchmark, modularity
from bids_spheres.group.networks import NetworkMeans
from bids_spheres.group.quality import strategy_row
from bids_spheres.group.regression import EdgeRegression
from bids_spheres.group.results import (
    Writer,
    describe_stacked,
    write_edges,
    write_matrices,
    write_model,
    write_networks,
    write_participants,
)
from bids_spheres.group.stacked import stacked_extension, stacked_table
from bids_spheres.group.statistics import correlation_p, one_sample
from bids_spheres.group.stream import Unread, stream
from bids_spheres.report.words import count, listing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from bids_spheres.group.model import GroupDesign, Model
    from bids_spheres.group.motion import Benchmark
    from bids_spheres.group.stream import Group, Participant

    FloatArray = NDArray[np.float64]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Summarized:
    """What became of one group.

    Parameters
    ----------
    row : dict
        Of the table of strategies; empty for matrices that are no connectivity.
    written : set of Path
    problems : tuple of str
        What could not be done.
    unmodelled : str, optional
        Why there is no model.
    """

    row: dict[str, Any]
    written: set[Path]
    problems: tuple[str, ...]
    unmodelled: str | None = None


@dataclass(frozen=True, eq=False)
class _Sums:
    """Everything that is summed over participants."""

    edges: Moments
    motion: Comoments
    networks: NetworkMeans
    sign: int
    regression: EdgeRegression | None
    used: list[Participant] = field(default_factory=list)

    @classmethod
    def of(cls, group: Group, made: GroupDesign | None) -> _Sums:
        size = len(group.edges)
        regression = EdgeRegression(made.design, size) if made else None
        networks, sign = NetworkMeans(group.edges), group.scale.sign
        return cls(Moments(size), Comoments(size), networks, sign, regression)

    def add(self, participant: Participant, values: FloatArray) -> None:
        self.edges.add(values)
        self.motion.add(participant.mean_fd, self.sign * values)
        self.networks.add(values)
        if self.regression:
            self.regression.add(participant.label, values)
        self.used.append(participant)


def summarize(group: Group, output_dir: Path, model: Model | None) -> Summarized:
    """Compute and write all results of one group.

    Parameters
    ----------
    group : Group
    output_dir : Path
    model : Model, optional

    Raises
    ------
    OutputError
        When a file can't be written.
    """
    made, unmodelled = _made(group, model)
    writer = Writer(output_dir, group.name)
    sums, unread = _summed(group, made, writer)
    writer = replace(writer, facts=_facts(group, sums.used))
    left = UNKNOWN
    if sums.used:
        left = _write(group, sums, writer, made)
    else:
        writer.written.clear()  # the stacked table has no row, and is removed with earlier results
    write_participants(writer, group, sums.used, made)
    mean = group.edges.matrix(group.scale.back(sums.edges.known_mean))
    quality = modularity(group.scale.sign * mean, group.edges.networks)
    row = strategy_row(group, sums.used, left, quality) if group.scale.connectivity else {}
    return Summarized(row, writer.written, tuple(unread), unmodelled)


def _made(group: Group, model: Model | None) -> tuple[GroupDesign | None, str | None]:
    """The design of the group, or why there is none of those that were asked for."""
    if model is None or not group.scale.connectivity or not group.with_result:
        return None, None
    try:
        made = design_for(model, {one.label: one.mean_fd for one in group.with_result})
    except BidsSpheresError as error:
        return None, f"no model is estimated. {error}"
    if made.left_out:
        reasons = [f"{label} ({why})" for label, why in made.left_out.items()]
        logger.warning(
            "%s: %s of %d not in the model: %s",
            group.title,
            count(len(reasons), "participant"),
            len(group.with_result),
            listing(reasons),
        )
    for note in made.notes:
        logger.warning("%s: %s.", group.title, note)
    return made, None


def _summed(group: Group, made: GroupDesign | None, writer: Writer) -> tuple[_Sums, list[str]]:
    """Sums over all participants, whose edges are stacked on the way."""
    sums = _Sums.of(group, made)
    problems: list[str] = []
    if not group.with_result:
        return sums, problems
    path = writer.path("stacked", stacked_extension())
    with stacked_table(path, len(group.edges)) as stack:
        for participant, values in stream(group):
            if isinstance(values, Unread):
                problems.append(
                    f"{participant.label} is left out of {group.title}: {values.problem}"
                )
                continue
            sums.add(participant, values)
            stack.add(participant.label, values)
    return sums, problems


def _write(group: Group, sums: _Sums, writer: Writer, made: GroupDesign | None) -> Benchmark:
    tested = one_sample(sums.edges) if group.scale.tested else None
    write_matrices(writer, group, sums.edges, tested)
    columns: dict[str, FloatArray] = {"n": sums.edges.n}
    left = UNKNOWN
    if group.scale.connectivity:
        write_networks(writer, group, sums.networks)
        r, n = sums.motion.correlation, sums.motion.n
        columns |= {"qc_fc": r, "qc_fc_p": correlation_p(r, n)}
        between = group.edges.between_nodes
        left = benchmark(r[between], n[between], group.distances[between])
    write_edges(writer, group, columns)
    describe_stacked(writer, group)
    if made and sums.regression:
        write_model(writer, group, made, sums.regression.result())
    return left


def _facts(group: Group, used: Sequence[Participant]) -> dict[str, Any]:
    """What is the same for all results of a group."""
    first = group.runs[0].facts
    # Which regressors there are depends on the run; the strategy's description tells their kinds.
    settings = {**as_json(first.noted), **as_json(first.settings), REGRESSORS: None}
    differing = differences((run.file.participant, run.facts.noted) for run in group.runs)
    return {
        **{key: value for key, value in settings.items() if value is not None},
        **({"Differences": differing} if differing else {}),
        "NumberOfParticipants": len(used),
        "NumberOfRuns": sum(len(one.runs) for one in used),
        "RunsOfAParticipant": "averaged, each counting by 1 / var(z), the variance of "
        "Fisher's z for its degrees of freedom",
    }
