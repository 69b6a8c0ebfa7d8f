"""Tables of a run and the strategies of a job to designs, before any image is read."""

from __future__ import annotations

import traceback
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.confounds import degrees_of_freedom as dof
from bids_spheres.confounds.columns import columns_named
from bids_spheres.confounds.design import Design, Problem, check_strategies, make_design
from bids_spheres.confounds.tables import (
    check_rows,
    merge_tables,
    own_columns,
    read_confounds,
    read_header,
    read_metadata,
    read_outliers,
    read_tedana,
)
from bids_spheres.confounds.task import RunEvents, read_events
from bids_spheres.engine.spheres import ball_radius
from bids_spheres.engine.stream import open_volumes, read_mask
from bids_spheres.errors import BidsSpheresError, DataError, MissingInputError
from bids_spheres.files.names import Name, as_written, parse_name
from bids_spheres.inputs.matching import anatomical_mask
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from bids_spheres.confounds.strategy import Strategy
    from bids_spheres.engine.arrays import BoolArray
    from bids_spheres.inputs.runs import Run, Tables
    from bids_spheres.participant.plan import Job, JobImage
    from bids_spheres.settings.table import Processing


# s. No sequence is as fast or as slow; what is outside was given in other units.
_SHORTEST_T_R, _LONGEST_T_R = 1e-3, 100.0


@dataclass(frozen=True)
class Timing:
    """How long a run is: T volumes, and the time from one to the next in s."""

    n_volumes: int
    t_r: float

    def filter_problem(self, strategy: Strategy) -> str | None:
        """Why the run can't carry the filter of a strategy, if so."""
        band = strategy.filter
        return None if band is None else dof.filter_problem(band, self.t_r, self.n_volumes)


@dataclass(frozen=True, eq=False)
class RunDesign:
    """A strategy applied to one run."""

    strategy: Strategy
    design: Design
    timing: Timing
    processing: Processing

    # Asked for by every output of a run; with a filter, the spectrum of an operator.
    @cached_property
    def degrees_of_freedom(self) -> dof.DegreesOfFreedom:
        """Degrees of freedom."""
        t_r, detrend = self.timing.t_r, self.processing.detrend
        left = dof.count_degrees_of_freedom(self.design, self.strategy, t_r, detrend)
        if self.used.sum() == left.kept or left.problem:
            return left
        return dof.without_undrawn(
            *(left, self.design, self.strategy, self.used), t_r=t_r, detrend=detrend
        )

    @property
    def exclusion(self) -> dof.Exclusion | None:
        """Why the run has no result, if so."""
        strategy, floor = _for_all(self.strategy, self.processing), self.processing.min_dof
        return dof.exclusion(self.degrees_of_freedom, strategy, floor=floor)

    @cached_property
    def used(self) -> BoolArray:
        """Kept volumes that are in the results, (T,): all, or as many as all runs have."""
        kept, seconds = self.design.kept, self.processing.equal_seconds
        places = np.flatnonzero(kept)
        # As in the count of volumes, 240 s are 120 volumes of 2 s in spite of rounding.
        number = len(places) if not seconds else int(np.ceil(seconds / self.timing.t_r - 1e-6))
        if number >= len(places):
            return kept
        chosen = places[:number]
        if (seed := self.processing.equal_seconds_seed) is not None:
            chosen = np.random.default_rng(seed).choice(places, number, replace=False)
        return np.isin(np.arange(len(kept)), chosen)

    @property
    def reasons(self) -> dict[str, BoolArray]:
        """Volumes left out for each reason."""
        reasons = dict(self.design.reasons)
        if self.processing.equal_seconds:
            reasons["undrawn"] = self.design.kept & ~self.used
        return reasons

    def warnings(self) -> Iterator[str]:
        """Notes of a strategy on this run, and whether it leaves too little of it."""
        name, left = self.strategy.name, self.degrees_of_freedom
        yield from (f"{name}: {note}" for note in self.design.notes)
        if self.exclusion:
            yield (
                f"{name} leaves too little of this run, and its outputs are n/a: "
                f"{self.exclusion.reason}. Choose a strategy with fewer regressors or no "
                "filter for this run, or leave it out; exclusions.tsv lists it."
            )
        elif left.residual < dof.FEW_DEGREES_OF_FREEDOM:
            yield (
                f"{name} leaves {dof.rounded(left.residual)} degrees of freedom of this run, "
                f"fewer than {dof.FEW_DEGREES_OF_FREEDOM} ({dof.parts(left)}): its correlations "
                "vary much by chance. --min-dof excludes such runs."
            )

    def exclusion_row(self, name: Name, source: str, excluded: dof.Exclusion) -> dict[str, object]:
        """Row of the table of exclusions about the image `source` of a run."""
        left = excluded.degrees_of_freedom
        return {
            "participant_id": f"sub-{name.get('sub')}",
            "session_id": f"ses-{name.get('ses')}" if name.get("ses") else None,
            "source": source,
            "strategy": self.strategy.name,
            "reason": excluded.reason,
            "n_volumes": left.volumes,
            "n_kept": left.kept,
            "rank": left.rank,
            "lost_to_filter": left.filtered,
            "lost_to_censoring": left.censored,
            "degrees_of_freedom": left.residual,
            "seconds": left.seconds,
            "min_degrees_of_freedom": self.processing.min_dof,
            "min_volumes": self.strategy.min_volumes,
            "min_seconds": _for_all(self.strategy, self.processing).min_seconds,
        }


def _for_all(strategy: Strategy, rules: Processing) -> Strategy:
    """A strategy that asks for the time that is used of every run."""
    if not rules.equal_seconds:
        return strategy
    # A volume that rounding takes away is not missed.
    least = max(strategy.min_seconds or 0.0, rules.equal_seconds - 1e-6)
    return replace(strategy, min_seconds=least)


def run_timing(run: Run, bold: Path) -> Timing:
    """Length of a run, by header and JSON file of its image; an error without a T_R."""
    volumes = open_volumes(bold)
    given = run.metadata(bold).get("RepetitionTime")
    t_r = volumes.t_r if given is None else given
    number = isinstance(t_r, int | float) and not isinstance(t_r, bool)
    if not number or not _SHORTEST_T_R <= t_r <= _LONGEST_T_R:
        where = "in its header" if given is None else "in its JSON file"
        raise DataError(
            f"{bold} has no repetition time in seconds: {where} it is {repr(t_r)[:40]}.",
            hint='Give "RepetitionTime" in seconds in the JSON file beside the image.',
        )
    return Timing(volumes.n_volumes, float(t_r))


@dataclass(frozen=True)
class FailedStrategy:
    """Name of a strategy that could not be applied to a run, while others could, and why."""

    name: str
    error: str
    trace: str = ""


class StrategyFailures:
    """Strategies that can't be applied to a run, each with its error; the others still are."""

    def __init__(self, without_image: Iterable[Strategy] = ()) -> None:
        self.errors: dict[Strategy, BidsSpheresError] = {
            strategy: missing_image(strategy) for strategy in without_image
        }

    @contextmanager
    def of(self, *strategies: Strategy) -> Iterator[None]:
        """Record an unusable input as the failure of these strategies, if any, and go on."""
        try:
            yield
        except (DataError, MissingInputError) as error:
            if not strategies:
                raise
            self.errors |= dict.fromkeys(strategies, error)

    def raise_if_all(self, strategies: Iterable[Strategy]) -> None:
        """Raise when none of the strategies is left for a run."""
        if set(strategies) <= self.errors.keys():
            raise self.as_error()

    def as_error(self) -> BidsSpheresError:
        """All of them as one error, the same message of several strategies once."""
        errors = {str(error): error for error in self.errors.values()}
        if len(errors) == 1:
            return next(iter(errors.values()))
        return DataError("\n".join(f"{s.name}: {error}" for s, error in self.errors.items()))

    def report(self) -> tuple[FailedStrategy, ...]:
        """Message and traceback of each."""
        return tuple(
            FailedStrategy(strategy.name, str(error), "".join(traceback.format_exception(error)))
            for strategy, error in self.errors.items()
        )


def run_designs(job: Job, image: JobImage, failures: StrategyFailures) -> list[RunDesign]:
    """Apply strategies of an image to tables of its run; `failures` takes those that can't be."""
    timing, rules = run_timing(job.run, image.bold), job.work.processing
    inputs, designs = _RunInputs(job, image.bold, timing.n_volumes), []
    for strategy in image.strategies:
        with failures.of(strategy):
            if inputs.files.confounds is None and strategy.needs_table:
                raise MissingInputError(
                    f"No confounds table belongs to {image.bold}.", hint=_NO_TABLE
                )
            extra = inputs.programs if _wants_extra(strategy) else []
            own = inputs.own if strategy.confounds else []
            design = make_design(
                inputs.confounds,
                strategy,
                inputs.files.confounds or image.bold,
                timing.n_volumes,
                metadata=inputs.metadata,
                extra=[*extra, *(table for table in own if _names_any(strategy, table))],
                dummy_scans=rules.dummy_scans,
                outliers=inputs.outliers,
                t_r=timing.t_r,
                brain_radius=inputs.brain_radius if strategy.needs_brain_mask else None,
                events=inputs.events if strategy.task else None,
            )
            # A run that is excluded for its length has no need of a filter.
            long_enough = _for_all(strategy, rules).accepts(design.n_kept, timing.t_r)
            if long_enough and (problem := timing.filter_problem(strategy)):
                raise DataError(f"The {strategy} can't be used: {problem}.")
            designs.append(RunDesign(strategy, design, timing, rules))
    return designs


def missing_events() -> MissingInputError:
    """The error about a run without events."""
    return MissingInputError(
        "No events.tsv belongs to the run.",
        hint="It is looked for in the raw dataset (bids_dir, DatasetLinks, or sourcedata/raw), and "
        "in folders that --derivatives NAME=PATH names.",
    )


class _RunTables:
    """Tables of a run, read when they are asked for: whole, or headers alone."""

    def __init__(self, files: Tables, read: Callable[[Path], pd.DataFrame]) -> None:
        self.files, self.read = files, read

    @cached_property
    def metadata(self) -> Mapping[str, object]:
        """What is known of fMRIPrep's columns."""
        return read_metadata(self.files.metadata) if self.files.metadata else {}

    @cached_property
    def programs(self) -> list[pd.DataFrame]:
        """Tables of other programs."""
        tables = [self.read(self.files.aroma)] if self.files.aroma else []
        if self.files.tedana:
            components = read_tedana(*self.files.tedana)
            tables.append(components.iloc[:0] if self.read is read_header else components)
        return tables

    @cached_property
    def own(self) -> list[pd.DataFrame]:
        """Tables of the user's own."""
        return own_columns([(link, _desc(path), self.read(path)) for link, path in self.files.own])


class _RunInputs(_RunTables):
    """What designs of a run are made of, each read when the first strategy asks for it."""

    def __init__(self, job: Job, bold: Path, n_volumes: int) -> None:
        super().__init__(job.run.tables, read_confounds)
        self.job, self.bold, self.n_volumes = job, bold, n_volumes

    @cached_property
    def confounds(self) -> pd.DataFrame:
        """fMRIPrep's; without columns when it is missing."""
        import pandas as pd  # noqa: PLC0415 - slow to import

        path = self.files.confounds
        return read_confounds(path) if path else pd.DataFrame(index=range(self.n_volumes))

    @cached_property
    def events(self) -> RunEvents:
        """Events on the clock of the volumes."""
        start = self.job.run.metadata(self.bold).get("StartTime", 0.0)
        if not isinstance(start, int | float) or not np.isfinite(start):
            where = self.job.run.sidecar(self.bold)
            raise DataError(f"{where}: StartTime is {start!r}, not a time in s.")
        if self.files.events is None:
            raise missing_events()
        return read_events(self.files.events, float(start))

    @cached_property
    def brain_radius(self) -> float:
        """Radius of a sphere of the volume of the participant's brain, mm."""
        path = anatomical_mask(self.bold)
        if path is None:
            raise MissingInputError(
                "The head radius is auto, and no brain mask of the anatomy belongs to "
                f"{self.bold}.",
                hint="fMRIPrep writes it as anat/*_desc-brain_mask.nii.gz; --head-radius 50 needs "
                "none.",
            )
        mask = read_mask(path)
        return float(ball_radius(mask.inside.sum() * mask.grid.voxel_volume))

    @cached_property
    def outliers(self) -> BoolArray | None:
        """Volumes that the user censors."""
        return read_outliers(self.job.outliers, self.n_volumes) if self.job.outliers else None


_NO_TABLE = "fMRIPrep writes it beside the image as *_desc-confounds_timeseries.tsv."


def missing_image(strategy: Strategy) -> MissingInputError:
    """The error about a run without an image from which a strategy starts."""
    kinds = " or ".join(f"desc-{kind}" for kind in strategy.bold_kinds)
    hint = "Name the folder that holds it with --derivatives NAME=PATH."
    if "nonaggrDenoised" in strategy.bold_kinds:
        hint = (
            "fMRIPrep before 23.1 wrote it with --use-aroma; for later versions give the output of "
            "fMRIPost-AROMA with --derivatives aroma=PATH."
        )
    message = f"The {strategy} starts from a {kinds} image, which is missing."
    return MissingInputError(message, hint=hint)


def check_runs(jobs: Sequence[Job], *, strict: bool = False, values: bool = True) -> list[Problem]:
    """Look up what every strategy needs in every run, before the first is read.

    With `values` tables are read as a whole, some 10 ms for each, and not their first lines alone:
    a column that is n/a throughout is a problem too. A `DataError` when what strategies ask for
    leaves nothing to be done or, with `strict`, for any problem.
    """
    unusable: list[_Failure] = []
    tables = _tables(jobs, unusable, read_confounds if values else read_header)
    missing: list[_Failure] = [(str(j), s, missing_image(s)) for j in jobs for s in j.without_image]
    without_events = (job for job in jobs if job.run.tables.events is None)
    missing += [
        (str(j), s, missing_events()) for j in without_events for s in j.strategies if s.task
    ]
    problems = [
        *check_strategies(tables, jobs[0].work.strategies, values=values),
        *_merge_problems([*missing, *_filter_problems(jobs)]),
    ]
    # What is wrong with a file concerns its run: the call goes on and ends with status 1.
    of_settings = [problem for problem in problems if not problem.of_file]
    nothing_left = len(failing(jobs, of_settings)) == sum(len(job.work.strategies) for job in jobs)
    problems += (replace(problem, of_file=True) for problem in _merge_problems(unusable))
    if nothing_left or (problems and strict):
        title = f"{count(len(problems), 'problem')} with strategies, and nothing is done:"
        raise DataError("\n- ".join([title, *map(str, problems)]))
    return problems


def failing(jobs: Iterable[Job], problems: Iterable[Problem]) -> set[tuple[str, str]]:
    """Names of jobs and strategies that problems found by `check_runs` keep from being done."""
    of_runs: dict[str, set[str]] = defaultdict(set)
    for problem in problems:
        for run in problem.runs:
            of_runs[run].add(problem.strategy)
    return {
        (str(job), strategy.name)
        for job in jobs
        for strategy in job.work.strategies
        # "" stands for any strategy.
        if {strategy.name, ""} & (of_runs[str(job)] | of_runs[_source(job.run)])
    }


_Failure = tuple[str, "Strategy", BidsSpheresError]  # a run, a strategy that fails there, and why


def _merge_problems(errors: Iterable[_Failure]) -> Iterator[Problem]:
    """Convert errors of strategies to problems, one for all runs with the same error."""
    runs: dict[tuple[str, str, str | None], list[str]] = defaultdict(list)
    for run, strategy, error in errors:
        runs[strategy.name, error.message, error.hint].append(run)
    for (name, message, hint), labels in runs.items():
        yield Problem(message, tuple(labels), name, hint)


def _tables(
    jobs: Sequence[Job], unusable: list[_Failure], read: Callable[[Path], pd.DataFrame]
) -> Iterator[tuple[str, tuple[pd.DataFrame, Mapping[str, object]]]]:
    """Table of every run with its JSON file; tables that can't be used go to the list."""
    first_jobs: dict[str, Job] = {}
    for job in jobs:
        first_jobs.setdefault(_source(job.run), job)
    for source, job in first_jobs.items():
        strategies, failures = job.work.strategies, StrategyFailures()
        if (path := job.run.tables.confounds) is None:
            error = MissingInputError("No confounds table belongs to the run.", hint=_NO_TABLE)
            failures.errors |= {strategy: error for strategy in strategies if strategy.needs_table}
        else:
            with failures.of(*strategies):
                yield source, _run_table(job, path, read, failures)
        unusable += [(source, *failure) for failure in failures.errors.items()]


def _run_table(
    job: Job, path: Path, read: Callable[[Path], pd.DataFrame], failures: StrategyFailures
) -> tuple[pd.DataFrame, Mapping[str, object]]:
    """Table of a run, with the columns of others that strategies ask for, and its JSON file."""
    tables, strategies, table = _RunTables(job.run.tables, read), job.work.strategies, read(path)
    for n_volumes in _volumes(job) if read is read_confounds else ():
        check_rows(table, path, n_volumes)
    metadata = tables.metadata
    with failures.of(*filter(_wants_extra, strategies)):
        table = merge_tables(table, tables.programs)
    naming = [strategy for strategy in strategies if strategy.confounds]
    users_tables: list[tuple[str, str, pd.DataFrame]] = []
    for link, own_path in tables.files.own if naming else ():
        with failures.of(*naming):
            users_tables.append((link, _desc(own_path), read(own_path)))
    for own in own_columns(users_tables):
        users = [strategy for strategy in naming if _names_any(strategy, own)]
        if not users:
            continue
        with failures.of(*users):
            table = merge_tables(table, [own])
        if len(own) and len(own) != len(table):
            # It has its columns: that its rows are not those of the run is enough to say.
            rows = np.minimum(np.arange(len(table)), len(own) - 1)
            table = merge_tables(table, [own.iloc[rows]])
    return table, metadata


def own_tables_of(tables: Tables, columns: Iterable[str]) -> list[Path]:
    """Tables of the user's own from which columns of a design are."""
    columns = set(columns)
    begins = tuple(f"{link}{mark}" for link, _ in tables.own for mark in ".:")
    if not any(column.startswith(begins) for column in columns):
        return []
    headers = zip(tables.own, _RunTables(tables, read_header).own, strict=True)
    return [path for (_, path), header in headers if columns & set(header.columns)]


def _desc(table: Path) -> str:
    return parse_name(table.name).get("desc") or ""


def _volumes(job: Job) -> Iterator[int]:
    """Number of volumes of each image that can be opened; others fail when the run is done."""
    for image in job.images:
        with suppress(BidsSpheresError):
            yield open_volumes(image.bold).n_volumes


def _filter_problems(jobs: Sequence[Job]) -> Iterator[_Failure]:
    """Filters that runs can't carry; only asked when a strategy has a filter."""
    for job, image in [(each, image) for each in jobs for image in each.images]:
        filtered = [strategy for strategy in image.strategies if strategy.filter]
        if not filtered:
            continue
        failures = StrategyFailures()
        with suppress(BidsSpheresError):  # an image that can't be opened fails when its run is done
            timing = run_timing(job.run, image.bold)
            if doubtful := tuple(s for s in filtered if timing.filter_problem(s)):
                # Only the volumes that are left decide whether the run is excluded before that.
                run_designs(job, replace(image, strategies=doubtful), failures)
        yield from ((str(job), *failure) for failure in failures.errors.items())


def _names_any(strategy: Strategy, table: pd.DataFrame) -> bool:
    return any(columns_named(entry, list(table.columns)) for entry in strategy.confounds)


def _wants_extra(strategy: Strategy) -> bool:
    # A table of another program has as many rows as fMRIPrep's, or the run can't be used; that
    # must not keep a strategy back that does not ask for it.
    return bool(strategy.ica_aroma or strategy.tedana or strategy.confounds)


def _source(run: Run) -> str:
    """Name of a run without its space, which tables have in common with it."""
    return "_".join(as_written(run.name.source))
