"""Numbers and names in sentences, for every message and page."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence

_LONGEST = 40  # Letters of a name in a sentence
_ROUNDING = 1e-9  # What sums of equal and opposite numbers differ from 0
NO_BREAK = "\N{NO-BREAK SPACE}"

_K = TypeVar("_K", bound="Hashable")


def count(n: int, thing: str, things: str | None = None) -> str:
    """How many there are of something.

    >>> count(1, "voxel"), count(1200, "voxel"), count(0, "radius", "radii")
    ('1 voxel', '1,200 voxels', 'no radii')
    """
    return f"{n:,} {plural(n, thing, things)}" if n else f"no {plural(n, thing, things)}"


def plural(n: int, thing: str, things: str | None = None) -> str:
    """A noun as it stands after a number.

    >>> plural(1, "run"), plural(2, "run"), plural(3, "has", "have")
    ('run', 'runs', 'have')
    """
    return thing if n == 1 else things or f"{thing}s"


def more_in(n: int, place: str) -> str:
    """Where the rest of a table or list is; nothing without a rest.

    >>> more_in(1, "the log"), more_in(1200, "the log"), more_in(0, "the log")
    ('1 more is in the log.', '1,200 more are in the log.', '')
    """
    return f"{n:,} more {plural(n, 'is', 'are')} in {place}." if n > 0 else ""


def number(value: float, digits: int = 2) -> str:
    """A number with at most `digits` decimals, or one digit where these would make it 0.

    >>> number(4.0), number(-38.3333), number(-0.0012), number(-1e-17)
    ('4', '-38.33', '-0.001', '0')
    """
    text = f"{value:.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    if text not in ("0", "-0"):
        return text
    return f"{value:.1g}" if abs(value) > _ROUNDING else "0"


def percent(share: float) -> str:
    r"""A share as per cent: only 1 is 100 %, only 0 is 0 %.

    >>> percent(1), percent(0.9999), percent(0.6667), percent(0.00021)
    ('100\xa0%', '99.9\xa0%', '66.7\xa0%', '0.021\xa0%')
    """
    if 0 < share < 0.01:
        return f"{100 * share:.2g}{NO_BREAK}%"
    return f"{number(min(100 * share, 99.9) if share < 1 else 100, 1)}{NO_BREAK}%"


def listing(items: Sequence[str], most: int = 5) -> str:
    """Some of several names, and how many more there are.

    >>> listing(["a", "b"]), listing(["a", "b", "c", "d"], most=2)
    ('a and b', 'a, b and 2 more')
    """
    shown = list(items[:most])
    if len(items) > most:
        shown.append(f"{len(items) - most} more")
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1] if shown else ""]))


def naming(names: Sequence[str], most: int = 5) -> str:
    """Some of several names that users have given, which may be of any length.

    >>> naming(["M1", "a" * 50])
    'M1 and aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…'
    """
    shown = [name if len(name) <= _LONGEST else f"{name[:_LONGEST].rstrip()}…" for name in names]
    return listing(shown, most)


def collect(pairs: Iterable[tuple[_K, str]]) -> dict[_K, list[str]]:
    """Group names by what is said of them, without duplicates.

    >>> collect([("few", "24P"), ("many", "24P"), ("few", "36P"), ("few", "24P")])
    {'few': ['24P', '36P'], 'many': ['24P']}
    """
    names: dict[_K, dict[str, None]] = {}
    for said, name in pairs:
        names.setdefault(said, {})[name] = None
    return {said: list(own) for said, own in names.items()}


def after_names(
    pairs: Iterable[tuple[str, str]], most: int = 5, everything: Collection[str] = ()
) -> Iterator[str]:
    """Each text once, after the names of all that it is about, unless these are everything.

    >>> list(after_names([("few", "24P"), ("many", "24P"), ("few", "36P")], 5, ["24P", "36P"]))
    ['Few', '24P: many']
    """
    for text, names in collect(pairs).items():
        is_all = set(names) == set(everything)
        yield sentence(text)[:-1] if is_all else f"{listing(names, most)}: {text}"


def coefficient(r: float) -> str:
    """A correlation with two decimals, or more where these would make it perfect.

    >>> coefficient(-0.123), coefficient(0.9981), coefficient(0.99999), coefficient(1)
    ('-0.12', '0.998', '0.9999', '1')
    """
    for digits in (2, 3):
        if abs(r) >= 1 or abs(round(r, digits)) < 1:
            return number(r, digits)
    return number(max(-0.9999, min(r, 0.9999)), 4)


def sentence(text: str) -> str:
    """`text` with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."
