"""One group: participants one after the other through all sums, and these to files."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_spheres.errors import BidsSpheresError
from bids_spheres.group.agreement import differences
from bids_spheres.group.facts import REGRESSORS, as_json
from bids_spheres.group.files import POOLED
from bids_spheres.group.model import design_for
from bids_spheres.group.moments import Moments
from bids_spheres.group.motion import UNKNOWN, benchmark, modularity
from bids_spheres.group.networks import NetworkMeans
from bids_spheres.group.qc_fc import QcFcSums
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
from bids_spheres.group.statistics import one_sample
from bids_spheres.group.stream import Unread, stream
from bids_spheres.group.zero import reasons_against_zero
from bids_spheres.outputs.paths import label_of
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.group.model import GroupDesign, Model
    from bids_spheres.group.motion import Benchmark
    from bids_spheres.group.qc_fc import Covariates, QcFc
    from bids_spheres.group.statistics import Tested
    from bids_spheres.group.stream import Group, Participant

    FloatArray = NDArray[np.float64]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Analysis:
    """What is computed beside means.

    Parameters
    ----------
    model : Model, optional
        Variables that explain edges.
    covariates : Covariates, optional
        Variables that QC-FC is adjusted for.
    min_participants : int
        Participants without whom an edge is not tested.
    """

    model: Model | None = None
    covariates: Covariates | None = None
    min_participants: int = 3


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
    refused : tuple of str
        Why there is no model, or no QC-FC.
    """

    row: dict[str, Any]
    written: set[Path]
    problems: tuple[str, ...]
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Sums:
    """Everything that is summed over participants, and the design of the model."""

    edges: Moments
    networks: NetworkMeans
    sign: int
    motion: QcFcSums | None = None
    design: GroupDesign | None = None
    regression: EdgeRegression | None = None
    used: list[Participant] = field(default_factory=list)

    def add(self, participant: Participant, values: FloatArray) -> None:
        self.edges.add(values)
        self.networks.add(values)
        if self.motion:
            self.motion.add(participant.label, participant.mean_fd, self.sign * values)
        if self.regression:
            self.regression.add(participant.label, values)
        self.used.append(participant)


@dataclass(frozen=True, eq=False)
class _Findings:
    """What follows from the sums; None for what can't be, or was not, computed."""

    tested: Tested | None
    qc_fc: QcFc | None
    left: Benchmark


def summarize(group: Group, output_dir: Path, analysis: Analysis) -> Summarized:
    """Compute and write all results of one group.

    Parameters
    ----------
    group : Group
    output_dir : Path
    analysis : Analysis

    Raises
    ------
    OutputError
        When a file can't be written.
    """
    writer = Writer(output_dir, group.name)
    sums, refused = _empty_sums(group, analysis)
    unread = _fill(sums, group, writer)
    findings = _findings(group, sums, analysis)
    writer = replace(writer, facts=_facts(group, sums.used, findings, analysis))
    if sums.used:
        _write(group, sums, writer, findings)
    else:
        writer.written.clear()  # the stacked table has no row, and is removed with earlier results
    write_participants(writer, group, sums.used, sums.design)
    mean = group.edges.matrix(group.scale.back(sums.edges.known_mean))
    quality = modularity(group.scale.sign * mean, group.edges.networks)
    row: dict[str, Any] = {}
    if group.scale.connectivity:
        row = strategy_row(group, sums.used, findings.left, findings.qc_fc, quality)
    return Summarized(row, writer.written, tuple(unread), tuple(refused))


def _empty_sums(group: Group, analysis: Analysis) -> tuple[_Sums, list[str]]:
    """Sums that are to be filled, and why some that were asked for are not."""
    size, least = len(group.edges), analysis.min_participants
    sums = _Sums(Moments(size), NetworkMeans(group.edges), group.scale.sign)
    refused: list[str] = []
    if not group.scale.connectivity or not group.with_result:
        return sums, refused
    mean_fd = {one.label: one.mean_fd for one in group.with_result}
    try:
        adjusted = None
        if analysis.covariates:
            adjusted = analysis.covariates.design(mean_fd)
            _warn_of_design(group, adjusted, "adjusted QC-FC")
        sums = replace(sums, motion=QcFcSums(size, least, adjusted))
    except BidsSpheresError as error:
        refused.append(f"QC-FC is not known. {error}")
    try:
        if analysis.model:
            made = design_for(analysis.model, mean_fd)
            _warn_of_design(group, made, "model")
            sums = replace(sums, design=made, regression=EdgeRegression(made.design, size, least))
    except BidsSpheresError as error:
        refused.append(f"no model is estimated. {error}")
    return sums, refused


def _warn_of_design(group: Group, design: GroupDesign, what: str) -> None:
    """Say who is left out of a design, and what is odd about its variables."""
    if design.left_out:
        reasons = [f"{label} ({why})" for label, why in design.left_out.items()]
        logger.warning(
            "%s: %s of %d not in the %s: %s",
            group.title,
            count(len(reasons), "participant"),
            len(group.with_result),
            what,
            listing(reasons),
        )
    for note in design.notes:
        logger.warning("%s: %s.", group.title, note)


def _fill(sums: _Sums, group: Group, writer: Writer) -> list[str]:
    """Add all participants, whose edges are stacked on the way; return what can't be read."""
    problems: list[str] = []
    if not group.with_result:
        return problems
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
    return problems


def _findings(group: Group, sums: _Sums, analysis: Analysis) -> _Findings:
    tested, qc_fc, left = None, None, UNKNOWN
    if group.scale.tested:
        tests = one_sample(sums.edges, analysis.min_participants)
        tested = tests if np.isfinite(tests.p).any() else None
    if sums.used and sums.motion:
        qc_fc = sums.motion.result()
        between = group.edges.between_nodes
        left = benchmark(qc_fc.r[between], qc_fc.p[between], group.distances[between])
    return _Findings(tested, qc_fc, left)


def _write(group: Group, sums: _Sums, writer: Writer, findings: _Findings) -> None:
    write_matrices(writer, group, sums.edges, findings.tested)
    columns: dict[str, FloatArray] = {"n": sums.edges.n}
    if group.scale.connectivity:
        write_networks(writer, group, sums.networks)
        unknown = np.full(len(group.edges), np.nan)
        r, p = (findings.qc_fc.r, findings.qc_fc.p) if findings.qc_fc else (unknown, unknown)
        columns |= {"qc_fc": r, "qc_fc_p": p}
    write_edges(writer, group, columns)
    describe_stacked(writer, group)
    if sums.design and sums.regression:
        write_model(writer, group, sums.design, sums.regression.result())


def _facts(
    group: Group, used: Sequence[Participant], findings: _Findings, analysis: Analysis
) -> dict[str, Any]:
    """What is the same for all results of a group."""
    first = group.runs[0].facts
    # Which regressors there are depends on the run; the strategy's description tells their kinds.
    settings = {**as_json(first.noted), **as_json(first.settings), REGRESSORS: None}
    if label_of(group.name, "space") == POOLED:
        settings |= {"SeedSpace": None, "PooledSpaces": group.spaces}
    differing = differences((run.file.participant, run.facts.noted) for run in group.runs)
    facts = {
        **{key: value for key, value in settings.items() if value is not None},
        **({"Differences": differing} if differing else {}),
        "NumberOfParticipants": len(used),
        "NumberOfRuns": sum(len(one.runs) for one in used),
        "RunsOfAParticipant": "averaged, each counting by 1 / var(z), the variance of Fisher's z "
        "for its degrees of freedom",
        "MinimumParticipants": analysis.min_participants,
    }
    if findings.qc_fc:
        covariates = analysis.covariates
        facts["QCFCCovariates"] = list(covariates.names) if covariates else []
    if findings.tested:
        reasons = reasons_against_zero(group, findings.left, findings.qc_fc)
        facts["EdgesWithoutTest"] = int(np.isnan(findings.tested.p).sum())
        facts["TestsAgainstZeroDoNotHold"] = list(reasons)
    return facts
