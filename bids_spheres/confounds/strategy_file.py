"""A strategy to JSON and back, every key and value checked.

What a file can hold, in the words of the file::

    {"name": "my24P", "description": "one sentence for the methods text",
     "confounds": ["trans_x", "^rot_[xyz](_derivative1)?$"],
     "motion": "full", "wm_csf": "basic", "global_signal": "basic", "high_pass": true,
     "compcor": {"mask": "combined", "n": 5}, "ica_aroma": "basic", "tedana": "aggressive",
     "censor": {"fd_threshold": 0.3, "std_dvars_threshold": null,
                "before": 1, "after": 1, "min_segment": 5},
     "filter": {"high_pass": 0.01, "low_pass": 0.08, "type": "butterworth", "order": 5},
     "min_volumes": 100, "min_seconds": 240, "bold": "preproc"}

Only ``name`` is required. ``null`` is the same as no such key, everywhere.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, NoReturn

from bids_spheres.confounds.compcor import MASKS_OF, SHORT_NAMES
from bids_spheres.confounds.strategy import (
    BOLD_KINDS,
    EXPANSIONS,
    Censor,
    CompCor,
    Strategy,
    TemporalFilter,
)
from bids_spheres.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

_ELSEWHERE = {
    "scrub": "censor.min_segment",
    "fd_threshold": "censor.fd_threshold",
    "std_dvars_threshold": "censor.std_dvars_threshold",
    "n_compcor": "compcor.n",
    "low_pass": "filter.low_pass",
}
"""nilearn's arguments, and where they stand here."""

_TOO_LARGE = 1e300
"""Also of whole numbers, which JSON doesn't bound."""

_TOO_MANY = 10**9
"""Volumes. Larger numbers are slips of the finger, and don't fit where arrays count."""

_LABEL = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True)
class Place:
    """Where in which file a value stands.

    Parameters
    ----------
    source : str
        The file.
    key : str
        Keys from the top, joined by dots; "" is the whole.
    """

    source: str
    key: str = ""

    def at(self, key: str) -> Place:
        """A place below this one."""
        return Place(self.source, f"{self.key}.{key}" if self.key else key)

    def refuse(self, wanted: str, value: Any) -> NoReturn:
        """Raise the error of a value of the wrong kind."""
        raise DataError(
            f"{self.source}: {self.key or 'its content'} must be {wanted}, not {_shown(value)}."
        )


def strategy_from_json(content: Any, source: Path | str) -> Strategy:
    """Make a strategy of what a JSON or YAML file holds.

    Parameters
    ----------
    content : Any
        As the parser gives it.
    source : Path or str
        The file, for messages.

    Raises
    ------
    DataError
        When a key is not known or a value not of its kind; the message names file and key.
    """
    place = Place(str(source))
    values = _object(content, place, _STRATEGY)
    if "name" not in values:
        raise DataError(f"{source}: the strategy has no name.", hint='Add "name": "...".')
    return Strategy(**{"description": "", **values}, source=str(source))


def override(strategy: Strategy, changes: Mapping[str, Any]) -> Strategy:
    """A strategy with some of its keys changed, as options of a command line do.

    Parameters
    ----------
    strategy : Strategy
    changes : mapping
        Keys from the top, joined by dots, to values as a file holds them; None takes a key away,
        and so does a ``filter.type`` of "none" with the filter.

    Raises
    ------
    DataError
        When a value is not of its kind, or does not go with the others.

    Examples
    --------
    >>> override(Strategy("a", ""), {"censor.fd_threshold": 0.3}).censor.fd_threshold
    0.3
    """
    if not changes:
        return strategy
    content = strategy_to_json(strategy)
    for key, value in changes.items():
        *parents, last = key.split(".")
        place = content
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    chosen = content.get("filter", {})
    without_edges = chosen.get("high_pass") is None and chosen.get("low_pass") is None
    if chosen.get("type") == "none" or (without_edges and not changes.get("filter.type")):
        content.pop("filter", None)
    elif chosen.get("type") == "cosine" and "filter.order" not in changes:
        chosen.pop("order", None)
    source = f"{strategy.source or strategy.name} with the options given"
    return replace(strategy_from_json(content, source), source=strategy.source)


def strategy_to_json(strategy: Strategy) -> dict[str, Any]:
    """Make what a file holds of a strategy.

    Keys that say nothing are left out; a censoring or filter that says something is given with
    all its numbers, so that a reader needs not know the defaults.

    Examples
    --------
    >>> strategy_to_json(Strategy("gsr", "The global signal.", global_signal="basic"))
    {'name': 'gsr', 'description': 'The global signal.', 'global_signal': 'basic'}
    """
    default = Strategy(strategy.name, "")
    content = {"name": strategy.name, "description": strategy.description}
    for name in (field.name for field in fields(Strategy) if field.compare):
        value = getattr(strategy, name)
        if name not in content and value != getattr(default, name):
            content[name] = _plain(value)
    return content


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, TemporalFilter) and value.type == "cosine":
        return {
            key: part for key, part in asdict(value).items() if key not in ("low_pass", "order")
        }
    return asdict(value) if isinstance(value, Censor | CompCor | TemporalFilter) else value


def _object(
    content: Any, place: Place, kinds: Mapping[str, Callable[[Any, Place], Any]]
) -> dict[str, Any]:
    """Values of a JSON object, each read by the function of its key; nulls left out."""
    if not isinstance(content, dict):
        place.refuse("an object with keys and values", content)
    for key in content:
        if key not in kinds:
            raise _unknown_key(key, place, kinds)
    return {
        key: kinds[key](value, place.at(key)) for key, value in content.items() if value is not None
    }


def _unknown_key(key: Any, place: Place, known: Iterable[str]) -> DataError:
    guess = did_you_mean(str(key), list(known)).strip()
    hint = f"The keys are: {', '.join(known)}."
    if not place.key and key in _ELSEWHERE:
        hint = f"What nilearn calls {key} is {_ELSEWHERE[key]} here."
    elif guess:
        hint = guess
    return DataError(f"{place.source}: unknown key {place.at(str(key)).key}.", hint=hint)


def _one_of(*choices: str) -> Callable[[Any, Place], str]:
    def read(value: Any, place: Place) -> str:
        if not isinstance(value, str) or value not in choices:
            place.refuse(f"one of {', '.join(choices)}", value)
        return value

    return read


def _text(value: Any, place: Place) -> str:
    if not isinstance(value, str):
        place.refuse("a text", value)
    return value


def _label(value: Any, place: Place) -> str:
    if not isinstance(value, str) or not _LABEL.fullmatch(value):
        place.refuse("letters (a-z) and digits only, because file names will hold it", value)
    return value


def _high_pass(value: Any, place: Place) -> Any:
    if not isinstance(value, bool) and value != "unless_filtered":
        place.refuse('true, false or "unless_filtered"', value)
    return value


def _number(value: Any, place: Place) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _TOO_LARGE:
        place.refuse("a number that is not negative, or null", value)
    return float(value)


def _frequency(value: Any, place: Place) -> float:
    if _number(value, place) == 0:
        place.refuse("a frequency in Hz above 0, or null for no such edge", value)
    return float(value)


def _count(value: Any, place: Place) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _TOO_MANY:
        place.refuse("a whole number that is not negative, below a billion", value)
    return value


def _component_count(value: Any, place: Place) -> Any:
    if value != "all" and _count_or_none(value) in (None, 0):
        place.refuse('a whole number above 0, or "all"', value)
    return value


def _count_or_none(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _confounds(value: Any, place: Place) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(entry, str) and entry for entry in value):
        place.refuse("a list of column names", value)
    for entry in value:
        _check_pattern(entry, place)
    return tuple(value)


def _check_pattern(entry: str, place: Place) -> None:
    if entry.startswith("^"):
        try:
            re.compile(entry)
        except re.error as error:
            raise DataError(
                f"{place.source}: the pattern {entry!r} in {place.key} is not a regular "
                f"expression: {error}."
            ) from error


def _bold(value: Any, place: Place) -> tuple[str, ...]:
    kinds = value if isinstance(value, list) and value else [value]
    return tuple(_one_of(*BOLD_KINDS)(kind, place) for kind in kinds)


def _compcor(value: Any, place: Place) -> CompCor:
    values = _object({"mask": value} if isinstance(value, str) else value, place, _COMPCOR)
    if "mask" not in values:
        place.refuse('an object with a "mask"', value)
    return CompCor(SHORT_NAMES.get(values["mask"], values["mask"]), values.get("n", "all"))


def _censor(value: Any, place: Place) -> Censor:
    return Censor(**_object(value, place, _CENSOR))


def _filter(value: Any, place: Place) -> TemporalFilter:
    chosen = TemporalFilter(**_object(value, place, _FILTER))
    high_pass, low_pass = chosen.high_pass, chosen.low_pass
    if high_pass is None and (low_pass is None or chosen.type == "cosine"):
        needed = "high_pass" if chosen.type == "cosine" else "high_pass or low_pass"
        place.refuse(f"an object with {needed}", value)
    if chosen.type == "cosine" and ("order" in value or low_pass is not None):
        place.refuse('without "order" and "low_pass" when its type is cosine', value)
    if high_pass is not None and low_pass is not None and high_pass >= low_pass:
        place.refuse("a band with high_pass below low_pass", value)
    return chosen


def _filter_order(value: Any, place: Place) -> int:
    if _count_or_none(value) is None:
        place.refuse("a whole number above 0", value)
    return int(value)


def _tedana(value: Any, place: Place) -> str:
    if value == "non-aggressive":
        raise DataError(
            f"{place.source}: {place.key} can't be non-aggressive: nilearn's columns of that name "
            "hold the accepted components too, and to regress them out would remove the signal.",
            hint='"orthogonal" removes what the accepted components don\'t explain.',
        )
    return _one_of("aggressive", "orthogonal")(value, place)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_COMPCOR = {"mask": _one_of(*SHORT_NAMES, *MASKS_OF), "n": _component_count}
_CENSOR = {
    "fd_threshold": _number,
    "std_dvars_threshold": _number,
    "before": _count,
    "after": _count,
    "min_segment": _count,
}
_FILTER = {
    "high_pass": _frequency,
    "low_pass": _frequency,
    "type": _one_of("butterworth", "cosine"),
    "order": _filter_order,
}
_STRATEGY: dict[str, Callable[[Any, Place], Any]] = {
    "name": _label,
    "description": _text,
    "confounds": _confounds,
    "motion": _one_of(*EXPANSIONS),
    "wm_csf": _one_of(*EXPANSIONS),
    "global_signal": _one_of(*EXPANSIONS),
    "high_pass": _high_pass,
    "compcor": _compcor,
    "ica_aroma": _one_of("full", "basic", "orthogonal"),
    "tedana": _tedana,
    "censor": _censor,
    "filter": _filter,
    "min_volumes": _count,
    "min_seconds": _number,
    "bold": _bold,
}
