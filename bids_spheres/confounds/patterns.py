r"""Regular expressions of strategy files, of which none may search for ever.

A strategy may come from somebody else, and Python's ``re`` tries every way to match: a name of 30
letters keeps ``^(\w+_?)*$`` busy for hours, and no other thread can stop it. So the ways in which
a pattern could match are counted before it is used.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_LENGTH = 1000
"""Characters of a pattern."""

MAX_NAME = 100
"""Characters of a column's name; longer names match no pattern."""

MAX_WAYS = 4 * 10**6
"""Ways to match one name: four alternatives with three repetitions each, or 21 optional parts."""

_PART = re.compile(
    r"""(?P<refused>\\[1-9] | \(\?(?![:=!]))
    | (?P<opened>\((\?[:=!])?)
    | (?P<closed>\))
    | (?P<alternative>\|)
    | (?P<optional>\?[?+]?)
    | (?P<exact>\{[0-9]+\}[?+]?)
    | (?P<repeated>[*+][?+]? | \{[0-9]*,[0-9]*\}[?+]?)
    | (?P<atom>\\. | \[\^?\]?(\\.|[^\]\\])*\] | .)""",
    re.VERBOSE | re.DOTALL,
)


def pattern_problem(pattern: str) -> str | None:
    """Why a regular expression can't be used, to be read after its name; None for a good one."""
    if len(pattern) > MAX_LENGTH:
        return f"has {len(pattern)} characters, more than {MAX_LENGTH}"
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"is not a regular expression: {error}"
    # Of each open group: ways of the alternatives before, and of the one that is being read.
    groups = [[0, 1]]
    before = ""
    for part in _PART.finditer(pattern):
        kind = part.lastgroup
        if kind == "refused":
            return f"has {part.group()!r}, a reference or an extension that is not supported"
        if kind == "opened":
            groups.append([0, 1])
        elif kind == "closed":
            ways = sum(groups.pop())
            groups[-1][1] *= ways
        elif kind == "alternative":
            groups[-1] = [sum(groups[-1]), 1]
        elif kind in {"repeated", "exact"} and before == "closed":
            return f"repeats a group ({part.group()!r} after a bracket), which may take for ever"
        groups[-1][1] *= {"optional": 2, "repeated": MAX_NAME}.get(kind or "", 1)
        before = kind or ""
    if sum(groups[0]) > MAX_WAYS:
        return "could match in too many ways: leave out some of *, +, ? and {}"
    return None


def matching_names(pattern: str, names: Iterable[str]) -> list[str]:
    """Names in which a pattern is found, but for those longer than `MAX_NAME`."""
    return [name for name in names if len(name) <= MAX_NAME and re.search(pattern, name)]
