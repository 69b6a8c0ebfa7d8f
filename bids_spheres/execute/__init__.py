"""Jobs on this machine or on many; a failure becomes a record, and the others go on.

Design
------
An `Executor` applies a function to many items and knows nothing of what they are: `local` has
worker processes of its own, `dask` the workers of a Dask scheduler, wherever these run, once they
have given the `proof` that they are fit. `outcomes` does a task and says how it ended, `crashes`
keeps what is known of failures. `opening` finds the executor for the settings: `memory` says how
many jobs fit, `clusters` starts or finds a scheduler, `slurm` has Slurm start its workers. Dask is
imported by the last two, when it is needed.
"""

from __future__ import annotations

from bids_spheres.execute.crashes import crash_file, keep_crash
from bids_spheres.execute.ending import ended_by_sigterm
from bids_spheres.execute.executor import Executor, Lost
from bids_spheres.execute.local import LocalExecutor
from bids_spheres.execute.opening import open_executor
from bids_spheres.execute.outcomes import Outcome, attempt

__all__ = [
    "Executor",
    "LocalExecutor",
    "Lost",
    "Outcome",
    "attempt",
    "crash_file",
    "ended_by_sigterm",
    "keep_crash",
    "open_executor",
]
