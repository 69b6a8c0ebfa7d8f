"""What other libraries say goes to our log, with the file it is about."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest

from bids_spheres.files.library_warnings import collected, naming


@pytest.mark.filterwarnings("default")
def test_warnings_and_lines_of_some_loggers_are_collected_once_each_and_not_shown(caplog):
    first, other = logging.getLogger("first"), logging.getLogger("other")
    handler = logging.NullHandler()
    first.addHandler(handler)
    with collected("first") as messages:
        first.warning("a %d", 1)
        first.warning("a %d", 1)
        first.error("b")
        first.info("detail")
        other.warning("of another")
        warnings.warn("of Python", RuntimeWarning, stacklevel=1)
        assert list(messages) == ["a 1", "b"]
    assert list(messages) == ["a 1", "b", "of Python"]
    assert caplog.messages == ["of another"]
    assert first.handlers == [handler]
    assert first.propagate
    first.removeHandler(handler)


def test_loggers_are_as_they_were_after_an_error():
    log = logging.getLogger("third")
    log.propagate = False

    def broken():
        with collected("third"):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        broken()
    assert (log.handlers, log.propagate) == ([], False)


@pytest.mark.filterwarnings("default")
def test_lines_name_the_file(caplog):
    with naming(Path("a/b.nii")):
        logging.getLogger("nibabel.global").warning("qform_code is odd.")
        warnings.warn("of numpy", RuntimeWarning, stacklevel=1)
        warnings.warn("of scipy.", UserWarning, stacklevel=1)
    lines = ["qform_code is odd.", "of numpy.", "of scipy."]
    assert caplog.messages == [f"a/b.nii: {line}" for line in lines]
    assert {record.name for record in caplog.records} == {"bids_spheres"}


def test_lines_of_every_logger_that_is_named_are_collected(caplog):
    first, second = logging.getLogger("one"), logging.getLogger("two")
    second.propagate = False
    with collected("one", "two") as messages:
        second.warning("b")
        first.warning("a")
    assert list(messages) == ["b", "a"]
    assert caplog.messages == []
    assert (first.propagate, second.propagate) == (True, False)
    second.propagate = True
