"""fMRIPrep's confounds table and a denoising strategy to a design matrix and a sample mask.

A strategy is data (`strategy`), read from JSON or YAML (`strategy_file`). The columns it names are
looked up in the table of each run (`components`, `compcor`), whichever version of fMRIPrep wrote it
(`versions`, `tables`); `design` turns them into arrays, and chooses the volumes to leave out.
`preflight` reports everything that is wrong over all runs before the first is used,
`degrees_of_freedom` counts what is left of a run.
"""

from bids_spheres.confounds.components import column_names, columns_named
from bids_spheres.confounds.degrees_of_freedom import (
    FEW_DEGREES_OF_FREEDOM,
    DegreesOfFreedom,
    Exclusion,
    count_degrees_of_freedom,
    exclusion,
    filter_problem,
    parts,
    rounded,
    without_undrawn,
)
from bids_spheres.confounds.design import (
    REASONS,
    Design,
    check_rows,
    make_design,
    removed_regressors,
    temporal_steps,
)
from bids_spheres.confounds.preflight import Problem, check_strategies
from bids_spheres.confounds.strategy import (
    SMOOTHED_BEFORE,
    Censor,
    CompCor,
    HeadMotion,
    Strategy,
    Task,
    TemporalFilter,
)
from bids_spheres.confounds.strategy_file import (
    load_strategy,
    override,
    strategy_from_json,
    strategy_to_json,
)
from bids_spheres.confounds.tables import (
    merge_tables,
    own_table,
    read_confounds,
    read_header,
    read_metadata,
    read_outliers,
)
from bids_spheres.confounds.task import RunEvents, read_events
from bids_spheres.confounds.tedana import read_tedana, tedana_regressors
from bids_spheres.data.published import published_strategies

__all__ = [
    "FEW_DEGREES_OF_FREEDOM",
    "REASONS",
    "SMOOTHED_BEFORE",
    "Censor",
    "CompCor",
    "DegreesOfFreedom",
    "Design",
    "Exclusion",
    "HeadMotion",
    "Problem",
    "RunEvents",
    "Strategy",
    "Task",
    "TemporalFilter",
    "check_rows",
    "check_strategies",
    "column_names",
    "columns_named",
    "count_degrees_of_freedom",
    "exclusion",
    "filter_problem",
    "load_strategy",
    "make_design",
    "merge_tables",
    "override",
    "own_table",
    "parts",
    "published_strategies",
    "read_confounds",
    "read_events",
    "read_header",
    "read_metadata",
    "read_outliers",
    "read_tedana",
    "removed_regressors",
    "rounded",
    "strategy_from_json",
    "strategy_to_json",
    "tedana_regressors",
    "temporal_steps",
    "without_undrawn",
]
