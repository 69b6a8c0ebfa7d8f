r"""Look up the columns that a strategy asks for in the table of one run.

CompCor components: fMRIPrep 1.4 to 20.2 calls those of all three anatomical masks ``a_comp_cor_XX``
and distinguishes them in the JSON file only; before 1.4 it had one mask, and since 21.0 the name
says which ("CompCor confounds" at https://fmriprep.org/en/stable/outputs.html).

Patterns may come from somebody else, and ``^(\w+_?)*$`` keeps Python's ``re`` busy for hours with a
name of 30 letters. So the ways in which a pattern could match are counted before it is used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from bids_spheres.confounds.strategy import EXPANSIONS
from bids_spheres.confounds.tables import MOTION, todays_name
from bids_spheres.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.confounds.strategy import CompCor, Strategy

COSINE = re.compile(r"^cosine_?\d+$")
NON_STEADY_STATE = re.compile(r"^non_steady_state_outlier_?\d+$")
FRAMEWISE_DISPLACEMENT = "framewise_displacement"
STD_DVARS = "std_dvars"
RMSD = "rmsd"

MASKS_OF: dict[str, tuple[str, ...]] = {
    "anat_combined": ("combined",),
    "anat_separated": ("WM", "CSF"),
    "temporal": ("temporal",),
    "temporal_anat_combined": ("temporal", "combined"),
    "temporal_anat_separated": ("temporal", "WM", "CSF"),
    "WM": ("WM",),
    "CSF": ("CSF",),
}
"""Masks of each kind of CompCor; the first five are nilearn's names."""

_COMPONENT = re.compile(r"^([tawc])_comp_cor_(\d+)$")
_AFTER_HIGH_PASS = re.compile(r"^([tawc]_comp_cor_|edge_comp_)\d+$")

MAX_LENGTH = 1000  # characters of a pattern
MAX_NAME = 100  # characters of a column's name; longer names match no pattern
MAX_WAYS = 4 * 10**6  # of a match: four alternatives with three repetitions, or 21 optional parts

_PART = re.compile(
    r"""(?P<refused>\\[1-9] | \(\?(?![:=!]))
    | (?P<opened>\((\?[:=!])?)
    | (?P<closed>\))
    | (?P<alternative>\|)
    | (?P<optional>\?[?+]?)
    | (?P<exact>\{[0-9]+\}[?+]?)
    | (?P<repeated>[*+][?+]? | \{[0-9]*,[0-9]*\}[?+]?)
    | (?P<atom>\\. | \[\^?\]?(\\.|[^\]\\])*\] | .)""",
    re.VERBOSE | re.DOTALL,
)

_NO_NOISE = "intercept"  # fMRIPost-AROMA's only column for a run without noise components

_AGGRESSIVE_INSTEAD = (
    "Aggressive regression: the table has no aroma_orth_motion columns, which fMRIPost-AROMA "
    "writes, and the aroma_motion columns stand in for them. They take with them what motion "
    "components share with others, signal too."
)
_TOO_SHORT_FOR_COSINES = (
    "CompCor components are computed after a high-pass filter, but the table has no cosine "
    "columns to go with them; fMRIPrep writes none for a run too short for its filter."
)
_ADDED_COSINES = (
    "Cosine columns were added: fMRIPrep computes CompCor components after that high-pass filter, "
    "and without it they would bring slow drifts back in."
)


class Missing(NamedTuple):
    """Columns or, as `problem`, anything else that a key of a strategy needs and a run lacks."""

    key: str
    columns: tuple[str, ...] = ()
    problem: str = ""

    @property
    def what(self) -> str:
        """What is missing; completes "<table> has ..."."""
        plural = "s" * (len(self.columns) > 1)
        return self.problem or f"no column{plural} {', '.join(self.columns)}"


@dataclass
class Selection:
    """Columns of one run that a strategy regresses out, as an ordered set; `names` are all."""

    names: tuple[str, ...]
    columns: dict[str, None] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, names: Iterable[str]) -> None:
        """Take columns, each once."""
        self.columns.update(dict.fromkeys(names))

    def need(self, key: str, wanted: Sequence[str]) -> None:
        """Note columns that are missing."""
        if missing := tuple(name for name in wanted if name not in self.names):
            self.missing.append(Missing(key, missing))

    def require(self, key: str, wanted: Sequence[str]) -> None:
        """Take columns, and note those that are missing."""
        self.add(name for name in wanted if name in self.names)
        self.need(key, wanted)

    def add_confounds(self, strategy: Strategy) -> None:
        """Take the columns that `confounds` names, as they are or by patterns."""
        absent = []
        for entry in strategy.confounds:
            matches, is_pattern = columns_named(entry, self.names), entry.startswith("^")
            if is_pattern and not matches:
                # A run without outliers has no column of them.
                self.notes.append(f"The pattern {entry!r} matches no column of this run.")
            elif len(matches) > 1 and not is_pattern:
                # A key of the strategy, as wm_csf, has fMRIPrep's column.
                renamed = ["rename the column of your own"] if entry in matches else []
                ways = [f"write {name}" for name in matches if name != entry] + renamed
                what = f"{entry} in several tables ({' or '.join(ways)})"
                self.missing.append(Missing("confounds", problem=what))
            elif matches:
                self.add(matches)
            else:
                absent.append(entry)
        self.require("confounds", absent)

    def add_components(
        self, wanted: CompCor, masks: Mapping[str, object], *, in_json: bool
    ) -> None:
        """Take the first CompCor components of every mask wanted."""

        def kind(mask: str) -> str:
            return "tCompCor" if mask == "temporal" else f"aCompCor ({mask} mask)"

        of_mask = {
            mask: [name for name, its_mask in masks.items() if its_mask == mask]
            for mask in MASKS_OF[wanted.mask]
        }
        empty, components = [mask for mask, own in of_mask.items() if not own], []
        for mask, own in of_mask.items():
            components += own if wanted.n == "all" else own[: wanted.n]
            if own and wanted.n != "all" and len(own) < wanted.n:
                asked = f"{wanted.n} {kind(mask)} components are asked for"
                self.notes.append(f"{asked}; there are {len(own)}.")
        kinds = " or ".join(map(kind, empty))
        if empty and in_json and components:
            # As in nilearn, other masks are enough: the JSON file lists every mask that was used.
            self.notes += [f"The JSON file has no {kind(mask)} components." for mask in empty]
        elif empty:
            problem = f"no {kinds} components"
            if in_json:
                problem += " in its JSON file"
            elif None in masks.values() and empty != ["temporal"]:
                problem = (
                    f"{kinds} components that can't be told from others without the JSON file "
                    "beside it (fMRIPrep 1.4 to 20.2)"
                )
            self.missing.append(Missing("compcor", problem=problem))
        self.require("compcor", components)

    def add_noise_components(self, strategy: Strategy) -> None:
        """Take components that ICA-AROMA or tedana holds for noise."""

        def numbered(prefix: str) -> list[str]:
            return [name for name in self.names if re.fullmatch(rf"{prefix}\d+", name)]

        if strategy.ica_aroma in ("basic", "orthogonal"):
            plain, is_plain = numbered("aroma_motion_"), strategy.ica_aroma == "basic"
            orthogonal = [] if is_plain else numbered("aroma_orth_motion_")
            self.add(orthogonal or plain)
            if plain and not orthogonal and not is_plain:
                self.notes.append(_AGGRESSIVE_INSTEAD)
            elif not (orthogonal or plain) and _NO_NOISE in self.names:
                self.notes.append("ICA-AROMA found no noise component in this run.")
            elif not (orthogonal or plain):
                what = "no ICA-AROMA columns (aroma_motion_XX or aroma_orth_motion_XX)"
                self.missing.append(Missing("ica_aroma", problem=what))
        if strategy.tedana:
            kind = "rejected_orth" if strategy.tedana == "orthogonal" else "rejected"
            rejected = numbered(f"{kind}_ICA_")
            self.add(rejected)
            if not rejected and numbered("accepted_ICA_"):
                self.notes.append("tedana rejected no component of this run.")
            elif not rejected:
                what = "no tedana components (mixing and metrics)"
                self.missing.append(Missing("tedana", problem=what))

    def match_high_pass(self, strategy: Strategy, cosines: list[str]) -> None:
        """Give CompCor the high-pass filter that fMRIPrep computed it after; note one too many."""
        if any(map(needs_cosines, self.columns)):
            if not cosines:
                self.notes.append(_TOO_SHORT_FOR_COSINES)
            elif not set(cosines) <= set(self.columns):
                self.notes.append(_ADDED_COSINES)
            self.add(cosines)
        high_pass = strategy.filter.high_pass if strategy.filter else None
        if high_pass is not None and not set(cosines).isdisjoint(self.columns):
            self.notes.append(
                "Double filtering: cosine columns are regressed out, which is a high-pass filter, "
                f"and a high-pass filter of {high_pass:g} Hz is applied as well."
            )


def select(
    strategy: Strategy, names: tuple[str, ...], metadata: Mapping[str, object], *, one_mask: bool
) -> Selection:
    """Columns that a strategy regresses out; `one_mask`: CompCor had only the combined mask."""
    chosen = Selection(names)
    cosines = [name for name in names if COSINE.match(name)]
    if strategy.wants_cosines:
        chosen.add(cosines)
    for key, wanted in fixed_columns(strategy):
        chosen.require(key, wanted)
    if strategy.compcor:
        masks, in_json = _masks_of_components(names, metadata, one_mask=one_mask)
        chosen.add_components(strategy.compcor, masks, in_json=in_json)
    chosen.add_noise_components(strategy)
    chosen.add_confounds(strategy)
    if strategy.head_motion:
        chosen.need("head_motion", MOTION)
    elif strategy.censor.fd_threshold is not None:
        chosen.need("censor.fd_threshold", [FRAMEWISE_DISPLACEMENT])
    if strategy.censor.std_dvars_threshold is not None:
        chosen.need("censor.std_dvars_threshold", [STD_DVARS])
    if strategy.censor.rmsd_threshold is not None:
        chosen.need("censor.rmsd_threshold", [RMSD])
    chosen.match_high_pass(strategy, cosines)
    return chosen


def columns_named(entry: str, names: Sequence[str]) -> list[str]:
    """Columns that a name or pattern in `confounds` stands for.

    Those of a table of the user's own are ``<dataset>.<column>``, or ``<dataset>:<desc>.<column>``
    where several tables of a dataset have it, and found by that, without the desc, or alone.

    >>> columns_named("rvt", ["csf", "physio.rvt"]), columns_named("^r.t", ["csf", "physio.rvt"])
    (['physio.rvt'], ['physio.rvt'])
    >>> columns_named("physio.rvt", ["physio:a.rvt", "physio:b.rvt", "physio:b.hr"])
    ['physio:a.rvt', 'physio:b.rvt']
    """
    if entry.startswith("^"):
        return [name for name in names if matching_names(entry, _ways_to_name(name))]
    return [name for name in names if entry in _ways_to_name(name)]


def _ways_to_name(column: str) -> set[str]:
    dataset, dot, name = column.partition(".")
    return {column, f"{dataset.partition(':')[0]}.{name}", name} if dot else {column}


def fixed_columns(strategy: Strategy) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Keys of a strategy with the columns that they name in every run."""
    for key, expansion, bases in (
        ("motion", strategy.motion, MOTION),
        ("wm_csf", strategy.wm_csf, ("csf", "white_matter")),
        ("global_signal", strategy.global_signal, ("global_signal",)),
    ):
        suffixes = EXPANSIONS[expansion] if expansion else ()
        yield key, tuple(base + suffix for base in bases for suffix in suffixes)


def column_names(strategy: Strategy) -> tuple[str, ...]:
    """Columns as a list of strategies shows them; ``*`` stands for a number.

    >>> from bids_spheres.confounds.strategy import Strategy
    >>> column_names(Strategy("a", "", ("rot_x", "^rot_y"), high_pass=True, wm_csf="basic"))
    ('cosine*', 'csf', 'white_matter', 'rot_x', '^rot_y')
    """
    compcor = []
    if strategy.compcor:
        number = "all" if strategy.compcor.n == "all" else f"first {strategy.compcor.n}"
        compcor = [
            f"t_comp_cor_* ({number})" if mask == "temporal" else f"a_comp_cor_* ({mask}, {number})"
            for mask in MASKS_OF[strategy.compcor.mask]
        ]
    aroma = {"basic": "aroma_motion_*", "orthogonal": "aroma_orth_motion_*"}
    tedana = {"aggressive": "rejected_ICA_*", "orthogonal": "rejected_orth_ICA_*"}
    decompositions = (aroma.get(strategy.ica_aroma or ""), tedana.get(strategy.tedana or ""))
    return (
        *(("cosine*",) if strategy.wants_cosines or strategy.compcor else ()),
        *(name for _, names in fixed_columns(strategy) for name in names),
        *compcor,
        *((f"task.* ({strategy.task.model})",) if strategy.task else ()),
        *filter(None, decompositions),
        *strategy.confounds,
    )


def needs_cosines(name: str) -> bool:
    """Whether fMRIPrep made this column, of CompCor or the edge, from high-pass filtered data."""
    return bool(_AFTER_HIGH_PASS.match(name))


def _masks_of_components(
    names: Iterable[str], metadata: Mapping[str, object], *, one_mask: bool
) -> tuple[dict[str, object], bool]:
    """Mask of each CompCor component, None if unknown; whether the JSON file describes them."""
    described = [name for name in metadata if _COMPONENT.match(name)]
    # As in nilearn, only those that the JSON file describes, if it does
    components = described or [name for name in names if _COMPONENT.match(name)]
    # JSON files have no order, and as text 10 comes before 9.
    components.sort(key=lambda name: int(name.rpartition("_")[2]))
    # Versions that name masks apart write w_comp_cor and c_comp_cor beside the combined one's.
    only_combined = one_mask or any(name[0] in "wc" for name in components)
    of_prefix = {"t": "temporal", "w": "WM", "c": "CSF", "a": "combined" if only_combined else None}
    masks: dict[str, object] = {name: of_prefix[name[0]] for name in components}
    for name in described:
        entry = metadata[name]
        if not isinstance(entry, dict) or entry.get("Retained") is False:
            del masks[name]
        elif not name.startswith("t"):
            masks[name] = entry.get("Mask")
    return masks, bool(described)


def missing_columns(
    missing: Sequence[Missing], names: Sequence[str], strategy: Strategy, path: Path | str
) -> DataError:
    """Error that names everything that a table lacks for a strategy."""
    columns = tuple(dict.fromkeys(name for item in missing for name in item.columns))
    whats = [Missing("", columns).what] if columns else []
    whats += [item.problem for item in missing if item.problem]
    keys = ", ".join(dict.fromkeys(item.key for item in missing))
    return DataError(
        f"{path} has {' and '.join(whats)}, which the {strategy} needs for {keys}.",
        hint=similar_columns(columns, names),
    )


def similar_columns(wanted: Iterable[str], names: Sequence[str]) -> str | None:
    """Hint with the existing name nearest to each name asked for, if any is near."""
    near = {close for name in wanted for close in get_close_matches(todays_name(name), names, n=1)}
    return f"Similar columns in the table: {', '.join(sorted(near))}." if near else None


def pattern_problem(pattern: str) -> str | None:
    """Why a regular expression can't be used, to be read after its name; None for a good one."""
    if len(pattern) > MAX_LENGTH:
        return f"has {len(pattern)} characters, more than {MAX_LENGTH}"
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"is not a regular expression: {error}"
    # Of each open group: ways of the alternatives before, and of the one that is being read.
    groups = [[0, 1]]
    before = ""
    for part in _PART.finditer(pattern):
        kind = part.lastgroup
        if kind == "refused":
            return f"has {part.group()!r}, a reference or an extension that is not supported"
        if kind == "opened":
            groups.append([0, 1])
        elif kind == "closed":
            ways = sum(groups.pop())
            groups[-1][1] *= ways
        elif kind == "alternative":
            groups[-1] = [sum(groups[-1]), 1]
        elif kind in {"repeated", "exact"} and before == "closed":
            return f"repeats a group ({part.group()!r} after a bracket), which may take for ever"
        groups[-1][1] *= {"optional": 2, "repeated": MAX_NAME}.get(kind or "", 1)
        before = kind or ""
    if sum(groups[0]) > MAX_WAYS:
        return "could match in too many ways: leave out some of *, +, ? and {}"
    return None


def matching_names(pattern: str, names: Iterable[str]) -> list[str]:
    """Names in which a pattern is found, but for those longer than `MAX_NAME`."""
    return [name for name in names if len(name) <= MAX_NAME and re.search(pattern, name)]
