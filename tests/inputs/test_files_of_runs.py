"""Each run with its own files, and each participant by itself, through the command line."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

OTHER_MNI = "MNI152NLin6Asym"


@pytest.fixture
def app(run_app, tiny, seeds_file, tmp_path):
    def call(*arguments, out="out", strategy="24P"):
        base = (tiny.root, tmp_path / out, "participant", "--seeds", seeds_file)
        return run_app(*base, "--strategy", strategy, *arguments), tmp_path / out

    return call


def table_of(bold):
    return bold.with_name(bold.name.split("_space-")[0] + "_desc-confounds_timeseries.tsv")


def design_of(out, stem):
    return pd.read_csv(next(out.rglob(f"{stem}_desc-gsrOnly_design.tsv")), sep="\t")


def test_every_run_is_cleaned_by_its_own_table(app, tiny):
    own = {}
    for number, entities in enumerate(("", "_part-mag", "_echo-1", "_echo-2", "_part-phase")):
        stem = f"sub-01_task-rest{entities}"
        own[stem] = np.random.default_rng(number).standard_normal(40)
        lines = "\n".join(map("{:.6f}".format, own[stem]))
        table_of(tiny.add_run(stem)).write_text(f"global_signal\n{lines}\n")
    done, out = app("--report-level", "none", strategy="gsrOnly")
    assert done.status == 0, done.err
    assert len(list(out.rglob("*_design.tsv"))) == 4
    own.pop("sub-01_task-rest_part-phase")
    for stem, column in own.items():
        regressor = design_of(out, stem)["global_signal"]
        np.testing.assert_allclose(regressor, column, atol=1e-6)


@pytest.mark.slow
def test_a_run_of_which_two_tables_could_be_fails_alone(app, tiny):
    bolds = [tiny.add_run(f"sub-01_task-rest_run-{run}") for run in (1, 2)]
    own = table_of(bolds[0])
    second = own.with_name(own.name.replace("run-1", "run-01"))
    second.write_bytes(own.read_bytes())
    planned, out = app("--dry-run")
    told = f"{second} and {own} are both the confounds table of one run."
    assert "Runs that would fail:" in planned.out
    assert told in planned.out
    explained, _ = app("--explain")
    assert told in explained.out
    done, out = app()
    assert done.status == 1
    assert told in done.err
    assert "1 of 2 runs failed" in done.err
    stems = {path.name.split("_space-")[0] for path in out.rglob("*_timeseries.tsv")}
    assert stems == {"sub-01_task-rest_run-2"}
    second.unlink()
    assert app()[0].status == 0


def test_nothing_is_written_when_no_run_can_be_used(app, tiny):
    own = table_of(tiny.add_run())
    own.with_name(own.name.replace("timeseries", "regressors")).write_bytes(own.read_bytes())
    done, out = app()
    assert done.status == 16
    assert "are both the confounds table of one run" in done.err
    assert not out.exists()


def spaces_of(out):
    names = (path.name for path in out.rglob("*_timeseries.tsv"))
    return {(n.split("_")[0], n.split("_space-")[1].split("_")[0]) for n in names}


def warnings_of(done):
    return [line for line in done.err.splitlines() if line.startswith("WARNING ")]


def test_the_space_of_a_participant_does_not_depend_on_the_others(app, tiny):
    tiny.add_run("sub-01_task-rest")
    tiny.add_run("sub-01_task-rest", space=OTHER_MNI)
    for label in ("02", "03"):
        tiny.add_run(f"sub-{label}_task-rest", space=OTHER_MNI)
    tiny.add_run("sub-04_task-rest", space="MNI152Lin")
    tiny.add_run("sub-04_task-rest", space="MNI152NLin2009cSym")
    tiny.add_run("sub-05_task-rest", space="T1w")
    done, out = app("--report-level", "none", strategy="none")
    assert done.status == 0, done.err
    assert spaces_of(out) == {
        ("sub-01", "MNI152NLin2009cAsym"),
        ("sub-02", OTHER_MNI),
        ("sub-03", OTHER_MNI),
        ("sub-04", "MNI152Lin"),
    }
    without, several = warnings_of(done)
    assert without.startswith("WARNING Left out: sub-05: in no MNI space")
    assert "MNI152Lin: sub-04; MNI152NLin2009cAsym: sub-01; MNI152NLin6Asym: sub-02 and sub-03" in (
        several
    )
    for label in ("02", "04"):
        words = ("--participant-label", label, "--report-level", "none")
        alone, own = app(*words, strategy="none", out=label)
        assert alone.status == 0, alone.err
        assert warnings_of(alone) == []
        assert spaces_of(own) == {pair for pair in spaces_of(out) if pair[0] == f"sub-{label}"}


def test_one_space_for_all_is_not_worth_a_word(app, tiny):
    for label in ("01", "02"):
        for space in ("MNI152NLin2009cAsym", OTHER_MNI, "T1w"):
            tiny.add_run(f"sub-{label}_task-rest", space=space)
    done, _ = app("--dry-run", strategy="none")
    assert warnings_of(done) == []
    both, _ = app("--dry-run", "--space", OTHER_MNI, "MNI152NLin2009cAsym", strategy="none")
    assert warnings_of(both) == []


def test_a_participant_who_lacks_one_of_the_spaces_asked_for_is_named(app, tiny):
    tiny.add_run("sub-01_task-rest")
    tiny.add_run("sub-01_task-rest", space=OTHER_MNI)
    tiny.add_run("sub-02_task-rest", space=OTHER_MNI)
    done, _ = app("--dry-run", "--space", OTHER_MNI, "MNI152NLin2009cAsym", strategy="none")
    (told,) = warnings_of(done)
    assert "MNI152NLin2009cAsym and MNI152NLin6Asym: sub-01; MNI152NLin6Asym: sub-02" in told


@pytest.mark.parametrize(
    "options", [("--space", "MNI152NLin2009cAsym"), ("--task-label", "rest"), ("--run", "1")]
)
def test_participants_whom_a_filter_leaves_out_are_named(app, tiny, options):
    tiny.add_run("sub-01_task-rest_run-1")
    tiny.add_run("sub-02_task-nback_run-2", space=OTHER_MNI)
    tiny.add_run("sub-10_task-nback_run-2", space=OTHER_MNI)
    done, _ = app("--dry-run", *options, strategy="none")
    assert f"WARNING Left out: sub-02 and sub-10: {' '.join(options)}" in done.err.splitlines()


def test_runs_that_are_in_another_mni_space_only_are_named(app, tiny):
    tiny.add_run("sub-01_ses-1_task-rest")
    tiny.add_run("sub-01_ses-2_task-rest", space=OTHER_MNI)
    done, out = app("--report-level", "none", strategy="none")
    assert done.status == 0
    (told,) = warnings_of(done)
    assert told.startswith("WARNING sub-01_ses-2_task-rest: no image in the space")
    assert len(spaces_of(out)) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("labels", "left"),
    [("*", {"AP", "PA"}), (["*"], {"AP", "PA"}), ([None, "*"], {None, "AP", "PA"}), (None, {None})],
)
def test_a_star_stands_for_every_label(app, tiny, tmp_path, labels, left):
    for entity in ("", "_dir-AP", "_dir-PA"):
        tiny.add_run(f"sub-01_task-rest{entity}")
    path = tmp_path / "filter.json"
    path.write_text(json.dumps({"bold": {"direction": labels}}))
    done, out = app("--bids-filter-file", path, "--report-level", "none", strategy="none")
    assert done.status == 0, done.err
    assert warnings_of(done) == []
    found = (re.search(r"_dir-(\w+?)_", p.name) for p in out.rglob("*_timeseries.tsv"))
    assert {match and match[1] for match in found} == left


def test_a_space_in_a_filter_file_is_one_that_was_asked_for(app, tiny, tmp_path):
    tiny.add_run()
    tiny.add_run(space=OTHER_MNI)
    path = tmp_path / "filter.json"
    path.write_text(json.dumps({"bold": {"space": OTHER_MNI}}))
    done, out = app("--bids-filter-file", path, "--report-level", "none", strategy="none")
    assert done.status == 0, done.err
    assert spaces_of(out) == {("sub-01", OTHER_MNI)}


# Batch invariance


def content(out, participant):
    """Bytes of a participant's files, and the page without what it says of the call."""
    folder = out / participant
    files = {p.relative_to(out): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return files, without_provenance((out / f"{participant}.html").read_text())


def without_provenance(page):
    start = page.index('<section id="provenance"')
    return page[:start] + page[page.index("</section>", start) :]


@pytest.mark.slow
def test_a_participant_comes_out_the_same_alone_and_in_company(app, tiny, seeds_file):
    tiny.add_run("sub-01_task-rest")
    tiny.add_run("sub-01_task-rest", space=OTHER_MNI)
    tiny.add_run("sub-02_task-rest", space=OTHER_MNI, n_volumes=60)
    for run in ("1", "02"):
        tiny.add_run(f"sub-03_ses-a_task-rest_run-{run}", n_volumes=50)
    tiny.add_run("sub-03_ses-b_task-rest_echo-1")
    tiny.add_run("sub-04_task-rest", space="MNI152Lin", n_volumes=12)
    seeds_file.with_suffix(".json").write_text(json.dumps({"Space": OTHER_MNI}))
    options = ("--connectivity", "pearson", "covariance", "--concatenate", "participant")
    options += ("--report-level", "participant")
    together, all_of_them = app(*options, out="all")
    assert together.status == 0, together.err
    for label in ("01", "02", "03", "04"):
        alone, one = app(*options, "--participant-label", label, out=f"only{label}")
        assert alone.status == 0, alone.err
        files, page = content(all_of_them, f"sub-{label}")
        own_files, own_page = content(one, f"sub-{label}")
        assert own_files.keys() == files.keys()
        assert [path for path in files if own_files[path] != files[path]] == []
        assert own_page == page


# Pictures


def test_the_page_shows_the_reference_of_its_run_in_a_template_with_cohorts(app, tiny):
    bold = tiny.add_run(space="MNIInfant_cohort-2")
    mask = bold.with_name(bold.name.replace("preproc_bold", "brain_mask"))
    reference = bold.with_name(bold.name.replace("_desc-preproc_bold", "_boldref"))
    reference.write_bytes(mask.read_bytes())
    done, out = app("--report-level", "participant", strategy="none")
    assert done.status == 0, done.err
    assert "the run's BOLD reference image" in (out / "sub-01.html").read_text().replace(
        "&#39;", "'"
    )
