"""Seeds that participants lack, and where they are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.engine import Grid
from bids_spheres.engine.seeds import is_network
from bids_spheres.files.atomic import MISSING
from bids_spheres.outputs.find import find_runs, participants_with_outputs
from bids_spheres.outputs.links import read_links
from bids_spheres.reports.group.load import parts_apart
from bids_spheres.reports.participant.sphere_section import Background, find_background
from bids_spheres.reports.toolkit import figures, render, sphere_figures
from bids_spheres.reports.toolkit.connectome import Stage
from bids_spheres.reports.toolkit.geometry import backdrop
from bids_spheres.spaces.fmriprep import is_native
from bids_spheres.wording import count, listing, percent, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bids_spheres.reports.group.load import FloatArray, Image

HALF = 0.5
"""Share of participants below which a seed is drawn as missing."""

_MOST_ROWS = 400
_MNI_CENTRE, _MNI_RADII = (0, -17, 5), (71, 90, 76)
"""Middle and half the size of the brain in MNI templates, mm."""


def seeds_sections(images: Sequence[Image]) -> Iterator[render.Section]:
    """Figure, sentences and table of the seeds of each image."""
    for image, parts in zip(images, parts_apart([i.parts for i in images]), strict=True):
        behind = _background(image)
        share = image.coverage["share"].to_numpy(np.float64)
        colours = np.select(
            [share < HALF, share < 1],
            [sphere_figures.EMPTY, sphere_figures.PARTIAL],
            sphere_figures.FULL,
        )
        radii = image.coverage["radius"].to_numpy(np.float64)
        back = None if behind is None else behind.picture
        scene = sphere_figures.Scene(image.points, radii, back, given_colours=colours)
        sentences, legend = _describe(image, share)
        caption = f"All {image.noun}s{'' if behind is None else f' over {behind.words}'}{legend}"
        if far := [image.names[s] for s in np.flatnonzero(~scene.seen)]:
            caption += f" Too far away to be shown: {listing(far)}."
        if is_native(image.space):
            caption += (
                " Every participant has coordinates of their own in this space; the figure and the "
                "table show their means, which are approximate."
            )
        alt = " ".join([f"All {image.noun}s from three sides.", *sentences])
        pixels = sphere_figures.overview(scene, image.networks)
        shown = figures.picture(pixels, alt, small=True, density=figures.DENSITY)
        yield render.Section(
            image.anchor,
            image.image_title,
            ", ".join(parts.values()) or image.image_title,
            sentences=sentences,
            figures=(render.Figure(f"{image.anchor}-seeds", shown, caption),),
            tables=(_table(image),),
            stage=Stage.of(scene, f"{image.anchor}-glass"),
        )


def _describe(image: Image, share: FloatArray) -> tuple[tuple[str, ...], str]:
    """Sentences about the seeds that participants have, and what colours mean."""
    n, whole, half = len(share), int((share == 1).sum()), int((share < HALF).sum())
    noun = image.noun
    worst = listing([image.names[s] for s in np.argsort(share, kind="stable") if share[s] < 1])
    who, few, some = "All participants have", "fewer than half have", "some lack"
    if image.n_participants == 2:
        who, few, some = "Both participants have", "none has", "some lack" if half else "one lacks"
    lack = f"{some} {n - whole:,}" + (f", and {few} {half:,}" if half else "")
    if not share[share < 1].any():
        lack = f"{n - whole:,} {plural(n - whole, 'is', 'are')} missing in every participant"
    legend = f"all participants have the {noun}; amber, dashed: some lack it; red, dotted: {few} it"
    if image.n_participants == 1:
        who, lack = "The participant has", "missing"
        legend = f"the participant has the {noun}; red, dotted: the {noun} is missing"
    shape = "to scale" if noun == "seed" else "as balls of their volume"
    legend = f", {shape} and transparent. Blue: {legend}."
    if n > sphere_figures.MANY and any(map(is_network, image.networks)):
        legend = (
            ", in colours of their networks. Outlined in amber, dashed: some participants lack the "
            f"{noun}; in red, dotted: {few} it."
        )
    sentence = f"{who} {whole:,} of {count(n, noun)}; {lack}: {worst}."
    if whole == n:
        sentence = f"{who} each of {count(n, noun)}."
    mean = float(image.coverage["coverage"].mean())
    signal = f"Mean coverage of a {noun}: {percent(mean)} of its voxels have a signal."
    return (sentence, *((signal,) if np.isfinite(mean) else ())), legend


def _background(image: Image) -> Background | None:
    """The template, else the brain of the first participant, else one of the same size."""
    if is_native(image.space):
        return None
    links = read_links(image.root)
    if template := find_background({"SpatialReference": image.space}, links):
        return template
    first = next(iter(participants_with_outputs(image.root)), "")
    spheres = (own.spheres for run in find_runs(image.root, first) for own in run.seed_sets)
    sidecars = (table.sidecar for table in spheres if table)
    sidecar = next((s for s in sidecars if s.get("SpatialReference") == image.space), None)
    if sidecar and (background := find_background(sidecar, links)):
        return replace(background, words=f"the brain of sub-{first}")
    if not image.space.startswith("MNI"):
        return None
    grid = Grid(
        (39, 49, 43), np.array([[4.0, 0, 0, -76], [0, 4, 0, -113], [0, 0, 4, -77], [0, 0, 0, 1]])
    )
    places = grid.to_mm(np.indices(grid.shape).reshape(3, -1).T)
    distance = np.linalg.norm((places - _MNI_CENTRE) / _MNI_RADII, axis=1).reshape(grid.shape)
    brain = backdrop(np.clip(1.2 - distance**6, 0, 1), grid)
    return Background(brain, "an ellipsoid of the size of a brain")


def _table(image: Image) -> render.Table:
    """Seeds, those that most participants lack first."""
    seeds = image.coverage.sort_values(["share", "coverage"], kind="stable")[:_MOST_ROWS]
    rest = len(image.coverage) - len(seeds)
    more = f" The other {rest:,} are in the table of coverage." if rest else ""
    tones = np.select([seeds["share"] < HALF, seeds["share"] < 1], ["bad", "warn"], "").tolist()
    networks = render.text_column("Network", seeds["network"])
    return render.table_of(
        f"{image.noun.capitalize()}s; those that most participants lack come first.{more}",
        render.text_column(image.noun.capitalize(), seeds["name"]),
        *((networks,) if (image.coverage["network"] != MISSING).any() else ()),
        *(render.number_column(axis, seeds[axis], 1, "mm") for axis in "xyz"),
        render.number_column("Participants", seeds["participants"]),
        render.percent_column("Share", seeds["share"], tones),
        render.percent_column("Coverage", seeds["coverage"]),
        file=f"group/{image.path('coverage').name}",
    )
