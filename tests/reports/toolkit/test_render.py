"""Templates: everything that goes in is escaped, everything they ask for must be given."""

from __future__ import annotations

import numpy as np
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


def test_the_body_of_a_page_ends_with_its_last_tag():
    report = render.HTMLReport("<html><body><p>'</body>' is a tag</p></body></html>", "title")
    assert report.body == "<p>'</body>' is a tag</p>"
    assert render.HTMLReport("<p>no page</p>", "title").body == "<p>no page</p>"


def test_a_missing_value_is_an_error():
    with pytest.raises(UndefinedError):
        render.page("masker.html.j2", "title")


def test_cells_keep_what_they_are_sorted_by(parse):
    table = Table("c", (Column("n"), Column("v", numeric=False)), ((Cell("a"), Cell("1 %", 0.01)),))
    row = parse(filled("data_table", table, "t")).all("tbody")[0].all("tr")[0]
    name, value = row.children
    assert (name.tag, name.attrs) == ("th", {"scope": "row", "class": "number"})
    assert (value.tag, value.attrs) == ("td", {"data-key": "0.01"})


@pytest.mark.parametrize(
    ("value", "digits", "text", "key"),
    [
        (2.5, 1, "2.5", None),
        (1234.5678, 1, "1234.6", 1234.57),
        (0.0042, 2, "0.004", 0.0042),
        (1e-12, 2, "1e-12", None),
        (-1e-12, 2, "-1e-12", None),
        (np.int64(3), 2, "3", None),
        (np.float32(0.25), 1, "0.2", 0.25),
        (True, 0, "n/a", ""),
        ("3", 0, "n/a", ""),
        (np.inf, 0, "n/a", ""),
        (None, 0, "n/a", ""),
    ],
)
def test_cells_of_numbers(value, digits, text, key):
    assert render.number_cell(value, digits) == Cell(text, key)


def test_columns_of_numbers_shares_and_probabilities():
    assert render.number_column("n", [1.25, None], unit="mm") == (
        Column("n", unit="mm"),
        [Cell("1", 1.25), Cell("n/a", "")],
    )
    assert render.text_column("w", [1, "a"], "s") == (
        Column("w", numeric=False, unit="s"),
        [Cell("1"), Cell("a")],
    )
    assert render.percent_column("p", [0.5, 0.99999, np.nan], ["", "warn", "bad"]) == (
        Column("p", unit="%"),
        [Cell("50", 50.0), Cell("99.9", 99.999, tone="warn"), Cell("n/a", "")],
    )
    assert render.percent_column("p", [0.25])[1] == [Cell("25", 25.0)]
    assert render.percent_cell(0.12345678, " (x)", "bad") == Cell("12.3 (x)", 12.3457, tone="bad")
    assert render.probability_column("q", [0.0123456789, 0.001, 0.00099, np.nan], "u") == (
        Column("q", unit="u"),
        [
            Cell("0.012", 0.0123457),
            Cell("0.001", 0.001),
            Cell("9.9e-04", 0.00099),
            Cell("n/a", ""),
        ],
    )


def test_tables_are_abridged_on_paper_where_a_file_has_all_rows():
    column = render.number_column("n", range(9))
    assert [render.table_of("c", column, file=file).abridged for file in ("x.tsv", "")] == [
        True,
        False,
    ]
    short = render.table_of("c", render.number_column("n", range(8)), head=0, file="x.tsv")
    assert not short.abridged
    both = render.table_of("c", column, render.text_column("w", "abcdefghi"), head=1)
    assert (both.rows[2], both.head, both.caption) == ((Cell("2"), Cell("c")), 1, "c")
