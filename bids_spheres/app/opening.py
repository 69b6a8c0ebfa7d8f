"""Open the executor that the settings ask for, with as many processes as memory allows."""

from __future__ import annotations

import logging
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import nibabel as nib

from bids_spheres.app.memory_limits import group_memory, own_memory
from bids_spheres.errors import UsageError
from bids_spheres.execute.local import LocalExecutor
from bids_spheres.outputs.logs import LOGS
from bids_spheres.participant.controls import MOST_HELD
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bids_spheres.execute import Executor
    from bids_spheres.participant.plan import Job
    from bids_spheres.participant.up_to_date import Task
    from bids_spheres.settings.table import Execution, Settings

logger = logging.getLogger(__name__)

MEGABYTE = 10**6
_BASE = 200 * MEGABYTE  # Python and the libraries once they are at work; measured: 160
_BLOCKS = 110 * MEGABYTE  # 20 MiB of volumes each: two read ahead, one at work, and its copies
_SEED_MAPS = 150 * MEGABYTE  # to clean a block of voxels over all time
_PLACEMENTS = 250 * MEGABYTE  # weights of placements, and series of those extracted at a time
_DOUBLE = 8
_THREADS = 8  # headers read at the same time: each mostly waits for the file system

# Slurm's names of options, and those of dask-jobqueue.
_SLURM_NAMES = {"partition": "queue", "time": "walltime", "mem": "memory", "name": "job_name"}
_NUMBERS = ("jobs", "cores", "processes", "job_cpu")
_LISTS = ("job_extra_directives", "job_directives_skip", "job_script_prologue", "worker_extra_args")


@contextmanager
def open_executor(
    settings: Settings, tasks: Sequence[Task], inputs: Sequence[Path] = ()
) -> Iterator[Executor]:
    """Open the executor for the time of a block; `inputs` are folders from which tasks read.

    Number and memory of the tasks limit the processes; without any, pages alone are written, on
    this machine.
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
            slurm_settings(execution.dask_slurm),
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


def slurm_settings(words: Sequence[str]) -> dict[str, Any]:
    """Arguments of dask-jobqueue's ``SLURMCluster``, and `jobs`, from words as ``key=value``."""
    settings: dict[str, Any] = {}
    for key, value in (word.split("=", 1) for word in words):
        name = key.replace("-", "_")
        name = _SLURM_NAMES.get(name, name)
        if name in _NUMBERS and not (value.isdecimal() and int(value)):
            raise UsageError(f"--dask-slurm: {key} must be a number from 1, not {value!r}.")
        if name in _LISTS:
            settings.setdefault(name, []).append(value)
        else:
            settings[name] = int(value) if name in _NUMBERS else value
    return settings


def largest_job(tasks: Sequence[Task]) -> int:
    """Bytes that the largest of some tasks is expected to need, that of a process included."""
    with ThreadPoolExecutor(_THREADS) as threads:
        return max(threads.map(lambda task: job_memory(task.job), tasks), default=_BASE)


def job_memory(job: Job) -> int:
    """Bytes that a job is expected to need, on the safe side, by the headers of its images.

    A run of 97 x 115 x 97 x 490 voxels took at its peak, with 264 seeds, 165 MB; smoothed 264 MB;
    with the median over each sphere 260 MB; with maps of 36 seeds 243 MB. It is taken for 380,
    380, 520 and 510.
    """
    rules, tables, sizes = job.work.processing, job.work.seed_sets, [0]
    seeds, most = sum(len(table) for table in tables), max(len(table) for table in tables)
    if rules.controls:  # mirrored spheres, at most 20 in fluid, and 150 surrogates
        seeds, most = 2 * seeds + 20 * len(tables), max(most, 150) + 20
    for shape in {_Shape.of(image.bold) for image in job.images}:
        floats = 6 * shape.voxels + 12 * shape.volumes * seeds + 8 * most**2
        if rules.aggregation != "mean" or rules.despike:
            inside = sum(shape.voxels_within(radius) for table in tables for radius in table.radii)
            floats += 2 * shape.volumes * inside * (1 + rules.controls)
        further = _SEED_MAPS * bool(rules.seed_maps)
        if rules.placements:
            each = _DOUBLE * shape.volumes * rules.placements[1]
            floats += 3 * most**2
            further += _PLACEMENTS + sum(min(each * len(table), MOST_HELD) for table in tables)
        sizes.append(_BLOCKS + _DOUBLE * floats + further)
    return _BASE + max(sizes)


@dataclass(frozen=True)
class _Shape:
    """Voxels of a volume, volumes, and the volume of a voxel, mm3."""

    voxels: int = 1_200_000
    volumes: int = 500
    size: float = 8.0

    @classmethod
    def of(cls, bold: Path) -> _Shape:
        """Shape of an image by its header; that of a large one when it can't be read."""
        try:
            header: Any = nib.load(bold).header
            *grid, volumes = (*header.get_data_shape(), 1, 1, 1, 1)[:4]
            size = math.prod(header.get_zooms()[:3])
        except Exception:  # noqa: BLE001 - the job that reads it says what is wrong
            return cls()
        return cls(math.prod(grid), volumes, size or cls.size)

    def voxels_within(self, radius: float) -> int:
        """Voxels of a sphere, radius in mm."""
        return min(self.voxels, math.ceil(4 / 3 * math.pi * radius**3 / self.size) + 1)
