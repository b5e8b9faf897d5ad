"""A bounded queue and the thread that empties it into a sink: how work that may wait is kept off the frame path.

Rules: `Worker.offer` takes a lock that is never held while the sink works, so it never waits for the sink; a full queue
loses its oldest item, for the newest says how things stand; trouble is told when it begins and when it ends, never for
each item; the thread ends with the process whatever the sink does.

    worker = Worker(sink, name="file:alerts.jsonl", tell=print, waiting=256)
    worker.offer(b"{}")
    worker.close(within_s=2.0)
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from edgemed.errors import EdgemedError

__all__ = ["Counts", "DeliveryError", "Sink", "Tell", "Worker", "deadline", "remaining"]

_SETTLE_EVERY = 64  # items, where so many come that the queue is never empty
_WAKING_S = 0.05  # what a thread with nothing to do needs to end
_ABORTED_S = 0.5  # what a sink gets to come back once its delivery was ended

Tell = Callable[[str], None]
"""Takes one sentence for people; called from the threads of workers too."""

Item = TypeVar("Item")
_Item_contra = TypeVar("_Item_contra", contravariant=True)


class DeliveryError(EdgemedError):
    """An item could not be delivered; the next one may be.

    Attributes:
        lost: of the items that counted as delivered before, how many are lost with it; for `Sink.settle`.
    """

    def __init__(self, message: str, *, lost: int = 0) -> None:
        super().__init__(message)
        self.lost = lost


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What became of the items.

    Attributes:
        delivered: taken by whom they were meant for.
        dropped: pushed out of a full queue, or still waiting in memory at the close.
        failed: tried in vain.
        waiting: not tried yet; after a close, what a queue on disk keeps for the next start.
    """

    delivered: int = 0
    dropped: int = 0
    failed: int = 0
    waiting: int = 0


class Sink(Protocol[_Item_contra]):
    """Where items end; used by the worker's thread alone, but for `abort`."""

    def deliver(self, item: _Item_contra, /) -> None:
        """Deliver one item.

        Raises:
            DeliveryError: it could not be delivered.
        """
        ...

    def settle(self) -> None:
        """Make what was delivered durable; called whenever nothing is waiting, and at the latest every 64 items.

        Raises:
            DeliveryError: what was delivered may be lost, or is.
        """
        ...

    def abort(self) -> None:
        """End a delivery that is under way; called from another thread, when the time to close is up."""
        ...

    def close(self) -> None:
        """Let go of what is held; called once, last."""
        ...


class Worker(Generic[Item]):
    """A sink with a queue and a thread of its own; `offer` and `close` are for any thread."""

    def __init__(self, sink: Sink[Item], *, name: str, tell: Tell, waiting: int, gather_s: float = 0.0) -> None:
        """Start the thread.

        Args:
            sink: where items end.
            name: of the sink, for sentences.
            tell: takes them.
            waiting: items that may wait, at least 1.
            gather_s: how long after a delivery it is settled, with those that have followed; 0 for as soon as nothing
                waits.
        """
        self._sink, self._name, self._tell, self._limit = sink, name, tell, waiting
        self._gather_s = gather_s
        self._queue: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closing = self._given_up = self._overflowing = False
        # Whether trouble was told, whether anything was delivered since, and how many items it has cost.
        self._troubled = self._sound = False
        self._missed = 0
        self._delivered = self._dropped = self._failed = 0
        self._thread = threading.Thread(target=self._run, name=f"edgemed {name}", daemon=True)
        self._thread.start()

    def offer(self, item: Item) -> None:
        """Put an item into the queue; the oldest goes where it is full."""
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
            self._queue.append(item)
            self._changed.notify()
        if begins:
            self._tell(f"{self._name}: is too slow: {self._limit} documents are waiting, the oldest are dropped")

    def finish(self) -> None:
        """Take no more items; the thread ends once it has delivered those that wait."""
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
        """Return the counts; ``waiting`` leaves out the item that is being delivered."""
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
        self._tell(f"{self._name}: did not end within {within_s:.2g} s; {left} documents were dropped")

    def _run(self) -> None:
        unsettled, due = 0, 0.0
        while True:
            item = self._next(remaining(due) if unsettled else None)
            if item is not None:
                due = due if unsettled else deadline(self._gather_s)
                unsettled += 1
                self._attempt(item)
            if item is None or unsettled >= _SETTLE_EVERY or (not self._queue and not remaining(due)):
                self._settle()
                unsettled = 0
            if item is None and self._ended():
                break
        self._sink.close()

    def _next(self, patience_s: float | None) -> Item | None:
        """Wait for an item; None once none came for so long, or the queue is empty and closing."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing, patience_s)
            if not self._queue:
                return None
            item = self._queue.popleft()
            self._overflowing = self._overflowing and bool(self._queue)
            return item

    def _ended(self) -> bool:
        with self._changed:
            return self._closing and not self._queue

    def _attempt(self, item: Item) -> None:
        try:
            self._sink.deliver(item)
        except DeliveryError as err:
            self._fail(err, failed=1 + err.lost)
            return
        self._sound = True
        with self._changed:
            self._delivered += 1

    def _settle(self) -> None:
        try:
            self._sink.settle()
        except DeliveryError as err:
            self._fail(err, failed=err.lost)
            return
        if self._troubled and self._sound:
            self._tell(f"{self._name}: works again; {self._missed} documents were not delivered")
            self._troubled, self._missed = False, 0

    def _fail(self, err: DeliveryError, *, failed: int) -> None:
        with self._changed:
            self._failed += failed
            self._delivered -= err.lost
        if not self._troubled:
            self._tell(f"{self._name}: {err}")
        self._troubled, self._sound = True, False
        self._missed += failed


def deadline(within_s: float) -> float:
    """Return the time of the monotonic clock that lies so many seconds ahead."""
    return time.monotonic() + within_s


def remaining(until: float) -> float:
    """Return the seconds until a time of the monotonic clock, at least 0."""
    return max(0.0, until - time.monotonic())
