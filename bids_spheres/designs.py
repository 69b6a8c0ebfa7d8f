"""Tables of a run and the strategies of a job to designs, before any image is read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bids_spheres.confounds import (
    check_strategies,
    degrees_of_freedom,
    exclusion,
    filter_problem,
    make_design,
    merge_tables,
    read_confounds,
    read_header,
    read_metadata,
    read_outliers,
    read_tedana,
)
from bids_spheres.engine.stream import open_volumes
from bids_spheres.errors import BidsSpheresError, DataError, MissingInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from bids_spheres.bids.runs import Tables
    from bids_spheres.confounds import Design, Exclusion, Freedom, Strategy
    from bids_spheres.plan import Job, JobImage
    from bids_spheres.settings import Processing


_SHORTEST_T_R, _LONGEST_T_R = 1e-3, 100.0
"""s. No sequence is as fast or as slow; what is outside was given in other units."""


@dataclass(frozen=True)
class Timing:
    """How long a run is: T volumes, and the time from one to the next in s."""

    n_volumes: int
    t_r: float


@dataclass(frozen=True, eq=False)
class RunDesign:
    """What one strategy comes to in one run.

    Parameters
    ----------
    strategy : Strategy
    design : Design
    timing : Timing
    processing : Processing
    """

    strategy: Strategy
    design: Design
    timing: Timing
    processing: Processing

    # Asked for by every output of a run; with a filter, the spectrum of an operator.
    @cached_property
    def freedom(self) -> Freedom:
        """Degrees of freedom."""
        return degrees_of_freedom(
            self.design, self.strategy, self.timing.t_r, self.processing.detrend
        )

    @property
    def exclusion(self) -> Exclusion | None:
        """Why the run has no result, if so."""
        return exclusion(self.freedom, self.strategy, floor=self.processing.min_dof)


def run_timing(job: Job, bold: Path) -> Timing:
    """Length of a run, from the header and the JSON file of its image.

    Raises
    ------
    MissingInputError, DataError
        When the image is not there or can't be opened, or there is no repetition time.
    """
    volumes = open_volumes(bold)
    given = job.run.metadata(bold).get("RepetitionTime")
    t_r = volumes.t_r if given is None else given
    number = isinstance(t_r, int | float) and not isinstance(t_r, bool)
    if not number or not _SHORTEST_T_R <= t_r <= _LONGEST_T_R:
        where = "in its header" if given is None else "in its JSON file"
        raise DataError(
            f"{bold} has no repetition time in seconds: {where} it is {repr(t_r)[:40]}.",
            hint='Give "RepetitionTime" in seconds in the JSON file beside the image.',
        )
    return Timing(volumes.n_volumes, float(t_r))


def run_designs(job: Job, image: JobImage, timing: Timing) -> list[RunDesign]:
    """What every strategy of an image comes to in its run.

    Raises
    ------
    MissingInputError, DataError
        When a table is missing or can't be used, or the run can't carry a filter.
    """
    for strategy in image.strategies:
        if problem := _filter_problem(strategy, timing):
            raise DataError(f"{strategy} can't be used on {image.bold}: {problem}.")
    path = _confounds(job)
    extra = list(_extra(job.run.tables, read_confounds))
    outliers = read_outliers(job.outliers, timing.n_volumes) if job.outliers else None
    table, metadata, rules = read_confounds(path), read_metadata(path), job.work.processing
    made = (
        make_design(
            table,
            strategy,
            path,
            timing.n_volumes,
            metadata=metadata,
            extra=extra if _wants_extra(strategy) else (),
            dummy_scans=rules.dummy_scans,
            outliers=outliers,
        )
        for strategy in image.strategies
    )
    return [
        RunDesign(strategy, design, timing, rules)
        for strategy, design in zip(image.strategies, made, strict=True)
    ]


def check_runs(jobs: Sequence[Job]) -> None:
    """Look up what every strategy needs in every run, before the first is read.

    Raises
    ------
    DataError
        With everything that is wrong, the same thing in several runs told once.
    """
    strategies = jobs[0].work.strategies
    problems = [str(problem) for problem in _column_problems(jobs, strategies)]
    problems += [*_missing_images(jobs, strategies), *_filter_problems(jobs)]
    if problems:
        count = f"{len(problems)} problems" if len(problems) > 1 else "A problem"
        raise DataError("\n- ".join([f"{count} with strategies, and nothing is done:", *problems]))


def _column_problems(jobs: Sequence[Job], strategies: Sequence[Strategy]) -> Iterable[Any]:
    return check_strategies(_headers(jobs), strategies, values=False)


def _headers(jobs: Sequence[Job]) -> Iterator[tuple[str, tuple[pd.DataFrame, Mapping[str, Any]]]]:
    """Columns of every run that has any, and what is told of them."""
    seen = set()
    for job in jobs:
        path, source = job.run.tables.confounds, _source(job)
        if path is None or source in seen or not path.exists():
            continue  # of this run alone; told when its turn comes
        try:
            table = merge_tables(read_header(path), list(_extra(job.run.tables, read_header)))
            metadata = read_metadata(path)
        except BidsSpheresError:
            continue  # as above: a table that can't be read concerns one run
        seen.add(source)
        yield source, (table, metadata)


def _missing_images(jobs: Sequence[Job], strategies: Sequence[Strategy]) -> Iterator[str]:
    for strategy in strategies:
        lacking = [_source(job) for job in jobs if strategy not in job.strategies]
        if lacking:
            kinds = " or ".join(f"desc-{kind}" for kind in strategy.bold_kinds)
            hint = _OF_OTHERS if "nonaggrDenoised" in strategy.bold_kinds else _WHERE
            yield (
                f"The {strategy} starts from a {kinds} image, and {_some(lacking)}\n  hint: {hint}"
            )


_OF_OTHERS = (
    "fMRIPrep before 23.1 wrote it with --use-aroma; for later versions give the output of "
    "fMRIPost-AROMA with --derivatives aroma=PATH."
)
_WHERE = "Name the folder that holds it with --derivatives NAME=PATH."


def _some(runs: Sequence[str], most: int = 5) -> str:
    names = ", ".join(dict.fromkeys(runs))
    if len(runs) > most:
        names = ", ".join(runs[:most]) + f" and {len(runs) - most} more"
    return f"{len(runs)} run{'s have' if len(runs) > 1 else ' has'} none: {names}."


def _filter_problems(jobs: Sequence[Job]) -> Iterator[str]:
    """Filters that runs can't carry; only asked when a strategy has a filter."""
    for job in jobs:
        for image in job.images:
            filtered = [strategy for strategy in image.strategies if strategy.filter]
            timing = _timing_or_none(job, image.bold) if filtered else None
            for strategy in filtered if timing else ():
                if problem := _filter_problem(strategy, timing):
                    yield f"{strategy} can't be used on {image.bold}: {problem}."


def _timing_or_none(job: Job, bold: Path) -> Timing | None:
    try:
        return run_timing(job, bold)
    except BidsSpheresError:
        return None  # an image that can't be opened concerns one run; told when its turn comes


def _filter_problem(strategy: Strategy, timing: Timing | None) -> str | None:
    if strategy.filter is None or timing is None:
        return None
    return filter_problem(strategy.filter, timing.t_r, timing.n_volumes)


def _confounds(job: Job) -> Path:
    path = job.run.tables.confounds
    if path is None:
        raise MissingInputError(
            f"No confounds table belongs to {job.images[0].bold}.",
            hint="fMRIPrep writes it beside the image as *_desc-confounds_timeseries.tsv.",
        )
    return path


def _extra(tables: Tables, read: Any) -> Iterator[pd.DataFrame]:
    """Tables of other programs; `read` is for whole ones or for their names alone."""
    if tables.aroma:
        yield read(tables.aroma)
    if tables.tedana:
        components = read_tedana(*tables.tedana)
        yield components.iloc[:0] if read is read_header else components


def _wants_extra(strategy: Strategy) -> bool:
    # A table of another program has as many rows as fMRIPrep's, or the run can't be used; that
    # must not keep a strategy back that does not ask for it.
    return bool(strategy.ica_aroma or strategy.tedana or strategy.confounds)


def _source(job: Job) -> str:
    return "_".join(f"{key}-{label}" for key, label in job.run.name.source)
