"""Settings of a call as options of the group level."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bids_spheres.confounds import load_strategy
from bids_spheres.data.published import STRATEGY_FILES
from bids_spheres.engine.connectivity import measure
from bids_spheres.engine.seeds import scale_label, seed_file_label
from bids_spheres.errors import BidsSpheresError, DataError, MissingInputError
from bids_spheres.files.text import is_there
from bids_spheres.group.files import all_matrices, make_groups, selected
from bids_spheres.group.model import read_participants
from bids_spheres.group.options import GroupOptions
from bids_spheres.outputs.links import read_links
from bids_spheres.outputs.paths import SEEDS, title
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids_spheres.settings import Settings

logger = logging.getLogger(__name__)

TABLE = "participants.tsv"


def group_options(settings: Settings) -> GroupOptions:
    """Options of the group level that settings stand for.

    What a call of the participant level names - seed sets, strategies, measures, labels - chooses
    here among what such calls have written, so that one configuration file serves both.

    Parameters
    ----------
    settings : Settings

    Raises
    ------
    UsageError, DataError
        When a measure, or a file of a strategy, can't be used.
    MissingInputError
        When there is no table of participants for a model.
    """
    choices = settings.group
    needed = choices.model or choices.qcfc_covariates
    table = _participants_table(settings) if needed else None
    return GroupOptions(
        **vars(replace(choices, participants_table=table)),
        select=tuple((key, labels) for key, labels in _selection(settings) if labels),
        expected=tuple(_expected(settings).items()),
    )


def describe_groups(settings: Settings) -> Iterator[str]:
    """Describe the groups, a line each; nothing is computed.

    Parameters
    ----------
    settings : Settings

    Raises
    ------
    BidsSpheresError
        As `group_options`, and when there is no group.
    """
    options = group_options(settings)
    files = selected(all_matrices(settings.output_dir), options.select)
    for name, members in make_groups(files, options).items():
        people = len({file.participant for file in members})
        runs = count(len(members), "matrix", "matrices")
        yield f"{title(name)}: {count(people, 'participant')}, {runs}"


def _selection(settings: Settings) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Entities, and the labels of them that are wanted."""
    yield from ((key, labels) for _, key, labels in settings.labels.named())
    yield SEEDS, (*settings.atlas, *map(seed_file_label, settings.seeds))
    if len(settings.radius) > 1:
        yield "scale", tuple(map(scale_label, settings.radius))
    yield "desc", tuple(map(_strategy_name, settings.strategy))
    yield "stat", tuple(measure(name).stat for name in settings.processing.connectivity)


def _strategy_name(name: str) -> str:
    """Name in file names; a built-in strategy need not be known to this version."""
    return load_strategy(name).name if Path(name).suffix.lower() in STRATEGY_FILES else name


def _participants_table(settings: Settings) -> Path:
    """The table that the user names, or the first that exists.

    Raises
    ------
    MissingInputError
        When none exists.
    """
    if path := _known_table(settings):
        logger.info("Variables of participants: %s", path)
        return path
    places = dict.fromkeys([*_datasets(settings.bids_dir), settings.output_dir])
    raise MissingInputError(
        f"--model and --qcfc-covariates need {TABLE}, which is not in "
        f"{', '.join(map(str, places))}.",
        hint="Name it with --participants-table FILE.",
    )


def _known_table(settings: Settings) -> Path | None:
    if settings.group.participants_table:
        return settings.group.participants_table
    places = [*_datasets(settings.bids_dir), settings.output_dir]
    return next((path for place in places if is_there(path := place / TABLE)), None)


def _datasets(bids_dir: Path) -> Iterator[Path]:
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


def _expected(settings: Settings) -> dict[str, str]:
    """Participants of the input and of its table, with their key, and where they are known from."""
    bids_dir = settings.bids_dir
    roots = [bids_dir, *sorted(bids_dir.glob("derivatives/fmriprep*"))]
    roots += [path for _, path in settings.derivatives]
    folders = (path for root in roots for path in root.glob("sub-*") if path.is_dir())
    present = {path.name: "in the input, without outputs" for path in folders}
    table = _known_table(settings)
    if table is None:
        return present
    try:
        labels = [str(label) for label in read_participants(table).index]
    except BidsSpheresError as error:
        logger.warning("Missing participants can't be looked up in the table: %s", error)
        return present
    return dict.fromkeys(labels, f"in {table.name}, not in the input") | present
