"""Settings to the results of the group and a page about them, and the export of a selection."""

from __future__ import annotations

import logging
from argparse import Namespace
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bids_spheres.app.parser import main_parser, settings_of
from bids_spheres.confounds.strategy_file import load_strategy
from bids_spheres.data.published import ROI_LABEL, STRATEGY_FILES, parcellation_label
from bids_spheres.engine.connectivity import measure
from bids_spheres.engine.seeds import TYPED_LABEL, scale_label, seed_file_label
from bids_spheres.errors import BidsSpheresError, DataError, MissingInputError, UsageError
from bids_spheres.files.atomic import temporary_files_in
from bids_spheres.files.text import is_there
from bids_spheres.group.files import all_matrices, make_groups
from bids_spheres.group.model import read_participants
from bids_spheres.group.options import GroupOptions
from bids_spheres.group.workflow import run_group
from bids_spheres.outputs.export import export
from bids_spheres.outputs.find import selected
from bids_spheres.outputs.links import read_links
from bids_spheres.outputs.logs import write_record
from bids_spheres.outputs.paths import GROUP_FOLDER, SEEDS, title
from bids_spheres.outputs.results import open_results
from bids_spheres.settings.option import declared_options
from bids_spheres.settings.table import GROUP, Settings
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


logger = logging.getLogger(__name__)

_TABLE = "participants.tsv"


def run_group_level(settings: Settings) -> list[str]:
    """Run the group level on outputs of the participant level; return what failed, and why."""
    out = settings.output_dir
    problems: list[str] = []
    if settings.execution.executor == "dask":
        logger.warning("--executor dask does nothing at the group level, which is one process.")
    if not settings.reports_only:
        # A folder that is not an output is refused, and not created.
        with temporary_files_in(settings.temporary_dir) if out.is_dir() else nullcontext():
            problems = run_group(out, _group_options(settings))
        write_record(out, settings.to_json())
        logger.info("Results of the group: %s", out / GROUP_FOLDER)
    for problem in problems:
        logger.error("%s", problem)
    if settings.report_level != "none":
        from bids_spheres.reports.group import write_group_report  # noqa: PLC0415 - loads Jinja

        # Records have the options of both levels.
        own = [each.name for each in declared_options(Settings) if GROUP in each.option.levels]
        logger.info("Report: %s", write_group_report(out, settings.temporary_dir, own))
    return problems


def dry_run_group(settings: Settings) -> None:
    """Print the groups and their numbers of participants; nothing is written."""
    options = _group_options(settings)
    files = selected(all_matrices(settings.output_dir), options.select)
    for name, members in make_groups(files, options).items():
        people = len({file.participant for file in members})
        matrices = count(len(members), "matrix", "matrices")
        print(f"{title(name)}: {count(people, 'participant')}, {matrices}")


def _group_options(settings: Settings) -> GroupOptions:
    """Options of the group level that settings stand for.

    What a call of the participant level names - seed sets, strategies, measures, labels - chooses
    here among what such calls have written, so that one configuration file serves both.
    """
    choices = settings.group
    columns = (
        *(choices.blocks, choices.variance_groups, choices.clusters, choices.harmonize),
        choices.qcfc_covariates,
    )
    needed = bool(choices.model or any(columns))
    places = dict.fromkeys([*raw_datasets(settings.bids_dir), settings.output_dir])
    tables = (path for place in places if is_there(path := place / _TABLE))
    table = choices.participants_table or next(tables, None)
    if needed and table is None:
        raise MissingInputError(
            f"--model and options with columns need {_TABLE}, which is not in "
            f"{', '.join(map(str, places))}.",
            hint="Name it with --participants-table FILE.",
        )
    roots = [settings.bids_dir, *sorted(settings.bids_dir.glob("derivatives/fmriprep*"))]
    roots += [path for _, path in settings.derivatives]
    folders = (path for root in roots for path in root.glob("sub-*") if path.is_dir())
    expected = {path.name: "in the input, without outputs" for path in folders}
    if table:
        try:
            labels = [str(label) for label in read_participants(table).index]
        except BidsSpheresError as error:
            if needed or choices.participants_table:
                raise
            logger.warning("Missing participants can't be looked up in the table: %s", error)
        else:
            if needed:
                logger.info("Variables of participants: %s", table)
            expected = dict.fromkeys(labels, f"in {table.name}, not in the input") | expected
    return GroupOptions(
        **vars(replace(choices, participants_table=table if needed else None)),
        select=tuple(selection(settings).items()),
        expected=tuple(expected.items()),
        seed_maps=settings.processing.seed_maps,
        controls=settings.processing.controls,
    )


def selection(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Labels that are wanted, by entity; without entities of which all are."""
    own = (TYPED_LABEL if isinstance(s, str) else seed_file_label(s) for s in settings.seeds)
    regions = [*map(parcellation_label, settings.parcellation), *[ROI_LABEL] * bool(settings.roi)]
    # A built-in strategy need not be known to this version.
    strategies = (
        load_strategy(name).name if Path(name).suffix.lower() in STRATEGY_FILES else name
        for name in settings.strategy
    )
    wanted: dict[str, Iterable[str]] = {
        **{key: labels for _, key, labels in settings.labels.named()},
        SEEDS: dict.fromkeys([*settings.atlas, *own, *regions]),
        # Regions, and spheres with radii of their own, stay beside spheres of a radius.
        "scale": [*map(scale_label, settings.radius), *[""] * bool(settings.radius)],
        "desc": strategies,
        "stat": (measure(name).stat for name in settings.processing.connectivity),
    }
    chosen = ((key, tuple(labels)) for key, labels in wanted.items())
    return {key: labels for key, labels in chosen if labels}


def raw_datasets(bids_dir: Path) -> Iterator[Path]:
    """The input, and the raw dataset that it was made from.

    A study dataset, and one made by the rules of YODA, has the raw dataset in ``sourcedata/raw``.
    """
    yield bids_dir
    folder = bids_dir.resolve()
    # fMRIPrep before 21 names no dataset, and a description that can't be read is no matter here.
    with suppress(DataError):
        if raw := read_links(folder).roots.get("raw"):
            yield raw
    yield folder / "sourcedata" / "raw"
    if folder.parent.name == "derivatives":
        study = folder.parent.parent
        yield study
        yield study / "sourcedata" / "raw"


def export_results(options: Namespace) -> int:
    """Write what ``bids-spheres export`` selects, and print a line for each format."""
    results, folder = open_results(options.output_dir), options.folder
    if folder.resolve().is_relative_to(results.root.resolve()):
        raise UsageError(
            f"{folder} lies in the results.", hint="Choose a folder outside of the dataset."
        )
    # Options that do not select have their defaults.
    root = str(options.output_dir)
    others = vars(main_parser().parse_args([root, root, GROUP]))
    settings = settings_of(Namespace(**{**others, **vars(options)}))
    part = results.select(**selection(settings))
    for form in dict.fromkeys(options.format):
        number = export(part, folder, form, timeseries=options.timeseries, stacked=options.stacked)
        print(f"{form}: {count(number, 'file')} in {folder}")
    return 0
