"""One job by itself: which files it writes, what it says of them, and what fails alone."""

from __future__ import annotations

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_spheres.errors import DataError, InvalidDatasetError
from bids_spheres.participant import job as jobs
from bids_spheres.participant.designs import StrategyFailures, run_designs
from bids_spheres.participant.job import run_job
from tests.participant.test_designs import a_job, change_confounds, other_image
from tests.participant.test_seeds_in_space import shift


@pytest.fixture
def job(tiny, seeds_file, tmp_path):
    """Plan the only run of the tiny dataset with some options."""
    return lambda *options: a_job(tiny, seeds_file, tmp_path, *options)


@pytest.fixture
def second(tmp_path):
    path = tmp_path / "second.tsv"
    path.write_text("name\tx\ty\tz\nlow\t0\t-10\t-6\nback\t4\t-12\t2\n")
    return path


def written(job):
    """Names of files of the job, without extensions; those of a seed set from its label on."""
    func = job.work.output_dir / "sub-01" / "func"
    return {path.name.split(".")[0].rpartition("_seg-")[2] for path in func.iterdir()}


def test_only_what_is_not_current_is_written(tiny, second, job):
    tiny.add_run()
    words = ("--strategy", "24P", "none", "--seed-maps", "left", "--aggregation", "median")
    planned = job("--seeds", second, *words)
    mine, other = planned.work.seed_sets
    paths = planned.paths
    units = {paths.spheres(seeds) for seeds in (mine, other)}
    units |= {paths.design(name) for name in ("24P", "none")}
    units |= {paths.series(seeds, name) for seeds in (mine, other) for name in ("24P", "none")}
    stale = {paths.spheres(mine), paths.design("none"), paths.series(other, "24P")}
    run_job(replace(planned, current=frozenset(units - {paths.spheres(other)})))
    spheres = ("desc-spheres_dseg", "stat-median_desc-raw_timeseries")
    before = {f"second_{name}" for name in spheres}
    assert written(planned) == before
    report = run_job(replace(planned, current=frozenset(units - stale)))
    assert written(planned) - before == {
        *(f"mine_{name}" for name in spheres),
        *("sub-01_task-rest_desc-none_design", "sub-01_task-rest_desc-none_outliers"),
        "second_stat-median_desc-24P_timeseries",
        "second_stat-pearsoncorrelation_desc-24P_relmat",
    }
    assert (report.failed, report.unwritten, report.excluded) == ((), frozenset(), ())


def test_spheres_are_written_of_the_first_image_alone(tiny, job):
    bold = tiny.add_run()
    img = nib.load(bold)
    other = other_image(tiny, "smoothAROMAnonaggr")
    data = img.get_fdata(dtype=np.float32)
    nib.Nifti1Image(data + 7, img.affine, img.header).to_filename(other)
    planned = job("--strategy", "none", "icaAROMA", "--min-dof", 1)
    run_job(planned)
    (seeds,) = planned.work.seed_sets
    path = planned.paths.uncleaned(seeds)
    series = pd.read_csv(path, sep="\t", header=None)[0]
    mask = nib.load(bold.with_name(bold.name.replace("preproc_bold", "brain_mask"))).get_fdata() > 0
    mm = np.moveaxis(np.indices(mask.shape), 0, -1) @ img.affine[:3, :3].T + img.affine[:3, 3]
    sphere = (np.linalg.norm(mm - [-10, 0, 0], axis=-1) <= 5 + 1e-6) & mask
    np.testing.assert_allclose(series, data[sphere].mean(axis=0), rtol=1e-6)
    facts = json.loads(planned.paths.spheres(seeds, ".json").read_text())
    assert facts["Sources"][0].endswith(bold.name)


def test_notes_of_a_job_tell_the_transforms_of_its_seeds(tiny, seeds_file, job):
    tiny.add_run(space="T1w")
    template = "MNI152NLin6Asym"
    seeds_file.with_suffix(".json").write_text(json.dumps({"Space": template}))
    path = tiny.root / "sub-01" / "anat" / f"sub-01_from-T1w_to-{template}_mode-image_xfm.txt"
    shift(path, 1, 2, 3)
    planned = job("--space", "T1w", "--strategy", "none")
    assert planned.placements == ()
    note = f"The coordinates of mine, in {template}, were brought to T1w by {path.name}."
    report = run_job(planned)
    assert report.notes.count(note) == 1
    (seeds,) = planned.work.seed_sets
    facts = json.loads(planned.paths.series(seeds, "none", ".json").read_text())
    assert (facts["SpaceNote"], facts["SeedSpace"]) == (note, template)
    assert [uri.rpartition("/")[2] for uri in facts["SeedTransforms"]] == [path.name]
    spheres = pd.read_csv(planned.paths.spheres(seeds), sep="\t")
    np.testing.assert_allclose(spheres[["x", "y", "z"]], np.add(seeds.coordinates, (1, 2, 3)))
    # Those of a template were told when the jobs were planned.
    assert not any("brought to" in text for text in run_job(planned.placed()).notes)


def test_a_run_with_two_files_for_one_place_is_not_done(tiny, job):
    tiny.add_run()
    planned = job()
    with pytest.raises(InvalidDatasetError, match="two masks"):
        run_job(replace(planned, run=replace(planned.run, problem="It has two masks.")))
    assert not planned.work.output_dir.exists()


@pytest.mark.parametrize("fwhm", [None, 8])
def test_smoothing_an_image_that_was_smoothed_is_warned_of(tiny, job, fwhm):
    tiny.add_run()
    other = other_image(tiny, "smoothAROMAnonaggr")
    options = ("--smoothing-fwhm", fwhm) if fwhm else ()
    report = run_job(job("--strategy", "none", "icaAROMA", "--min-dof", 1, *options))
    told = [text for text in report.warnings if "once more" in text]
    assert len(told) == bool(fwhm)
    begins = f"--smoothing-fwhm 8 smooths {other.name} once more: fMRIPrep smoothed it by 6 mm (SU"
    assert all(text.startswith(begins) and "10 mm together" in text for text in told)


@pytest.mark.parametrize("volume", [None, 31])
def test_an_image_with_values_that_are_not_finite_is_read_twice(tiny, job, volume):
    bold = tiny.add_run()
    img = nib.load(bold)
    data = img.get_fdata(dtype=np.float32)
    data[3, 6, 5, volume or []] = np.nan  # in the sphere on the left
    nib.Nifti1Image(data, img.affine, img.header).to_filename(bold)
    notes = run_job(job("--strategy", "none")).notes
    told = f"{bold.name} was read twice: it holds values that are not finite."
    assert (told in notes) == (volume is not None)


@pytest.mark.parametrize(("value", "fails"), [(1e101, True), (-1e101, True), (-1e99, False)])
def test_values_that_are_no_signal(tiny, job, value, fails):
    bold = tiny.add_run()
    img = nib.load(bold)
    data = img.get_fdata()
    data[..., 7] = value
    header = img.header.copy()
    header.set_data_dtype(np.float64)
    nib.Nifti1Image(data, img.affine, header).to_filename(bold)
    planned = job("--strategy", "none")
    if fails:
        with pytest.raises(DataError, match=r"has values above 1e\+100, which are no signal"):
            run_job(planned)
    else:
        assert run_job(planned).failed == ()


def test_a_strategy_that_fails_at_its_series_has_no_design(tiny, job, monkeypatch):
    tiny.add_run()
    whole = jobs._write_strategy

    def failing(paths, extracted, run_design, sources):
        if run_design.strategy.name == "24P":
            raise DataError("no")
        whole(paths, extracted, run_design, sources)

    monkeypatch.setattr(jobs, "_write_strategy", failing)
    planned = job("--strategy", "24P", "none")
    report = run_job(planned)
    assert [failed.name for failed in report.failed] == ["24P"]
    assert not [name for name in written(planned) if "24P" in name]
    assert "sub-01_task-rest_desc-none_design" in written(planned)


def test_tables_of_volumes_are_of_those_that_are_drawn(tiny, job):
    tiny.add_run()
    moved = np.full(40, 0.1)
    moved[[2, 11, 12, 30]] = 2
    change_confounds(tiny, framewise_displacement=moved)
    drawn = ("--equal-seconds", 40, "--equal-seconds-seed", 3)
    planned = job("--strategy", "gsrOnly", "--fd-threshold", 0.5, *drawn)
    (design,) = run_designs(planned, planned.images[0], StrategyFailures())
    run_job(planned)
    kept = moved < 0.5
    assert (design.used.sum(), (design.used & ~kept).any()) == (20, False)
    table = pd.read_csv(planned.paths.outliers("gsrOnly"), sep="\t")
    np.testing.assert_array_equal(table["censored"] == 0, design.used)
    np.testing.assert_array_equal(table["undrawn"] == 1, kept & ~design.used)
    np.testing.assert_array_equal(table["framewise_displacement"] == 1, ~kept)


def test_the_table_of_exclusions_names_the_image_in_its_dataset(tiny, job):
    bold = tiny.add_run()
    planned = job("--strategy", "24P", "none", "--min-dof", 30)
    report = run_job(planned)
    rows = pd.read_csv(planned.work.output_dir / "exclusions.tsv", sep="\t")
    (row,) = rows.to_dict("records")
    assert (row["source"], row["strategy"]) == (f"sub-01/func/{bold.name}", "24P")
    assert report.excluded == ("24P",)


def test_the_table_of_spheres_tells_how_far_seeds_were_moved(tiny, job):
    tiny.add_run()
    planned = job("--strategy", "none")
    (place,) = planned.placements
    path = planned.paths.spheres(place.table)
    run_job(planned)
    assert "moved" not in pd.read_csv(path, sep="\t")
    moved = (1.5, 0.0, 2.0, 7.0)
    run_job(replace(planned, placements=(replace(place, moved=moved),)))
    assert pd.read_csv(path, sep="\t")["moved"].tolist() == [*moved]
