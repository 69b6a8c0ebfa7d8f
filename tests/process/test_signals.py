"""Signals that come while libraries are loaded, before anything is begun."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bids_spheres.process.signals import ended_at_once, ended_by_sigterm
from tests.processes import wait_for


def loads(process, library):
    """Whether a process has mapped a library."""
    return library in Path(f"/proc/{process.pid}/maps").read_text()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("level", ["participant", "group"])
@pytest.mark.parametrize("library", ["numpy", "pandas"])
@pytest.mark.parametrize(
    ("number", "status", "said"),
    [(signal.SIGTERM, 143, "Ended by SIGTERM"), (signal.SIGINT, 130, "interrupted")],
)
def test_it_ends_with_one_line(tmp_path, level, library, number, status, said):
    (tmp_path / "in").mkdir()
    words = ["-P", "-m", "bids_spheres", tmp_path / "in", tmp_path / "out", level]
    words += ["--atlas", "Power2011"]
    process = subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True)
    assert wait_for(lambda: loads(process, library), 60)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (status, -signal.SIGINT), err
    (line,) = err.splitlines()
    assert said in line
    assert not (tmp_path / "out").exists()


SLOW = """
import os, signal, sys

import bids_spheres.__main__ as command

# A shell lets what it puts into the background ignore interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

class Interrupted:
    def find_spec(self, name, *_):
        if name == sys.argv[1]:
            os.kill(os.getpid(), int(sys.argv[2]))

sys.modules.pop("argparse", None)
sys.meta_path.insert(0, Interrupted())
sys.exit(command.main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "module", ["argparse", "bids_spheres.settings.table", "bids_spheres.app.main"]
)
def test_it_ends_with_one_line_while_the_command_line_is_loaded(number, module):
    done = subprocess.run(
        [sys.executable, "-P", "-c", SLOW, module, str(int(number))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 128 + number, done.stderr
    (line,) = done.stderr.splitlines()
    assert "Nothing was begun" in line
    assert not done.stdout


@pytest.fixture
def handlers():
    """Handlers of both signals, which are put back."""
    both = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in both}
    yield lambda: [signal.getsignal(number) for number in both]
    for number, handler in before.items():
        signal.signal(number, handler)


def test_interrupts_that_a_shell_ignores_stay_ignored(handlers):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    before = handlers()
    with ended_at_once():
        assert handlers()[0] not in before
        assert handlers()[1] == signal.SIG_IGN
    assert handlers() == before


def test_a_second_sigterm_does_not_stop_the_cleaning_up(handlers):
    before = handlers()

    def ended():
        with ended_by_sigterm():
            assert handlers()[1] == before[1]
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit) as end:
        ended()
    assert end.value.code == 143
    assert handlers() == before
