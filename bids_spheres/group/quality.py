"""Quality of runs and of strategies, a row each."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from bids_spheres.files.atomic import MISSING
from bids_spheres.group.edges import mean_of_known, modularity
from bids_spheres.group.facts import as_json
from bids_spheres.outputs.paths import CONTROLS, SEEDS, label_of
from bids_spheres.outputs.read import read_table
from bids_spheres.outputs.sidecars import LEFT
from bids_spheres.wording import listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bids_spheres.group.stream import GroupRun, Participant
    from bids_spheres.group.summary import Summary

RUN_COLUMNS = {
    "participant_id": "Participant",
    "session_id": "Session; n/a without sessions",
    "task": "Task",
    "run": "Number of the run; n/a without one",
    "source": "All entities of the run",
    "space": "Space of the image; func: the grid of acquisition",
    "seeds": "Seed set",
    "scale": "Size of the spheres, where a seed set is used with several",
    "strategy": "Strategy of cleaning",
    "mean_fd": "Mean framewise displacement in fMRIPrep's table: not filtered, at 50 mm",
    "mean_fd_recomputed": "Mean framewise displacement as the strategy measures it, by a motion "
    "filter or another head radius; n/a where it takes fMRIPrep's",
    "n_volumes": "Volumes of the run",
    "n_kept": "Volumes that are not censored",
    "n_censored": "Volumes that are censored",
    "rank": "Dimensions that regressors, mean and trend take",
    **LEFT,
    "coverage": "Mean over spheres of the share of their voxels with a signal",
    "spheres_missing": "Spheres without a time series",
    "tsnr": "Mean temporal signal-to-noise ratio before cleaning, over spheres with a time series",
    "excluded": "1: too little is left, and the run has no result",
    "reason": "Why the run is excluded",
}

RUN_ENTITIES = tuple(RUN_COLUMNS)[:9]
"""Columns that say which run and strategy a row is about."""

STRATEGY_COLUMNS = {
    "group": "Entities of the group that the row is about",
    "task": "Task",
    "space": "Space of the images; func: the grid of acquisition",
    "seeds": "Seed set",
    "measure": "Measure of connectivity",
    "strategy": "Strategy of cleaning",
    "smoothing_fwhm": "Width by which images were smoothed: strategies that differ in it are not "
    "compared fairly by any of the following",
    "participants": "Participants with a result",
    "runs": "Runs, with those that are excluded",
    "runs_excluded": "Runs of which too little was left",
    "mean_fd": "Mean framewise displacement in fMRIPrep's table: not filtered, at 50 mm; of the "
    "participants with a result: a strategy that excludes those who moved has it easier",
    "censored": "Share of volumes that are censored, mean over runs",
    "degrees_of_freedom": "Degrees of freedom that are left, mean over runs",
    "degrees_of_freedom_lost": "Volumes - degrees of freedom left, mean over runs: the strategy's "
    "price, censoring included",
    "qc_fc_participants": "Participants with a result whose mean framewise displacement, and "
    "covariates of QC-FC, are known",
    "qc_fc_degrees_of_freedom": "qc_fc_participants - 2 - number of terms of the covariates of "
    "QC-FC",
    "qc_fc_edges": "Edges whose correlation with head motion is known",
    "qc_fc_median": "QC-FC: median over edges of the absolute correlation, over participants, of "
    "connectivity with mean framewise displacement; the smaller the better, by chance about 0.67 / "
    "sqrt(qc_fc_degrees_of_freedom + 1)",
    "qc_fc_significant": "Share of edges whose correlation with motion has p < 0.05, not "
    "corrected; 0.05 by chance",
    "qc_fc_distance_spearman": "Rank correlation over edges of QC-FC and the distance of the "
    "nodes; negative: motion makes neighbours look related",
    "qc_fc_distance_pearson": "The same as Pearson correlation",
    "qc_fc_null": "Mean of qc_fc_median over 1000 permutations of head motion over participants "
    "(--controls), of at most 5000 edges that all of them have",
    "qc_fc_excess": "Standard deviations of these permutations by which qc_fc_median of the same "
    "edges exceeds their mean: compares groups of different sizes",
    "qc_fc_p": "Share of these permutations with at least this qc_fc_median",
    "surrogate_significant": "Share of pairs of surrogates of cleaned series that correlate with p "
    "< 0.05, mean over runs (--controls): false positives, 0.05 by chance",
    "surrogate_significant_nominal": "The same by the degrees of freedom of white series",
    "fluid_significant": "Share of pairs of a seed and a sphere in fluid that correlate with p < "
    "0.05, mean over runs; 0.05 by chance",
    "mirrored_similarity": "Correlation over pairs of the correlations of mirrored spheres with "
    "those of the seeds, mean over runs",
    "modularity": "Modularity of the positive part of the mean matrix, for the networks of the "
    "seeds; the larger the more of them is seen",
    "icc_median": "Median over edges of ICC(2,1) over the conditions of --within; n/a without",
    "discriminability": "Share of comparisons in which another measurement of the same participant "
    "is nearer than that of another; 0.5 by chance (Bridgeford et al. 2021, "
    "doi:10.1371/journal.pcbi.1009279)",
    "identification_rate": "Share of participants whose measurement correlates most with their own "
    "in another condition (Finn et al. 2015, doi:10.1038/nn.4135)",
    "split_half": "Correlation over edges of the matrices of the first and the second half of a "
    "run, mean over runs; n/a without --stability",
    "minutes_for_r": "Kept minutes of a run whose matrix correlates with that of the whole by 0.8 "
    "(Gordon et al. 2017, doi:10.1016/j.neuron.2017.07.011); n/a: not reached",
    "minutes_for_icc": "Kept minutes of a run by which mean connectivity has an ICC(2,1) of 0.8 "
    "over sessions (Noble et al. 2017, doi:10.1093/cercor/bhx230); n/a: not reached, or no "
    "sessions",
}
"""Columns of the table of strategies (Ciric et al. 2017, doi:10.1016/j.neuroimage.2017.03.020;
Parkes et al. 2018, doi:10.1016/j.neuroimage.2017.12.073)."""

_CONTROLS = (
    *("surrogate_significant", "surrogate_significant_nominal"),
    *("fluid_significant", "mirrored_similarity"),
)
"""Columns of the table of strategies by row and column of tables of controls."""

Row = dict[str, float | str | None]
"""Cells of a table, by its columns."""


def run_entities(run: GroupRun) -> Row:
    """Which run and strategy a row is about; see `RUN_ENTITIES`."""
    name, session = run.file.name, run.file.name.get("ses")
    keys = {key: key for key in ("task", "run", "space", "scale")} | {"seeds": SEEDS}
    keys["strategy"] = "desc"
    return {
        "participant_id": run.file.participant,
        "session_id": f"ses-{session}" if session else MISSING,
        "source": run.file.source,
        **{column: label_of(name, key) or MISSING for column, key in keys.items()},
    }


def run_row(run: GroupRun, of_spheres: Row) -> Row:
    """One row of the table of runs, with cells about its spheres; see `RUN_COLUMNS`."""
    facts = run.facts
    return {
        **run_entities(run),
        **{column: getattr(facts, column) for column in RUN_COLUMNS if hasattr(facts, column)},
        "n_censored": facts.n_volumes - facts.n_kept,
        **of_spheres,
        "excluded": int(facts.excluded is not None),
        "reason": facts.excluded or MISSING,
    }


def strategy_row(summary: Summary) -> Row:
    """One row of the table of strategies; empty for matrices that are no connectivity."""
    group, used, options = summary.group, summary.used, summary.options
    if not group.scale.connectivity:
        return {}
    facts, qc_fc, motion = [run.facts for run in group.runs], summary.qc_fc, summary.benchmark
    keys = {"task": "task", "space": "space", "seeds": SEEDS, "measure": "stat", "strategy": "desc"}
    mean = group.edges.matrix(group.scale.back(summary.moments.known_mean))
    row: Row = {
        "group": group.title,
        **{column: label_of(group.name, key) or MISSING for column, key in keys.items()},
        "smoothing_fwhm": as_json(facts[0].settings)["SmoothingFWHM"],
        "participants": len(used),
        "runs": len(facts),
        "runs_excluded": sum(own.excluded is not None for own in facts),
        "mean_fd": mean_of_known(person.mean_fd for person in used),
        "censored": mean_of_known(1 - own.n_kept / own.n_volumes for own in facts),
        "degrees_of_freedom": mean_of_known(own.degrees_of_freedom for own in facts),
        "degrees_of_freedom_lost": mean_of_known(
            own.n_volumes - own.degrees_of_freedom for own in facts
        ),
        "qc_fc_participants": qc_fc.participants if qc_fc else 0,
        "qc_fc_degrees_of_freedom": qc_fc.degrees_of_freedom if qc_fc else 0,
        "qc_fc_edges": motion.edges,
        "qc_fc_median": motion.median,
        "qc_fc_significant": motion.share,
        "qc_fc_distance_spearman": motion.spearman,
        "qc_fc_distance_pearson": motion.pearson,
        "modularity": modularity(group.scale.sign * mean, group.edges.networks),
    }
    if agreement := summary.reliability:
        row["icc_median"] = float(agreement.edges["icc21"].median())
        row["discriminability"] = agreement.discriminability
        row["identification_rate"] = agreement.identification_rate
    row |= summary.stability.cells if summary.stability else {}
    if options.controls:
        row |= controls_cells(used) | summary.permuted_motion
    return row


def controls_cells(participants: Iterable[Participant]) -> Row:
    """Cells of the table of strategies about negative controls; missing where none were written."""
    cells: dict[str, list[float]] = defaultdict(list)
    for run in (run for person in participants for run in person.runs):
        path = run.sibling(CONTROLS, None)
        if path.is_file():
            table = read_table(path).set_index("control")
            for cell in _CONTROLS:
                row, _, column = cell.partition("_")
                cells[cell].append(float(table[column][row]))
    return {name: mean_of_known(values) for name, values in cells.items()}


def smoothing_differences(rows: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """Sentences about rows of strategies that are compared after different smoothing."""
    widths: dict[str, dict[object, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        condition = str(row["group"]).rpartition("_desc-")[0]
        widths[condition][row["smoothing_fwhm"]].append(str(row["strategy"]))
    for condition, own in widths.items():
        if len(own) > 1:
            kinds = [f"{width:g} mm for {listing(names)}" for width, names in own.items()]
            yield (
                f"{condition}: images were smoothed differently ({'; '.join(kinds)}), which alone "
                "changes QC-FC, modularity and means, so that these strategies are not comparable"
            )
