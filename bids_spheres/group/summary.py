"""One group: participants one after the other through all sums, and these to files."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_spheres.errors import BidsSpheresError, UsageError
from bids_spheres.group.agreement import differences
from bids_spheres.group.contrasts import MEAN, contrast_for
from bids_spheres.group.facts import REGRESSORS, as_json
from bids_spheres.group.files import POOLED
from bids_spheres.group.inference import Contrast, Exchangeability
from bids_spheres.group.model import Design, design_for
from bids_spheres.group.moments import Moments
from bids_spheres.group.motion import UNKNOWN, benchmark, modularity
from bids_spheres.group.networks import NetworkMeans
from bids_spheres.group.qc_fc import motion_design, qc_fc
from bids_spheres.group.quality import strategy_row
from bids_spheres.group.results import (
    Writer,
    describe_contrast,
    describe_stacked,
    write_components,
    write_contrast,
    write_edges,
    write_matrices,
    write_model,
    write_network_tests,
    write_networks,
    write_participants,
)
from bids_spheres.group.stacked import stacked_extension, stacked_table
from bids_spheres.group.stream import Unread, stream
from bids_spheres.group.testing import (
    Sample,
    nbs_threshold,
    permuted_contrasts,
    tested_contrasts,
)
from bids_spheres.group.values import EdgeValues
from bids_spheres.group.zero import reasons_against_zero
from bids_spheres.outputs.paths import label_of
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from pathlib import Path

    from bids_spheres.group.contrasts import ContrastText
    from bids_spheres.group.model import GroupDesign, Model
    from bids_spheres.group.motion import Benchmark
    from bids_spheres.group.options import GroupOptions
    from bids_spheres.group.qc_fc import QcFc
    from bids_spheres.group.quality import Row
    from bids_spheres.group.stream import Group, Participant
    from bids_spheres.group.testing import Tested

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Analysis:
    """What is computed beside means.

    Parameters
    ----------
    options : GroupOptions
    model : Model, optional
        Variables that explain edges.
    contrasts : tuple of ContrastText
        Of the model.
    covariates : Model, optional
        Variables that QC-FC is adjusted for, with motion.
    """

    options: GroupOptions
    model: Model | None = None
    contrasts: tuple[ContrastText, ...] = ()
    covariates: Model | None = None


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

    row: Row
    written: set[Path]
    problems: tuple[str, ...]
    refused: tuple[str, ...] = ()


@dataclass(eq=False)
class _Plan:
    """Designs of one group; None for what is not requested, or can't be."""

    motion: Design | None = None
    model: GroupDesign | None = None
    contrasts: tuple[Contrast, ...] = ()


@dataclass(eq=False)
class _Computed:
    """What the participants of a group add up to; None for what can't be, or was not, computed."""

    edges: Moments
    networks: NetworkMeans
    values: EdgeValues
    used: list[Participant] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    mean: Tested | None = None
    qc_fc: QcFc | None = None
    left: Benchmark = UNKNOWN


def summarize(group: Group, output_dir: Path, analysis: Analysis) -> Summarized:
    """Compute and write all results of one group.

    Raises
    ------
    UsageError
        When a contrast names no term of the model.
    OutputError
        When a file can't be written.
    """
    writer, size = Writer(output_dir, group.name), len(group.edges)
    computed = _Computed(Moments(size), NetworkMeans(group.edges), EdgeValues(size))
    plan = _plan(group, analysis, computed.refused)
    if group.with_result:
        with stacked_table(writer.path("stacked", stacked_extension()), size) as stack:
            for participant, values in stream(group):
                if isinstance(values, Unread):
                    where = f"{participant.label} is left out of {group.title}"
                    computed.problems.append(f"{where}: {values.problem}")
                    continue
                for sums in (computed.edges, computed.networks):
                    sums.add(values)
                for rows in (computed.values, stack):
                    rows.add(participant.label, values)
                computed.used.append(participant)
    if computed.used:
        _test_means(group, computed, plan.motion, analysis.options)
    writer = replace(writer, facts=_facts(group, computed, analysis))
    if not computed.used:
        writer.written.clear()  # the stacked table has no row, and is removed with earlier results
    else:
        _write(group, computed, writer)
        try:
            _test_contrasts(group, computed, writer, plan, analysis.options)
        except ValueError as error:
            computed.refused.append(f"no model is estimated. {error}")
            plan.model = None
    write_participants(writer, group, computed.used, plan.model)
    mean = group.edges.matrix(group.scale.back(computed.edges.known_mean))
    quality = modularity(group.scale.sign * mean, group.edges.networks)
    row: Row = {}
    if group.scale.connectivity:
        row = strategy_row(group, computed.used, computed.left, computed.qc_fc, quality)
    return Summarized(row, writer.written, tuple(computed.problems), tuple(computed.refused))


def _plan(group: Group, analysis: Analysis, refused: list[str]) -> _Plan:
    """Designs of motion and of the model, with its contrasts; `refused` gets what can't be."""
    plan = _Plan()
    if not group.scale.connectivity or not group.with_result:
        return plan
    mean_fd = {person.label: person.mean_fd for person in group.with_result}
    try:
        plan.motion = motion_design(mean_fd)
        if analysis.covariates:
            plan.motion = None
            adjusted = design_for(analysis.covariates, mean_fd)
            _warn_of_design(group, adjusted, "adjusted QC-FC")
            plan.motion = adjusted.design
    except BidsSpheresError as error:
        refused.append(f"QC-FC is not known. {error}")
    try:
        if analysis.model:
            model = design_for(analysis.model, mean_fd)
            _warn_of_design(group, model, "model")
            terms, groups = model.design.terms, model.design.groups
            plan.contrasts = tuple(contrast_for(c, terms, groups) for c in analysis.contrasts)
            plan.model = model
    except UsageError:
        raise
    except BidsSpheresError as error:
        refused.append(f"no model is estimated. {error}")
    return plan


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


def _test_means(
    group: Group, computed: _Computed, motion: Design | None, options: GroupOptions
) -> None:
    """Test means against 0, and correlate edges with motion."""
    if group.scale.tested and len(computed.used) > 1:
        (mean,) = tested_contrasts(_all_participants(computed.values), [MEAN], options)
        computed.mean = mean if np.isfinite(mean.estimates.p).any() else None
    if motion:
        computed.qc_fc = qc_fc(computed.values, motion, options.min_participants, group.scale.sign)
        between = group.edges.between_nodes
        r, p = computed.qc_fc.r[between], computed.qc_fc.p[between]
        computed.left = benchmark(r, p, group.distances[between])


def _all_participants(values: EdgeValues) -> Sample:
    """A design of a constant."""
    labels = tuple(values.participants)
    return Sample(values.array, Design(labels, ("Intercept",), np.ones((len(labels), 1))))


def _test_contrasts(
    group: Group, computed: _Computed, writer: Writer, plan: _Plan, options: GroupOptions
) -> None:
    """Estimate all coefficients of the model, and test its contrasts, or else the mean."""
    model, contrasts = plan.model, plan.contrasts
    if model:
        sample = _sample(computed.values, model, options)
        design = sample.design
        terms = [
            Contrast(term, row[np.newaxis])
            for term, row in zip(design.terms, np.eye(len(design.terms)), strict=True)
        ]
        two_sided = replace(options, tail="two")
        write_model(writer, group, model, tested_contrasts(sample, terms, two_sided))
        if not options.model:
            contrasts = (MEAN,)
    elif computed.mean and not options.model:
        sample, contrasts = _all_participants(computed.values), (MEAN,)
    if not contrasts:
        return
    tests = list(tested_contrasts(sample, contrasts, options))
    try:
        permuted = permuted_contrasts(sample, contrasts, group, computed.networks, options)
    except ValueError as error:
        computed.refused.append(f"nothing is permuted. {error}")
        permuted = {}
    for tested in tests:
        own = replace(tested, permuted=permuted.get(tested.contrast.name))
        about = describe_contrast(group, own, model, options)
        write_contrast(writer, group, own, about)
        write_components(writer, group, own, about, nbs_threshold(sample, own.contrast, options))
        write_network_tests(writer, computed.networks, own, about)


def _sample(values: EdgeValues, model: GroupDesign, options: GroupOptions) -> Sample:
    """Participants of a model whose matrices could be read."""
    design = model.design.only(values.participants)
    data = model.data.loc[list(design.participants)]
    exchangeability, variance_groups = None, None
    if options.blocks:
        blocks = pd.factorize(data[options.blocks])[0]
        exchangeability = Exchangeability(blocks, options.whole_blocks)
    if options.variance_groups:
        variance_groups = pd.factorize(data[options.variance_groups])[0]
    rows = values.rows_of(design.participants).array
    return Sample(rows, design, exchangeability, variance_groups)


def _write(group: Group, computed: _Computed, writer: Writer) -> None:
    write_matrices(writer, group, computed.edges, computed.mean)
    columns = {"n": computed.edges.n}
    if group.scale.connectivity:
        write_networks(writer, group, computed.networks)
        unknown = np.full(len(group.edges), np.nan)
        own = computed.qc_fc
        columns |= {"qc_fc": own.r if own else unknown, "qc_fc_p": own.p if own else unknown}
    write_edges(writer, group, columns)
    describe_stacked(writer, group)


def _facts(group: Group, computed: _Computed, analysis: Analysis) -> dict[str, object]:
    """What is the same for all results of a group."""
    first = group.runs[0].facts
    # Which regressors a run has depends on it; the strategy's description says their kinds.
    settings = {**as_json(first.noted), **as_json(first.settings), REGRESSORS: None}
    if label_of(group.name, "space") == POOLED:
        settings |= {"SeedSpace": None, "PooledSpaces": group.spaces}
    differing = differences((run.file.participant, run.facts.noted) for run in group.runs)
    facts: dict[str, object] = {
        **{key: value for key, value in settings.items() if value is not None},
        **({"Differences": differing} if differing else {}),
        "NumberOfParticipants": len(computed.used),
        "NumberOfRuns": sum(len(person.runs) for person in computed.used),
        "RunsOfAParticipant": "averaged, each counting by 1 / var(z), the variance of Fisher's z "
        "for its degrees of freedom",
        "MinimumParticipants": analysis.options.min_participants,
    }
    if computed.qc_fc:
        covariates = analysis.covariates
        facts["QCFCCovariates"] = list(covariates.table.columns) if covariates else []
    if computed.mean:
        reasons = reasons_against_zero(group, computed.left, computed.qc_fc)
        facts["EdgesWithoutTest"] = int(np.isnan(computed.mean.estimates.p).sum())
        facts["TestsAgainstZeroDoNotHold"] = list(reasons)
    return facts
