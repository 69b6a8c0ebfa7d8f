"""One group: participants one after the other through all sums, and these to files."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.errors import BidsSpheresError, UsageError
from bids_spheres.group.agreement import differences
from bids_spheres.group.benchmarks import UNKNOWN, benchmark, modularity
from bids_spheres.group.contrasts import MEAN, contrast_for
from bids_spheres.group.facts import REGRESSORS, as_json
from bids_spheres.group.files import POOLED
from bids_spheres.group.harmonization import harmonize
from bids_spheres.group.inference import Contrast
from bids_spheres.group.model import design_for, warn_of_design
from bids_spheres.group.moments import Moments
from bids_spheres.group.network_means import NetworkMeans
from bids_spheres.group.qc_fc import motion_design, qc_fc
from bids_spheres.group.quality import reliability_cells, strategy_row
from bids_spheres.group.reliability import reliability
from bids_spheres.group.results import (
    Writer,
    describe_contrast,
    describe_stacked,
    write_components,
    write_contrast,
    write_edges,
    write_harmonization,
    write_matrices,
    write_model,
    write_network_tests,
    write_networks,
    write_participants,
    write_reliability,
)
from bids_spheres.group.sample import (
    Hypotheses,
    Rows,
    all_participants,
    paired_hypotheses,
    row_label,
    sample_of_model,
    with_conditions,
)
from bids_spheres.group.stacked import EXTENSIONS, stacked_table
from bids_spheres.group.stream import Unread, stream
from bids_spheres.group.testing import nbs_threshold, permuted_contrasts, tested_contrasts
from bids_spheres.group.values import EdgeValues
from bids_spheres.group.zero import reasons_against_zero
from bids_spheres.outputs.paths import label_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bids_spheres.group.benchmarks import Benchmark
    from bids_spheres.group.contrasts import ContrastText
    from bids_spheres.group.model import Design, GroupDesign, Model
    from bids_spheres.group.options import GroupOptions
    from bids_spheres.group.qc_fc import QcFc
    from bids_spheres.group.quality import Row
    from bids_spheres.group.reliability import Reliability
    from bids_spheres.group.sample import Sample
    from bids_spheres.group.stream import Group, Participant, ParticipantEdges
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
    rows: Rows
    used: list[Participant] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    mean: Tested | None = None
    qc_fc: QcFc | None = None
    left: Benchmark = UNKNOWN
    reliability: Reliability | None = None

    def add(self, participant: Participant, edges: ParticipantEdges) -> None:
        """Take the edges of one participant in."""
        label, rows = participant.label, self.rows
        self.edges.add(edges.mean)
        self.networks.add(edges.mean)
        rows.values.add(label, edges.mean)
        if edges.variance is not None:
            rows.variances.add(label, edges.variance)
        for condition, values in edges.conditions.items():
            rows.repeated.add(row_label(label, condition), values)
            rows.conditions.append((label, condition))
        self.used.append(participant)


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
    rows = Rows(EdgeValues(size), EdgeValues(size), EdgeValues(size))
    computed = _Computed(Moments(size), NetworkMeans(group.edges), rows)
    plan = _plan(group, analysis, computed.refused)
    if group.with_result:
        extension = EXTENSIONS[analysis.options.stacked_format]
        with stacked_table(writer.path("stacked", extension), size) as stack:
            for participant, edges in stream(group, analysis.options):
                if isinstance(edges, Unread):
                    where = f"{participant.label} is left out of {group.title}"
                    computed.problems.append(f"{where}: {edges.problem}")
                    continue
                computed.add(participant, edges)
                stack.add(participant.label, edges.mean)
    if computed.used:
        _test_means(group, computed, plan.motion, analysis.options)
    writer = replace(writer, facts=_facts(group, computed, analysis))
    if not computed.used:
        writer.written.clear()  # the stacked table has no row, and is removed with earlier results
    else:
        _write(group, computed, writer)
        try:
            _test_contrasts(group, computed, writer, plan, analysis)
        except UsageError:
            raise
        except ValueError as error:
            computed.refused.append(f"no contrast is tested. {error}")
    write_participants(writer, group, computed.used, plan.model)
    mean = group.edges.matrix(group.scale.back(computed.edges.known_mean))
    quality = modularity(group.scale.sign * mean, group.edges.networks)
    row: Row = {}
    if group.scale.connectivity:
        row = strategy_row(group, computed.used, computed.left, computed.qc_fc, quality)
        row |= reliability_cells(computed.reliability)
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
            warn_of_design(group.title, len(group.with_result), adjusted, "adjusted QC-FC")
            plan.motion = adjusted.design
    except BidsSpheresError as error:
        refused.append(f"QC-FC is not known. {error}")
    try:
        if analysis.model:
            own = analysis.model
            if within := analysis.options.within:
                people = {person.label: person.conditions(within) for person in group.with_result}
                own = with_conditions(own, people, within)
                mean_fd = {
                    row_label(label, condition): mean_fd[label]
                    for label, conditions in people.items()
                    for condition in conditions
                }
            model = design_for(own, mean_fd)
            warn_of_design(group.title, len(group.with_result), model, "model")
            terms, groups = model.design.terms, model.design.groups
            plan.contrasts = tuple(contrast_for(c, terms, groups) for c in analysis.contrasts)
            plan.model = model
    except UsageError:
        raise
    except BidsSpheresError as error:
        refused.append(f"no model is estimated. {error}")
    return plan


def _test_means(
    group: Group, computed: _Computed, motion: Design | None, options: GroupOptions
) -> None:
    """Test means against 0, and correlate edges with motion."""
    values = computed.rows.values
    if options.within and group.scale.connectivity:
        computed.reliability = reliability(computed.rows, computed.networks)
    if group.scale.tested and len(computed.used) > 1:
        (mean,) = tested_contrasts(all_participants(values), [MEAN], options)
        computed.mean = mean if np.isfinite(mean.estimates.p).any() else None
    if motion:
        computed.qc_fc = qc_fc(values, motion, options.min_participants, group.scale.sign)
        between = group.edges.between_nodes
        r, p = computed.qc_fc.r[between], computed.qc_fc.p[between]
        computed.left = benchmark(r, p, group.distances[between])


def _hypotheses(
    group: Group, computed: _Computed, plan: _Plan, analysis: Analysis, sample: Sample | None
) -> Iterator[Hypotheses]:
    """Contrasts of the model, or else of conditions, or else the mean."""
    options = analysis.options
    if sample:
        yield Hypotheses.of(sample, plan.contrasts if options.model else (MEAN,))
    elif options.within and not options.model:
        yield from paired_hypotheses(computed.rows, analysis.contrasts, group.title)
    elif computed.mean and not options.model:
        sample = all_participants(computed.rows.values)
        if options.weights:
            sample = replace(sample, variances=computed.rows.variances.array)
        yield Hypotheses.of(sample, (MEAN,))


def _test_contrasts(
    group: Group, computed: _Computed, writer: Writer, plan: _Plan, analysis: Analysis
) -> None:
    """Estimate all coefficients of the model, and test contrasts."""
    options, model = analysis.options, plan.model
    of_model = None
    if model:
        sample = of_model = _sample_of_model(group, computed, writer, model, options)
        design = sample.design
        terms = [
            Contrast(term, row[np.newaxis])
            for term, row in zip(design.terms, np.eye(len(design.terms)), strict=True)
        ]
        two_sided = replace(options, tail="two")
        write_model(writer, group, model, tested_contrasts(sample, terms, two_sided), options)
    for hypotheses in _hypotheses(group, computed, plan, analysis, of_model):
        sample, contrasts = hypotheses.sample, hypotheses.contrasts
        if not contrasts:
            continue
        tests = list(tested_contrasts(sample, contrasts, options))
        try:
            permuted = permuted_contrasts(sample, contrasts, group, computed.networks, options)
        except ValueError as error:
            computed.refused.append(f"nothing is permuted. {error}")
            permuted = {}
        for tested in tests:
            own = replace(tested, permuted=permuted.get(tested.contrast.name))
            about = describe_contrast(group.scale.name, own, hypotheses, model, options)
            write_contrast(writer, group, own, about)
            threshold = nbs_threshold(sample, own.contrast, options)
            write_components(writer, group, own, about, threshold)
            write_network_tests(writer, computed.networks, own, about)


def _sample_of_model(
    group: Group, computed: _Computed, writer: Writer, model: GroupDesign, options: GroupOptions
) -> Sample:
    """Rows of the model, harmonized if so requested."""
    sample = sample_of_model(computed.rows, model, options)
    if options.harmonize is None:
        return sample
    sites = model.data.loc[list(sample.design.participants), options.harmonize]
    sample, harmonization = harmonize(sample, sites, options)
    write_harmonization(writer, harmonization)
    if options.harmonize not in model.columns and not options.harmonize_within:
        logger.warning(
            "%s: tests after harmonization are liberal unless %s is in the model, or ComBat is "
            "estimated in each permutation (--harmonize-within).",
            group.title,
            options.harmonize,
        )
    return sample


def _write(group: Group, computed: _Computed, writer: Writer) -> None:
    write_matrices(writer, group, computed.edges, computed.mean)
    columns = {"n": computed.edges.n}
    if group.scale.connectivity:
        write_networks(writer, group, computed.networks)
        unknown = np.full(len(group.edges), np.nan)
        own = computed.qc_fc
        columns |= {"qc_fc": own.r if own else unknown, "qc_fc_p": own.p if own else unknown}
        if computed.reliability:
            write_reliability(writer, group, computed.networks, computed.reliability)
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
