"""What a sink is to those who open and feed it.

A sink that is fed by a thread of its own, `edgemed.runtime.worker`, may block; what feeds it may not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edgemed.runtime.worker import Counts, Tell

__all__ = ["Channel", "Settings", "Statistics", "Surroundings"]


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """The counts of one sink, see `edgemed.runtime.worker.Counts`; ``name`` is its text."""

    name: str
    delivered: int
    dropped: int
    failed: int
    waiting: int


class Channel(Protocol):
    """A sink with its queue and its thread; documents are JSON without a line's end."""

    def offer(self, line: bytes, /) -> None:
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
