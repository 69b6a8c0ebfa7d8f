"""What a dry run says of a dataset with many problems, and of options without effect."""

from __future__ import annotations

import pytest


@pytest.fixture
def preview(run_app, tiny, seeds_file, tmp_path, monkeypatch):
    """Dry run; temporary files go into a folder of the test."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))

    def call(*options):
        words = (tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file, "--dry-run")
        done = run_app(*words, *options)
        assert done.status == 0, done.err
        assert not (tmp_path / "out").exists()
        return [line for line in done.err.splitlines() if not line.startswith("INFO")]

    return call


def broken(tiny, number):
    """Runs whose JSON file beside the confounds table ends early."""
    paths = []
    for i in range(1, number + 1):
        bold = tiny.add_run(f"sub-{i:02}_task-rest")
        paths.append(bold.with_name(f"sub-{i:02}_task-rest_desc-confounds_timeseries.json"))
        paths[-1].write_text("{")
    return paths


def test_many_broken_files_of_one_kind_are_one_line_and_a_list(preview, tiny, tmp_path):
    paths = broken(tiny, 5)
    warning, hint, rest = preview()
    (listed,) = (tmp_path / "tmp").glob("bids-spheres-problems-*.txt")
    assert warning.startswith(f"WARNING {paths[0]} is not valid JSON")
    assert hint == "  hint: Put it right, or copy or compute it again."
    assert rest == f"  4 more of this kind are listed with it in {listed}"
    lines = [line for line in listed.read_text().splitlines() if "hint:" not in line]
    assert [line.split()[0] for line in lines] == [str(path) for path in paths]


def test_one_broken_file_is_one_line(preview, tiny, tmp_path):
    (path,) = broken(tiny, 1)
    warning, _ = preview()
    assert warning.startswith(f"WARNING {path} is not valid JSON")
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize(
    ("options", "ignored"),
    [
        (("--equal-seconds-seed", 3), "--equal-seconds-seed (without --equal-seconds)"),
        (
            ("--parcellation-space", "MNI152Lin"),
            "--parcellation-space (without --parcellation or --roi)",
        ),
        (
            ("--parcellation-weights", "mean"),
            "--parcellation-weights (without --parcellation)",
        ),
        (("--tail", "positive"), "--tail"),
    ],
)
def test_options_without_effect_are_named(preview, tiny, options, ignored):
    tiny.add_run()
    assert preview(*options) == [f"WARNING Of no effect at the participant level: {ignored}"]


def test_an_option_with_the_one_it_needs_has_an_effect(preview, tiny):
    tiny.add_run()
    assert preview("--equal-seconds", 20, "--equal-seconds-seed", 3) == []
