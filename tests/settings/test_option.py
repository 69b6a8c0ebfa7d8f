"""Limits, levels and records of options."""

from __future__ import annotations

import pytest

from bids_spheres.app.parser import main_parser, settings_of
from bids_spheres.settings.table import GROUP, PARTICIPANT, Settings, declared_options

OPTIONS = {declared.name: declared for declared in declared_options(Settings)}


@pytest.mark.parametrize(
    ("flag", "taken", "refused"),
    [
        ("--radius", ("0", "1000"), ("-1", "1000.1")),
        ("--smoothing-fwhm", ("0", "40"), ("40.1",)),
        ("--min-coverage", ("0", "1"), ("1.01",)),
        ("--min-dof", ("1",), ("0", "1.5")),
        ("--filter-order", ("1",), ("0",)),
        ("--fd-threshold", ("0", "none"), ("-0.1", "off")),
        ("--low-pass", ("none", "0.1"), ("auto",)),
        ("--head-radius", ("auto", "50"), ("none",)),
        ("--dummy-scans", ("auto", "0", "4"), ("-1", "2.5", "none")),
        ("--equal-seconds-seed", ("0",), ("-1", "1.5")),
        ("--censor-before", ("0",), ("1.5",)),
        ("--min-seconds", ("0", "90.5"), ("-1",)),
        ("--permutations", ("1",), ("0",)),
        ("--min-participants", ("1",), ("0",)),
        ("--tfnbs-step", ("0.001",), ("0.0009",)),
        ("--tfce-step", ("0.001", "auto"), ("0.0009",)),
        ("--cluster-threshold", ("0.5",), ("0.51",)),
        ("--robust-q", ("0", "1"), ("1.01",)),
        ("--robust-share", ("1",), ("1.01",)),
        ("--robust-qcfc", ("1",), ("1.01",)),
        ("--nprocs", ("1",), ("0",)),
        ("--omp-nthreads", ("1",), ("0",)),
    ],
)
def test_limits_of_options(capsys, flag, taken, refused):
    parser = main_parser()
    for word in taken:
        parser.parse_args(["in", "out", "participant", f"{flag}={word}"])
    for word in refused:
        with pytest.raises(SystemExit):
            parser.parse_args(["in", "out", "participant", f"{flag}={word}"])
        assert f"argument {flag}" in capsys.readouterr().err.replace("-d/", "")


def test_options_with_an_effect_at_both_levels():
    both = {n for n, d in OPTIONS.items() if set(d.option.levels) == {PARTICIPANT, GROUP}}
    assert both == {
        *("bids_dir", "output_dir", "analysis_level", "derivatives", "work_dir", "overwrite"),
        # What chooses among results
        *("atlas", "seeds", "parcellation", "roi", "radius", "strategy", "connectivity"),
        *("participant_label", "session_label", "task_label", "acquisition", "run", "echo"),
        *("space", "res", "seed_maps", "controls"),
        *("nprocs", "executor", "dask_scheduler", "dask_scheduler_file", "dask_slurm"),
        *("report_level", "reports_only"),
    }
    chosen = {name for name, declared in OPTIONS.items() if declared.option.selects_at_group}
    assert chosen == {"strategy", "connectivity"}


def test_records_have_words_of_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "atlas.nii").touch()
    words = ("--standardize", "none", "--parcellation", "atlas.nii", "Schaefer2018:100Parcels")
    parser = main_parser()
    for given, word in ((words, "none"), ((*words, "--standardize", "psc"), "psc")):
        settings = settings_of(parser.parse_args(["in", "out", "participant", *given]))
        record = settings.to_json()
        assert (record["standardize"], record["detrend"], record["mem"]) == (word, True, None)
        assert record["parcellation"] == [str(tmp_path / "atlas.nii"), "Schaefer2018:100Parcels"]
    assert settings.temporary_dir == settings.output_dir
    moved = settings_of(parser.parse_args(["in", "out", "participant", "-w", "work"]))
    assert str(moved.temporary_dir) == "work"
