"""Parts of a page, the templates that write it, and the page: saved, opened, in a notebook.

Templates escape every value; only they contain HTML.
"""

from __future__ import annotations

import tempfile
import warnings
import webbrowser
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from bids_spheres import __version__
from bids_spheres.errors import OutputError
from bids_spheres.files.atomic import MISSING
from bids_spheres.wording import number, percent

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from bids_spheres.reports.toolkit.charts import Chart, Key
    from bids_spheres.reports.toolkit.connectome import Stage
    from bids_spheres.reports.toolkit.figures import Picture
    from bids_spheres.reports.toolkit.matrices import PairValues

TableColumn = tuple["Column", "list[Cell]"]  # Head and cells of a column of a table


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


def percent_column(label: str, shares: Collection[float], tones: Sequence[str] = ()) -> TableColumn:
    """Column of shares as per cent, highlighted by the tone of each."""
    pairs = zip(shares, tones or len(shares) * ("",), strict=True)
    return Column(label, unit="%"), [percent_cell(share, tone=tone) for share, tone in pairs]


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


DEFAULT_SIZE = 800  # Width and height in pixels of the frame in a notebook


class HTMLReport:
    """A self-contained HTML page, with the interface of nilearn's reports.

    It displays itself in a notebook, in a frame of `width` x `height` pixels that is called `title`
    for screen readers; ``str(report)`` is the page, and `save_as_html` writes it.
    """

    def __init__(
        self, html: str, title: str, width: int = DEFAULT_SIZE, height: int = DEFAULT_SIZE
    ) -> None:
        self.html = html
        self.title = title
        self.width, self.height = width, height

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, _pixels(value, name) if name in ("width", "height") else value)

    @property
    def body(self) -> str:
        """What stands between the page's ``<body>`` tags."""
        _, _, rest = self.html.partition("<body>")
        return rest.rpartition("</body>")[0] or self.html

    def resize(self, width: int, height: int) -> HTMLReport:
        """Set the size of the frame, in pixels, and return the report."""
        self.width, self.height = width, height
        return self

    def get_standalone(self) -> str:
        """The page."""
        return self.html

    def get_iframe(self, width: int | None = None, height: int | None = None) -> str:
        """HTML of a frame that holds the page; its size in pixels, instead of the report's."""
        across = self.width if width is None else _pixels(width, "width")
        down = self.height if height is None else _pixels(height, "height")
        return (
            f'<iframe title="{escape(self.title)}" width="{across}" height="{down}" '
            f'style="border: 0; max-width: 100%" srcdoc="{escape(self.html)}"></iframe>'
        )

    def save_as_html(self, file_name: str | Path) -> None:
        """Write the page to a file, in UTF-8; OutputError when that can't be."""
        path = Path(file_name)
        if not path.parent.is_dir():
            raise OutputError(
                f"The report can't be saved as {path}: the folder {path.parent} does not exist.",
                hint="Create the folder first.",
            )
        try:
            path.write_text(self.html, encoding="utf-8", newline="\n")
        except OSError as error:
            raise OutputError(f"The report can't be saved as {path}: {error.strerror}.") from error

    def open_in_browser(self, file_name: str | Path | None = None) -> None:
        """Write the page to a file and show that in the web browser.

        By default to a new file in the system's temporary folder. It stays there, because a browser
        may read it long after this call, even after Python has ended.
        """
        # mkdtemp makes a folder that only the user may read: reports show brains.
        if file_name is None:
            file_name = Path(tempfile.mkdtemp(prefix="bids-spheres-")) / "report.html"
        path = Path(file_name)
        self.save_as_html(path)
        if not webbrowser.open(path.resolve().as_uri()):
            warnings.warn(f"No web browser was found; the report is in {path}.", stacklevel=2)

    def _repr_html_(self) -> str:
        return self.get_iframe()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        del include, exclude  # Jupyter filters what it gets
        return {"text/html": self.get_iframe()}

    def __str__(self) -> str:
        return self.html


def _pixels(value: int, name: str) -> int:
    """`value` as an integer; for other text the default and a warning, as nilearn does."""
    try:
        return int(value)
    except ValueError:
        warnings.warn(f"{value!r} is no {name} in pixels; {DEFAULT_SIZE} is used.", stacklevel=3)
        return DEFAULT_SIZE


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
