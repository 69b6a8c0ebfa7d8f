"""Lines of the log, and standard output that can't be written."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings

import pytest

from bids_spheres.app import streams
from bids_spheres.app.streams import StandardOutput, configure_logging
from bids_spheres.errors import ReadWriteError

LOG = logging.getLogger("bids_spheres.x")


@pytest.fixture
def log(monkeypatch):
    """Call with a verbosity; return what the log has shown so far by a function."""
    shown = io.StringIO()
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)

    def start(verbosity):
        monkeypatch.setattr(sys, "stderr", shown)
        configure_logging(verbosity)
        return lambda: shown.getvalue().splitlines()

    return start


@pytest.mark.parametrize(
    ("verbosity", "expected"),
    [
        (-5, ["WARNING", "ERROR"]),
        (-1, ["WARNING", "ERROR"]),
        (0, ["INFO", "WARNING", "ERROR"]),
        (1, ["DEBUG", "INFO", "WARNING", "ERROR"]),
        (3, ["DEBUG", "INFO", "WARNING", "ERROR"]),
    ],
)
def test_how_much_is_said(log, verbosity, expected):
    lines = log(verbosity)
    for name in ("DEBUG", "INFO", "WARNING", "ERROR"):
        LOG.log(getattr(logging, name), "%s", name.lower())
    assert lines() == [f"{name} {name.lower()}" for name in expected]


def test_a_warning_is_said_once_and_other_lines_each_time(log):
    lines = log(0)
    for _ in range(2):
        LOG.info("a")
        LOG.warning("b %d", 1)
        LOG.error("c")
    LOG.warning("b %d", 2)
    warnings.showwarning("of numpy", RuntimeWarning, "a.py", 1)
    first = ["INFO a", "WARNING b 1", "ERROR c", "INFO a", "ERROR c"]
    assert lines() == [*first, "WARNING b 2", "WARNING of numpy"]
    configure_logging(0)  # of another call: handlers do not add up
    LOG.warning("b %d", 2)
    assert lines()[7:] == ["WARNING b 2"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_errors_are_red_and_other_lines_are_plain(monkeypatch):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    configure_logging(0)
    LOG.error("a")
    LOG.info("b")
    assert shown.getvalue() == "\x1b[31mERROR\x1b[0m a\nINFO b\n"


class Full(io.StringIO):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, _):
        raise self.error

    def flush(self):
        raise self.error


def test_closed_streams_become_the_null_device(monkeypatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    streams.open_missing_streams()
    opened = (sys.stdin, sys.stdout, sys.stderr)
    assert [stream.name for stream in opened] == [os.devnull] * 3
    assert sys.stdin.read() == ""
    assert [sys.stdout.write("a"), sys.stderr.write("ab")] == [1, 2]
    streams.open_missing_streams()
    assert (sys.stdin, sys.stdout, sys.stderr) == opened
    for stream in opened:
        stream.close()


def test_text_goes_through():
    inner = io.StringIO()
    assert StandardOutput(inner).write("abc") == 3
    assert inner.getvalue() == "abc"


@pytest.mark.parametrize("do", [lambda out: out.write("a"), lambda out: out.flush()])
def test_what_can_not_be_written_is_told_and_a_closed_pipe_is_left_to_the_caller(monkeypatch, do):
    discarded = []
    monkeypatch.setattr(streams, "discard_output", lambda: discarded.append(1))
    with pytest.raises(ReadWriteError, match=r"Standard output can't be written: No room\.$"):
        do(StandardOutput(Full(OSError(28, "No room"))))
    assert discarded == [1]
    with pytest.raises(BrokenPipeError):
        do(StandardOutput(Full(BrokenPipeError())))
    assert discarded == [1]
