"""Reading tables: what is refused, and where the message points."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from bids_spheres.confounds import read_confounds, read_metadata, read_outliers
from bids_spheres.errors import DataError, MissingInputError


def written(folder, content, name="confounds.tsv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00a\tb", b'a\tb\n"1\t2\n'])
def test_files_that_are_no_tables(tmp_path, content):
    path = written(tmp_path, content)
    with pytest.raises(DataError, match="can't be read as a TSV table") as error:
        read_confounds(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        ("1\t2\t3\n4\t5\t6\n", "has no header: its first row holds numbers"),
        ("n/a\t0.1\n0.2\t0.1\n", "has no header"),
        ("a\tb\ta\n1\t2\t3\n", "column a is there twice"),
        ("a\tb\t a\n1\t2\t3\n", "column a is there twice"),
        ("a\tb\n1\t2\n1\n", "row 2 has 1 cells for 2 columns"),
        ("a\tb\n1\t2\t3\n1\t2\t3\n", "row 1 has 3 cells for 2 columns"),
    ],
)
def test_tables_of_the_wrong_shape(tmp_path, content, phrase):
    path = written(tmp_path, content)
    with pytest.raises(DataError, match=phrase) as error:
        read_confounds(path)
    assert str(path) in str(error.value)


def test_byte_order_mark_line_ends_and_blanks(tmp_path):
    table = read_confounds(written(tmp_path, b"\xef\xbb\xbf a\tb \r\nn/a\t2\r\n3\t4\r\n\r\n"))
    assert list(table.columns) == ["a", "b"]
    np.testing.assert_array_equal(table, [[np.nan, 2], [3, 4]])


def test_metadata(tmp_path):
    path = tmp_path / "confounds.tsv"
    assert read_metadata(path) == {}
    written(tmp_path, '{"a_comp_cor_00": {"Mask": "WM"}}', "confounds.json")
    assert read_metadata(path) == {"a_comp_cor_00": {"Mask": "WM"}}
    for content, phrase in {"{": "can't be read as JSON", "[]": "no JSON object"}.items():
        written(tmp_path, content, "confounds.json")
        with pytest.raises(DataError, match=phrase):
            read_metadata(path)


@pytest.mark.parametrize(
    "content",
    [
        "censored\n0\n1\n0\n1\n",
        "0\n1\n0\n1\n",
        "0 0 \n1 0 \n0 0 \n0 1 \n",
        "a\tb\n0\t0\n1\t0\n0\t0\n1\t1\n",
        "other\tcensored\n1\t0\n0\t1\n0\t0\n0\t1\n",
        "0.000000e+00\n1.000000e+00\n0.000000e+00\n1.000000e+00\n",
        "\ufeffcensored\r\n0\r\n1\r\n0\r\n1\r\n\r\n",
    ],
)
def test_outlier_tables(tmp_path, content):
    path = written(tmp_path, content, "outliers.tsv")
    assert read_outliers(path, 4).tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        ("", "has 0 rows, but the BOLD image has 4 volumes"),
        ("censored\n0\n1\n0\n", "has 3 rows"),
        ("censored\n0\n1\n0\n2\n", "'2' in row 4 is neither 0 nor 1"),
        ("censored\n0\n1\n0\nn/a\n", "'n/a' in row 4 is neither 0 nor 1"),
        ("0\n1\nyes\n0\n", "'yes' in row 3"),
        ("0 0\n0 0\n0\n0 0\n", "row 3 has 1 cells, others have 2"),
        (b"\xff\xfe", "can't be read as a table"),
    ],
)
def test_unusable_outlier_tables(tmp_path, content, phrase):
    with pytest.raises(DataError, match=phrase):
        read_outliers(written(tmp_path, content, "outliers.tsv"), 4)


def test_an_outlier_table_that_is_not_there(tmp_path):
    with pytest.raises(MissingInputError, match="no outlier table"):
        read_outliers(tmp_path / "outliers.tsv", 4)


def test_strategies_load_without_pandas():
    code = (
        "import sys; from bids_spheres.confounds import load_strategy; load_strategy('36P'); "
        "print(sorted({'pandas', 'yaml', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
