"""Effects over all choices of analysis: specification curves, robustness, variance explained.

What strategies, radii, measures and seed sets change is shown by all of them side by side
(Simonsohn et al. 2020, doi:10.1038/s41562-020-0912-z). A matrix of Fisher's z is the same as one of
Pearson correlations here, as these are averaged as Fisher's z, and counts once.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import combinations, product
from math import factorial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_spheres.errors import did_you_mean
from bids_spheres.files.atomic import MISSING, remove
from bids_spheres.files.names import Name, natural
from bids_spheres.group.edges import PAIR_COLUMNS, edge_ends, mean_along
from bids_spheres.group.head_motion import SIGNIFICANT
from bids_spheres.group.results import CONTRAST_COLUMNS, Writer
from bids_spheres.group.testing import tested_contrasts
from bids_spheres.outputs.find import group_files
from bids_spheres.outputs.paths import FISHER_Z, PEARSON, SEEDS, label_of, title
from bids_spheres.wording import listing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.engine.arrays import FloatArray
    from bids_spheres.group.inference import Contrast
    from bids_spheres.group.options import GroupOptions
    from bids_spheres.group.summary import Summary
    from bids_spheres.group.testing import Sample

    _Family = tuple[tuple[tuple[str, str], ...], tuple[str, ...], tuple[str, ...]]

CHOICES = {"strategy": "desc", "scale": "scale", "measure": "stat", "seeds": SEEDS}
"""What specifications differ in, and the entity that says it."""

_EFFECT_COLUMNS = {
    "effect": "Number of the effect, the same in both tables",
    "contrast": "mean: the mean against 0; else a contrast of the call",
    "network_1": "Network of one node of the edges that are averaged; n/a: the named edges",
    "network_2": PAIR_COLUMNS["network_2"],
}

SPECIFICATION_COLUMNS = {
    **_EFFECT_COLUMNS,
    "rank": "Place of the specification, from the smallest estimate, 1",
    "group": "Entities of the group with this specification",
    "strategy": "Strategy of cleaning",
    "scale": "Size of the spheres, where a seed set is used with several",
    "measure": "Measure of connectivity",
    "seeds": "Seed set",
    "n": "Participants in the test",
    "estimate": "Mean or contrast of the averaged edges, Fisher z",
    **{name: CONTRAST_COLUMNS[name] for name in ("standard_error", "ci_low", "ci_high")},
    "t": "estimate / standard_error",
    "p": "p of t, of the tails that Tail names; not corrected",
    "q": "p corrected for all effects of the contrast in the specification (Benjamini & Hochberg "
    "1995, doi:10.1111/j.2517-6161.1995.tb02031.x)",
    "qc_fc_median": "QC-FC of the specification, as in strategies.tsv",
    "qc_fc_significant": "Share of its edges whose correlation with motion has p < 0.05",
    "qc_fc_p": "p of its QC-FC by permutations of head motion, as in strategies.tsv; n/a without "
    "--controls",
    "qc_fc_within_chance": "1: qc_fc_p is at least 0.05, or where it is not known, "
    "qc_fc_significant at most that of Robust; n/a where neither is known",
}
"""Columns of the table of specifications, a row per effect and specification."""

EFFECT_COLUMNS = {
    **_EFFECT_COLUMNS,
    "specifications": "Specifications that have an estimate",
    "median": "Median of their estimates, Fisher z",
    "minimum": "Smallest of their estimates",
    "maximum": "Largest of their estimates",
    "positive": "Share of the estimates that are positive",
    "significant": "Share of the specifications whose q is below that of Robust",
    "within_chance": "Specifications whose QC-FC is within chance",
    "significant_within_chance": "Share of those whose q is below that of Robust",
    "verdict": "robust: all estimates have one sign, and significant_within_chance is at least the "
    "share of Robust; else fragile; n/a where signs agree and no specification has QC-FC within "
    "chance",
    "r_squared": "Share of the variance of the estimates that main effects of the choices explain; "
    "n/a where estimates do not vary",
    **{
        f"share_{choice}": f"Part of r_squared that is due to the {choice}: its Shapley value "
        "(Grömping 2007, doi:10.1198/000313007X188252); n/a where there is one"
        for choice in CHOICES
    },
}
"""Columns of the table of effects, a row each."""

_EFFECT = ["contrast", "network_1", "network_2"]


class Multiverse:
    """Effects of one group after the other, to two tables for each set of nodes."""

    def __init__(self, options: GroupOptions) -> None:
        self._options = options
        self._families: dict[_Family, dict[Name, pd.DataFrame]] = defaultdict(dict)
        self._nodes: dict[tuple[str, ...], bool] = {}
        """Names of the nodes of all groups, and whether any of these is tested."""

    def add(self, summary: Summary) -> None:
        """Take in the effects of a group, if its measure is on the scale of z."""
        group, options = summary.group, self._options
        names = group.edges.names
        self._nodes[names] = self._nodes.get(names, False) or summary.mean is not None
        if not (options.multiverse and group.scale.tested and summary.effects):
            return
        effects = pd.concat(summary.effects.values())
        motion, p = summary.benchmark, summary.permuted_motion.get("qc_fc_p")
        within = motion.share <= options.robust_qcfc if p is None else float(p) >= SIGNIFICANT
        effects = effects.assign(
            group=group.title,
            **{choice: label_of(group.name, key) or MISSING for choice, key in CHOICES.items()},
            qc_fc_median=motion.median,
            qc_fc_significant=motion.share,
            qc_fc_p=np.nan if p is None else p,
            qc_fc_within_chance=np.nan if np.isnan(motion.share) else float(within),
        )
        left_out = ("atlas", "seg", *CHOICES.values())
        common = tuple(entity for entity in group.name.entities if entity[0] not in left_out)
        self._families[common, names, group.edges.networks][group.name] = effects

    def write(self, output_dir: Path) -> tuple[list[Name], list[str]]:
        """Write tables in place of earlier ones; return their entities, and why some lack."""
        written: set[Path] = set()
        names, problems = [], [*self._without_effects()]
        z, r = f"_stat-{FISHER_Z}_", f"_stat-{PEARSON}_"
        for (_, nodes, _), family in self._families.items():
            # Fisher's z is left out where there are Pearson correlations.
            by_name = {title(group): group for group in family}
            own = [each for each in by_name if z not in each or each.replace(z, r) not in by_name]
            groups = [by_name[each] for each in sorted(own, key=natural)]
            kept = (pair for pair in groups[0].entities if pair[0] not in CHOICES.values())
            name = Name(tuple(kept), "", "")
            if len(groups) < 2:
                problems.append(
                    f"{title(name)}: --multiverse needs several strategies, radii, measures or "
                    "seed sets of the same nodes among the outputs, and there is one."
                )
                continue
            writer = Writer(output_dir, name)
            table = specification_curves([family[group] for group in groups])
            about = self._describe(table, nodes)
            writer.table("specifications", table, SPECIFICATION_COLUMNS, **about)
            effects = robustness(table, self._options)
            about["Description"] = "Effects: how they depend on the analysis, if they are robust"
            writer.table("robustness", effects, EFFECT_COLUMNS, **about)
            written |= writer.written
            names.append(name)
        for file in group_files(output_dir):
            if file.name.suffix in ("specifications", "robustness") and file.path not in written:
                remove(file.path)
        return names, problems

    def _without_effects(self) -> Iterator[str]:
        """What was asked for and is in no group."""
        edges = self._options.multiverse_edges
        unknown = [e for e in edges if not any(edge_ends(e, names) for names in self._nodes)]
        known = list(dict.fromkeys(name for names in self._nodes for name in names))
        for edge in unknown:
            words = (word.strip() for word in edge.split(","))
            near = "".join(did_you_mean(word, known) for word in words if word not in known)
            what = f"these are not two of {listing(known)}. {near}".strip()
            yield f"--multiverse-edges {edge}: {what}"
        together = any(all(edge_ends(e, names) for e in edges) for names in self._nodes)
        if edges and not (together or unknown):
            yield "--multiverse-edges: no seed set has all of these edges."
        if self._options.multiverse and not self._families:
            why = "no group has a measure on the scale of z and enough participants for a test."
            if any(self._nodes.values()):
                why = "seeds have no networks, and no edge of theirs is named (--multiverse-edges)."
            yield f"--multiverse has no effect: {why}"

    def _describe(self, table: pd.DataFrame, nodes: Sequence[str]) -> dict[str, object]:
        options = self._options
        named = [edge_ends(edge, nodes) for edge in options.multiverse_edges]
        return {
            "Description": "Every effect under every specification (Simonsohn et al. 2020, "
            "doi:10.1038/s41562-020-0912-z)",
            "Scale": "Fisher z",
            "Choices": {choice: sorted(set(table[choice]), key=natural) for choice in CHOICES},
            "Specifications": sorted(set(table["group"]), key=natural),
            "NamedEdges": [[nodes[a], nodes[b]] for a, b in filter(None, named)],
            "Robust": {
                "Q": options.robust_q,
                "Share": options.robust_share,
                "QCFCSignificant": options.robust_qcfc,
                **({"QCFCPermutationP": SIGNIFICANT} if options.controls else {}),
            },
            "Model": options.model or "1",
            "Tail": options.tail,
            "MinimumParticipants": options.min_participants,
        }


def estimate_effects(
    summary: Summary, sample: Sample, contrasts: Sequence[Contrast]
) -> dict[str, pd.DataFrame]:
    """Contrasts but F tests, by name, of means over pairs of networks and named edges."""
    options = summary.options
    rows = sample.rows if sample.transform is None else sample.transform(sample.rows)
    pairs = summary.networks.pairs()
    edges = summary.group.edges
    ends = [edge_ends(name, edges.names) for name in options.multiverse_edges]
    # None of them counts unless all are there.
    wanted = {tuple(sorted(pair)) for pair in ends if pair} if all(ends) else set()
    named = [number for number, pair in enumerate(edges.ends.tolist()) if tuple(pair) in wanted]
    values = np.array([summary.networks.means(row)[pairs.index] for row in rows])
    if named:
        values = np.column_stack([values, mean_along(np.asarray(rows[:, named]), 1)])
        own = {"network_1": MISSING, "network_2": MISSING}
        pairs = pd.concat([pairs, pd.DataFrame([own])])
    if not len(pairs):
        return {}
    sample = replace(sample, rows=values, transform=None)
    tables = {}
    for tested in tested_contrasts(sample, [own for own in contrasts if not own.is_f], options):
        name, by = tested.contrast.name, tested.estimates
        columns = {"n": by.n, "estimate": by.effect, "standard_error": by.standard_error}
        columns |= {"ci_low": by.ci_low, "ci_high": by.ci_high, "t": by.statistic}
        tables[name] = pairs.assign(contrast=name, **columns, p=by.p, q=tested.q)
    return tables


def specification_curves(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Effects of all specifications, numbered, and sorted by their estimates."""
    table = pd.concat(tables, ignore_index=True)
    by_effect = table.groupby(_EFFECT, sort=False)
    table["effect"] = by_effect.ngroup() + 1
    table = table.sort_values(["effect", "estimate"], kind="stable", ignore_index=True)
    table["rank"] = table.groupby("effect").cumcount() + 1
    return table


def robustness(table: pd.DataFrame, options: GroupOptions) -> pd.DataFrame:
    """A row per effect; see `EFFECT_COLUMNS`."""
    rows = []
    for number, own in table.groupby("effect", sort=True):
        known = own[own["estimate"].notna()]
        estimates, significant = known["estimate"], known["q"] < options.robust_q
        within = known["qc_fc_within_chance"] == 1
        share = float(significant[within].mean())
        if len(set(np.sign(estimates))) > 1 or share < options.robust_share:
            verdict = "fragile"
        else:
            verdict = MISSING if np.isnan(share) else "robust"
        choices = {choice: known[choice].tolist() for choice in CHOICES}
        shares = shapley_shares(estimates.to_numpy(), choices)
        rows.append(
            {
                "effect": number,
                **{key: own[key].iloc[0] for key in _EFFECT},
                "specifications": len(known),
                "median": estimates.median(),
                "minimum": estimates.min(),
                "maximum": estimates.max(),
                "positive": float((estimates > 0).mean()),
                "significant": float(significant.mean()),
                "within_chance": int(within.sum()),
                "significant_within_chance": share,
                "verdict": verdict,
                "r_squared": sum(shares.values()) if shares else np.nan,
                **{f"share_{choice}": share for choice, share in shares.items()},
            }
        )
    return pd.DataFrame(rows, columns=list(EFFECT_COLUMNS))


def shapley_shares(values: FloatArray, choices: Mapping[str, Sequence[object]]) -> dict[str, float]:
    """Shares of the variance of values (S,) that belong to each choice, which add up to R squared.

    R squared of a linear model with the main effects of choices grows by a share when a choice is
    added; it is the mean over all orders in which they can be added (the Shapley value; Grömping
    2007, doi:10.1198/000313007X188252). Choices without an alternative have none, and where values
    do not vary there are no shares.
    """
    varying = [name for name, labels in choices.items() if len(set(labels)) > 1]
    centred = values - values.mean() if len(values) else values
    total = centred @ centred
    if not total > (1e-12 * np.abs(values).max(initial=0)) ** 2 * len(values):
        return {}
    dummies = {name: pd.get_dummies(pd.Series(choices[name]), dtype=float) for name in varying}

    def explained(names: Sequence[str]) -> float:
        if not names:
            return 0.0
        design = np.column_stack([np.ones(len(values)), *(dummies[name] for name in names)])
        fitted = design @ np.linalg.lstsq(design, centred, rcond=None)[0]
        return float(fitted @ fitted / total)

    k = len(varying)
    subsets = (names for size in range(k + 1) for names in combinations(varying, size))
    r_squared = {frozenset(names): explained(names) for names in subsets}
    shares = dict.fromkeys(varying, 0.0)
    for name, others in product(varying, r_squared):
        if name not in others:
            gain = r_squared[others | {name}] - r_squared[others]
            orders = factorial(len(others)) * factorial(k - len(others) - 1)
            shares[name] += orders / factorial(k) * gain
    return shares
