"""One group: participants one after the other through all sums, and these to files."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_spheres.engine.connectivity import Moments
from bids_spheres.errors import BidsSpheresError, UsageError
from bids_spheres.group import harmonization, head_motion, multiverse, reliability, results, testing
from bids_spheres.group.edges import NETWORK_COLUMNS, NetworkMeans
from bids_spheres.group.facts import differences
from bids_spheres.group.files import POOLED
from bids_spheres.group.inference import Contrast
from bids_spheres.group.model import MEAN, contrast_for, design_for, warn_of_design
from bids_spheres.group.stream import EXTENSIONS, ParticipantEdges, stacked_table, stream
from bids_spheres.outputs.paths import PEARSON, label_of

if TYPE_CHECKING:
    from pathlib import Path

    from bids_spheres.group.model import ContrastText, Design, GroupDesign, Model
    from bids_spheres.group.options import GroupOptions
    from bids_spheres.group.stream import Group, Participant

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Analysis:
    """What is computed beside means: a model with contrasts, and covariates of QC-FC."""

    options: GroupOptions
    model: Model | None = None
    contrasts: tuple[ContrastText, ...] = ()
    covariates: Model | None = None


def summarize(group: Group, output_dir: Path, analysis: Analysis) -> Summary:
    """Compute and write all results of one group.

    UsageError when a contrast names no term of the model, OutputError when a file can't be written.
    """
    summary = Summary(group, results.Writer(output_dir, group.name), analysis)
    summary.plan()
    summary.read()
    if summary.used:
        summary.test_means()
    summary.write()
    return summary


class Summary:
    """What the participants of a group add up to; None for what can't be, or was not, computed.

    `used` are the participants on whom it rests, `problems` what could not be read, and `refused`
    says why there is no model, contrast or QC-FC.
    """

    def __init__(self, group: Group, writer: results.Writer, analysis: Analysis) -> None:
        self.group, self.writer, self.analysis = group, writer, analysis
        self.options = analysis.options
        size = len(group.edges)
        self.moments, self.networks = Moments(size), NetworkMeans(group.edges)
        self.rows = testing.Rows(size)
        self.used: list[Participant] = []
        self.problems: list[str] = []
        self.refused: list[str] = []
        self.motion: Design | None = None
        self.model: GroupDesign | None = None
        self.mean: testing.Tested | None = None
        self.qc_fc: head_motion.QcFc | None = None
        self.left = head_motion.Benchmark()
        self.reliability: reliability.Reliability | None = None
        self.stability: reliability.Stability | None = None
        self.effects: dict[str, pd.DataFrame] = {}

    def plan(self) -> None:
        """Make the designs of motion and of the model, with its contrasts."""
        people, title = self.group.with_result, self.group.title
        if not self.group.scale.connectivity or not people:
            return
        mean_fd = {person.label: person.mean_fd for person in people}
        try:
            if self.analysis.covariates:
                adjusted = design_for(self.analysis.covariates, mean_fd)
                warn_of_design(title, len(people), adjusted, "adjusted QC-FC")
                self.motion = adjusted.design
            else:
                self.motion = head_motion.motion_design(mean_fd)
        except BidsSpheresError as error:
            self.refused.append(f"QC-FC is not known. {error}")
        try:
            if self.analysis.model:
                self.model = testing.design_of(self.analysis.model, people, self.options, title)
                for text in self.analysis.contrasts:  # refused before matrices are read
                    contrast_for(text, self.model.design.terms, self.model.design.groups)
        except UsageError:
            raise
        except BidsSpheresError as error:
            self.refused.append(f"no model is estimated. {error}")

    def read(self) -> None:
        """Take in the edges of all participants, and write them into the stacked table."""
        if not self.group.with_result:
            return
        path = self.writer.path("stacked", EXTENSIONS[self.options.stacked_format])
        with stacked_table(path, len(self.group.edges)) as stack:
            for participant, edges in stream(self.group, self.options):
                label = participant.label
                if not isinstance(edges, ParticipantEdges):
                    self.problems.append(f"{label} is left out of {self.group.title}: {edges}")
                    continue
                self.used.append(participant)
                self.moments.add(edges.mean)
                self.networks.add(edges.mean)
                self.rows.add(label, edges)
                stack.add(label, edges.mean)

    def test_means(self) -> None:
        """Test means against 0, and correlate edges with motion."""
        group, values, options = self.group, self.rows.values, self.options
        if options.within and group.scale.connectivity:
            self.reliability = reliability.compare_conditions(self.rows, self.networks)
        if group.scale.tested and len(self.used) > 1:
            (mean,) = testing.tested_contrasts(testing.all_participants(values), [MEAN], options)
            self.mean = mean if np.isfinite(mean.estimates.p).any() else None
        if self.motion:
            self.qc_fc = head_motion.qc_fc(
                values, self.motion, options.min_participants, group.scale.sign
            )
            between = group.edges.between_nodes
            r, p = self.qc_fc.r[between], self.qc_fc.p[between]
            self.left = head_motion.benchmark(r, p, group.distances[between])

    def write(self) -> None:
        """Write all results, after the tests of contrasts."""
        self.writer = replace(self.writer, facts=self._facts())
        if not self.used:
            # The stacked table has no row, and is removed with earlier results.
            self.writer.written.clear()
        else:
            self._write_means()
            try:
                self._test_contrasts()
            except UsageError:
                raise
            except ValueError as error:
                self.refused.append(f"no contrast is tested. {error}")
        results.write_participants(self.writer, self.group, self.used, self.model)

    def _write_means(self) -> None:
        writer, group, networks = self.writer, self.group, self.networks
        results.write_matrices(writer, group, self.moments, self.mean)
        columns = {"n": self.moments.n}
        if group.scale.connectivity:
            if networks.names:
                writer.table("networks", networks.table(group.scale), NETWORK_COLUMNS)
            unknown = np.full(len(group.edges), np.nan)
            own = self.qc_fc
            columns |= {"qc_fc": own.r if own else unknown, "qc_fc_p": own.p if own else unknown}
        if self.options.stability and group.name.get("stat") == PEARSON:
            self.stability = reliability.group_stability(group, networks)
        if self.stability:
            about = {**reliability.MINUTES_COLUMNS, "Target": reliability.TARGET}
            writer.table("minutes", self.stability.table, about)
        if self.reliability:
            scale = {"Scale": group.scale.name}
            nodes = group.edges.table()[["edge", "node_1", "node_2"]]
            table = pd.concat([nodes, self.reliability.edges], axis=1)
            writer.table("reliability", table, {**reliability.EDGE_COLUMNS, **scale})
            if networks.names:
                pairs = networks.pairs(**self.reliability.networks)
                about = {**reliability.NETWORK_COLUMNS, **scale}
                writer.table("networkreliability", pairs, about)
        results.write_edges(writer, group, columns)
        writer.about("stacked", {"Description": results.STACKED, "Scale": group.scale.name})

    def _test_contrasts(self) -> None:
        """Estimate all coefficients of the model, and test contrasts."""
        group, writer, options, model = self.group, self.writer, self.options, self.model
        if options.multiverse and self.mean:
            mean = testing.Hypotheses.of(testing.all_participants(self.rows.values), (MEAN,))
            self.effects = multiverse.estimate_effects(self, mean)
        of_model = None
        if model:
            of_model = testing.sample_of_model(self.rows, model, options)
            if options.harmonize:
                of_model, estimates = harmonization.harmonize(of_model, model, options, group.title)
                writer.table("harmonization", estimates.table(), harmonization.COLUMNS)
            names = of_model.design.terms
            weights = np.eye(len(names))[:, None]
            terms = [Contrast(*pair) for pair in zip(names, weights, strict=True)]
            tests = testing.tested_contrasts(of_model, terms, replace(options, tail="two"))
            results.write_model(writer, group, model, tests, options)
        elif not (options.within or self.mean):
            return
        of_group = self.rows, of_model, model, self.analysis, group.title
        for hypotheses in testing.hypotheses_of(*of_group):
            sample, contrasts = hypotheses.sample, hypotheses.contrasts
            if not contrasts:
                continue
            if options.multiverse and group.scale.tested:
                self.effects |= multiverse.estimate_effects(self, hypotheses)
            estimated = list(testing.tested_contrasts(sample, contrasts, options))
            try:
                of_sample = sample, contrasts, group, self.networks, options
                permuted = testing.permuted_contrasts(*of_sample)
            except ValueError as error:
                self.refused.append(f"nothing is permuted. {error}")
                permuted = {}
            for tested in estimated:
                own = replace(tested, permuted=permuted.get(tested.contrast.name))
                about = results.describe_contrast(group.scale.name, own, hypotheses, model, options)
                threshold = testing.nbs_threshold(sample, own.contrast, options)
                results.write_contrast(writer, group, own, about, threshold)
                results.write_components(writer, group, own, about, threshold)
                results.write_network_tests(writer, self.networks, own, about)

    def _facts(self) -> dict[str, object]:
        """What is the same for all results of the group."""
        group = self.group
        facts = group.runs[0].facts.described
        if label_of(group.name, "space") == POOLED:
            facts.pop("SeedSpace", None)
            facts["PooledSpaces"] = group.spaces
        differing = differences((run.file.participant, run.facts.noted) for run in group.runs)
        if differing:
            facts["Differences"] = differing
        facts |= {
            "NumberOfParticipants": len(self.used),
            "NumberOfRuns": sum(len(person.runs) for person in self.used),
            "RunsOfAParticipant": "averaged, each counting by 1 / var(z), the variance of Fisher's "
            "z for its degrees of freedom",
            "MinimumParticipants": self.options.min_participants,
        }
        if self.qc_fc:
            covariates = self.analysis.covariates
            facts["QCFCCovariates"] = list(covariates.table.columns) if covariates else []
            if self.options.controls:
                facts["QCFCPermutationSeed"] = self.options.seed
        if self.mean:
            facts["EdgesWithoutTest"] = int(np.isnan(self.mean.estimates.p).sum())
            reasons = head_motion.reasons_against_zero(group, self.left, self.qc_fc)
            facts["TestsAgainstZeroDoNotHold"] = list(reasons)
        return facts
