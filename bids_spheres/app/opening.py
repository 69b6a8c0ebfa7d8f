"""Open the executor that the settings ask for."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from bids_spheres.app.memory_limits import group_memory, own_memory
from bids_spheres.execute.local import LocalExecutor
from bids_spheres.outputs.logs import LOGS
from bids_spheres.participant.memory import MEGABYTE, largest_job
from bids_spheres.settings.slurm import read_slurm_settings
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bids_spheres.execute.executor import Executor
    from bids_spheres.participant.up_to_date import Task
    from bids_spheres.settings import Execution, Settings

logger = logging.getLogger(__name__)


@contextmanager
def open_executor(
    settings: Settings, tasks: Sequence[Task], inputs: Sequence[Path] = ()
) -> Iterator[Executor]:
    """Open the executor for the time of a block.

    Number and memory of the tasks limit the processes; without any, pages alone are written, on
    this machine. `inputs` are folders from which tasks read. A `UsageError`, `MissingInputError` or
    `DataError` when Dask or Slurm can't be used as the settings say, and a `TemporaryError` when a
    scheduler does not answer.
    """
    execution, out = settings.execution, settings.output_dir
    if execution.executor != "dask" or not tasks:
        yield LocalExecutor(_processes(execution, tasks))
        return
    from bids_spheres.execute import clusters, dask  # noqa: PLC0415 - load Dask

    place = execution.dask_scheduler or execution.dask_scheduler_file
    if place:
        opened = clusters.scheduler_at(place)
    elif execution.dask_slurm:
        # The thread that reads ahead takes so little that a core of its own would be wasted.
        cores = execution.omp_nthreads or 1
        opened = clusters.slurm_cluster(
            read_slurm_settings(execution.dask_slurm),
            items=len(tasks),
            workers=min(len(tasks), execution.nprocs),
            cores=cores,
            memory=largest_job(tasks),
            logs=out / LOGS / "slurm",
        )
    else:
        memory = (execution.mem or 0) * MEGABYTE or None
        opened = clusters.local_cluster(_processes(execution, tasks), memory)
    written = [out, settings.work_dir] if settings.work_dir else [out]
    with opened as (client, source):
        yield dask.DaskExecutor(client, source, inputs, written, shared_by(tasks))


def shared_by(tasks: Sequence[Task]) -> list[Any]:
    """Objects that all tasks of a call share, or all in one space: sent once, not with each."""
    work, spaces = tasks[0].job.work, {id(task.job.placements): task.job for task in tasks}
    return [work, *work.strategies, *(job.placements for job in spaces.values())]


def _processes(execution: Execution, tasks: Sequence[Task]) -> int:
    """Number of processes for which work and memory suffice."""
    wanted = min(execution.nprocs, len(tasks) or execution.nprocs)
    limits = {"--mem": (execution.mem or 0) * MEGABYTE, "cgroup": group_memory() or 0}
    name, limit = min(((n, m) for n, m in limits.items() if m), key=itemgetter(1), default=("", 0))
    if not limit or not tasks or (wanted == 1 and not execution.mem):
        return wanted
    room, each = limit - own_memory(), largest_job(tasks)
    if room < each and execution.mem:
        logger.warning(
            "%s: the largest run is expected to need %d MB beside %d MB for the main process, "
            "of %d MB in all. Runs are done one at a time.",
            *(name, each // MEGABYTE, own_memory() // MEGABYTE, limit // MEGABYTE),
        )
    fitting = max(1, room // each)
    if fitting < wanted:
        text = "%s: %s at a time, each of which may need %d MB"
        logger.info(text, name, count(fitting, "run"), each // MEGABYTE)
    return min(wanted, fitting)
