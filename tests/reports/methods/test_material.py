"""What the methods text says of regions, spaces and smoothing, and of details of strategies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bids_spheres.confounds.strategy import Censor, CompCor, Task, TemporalFilter
from bids_spheres.engine.regions import RegionImage
from bids_spheres.engine.seeds import load_seeds
from bids_spheres.reports.methods.citation import MethodsFacts, nouns
from bids_spheres.reports.methods.references import Reference, escape, find_doi, unescape
from tests.reports.methods.conftest import check_prose, own, table, told


def regions(n=2, kind="labels", names=("atlas.nii.gz",), **more):
    return table([3.0] * n, "own", regions=RegionImage(tuple(map(Path, names)), kind, **more))


def text_of(*sets, **facts):
    text = told(own(), seed_sets=sets, **facts)
    check_prose(text)
    return text


def test_regions_of_a_label_image():
    text = text_of(regions())
    assert (
        "The 2 regions of atlas.nii.gz were used as the nearest voxels of each image; the" in text
    )
    assert (
        "the signal of a region was the mean of those of its voxels in the run's brain mask" in text
    )
    assert "after the masker for labels of nilearn (Abraham et al., 2014)" in text
    assert "all pairs of regions of a set" in text
    assert not re.search("[Ss]phere|seed", text.replace("bids_spheres", ""))
    single = text_of(regions(1, names=("a.nii", "b.nii", "c.nii", "d.nii")))
    assert "The 1 region of a.nii, b.nii, and c.nii were" in single


@pytest.mark.parametrize(
    ("weighting", "words"),
    [
        ("mean", "were means of all voxels, weighted by each map."),
        ("least-squares", "were found by least squares, all maps together, as the masker for maps"),
    ],
)
def test_regions_of_maps(weighting, words):
    text = text_of(regions(kind="maps", weighting=weighting))
    assert f"Signals of the 2 regions of atlas.nii.gz {words}" in text
    assert "nearest voxels" not in text


def test_spheres_and_regions_together():
    text = text_of(table([5, 5]), regions())
    assert "Spheres were placed around 2 user-defined seeds of the table mine" in text
    assert "In each run, the signal of a sphere was the mean of those voxels of the run's" in text
    assert "the signal of a region was the mean" in text
    assert "all pairs of spheres and regions of a set" in text
    sets = {
        "spheres": (table([5]),),
        "regions": (regions(),),
        "spheres and regions": (regions(), table([5])),
    }
    for words, tables in sets.items():
        assert nouns(MethodsFacts(seed_sets=tables)) == words
    assert nouns(MethodsFacts()) == "spheres"


def test_voxels_of_several_go_to_the_nearest():
    nearest = "Voxels in several {} of a set were assigned to the nearest {}."
    assert nearest.format("spheres", "seed") in text_of(table([5]), overlap="nearest")
    both = text_of(table([5]), regions(), overlap="nearest")
    assert nearest.format("spheres and regions", "centre") in both


def test_smoothing_of_images_that_are_despiked_is_no_smoothing_of_weights():
    assert "applied to the weights" in text_of(table([5]), smoothing_fwhm=4.5)
    text = text_of(table([5]), smoothing_fwhm=4.5, despike=True)
    assert "The images were smoothed with a Gaussian kernel of 4.5 mm" in text
    assert "applied to the weights" not in text


def test_published_seeds_of_one_voxel_each():
    text = text_of(load_seeds("Power2011").with_radius(0))
    assert "around the 264 seeds of Power2011 (Power et al., 2011) with the one voxel" in text


def test_coordinates_of_images_in_several_spaces():
    seeds = load_seeds("Power2011")
    text = text_of(seeds, spaces=("MNI152NLin6Asym", "T1w", "MNI152NLin2009cAsym"))
    assert (
        "taken to be in MNI152NLin6Asym space, were used in T1w and MNI152NLin2009cAsym without"
    ) in text
    unknown = table([5], space=None)
    assert "taken to be" not in text_of(unknown, spaces=("T1w",))
    moved = text_of(seeds, load_seeds("Seitzman2018"), spaces=("T1w",), transformed=("Power2011",))
    assert "The coordinates of Power2011, taken to be in MNI152NLin6Asym space, were trans" in moved
    assert "The coordinates of Seitzman2018, taken to be in MNI152NLin6Asym space, were us" in moved
    assert "Lancaster" not in moved


# Strategies


def test_the_first_paper_is_cited_for_all_24_parameters_alone():
    assert "(Friston et al., 1996; Satterthwaite et al., 2013)" in told(own(motion="full"))
    for form in ("power2", "derivatives"):
        text = told(own(motion=form))
        assert "Friston" not in text
        assert "(Satterthwaite et al., 2013)" in text
    assert "Friston" not in told(own(wm_csf="full", global_signal="full"))


def test_strategies_of_the_benchmarks():
    for values in ({"motion": "basic"}, {"compcor": CompCor("WM", 5)}, {"ica_aroma": "basic"}):
        assert "Benchmarks have compared" in told(own(**values))
    for values in ({"confounds": ("belt",)}, {"task": Task("hrf")}, {"tedana": "aggressive"}):
        assert "Benchmarks have compared" not in told(own(**values))


@pytest.mark.parametrize(
    ("strategy", "facts", "words"),
    [
        (own(), {}, "(volumes kept, less the rank of mean and trend)"),
        (own(motion="basic"), {}, "less the rank of confounds, mean, and trend)"),
        (own(motion="basic"), {"detrend": False}, "less the rank of confounds and mean)"),
        (own(filter=TemporalFilter(0.008, type="cosine")), {}, "of confounds, mean, and trend)"),
        (own(filter=TemporalFilter(0.008)), {}, "rank of mean and trend; with a Butterworth"),
    ],
)
def test_how_degrees_of_freedom_are_counted(strategy, facts, words):
    text = told(strategy, min_dof=7, **facts)
    assert "left with fewer than 7 degrees of freedom" in text
    assert words in text


@pytest.mark.parametrize(
    ("scans", "words"),
    [
        (0, "Volumes that fMRIPrep flagged as acquired before"),
        ("auto", "Volumes that fMRIPrep flagged as acquired before"),
        (1, "The first volume of each run, and any others that fMRIPrep flagged"),
        (3, "The first 3 volumes of each run, and any others"),
    ],
)
def test_volumes_at_the_start(scans, words):
    assert words in told(own(), dummy_scans=scans)


def test_neighbours_of_censored_volumes():
    assert "So were up to 2 volumes before each volume above this threshold." in told(
        own(censor=Censor(0.2, before=2))
    )
    both = told(own(censor=Censor(0.2, 1.5, before=1, combine="any")))
    assert "So were up to 1 volume before each volume above one of these thresholds." in both
    alone = told(own(censor=Censor(0.2, after=1, combine="all")))
    assert "each volume above this threshold." in alone
    marked = told(own(censor=Censor(0.2)), external_outliers=True)
    assert " or that were marked in the user's tables of outliers were censored." in marked
    assert "Segments shorter than 2 volumes" in told(own(censor=Censor(0.2, min_segment=2)))


def test_images_in_the_order_in_which_they_are_taken():
    text = told(own(bold=("denoised", "preproc")))
    assert (
        "applied to images that tedana had denoised, or, for runs that lack these, to the "
        "preprocessed images (DuPre et al., 2021; Kundu et al., 2012)."
    ) in text


# References


def reference(*authors, **fields):
    about = {"title": "A title", "journal": "J", "year": "2000", "doi": "10.1/x"}
    return Reference("x", {**about, "author": " and ".join(authors), **fields}, "")


def test_how_many_authors_are_named():
    many = [f"Name{chr(65 + i)}, First" for i in range(11)]
    assert reference(*many[:10]).text.startswith(
        "NameA F, NameB F, NameC F, NameD F, NameE F, NameF F, NameG F, NameH F, NameI F, NameJ F ("
    )
    six = "NameA F, NameB F, NameC F, NameD F, NameE F, NameF F, et al. (2000)."
    assert reference(*many).text.startswith(six)
    assert reference(*many[:2], "others").text.startswith("NameA F, NameB F, et al. (2000). A")
    labels = [reference(*many[:n]).label for n in (1, 2, 3)]
    assert labels == ["NameA, 2000", "NameA and NameB, 2000", "NameA et al., 2000"]


def test_parts_of_a_reference():
    assert reference("Doe, Jr., Jane Mary-Ann").text == "Doe JMA Jr (2000). A title. J."
    group = reference("{The Group}", title="Is {it}?", volume="3", number="2", pages="1--9")
    assert group.text == "The Group (2000). Is it? J 3(2), 1\N{EN DASH}9."
    assert group.label == "The Group, 2000"
    assert reference("Doe, J", volume="7").text == "Doe J (2000). A title. J 7."
    assert reference("Doe, J").url == "https://doi.org/10.1/x"
    assert reference("Doe, J", url="https://x.org").url == "https://x.org"


def test_what_is_found_by_a_doi():
    assert find_doi("10.1016/J.NEURON.2011.09.006").key == "power2011"
    assert find_doi("10.1/none") is find_doi(None) is None
    assert unescape(escape("a*b [c] _d_ \\ #1")) == "a*b [c] _d_ \\ #1"
