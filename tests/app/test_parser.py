"""What people type who have not read the manual, and what wrappers type without asking."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from bids_spheres.app.parser import (
    check_words,
    command_parser,
    ignored_options,
    main_parser,
    settings_of,
    translate,
)
from bids_spheres.app.streams import configure_logging
from bids_spheres.data.published import unknown_seed_set, unknown_strategy
from bids_spheres.errors import MissingInputError, UnknownLevelError, UsageError
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


# What words mean


def of(*words, level="participant"):
    return settings_of(main_parser().parse_args(["in", "out", level, *words]))


def test_defaults_of_lists_and_that_the_group_level_takes_what_there_is():
    participant, group = of(), of(level="group")
    assert (participant.strategy, participant.processing.connectivity) == (
        ("simple",),
        ("pearson",),
    )
    assert (group.strategy, group.processing.connectivity) == ((), ())
    assert (participant.radius, group.radius) == ((), ())
    named = of("--strategy", "24P", "--connectivity", "partial", level="group")
    assert (named.strategy, named.processing.connectivity) == (("24P",), ("partial",))
    assert participant.execution.executor == group.execution.executor == "local"
    assert (participant.execution.nprocs, participant.processing.min_coverage) == (1, 0.5)


def test_what_is_given_twice_adds_up_and_counts_once():
    both = of("--task-label", "rest", "task-a", "--strategy", "24P", "--task-label", "b", "rest")
    assert both.labels.task_label == ("rest", "a", "b")
    assert of("--seed-maps").processing.seed_maps == ("all",)
    assert of("--seed-maps", "x", "--seed-maps", "y").processing.seed_maps == ("x", "y")
    assert main_parser().parse_args([*CALL, "-vvq"]).verbose == 2


def test_labels_of_a_list_are_taken_from_a_file(tmp_path):
    (tmp_path / "who").write_text("sub-02\n01\n")
    words = ("--participant-label", f"@{tmp_path / 'who'}", "03")
    assert of(*words).labels.participant_label == ("02", "01", "03")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--derivatives", "x=.", "aroma=gone"), "The folder gone does not exist."),
        (("--seeds", "1,2,3", "here", "gone"), "The seed table gone is missing."),
        (("--roi", "here", "gone"), "--roi: the image gone is missing."),
        (("--strategy", "24P", "gone.json"), "The strategy file gone.json is missing."),
        (("--mask", "gone"), "--mask: the image gone is missing."),
        (("--outliers", "gone"), "The outlier table or folder of such tables gone is missing."),
        (("--bids-filter-file", "gone"), "The filter file gone is missing."),
        (("--mask", "template", "--strategy", "24P"), None),
        (("--mask", "none", "--derivatives", "here", "--roi", "here", "--outliers", "here"), None),
    ],
)
def test_files_of_the_user_that_are_not_there(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    for name in ("in", "here"):
        (tmp_path / name).mkdir()
    settings = of("--atlas", "Power2011", *words)
    if message is None:
        check_words(settings)
    else:
        with pytest.raises(MissingInputError) as caught:
            check_words(settings)
        assert caught.value.message == message


@pytest.mark.parametrize("option", ["--atlas", "--seeds", "--parcellation", "--roi"])
def test_any_kind_of_seeds_is_enough(tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "Power2011").touch()
    check_words(of(option, "Power2011"))
    with pytest.raises(UsageError, match="No seeds are given"):
        check_words(of())


def test_a_level_that_is_unknown():
    with pytest.raises(UnknownLevelError, match=r"^Unknown analysis level 'both'\.\n") as caught:
        of(level="both")
    assert caught.value.hint == "The levels are participant and, when that is done, group."


@pytest.mark.parametrize("option", ["--dask-scheduler", "--dask-scheduler-file"])
def test_where_workers_are_named_dask_is_meant(option):
    assert of("--executor", "dask").execution.executor == "dask"
    assert of(option, "x").execution.executor == "dask"
    assert of(option, "x", "--executor", "dask").execution.executor == "dask"
    with pytest.raises(UsageError, match=f"--mem limits a call on one machine, and {option} has"):
        of(option, "x", "--mem", "4GB")
    with pytest.raises(UsageError, match=f"--executor local does not go with {option}"):
        of(option, "x", "--executor", "local")


@pytest.mark.parametrize(
    ("typed", "words", "notes"),
    [
        (["--notrack", "a"], ["a"], 1),
        (["--fs-license-file", "a", "b"], ["b"], 1),
        (["--fs_license_file=a", "b"], ["b"], 1),
        (["--fs-license-file"], [], 1),
        (["--skip_bids_validation", "-v"], ["-v"], 1),
        (["-n_cpus", "2"], ["--nprocs", "2"], 1),
        (["--task-id=a=b"], ["--task-label=a=b"], 1),
        (["--strategy", "24P"], ["--strategy", "24P"], 0),
    ],
)
def test_words_of_other_apps(typed, words, notes):
    translated, told = translate(typed)
    assert translated == words
    assert len(told) == notes


def ignored(level, **values):
    options = main_parser().parse_args(["in", "out", level])
    for name, value in values.items():
        setattr(options, name, value)
    return ignored_options(options, set(values))


def test_options_of_another_level_or_without_what_they_need():
    assert ignored("group", min_dof=3, detrend=False, strategy=["x"]) == ["--detrend", "--min-dof"]
    assert ignored("participant", tail="positive", min_dof=3) == ["--tail"]
    assert ignored("participant", roi=["x"], parcellation_space="T1w") == []
    assert ignored("participant", parcellation_space="T1w") == [
        "--parcellation-space (without --parcellation or --roi)"
    ]
    with pytest.raises(UsageError, match="--explain works only at the participant level"):
        ignored("group", explain=True)


def test_long_messages_of_wrong_words_are_cut(run_app):
    done = run_app(*CALL, "x" * 999)
    (line, hint) = done.err.splitlines()
    assert len(line) == len("bids-spheres: error: ") + 403
    assert line.endswith("xxx...")
    assert hint == "  hint: bids-spheres --help-all lists all options."
    done = run_app("export", "--nothing")
    assert done.err.endswith("bids-spheres export --help lists all options.\n")
    done = run_app("in")
    assert "required: output_dir, analysis_level\n  hint: Give them first, before all" in done.err


def test_options_of_commands():
    export = command_parser("export").parse_args(
        ["r", "f", "--format", "npz", "csv", "--task-label", "a", "--strategy", "24P"]
    )
    assert (export.format, export.task_label, export.strategy) == (["npz", "csv"], ["a"], ["24P"])
    assert (export.timeseries, export.stacked) == (False, False)
    assert (
        command_parser("export").parse_args(["r", "f", "--format", "mat", "--stacked"]).stacked
        is True
    )
    demo = command_parser("demo").parse_args(["d", "--nprocs", "3"])
    assert (str(demo.output_dir), demo.nprocs, demo.debug) == ("d", 3, False)
    why = command_parser("why").parse_args(
        ["r", "--edge", "A,B", "--participant", "1", "--radius", "6.5", "--strategy", "36p"]
    )
    assert (why.edge, why.participant, why.radius, why.strategy) == ("A,B", "1", 6.5, "36P")
    assert {why.session, why.task, why.space, why.seed_set, why.echo} == {None}
    assert (
        command_parser("seeds").parse_args([]).seeds
        == command_parser("strategies").parse_args([]).strategy
        == []
    )
