"""A stream of frames, judged as they come: decisions frame by frame, and over time an alert that people can trust.

    with Stream(sources.parse("/dev/video0"), Screener.open("breast-ultrasound")) as stream:
        for item in stream:
            if isinstance(item, Decided):
                print(item.number, item.screening.decision, item.level)
            else:
                print(item.event, item.level, item.detail)

`Stream` is an iterable of frozen values: a `Decided` for each frame that was judged or refused, and a `Changed` for
each change of state, right after the frame that caused it. The first is ``started`` and the last ``stopped``.

How it works: one thread reads the source into a bounded inbox (`feed`, `inbox`), one screens, and the caller's own
thread, the one that iterates, follows time: it never waits for the source or the model without looking up, so that
silence and a hanging inference are told while they last.

Rules:

1. A live source (camera, address, pipe, a paced recording) drops the oldest waiting frame for a new one; of a recording
   or a folder nothing is dropped. Numbers count every frame that arrived: a gap is a drop.
2. A frame's age counts from its arrival. A clock that jumps back makes nothing negative and ends no alert.
3. Time over which decisions are taken together is the recording's own, or else that of arrival.
4. A live source that falls silent loses sight after the rule's ``stale_ms``; one that vanished is opened again, later
   each time.
5. An inference over its limit is told (``stalled``) while it lasts. A native call cannot be ended from within its
   process: the stream goes on with the next frame once the call returns, or ends with an `InferenceError`, as the
   policy says; whoever must survive a call that never returns ends the process, for instance by systemd's WatchdogSec.
6. `stop` and `acknowledge` may be called from any thread and from a signal handler.
"""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TypeAlias

from edgemed.errors import ImageError, InferenceError
from edgemed.imaging.frame import Frame
from edgemed.runtime import screening as screenings
from edgemed.runtime.feed import Backoff, Feed, Numbered, SourceState
from edgemed.runtime.inbox import Inbox, Overflow
from edgemed.runtime.screening import Refusal, Screening
from edgemed.runtime.sources.arrival import Clock, Source
from edgemed.runtime.temporal import Level, TemporalRule
from edgemed.runtime.track import Changed, Decided, Happening, Item, Judged, Statistics, Track
from edgemed.runtime.worklist import FrameScreener

__all__ = [
    "Backoff",
    "Changed",
    "Decided",
    "Happening",
    "Item",
    "OnStall",
    "Overflow",
    "Policy",
    "Statistics",
    "Stream",
]

_LOOK_UP_S = 0.05  # how long the iterating thread waits before it looks at the clock
_JOIN_S = 1.0
_AHEAD = 2  # results that may wait for the caller

Gate: TypeAlias = Callable[[Frame], tuple[str, ...]]
_Message: TypeAlias = "Callable[[], Iterator[Item]]"


class OnStall(str, enum.Enum):
    """What a stream does about an inference over its limit, once it was told."""

    GO_ON = "go-on"
    STOP = "stop"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How a stream deals with too much, too slow and nothing at all.

    Attributes:
        capacity: frames that may wait to be judged, at least 1.
        overflow: None drops the oldest of a live source, and waits for any other.
        stall_ms: the limit of one inference with its preprocessing, above 0.
        on_stall: what follows once that was told.
        backoff: how a source that vanished is opened again.
    """

    capacity: int = 2
    overflow: Overflow | None = None
    stall_ms: float = 1000.0
    on_stall: OnStall = OnStall.GO_ON
    backoff: Backoff = field(default_factory=Backoff)

    def __post_init__(self) -> None:
        if self.capacity < 1:
            raise ValueError(f"capacity: expected at least 1, got {self.capacity}")
        if not self.stall_ms > 0.0:
            raise ValueError(f"stall_ms: expected above 0, got {self.stall_ms}")


class Stream:
    """A source being judged; iterate over it once, from one thread."""

    def __init__(
        self,
        source: Source,
        screener: FrameScreener,
        *,
        rule: TemporalRule | None = None,
        policy: Policy | None = None,
        gate: Gate | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """Tie a source to what judges it; threads start with the iteration.

        Args:
            source: of frames.
            screener: judges each; the stream's own thread alone uses it while the stream runs.
            rule: how frames are taken together; None for the bundle's own.
            policy: None for the defaults of `Policy`.
            gate: gives reasons to refuse a frame before it is screened, from what it remembers of those before.
            clock: seconds, rising.
        """
        self.source = source
        self.policy = policy or Policy()
        self._screener = screener
        self._gate = gate
        self._clock = clock
        self._track = Track(rule=rule or screener.rule.temporal or TemporalRule(), zone=screener.rule.indeterminate)
        overflow = self.policy.overflow or (Overflow.DROP_OLDEST if source.live else Overflow.WAIT)
        self._inbox: Inbox[Numbered] = Inbox(capacity=self.policy.capacity, overflow=overflow)
        # Of the queues, SimpleQueue is the one that a signal handler may put into.
        self._messages: SimpleQueue[_Message] = SimpleQueue()
        self._places = threading.Semaphore(_AHEAD)
        self._stopping = threading.Event()
        self._feed = Feed(
            source,
            self._inbox,
            told=lambda state: self._messages.put(partial(self._source_changed, state)),
            backoff=self.policy.backoff,
            clock=clock,
            pause=self._stopping.wait,
        )
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name=f"edgemed {name}", daemon=True)
            for name, work in (("reader", self._feed.run), ("screener", self._screen_all))
        ]
        self._begun_s = clock()
        self._inflight: tuple[int, float] | None = None  # number, since when
        self._stalled: int | None = None
        self._over = False

    @property
    def level(self) -> Level:
        """What the stream shows now."""
        return self._track.level

    @property
    def statistics(self) -> Statistics:
        """Counts so far."""
        return self._track.statistics(arrived=self._feed.arrived, dropped=self._feed.dropped)

    def stop(self) -> None:
        """End the iteration after what was decided already; from any thread or a signal handler."""
        self._messages.put(partial(self._end, "was stopped"))

    def acknowledge(self) -> None:
        """Say that somebody has seen the alert that stands: it is not announced again; from anywhere, as `stop`."""
        self._messages.put(self._track.acknowledged)

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Item]:
        """Start, and yield what is decided and what changes, until the source ends for good or `stop` is called.

        Raises:
            ImageError: a source that vanished stayed away for longer than the policy waits.
            InferenceError: an inference took longer than its limit, and the policy is to stop.
        """
        self._begun_s = self._clock()
        for thread in self._threads:
            thread.start()
        try:
            yield self._track.changed(Happening.STARTED, detail=self.source.name)
            while not self._over:
                try:
                    message = self._messages.get(timeout=_LOOK_UP_S)
                except Empty:
                    message = self._time_passed
                yield from message()
        finally:
            self.close()

    def close(self) -> None:
        """Stop the threads and wait a moment for them; one inside a native call that hangs stays behind."""
        self._stopping.set()
        self._inbox.close(forget=True)
        self._places.release(_AHEAD)
        deadline_s = time.monotonic() + _JOIN_S
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline_s - time.monotonic()))

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run a thread; what it raises is raised where the stream is iterated."""
        try:
            work()
        except BaseException as err:  # noqa: BLE001  # handed on, whatever it is
            self._messages.put(partial(_raised, err))

    def _screen_all(self) -> None:
        """Screen what waits, until the inbox is closed and empty."""
        while (waiting := self._inbox.take()) is not None and not self._stopping.is_set():
            self._places.acquire()
            self._messages.put(partial(self._decided, self._judged(waiting)))
        self._messages.put(partial(self._end, "has ended"))

    def _judged(self, waiting: Numbered) -> Judged:
        arrival = waiting.arrival
        found = self._screened(waiting)
        return Judged(
            number=waiting.number,
            time_ms=self._ms(arrival.arrived_s) if arrival.taken_ms is None else arrival.taken_ms,
            age_ms=max(0.0, 1e3 * (self._clock() - arrival.arrived_s)),
            screening=found,
            frame=arrival.picture if isinstance(arrival.picture, Frame) else None,
        )

    def _screened(self, waiting: Numbered) -> Screening:
        picture, decode_ms = waiting.arrival.picture, waiting.arrival.decode_ms
        rule = self._screener.rule
        if not isinstance(picture, Frame):
            return screenings.unreadable(
                self.source.name, str(picture), frame=waiting.number, rule=rule, decode_ms=decode_ms
            )
        self._inflight = (waiting.number, self._clock())
        try:
            if self._gate is not None and (reasons := self._gate(picture)):
                latency = screenings.Latency(decode_ms=decode_ms)
                return screenings.refused(picture, rule, refusal=Refusal.QUALITY, reasons=reasons, latency=latency)
            return self._screener.screen(picture, decode_ms=decode_ms)
        except (ImageError, InferenceError) as err:
            return screenings.unreadable(picture.source, str(err), frame=picture.index, rule=rule, decode_ms=decode_ms)
        finally:
            self._inflight = None

    def _decided(self, judged: Judged) -> Iterator[Item]:
        self._places.release()
        latency = judged.screening.latency
        if latency.total_ms - latency.decode_ms > self.policy.stall_ms:
            yield from self._stall(judged.number)
        yield from self._track.decided(judged)
        if self._stalled == judged.number:
            yield self._track.changed(Happening.RESUMED)

    def _time_passed(self) -> Iterator[Item]:
        """Look at what hangs and what is silent."""
        now_s = self._clock()
        inflight = self._inflight
        if inflight is not None and 1e3 * (now_s - inflight[1]) > self.policy.stall_ms:
            yield from self._stall(inflight[0])
        if self.source.live:
            yield from self._track.quiet(self._ms(now_s))

    def _stall(self, number: int) -> Iterator[Item]:
        """Tell of an inference over its limit, once; and end the stream if that is the policy."""
        if self._stalled == number:
            return
        self._stalled = number
        why = f"frame {number}: inference takes longer than {self.policy.stall_ms:g} ms"
        yield self._track.changed(Happening.STALLED, notify=True, detail=why)
        if self.policy.on_stall is OnStall.STOP:
            yield from self._end(why)
            raise InferenceError(f"{self.source.name}: {why}; the stream was to stop then")

    def _source_changed(self, state: SourceState) -> Iterator[Item]:
        lost = state.reason is not None
        event = Happening.SOURCE_LOST if lost else Happening.SOURCE_BACK
        yield self._track.changed(event, notify=lost, detail=state.reason, time_ms=self._ms(state.at_s))
        if state.final:
            why = f"{state.reason}; gave up after {self.policy.backoff.give_up_s:g} s"
            yield from self._end(why)
            raise ImageError(why)

    def _end(self, why: str) -> Iterator[Item]:
        self._over = True
        yield self._track.changed(Happening.STOPPED, detail=why)

    def _ms(self, at_s: float) -> float:
        """Return a time of the clock since the stream began."""
        return max(0.0, 1e3 * (at_s - self._begun_s))


def _raised(err: BaseException) -> Iterator[Item]:
    raise err
    yield  # a message is an iterator
