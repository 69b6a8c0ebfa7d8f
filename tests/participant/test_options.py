"""Every option by itself: either it makes what it changes stale, or it changes nothing."""

from __future__ import annotations

from contextlib import chdir

import pytest

from bids_spheres.app.main import main
from bids_spheres.settings import Settings, declared_options

SEEDS = "name\tx\ty\tz\nleft\t-10\t0\t0\nright\t10\t0\t0\nfront\t0\t10\t4\n"
CENSORED = (
    *("--fd-threshold", "0.06", "--std-dvars-threshold", "1.4", "--min-segment", "3"),
    *("--censor-after", "1", "--censor-before", "1"),
)
FILTERED = ("--filter", "butterworth", "--high-pass", "0.01", "--low-pass", "0.2")
LONG = ("--min-volumes", "20", "--min-seconds", "40")

STALE = {
    "mask": ((), ("--mask", "none")),
    "min_coverage": ((), ("--min-coverage", "0.9")),
    "overlap": ((), ("--overlap", "nearest")),
    "warp_seeds": ((), ("--warp-seeds",)),
    "aggregation": ((), ("--aggregation", "median")),
    "smoothing_fwhm": ((), ("--smoothing-fwhm", "5")),
    "detrend": ((), ("--no-detrend",)),
    "standardize": ((), ("--standardize", "psc")),
    "dummy_scans": ((), ("--dummy-scans", "3")),
    "min_dof": ((), ("--min-dof", "12")),
    "full_length": ((), ("--full-length",)),
    "connectivity": ((), ("--connectivity", "partial")),
    "seed_maps": ((), ("--seed-maps",)),
    "effective_dof": ((), ("--effective-dof",)),
    "radius": ((), ("--radius", "7")),
    "atlas": ((), ("--atlas", "Raichle2011")),
    "seeds": ((), ("--seeds", "other.tsv")),
    "strategy": ((), ("--strategy", "24P")),
    "outliers": ((), ("--outliers", "outliers")),
    "fd_threshold": (CENSORED, ("--fd-threshold", "0.05")),
    "std_dvars_threshold": (CENSORED, ("--std-dvars-threshold", "1.5")),
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

_RUNS = "chooses runs, and changes none"
_GROUP = "of the group level"
_MEANS = "says how the work is done, not what"
UP_TO_DATE = {
    "derivatives": (("--derivatives", "aroma=empty"), "its files count where a run uses them"),
    "participant_label": (("--participant-label", "01", "02"), _RUNS),
    "session_label": ((), _RUNS),
    "task_label": (("--task-label", "rest"), _RUNS),
    "acquisition": ((), _RUNS),
    "run": ((), _RUNS),
    "echo": ((), _RUNS),
    "space": (("--space", "MNI152NLin2009cAsym"), _RUNS),
    "res": ((), _RUNS),
    "bids_filter_file": ((), _RUNS),
    "concatenate": (("--concatenate", "participant"), "made of what runs wrote, at every call"),
    "model": ((), _GROUP),
    "participants_table": ((), _GROUP),
    "by_session": ((), _GROUP),
    "pool_spaces": ((), _GROUP),
    "qcfc_covariates": ((), _GROUP),
    "min_participants": ((), _GROUP),
    "bids_database_dir": (("--bids-database-dir", "database"), _MEANS),
    "work_dir": (("--work-dir", "work"), _MEANS),
    "executor": (("--executor", "local"), _MEANS),
    "nprocs": (("--nprocs", "2"), _MEANS),
    "omp_nthreads": (("--omp-nthreads", "1"), _MEANS),
    "mem": (("--mem", "16GB"), _MEANS),
    "dask_scheduler": ((), _MEANS),
    "dask_scheduler_file": ((), _MEANS),
    "dask_slurm": ((), _MEANS),
    "report_level": (("--report-level", "session"), "pages are looked after by themselves"),
    "reports_only": ((), "does no run"),
    "overwrite": ((), "makes all again by itself"),
    "hash_inputs": ((), "compares otherwise, which has tests of its own"),
    "strict": (("--strict",), "stops a call, and changes no result"),
    "stop_on_first_error": (("--stop-on-first-error",), "stops a call, and changes no result"),
    "bids_dir": ((), "a dataset may be moved"),
    "output_dir": ((), "holds the records"),
    "analysis_level": ((), "not of a run"),
}
"""Options that change nothing in the files of a run, how they are given, and why."""


def test_no_option_is_forgotten():
    settings = {declared.name for declared in declared_options(Settings)}
    assert settings == set(STALE) | set(UP_TO_DATE)
    assert not set(STALE) & set(UP_TO_DATE)


@pytest.fixture(scope="module")
def made(tmp_path_factory, make_dataset):
    """A folder with a dataset, and the output of each call that comes before another."""
    folder = tmp_path_factory.mktemp("options")
    dataset = make_dataset(folder / "fmriprep")
    for stem in ("sub-01_task-rest", "sub-02_task-rest"):
        dataset.add_run(stem)
    for name in ("mine", "other"):
        (folder / f"{name}.tsv").write_text(SEEDS)
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


@pytest.mark.parametrize("name", [name for name, (options, _) in UP_TO_DATE.items() if options])
def test_an_option_that_changes_no_file_leaves_all_up_to_date(made, run_app, monkeypatch, name):
    folder, outputs = made
    monkeypatch.chdir(folder)
    done = run_app(*call(outputs[()], UP_TO_DATE[name][0]), "--dry-run")
    assert done.status == 0, done.err
    assert "0 of 2 runs to do" in done.out
