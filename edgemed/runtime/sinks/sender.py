"""A spool with two threads, one that fills it and one that posts: no wait for a host keeps a document from the disk.

Rules: documents are posted in order, one at a time; while the host does not answer, each attempt comes later than the
one before, up to a minute, with jitter, so that a ward's units do not ask in step; the first failure is told, and the
first success after it.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Protocol

from edgemed.runtime import worker
from edgemed.runtime.sinks.post import Answer, Verdict
from edgemed.runtime.sinks.spool import Entry, Spool
from edgemed.runtime.worker import Counts, Tell, Worker

__all__ = ["Posts", "Queued", "pause_s"]

_FIRST_S, _LONGEST_S = 1.0, 60.0


class Posts(Protocol):
    """What posts a document: `post.Poster`."""

    def post(self, raw: bytes, *, key: str) -> Answer:
        """Return how the attempt ended."""
        ...


def pause_s(failures: int, rng: random.Random, *, first_s: float = _FIRST_S) -> float:
    """Return how long to wait after so many failures in a row: twice as long each time, and half of it by chance."""
    whole = min(_LONGEST_S, first_s * 2.0 ** min(failures - 1, 16))
    return whole * (0.5 + 0.5 * rng.random())


class Queued:
    """The channel of a webhook; see `edgemed.runtime.sinks.delivery.Channel`."""

    def __init__(
        self,
        posts: Posts,
        spool: Spool,
        *,
        name: str,
        tell: Tell,
        waiting: int,
        rng: random.Random | None = None,
        first_s: float = _FIRST_S,
    ) -> None:
        self._posts, self._spool, self._name, self._tell = posts, spool, name, tell
        self._rng, self._first_s = rng or random.Random(), first_s
        self._changed = threading.Condition()
        self._ending = self._stopping = False
        self._failures = self._delivered = self._refused = 0
        self._thread = threading.Thread(target=self._run, name=f"edgemed sink {name}", daemon=True)
        self._thread.start()
        self._intake = Worker(_Intake(spool, self._wake), name=name, tell=tell, waiting=waiting)

    def offer(self, line: bytes) -> None:
        """Take one document; never blocks."""
        self._intake.offer(line)

    def finish(self) -> None:
        """Take no more documents; those that wait in memory go to the disk."""
        self._intake.finish()

    def close(self, *, within_s: float) -> None:
        """Post what is waiting, for at most ``within_s``; what is left stays in a queue on disk."""
        deadline = worker.deadline(within_s)
        self._intake.close(within_s=within_s)
        with self._changed:
            if self._stopping:
                return
            self._ending = True
            self._changed.notify()
        self._thread.join(worker.remaining(deadline))
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(worker.remaining(deadline))
        if left := len(self._spool):
            fate = "wait for the next start" if self._spool.survives else "are lost"
            self._tell(f"{self._name}: {left} documents {fate}")
        self._spool.close()

    def counts(self) -> Counts:
        """Return what became of the documents so far; those that waited on disk at the start count too."""
        before = self._intake.counts()
        with self._changed:
            return Counts(
                delivered=self._delivered,
                dropped=before.dropped + self._spool.dropped,
                failed=self._refused,
                waiting=before.waiting + len(self._spool),
            )

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _run(self) -> None:
        while self._waited():
            entry = self._spool.oldest()
            # At the end each document gets its attempt, until one fails: the host is not there.
            if entry is not None and not self._attempt(entry) and self._ending:
                return

    def _waited(self) -> bool:
        """Wait until there is something to post, and for as long as the host is given; False to end."""
        with self._changed:
            if self._failures:
                # New documents do not shorten the pause: the host has not answered the older ones.
                pause = pause_s(self._failures, self._rng, first_s=self._first_s)
                self._changed.wait_for(lambda: self._ending, pause)
            self._changed.wait_for(lambda: self._ending or len(self._spool) > 0)
            return not self._stopping and len(self._spool) > 0

    def _attempt(self, entry: Entry) -> bool:
        """Post one document; False where it has to wait."""
        assert entry.raw is not None
        answer = self._posts.post(entry.raw, key=entry.name)
        if answer.verdict is Verdict.LATER:
            self._failures += 1
            if self._failures == 1:
                self._tell(f"{self._name}: {answer.words}; {len(self._spool)} documents wait, and are tried again")
            return False
        self._spool.remove(entry)
        if self._failures:
            self._tell(f"{self._name}: answers again; {len(self._spool)} documents wait")
        self._failures = 0
        with self._changed:
            self._delivered += answer.verdict is Verdict.ACCEPTED
            self._refused += answer.verdict is Verdict.REFUSED
        if answer.verdict is Verdict.REFUSED:
            self._tell(f"{self._name}: {answer.words}; this document is not tried again")
        return True


class _Intake:
    """The sink that puts documents into the spool."""

    def __init__(self, spool: Spool, wake: Callable[[], None]) -> None:
        self._spool, self._wake = spool, wake

    def deliver(self, line: bytes) -> None:
        """Put a document where the other thread finds it.

        Raises:
            DeliveryError: the disk refuses it; it waits in memory.
        """
        try:
            self._spool.put(line)
        finally:
            self._wake()

    def settle(self) -> None:
        """Do nothing: the spool syncs each document."""

    def abort(self) -> None:
        """Do nothing: a write that hangs in the kernel ends with the disk."""

    def close(self) -> None:
        """Leave the spool to the other thread."""
