"""Recompute one correlation from the image, and tell step by step what it is made of."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from bids_spheres.app.config_file import option_words
from bids_spheres.app.listings import describe_filter
from bids_spheres.app.parser import EDGE_ENTITIES, main_parser, settings_of
from bids_spheres.app.planning import plan_jobs
from bids_spheres.confounds.degrees_of_freedom import parts, rounded
from bids_spheres.data.published import MEASURES, measure_name
from bids_spheres.engine.connectivity import measure
from bids_spheres.engine.regions import row_weights
from bids_spheres.errors import (
    SOME_FAILED,
    BidsSpheresError,
    MissingInputError,
    UsageError,
    did_you_mean,
)
from bids_spheres.files.names import parse_name
from bids_spheres.group.edges import edge_ends
from bids_spheres.outputs.find import run_files
from bids_spheres.outputs.logs import LOGS, recorded_settings
from bids_spheres.outputs.paths import PEARSON, label_of
from bids_spheres.outputs.read import Matrix, read_matrix
from bids_spheres.outputs.results import Results
from bids_spheres.outputs.sidecars import read_sidecar
from bids_spheres.participant.designs import RunDesign, StrategyFailures, own_tables_of, run_designs
from bids_spheres.participant.series import clean_series
from bids_spheres.participant.sphere_sets import extract_spheres, open_spheres
from bids_spheres.participant.up_to_date import find_tasks
from bids_spheres.settings.table import PARTICIPANT
from bids_spheres.wording import count, listing, number, percent

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.participant.plan import Job

_ROUNDING = 1e-9  # tables have ten digits, and other linear algebra libraries another last one
_MOST_VOLUMES = 20  # numbers of volumes that are shown for one reason


def explain_edge(options: Namespace) -> int:
    """Print what a correlation is made of; return 0 if it equals that of the file, or else 1."""
    out, participant = options.output_dir.absolute(), options.participant.removeprefix("sub-")
    matrix, edge = _choose(out, participant, options)
    stat = label_of(parse_name(matrix.path.name), "stat")
    job = _job_of(matrix.path, stat, out, participant)
    # Sums come out the same to the last bit only for the same number of BLAS threads.
    with threadpool_limits(1):
        result = _Recomputed(job, edge)
        print(" and ".join(matrix.names[place] for place in edge), "of", matrix.path.name)
        print("from", job.images[0].bold)
        for title, lines in (
            ("Voxels", result.voxels()),
            ("Volumes", result.volumes()),
            ("Columns", result.columns()),
            ("What is left", result.what_is_left()),
        ):
            print("", title, *lines, sep="\n")
        written, value = float(matrix.values[edge]), result.value(stat)
    shown = [f"{r:.10g}" if np.isfinite(r) else "n/a" for r in (value, written)]
    print(f"\nCorrelation\n  recomputed:  {shown[0]}\n  in the file: {shown[1]}, {matrix.path}")
    if np.isclose(value, written, rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True):
        print("  They are equal.")
        return 0
    by = f" by {value - written:.3g}" if np.isfinite(value - written) else ""
    (task,) = find_tasks([job])
    why = f" The outputs are {task.reason}; the next call makes them again." if task.reason else ""
    print(f"  They differ{by}.{why}")
    return SOME_FAILED


# Which correlation


def _choose(out: Path, participant: str, options: Namespace) -> tuple[Matrix, tuple[int, int]]:
    """The matrix of a run that the options name, and row and column of the edge."""
    files = [
        file
        for file in run_files(out, participant)
        if file.name.get("stat") in MEASURES.values()
        and "Concatenation" not in read_sidecar(file.path, optional=True)
    ]
    if not files:
        raise MissingInputError(
            f"{out} has no correlations of the runs of sub-{participant}.",
            hint="Give the output folder of the participant level, and a participant in it.",
        )
    given = {key: getattr(options, name) for name, key in EDGE_ENTITIES.items()}
    labels = {key: label for key, label in given.items() if label}
    fitting = Results(out, tuple(files)).select(**labels).files
    if not options.connectivity:
        of_pearson = tuple(file for file in fitting if file.name.get("stat") == PEARSON)
        fitting = of_pearson or fitting
    matrices = [(file, read_matrix(file.path)) for file in fitting]
    edges = [(f, m, edge) for f, m in matrices if (edge := edge_ends(options.edge, m.names))]
    if not edges:
        known = list(dict.fromkeys(name for _, matrix in matrices for name in matrix.names))
        near = [did_you_mean(name, known) for name in options.edge.split(",") if name not in known]
        raise UsageError(
            f"--edge {options.edge}: these are not two of {listing(known)}.",
            hint=f"{''.join(near)}Give two names of a table of spheres, as --edge A,B.",
        )
    if len(edges) > 1:
        choices = []
        for name, key in EDGE_ENTITIES.items():
            known = list(dict.fromkeys(file.label(key) for file, *_ in edges))
            if name == "radius":
                known = [label.removesuffix("mm").replace("p", ".") for label in known]
            if name == "connectivity":
                known = [measure_name(label) for label in known]
            if len(known) > 1:
                choices.append(f"--{name.replace('_', '-')} {' or '.join(filter(None, known))}")
        raise UsageError(
            f"{len(edges)} correlations of {options.edge} match.",
            hint=f"Choose one: {'; '.join(choices)}.",
        )
    return edges[0][1:]


# What it is made of


def _job_of(matrix: Path, stat: str, out: Path, participant: str) -> Job:
    """The job that makes a matrix and nothing else, by the newest record of a call that did."""
    parser, problems, tried = main_parser(), list[BidsSpheresError](), list[object]()
    for record, content in recorded_settings(out, participant):
        chosen = participant in (content.get("participant_label") or [participant])
        if content in tried or not chosen or content.get("analysis_level") != PARTICIPANT:
            continue
        tried.append(content)
        try:
            positional, named = option_words(parser, content, record)
            settings = settings_of(parser.parse_args([*positional, *named]))
            labels = replace(settings.labels, participant_label=(participant,))
            jobs = plan_jobs(replace(settings, output_dir=out, labels=labels, concatenate=None))[1]
        except BidsSpheresError as error:
            problems.append(error)
            continue
        makers = (
            (job, image, strategy, place)
            for job in jobs
            for image in job.images
            for strategy in image.strategies
            for place, seeds in enumerate(job.work.seed_sets)
            if job.paths.matrix(seeds, strategy.name, stat) == matrix
        )
        for job, image, strategy, place in makers:
            work = replace(job.work, seed_sets=(job.work.seed_sets[place],), strategies=(strategy,))
            return replace(
                job,
                images=(replace(image, strategies=(strategy,)),),
                placements=(job.placed().placements[place],),
                work=work,
            )
    raise next(iter(problems), None) or MissingInputError(
        f"No call on record in {out / LOGS} makes {matrix.name}.",
        hint="Call the participant level again; it leaves a record of its settings.",
    )


class _Recomputed:
    """What the participant level makes of the set of an edge's seeds, which have these places."""

    def __init__(self, job: Job, edge: tuple[int, int]) -> None:
        failures, rules = StrategyFailures(), job.work.processing
        designs = run_designs(job, job.images[0], failures)
        if not designs:
            raise failures.as_error()
        self.job, self.edge, self.design = job, edge, designs[0]
        # Control spheres and random placements are not part of the correlation.
        alone = replace(rules, controls=False, placement_jitter=None)
        spheres_alone = replace(job, work=replace(job.work, processing=alone))
        opened = open_spheres(spheres_alone, job.images[0].bold, job.placements)
        self.usable = opened.usable
        self.extraction, (self.spheres,) = extract_spheres(
            *(opened.volumes, opened.sphere_sets, rules, job.work.threads)
        )

    def cleaned(self, design: RunDesign) -> NDArray[np.float64]:
        """Series of the set, (T', S), through the steps of a strategy."""
        return clean_series(self.extraction.timeseries, design, self.extraction.voxels)

    def value(self, stat: str) -> float:
        """A measure of the edge; NaN when a sphere has no series or the run is excluded."""
        if self.design.exclusion:
            return float("nan")
        return float(measure(stat).function(self.cleaned(self.design))[self.edge])

    def voxels(self) -> Iterator[str]:
        """Voxels of each of the two, and those left out for each reason."""
        rules, seeds, weights = self.job.work.processing, self.spheres.seeds, self.spheres.weights
        grid, usable, extracted = weights.grid, self.usable, self.extraction.weights
        whole = row_weights(seeds, grid, None, None)
        masked = row_weights(seeds, grid, usable.inside, usable.grid)
        limits = [f"the mask {self.job.mask.name}"] if self.job.mask else []
        limits += [f"--tissue {rules.tissue}"] if usable.tissue is not None else []
        limits += ["--exclude-mask"] if rules.exclude_mask else []
        left_out = {
            "outside the image": whole.asked - whole.used,
            f"outside {listing(limits)}": whole.used - masked.used,
            "nearer to another seed": masked.used - weights.used,
        }
        for seed in self.edge:
            members = extracted.core[[seed]].indices
            used = members[~self.extraction.unusable[members]]
            lost = {why: int(n[seed]) for why, n in left_out.items()}
            lost["constant, or not finite in a volume"] = len(members) - len(used)
            place = ", ".join(number(mm) for mm in seeds.coordinates[seed].tolist())
            ball = f"within {seeds.radii[seed]:g} mm of {place}"
            of_all = f"{len(used)} of {whole.asked[seed]} voxels"
            yield f"  {seeds.names[seed]}: {of_all} {'in it' if seeds.regions else ball} are used"
            if len(used):
                at = grid.to_mm(grid.unflat(extracted.voxels[used]))
                ends = zip("xyz", at.min(axis=0).tolist(), at.max(axis=0).tolist(), strict=True)
                spans = (f"{axis} {number(low)} to {number(high)}" for axis, low, high in ends)
                yield f"    centres: {', '.join(spans)} mm"
            yield from (f"    {n} left out: {why}" for why, n in lost.items() if n)
            if self.spheres.too_little(self.spheres.coverage)[seed]:
                yield f"    n/a: less than --min-coverage {rules.min_coverage:g} have a signal"
        joint = "signals of all maps together, by least squares"
        steps = [joint if weights.joint else f"{rules.aggregation} of the voxels"]
        steps += [f"weighted by --tissue {rules.tissue}"] if usable.weight is not None else []
        steps += ["spikes squeezed"] if rules.despike else []
        steps += [f"smoothed by {rules.smoothing_fwhm:g} mm"] if rules.smoothing_fwhm else []
        yield f"  series: {', '.join(steps)}"

    def volumes(self) -> Iterator[str]:
        """Volumes kept, and those left out for each reason, numbered from 0."""
        used, t_r = self.design.used, self.design.timing.t_r
        yield f"  {int(used.sum())} of {len(used)} volumes of {t_r:g} s are used"
        for why, flags in self.design.reasons.items():
            if flags.any():
                where = listing([str(i) for i in np.flatnonzero(flags)], _MOST_VOLUMES)
                yield f"    {int(flags.sum())} left out for {why}: {where}"

    def columns(self) -> Iterator[str]:
        """Regressors, and other steps of cleaning."""
        columns, rules = self.design.design.columns, self.design.processing
        of_tables = f" of {listing([path.name for path in self._tables()])}" if columns else ""
        yield f"  {count(len(columns), 'column')}{of_tables}: {', '.join(columns) or 'none'}"
        yield f"  linear trend: {'removed' if rules.detrend else 'kept'}"
        yield f"  filter: {describe_filter(self.design.strategy.filter)}"

    def _tables(self) -> list[Path]:
        """Tables of the columns, fMRIPrep's first."""
        columns, tables = self.design.design.columns, self.job.run.tables
        of_events = [column for column in columns if column.startswith("task.")]
        begins = tuple(f"{link}{mark}" for link, _ in tables.own for mark in ".:")
        of_own = [column for column in columns if column.startswith(begins)]
        others = len(columns) > len(of_events) + len(of_own)
        return [
            *(tables.paths if others else ()),
            *own_tables_of(tables, of_own),
            *((tables.events,) if of_events and tables.events else ()),
        ]

    def what_is_left(self) -> Iterator[str]:
        """Degrees of freedom, and variance of both series before and after cleaning."""
        left = self.design.degrees_of_freedom
        yield f"  degrees of freedom: {rounded(left.residual)} = {parts(left)}"
        if self.design.exclusion:
            yield f"  EXCLUDED, all is n/a: {self.design.exclusion.reason}"
            return
        rules = replace(self.design.processing, standardize=False)
        after = self.cleaned(replace(self.design, processing=rules)).var(axis=0, ddof=1)
        before = self.extraction.timeseries[self.design.used].var(axis=0, ddof=1)
        for seed in self.edge:
            name, was, now = self.spheres.seeds.names[seed], before[seed], after[seed]
            if np.isfinite(now):
                share = percent(now / was)
                yield f"  variance of {name}: {was:.6g} before and {now:.6g} after, {share}"
