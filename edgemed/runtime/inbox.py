"""The queue between a source and what judges its frames: bounded, with a stated rule for when it is full.

inbox = Inbox(capacity=2, overflow=Overflow.DROP_OLDEST)
inbox.put(arrival)
arrival = inbox.take()
"""

from __future__ import annotations

import enum
import threading
from collections import deque
from typing import Generic, TypeVar

__all__ = ["Inbox", "Overflow"]

T = TypeVar("T")


class Overflow(str, enum.Enum):
    """What happens to a frame that finds the queue full."""

    DROP_OLDEST = "drop-oldest"
    """It takes the place of the one that has waited longest: what is judged is new."""

    WAIT = "wait"
    """It waits for a place: every frame is judged."""


class Inbox(Generic[T]):
    """A bounded queue for one thread that puts and one that takes."""

    def __init__(self, *, capacity: int, overflow: Overflow) -> None:
        if capacity < 1:
            raise ValueError(f"capacity: expected at least 1, got {capacity}")
        self._waiting: deque[T] = deque()
        self._capacity = capacity
        self._overflow = overflow
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: T) -> int:
        """Add an item, and return how many were dropped for it: 0, or 1; one that comes after `close` is dropped."""
        with self._changed:
            while self._overflow is Overflow.WAIT and len(self._waiting) == self._capacity and not self._closed:
                self._changed.wait()
            if self._closed:
                return 1
            dropped = len(self._waiting) == self._capacity
            if dropped:
                self._waiting.popleft()
            self._waiting.append(item)
            self._changed.notify_all()
            return int(dropped)

    def take(self) -> T | None:
        """Return the item that has waited longest, as soon as there is one; None once the inbox is closed and empty."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if not self._waiting:
                return None
            item = self._waiting.popleft()
            self._changed.notify_all()
            return item

    def close(self, *, forget: bool = False) -> None:
        """Take no more items; what waits is still given out, unless it is to be forgotten."""
        with self._changed:
            self._closed = True
            if forget:
                self._waiting.clear()
            self._changed.notify_all()
