"""Tables, sidecars and images as they are on disk, against each other and against the input."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_spheres import __version__
from bids_spheres.app.main import main
from bids_spheres.files.atomic import write_table

if TYPE_CHECKING:
    from pathlib import Path

RUN = "sub-03/func/sub-03_task-functionallocalizer_run-{run}"
SPACE = "_space-MNI152NLin2009cAsym"
STRATEGIES = ("simple", "band", "none")
MEASURES = ("pearsoncorrelation", "ledoitwolfcorrelation", "effectivedof")
N_VOLUMES = {1: 52, 2: 30}


@pytest.fixture(scope="module")
def output(real_scan, tmp_path_factory):
    """Real scan, two seed sets, three strategies, two measures; run 2 is too short for two."""
    folder = tmp_path_factory.mktemp("outputs")
    (folder / "mine.tsv").write_text(
        "name\tx\ty\tz\tnetwork\nleft\t-38\t-22\t56\tmotor\nNA\t38\t-22\t56\tmotor\n"
        "front\t0\t50\t4\tn/a\nfar\t190\t0\t0\tn/a\n"
    )
    (folder / "mine.json").write_text('{"Space": "MNI152NLin2009cAsym"}')
    band = {"high_pass": 0.01, "low_pass": 0.1, "order": 2}
    censor = {"fd_threshold": 0.2, "std_dvars_threshold": None, "min_segment": 3}
    own = {"name": "band", "description": "Mine.", "confounds": ["csf"]}
    (folder / "band.json").write_text(json.dumps({**own, "filter": band, "censor": censor}))
    call = [real_scan, folder / "out", "participant", "--atlas", "Power2011"]
    call += ["--seeds", folder / "mine.tsv", "--strategy", "simple", folder / "band.json", "none"]
    call += ["--connectivity", "pearson", "ledoit-wolf", "--effective-dof", "--min-dof", 1]
    call += ["--report-level", "none"]
    assert main([str(word) for word in call]) == 0
    return folder / "out"


def resolve(uri, root):
    """Path that a URI in a dataset stands for, by the rules of BIDS 1.11."""
    if uri.startswith("bids:"):
        _, name, relative = uri.split(":", 2)
        if not name:
            return root / unquote(relative)
        links = json.loads((root / "dataset_description.json").read_text())["DatasetLinks"]
        return resolve(links[name], root) / unquote(relative)
    parts = urlsplit(uri)
    assert parts.scheme in ("", "file")
    return (root / unquote(parts.path)).resolve()


def read(path):
    """A table with `n/a` alone as missing: NA may be the name of a seed."""
    return pd.read_csv(path, sep="\t", keep_default_na=False, na_values="n/a")


@dataclass(frozen=True)
class Beside:
    """A table of the output and its sidecar."""

    path: Path

    @property
    def table(self):
        return read(self.path)

    @property
    def facts(self):
        return json.loads(self.path.with_suffix(".json").read_text())


def of(output, run, ending):
    return Beside(output / (RUN.format(run=run) + ending + ".tsv"))


SETS = ("atlas-Power2011", "seg-mine")
CASES = [(run, seeds, strategy) for run in (1, 2) for seeds in SETS for strategy in STRATEGIES]
every_series = pytest.mark.parametrize(("run", "seeds", "strategy"), CASES)


# Sidecars


def test_every_table_has_a_sidecar_and_every_sidecar_its_file(output):
    compressed = {path.with_suffix("") for path in output.glob("sub-*/**/*.tsv.gz")}
    tables = {path.with_suffix("") for path in [*output.glob("sub-*/**/*.tsv"), *compressed]}
    sidecars = {path.with_suffix("") for path in output.glob("sub-*/**/*.json")}
    assert tables == sidecars
    assert len(tables) == 2 * (2 + 2 + 2 * 3 * (1 + 3) + 3 * 2)


def test_every_source_is_there(output):
    linked = 0
    for path in output.glob("sub-*/**/*.json"):
        facts = json.loads(path.read_text())
        uris = [uri for key in ("Sources", "NodeFiles") for uri in facts.get(key, [])]
        missing = [uri for uri in uris if not resolve(uri, output).is_file()]
        assert not missing, path
        assert facts["Sources"], path
        linked += len(uris)
    assert linked > 100


@pytest.mark.slow
def test_transforms_of_seeds_are_there(real_scan, tmp_path):
    call = [real_scan, tmp_path, "participant", "--atlas", "Power2011", "--space", "T1w"]
    assert main([str(word) for word in [*call, "--run", "1", "--strategy", "none"]]) == 0
    (path,) = tmp_path.rglob("*_space-T1w_*_dseg.json")
    transforms = json.loads(path.read_text())["SeedTransforms"]
    names = [
        resolve(uri, tmp_path).relative_to(real_scan / "sub-03" / "anat").name for uri in transforms
    ]
    assert names == ["sub-03_from-T1w_to-MNI152NLin2009cAsym_mode-image_xfm.h5"]


@every_series
def test_what_time_series_tell(output, real_scan, run, seeds, strategy):
    series = of(output, run, f"{SPACE}_{seeds}_stat-mean_desc-{strategy}_timeseries")
    facts = series.facts
    bold = RUN.format(run=run) + SPACE + "_desc-preproc_bold"
    assert (
        facts["RepetitionTime"]
        == json.loads((real_scan / f"{bold}.json").read_text())["RepetitionTime"]
    )
    assert facts["SamplingFrequency"] * facts["RepetitionTime"] == pytest.approx(1, abs=1e-12)
    names = [resolve(uri, output).relative_to(real_scan).as_posix() for uri in facts["Sources"]]
    mask = RUN.format(run=run) + SPACE + "_desc-brain_mask.nii.gz"
    confounds = RUN.format(run=run) + "_desc-confounds_timeseries.tsv"
    assert names == [f"{bold}.nii.gz", mask, confounds]
    assert facts["NumberOfVolumes"] == N_VOLUMES[run]
    assert len(series.table) == facts["NumberOfVolumesKept"]
    assert facts["Strategy"] == strategy
    assert facts["Seeds"] == seeds.split("-")[1]
    moved = read(real_scan / confounds)["framewise_displacement"]
    assert facts["MeanFramewiseDisplacement"] == pytest.approx(moved.mean(), rel=1e-12)


@every_series
def test_censoring_and_freedom_add_up(output, real_scan, run, seeds, strategy):
    facts = of(output, run, f"{SPACE}_{seeds}_stat-mean_desc-{strategy}_timeseries").facts
    censored = of(output, run, f"_desc-{strategy}_outliers").table
    assert facts["NumberOfVolumesCensored"] == censored["censored"].sum()
    kept = facts["NumberOfVolumes"] - facts["NumberOfVolumesCensored"]
    assert facts["NumberOfVolumesKept"] == kept
    lost = facts["RankRemoved"] + facts["DimensionsLostToFilter"]
    lost += facts["DimensionsLostToCensoring"]
    assert facts["DegreesOfFreedom"] == pytest.approx(kept - lost)
    assert (facts["DimensionsLostToFilter"] > 0) == (strategy == "band")
    told = {name for name, count in facts["CensoredVolumes"].items() if count}
    assert told == set(censored.columns) - {"censored"}
    left_out = censored.drop(columns="censored").any(axis=1).astype(int)
    assert censored["censored"].tolist() == left_out.tolist()
    excluded = facts["DegreesOfFreedom"] < facts["MinimumDegreesOfFreedom"]
    assert (facts["Excluded"] is not None) == excluded == (run == 2 and strategy == "simple")
    if strategy == "band":
        moved = read(real_scan / (RUN.format(run=run) + "_desc-confounds_timeseries.tsv"))
        far = moved["framewise_displacement"].fillna(0) > 0.2
        assert (censored["framewise_displacement"] == far).all()
        assert facts["CensoringThresholds"]["fd_threshold"] == 0.2
        assert facts["CensoringThresholds"]["std_dvars_threshold"] is None
        (passed,) = facts["SoftwareFilters"].values()
        assert (passed["high_pass"], passed["low_pass"], passed["order"]) == (0.01, 0.1, 2)
    else:
        assert facts["SoftwareFilters"] == "n/a"


@pytest.mark.parametrize("strategy", ["simple", "band"])
@pytest.mark.parametrize("run", [1, 2])
def test_the_design_is_what_the_sidecars_name(output, run, strategy):
    design = of(output, run, f"_desc-{strategy}_design")
    assert len(design.table) == N_VOLUMES[run]
    for seeds in SETS:
        facts = of(output, run, f"{SPACE}_{seeds}_stat-mean_desc-{strategy}_timeseries").facts
        assert facts["NuisanceParameters"] == list(design.table.columns)
        kept = of(output, run, f"_desc-{strategy}_outliers").table["censored"].to_numpy() == 0
        trend = [np.ones(kept.size), np.linspace(-1, 1, kept.size)]
        basis = np.column_stack([*trend, design.table.to_numpy()])[kept]
        assert facts["RankRemoved"] == np.linalg.matrix_rank(basis / np.abs(basis).max(axis=0))
    assert design.facts["NuisanceParameters"] == list(design.table.columns)


@pytest.mark.parametrize("run", [1, 2])
def test_a_design_without_regressors_is_the_mean(output, run):
    design = of(output, run, "_desc-none_design")
    assert design.table.to_dict("list") == {"intercept": [1] * N_VOLUMES[run]}
    facts = of(output, run, f"{SPACE}_seg-mine_stat-mean_desc-none_timeseries").facts
    assert facts["NuisanceParameters"] == []
    # The mean and the trend.
    assert facts["RankRemoved"] == 2


@every_series
def test_what_matrices_tell(output, run, seeds, strategy):
    ending = f"{SPACE}_{seeds}_stat-mean_desc-{strategy}_timeseries"
    series, nodes = of(output, run, ending), of(output, run, f"{SPACE}_{seeds}_desc-spheres_dseg")
    for stat in MEASURES:
        matrix = of(output, run, f"{SPACE}_{seeds}_stat-{stat}_desc-{strategy}_relmat")
        facts = matrix.facts
        assert [resolve(uri, output) for uri in facts["Sources"]] == [series.path]
        assert [resolve(uri, output) for uri in facts["NodeFiles"]] == [nodes.path]
        assert (facts["StorageFormat"], facts["Directed"]) == ("Full", False)
        assert facts["Software"] == f"bids_spheres {__version__}"
        assert facts["Weighted"] is True
        assert isinstance(facts["ValidDiagonal"], bool)
        assert isinstance(facts["RelationshipMeasure"], str)
        same = set(series.facts) - {"Sources", "SamplingFrequency", "RepetitionTime", "FullLength"}
        assert {key: facts[key] for key in same if key in facts} == {
            key: value for key, value in series.facts.items() if key in facts and key in same
        }
        values = matrix.table.drop(columns="Node").to_numpy()
        np.testing.assert_array_equal(values, values.T)
    pearson = of(output, run, f"{SPACE}_{seeds}_stat-pearsoncorrelation_desc-{strategy}_relmat")
    np.testing.assert_allclose(
        pearson.table.drop(columns="Node"), series.table.corr(), rtol=0, atol=1e-8
    )


@pytest.mark.parametrize("seeds", SETS)
@pytest.mark.parametrize("run", [1, 2])
def test_what_spheres_tell(output, run, seeds):
    spheres = of(output, run, f"{SPACE}_{seeds}_desc-spheres_dseg")
    table, facts = spheres.table, spheres.facts
    assert list(table["index"]) == list(range(1, len(table) + 1))
    assert facts["SpheresWithoutVoxels"] == (table["voxels_used"] == 0).sum()
    partly = (table["voxels_used"] > 0) & (table["voxels_used"] < table["voxels_asked"])
    assert facts["SpheresPartlyOutsideMask"] == partly.sum()
    assert facts["SpheresOfTooLittleCoverage"] == (table["used"] == 0).sum()
    assert facts["SeedsOutsideMask"] == (table["seed_in_mask"] == 0).sum()
    described = {key for key, value in facts.items() if isinstance(value, dict)}
    assert described == set(table.columns) - {"index", "name"}
    img = nib.load(spheres.path.with_suffix(".nii.gz"))
    assert set(np.unique(img.dataobj)) - {0} <= set(table["index"])


# Tables


@every_series
def test_columns_are_the_seeds(output, run, seeds, strategy):
    names = list(of(output, run, f"{SPACE}_{seeds}_desc-spheres_dseg").table["name"])
    assert "NA" in names or seeds != "seg-mine"
    series = of(output, run, f"{SPACE}_{seeds}_stat-mean_desc-{strategy}_timeseries").table
    assert list(series.columns) == names
    for stat in MEASURES:
        matrix = of(output, run, f"{SPACE}_{seeds}_stat-{stat}_desc-{strategy}_relmat").table
        assert list(matrix.columns) == ["Node", *names]
        assert list(matrix["Node"]) == names


def test_what_does_not_exist_is_missing(output):
    series = of(output, 1, f"{SPACE}_seg-mine_stat-mean_desc-simple_timeseries").table
    assert list(series.columns[series.isna().any()]) == ["far"]
    assert series["far"].isna().all()
    matrix = of(output, 1, f"{SPACE}_seg-mine_stat-pearsoncorrelation_desc-simple_relmat").table
    assert matrix.set_index("Node").loc["far"].isna().all()
    assert matrix["far"].isna().all()
    excluded = of(output, 2, f"{SPACE}_seg-mine_stat-mean_desc-simple_timeseries").table
    assert excluded.isna().all(axis=None)


def test_pandas_reads_every_table_as_it_comes(output):
    """As most people call it: unique named columns, numbers as numbers, n/a as NaN."""
    tables = list(output.rglob("*.tsv"))
    for path in tables:
        header = path.read_text().split("\n", 1)[0].split("\t")
        table = pd.read_csv(path, sep="\t")
        assert list(table.columns) == header
        assert all(header), path
        assert len(set(header)) == len(header), path
        assert len(table) == path.read_text().count("\n") - 1
        if path.stem.endswith(("_timeseries", "_design", "_outliers")):
            assert all(kind.kind in "fi" for kind in table.dtypes), path
    assert len(tables) > 50


NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=10)
VALUES = st.floats(width=32) | st.integers(-1000, 1000).map(float)


@given(st.lists(NAMES, unique=True, min_size=1, max_size=6), st.data())
@settings(derandomize=True, deadline=None, max_examples=60)
def test_any_names_and_numbers_come_back(tmp_path_factory, columns, data):
    rows = data.draw(st.lists(st.lists(VALUES, min_size=len(columns), max_size=len(columns))))
    values = np.array(rows, dtype=float).reshape(len(rows), len(columns))
    values[~np.isfinite(values)] = np.nan
    path = tmp_path_factory.mktemp("table") / "x.tsv"
    write_table(path, pd.DataFrame(values, columns=columns))
    back = pd.read_csv(path, sep="\t", skip_blank_lines=False)
    assert list(back.columns) == columns
    np.testing.assert_allclose(back.to_numpy(dtype=float), values, rtol=1e-9)


# The dataset as a whole


def test_descriptions_are_of_the_labels_in_use(output):
    used = {
        part
        for path in output.rglob("*_desc-*")
        for part in path.name.split("_")
        if part.startswith("desc-")
    }
    table = read(output / "descriptions.tsv")
    assert list(table.columns) == ["desc_id", "description"]
    assert set(table["desc_id"]) == used
    assert (table["description"].str.len() > 3).all()


def test_the_excluded_run_is_in_the_table(output, real_scan):
    (row,) = read(output / "exclusions.tsv").to_dict("records")
    facts = of(output, 2, f"{SPACE}_seg-mine_stat-mean_desc-simple_timeseries").facts
    assert (real_scan / row["source"]).is_file()
    assert row["strategy"] == "simple"
    assert row["reason"] == facts["Excluded"]
    for column, key in {
        "n_volumes": "NumberOfVolumes",
        "n_kept": "NumberOfVolumesKept",
        "rank": "RankRemoved",
        "lost_to_filter": "DimensionsLostToFilter",
        "lost_to_censoring": "DimensionsLostToCensoring",
        "min_degrees_of_freedom": "MinimumDegreesOfFreedom",
    }.items():
        assert row[column] == facts[key]
    about = json.loads((output / "exclusions.json").read_text())
    assert set(about) == set(row)


def test_the_dataset_says_what_it_is(output, real_scan):
    description = json.loads((output / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "bids_spheres"
    assert resolve(description["DatasetLinks"]["preprocessed"], output) == real_scan
    assert description["SourceDatasets"] == [{"URL": description["DatasetLinks"]["preprocessed"]}]
    atlas = json.loads((output / "atlas-Power2011_description.json").read_text())
    # Required by BIDS 1.11.
    assert atlas["Name"]
    assert atlas["License"]


def patterns_of_readme(text):
    """Names of files in the README, as patterns."""
    words = [word for line in text.splitlines() for word in line.split("`")[1::2]]
    return [word.replace("<strategy>", "*").replace("<measure>", "*") for word in words]


def test_the_readme_tells_of_every_file_and_column(output):
    text = (output / "README.md").read_text()
    patterns = [word for word in patterns_of_readme(text) if "." in word]
    told = {path for word in patterns for path in output.rglob(word.removeprefix("*/"))}
    files = {path for path in output.rglob("*") if path.is_file() and path.name[0] != "."}
    sidecars = {
        path
        for path in files
        if path.suffix == ".json"
        if {path.with_suffix(".tsv"), path.with_suffix(".tsv.gz")} & files
    }
    assert {path.name for path in files - sidecars - told} == set()
    spheres = of(output, 1, f"{SPACE}_seg-mine_desc-spheres_dseg").table.columns
    excluded = read(output / "exclusions.tsv").columns
    reasons = of(output, 1, "_desc-band_outliers").table.columns
    for column in [*spheres, *excluded, *reasons, "Node"]:
        assert f"`{column}`" in text, column


# The image of the spheres

TURNED = np.array([[0, -4, 0, 22], [4.0, 0, 0, -22], [0, 0, 4, -18], [0, 0, 0, 1]])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("q_code", "s_code"), [(1, 4), (2, 0), (0, 1), (0, 0)], ids=["both", "q", "s", "none"]
)
def test_spheres_are_oriented_as_the_bold_image(
    tiny, seeds_file, run_app, tmp_path, q_code, s_code
):
    bold = tiny.add_run()
    img = nib.load(bold)
    img = nib.Nifti1Image(np.asarray(img.dataobj), TURNED if q_code or s_code else img.affine)
    img.header.set_zooms((4, 4, 4, 2))
    img.set_sform(TURNED, s_code)
    img.set_qform(TURNED, q_code)
    img.to_filename(bold)
    for mask in bold.parent.glob("*mask.nii.gz"):
        mask.unlink()
    told = run_app(
        tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file, "--mask", "none"
    )
    assert told.status == 0, told.err
    (path,) = (tmp_path / "out").rglob("*_dseg.nii.gz")
    spheres, bold = nib.load(path), nib.load(bold)
    assert spheres.header["qform_code"] == q_code
    assert spheres.header["sform_code"] == s_code
    np.testing.assert_array_equal(spheres.affine, bold.affine)
    np.testing.assert_array_equal(spheres.header.get_qform(), bold.header.get_qform())
    np.testing.assert_array_equal(spheres.header.get_zooms(), bold.header.get_zooms()[:3])
    assert spheres.header.get_intent()[0] == "label"
    assert spheres.header.get_xyzt_units()[0] == "mm"
    assert spheres.shape == bold.shape[:3]


@pytest.mark.slow
@pytest.mark.parametrize(("n_seeds", "kind"), [(255, np.uint8), (256, np.int16)])
def test_labels_are_as_small_as_they_can_be(tiny, run_app, tmp_path, n_seeds, kind):
    tiny.add_run()
    seeds = tmp_path / "many.tsv"
    points = np.indices((8, 8, 6)).reshape(3, -1).T[:n_seeds] * 4 - [14, 14, 10]
    seeds.write_text("x\ty\tz\n" + "".join(f"{x}\t{y}\t{z}\n" for x, y, z in points))
    told = run_app(
        *(tiny.root, tmp_path / "out", "participant", "--seeds", seeds, "--radius", "0"),
        *("--strategy", "none"),
    )
    assert told.status == 0, told.err
    (path,) = (tmp_path / "out").rglob("*_dseg.nii.gz")
    img = nib.load(path)
    assert img.get_data_dtype() == kind
    assert set(np.unique(img.dataobj)) == set(range(n_seeds + 1))


# Two inputs, one output


def test_a_template_written_in_both_ways_is_one_run_with_two_images(
    tiny, run_app, seeds_file, tmp_path
):
    old = tiny.add_run(space="MNIInfant_cohort-2")
    new = tiny.add_run(space="MNIInfant+2")
    call = (tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file)
    told = run_app(*call, "--space", "MNIInfant", "MNIInfant+2")
    assert told.status == 16
    assert f"{new} and {old} are both the same image of one run" in told.err
    assert not (tmp_path / "out").exists()
    for path in new.parent.glob("*space-MNIInfant+2*"):
        path.unlink()
    told = run_app(*call, "--space", "MNIInfant")
    assert told.status == 0, told.err
    assert list((tmp_path / "out").rglob("*_space-MNIInfant+2_seg-mine_desc-spheres_dseg.nii.gz"))
    (facts,) = (tmp_path / "out").rglob("*_space-MNIInfant+2_*_relmat.json")
    for uri in json.loads(facts.read_text())["Sources"]:
        # As a program does that only puts the parts together.
        assert (tmp_path / "out" / uri.removeprefix("bids::")).is_file()


def test_images_that_differ_in_our_entity_are_a_collision(tiny, run_app, seeds_file, tmp_path):
    for label in "ab":
        tiny.add_run(space=f"MNI152NLin2009cAsym_seg-{label}")
    told = run_app(tiny.root, tmp_path / "out", "participant", "--seeds", seeds_file)
    assert told.status == 2
    assert "seg-a" in told.err
    assert "seg-b" in told.err
    assert not (tmp_path / "out").exists()
