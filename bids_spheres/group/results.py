"""What was computed of a group, to files under their names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bids_spheres.files.atomic import MISSING, write_json, write_numbers, write_table
from bids_spheres.group.edges import NODE_COLUMNS, PAIR_COLUMNS
from bids_spheres.group.inference import components
from bids_spheres.group.model import participant_of
from bids_spheres.outputs.paths import group_path, of_contrast
from bids_spheres.outputs.sidecars import described

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.engine.arrays import FloatArray
    from bids_spheres.engine.connectivity import Moments
    from bids_spheres.files.names import Name
    from bids_spheres.group.edges import NetworkMeans
    from bids_spheres.group.inference import Correction
    from bids_spheres.group.model import GroupDesign
    from bids_spheres.group.options import GroupOptions
    from bids_spheres.group.stream import Group, Participant
    from bids_spheres.group.testing import Hypotheses, Tested

_Q = (
    "p corrected for all edges{} (Benjamini & Hochberg 1995, "
    "doi:10.1111/j.2517-6161.1995.tb02031.x)"
)

_MATRICES = {
    "mean": "Mean over participants",
    "sd": "Standard deviation over participants, with n - 1",
    "n": "Participants who have the edge",
    "t": "Student's t of the mean against 0, with n - 1 degrees of freedom; n/a for edges that "
    "fewer than MinimumParticipants have",
    "p": "p of t, of the tails that Tail names",
    "q": "p, corrected for all edges: least false discovery rate (Benjamini & Hochberg 1995, "
    "doi:10.1111/j.2517-6161.1995.tb02031.x) at which the edge is still positive",
}

_NUMBER = "Number of the edge: its column in the stacked table, from 1"

EDGE_COLUMNS = {
    "edge": _NUMBER,
    **NODE_COLUMNS,
    "network_1": "Network of node_1",
    "network_2": "Network of node_2",
    "distance": "Between the two nodes",
    "n": "Participants who have the edge",
    "qc_fc": "Correlation over participants of connectivity (of precision: its negative) with mean "
    "framewise displacement; partial, where QCFCCovariates names covariates; n/a for edges that "
    "fewer than MinimumParticipants have",
    "qc_fc_p": "Two-sided p of qc_fc, not corrected",
}

PARTICIPANT_COLUMNS = {
    "participant_id": "Participant; also those of the input, of participants.tsv and of the "
    "exclusions who have no result",
    # pybids takes the description of a column for a value where names of files have the entity.
    "image_space": "Space of the images; func: the grid of acquisition",
    "runs": "Runs with a result, which are averaged",
    "runs_excluded": "Runs of which too little was left",
    "mean_fd": "Mean framewise displacement in fMRIPrep's table: not filtered, at 50 mm; over all "
    "volumes of all runs of the task, before censoring and with excluded runs: the same after "
    "every strategy",
    "degrees_of_freedom": "Of the runs with a result together",
    "used": "1: the results of the group rest on this participant, among others",
    "in_model": "1: so do the coefficients of the model; n/a without a model",
    "reason": "Why not",
    "note": "Files about runs of the participant that failed at the participant level, and without "
    "which the others are used",
}

_ESTIMATE_COLUMNS = {
    "effect": "Estimate by ordinary least squares, or with ParticipantWeights by random effects: "
    "a mean, coefficient or sum of such",
    "standard_error": "Of the estimate",
    "ci_low": "Lower limit of its 95 % confidence interval, of both tails",
    "ci_high": "Upper limit of its 95 % confidence interval, of both tails",
    "d": "The estimate in standard deviations of what the model leaves: of a mean or a difference "
    "of two groups Cohen's d, of a number d per unit",
    "partial_r": "t / sqrt(t^2 + degrees_of_freedom), the partial correlation; of an F test the "
    "square root of partial eta^2",
}

_ROWS = "; of a model with Within their rows, one for each condition"
_SATTERTHWAITE = "; with Clusters or VarianceGroups by Satterthwaite's approximation"

MODEL_COLUMNS = {
    **NODE_COLUMNS,
    "term": "Term of the model",
    "n": f"Participants in the model who have the edge{_ROWS}",
    "degrees_of_freedom": f"n - number of terms{_SATTERTHWAITE}",
    "coefficient": "Ordinary least squares, or with ParticipantWeights random effects",
    **{name: about for name, about in _ESTIMATE_COLUMNS.items() if name != "effect"},
    "t": "coefficient / standard_error",
    "p": "Two-sided p of t",
    "q": _Q.format(" of the term"),
}

CONTRAST_COLUMNS = {
    "edge": _NUMBER,
    **NODE_COLUMNS,
    "n": f"Participants in the test who have the edge{_ROWS}",
    "degrees_of_freedom": f"n - number of terms of the model{_SATTERTHWAITE}",
    **_ESTIMATE_COLUMNS,
    "t": "effect / standard_error",
    "f": "F of all rows of the contrast together; in place of effect to t",
    "p": "p of t, of the tails that Tail names, or of F; not corrected",
    "q": _Q.format(""),
    "tau2": "Variance between participants (Paule & Mandel 1982)",
    "cochran_q": "Cochran's Q of what the model leaves",
    "cochran_p": "p of cochran_q by chi squared",
    "i2": "Share of the variance that is between participants",
    "p_permutation": "p of the edge by permutations, not corrected",
    "p_maxt": "Family-wise p of the edge, from the largest statistic of all edges",
    "p_nbs_extent": "Family-wise p of the component of edges above the threshold that the edge "
    "belongs to, by its number of edges; 1 for an edge of none. It says nothing about the edge",
    "p_nbs_intensity": "The same by the sum of what edges of the component exceed the threshold",
    "tfnbs": "Threshold-free network-based statistic",
    "p_tfnbs": "Its family-wise p",
}

COMPONENT_COLUMNS = {
    "component": "Number of the component, the largest first",
    "sign": "1: of positive edges, -1: of negative ones",
    "edges": "Edges of the component",
    "intensity": "Sum over its edges of the absolute t, or the root of F, less Threshold",
    "p_extent": "Family-wise p of the number of edges",
    "p_intensity": "Family-wise p of the intensity",
    "n_nodes": "Nodes that its edges join",
    "nodes": "Names of these nodes, with ; between them",
    "edge_numbers": "Numbers of its edges in the table of edges, with ; between",
}

NETWORK_TEST_COLUMNS = {
    **PAIR_COLUMNS,
    "mean_statistic": "Mean t of these edges; of an F test mean root of F",
    "p": "p of the pair of networks by permutations, not corrected",
    "p_fwe": "Family-wise p, from the largest statistic of all pairs",
}

STACKED = (
    "Edges of every participant: participant_id, and the edges in the order of the table of edges. "
    "In Parquet they are one list, values, of which numpy.stack makes a matrix; in TSV they are "
    "columns."
)


@dataclass(frozen=True, eq=False)
class Writer:
    """Files of one group: what every sidecar says, and which files were written."""

    output_dir: Path
    group: Name
    facts: Mapping[str, object] = field(default_factory=dict)
    written: set[Path] = field(default_factory=set)

    def path(self, what: str, extension: str = ".tsv") -> Path:
        """Path of a result, which counts as written from now on, with its sidecar."""
        path = group_path(self.output_dir, self.group, what, extension)
        self.written.update((path, self._sidecar(what)))
        return path

    def table(
        self,
        what: str,
        table: pd.DataFrame | Sequence[Mapping[str, object]],
        columns: Mapping[str, str],
        **about: object,
    ) -> None:
        """Write those of some columns that a table has, or all of its rows, and the sidecar."""
        if not isinstance(table, pd.DataFrame):
            table = pd.DataFrame(table, columns=list(columns))
        kept = {name: text for name, text in columns.items() if name in table.columns}
        write_table(self.path(what), table[list(kept)])
        self.about(what, {**described(kept), **about})

    def about(self, what: str, about: Mapping[str, object]) -> None:
        """Write a sidecar; what it says of this result goes before what holds for all."""
        write_json(self._sidecar(what), {**about, **self.facts, **about})

    def _sidecar(self, what: str) -> Path:
        return group_path(self.output_dir, self.group, what, ".json")


def write_matrices(writer: Writer, group: Group, moments: Moments, tested: Tested | None) -> None:
    """Write mean, spread and number as matrices, and tests; of one participant neither exists."""
    scale, edges = group.scale, group.edges
    values = {"mean": scale.back(moments.known_mean), "n": moments.n}
    units = {"mean": scale.name, "sd": scale.name}
    diagonals: dict[str, FloatArray] = {}
    if scale.transformed:
        units["mean"] = "the measure: mean of Fisher z, transformed back"
        # 1 for nodes that any participant has is what correlations have there.
        known = np.isfinite(edges.matrix(values["mean"])).any(axis=0)
        diagonals["mean"] = np.where(known, 1.0, np.nan)
    if (moments.n > 1).any():
        values["sd"] = moments.sd
    if tested:
        values |= {"t": tested.estimates.statistic, "p": tested.estimates.p, "q": tested.q}
    for what, own in values.items():
        about = {
            "Description": _MATRICES[what],
            "Scale": units.get(what, "n/a"),
            "StorageFormat": "Full",
            "Directed": False,
            "ValidDiagonal": edges.diagonal,
            **({"Tail": tested.tail} if tested and what in ("p", "q") else {}),
        }
        matrix = edges.matrix(own, diagonals.get(what, np.nan))
        write_numbers(writer.path(what), edges.names, matrix, ("Node", edges.names))
        writer.about(what, about)


def write_edges(writer: Writer, group: Group, columns: Mapping[str, FloatArray]) -> None:
    """Write the index of edges, with what is known of each."""
    table = group.edges.table().assign(distance=group.distances, **columns)
    writer.table("edges", table, EDGE_COLUMNS)


def write_model(
    writer: Writer, group: Group, model: GroupDesign, terms: Iterable[Tested], options: GroupOptions
) -> None:
    """Write the coefficients of all edges, a row per term and edge."""
    nodes = group.edges.table()[["node_1", "node_2"]]
    parts = [nodes.assign(term=term.contrast.name, **_estimate_columns(term)) for term in terms]
    about = _describe_model(group.scale.name, model, options)
    about["EdgesWithoutCoefficients"] = int(parts[-1]["effect"].isna().sum())
    table = pd.concat(parts).rename(columns={"effect": "coefficient"})
    writer.table("model", table, MODEL_COLUMNS, **about)


def _estimate_columns(tested: Tested) -> dict[str, FloatArray]:
    """Estimates as columns (E,), of an F test without those of a single effect."""
    is_f = tested.contrast.is_f
    names = ("n", "degrees_of_freedom", *(("partial_r",) if is_f else _ESTIMATE_COLUMNS), "p")
    own = {name: getattr(tested.estimates, name) for name in names}
    return own | {"f" if is_f else "t": tested.estimates.statistic, "q": tested.q}


def write_contrast(
    writer: Writer, group: Group, tested: Tested, about: Mapping[str, object]
) -> None:
    """Write a contrast, a row per edge."""
    corrections = tested.corrections
    own: dict[str, FloatArray | float] = {**tested.columns, **_estimate_columns(tested)}
    if "maxt" in corrections:
        own["p_permutation"] = _unit_p(corrections["maxt"])
        own["p_maxt"] = corrections["maxt"].p_fwe[0]
    if "nbs" in corrections:
        own["p_nbs_extent"], own["p_nbs_intensity"] = corrections["nbs"].p_fwe
        about = {**about, "Threshold": tested.threshold}
    if "tfnbs" in corrections:
        own["tfnbs"] = corrections["tfnbs"].statistic[0]
        own["p_tfnbs"] = corrections["tfnbs"].p_fwe[0]
    table = group.edges.table().assign(**own)
    writer.table(of_contrast(tested.contrast.name, "edges"), table, CONTRAST_COLUMNS, **about)


def _unit_p(correction: Correction) -> FloatArray | float:
    """P without correction; NaN where the correction gives none."""
    return np.nan if correction.p is None else np.asarray(correction.p[0])


def describe_contrast(
    scale: str,
    tested: Tested,
    hypotheses: Hypotheses,
    model: GroupDesign | None,
    options: GroupOptions,
) -> dict[str, object]:
    """What sidecars say of a contrast, without a model the mean, and of its permutations."""
    contrast, permuted, corrections = tested.contrast, tested.permuted, tested.corrections
    weights = hypotheses.weights.get(contrast.name, contrast.weights)
    rows = [zip(hypotheses.terms, row, strict=True) for row in weights]
    about: dict[str, object] = {
        **_describe_model(scale, model, options),
        "Contrast": contrast.name,
        "Weights": [{term: float(weight) for term, weight in row if weight} for row in rows],
        "Tail": "n/a" if contrast.is_f else tested.tail,
        "Inference": ["fdr", *corrections],
    }
    if permuted:
        how = "permutations" if permuted.scheme == "permute" else "sign flips"
        if options.blocks:
            part = "of whole blocks of" if options.whole_blocks else "within blocks of"
            how = f"{how} {part} {options.blocks}"
        about |= {
            "Exchangeability": how,
            "Permutations": permuted.n_permutations,
            "AllPermutations": permuted.exhaustive,
            "SmallestP": permuted.smallest_p,
            "Seed": options.seed,
            "EdgesNotPermuted": int((~permuted.tested).sum()),
        }
        for name in ("tfnbs", "tfce"):
            if name in corrections:
                keys = {"ExtentPower": "extent", "HeightPower": "height", "Step": "step"}
                about[name.upper()] = {k: getattr(options, f"{name}_{v}") for k, v in keys.items()}
    return about


def write_components(
    writer: Writer, group: Group, tested: Tested, about: Mapping[str, object]
) -> None:
    """Write the components of a contrast, a row each, also where none is above the threshold."""
    if tested.permuted is None or "nbs" not in tested.corrections:
        return
    p, names = tested.corrections["nbs"].p_fwe, np.array(group.edges.names, object)
    t, two_sided = tested.permuted.threshold_statistic, not tested.one_sided
    found = components(t, group.edges.ends, tested.threshold, two_sided=two_sided)
    rows = [
        {
            "component": number,
            "sign": tested.sign * component.sign,
            "edges": component.extent,
            "intensity": component.intensity,
            "p_extent": p[0, component.edges[0]],
            "p_intensity": p[1, component.edges[0]],
            "n_nodes": len(component.nodes),
            "nodes": ";".join(names[component.nodes]),
            "edge_numbers": ";".join(map(str, component.edges + 1)),
        }
        for number, component in enumerate(found, start=1)
    ]
    about = {**about, "Threshold": tested.threshold}
    writer.table(of_contrast(tested.contrast.name, "nbs"), rows, COMPONENT_COLUMNS, **about)


def write_network_tests(
    writer: Writer, networks: NetworkMeans, tested: Tested, about: Mapping[str, object]
) -> None:
    """Write tests of pairs of networks, a row each."""
    if correction := tested.corrections.get("cnbs"):
        [mean], [p_fwe] = correction.statistic, correction.p_fwe
        table = networks.pairs(mean_statistic=mean, p=_unit_p(correction), p_fwe=p_fwe)
        what = of_contrast(tested.contrast.name, "cnbs")
        writer.table(what, table, NETWORK_TEST_COLUMNS, **about)


def _describe_model(
    scale: str, model: GroupDesign | None, options: GroupOptions
) -> dict[str, object]:
    """The model, what was assumed about errors, and done about sites."""
    about: dict[str, object] = {"Model": model.formula if model else "1", "Scale": scale}
    if model:
        about |= {
            "Terms": list(model.design.terms),
            "NumberOfParticipantsInModel": len(set(model.design.people)),
            "LeftOut": dict(model.left_out),
            "Notes": list(model.notes),
        }
    named = {
        "VarianceGroups": options.variance_groups,
        "Within": options.within,
        "Clusters": "participant_id" if options.within and model else options.clusters,
        "ParticipantWeights": options.weights,
        "Harmonized": options.harmonize,
        "HarmonizedInPermutations": options.harmonize_within,
    }
    return about | {key: value for key, value in named.items() if value}


def write_participants(
    writer: Writer, group: Group, used: Iterable[Participant], model: GroupDesign | None
) -> None:
    """Write who is in the results, and who is not and why."""
    reasons, modelled = {}, set()
    if model:
        reasons = {participant_of(label): why for label, why in model.left_out.items()}
        modelled = {*model.design.people}
    labels = {person.label for person in used}
    rows: list[dict[str, object]] = []
    for person in group.participants:
        is_used = person.label in labels
        reason = person.exclusion or (None if is_used else "a matrix can't be read")
        if not reason and person.label in reasons:
            reason = f"model: {reasons[person.label]}"
        spaces = {run.file.space for run in (*person.runs, *person.excluded)}
        rows.append(
            {
                "participant_id": person.label,
                "image_space": " ".join(sorted(spaces)),
                "runs": len(person.runs),
                "runs_excluded": len(person.excluded),
                "mean_fd": person.mean_fd,
                "degrees_of_freedom": person.degrees_of_freedom,
                "used": int(is_used),
                "in_model": int(person.label in modelled) if model else MISSING,
                "reason": reason,
                "note": " ".join(f"logs/{name}" for name in group.failed.get(person.label, ()))
                or None,
            }
        )
    nobody = {"image_space": MISSING, "runs": 0, "runs_excluded": 0, "used": 0}
    nobody["in_model"] = 0 if model else MISSING
    rows += [{"participant_id": who, **nobody, "reason": why} for who, why in group.absent.items()]
    writer.table("participants", rows, PARTICIPANT_COLUMNS)
