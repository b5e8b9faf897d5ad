"""A bounded queue and the thread that empties it into a sink.

Rules: `Worker.offer` takes a lock that is never held while the sink works, so it never waits for the sink; a full queue
loses its oldest document, for the newest says how things stand; trouble is told when it begins and when it ends, never
for each document; the thread ends with the process whatever the sink does.

    worker = Worker(sink, name="file:alerts.jsonl", tell=print, waiting=256)
    worker.offer(b"{}")
    worker.close(within_s=2.0)
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from edgemed.runtime.sinks.delivery import Counts, DeliveryError, Sink, Tell

__all__ = ["Statistics", "Worker"]

_SETTLE_EVERY = 64  # documents, where so many come that the queue is never empty
_WAKING_S = 0.05  # what a thread with nothing to do needs to end
_ABORTED_S = 0.5  # what a sink gets to come back once its delivery was ended


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """The counts of one sink; ``name`` is its text."""

    name: str
    delivered: int
    dropped: int
    failed: int
    waiting: int


class Worker:
    """A sink with a queue and a thread of its own; `offer` and `close` are for any thread."""

    def __init__(self, sink: Sink, *, name: str, tell: Tell, waiting: int) -> None:
        self._sink, self._name, self._tell, self._limit = sink, name, tell, waiting
        self._queue: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._closing = self._given_up = False
        self._overflowing = False
        self._failing = 0
        self._delivered = self._dropped = self._failed = 0
        self._thread = threading.Thread(target=self._run, name=f"edgemed sink {name}", daemon=True)
        self._thread.start()

    def offer(self, line: bytes) -> None:
        """Put a document into the queue; the oldest goes where it is full."""
        with self._changed:
            if self._closing:
                self._dropped += 1
                return
            full = len(self._queue) >= self._limit
            begins = full and not self._overflowing
            if full:
                self._queue.popleft()
                self._dropped += 1
                self._overflowing = True
            self._queue.append(line)
            self._changed.notify()
        if begins:
            self._tell(f"{self._name}: is too slow: {self._limit} documents are waiting, the oldest are dropped")

    def finish(self) -> None:
        """Take no more documents; the thread ends once it has delivered those that wait."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def close(self, *, within_s: float) -> None:
        """Deliver what is waiting, for at most ``within_s``, then end; what is left counts as dropped."""
        self.finish()
        self._thread.join(max(within_s, _WAKING_S))
        if self._thread.is_alive() and not self._given_up:
            self._given_up = True
            self._give_up(within_s)

    def counts(self) -> Counts:
        """Return the counts; ``waiting`` leaves out the document that is being delivered."""
        with self._changed:
            return Counts(
                delivered=self._delivered, dropped=self._dropped, failed=self._failed, waiting=len(self._queue)
            )

    def _give_up(self, within_s: float) -> None:
        with self._changed:
            left = len(self._queue)
            self._dropped += left
            self._queue.clear()
        self._sink.abort()
        self._thread.join(_ABORTED_S)
        self._tell(f"{self._name}: did not end within {within_s:g} s; {left} documents were dropped")

    def _run(self) -> None:
        since = 0
        while (line := self._next()) is not None:
            self._attempt(line)
            since += 1
            if since >= _SETTLE_EVERY or not self._queue:
                self._settle()
                since = 0
        self._sink.close()

    def _next(self) -> bytes | None:
        """Wait for a document; None once the queue is empty and closing."""
        with self._changed:
            while not self._queue:
                if self._closing:
                    return None
                self._changed.wait()
            line = self._queue.popleft()
            self._overflowing = self._overflowing and bool(self._queue)
            return line

    def _attempt(self, line: bytes) -> None:
        try:
            self._sink.deliver(line)
        except DeliveryError as err:
            with self._changed:
                self._failed += 1
            self._fail(err)
            return
        with self._changed:
            self._delivered += 1
        if self._failing:
            self._tell(f"{self._name}: works again; {self._failing} documents were not delivered")
            self._failing = 0

    def _settle(self) -> None:
        try:
            self._sink.settle()
        except DeliveryError as err:
            self._tell(f"{self._name}: {err}")

    def _fail(self, err: DeliveryError) -> None:
        if not self._failing:
            self._tell(f"{self._name}: {err}")
        self._failing += 1


def joined(name: str, counts: Counts) -> Statistics:
    """Return counts with the name they belong to."""
    return Statistics(
        name=name, delivered=counts.delivered, dropped=counts.dropped, failed=counts.failed, waiting=counts.waiting
    )


def remaining(deadline: float) -> float:
    """Return the seconds until a time of the monotonic clock, at least 0."""
    return max(0.0, deadline - time.monotonic())


def deadline(within_s: float) -> float:
    """Return the time of the monotonic clock that lies so many seconds ahead."""
    return time.monotonic() + within_s
