"""References are whole, and those that a text cites."""

from __future__ import annotations

import json
import re
import unicodedata

import numpy as np
import pytest

from bids_spheres.errors import UsageError
from bids_spheres.reports.methods.references import (
    bibliography,
    cited_keys,
    in_plain_words,
    load_references,
)
from tests.reports.methods.conftest import BIB, DATA, SETS

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
