"""Workers on this machine: what becomes of every item, and of those on which workers die."""

from __future__ import annotations

import os
import sys
import time

import pytest

from bids_spheres.execute import Lost, local
from bids_spheres.execute.local import LocalExecutor
from tests.processes import children

PID = "__import__('os').getpid()"


def run(processes, items):
    """Items are expressions, and what is done with them is to evaluate them."""
    return list(LocalExecutor(processes).run(eval, items))


@pytest.mark.parametrize(("processes", "items"), [(1, ["3", PID, "5"]), (4, [PID])])
def test_one_process_or_one_item_needs_no_worker(processes, items):
    assert run(processes, items) == [(item, eval(item)) for item in items]


def test_items_go_to_whichever_worker_is_free():
    # A worker that sleeps leaves the others to its fellow.
    slow = f"__import__('time').sleep(0.4) or {PID}"
    ends = run(2, [slow, *(f"({i}, {PID})" for i in range(4))])
    pids = {item: end if isinstance(end, int) else end[1] for item, end in ends}
    assert len(ends) == len(pids) == 5
    assert len(set(pids.values())) == 2
    assert os.getpid() not in pids.values()
    assert list(pids.values()).count(pids[slow]) == 1
    assert sorted(end[0] for item, end in ends if item != slow) == [0, 1, 2, 3]


def test_an_item_on_which_a_worker_died_is_tried_once_more_when_all_others_are_done(tmp_path):
    folder = str(tmp_path / "tried")
    die = f"(os.mkdir({folder!r}), os._exit(7))"
    once = f"(lambda os: 5 if os.path.exists({folder!r}) else {die})(__import__('os'))"
    twice = "__import__('os')._exit(7)"
    *others, second, third = run(2, [once, twice, "1", "2", "3"])
    assert sorted(others) == [("1", 1), ("2", 2), ("3", 3)]
    assert {second[0], third[0]} == {once, twice}
    ends = dict((second, third))
    assert ends[once] == 5
    assert isinstance(ends[twice], Lost)
    assert "was ended with status 7, and so was a second one" in str(ends[twice])
    assert "fault of this program" in ends[twice].hint


@pytest.mark.parametrize(
    ("number", "limit", "phrase", "hint"),
    [
        (9, None, "was killed, most likely out of memory", "memory"),
        (11, None, "ended by SIGSEGV", "report it"),
        (11, 2**30, "ended by SIGSEGV", "memory"),
    ],
)
def test_how_workers_died_is_told(monkeypatch, number, limit, phrase, hint):
    monkeypatch.setattr(local, "address_space", lambda: limit)
    kill = f"__import__('signal').raise_signal({number})"
    first, last = run(2, [kill, "1"])
    assert first == ("1", 1)
    assert phrase in str(last[1])
    assert hint in last[1].hint


def test_this_process_alone_unless_more_are_asked_for():
    assert list(LocalExecutor().run(eval, [PID, PID])) == [(PID, os.getpid())] * 2
    assert list(LocalExecutor(3).run(eval, [])) == []


def test_workers_leave_interrupts_from_the_keyboard_to_this_process():
    interrupt = "__import__('os').kill(__import__('os').getpid(), 2) or 5"
    assert sorted(run(2, [interrupt, "1"])) == sorted([(interrupt, 5), ("1", 1)])


def test_workers_have_our_modules_and_no_standard_input():
    path, rest = "__import__('sys').path", "__import__('sys').stdin.isatty()"
    ends = dict(run(2, [path, rest]))
    assert ends[path] == sys.path
    assert ends[rest] is False


def test_no_worker_is_left_when_the_caller_stops_early():
    before = set(children(os.getpid()))
    ends = LocalExecutor(2).run(eval, ["1", "__import__('time').sleep(60)", "2"])
    assert next(ends) == ("1", 1)
    assert len(set(children(os.getpid())) - before) == 2
    started = time.monotonic()
    ends.close()
    assert time.monotonic() - started < local.GRACE
    assert set(children(os.getpid())) <= before
