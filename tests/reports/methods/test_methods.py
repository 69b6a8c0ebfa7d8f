"""The methods text says what was done, no more, and its references are whole."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_spheres.confounds.columns import MASKS_OF, column_names, select
from bids_spheres.confounds.strategy import (
    BOLD_KINDS,
    EXPANSIONS,
    Censor,
    CompCor,
    HeadMotion,
    Strategy,
    Task,
    TemporalFilter,
)
from bids_spheres.confounds.strategy_file import load_strategy
from bids_spheres.data.published import published_strategies
from bids_spheres.engine.seeds import SeedTable, load_seeds, published_seed_sets
from bids_spheres.errors import UsageError
from bids_spheres.reports.methods.citation import MethodsFacts, citation_file, methods_paragraph
from bids_spheres.reports.methods.references import (
    bibliography,
    cited_keys,
    code,
    escape,
    in_plain_words,
    load_references,
)
from bids_spheres.settings.option import declared_options
from bids_spheres.settings.table import Processing

DATA = resources.files("bids_spheres") / "data"
BIB = (DATA / "references.bib").read_text(encoding="utf-8")
PRESETS = published_strategies()
SETS = published_seed_sets()

MEASURES = (
    "pearsoncorrelation",
    "fisherz",
    "spearmancorrelation",
    "covariance",
    "ledoitwolfcorrelation",
    "partialcorrelation",
    "precision",
)


def table(radii, label="mine", **more) -> SeedTable:
    n = len(radii)
    names = tuple(f"seed_{i}" for i in range(n))
    return SeedTable(label, names, np.zeros((n, 3)), np.array(radii, float), **more)


def told(strategy: Strategy | None = None, **facts) -> str:
    """The text in plain words; of coverage it speaks only when asked to."""
    strategies = () if strategy is None else (strategy,)
    facts = {"min_coverage": 0.0} | facts
    return in_plain_words(methods_paragraph(MethodsFacts(strategies=strategies, **facts)))


def own(**values) -> Strategy:
    return Strategy("mine", values.pop("description", ""), **values)


# --- The bibliography -------------------------------------------------------------------------

ENTRIES = re.findall(r"^@.*?^\}\n", BIB, re.MULTILINE | re.DOTALL)
REQUIRED = {
    "article": {"author", "title", "journal", "year", "volume", "pages", "doi"},
    "misc": {"author", "title", "howpublished", "year", "doi"},
}


def fields_of(entry: str) -> dict[str, str]:
    return dict(re.findall(r"^  ([a-z]+) = \{(.*)\},\n", entry, re.MULTILINE))


def place_of(fields) -> str:
    """The DOI, or else the address."""
    return fields.get("doi") or fields["url"]


def test_bibliography_is_entries_and_nothing_else():
    assert "\n".join(ENTRIES) == BIB
    assert len(ENTRIES) == BIB.count("@") == len(load_references())


def test_entries_have_their_form():
    for entry in ENTRIES:
        head, *lines = entry.splitlines()
        kind = re.fullmatch(r"@([a-z]+)\{[a-z]+\d{4},", head)[1]
        fields = fields_of(entry)
        assert len(lines) == len(fields) + 1, head  # each field once, and the closing brace
        own = {"doi" if name == "url" else name for name in fields}  # not all have a DOI
        assert own - {"number"} == REQUIRED[kind], head
        assert re.search(r"[\\\t\"]", entry) is None, head
        family = fields["author"].partition(",")[0].lower()
        plain = unicodedata.normalize("NFKD", family).encode("ascii", "ignore").decode()
        assert entry.startswith((f"@article{{{plain}{fields['year']},", f"@misc{{{plain}"))


def test_entries_have_balanced_braces():
    for entry in ENTRIES:
        for value in [entry, *fields_of(entry).values()]:
            depth = np.cumsum([(c == "{") - (c == "}") for c in value])
            assert depth.min() >= 0, value
            assert depth[-1] == 0, value


def test_entries_have_values_of_their_kind():
    for fields in map(fields_of, ENTRIES):
        assert re.fullmatch(r"10\.\d{4,9}/[^\s{}]+|https://[^\s{}]+", place_of(fields))
        assert re.fullmatch(r"1[89]\d\d|20[0-2]\d", fields["year"]), fields
        assert re.fullmatch(r"\d+", fields.get("volume", "0")), fields
        assert re.fullmatch(r"\d+(--\d+)?|Supplement \d+", fields.get("number", "0")), fields
        assert re.fullmatch(r"[eS]?\d+(--\d+)?", fields.get("pages", "1")), fields
        first, _, last = fields.get("pages", "1").partition("--")
        assert not last or int(first) < int(last), fields
        for author in fields["author"].split(" and "):
            assert author == "others" or re.fullmatch(
                r"\{[^{}]+\}|[^\d,{}]+(, Jr\.)?, [^\d,{}]+", author
            ), author


def test_entries_differ_in_key_doi_and_label_and_are_sorted():
    known = load_references()
    assert list(known) == sorted(known)
    assert len({place_of(entry.fields).lower() for entry in known.values()}) == len(known)
    assert len({entry.label for entry in known.values()}) == len(known)


@pytest.mark.parametrize("name", SETS)
def test_seed_sets_and_bibliography_tell_the_same_publication(name):
    metadata = json.loads((DATA / "seeds" / f"{name}.json").read_text(encoding="utf-8"))
    (entry,) = (e for e in load_references().values() if e.fields.get("doi") == metadata["DOI"])
    title_and_source = entry.text.partition("). ")[2].replace("\N{EN DASH}", "-")
    assert f"{title_and_source} {entry.url}" in metadata["ReferencesAndLinks"][0]
    families = [author.split()[-1].rstrip(".") for author in metadata["Authors"]]
    authors = entry.fields["author"]
    assert authors.count(" and ") + 1 == len(families)
    assert all(family in authors for family in families)


READABLE = {
    "ledoit2004": (
        "Ledoit O, Wolf M (2004). A well-conditioned estimator for large-dimensional covariance "
        "matrices. Journal of Multivariate Analysis 88(2), 365\N{EN DASH}411."
    ),
    "nichols2017": (
        "Nichols TE (2017). Notes on creating a standardized version of DVARS. arXiv:1704.01469."
    ),
    "murphy2009": (
        "Murphy K, Birn RM, Handwerker DA, Jones TB, Bandettini PA (2009). The impact of global "
        "signal regression on resting state correlations: Are anti-correlated networks introduced? "
        "NeuroImage 44(3), 893\N{EN DASH}905."
    ),
    "parkes2018": (
        "Parkes L, Fulcher B, Yücel M, Fornito A (2018). An evaluation of the efficacy, "
        "reliability, and sensitivity of motion correction strategies for resting-state functional "
        "MRI. NeuroImage 171, 415\N{EN DASH}436."
    ),
    "fonov2009": (
        "Fonov VS, Evans AC, McKinstry RC, Almli CR, Collins DL (2009). Unbiased nonlinear average "
        "age-appropriate brain templates from birth to adulthood. NeuroImage 47(Supplement 1), "
        "S102."
    ),
}


@pytest.mark.parametrize("key", READABLE)
def test_reference_reads_as_in_a_list_of_references(key):
    assert load_references()[key].text == READABLE[key]


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("raichle2011", "Raichle, 2011"),
        ("ledoit2004", "Ledoit and Wolf, 2004"),
        ("fox2009", "Fox et al., 2009"),
    ],
)
def test_label_names_authors_and_year(key, label):
    assert load_references()[key].label == label


def test_long_lists_of_authors_are_cut():
    known = load_references()
    assert known["markiewicz2026"].text.startswith(
        "Markiewicz CJ, Brett M, Hanke M, Côté MA, Cipollini B, McCarthy P, et al. (2026)"
    )
    assert "Barnes KA, Church JA, et al. (2011)" in known["power2011"].text


# --- Citations --------------------------------------------------------------------------------


def test_bibliography_has_what_is_cited_in_order_of_first_citation():
    text = "One [@power2012; @ciric2017], again [@power2012], then [@behzadi2007]."
    keys = re.findall(r"^@\w+\{(\w+),$", bibliography(text), re.MULTILINE)
    assert keys == ["power2012", "ciric2017", "behzadi2007"]
    assert bibliography("None.") == ""


@pytest.mark.parametrize("use", [bibliography, in_plain_words])
def test_unknown_key_is_an_error_with_a_guess(use):
    with pytest.raises(UsageError, match="no entry 'lindquist2018'") as caught:
        use("See [@lindquist2018].")
    assert caught.value.hint == "Did you mean lindquist2019?"


def test_plain_words_have_authors_and_years():
    text = r"A [@power2011; @ciric2017] and [@ledoit2004] of `a_b`, 5 \* 3."
    assert in_plain_words(text) == (
        "A (Power et al., 2011; Ciric et al., 2017) and (Ledoit and Wolf, 2004) of a_b, 5 * 3."
    )


@pytest.mark.parametrize("text", ["`[@nobody]`", "`` `[@nobody]` ``", r"\[\@nobody\]"])
def test_code_and_escaped_text_cite_nothing(text):
    assert cited_keys(text) == ()
    assert "[@nobody]" in in_plain_words(text)


# --- All presets and published sets -----------------------------------------------------------


def check_prose(text: str) -> None:
    """What holds for any grammatical text of ours, in plain words."""
    assert not re.search(r"None|nan|  | [,.;:)]|\( |\.\.|;;|,,|\[@|\\", text)
    assert text.count("(") == text.count(")")
    for paragraph in text.split("\n\n"):
        assert re.match(r"[A-Z]", paragraph)
        assert paragraph.endswith(".")
        assert "\n" not in paragraph


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_and_published_sets_give_text_with_known_references(preset):
    for seeds in SETS:
        table = load_seeds(seeds)
        facts = MethodsFacts(
            pipeline="fMRIPrep",
            pipeline_version="24.1.1",
            spaces=("MNI152NLin2009cAsym",),
            seed_sets=(table,),
            strategies=(load_strategy(preset),),
        )
        text = methods_paragraph(facts)
        check_prose(in_plain_words(text))
        assert f"strategy {preset} regressed out" in text
        assert f"{len(table)} seeds of {seeds} [@" in text
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
