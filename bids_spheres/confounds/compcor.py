"""Find the mask of each CompCor component.

fMRIPrep 1.4 to 20.2 calls the components of all three anatomical masks ``a_comp_cor_XX`` and
distinguishes them in the JSON file only; before 1.4 it had one mask, and since 21.0 the name says
which. See "CompCor confounds" at https://fmriprep.org/en/stable/outputs.html.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

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
"""Masks of each kind of CompCor; the first five are nilearn's names."""

SHORT_NAMES = {"combined": "anat_combined", "separated": "anat_separated"}

_COMPONENT = re.compile(r"^([tawc])_comp_cor_(\d+)$")
_AFTER_HIGH_PASS = re.compile(r"^([tawc]_comp_cor_|edge_comp_)\d+$")


class Components(NamedTuple):
    """Names of the components of the masks that a strategy asks for.

    `notes` are what a reader should know, `problems` why no component can be used; they complete
    "<table> has ...".
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
    wanted: CompCor, names: Iterable[str], metadata: Mapping[str, object], *, one_mask: bool
) -> Components:
    """Find the first `n` components of each mask asked for.

    Parameters
    ----------
    wanted : CompCor
    names : iterable of str
        Columns of the table.
    metadata : mapping
        The JSON file beside it. When it describes components, only those are used (as in nilearn).
    one_mask : bool
        The version of fMRIPrep that wrote the table had only the combined mask.
    """
    described = [name for name in metadata if _COMPONENT.match(name)]
    names = described or [name for name in names if _COMPONENT.match(name)]
    # JSON files have no order, and as text 10 comes before 9.
    names.sort(key=lambda name: int(name.rpartition("_")[2]))
    # Versions that name masks apart write w_comp_cor and c_comp_cor beside the combined one's.
    only_combined = one_mask or any(name[0] in "wc" for name in names)
    mask_of_prefix = {
        "t": "temporal",
        "w": "WM",
        "c": "CSF",
        "a": "combined" if only_combined else None,
    }
    masks: dict[str, object] = {name: mask_of_prefix[name[0]] for name in names}
    for name in described:
        entry = metadata[name]
        if not isinstance(entry, dict) or entry.get("Retained") is False:
            del masks[name]
        elif not name.startswith("t"):
            masks[name] = entry.get("Mask")
    return _choose(wanted, masks, in_json=bool(described))


def _choose(wanted: CompCor, masks: Mapping[str, object], *, in_json: bool) -> Components:
    """The first components of every mask wanted, from the mask of each component."""

    def kind(mask: str) -> str:
        return "tCompCor" if mask == "temporal" else f"aCompCor ({mask} mask)"

    chosen = Components([], [], [])
    empty = []
    for mask in MASKS_OF[wanted.mask]:
        names = [name for name, its_mask in masks.items() if its_mask == mask]
        if not names:
            empty.append(mask)
        elif wanted.n != "all" and len(names) < wanted.n:
            chosen.notes.append(
                f"{wanted.n} {kind(mask)} components are asked for; there are {len(names)}."
            )
        chosen.names.extend(names if wanted.n == "all" else names[: wanted.n])
    kinds = " or ".join(map(kind, empty))
    if empty and in_json and chosen.names:
        # As in nilearn, other masks are enough: the JSON file lists every mask that was used.
        chosen.notes.extend(f"The JSON file has no {kind(mask)} components." for mask in empty)
    elif empty and in_json:
        chosen.problems.append(f"no {kinds} components in its JSON file")
    elif empty and None in masks.values() and empty != ["temporal"]:
        chosen.problems.append(
            f"{kinds} components that can't be told from others without the JSON file beside it "
            "(fMRIPrep 1.4 to 20.2)"
        )
    elif empty:
        chosen.problems.append(f"no {kinds} components")
    return chosen
