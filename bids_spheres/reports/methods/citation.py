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
from bids_spheres.settings.table import Processing, methods_of
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
# Publications of the templates, as fMRIPrep cites them
_TEMPLATES = {"MNI152NLin2009cAsym": "fonov2009", "MNI152NLin6Asym": "evans2012"}
_TISSUES = {"GM": "grey matter", "WM": "white matter", "CSF": "cerebrospinal fluid"}
_FEW_RADII = 3  # Up to this many different radii are listed; of more, the range is given


@dataclass(frozen=True)
class MethodsFacts(Processing):
    """How runs were processed, with the input, seeds and strategies that it was done with."""

    version: str = __version__
    pipeline: str | None = None  # By the input's dataset_description.json
    pipeline_version: str | None = None
    spaces: tuple[str, ...] = ()  # Labels as in file names
    seed_sets: tuple[SeedTable, ...] = ()  # Radii as used, coordinates of the source
    transformed: tuple[str, ...] = ()  # Labels of sets with coordinates transformed to the images
    strategies: tuple[Strategy, ...] = ()
    external_outliers: bool = False  # The user's own tables marked volumes to censor
    measures: tuple[str, ...] = ("pearsoncorrelation",)  # Labels as in file names


def methods_paragraph(facts: MethodsFacts) -> str:
    """Paragraphs on signals, each strategy, what all share, and connectivity, in Markdown."""
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
        voxels = "whose centre lay within the radius of the seed, or which held the seed"
        yield f"In each run, {_signal(facts, 'sphere', 'voxels of {mask} ' + voxels, 'spheres')}."
    yield "Voxels that were constant, or not finite in any volume, were left out."
    tissue, _, least = (facts.tissue or "").partition(":")
    if least == "weight":
        weight = f"the participant's probability of {_TISSUES[tissue]}"
        yield f"Voxels of {things} were weighted by {weight}."
    elif tissue:
        yield (
            f"Only voxels with a probability of {_TISSUES[tissue]} of at least {least or 0.5} in "
            "the participant were used."
        )
    yield from (text for text in _options(facts).values() if text.endswith("."))
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


def _options(facts: MethodsFacts) -> dict[str, str]:
    """What options of spheres and regions say, by their names."""
    things = nouns(facts)
    words = {"things": things, "centre": "centre" if "regions" in things else "seed"}
    return methods_of(facts, "spheres", Things=things.capitalize(), **words)


def _signal(facts: MethodsFacts, thing: str, voxels: str, masker: str) -> str:
    """How `voxels`, with the mask in braces, become the signal of a sphere or region."""
    options = _options(facts)
    aggregation = options["aggregation"] or code(facts.aggregation)
    those = voxels.format(mask=options["mask"] or "a mask that was the same for all runs")
    order = "" if facts.aggregation == "mean" else ", taken after the voxels had been cleaned"
    after = f"after the masker for {masker} of nilearn {cite('abraham2014')}{order}"
    return f"the signal of a {thing} was the {aggregation} of those {those}, {after}"


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
        signal = _signal(facts, "region", "of its voxels in {mask}", "labels")
        return f"The {n} of {names} were used as the nearest voxels of each image; {signal}."
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
