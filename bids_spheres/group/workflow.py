"""An output dataset to group results: find, check, summarize, write."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import TYPE_CHECKING

import pandas as pd

from bids_spheres.errors import DataError, MissingInputError, UsageError
from bids_spheres.files import atomic
from bids_spheres.files.names import natural
from bids_spheres.group import files, quality, reliability
from bids_spheres.group.gather import COVERAGE_COLUMNS, gather_group, gather_image
from bids_spheres.group.head_motion import HeadMotion, load_covariates
from bids_spheres.group.maps import map_groups, summarize_maps
from bids_spheres.group.model import load_model, read_contrasts
from bids_spheres.group.multiverse import Multiverse
from bids_spheres.group.options import RUN_KEYS
from bids_spheres.group.results import Writer
from bids_spheres.group.stream import FEW_DOF
from bids_spheres.group.summary import Analysis, summarize
from bids_spheres.outputs.find import is_selected, selected
from bids_spheres.outputs.logs import LOGS
from bids_spheres.outputs.paths import GROUP_FOLDER, GROUP_SUMMARY, PEARSON, image_name, title
from bids_spheres.outputs.shared import check_output_dir
from bids_spheres.outputs.sidecars import bidsignore, described, read_sidecar
from bids_spheres.settings.table import ALL
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bids_spheres.files.names import Name
    from bids_spheres.group.gather import Image
    from bids_spheres.group.options import GroupOptions
    from bids_spheres.group.stream import Group
    from bids_spheres.outputs.find import OutputFile

logger = logging.getLogger(__name__)

_RARE = 0.5
"""Share of the participants below which a seed is named in a warning."""


def run_group(output_dir: Path, options: GroupOptions) -> list[str]:
    """Do the group level; return what could not be done, and why.

    Everything is written to the folder ``group`` of the output dataset. What can't be done for one
    group does not keep the others back. MissingInputError without output of the participant level,
    or the table for a model; NothingSelectedError when the selection leaves nothing; UsageError for
    a model that makes no sense; DataError when nothing could be done at all; OutputError when the
    dataset is not ours, or can't be written to.
    """
    if not (output_dir / "dataset_description.json").is_file():
        raise MissingInputError(
            f"{output_dir} is not an output folder: it has no dataset_description.json.",
            hint="Give the output folder of the participant level.",
        )
    check_output_dir(output_dir, [])
    folders = [output_dir / GROUP_FOLDER, output_dir / LOGS]
    atomic.check_folders(output_dir, folders)
    model, contrasts = load_model(output_dir, options), read_contrasts(options.contrast)
    analysis = Analysis(options, model, contrasts, load_covariates(options))
    everything = files.all_matrices(output_dir)
    of_runs = [pair for pair in options.select if pair[0] in RUN_KEYS]
    runs = selected(everything, of_runs)
    chosen = selected(runs, [pair for pair in options.select if pair not in of_runs])
    for folder in (output_dir, *folders):
        atomic.discard_stale(folder)
    # That of an earlier version may not hide the folder from the validator.
    atomic.write_if_changed(output_dir / ".bidsignore", bidsignore())
    expected = files.ExpectedParticipants(output_dir, everything, options)
    motion, multiverse = HeadMotion(runs, options), Multiverse(options)
    level = _Level(output_dir, analysis, motion, expected, multiverse)
    groups = files.make_groups(chosen, options)
    if options.stability and all(name.get("stat") != PEARSON for name in groups):
        logger.warning("--stability is about Pearson correlations, and no matrix has them.")
    images: dict[Name, dict[Name, Sequence[OutputFile]]] = {}
    for group, own in groups.items():
        images.setdefault(image_name(group), {})[group] = own
    for name, own_groups in images.items():
        level.do_image(name, own_groups)
    maps = level.do_maps()
    families, problems = level.multiverse.write(output_dir)
    level.problems.extend(problems)
    updated = [*images, *groups, *maps, *families]
    if left := files.remove_outdated(output_dir, updated, everything):
        text = "%s also holds results of earlier calls, which this one did not update: %s"
        logger.warning(text, output_dir / GROUP_FOLDER, listing(left))
    level.write_tables()
    level.warn()
    return level.all_problems


@dataclass(eq=False)
class _Level:
    """The group level of one dataset, with what its tables and warnings will say."""

    output_dir: Path
    analysis: Analysis
    motion: HeadMotion
    expected: files.ExpectedParticipants
    multiverse: Multiverse
    unusable: files.Unusable = field(default_factory=files.Unusable)
    absent: dict[str, Mapping[str, str]] = field(default_factory=dict)
    failed: dict[str, Mapping[str, list[str]]] = field(default_factory=dict)
    few_dof: dict[tuple[str, ...], list[str]] = field(default_factory=dict)
    runs: dict[tuple[str, str], quality.Row] = field(default_factory=dict)
    strategies: list[quality.Row] = field(default_factory=list)
    stability: list[quality.Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    refused: dict[str, list[str]] = field(default_factory=dict)

    @property
    def all_problems(self) -> list[str]:
        """A message each; groups that are refused for the same reason share one."""
        whole = [f"{listing(titles)}: {reason}" for reason, titles in self.refused.items()]
        return [*self.unusable.problems, *self.unusable.other_versions, *self.problems, *whole]

    def do_image(self, name: Name, groups: Mapping[Name, Sequence[OutputFile]]) -> None:
        """All strategies and measures of one space and seed set."""
        self.groups.extend(map(title, groups))
        try:
            matrices = [file for own in groups.values() for file in own]
            image = gather_image(name, matrices, self.unusable)
            coverage = image.coverage()
        except DataError as error:
            self._refuse(name, error)
            for group in groups:
                files.discard_earlier(self.output_dir, group)
            return
        rare = coverage["name"][coverage["share"] < _RARE]
        if len(rare):
            seeds = f"{len(rare)} of {count(len(coverage), 'seed')}"
            text = "%s: %s are missing in more than half of the participants: %s"
            logger.warning(text, title(name), seeds, listing(rare.tolist()))
        writer = Writer(self.output_dir, name, {"NumberOfRuns": len(image.quality)})
        writer.table("coverage", coverage, COVERAGE_COLUMNS)
        for group, own in groups.items():
            try:
                gathered = gather_group(group, own, image, self.motion, self.unusable)
                self._do_group(gathered, image)
            except DataError as error:
                self._refuse(group, error)

    def _do_group(self, group: Group, image: Image) -> None:
        people = {person.label: person for person in group.participants}
        failed = {w: self.expected.failed_runs(group.name, own) for w, own in people.items()}
        failed = {label: names for label, names in failed.items() if names}
        absent = self.expected.absent_from(group.name, people, self.unusable)
        excluded = {label: own.exclusion for label, own in people.items() if own.exclusion}
        self.failed[group.title], self.absent[group.title] = failed, {**excluded, **absent}
        group = replace(group, absent=absent, failed=failed)
        for run in group.runs:
            row = quality.run_row(run, image.quality[run.file.spheres])
            self.runs[str(run.file.spheres), str(row["strategy"])] = row
        if not len(group.edges):
            logger.warning("%s: a single seed is related to nothing.", group.title)
            files.discard_earlier(self.output_dir, group.name)
            self.strategies.append({})
            return
        if few := tuple(p.label for p in group.with_result if p.degrees_of_freedom < FEW_DOF):
            self.few_dof.setdefault(few, []).append(group.title)
        n, least = len(group.with_result), self.analysis.options.min_participants
        who = count(n, "participant")
        logger.info("%s: %s with a result", group.title, who)
        if n == 1:
            logger.warning("%s: one participant has neither spread nor tests.", group.title)
        elif 1 < n < least and group.scale.tested:
            needed = "%s: %s, and a test needs %d (--min-participants)."
            logger.warning(needed, group.title, who, least)
        done = summarize(group, self.output_dir, self.analysis)
        files.discard_earlier(self.output_dir, group.name, done.writer.written)
        self.problems.extend(done.problems)
        for reason in done.refused:
            self.refused.setdefault(reason, []).append(group.title)
        self.strategies.append(quality.strategy_row(done))
        self.stability.extend(done.stability.rows if done.stability else ())
        self.multiverse.add(done)

    def do_maps(self) -> list[Name]:
        """Average and test maps of the seeds that are named; return all that there are."""
        options = self.analysis.options
        maps = map_groups(self.output_dir, options)
        if options.seed_maps and not maps:
            text = "%s has no maps of seeds; the participant level writes them."
            logger.warning(text, self.output_dir)
        for name, own in maps.items():
            # The label in names of files is the seed's name without signs, or has a number.
            seed = read_sidecar(own[0].path, optional=True).get("Seed")
            chosen = [file for file in own if is_selected(file, options.select)]
            if options.pool_spaces:
                chosen = files.in_preferred_space(chosen)
            if not chosen or not {ALL, seed, name.get("label")} & {*options.seed_maps}:
                continue
            writer = Writer(self.output_dir, name)
            try:
                summarize_maps(writer, chosen, self.analysis, self.motion, self.unusable)
            except UsageError:
                raise
            except (DataError, ValueError) as error:
                self._refuse(name, error)
        return list(maps)

    def _refuse(self, name: Name, error: ValueError) -> None:
        """Note why no results exist, and remove those of earlier calls."""
        self.refused.setdefault(str(error), []).append(title(name))
        files.discard_earlier(self.output_dir, name)

    def write_tables(self) -> None:
        """Write what is about all groups; DataError, with all problems, without any group."""
        folder = self.output_dir / GROUP_FOLDER
        by_run = itemgetter("source", "space", "seeds", "scale", "strategy")
        rows = sorted(self.runs.values(), key=lambda row: natural(" ".join(map(str, by_run(row)))))
        tables = {
            "runs": (rows, quality.RUN_COLUMNS),
            "strategies": ([row for row in self.strategies if row], quality.STRATEGY_COLUMNS),
            "stability": (self.stability, reliability.STABILITY_COLUMNS),
        }
        if not self.strategies:
            for name in (*(f"{table}.tsv" for table in tables), GROUP_SUMMARY):
                atomic.remove(folder / name)
            raise DataError("\n- ".join(["No group has a result:", *self.all_problems]))
        for name, (own, about) in tables.items():
            table, sidecar = folder / f"{name}.tsv", folder / f"{name}.json"
            if name == "stability" and not own:
                atomic.remove(table)
                atomic.remove(sidecar)
                continue
            atomic.write_table(table, pd.DataFrame(own, columns=list(about)))
            atomic.write_json(sidecar, described(about))
        summary = {"Groups": self.groups, "Problems": self.all_problems}
        atomic.write_json(folder / GROUP_SUMMARY, summary)

    def warn(self) -> None:
        """Say who has no result or a poor one, and which strategies are not comparable."""
        sentences = (*files.describe_absent(self.absent), *files.describe_failed(self.failed))
        differing = quality.smoothing_differences(filter(None, self.strategies))
        for sentence in (*sentences, *differing):
            logger.warning("%s.", sentence)
        cells = {name for row in self.strategies for name in row}
        if self.analysis.options.controls and "surrogate_significant" not in cells:
            logger.warning("No run has negative controls: --controls of the participant level.")
        for few, titles in self.few_dof.items():
            people, names = count(len(few), "participant"), listing(few, len(few))
            text = "%s: %s with fewer than %d degrees of freedom, whose edges are mostly noise: %s"
            logger.warning(text, listing(titles, 3), people, FEW_DOF, names)
        reasons = (reason for own in self.absent.values() for reason in own.values())
        divided = any(reason.startswith(files.IN_OTHER_SPACE) for reason in reasons)
        if divided and not self.analysis.options.pool_spaces:
            logger.warning("Each space is a group of its own; --pool-spaces pools MNI spaces.")
