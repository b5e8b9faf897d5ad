"""What ``edgemed watch`` shows of a stream: JSON Lines, or short lines for people; and how signals reach it.

for item in stream:
    shown.see(item)
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from edgemed import schema
from edgemed.cli import output, screenings
from edgemed.runtime.track import Changed, Decided, Happening, Item, Statistics

if TYPE_CHECKING:
    from edgemed.runtime.stream import Stream

__all__ = ["JsonLines", "Lines", "Observer", "document", "shown", "signals", "summary"]

_CLEAR_LINE = "\r\x1b[K"


class Observer(Protocol):
    """Whoever is to see what a stream gives out: the screen, a sink, a recorder, a video."""

    def see(self, item: Item) -> None:
        """Take one item; must not wait for anything slow."""
        ...


def document(item: Item) -> dict[str, Any]:
    """Return the document of an item, keys in the order of the contract, but for its ``schema_version``."""
    return _frame(item) if isinstance(item, Decided) else _event(item)


def summary(found: Statistics) -> dict[str, Any]:
    """Return the counts of a stream as a document."""
    counts = {decision.value: count for decision, count in found.decisions.items()}
    return {
        "arrived": found.arrived,
        "dropped": found.dropped,
        **counts,
        "unreadable": found.unreadable,
        "stalls": found.stalls,
        "losses": found.losses,
        "oldest_ms": round(found.oldest_ms, 3),
    }


def shown(stream: Stream, *, as_json: bool) -> JsonLines | Lines:
    """Return what writes a stream's items to stdout."""
    return JsonLines(stream) if as_json else Lines(stream, rewrite=sys.stdout.isatty())


class JsonLines:
    """One JSON document a line, out at once; the last event carries the summary."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def see(self, item: Item) -> None:
        """Write one line."""
        made: Mapping[str, Any] = document(item)
        if _is_last(item):
            made = {**made, "summary": summary(self._stream.statistics)}
        sys.stdout.write(schema.encode_document(made).decode() + "\n")
        sys.stdout.flush()


class Lines:
    """A line for each frame and each change; on a terminal, frames that say the same as the last one share a line."""

    def __init__(self, stream: Stream, *, rewrite: bool) -> None:
        self._stream = stream
        self._rewrite = rewrite
        self._open: tuple[object, ...] | None = None

    def see(self, item: Item) -> None:
        """Write, or rewrite, one line."""
        if isinstance(item, Decided):
            found = item.screening
            self._write(_frame_line(item), same=(found.source, found.decision, item.level, found.reasons))
            return
        self._write(_event_line(item), same=None)
        if _is_last(item):
            counts = ", ".join(f"{count} {name}" for name, count in _said(self._stream.statistics))
            output.note(f"{counts}. Research use only, not a diagnosis.")

    def _write(self, line: str, *, same: tuple[object, ...] | None) -> None:
        line = output.printable(line)
        if not self._rewrite:
            sys.stdout.write(line + "\n")
        else:
            start = _CLEAR_LINE if self._open is not None and self._open == same else self._ended()
            sys.stdout.write(start + line + ("" if same else "\n"))
            self._open = same
        sys.stdout.flush()

    def _ended(self) -> str:
        return "" if self._open is None else "\n"


@contextmanager
def signals(stream: Stream) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM stop a stream, and SIGUSR1 acknowledge its alert; a second Ctrl-C does not wait for it."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stream.stop()

    def acknowledge(number: int, frame: FrameType | None) -> None:
        stream.acknowledge()

    handlers = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGUSR1: acknowledge}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_last(item: Item) -> bool:
    return isinstance(item, Changed) and item.event is Happening.STOPPED


def _frame(item: Decided) -> dict[str, Any]:
    found = item.screening
    return {
        "frame": item.number,
        "time_ms": round(item.time_ms, 3),
        "frame_age_ms": round(item.age_ms, 3),
        "input": found.source,
        "decision": found.decision.value,
        "score": found.score,
        "state": item.level.name.lower(),
        "reasons": found.reasons,
        "fallback": found.fallback,
        "latency_ms": screenings.latency(found.latency),
    }


def _event(item: Changed) -> dict[str, Any]:
    return {
        "event": item.event.value,
        "time_ms": round(item.time_ms, 3),
        "state": item.level.name.lower(),
        "frame": item.number,
        "notify": item.notify,
        "detail": item.detail,
    }


def _frame_line(item: Decided) -> str:
    found = item.screening
    score = "-" if found.score is None else f"{found.score:.3f}"
    parts = [
        f"{item.time_ms / 1e3:9.3f} s",
        f"frame {item.number}",
        f"{found.decision.value} {score}{' (on CPU)' if found.fallback else ''}",
        f"state {item.level.name.lower()}",
        f"{item.age_ms:.1f} ms old",
        *found.reasons,
    ]
    return "  ".join(parts)


def _event_line(item: Changed) -> str:
    detail = "" if item.detail is None else f": {item.detail}"
    mark = "!" if item.notify else "*"
    return f"{item.time_ms / 1e3:9.3f} s  {mark} {item.event.value}  state {item.level.name.lower()}{detail}"


def _said(found: Statistics) -> list[tuple[str, int]]:
    """Return the counts worth a word, with the frames always first."""
    counts = {name: count for name, count in summary(found).items() if name not in ("arrived", "oldest_ms")}
    return [("frames", found.arrived), *((name, count) for name, count in counts.items() if count)]
