"""ComBat: shifts and scales of sites removed from edges, and the estimates to files and back."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_spheres.errors import DataError
from bids_spheres.group.inference import Combat, fit_combat
from bids_spheres.group.stream import EdgeValues
from bids_spheres.outputs.read import read_table
from bids_spheres.wording import listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from bids_spheres.engine.arrays import FloatArray
    from bids_spheres.group.model import GroupDesign
    from bids_spheres.group.options import GroupOptions
    from bids_spheres.group.testing import Sample

logger = logging.getLogger(__name__)

COLUMNS = {
    "parameter": "mean and standard_deviation over sites, coefficient of a term of the model that "
    "is kept, shift of a site in standard deviations, scale of its variance",
    "label": "Term or site; n/a for mean and standard_deviation",
    "edge": "Number of the edge in the table of edges",
    "value": "Estimate; n/a where an edge lacks participants of a site",
}


@dataclass(frozen=True, eq=False)
class Harmonization:
    """Estimates of ComBat, with the names of sites and of the terms that are kept."""

    combat: Combat
    sites: tuple[str, ...]
    terms: tuple[str, ...]

    def table(self) -> pd.DataFrame:
        """A row per estimate and edge; see `COLUMNS`."""
        combat, edges = self.combat, np.arange(1, len(self.combat.mean) + 1)
        named: dict[str, tuple[Sequence[str], Iterable[FloatArray]]] = {
            "mean": (["n/a"], [combat.mean]),
            "standard_deviation": (["n/a"], [combat.standard_deviation]),
            "coefficient": (self.terms, combat.coefficients),
            "shift": (self.sites, combat.shift),
            "scale": (self.sites, combat.scale),
        }
        return pd.concat(
            pd.DataFrame({"parameter": parameter, "label": label, "edge": edges, "value": own})
            for parameter, (labels, values) in named.items()
            for label, own in zip(labels, values, strict=True)
        )


def harmonize(
    sample: Sample, model: GroupDesign, options: GroupOptions, group_title: str
) -> tuple[Sample, Harmonization]:
    """Remove what sites add to edges or voxels, and keep what the model explains.

    Terms that sites determine are not kept. With ``harmonize_within`` it is done again after each
    permutation. DataError when sites or terms differ from those of a file; ValueError when a site
    has one participant, or there is one site.
    """
    sites = model.data.loc[list(sample.design.participants), options.harmonize]
    if options.harmonize not in model.columns and not options.harmonize_within:
        unless = "unless %s is in the model, or ComBat is estimated in each permutation"
        text = f"%s: tests after harmonization are liberal {unless} (--harmonize-within)."
        logger.warning(text, group_title, options.harmonize)
    names = tuple(sorted(map(str, sites.unique())))
    terms, covariates = _kept_terms(sample, sites)
    harmonization, known = None, names
    if options.harmonize_from:
        harmonization = read_harmonization(options.harmonize_from)
        known = harmonization.sites
        if harmonization.terms != terms or not set(names) <= set(known):
            raise DataError(
                f"{options.harmonize_from} is about the sites {listing(known)} and the terms "
                f"{listing(harmonization.terms) or 'none'}, and this model has the sites "
                f"{listing(names)} and the terms {listing(terms) or 'none'}.",
                hint="Take the model with which the file was written.",
            )
    codes = np.array([known.index(str(site)) for site in sites])
    harmonization = harmonization or Harmonization(
        fit_combat(sample.rows, codes, covariates), names, terms
    )
    if options.harmonize_within:

        def again(rows: FloatArray) -> FloatArray:
            return fit_combat(rows, codes, covariates).apply(rows, codes, covariates)

        return replace(sample, transform=again), harmonization
    rows = EdgeValues(sample.rows.shape[1])
    for n, label in enumerate(sample.design.participants):
        own = sample.rows[n : n + 1], codes[n : n + 1], covariates[n : n + 1]
        rows.add(label, harmonization.combat.apply(*own)[0])
    return replace(sample, rows=rows.array), harmonization


def _kept_terms(sample: Sample, sites: pd.Series) -> tuple[tuple[str, ...], FloatArray]:
    """Columns of the design that sites do not determine, and their names."""
    columns = pd.get_dummies(sites, dtype=float).to_numpy()
    terms, kept = [], []
    for term, column in zip(sample.design.terms, sample.design.values.T, strict=True):
        larger = np.column_stack([columns, column / (np.linalg.norm(column) or 1)])
        if np.linalg.matrix_rank(larger) > np.linalg.matrix_rank(columns):
            columns = larger
            terms.append(term)
            kept.append(column)
    return tuple(terms), np.reshape(kept, (len(kept), len(sites))).T


def read_harmonization(path: Path) -> Harmonization:
    """Read the estimates that an earlier call wrote; DataError when the file is another."""
    table = read_table(path, {"label": str, "parameter": str})
    try:
        groups = table.fillna({"label": "n/a"}).groupby(["parameter", "label"], sort=False)
        values = {tuple(map(str, key)): own["value"].to_numpy(float) for key, own in groups}
        sites = tuple(label for kind, label in values if kind == "shift")
        terms = tuple(label for kind, label in values if kind == "coefficient")
        size = len(values["mean", "n/a"])
        return Harmonization(
            Combat(
                mean=values["mean", "n/a"],
                standard_deviation=values["standard_deviation", "n/a"],
                coefficients=np.reshape([values["coefficient", t] for t in terms], (-1, size)),
                shift=np.array([values["shift", site] for site in sites]),
                scale=np.array([values["scale", site] for site in sites]),
            ),
            sites,
            terms,
        )
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{path} was not written by --harmonize: {type(error).__name__} {error}.",
            hint="Name a *_harmonization.tsv of the same seed set.",
        ) from error
