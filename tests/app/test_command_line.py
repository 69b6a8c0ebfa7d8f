"""What people type who have not read the manual, and what wrappers type without asking."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from bids_spheres.app.parser import main_parser, settings_of, translate
from bids_spheres.app.streams import configure_logging
from bids_spheres.data.published import unknown_seed_set, unknown_strategy
from bids_spheres.settings.option import declared_options
from bids_spheres.settings.table import Settings

CALL = ["in", "out", "participant"]


@pytest.mark.parametrize(("words", "status"), [([], 2), (["help"], 0), (["demo"], 2)])
def test_a_short_usage_with_the_three_commands_that_people_need(run_app, words, status):
    done = run_app(*words)
    assert done.status == status
    lines = (done.err if status else done.out).splitlines()
    assert len(lines) < 12
    commands = [line.split()[1:] for line in lines if line[:6] == "  bids"]
    assert commands[0] == ["demo", "FOLDER"]
    assert [words[2] for words in commands[1:]] == ["participant", "group"]
    assert any("--help-all" in line for line in lines)


def test_the_short_help_has_common_options_and_the_long_one_all(run_app):
    short, long = run_app("--help").out, run_app("--help-all").out
    for declared in declared_options(Settings):
        if declared.option.section:
            assert (f"{declared.flag} " in f"{short} ") == declared.option.common, declared.flag
            assert declared.flag in long
    assert len(short.splitlines()) < len(long.splitlines()) / 1.5
    assert short.index("bids-spheres demo") < short.index("--atlas")
    assert "--help-all" in short


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--atlass", "--atlas"),
        ("--strategies", "--strategy"),
        ("--fd_treshold=1", "--fd-threshold"),
    ],
)
def test_an_unknown_option_gets_a_suggestion(run_app, typed, meant):
    done = run_app(*CALL, typed, "Power2011")
    assert done.status == 2
    assert f"Did you mean {meant}? " in done.err


@pytest.mark.parametrize(
    ("typed", "setting"),
    [
        (["--n_cpus", "3"], "nprocs"),
        (["--n-cpus=3"], "nprocs"),
        (["--nthreads", "3"], "nprocs"),
        (["--mem-mb", "4000"], "mem"),
        (["--mem_mb=4000"], "mem"),
        (["-t", "rest"], "task_label"),
        (["--task-id", "rest"], "task_label"),
    ],
)
def test_options_of_other_apps_stand_for_ours(typed, setting):
    words, (note,) = translate([*CALL, *typed])
    options = main_parser().parse_args(words)
    assert str(getattr(options, setting)) in ("3", "4000", "['rest']")
    flag = typed[0].partition("=")[0]
    assert note == f"{flag} is taken as --{setting.replace('_', '-')}."


def test_options_of_other_apps_without_effect_are_noted(run_app, tiny, seeds_file, tmp_path):
    tiny.add_run()
    ignored = ("--skip-bids-validation", "--notrack", "--fs_license_file", "license.txt")
    done = run_app(
        *(tiny.root, tmp_path / "out", "participant", *ignored, "--seeds", seeds_file, "--dry-run")
    )
    assert done.status == 0, done.err
    for flag in (ignored[0], ignored[1], ignored[2]):
        assert f"INFO {flag} has no effect: " in done.err


@pytest.mark.parametrize(
    ("typed", "known"),
    [
        ("power264", "Power2011"),
        ("Power2011", "Power2011"),
        ("POWER-2011", "Power2011"),
        ("dosenbach160", "Dosenbach2010"),
        ("seitzman300", "Seitzman2018"),
        ("raichle36", "Raichle2011"),
    ],
)
def test_seed_sets_are_known_by_the_names_that_people_use(typed, known):
    options = main_parser().parse_args([*CALL, "--atlas", typed])
    assert settings_of(options).atlas == (known,)


@pytest.mark.parametrize(
    ("typed", "known"),
    [("ica-aroma", "icaAROMA"), ("36p", "36P"), ("scrubbing_gsr", "scrubbingGSR")],
)
def test_strategies_are_known_in_any_case(typed, known):
    options = main_parser().parse_args([*CALL, "--atlas", "Power2011", "--strategy", typed])
    assert settings_of(options).strategy == (known,)


@pytest.mark.parametrize(
    ("error", "name", "meant"),
    [
        (unknown_seed_set, "Schaefer2018", None),
        (unknown_seed_set, "Yeo2011", None),
        (unknown_seed_set, "Glasser2016", None),
        (unknown_seed_set, "Powers2011", "Power2011"),
        (unknown_seed_set, "Power2010", "Power2011"),
        (unknown_strategy, "26P", None),
        (unknown_strategy, "compcor5", None),
        (unknown_strategy, "aCompCor50", None),
        (unknown_strategy, "scubbing", "scrubbing"),
    ],
)
def test_no_other_method_is_suggested(error, name, meant):
    hint = error(name).hint
    assert ("Did you mean" in hint) == bool(meant)
    assert not meant or f"Did you mean {meant}? " in hint


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "variables", "line"),
    [
        (io.StringIO, {}, "WARNING a\\x1b b\n"),
        (Terminal, {}, "\x1b[33mWARNING\x1b[0m a\\x1b b\n"),
        (Terminal, {"NO_COLOR": "1"}, "WARNING a\\x1b b\n"),
        (Terminal, {"TERM": "dumb"}, "WARNING a\\x1b b\n"),
    ],
)
def test_lines_begin_with_words_in_colour_on_a_terminal_alone(monkeypatch, stream, variables, line):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    shown = stream()
    monkeypatch.setattr(sys, "stderr", shown)
    configure_logging(0)
    logging.getLogger("bids_spheres.x").warning("a\x1b b")
    assert shown.getvalue() == line


def test_explain_says_where_reasons_of_censoring_overlap(run_app, tiny, seeds_file, tmp_path):
    bold = tiny.add_run()
    path = bold.with_name("sub-01_task-rest_desc-confounds_timeseries.tsv")
    header, *rows = [line.split("\t") for line in path.read_text().splitlines()]
    fd, dvars = header.index("framewise_displacement"), header.index("std_dvars")
    for number, row in enumerate(rows[1:], start=1):
        row[fd] = "2.0" if number in (5, 6, 7) else "0.1"
        row[dvars] = "4.0" if number in (7, 8, 20) else "1.0"
    path.write_text("\n".join("\t".join(row) for row in [header, *rows]) + "\n")
    done = run_app(
        *(tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file, "--explain"),
        *("--strategy", "24P", "--fd-threshold", "0.5", "--std-dvars-threshold", "1.5"),
    )
    assert done.status == 0, done.err
    volumes = next(line for line in done.out.splitlines() if "volumes:" in line)
    assert "35 of 40 kept" in volumes
    assert volumes.endswith("; 1 of these for more than one reason)")


@pytest.mark.parametrize("words", [("--seeds", "-38,-22,56"), ("--seeds=-38,-22,56",)])
def test_typed_seeds_may_begin_with_a_minus(run_app, tiny, tmp_path, words):
    tiny.add_run()
    done = run_app(tiny.root, tmp_path / "out", "participant", *words, "--dry-run")
    assert done.status == 0, done.err
    assert "typed" in done.out


@pytest.mark.parametrize("talk", [("-q",), ("--verbose", "--debug"), ()])
def test_how_much_is_said_may_come_before_a_command(run_app, talk):
    done = run_app(*talk, "demo", "--help")
    assert done.status == 0, done.err
    assert done.out.startswith("usage: bids-spheres demo")


def test_a_missing_file_of_the_group_level_is_told_at_once(run_app, tmp_path):
    estimates, table = tmp_path / "old_harmonization.tsv", tmp_path / "participants.tsv"
    words = (tmp_path, tmp_path / "out", "group", "--harmonize", "site")
    done = run_app(*words, "--harmonize-from", estimates)
    assert done.status == 66
    assert f"--harmonize-from: the file {estimates} is missing." in done.err
    assert "hint: A call with --harmonize writes it" in done.err
    done = run_app(*words, "--participants-table", table)
    assert done.status == 66
    assert f"The table of participants {table} is missing." in done.err
