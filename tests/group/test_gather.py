"""What participants of a group must share, and places and coverage of its seeds."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from bids_spheres.errors import DataError
from bids_spheres.files.names import parse_name
from tests.group.conftest import (
    LABELS,
    NETWORKS,
    POINTS,
    S,
    correlations,
    group,
    read_tsv,
    write_tsv,
)


def test_seeds_that_the_group_lacks(outputs, rng):
    shares = {
        "01": [[1, 1, 1, 1, 1], [1, 0.4, 1, 1, 0]],
        "02": [[1, 0.2, 1, 1, 0]],
        "03": [[1, 0.8, 1, 0.7, 0]],
    }
    for label, runs in shares.items():
        for run, coverage in enumerate(runs, start=1):
            source = f"task-rest_run-{run}"
            outputs.add(label, correlations(rng, S), source=source, coverage=coverage)
    assert group(outputs) == []
    table = read_tsv(outputs.path("coverage.tsv"))
    assert table["name"].tolist() == [f"s{i}" for i in range(S)]
    assert table["participants"].tolist() == [3, 2, 3, 3, 1]
    np.testing.assert_allclose(table["share"], [1, 2 / 3, 1, 1, 1 / 3], rtol=1e-9)
    np.testing.assert_allclose(table["coverage"], [1, 1.7 / 3, 1, 2.7 / 3, 0.5 / 3], rtol=1e-9)


@pytest.mark.parametrize(("lacking", "told"), [(2, False), (3, True)])
def test_seeds_that_more_than_half_lack_are_named(outputs, rng, caplog, lacking, told):
    for i in range(4):
        coverage = [1, 1, 0.2 if i < lacking else 1, 1, 1]
        outputs.add(f"{i:02d}", correlations(rng, S), coverage=coverage)
    with caplog.at_level(logging.WARNING, "bids_spheres"):
        assert group(outputs) == []
    named = "1 of 5 seeds are missing in more than half of the participants: s2"
    assert (named in caplog.text) is told


def test_runs_with_different_settings_are_refused_and_others_done(filled, rng):
    outputs, _ = filled
    for label in LABELS:
        outputs.add(label, correlations(rng, S), strategy="36P")
    group(outputs)
    outputs.add("04", correlations(rng, S), SmoothingFWHM=6.0)
    (problem,) = group(outputs)
    assert "SmoothingFWHM is 0 in 8 participants" in problem
    assert "and 6 in 1 participant (sub-04)" in problem
    # Neither a result, nor what is left of the call before.
    assert not list((outputs.root / "group").glob("*_desc-simple_*"))
    assert outputs.path("stat-pearsoncorrelation_desc-36P_mean.tsv").exists()
    assert group(outputs, select=(("sub", ("01", "02", "03")),)) == []
    assert outputs.about("mean")["NumberOfParticipants"] == 3


@pytest.mark.parametrize("space", ["OASIS30ANTs", "MNIPediatricAsym"])
def test_places_of_seeds_are_the_same_in_every_template(outputs, rng, space):
    outputs.space = space
    outputs.add("01", correlations(rng, S))
    outputs.points = POINTS + np.array([0, 0, 0.5])
    outputs.add("02", correlations(rng, S))
    with pytest.raises(DataError, match="coordinates"):
        group(outputs)


@pytest.mark.parametrize("change", ["name", "coordinates", "network", "radius", "radius by 0.2"])
def test_runs_with_different_spheres_are_refused(filled, rng, change):
    outputs, _ = filled
    path = outputs.add("04", correlations(rng, S))
    spheres = next(path.parent.glob("*_dseg.tsv"))
    table = read_tsv(spheres)
    change, _, by = change.partition(" by ")
    column = {"coordinates": "x"}.get(change, change)
    table[column] = table[column].astype(object)
    table.loc[1, column] = {"x": 41.0, "radius": 5 + float(by or 3)}.get(column, "other")
    table.to_csv(spheres, sep="\t", index=False, na_rep="n/a")
    with pytest.raises(DataError, match="sub-04") as caught:
        group(outputs)
    assert change in str(caught.value)


def test_in_their_own_spaces_participants_have_seeds_in_different_places(outputs, rng):
    outputs.space = "T1w"
    outputs.add("01", correlations(rng, S))
    outputs.points = 1.5 * POINTS
    outputs.add("02", correlations(rng, S))
    assert group(outputs) == []
    (path,) = (outputs.root / "group").glob("*_edges.tsv")
    distance = np.linalg.norm(POINTS[0] - POINTS[1])
    assert read_tsv(path)["distance"][0] == pytest.approx(1.25 * distance)


def test_distances_are_means_of_those_of_runs_and_not_of_mean_places(outputs, rng):
    """Of a head that lies on its side, distances are those of one that does not."""
    outputs.space = "T1w"
    outputs.add("01", correlations(rng, S))
    outputs.points = POINTS[:, [1, 2, 0]]
    outputs.add("02", correlations(rng, S))
    assert group(outputs) == []
    (path,) = (outputs.root / "group").glob("*_edges.tsv")
    np.testing.assert_allclose(read_tsv(path)["distance"], pdist(POINTS))


def test_networks_that_change_places_are_refused(outputs, rng):
    outputs.add("01", correlations(rng, S))
    outputs.networks = (*NETWORKS[2:4], *NETWORKS[:2], NETWORKS[4])
    outputs.add("02", correlations(rng, S))
    with pytest.raises(DataError, match="networks is"):
        group(outputs)


@pytest.mark.parametrize(
    ("key", "value", "change"),
    [
        ("Seeds", "Other", 'Seeds was "Tiny" and is "Other"'),
        ("SeedSpace", "T1w", 'SeedSpace was null and is "T1w"'),
        ("Radius", 5.5, "Radius was 5 and is 5.5"),
        ("Mask", "none", 'Mask was "run" and is "none"'),
        ("Overlap", "exclude", 'Overlap was "allow" and is "exclude"'),
        ("MinimumCoverage", 0.9, "MinimumCoverage was 0.5 and is 0.9"),
        ("Tissue", "GM", 'Tissue was null and is "GM"'),
        ("ExcludeMask", "lesion.nii", 'ExcludeMask was null and is "lesion.nii"'),
    ],
)
def test_spheres_that_were_drawn_anew_are_noticed(filled, key, value, change):
    outputs, _ = filled
    sidecar = next((outputs.root / "sub-02" / "func").glob("*_dseg.json"))
    content = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**content, key: value}))
    with pytest.raises(DataError, match=rf"drawn again.*{change} in 1 participant \(sub-02\)"):
        group(outputs)


def test_descriptions_and_versions_that_differ_are_told(filled, rng, caplog):
    outputs, _ = filled
    outputs.add("02", correlations(rng, S), Description="Another.")
    with caplog.at_level(logging.WARNING, "bids_spheres"):
        assert group(outputs) == []
    assert '"Another." in 1 participant (sub-02)' in caplog.text


def test_coverage_tells_where_seeds_are(outputs, rng):
    outputs.space = ""
    for label, shift in (("01", 0.0), ("02", 3.0)):
        outputs.points = POINTS + shift
        outputs.add(label, correlations(rng, S))
    assert group(outputs) == []
    (path,) = (outputs.root / "group").glob("*_coverage.tsv")
    table = read_tsv(path)
    np.testing.assert_allclose(table[["x", "y", "z"]], POINTS + 1.5)
    assert table["radius"].tolist() == [5] * S


@pytest.mark.parametrize("key", ["SeedSpace", "Standardize"])
def test_settings_that_differ_are_refused_within_a_space(outputs, rng, key):
    outputs.add("01", correlations(rng, S), **{key: "a"})
    outputs.add("02", correlations(rng, S), **{key: "b"})
    with pytest.raises(DataError, match=rf'{key} is "a" in 1 participant \(sub-01\) and "b" in 1'):
        group(outputs)


@pytest.mark.parametrize(("shift", "refused"), [(2e-5, False), (2e-4, True)])
def test_coordinates_agree_to_a_tenth_of_a_micrometre(outputs, rng, shift, refused):
    outputs.add("01", correlations(rng, S))
    outputs.points = POINTS + shift * np.eye(5)[:, :3]
    outputs.add("02", correlations(rng, S))
    if refused:
        with pytest.raises(DataError, match="coordinates"):
            group(outputs)
        return
    assert group(outputs) == []
    assert outputs.about("mean")["NumberOfParticipants"] == 2


def test_seeds_of_a_single_voxel_have_a_radius_of_zero(outputs, rng):
    for label in ("01", "02"):
        path = outputs.add(label, correlations(rng, S), source="task-rest")
        (spheres,) = path.parent.glob("*_dseg.tsv")
        spheres.write_text(spheres.read_text().replace("\t5\tdefault", "\tn/a\tdefault"))
    assert group(outputs) == []
    assert read_tsv(outputs.path("coverage.tsv"))["radius"].tolist() == [0, 0, 5, 5, 5]


def test_a_participant_who_has_a_sphere_in_one_run_has_it(outputs, rng):
    for run, coverage in enumerate(([1, 0, 1, 0.6, 0], [0, 1, 1, 0.2, 0]), start=1):
        for strategy in ("simple", "36P"):
            facts = {"source": f"task-rest_run-{run}", "coverage": coverage, "strategy": strategy}
            outputs.add("01", correlations(rng, S), **facts)
    assert group(outputs) == []
    table = read_tsv(outputs.path("coverage.tsv"))
    assert table["participants"].tolist() == [1, 1, 1, 1, 0]
    np.testing.assert_allclose(table["coverage"], [0.5, 0.5, 1, 0.4, 0])
    about = json.loads(outputs.path("coverage.json").read_text())
    assert about["NumberOfRuns"] == 2


def test_seed_sets_have_coverage_and_numbers_of_runs_of_their_own(outputs, rng):
    for label in ("01", "02", "03"):
        outputs.add(label, correlations(rng, S), coverage=[1, 1, 1, 1, 0.2 if label == "01" else 1])
    of_other = {"seeds": "seg-Other", "Seeds": "Other"}
    for run, share in ((1, 0.6), (2, 0.8), (3, 1)):
        facts = {"source": f"task-rest_run-{run}", "coverage": [share, 1, 1, 1, 1], **of_other}
        outputs.add("01", correlations(rng, S), **facts)
    outputs.add("02", correlations(rng, S), coverage=[0.1, 0.2, 0.3, 0.4, 0.25], **of_other)
    assert group(outputs) == []
    coverage, runs = {}, {}
    for path in (outputs.root / "group").glob("*_coverage.tsv"):
        seeds = dict(parse_name(path.name).entities)
        coverage[seeds.get("seg")] = read_tsv(path)
        runs[seeds.get("seg")] = json.loads(path.with_suffix(".json").read_text())["NumberOfRuns"]
    assert runs == {None: 3, "Other": 4}
    assert coverage[None]["participants"].tolist() == [3, 3, 3, 3, 2]
    assert coverage["Other"]["participants"].tolist() == [1] * 5
    assert coverage["Other"]["share"].tolist() == [0.5] * 5
    np.testing.assert_allclose(coverage["Other"]["coverage"], [0.45, 0.6, 0.65, 0.7, 0.625])
    strategies = read_tsv(outputs.root / "group" / "strategies.tsv").set_index("seeds")
    assert strategies["runs"].to_dict() == {"Tiny": 3, "Other": 4}
    assert strategies["participants"].to_dict() == {"Tiny": 3, "Other": 2}


def test_of_spheres_that_can_not_be_mixed_no_earlier_result_is_left(filled, rng):
    outputs, _ = filled
    for label in LABELS:
        outputs.add(label, correlations(rng, S), strategy="36P")
    outputs.add("01", correlations(rng, S), source="task-nback")
    assert group(outputs) == []
    outputs.points = POINTS + 5
    outputs.add("04", correlations(rng, S))
    (problem,) = group(outputs)
    assert "coordinates" in problem
    folder = outputs.root / "group"
    assert not list(folder.glob("task-rest_*"))
    assert list(folder.glob("task-nback_*_mean.tsv"))


def test_a_sphere_of_no_voxel_has_no_coverage(outputs, rng):
    """As a region that the grid of the image of a run does not reach."""
    for label, run in (("01", 1), ("02", 1), ("02", 2), ("03", 1)):
        coverage = [1, 0.8, 1, 1, 0.6 * (run - 1)]
        source = f"task-rest_run-{run}"
        path = outputs.add(label, correlations(rng, S), source=source, coverage=coverage)
        if (label, run) == ("02", 1):
            (spheres,) = path.parent.glob("*_run-1_*_dseg.tsv")
            write_tsv(spheres, read_tsv(spheres).assign(coverage=[np.nan, 0.8, 1, 1, np.nan]))
    assert group(outputs) == []
    coverage = read_tsv(outputs.path("coverage.tsv"))["coverage"]
    np.testing.assert_allclose(coverage, [2.5 / 3, 0.8, 1, 1, 0.3 / 3])
