"""Words of the command line as values: limits of each kind, and what it refuses."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from bids_spheres.settings.values import (
    Labels,
    Memory,
    NamedPath,
    Number,
    choice,
    jitter,
    key_and_value,
    tissue_rule,
)

THRESHOLD = Number(zero_is_off=True)
SHARE = Number(most=1.0, words=("none",))
COUNT = Number(least=2, most=20, whole=True)


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (tissue_rule, "GM", "GM"),
        (tissue_rule, "CSF:1", "CSF:1"),
        (tissue_rule, "WM:0.001", "WM:0.001"),
        (tissue_rule, "GM:weight", "GM:weight"),
        (jitter, "3", "3:50"),
        (jitter, "20:2", "20:2"),
        (jitter, "2.50:1000", "2.5:1000"),
        (SHARE, "0", 0.0),
        (SHARE, "1", 1.0),
        (SHARE, "none", "none"),
        (THRESHOLD, "0", None),
        (THRESHOLD, "0.5", 0.5),
        (COUNT, "2", 2),
        (COUNT, "20", 20),
        (Number(whole=True), "123456789", 123456789),
        (Memory(), "1", 1),
        (Memory(), "1.5G", 1500),
        (Memory(), "2tb", 2_000_000),
        (Memory(), "700MB", 700),
        (choice("a", "none"), "none", "none"),
        (choice("a", "none", off=False), "none", False),
        (choice("a", "none", off=False), "a", "a"),
        (NamedPath(), "physio=a=b", ("physio", Path("a=b"))),
        (NamedPath(), f"a{os.sep}b=c", ("", Path(f"a{os.sep}b=c"))),
        (NamedPath(), "x-y=c", ("", Path("x-y=c"))),
        (Labels(key="sub"), "sub-01", ["01"]),
        (Labels(key="ses"), "sub-01", ["sub-01"]),
        (key_and_value, "mem-per-cpu=2=3", "mem-per-cpu=2=3"),
    ],
)
def test_words_are_taken(read, text, value):
    assert read(text) == value
    assert type(read(text)) is type(value)


@pytest.mark.parametrize(
    ("read", "texts"),
    [
        (tissue_rule, ("GM:0", "GM:-0.1", "GM:1.01", "GM:nan", "gm", "bone:0.5", "GM:0.5:1", "")),
        (jitter, ("0", "20.1", "3:1", "3:1001", "3:", "3:2.5", "inf")),
        (SHARE, ("-0.01", "1.01", "nan", "inf", "all")),
        (Number(), ("inf", "-inf", "nan")),
        (COUNT, ("1", "21", "3.0", "-3", "+3")),
        (Number(whole=True), ("1234567890",)),
        (Memory(), ("0.9", "0", "-5", "1000000000", "GB", "1KB", "nan", "inf")),
        (choice("a", "none"), ("A", "", "b")),
        (key_and_value, ("memory", "=2", "a b=2", "2a=3")),
    ],
)
def test_words_are_refused(read, texts):
    for text in texts:
        with pytest.raises(ArgumentTypeError):
            read(text)


def test_labels_of_a_file(tmp_path):
    plain, table, empty = (tmp_path / name for name in ("plain", "table", "empty"))
    plain.write_text("sub-03\n\n  02 \nparticipant_id\n")
    table.write_text("participant_id\tage\nsub-10\t31\nsub-09\t27\n")
    empty.write_text("participant_id\tage\n\n")
    read = Labels(key="sub")
    assert read(f"@{plain}") == ["03", "02", "participant_id"]
    assert read(f"@{table}") == ["10", "09"]
    for path in (empty, tmp_path / "missing"):
        with pytest.raises(ArgumentTypeError, match=path.name):
            read(f"@{path}")
