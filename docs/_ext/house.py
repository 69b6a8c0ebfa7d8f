"""A picture of the package, made from its code: rooms on their floors, and which import which."""

from __future__ import annotations

import ast
import tomllib
from html import escape
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PACKAGE = "bids_spheres"
_WIDTH, _FLOOR, _BOX = 900, 84, 46
_STYLE = (
    "<style>.house rect{fill:var(--color-background-secondary,#eee);stroke:currentColor}"
    ".house text{fill:currentColor;font-size:13px;text-anchor:middle}"
    ".house .lines{font-size:11px;opacity:.7}"
    ".house path{stroke:currentColor;stroke-width:1;opacity:.25;fill:none}</style>"
)


def floors() -> list[list[str]]:
    """Rooms of every floor, the top floor first, as the import contract has them."""
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (house,) = (c for c in contracts if c["name"] == "arrows point down the house")
    names = (layer.split(" : ") for layer in house["layers"])
    return [[name.removeprefix(f"{PACKAGE}.") for name in floor] for floor in names]


def imports(room: str) -> set[str]:
    """Other rooms that the modules of a room import, those for types alone included."""
    found = set()
    for path in _modules(room):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{PACKAGE}."):
                found.add(str(node.module).split(".")[1])
    return found - {room}


def picture() -> str:
    """The picture as a block of a page."""
    places, parts = {}, []
    for floor, rooms in enumerate(floors()):
        step = _WIDTH / len(rooms)
        for number, room in enumerate(rooms):
            places[room] = ((number + 0.5) * step, floor * _FLOOR + 4)
    for room, (x, y) in places.items():
        for other in imports(room) & set(places) - {"errors", "wording"}:  # which all rooms use
            to_x, to_y = places[other]
            start, end = y + _BOX, to_y
            bend = (start + end) / 2
            parts.append(
                f'<path d="M{x:.0f},{start}C{x:.0f},{bend} {to_x:.0f},{bend} {to_x:.0f},{end}"/>'
            )
    for room, (x, y) in places.items():
        lines = sum(len(p.read_text(encoding="utf-8").splitlines()) for p in _modules(room))
        parts.append(
            f'<rect x="{x - 70:.0f}" y="{y}" width="140" height="{_BOX}" rx="6"/>'
            f'<text x="{x:.0f}" y="{y + 20}">{escape(room)}</text>'
            f'<text class="lines" x="{x:.0f}" y="{y + 36}">{lines:,} lines</text>'
        )
    height = len(floors()) * _FLOOR
    return (
        "```{raw} html\n"
        f'{_STYLE}<svg class="house" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="Rooms of the package on {len(floors())} floors">{"".join(parts)}</svg>\n```\n'
    )


def _modules(room: str) -> list[Path]:
    path = PROJECT / PACKAGE / room
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
