"""The methods text says what was done, and no more."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_spheres.confounds.strategy import Censor, HeadMotion, Task, TemporalFilter
from bids_spheres.confounds.strategy_file import load_strategy
from bids_spheres.engine.seeds import load_seeds
from bids_spheres.reports.methods.citation import MethodsFacts, citation_file, methods_paragraph
from bids_spheres.reports.methods.references import (
    cited_keys,
    code,
    escape,
    in_plain_words,
    load_references,
)
from bids_spheres.settings.option import declared_options
from bids_spheres.settings.table import Processing
from tests.reports.methods.conftest import DATA, PRESETS, SETS, check_prose, own, table, told

MEASURES = (
    "pearsoncorrelation",
    "fisherz",
    "spearmancorrelation",
    "covariance",
    "ledoitwolfcorrelation",
    "partialcorrelation",
    "precision",
)

# --- All presets and published sets -----------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_and_published_sets_give_text_with_known_references(preset):
    for seeds in SETS:
        own_seeds = load_seeds(seeds)
        facts = MethodsFacts(
            pipeline="fMRIPrep",
            pipeline_version="24.1.1",
            spaces=("MNI152NLin2009cAsym",),
            seed_sets=(own_seeds,),
            strategies=(load_strategy(preset),),
        )
        text = methods_paragraph(facts)
        check_prose(in_plain_words(text))
        assert f"strategy {preset} regressed out" in text
        assert f"{len(own_seeds)} seeds of {seeds} [@" in text
        assert set(cited_keys(text)) <= set(load_references())


def test_checks_of_placement_and_negative_controls_are_told_where_they_were_made():
    assert "placement" not in methods_paragraph(MethodsFacts())
    text = methods_paragraph(MethodsFacts(placement_jitter="2.5:20", controls=True))
    check_prose(in_plain_words(text))
    assert "all spheres were placed 20 times at random within 2.5 mm" in text
    assert "random phases [@theiler1992], of spheres in cerebrospinal fluid" in text


OF_GROUPS = {
    *("benjamini1995", "newman2004", "silver1987"),
    *("johnson2007", "yu2018", "pustejovsky2018", "paule1982", "knapp2003"),
    *("freedman1983", "winkler2014", "zalesky2010", "baggio2018", "noble2020"),
    *("simonsohn2020", "gromping2007"),
    *("gordon2017", "noble2017"),
    *("bell2002", "finn2015", "shrout1979", "smith2009", "winkler2015"),
}
"""Cited by the page of the group, see tests/reports/group."""


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (HeadMotion(head_radius=60.0), "realignment parameters with a head radius of 60 mm."),
        (
            HeadMotion("gratton2020"),
            "low-pass filtered at 0.1 Hz (Butterworth) [@gratton2020], forward and backward, with",
        ),
        (
            HeadMotion("notch:12:18", "auto", True),
            "that were filtered by a notch from 0.2 to 0.3 Hz [@fair2020], forward and backward,",
        ),
        (
            HeadMotion("fair2020", "auto", True),
            "a head radius of that of a sphere of the volume of each participant's brain. Real",
        ),
    ],
)
def test_how_head_motion_was_measured(rules, expected):
    text = methods_paragraph(MethodsFacts(strategies=(own(head_motion=rules),)))
    check_prose(in_plain_words(text))
    assert expected in text


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (Task("hrf"), "of each condition [@cole2019], modelled by Glover's [@glover1999] haemo"),
        (
            Task("hrf", "spm + derivative + dispersion"),
            "response function with its temporal derivative and dispersion derivative",
        ),
        (Task("fir"), "finite impulse responses up to 18 s after the events [@cole2019]"),
    ],
)
def test_responses_to_events(task, expected):
    text = methods_paragraph(MethodsFacts(strategies=(own(task=task),)))
    check_prose(in_plain_words(text))
    assert expected in text


def test_thresholds_that_must_all_be_exceeded():
    rules = Censor(0.2, 1.5, after=1, combine="all")
    text = in_plain_words(methods_paragraph(MethodsFacts(strategies=(own(censor=rules),))))
    assert re.search(r"displacement above 0\.2 mm .* and with standardized DVARS above 1\.5", text)
    assert "each volume above these thresholds" in text


def test_every_reference_is_cited_by_some_settings_or_by_the_group():
    strategies = [
        *map(load_strategy, PRESETS),
        own(tedana="aggressive", censor=Censor(0.5), filter=TemporalFilter(0.01)),
        own(head_motion=HeadMotion("fair2020"), censor=Censor(rmsd_threshold=0.2)),
        own(head_motion=HeadMotion("gratton2020"), task=Task("hrf")),
    ]
    facts = MethodsFacts(
        spaces=("MNI152NLin2009cAsym", "MNI152NLin6Asym"),
        seed_sets=tuple(map(load_seeds, SETS)),
        transformed=("Raichle2011",),
        strategies=tuple(strategies),
        measures=MEASURES,
        despike=True,
        controls=True,
    )
    of_runs = set(cited_keys(methods_paragraph(facts)))
    assert of_runs | OF_GROUPS == set(load_references())
    assert not of_runs & OF_GROUPS


def test_citation_file_has_text_list_and_bibtex_of_the_same_references():
    facts = MethodsFacts(
        seed_sets=(load_seeds("Power2011"),), strategies=(load_strategy("scrubbingGSR"),)
    )
    content = citation_file(facts)
    keys = list(cited_keys(methods_paragraph(facts)))
    assert content.startswith("# ")
    assert methods_paragraph(facts) in content
    assert re.findall(r"^- `(\w+)`: ", content, re.MULTILINE) == keys
    assert re.findall(r"^@\w+\{(\w+),$", content, re.MULTILINE) == keys
    links = re.findall(r"<https://doi\.org/(\S+)>$", content, re.MULTILINE)
    assert links == re.findall(r"^  doi = \{(.*)\},$", content, re.MULTILINE)
    assert content.endswith("\n")


# --- Only what was done -----------------------------------------------------------------------

SILENT = {
    "censor": "censor|framewise|DVARS|Segment",
    "filter": "Butterworth|spline|filtering|Lindquist|cosine basis",
    "global_signal": "[Gg]lobal signal|Murphy|Fox et al",
    "motion": "realignment|motion parameters|Friston",
    "wm_csf": "mean signals|tissue signals",
    "compcor": "CompCor|Behzadi|Muschelli",
    "ica_aroma": "AROMA|Pruim",
    "tedana": "tedana|DuPre|Kundu",
    "confounds": "regular expression|of the confounds",
    "min_volumes": r"fewer than \d+ volume",
    "min_seconds": "less than",
}
"""Words that must not be there when a strategy's file has no such key."""


@pytest.mark.parametrize("preset", PRESETS)
def test_nothing_is_told_of_what_a_preset_does_not_do(preset):
    content = json.loads((DATA / "strategies" / f"{preset}.json").read_text(encoding="utf-8"))
    text = told(load_strategy(preset))
    for key, words in SILENT.items():
        assert bool(re.search(words, text)) == (key in content), key


@pytest.mark.parametrize("preset", PRESETS)
def test_cosine_terms_are_told_where_a_preset_has_them(preset):
    content = json.loads((DATA / "strategies" / f"{preset}.json").read_text(encoding="utf-8"))
    assert ("cosine terms" in told(load_strategy(preset))) == bool(content.get("high_pass"))


def test_strategy_that_removes_nothing_says_so():
    text = told(load_strategy("none"))
    assert "strategy none regressed out no confounds." in text
    assert not re.search("Benchmarks|signals and confounds|rank of confounds", text)
    assert "Mean and linear trend were removed from the signals. " in text
    before = "Mean and linear trend were removed from signals and confounds before regression. "
    assert before in told(load_strategy("simple"))


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"smoothing_fwhm": 6.0}, "kernel of 6 mm"),
        ({"full_length": True}, "missing values"),
        ({"dummy_scans": 4}, "first 4 volumes of each run"),
        ({"dummy_scans": 1}, "first volume of each run"),
        ({"external_outliers": True}, "tables of outliers were censored"),
        ({"min_dof": 30}, "fewer than 30 degrees"),
        ({"standardize": "zscore"}, "population standard deviation (N)"),
        ({"standardize": "psc"}, "100 (x - mean) / |mean|"),
        ({"measures": ("fisherz",)}, "inverse hyperbolic tangent"),
        ({"measures": ("covariance",)}, "by the sample covariance."),
        ({"measures": ("newmeasure",)}, "by newmeasure."),
        ({"aggregation": "median"}, "was the median of"),
        ({"aggregation": "eigenvariate"}, "was the first eigenvariate of"),
        ({"aggregation": "median"}, ", taken after the voxels had been cleaned."),
    ],
)
def test_options_are_told_and_only_when_used(facts, words):
    text = told(load_strategy("simple"), **facts)
    check_prose(text)
    assert words in text
    assert words not in told(load_strategy("simple"))


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"detrend": False}, "trend"),
        ({"standardize": False}, "standardized"),
        ({"standardize": None}, "standardized"),
        ({"min_dof": 0}, "degree"),
        ({"measures": ()}, "Connectivity"),
    ],
)
def test_what_is_switched_off_is_not_told(facts, words):
    assert words in told(load_strategy("simple"))
    text = told(load_strategy("simple"), **facts)
    check_prose(text)
    assert words not in text


@pytest.mark.parametrize(
    ("seed", "words"),
    [
        (None, "240 s of it were used after cleaning, namely the first volumes that were kept;"),
        (0, "after cleaning, namely volumes drawn at random from those that were kept (seed 0);"),
    ],
)
def test_drawing_of_volumes_is_told_with_seconds_and_order(seed, words):
    text = told(own(), equal_seconds=240.0, equal_seconds_seed=seed)
    assert words in text
    assert "runs with less were excluded" in text
    assert "as much data of every run" not in told(own())


OTHER_VALUES = {
    "mask": "template",
    "tissue": "GM",
    "exclude_mask": "lesions",
    "min_coverage": 0.25,
    "overlap": "nearest",
    "aggregation": "median",
    "despike": True,
    "smoothing_fwhm": 6.0,
    "detrend": False,
    "standardize": "psc",
    "min_dof": 30,
    "dummy_scans": 4,
    "equal_seconds": 240.0,
    "equal_seconds_seed": 3,
    "full_length": True,
}


def test_every_option_that_changes_series_is_told():
    affecting = {each.name for each in declared_options(Processing) if each.option.affects}
    # Seeds that were warped are told by their labels.
    assert affecting - {"warp_seeds"} == OTHER_VALUES.keys()
    for name, value in OTHER_VALUES.items():
        facts = {"equal_seconds": 240.0} if name == "equal_seconds_seed" else {}
        usual = methods_paragraph(MethodsFacts(strategies=(own(motion="basic"),), **facts))
        facts[name] = value
        changed = methods_paragraph(MethodsFacts(strategies=(own(motion="basic"),), **facts))
        assert changed != usual, name


def test_standardize_true_is_the_sample_z_score():
    assert told(own(), standardize=True) == told(own(), standardize="zscore_sample")
    assert "sample standard deviation (N - 1)" in told(own(), standardize=True)


# --- One, two, many ---------------------------------------------------------------------------


def test_strategies_are_counted_when_there_are_several():
    assert "alternatives" not in told(load_strategy("simple"))
    strategies = tuple(map(load_strategy, ("simple", "none", "24P")))
    text = methods_paragraph(MethodsFacts(strategies=strategies))
    assert "These 3 strategies (simple, none, and 24P) were alternatives." in text
    paragraphs = [p for p in text.split("\n\n") if p.startswith("The denoising strategy")]
    assert len(paragraphs) == 3


@pytest.mark.parametrize(
    ("spaces", "words"),
    [
        (("T1w",), "in the space T1w (that of each participant's T1-weighted image)."),
        (("MNI152NLin6Asym",), "in the space MNI152NLin6Asym (Evans et al., 2012), named as in"),
        (("T1w", "MNI152Lin"), "in the spaces T1w (that of each participant's T1-weighted "),
    ],
)
def test_spaces_are_told(spaces, words):
    text = told(spaces=spaces)
    check_prose(text)
    assert words in text
    assert ("TemplateFlow" in text) == (spaces != ("T1w",))


@pytest.mark.parametrize(
    ("radii", "words"),
    [
        ([5], "1 user-defined seed of the table mine with a radius of 5 mm."),
        ([5, 5], "2 user-defined seeds of the table mine with a radius of 5 mm."),
        ([3, 4.5], "with radii of 3 and 4.5 mm."),
        ([3, 4, 5], "with radii of 3, 4, and 5 mm."),
        ([3, 4, 5, 6], "with radii of 3 to 6 mm."),
        ([0, 0], "with the one voxel that holds a seed as its sphere."),
        ([0, 4], "with a radius of 4 mm, of 1 only the voxel that holds the seed."),
    ],
)
def test_radii_are_told(radii, words):
    text = told(seed_sets=(table(radii),))
    check_prose(text)
    assert words in text


def test_own_table_of_known_origin_is_cited():
    text = told(seed_sets=(table([5], metadata={"DOI": "10.1016/J.neuron.2011.09.006"}),))
    assert "of the table mine (Power et al., 2011)" in text


def test_seeds_of_another_space_are_told_together():
    sets = tuple(map(load_seeds, ("Power2011", "Seitzman2018", "Raichle2011")))
    text = told(spaces=("MNI152NLin2009cAsym",), seed_sets=sets)
    assert (
        "The coordinates of Power2011 and Seitzman2018, taken to be in MNI152NLin6Asym space, "
        "were used in MNI152NLin2009cAsym without conversion." in text
    )
    assert "of Raichle2011, taken to be in Talairach space, were used in MNI152NLin2009" in text


def test_transformed_seeds_are_told_as_such():
    sets = (load_seeds("Power2011"), load_seeds("Raichle2011"))
    labels = ("Power2011", "Raichle2011")
    text = told(spaces=("T1w",), seed_sets=sets, transformed=labels)
    assert "without conversion" not in text
    assert text.count("were transformed to the space of the images") == 2
    assert "images (Lancaster et al., 2007)." in text


@pytest.mark.parametrize("spaces", [(), ("MNI152NLin6Asym",)])
def test_seeds_in_the_space_of_the_images_need_no_words(spaces):
    assert "taken to be" not in told(spaces=spaces, seed_sets=(load_seeds("Power2011"),))


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "had been preprocessed, with outputs in the layout of fMRIPrep (Esteban"),
        ({"pipeline": "fMRIPrep"}, "preprocessed with fMRIPrep (Esteban et al., 2019)."),
        (
            {"pipeline": "fmriprep", "pipeline_version": "24.1.1"},
            "preprocessed with fmriprep 24.1.1 (Esteban et al., 2019).",
        ),
        (
            {"pipeline": "NiBabies", "pipeline_version": "24.0.0"},
            "with NiBabies 24.0.0, with outputs in the layout of fMRIPrep (Esteban et al., 2019).",
        ),
    ],
)
def test_preprocessing_is_told_as_far_as_known(facts, words):
    text = told(**facts)
    check_prose(text)
    assert words in text


def test_version_is_told():
    assert "with bids_spheres 9.8.7, a BIDS App" in told(version="9.8.7")


def test_smoothing_of_weights_is_told_for_means_only():
    assert "weights" in told(smoothing_fwhm=4.5)
    text = told(smoothing_fwhm=4.5, aggregation="median")
    assert "weights" not in text
    assert "The images were smoothed with a Gaussian kernel of 4.5 mm" in text


# --- Words of users ---------------------------------------------------------------------------


def test_own_strategy_is_told_in_its_own_words_and_columns():
    strategy = own(
        description="Breathing belt and pulse.", confounds=("belt", "pulse", r"^rot_[xyz]$")
    )
    text = methods_paragraph(MethodsFacts(strategies=(strategy,)))
    assert "the columns `belt` and `pulse` of the confounds" in text
    assert r"match the regular expression `^rot_[xyz]$`" in text
    assert '"Breathing belt and pulse".' in text


def test_description_is_told_of_a_preset_that_was_changed_only():
    preset = load_strategy("24P")
    assert "describes" not in told(preset)
    assert preset.description.rstrip(".") in told(replace(preset, min_volumes=50))


NASTY = "*b* _i_ `c` [x](y) [@power2011] <script>&amp; $x$ ^a^ ~s~ | # ! \\ [^1]\n\n# H\n- item"


def test_markup_of_users_is_shown_and_not_obeyed():
    facts = MethodsFacts(
        pipeline=NASTY,
        pipeline_version=NASTY,
        spaces=(NASTY,),
        seed_sets=(table([5], label=NASTY, space=NASTY), table([5], NASTY, published=True)),
        strategies=(own(description=NASTY, confounds=(NASTY, f"^{re.escape(NASTY)}")),),
        aggregation=NASTY,
        measures=(NASTY,),
    )
    text = methods_paragraph(facts)
    plain = re.sub(r"(?<!\\)(`+)(?!`).+?(?<!`)\1(?!`)", "", text)  # code shows what it holds
    plain = re.sub(r"\\\\|\[@\w+(; @\w+)*\]|bids_spheres", "", plain)
    assert not re.search(r"(?<!\\)[*_{}<>$^~|#!`&@\[\]]", plain)
    assert not re.search(r"^[#-]", text, re.MULTILINE)
    assert len(text.split("\n\n")) == 4
    assert "power2011" not in cited_keys(text)
    assert in_plain_words(text).count(" ".join(NASTY.split())) >= 9


@given(st.text(), st.text(min_size=1))
def test_any_description_and_column_come_out_as_they_went_in(description, column):
    column = column.lstrip("^") or "x"
    strategy = own(description=description, confounds=(column,))
    facts = MethodsFacts(strategies=(strategy,))
    text = methods_paragraph(facts)
    words = in_plain_words(text)
    assert " ".join(description.split()).rstrip(".") in words
    assert (" ".join(column.split()) or " ") in words
    harmless = replace(strategy, description="Mine.", confounds=("column",))
    expected = methods_paragraph(replace(facts, strategies=(harmless,)))
    # A CompCor column brings its cosines with it, which cite nothing.
    assert cited_keys(text) == cited_keys(expected)
    assert text.count("\n") == expected.count("\n")


@given(st.text())
def test_escaped_text_and_code_are_read_back(text):
    line = " ".join(text.split())
    assert in_plain_words(escape(text)) == line
    assert in_plain_words(code(text)) == (line or " ")


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"tissue": "GM"}, "a probability of grey matter of at least 0.5 in the participant"),
        ({"tissue": "WM:0.3"}, "a probability of white matter of at least 0.3 in the participant"),
        ({"tissue": "CSF:weight"}, "weighted by the participant's probability of cerebrospinal"),
        ({"exclude_mask": "lesions"}, "Voxels of a mask, as of lesions, were left out."),
    ],
)
def test_restrictions_to_tissues_and_masks_are_told(rules, words):
    seeds = (load_seeds("Power2011"),)
    assert words in methods_paragraph(MethodsFacts(seed_sets=seeds, **rules))
    plain = methods_paragraph(MethodsFacts(seed_sets=seeds))
    assert "lesions" not in plain
    assert "grey matter" not in plain
