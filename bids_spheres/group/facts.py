"""Sidecars to the numbers and settings of the group level, and whether settings agree."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from math import inf, isnan, nan
from typing import TYPE_CHECKING, Any

from bids_spheres import __version__
from bids_spheres.errors import BidsSpheresError, DataError
from bids_spheres.group.edges import fisher_z_variance
from bids_spheres.outputs.sidecars import ANEW, read_sidecar, sidecar_path
from bids_spheres.settings.table import sidecar_keys
from bids_spheres.wording import collect, count, listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from bids_spheres.outputs.sidecars import Sidecar

Settings = tuple[tuple[str, str], ...]
"""Keys of a sidecar, and their values as JSON: two of them compare, and are hashed, as a whole."""

GEOMETRY = ("Seeds", "SeedSpace", "Radius", *sidecar_keys(voxels=True))
"""What says which voxels spheres are made of; in sidecars of spheres and of matrices."""

REGRESSORS = "NuisanceParameters"

_COMPARED = (
    *("Seeds", "SeedSpace", "Radius", *sidecar_keys(mixing="refuse"), "Strategy"),
    *("SoftwareFilters", "CensoringThresholds", "HeadMotion"),
    *("RelationshipMeasure", "ValidDiagonal"),
)
"""What must be the same in all runs of a group, with the kinds of regressors."""

_NOTED = ("Description", *sidecar_keys(mixing="note"))
"""Keys of sidecars whose differences are told, and do not keep matrices apart."""

_MOST_SHOWN = 60  # characters of a value in a message
_NUMBERED = re.compile(r"(?P<kind>.*[A-Za-z_])[0-9]+")
_FORMS = ("_derivative1", "_power2")


class OtherVersionError(DataError):
    """Outputs of another minor version, whose numbers may differ."""

    def __init__(self, version: str) -> None:
        text = f"they were made by bids_spheres {version}, and this is {__version__}, whose numbers"
        super().__init__(f"{text} may differ.", hint="Run the participant level again for them.")
        self.version = version


def check_version(content: Sidecar) -> None:
    """Refuse what another minor version wrote (OtherVersionError); 0.1 did not write its name."""
    try:
        version = str(content["GeneratedBy"][0]["Version"])
    except (KeyError, IndexError, TypeError):
        version = "0.1"
    if version.split(".")[:2] != __version__.split(".")[:2]:
        raise OtherVersionError(version)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the sidecar of a matrix says; ValueError or TypeError for what can't be.

    `mean_fd`, mm, is that of fMRIPrep's table over the `n_fd` volumes that have a displacement,
    censored ones too; recomputed it is what the strategy measures anew. Degrees of freedom are
    1 / var(r) of independent white series. `settings` must be the same in all runs of a group, and
    `noted` had better be. NaN is what is not known.
    """

    mean_fd: float
    n_fd: int
    mean_fd_recomputed: float
    n_volumes: int
    n_kept: int
    degrees_of_freedom: float
    excluded: str | None
    rank: float
    lost_to_filter: float
    lost_to_censoring: float
    settings: Settings
    noted: Settings

    def __post_init__(self) -> None:
        if not 0 <= self.n_kept <= self.n_volumes or not self.n_volumes:
            raise ValueError(f"{self.n_kept} of {self.n_volumes} volumes are kept")
        if not isnan(self.mean_fd) and not 0 < self.n_fd <= self.n_volumes:
            raise ValueError(f"{self.n_fd} volumes have the mean displacement {self.mean_fd:g}")
        if self.mean_fd < 0:
            raise ValueError(f"the mean framewise displacement is {self.mean_fd:g}")
        if not isinstance(self.excluded, str | None):
            raise TypeError(f"Excluded is {self.excluded!r}, not a reason")

    @property
    def described(self) -> dict[str, Any]:
        """What sidecars of a group say of its settings; regressors depend on the run."""
        own = {**as_json(self.noted), **as_json(self.settings), REGRESSORS: None}
        return {key: value for key, value in own.items() if value is not None}

    @property
    def geometry(self) -> Settings:
        """Which voxels spheres were made of; see `GEOMETRY`."""
        known = dict((*self.settings, *self.noted))
        return tuple((key, known[key]) for key in GEOMETRY)

    @property
    def variance(self) -> float:
        """Variance of Fisher's z."""
        return fisher_z_variance(self.degrees_of_freedom)

    @property
    def weight(self) -> float:
        """How much the run counts among others of its participant."""
        return 1 / self.variance


def read_facts(matrix: Path) -> RunFacts | None:
    """Read the sidecar of a matrix or map; None for one of several runs put together.

    Only sidecars of these have the key ``Concatenation``.
    MissingInputError without a sidecar, DataError when it can't be used (`OtherVersionError` when
    another version wrote it).
    """
    path = sidecar_path(matrix)
    content = read_sidecar(path, parse_float=as_integer)
    if "Concatenation" in content:
        return None
    check_version(content)
    try:
        kinds = json.dumps(regressor_kinds(content["NuisanceParameters"]))
        facts = RunFacts(
            mean_fd=_number(content.get("MeanFramewiseDisplacement")),
            mean_fd_recomputed=_number(content.get("MeanFramewiseDisplacementRecomputed")),
            n_fd=int(content["VolumesWithFramewiseDisplacement"]),
            n_volumes=int(content["NumberOfVolumes"]),
            n_kept=int(content["NumberOfVolumesKept"]),
            degrees_of_freedom=_number(content["DegreesOfFreedom"]),
            excluded=content.get("Excluded"),
            rank=_number(content.get("RankRemoved")),
            lost_to_filter=_number(content.get("DimensionsLostToFilter")),
            lost_to_censoring=_number(content.get("DimensionsLostToCensoring")),
            settings=(*pick(content, _COMPARED), (REGRESSORS, kinds)),
            noted=pick(content, _NOTED),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{path} is no matrix sidecar by bids_spheres: {type(error).__name__} {error}.",
            hint=ANEW,
        ) from error
    if facts.excluded is None and not 1 < facts.degrees_of_freedom < inf:
        raise DataError(
            f"{path}: with {facts.degrees_of_freedom:g} degrees of freedom a correlation means "
            "nothing.",
            hint="Run the participant level with a larger --min-dof, or another strategy.",
        )
    return facts


def of_several_runs(matrix: Path) -> bool:
    """Whether a matrix is of several runs put together; False when nothing says so."""
    try:
        return "Concatenation" in read_sidecar(matrix)
    except BidsSpheresError:
        return False


def pick(content: Mapping[str, object], keys: Iterable[str]) -> Settings:
    """Some keys of a sidecar as settings; null for those that it does not have."""
    return tuple((key, json.dumps(content.get(key), sort_keys=True)) for key in keys)


def as_json(settings: Settings) -> dict[str, Any]:
    """Settings as values for another sidecar."""
    return {key: json.loads(text) for key, text in settings}


def regressor_kinds(columns: list[str]) -> list[str]:
    """Columns of a design without what differs between runs by itself, sorted.

    Short runs have fewer cosines, and none below a minute; how many components explain half of
    the variance, or are noise, depends on the run. Of CompCor at least the mask counts.

    >>> regressor_kinds(["cosine00", "trans_x_derivative1", "a_comp_cor_00", "a_comp_cor_01"])
    ['a_comp_cor_*', 'trans_x_derivative1']
    """
    if not isinstance(columns, list):
        raise TypeError(f"{REGRESSORS} is {columns!r}, not a list")
    kinds = set()
    for name in columns:
        numbered = _NUMBERED.fullmatch(name)
        if numbered is None or name.endswith(_FORMS):
            kinds.add(name)
        elif "comp_cor" in name:
            kinds.add(f"{numbered['kind']}*")
    return sorted(kinds)


def as_integer(text: str) -> float | int:
    """A number of JSON; one without a fraction is an integer, however written."""
    value = float(text)
    return int(value) if value.is_integer() else value


def _number(value: float | str | None) -> float:
    return nan if value is None else float(value)


def check_agreement(of_runs: Iterable[tuple[str, Settings]]) -> None:
    """Refuse (DataError) to mix runs of participants that were made with different settings."""
    if different := differences(of_runs):
        raise DataError(
            "outputs that were made with different settings are not mixed: "
            f"{'; '.join(different)}.",
            hint="Run the participant level again for some of them with the settings of the "
            "others, or leave them out by a selection of participants.",
        )


def check_geometry(of_runs: Iterable[tuple[str, Settings, Settings]]) -> None:
    """Refuse matrices of participants whose spheres were drawn again later with other settings."""
    changes = collect(
        (f"{key} was {_shown(was, [now])} and is {_shown(now, [was])}", participant)
        for participant, of_matrix, of_spheres in of_runs
        for (key, was), (_, now) in zip(of_matrix, of_spheres, strict=True)
        if was != now
    )
    if changes:
        stale = [f"{change} in {_who(people)}" for change, people in changes.items()]
        raise DataError(
            f"spheres were drawn again after the matrices were made: {'; '.join(stale)}.",
            hint="Run the participant level for these matrices again.",
        )


def differences(of_runs: Iterable[tuple[str, Settings]]) -> list[str]:
    """Settings that are not the same in all runs, a phrase each.

    >>> differences([("sub-01", (("Radius", "5"),)), ("sub-02", (("Radius", "6"),))])
    ['Radius is 5 in 1 participant (sub-01) and 6 in 1 participant (sub-02)']
    """
    values: dict[str, dict[str, list[str]]] = defaultdict(dict)
    people = collect((setting, label) for label, settings in of_runs for setting in settings)
    for (key, value), labels in people.items():
        values[key][value] = labels
    phrases = []
    for key, own in values.items():
        if len(own) > 1:
            kinds = [f"{_shown(value, own)} in {_who(labels)}" for value, labels in own.items()]
            phrases.append(f"{key} is {' and '.join(kinds)}")
    return phrases


def _who(labels: Sequence[str]) -> str:
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
