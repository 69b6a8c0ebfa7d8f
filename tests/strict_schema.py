"""The BIDS schema, and what drafts of BIDS add to it for time series and matrices.

The released schema has no word for either, so its validator can only ignore them. With the
suffixes ``timeseries`` and ``relmat`` and the entity ``stat`` of BEP 012 (functional derivatives)
and BEP 017 (relations), and with what a reader of such files has to know as required keys and
columns, it can hold them to rules. `bidsschematools` has the schema as data; nothing is downloaded.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bidsschematools.schema import load_schema

from bids_spheres.outputs.sidecars import BIDSIGNORE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SUFFIXES = ("timeseries", "relmat")
_DERIVATIVE = 'dataset.dataset_description.DatasetType == "derivative"'

_KEYS: dict[str, dict[str, Any]] = {
    "NuisanceParameters": {"type": "array", "items": {"type": "string"}},
    "DegreesOfFreedom": {"type": "number"},
    "RelationshipMeasure": {"type": "string"},
    "Weighted": {"type": "boolean"},
    "Directed": {"type": "boolean"},
    "ValidDiagonal": {"type": "boolean"},
    "StorageFormat": {"type": "string", "enum": ["Full", "Upper", "Lower"]},
    "NodeFiles": {"type": "array", "minItems": 1, "items": {"type": "string"}},
}
"""Keys of sidecars that the released schema does not have."""

_REQUIRED = {
    "timeseries": (
        *("Description", "Sources", "SpatialReference", "SamplingFrequency", "RepetitionTime"),
        *("SoftwareFilters", "NuisanceParameters", "DegreesOfFreedom"),
    ),
    "relmat": (
        *("Sources", "RelationshipMeasure", "Weighted", "Directed", "ValidDiagonal"),
        *("StorageFormat", "NodeFiles"),
    ),
}

_MATRIX_RULE = {
    "selectors": [_DERIVATIVE, 'suffix == "relmat"', 'extension == ".tsv"'],
    "initial_columns": ["Node"],
    "columns": {"Node": "required"},
    "index_columns": ["Node"],
    "additional_columns": "allowed",
}


def strict_schema() -> dict[str, Any]:
    """The schema of the installed `bidsschematools` with rules for our suffixes."""
    schema: dict[str, Any] = load_schema().to_dict()
    _add_vocabulary(schema["objects"])
    rules = schema["rules"]
    rules["entities"].insert(rules["entities"].index("description"), "statistic")
    known = rules["files"]["deriv"]["imaging"]["func_discrete_segmentation"]
    added = {"density": "optional", "statistic": "required", "description": "required"}
    for suffix in SUFFIXES:
        rules["files"]["deriv"][suffix] = {
            "draft": {
                **known,
                "suffixes": [suffix],
                "extensions": [".tsv", ".tsv.gz", ".json"],
                "entities": {**known["entities"], **added},
            }
        }
        rules["sidecars"]["derivatives"]["common_derivatives"][suffix] = {
            "selectors": [_DERIVATIVE, f'suffix == "{suffix}"'],
            "fields": dict.fromkeys(_REQUIRED[suffix], "required"),
        }
    rules["tabular_data"]["derivatives"]["common_derivatives"]["relmat"] = _MATRIX_RULE
    return schema


def _add_vocabulary(objects: dict[str, Any]) -> None:
    objects["entities"]["statistic"] = {"name": "stat", "type": "string", "format": "label"} | (
        _words("Statistic")
    )
    for suffix in SUFFIXES:
        objects["suffixes"][suffix] = {"value": suffix, **_words(suffix)}
    for key, kind in _KEYS.items():
        objects["metadata"][key] = {"name": key, **_words(key), **kind}
    objects["columns"]["Node"] = {"name": "Node", "type": "string", **_words("Node")}


def _words(name: str) -> dict[str, str]:
    return {"display_name": name, "description": f"{name}, of a draft."}


def write_strict_schema(path: Path) -> str:
    """Write the schema as JSON; return its URL, as the validator wants it."""
    path.write_text(json.dumps(strict_schema()))
    return path.as_uri()


def not_ignored(suffixes: Iterable[str] = SUFFIXES) -> str:
    """Content of a .bidsignore that is ours without the lines that hide some suffixes."""
    hidden = {f"*_{suffix}.*" for suffix in suffixes}
    assert hidden < set(BIDSIGNORE)
    return "".join(f"{line}\n" for line in BIDSIGNORE if line not in hidden)
