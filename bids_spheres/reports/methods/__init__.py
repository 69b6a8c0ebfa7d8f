"""What was asked for, told as the methods section of a paper tells it, with its citations.

`facts` holds what the text is made of; `material` and `denoising` make its sentences, each only
for what was done; `citation` joins them. `references` reads the bibliography that ships with the
package and turns citation keys into words. Text is Markdown with the citation keys of pandoc,
``[@power2011; @ciric2017]``; whatever comes from a user is escaped (`wording`).
"""

from bids_spheres.reports.methods.citation import citation_file, methods_paragraph, references
from bids_spheres.reports.methods.facts import MethodsFacts
from bids_spheres.reports.methods.references import (
    Reference,
    bibliography,
    cited_keys,
    in_plain_words,
    load_references,
)

__all__ = [
    "MethodsFacts",
    "Reference",
    "bibliography",
    "citation_file",
    "cited_keys",
    "in_plain_words",
    "load_references",
    "methods_paragraph",
    "references",
]
