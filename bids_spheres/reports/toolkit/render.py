"""Parts of a page, and the templates that write it.

Templates escape every value; only they contain HTML.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from bids_spheres import __version__
from bids_spheres.files.atomic import MISSING
from bids_spheres.reports.toolkit.html import HTMLReport
from bids_spheres.wording import number, percent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bids_spheres.reports.toolkit.charts import Chart, Key
    from bids_spheres.reports.toolkit.connectome import Stage
    from bids_spheres.reports.toolkit.figures import Picture
    from bids_spheres.reports.toolkit.matrices import PairValues

TableColumn = tuple["Column", "list[Cell]"]
"""Head and cells of a column of a table."""


@dataclass(frozen=True)
class Column:
    """Head of a table's column."""

    label: str
    numeric: bool = True  # Align right and sort as numbers
    unit: str = ""


@dataclass(frozen=True)
class Cell:
    """One value of a table."""

    text: str
    key: float | str | None = None  # Sort key instead of `text`
    href: str | None = None  # Target of a link
    tone: str = ""  # ``"warn"`` or ``"bad"`` highlights a value; the text must say why


def number_cell(value: object, digits: int) -> Cell:
    """A number with at most `digits` decimals, or one digit where it would be 0; else ``n/a``.

    >>> number_cell(0.0042, 2).text, number_cell(0, 2).text, number_cell(None, 2).text
    ('0.004', '0', 'n/a')
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return Cell(MISSING, "")
    if not np.isfinite(value):
        return Cell(MISSING, "")
    text, key = number(float(value), digits), float(f"{float(value):.6g}")
    if text == "0" and value != 0:
        text = f"{float(value):.1g}"
    return Cell(text, None if float(text) == key else key)


def percent_cell(share: float, note: str = "", tone: str = "") -> Cell:
    """A share as per cent, followed by a note; ``n/a`` where it is missing."""
    if not np.isfinite(share):
        return Cell(MISSING, "")
    return Cell(f"{percent(share)[:-2]}{note}", round(100 * share, 4), tone=tone)


@dataclass(frozen=True)
class Table:
    """A table that readers can sort."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    head: int = 0  # Column that names the row
    file: str = ""  # Has all rows; without it no row is left out on paper

    MOST_PRINTED: ClassVar[int] = 8  # as in the style sheet

    @property
    def abridged(self) -> bool:
        """Whether only the first rows are printed."""
        return bool(self.file) and len(self.rows) > self.MOST_PRINTED


def text_column(label: str, values: Iterable[object], unit: str = "") -> TableColumn:
    """Column of words."""
    return Column(label, numeric=False, unit=unit), [Cell(str(value)) for value in values]


def number_column(
    label: str, values: Iterable[object], digits: int = 0, unit: str = ""
) -> TableColumn:
    """Column of numbers with at most `digits` decimals."""
    return Column(label, unit=unit), [number_cell(value, digits) for value in values]


def probability_column(label: str, values: Iterable[float], unit: str = "") -> TableColumn:
    """Column of probabilities with two significant digits."""
    cells = []
    for p in values:
        text = f"{p:.2g}" if p >= 0.001 else f"{p:.1e}"
        cells.append(Cell(text, float(f"{p:.6g}")) if np.isfinite(p) else Cell(MISSING, ""))
    return Column(label, unit=unit), cells


def table_of(caption: str, *columns: TableColumn, head: int = 0, file: str = "") -> Table:
    """A table from its columns; see `Table`."""
    heads, cells = zip(*columns, strict=True)
    return Table(caption, heads, tuple(zip(*cells, strict=True)), head, file)


@dataclass(frozen=True)
class Figure:
    """A picture with its heading and caption."""

    anchor: str  # Identifier in the page: a letter, then letters, digits and hyphens
    picture: Picture
    caption: str
    title: str = ""


@dataclass(frozen=True)
class Graphic:
    """A chart with its caption."""

    chart: Chart
    caption: str
    heading: str = ""
    of: str = ""  # Strategy it belongs to, which readers can hide; empty: always shown
    legend: tuple[Key, ...] = ()
    matrix: PairValues | None = None  # Its values, which a pointer or the keyboard shows
    words: str = ""  # Identifier of the page's list of names of its rows


@dataclass(frozen=True)
class Block:
    """Graphics or a table under a heading."""

    heading: str
    graphics: tuple[Graphic, ...] = ()
    notes: tuple[str, ...] = ()  # Sentences above them
    columns: int = 1  # Graphics side by side where there is room: 1 or 2
    table: tuple[str, Table] | None = None  # With its identifier in the page


@dataclass(frozen=True, eq=False)
class Section:
    """A part of a page, which readers reach by a list of headings."""

    anchor: str  # Identifier in the page
    title: str
    short: str  # Title in lists of headings
    strategies: tuple[str, ...] = ()  # Strategies that readers can show alone
    sentences: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    blocks: tuple[Block, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()  # Below the tables
    # Scene of the spheres, whose picture charts elsewhere in the page refer to.
    stage: Stage | None = None


def page(template: str, title: str, **values: object) -> HTMLReport:
    """Fill a template that extends ``base.html.j2``; a missing value is an error."""
    html = environment().get_template(template).render(title=title, version=__version__, **values)
    return HTMLReport(html, title)


@cache
def environment() -> Environment:
    """Templates of pages."""
    return Environment(
        loader=PackageLoader("bids_spheres.reports.toolkit"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
