"""Names of the seed sets and strategies that ship with the package, known before any is loaded."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from importlib import resources
from typing import TYPE_CHECKING

from bids_spheres.errors import UsageError, did_you_mean
from bids_spheres.files.names import plain_label

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.resources.abc import Traversable
    from pathlib import Path

STRATEGY_FILES = (".json", ".yml", ".yaml")
"""Endings of files that hold a user's own strategy."""

_ALIKE = 0.75
"""Share of letters of a misspelt name that must be in place, by difflib."""


def is_typed_seed(text: str) -> bool:
    """Whether a word is a seed as ``x,y,z`` or ``NAME=x,y,z``, and not a name or a path.

    Examples
    --------
    >>> [is_typed_seed(text) for text in ("PCC=0,-52,18", "-38,-22,56.5", "a,b,c.tsv", "1,2")]
    [True, True, False, False]
    """
    number = r"\s*[-+]?(\d+\.?\d*|\.\d+)\s*"
    return re.fullmatch(rf"\s*([^=,]+=)?{number},{number},{number}", text) is not None


def begins_like_a_seed(text: str) -> bool:
    """Whether a word begins like a seed that is typed, and may lack something.

    Examples
    --------
    >>> [begins_like_a_seed(text) for text in ("PCC=0,-52", "-38,-22", "-38", "mine.tsv", "-v")]
    [True, True, True, False, False]
    """
    return re.match(r"\s*(([^=,/]+=)?[-+]?\.?\d+\.?\d*([,;\s].*)?$)", text) is not None


MEASURES = {
    "pearson": "pearsoncorrelation",
    "fisher-z": "fisherz",
    "partial": "partialcorrelation",
    "covariance": "covariance",
    "precision": "precision",
    "ledoit-wolf": "ledoitwolfcorrelation",
    "spearman": "spearmancorrelation",
}
"""Names of the measures of connectivity, and their labels in file names."""


def measure_name(name: str) -> str:
    """Name of a measure of connectivity from its name or label, whatever its case and signs."""
    for known, label in MEASURES.items():
        if _key(name) in (_key(known), label):
            return known
    guess = did_you_mean(name.lower(), [*MEASURES, *MEASURES.values()])
    raise UsageError(
        f"{name} is no measure of connectivity.",
        hint=f"{guess}The measures are: {', '.join(MEASURES)}.",
    )


ROI_LABEL = "roi"
"""Label of the set of masks of regions."""


def parcellation_label(word: str) -> str:
    """Label of a parcellation in names of outputs: of its entities, or of its name.

    Examples
    --------
    >>> parcellation_label("Schaefer2018:100Parcels7Networks")
    'Schaefer2018100Parcels7Networks'
    >>> parcellation_label("a/tpl-MNI152NLin6Asym_res-01_atlas-HOSPA_desc-th25_dseg.nii.gz")
    'HOSPAth25'
    >>> parcellation_label("my_atlas.v2.nii.gz")
    'myatlasv2'
    """
    name = re.sub(r"\.nii(\.gz)?$", "", word.rstrip("/").rpartition("/")[2])
    entities = re.findall(r"(?:^|_)(?:atlas|seg|scale|desc)-([a-zA-Z0-9]+)", name)
    return "".join(entities) or plain_label(name)


def data_folder(kind: str) -> Traversable:
    """Folder of the package's ``seeds`` or ``strategies``."""
    return resources.files("bids_spheres") / "data" / kind


def published_seed_sets() -> tuple[str, ...]:
    """Names of the seed sets that ship with the package."""
    return _stems("seeds", ".tsv")


def published_strategies() -> tuple[str, ...]:
    """Names of the strategies that ship with the package."""
    return _stems("strategies", ".json")


def _stems(kind: str, ending: str) -> tuple[str, ...]:
    names = sorted(file.name for file in data_folder(kind).iterdir())
    return tuple(name.removesuffix(ending) for name in names if name.endswith(ending))


_SIZES = {"power264": "Power2011", "dosenbach160": "Dosenbach2010", "seitzman300": "Seitzman2018"}
_SIZES |= {"raichle36": "Raichle2011", "power2011264": "Power2011", "seitzman2020": "Seitzman2018"}
"""Names of seed sets by their first author and number of seeds, or by the year of print."""


def seed_set_name(name: str) -> str:
    """The seed set that a name stands for, whatever its case and signs; an unknown name as it is.

    >>> seed_set_name("power264"), seed_set_name("dosenbach-2010"), seed_set_name("Schaefer2018")
    ('Power2011', 'Dosenbach2010', 'Schaefer2018')
    """
    known = {_key(each): each for each in published_seed_sets()} | _SIZES
    return known.get(_key(name), name)


def strategy_name(name: str) -> str:
    """The strategy that a name stands for, as for seed sets.

    >>> strategy_name("ica-aroma"), strategy_name("scrubbing_gsr"), strategy_name("my.json")
    ('icaAROMA', 'scrubbingGSR', 'my.json')
    """
    return {_key(each): each for each in published_strategies()}.get(_key(name), name)


def _key(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()


def _suggestion(name: str, known: Sequence[str]) -> str:
    """`did_you_mean` among names that may be the same method: numbers tell methods apart."""
    return did_you_mean(name, [each for each in known if _may_mean(_key(name), _key(each))])


def _may_mean(name: str, known: str) -> bool:
    letters, others = ("".join(filter(str.isalpha, text)) for text in (name, known))
    digits, number = ("".join(filter(str.isdigit, text)) for text in (name, known))
    a_year = letters == others and len(number) == len("2011") and len(digits) in {3, 4, 5}
    same = sorted(digits) == sorted(number) or not digits or a_year
    return same and SequenceMatcher(None, letters, others).ratio() >= _ALIKE


def unknown_seed_set(name: str) -> UsageError:
    """Error for an unknown seed set."""
    known = published_seed_sets()
    return UsageError(
        f"There is no built-in seed set named {name!r}.",
        hint=f"{_suggestion(name, known)}The sets are: {', '.join(known)}. "
        "For a table of your own use --seeds FILE.",
    )


def hint_for_seeds(path: Path) -> str:
    """Hint for a seed table that is not there."""
    known = published_seed_sets()
    if begins_like_a_seed(str(path)):
        return "A seed is typed as three numbers in mm, with a name or without: PCC=0,-52,18."
    if path.name in known:
        return f"{path.name} is a built-in set: --atlas {path.name}."
    return f"{_suggestion(path.name, known)}Built-in sets, for --atlas, are: {', '.join(known)}."


def unknown_strategy(name: str) -> UsageError:
    """Error for an unknown strategy."""
    known = published_strategies()
    return UsageError(
        f"There is no denoising strategy named {name!r}.",
        hint=f"{_suggestion(name, known)}The strategies are: {', '.join(known)}; "
        f"a file of your own ends in {', '.join(STRATEGY_FILES)}.",
    )
