"""The methods section: the settings it describes, its sentences, and the file that contains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres import __version__
from bids_spheres.reports.methods.denoising import checks, cleaning, connectivity, denoising
from bids_spheres.reports.methods.references import (
    bibliography,
    cite,
    cited_keys,
    code,
    escape,
    find_doi,
    find_references,
    listing,
)
from bids_spheres.settings import OFF, Processing
from bids_spheres.wording import collect, count, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids_spheres.confounds.strategy import Strategy
    from bids_spheres.engine.seeds import SeedTable

_HOW_TO_USE = (
    "Copy what you need of this text, which was made from the settings of the call that wrote "
    "these results, check it against what your study did, and cite the references: pandoc finds "
    "their keys (`[@key]`) in the BibTeX at the end."
)

_TEMPLATES = {"MNI152NLin2009cAsym": "fonov2009", "MNI152NLin6Asym": "evans2012"}
"""Publications of the templates, as fMRIPrep cites them."""

_AGGREGATIONS = {"mean": "mean", "median": "median", "eigenvariate": "first eigenvariate"}
_MASKS = {"run": "the run's brain mask", "template": "the template's brain mask", OFF: "the image"}

_TISSUES = {"GM": "grey matter", "WM": "white matter", "CSF": "cerebrospinal fluid"}

_FEW_RADII = 3
"""Up to this many different radii are listed; of more, the range is given."""


@dataclass(frozen=True)
class MethodsFacts(Processing):
    """How runs were processed, with the input, seeds and strategies that it was done with.

    `pipeline` and its version are those of ``GeneratedBy`` of the input's dataset_description.json,
    and None when that does not say; `spaces` and `measures` are labels as in file names. Seed sets
    have their radii as used, and the coordinates of their source; `transformed` are the labels of
    those whose coordinates were transformed to the space of the images. `external_outliers`:
    tables of the user's own marked volumes to censor.
    """

    version: str = __version__
    pipeline: str | None = None
    pipeline_version: str | None = None
    spaces: tuple[str, ...] = ()
    seed_sets: tuple[SeedTable, ...] = ()
    transformed: tuple[str, ...] = ()
    strategies: tuple[Strategy, ...] = ()
    external_outliers: bool = False
    measures: tuple[str, ...] = ("pearsoncorrelation",)


def methods_paragraph(facts: MethodsFacts) -> str:
    """Methods section in Markdown with pandoc's citation keys.

    Paragraphs on images and signals, each strategy, what strategies share, and connectivity.
    """
    paragraphs = [
        material(facts),
        *(denoising(strategy, facts) for strategy in facts.strategies),
        cleaning(facts) if facts.strategies else (),
        [*connectivity(facts.measures, nouns(facts)), *checks(facts)],
    ]
    joined = (" ".join(sentences) for sentences in paragraphs)
    return "\n\n".join(paragraph for paragraph in joined if paragraph)


def citation_file(facts: MethodsFacts) -> str:
    """Content of ``logs/CITATION.md``: methods section, references, BibTeX."""
    text = methods_paragraph(facts)
    cited = find_references(cited_keys(text))
    items = [f"- `{entry.key}`: {escape(entry.text)} <{entry.url}>" for entry in cited]
    sections = [
        "# Methods and references",
        _HOW_TO_USE,
        "## Methods",
        text,
        "## References",
        "\n".join(items),
        "## BibTeX",
        f"```bibtex\n{bibliography(text)}\n```",
    ]
    return "\n\n".join(sections) + "\n"


# Images, seeds and signals before cleaning


def material(facts: MethodsFacts) -> Iterator[str]:
    """Sentences from the images to the signals, before cleaning."""
    yield from _images(facts)
    spheres = [_seeds(seeds) for seeds in facts.seed_sets if seeds.regions is None]
    regions = [seeds for seeds in facts.seed_sets if seeds.regions is not None]
    if spheres:
        yield f"Spheres were placed around {listing(spheres)}."
    yield from (_regions(seeds, facts) for seeds in regions)
    yield from _coordinates(facts)
    things = nouns(facts)
    if spheres or not regions:
        yield (
            f"In each run, the signal of a sphere was the {_aggregation(facts)} of those voxels of "
            f"{_mask(facts)} whose centre lay within the radius of the seed, or which held the "
            f"seed, after the masker for spheres of nilearn {cite('abraham2014')}{_order(facts)}."
        )
    yield "Voxels that were constant, or not finite in any volume, were left out."
    yield from _restrictions(facts, things)
    if facts.overlap == "nearest":
        nearest = "centre" if regions else "seed"
        yield f"Voxels in several {things} of a set were assigned to the nearest {nearest}."
    if facts.min_coverage:
        yield (
            f"{things.capitalize()} in which less than {100 * facts.min_coverage:g} per cent of "
            "the voxels had a signal that varied over time were set to missing."
        )
    if facts.despike:
        yield (
            "Spikes in the series of the voxels were squeezed before anything else, by the rule "
            f"of AFNI's 3dDespike {cite('cox1996')}."
        )
    if facts.smoothing_fwhm:
        kernel = f"a Gaussian kernel of {facts.smoothing_fwhm:g} mm full width at half maximum"
        if facts.aggregation == "mean" and not facts.despike:
            yield (
                f"Smoothing with {kernel} was applied to the weights of the voxels "
                "instead of the images, which gives the same means."
            )
        else:
            yield f"The images were smoothed with {kernel}."


def nouns(facts: MethodsFacts) -> str:
    """What to call all that has a signal: spheres, regions, or both."""
    are_regions = {seeds.regions is not None for seeds in facts.seed_sets}
    names = {"spheres": are_regions != {True}, "regions": True in are_regions}
    return " and ".join(name for name, is_there in names.items() if is_there)


def _aggregation(facts: MethodsFacts) -> str:
    return _AGGREGATIONS.get(facts.aggregation) or code(facts.aggregation)


def _mask(facts: MethodsFacts) -> str:
    return _MASKS.get(facts.mask, "a mask that was the same for all runs")


def _order(facts: MethodsFacts) -> str:
    return "" if facts.aggregation == "mean" else ", taken after the voxels had been cleaned"


def _restrictions(facts: MethodsFacts, things: str) -> Iterator[str]:
    """Which voxels of the mask counted, and how much."""
    tissue, _, least = (facts.tissue or "").partition(":")
    if least == "weight":
        yield (
            f"Voxels of {things} were weighted by the participant's probability of "
            f"{_TISSUES[tissue]}."
        )
    elif tissue:
        yield (
            f"Only voxels with a probability of {_TISSUES[tissue]} of at least {least or 0.5} in "
            "the participant were used."
        )
    if facts.exclude_mask:
        yield "Voxels of a mask, as of lesions, were left out."


def _images(facts: MethodsFacts) -> Iterator[str]:
    """Preprocessing, software and spaces."""
    preprocessed = "Functional images had been preprocessed"
    layout = f"with outputs in the layout of fMRIPrep {cite('esteban2019')}"
    name = escape(f"{facts.pipeline} {facts.pipeline_version or ''}")
    if facts.pipeline is None:
        yield f"{preprocessed}, {layout}."
    elif facts.pipeline.strip().lower() == "fmriprep":
        yield f"{preprocessed} with {name} {cite('esteban2019')}."
    else:
        yield f"{preprocessed} with {name}, {layout}."
    names = ("PyBIDS", "NiBabel", "NumPy", "SciPy")
    keys = ("yarkoni2019", "markiewicz2026", "harris2020", "virtanen2020")
    libraries = [f"{name} {cite(key)}" for name, key in zip(names, keys, strict=True)]
    yield (
        f"They were processed with bids_spheres {escape(facts.version)}, a BIDS App "
        f"{cite('gorgolewski2017')} for data in the Brain Imaging Data Structure "
        f"{cite('gorgolewski2016')} that builds on {listing(libraries)}."
    )
    spaces = []
    for space in facts.spaces:
        cited = f" {cite(_TEMPLATES[space])}" if space in _TEMPLATES else ""
        own = " (that of each participant's T1-weighted image)" if space == "T1w" else ""
        spaces.append(f"{escape(space)}{own}{cited}")
    if spaces:
        is_mni = any(space.startswith("MNI") for space in facts.spaces)
        known = f", named as in TemplateFlow {cite('ciric2022')}" if is_mni else ""
        word = plural(len(spaces), "space")
        yield f"The images were in the {word} {listing(spaces)}{known}."


def _seeds(seeds: SeedTable) -> str:
    """A seed set and its radii in mm; radius 0 stands for the voxel that holds the seed."""
    source = find_doi(seeds.metadata.get("DOI"))
    cited = f" {cite(source.key)}" if source else ""
    if seeds.published:
        named = f"the {count(len(seeds), 'seed')} of {escape(seeds.label)}{cited}"
    else:
        number = count(len(seeds), "user-defined seed")
        named = f"{number} of the table {code(seeds.label)}{cited}"
    n_single = int(np.count_nonzero(seeds.radii == 0))
    if n_single == len(seeds):
        return f"{named} with the one voxel that holds a seed as its sphere"
    radii = [f"{radius:g}" for radius in np.unique(seeds.radii[seeds.radii > 0].round(3))]
    if len(radii) == 1:
        text = f"{named} with a radius of {radii[0]} mm"
    else:
        shown = listing(radii) if len(radii) <= _FEW_RADII else f"{radii[0]} to {radii[-1]}"
        text = f"{named} with radii of {shown} mm"
    return f"{text}, of {n_single} only the voxel that holds the seed" if n_single else text


def _regions(seeds: SeedTable, facts: MethodsFacts) -> str:
    """A set of regions, and how their voxels become signals."""
    assert seeds.regions is not None  # noqa: S101 - for mypy: the caller has asked
    n = count(len(seeds), "region")
    names = listing([code(path.name) for path in seeds.regions.paths[:_FEW_RADII]])
    if seeds.regions.kind != "maps":
        return (
            f"The {n} of {names} were used as the nearest voxels of each image; the signal of a "
            f"region was the {_aggregation(facts)} of those of its voxels in {_mask(facts)}, after "
            f"the masker for labels of nilearn {cite('abraham2014')}{_order(facts)}."
        )
    if seeds.regions.weighting == "mean":
        return f"Signals of the {n} of {names} were means of all voxels, weighted by each map."
    return (
        f"Signals of the {n} of {names} were found by least squares, all maps together, as the "
        f"masker for maps of nilearn does {cite('abraham2014')}."
    )


def _coordinates(facts: MethodsFacts) -> Iterator[str]:
    """How coordinates in another space than the images were used."""
    moved = collect(
        ((seeds.space, seeds.label in facts.transformed), escape(seeds.label))
        for seeds in facts.seed_sets
        if seeds.space is not None and set(facts.spaces) - {seeds.space}
    )
    for (space, is_transformed), labels in moved.items():
        coordinates = f"The coordinates of {listing(labels)}, taken to be in {escape(space)} space,"
        if is_transformed:
            how = f" {cite('lancaster2007')}" if space == "Talairach" else ""
            yield f"{coordinates} were transformed to the space of the images{how}."
        else:
            others = [escape(other) for other in facts.spaces if other != space]
            yield f"{coordinates} were used in {listing(others)} without conversion."
