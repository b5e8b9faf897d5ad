"""The queue and thread of a sink: never a wait for who offers, everything counted, trouble told once."""

from __future__ import annotations

import threading

from edgemed.runtime.worker import Counts, DeliveryError, Worker
from tests.runtime.sinks.fakes import FakeSink, eventually


def test_items_arrive_in_order_and_are_settled() -> None:
    sink, told = FakeSink(), []
    worker = Worker(sink, name="x", tell=told.append, waiting=100)
    items = [str(number).encode() for number in range(50)]
    for item in items:
        worker.offer(item)
    worker.close(within_s=5.0)
    assert (sink.got, sink.closed, told) == (items, True, [])
    assert sink.settled >= 1
    assert worker.counts() == Counts(delivered=50)


def test_sink_that_hangs_delays_nobody_and_loses_the_oldest() -> None:
    gate, told = threading.Event(), []
    sink = FakeSink(gate=gate)
    worker = Worker(sink, name="x", tell=told.append, waiting=3)
    worker.offer(b"first")
    assert eventually(lambda: sink.tried == 1)
    for number in range(10):
        worker.offer(b"%d" % number)
    assert worker.counts() == Counts(dropped=7, waiting=3)
    gate.set()
    worker.close(within_s=5.0)
    assert sink.got == [b"first", b"7", b"8", b"9"]
    assert worker.counts() == Counts(delivered=4, dropped=7)
    assert told == ["x: is too slow: 3 documents are waiting, the oldest are dropped"]


def test_close_gives_up_after_its_time_and_says_so() -> None:
    told: list[str] = []
    sink = FakeSink(gate=threading.Event())
    worker = Worker(sink, name="x", tell=told.append, waiting=9)
    worker.offer(b"hangs")
    assert eventually(lambda: sink.tried == 1)
    worker.offer(b"waits")
    worker.close(within_s=0.05)
    assert sink.aborted.is_set()
    assert told == ["x: did not end within 0.05 s; 1 documents were dropped"]
    worker.close(within_s=0.05)
    worker.offer(b"too late")
    assert worker.counts().dropped == 2


def test_trouble_is_told_when_it_begins_and_when_it_ends() -> None:
    sink, told = FakeSink(failing=(1, 2, 3)), []
    worker = Worker(sink, name="x", tell=told.append, waiting=100)
    for number in range(6):
        worker.offer(b"%d" % number)
    worker.close(within_s=5.0)
    assert sink.got == [b"0", b"4", b"5"]
    assert worker.counts() == Counts(delivered=3, failed=3)
    assert told == [
        "x: cannot be written: No space left on device",
        "x: works again; 3 documents were not delivered",
    ]


class _Batches(FakeSink):
    def settle(self) -> None:
        if self.got:
            lost, self.got = len(self.got), []
            raise DeliveryError("disk I/O error", lost=lost)


def test_what_a_settle_loses_counts_as_failed() -> None:
    told: list[str] = []
    worker = Worker(_Batches(), name="x", tell=told.append, waiting=100, gather_s=30.0)
    for number in range(5):
        worker.offer(b"%d" % number)
    worker.close(within_s=5.0)
    assert (worker.counts(), told) == (Counts(failed=5), ["x: disk I/O error"])
