"""A finished page: save it, open it, show it in a notebook."""

from __future__ import annotations

import tempfile
import warnings
import webbrowser
from html import escape
from pathlib import Path

from bids_spheres.errors import OutputError

DEFAULT_SIZE = 800
"""Width and height in pixels of the frame in a notebook."""


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
        self.resize(width, height)

    @property
    def width(self) -> int:
        """Width of the frame, pixels."""
        return self._width

    @width.setter
    def width(self, value: int) -> None:
        self._width = _pixels(value, "width")

    @property
    def height(self) -> int:
        """Height of the frame, pixels."""
        return self._height

    @height.setter
    def height(self, value: int) -> None:
        self._height = _pixels(value, "height")

    @property
    def body(self) -> str:
        """What stands between the page's ``<body>`` tags."""
        _, _, rest = self.html.partition("<body>")
        return rest.rpartition("</body>")[0] or self.html

    def resize(self, width: int, height: int) -> HTMLReport:
        """Set the size of the frame, in pixels, and return the report."""
        self.width = width
        self.height = height
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
