"""What was computed of a group, to files under their names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_spheres.files.atomic import MISSING, write_json, write_numbers, write_table
from bids_spheres.group.networks import COLUMNS as NETWORK_COLUMNS
from bids_spheres.outputs.paths import group_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.files.names import Name
    from bids_spheres.group.model import GroupDesign
    from bids_spheres.group.moments import Moments
    from bids_spheres.group.networks import NetworkMeans
    from bids_spheres.group.regression import Regression
    from bids_spheres.group.statistics import Tested
    from bids_spheres.group.stream import Group, Participant

    FloatArray = NDArray[np.float64]

_MATRICES = {
    "mean": "Mean over participants",
    "sd": "Standard deviation over participants, with n - 1",
    "n": "Participants who have the edge",
    "t": "Student's t of the mean against 0, with n - 1 degrees of freedom; n/a for edges that "
    "fewer than MinimumParticipants have",
    "p": "Two-sided p of t",
    "q": "p of t, corrected for all edges: least false discovery rate (Benjamini & Hochberg 1995, "
    "doi:10.1111/j.2517-6161.1995.tb02031.x) at which the edge is still positive",
}

EDGE_COLUMNS = {
    "edge": {"Description": "Number of the edge: its column in the stacked table, from 1"},
    "node_1": {"Description": "One node of the edge"},
    "node_2": {"Description": "The other"},
    "network_1": {"Description": "Network of node_1"},
    "network_2": {"Description": "Network of node_2"},
    "distance": {"Description": "Between the two nodes", "Units": "mm"},
    "n": {"Description": "Participants who have the edge"},
    "qc_fc": {
        "Description": "Correlation over participants of connectivity (of precision: its negative) "
        "with mean framewise displacement; partial, where QCFCCovariates names covariates; n/a for "
        "edges that fewer than MinimumParticipants have"
    },
    "qc_fc_p": {"Description": "Two-sided p of qc_fc, not corrected"},
}

PARTICIPANT_COLUMNS = {
    "participant_id": {
        "Description": "Participant; also those of the input, of participants.tsv and of the "
        "exclusions who have no result"
    },
    "space": {"Description": "Space of the images; func: the grid of acquisition"},
    "runs": {"Description": "Runs with a result, which are averaged"},
    "runs_excluded": {"Description": "Runs of which too little was left"},
    "mean_fd": {
        "Description": "Mean framewise displacement over all volumes of all runs of the task, "
        "before censoring and with excluded runs: the same after every strategy",
        "Units": "mm",
    },
    "degrees_of_freedom": {"Description": "Of the runs with a result together"},
    "used": {"Description": "1: the results of the group rest on this participant, among others"},
    "in_model": {"Description": "1: so do the coefficients of the model; n/a without a model"},
    "reason": {"Description": "Why not"},
    "note": {
        "Description": "Files about runs of the participant that failed at the participant level, "
        "and without which the others are used"
    },
}

MODEL_COLUMNS = {
    "node_1": {"Description": "One node of the edge"},
    "node_2": {"Description": "The other"},
    "term": {"Description": "Term of the model"},
    "n": {"Description": "Participants in the model who have the edge"},
    "degrees_of_freedom": {"Description": "n - number of terms"},
    "coefficient": {"Description": "Ordinary least squares"},
    "standard_error": {"Description": "Of the coefficient"},
    "t": {"Description": "coefficient / standard_error"},
    "p": {"Description": "Two-sided p of t"},
    "q": {
        "Description": "p corrected for all edges of the term (Benjamini & Hochberg 1995, "
        "doi:10.1111/j.2517-6161.1995.tb02031.x)"
    },
}


@dataclass(frozen=True, eq=False)
class Writer:
    """Files of one group.

    Parameters
    ----------
    output_dir : Path
    group : Name
    facts : dict
        What every sidecar says.
    written : set of Path
        Files that were written.
    """

    output_dir: Path
    group: Name
    facts: Mapping[str, Any] = field(default_factory=dict)
    written: set[Path] = field(default_factory=set)

    def path(self, what: str, extension: str = ".tsv") -> Path:
        """Path of a result, which counts as written from now on, with its sidecar."""
        path = group_path(self.output_dir, self.group, what, extension)
        self.written.update((path, self._sidecar(what)))
        return path

    def table(self, what: str, table: pd.DataFrame, about: Mapping[str, Any]) -> None:
        """Write a table and its sidecar."""
        write_table(self.path(what), table)
        self.about(what, about)

    def matrix(
        self, what: str, names: tuple[str, ...], values: FloatArray, about: Mapping[str, Any]
    ) -> None:
        """Write a matrix (S, S) with the names of its nodes, and its sidecar."""
        write_numbers(self.path(what), names, values, ("Node", names))
        self.about(what, about)

    def about(self, what: str, about: Mapping[str, Any]) -> None:
        """Write a sidecar."""
        write_json(self._sidecar(what), {**about, **self.facts})

    def _sidecar(self, what: str) -> Path:
        return group_path(self.output_dir, self.group, what, ".json")


def write_matrices(writer: Writer, group: Group, moments: Moments, tested: Tested | None) -> None:
    """Write mean, spread and number as matrices, and tests where there are any.

    Spread and tests of one participant do not exist, and are not written.
    """
    scale, valid = group.scale, group.edges.diagonal
    mean = scale.back(moments.known_mean)
    values: dict[str, FloatArray] = {"mean": mean, "n": moments.n}
    if (moments.n > 1).any():
        values["sd"] = moments.sd
    if tested:
        values |= {"t": tested.t, "p": tested.p, "q": tested.q}
    for what, edges in values.items():
        diagonal = _diagonal_of_mean(group, mean) if what == "mean" else np.nan
        matrix = group.edges.matrix(edges, diagonal)
        about = {"Description": _MATRICES[what], "Scale": _scale(group, what)}
        storage = {"StorageFormat": "Full", "Directed": False, "ValidDiagonal": valid}
        writer.matrix(what, group.edges.names, matrix, about | storage)


def _diagonal_of_mean(group: Group, mean: FloatArray) -> FloatArray | float:
    """1 for nodes that any participant has, where that is what the measure has there."""
    if not group.scale.transformed:
        return np.nan
    known = np.isfinite(group.edges.matrix(mean)).any(axis=0)
    return np.where(known, 1.0, np.nan)


def _scale(group: Group, what: str) -> str:
    if what == "mean" and group.scale.transformed:
        return "the measure: mean of Fisher z, transformed back"
    return group.scale.name if what in ("mean", "sd") else "n/a"


def write_networks(writer: Writer, group: Group, means: NetworkMeans) -> None:
    """Write means within and between networks, where seeds have networks."""
    if means.names:
        writer.table("networks", means.table(group.scale), NETWORK_COLUMNS)


def write_edges(writer: Writer, group: Group, columns: Mapping[str, FloatArray]) -> None:
    """Write the index of edges, with what is known of each."""
    table = group.edges.table().assign(distance=group.distances, **columns)
    writer.table("edges", table, {name: EDGE_COLUMNS[name] for name in table.columns})


def write_model(writer: Writer, group: Group, made: GroupDesign, fitted: Regression) -> None:
    """Write the coefficients of all edges, a row per term and edge."""
    nodes = group.edges.table()[["node_1", "node_2"]]
    parts = [
        nodes.assign(
            term=term,
            n=fitted.n.astype(int),
            degrees_of_freedom=fitted.freedom.astype(int),
            coefficient=fitted.coefficients[:, k],
            standard_error=fitted.errors[:, k],
            t=fitted.tests[k].t,
            p=fitted.tests[k].p,
            q=fitted.tests[k].q,
        )
        for k, term in enumerate(fitted.terms)
    ]
    about = {
        "Model": made.formula,
        "Terms": list(fitted.terms),
        "Scale": group.scale.name,
        "NumberOfParticipantsInModel": fitted.participants,
        "EdgesWithoutCoefficients": fitted.unsolved,
        "LeftOut": dict(made.left_out),
        "Notes": list(made.notes),
    }
    writer.table("model", pd.concat(parts), MODEL_COLUMNS | about)


def write_participants(
    writer: Writer, group: Group, used: Iterable[Participant], made: GroupDesign | None
) -> None:
    """Write who is in the results, and who is not and why."""
    left_out = made.left_out if made else {}
    modelled = set(made.design.participants) if made else set()
    there = {one.label for one in used}
    rows = [
        {
            "participant_id": one.label,
            "space": " ".join(sorted({run.file.space for run in (*one.runs, *one.excluded)})),
            "runs": len(one.runs),
            "runs_excluded": len(one.excluded),
            "mean_fd": one.mean_fd,
            "degrees_of_freedom": one.degrees_of_freedom,
            "used": int(one.label in there),
            "in_model": int(one.label in modelled & there) if made else MISSING,
            "reason": _reason(one, one.label in there, left_out.get(one.label)),
            "note": " ".join(f"logs/{name}" for name in group.failed.get(one.label, ())) or MISSING,
        }
        for one in group.participants
    ]
    nothing = {"runs": 0, "runs_excluded": 0, "used": 0, "in_model": 0 if made else MISSING}
    rows += [
        {"participant_id": label, "space": MISSING, **nothing, "reason": reason, "note": MISSING}
        for label, reason in group.absent.items()
    ]
    writer.table(
        "participants", pd.DataFrame(rows, columns=list(PARTICIPANT_COLUMNS)), PARTICIPANT_COLUMNS
    )


def _reason(participant: Participant, used: bool, left_out: str | None) -> str:
    if participant.exclusion:
        return participant.exclusion
    if not used:
        return "a matrix can't be read"
    return f"model: {left_out}" if left_out else MISSING


def describe_stacked(writer: Writer, group: Group) -> None:
    """Write the sidecar of the stacked table."""
    about = {
        "Description": "Edges of every participant: participant_id, and the edges in the order of "
        "the table of edges. In Parquet they are one list, values, of which numpy.stack makes a "
        "matrix; in TSV they are columns.",
        "Scale": group.scale.name,
    }
    writer.about("stacked", about)
