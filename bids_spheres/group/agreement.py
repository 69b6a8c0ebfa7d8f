"""Whether outputs under one name were made alike."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING

from bids_spheres.errors import DataError
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bids_spheres.group.facts import Settings

    Made = Iterable[tuple[str, Settings]]

_MOST_SHOWN = 60

_HINT = (
    "Run the participant level again for some of them with the settings of the others, or leave "
    "them out by a selection of participants."
)


def check_agreement(made: Made) -> None:
    """Refuse to mix what was made with different settings.

    Parameters
    ----------
    made : iterable of (str, Settings)
        Participant of every run, and the settings with which its outputs were made.

    Raises
    ------
    DataError
        When they are not all the same; with the settings that differ, and in whom.
    """
    if different := differences(made):
        raise DataError(
            "outputs that were made with different settings are not mixed: "
            f"{'; '.join(different)}.",
            hint=_HINT,
        )


def check_geometry(made: Iterable[tuple[str, Settings, Settings]]) -> None:
    """Refuse matrices whose spheres were drawn again, with other settings, by a later call.

    Parameters
    ----------
    made : iterable of (str, Settings, Settings)
        Participant of every run, what the sidecar of its matrix says of the spheres, and what
        that of the spheres says.
    """
    stale: dict[str, list[str]] = defaultdict(list)
    for participant, of_matrix, of_spheres in made:
        for (key, was), (_, now) in zip(of_matrix, of_spheres, strict=True):
            if was != now:
                change = f"{key} was {_shown(was, [now])} and is {_shown(now, [was])}"
                stale[change].append(participant)
    if stale:
        changes = [f"{change} in {_who(people)}" for change, people in stale.items()]
        raise DataError(
            f"spheres were drawn again after the matrices were made: {'; '.join(changes)}.",
            hint="Run the participant level for these matrices again.",
        )


def differences(made: Made) -> list[str]:
    """Settings that are not the same in all runs, a phrase each.

    Examples
    --------
    >>> differences([("sub-01", (("Radius", "5"),)), ("sub-02", (("Radius", "6"),))])
    ['Radius is 5 in 1 participant (sub-01) and 6 in 1 participant (sub-02)']
    """
    people: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for participant, settings in made:
        for key, value in settings:
            people[key][value].append(participant)
    phrases = []
    for key, own in people.items():
        if len(own) > 1:
            kinds = [f"{_shown(value, own)} in {_who(labels)}" for value, labels in own.items()]
            phrases.append(f"{key} is {' and '.join(kinds)}")
    return phrases


def _who(participants: Iterable[str]) -> str:
    labels = list(dict.fromkeys(participants))
    return f"{count(len(labels), 'participant')} ({listing(labels)})"


def _shown(text: str, others: Iterable[str]) -> str:
    """A value as JSON; of a long list, the first entry that another list does not share."""
    if len(text) <= _MOST_SHOWN:
        return text
    value = json.loads(text)
    if not isinstance(value, list):
        return f"{text[: _MOST_SHOWN - 3]}..."
    lists = (json.loads(other) for other in others if other != text and other.startswith("["))
    for place, (mine, theirs) in enumerate(zip(value, next(lists, []), strict=False), start=1):
        if mine != theirs:
            return f"{json.dumps(mine)} at place {place} of {len(value)}"
    return f"a list of {len(value)}"
