"""Look up the columns that a strategy asks for in the table of one run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from bids_spheres.confounds.compcor import MASKS_OF, find_components, needs_cosines
from bids_spheres.confounds.patterns import matching_names
from bids_spheres.confounds.strategy import EXPANSIONS
from bids_spheres.confounds.versions import MOTION, todays_name
from bids_spheres.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.confounds.strategy import Strategy

COSINE = re.compile(r"^cosine_?\d+$")
NON_STEADY_STATE = re.compile(r"^non_steady_state_outlier_?\d+$")
FRAMEWISE_DISPLACEMENT = "framewise_displacement"
STD_DVARS = "std_dvars"
RMSD = "rmsd"

_NO_NOISE = "intercept"
"""The only column that fMRIPost-AROMA writes for a run without noise components."""

_STAND_IN = (
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
    """Columns of one run that a strategy regresses out, as an ordered set."""

    columns: dict[str, None] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, names: Iterable[str]) -> None:
        """Take columns, each once."""
        self.columns.update(dict.fromkeys(names))

    def require(self, key: str, names: Sequence[str], available: Iterable[str]) -> None:
        """Take columns, and note those that are missing."""
        missing = tuple(name for name in names if name not in available)
        self.add(name for name in names if name in available)
        if missing:
            self.missing.append(Missing(key, missing))


def select(
    strategy: Strategy, names: tuple[str, ...], metadata: Mapping[str, object], *, one_mask: bool
) -> Selection:
    """Columns of one run that a strategy regresses out, of its `names` as fMRIPrep has them today.

    `metadata` is the JSON file beside the table; `one_mask` as for `find_components`.
    """
    chosen = Selection()
    cosines = [name for name in names if COSINE.match(name)]
    if strategy.wants_cosines:
        chosen.add(cosines)
    for key, wanted in fixed_columns(strategy):
        chosen.require(key, wanted, names)
    if strategy.compcor:
        components = find_components(strategy.compcor, names, metadata, one_mask=one_mask)
        # Without any component the problems say it all.
        chosen.notes += components.notes if components.names else []
        chosen.missing += [Missing("compcor", problem=text) for text in components.problems]
        chosen.require("compcor", components.names, names)
    _add_noise_components(chosen, strategy, names)
    absent = []
    for entry in strategy.confounds:
        matches = columns_named(entry, names)
        if entry.startswith("^") and not matches:
            # A run without outliers has no column of them.
            chosen.notes.append(f"The pattern {entry!r} matches no column of this run.")
        elif len(matches) > 1 and not entry.startswith("^"):
            # A key of the strategy, as wm_csf, has fMRIPrep's column.
            renamed = ["rename the column of your own"] if entry in matches else []
            ways = [f"name {name}" for name in matches if name != entry] + renamed
            what = f"{entry} in several tables: {' or '.join(ways)}"
            chosen.missing.append(Missing("confounds", problem=what))
        elif matches:
            chosen.add(matches)
        else:
            absent.append(entry)
    chosen.require("confounds", absent, names)
    for key, needed in _measures(strategy).items():
        if absent := [name for name in needed if name not in names]:
            chosen.missing.append(Missing(key, tuple(absent)))
    _match_high_pass(chosen, strategy, cosines)
    return chosen


def _measures(strategy: Strategy) -> dict[str, tuple[str, ...]]:
    """Keys of a strategy with columns that they need, and that are not regressed out."""
    rules = strategy.censor
    keys = {
        "head_motion": (strategy.head_motion, MOTION),
        "censor.fd_threshold": (rules.fd_threshold, (FRAMEWISE_DISPLACEMENT,)),
        "censor.std_dvars_threshold": (rules.std_dvars_threshold, (STD_DVARS,)),
        "censor.rmsd_threshold": (rules.rmsd_threshold, (RMSD,)),
    }
    if strategy.head_motion:
        del keys["censor.fd_threshold"]  # it is computed
    return {key: columns for key, (value, columns) in keys.items() if value is not None}


def columns_named(entry: str, names: Sequence[str]) -> list[str]:
    """Columns that a name or pattern in `confounds` stands for.

    Those of a table of the user's own are ``<dataset>.<column>``, and found by either.

    >>> columns_named("rvt", ["csf", "physio.rvt"]), columns_named("^r.t", ["csf", "physio.rvt"])
    (['physio.rvt'], ['physio.rvt'])
    """
    if entry.startswith("^"):
        return [n for n in names if matching_names(entry, {n, n.partition(".")[2] or n})]
    return [name for name in names if entry in (name, name.partition(".")[2])]


def fixed_columns(strategy: Strategy) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Keys of a strategy with the columns that they name in every run."""
    bases_of_keys = {
        "motion": (strategy.motion, MOTION),
        "wm_csf": (strategy.wm_csf, ("csf", "white_matter")),
        "global_signal": (strategy.global_signal, ("global_signal",)),
    }
    for key, (expansion, bases) in bases_of_keys.items():
        suffixes = EXPANSIONS[expansion] if expansion else ()
        yield key, tuple(base + suffix for base in bases for suffix in suffixes)


def column_names(strategy: Strategy) -> tuple[str, ...]:
    """Columns as a list of strategies shows them; ``*`` stands for a number.

    Examples
    --------
    >>> from bids_spheres.confounds import Strategy
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


def _add_noise_components(chosen: Selection, strategy: Strategy, names: tuple[str, ...]) -> None:
    """Take components that ICA-AROMA or tedana holds for noise."""

    def numbered(prefix: str) -> list[str]:
        return [name for name in names if re.fullmatch(rf"{prefix}\d+", name)]

    if strategy.ica_aroma in ("basic", "orthogonal"):
        plain = numbered("aroma_motion_")
        orthogonal = numbered("aroma_orth_motion_") if strategy.ica_aroma == "orthogonal" else []
        chosen.add(orthogonal or plain)
        if plain and not orthogonal and strategy.ica_aroma == "orthogonal":
            chosen.notes.append(_STAND_IN)
        if not (orthogonal or plain) and _NO_NOISE in names:
            chosen.notes.append("ICA-AROMA found no noise component in this run.")
        elif not (orthogonal or plain):
            what = "no ICA-AROMA columns (aroma_motion_XX or aroma_orth_motion_XX)"
            chosen.missing.append(Missing("ica_aroma", problem=what))
    if strategy.tedana:
        kind = "rejected_orth" if strategy.tedana == "orthogonal" else "rejected"
        rejected = numbered(f"{kind}_ICA_")
        chosen.add(rejected)
        if not rejected and numbered("accepted_ICA_"):
            chosen.notes.append("tedana rejected no component of this run.")
        elif not rejected:
            what = "no tedana components (mixing and metrics)"
            chosen.missing.append(Missing("tedana", problem=what))


def _match_high_pass(chosen: Selection, strategy: Strategy, cosines: list[str]) -> None:
    """Give CompCor the high-pass filter that fMRIPrep computed it after; note one too many."""
    if any(map(needs_cosines, chosen.columns)) and not set(cosines) <= set(chosen.columns):
        chosen.notes.append(_ADDED_COSINES)
        chosen.add(cosines)
    elif any(map(needs_cosines, chosen.columns)) and not cosines:
        chosen.notes.append(_TOO_SHORT_FOR_COSINES)
    high_pass = strategy.filter.high_pass if strategy.filter else None
    if high_pass is not None and not set(cosines).isdisjoint(chosen.columns):
        chosen.notes.append(
            f"Double filtering: cosine columns are regressed out, which is a high-pass filter, and "
            f"a high-pass filter of {high_pass:g} Hz is applied as well."
        )


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
