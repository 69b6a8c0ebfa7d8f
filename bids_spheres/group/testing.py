"""Contrasts of a group: estimates, their tests, and corrections for the number of edges."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.group.inference import (
    Cnbs,
    MaxT,
    Nbs,
    Tfnbs,
    estimate,
    permutation_test,
    random_effects,
    robust_estimate,
    root_f_threshold,
)
from bids_spheres.group.statistics import false_discovery_rate
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from bids_spheres.group.inference import (
        Contrast,
        Enhancement,
        Estimates,
        PermutationTest,
        Tail,
    )
    from bids_spheres.group.network_means import NetworkMeans
    from bids_spheres.group.options import GroupOptions
    from bids_spheres.group.sample import Sample
    from bids_spheres.group.stream import Group

    FloatArray = NDArray[np.float64]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Tested:
    """A contrast of E edges; NaN for those that can't be tested.

    Parameters
    ----------
    contrast : Contrast
    tail : {"two", "positive", "negative"}
    estimates : Estimates
    q : (E,) array
        p corrected for all edges, see `false_discovery_rate`.
    columns : mapping of str to (E,) array
        What random effects give beside.
    permuted : PermutationTest, optional
    """

    contrast: Contrast
    tail: Tail
    estimates: Estimates
    q: FloatArray
    columns: Mapping[str, FloatArray] = field(default_factory=dict)
    permuted: PermutationTest | None = None


def tested_contrasts(
    sample: Sample, contrasts: Iterable[Contrast], options: GroupOptions
) -> Iterator[Tested]:
    """Estimate and test contrasts; edges of fewer than the minimum of participants get no test.

    ValueError when the design, or a contrast, can't be estimated in these participants.
    """
    rows = sample.rows if sample.transform is None else sample.transform(sample.rows)
    for contrast in contrasts:
        columns: dict[str, FloatArray] = {}
        where = rows, sample.design.values
        if sample.variances is not None:
            effects = random_effects(
                rows, sample.variances, sample.design.values, contrast, tail=options.tail
            )
            estimates = effects.estimates
            columns = {"tau2": effects.tau2, "cochran_q": effects.q}
            columns |= {"cochran_p": effects.q_p, "i2": effects.i2}
        elif sample.clusters is not None:
            estimates = robust_estimate(*where, contrast, sample.clusters, tail=options.tail)
        else:
            groups = sample.variance_groups
            estimates = estimate(*where, contrast, tail=options.tail, variance_groups=groups)
        enough = estimates.n >= options.min_participants
        known = {
            name: np.where(enough, getattr(estimates, name), np.nan) for name in ("statistic", "p")
        }
        q = false_discovery_rate(known["p"])
        yield Tested(contrast, options.tail, replace(estimates, **known), q, columns)


def permuted_contrasts(
    sample: Sample,
    contrasts: Sequence[Contrast],
    group: Group,
    networks: NetworkMeans,
    options: GroupOptions,
) -> dict[str, PermutationTest]:
    """Test contrasts by permutations, by their names; none where only q is requested.

    ValueError when nothing can be permuted, or tested.
    """
    requested = [name for name in options.inference if name in ("maxt", "nbs", "tfnbs", "cnbs")]
    if "cnbs" in requested and not networks.names:
        logger.warning("%s: cnbs needs seeds with networks, and is left out.", group.title)
        requested.remove("cnbs")
    if not requested:
        return {}
    tests: dict[str, PermutationTest] = {}
    # An F test has a threshold of its own; the arrangements are the same.
    together = [[contrast for contrast in contrasts if not contrast.is_f]]
    for own in filter(None, [*together, *([c] for c in contrasts if c.is_f)]):
        enhancements: dict[str, Enhancement] = {
            "maxt": MaxT(),
            "nbs": Nbs(group.edges.ends, nbs_threshold(sample, own[0], options)),
            "tfnbs": Tfnbs(
                group.edges.ends, options.tfnbs_extent, options.tfnbs_height, options.tfnbs_step
            ),
        }
        if networks.names:
            enhancements["cnbs"] = Cnbs(networks.pair_of_edge)
        chosen = {name: enhancements[name] for name in requested}
        tests |= {test.contrast.name: test for test in permuted(sample, own, chosen, options)}
    _warn_of_permutations(group, next(iter(tests.values())), sample)
    return tests


def permuted(
    sample: Sample,
    contrasts: Sequence[Contrast],
    enhancements: Mapping[str, Enhancement],
    options: GroupOptions,
) -> Sequence[PermutationTest]:
    """Test contrasts by the permutations that options and sample ask for.

    ValueError when nothing can be permuted.
    """
    return permutation_test(
        sample.rows,
        sample.design.values,
        contrasts,
        enhancements,
        tail=options.tail,
        n_permutations=options.permutations,
        seed=options.seed,
        exchangeability=sample.exchangeability,
        variance_groups=sample.variance_groups,
        transform=sample.transform,
    )


def nbs_threshold(sample: Sample, contrast: Contrast, options: GroupOptions) -> float:
    """Threshold of components: of t, or for an F test the root of F with the same p."""
    n, k = sample.design.values.shape
    if not contrast.is_f:
        return options.nbs_threshold
    return root_f_threshold(options.nbs_threshold, len(contrast.weights), n - k)


def _warn_of_permutations(group: Group, test: PermutationTest, sample: Sample) -> None:
    if test.exhaustive:
        logger.info(
            "%s: all %d arrangements of %s were used; no p is below %.3g.",
            group.title,
            test.n_permutations,
            count(len(sample.rows), "participant"),
            test.smallest_p,
        )
    if len(out := np.flatnonzero(~test.tested)):
        names, (rows, columns) = group.edges.names, group.edges.indices
        pairs = [f"{names[rows[edge]]} - {names[columns[edge]]}" for edge in out]
        logger.warning(
            "%s: %s not in permutations, as participants lack them: %s",
            group.title,
            count(len(out), "edge"),
            listing(pairs, 3),
        )
