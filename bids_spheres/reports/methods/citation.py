"""The methods section and the file that contains it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_spheres.reports.methods.cleaning import cleaning, connectivity
from bids_spheres.reports.methods.denoising import denoising
from bids_spheres.reports.methods.markdown import escape
from bids_spheres.reports.methods.material import material, nouns
from bids_spheres.reports.methods.references import bibliography, cited_keys, find_references

if TYPE_CHECKING:
    from bids_spheres.reports.methods.methods_facts import MethodsFacts

_HOW_TO_USE = (
    "Copy what you need of this text, which was made from the settings of the call that wrote "
    "these results, check it against what your study did, and cite the references: pandoc finds "
    "their keys (`[@key]`) in the BibTeX at the end."
)


def methods_paragraph(facts: MethodsFacts) -> str:
    """Methods section for the settings of a call, in Markdown with pandoc's citation keys.

    Its paragraphs are on images and signals, on each strategy, on what strategies have in common,
    and on connectivity.
    """
    paragraphs = [
        material(facts),
        *(denoising(strategy, facts) for strategy in facts.strategies),
        cleaning(facts) if facts.strategies else (),
        connectivity(facts.measures, nouns(facts)),
    ]
    joined = (" ".join(sentences) for sentences in paragraphs)
    return "\n\n".join(paragraph for paragraph in joined if paragraph)


def citation_file(facts: MethodsFacts) -> str:
    """Content of ``logs/CITATION.md``: methods section, references, BibTeX."""
    text = methods_paragraph(facts)
    cited = find_references(cited_keys(text))
    items = [f"- `{entry.key}`: {escape(entry.text)} <{entry.url}>" for entry in cited]
    sections = [
        "# Methods and references",
        _HOW_TO_USE,
        "## Methods",
        text,
        "## References",
        "\n".join(items),
        "## BibTeX",
        f"```bibtex\n{bibliography(text)}\n```",
    ]
    return "\n\n".join(sections) + "\n"
