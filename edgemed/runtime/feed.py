"""Reading a source in a thread of its own: numbered frames into the inbox, and a source that vanished opened again.

feed = Feed(source, inbox, told=print, backoff=Backoff(), clock=time.monotonic, pause=stopping.wait)
feed.run()
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgemed.errors import ImageError
from edgemed.runtime.inbox import Inbox
from edgemed.runtime.sources.arrival import Arrival, Clock, Pause, Source

__all__ = ["Backoff", "Feed", "Numbered", "SourceState"]


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How long to wait before a source that vanished is opened again: ``first_s``, then twice as long each time.

    Attributes:
        first_s: before the first attempt, above 0.
        most_s: never longer than this.
        give_up_s: a source that stays away so long ends the stream; None waits for ever, 0 opens nothing again.
    """

    first_s: float = 0.5
    most_s: float = 30.0
    give_up_s: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.first_s <= self.most_s:
            raise ValueError(f"first_s: expected above 0 and at most {self.most_s} s, got {self.first_s}")

    def wait_s(self, attempt: int) -> float:
        """Return the wait before an attempt, which counts from 0."""
        return min(self.most_s, self.first_s * 2.0 ** min(attempt, 60))


@dataclass(frozen=True, kw_only=True, eq=False)
class Numbered:
    """An arrival and its number within the stream, from 0, whether or not those before it were judged."""

    number: int
    arrival: Arrival


@dataclass(frozen=True, kw_only=True)
class SourceState:
    """The source went away (``reason`` says why) or came back; ``final``: it will not be opened again."""

    at_s: float
    reason: str | None
    final: bool = False


class Feed:
    """The reader of one stream; `run` is its thread."""

    def __init__(
        self,
        source: Source,
        inbox: Inbox[Numbered],
        *,
        told: Callable[[SourceState], None],
        backoff: Backoff,
        clock: Clock,
        pause: Pause,
    ) -> None:
        self._source = source
        self._inbox = inbox
        self._told = told
        self._backoff = backoff
        self._clock = clock
        self._pause = pause
        self._lost_s: float | None = None
        self.arrived = 0
        self.dropped = 0

    def run(self) -> None:
        """Read until the source ends for good or the stream stops; then close the inbox."""
        attempt = 0
        try:
            while not self._pause(0.0):
                before = self.arrived
                reason = self._read()
                if not self._source.returns or self._pause(0.0):
                    return
                attempt = 0 if self.arrived > before else attempt
                wait_s = self._backoff.wait_s(attempt)
                if not self._tell_lost(reason, wait_s) or self._pause(wait_s):
                    return
                attempt += 1
        finally:
            self._inbox.close()

    def _read(self) -> str:
        """Hand on what arrives, and return why nothing more does."""
        try:
            for arrival in self._source.arrivals(clock=self._clock, pause=self._pause):
                if self._lost_s is not None:
                    self._lost_s = None
                    self._told(SourceState(at_s=arrival.arrived_s, reason=None))
                self.dropped += self._inbox.put(Numbered(number=self.arrived, arrival=arrival))
                self.arrived += 1
        except ImageError as err:
            if not self._source.returns:
                raise
            return str(err)
        return f"{self._source.name}: has ended"

    def _tell_lost(self, reason: str, wait_s: float) -> bool:
        """Say once that the source is lost; return whether it is to be opened again."""
        now_s = self._clock()
        first = self._lost_s is None
        self._lost_s = now_s if self._lost_s is None else self._lost_s
        limit_s = self._backoff.give_up_s
        final = limit_s is not None and now_s - self._lost_s + wait_s > limit_s
        if first or final:
            self._told(SourceState(at_s=now_s, reason=reason, final=final))
        return not final
