"""Values to HTML: what a page is made of, and the templates that write it.

Everything that templates put into a page is escaped; only the templates themselves hold HTML.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from bids_spheres import __version__
from bids_spheres.reports.toolkit.html import HTMLReport

if TYPE_CHECKING:
    from bids_spheres.reports.toolkit.charts import Chart, Key
    from bids_spheres.reports.toolkit.figures import Picture
    from bids_spheres.reports.toolkit.matrices import MatrixPicture


@dataclass(frozen=True)
class Column:
    """Head of a table's column.

    Parameters
    ----------
    label : str
    numeric : bool
        Numbers stand to the right and are sorted as numbers.
    unit : str, optional
    """

    label: str
    numeric: bool = True
    unit: str = ""


@dataclass(frozen=True)
class Cell:
    """One value of a table.

    Parameters
    ----------
    text : str
    key : float or str, optional
        What the table is sorted by, instead of `text`.
    href : str, optional
        Where the cell leads to.
    tone : str
        ``"warn"`` or ``"bad"`` for values to look at; the text must say so as well.
    """

    text: str
    key: float | str | None = None
    href: str | None = None
    tone: str = ""


@dataclass(frozen=True)
class Table:
    """A table that readers can sort.

    Parameters
    ----------
    caption : str
    columns : tuple of Column
    rows : tuple of tuple of Cell
    head : int
        Which column names the row.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    head: int = 0


@dataclass(frozen=True)
class Figure:
    """A picture with its heading and caption.

    Parameters
    ----------
    anchor : str
        Identifier in the page: a letter, then letters, digits and hyphens.
    picture : Picture
    caption : str
    heading : str, optional
    """

    anchor: str
    picture: Picture
    caption: str
    heading: str = ""


@dataclass(frozen=True)
class Stepper:
    """Figures of which one is shown at a time; all of them on paper and without JavaScript.

    Parameters
    ----------
    label : str
        What one figure shows, e.g. ``"Sphere"``.
    figures : tuple of Figure
    """

    label: str
    figures: tuple[Figure, ...] = field(default=())

    @property
    def entries(self) -> tuple[tuple[str, str], ...]:
        """Identifier and heading of each."""
        return tuple((figure.anchor, figure.heading) for figure in self.figures)


@dataclass(frozen=True)
class Graphic:
    """A chart with its caption.

    Parameters
    ----------
    chart : Chart
    caption : str
    heading : str
    of : str
        What it belongs to, where readers choose among such; empty for all of them.
    legend : tuple of Key
    matrix : MatrixPicture, optional
        Values under the chart, which a pointer or the keyboard brings up.
    words : str
        Identifier of the page's list of names of its rows.
    """

    chart: Chart
    caption: str
    heading: str = ""
    of: str = ""
    legend: tuple[Key, ...] = ()
    matrix: MatrixPicture | None = None
    words: str = ""


def matrix_graphic(picture: MatrixPicture, caption: str, of: str, words: str) -> Graphic:
    """Graphic of a matrix after one strategy, which is also its heading.

    Parameters
    ----------
    picture : MatrixPicture
    caption : str
    of : str
        The strategy.
    words : str
        Identifier of the page's list of names of its rows.
    """
    return Graphic(picture.chart, caption, of, of, matrix=picture, words=words)


@dataclass(frozen=True)
class Block:
    """Graphics under a heading.

    Parameters
    ----------
    heading : str
    graphics : tuple of Graphic
    notes : tuple of str
        Sentences above them.
    columns : int
        Graphics side by side where there is room: 1 or 2.
    """

    heading: str
    graphics: tuple[Graphic, ...] = ()
    notes: tuple[str, ...] = ()
    columns: int = 1


def page(template: str, title: str, **values: Any) -> HTMLReport:
    """Fill a template that extends ``base.html.j2``.

    Parameters
    ----------
    template : str
        Its file name in ``bids_spheres/reports/toolkit/templates``.
    title : str
    **values
        What the template needs; a missing one is an error.
    """
    html = _environment().get_template(template).render(title=title, version=__version__, **values)
    return HTMLReport(html, title)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("bids_spheres.reports.toolkit"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
