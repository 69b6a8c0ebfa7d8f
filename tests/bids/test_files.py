"""Files written whole or not at all."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from bids_spheres.bids.files import replacing, write_json, write_table
from bids_spheres.errors import OutputError


def test_what_breaks_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("old")

    def broken():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        broken()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cant_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/x\.json can't be written") as error:
        write_json(tmp_path / "file" / "x.json", {})
    assert error.value.exit_status == 73


def test_tables_keep_names_gaps_and_ten_digits(tmp_path):
    path = tmp_path / "new" / "table.tsv"
    write_table(path, pd.DataFrame({"a b": [1 / 3, np.nan], "ü": ["x", None]}))
    assert path.read_text(encoding="utf-8") == "a b\tü\n0.3333333333\tx\nn/a\tn/a\n"


def test_json_has_plain_types_only(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": np.float64(1.5), "b": [np.int64(2), np.nan], "c": (True, {"d": np.inf})})
    assert json.loads(path.read_text()) == {"a": 1.5, "b": [2, None], "c": [True, {"d": None}]}
