"""The runs of the simulated dataset, and their files in fMRIPrep's layout."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from bids_spheres.demo.bold import (
    STEP,
    drift_artefacts,
    image_of,
    motion_artefacts,
    motion_fields,
    physiological_artefacts,
)
from bids_spheres.demo.files import write_image, write_tsv
from bids_spheres.demo.head import draw_head
from bids_spheres.demo.motion import Restlessness, framewise_displacement, realignment
from bids_spheres.demo.networks import read_seeds, seed_correlation, seed_signals
from bids_spheres.demo.regressors import confounds_of
from bids_spheres.demo.truth import DemoTruth
from bids_spheres.errors import OutputError
from bids_spheres.files.atomic import cell, read_text, write_json, write_text

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_spheres.demo.head import Head
    from bids_spheres.demo.networks import Seeds

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
    """One run to simulate.

    Attributes
    ----------
    participant : str
        With its prefix, ``sub-``.
    number : int or None
        Of the run, where there is more than one.
    volumes : int
    restlessness : Restlessness
        How much the participant moves.
    non_steady : int
        Volumes at the start that are not in the steady state.
    """

    participant: str
    number: int | None
    volumes: int
    restlessness: Restlessness
    non_steady: int = 0

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


@dataclass(frozen=True, eq=False)
class _World:
    """What all runs have in common: seeds, head, and how voxels respond to motion."""

    seeds: Seeds
    head: Head
    motion_weights: NDArray[np.float64]


def check_demo_dir(root: Path) -> None:
    """Refuse to write over a dataset that is not an earlier demo.

    Raises
    ------
    OutputError
        When there is one.
    """
    description = root / "dataset_description.json"
    if description.exists() and str(DESCRIPTION["Name"]) not in read_text(description):
        raise OutputError(
            f"{root} is a dataset already, and not the demo's.",
            hint="Choose an empty or a new folder for the demo.",
        )


def write_demo_dataset(root: Path) -> DemoTruth:
    """Write the simulated dataset: three participants, four runs.

    Parameters
    ----------
    root : Path
        The folder to write into; created if missing.

    Returns
    -------
    truth : DemoTruth
        What is true in it. Not written into the dataset; see ``write_truth``.
    """
    root.mkdir(parents=True, exist_ok=True)
    write_json(root / "dataset_description.json", DESCRIPTION)
    write_tsv(root / "participants.tsv", ("participant_id", "age", "sex"), PARTICIPANTS)
    write_json(root / "participants.json", PARTICIPANTS_SIDECAR)
    write_text(root / ".bidsignore", IGNORED)
    seeds = read_seeds()
    head = draw_head(seeds.points)
    world = _World(seeds, head, motion_fields(head, np.random.default_rng(SEED)))
    mean_fd = {run.stem: _write_run(root, run, world, order) for order, run in enumerate(RUNS)}
    correlation = seed_correlation(world.seeds.network)
    correlation.setflags(write=False)
    return DemoTruth(world.seeds.names, world.seeds.labels, correlation, MappingProxyType(mean_fd))


def _write_run(root: Path, run: Run, world: _World, order: int) -> float:
    # A generator of its own, so that one run can change without changing the others.
    rng = np.random.default_rng([SEED, order])
    parameters = realignment(run.restlessness, run.volumes, rng)
    head = world.head
    signals = seed_signals(world.seeds.network, run.volumes, T_R, rng)
    artefacts = (
        motion_artefacts(head, world.motion_weights, parameters, rng)
        + physiological_artefacts(head, run.volumes, rng)
        + drift_artefacts(head, run.volumes, rng)
    )
    image = image_of(head, signals, artefacts, run.non_steady, rng)
    folder = root / run.participant / "func"
    folder.mkdir(parents=True, exist_ok=True)
    _write_images(folder, run, head, image)
    intensity = STEP * image.astype(np.float64)
    confounds = confounds_of(intensity, parameters, head, T_R, run.non_steady)
    stem = folder / f"{run.stem}_desc-confounds_timeseries"
    rows = [list(map(cell, row)) for row in zip(*confounds.columns.values(), strict=True)]
    write_tsv(stem.with_suffix(".tsv"), list(confounds.columns), rows)
    write_json(stem.with_suffix(".json"), confounds.metadata)
    return float(np.nanmean(framewise_displacement(parameters)))


def _write_images(folder: Path, run: Run, head: Head, image: NDArray[np.int16]) -> None:
    stem = f"{run.stem}_space-{SPACE}"
    write_image(folder / f"{stem}_desc-preproc_bold.nii.gz", image, head.affine, T_R, STEP)
    sidecar = {"RepetitionTime": T_R, "SkullStripped": False, "TaskName": TASK}
    write_json(folder / f"{stem}_desc-preproc_bold.json", sidecar)
    reference = np.rint(image[..., run.non_steady :].mean(axis=-1)).astype(np.int16)
    write_image(folder / f"{stem}_boldref.nii.gz", reference, head.affine, slope=STEP)
    write_image(folder / f"{stem}_desc-brain_mask.nii.gz", head.brain.astype(np.uint8), head.affine)
    write_json(folder / f"{stem}_desc-brain_mask.json", {"Type": "Brain"})
