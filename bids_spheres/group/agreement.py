"""Whether outputs under one name were made alike."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from bids_spheres.errors import DataError
from bids_spheres.wording import count, listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bids_spheres.group.facts import Settings

    Made = Iterable[tuple[str, Settings]]
    Makers = Mapping[str, Sequence[str]]

_MOST_SHOWN = 60

_HINT = (
    "Make those of one kind anew with the settings of the other, or leave them out by a "
    "selection of participants."
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
    if found := differences(made):
        raise DataError(
            f"outputs that were made with different settings are not mixed: {'; '.join(found)}.",
            hint=_HINT,
        )


def check_geometry(made: Iterable[tuple[str, Settings, Settings]]) -> None:
    """Refuse matrices whose spheres were drawn anew, with other settings, by a later call.

    Parameters
    ----------
    made : iterable of (str, Settings, Settings)
        Participant of every run, what the sidecar of its matrix says of the spheres, and what
        that of the spheres says.

    Raises
    ------
    DataError
        When the two differ in any run.
    """
    stale: dict[str, list[str]] = defaultdict(list)
    for participant, of_matrix, of_spheres in made:
        for (key, was), (_, now) in zip(of_matrix, of_spheres, strict=True):
            if was != now:
                stale[f"{key} was {_shown(was, [now])} and is {_shown(now, [was])}"] += [
                    participant
                ]
    if stale:
        raise DataError(
            "spheres were drawn anew after the matrices were made: "
            f"{'; '.join(f'{what} in {_who(people)}' for what, people in stale.items())}.",
            hint="Run the participant level for these matrices anew.",
        )


def differences(made: Made) -> list[str]:
    """Settings that are not the same in all runs, a phrase each.

    Examples
    --------
    >>> differences([("sub-01", (("Radius", "5"),)), ("sub-02", (("Radius", "6"),))])
    ['Radius is 5 in 1 participant (sub-01) and 6 in 1 participant (sub-02)']
    """
    makers: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for participant, settings in made:
        for key, value in settings:
            makers[key][value].append(participant)
    return [_phrase(key, values) for key, values in makers.items() if len(values) > 1]


def _phrase(key: str, values: Makers) -> str:
    kinds = [
        f"{_shown(value, [other for other in values if other != value])} in {_who(people)}"
        for value, people in values.items()
    ]
    return f"{key} is {' and '.join(kinds)}"


def _who(participants: Iterable[str]) -> str:
    labels = list(dict.fromkeys(participants))
    return f"{count(len(labels), 'participant')} ({listing(labels)})"


def _shown(text: str, others: Sequence[str]) -> str:
    """A value; of a list that is long, the part that others don't share."""
    value = json.loads(text)
    if isinstance(value, list) and len(text) > _MOST_SHOWN:
        return _own_part(value, [json.loads(other) for other in others])
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."


def _own_part(value: list[Any], others: Sequence[Any]) -> str:
    """The first entry at which a list differs from another, or what it has beyond it."""
    other = next((other for other in others if isinstance(other, list)), [])
    for place, (mine, theirs) in enumerate(zip(value, other, strict=False), start=1):
        if mine != theirs:
            return f"{json.dumps(mine)} at place {place} of {len(value)}"
    return f"a list of {len(value)}"
