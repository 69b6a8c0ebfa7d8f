"""The settings that the methods section describes, the section, and the file that contains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bids_spheres import __version__
from bids_spheres.reports.methods.denoising import cleaning, connectivity, denoising
from bids_spheres.reports.methods.markdown import escape
from bids_spheres.reports.methods.material import material, nouns
from bids_spheres.reports.methods.references import bibliography, cited_keys, find_references
from bids_spheres.settings import Processing

if TYPE_CHECKING:
    from bids_spheres.confounds.strategy import Strategy
    from bids_spheres.engine.seeds import SeedTable

_HOW_TO_USE = (
    "Copy what you need of this text, which was made from the settings of the call that wrote "
    "these results, check it against what your study did, and cite the references: pandoc finds "
    "their keys (`[@key]`) in the BibTeX at the end."
)


@dataclass(frozen=True)
class MethodsFacts(Processing):
    """How runs were processed, with the input, seeds and strategies that it was done with.

    `pipeline` and its version are those of ``GeneratedBy`` of the input's dataset_description.json,
    and None when that does not say; `spaces` and `measures` are labels as in file names. Seed sets
    have their radii as used, and the coordinates of their source; `transformed` are the labels of
    those whose coordinates were transformed to the space of the images. `external_outliers`:
    tables of the user's own marked volumes to censor.
    """

    version: str = __version__
    pipeline: str | None = None
    pipeline_version: str | None = None
    spaces: tuple[str, ...] = ()
    seed_sets: tuple[SeedTable, ...] = ()
    transformed: tuple[str, ...] = ()
    strategies: tuple[Strategy, ...] = ()
    external_outliers: bool = False
    measures: tuple[str, ...] = ("pearsoncorrelation",)


def methods_paragraph(facts: MethodsFacts) -> str:
    """Methods section in Markdown with pandoc's citation keys.

    Paragraphs on images and signals, each strategy, what strategies share, and connectivity.
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
