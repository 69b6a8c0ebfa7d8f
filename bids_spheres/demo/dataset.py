"""The runs of the simulated dataset, and their files in fMRIPrep's layout."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from bids_spheres.demo import bold, networks
from bids_spheres.demo.head import draw_head
from bids_spheres.demo.motion import Restlessness, framewise_displacement, realignment
from bids_spheres.demo.regressors import confounds_of
from bids_spheres.errors import OutputError
from bids_spheres.files.atomic import cell, table_text, write_json, write_text
from bids_spheres.files.text import read_own_text

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.demo.head import Head
    from bids_spheres.demo.motion import Floats

MNI_CODE = 4
SEED = 20110117
T_R = 2.0
TASK = "rest"
SPACE = "MNI152NLin2009cAsym"

DESCRIPTION = {
    "Name": "Simulated resting-state dataset in fMRIPrep's layout",
    "BIDSVersion": "1.9.0",
    "DatasetType": "derivative",
    "GeneratedBy": [
        {
            "Name": "fMRIPrep",
            "Version": "24.1.1",
            "Description": (
                "Simulated by bids_spheres for demonstration, in the layout that this version of "
                "fMRIPrep writes. No person was scanned and fMRIPrep was not run."
            ),
        }
    ],
}
# fMRIPrep too asks the validator to overlook what the specification has no name for yet.
IGNORED = "*_boldref.nii.gz\n*_timeseries.tsv\n*_timeseries.json\n"
PARTICIPANTS = (("sub-01", "24", "F"), ("sub-02", "31", "M"), ("sub-03", "28", "F"))
PARTICIPANTS_SIDECAR = {
    "age": {"Description": "Age of the simulated participant", "Units": "year"},
    "sex": {
        "Description": "Sex of the simulated participant",
        "Levels": {"F": "female", "M": "male"},
    },
}


@dataclass(frozen=True)
class Run:
    """One run to simulate."""

    participant: str  # with ``sub-``
    number: int | None  # where there is more than one
    volumes: int
    restlessness: Restlessness
    non_steady: int = 0  # first volumes that are not in the steady state

    @property
    def stem(self) -> str:
        """The start of the run's file names."""
        run = "" if self.number is None else f"_run-{self.number}"
        return f"{self.participant}_task-{TASK}{run}"


STILL = Restlessness(drift=0.2, tremor=0.01, jumps=0, jump=0.0)
MIDDLING = Restlessness(drift=0.5, tremor=0.02, jumps=3, jump=0.2)
MOVING = Restlessness(drift=1.5, tremor=0.03, jumps=6, jump=0.4)
RUNS = (
    Run("sub-01", None, 120, STILL, non_steady=2),
    Run("sub-02", 1, 120, MIDDLING),
    Run("sub-02", 2, 120, MIDDLING),
    Run("sub-03", None, 100, MOVING),
)


def check_demo_dir(root: Path) -> None:
    """Refuse, by an `OutputError`, to write over a dataset that is not an earlier demo."""
    description = root / "dataset_description.json"
    if description.exists() and str(DESCRIPTION["Name"]) not in read_own_text(description):
        raise OutputError(
            f"{root} is a dataset already, and not the demo's.",
            hint="Choose an empty or a new folder for the demo.",
        )


def write_demo_dataset(root: Path) -> networks.DemoTruth:
    """Write three simulated participants with four runs; return what is true of them."""
    root.mkdir(parents=True, exist_ok=True)
    write_json(root / "dataset_description.json", DESCRIPTION)
    header = ("participant_id", "age", "sex")
    write_text(root / "participants.tsv", table_text(header, PARTICIPANTS))
    write_json(root / "participants.json", PARTICIPANTS_SIDECAR)
    write_text(root / ".bidsignore", IGNORED)
    seeds = networks.read_seeds()
    head = draw_head(seeds.points)
    weights = bold.motion_fields(head, np.random.default_rng(SEED))
    mean_fd = {}
    for order, run in enumerate(RUNS):
        # A generator of its own, so that one run can change without changing the others.
        rng = np.random.default_rng([SEED, order])
        parameters = realignment(run.restlessness, run.volumes, rng)
        signals = networks.seed_signals(seeds.network, run.volumes, T_R, rng)
        artefacts = (
            bold.motion_artefacts(head, weights, parameters, rng)
            + bold.physiological_artefacts(head, run.volumes, rng)
            + bold.drift_artefacts(head, run.volumes, rng)
        )
        image = bold.image_of(head, signals, artefacts, run.non_steady, rng)
        _write_run(root / run.participant / "func", run, head, image, parameters)
        mean_fd[run.stem] = float(np.nanmean(framewise_displacement(parameters)))
    correlation = networks.seed_correlation(seeds.network)
    correlation.setflags(write=False)
    return networks.DemoTruth(seeds.names, seeds.labels, correlation, MappingProxyType(mean_fd))


def _write_run(
    folder: Path, run: Run, head: Head, image: NDArray[np.int16], parameters: Floats
) -> None:
    """Write images in steps of `bold.STEP`, (I, J, K, T), and confounds of a run."""
    folder.mkdir(parents=True, exist_ok=True)
    reference = np.rint(image[..., run.non_steady :].mean(axis=-1)).astype(np.int16)
    in_space = f"{run.stem}_space-{SPACE}"
    for kind, img in (
        ("desc-preproc_bold", image_in_mni(image, head.affine, T_R, bold.STEP)),
        ("boldref", image_in_mni(reference, head.affine, slope=bold.STEP)),
        ("desc-brain_mask", image_in_mni(head.brain.astype(np.uint8), head.affine)),
    ):
        # Smaller than what `files.atomic` writes, and without a time: the same at every call.
        content = gzip.compress(img.to_bytes(), compresslevel=6, mtime=0)
        (folder / f"{in_space}_{kind}.nii.gz").write_bytes(content)
    sidecar = {"RepetitionTime": T_R, "SkullStripped": False, "TaskName": TASK}
    write_json(folder / f"{in_space}_desc-preproc_bold.json", sidecar)
    write_json(folder / f"{in_space}_desc-brain_mask.json", {"Type": "Brain"})
    intensity = bold.STEP * image.astype(np.float64)
    columns, metadata = confounds_of(intensity, parameters, head, T_R, run.non_steady)
    table = folder / f"{run.stem}_desc-confounds_timeseries.tsv"
    rows = [list(map(cell, row)) for row in zip(*columns.values(), strict=True)]
    write_text(table, table_text(list(columns), rows))
    write_json(table.with_suffix(".json"), metadata)


def image_in_mni(
    values: NDArray[Any], affine: Floats, t_r: float | None = None, slope: float | None = None
) -> nib.Nifti1Image:
    """An image in MNI space by sform and qform, whose values stay as they are, in their own type.

    `t_r` is the repetition time of a 4-D image, s, and `slope` what a step of the values means.
    """
    image: Any = nib.Nifti1Image(values, affine)
    image.set_sform(affine, MNI_CODE)
    image.set_qform(affine, MNI_CODE)
    image.header.set_xyzt_units("mm", "sec" if t_r else None)
    if t_r:
        image.header.set_zooms((*image.header.get_zooms()[:3], t_r))
    if slope:
        image.header.set_slope_inter(slope, 0)
    return image


def write_own_seeds(path: Path, space: str) -> None:
    """Write a seed table with a sidecar as users bring them: four seeds of each network, named.

    Those nearest to the centres; `space` is the template of the simulated images.
    """
    seeds = networks.read_seeds()
    distance = networks.centre_distance(seeds.points).min(axis=1)
    order, rows = np.argsort(distance, kind="stable"), []
    for number, network in enumerate(networks.CENTRES):
        nearest = order[seeds.network[order] == number][:4]
        for place, seed in enumerate(nearest, start=1):
            rows.append((f"{network}_{place}", *map(cell, seeds.points[seed]), network))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, table_text(("name", "x", "y", "z", "network"), rows))
    write_json(path.with_suffix(".json"), {"Space": space})
