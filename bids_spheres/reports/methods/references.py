"""Markdown sentences, and the bibliography that ships with the package with citations of it.

``data/references.bib`` is BibTeX of one regular form: an entry begins with ``@type{key,`` and ends
with ``}``, each on a line of its own, and each line between is ``name = {value},``. The reader here
knows only this form, and a test checks the file for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING

from bids_spheres.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_SPECIAL = r"[\\`*_{}\[\]<>#|@$^~&!]"
"""Characters that CommonMark, its tables, or pandoc's Markdown give a meaning inside a line."""

_ENTRY = re.compile(r"^@\w+\{(?P<key>\w+),\n(?P<fields>.*?)^\}$", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^  (\w+) = \{(.*)\},$", re.MULTILINE)
_KEY = re.compile(r"@(\w+)")
_CODE = r"(?P<fence>(?<!`)`+(?!`))(?P<code>.+?)(?<!`)(?P=fence)(?!`)"
_CITATION = r"(?<!\\)\[(?P<keys>@\w+(?:; @\w+)*)\]"
# Code spans come first, so that a citation in one is left as it is
_CODE_OR_CITATION = re.compile(f"(?<!\\\\){_CODE}|{_CITATION}", re.DOTALL)
# Where there are more authors than the first number, the second is how many are named
_MOST_AUTHORS, _FIRST_AUTHORS = 10, 6


def listing(items: Sequence[str], conjunction: str = "and") -> str:
    """Items of a sentence, separated by semicolons where an item has a comma.

    >>> listing(["a"]), listing(["a", "b"], "or"), listing(["a", "b", "c"])
    ('a', 'a or b', 'a, b, and c')
    >>> listing(["a, a", "b"])
    'a, a; and b'
    """
    *first, last = items
    mark = ";" if any(", " in item for item in items) else ","
    if not first:
        return last
    if len(first) == 1 and mark == ",":
        return f"{first[0]} {conjunction} {last}"
    return f"{mark} ".join([*first, f"{conjunction} {last}"])


def cite(*keys: str) -> str:
    """A citation as pandoc reads it.

    >>> cite("power2011", "ciric2017")
    '[@power2011; @ciric2017]'
    """
    return f"[{'; '.join(f'@{key}' for key in keys)}]"


def escape(text: str) -> str:
    r"""Text as one line of Markdown that shows it unchanged.

    >>> escape("2 * [x]\n\nof <b>")
    '2 \\* \\[x\\] of \\<b\\>'
    """
    return re.sub(_SPECIAL, r"\\\g<0>", " ".join(text.split()))


def unescape(text: str) -> str:
    """Inverse of `escape`, except for white space."""
    return re.sub(rf"\\({_SPECIAL})", r"\1", text)


def code(text: str) -> str:
    """A code span that shows `text`, which may contain backticks.

    >>> code("^trans_[xyz]$"), code("a`b")
    ('`^trans_[xyz]$`', '`` a`b ``')
    """
    line = " ".join(text.split()) or " "
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    fence = "`" * (longest + 1)
    # CommonMark takes off one blank on each side, if there is one on both.
    padding = " " if longest else ""
    return f"{fence}{padding}{line}{padding}{fence}"


@dataclass(frozen=True)
class Reference:
    """One entry of the bibliography: its key, its fields, and its text in the file."""

    key: str
    fields: Mapping[str, str]
    bibtex: str

    @property
    def url(self) -> str:
        """Where the DOI leads, or the publication is."""
        return self.fields.get("url") or f"https://doi.org/{self.fields['doi']}"

    @property
    def label(self) -> str:
        """Authors and year, as a sentence cites them: ``"Power et al., 2011"``."""
        authors = self.fields["author"].split(" and ")
        names = [_name(author, initials=False) for author in authors]
        named = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
        return f"{named}, {self.fields['year']}"

    @property
    def text(self) -> str:
        """Authors (year). Title. Journal volume(number), pages. No DOI, no markup."""
        fields = self.fields
        title = re.sub(r"[{}]", "", fields["title"])
        authors = fields["author"].removesuffix(" and others")
        names = [_name(author, initials=True) for author in authors.split(" and ")]
        if len(names) > _MOST_AUTHORS or authors != fields["author"]:
            names = [*names[:_FIRST_AUTHORS], "et al."]
        source = fields.get("journal") or fields["howpublished"]
        volume, number = fields.get("volume", ""), fields.get("number", "")
        source += f" {volume}({number})" if number else f" {volume}".rstrip()
        if pages := fields.get("pages", "").replace("--", "\N{EN DASH}"):
            source += f", {pages}"
        end = "" if title.endswith("?") else "."
        return f"{', '.join(names)} ({fields['year']}). {title}{end} {source}."


@cache
def load_references() -> Mapping[str, Reference]:
    """Entries of the bibliography by their keys, in the order of the file."""
    file = resources.files("bids_spheres") / "data" / "references.bib"
    references = {}
    for entry in _ENTRY.finditer(file.read_text(encoding="utf-8")):
        fields = MappingProxyType(dict(_FIELD.findall(entry["fields"])))
        references[entry["key"]] = Reference(entry["key"], fields, entry[0])
    return MappingProxyType(references)


def cited_keys(text: str) -> tuple[str, ...]:
    """Keys that a text cites, each once, in the order of their first citation.

    >>> cited_keys("One [@power2011; @ciric2017], two [@power2011], `[@no]`.")
    ('power2011', 'ciric2017')
    """
    groups = (match["keys"] for match in _CODE_OR_CITATION.finditer(text) if match["keys"])
    return tuple(dict.fromkeys(key for group in groups for key in _KEY.findall(group)))


def find_references(keys: Iterable[str]) -> Iterator[Reference]:
    """Entries of the bibliography; UsageError for a key that it does not have."""
    known = load_references()
    for key in keys:
        if key not in known:
            raise UsageError(
                f"The bibliography has no entry {key!r}.",
                hint=did_you_mean(key, list(known)).strip() or None,
            )
        yield known[key]


def find_doi(doi: object) -> Reference | None:
    """The entry with this DOI, which is compared as DOIs are, without regard to case."""
    by_doi = {entry.fields.get("doi", "").lower(): entry for entry in load_references().values()}
    return by_doi.get(str(doi).lower())


def bibliography(text: str) -> str:
    """BibTeX of what a text cites, in the order of the first citation."""
    return "\n\n".join(entry.bibtex for entry in find_references(cited_keys(text)))


def in_plain_words(text: str) -> str:
    """Markdown of this package as plain text, its citations as authors and years.

    >>> in_plain_words("Seeds [@power2011; @ciric2017] of `my_table`.")
    'Seeds (Power et al., 2011; Ciric et al., 2017) of my_table.'
    """
    words, end = [], 0
    for match in _CODE_OR_CITATION.finditer(text):
        span = match["code"]
        if match["keys"]:
            labels = (entry.label for entry in find_references(_KEY.findall(match["keys"])))
            span = f"({'; '.join(labels)})"
        elif span[0] == span[-1] == " " and span.strip():
            span = span[1:-1]  # CommonMark strips one blank on each side
        words += [unescape(text[end : match.start()]), span]
        end = match.end()
    return "".join([*words, unescape(text[end:])])


def _name(author: str, *, initials: bool) -> str:
    """Family name, and initials and suffix, of ``Family, Jr., Given`` or ``{Name of a group}``."""
    family, *suffixes, given = author.split(", ") if ", " in author else (author, "")
    family = family.strip("{}")
    if not given or not initials:
        return family
    letters = "".join(part[0] for part in re.split(r"[ -]", given))
    return " ".join([family, letters, *(part.rstrip(".") for part in suffixes)])
