"""Arrays to tables, as pandas writes and reads them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from bids_spheres.files.atomic import write_numbers, write_table

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1, max_size=8)


@given(
    values=arrays(
        np.float64,
        array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.floats(allow_infinity=False, width=64),
    ),
    data=st.data(),
)
def test_bytes_are_those_of_pandas(tmp_path_factory, values, data):
    rows, columns = values.shape
    names = data.draw(st.lists(WORDS, min_size=columns, max_size=columns, unique=True))
    labels = data.draw(st.lists(WORDS, min_size=rows, max_size=rows))
    folder = tmp_path_factory.getbasetemp()
    write_numbers(folder / "ours.tsv", names, values, ("Node", labels))
    table = pd.DataFrame(values, columns=names)
    table.insert(0, "Node", labels, allow_duplicates=True)
    write_table(folder / "theirs.tsv", table)
    assert (folder / "ours.tsv").read_bytes() == (folder / "theirs.tsv").read_bytes()


def test_a_table_without_rows_has_its_header(tmp_path):
    write_numbers(tmp_path / "a.tsv", ["x", "y"], np.empty((0, 2)))
    assert (tmp_path / "a.tsv").read_text() == "x\ty\n"


def test_a_table_without_columns_has_its_rows(tmp_path):
    write_numbers(tmp_path / "a.tsv", [], np.empty((3, 0)))
    assert (tmp_path / "a.tsv").read_text() == "\n\n\n\n"
