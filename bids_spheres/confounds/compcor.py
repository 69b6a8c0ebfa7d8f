"""Which CompCor component comes from which mask.

fMRIPrep 1.4 to 20.2 calls the components of all three anatomical masks ``a_comp_cor_XX`` and
tells them apart in the JSON file only; before 1.4 there was one mask, and since 21.0 the name
tells. See "CompCor confounds" at https://fmriprep.org/en/stable/outputs.html.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bids_spheres.confounds.strategy import CompCor

MASKS_OF: dict[str, tuple[str, ...]] = {
    "anat_combined": ("combined",),
    "anat_separated": ("WM", "CSF"),
    "temporal": ("temporal",),
    "temporal_anat_combined": ("temporal", "combined"),
    "temporal_anat_separated": ("temporal", "WM", "CSF"),
    "WM": ("WM",),
    "CSF": ("CSF",),
}
"""Masks that each kind of CompCor draws from; the first five are nilearn's names."""

SHORT_NAMES = {"combined": "anat_combined", "separated": "anat_separated"}

_JSON, _TABLE = "JSON file", "table"

_COMPONENT = re.compile(r"^([tawc])_comp_cor_(\d+)$")
_MASK_OF_PREFIX = {"t": "temporal", "w": "WM", "c": "CSF"}
_AFTER_HIGH_PASS = re.compile(r"^([tawc]_comp_cor_|edge_comp_)\d+$")


class Components(NamedTuple):
    """What was found of the components asked for.

    Parameters
    ----------
    names : list of str
    notes : list of str
        What a reader should know.
    problems : list of str
        Why there is nothing to use; completes "<table> has ...".
    """

    names: list[str]
    notes: list[str]
    problems: list[str]


def needs_cosines(name: str) -> bool:
    """Whether fMRIPrep made this column from high-pass filtered data.

    >>> needs_cosines("a_comp_cor_00"), needs_cosines("edge_comp_03"), needs_cosines("csf")
    (True, True, False)
    """
    return bool(_AFTER_HIGH_PASS.match(name))


def find_components(
    wanted: CompCor, names: Iterable[str], metadata: Mapping[str, Any], *, one_mask: bool
) -> Components:
    """Components of the masks asked for, the first `n` of each.

    Parameters
    ----------
    wanted : CompCor
    names : iterable of str
        Columns of the table.
    metadata : mapping
        The JSON file beside it. When it describes components, only those count (as in nilearn).
    one_mask : bool
        The table is of a time when fMRIPrep had no mask but the combined one.
    """
    described = [name for name in metadata if _COMPONENT.match(name)]
    there = described or [name for name in names if _COMPONENT.match(name)]
    there.sort(key=_number)
    if described:
        masks = {name: _described_mask(name, metadata[name]) for name in there}
    else:
        masks = {name: _named_mask(name, there, one_mask=one_mask) for name in there}
    return _select(wanted, masks, told_by=_JSON if described else _TABLE)


def _select(wanted: CompCor, masks: Mapping[str, str | None], told_by: str) -> Components:
    found = Components([], [], [])
    empty = []
    for mask in MASKS_OF[wanted.mask]:
        names = [name for name, its_mask in masks.items() if its_mask == mask]
        if not names:
            empty.append(mask)
        elif wanted.n != "all" and len(names) < wanted.n:
            found.notes.append(
                f"{wanted.n} {_kind(mask)} components are asked for; there are {len(names)}."
            )
        found.names.extend(names if wanted.n == "all" else names[: wanted.n])
    if empty and found.names and told_by == _JSON:
        # What there is serves, as in nilearn: fMRIPrep told of every mask it looked at.
        found.notes.extend(f"The {_JSON} has no {_kind(mask)} components." for mask in empty)
    elif empty:
        found.problems.append(_why_none(empty, masks, told_by))
    return found


def _why_none(empty: list[str], masks: Mapping[str, str | None], told_by: str) -> str:
    kinds = " or ".join(_kind(mask) for mask in empty)
    untold = None in masks.values() and empty != ["temporal"]
    if told_by == _TABLE and untold:
        return (
            f"{kinds} components that can't be told from others without the JSON file beside it "
            "(fMRIPrep 1.4 to 20.2)"
        )
    return f"no {kinds} components" + (f" in its {_JSON}" if told_by == _JSON else "")


def _kind(mask: str) -> str:
    return "tCompCor" if mask == "temporal" else f"aCompCor ({mask} mask)"


def _number(name: str) -> int:
    return int(name.rpartition("_")[2])


def _described_mask(name: str, entry: Any) -> str | None:
    if not isinstance(entry, dict) or entry.get("Retained") is False:
        return None
    return "temporal" if name.startswith("t") else entry.get("Mask")


def _named_mask(name: str, there: list[str], *, one_mask: bool) -> str | None:
    if not name.startswith("a"):
        return _MASK_OF_PREFIX[name[0]]
    told_apart = any(other[0] in "wc" for other in there)
    return "combined" if told_apart or one_mask else None
