"""Entities to file names, and back.

An output name is the BOLD file's without what describes the image (``desc``), with every other
entity, and with ours in the order of BIDS. Only the cohort of a template changes its form, as BIDS
has that entity for templates alone.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

ENTITY_ORDER = (
    *("sub", "ses", "cohort", "sample", "task", "tracksys", "acq", "nuc", "voi", "ce", "trc"),
    *("stain", "rec", "dir", "run", "mod", "echo", "flip", "inv", "mt", "part", "proc", "hemi"),
    *("space", "split", "recording", "chunk"),
    *("atlas", "seg", "scale", "res", "den", "label", "stat", "desc"),
)
"""Order of entities in a file name: BIDS 1.11, with ``stat`` of BEP 012/017 before ``desc``."""

IMAGE_ENTITIES = frozenset({"space", "cohort", "res", "den", "desc"})
"""Entities that tell images of one run apart; the others tell runs apart."""

INDICES = frozenset({"chunk", "echo", "flip", "inv", "run", "split"})
"""Entities whose value is an index: BIDS 1.11, ``format: index`` in the schema."""

_MNI = ("MNI152Lin", "MNI152NLin", "MNI305", "MNIColin27", "MNIInfant", "MNIPediatric")
"""Beginnings of the names of MNI templates in BIDS 1.11 and TemplateFlow."""

_ENTITY = re.compile(r"([a-zA-Z0-9]+)-([a-zA-Z0-9+]+)")

_OLD_NAME = re.compile(
    r"(?P<source>.+)_bold(?:_(?P<space>space-[a-zA-Z0-9]+))?(?:_variant-(?P<variant>[a-zA-Z0-9]+))?"
    r"_(?P<what>preproc|brainmask|confounds)(?P<extension>\..+)"
)
"""Names of fMRIPrep 1.0 and 1.1, which put the kind of file after ``_bold``."""

_RANKS = {key: 2 * number for number, key in enumerate(ENTITY_ORDER)}


def plain_label(text: str) -> str:
    """Letters and digits of a text, the only characters that BIDS allows in a label."""
    return re.sub(r"[^a-zA-Z0-9]", "", text)


def as_written(entities: Iterable[tuple[str, str]]) -> list[str]:
    """Entities as they stand in names of files: ``["sub-01", "task-rest"]``."""
    return [f"{key}-{label}" for key, label in entities]


@dataclass(frozen=True, slots=True)
class Name:
    """Name of a BIDS file: entities with labels as written, suffix (``"bold"``) and extension."""

    entities: tuple[tuple[str, str], ...]
    suffix: str
    extension: str

    def __str__(self) -> str:
        return "_".join([*as_written(self.entities), self.suffix]) + self.extension

    def get(self, key: str) -> str | None:
        """Label of an entity; None when the name does not have it."""
        return dict(self.entities).get(key)

    @property
    def space(self) -> str | None:
        """Space of an image, for a template with a cohort as ``MNIInfant+2``."""
        return self.values.get("space")

    @property
    def values(self) -> dict[str, str]:
        """Normalized labels: indices without leading zeros, the cohort in `space`."""
        labels = _cohort_in_space(dict(self.entities))
        return {key: entity_value(key, label) for key, label in labels.items() if label is not None}

    @property
    def source(self) -> tuple[tuple[str, str], ...]:
        """Entities of the run, without those of the image."""
        return tuple(e for e in self.entities if e[0] not in IMAGE_ENTITIES)

    def with_(self, suffix: str, extension: str, **entities: str | None) -> Name:
        """Another file of the same run and space.

        Sets `entities`, drops those that are None and always the image's ``desc``. The cohort of a
        template becomes part of its space, as in the names of fMRIPrep's transforms: BIDS 1.11 has
        the entity ``cohort`` beside ``tpl`` alone, never beside ``sub``.

        >>> bold = parse_name("sub-01_task-rest_run-02_space-T1w_desc-preproc_bold.nii.gz")
        >>> str(bold.with_("timeseries", ".tsv", stat="mean", atlas="Power2011", desc="simple"))
        'sub-01_task-rest_run-02_space-T1w_atlas-Power2011_stat-mean_desc-simple_timeseries.tsv'
        >>> bold = parse_name("sub-01_task-rest_space-MNIInfant_cohort-2_desc-preproc_bold.nii.gz")
        >>> str(bold.with_("dseg", ".tsv", seg="mine", desc="spheres"))
        'sub-01_task-rest_space-MNIInfant+2_seg-mine_desc-spheres_dseg.tsv'
        """
        labels = _cohort_in_space({**dict(self.entities), "desc": None, **entities})
        kept = [(key, label) for key, label in labels.items() if label is not None]
        # An entity that BIDS does not know goes before the derivatives' own.
        unknown = _RANKS["space"] - 1
        in_order = sorted(kept, key=lambda entity: _RANKS.get(entity[0], unknown))
        return Name(tuple(in_order), suffix, extension)

    @property
    def without_desc(self) -> Name:
        """The same name without ``desc``."""
        kept = tuple(entity for entity in self.entities if entity[0] != "desc")
        return Name(kept, self.suffix, self.extension)

    @property
    def folder(self) -> PurePosixPath:
        """Folder in a dataset: subject, session and ``func``."""
        levels = [f"{key}-{label}" for key in ("sub", "ses") if (label := self.get(key))]
        return PurePosixPath(*levels, "func")


def parse_name(filename: str) -> Name:
    """Parse the name of a BIDS file; names of fMRIPrep 1.0 and 1.1 are read as today's.

    ValueError when it is not of the form ``key-label_..._suffix.extension``.

    >>> parse_name("sub-01_task-rest_bold.nii.gz").suffix
    'bold'
    >>> str(parse_name("sub-01_task-rest_bold_space-T1w_preproc.nii.gz"))
    'sub-01_task-rest_space-T1w_desc-preproc_bold.nii.gz'
    """
    if old := _OLD_NAME.fullmatch(filename):
        kinds = {
            "preproc": f"desc-{old['variant'] or 'preproc'}_bold",
            "brainmask": "desc-brain_mask",
            "confounds": "desc-confounds_timeseries",
        }
        known = (old["source"], old["space"], kinds[old["what"]])
        filename = "_".join(part for part in known if part) + old["extension"]
    stem, dot, extension = filename.partition(".")
    *parts, suffix = stem.split("_")
    matches = [_ENTITY.fullmatch(part) for part in parts]
    if not dot or not parts or not suffix.isalnum() or None in matches:
        raise ValueError(f"{filename} is not the name of a BIDS file.")
    entities = tuple((m[1], m[2]) for m in matches if m is not None)
    if len(dict(entities)) != len(entities):
        raise ValueError(f"{filename} has an entity twice.")
    return Name(entities, suffix, dot + extension)


def named_files(paths: Iterable[Path]) -> Iterator[tuple[Path, Name]]:
    """Files with names of BIDS, and these names; others are left out."""
    for path in paths:
        with suppress(ValueError):
            yield path, parse_name(path.name)


def _cohort_in_space(labels: dict[str, str | None]) -> dict[str, str | None]:
    space, cohort = labels.get("space"), labels.get("cohort")
    if space is None or cohort is None:
        return labels
    return {**labels, "space": f"{space}+{cohort}", "cohort": None}


def entity_value(key: str, label: str) -> str:
    """Value of a label: an index is a number, so run-01 is run-1; other labels stay the same.

    >>> entity_value("run", "01"), entity_value("run", "00"), entity_value("sub", "01")
    ('1', '0', '01')
    """
    if key not in INDICES or not label.isdecimal():
        return label
    return label.lstrip("0") or "0"


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key by which run-2 comes before run-10."""
    return [
        (int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"([0-9]+)", text)
    ]


def same_template(first: str | None, second: str | None) -> bool:
    """Whether two spaces are the same template; either may leave out the cohort.

    >>> same_template("MNIInfant+2", "MNIInfant"), same_template("MNIInfant+2", "MNIInfant+3")
    (True, False)
    """
    if first is None or second is None:
        return first is second
    (template, _, cohort), (other, _, other_cohort) = first.partition("+"), second.partition("+")
    return template == other and (not (cohort and other_cohort) or cohort == other_cohort)


def is_mni(space: str) -> bool:
    """Whether a space is a template of the MNI family, of any cohort.

    >>> is_mni("MNIPediatricAsym+2"), is_mni("MNI")
    (True, False)
    """
    return space.startswith(_MNI)
