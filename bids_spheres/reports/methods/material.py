"""Sentences about images, seeds and the signals of spheres."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.reports.methods.references import find_doi
from bids_spheres.reports.methods.wording import cite, code, count, escape, listing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from bids_spheres.engine.seeds import SeedTable
    from bids_spheres.reports.methods.facts import MethodsFacts

_TEMPLATES = {"MNI152NLin2009cAsym": "fonov2009", "MNI152NLin6Asym": "evans2012"}
"""Publications of the templates, as fMRIPrep cites them."""

_T1W = "T1w"
"""Name of fMRIPrep's space that is a participant's own."""

_AGGREGATIONS = {
    "mean": "mean",
    "median": "median",
    "eigenvariate": "first eigenvariate",
}

_MASKS = {
    "run": "the run's brain mask",
    "template": "the template's brain mask",
    "none": "the image",
}

_FEW_RADII = 3
"""Different radii that are listed; of more, the range is told."""


def material(facts: MethodsFacts) -> Iterator[str]:
    """Sentences from the images to the signals, before they are cleaned."""
    yield _preprocessing(facts)
    yield _software(facts)
    if facts.spaces:
        yield _spaces(facts.spaces)
    if facts.seed_sets:
        yield f"Spheres were placed around {listing([_seeds(s) for s in facts.seed_sets])}."
    yield from _placement(facts)
    yield _extraction(facts)
    if facts.overlap == "nearest":
        yield "Voxels in several spheres of a set were used for the nearest seed alone."
    if facts.min_coverage:
        yield _coverage(facts.min_coverage)
    if facts.smoothing_fwhm:
        yield _smoothing(facts)


def _preprocessing(facts: MethodsFacts) -> str:
    done = "Functional images had been preprocessed"
    layout = f"with outputs in the layout of fMRIPrep {cite('esteban2019')}"
    if facts.pipeline is None:
        return f"{done}, {layout}."
    name = escape(f"{facts.pipeline} {facts.pipeline_version or ''}")
    if facts.pipeline.strip().lower() == "fmriprep":
        return f"{done} with {name} {cite('esteban2019')}."
    return f"{done} with {name}, {layout}."


def _software(facts: MethodsFacts) -> str:
    libraries = [
        f"PyBIDS {cite('yarkoni2019')}",
        f"NiBabel {cite('markiewicz2026')}",
        f"NumPy {cite('harris2020')}",
        f"SciPy {cite('virtanen2020')}",
    ]
    return (
        f"They were processed with bids_spheres {escape(facts.version)}, a BIDS App "
        f"{cite('gorgolewski2017')} for data in the Brain Imaging Data Structure "
        f"{cite('gorgolewski2016')} that builds on {listing(libraries)}."
    )


def _spaces(spaces: Sequence[str]) -> str:
    known = f", named as in TemplateFlow {cite('ciric2022')}" if any(map(_is_mni, spaces)) else ""
    word = "space" if len(spaces) == 1 else "spaces"
    return f"The images were in the {word} {listing([_space(space) for space in spaces])}{known}."


def _is_mni(space: str) -> bool:
    return space.startswith("MNI")


def _space(space: str) -> str:
    if space == _T1W:
        return f"{_T1W} (that of each participant's T1-weighted image)"
    publication = _TEMPLATES.get(space)
    return f"{escape(space)} {cite(publication)}" if publication else escape(space)


def _seeds(seeds: SeedTable) -> str:
    """One seed set in a list of those used."""
    source = find_doi(seeds.metadata.get("DOI"))
    cited = f" {cite(source.key)}" if source else ""
    if seeds.published:
        named = f"the {count(len(seeds), 'seed')} of {escape(seeds.label)}"
    else:
        named = f"{count(len(seeds), 'user-defined seed')} of the table {code(seeds.label)}"
    return f"{named}{cited} {_radii(seeds)}"


def _radii(seeds: SeedTable) -> str:
    """Radii of one set, in mm; 0 stands for the voxel that holds the seed."""
    n_single = int(np.count_nonzero(seeds.radii == 0))
    if n_single == len(seeds):
        return "with the one voxel that holds a seed as its sphere"
    text = _lengths(np.unique(seeds.radii[seeds.radii > 0].round(3)))
    return f"{text}, of {n_single} only the voxel that holds the seed" if n_single else text


def _lengths(radii: NDArray[np.float64]) -> str:
    values = [f"{radius:g}" for radius in radii]
    if len(values) == 1:
        return f"with a radius of {values[0]} mm"
    shown = listing(values) if len(values) <= _FEW_RADII else f"{values[0]} to {values[-1]}"
    return f"with radii of {shown} mm"


def _placement(facts: MethodsFacts) -> Iterator[str]:
    """What became of coordinates whose space is not that of the images."""
    moved: dict[tuple[str, bool], list[str]] = {}
    for seeds in facts.seed_sets:
        if seeds.space is not None and set(facts.spaces) - {seeds.space}:
            case = seeds.space, seeds.label in facts.transformed
            moved.setdefault(case, []).append(escape(seeds.label))
    for (space, is_transformed), labels in moved.items():
        coordinates = f"The coordinates of {listing(labels)}, taken to be in {escape(space)} space,"
        if is_transformed:
            how = f" {cite('lancaster2007')}" if space == "Talairach" else ""
            yield f"{coordinates} were transformed to the space of the images{how}."
        else:
            others = [escape(other) for other in facts.spaces if other != space]
            yield f"{coordinates} were used in {listing(others)} without conversion."


def _extraction(facts: MethodsFacts) -> str:
    what = _AGGREGATIONS.get(facts.aggregation) or code(facts.aggregation)
    where = _MASKS.get(facts.mask, "a mask that was the same for all runs")
    order = "" if facts.aggregation == "mean" else ", taken after the voxels had been cleaned"
    return (
        f"In each run, the signal of a sphere was the {what} of those voxels of {where} whose "
        "centre lay within the radius of the seed, or which held the seed, after the masker for "
        f"spheres of nilearn {cite('abraham2014')}{order}. Voxels that were constant, or not "
        "finite in any volume, were left out."
    )


def _coverage(least: float) -> str:
    return (
        f"Spheres of which less than {100 * least:g} per cent of the voxels were there and had a "
        "signal that varied over time were missing values."
    )


def _smoothing(facts: MethodsFacts) -> str:
    kernel = f"a Gaussian kernel of {facts.smoothing_fwhm:g} mm full width at half maximum"
    if facts.aggregation == "mean":
        return (
            f"Smoothing with {kernel} was applied to the weights of the spheres' voxels instead "
            "of the images, which gives the same means."
        )
    return f"The images were smoothed with {kernel}."
