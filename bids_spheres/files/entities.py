"""Compare labels of entities by their values."""

from __future__ import annotations

INDICES = frozenset({"chunk", "echo", "flip", "inv", "run", "split"})
"""Entities whose value is an index: BIDS 1.11, ``format: index`` in the schema."""


def entity_value(key: str, label: str) -> str:
    """Value of a label: an index is a number, so run-01 is run-1; other labels are themselves.

    Examples
    --------
    >>> entity_value("run", "01"), entity_value("run", "00"), entity_value("sub", "01")
    ('1', '0', '01')
    """
    if key not in INDICES or not label.isdecimal():
        return label
    return label.lstrip("0") or "0"


def same_template(first: str | None, second: str | None) -> bool:
    """Whether two spaces are the same template; either may leave out the cohort.

    Examples
    --------
    >>> same_template("MNIInfant+2", "MNIInfant"), same_template("MNIInfant+2", "MNIInfant+3")
    (True, False)
    """
    if first is None or second is None:
        return first is second
    (template, _, cohort), (other, _, other_cohort) = first.partition("+"), second.partition("+")
    return template == other and (not (cohort and other_cohort) or cohort == other_cohort)


_MNI = ("MNI152Lin", "MNI152NLin", "MNI305", "MNIColin27", "MNIInfant", "MNIPediatric")
"""Beginnings of the names of MNI templates in BIDS 1.11 and TemplateFlow."""


def is_mni(space: str) -> bool:
    """Whether a space is a template of the MNI family, of whatever cohort.

    Examples
    --------
    >>> is_mni("MNIPediatricAsym+2"), is_mni("MNI")
    (True, False)
    """
    return space.startswith(_MNI)
