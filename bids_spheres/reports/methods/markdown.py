"""Markdown sentences: lists, citations, code spans, escaped text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SPECIAL = r"[\\`*_{}\[\]<>#|@$^~&!]"
"""Characters that CommonMark, its tables, or pandoc's Markdown give a meaning inside a line."""


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
    r"""Inverse of `escape`, except for white space.

    >>> unescape("2 \\* \\[x\\]")
    '2 * [x]'
    """
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
