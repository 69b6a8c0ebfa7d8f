"""Templates: everything that goes in is escaped, everything they ask for must be given."""

from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from bids_spheres.reports.toolkit import render
from bids_spheres.reports.toolkit.figures import Picture
from bids_spheres.reports.toolkit.render import Cell, Column, Figure, Table

EVIL = "\"><script>alert(1)</script>'"


def filled(macro, *args):
    template = render.environment().get_template("parts.html.j2")
    return str(getattr(template.module, macro)(*args))


@pytest.mark.parametrize(
    ("macro", "args"),
    [
        ("warning_box", [[EVIL]]),
        ("settings", [[(EVIL, EVIL)]]),
        ("captioned", [Figure("f", Picture("data:,", 1, 1, EVIL), EVIL, EVIL)]),
        (
            "data_table",
            [Table(EVIL, (Column(EVIL, unit=EVIL),), ((Cell(EVIL, EVIL, EVIL, EVIL),),)), "t"],
        ),
    ],
)
def test_every_part_escapes(macro, args, parse):
    html = filled(macro, *args)
    assert "<script" not in html
    assert EVIL in parse(html).text or any(
        EVIL in (value or "") for e in parse(html).all("*") for value in e.attrs.values()
    )


def test_a_missing_value_is_an_error():
    with pytest.raises(UndefinedError):
        render.page("masker.html.j2", "title")


def test_cells_keep_what_they_are_sorted_by(parse):
    table = Table("c", (Column("n"), Column("v", numeric=False)), ((Cell("a"), Cell("1 %", 0.01)),))
    row = parse(filled("data_table", table, "t")).all("tbody")[0].all("tr")[0]
    name, value = row.children
    assert (name.tag, name.attrs) == ("th", {"scope": "row", "class": "number"})
    assert (value.tag, value.attrs) == ("td", {"data-key": "0.01"})
