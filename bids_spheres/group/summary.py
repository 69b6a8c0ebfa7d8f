"""One group: participants one after the other through all sums, and these to files."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_spheres.engine.connectivity import Moments
from bids_spheres.errors import ReadWriteError, UsageError
from bids_spheres.group import harmonization, head_motion, multiverse, reliability, results, testing
from bids_spheres.group.edges import NETWORK_COLUMNS, NetworkMeans
from bids_spheres.group.facts import differences
from bids_spheres.group.gather import describe_settings
from bids_spheres.group.inference import Contrast
from bids_spheres.group.model import MEAN, contrast_for, design_for, warn_of_design
from bids_spheres.group.stream import EXTENSIONS, ParticipantEdges, stacked_table, stream
from bids_spheres.outputs.paths import PEARSON

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bids_spheres.group.inference import PermutationTest
    from bids_spheres.group.model import ContrastText, Design, GroupDesign, Model
    from bids_spheres.group.options import GroupOptions
    from bids_spheres.group.quality import Row
    from bids_spheres.group.stream import Group, Participant


@dataclass(frozen=True, eq=False)
class Analysis:
    """What is computed beside means: a model with contrasts, and covariates of QC-FC."""

    options: GroupOptions
    model: Model | None = None
    contrasts: tuple[ContrastText, ...] = ()
    covariates: Model | None = None


def summarize(group: Group, output_dir: Path, analysis: Analysis) -> Summary:
    """Compute and write a group; UsageError for a contrast of no term, OutputError for a file."""
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
        self.benchmark = head_motion.Benchmark()
        self.permuted_motion: Row = {}
        self.reliability: reliability.Reliability | None = None
        self.stability: reliability.Stability | None = None
        self.effects: dict[str, pd.DataFrame] = {}

    @contextmanager
    def _noting(self, what: str) -> Iterator[None]:
        """Say in `refused` why something is not done; errors of usage pass on."""
        try:
            yield
        except UsageError:
            raise
        except (ReadWriteError, ValueError) as error:
            self.refused.append(f"{what} {error}")

    def plan(self) -> None:
        """Make the designs of motion and of the model, with its contrasts."""
        people, title, analysis = self.group.with_result, self.group.title, self.analysis
        if not self.group.scale.connectivity or not people:
            return
        mean_fd = {person.label: person.mean_fd for person in people}
        with self._noting("QC-FC is not known."):
            if analysis.covariates:
                adjusted = design_for(analysis.covariates, mean_fd)
                warn_of_design(title, len(people), adjusted, "adjusted QC-FC")
                self.motion = adjusted.design
            else:
                self.motion = head_motion.motion_design(mean_fd)
        with self._noting("no model is estimated."):
            if analysis.model:
                self.model = testing.design_of(analysis.model, people, self.options, title)
                for text in analysis.contrasts:  # refused before matrices are read
                    contrast_for(text, self.model.design.terms, self.model.design.groups)

    def read(self) -> None:
        """Take in the edges of all participants, and write them into the stacked table."""
        if not self.group.with_result:
            return
        path = self.writer.path("stacked", EXTENSIONS[self.options.stacked_format])
        with stacked_table(path, len(self.group.edges)) as add_row:
            for participant, edges in stream(self.group, self.options):
                label = participant.label
                if not isinstance(edges, ParticipantEdges):
                    self.problems.append(f"{label} is left out of {self.group.title}: {edges}")
                    continue
                self.used.append(participant)
                self.moments.add(edges.mean)
                self.networks.add(edges.mean)
                self.rows.add(label, edges)
                add_row(label, edges.mean)
        if self.model:
            rows = self.rows.repeated if self.options.within else self.rows.values
            self.model = replace(self.model, design=self.model.design.only(rows.participants))

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
            self.benchmark = head_motion.benchmark(r, p, group.distances[between])
            if options.controls:
                null = head_motion.permuted_qc_fc(values, self.motion, between, options.seed)
                self.permuted_motion = null

    def write(self) -> None:
        """Write all results, after the tests of contrasts."""
        self.writer = replace(self.writer, facts=self._facts())
        if not self.used:
            # The stacked table has no row, and is removed with earlier results.
            self.writer.written.clear()
        else:
            self._write_means()
            with self._noting("no contrast is tested."):
                self._test_contrasts()
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
            table, target = self.stability.table, reliability.TARGET
            writer.table("minutes", table, reliability.MINUTES_COLUMNS, Target=target)
        if self.reliability:
            scale = group.scale.name
            table = pd.concat([group.edges.table(), self.reliability.edges], axis=1)
            writer.table("reliability", table, reliability.EDGE_COLUMNS, Scale=scale)
            if networks.names:
                pairs = networks.pairs(**self.reliability.networks)
                writer.table("networkreliability", pairs, reliability.NETWORK_COLUMNS, Scale=scale)
        results.write_edges(writer, group, columns)
        writer.about("stacked", {"Description": results.STACKED, "Scale": group.scale.name})

    def _test_contrasts(self) -> None:
        """Estimate all coefficients of the model, and test contrasts."""
        group, writer, options, model = self.group, self.writer, self.options, self.model
        if options.multiverse and self.mean:
            everybody = testing.all_participants(self.rows.values)
            self.effects = multiverse.estimate_effects(self, everybody, [MEAN])
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
        for hypotheses in testing.hypotheses_of(
            self.rows, of_model, model, self.analysis, group.title
        ):
            sample, contrasts = hypotheses.sample, hypotheses.contrasts
            if not contrasts:
                continue
            if options.multiverse and group.scale.tested:
                self.effects |= multiverse.estimate_effects(self, sample, contrasts)
            estimated = list(testing.tested_contrasts(sample, contrasts, options))
            permuted: dict[str, PermutationTest] = {}
            with self._noting("nothing is permuted."):
                permuted = testing.permuted_contrasts(hypotheses, group, self.networks, options)
            for tested in estimated:
                threshold = testing.nbs_threshold(sample, tested.contrast, options)
                test = permuted.get(tested.contrast.name)
                own = replace(tested, permuted=test, threshold=threshold)
                about = results.describe_contrast(group.scale.name, own, hypotheses, model, options)
                results.write_contrast(writer, group, own, about)
                results.write_components(writer, group, own, about)
                results.write_network_tests(writer, self.networks, own, about)

    def _facts(self) -> dict[str, object]:
        """What is the same for all results of the group."""
        group = self.group
        facts = describe_settings(group.name, group.runs[0].facts, group.participants)
        of_runs = ((run.file.participant, run.facts.noted) for run in group.runs)
        if differing := differences(of_runs):
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
            reasons = head_motion.reasons_against_zero(group, self.benchmark, self.qc_fc)
            facts["TestsAgainstZeroDoNotHold"] = list(reasons)
        return facts
