"""Which workers of Dask get which items, by a scheduler and a clock that tests set."""

from __future__ import annotations

import operator
from itertools import count, pairwise
from types import SimpleNamespace

import pytest

from bids_spheres.errors import TemporaryError
from bids_spheres.execute import Lost, dask
from bids_spheres.execute.dask import DaskExecutor, WorkerSource
from bids_spheres.execute.proof import WorkerProblemError

RUNNING, PAUSED = {"status": "running", "last_seen": 0.0}, {"status": "paused", "last_seen": 0.0}


class Future:
    """What a worker was asked to call."""

    _numbers = count()

    def __init__(self, function, arguments, where):
        self.function, self.arguments, self.where = function, arguments, where
        self.key, self.status, self._callbacks = f"call-{next(self._numbers)}", "pending", []
        self._end = None

    @property
    def is_proof(self):
        return self.function is not dask.perform

    def add_done_callback(self, callback):
        self._callbacks.append(callback)

    def finish(self, error=None):
        if self.status != "pending":
            return
        self.status = "error" if error else "finished"
        self._end = error or self.function(*self.arguments)
        for callback in self._callbacks:
            callback(self)

    def result(self, timeout):
        assert timeout
        if self.status == "error":
            raise self._end
        return self._end

    def exception(self, timeout):
        assert timeout
        return self._end


class Scheduler:
    """Workers by their addresses, and what happens whenever they are asked for."""

    def __init__(self, step, **workers):
        self.step, self.workers, self.now = step, dict(workers), 0.0
        self.submitted, self.held = [], {}
        self.scheduler = SimpleNamespace(
            identity=lambda: {"workers": self.workers}, processing=lambda: self.held
        )

    def sync(self, question, callback_timeout):
        assert callback_timeout
        if question is self.scheduler.identity:
            self.step(self)
        return question()

    def submit(self, function, *arguments, pure, **where):
        assert pure is False
        self.submitted.append(Future(function, arguments, where))
        self.submitted[-1].time = self.now
        return self.submitted[-1]

    def cancel(self, futures, force):
        assert force
        for future in futures:
            future.status = "cancelled"

    def pending(self, *, proofs):
        return [f for f in self.submitted if f.is_proof is proofs and f.status == "pending"]

    def tick(self):
        self.now += 0.25
        return self.now


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Do items, whose function is to change their sign."""
    source, out = tmp_path / "in", tmp_path / "out"
    for folder in (source, out):
        folder.mkdir()
    (source / "dataset_description.json").write_text("{}")
    monkeypatch.setattr(dask, "_POLL", 0.0)

    def call(client, items, timeout=1e6, more_expected=lambda: False):
        monkeypatch.setattr(dask, "time", SimpleNamespace(monotonic=client.tick))
        workers = WorkerSource("Test", timeout, more_expected)
        executor = DaskExecutor(client, workers, [source], [out])
        ends = list(executor.run(operator.neg, items))
        assert not list(out.iterdir())
        assert not client.pending(proofs=True)
        return ends

    return call


def prove(client, *addresses):
    for future in client.pending(proofs=True):
        if future.where["workers"][0] in addresses:
            future.finish()


def test_items_go_to_running_workers_that_have_proven_themselves(run):
    at_work = []

    def step(client):
        at_work.append(len(client.pending(proofs=False)))
        for future in client.pending(proofs=False):
            future.finish()
        prove(client, "a", "b")

    client = Scheduler(step, a=RUNNING, b=RUNNING, c=RUNNING, d=PAUSED)
    assert sorted(run(client, [1, 2, 3, 4, 5])) == [(i, -i) for i in range(1, 6)]
    assert max(at_work) == 2  # one for each
    asked = sorted(f.where["workers"][0] for f in client.submitted if f.is_proof)
    assert asked == ["a", "b", "c"]
    for future in client.submitted:
        if not future.is_proof:
            assert future.where["workers"] <= {"a", "b"}
            assert future.where["allow_other_workers"] is True


def test_where_all_workers_are_fit_any_of_them_will_do(run):
    def step(client):
        prove(client, "a", "b")
        for future in client.pending(proofs=False):
            future.finish()

    client = Scheduler(step, a=RUNNING, b=RUNNING)
    assert sorted(run(client, [1, 2])) == [(1, -1), (2, -2)]
    *_, last = (future.where for future in client.submitted if not future.is_proof)
    assert last == {}


@pytest.mark.parametrize(("behind", "used"), [(14.9, True), (15.0, False)])
def test_a_worker_without_a_heartbeat_is_not_used(run, behind, used):
    def step(client):
        prove(client, "a", "b")
        for future in client.pending(proofs=False):
            future.finish()

    now = {"status": "running", "last_seen": 1e9}
    client = Scheduler(step, a=now, b={"status": "running", "last_seen": 1e9 - behind})
    assert run(client, [1]) == [(1, -1)]
    assert ({f.where["workers"][0] for f in client.submitted if f.is_proof} == {"a", "b"}) is used


def test_an_item_of_a_worker_that_does_not_go_on_is_given_to_another_once(run):
    began = []

    def step(client):
        prove(client, "a", "b")
        for future in client.pending(proofs=False):
            if future.key not in began:
                began.append(future.key)
                # The first two workers stop when they have begun.
                address = "a" if len(began) == 1 else "b"
                client.workers = {**client.workers, address: PAUSED}
                client.held = {**client.held, address: (future.key,)}

    client = Scheduler(step, a=RUNNING, b=PAUSED)

    def then(client):
        step(client)
        if len(began) == 1 and client.submitted[-1].status == "cancelled":
            client.workers = {"a": PAUSED, "b": RUNNING}

    client.step = then
    ((item, end),) = run(client, [7])
    assert item == 7
    assert isinstance(end, Lost)
    assert "2 Dask workers were lost with this run: it does not go on" in end.message
    first, second = (f for f in client.submitted if not f.is_proof)
    assert first.status == second.status == "cancelled"
    # A worker may be silent for 120 s, and not for much longer.
    assert 120 < second.time - first.time < 130


@pytest.mark.parametrize(("failures", "lost"), [(1, False), (2, True)])
def test_an_item_that_a_worker_could_not_send_back_is_tried_once_more(run, failures, lost):
    left = [failures]

    def step(client):
        prove(client, "a")
        for future in client.pending(proofs=False):
            if left[0] and future.arguments[1]:
                left[0] -= 1
                future.finish(OSError("no route"))
            else:
                future.finish()

    client = Scheduler(step, a=RUNNING)
    ((item, end),) = run(client, [3])
    assert item == 3
    assert isinstance(end, Lost) is lost
    if lost:
        assert "2 Dask workers were lost with this run: OSError: no route" in end.message
    else:
        assert end == -3


def test_a_worker_that_is_unfit_is_asked_again_after_a_while(run, caplog):
    def step(client):
        for future in client.pending(proofs=False):
            future.finish()
        for future in client.pending(proofs=True):
            if len(client.submitted) < 3:
                future.finish(WorkerProblemError("it has another numpy"))
            else:
                future.finish()

    client = Scheduler(step, a=RUNNING)
    with caplog.at_level("WARNING", "bids_spheres"):
        assert run(client, [1]) == [(1, -1)]
    times = [future.time for future in client.submitted if future.is_proof]
    assert len(times) == 3
    assert all(30 < b - a < 32 for a, b in pairwise(times))
    (line,) = caplog.messages  # the same problem is told once
    assert line == "The worker a can't be used: it has another numpy."


@pytest.mark.parametrize(("polls", "expected"), [(0, 0), (5, 5)])
def test_a_call_without_a_worker_ends_when_no_more_are_expected(run, polls, expected):
    asked = []

    def more():
        asked.append(1)
        return len(asked) <= polls

    def step(client):
        for future in client.pending(proofs=True):
            future.finish(WorkerProblemError("it does not see the folder"))

    client = Scheduler(step, a=RUNNING)
    with pytest.raises(TemporaryError, match="Test has had no worker for 10 s that can be") as told:
        run(client, [1], timeout=10.0, more_expected=more)
    assert "be used: it does not see the folder." in told.value.message
    assert len(asked) == expected + 1
    assert client.now > 10 * (expected + 1)
    assert all(future.is_proof for future in client.submitted)


def test_a_call_to_which_no_worker_comes(run):
    with pytest.raises(TemporaryError, match="none has come"):
        run(Scheduler(lambda _: None), [1], timeout=3.0)


class KilledError(Exception):
    """As Dask's KilledWorker tells how often it has tried an item by itself."""

    allowed_failures = 1


def test_an_item_that_dask_itself_has_tried_again_is_given_up_at_once(run):
    def step(client):
        prove(client, "a")
        for future in client.pending(proofs=False):
            future.finish(KilledError())

    client = Scheduler(step, a=RUNNING)
    ((item, end),) = run(client, [3])
    assert (item, end.message) == (3, "2 Dask workers were lost with this run: KilledError")
    assert "too little memory or time" in end.hint
    assert sum(not future.is_proof for future in client.submitted) == 1


def test_what_is_tried_again_is_told(run, caplog):
    def step(client):
        prove(client, "a")
        for future in client.pending(proofs=False):
            future.finish(OSError("no route") if len(client.submitted) == 2 else None)

    with caplog.at_level("INFO", "bids_spheres"):
        assert run(Scheduler(step, a=RUNNING), [3]) == [(3, -3)]
    assert caplog.messages == [
        "Waiting for workers of Test",
        "A Dask worker was lost with this run: OSError: no route 3 is tried again.",
    ]


def test_a_worker_that_goes_away_before_its_proof_leaves_nothing(run, caplog):
    def step(client):
        if client.now > 5 and "b" not in client.workers:
            client.workers = {"b": RUNNING}
        prove(client, "b")
        for future in client.pending(proofs=False):
            future.finish()

    client = Scheduler(step, a=RUNNING)
    with caplog.at_level("INFO", "bids_spheres"):
        assert run(client, [1, 2]) == [(1, -1), (2, -2)]
    first, *_ = client.submitted
    assert (first.where, first.status) == ({"workers": ["a"]}, "cancelled")
    assert "The worker a is gone; what it had is tried again." in caplog.messages
    *_, last = (future for future in client.submitted if not future.is_proof)
    assert last.where == {}  # all that are left are fit


def test_a_scheduler_that_is_gone_ends_the_call(run):
    def step(client):
        prove(client, "a")
        if client.pending(proofs=False):
            raise OSError("connection lost")

    client = Scheduler(step, a=RUNNING)
    with pytest.raises(TemporaryError) as told:
        run(client, [1, 2])
    assert told.value.message == "Test does not answer any more: OSError: connection lost."
    assert "the next call does what is missing" in told.value.hint
    assert not client.pending(proofs=False)


def test_a_caller_that_stops_early_leaves_nothing_at_work(tmp_path, monkeypatch):
    def step(client):
        prove(client, "a", "b")
        for future in client.pending(proofs=False)[:1]:
            future.finish()

    monkeypatch.setattr(dask, "_POLL", 0.0)
    client = Scheduler(step, a=RUNNING, b=RUNNING)
    monkeypatch.setattr(dask, "time", SimpleNamespace(monotonic=client.tick))
    executor = DaskExecutor(client, WorkerSource("Test"), [], [tmp_path])
    ends = executor.run(operator.neg, [1, 2, 3])
    next(ends)
    ends.close()
    assert not client.pending(proofs=False)
    assert not client.pending(proofs=True)
    assert not list(tmp_path.iterdir())


def test_a_worker_is_waited_for_five_minutes(tmp_path, monkeypatch):
    monkeypatch.setattr(dask, "_POLL", 0.0)
    client = Scheduler(lambda _: None)
    monkeypatch.setattr(dask, "time", SimpleNamespace(monotonic=client.tick))
    with pytest.raises(TemporaryError, match="has had no worker for 300 s that can be used: none"):
        list(DaskExecutor(client, WorkerSource("Test"), [], [tmp_path]).run(operator.neg, [1]))
    assert 300 < client.now < 302


def test_problems_of_workers_that_are_gone_are_not_told(run):
    def step(client):
        for future in client.pending(proofs=True):
            future.finish(WorkerProblemError(f"{future.where['workers'][0]} is odd"))
        if client.now > 4:
            client.workers = {"b": RUNNING}

    with pytest.raises(TemporaryError, match=r"that can be used: b is odd\."):
        run(Scheduler(step, a=RUNNING, b=RUNNING), [1], timeout=8.0)


def test_a_worker_that_pauses_after_its_proof_gets_no_more_items(run):
    def step(client):
        prove(client, "a")
        done = [f for f in client.submitted if not f.is_proof and f.status == "finished"]
        if done:
            client.workers = {"a": PAUSED, "b": RUNNING}
            if client.now > 5:
                prove(client, "b")
        for future in client.pending(proofs=False):
            future.finish()

    client = Scheduler(step, a=RUNNING)
    assert run(client, [1, 2]) == [(1, -1), (2, -2)]
    first, second = (future.where for future in client.submitted if not future.is_proof)
    assert first == {}
    assert second == {"workers": {"b"}, "allow_other_workers": True}


def test_a_call_waits_for_items_that_are_at_work(run):
    def step(client):
        prove(client, "a")
        if client.pending(proofs=False):
            client.workers = {"a": PAUSED}
            if client.now > 40:
                client.pending(proofs=False)[0].finish()

    assert run(Scheduler(step, a=RUNNING), [1], timeout=5.0) == [(1, -1)]


@pytest.mark.parametrize("status", ["lost", "cancelled"])
def test_a_proof_that_was_lost_is_asked_for_again(run, status):
    def step(client):
        proofs = [future for future in client.submitted if future.is_proof]
        for first in proofs[:1]:
            first.status = status
        prove(client, "a")
        for future in client.pending(proofs=False):
            future.finish()

    client = Scheduler(step, a=RUNNING)
    assert run(client, [1], timeout=50.0) == [(1, -1)]
    first, second = (future.time for future in client.submitted if future.is_proof)
    assert 30 < second - first < 32
