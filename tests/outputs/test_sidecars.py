"""Keys of JSON files of ours: what is looked up is what is written."""

import ast
import re
from pathlib import Path
from typing import get_type_hints

import bids_spheres
from bids_spheres.files.text import JsonObject
from bids_spheres.group import facts
from bids_spheres.outputs import sidecars
from bids_spheres.participant import concatenation
from bids_spheres.settings.option import declared_options
from bids_spheres.settings.table import Processing

PACKAGE = Path(bids_spheres.__file__).parent
READERS = {"app", "group", "integrations", "outputs", "participant", "reports"}
OPTIONS = {each.option.sidecar for each in declared_options(Processing)}
OF_OTHERS = {"Node", "StartTime"}
"""A column of matrices, and a key of sidecars of the input."""


def keys_of(path: Path) -> tuple[set[str], set[str]]:
    """Keys that a module looks up, and keys that it writes or declares."""
    read, written = set(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case (
                ast.Subscript(slice=ast.Constant(value=key), ctx=ast.Load())
                | ast.Call(
                    func=ast.Attribute(attr="get" | "pop"), args=[ast.Constant(value=key), *_]
                )
                | ast.Compare(left=ast.Constant(value=key), ops=[ast.In() | ast.NotIn()])
            ):
                read.add(key)
            case (
                ast.Subscript(slice=ast.Constant(value=key))
                | ast.AnnAssign(target=ast.Name(id=key))
                | ast.keyword(arg="sidecar", value=ast.Constant(value=key))
            ):
                written.add(key)
            case ast.Dict(keys=keys):
                written |= {key.value for key in keys if isinstance(key, ast.Constant)}
    return read, written


def test_keys_that_are_looked_up_are_written():
    of_modules = {path.relative_to(PACKAGE): keys_of(path) for path in PACKAGE.rglob("*.py")}
    written = set().union(*(own for _, own in of_modules.values()))
    read = {key for path, (own, _) in of_modules.items() if path.parts[0] in READERS for key in own}
    keys = {key for key in map(str, read) if re.fullmatch("[A-Z][A-Za-z]+[a-z]", key)} - {"None"}
    assert len(keys) > 70
    assert keys - written == OF_OTHERS


def test_keys_are_read_as_they_are_written():
    known = {"JsonObject": JsonObject}
    kinds = [
        get_type_hints(kind, localns=known)
        for name, kind in vars(sidecars).items()
        if name.endswith("Sidecar") and name != "Sidecar"
    ]
    for key, kind in get_type_hints(sidecars.Sidecar, localns=known).items():
        written = [own[key] for own in kinds if key in own]
        assert all(own == kind for own in written), key
        assert written or key in OPTIONS | {"Columns"}, key


def test_keys_that_are_compared_are_written():
    kinds = [kind for name, kind in vars(sidecars).items() if name.endswith("Sidecar")]
    declared = {key for kind in kinds for key in kind.__annotations__} | OPTIONS
    compared = {*facts.GEOMETRY, *facts._COMPARED, *facts._NOTED, facts.REGRESSORS}
    assert compared <= declared
    assert {*concatenation._SHARED, *concatenation._NEEDED} <= declared
