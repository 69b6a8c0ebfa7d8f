"""What the methods text says of regressors, censoring and filters."""

from __future__ import annotations

import re

import pytest

from bids_spheres.confounds.columns import MASKS_OF, column_names, select
from bids_spheres.confounds.strategy import BOLD_KINDS, EXPANSIONS, Censor, CompCor, TemporalFilter
from tests.reports.methods.conftest import check_prose, own, told

# --- Regressors -------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["motion", "wm_csf", "global_signal"])
@pytest.mark.parametrize("form", [form for form in EXPANSIONS if form != "basic"])
def test_number_of_expanded_regressors_is_that_of_the_columns(key, form):
    strategy = own(**{key: form})
    text = told(strategy)
    check_prose(text)
    assert f"regressed out {len(column_names(strategy))} " in text
    assert ("squares" in text) == (form != "derivatives")
    assert ("differences" in text) == (form != "power2")


def test_basic_regressors_are_told_without_expansions():
    text = told(own(motion="basic", wm_csf="basic", global_signal="basic"))
    assert (
        "regressed out the six realignment parameters, the mean signals of white matter and "
        "cerebrospinal fluid, and the global signal." in text
    )


@pytest.mark.parametrize("mask", MASKS_OF)
@pytest.mark.parametrize("n", [1, 3, "all"])
def test_compcor_tells_mask_and_number(mask, n):
    text = told(own(compcor=CompCor(mask, n)))
    check_prose(text)
    number = {1: "the first", 3: "the first 3", "all": "all"}[n]
    kinds = {"temporal": "tCompCor", "WM": "white matter", "CSF": "cerebrospinal fluid"}
    for part in MASKS_OF[mask]:
        assert kinds.get(part, "combined mask") in text
    assert text.count(f"{number} tCompCor") == ("temporal" in MASKS_OF[mask])
    assert text.count(f"{number} aCompCor") == len(set(MASKS_OF[mask]) - {"temporal"})
    assert ("Muschelli" in text) == (mask != "temporal")
    assert "cosine terms of fMRIPrep" in text


@pytest.mark.parametrize(
    "confounds",
    [
        ("csf",),
        ("a_comp_cor_00",),
        ("edge_comp_03",),
        (r"^rot_[xyz]$",),
        (r"^[ac]_comp_cor_0[0-4]$",),
        (r"^cosine\d+$",),
        ("cosine00", "csf"),
    ],
)
def test_cosines_that_come_with_own_columns_are_those_of_the_design(confounds):
    names = ("csf", "rot_x", "a_comp_cor_00", "c_comp_cor_01", "edge_comp_03", "cosine00")
    strategy = own(confounds=confounds)
    taken = select(strategy, names, {}, one_mask=False).columns
    named = any("cosine" in entry for entry in confounds)
    assert ("cosine terms" in told(strategy)) == ("cosine00" in taken and not named)


@pytest.mark.parametrize("confounds", [("global_signal",), ("^global_signal",), ("^global",)])
def test_global_signal_by_another_key_is_noticed(confounds):
    assert "Removal of the global signal is debated (Murphy" in told(own(confounds=confounds))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"ica_aroma": "basic"},
            "that ICA-AROMA classified as motion (Pruim et al., 2015) (aggressive regression).",
        ),
        ({"ica_aroma": "orthogonal"}, "orthogonalized with respect to the other components"),
        ({"ica_aroma": "orthogonal"}, "and otherwise aggressive regression"),
        ({"ica_aroma": "full"}, "images that fMRIPrep had smoothed (FSL SUSAN, 6 mm full width"),
        ({"tedana": "aggressive"}, "tedana rejected (DuPre et al., 2021; Kundu et al., 2012)."),
        ({"tedana": "orthogonal"}, "orthogonalized with respect to the accepted"),
    ],
)
def test_components_are_told(values, words):
    text = told(own(**values))
    check_prose(text)
    assert words in text


@pytest.mark.parametrize("kind", BOLD_KINDS)
def test_images_other_than_fmripreps_preprocessed_ones_are_told(kind):
    text = told(own(bold=(kind,)))
    check_prose(text)
    assert ("It was applied to" in text) == (kind != "preproc")
    assert ("Pruim" in text) == ("aggr" in kind)
    assert ("Kundu" in text) == (kind in ("optcom", "denoised"))


# --- Censoring and filters, with their numbers ------------------------------------------------


def test_thresholds_are_told_with_their_numbers():
    text = told(own(censor=Censor(0.3, 1.75, before=1, after=2, min_segment=7)))
    check_prose(text)
    assert "framewise displacement above 0.3 mm (Power et al., 2012; Power et al., 2014)" in text
    assert "or with standardized DVARS above 1.75 (" in text
    assert "up to 1 volume before and up to 2 volumes after each volume above one of" in text
    assert "Segments shorter than 7 volumes" in text


@pytest.mark.parametrize(
    ("censor", "told_words", "untold"),
    [
        (Censor(0.2), "above 0.2 mm", "DVARS|So were|Segments"),
        (Censor(0.0), "above 0 mm", "DVARS|So were|Segments"),
        (Censor(None, 2.0), "DVARS above 2 ", "framewise|So were|Segments"),
        (Censor(0.2, after=1), "up to 1 volume after each volume above this", "before each"),
        (Censor(0.2, min_segment=1), "above 0.2 mm", "Segments"),
    ],
)
def test_a_rule_that_is_off_is_not_told(censor, told_words, untold):
    text = told(own(censor=censor))
    check_prose(text)
    assert told_words in text
    assert not re.search(untold, text)


def test_rules_without_a_threshold_do_nothing_unless_volumes_are_marked():
    strategy = own(censor=Censor(before=1, after=1, min_segment=5))
    assert "censored" not in told(strategy)
    text = told(strategy, external_outliers=True)
    assert "Segments shorter than 5" in text
    assert "So were" not in text


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (TemporalFilter(0.01, 0.08), "order 5, applied forward and backward, passed frequencies "),
        (TemporalFilter(0.01, 0.08, order=2), "order 2, "),
        (TemporalFilter(0.01, 0.08), "from 0.01 to 0.08 Hz"),
        (TemporalFilter(0.009), "above 0.009 Hz"),
        (TemporalFilter(None, 0.1), "below 0.1 Hz"),
    ],
)
def test_butterworth_filter_is_told_with_the_order_of_steps(chosen, words):
    text = told(own(filter=chosen, motion="basic"))
    check_prose(text)
    assert words in text
    steps = re.search(r"order \(Lindquist et al., 2019\): (.*?)\.", text)[1]
    order = ["interpolation", "trend", "filtering", "interpolated volumes", "regression"]
    assert sorted(order, key=steps.index) == order
    assert "one over the variance that the correlation of two independent white series" in text


def test_steps_that_are_not_done_are_not_in_the_order():
    text = told(own(filter=TemporalFilter(0.01)), detrend=False)
    assert not re.search("trend|and regression", text)
    assert "filtering, and removal of the interpolated volumes." in text


def test_cosine_filter_is_a_regressor():
    text = told(own(filter=TemporalFilter(0.008, type="cosine")))
    assert "regressed out a discrete cosine basis of frequencies below 0.008 Hz." in text
    assert not re.search("Butterworth|Lindquist|spline", text)


@pytest.mark.parametrize("values", [{"high_pass": True}, {"confounds": (r"^cosine\d\d$",)}])
def test_cosine_filter_gives_way_to_fmripreps_cosines(values):
    text = told(own(filter=TemporalFilter(0.008, type="cosine"), **values))
    assert "cosine basis" not in text
    assert "0.008 Hz was requested; fMRIPrep's cosine terms" in text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"min_volumes": 100}, "Runs with fewer than 100 volumes left"),
        ({"min_volumes": 1}, "Runs with fewer than 1 volume left"),
        ({"min_seconds": 240.5}, "Runs with less than 240.5 s left"),
        ({"min_volumes": 100, "min_seconds": 240.0}, "100 volumes or less than 240 s left"),
    ],
)
def test_exclusion_is_told_with_its_numbers(values, words):
    assert words in told(own(**values))


@pytest.mark.parametrize(
    ("rules", "compared"),
    [
        ({"motion": "basic"}, True),
        ({"wm_csf": "basic"}, True),
        ({"global_signal": "basic"}, True),
        ({"compcor": CompCor("temporal", 5)}, True),
        ({"ica_aroma": "basic"}, True),
        ({"confounds": ("csf",)}, False),
    ],
)
def test_strategies_of_a_kind_that_benchmarks_have_compared(rules, compared):
    assert ("Benchmarks have compared" in told(own(**rules))) == compared
