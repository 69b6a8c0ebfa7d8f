"""Contrasts of a group: which rows they are tested on, estimates, and corrections.

Rows are participants, participants and conditions, or differences between conditions.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, field, replace
from math import nan
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_spheres.errors import DataError, UsageError
from bids_spheres.files.atomic import MISSING
from bids_spheres.group import inference
from bids_spheres.group.edges import false_discovery_rate
from bids_spheres.group.model import (
    MEAN,
    Design,
    contrast_for,
    design_for,
    row_label,
    warn_of_design,
)
from bids_spheres.group.stream import EdgeValues
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bids_spheres.engine.arrays import FloatArray, IntArray
    from bids_spheres.group.edges import NetworkMeans
    from bids_spheres.group.model import ContrastText, GroupDesign, Model
    from bids_spheres.group.options import GroupOptions
    from bids_spheres.group.stream import Group, Participant, ParticipantEdges
    from bids_spheres.group.summary import Analysis

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows (N, E) of a design with N participants, or participants and conditions.

    `variance_groups` and `clusters` are numbers of rows, (N,): those with the same number have the
    same variance, or errors that may be correlated. `variances` (N, E) are those of each value
    within its participant. `transform` is done with all rows, also after each permutation.
    """

    rows: FloatArray
    design: Design
    exchangeability: inference.Exchangeability | None = None
    variance_groups: IntArray | None = None
    clusters: IntArray | None = None
    variances: FloatArray | None = None
    transform: Callable[[FloatArray], FloatArray] | None = None


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """Contrasts of one sample; sidecars have their weights of `terms`, or those of `weights`."""

    sample: Sample
    contrasts: Sequence[inference.Contrast]
    terms: tuple[str, ...] = ("Intercept",)
    weights: Mapping[str, FloatArray] = field(default_factory=dict)


class Rows:
    """Edges of participants, and of their conditions with participant and label, with variances."""

    def __init__(self, n_edges: int) -> None:
        self.values, self.variances, self.repeated = (EdgeValues(n_edges) for _ in range(3))
        self.conditions: list[tuple[str, str]] = []

    def add(self, participant: str, edges: ParticipantEdges) -> None:
        """Take the edges of a participant in."""
        self.values.add(participant, edges.mean)
        if edges.variance is not None:
            self.variances.add(participant, edges.variance)
        for condition, values in edges.conditions.items():
            self.repeated.add(row_label(participant, condition), values)
            self.conditions.append((participant, condition))


def all_participants(values: EdgeValues) -> Sample:
    """A design of a constant."""
    labels = tuple(values.participants)
    return Sample(values.array, Design(labels, ("Intercept",), np.ones((len(labels), 1))))


def sample_of_model(rows: Rows, model: GroupDesign, options: GroupOptions) -> Sample:
    """Rows of a model whose matrices could be read, with the columns that options name."""
    values = rows.repeated if options.within else rows.values
    design = model.design.only(values.participants)
    data = model.data.loc[list(design.participants)]

    def codes(column: str | None) -> IntArray | None:
        return None if column is None else pd.factorize(data[column])[0]

    blocks, clusters = codes(options.blocks), codes(options.clusters)
    if options.within:
        clusters = np.unique(design.people, return_inverse=True)[1]
    variances = rows.variances.rows_of(design.participants).array if options.weights else None
    return Sample(
        values.rows_of(design.participants).array,
        design,
        None if blocks is None else inference.Exchangeability(blocks, options.whole_blocks),
        variance_groups=codes(options.variance_groups),
        clusters=clusters,
        variances=variances,
    )


def design_of(
    model: Model, people: Sequence[Participant], options: GroupOptions, group_title: str
) -> GroupDesign:
    """The design of participants, or with ``--within`` of participants and conditions."""
    mean_fd = {person.label: person.mean_fd for person in people}
    if within := options.within:
        pairs = [(who, own) for who in people for own in who.conditions(within)]
        mean_fd = {row_label(who.label, own): who.mean_fd for who, own in pairs}
        known = [(who.label, own) for who, own in pairs if who.label in model.table.index]
        table = model.table.loc[[who for who, _ in known]].assign(**{within: [o for _, o in known]})
        model = replace(model, table=table.set_axis([row_label(*pair) for pair in known]))
    design = design_for(model, mean_fd)
    warn_of_design(group_title, len(people), design, "model")
    return design


def hypotheses_of(
    rows: Rows, sample: Sample | None, model: GroupDesign | None, analysis: Analysis, name: str
) -> Iterator[Hypotheses]:
    """Contrasts of a model, of conditions, or the mean; UsageError when one names no term."""
    options = analysis.options
    if sample and model:
        terms, groups = model.design.terms, model.design.groups
        own = [contrast_for(text, terms, groups) for text in analysis.contrasts]
        yield Hypotheses(sample, own if options.model else (MEAN,), terms)
    elif options.within and not options.model:
        yield from paired_hypotheses(rows, analysis.contrasts, name)
    elif not options.model:
        sample = all_participants(rows.values)
        if options.weights:
            sample = replace(sample, variances=rows.variances.array)
        yield Hypotheses(sample, (MEAN,))


def paired_hypotheses(
    rows: Rows, contrasts: Sequence[ContrastText], group_title: str
) -> Iterator[Hypotheses]:
    """Means of weighted sums of conditions, a row per participant who has them all.

    UsageError when a contrast names no condition, or is an F test; DataError when nobody has all
    conditions of one.
    """
    terms = tuple(sorted({condition for _, condition in rows.conditions}))
    if terms == (MISSING,):
        raise DataError("no file has a condition of --within in its name, as ses-pre.")
    places: dict[str, dict[str, int]] = defaultdict(dict)
    for row, (label, condition) in enumerate(rows.conditions):
        places[label][condition] = row
    array = rows.repeated.array
    for text in contrasts:
        if text.is_f:
            raise UsageError(
                f"F:{text.name} tests several conditions together, which --within does not.",
                hint="Name pairs of conditions, as change=post-pre.",
            )
        contrast = contrast_for(text, terms, {}, "conditions")
        weights = {c: w for c, w in zip(terms, contrast.weights[0], strict=True) if w}
        differences = EdgeValues(array.shape[1])
        complete = {label: own for label, own in places.items() if weights.keys() <= own.keys()}
        for label, own in complete.items():
            differences.add(label, sum(w * array[own[c]] for c, w in weights.items()))
        if lacking := [label for label in places if label not in complete]:
            people = f"{count(len(lacking), 'participant')} without all conditions"
            logger.warning("%s: %s of %s: %s", group_title, people, text.name, listing(lacking))
        if not complete:
            raise DataError(f"nobody has all conditions of {text.name}: {listing([*weights])}.")
        sample, mean = all_participants(differences), replace(MEAN, name=text.name)
        yield Hypotheses(sample, (mean,), terms, {text.name: contrast.weights})


@dataclass(frozen=True, eq=False)
class Tested:
    """A contrast of E edges; NaN for those that can't be tested.

    q is p corrected for all edges, see `false_discovery_rate`; `columns` are what random effects
    give beside, (E,) each; components of permutations are beyond the `threshold`.
    """

    contrast: inference.Contrast
    tail: inference.Tail
    estimates: inference.Estimates
    q: FloatArray
    columns: Mapping[str, FloatArray] = field(default_factory=dict)
    permuted: inference.PermutationTest | None = None
    threshold: float = nan

    @property
    def corrections(self) -> Mapping[str, inference.Correction]:
        """Corrections by permutations, by their names."""
        return self.permuted.corrections if self.permuted else {}

    @property
    def one_sided(self) -> bool:
        """Whether statistics of one sign alone count, as F and those of one tail."""
        return self.tail != "two" or self.contrast.is_f

    @property
    def sign(self) -> int:
        """-1 where permutations see the negative of the statistic, as the tail is negative."""
        return -1 if self.tail == "negative" and not self.contrast.is_f else 1


def tested_contrasts(
    sample: Sample, contrasts: Sequence[inference.Contrast], options: GroupOptions
) -> Iterator[Tested]:
    """Test contrasts of edges that enough participants have; ValueError if not estimable."""
    rows = sample.rows if sample.transform is None else sample.transform(sample.rows)
    design, tail = sample.design.values, options.tail
    plain: list[inference.Estimates] = []
    if sample.variances is None and sample.clusters is None:
        groups = sample.variance_groups
        plain = inference.estimates(rows, design, contrasts, tail=tail, variance_groups=groups)
    for place, contrast in enumerate(contrasts):
        columns: dict[str, FloatArray] = {}
        if sample.variances is not None:
            effects = inference.random_effects(rows, sample.variances, design, contrast, tail=tail)
            estimates = effects.estimates
            columns = {"tau2": effects.tau2, "cochran_q": effects.q}
            columns |= {"cochran_p": effects.q_p, "i2": effects.i2}
        elif (groups := sample.clusters) is not None:
            estimates = inference.robust_estimate(rows, design, contrast, groups, tail=tail)
        else:
            estimates = plain[place]
        enough = estimates.n >= options.min_participants
        statistic = np.where(enough, estimates.statistic, np.nan)
        p = np.where(enough, estimates.p, np.nan)
        known = replace(estimates, statistic=statistic, p=p)
        yield Tested(contrast, tail, known, false_discovery_rate(p), columns)


def permuted_contrasts(
    hypotheses: Hypotheses, group: Group, networks: NetworkMeans, options: GroupOptions
) -> dict[str, inference.PermutationTest]:
    """Permute contrasts by name, none for q alone; ValueError when nothing can be permuted."""
    if "cnbs" in options.inference and not networks.names:
        logger.warning("%s: cnbs needs seeds with networks, and is left out.", group.title)
    powers = options.tfnbs_extent, options.tfnbs_height, options.tfnbs_step
    names, ends = group.edges.names, group.edges.ends

    def enhancements(contrast: inference.Contrast) -> dict[str, inference.Enhancement]:
        own: dict[str, inference.Enhancement] = {
            "maxt": inference.MaxT(),
            "nbs": inference.Nbs(ends, nbs_threshold(hypotheses.sample, contrast, options)),
            "tfnbs": inference.Tfnbs(ends, *powers),
        }
        return own | ({"cnbs": inference.Cnbs(networks.pair_of_edge)} if networks.names else {})

    tests = permuted(hypotheses, enhancements, options)
    for test in [*tests.values()][:1]:
        if test.exhaustive:
            people = count(len(hypotheses.sample.rows), "participant")
            text = "%s: all %d arrangements of %s were used; no p is below %.3g."
            logger.info(text, group.title, test.n_permutations, people, test.smallest_p)
        if len(out := np.flatnonzero(~test.tested)):
            pairs = [" - ".join(names[node] for node in pair) for pair in ends[out]]
            text = "%s: %s not in permutations, as participants lack them: %s"
            logger.warning(text, group.title, count(len(out), "edge"), listing(pairs, 3))
    return tests


def permuted(
    hypotheses: Hypotheses,
    enhancements: Callable[[inference.Contrast], Mapping[str, inference.Enhancement]],
    options: GroupOptions,
) -> dict[str, inference.PermutationTest]:
    """Test contrasts, by name, by the same permutations; ValueError if none can be made."""

    def requested(contrast: inference.Contrast) -> dict[str, inference.Enhancement]:
        own = enhancements(contrast)
        return {name: own[name] for name in options.inference if name in own}

    if not any(map(requested, hypotheses.contrasts)):
        return {}
    sample = hypotheses.sample
    tests = inference.permutation_test(
        sample.rows,
        sample.design.values,
        hypotheses.contrasts,
        requested,
        tail=options.tail,
        n_permutations=options.permutations,
        seed=options.seed,
        exchangeability=sample.exchangeability,
        variance_groups=sample.variance_groups,
        transform=sample.transform,
    )
    return {test.contrast.name: test for test in tests}


def nbs_threshold(sample: Sample, contrast: inference.Contrast, options: GroupOptions) -> float:
    """Threshold of components: of t, or for an F test the root of F with the same p."""
    n, k = sample.design.values.shape
    if not contrast.is_f:
        return options.nbs_threshold
    return inference.root_f_threshold(options.nbs_threshold, len(contrast.weights), n - k)
