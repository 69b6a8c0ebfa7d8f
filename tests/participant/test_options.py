"""Every option by itself: either it makes what it changes stale, or it changes nothing."""

from __future__ import annotations

from contextlib import chdir

import nibabel as nib
import numpy as np
import pytest

from bids_spheres.app.main import main
from bids_spheres.settings.option import declared_options
from bids_spheres.settings.table import PARTICIPANT, Settings
from bids_spheres.settings.values import Choice, Labels, Number

SEEDS = "name\tx\ty\tz\nleft\t-10\t0\t0\nright\t10\t0\t0\nfront\t0\t10\t4\n"
CENSORED = (
    *("--fd-threshold", "0.06", "--std-dvars-threshold", "1.4", "--min-segment", "3"),
    *("--censor-after", "1", "--censor-before", "1"),
)
FILTERED = ("--filter", "butterworth", "--high-pass", "0.01", "--low-pass", "0.2")
LONG = ("--min-volumes", "20", "--min-seconds", "40")

STALE = {
    "mask": ((), ("--mask", "none")),
    "tissue": ((), ("--tissue", "GM")),
    "exclude_mask": ((), ("--exclude-mask", "space-MNI152NLin2009cAsym_dseg.nii.gz")),
    "min_coverage": ((), ("--min-coverage", "0.9")),
    "overlap": ((), ("--overlap", "nearest")),
    "warp_seeds": ((), ("--warp-seeds",)),
    "aggregation": ((), ("--aggregation", "median")),
    "despike": ((), ("--despike",)),
    "smoothing_fwhm": ((), ("--smoothing-fwhm", "5")),
    "detrend": ((), ("--no-detrend",)),
    "standardize": ((), ("--standardize", "psc")),
    "dummy_scans": ((), ("--dummy-scans", "3")),
    "min_dof": ((), ("--min-dof", "12")),
    "equal_seconds": ((), ("--equal-seconds", "60")),
    "equal_seconds_seed": (("--equal-seconds", "60"), ("--equal-seconds-seed", "1")),
    "full_length": ((), ("--full-length",)),
    "connectivity": ((), ("--connectivity", "partial")),
    "seed_maps": ((), ("--seed-maps",)),
    "effective_dof": ((), ("--effective-dof",)),
    "placement_jitter": (("--placement-jitter", "3:2"), ("--placement-jitter", "3:3")),
    "controls": ((), ("--controls",)),
    "radius": ((), ("--radius", "7")),
    "atlas": ((), ("--atlas", "Raichle2011")),
    "seeds": ((), ("--seeds", "other.tsv")),
    "parcellation": ((), ("--parcellation", "space-MNI152NLin2009cAsym_dseg.nii.gz")),
    "roi": ((), ("--roi", "space-MNI152NLin2009cAsym_dseg.nii.gz")),
    "strategy": ((), ("--strategy", "24P")),
    "outliers": ((), ("--outliers", "outliers")),
    "fd_threshold": (CENSORED, ("--fd-threshold", "0.05")),
    "std_dvars_threshold": (CENSORED, ("--std-dvars-threshold", "1.5")),
    "rmsd_threshold": ((), ("--rmsd-threshold", "1")),
    "censor_combine": (CENSORED, ("--censor-combine", "all")),
    "motion_filter": (CENSORED, ("--motion-filter", "gratton2020")),
    "head_radius": (CENSORED, ("--head-radius", "60")),
    "censor_before": (CENSORED, ("--censor-before", "2")),
    "censor_after": (CENSORED, ("--censor-after", "2")),
    "min_segment": (CENSORED, ("--min-segment", "4")),
    "filter": ((*FILTERED[:4],), ("--filter", "cosine")),
    "filter_order": (FILTERED, ("--filter-order", "2")),
    "high_pass": (FILTERED, ("--high-pass", "0.02")),
    "low_pass": (FILTERED, ("--low-pass", "0.15")),
    "min_volumes": (LONG, ("--min-volumes", "21")),
    "min_seconds": (LONG, ("--min-seconds", "41")),
}
"""Options with a call before, and what alone is different in the next."""

GIVEN = {
    "derivatives": ("--derivatives", "aroma=empty"),
    "participant_label": ("--participant-label", "01", "02"),
    "task_label": ("--task-label", "rest"),
    "space": ("--space", "MNI152NLin2009cAsym"),
    "bids_database_dir": ("--bids-database-dir", "database"),
    "work_dir": ("--work-dir", "work"),
    "mem": ("--mem", "16GB"),
}
"""Options that change nothing in the files of a run, and whose values depend on these runs."""

NOT_TRIED = {
    "bids_filter_file": "chooses runs",
    "dask_scheduler": "needs a scheduler",
    "dask_scheduler_file": "needs a scheduler",
    "dask_slurm": "needs Slurm",
    "reports_only": "does no run",
    "overwrite": "makes everything again",
    "parcellation_space": "acts on images of regions alone",
    "parcellation_weights": "acts on maps of regions alone",
    "hash_inputs": "compares by content, which has tests of its own",
}
"""Options that leave files unchanged, of which this test can't say so, and why."""


def words_of(declared):
    """The option with a value other than its default; empty where none can be thought of."""
    kind = declared.option.kind
    if kind is None:
        return (declared.flag.replace("--", "--no-", 1) if declared.default else declared.flag,)
    if isinstance(kind, Choice):
        return declared.flag, next(word for word in kind.words if word != declared.default)
    return (declared.flag, "2") if isinstance(kind, Number) and kind.whole else ()


UNCHANGED = {
    declared.name: GIVEN.get(declared.name) or words_of(declared)
    for declared in declared_options(Settings)
    if declared.option.section and PARTICIPANT in declared.option.levels
    if declared.name in GIVEN or not isinstance(declared.option.kind, Labels)
    if declared.name not in {*STALE, *NOT_TRIED}
}
"""All other options, and how they are given."""


def test_no_option_is_forgotten():
    declared = [*declared_options(Settings)]
    assert {d.name for d in declared if d.option.affects or d.option.changes} <= set(STALE)
    assert {*STALE, *NOT_TRIED, *GIVEN} <= {d.name for d in declared}
    assert all(UNCHANGED.values()), "say in GIVEN or NOT_TRIED how such an option is tried"


@pytest.fixture(scope="module")
def made(tmp_path_factory, make_dataset):
    """A folder with a dataset, and the output of each call that comes before another."""
    folder = tmp_path_factory.mktemp("options")
    dataset = make_dataset(folder / "fmriprep")
    for stem in ("sub-01_task-rest", "sub-02_task-rest"):
        dataset.add_run(stem)
    for name in ("mine", "other"):
        (folder / f"{name}.tsv").write_text(SEEDS)
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[2:4, 2:6, 2:6] = 1
    labels = nib.Nifti1Image(labels, np.diag([4.0, 4, 4, 1]))
    labels.to_filename(folder / "space-MNI152NLin2009cAsym_dseg.nii.gz")
    (folder / "outliers").mkdir()
    for participant in ("01", "02"):
        table = folder / "outliers" / f"sub-{participant}_task-rest_outliers.tsv"
        table.write_text("censored\n" + "0\n" * 40)
    make_dataset(folder / "empty")
    outputs = {}
    with chdir(folder):
        for base, _ in STALE.values():
            if base not in outputs:
                outputs[base] = f"out-{len(outputs)}"
                assert main(call(outputs[base], base)) == 0
    return folder, outputs


def call(output, options):
    seeds = () if "--seeds" in options else ("--seeds", "mine.tsv")
    report = () if "--report-level" in options else ("--report-level", "none")
    return ["fmriprep", output, "participant", *seeds, *report, *options]


@pytest.mark.parametrize("name", STALE)
def test_an_option_that_changes_files_makes_them_stale(made, run_app, monkeypatch, name):
    folder, outputs = made
    monkeypatch.chdir(folder)
    base, changed = STALE[name]
    given = dict(zip(base[::2], base[1::2], strict=True)) if base else {}
    kept = [word for key, value in given.items() if key != changed[0] for word in (key, value)]
    done = run_app(*call(outputs[base], (*kept, *changed)), "--dry-run")
    assert done.status == 0, done.err
    assert "2 of 2 runs to do" in done.out
    assert "0 of 2 runs to do" in run_app(*call(outputs[base], base), "--dry-run").out


@pytest.mark.parametrize("name", UNCHANGED)
def test_an_option_that_changes_no_file_leaves_all_up_to_date(made, run_app, monkeypatch, name):
    folder, outputs = made
    monkeypatch.chdir(folder)
    done = run_app(*call(outputs[()], UNCHANGED[name]), "--dry-run")
    assert done.status == 0, done.err
    assert "0 of 2 runs to do" in done.out
