"""Which rows a contrast is tested on: participants, or their differences between conditions."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_spheres.errors import DataError, UsageError
from bids_spheres.files.atomic import MISSING
from bids_spheres.group.contrasts import MEAN, contrast_for
from bids_spheres.group.inference import Contrast, Exchangeability, paired_contrast
from bids_spheres.group.model import Design, Model
from bids_spheres.group.values import EdgeValues
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from bids_spheres.group.contrasts import ContrastText
    from bids_spheres.group.model import GroupDesign
    from bids_spheres.group.options import GroupOptions

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.intp]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Sample:
    """Participants of a design with their edges.

    Parameters
    ----------
    rows : (N, E) array
    design : Design
        Of N participants.
    exchangeability : Exchangeability, optional
        Which of them may change places.
    variance_groups : (N,) array of int, optional
        Those with the same number have the same variance.
    clusters : (N,) array of int, optional
        Errors of those with the same number may be correlated.
    variances : (N, E) array, optional
        Of each value within its participant.
    transform : callable, optional
        What is done with rows (N, E), also after each permutation.
    """

    rows: FloatArray
    design: Design
    exchangeability: Exchangeability | None = None
    variance_groups: IntArray | None = None
    clusters: IntArray | None = None
    variances: FloatArray | None = None
    transform: Callable[[FloatArray], FloatArray] | None = None


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """Contrasts of one sample, and what sidecars say of them.

    Parameters
    ----------
    sample : Sample
    contrasts : tuple of Contrast
    terms : tuple of str
        What the weights are of.
    weights : mapping of str to (q, k) array
        By the names of the contrasts.
    """

    sample: Sample
    contrasts: tuple[Contrast, ...]
    terms: tuple[str, ...]
    weights: Mapping[str, FloatArray]

    @classmethod
    def of(cls, sample: Sample, contrasts: Sequence[Contrast]) -> Hypotheses:
        """Contrasts of the terms of the design."""
        weights = {contrast.name: contrast.weights for contrast in contrasts}
        return cls(sample, tuple(contrasts), sample.design.terms, weights)


@dataclass(eq=False)
class Rows:
    """Edges of participants, and of each of their conditions.

    Parameters
    ----------
    values, variances : EdgeValues
        A row per participant.
    repeated : EdgeValues
        A row per participant and condition.
    conditions : list of (str, str)
        Participant and condition of these rows.
    """

    values: EdgeValues
    variances: EdgeValues
    repeated: EdgeValues
    conditions: list[tuple[str, str]] = field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        """Conditions, sorted."""
        return sorted({condition for _, condition in self.conditions})


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

    blocks = codes(options.blocks)
    sample = Sample(
        rows=values.rows_of(design.participants).array,
        design=design,
        exchangeability=None if blocks is None else Exchangeability(blocks, options.whole_blocks),
        variance_groups=codes(options.variance_groups),
        clusters=codes(options.clusters),
    )
    if options.within:
        people = dict(zip(rows.repeated.participants, rows.conditions, strict=True))
        labels = [people[label][0] for label in design.participants]
        sample = replace(sample, clusters=pd.factorize(np.array(labels, object))[0])
    if options.weights:
        sample = replace(sample, variances=rows.variances.rows_of(design.participants).array)
    return sample


def with_conditions(model: Model, people: Mapping[str, Sequence[str]], name: str) -> Model:
    """The same model with a row per participant and condition, and a column of conditions.

    `people` has the conditions of each participant.
    """
    pairs = [
        (label, own) for label in people if label in model.table.index for own in people[label]
    ]
    table = model.table.loc[[label for label, _ in pairs]].copy()
    table.index = pd.Index([row_label(label, own) for label, own in pairs])
    table[name] = [own for _, own in pairs]
    return replace(model, table=table)


def row_label(participant: str, condition: str) -> str:
    """Label of a row of a participant and condition."""
    return f"{participant} {condition}"


def paired_hypotheses(
    rows: Rows, contrasts: Sequence[ContrastText], group_title: str
) -> Iterator[Hypotheses]:
    """Means of weighted sums of conditions, a row per participant who has them all.

    Raises
    ------
    UsageError
        When a contrast names no condition, or is an F test.
    DataError
        When nobody has all conditions of one.
    """
    terms = tuple(rows.labels)
    if terms == (MISSING,):
        raise DataError("no file has a condition of --within in its name, as ses-pre.")
    numbers = {label: number for number, label in enumerate(terms)}
    for text in contrasts:
        if text.is_f:
            raise UsageError(
                f"F:{text.name} tests several conditions together, which --within does not.",
                hint="Name pairs of conditions, as change=post-pre.",
            )
        contrast = contrast_for(text, terms, {})
        needed = {terms[number] for number in np.flatnonzero(contrast.weights[0])}
        own: dict[str, list[int]] = {}
        for row, (label, _) in enumerate(rows.conditions):
            own.setdefault(label, []).append(row)
        array, n_edges = rows.repeated.array, rows.repeated.array.shape[1]
        differences, lacking = EdgeValues(n_edges), []
        for label, places in own.items():
            present = [rows.conditions[place][1] for place in places]
            if not needed <= set(present):
                lacking.append(label)
                continue
            codes = np.array([numbers[condition] for condition in present])
            zeros = np.zeros(len(places), dtype=np.intp)
            sums = paired_contrast(array[places], zeros, codes, contrast.weights[0])
            differences.add(label, sums[0])
        if lacking:
            people = f"{count(len(lacking), 'participant')} without all conditions"
            logger.warning("%s: %s of %s: %s", group_title, people, text.name, listing(lacking))
        if not differences.participants:
            raise DataError(f"nobody has all conditions of {text.name}: {listing(sorted(needed))}.")
        mean = replace(MEAN, name=text.name)
        weights = {text.name: contrast.weights}
        yield Hypotheses(all_participants(differences), (mean,), terms, weights)
