"""What a sink is to those who feed it, and how it says that it could not deliver.

Rules: a sink may block, for it has a thread of its own; it never holds back an error: what it could not deliver is a
`DeliveryError`, one for each line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edgemed.errors import EdgemedError

__all__ = ["Channel", "Counts", "DeliveryError", "Settings", "Sink", "Surroundings", "Tell"]

Tell = Callable[[str], None]
"""Takes one sentence for people; called from the threads of sinks too."""


class DeliveryError(EdgemedError):
    """A line could not be delivered; the next one may be."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What became of the documents of one sink.

    Attributes:
        delivered: taken by whom they were meant for.
        dropped: pushed out of a full queue, or still waiting in memory when the sink was closed.
        failed: tried in vain.
        waiting: not tried yet; after a close, what a queue on disk keeps for the next start.
    """

    delivered: int = 0
    dropped: int = 0
    failed: int = 0
    waiting: int = 0


class Sink(Protocol):
    """The end of one line of delivery; used by one thread, but for `abort`."""

    def deliver(self, line: bytes) -> None:
        """Deliver one document, JSON without a line's end.

        Raises:
            DeliveryError: it could not be delivered.
        """
        ...

    def settle(self) -> None:
        """Make what was delivered durable; called whenever nothing is waiting.

        Raises:
            DeliveryError: what was delivered may be lost.
        """
        ...

    def abort(self) -> None:
        """End a delivery that is under way; called from another thread, when the time to close is up."""
        ...

    def close(self) -> None:
        """Let go of what is held; called once, last."""
        ...


class Channel(Protocol):
    """A sink with its queue and its thread."""

    def offer(self, line: bytes) -> None:
        """Take one document; never blocks."""
        ...

    def finish(self) -> None:
        """Take no more documents, and end once those that wait are delivered; returns at once."""
        ...

    def close(self, *, within_s: float) -> None:
        """Finish, and wait so long for the end; a second call does nothing."""
        ...

    def counts(self) -> Counts:
        """Return what became of the documents so far."""
        ...


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What sinks get from those who open them.

    Attributes:
        tell: takes what people should know, a sentence each.
        queues: folder for queues on disk; None keeps them in memory.
        waiting: documents that may wait in memory for each sink.
    """

    tell: Tell = field(repr=False)
    queues: Path | None = None
    waiting: int = 256


class Settings(Protocol):
    """What the text of a sink says."""

    def open(self, name: str, surroundings: Surroundings) -> Channel:
        """Return the sink, ready; ``name`` stands for it in sentences.

        Raises:
            ConfigError: it cannot be opened as it is set.
        """
        ...
