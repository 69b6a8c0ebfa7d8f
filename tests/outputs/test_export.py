"""Matrices and series as other programs read them."""

from __future__ import annotations

import shutil
import subprocess
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from scipy.io import loadmat

from bids_spheres import open_results
from bids_spheres.app.main import main
from bids_spheres.errors import DataError, UsageError
from bids_spheres.outputs.export import export as export_results
from bids_spheres.outputs.results import Results
from tests.group.conftest import GROUP, PEARSON, correlations, new_outputs, without

NAMES = ["left", "right", "front", "far"]
KEPT = ["left", "right", "front"]
SPACE = "task-rest_space-MNI152NLin2009cAsym_seg-mine"
MATRIX = "stat-pearsoncorrelation_desc-simple_relmat"
PAIRS = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


@pytest.fixture(scope="module")
def output(tmp_path_factory, make_dataset):
    """Three participants with a sphere outside of the mask, and networks."""
    folder = tmp_path_factory.mktemp("export")
    dataset = make_dataset(folder / "fmriprep")
    for label in ("01", "02", "10"):
        dataset.add_run(f"sub-{label}_task-rest", n_volumes=60 + int(label))
    seeds = folder / "mine.tsv"
    seeds.write_text(
        "name\tx\ty\tz\tnetwork\nleft\t-10\t0\t0\tA\nright\t10\t0\t0\tB\nfront\t0\t10\t4\tA\n"
        "far\t90\t0\t0\tn/a\n"
    )
    flags = ["--seeds", seeds, "--strategy", "simple", "none", "--report-level", "none"]
    words = [dataset.root, folder / "out", "participant", *flags, "--dummy-scans", "3"]
    assert main([str(word) for word in words]) == 0
    return folder / "out"


@pytest.fixture
def export(output, tmp_path, run_app):
    """Call the command, which selects one strategy; return the folder."""

    def call(form, *flags):
        words = ["export", output, tmp_path / form, "--format", form, "--strategy", "simple"]
        done = run_app(*words, *flags)
        assert done.status == 0, done.err
        return tmp_path / form

    return call


def written(output, label):
    """A matrix as pandas reads it from the results."""
    name = f"sub-{label}_{SPACE}_{MATRIX}.tsv"
    path = output / f"sub-{label}" / "func" / name
    return pd.read_csv(path, sep="\t", index_col=0, na_values="n/a")


def series_of(output, label):
    name = f"sub-{label}_{SPACE}_stat-mean_desc-simple_timeseries.tsv"
    return pd.read_csv(output / f"sub-{label}" / "func" / name, sep="\t", na_values="n/a")


def test_numpy(export, output):
    folder = export("npz")
    assert len(list(folder.iterdir())) == 3
    with np.load(folder / f"sub-02_{SPACE}_{MATRIX}.npz") as arrays:
        np.testing.assert_array_equal(arrays["matrix"], written(output, "02").to_numpy())
        assert arrays["names"].tolist() == NAMES
        assert arrays["networks"].tolist() == ["A", "B", "A", "n/a"]
        np.testing.assert_array_equal(arrays["coordinates"][2], [0, 10, 4])


def test_numpy_stacked(export, output):
    (file,) = export("npz", "--stacked").iterdir()
    assert file.name == f"{SPACE}_{MATRIX}.npz"
    with np.load(file) as arrays:
        assert arrays["runs"].tolist() == ["sub-01", "sub-02", "sub-10"]
        for values, label in zip(arrays["matrices"], ("01", "02", "10"), strict=True):
            np.testing.assert_array_equal(values, written(output, label).to_numpy())


def test_matlab(export, output):
    arrays = loadmat(export("mat") / f"sub-10_{SPACE}_{MATRIX}.mat")
    np.testing.assert_array_equal(arrays["matrix"], written(output, "10").to_numpy())
    assert [cell.item() for cell in arrays["names"][:, 0]] == NAMES
    assert [cell.item() for cell in arrays["networks"][:, 0]] == ["A", "B", "A", "n/a"]
    expected = [[-10, 0, 0], [10, 0, 0], [0, 10, 4], [90, 0, 0]]
    np.testing.assert_array_equal(arrays["coordinates"], expected)


def test_matlab_stacked_has_runs_last(export, output):
    (file,) = export("mat", "--stacked").iterdir()
    arrays = loadmat(file)
    assert arrays["matrices"].shape == (4, 4, 3)
    np.testing.assert_array_equal(arrays["matrices"][:, :, 1], written(output, "02").to_numpy())
    assert [cell.item() for cell in arrays["runs"][:, 0]] == ["sub-01", "sub-02", "sub-10"]


OCTAVE = """\
loaded = load('{file}');
values = {values};
printf('%.17g ', size(values)); printf('\\n');
printf('%.17g ', values); printf('\\n');
printf('%s ', loaded.names{{:}}); printf('\\n');
printf('%s ', loaded.runs{{:}}); printf('\\n');
"""
"""Prints size and values, in MATLAB's order, and texts."""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("octave") is None, reason="octave is not installed")
@pytest.mark.parametrize(
    ("flags", "values"),
    [
        ((), "loaded.matrix"),
        (("--stacked",), "loaded.matrices"),
        (("--timeseries",), "loaded.timeseries"),
        (("--timeseries", "--stacked"), "loaded.timeseries{2}"),
    ],
    ids=lambda case: "".join(case).strip("-") if isinstance(case, tuple) else None,
)
def test_octave_reads_it(export, output, flags, values):
    folder = export("mat", *flags)
    file = next(folder.glob("*.mat" if "--stacked" in flags else "sub-02_*.mat"))
    script = OCTAVE.format(file=file, values=values)
    call = ["octave", "--norc", "--no-gui", "--quiet", "--eval", script]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    size, numbers, names, runs = done.stdout.splitlines()
    if "--timeseries" in flags:
        expected = series_of(output, "02").to_numpy()
    elif flags:
        expected = np.stack([written(output, label) for label in ("01", "02", "10")], axis=-1)
    else:
        expected = written(output, "02").to_numpy()
    assert [int(n) for n in size.split()] == [*expected.shape]
    found = np.array([float(number) for number in numbers.split()])
    np.testing.assert_allclose(found, expected.ravel(order="F"), rtol=1e-9)
    assert names.split() == NAMES
    assert runs.split() == (["sub-01", "sub-02", "sub-10"] if "--stacked" in flags else ["sub-02"])


def test_text(export, output):
    path = export("csv") / f"sub-01_{SPACE}_{MATRIX}.csv"
    first, *_, last = path.read_text().splitlines()
    assert (first, last) == ("region,left,right,front,far", "far,NaN,NaN,NaN,NaN")
    pd.testing.assert_frame_equal(
        pd.read_csv(path, index_col=0), written(output, "01"), check_names=False
    )


def test_text_stacked_has_a_column_for_every_pair(export, output):
    (file,) = export("csv", "--stacked").iterdir()
    table = pd.read_csv(file, index_col="run")
    assert table.index.tolist() == ["sub-01", "sub-02", "sub-10"]
    assert list(table) == [f"{NAMES[a]}--{NAMES[b]}" for a, b in PAIRS]
    expected = [written(output, "10").to_numpy()[pair] for pair in PAIRS]
    np.testing.assert_array_equal(table.loc["sub-10"], expected)


@pytest.mark.parametrize("form", ["npz", "mat", "csv"])
def test_series(export, output, form):
    path = export(form, "--timeseries") / (
        f"sub-02_{SPACE}_stat-mean_desc-simple_timeseries.{form}"
    )
    if form == "csv":
        table = pd.read_csv(path, index_col="volume")
        assert table.index.tolist() == list(range(3, 62))
        values = table.to_numpy()
    else:
        values = (np.load if form == "npz" else loadmat)(path)["timeseries"]
    np.testing.assert_allclose(values, series_of(output, "02"), rtol=1e-9)


@pytest.mark.parametrize("form", ["npz", "mat", "csv"])
def test_series_stacked(export, output, form):
    (file,) = export(form, "--timeseries", "--stacked").iterdir()
    if form == "npz":
        series = np.load(file)["sub-10"]
        assert np.load(file)["runs"].tolist() == ["sub-01", "sub-02", "sub-10"]
    elif form == "mat":
        arrays = loadmat(file)
        series = arrays["timeseries"][2, 0]
        assert arrays["runs"][2, 0].item() == "sub-10"
    else:
        table = pd.read_csv(file, index_col=["run", "volume"])
        assert [*dict.fromkeys(table.index.get_level_values("run"))] == [
            "sub-01",
            "sub-02",
            "sub-10",
        ]
        series = table.loc["sub-10"]
        assert series.index.tolist() == list(range(3, 70))
    np.testing.assert_allclose(series, series_of(output, "10"), rtol=1e-9)


def test_series_of_other_regions_are_not_stacked(output, tmp_path, run_app):
    copy = shutil.copytree(output, tmp_path / "copy")
    (path,) = copy.rglob("sub-10_*stat-mean_desc-simple_timeseries.tsv")
    path.write_text(path.read_text().replace("left", "third", 1))
    words = ["export", copy, tmp_path / "npz", "--format", "npz", "--timeseries", "--stacked"]
    done = run_app(*words, "--strategy", "simple")
    assert done.status == 65
    assert f"{path.name} has other regions than" in done.err


def test_graph(export, output):
    path = export("graphml") / f"sub-01_{SPACE}_{MATRIX}.graphml"
    space = {"g": "http://graphml.graphdrawing.org/xmlns"}
    root = ET.parse(path).getroot()  # noqa: S314 - our own file
    keys = [
        [key.get(f"{word}") for word in ("id", "for", "attr.name", "attr.type")] for key in root
    ]
    assert keys[:-1] == [
        *([name, "node", name, "string"] for name in ("label", "network")),
        *([name, "node", name, "double"] for name in "xyz"),
        ["weight", "edge", "weight", "double"],
    ]
    nodes = {
        node.get("id"): {data.get("key"): data.text for data in node}
        for node in root.findall(".//g:node", space)
    }
    assert list(nodes) == NAMES
    assert nodes["front"] == {"label": "front", "network": "A", "x": "0.0", "y": "10.0", "z": "4.0"}
    weights = {
        (edge.get("source"), edge.get("target")): float(edge[0].text)
        for edge in root.findall(".//g:edge", space)
    }
    matrix = written(output, "01")
    pairs = [("left", "right"), ("left", "front"), ("right", "front")]  # none to the missing one
    assert weights == {pair: matrix.loc[pair] for pair in pairs}


def test_graph_read_by_networkx(export, output):
    graph = nx.read_graphml(export("graphml") / f"sub-01_{SPACE}_{MATRIX}.graphml")
    assert not graph.is_directed()
    facts = [[graph.nodes[name][key] for key in ("network", *"xyz")] for name in NAMES]
    assert facts == [
        ["A", -10.0, 0.0, 0.0],
        ["B", 10.0, 0.0, 0.0],
        ["A", 0.0, 10.0, 4.0],
        ["n/a", 90.0, 0.0, 0.0],
    ]
    found = nx.to_numpy_array(graph, nodelist=KEPT)
    np.testing.assert_array_equal(found, written(output, "01").loc[KEPT, KEPT] - np.eye(3))


def test_brainnet_viewer(export, output):
    folder = export("brainnet")
    stem = folder / f"sub-02_{SPACE}_{MATRIX}"
    nodes = [line.split("\t") for line in stem.with_suffix(".node").read_text().splitlines()]
    assert nodes == [
        ["-10", "0", "0", "1", "1", "left"],
        ["10", "0", "0", "2", "1", "right"],
        ["0", "10", "4", "1", "1", "front"],
        ["90", "0", "0", "3", "0", "far"],
    ]
    edges = np.loadtxt(stem.with_suffix(".edge"))
    expected = written(output, "02").fillna(0).to_numpy(copy=True)
    np.fill_diagonal(expected, 0)
    np.testing.assert_array_equal(edges, expected)


@pytest.mark.parametrize("flags", [(), ("--stacked",)])
def test_network_based_statistic(export, output, flags):
    (folder,) = export("nbs", *flags).iterdir()
    np.testing.assert_array_equal(np.loadtxt(folder / "COG.txt")[1], [10, 0, 0])
    assert (folder / "nodeLabels.txt").read_text().split() == KEPT
    if flags:
        matrices = np.moveaxis(loadmat(folder / "matrices.mat")["Mat"], -1, 0)
    else:
        files = sorted((folder / "matrices").iterdir())
        assert [file.stem for file in files] == ["sub-01", "sub-02", "sub-10"]
        matrices = [np.loadtxt(file) for file in files]
    assert (folder / "runs.txt").read_text().split() == ["sub-01", "sub-02", "sub-10"]
    for values, label in zip(matrices, ("01", "02", "10"), strict=True):
        expected = written(output, label).loc[KEPT, KEPT].to_numpy(copy=True)
        np.fill_diagonal(expected, 0)
        np.testing.assert_array_equal(values, expected)


def test_matrices_of_an_earlier_export_are_not_left_for_nbs(export):
    export("nbs")
    (folder,) = export("nbs", "--participant-label", "02").iterdir()
    assert [file.name for file in (folder / "matrices").iterdir()] == ["sub-02.txt"]


def test_options_select_as_elsewhere(output, tmp_path, run_app):
    words = ["--participant-label", "sub-02", "10", "--connectivity", "pearson"]
    done = run_app("export", output, tmp_path / "x", "--format", "npz", "csv", *words)
    assert done.status == 0, done.err
    assert done.out == f"npz: 4 files in {tmp_path / 'x'}\ncsv: 4 files in {tmp_path / 'x'}\n"
    part = open_results(output).select(participant=["02", "10"])
    stems = {path.stem for path in part.runs["matrix"]}
    assert {path.stem for path in (tmp_path / "x").iterdir()} == stems


@pytest.mark.parametrize(
    ("flags", "status", "message"),
    [
        (["--format", "graphml", "--stacked"], 2, "does not go with --stacked"),
        (["--format", "nbs", "--timeseries"], 2, "does not go with --timeseries"),
        (["--format", "npz", "--task-label", "nback"], 18, "Available: task-rest"),
        (["--format", "xls"], 2, "invalid choice"),
        ([], 2, "--format"),
    ],
)
def test_calls_that_are_refused(output, tmp_path, run_app, flags, status, message):
    done = run_app("export", output, tmp_path / "x", *flags)
    assert (done.status, message in done.err) == (status, True), done.err
    assert not (tmp_path / "x").exists()


def test_nothing_is_written_into_the_results(output, run_app):
    done = run_app("export", output, output / "export", "--format", "npz")
    assert "lies in the results" in done.err
    assert not (output / "export").exists()


@pytest.mark.parametrize("flags", [(), ("--timeseries",)])
def test_runs_without_their_table_of_regions_are_left_out(output, tmp_path, run_app, flags):
    copy = shutil.copytree(output, tmp_path / "copy")
    for path in (copy / "sub-02").rglob("*_dseg.tsv"):
        path.unlink()
    words = ("export", copy, tmp_path / "to", "--format", "csv", "--strategy", "simple", *flags)
    done = run_app(*words)
    assert done.status == 0
    assert "its table of regions is gone" in done.err
    assert {path.name[:6] for path in (tmp_path / "to").iterdir()} == {"sub-01", "sub-10"}


# Results that are written by hand

OF_GROUP = f"{GROUP}_stat-{PEARSON}_desc-simple_relmat"
RUNS = ("sub-01_ses-a_dir-AP_run-1", "sub-01_ses-a_dir-PA_run-1", "sub-01_ses-b_run-2", "sub-2")


@pytest.fixture
def repeated(tmp_path, monkeypatch):
    """Runs of two participants; a node lacks in the third, and a single pair in the last."""
    outputs = new_outputs(tmp_path / "results")
    monkeypatch.setattr(type(outputs), "names", ["PCC, left", "a  b", "s2", "s3", "s4"])
    outputs.networks = ("x y", "v", "x y", "n/a", "v")
    outputs.points[4] = -30.25, 20, 1e-7
    rng = np.random.default_rng(5)
    matrices = [correlations(rng, 5) for _ in RUNS]
    matrices[2] = without(matrices[2], 2)
    matrices[3][0, 4] = matrices[3][4, 0] = np.nan
    for run, matrix in zip(RUNS, matrices, strict=True):
        label, _, rest = run.removeprefix("sub-").partition("_")
        session, _, entities = rest.partition("_")
        source = "_".join(filter(None, [session, "task-rest", entities]))
        coverage = [1, 1, 0 if run == RUNS[2] else 1, 1, 1]
        outputs.add(label, matrix, source=source, coverage=coverage)
    return outputs, matrices


def test_runs_of_all_sessions_directions_and_numbers_are_stacked(repeated, tmp_path):
    outputs, matrices = repeated
    results = open_results(outputs.root)
    assert export_results(results, tmp_path / "x", "npz", stacked=True) == 1
    assert export_results(results, tmp_path / "x", "csv", stacked=True) == 1
    with np.load(tmp_path / "x" / f"{OF_GROUP}.npz") as arrays:
        assert arrays["runs"].tolist() == [*RUNS]
        np.testing.assert_allclose(arrays["matrices"], matrices, rtol=1e-9)
        assert "matrix" not in arrays
    first, *rows = (tmp_path / "x" / f"{OF_GROUP}.csv").read_text().splitlines()
    assert first.startswith('run,"PCC, left--a  b","PCC, left--s2",')
    assert [row.partition(",")[0] for row in rows] == [*RUNS]
    assert [row.split(",").count("NaN") for row in rows] == [0, 0, 4, 1]


def test_without_stacking_every_run_has_a_file(repeated, tmp_path):
    assert export_results(open_results(repeated[0].root), tmp_path / "x", "mat") == len(RUNS)
    names = {path.stem for path in (tmp_path / "x").iterdir()}
    assert names == {path.stem for path in repeated[0].root.rglob("*_relmat.tsv")}
    (path,) = (tmp_path / "x").glob("sub-01_ses-b_*.mat")
    arrays = loadmat(path)
    assert [cell.item() for cell in arrays["runs"][:, 0]] == [RUNS[2]]
    assert "matrices" not in arrays


def test_regions_of_brainnet_viewer(repeated, tmp_path):
    """Labels are one word, colours numbers of networks, and regions without a value have size 0."""
    export_results(open_results(repeated[0].root), tmp_path / "x", "brainnet")
    (path,) = (tmp_path / "x").glob("sub-01_ses-b_*.node")
    assert path.read_text() == (
        "-40\t0\t0\t1\t1\tPCC,_left\n40\t0\t0\t2\t1\ta_b\n0\t60\t10\t1\t0\ts2\n"
        "0\t-60\t10\t3\t1\ts3\n-30.25\t20\t1e-07\t2\t1\ts4\n"
    )


def test_regions_that_a_run_lacks_are_left_out_for_nbs_and_pairs_are_0(repeated, tmp_path, caplog):
    outputs, matrices = repeated
    export_results(open_results(outputs.root), tmp_path / "x", "nbs")
    folder, kept = tmp_path / "x" / OF_GROUP, [0, 1, 3, 4]
    assert (folder / "nodeLabels.txt").read_text() == "PCC, left\na  b\ns3\ns4\n"
    np.testing.assert_array_equal(np.loadtxt(folder / "COG.txt"), outputs.points[kept])
    assert (folder / "runs.txt").read_text().split() == [*RUNS]
    for run, matrix in zip(RUNS, matrices, strict=True):
        expected = np.nan_to_num(matrix[np.ix_(kept, kept)]) * (1 - np.eye(4))
        found = np.loadtxt(folder / "matrices" / f"{run}.txt")
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert "without s2." in caplog.text
    assert "NBS takes each matrix for a participant" in caplog.text
    caplog.clear()
    part = open_results(outputs.root).select(session=["a", None], dir=["AP", None])
    export_results(part, tmp_path / "y", "nbs", stacked=True)
    assert "NBS" not in caplog.text
    values = loadmat(tmp_path / "y" / OF_GROUP / "matrices.mat")["Mat"]
    assert values.shape == (5, 5, 2)
    np.testing.assert_allclose(values[..., 0], matrices[0] - np.eye(5), rtol=1e-9)


@pytest.mark.parametrize(("n", "fits"), [(2**25 - 1, True), (2**25, False)])
def test_a_stack_of_four_gigabytes_is_too_large_for_matlab(
    repeated, tmp_path, monkeypatch, n, fits
):
    large = SimpleNamespace(values=np.broadcast_to(0.5, (n, 4, 4)))
    monkeypatch.setattr(Results, "matrices_of", lambda *_: large)
    monkeypatch.setattr("scipy.io.savemat", lambda *_, **__: None)
    results = open_results(repeated[0].root)
    if fits:
        assert export_results(results, tmp_path / "x", "mat", stacked=True) == 1
        return
    with pytest.raises(UsageError, match="4 GB or more"):
        export_results(results, tmp_path / "x", "mat", stacked=True)
    assert not (tmp_path / "x").exists()


def test_stacks_are_of_one_strategy_and_measure_each(repeated, tmp_path):
    outputs, matrices = repeated
    others = {"36P": 2 * np.eye(5) - 0.25, "9P": np.eye(5) + 0.125}
    outputs.add("2", others["36P"], strategy="36P", stat="covariance")
    for label in ("7", "8"):
        outputs.add(label, others["9P"] * int(label), strategy="9P")
    results = open_results(outputs.root)
    assert export_results(results, tmp_path / "x", "npz", stacked=True) == 3
    found = {}
    for path in (tmp_path / "x").iterdir():
        with np.load(path) as arrays:
            found[path.stem.rpartition("_stat-")[2]] = arrays["runs"].tolist(), arrays["matrices"]
    runs = {name: own for name, (own, _) in found.items()}
    assert runs == {
        f"{PEARSON}_desc-simple_relmat": [*RUNS],
        "covariance_desc-36P_relmat": ["sub-2"],
        f"{PEARSON}_desc-9P_relmat": ["sub-7", "sub-8"],
    }
    np.testing.assert_allclose(found[f"{PEARSON}_desc-simple_relmat"][1], matrices, rtol=1e-9)
    np.testing.assert_allclose(found["covariance_desc-36P_relmat"][1], [others["36P"]])
    nine = found[f"{PEARSON}_desc-9P_relmat"][1]
    np.testing.assert_allclose(nine, [7 * others["9P"], 8 * others["9P"]])


def test_regions_of_a_stack_are_those_of_the_first_run_that_has_them(repeated, tmp_path):
    outputs, matrices = repeated
    first, *others = sorted(outputs.root.rglob("*_dseg.tsv"))
    first.unlink()
    others[-1].unlink()
    export_results(open_results(outputs.root), tmp_path / "x", "npz", stacked=True)
    with np.load(tmp_path / "x" / f"{OF_GROUP}.npz") as arrays:
        assert arrays["names"].tolist() == outputs.names
        np.testing.assert_array_equal(arrays["coordinates"], outputs.points)
        np.testing.assert_allclose(arrays["matrices"], matrices, rtol=1e-9)


def test_series_are_stacked_only_if_regions_have_the_same_order(output, tmp_path):
    copy = shutil.copytree(output, tmp_path / "copy")
    (path,) = copy.rglob("sub-10_*stat-mean_desc-simple_timeseries.tsv")
    header, rows = path.read_text().split("\n", 1)
    path.write_text("\t".join(reversed(header.split("\t"))) + "\n" + rows)
    results = open_results(copy).select(strategy="simple")
    with pytest.raises(DataError, match=f"{path.name} has other regions than"):
        export_results(results, tmp_path / "x", "npz", timeseries=True, stacked=True)


def test_weights_of_graphs_may_be_negative_or_zero(tmp_path):
    outputs = new_outputs(tmp_path / "results")
    matrix = np.eye(5)
    matrix[0, 1:] = matrix[1:, 0] = -0.123456789, 0, 0.5, np.nan
    outputs.add("1", matrix)
    export_results(open_results(outputs.root), tmp_path / "x", "graphml")
    export_results(open_results(outputs.root), tmp_path / "x", "csv")
    (path,) = (tmp_path / "x").glob("*.graphml")
    graph = nx.read_graphml(path)
    assert graph.edges["s0", "s1"]["weight"] == -0.123456789
    assert graph.edges["s0", "s2"]["weight"] == 0
    assert len(graph.edges) == 9
    assert "-0.123456789" in path.with_suffix(".csv").read_text()


def test_series_of_one_run_are_not_about_volumes_of_another(output, tmp_path):
    """Two runs whose first volumes are left out, one of them with more of them."""
    copy = shutil.copytree(output, tmp_path / "copy")
    (outliers,) = copy.rglob("sub-02_*desc-simple_outliers.tsv")
    header, *rows = outliers.read_text().splitlines()
    last = [line.replace("1", "0", 1) if number == 0 else line for number, line in enumerate(rows)]
    last[5] = last[5].replace("0", "1", 1)
    outliers.write_text("\n".join([header, *last]) + "\n")
    results = open_results(copy).select(strategy="simple", participant=["01", "02"])
    export_results(results, tmp_path / "x", "csv", timeseries=True, stacked=True)
    table = pd.read_csv(next((tmp_path / "x").iterdir()), index_col=["run", "volume"])
    assert table.loc["sub-01"].index.tolist() == [*range(3, 61)]
    assert table.loc["sub-02"].index.tolist() == [0, 3, 4, *range(6, 62)]
