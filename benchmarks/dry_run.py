"""`--dry-run` over a large dataset of empty files: processor time, wall time and memory."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from command import run_command
from measure import MB, machine, summary, table

_SPACE = "space-MNI152NLin2009cAsym_res-2"
_XFM = "mode-image_xfm"
_ANATOMICAL = (
    *("desc-preproc_T1w.nii.gz", "desc-preproc_T1w.json", "desc-brain_mask.nii.gz"),
    f"{_SPACE}_desc-preproc_T1w.nii.gz",
    f"from-T1w_to-MNI152NLin2009cAsym_{_XFM}.h5",
    f"from-MNI152NLin2009cAsym_to-T1w_{_XFM}.h5",
)
_FUNCTIONAL = (
    *(f"{_SPACE}_desc-preproc_bold.nii.gz", f"{_SPACE}_desc-preproc_bold.json"),
    *(f"{_SPACE}_desc-brain_mask.nii.gz", f"{_SPACE}_boldref.nii.gz"),
    *("desc-confounds_timeseries.tsv", "desc-confounds_timeseries.json"),
    f"from-boldref_to-T1w_{_XFM}.txt",
)
_RUNS = 4


def names(participant: str) -> list[str]:
    """Paths of 38 files of a participant of fMRIPrep's with four runs, below its folder."""
    runs = [f"{participant}_task-rest_run-{number}" for number in range(1, _RUNS + 1)]
    return [
        *(f"anat/{participant}_{name}" for name in _ANATOMICAL),
        *(f"func/{run}_{name}" for run in runs for name in _FUNCTIONAL),
        *(f"figures/{run}_desc-carpetplot_bold.svg" for run in runs),
    ]


def make_dataset(root: Path, participants: int) -> None:
    """Write the names of a dataset; confounds tables have a header, other files nothing."""
    root.mkdir(parents=True)
    description = {"Name": "x", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
    (root / "dataset_description.json").write_text(json.dumps(description))
    axes = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
    columns = [*axes, "csf", "white_matter", "global_signal", "framewise_displacement"]
    columns += [f"{name}_derivative1" for name in columns[:9]] + ["cosine00", "std_dvars"]
    for number in range(1, participants + 1):
        participant = f"sub-{number:05d}"
        for name in names(participant):
            path = root / participant / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\t".join(columns) + "\n" if name.endswith("timeseries.tsv") else "")


def main() -> None:
    """Print what `bids-spheres DATASET OUT participant --dry-run` takes."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--participants", type=int, nargs="+", default=[1, 100, 2000])
    parser.add_argument("--repeat", type=int, default=3, help="calls of each kind (3)")
    options = parser.parse_args()
    rows = []
    for participants in options.participants:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "fmriprep"
            make_dataset(root, participants)
            call = [str(root), f"{folder}/out", "participant", "--dry-run", "--quiet"]
            seeds = ["--atlas", "Power2011"]
            took = summary([run_command([*call, *seeds])[0] for _ in range(options.repeat)])
        rows.append((str(participants), f"{took['cpu']:.2f}", f"{took['wall']:.2f}"))
        rows[-1] += (f"{took['peak'] / MB:.0f}",)
    print(machine())
    print(table(("participants x 38 files", "CPU s", "s", "peak MB"), rows))


if __name__ == "__main__":
    main()
