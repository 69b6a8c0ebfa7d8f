"""Read strategies, and write them as JSON; every key and value is checked.

All that a file can hold::

    {"name": "my24P", "description": "one sentence for the methods text",
     "confounds": ["trans_x", "^rot_[xyz](_derivative1)?$"],
     "motion": "full", "wm_csf": "basic", "global_signal": "basic", "high_pass": true,
     "compcor": {"mask": "combined", "n": 5}, "ica_aroma": "basic", "tedana": "aggressive",
     "task": {"model": "hrf", "hrf": "glover + derivative"},
     "head_motion": {"filter": "fair2020", "head_radius": 50, "filter_regressors": false},
     "censor": {"fd_threshold": 0.3, "std_dvars_threshold": null, "rmsd_threshold": null,
                "combine": "any", "before": 1, "after": 1, "min_segment": 5},
     "filter": {"high_pass": 0.01, "low_pass": 0.08, "type": "butterworth", "order": 5},
     "min_volumes": 100, "min_seconds": 240, "bold": "preproc"}

Only ``name`` is required. ``null`` is the same as no such key, everywhere.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

from bids_spheres.confounds.columns import MASKS_OF, pattern_problem
from bids_spheres.confounds.strategy import (
    BOLD_KINDS,
    EXPANSIONS,
    HRF_MODELS,
    MOTION_FILTERS,
    Censor,
    CompCor,
    HeadMotion,
    Strategy,
    Task,
    TemporalFilter,
)
from bids_spheres.data.published import (
    STRATEGY_FILES,
    data_folder,
    published_strategies,
    unknown_strategy,
)
from bids_spheres.errors import DataError, did_you_mean
from bids_spheres.files.text import parse_json, parse_yaml, read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Reader = Callable[[object, "Place"], Any]

_SHORT_NAMES = {"combined": "anat_combined", "separated": "anat_separated"}

_ELSEWHERE = {
    "scrub": "censor.min_segment",
    "fd_threshold": "censor.fd_threshold",
    "std_dvars_threshold": "censor.std_dvars_threshold",
    "n_compcor": "compcor.n",
    "low_pass": "filter.low_pass",
}
"""nilearn's arguments, and where they stand here."""

_TOO_LARGE = 1e300  # also of whole numbers, which JSON doesn't bound
_TOO_MANY = 10**9  # volumes: slips of the finger, and too large where arrays count


@dataclass(frozen=True)
class Place:
    """A file, and the keys that lead to a value in it, joined by dots; "" is the whole."""

    source: str
    key: str = ""

    def at(self, key: str) -> Place:
        """A place below this one."""
        return Place(self.source, f"{self.key}.{key}" if self.key else key)

    def refuse(self, wanted: str, value: object) -> NoReturn:
        """Raise the error of a value of the wrong kind."""
        what = self.key or "its content"
        raise DataError(f"{self.source}: {what} must be {wanted}, not {_shortened(value)}.")


def load_strategy(name: str | Path) -> Strategy:
    """A strategy that ships with the package, by its name, or one from a JSON or YAML file."""
    if isinstance(name, str) and name in published_strategies():
        text = (data_folder("strategies") / f"{name}.json").read_text(encoding="utf-8")
        return strategy_from_json(json.loads(text), "")
    path = Path(name)
    if path.suffix.lower() not in STRATEGY_FILES:
        raise unknown_strategy(str(name))
    hint = f"The strategies that need no file are: {', '.join(published_strategies())}."
    text = read_text(path, "strategy file", hint=hint)
    if not text.strip():
        raise DataError(f"The strategy file {path} is empty.")
    is_json = path.suffix.lower() == ".json"
    content = parse_json(text, path, unique_keys=True) if is_json else parse_yaml(text, path)
    return strategy_from_json(content, path)


def strategy_from_json(content: object, source: Path | str) -> Strategy:
    """Read the content of a file, called `source`; DataError names file and key."""
    place = Place(str(source))
    values = _object(content, place, _STRATEGY)
    if "name" not in values:
        raise DataError(f"{source}: the strategy has no name.", hint='Add "name": "...".')
    return Strategy(**{"description": "", **values}, source=str(source))


def override(strategy: Strategy, changes: Mapping[str, object]) -> Strategy:
    """Change some keys of a strategy, as options of the command line do.

    `changes` has keys from the top, joined by dots, with values as a file holds them; None takes a
    key away, and so does a ``filter.type`` of "none" with the filter. DataError as for a file.

    >>> override(Strategy("a", ""), {"censor.fd_threshold": 0.3}).censor.fd_threshold
    0.3
    """
    if not changes:
        return strategy
    content = strategy_to_json(strategy)
    for key, value in changes.items():
        *parents, last = key.split(".")
        inner = content
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    # An option can take away the only edge of a filter, and its order with its type.
    chosen = content.get("filter", {})
    without_edges = chosen.get("high_pass") is None and chosen.get("low_pass") is None
    if chosen.get("type") == "none" or (without_edges and not changes.get("filter.type")):
        content.pop("filter", None)
    elif chosen.get("type") == "cosine" and "filter.order" not in changes:
        chosen.pop("order", None)
    source = f"{strategy.source or strategy.name} with the options given"
    return replace(strategy_from_json(content, source), source=strategy.source)


def strategy_to_json(strategy: Strategy) -> dict[str, Any]:
    """Content of a file that holds a strategy, without keys that have default values.

    Censoring or a filter that is not the default has all its numbers, so that a reader need not
    know the defaults.

    >>> strategy_to_json(Strategy("gsr", "The global signal.", global_signal="basic"))
    {'name': 'gsr', 'description': 'The global signal.', 'global_signal': 'basic'}
    """
    default = Strategy(strategy.name, "")
    content: dict[str, Any] = {"name": strategy.name, "description": strategy.description}
    for name in (field.name for field in fields(Strategy) if field.compare):
        value = getattr(strategy, name)
        if value == getattr(default, name):
            continue
        if is_dataclass(value) and not isinstance(value, type):
            value = asdict(value)
        content[name] = list(value) if isinstance(value, tuple) else value
    if strategy.filter and strategy.filter.type == "cosine":
        # A cosine filter has neither, and a file that gives them is refused.
        del content["filter"]["low_pass"], content["filter"]["order"]
    if strategy.task:
        del content["task"]["window" if strategy.task.model == "hrf" else "hrf"]
    return content


def _object(content: object, place: Place, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Values of a JSON object, each read by the function of its key; nulls left out."""
    if not isinstance(content, dict):
        place.refuse("an object with keys and values", content)
    for key in (key for key in content if key not in readers):
        if not place.key and key in _ELSEWHERE:
            hint = f"What nilearn calls {key} is {_ELSEWHERE[key]} here."
        else:
            guess = did_you_mean(str(key), list(readers)).strip()
            hint = guess or f"The keys are: {', '.join(readers)}."
        raise DataError(f"{place.source}: unknown key {place.at(str(key)).key}.", hint=hint)
    given = {key: value for key, value in content.items() if value is not None}
    return {key: readers[key](value, place.at(key)) for key, value in given.items()}


def _reader(
    wanted: str, accepts: Callable[[object], bool], convert: type[float] | None = None
) -> Reader:
    """Function that reads a value, or refuses it as something else than what is wanted."""

    def read(value: object, place: Place) -> object:
        if not accepts(value):
            place.refuse(wanted, value)
        return convert(value) if convert and isinstance(value, int | float) else value

    return read


def _one_of(*choices: str) -> Reader:
    return _reader(
        f"one of {', '.join(choices)}", lambda value: isinstance(value, str) and value in choices
    )


def _is_number(value: object) -> TypeGuard[float]:
    # For Python, true and false are whole numbers.
    is_bool = isinstance(value, bool)
    return isinstance(value, int | float) and not is_bool and 0 <= value < _TOO_LARGE


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _TOO_MANY


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _confounds(value: object, place: Place) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(entry, str) and entry for entry in value):
        place.refuse("a list of column names", value)
    for entry in value:
        if entry.startswith("^") and (problem := pattern_problem(entry)):
            raise DataError(
                f"{place.source}: the pattern {_shortened(entry)} in {place.key} {problem}."
            )
    return tuple(value)


def _bold(value: object, place: Place) -> tuple[str, ...]:
    kinds = value if isinstance(value, list) and value else [value]
    return tuple(_one_of(*BOLD_KINDS)(kind, place) for kind in kinds)


def _compcor(value: object, place: Place) -> CompCor:
    values = _object({"mask": value} if isinstance(value, str) else value, place, _COMPCOR)
    if "mask" not in values:
        place.refuse('an object with a "mask"', value)
    return CompCor(_SHORT_NAMES.get(values["mask"], values["mask"]), values.get("n", "all"))


def _filter(value: object, place: Place) -> TemporalFilter:
    values = _object(value, place, _FILTER)
    chosen = TemporalFilter(**values)
    high_pass, low_pass = chosen.high_pass, chosen.low_pass
    if high_pass is None and (low_pass is None or chosen.type == "cosine"):
        needed = "high_pass" if chosen.type == "cosine" else "high_pass or low_pass"
        place.refuse(f"an object with {needed}", value)
    if chosen.type == "cosine" and ("order" in values or low_pass is not None):
        place.refuse('without "order" and "low_pass" when its type is cosine', value)
    if high_pass is not None and low_pass is not None and high_pass >= low_pass:
        place.refuse("a band with high_pass below low_pass", value)
    return chosen


def _task(value: object, place: Place) -> Task:
    values = _object(value, place, _TASK)
    if "model" not in values:
        place.refuse('an object with a "model"', value)
    other = "window" if values["model"] == "hrf" else "hrf"
    if other in values:
        place.refuse(f'without "{other}" when its model is {values["model"]}', value)
    return Task(**values)


def _head_motion(value: object, place: Place) -> HeadMotion | None:
    values = _object(value, place, _HEAD_MOTION)
    if values.get("filter_regressors") and "filter" not in values:
        place.refuse('without "filter_regressors", or with a "filter"', value)
    return HeadMotion(**values) if values else None


def _is_motion_filter(value: object) -> bool:
    kind, *edges = str(MOTION_FILTERS.get(str(value), value)).split(":")
    if not all(re.fullmatch(r"\d{1,4}(\.\d{1,6})?", edge) for edge in edges):
        return False
    numbers = [0.0, *map(float, edges)]
    rising = all(low < high for low, high in pairwise(numbers))
    return isinstance(value, str) and len(edges) == {"lowpass": 1, "notch": 2}.get(kind) and rising


def _tedana(value: object, place: Place) -> object:
    if value == "non-aggressive":
        raise DataError(
            f"{place.source}: {place.key} can't be non-aggressive: nilearn's columns of that name "
            "hold the accepted components too, and to regress them out would remove the signal.",
            hint='"orthogonal" removes what the accepted components don\'t explain.',
        )
    return _one_of("aggressive", "orthogonal")(value, place)


_number = _reader("a number that is not negative, or null", _is_number, float)
_frequency = _reader(
    "a frequency in Hz above 0, or null for no such edge",
    lambda value: _is_number(value) and value > 0,
    float,
)
_count = _reader("a whole number that is not negative, below a billion", _is_count)
_COMPCOR = {
    "mask": _one_of(*_SHORT_NAMES, *MASKS_OF),
    "n": _reader(
        'a whole number above 0, or "all"',
        lambda value: value == "all" or (_is_count(value) and value > 0),
    ),
}
_TASK = {
    "model": _one_of("hrf", "fir"),
    "hrf": _one_of(*HRF_MODELS),
    "window": _reader(
        "a time in s above 0, at most 60",
        lambda value: _is_number(value) and 0 < value <= 60,
        float,
    ),
}
_HEAD_MOTION = {
    "filter": _reader(
        f"{', '.join(MOTION_FILTERS)}, lowpass:BPM or notch:LOW:HIGH in breaths a minute",
        _is_motion_filter,
    ),
    "head_radius": _reader(
        'a length in mm from 1 to 200, or "auto"',
        lambda value: value == "auto" or (_is_number(value) and 1 <= value <= 200),
    ),
    "filter_regressors": _reader("true or false", lambda value: isinstance(value, bool)),
}
_CENSOR = {
    **dict.fromkeys(("fd_threshold", "std_dvars_threshold", "rmsd_threshold"), _number),
    "combine": _one_of("any", "all"),
    **dict.fromkeys(("before", "after", "min_segment"), _count),
}
_FILTER = {
    "high_pass": _frequency,
    "low_pass": _frequency,
    "type": _one_of("butterworth", "cosine"),
    "order": _reader("a whole number above 0", lambda value: _is_count(value) and value > 0),
}
_STRATEGY: dict[str, Reader] = {
    "name": _reader(
        "letters (a-z) and digits only, because file names will hold it",
        lambda value: isinstance(value, str) and value.isascii() and value.isalnum(),
    ),
    "description": _reader("a text", lambda value: isinstance(value, str)),
    "confounds": _confounds,
    **dict.fromkeys(("motion", "wm_csf", "global_signal"), _one_of(*EXPANSIONS)),
    "high_pass": _reader(
        'true, false or "unless_filtered"',
        lambda value: isinstance(value, bool) or value == "unless_filtered",
    ),
    "compcor": _compcor,
    "ica_aroma": _one_of("full", "basic", "orthogonal"),
    "tedana": _tedana,
    "task": _task,
    "head_motion": _head_motion,
    "censor": lambda value, place: Censor(**_object(value, place, _CENSOR)),
    "filter": _filter,
    "min_volumes": _count,
    "min_seconds": _number,
    "bold": _bold,
}
