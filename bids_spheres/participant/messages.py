"""What a user should know of the spheres and the designs of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_spheres.confounds.degrees_of_freedom import FEW_DEGREES_OF_FREEDOM, parts, rounded
from bids_spheres.wording import count, plural

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bids_spheres.participant.designs import RunDesign
    from bids_spheres.participant.results import SphereSet


def coverage_note(spheres: SphereSet) -> str:
    """How many spheres there are, and how many lack a part or all of their voxels."""
    weights = spheres.weights
    low = spheres.missing & ~weights.empty
    text = f"{spheres.seeds.label}: {count(len(spheres.seeds), _noun(spheres))}"
    if not weights.seed_used.all():
        text += f", {int((~weights.seed_used).sum())} with their seed outside the mask"
    if weights.partial.any():
        text += f", {int(weights.partial.sum())} partly outside the mask"
    if weights.empty.any():
        text += f", {int(weights.empty.sum())} without a voxel in the mask (n/a)"
    if low.any():
        text += f", {int(low.sum())} with a coverage below {spheres.min_coverage:g} (n/a)"
    if spheres.sidecar.get("DespikedShare") is not None:
        text += f", {spheres.sidecar['DespikedShare']:.2%} of their voxels' values despiked"
    return text


def _noun(spheres: SphereSet) -> str:
    return "sphere" if spheres.seeds.regions is None else "region"


def sphere_warnings(spheres: SphereSet, bold: Path) -> Iterator[str]:
    """What to look for when spheres of an image have no signal or lost voxels."""
    label, number, noun = spheres.seeds.label, spheres.reduced, _noun(spheres)
    if spheres.weights.empty.all():
        yield (
            f"{label}: no {noun} has a voxel in image and mask, and all outputs are n/a. Are the "
            f"coordinates millimetres in the space {spheres.sidecar['SpatialReference']}, and is "
            "the mask of this image?"
        )
    elif spheres.missing.all():
        yield (
            f"{label}: no {noun} has a signal, and all outputs are n/a. Is {bold} constant or "
            "empty there?"
        )
    if number:
        yield (
            f"{label}: {number} of {count(len(spheres.seeds), noun)} "
            f"{plural(number, 'holds', 'hold')} voxels that are constant or, in some volume, not "
            f"finite in {bold.name}; these are left out and count as missing in the coverage."
        )


def design_warnings(run_design: RunDesign) -> Iterator[str]:
    """Notes of a strategy on this run, and whether it leaves too little of it."""
    name, left = run_design.strategy.name, run_design.degrees_of_freedom
    yield from (f"{name}: {note}" for note in run_design.design.notes)
    if run_design.exclusion:
        yield (
            f"{name} leaves too little of this run, and its outputs are n/a: "
            f"{run_design.exclusion.reason}. Choose a strategy with fewer regressors or no "
            "filter for this run, or leave it out; exclusions.tsv lists it."
        )
    elif left.residual < FEW_DEGREES_OF_FREEDOM:
        yield (
            f"{name} leaves {rounded(left.residual)} degrees of freedom of this run, "
            f"fewer than {FEW_DEGREES_OF_FREEDOM} ({parts(left)}): its correlations "
            "vary much by chance. --min-dof excludes such runs."
        )
