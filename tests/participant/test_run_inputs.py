"""What designs are made of - tables, events, images - and what is said of it before any is read."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from nilearn.glm.first_level import make_first_level_design_matrix

from bids_spheres.errors import DataError
from bids_spheres.participant.designs import StrategyFailures, check_runs, run_designs
from bids_spheres.participant.job import run_job
from tests.participant.test_designs import (
    STEM,
    a_job,
    confounds_of,
    derivatives,
    other_image,
    strategy_file,
)


def designs_of(job):
    """Designs by the names of strategies, and the messages of those that failed."""
    failures = StrategyFailures()
    designs = [design for image in job.images for design in run_designs(job, image, failures)]
    errors = {strategy.name: error.message for strategy, error in failures.errors.items()}
    return {design.strategy.name: design for design in designs}, errors


def problems_of(job, **options):
    """Strategies of the problems, and whether a file of the run is the problem."""
    return [(problem.strategy, problem.of_file) for problem in check_runs([job], **options)]


@pytest.fixture
def job(tiny, seeds_file, tmp_path):
    """Plan the only run of the tiny dataset with some options."""
    return lambda *options: a_job(tiny, seeds_file, tmp_path, *options)


EVENTS = pd.DataFrame({"onset": [4, 31.5, 60], "duration": 3.0, "trial_type": ["a", "b", "a"]})


@pytest.fixture
def with_events(tiny, tmp_path, job):
    """Plan a run with events, and with this in the JSON file of its image."""
    bold = tiny.add_run()
    func = tmp_path / "raw" / "sub-01" / "func"
    func.mkdir(parents=True)
    EVENTS.to_csv(func / f"{STEM}_events.tsv", sep="\t", index=False)
    hrf = strategy_file(tmp_path, name="hrf", task={"model": "hrf"})

    def plan(**facts):
        path = bold.with_name(bold.name.replace(".nii.gz", ".json"))
        path.write_text(json.dumps({"RepetitionTime": 2.0} | facts))
        return job("--strategy", hrf, "none", "-d", f"raw={tmp_path / 'raw'}")

    return plan


@pytest.mark.parametrize(("facts", "start"), [({}, 0), ({"StartTime": 0.975}, 0.975)])
def test_events_are_on_the_clock_of_the_volumes(with_events, facts, start):
    designs, errors = designs_of(with_events(**facts))
    expected = make_first_level_design_matrix(start + 2 * np.arange(40), EVENTS, drift_model=None)
    assert errors == {}
    assert designs["hrf"].design.columns == ("task.a", "task.b")
    np.testing.assert_allclose(designs["hrf"].design.values, expected[["a", "b"]], atol=1e-6)
    assert designs["none"].design.columns == ()


def test_sources_of_a_design_have_events_where_these_are_regressed_out(with_events):
    planned = with_events()
    run_job(planned)
    for name, expected in (("hrf", ["confounds_timeseries", "events"]), ("none", ["timeseries"])):
        facts = json.loads(planned.paths.design(name, ".json").read_text())
        ends = [uri.removesuffix(".tsv") for uri in facts["Sources"]]
        assert len(ends) == len(expected)
        assert all(map(str.endswith, ends, expected))


@pytest.mark.parametrize("start", ["0", None, float("inf")])
def test_a_time_of_the_first_volume_that_is_none_concerns_who_asks_for_events(with_events, start):
    designs, errors = designs_of(with_events(StartTime=start))
    assert list(designs) == ["none"]
    assert errors["hrf"].endswith(f"_bold.json: StartTime is {start!r}, not a time in s.")


@pytest.fixture
def own_table(tmp_path):
    """Write a table of the user's own with so many rows; give the option that names its dataset."""

    def write(n_rows, names=("rvt", "hr")):
        func = tmp_path / "physio" / "sub-01" / "func"
        func.mkdir(parents=True)
        values = np.random.default_rng(1).standard_normal((n_rows, len(names)))
        path = func / f"{STEM}_desc-belt_timeseries.tsv"
        pd.DataFrame(values, columns=list(names)).to_csv(path, sep="\t", index=False)
        return ("-d", f"physio={tmp_path / 'physio'}"), path

    return write


@pytest.mark.parametrize("n_rows", [39, 41])
def test_rows_of_a_table_of_the_users_own_are_one_problem_of_who_names_it(
    tiny, tmp_path, job, own_table, n_rows
):
    tiny.add_run()
    mine = strategy_file(tmp_path, name="mine", confounds=["rvt"])
    plain = strategy_file(tmp_path, name="plain", confounds=["csf"])
    words, _ = own_table(n_rows)
    planned = job("--strategy", mine, plain, "24P", *words)
    assert problems_of(planned) == [("mine", True)]
    assert problems_of(planned, values=False) == []  # of headers alone
    designs, errors = designs_of(planned)
    assert (list(designs), list(errors)) == (["plain", "24P"], ["mine"])
    assert f"has {n_rows} (physio.rvt" in errors["mine"]


@pytest.mark.parametrize("text", ["", "rvt\thr\n"])
def test_a_table_of_the_users_own_without_a_row(tiny, tmp_path, job, own_table, text):
    tiny.add_run()
    mine = strategy_file(tmp_path, name="mine", confounds=["rvt"])
    words, path = own_table(40)
    path.write_text(text)
    planned = job("--strategy", mine, "24P", *words)
    assert {name for name, of_file in problems_of(planned) if of_file} == {"mine"}
    designs, errors = designs_of(planned)
    assert (list(designs), list(errors)) == (["24P"], ["mine"])


def test_columns_of_other_programs_may_be_named(tiny, tmp_path, job):
    tiny.add_run()
    func = derivatives(tmp_path / "post", "fMRIPost-AROMA")
    values = np.random.default_rng(3).standard_normal((40, 2))
    names = ["aroma_motion_01", "aroma_motion_04"]
    path = func / f"{STEM}_desc-aroma_timeseries.tsv"
    pd.DataFrame(values, columns=names).to_csv(path, sep="\t", index=False)
    mine = strategy_file(tmp_path, name="mine", confounds=["^aroma_motion", "csf"])
    planned = job("--strategy", mine, "none", "-d", f"aroma={tmp_path / 'post'}")
    assert problems_of(planned) == []
    designs, errors = designs_of(planned)
    assert errors == {}
    assert designs["mine"].design.columns == (*names, "csf")
    np.testing.assert_allclose(designs["mine"].design.values[:, :2], values)
    # Rows that do not fit concern who names a column of it.
    pd.DataFrame(values[:30], columns=names).to_csv(path, sep="\t", index=False)
    assert ("mine", True) in problems_of(planned)
    assert not [name for name, _ in problems_of(planned) if name != "mine"]


def test_components_of_tedana_are_looked_up_by_their_header(tiny, tmp_path, job):
    bold = tiny.add_run()
    func = derivatives(tmp_path / "me", "tedana")
    image = func / bold.name.replace("preproc", "optcom")
    image.write_bytes(bold.read_bytes())
    mixing = np.random.default_rng(3).standard_normal((40, 2))
    table = pd.DataFrame(mixing, columns=["ICA_00", "ICA_01"])
    table.to_csv(func / f"{STEM}_desc-ICA_mixing.tsv", sep="\t", index=False)
    kinds = {"Component": table.columns, "classification": ["accepted", "rejected"]}
    metrics = func / f"{STEM}_desc-tedana_metrics.tsv"
    pd.DataFrame(kinds).to_csv(metrics, sep="\t", index=False)
    mine = strategy_file(tmp_path, name="me", tedana="aggressive")
    planned = job("--strategy", mine, "-d", f"tedana={tmp_path / 'me'}")
    assert problems_of(planned, values=False) == problems_of(planned) == []
    designs, _ = designs_of(planned)
    np.testing.assert_allclose(designs["me"].design.values, mixing[:, 1:])


def test_a_missing_table_is_one_problem_of_each_strategy_that_needs_it(tiny, seeds_file, tmp_path):
    spaces = ("MNI152NLin2009cAsym", "MNI152NLin6Asym")
    for space in spaces:
        tiny.add_run(space=space)
    confounds_of(tiny).unlink()
    options = ("--strategy", "none", "24P", "--space", *spaces)
    first = a_job(tiny, seeds_file, tmp_path, *options)
    assert problems_of(first) == [("24P", True)]
    (problem,) = check_runs([first, first])  # as of two spaces
    assert problem.runs == ("sub-01_task-rest",)
    assert check_runs([a_job(tiny, seeds_file, tmp_path, "--strategy", "none")], strict=True) == []
    with pytest.raises(DataError, match="1 problem with strategies"):
        check_runs([first], strict=True)


def test_filters_of_strategies_on_the_second_image_are_looked_at(tiny, tmp_path, job):
    tiny.add_run()
    other_image(tiny, "smoothAROMAnonaggr")
    fast = {"filter": {"low_pass": 0.3}, "bold": ["smoothAROMAnonaggr"]}
    planned = job("--strategy", "none", strategy_file(tmp_path, name="fast", **fast))
    assert [len(image.strategies) for image in planned.images] == [1, 1]
    (problem,) = check_runs([planned])
    assert (problem.strategy, problem.runs) == ("fast", (str(planned),))
    assert "0.25 Hz" in problem.message


@pytest.mark.parametrize(("options", "fails"), [((), True), (("--equal-seconds", 100), False)])
def test_a_run_without_the_seconds_of_all_needs_no_filter(tiny, tmp_path, job, options, fails):
    """A Butterworth filter of order 5 takes more than 33 volumes."""
    tiny.add_run(n_volumes=30)
    band = {"high_pass": 0.02, "low_pass": 0.2}
    planned = job("--strategy", strategy_file(tmp_path, name="band", filter=band), "none", *options)
    designs, errors = designs_of(planned)
    assert [*errors] == ["band"] * fails
    assert len(check_runs([planned])) == fails
    if not fails:
        assert designs["band"].exclusion.reason.startswith("60 s are left, fewer than 100")
