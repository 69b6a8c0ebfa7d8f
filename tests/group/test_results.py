"""Tables of a group and their sidecars."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pandas as pd

from bids_spheres.files.names import parse_name
from tests.group.conftest import LABELS, S, correlations, group, read_tsv, upper


def test_every_table_has_a_sidecar_and_a_name_of_entities(filled):
    outputs, _ = filled
    outputs.participants(participant_id=LABELS, age=range(20, 29))
    group(outputs, model="age")
    folder = outputs.root / "group"
    tables = [path for path in folder.iterdir() if path.suffix != ".json"]
    assert len(tables) == 14
    for path in tables:
        about = json.loads((folder / (path.name.split(".")[0] + ".json")).read_text())
        if path.name not in ("runs.tsv", "strategies.tsv"):
            assert str(parse_name(path.name)) == path.name
        columns = read_tsv(path).columns if path.suffix == ".tsv" else []
        assert "Node" in columns or set(columns) <= set(about)


def test_sidecars_say_what_was_done(filled):
    outputs, _ = filled
    group(outputs)
    about = outputs.about("mean")
    assert (about["NumberOfParticipants"], about["NumberOfRuns"]) == (9, 9)
    assert (about["Radius"], about["Strategy"]) == (5, "simple")
    assert about["RelationshipMeasure"] == "Pearson correlation"
    assert about["Scale"] == "the measure: mean of Fisher z, transformed back"
    assert (about["StorageFormat"], about["Directed"]) == ("Full", False)
    assert (about["ValidDiagonal"], about["MinimumParticipants"]) == (False, 3)
    assert about["QCFCCovariates"] == []
    scales = {what: outputs.about(what)["Scale"] for what in ("sd", "n", "t", "p", "q", "stacked")}
    assert scales == {**dict.fromkeys("ntpq", "n/a"), "sd": "Fisher z", "stacked": "Fisher z"}
    tails = {what: outputs.about(what).get("Tail") for what in ("mean", "sd", "n", "t", "p", "q")}
    assert tails == {**dict.fromkeys(("mean", "sd", "n", "t")), "p": "two", "q": "two"}
    # What a result is goes before what its runs are.
    described = {what: outputs.about(what)["Description"] for what in ("mean", "n")}
    assert described == {"mean": "Mean over participants", "n": "Participants who have the edge"}
    names = ("NuisanceParameters", "PooledSpaces", "Differences", "QCFCPermutationSeed")
    assert not {*names} & set(about)
    group(outputs, controls=True, seed=7)
    assert outputs.about("mean")["QCFCPermutationSeed"] == 7


def test_the_stacked_table_has_the_edges_of_the_index(filled):
    outputs, z = filled
    group(outputs)
    path = outputs.path("stat-pearsoncorrelation_desc-simple_stacked.tsv.gz")
    table = pd.read_csv(path, sep="\t", na_values=["n/a"], index_col="participant_id")
    stacked = table.to_numpy()
    assert table.columns.tolist() == outputs.result("edges")["edge"].astype(str).tolist()
    assert table.index.tolist() == [f"sub-{label}" for label in LABELS]
    np.testing.assert_allclose(stacked, z, rtol=1e-7)
    names = outputs.result("edges")[["node_1", "node_2"]].to_numpy().tolist()
    rows, columns = np.triu_indices(S, 1)
    assert names == [[f"s{i}", f"s{j}"] for i, j in zip(rows, columns, strict=True)]


def test_excluded_runs_do_not_count_and_are_told(outputs, rng):
    matrices = [correlations(rng, S) for _ in range(3)]
    for label, matrix in zip(LABELS, matrices, strict=False):
        outputs.add(label, matrix)
    gone = {"Excluded": "3 volumes are left"}
    nothing = np.full((S, S), np.nan)
    outputs.add("04", nothing, DegreesOfFreedom=-2, **gone)
    outputs.add("03", nothing, source="task-rest_run-2", DegreesOfFreedom=-2, **gone)
    assert group(outputs) == []
    expected = np.tanh(np.mean([np.arctanh(upper(m)) for m in matrices], axis=0))
    np.testing.assert_allclose(upper(outputs.matrix("mean")), expected, rtol=1e-8)
    people = outputs.result("participants").set_index("participant_id")
    assert people["used"].tolist() == [1, 1, 1, 0]
    assert people["runs_excluded"].tolist() == [0, 0, 1, 1]
    assert people["runs"].tolist() == [1, 1, 1, 0]
    assert people["degrees_of_freedom"].tolist() == [90, 90, 90, 0]
    assert people.loc["sub-04", "reason"] == "every run is excluded: 3 volumes are left"
    runs = read_tsv(outputs.root / "group" / "runs.tsv").set_index("source")
    assert runs["excluded"].to_dict() == {
        "sub-01_task-rest": 0,
        "sub-02_task-rest": 0,
        "sub-03_task-rest": 0,
        "sub-03_task-rest_run-2": 1,
        "sub-04_task-rest": 1,
    }
    assert runs.loc["sub-04_task-rest", "reason"] == "3 volumes are left"
    (row,) = read_tsv(outputs.root / "group" / "strategies.tsv").itertuples()
    assert (row.participants, row.runs, row.runs_excluded) == (3, 5, 2)


def test_an_earlier_model_goes_when_none_is_asked_for(filled):
    outputs, _ = filled
    outputs.participants(participant_id=LABELS, age=range(20, 29))
    group(outputs, model="age")
    mine = outputs.root / "group" / "task-rest_notes.tsv"
    mine.write_text("a user's own\n")
    group(outputs)
    assert not list((outputs.root / "group").glob("*_model.*"))
    assert mine.exists()


def test_sidecars_say_what_differs_and_what_is_odd_about_a_model(outputs, rng):
    for label in LABELS:
        first = {"source": "task-rest_run-1", "MinimumDegreesOfFreedom": 1}
        outputs.add(label, correlations(rng, S), **first)
    second = {"source": "task-rest_run-2", "MinimumDegreesOfFreedom": 15}
    outputs.add("03", correlations(rng, S), **second)
    path = outputs.participants(participant_id=LABELS, site=[1, 2] * 4 + [1])
    path.with_suffix(".json").write_text(json.dumps({"site": {"Levels": {"1": "a"}}}))
    assert group(outputs, model="site") == []
    (difference,) = outputs.about("mean")["Differences"]
    assert "15 in 1 participant (sub-03)" in difference
    (note,) = outputs.about("model")["Notes"]
    assert "C(site)" in note


def test_reasons_of_a_model_are_of_those_whose_matrices_are_used(outputs, rng):
    """Of repeated measures as well, in which a participant has several rows."""
    for label, session in product(LABELS[:6], ("pre", "post")):
        path = outputs.add(label, correlations(rng, S), source=f"ses-{session}_task-rest")
    path.write_text("nothing\n")
    ages = [20, "n/a", 25, 44, "n/a"]
    outputs.participants(participant_id=[*LABELS[:4], LABELS[5]], age=ages)
    options = {"within": "session", "model": "age + session"}
    assert len(group(outputs, **options)) == 1
    people = outputs.result("participants").set_index("participant_id")
    assert people["reason"].dropna().to_dict() == {
        "sub-02": "model: without age",
        "sub-05": "model: not in participants.tsv",
        "sub-06": "a matrix can't be read",
    }
    assert people["in_model"].tolist() == [1, 0, 1, 1, 0, 0]
    assert outputs.about("model")["NumberOfParticipantsInModel"] == 3
