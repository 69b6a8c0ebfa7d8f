"""Kinds of errors, what they say, and with which status the command ends."""

from __future__ import annotations

import pytest

from bids_spheres import errors
from bids_spheres.errors import (
    MORE_MEMORY,
    DataError,
    MissingInputError,
    ReadWriteError,
    UsageError,
    describe_error,
    did_you_mean,
    is_out_of_memory,
    printable,
)
from bids_spheres.execute import Lost


def raised(error, cause=None, context=None):
    error.__cause__, error.__context__ = cause, context
    return error


@pytest.mark.parametrize(
    ("error", "limit", "expected"),
    [
        (raised(ValueError("a"), cause=MemoryError()), None, True),
        (raised(ValueError("a"), context=MemoryError()), None, True),
        (raised(ValueError("a"), raised(KeyError("b"), context=MemoryError())), None, True),
        # What it was raised from counts, and not what was handled meanwhile.
        (raised(ValueError("a"), KeyError("b"), MemoryError()), None, False),
        (raised(DataError("a"), cause=SystemError("null result")), 10**9, True),
        (SystemError("null result"), None, False),
        (RuntimeError("can't start new thread"), None, False),
        (None, 10**9, False),
    ],
)
def test_too_little_memory_may_be_the_cause_of_another_error(monkeypatch, error, limit, expected):
    monkeypatch.setattr(errors, "address_space", lambda: limit)
    assert is_out_of_memory(error) is expected


def test_what_is_said_of_any_error(monkeypatch):
    monkeypatch.setattr(errors, "address_space", lambda: None)
    data = raised(DataError("x.tsv is empty.", hint="Fill it."), cause=MemoryError())
    assert describe_error(data) == ("x.tsv is empty.\n  hint: Fill it.", 65)
    assert describe_error(DataError("x\x1b.tsv")) == ("x\\x1b.tsv", 65)
    memory = raised(OSError(5, "Input/output error"), cause=MemoryError())
    assert describe_error(memory) == (f"Out of memory.\n  hint: {MORE_MEMORY}", 75)
    gone = FileNotFoundError(2, "No such file or directory", "a\tb.nii")
    assert describe_error(gone) == ("a\\tb.nii: No such file or directory.", 74)
    assert describe_error(OSError("odd")) == ("odd.", 74)
    text, status = describe_error(KeyError("name"))
    assert status == 70
    assert text.startswith("unexpected KeyError: 'name'\n  hint: That is a fault of this program")


def test_kinds_of_errors_are_those_of_python_too():
    assert isinstance(MissingInputError("a"), FileNotFoundError)
    assert isinstance(MissingInputError("a"), ValueError)
    assert isinstance(ReadWriteError("a"), OSError)
    assert isinstance(UsageError("a"), ValueError)
    assert (MissingInputError("a").exit_status, Lost("a").exit_status) == (66, 1)

    class OddTableError(DataError):
        """A kind of a kind has the status of the latter."""

    assert OddTableError("a").exit_status == 65


def test_the_nearest_name_is_proposed():
    assert did_you_mean("pearsn", ["covariance", "spearman", "pearson"]) == "Did you mean pearson? "
    assert did_you_mean("xyz", ["covariance", "spearman"]) == ""


def test_what_goes_to_a_terminal():
    assert printable("sub-é\nb\r\x00\udcff") == "sub-é\nb\\r\\x00\\udcff"
