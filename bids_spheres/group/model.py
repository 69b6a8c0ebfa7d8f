"""A formula and participants.tsv to a design, and contrasts to weights of its terms."""

from __future__ import annotations

import csv
import logging
import re
from dataclasses import dataclass, field, replace
from io import StringIO
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from bids_spheres.errors import DataError, MissingInputError, UsageError, did_you_mean
from bids_spheres.files.text import is_there, read_json_object, read_text
from bids_spheres.group.formula import Formula, read_formula
from bids_spheres.group.inference import Contrast
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.engine.arrays import FloatArray
    from bids_spheres.group.options import GroupOptions

logger = logging.getLogger(__name__)

ID = "participant_id"

MEAN_FD = "mean_fd"
"""Name under which a formula can use the mean framewise displacement, mm."""

_NA = ["n/a", "N/A", "NaN", "nan", ""]
_TSV: dict[str, Any] = {"sep": "\t", "dtype": {ID: str}, "keep_default_na": False, "na_values": _NA}

_WRITTEN = re.compile(r"(?P<f>F:)?(?P<name>[A-Za-z0-9]+)=(?P<text>.+)", re.DOTALL)
_NUMBER = r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+"

_WHOLE_FACTORS = " F:NAME=TERM takes all levels of a factor."

MEAN = Contrast("mean", np.ones((1, 1)))
"""What is tested without a model: the constant of a design without anything else."""


@dataclass(frozen=True, eq=False)
class Model:
    """A formula and the table of participants, of which options name further `columns`."""

    formula: Formula
    table: pd.DataFrame
    source: Path
    columns: tuple[str, ...] = ()


def row_label(participant: str, condition: str) -> str:
    """Label of a row of repeated measures: participant and condition, with a space between."""
    return f"{participant} {condition}"


def participant_of(row: str) -> str:
    """Participant of a row of a model, with or without repeated measures."""
    return row.partition(" ")[0]


@dataclass(frozen=True, eq=False)
class Design:
    """Variables that explain edges, (n, k) of rank k, of n participants.

    `terms` are names of the columns; `groups` columns of each term of the formula: of a factor all
    its levels.
    """

    participants: tuple[str, ...]
    terms: tuple[str, ...]
    values: FloatArray
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def people(self) -> list[str]:
        """Participant of each row; several rows are of one where measures are repeated."""
        return [participant_of(row) for row in self.participants]

    def only(self, participants: Collection[str]) -> Design:
        """The same variables of some of the participants."""
        kept = [row for row, label in enumerate(self.participants) if label in participants]
        labels = tuple(self.participants[row] for row in kept)
        return replace(self, participants=labels, values=self.values[kept])


@dataclass(frozen=True, eq=False)
class GroupDesign:
    """A model applied to one group.

    `left_out` are participants that are not in the design, and why; `notes` what a user should know
    about it, a sentence each; `data` the variables of those in it; `columns` what the formula uses.
    """

    formula: str
    design: Design
    left_out: Mapping[str, str]
    notes: tuple[str, ...]
    data: pd.DataFrame
    columns: frozenset[str]


def load_model(output_dir: Path, options: GroupOptions) -> Model | None:
    """Read the table and check the formula; None without one.

    MissingInputError when the table, or the package that reads formulas, is missing; UsageError for
    a formula that can't be read, or names what is not in the table; DataError for the table.
    """
    named = options.blocks, options.variance_groups, options.clusters, options.harmonize
    columns = tuple(filter(None, named))
    if options.model is None and not columns:
        return None
    formula = read_formula(options.model or "1")
    path = options.participants_table or output_dir / "participants.tsv"
    table = read_participants(path)
    if MEAN_FD in table.columns:
        raise DataError(
            f"{path} has a column {MEAN_FD}, which is what formulas call the mean framewise "
            "displacement of the runs of this dataset.",
            hint="Give the column another name.",
        )
    known = [*table.columns, MEAN_FD, *([options.within] if options.within else [])]
    check_names(formula.columns, known, path, "The model")
    check_names(columns, table.columns, path, "An option")
    return Model(formula, table, path, columns)


def read_participants(path: Path) -> pd.DataFrame:
    """Read participants.tsv: a row per participant, by labels with their key (``sub-01``).

    MissingInputError without the file; DataError when it has no participants, or one of them twice.
    """
    if not is_there(path):
        raise MissingInputError(
            f"The table of participants {path} is missing.",
            hint="Name the participants.tsv of the dataset.",
        )
    text = read_text(path, "table of participants")
    # BIDS has no quotes around cells, and one that begins a remark would swallow the rows below
    # it: they are characters, unless they are around the header's words, as R writes them.
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if text.startswith('"') else csv.QUOTE_NONE
    try:
        table: pd.DataFrame = pd.read_csv(StringIO(text), quoting=quoting, **_TSV)
    except ValueError as error:  # also of pandas
        raise DataError(f"{path} is no table: {' '.join(str(error).split())}") from error
    if ID not in table.columns:
        raise DataError(f"{path} has no column {ID}.")
    table = table[table[ID].notna()]
    labels = "sub-" + table.pop(ID).str.removeprefix("sub-")
    if twice := labels[labels.duplicated()].tolist():
        raise DataError(f"{path} has {twice[0]} twice.")
    return table.set_index(labels)


def design_for(model: Model, mean_fd: Mapping[str, float]) -> GroupDesign:
    """The design of those participants of a group whose variables are all known.

    `mean_fd` has those with a result, and their mean framewise displacement in mm. DataError when
    none is left, a variable can't be used, or its terms can't be told apart.
    """
    formula = model.formula
    data, left_out = _known_variables(model, mean_fd)
    if not len(data):
        why = [f"{label} ({reason})" for label, reason in left_out.items()]
        raise DataError(
            f"No participant has all that the model {formula.text!r} needs: {listing(why)}.",
            hint=f"The participants of {model.source} are {listing(list(model.table.index))}.",
        )
    # A column of numbers with a few words would become categories.
    used = data[[name for name in data.columns if name in formula.columns]]
    for name in sorted(set(map(str, used)) - formula.categories):
        words = data[name][pd.to_numeric(data[name], errors="coerce").isna()]
        if 0 < len(words) < len(data):
            raise DataError(
                f"{model.source}: {name} holds numbers and {words.iloc[0]!r} ({words.index[0]}).",
                hint=f"Write n/a where the number is not known, or C({name}) for categories.",
            )
    matrix = formula.matrix(used)
    try:
        values = np.asarray(matrix, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError(f"The model {formula.text!r} has values that are no numbers.") from error
    terms = tuple(map(str, matrix.columns))
    design = Design(tuple(data.index), terms, values, matrix.attrs["terms"])
    _check_estimable(design, formula.text)
    notes = tuple(_notes(model, data))
    return GroupDesign(formula.text, design, left_out, notes, data, formula.columns)


def _known_variables(
    model: Model, mean_fd: Mapping[str, float]
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Variables of the participants who have all of them; the others, and what they lack."""
    names = {*model.formula.columns, *model.columns}
    used = [name for name in model.table.columns if name in names]
    absent = [label for label in mean_fd if used and label not in model.table.index]
    left_out = dict.fromkeys(absent, f"not in {model.source.name}")
    data = model.table[used].reindex([label for label in mean_fd if label not in left_out])
    if MEAN_FD in model.formula.columns:
        data[MEAN_FD] = pd.Series(mean_fd, dtype=float)
    known = data.dropna()
    for label, missing in data.isna().drop(index=known.index).iterrows():
        left_out[str(label)] = f"without {' and '.join(map(str, data.columns[missing]))}"
    for name, column in known.items():
        # pandas makes fractions of whole numbers where a value is missing; they may be codes of
        # categories, and are in the names of terms then.
        if pd.api.types.is_float_dtype(column) and (column % 1 == 0).all():
            known[name] = column.astype(int)
    return known, left_out


def _check_estimable(design: Design, formula: str) -> None:
    n, k = design.values.shape
    if not k or not np.isfinite(design.values).all():
        raise DataError(f"The model {formula!r} has no terms, or values that are not finite.")
    if n <= k:
        raise DataError(
            f"The model {formula!r} has {count(k, 'term')} ({listing(design.terms)}), and "
            f"{count(n, 'participant')} with all variables: too few to estimate them.",
            hint="Take fewer variables.",
        )
    norms = np.linalg.norm(design.values, axis=0)
    scaled = design.values / np.where(norms > 0, norms, 1)
    if np.linalg.matrix_rank(scaled) < k:
        raise DataError(
            f"Terms of the model {formula!r} can't be told apart in these participants: "
            f"{listing(design.terms, 20)}.",
            hint="Leave out a variable that others determine, or that is the same in all.",
        )


def _notes(model: Model, data: pd.DataFrame) -> Iterator[str]:
    """Notes on suspicious variables."""
    sidecar = model.source.with_suffix(".json")
    about = read_json_object(sidecar, optional=True)
    for name, column in data.items():
        if name in model.columns:
            continue
        if column.nunique() < 2:
            yield f"{name} is the same in all participants of the model"
        entry = about.get(str(name))
        coded = isinstance(entry, dict) and "Levels" in entry
        numeric = pd.api.types.is_numeric_dtype(column)
        if coded and numeric and str(name) not in model.formula.categories:
            yield f"{name} is taken as a number; write C({name}) for the levels of {sidecar.name}"


def warn_of_design(title: str, n_people: int, design: GroupDesign, what: str) -> None:
    """Say who is left out of a design, and what is odd about its variables."""
    if design.left_out:
        reasons = [f"{label} ({why})" for label, why in design.left_out.items()]
        people = count(len(reasons), "participant")
        text = "%s: %s of %d not in the %s: %s"
        logger.warning(text, title, people, n_people, what, listing(reasons))
    for note in design.notes:
        logger.warning("%s: %s.", title, note)


def check_names(wanted: Iterable[str], known: Iterable[object], path: Path, who: str) -> None:
    """Refuse (UsageError) names that are no columns of a table; `who` names them."""
    names = [str(name) for name in known]
    for name in sorted(set(wanted) - set(names)):
        raise UsageError(
            f"{who} names {name}, which {path} does not have.",
            hint=f"{did_you_mean(name, names)}Its columns are: {listing(names, 20)}. "
            "--participants-table FILE takes another table.",
        )


@dataclass(frozen=True)
class ContrastText:
    """A contrast as it is written on the command line.

    Its name is of letters and digits, as it becomes part of file names. The text is a linear
    combination of terms, as ``0.5*a - b``; of an F test several, with commas.
    """

    name: str
    text: str
    is_f: bool


def read_contrasts(words: Iterable[str]) -> tuple[ContrastText, ...]:
    """Read ``NAME=TERMS`` and ``F:NAME=TERMS``; UsageError for other forms or a name used twice."""
    contrasts: dict[str, ContrastText] = {}
    for word in words:
        match = _WRITTEN.fullmatch(word)
        if match is None:
            raise UsageError(
                f"--contrast {word} is not NAME=TERMS.",
                hint='Write it like age=age, "diff=groupA - groupB" or F:site=C(site), with a name '
                "of letters and digits.",
            )
        # Names of files differ by more than case, as some file systems don't know it.
        if match["name"].casefold() in map(str.casefold, contrasts):
            raise UsageError(
                f"Two contrasts have the name {match['name']}, where case does not count.",
                hint="Give each contrast a name of its own.",
            )
        contrasts[match["name"]] = ContrastText(match["name"], match["text"], bool(match["f"]))
    return tuple(contrasts.values())


def contrast_for(
    contrast: ContrastText,
    terms: Sequence[str],
    groups: Mapping[str, Sequence[int]],
    noun: str = "terms of the model",
) -> Contrast:
    """Weights of a contrast for the k terms of a design, whose groups are columns of factors.

    The `noun` is what a message calls the terms. UsageError when a part is neither a column nor a
    term; DataError when its rows are not independent, or all weights are 0.
    """
    columns = {_plain(term): [number] for number, term in enumerate(terms)}
    columns = {_plain(term): list(numbers) for term, numbers in groups.items()} | columns
    rows: list[FloatArray] = []
    for part in _parts(_plain(contrast.text)) if contrast.is_f else [_plain(contrast.text)]:
        if contrast.is_f and part in columns:
            rows.extend(np.eye(len(terms))[columns[part]])
        else:
            rows.append(_combination(contrast, part, columns, terms, noun))
    weights = np.array(rows)
    if np.linalg.matrix_rank(weights) < len(weights):
        raise DataError(
            f"The contrast {contrast.name} ({contrast.text}) has weights that are all 0, or that "
            "follow from one another."
        )
    return Contrast(contrast.name, weights)


def _combination(
    contrast: ContrastText,
    text: str,
    columns: Mapping[str, list[int]],
    terms: Sequence[str],
    noun: str,
) -> FloatArray:
    """Weights (k,) of a sum of columns, each with a sign and a factor."""
    single = {name: numbers[0] for name, numbers in columns.items() if len(numbers) == 1}
    # The longest first, as one name may begin another.
    names = "|".join(re.escape(name) for name in sorted(single, key=len, reverse=True))
    summand = re.compile(rf"([+-]?)(?:({_NUMBER})\*)?({names})(?=[+-]|$)")
    weights, place = np.zeros(len(terms)), 0
    while place < len(text):
        match = summand.match(text, place)
        if match is None or (place and not match[1]):
            raise UsageError(
                f"The contrast {contrast.name}: {text[place:]} is no sum of {noun}.",
                hint=f"{did_you_mean(text[place:].lstrip('+-'), terms)}"
                f"They are {listing(list(terms), 20)}."
                + ("" if contrast.is_f or len(single) == len(columns) else _WHOLE_FACTORS),
            )
        weights[single[match[3]]] += float(f"{match[1]}{match[2] or 1}")
        place = match.end()
    return weights


def _parts(text: str) -> Iterator[str]:
    """Parts between commas that are in no bracket."""
    depth, part = 0, ""
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and not depth:
            yield part
            part = ""
        else:
            part += letter
    yield part


def _plain(text: str) -> str:
    return "".join(text.split())
