"""What is to be done of which run: images, seed sets, strategies and names of outputs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_spheres.confounds.strategy import Strategy
from bids_spheres.engine.seeds import SeedTable
from bids_spheres.errors import MissingInputError, OutputError, UsageError
from bids_spheres.files.names import parse_name
from bids_spheres.inputs.runs import Run, Tables
from bids_spheres.participant import plan
from bids_spheres.participant.plan import (
    JobImage,
    Work,
    load_seed_sets,
    load_strategies,
    make_jobs,
)
from bids_spheres.participant.sphere_sets import image_sidecar, smoothed_before
from bids_spheres.settings.table import Processing

STEM = "sub-01_task-x_space-MNI152NLin2009cAsym"


def strategy(name, *kinds):
    return Strategy(name, "", bold=kinds) if kinds else Strategy(name, "")


def run_with(*kinds, table="table.tsv"):
    images = tuple((kind, Path(f"{STEM}_desc-{kind}_bold.nii.gz")) for kind in kinds)
    tables = Tables(confounds=Path(table) if table else None)
    return Run(parse_name(f"{STEM}_bold.nii.gz"), images, Path("mask.nii.gz"), tables)


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.tsv"
    path.write_text("name\tx\ty\tz\nleft\t-10\t0\t0\nright\t10\t0\t0\n")
    return path


def test_every_set_with_every_radius(mine):
    (plain,) = load_seed_sets((), [mine], ())
    assert (plain.label, plain.scale, plain.radii.tolist()) == ("mine", None, [5, 5])
    (one,) = load_seed_sets((), [mine], [7.5])
    assert (one.scale, one.radii.tolist()) == (None, [7.5, 7.5])
    sets = load_seed_sets(("Raichle2011",), [mine], [4.0, 6.5])
    assert [(own.label, own.scale) for own in sets] == [
        *(("Raichle2011", "4mm"), ("Raichle2011", "6p5mm")),
        *(("mine", "4mm"), ("mine", "6p5mm")),
    ]
    assert [set(own.radii.tolist()) for own in sets] == [{4}, {6.5}, {4}, {6.5}]


def test_sets_whose_outputs_would_collide(mine, tmp_path):
    other = tmp_path / "other" / "mine.tsv"
    other.parent.mkdir()
    other.write_text(mine.read_text())
    with pytest.raises(UsageError, match="Two seed sets have the label seg-mine"):
        load_seed_sets((), [mine, other], ())
    # A published set of the same label has another entity.
    other = other.rename(other.with_name("Raichle2011.tsv"))
    assert len(load_seed_sets(("Raichle2011",), [mine, other], ())) == 3
    mine.write_text(mine.read_text().replace("left", "Node"))
    with pytest.raises(UsageError, match="is named Node"):
        load_seed_sets((), [mine], ())


def test_strategies_are_loaded_once_and_changed(tmp_path):
    own = tmp_path / "own.json"
    own.write_text('{"name": "own", "motion": "basic"}')
    names = [one.name for one in load_strategies(["24P", str(own), "24P"], {})]
    assert names == ["24P", "own"]
    changed = load_strategies([str(own), "scrubbing"], {"censor.fd_threshold": 0.25})
    assert [strategy.censor.fd_threshold for strategy in changed] == [0.25, 0.25]
    own.write_text('{"name": "24P", "motion": "basic"}')
    with pytest.raises(UsageError, match="Two strategies are named 24P"):
        load_strategies(["24P", str(own)], {})
    own.write_text('{"name": "raw", "motion": "basic"}')
    with pytest.raises(UsageError, match="named raw, as are the series before cleaning"):
        load_strategies([str(own)], {})


def test_strategies_start_from_the_first_of_their_images_that_is_there(mine, tmp_path):
    plain, aroma = strategy("plain"), strategy("aroma", "nonaggrDenoised", "smoothAROMAnonaggr")
    other, lacking = strategy("other", "smoothAROMAnonaggr"), strategy("lacking", "optcom")
    wanted = (plain, aroma, other, lacking)
    run = run_with("preproc", "smoothAROMAnonaggr")
    images = JobImage.all_of(run, wanted)
    assert [(image.bold, image.strategies) for image in images] == [
        (run.images[0][1], (plain,)),
        (run.images[1][1], (aroma, other)),
    ]
    seeds = load_seed_sets((), [mine], ())
    rules = Processing(effective_dof=True, connectivity=("pearson", "covariance"))
    (job,) = make_jobs(Work(seeds, wanted, rules, tmp_path / "out", ()), [run])
    assert (job.strategies, job.without_image) == ((plain, aroma, other), (lacking,))
    (other_way,) = make_jobs(Work(seeds, wanted[::-1], rules, tmp_path / "out", ()), [run])
    assert other_way.without_image == (lacking,)
    assert job.mask == run.mask
    outputs = {path.name: source for path, source in job.outputs().items()}
    first, second = (path for _, path in run.images)
    set_of = f"{STEM}_seg-mine"
    assert outputs.pop(f"{set_of}_desc-spheres_dseg.nii.gz") == first
    assert outputs.pop(f"{set_of}_desc-spheres_dseg.tsv") == first
    assert outputs.pop(f"{set_of}_stat-mean_desc-raw_timeseries.tsv.gz") == first
    for name, bold in (("plain", first), ("aroma", second), ("other", second)):
        assert outputs.pop(f"{set_of}_stat-mean_desc-{name}_timeseries.tsv") == bold
        for stat in ("pearsoncorrelation", "covariance", "effectivedof"):
            assert outputs.pop(f"{set_of}_stat-{stat}_desc-{name}_relmat.tsv") == bold
        for what in ("design", "outliers"):
            assert outputs.pop(f"sub-01_task-x_desc-{name}_{what}.tsv") == Path("table.tsv")
    assert outputs == {}


@pytest.mark.parametrize(("choice", "own"), [("run", True), ("none", False)])
def test_the_mask_of_a_job(mine, tmp_path, choice, own):
    rules = Processing(mask=choice)
    work = Work(load_seed_sets((), [mine], ()), (strategy("a"),), rules, tmp_path, ())
    (job,) = make_jobs(work, [run_with("preproc")])
    assert job.mask == (Path("mask.nii.gz") if own else None)


def test_names_of_outputs_are_as_long_as_file_systems_allow(mine, tmp_path):
    def jobs(name):
        work = Work(load_seed_sets((), [mine], ()), (strategy(name),), Processing(), tmp_path, ())
        return make_jobs(work, [run_with("preproc")])

    fixed = len(f"{STEM}_seg-mine_stat-pearsoncorrelation_desc-_relmat.json")
    (job,) = jobs((255 - fixed) * "a")
    assert max(len(path.with_suffix(".json").name) for path in job.outputs()) == 255
    with pytest.raises(OutputError, match="longer than 255 bytes"):
        jobs((256 - fixed) * "a")


def test_two_runs_of_one_name(mine, tmp_path):
    work = Work(load_seed_sets((), [mine], ()), (strategy("a"),), Processing(), tmp_path, ())
    with pytest.raises(UsageError):
        make_jobs(work, [run_with("preproc"), run_with("other", "preproc", table="2.tsv")])
    assert len(make_jobs(work, [run_with("preproc")] * 2)) == 2


@pytest.mark.parametrize(("ours", "width"), [(None, 6), (8.0, 10)])
def test_what_sidecars_say_of_seeds_and_smoothing(mine, tmp_path, ours, width):
    mine.write_text("name\tx\ty\tz\tradius\nleft\t-10\t0\t0\t4\nright\t10\t0\t0\t6\n")
    rules = Processing(smoothing_fwhm=ours)
    links = (("preprocessed", Path("/data")),)
    run = run_with("preproc", "smoothAROMAnonaggr")
    work = Work(load_seed_sets((), [mine], ()), (strategy("a"),), rules, tmp_path, links)
    (job,) = make_jobs(work, [run])
    plain, smooth = (path for _, path in run.images)
    assert (smoothed_before(run, plain), smoothed_before(run, smooth)) == (0, 6)
    first, second = (
        image_sidecar(run, bold, Path("/data/mask.nii.gz"), job.placements[0], work)
        for bold in (plain, smooth)
    )
    assert (first["SmoothingFWHM"], first["SmoothingBefore"]) == (ours or 0, None)
    # Variances of Gaussians add up.
    assert second["SmoothingFWHM"] == pytest.approx(width)
    assert second["SmoothingBefore"].startswith("6 mm by FSL SUSAN")
    assert (first["Seeds"], first["Radius"]) == ("mine", [4, 6])
    assert first["SpatialReference"] == "MNI152NLin2009cAsym"
    assert first["Sources"][1] == "bids:preprocessed:mask.nii.gz"
    work = Work(load_seed_sets((), [mine], [7.5]), (strategy("a"),), rules, tmp_path, links)
    (job,) = make_jobs(work, [run])
    assert image_sidecar(run, plain, None, job.placements[0], work)["Radius"] == 7.5
    region = replace(job.placements[0], table=replace(job.work.seed_sets[0], regions=object()))
    facts = image_sidecar(run, plain, None, region, work)
    assert not {"Radius", "RadiusUnits", "SeedSpace", "SpaceNote", "SeedTransforms"} & set(facts)
    moved = replace(job.placements[0], note="They were moved.", transforms=(Path("/data/x.h5"),))
    facts = image_sidecar(run, plain, None, moved, work)
    assert (facts["SpaceNote"], facts["SeedSpace"]) == ("They were moved.", None)
    assert facts["SeedTransforms"] == ["bids:preprocessed:x.h5"]
    assert facts["RadiusUnits"] == "mm"


def test_tables_of_a_seed_set_and_of_regions(mine, tmp_path):
    rules = Processing(
        connectivity=("partial", "pearson"),
        effective_dof=True,
        placement_jitter="2:3",
        controls=True,
    )
    (seeds,) = load_seed_sets((), [mine], ())
    work = Work((seeds,), (strategy("a"),), rules, tmp_path, ())
    (job,) = make_jobs(work, [run_with("preproc")])
    own, common = f"{STEM}_seg-mine", "_desc-a_"
    stats = ("partialcorrelation", "pearsoncorrelation", "effectivedof")
    last = f"{own}{common}controls.tsv"
    series = f"{own}_stat-mean{common}timeseries.tsv"
    placed = ("placementmean", "placementsd")
    names = [path.name for path in job.tables(seeds, "a")]
    assert names == [
        series,
        *(f"{own}_stat-{s}{common}relmat.tsv" for s in (*stats, *placed)),
        last,
    ]
    names = [path.name for path in job.tables(replace(seeds, regions=object()), "a")]
    assert names == [series, *(f"{own}_stat-{s}{common}relmat.tsv" for s in stats), last]
    plain = replace(job, work=replace(work, processing=Processing()))
    assert len(plain.tables(seeds, "a")) == 2


def test_a_run_without_any_image_has_no_outputs(mine, tmp_path):
    seeds, lacking = load_seed_sets((), [mine], ()), strategy("lacking", "optcom")
    (job,) = make_jobs(Work(seeds, (lacking,), Processing(), tmp_path, ()), [run_with("preproc")])
    assert (job.images, job.outputs(), job.without_image) == ((), {}, (lacking,))


def test_designs_of_a_run_without_a_table_are_the_same_in_every_space(mine, tmp_path):
    work = Work(load_seed_sets((), [mine], ()), (strategy("a"),), Processing(), tmp_path, ())
    run = run_with("preproc", table=None)
    other = STEM.replace("2009c", "6")
    images = (("preproc", Path(f"{other}_bold.nii.gz")),)
    second = replace(run, name=parse_name(f"{other}_bold.nii.gz"), images=images)
    first, second = make_jobs(work, [run, second])
    path = tmp_path / "sub-01" / "func" / "sub-01_task-x_desc-a_design.tsv"
    assert first.paths.design("a") == path
    assert first.outputs()[path] == second.outputs()[path]
    assert Work((), (), Processing(), tmp_path, ()).threads == 2


def test_typed_seeds_and_regions_among_the_sets(mine):
    regions = SeedTable("atlas", ("r",), np.zeros((1, 3)), np.zeros(1), regions=object())
    sets = load_seed_sets(("Raichle2011",), ["1,2,3", mine, "b=4,5,6"], [4.0, 6.0], [regions])
    assert [(own.label, own.scale) for own in sets] == [
        *((name, scale) for name in ("Raichle2011", "mine", "typed") for scale in ("4mm", "6mm")),
        ("atlas", None),
    ]
    assert sets[4].coordinates.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert sets[-1] is regions
    with pytest.raises(UsageError, match="A seed of atlas is named Node"):
        load_seed_sets((), [], (), [replace(regions, names=("Node",))])
    with pytest.raises(UsageError, match="Two seed sets have the label"):
        load_seed_sets((), [], (), [regions, regions])
    (plain,) = load_seed_sets((), [], [3.0], [regions])
    assert plain is regions


@pytest.mark.parametrize("space", ["T1w", "MNI152NLin2009cAsym"])
def test_a_mask_of_all_runs(mine, tmp_path, monkeypatch, space):
    path = tmp_path / "mask.nii.gz"
    nib.Nifti1Image(np.ones((2, 2, 2), np.uint8), np.eye(4)).to_filename(path)
    mine.with_suffix(".json").write_text(json.dumps({"Space": space}))
    monkeypatch.setattr(plan, "template_mask", lambda of: Path(f"{of}.nii"))

    def mask(choice):
        rules = Processing(mask=choice)
        seeds = load_seed_sets((), [mine], ())
        run = replace(run_with("preproc"), name=parse_name(f"sub-1_space-{space}_bold.nii.gz"))
        (job,) = make_jobs(Work(seeds, (strategy("a"),), rules, tmp_path, ()), [run])
        return job.mask

    assert mask(str(path)) == path
    if space == "T1w":
        with pytest.raises(UsageError, match="--mask template: no template has the space T1w"):
            mask("template")
    else:
        assert mask("template") == Path(f"{space}.nii")
    with pytest.raises(MissingInputError):
        mask(str(tmp_path / "none.nii"))


def test_seeds_are_placed_in_a_run_by_the_transforms_of_all_datasets(mine, tmp_path, monkeypatch):
    asked = []
    placed = lambda *words, warp: asked.append((*words, warp)) or ("there",)  # noqa: E731
    monkeypatch.setattr(plan, "place_in_run", placed)
    seeds, rules = load_seed_sets((), [mine], ()), Processing(warp_seeds=True)
    links = (("a", tmp_path / "a"), ("b", tmp_path / "b"))
    (job,) = make_jobs(Work(seeds, (strategy("a"),), rules, tmp_path, links), [run_with("preproc")])
    assert job.placed() is job  # a template's
    there = replace(job, placements=()).placed()
    assert there.placements == ("there",)
    assert there == replace(job, placements=("there",))
    assert asked == [(seeds, job.run, [tmp_path / "a", tmp_path / "b"], True)]


def test_runs_of_two_spaces_have_each_their_mask_their_seeds_and_their_outliers(
    mine, tmp_path, monkeypatch
):
    spaces = ("MNI152NLin6Asym", "MNI152NLin2009cAsym")
    mine.with_suffix(".json").write_text(json.dumps({"Space": spaces[0]}))
    monkeypatch.setattr(plan, "template_mask", lambda of: Path(f"{of}.nii"))
    seeds = load_seed_sets((), [mine], ())
    runs = []
    for i, space in enumerate(spaces):
        name = parse_name(f"sub-1_task-x_run-{i}_space-{space}_bold.nii.gz")
        image = (("preproc", Path(f"{i}.nii.gz")),)
        runs.append(Run(name, image, Path(f"mask{i}.nii.gz"), Tables(confounds=Path(f"{i}.tsv"))))
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / f"sub-1_task-x_run-0{i}_outliers.tsv").touch()
    for choice, masks in (
        ("template", [Path(f"{space}.nii") for space in spaces]),
        ("run", [Path("mask0.nii.gz"), Path("mask1.nii.gz")]),
    ):
        work = Work(seeds, (strategy("a"),), Processing(mask=choice), tmp_path / "o", ())
        jobs = make_jobs(work, runs, tmp_path / "out")
        assert [job.mask for job in jobs] == masks
        assert [job.placements[0].table.space for job in jobs] == list(spaces)
        assert [bool(job.placements[0].note) for job in jobs] == [False, True]
        assert [job.outliers.name for job in jobs] == [
            f"sub-1_task-x_run-0{i}_outliers.tsv" for i in (0, 1)
        ]
