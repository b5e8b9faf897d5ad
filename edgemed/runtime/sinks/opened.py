"""Every sink of a run, open: one `send` for all of them.

with open_all(specs, tell=output.note) as sinks:
    sinks.send(document)
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from edgemed import schema
from edgemed.runtime import worker
from edgemed.runtime.sinks.delivery import Channel, Statistics, Surroundings
from edgemed.runtime.sinks.spec import SinkSpec
from edgemed.runtime.worker import Tell

__all__ = ["Sinks", "open_all"]

_LOGGER = logging.getLogger(__name__)
_CLOSE_WITHIN_S = 2.0


class Sinks:
    """Open sinks; `send` is for one thread."""

    def __init__(self, channels: Sequence[tuple[SinkSpec, Channel]]) -> None:
        self._channels = tuple(channels)
        self.frames = any(spec.frames for spec, _ in channels)

    def __enter__(self) -> Sinks:
        """Return the sinks themselves."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Close every sink."""
        self.close()

    def send(self, document: Mapping[str, object]) -> None:
        """Hand a document to the sinks that take it, and return at once.

        One with an ``event`` is a change of state, which every sink takes; another is a decided frame, which those with
        ``frames`` take; where `frames` is False, none does.
        """
        takers = [channel for spec, channel in self._channels if spec.frames or "event" in document]
        if takers:
            line = schema.encode_document(document)
            for channel in takers:
                channel.offer(line)

    def close(self, *, within_s: float = _CLOSE_WITHIN_S) -> None:
        """Deliver what is waiting, for at most ``within_s`` in all, and close every sink."""
        deadline = worker.deadline(within_s)
        for _, channel in self._channels:
            channel.finish()  # all of them work on what is left while the first one is waited for
        for _, channel in self._channels:
            channel.close(within_s=worker.remaining(deadline))

    def statistics(self) -> tuple[Statistics, ...]:
        """Return the counts of each sink, in the order of the specs."""
        return tuple(Statistics(name=spec.name, **asdict(channel.counts())) for spec, channel in self._channels)


def open_all(
    specs: Sequence[SinkSpec], *, tell: Tell = _LOGGER.warning, queues: Path | None = None, waiting: int = 256
) -> Sinks:
    """Return the sinks, every one of them open, or none.

    Args:
        specs: as `parse` gives them.
        tell: takes a sentence when a sink begins to fail, works again, or drops something.
        queues: folder for the queues that webhooks keep on disk; None keeps those without a ``queue`` in memory.
        waiting: documents that may wait in memory for each sink.

    Raises:
        ConfigError: a sink cannot be opened: no such program, folder, chip or line, or it is in use.
    """
    surroundings = Surroundings(tell=tell, queues=queues, waiting=waiting)
    with contextlib.ExitStack() as undo:
        channels = []
        for spec in specs:
            channel = spec.settings.open(spec.name, surroundings)
            undo.callback(channel.close, within_s=0.0)
            channels.append((spec, channel))
        undo.pop_all()
    return Sinks(channels)
