"""What is found of an output dataset by the names of its files alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bids_spheres import open_results
from bids_spheres.errors import MissingInputError, NothingSelectedError, UsageError
from bids_spheres.files.names import parse_name
from bids_spheres.outputs.find import (
    GroupFiles,
    find_groups,
    find_runs,
    group_tables,
    is_selected,
    labels_with_folders,
    matrix_files,
    pages_of_participants,
    parsed_files,
    seed_map_files,
    selected,
)
from bids_spheres.outputs.paths import image_name, title
from bids_spheres.outputs.read import read_spheres
from bids_spheres.outputs.results import Results
from tests.group.conftest import new_outputs

MNI = "space-MNI152NLin2009cAsym"


def touch(root, *names):
    """Empty files, each in the folder that its name says."""
    for name in names:
        words = name.split("_")
        folder = root / words[0]
        if words[1].startswith("ses-"):
            folder /= words[1]
        (folder / "func").mkdir(parents=True, exist_ok=True)
        (folder / "func" / name).touch()


def of_run(stem, strategies=("simple",)):
    """The two tables of a run for each strategy."""
    return [f"{stem}_desc-{s}_{what}.tsv" for s in strategies for what in ("design", "outliers")]


@pytest.fixture
def named(tmp_path):
    """Runs with two seed sets, two spaces, and some of what others may put beside."""
    root = tmp_path / "out"
    for stem in ("sub-2_task-rest_run-10", "sub-2_task-rest_run-2", "sub-10_task-rest"):
        touch(root, *of_run(stem, ("simple", "36P", "9P")))
    mine = f"sub-2_task-rest_run-2_{MNI}_seg-mine_scale-6mm"
    touch(
        root,
        f"{mine}_desc-spheres_dseg.tsv",
        f"{mine}_desc-spheres_dseg.nii.gz",
        f"{mine}_stat-mean_desc-raw_timeseries.tsv.gz",
        *(f"{mine}_stat-mean_desc-{s}_timeseries.tsv" for s in ("simple", "36P")),
        f"{mine}_stat-mean_desc-simple_timeseries.json",
        *(f"{mine}_stat-{m}_desc-9P_relmat.tsv" for m in ("covariance", "pearsoncorrelation")),
        f"{mine}_stat-effectivedof_desc-9P_relmat.tsv",
        f"{mine}_label-b10_stat-fisherz_desc-36P_boldmap.nii.gz",
        f"{mine}_label-b9_stat-fisherz_desc-36P_boldmap.nii.gz",
        f"{mine}_label-b9_stat-fisherz_desc-9P_boldmap.nii.gz",
        f"{mine.replace('6mm', '8mm')}_label-b9_stat-fisherz_desc-36P_boldmap.nii.gz",
        "sub-2_task-rest_run-2_atlas-Power2011_stat-covariance_desc-simple_relmat.tsv",
        "sub-2_task-rest_run-2_atlas-Power2011_relmat.tsv",  # of no strategy
        "sub-2_notes on rest_design.tsv",
        f"sub-2_task-rest_{MNI}_seg-mine_scale-6mm_stat-partialcorrelation_desc-9P_relmat.tsv",
        "sub-2_ses-b_task-rest_seg-mine_stat-covariance_desc-simple_relmat.tsv",
        *of_run("sub-2_ses-b_task-rest"),
        *of_run("sub-2_ses-a_task-rest"),
    )
    (root / "sub-10.html").touch()
    (root / "sub-2_ses-b.html").touch()
    (root / "sub-3.html.txt").touch()
    (root / "sub-7").touch()
    return root


def test_runs_by_their_names(named):
    runs = find_runs(named)
    assert [(run.name.get("sub"), run.title, run.together) for run in runs] == [
        ("2", "ses-a task-rest", False),
        ("2", "ses-b task-rest", False),
        ("2", "task-rest run-2", False),
        ("2", "task-rest run-10", False),
        ("10", "task-rest", False),
        ("2", "task-rest", True),
    ]
    assert runs[2].strategies == ("9P", "36P", "simple")
    assert runs[5].strategies == ("9P",)
    assert repr(runs[3]) == "<sub-2 task-rest run-10: no seed set>"
    assert repr(runs[2]).startswith("<sub-2 task-rest run-2: Power2011 in func, mine, 6mm in MNI")
    func = named / "sub-2" / "func"
    assert runs[3].designs["36P"] == func / "sub-2_task-rest_run-10_desc-36P_design.tsv"
    assert runs[3].outliers["9P"] == func / "sub-2_task-rest_run-10_desc-9P_outliers.tsv"


def test_seed_sets_of_a_run(named):
    run = find_runs(named)[2]
    power, mine = run.seed_sets
    assert (power.label, power.space) == ("Power2011", "func")
    assert (power.strategies, power.measures) == (("simple",), ("covariance",))
    assert power.spheres_path is power.uncleaned is None
    assert power.seed_maps("36P") == []
    assert (mine.label, mine.space) == ("mine, 6mm", "MNI152NLin2009cAsym")
    assert mine.strategies == ("9P", "36P", "simple")
    # The usual measure first; effective degrees of freedom are no relation.
    assert mine.measures == ("pearsoncorrelation", "covariance")
    assert list(mine.series_paths) == ["36P", "simple"]
    assert mine.uncleaned_path.name.endswith(
        "_seg-mine_scale-6mm_stat-mean_desc-raw_timeseries.tsv.gz"
    )
    assert mine.spheres_path.name.endswith("_scale-6mm_desc-spheres_dseg.tsv")
    labels = [path.name.partition("_label-")[2][:3] for path in mine.seed_maps("36P")]
    assert labels == ["b9_", "b10"]
    assert len(mine.seed_maps("9P")) == 1
    assert mine.seed_maps("simple") == []
    assert repr(mine) == (
        "<mine, 6mm in MNI152NLin2009cAsym: pearsoncorrelation and covariance after 9P, 36P and "
        "simple>"
    )


def test_measures_of_all_runs_begin_with_the_usual_one(named):
    results = open_results(named)
    assert results.measures == ("pearsoncorrelation", "covariance", "partialcorrelation")
    assert results.strategies == ("9P", "36P", "simple")
    assert results.participants == ("2",)  # of the other there are designs alone


def test_runs_of_a_participant_or_session(named):
    assert [run.title for run in find_runs(named, "10")] == ["task-rest"]
    assert [run.title for run in find_runs(named, "2", "b")] == ["ses-b task-rest"]
    assert find_runs(named, "3") == find_runs(named, "10", "b") == []


def test_folders_and_pages(named):
    assert labels_with_folders(named, "sub") == ["2", "10"]
    assert labels_with_folders(named / "sub-2", "ses") == ["a", "b"]
    pages = [page.name for page in pages_of_participants(named)]
    assert pages == ["sub-10.html", "sub-2_ses-b.html"]


def test_files_of_matrices_and_maps(named):
    files = matrix_files(named)
    assert len(files) == 7
    (of_session,) = (file for file in files if file.name.get("ses"))
    assert (of_session.participant, of_session.source) == ("sub-2", "sub-2_ses-b_task-rest")
    assert of_session.space == "func"
    maps = seed_map_files(named)
    assert [file.path for file in maps] == sorted(named.glob("sub-2/func/*_boldmap.nii.gz"))
    func = named / "sub-2" / "func"
    mine = f"sub-2_task-rest_run-2_{MNI}_seg-mine_scale-6mm"
    assert maps[0].spheres == func / f"{mine}_desc-spheres_dseg.tsv"


def test_a_matrix_is_about_spheres_or_else_regions(named):
    func, stem = named / "sub-2" / "func", f"sub-2_task-rest_run-2_{MNI}_seg-mine_scale-6mm"
    (file,) = (f for f in matrix_files(named) if "stat-pearson" in f.path.name)
    spheres, regions = (func / f"{stem}_desc-{kind}_dseg.tsv" for kind in ("spheres", "regions"))
    assert file.spheres == spheres
    regions.touch()
    assert file.spheres == spheres
    spheres.unlink()
    assert file.spheres == regions
    regions.unlink()
    assert file.spheres == spheres  # that is what is missing


def test_tables_of_all_groups_come_first(tmp_path):
    """Then those of groups, run-2 before run-10; sidecars and images are no tables."""
    folder = tmp_path / "group"
    folder.mkdir()
    names = ["runs.tsv", "strategies.tsv", "atlas-x_edges.tsv", "run-2_stacked.tsv.gz"]
    names += ["run-10_stacked.parquet", "space-x_mean.tsv"]
    for name in (*reversed(names), "runs.json", "space-x_statmap.nii"):
        (folder / name).touch()
    assert [path.name for path in group_tables(tmp_path)] == names


def test_groups_by_their_names(tmp_path):
    folder = tmp_path / "group"
    folder.mkdir()
    image = "task-rest_run-1_space-func_seg-mine_scale-6mm"
    strategy = f"{image}_stat-covariance_desc-simple"
    for name in (
        *("runs.tsv", "notes_on rest_mean.tsv", f"{strategy}_other.tsv"),
        f"{image}_coverage.tsv",
        *(f"{strategy}_{what}" for what in ("mean.tsv", "mean.json", "stacked.tsv.gz", "n.tsv")),
        f"{strategy}_contrast-sex_edges.tsv",
        f"{strategy}_contrast-age_edges.tsv",
        f"{strategy}_contrast-age_nbs.tsv",
        "space-MNI_atlas-Power2011_coverage.tsv",
    ):
        (folder / name).touch()
    other, shared, group = find_groups(tmp_path)
    assert (other.measured, other.seeds, other.space) == ("all runs", "Power2011", "MNI")
    assert (shared.suffixes, shared.contrasts) == ({"coverage"}, ())
    assert group.suffixes == {
        *("mean", "n", "contrast-sex_edges", "contrast-age_edges", "contrast-age_nbs"),
    }
    assert group.contrasts == ("age", "sex")
    assert (group.entities, group.stat, group.strategy) == (strategy, "covariance", "simple")
    assert group.image_title == "task-rest run-1, mine 6mm in func"
    assert group.path("contrast-age_nbs", ".json").name == f"{strategy}_contrast-age_nbs.json"


def test_what_strategies_and_measures_of_a_group_share():
    name = parse_name("ses-a_task-x_space-T1w_seg-mine_scale-6mm_res-2_stat-y_desc-z_mean.tsv")
    assert title(image_name(name)) == "ses-a_task-x_space-T1w_seg-mine_scale-6mm_res-2"


def test_the_source_of_a_matrix_is_its_run(named):
    of_scale = [file for file in matrix_files(named) if file.name.get("scale")]
    sources = {(file.participant, file.source) for file in of_scale}
    assert sources == {("sub-2", "sub-2_task-rest_run-2"), ("sub-2", "sub-2_task-rest")}
    (of_atlas,) = (
        file for file in matrix_files(named) if file.name.get("atlas") and file.name.get("desc")
    )
    assert of_atlas.source == "sub-2_task-rest_run-2"


def test_a_run_without_entities_has_a_name_all_the_same(tmp_path):
    touch(tmp_path, *of_run("sub-5"))
    (run,) = find_runs(tmp_path)
    assert (run.title, repr(run)) == ("run", "<sub-5 run: no seed set>")


def files_of(*names):
    return [*parsed_files(map(Path, names))]


def test_labels_that_select_and_those_that_are_missing(caplog):
    files = files_of(
        *(f"sub-01_ses-a_run-{run:02d}_space-T1w_desc-x_relmat.tsv" for run in (10, 2, 1)),
        "sub-01_desc-y_relmat.tsv",
    )
    chosen = selected(files, [("run", ("run-1", "010")), ("ses", ("ses-a",))])
    assert [file.name.get("run") for file in chosen] == ["10", "01"]
    assert caplog.text == ""
    assert (
        selected(files, [("run", ("",))]) == selected(files, [("space", ("boldref",))]) == files[3:]
    )
    assert selected(files, [("run", ("3", "2", "12"))]) == [files[1]]
    told = "Available: run-1, run-2, run-10 and run-(none)."
    assert caplog.messages == [f"No matrix has run-{run}. {told}" for run in (3, 12)]
    with pytest.raises(NothingSelectedError, match=r"No matrix has ses-b, \(none\)\.") as error:
        selected(files[:3], [("ses", ("b", ""))])
    assert error.value.hint == "Available: ses-a."
    many = files_of(*(f"sub-{i}_desc-x_relmat.tsv" for i in range(22)))
    with pytest.raises(NothingSelectedError) as error:
        selected(many, [("sub", ("x",))])
    assert error.value.hint.endswith("sub-18, sub-19 and 2 more.")


def test_a_radius_that_sidecars_have_selects(tmp_path, caplog):
    """Names lack it where a set was used with one; regions and spheres of several have none."""
    stem = str(tmp_path / "sub-01_seg-{}_stat-x_relmat.tsv")
    four, six = files_of(*(stem.format(f"a_scale-{mm}mm") for mm in (4, 6)))
    five, own, regions = files_of(*map(stem.format, "bcd"))
    five.path.with_suffix(".json").write_text('{"Radius": 5.0}')
    own.path.with_suffix(".json").write_text('{"Radius": [5, 6]}')
    files = [own, six, five, regions, four]
    assert selected(files, [("scale", ("5mm", ""))]) == [own, five, regions]
    assert selected(files, [("scale", ("5mm", "6mm"))]) == [six, five]
    assert selected(files, [("scale", ("",))]) == [own, five, regions]
    assert [is_selected(file, [("scale", ("6mm", ""))]) for file in files] == [1, 1, 0, 1, 0]
    assert caplog.text == ""
    assert selected([five, own], [("scale", ("8mm", ""))]) == [own]
    assert caplog.messages == ["No matrix has scale-8mm. Available: scale-5mm and scale-(none)."]
    with pytest.raises(NothingSelectedError, match=r"No matrix has scale-8mm\.") as raised:
        selected([five, six], [("scale", ("8mm", ""))])
    assert raised.value.hint == "Available: scale-5mm and scale-6mm."


def test_maps_have_no_measure_to_be_selected_by():
    (file,) = files_of("sub-01_task-a_run-02_label-s_stat-fisherz_desc-x_boldmap.nii.gz")
    assert is_selected(file, [("stat", ("covariance",)), ("run", ("2", "3")), ("desc", ("x",))])
    assert not is_selected(file, [("stat", ("fisherz",)), ("run", ("1",)), ("desc", ("x",))])
    assert not is_selected(file, [("run", ("2",)), ("space", ("T1w",))])


# Results by the names of their files


def test_files_that_a_label_says_nothing_about_stay(named):
    results = open_results(named)
    (run,) = results.select(strategy="36P")
    assert (run.title, [*run.designs], [*run.outliers]) == ("task-rest run-2", ["36P"], ["36P"])
    (own,) = run.seed_sets
    assert [*own.series_paths] == ["36P"]
    assert own.matrix_paths == {}
    assert own.spheres_path.exists()
    assert own.uncleaned_path.exists()
    for labels in ({"space": "func"}, {"seeds": "Power2011"}, {"radius": None}, {"cohort": None}):
        first = next(run for run in results.select(**labels) if run.title == "task-rest run-2")
        assert len(first.designs) == len(first.outliers) == 3, labels
    of_measure = results.select(measure="covariance")
    assert of_measure.measures == ("covariance",)
    assert [*next(run for run in of_measure if run.name.get("run")).seed_sets[1].series_paths] == [
        "36P",
        "simple",
    ]
    assert [run.title for run in results.select(session="b")] == ["ses-b task-rest"]
    assert [run.title for run in results.select(session=None)] == ["task-rest run-2", "task-rest"]


def test_radii_are_numbers_or_labels(tmp_path):
    touch(
        tmp_path,
        *(f"sub-1_seg-a_scale-{s}_stat-covariance_desc-x_relmat.tsv" for s in ("6mm", "6p5mm")),
    )
    results = open_results(tmp_path)
    assert results.seeds == ("a, 6mm", "a, 6p5mm")
    for radius, label in ((6, "6mm"), (6.0, "6mm"), (6.5, "6p5mm"), ("6p5mm", "6p5mm")):
        assert results.select(radius=radius).seeds == (f"a, {label}",)
    assert results.select(radius=[6.5, 6]).seeds == results.seeds
    assert results.runs["radius"].tolist() == ["6mm", "6p5mm"]


def test_columns_of_runs_are_in_the_order_of_words(tmp_path):
    stem = "sub-1_task-x_acq-a_dir-AP_run-1"
    touch(
        tmp_path,
        f"{stem}_seg-s_stat-covariance_desc-d_relmat.tsv",
        f"{stem}_seg-s_stat-mean_desc-e_timeseries.tsv",
    )
    runs = open_results(tmp_path).runs
    facts = ["degrees_of_freedom", "mean_fd", "coverage", "missing", "excluded"]
    assert runs.columns.tolist() == [
        *("participant", "task", "run", "acquisition", "dir", "space", "seeds", "strategy"),
        *("measure", *facts, "matrix", "timeseries", "regions"),
    ]
    assert runs["measure"].fillna("").tolist() == ["covariance", ""]
    assert runs["timeseries"].notna().tolist() == runs["matrix"].isna().tolist() == [False, True]
    assert runs["space"].tolist() == ["func", "func"]


def test_what_is_no_measure_is_read_only_when_it_is_named(tmp_path):
    outputs = new_outputs(tmp_path / "out")
    values = {"pearsoncorrelation": 0.5, "effectivedof": 40.25, "placementsd": 0.125}
    for stat, value in values.items():
        outputs.add("01", np.full((5, 5), value), stat=stat, RelationshipMeasure=stat)
    results = open_results(outputs.root)
    assert results.runs["measure"].tolist() == ["pearsoncorrelation"]
    assert results.matrix().values[0, 1] == results.matrices().values[0, 0, 1] == 0.5
    for stat, value in values.items():
        assert results.matrix(measure=stat).values[1, 2] == value
        assert results.matrices(stat=stat).values[0, 3, 4] == value
        assert results.sidecar(stat=stat)["RelationshipMeasure"] == stat
    with pytest.raises(NothingSelectedError, match="stat-placementmean"):
        results.matrix(measure="placementmean")


@pytest.mark.parametrize(("limit", "on_disk"), [(8 * 2 * 25, True), (8 * 2 * 25 + 1, False)])
def test_large_stacks_are_on_disk(tmp_path, monkeypatch, limit, on_disk):
    outputs = new_outputs(tmp_path / "out")
    matrix = np.arange(25.0).reshape(5, 5) + np.arange(25.0).reshape(5, 5).T
    for label in ("01", "02"):
        outputs.add(label, matrix + int(label), stat="covariance")
    monkeypatch.setattr("bids_spheres.outputs.results._MEMORY", limit)
    stack = open_results(outputs.root).matrices()
    assert isinstance(stack.values, np.memmap) is on_disk
    np.testing.assert_array_equal(stack.values, [matrix + 1, matrix + 2])
    assert stack.edges()[1].tolist() == (matrix + 2)[np.triu_indices(5, 1)].tolist()
    assert repr(stack) == "<2 matrices of 5 regions>"
    assert stack.runs["participant"].tolist() == ["01", "02"]


def test_rows_of_runs_are_about_their_own_run_and_strategy(tmp_path):
    outputs = new_outputs(tmp_path / "out")
    coverage = {"01": [1, 0.5, 0.4, 0.2, 1], "02": [1, 1, 1, 1, 0.1]}
    facts = {
        ("01", "9P"): (40, 0.25, None),
        ("01", "36P"): (20.5, 0.25, None),
        ("02", "9P"): (33, 0.5, None),
        ("02", "36P"): (0.5, 0.5, "too short"),
    }
    for (label, strategy), (freedom, fd, excluded) in facts.items():
        for stat in ("pearsoncorrelation", "covariance"):
            own = {"DegreesOfFreedom": freedom, "MeanFramewiseDisplacement": fd}
            own |= {"Excluded": excluded, "coverage": coverage[label]}
            outputs.add(label, np.eye(5), strategy=strategy, stat=stat, **own)
    results = open_results(outputs.root)
    columns = ["degrees_of_freedom", "mean_fd", "excluded", "missing", "coverage"]
    expected = [
        (label, strategy, stat, *own, missing, pytest.approx(share))
        for (label, strategy), own in facts.items()
        for missing, share in [(2, 0.62) if label == "01" else (1, 0.82)]
        for stat in ("covariance", "pearsoncorrelation")
    ]
    rows = results.runs[["participant", "strategy", "measure", *columns]].astype(object)
    assert [tuple(row) for row in rows.where(rows.notna(), None).to_numpy()] == expected
    for path, row in zip(results.runs["matrix"], expected, strict=True):
        assert f"sub-{row[0]}_" in path.name
        assert path.name.endswith(f"_stat-{row[2]}_desc-{row[1]}_relmat.tsv")


def test_tables_of_every_strategy_are_its_own(tmp_path):
    func, stem = tmp_path / "sub-1" / "func", "sub-1_task-x"
    func.mkdir(parents=True)
    censored = {"9P": [0, 1, 0, 0, 1], "36P": [1, 0, 1, 1, 0]}
    series = {"9P": [[1.0], [2], [3]], "36P": [[-4.0], [-5]]}
    for factor, (strategy, own) in enumerate(censored.items(), start=1):
        for what, name, values in (
            ("outliers", "censored", own),
            ("design", "csf", factor * np.arange(5)),
        ):
            text = "\n".join([name, *map(str, values)])
            (func / f"{stem}_desc-{strategy}_{what}.tsv").write_text(f"{text}\n")
        text = "\n".join(["a", *(str(row[0]) for row in series[strategy])])
        path = func / f"{stem}_seg-mine_stat-mean_desc-{strategy}_timeseries.tsv"
        path.write_text(f"{text}\n")
    (run,) = find_runs(tmp_path)
    (own,) = run.seed_sets
    for factor, strategy in enumerate(censored, start=1):
        kept = np.array(censored[strategy]) == 0
        assert run.kept(strategy).tolist() == own.series(strategy).kept.tolist() == kept.tolist()
        np.testing.assert_array_equal(own.series(strategy).values[kept], series[strategy])
        assert np.isnan(own.series(strategy).values[~kept]).all()
        assert run.design(strategy)["csf"].tolist() == (factor * np.arange(5)).tolist()


def sidecar_of(path, **content):
    path.with_suffix(".json").write_text(json.dumps(content))


def test_concatenated_runs_have_the_sidecar_of_the_strategy_and_the_first_table_left(tmp_path):
    outputs = new_outputs(tmp_path / "out")
    for strategy, table in (("9P", "gone"), ("36P", "sub-01_desc-spheres_dseg")):
        uris = [f"bids::sub-01/func/{table}.tsv"]
        for stat in ("covariance", "pearsoncorrelation"):
            path = outputs.add("01", np.eye(5), strategy=strategy, stat=stat, NodeFiles=uris)
            sidecar_of(path, NodeFiles=uris, Strategy=strategy, Excluded=stat)
    (spheres,) = outputs.root.rglob("*_dseg.tsv")
    spheres.rename(spheres.with_name("sub-01_desc-spheres_dseg.tsv"))
    (run,) = find_runs(outputs.root)
    (own,) = run.seed_sets
    assert run.together
    for strategy in ("9P", "36P"):
        assert own.sidecar(strategy)["Strategy"] == strategy
    assert own.spheres.path.name == "sub-01_desc-spheres_dseg.tsv"
    assert own.spheres.names == tuple(outputs.names)


@pytest.mark.parametrize(
    "labels",
    [
        {"seeds": "mine"},
        {"radius": "6mm"},
        {"space": "MNI152NLin2009cAsym"},
        {"measure": "covariance"},
        {"res": "2"},
        {"cohort": "1"},
        {"den": "91k"},
    ],
)
def test_designs_stay_whatever_image_is_selected(tmp_path, labels):
    stem = "sub-1_task-rest"
    entities = f"{MNI}_cohort-1_seg-mine_scale-6mm_res-2_den-91k_stat-covariance_desc-9P"
    image = f"{stem}_{entities}_relmat.tsv"
    touch(tmp_path, *of_run(stem, ("9P",)), image)
    part = open_results(tmp_path).select(**labels)
    assert {file.name.suffix for file in part.files} == {"design", "outliers", "relmat"}
    (run,) = part.select(strategy="9P")
    assert (*run.designs, *run.outliers) == ("9P", "9P")


@pytest.mark.parametrize("word", ["space", "seeds", "radius", "strategy", "measure"])
def test_matrices_that_differ_in_what_they_are_of_are_not_stacked(tmp_path, word):
    labels = {
        "space": ("space-T1w_atlas-a_scale-5mm_stat-fisherz_desc-x", "T1w"),
        "seeds": ("space-MNI_atlas-b_scale-5mm_stat-fisherz_desc-x", "b"),
        "radius": ("space-MNI_atlas-a_scale-6mm_stat-fisherz_desc-x", "6mm"),
        "strategy": ("space-MNI_atlas-a_scale-5mm_stat-fisherz_desc-y", "y"),
        "measure": ("space-MNI_atlas-a_scale-5mm_stat-covariance_desc-x", "covariance"),
    }
    names = ("space-MNI_atlas-a_scale-5mm_stat-fisherz_desc-x", labels[word][0])
    touch(tmp_path, *(f"sub-1_task-rest_{name}_relmat.tsv" for name in names))
    with pytest.raises(UsageError, match=rf"2 matrices match, which differ in {word} \(") as error:
        open_results(tmp_path).matrices()
    assert labels[word][1] in error.value.message
    with pytest.raises(UsageError, match=rf"differ in {word} \([^(]*\)\.\n"):
        open_results(tmp_path).matrix()


def test_series_of_a_measure_are_the_cleaned_ones(named):
    results = open_results(named)
    labels = {"strategy": "simple", "measure": "covariance", "run": 2, "seeds": "mine"}
    for word in ("measure", "stat"):
        chosen = {key: label for key, label in labels.items() if key != "measure"}
        files = results.select(**chosen).leaves("timeseries", {word: "covariance"})
        assert [file.name.get("desc") for file in files] == ["simple"]


def test_participants_are_in_the_order_of_people(tmp_path):
    labels = ("10", "9", "02", "1")
    touch(tmp_path, *(f"sub-{label}_seg-s_stat-fisherz_desc-x_relmat.tsv" for label in labels))
    assert open_results(tmp_path).participants == ("1", "02", "9", "10")


def test_regions_of_a_stack_are_those_of_the_first_run_that_has_them(tmp_path):
    outputs = new_outputs(tmp_path / "out")
    for label in ("01", "02", "03"):
        outputs.add(label, np.eye(5) * int(label))
    first, second, third = sorted(outputs.root.rglob("*_dseg.tsv"))
    first.unlink()
    stack = open_results(outputs.root).matrices()
    assert stack.regions.path == second
    assert stack.values[:, 0, 0].tolist() == [1, 2, 3]
    for path in (second, third):
        path.unlink()
    with pytest.raises(MissingInputError, match=r"table of regions of .*sub-01.* is gone"):
        open_results(outputs.root).matrices()


def test_a_set_of_seeds_may_be_named_after_regions(tmp_path):
    path = tmp_path / "sub-01_seg-regions_desc-spheres_dseg.tsv"
    names = "index name x y z radius network voxels_asked voxels_used coverage used seed_in_mask"
    for desc, columns, noun in (("spheres", names, "sphere"), ("regions", names, "region")):
        lines = [f"{columns} overlap tsnr", "1 a 1 2 3 4 A 7 7 1 1 1 0 50"]
        own = path.with_name(path.name.replace("desc-spheres", f"desc-{desc}"))
        text = "".join("\t".join(line.split()) + "\n" for line in lines)
        own.write_text(text.replace("radius", "volume") if desc == "regions" else text)
        assert read_spheres(own).noun == noun


def test_sets_of_seeds_without_series_and_matrices_are_no_results(tmp_path):
    for run in ("sub-1_run-1", "sub-1_run-2"):
        touch(tmp_path, f"{run}_seg-begun_stat-mean_desc-raw_timeseries.tsv.gz", *of_run(run))
    touch(tmp_path, "sub-1_run-2_seg-done_stat-fisherz_desc-x_relmat.tsv")
    touch(tmp_path, "sub-1_run-2_seg-series_stat-mean_desc-y_timeseries.tsv")
    results = open_results(tmp_path)
    (run,) = results
    assert (run.title, len(results)) == ("run-2", 1)
    assert results.seeds == tuple(own.label for own in run.seed_sets) == ("done", "series")
    assert results.runs["seeds"].tolist() == ["done", "series"]


def test_a_group_is_one_with_participants(tmp_path):
    """Not what groups share, nor tables of specifications or of clusters of a seed."""
    (tmp_path / "group").mkdir()
    image = "task-rest_seg-mine"
    for name in (
        f"{image}_coverage",
        f"{image}_specifications",
        "task-tap_seg-mine_coverage",
        f"{image}_label-s1_desc-x_contrast-age_clusters",
        f"{image}_stat-fisherz_desc-x_participants",
    ):
        (tmp_path / "group" / f"{name}.tsv").touch()
    results = Results(tmp_path, ())
    assert len(results.groups) == 4  # specifications are of the image
    assert results.group().entities == f"{image}_stat-fisherz_desc-x"


def test_contrasts_are_in_alphabetical_order(tmp_path):
    names = ["age", "group", "motion", "sex", "site"]
    suffixes = {"mean", *(f"contrast-{name}_edges" for name in names), "contrast-sex_nbs"}
    assert GroupFiles(tmp_path, parse_name("task-x_mean.tsv"), suffixes).contrasts == tuple(names)


def test_designs_alone_are_no_results(tmp_path):
    touch(tmp_path, *of_run("sub-1_task-rest"))
    with pytest.raises(MissingInputError, match="holds no results of the participant level"):
        open_results(tmp_path)
