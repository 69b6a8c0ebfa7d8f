"""Seed-to-voxel maps of a group: means and models of every voxel, corrected by permutations."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
from scipy import stats

from bids_spheres.errors import DataError
from bids_spheres.files.atomic import write_image
from bids_spheres.group import testing
from bids_spheres.group.files import discard_earlier, group_of
from bids_spheres.group.gather import check_settings, describe_settings, read_runs
from bids_spheres.group.harmonization import harmonize
from bids_spheres.group.inference import ClusterExtent, MaxT, Tfce, clusters, root_f_threshold
from bids_spheres.group.results import CONTRAST_COLUMNS, describe_contrast
from bids_spheres.group.stream import average_runs, by_participant
from bids_spheres.outputs.find import grouped, seed_map_files
from bids_spheres.outputs.paths import map_of_contrast, of_contrast, title
from bids_spheres.outputs.read import read_spheres
from bids_spheres.wording import count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bids_spheres.engine.arrays import BoolArray, FloatArray
    from bids_spheres.files.names import Name
    from bids_spheres.group.files import Unusable
    from bids_spheres.group.head_motion import HeadMotion
    from bids_spheres.group.inference import Contrast, Enhancement, PermutationTest
    from bids_spheres.group.options import GroupOptions
    from bids_spheres.group.results import Writer
    from bids_spheres.group.stream import GroupRun, Participant
    from bids_spheres.group.summary import Analysis
    from bids_spheres.outputs.find import OutputFile

logger = logging.getLogger(__name__)

SCALE = "Fisher z"

CLUSTER_COLUMNS = {
    "cluster": "Number of the cluster, the largest first",
    "sign": "1: of positive voxels, -1: of negative ones",
    "size": "Voxels, which share faces",
    "mass": "Sum over its voxels of the absolute t, or the root of F, less Threshold",
    "p_size": "Family-wise p of the size",
    "p_mass": "Family-wise p of the mass",
    **dict.fromkeys("xyz", "Voxel with the largest absolute t"),
    "peak": "t of this voxel; of an F test the root of F",
    "nearest_seed": "Seed of the set that is nearest to it",
    "distance": "Of that seed",
}

MAPS = {
    "effect": CONTRAST_COLUMNS["effect"],
    "t": "effect / standard error",
    "f": "F of all rows of the contrast together",
    "n": "Participants who have the voxel",
    "d": "Effect in standard deviations of what the model leaves",
    "tau2": CONTRAST_COLUMNS["tau2"],
    "i2": CONTRAST_COLUMNS["i2"],
    "p": "p of t or F, not corrected",
    "q": "p corrected for all voxels by the false discovery rate",
    "pmaxt": "Family-wise p of the voxel, from the largest statistic of all voxels",
    "ptfce": "Family-wise p of threshold-free cluster enhancement",
    "psize": "Family-wise p of the size of the voxel's cluster; 1 in none",
    "pmass": "Family-wise p of the mass of the voxel's cluster; 1 in none",
}
"""What images of a contrast are, by their label of ``stat``."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Voxels of images that enough participants have, and the affine from voxels to mm."""

    mask: BoolArray
    affine: FloatArray

    def read(self, run: GroupRun) -> FloatArray:
        """Values (V,) of the map of a run."""
        return _values(nib.nifti1.Nifti1Image.from_filename(run.file.path))[self.mask]

    def image(self, values: FloatArray) -> nib.Nifti1Image:
        """Values (V,) of the voxels of the mask; NaN elsewhere."""
        volume = np.full(self.mask.shape, np.nan, dtype=np.float32)
        volume[self.mask] = values
        img = nib.Nifti1Image(volume, self.affine)
        img.header.set_xyzt_units("mm")
        return img


def map_groups(output_dir: Path, options: GroupOptions) -> dict[Name, list[OutputFile]]:
    """Maps of the participant level by group: one task, space, seed and strategy."""

    def key(file: OutputFile) -> Name:
        own = group_of(file, **options.grouping)
        # Images of contrasts have an entity stat of their own.
        kept = tuple(entity for entity in own.entities if entity[0] != "stat")
        return replace(own, entities=kept)

    return grouped(seed_map_files(output_dir), key)


def summarize_maps(
    writer: Writer,
    files: Sequence[OutputFile],
    analysis: Analysis,
    motion: HeadMotion,
    unusable: Unusable,
) -> None:
    """Average and test the maps of one seed, and write images and tables of clusters.

    DataError when no map can be used, or they have different grids or settings; UsageError when a
    contrast names no term of the model.
    """
    options, name = analysis.options, writer.group
    runs = [r for r in read_runs(name, files, unusable) if r.facts.excluded is None]
    if not runs:
        raise DataError("no map can be used.")
    check_settings(name, runs)
    people = by_participant(runs, lambda label: motion.of(label, name))
    if len(people) < 2:
        raise DataError("one participant has neither spread nor tests, and so no map of a group")
    grid = _common_grid(people, options.min_participants)
    rows = testing.Rows(int(grid.mask.sum()))
    for person in people:
        rows.add(person.label, average_runs(person.runs, grid.read, options))
    settings = describe_settings(name, runs[0].facts, people)
    writer = replace(writer, facts={**settings, "NumberOfParticipants": len(people)})
    model, sample = None, None
    if analysis.model:
        model = testing.design_of(analysis.model, people, options, title(name))
        sample = testing.sample_of_model(rows, model, options)
        if options.harmonize:
            sample, _ = harmonize(sample, model, options, title(name))
    if (options.model or options.within) and not analysis.contrasts:
        logger.warning("%s: no map is tested; add --contrast, as age=age.", title(name))
    for hypotheses in testing.hypotheses_of(rows, sample, model, analysis, title(name)):
        permuted = _permuted(hypotheses, grid, options)
        for tested in testing.tested_contrasts(hypotheses.sample, hypotheses.contrasts, options):
            threshold = _t_threshold(hypotheses.sample, tested.contrast, options)
            own = replace(tested, permuted=permuted.get(tested.contrast.name), threshold=threshold)
            about = describe_contrast(SCALE, own, hypotheses, model, options)
            _write_images(writer, own, grid, about)
            _write_clusters(writer, own, grid, files[0], about)
    discard_earlier(writer.output_dir, name, writer.written)
    logger.info("%s: map of %s", title(name), count(len(people), "participant"))


def _common_grid(people: Sequence[Participant], min_participants: int) -> Grid:
    """Grid of all maps, with the voxels that enough participants have."""
    paths = [run.file.path for person in people for run in person.runs]
    first = nib.nifti1.Nifti1Image.from_filename(paths[0])
    numbers = np.zeros(first.shape, dtype=np.intp)
    for person in people:
        known = np.zeros(first.shape, dtype=bool)
        for path in (run.file.path for run in person.runs):
            img = nib.nifti1.Nifti1Image.from_filename(path)
            if img.shape != first.shape or not np.allclose(img.affine, first.affine, atol=1e-4):
                raise DataError(
                    f"{path.name} has another grid than {paths[0].name}.",
                    hint="Choose one space and resolution, as --space MNI152NLin2009cAsym.",
                )
            known |= np.isfinite(_values(img))
        numbers += known
    mask = numbers >= min(min_participants, len(people))
    if not mask.any():
        raise DataError("no voxel is in the maps of enough participants.")
    return Grid(mask, np.asarray(first.affine, dtype=np.float64))


def _values(img: nib.nifti1.Nifti1Image) -> FloatArray:
    """Values of a map; NaN outside of the mask of the run, where they are 0."""
    values = np.asarray(img.dataobj, dtype=np.float64)
    return np.where(values == 0, np.nan, values)


def _t_threshold(sample: testing.Sample, contrast: Contrast, options: GroupOptions) -> float:
    """Threshold of t, or of the root of F, with the p of ``--cluster-threshold``."""
    n, k = sample.design.values.shape
    p, two_sided = options.cluster_threshold, contrast.is_f or options.tail == "two"
    t = float(stats.t.isf(p / 2 if two_sided else p, n - k))
    return root_f_threshold(t, len(contrast.weights), n - k) if contrast.is_f else t


def _permuted(
    hypotheses: testing.Hypotheses, grid: Grid, options: GroupOptions
) -> dict[str, PermutationTest]:
    """Test contrasts by permutations, by their names; none where only q is requested."""
    step = None if options.tfce_step == "auto" else options.tfce_step
    tfce = Tfce(grid.mask, options.tfce_extent, options.tfce_height, step)

    def enhancements(contrast: Contrast) -> dict[str, Enhancement]:
        extent = ClusterExtent(grid.mask, _t_threshold(hypotheses.sample, contrast, options))
        return {"maxt": MaxT(), "cluster": extent, "tfce": tfce}

    try:
        return testing.permuted(hypotheses, enhancements, options)
    except ValueError as error:
        raise DataError(f"nothing is permuted. {error}") from error


def _write_images(
    writer: Writer, tested: testing.Tested, grid: Grid, about: Mapping[str, object]
) -> None:
    estimates, corrections = tested.estimates, tested.corrections
    own = {"n": estimates.n, "p": estimates.p, "q": tested.q}
    if tested.contrast.is_f:
        own["f"] = estimates.statistic
    else:
        own |= {"effect": estimates.effect, "t": estimates.statistic, "d": estimates.d}
    own |= {name: values for name, values in tested.columns.items() if name in MAPS}
    own |= {
        f"p{name}": corrections[name].p_fwe[0] for name in ("maxt", "tfce") if name in corrections
    }
    if "cluster" in corrections:
        own["psize"], own["pmass"] = corrections["cluster"].p_fwe
    for stat, values in own.items():
        what = map_of_contrast(tested.contrast.name, stat)
        write_image(writer.path(what, ".nii.gz"), grid.image(values))
        of_clusters = {"Threshold": tested.threshold} if stat in ("psize", "pmass") else {}
        writer.about(what, {**about, **of_clusters, "Description": MAPS[stat]})


def _write_clusters(
    writer: Writer,
    tested: testing.Tested,
    grid: Grid,
    file: OutputFile,
    about: Mapping[str, object],
) -> None:
    """Write the clusters of a contrast, a row each; see `CLUSTER_COLUMNS`."""
    if tested.permuted is None or "cluster" not in tested.corrections:
        return
    t, p = tested.permuted.threshold_statistic, tested.corrections["cluster"].p_fwe
    places = np.argwhere(grid.mask) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    rows, seeds = [], read_spheres(file.spheres)
    found = clusters(t, grid.mask, tested.threshold, two_sided=not tested.one_sided)
    for number, own in enumerate(found, start=1):
        distances = np.linalg.norm(seeds.coordinates - places[own.peak], axis=1)
        nearest = int(np.argmin(distances))
        rows.append(
            {
                "cluster": number,
                "sign": tested.sign * own.sign,
                "size": own.size,
                "mass": own.mass,
                "p_size": p[0, own.peak],
                "p_mass": p[1, own.peak],
                **dict(zip("xyz", places[own.peak], strict=True)),
                "peak": tested.sign * t[own.peak],
                "nearest_seed": seeds.names[nearest],
                "distance": distances[nearest],
            }
        )
    about = {**about, "Threshold": tested.threshold}
    writer.table(of_contrast(tested.contrast.name, "clusters"), rows, CLUSTER_COLUMNS, **about)
