from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from edgemed.errors import ImageError, InferenceError
from edgemed.imaging.frame import Frame
from edgemed.runtime.decision import Decision
from edgemed.runtime.feed import Backoff
from edgemed.runtime.screener import Screener
from edgemed.runtime.screening import Refusal
from edgemed.runtime.sources.arrival import Arrival, Clock, Pause
from edgemed.runtime.stream import Changed, Decided, Happening, Item, OnStall, Overflow, Policy, Stream
from edgemed.runtime.temporal import Change, Level
from edgemed.runtime.temporal_rule import TemporalRule
from tests.runtime import tiny
from tests.runtime.streams import FakeClock, FakeScreener, FakeSource, arrival
from tests.runtime.tiny import FakeInterpreter

MISSING = "a stream that hangs"
GONE = ImageError("fake: gives no more frames")


def recording(count: int, **fields: Any) -> FakeSource:
    return FakeSource([arrival(number, taken_ms=40.0 * number, **fields) for number in range(count)])


def told(items: list[Item]) -> list[object]:
    return [item.event if isinstance(item, Changed) else item.number for item in items]


def frames(items: list[Item]) -> list[Decided]:
    return [item for item in items if isinstance(item, Decided)]


def details(items: list[Item], event: Happening) -> list[str | None]:
    return [item.detail for item in items if isinstance(item, Changed) and item.event is event]


class Endless:
    """A live source that gives a frame whenever it is let, until the stream stops."""

    name = "endless"
    live = True
    returns = False

    def __init__(self) -> None:
        self.let = threading.Semaphore(0)

    def arrivals(self, *, clock: Clock, pause: Pause) -> Iterator[Arrival]:
        for number in itertools.count():
            while not self.let.acquire(timeout=0.01):
                if pause(0.0):
                    return
            yield arrival(number, arrived_s=clock())


def test_recording_is_judged_whole_and_in_order_on_its_own_time() -> None:
    screener = FakeScreener([0.1, 0.9, 0.9, 0.1])

    with Stream(recording(4), screener, clock=FakeClock()) as stream:
        items = list(stream)

    assert told(items) == [
        Happening.STARTED, 0, 1, Change.RAISED, 2, 3, Change.ENDED, Happening.STOPPED,
    ]  # fmt: skip
    assert [item.time_ms for item in frames(items)] == [0.0, 40.0, 80.0, 120.0]
    assert [item.level for item in frames(items)] == [Level.CLEAR, Level.ALERT, Level.ALERT, Level.CLEAR]
    assert details(items, Happening.STARTED) == ["fake"]
    assert details(items, Happening.STOPPED) == ["has ended"]
    assert (stream.statistics.arrived, stream.statistics.dropped) == (4, 0)


def test_rule_of_the_bundle_is_followed_unless_another_is_given() -> None:
    screener = FakeScreener([0.9, 0.9, 0.9], temporal=TemporalRule(votes=3, window=3))

    bundled = list(Stream(recording(3), screener, clock=FakeClock()))
    given = list(Stream(recording(3), screener, rule=TemporalRule(), clock=FakeClock()))

    assert told(bundled).index(Change.RAISED) == 4
    assert told(given).index(Change.RAISED) == 2


def test_recording_of_many_frames_drops_none() -> None:
    with Stream(recording(200), FakeScreener(), clock=FakeClock()) as stream:
        items = list(stream)

    assert [item.number for item in frames(items)] == list(range(200))
    assert stream.statistics.dropped == 0


def test_live_source_drops_the_oldest_and_gaps_show_it() -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold(frame: Frame) -> None:
        if frame.index == 0:
            entered.set()
            assert leave.wait(5.0), MISSING

    class Burst(FakeSource):
        def arrivals(self, *, clock: Clock, pause: Pause) -> Iterator[Arrival]:
            yield arrival(0)
            assert entered.wait(5.0), MISSING
            yield from (arrival(number) for number in range(1, 8))
            leave.set()

    with Stream(Burst([], live=True), FakeScreener(meanwhile=hold), clock=FakeClock()) as stream:
        items = list(stream)

    assert [item.number for item in frames(items)] == [0, 6, 7]
    assert (stream.statistics.arrived, stream.statistics.dropped) == (8, 5)


def test_overflow_can_be_chosen() -> None:
    source = FakeSource([arrival(number) for number in range(50)], live=True)

    items = list(Stream(source, FakeScreener(), policy=Policy(overflow=Overflow.WAIT), clock=FakeClock()))

    assert len(frames(items)) == 50


def test_age_counts_from_arrival_and_a_clock_that_jumps_back_makes_none_negative() -> None:
    clock = FakeClock()

    def wait(frame: Frame) -> None:
        clock.now_s += 0.025 if frame.index == 0 else -30.0

    source = FakeSource([arrival(0, arrived_s=100.0), arrival(1, arrived_s=100.0)])
    with Stream(source, FakeScreener([0.9, 0.1], meanwhile=wait), rule=TemporalRule(minimum_ms=1e6), clock=clock) as s:
        items = list(s)

    assert [item.age_ms for item in frames(items)] == [pytest.approx(25.0), 0.0]
    assert [item.level for item in frames(items)] == [Level.ALERT, Level.ALERT]
    assert s.statistics.oldest_ms == pytest.approx(25.0)


def test_frame_that_cannot_be_read_is_refused_and_the_stream_goes_on() -> None:
    broken = arrival(1, picture=ImageError("fake: frame 1 cannot be decoded; the connection is disturbed"))

    items = list(Stream(FakeSource([arrival(0), broken, arrival(2)]), FakeScreener(), clock=FakeClock()))

    assert [item.screening.decision is Decision.REFUSED for item in frames(items)] == [False, True, False]
    found = frames(items)[1]
    assert found.screening.reasons == ("fake: frame 1 cannot be decoded; the connection is disturbed",)
    assert (found.screening.refusal, found.screening.frame, found.frame) == (Refusal.UNREADABLE, 1, None)


def test_failing_back_end_refuses_the_frame_and_the_stream_goes_on() -> None:
    interpreter = FakeInterpreter()
    interpreter.failing = True
    source = FakeSource([arrival(n, picture=tiny.frame(index=n)) for n in range(2)])

    items = list(Stream(source, Screener(tiny.bundle(b"model"), interpreter), clock=FakeClock()))

    assert [item.screening.reasons for item in frames(items)] == [("fake: inference failed: told to",)] * 2


def test_frames_that_change_size_or_colour_in_the_middle_are_judged_by_themselves() -> None:
    pictures = [
        tiny.frame(48, index=0),
        tiny.frame(96, index=1),
        tiny.frame(48, index=2, coloured_fraction=0.9),
        tiny.frame(48, index=3),
    ]
    source = FakeSource([arrival(n, picture=picture) for n, picture in enumerate(pictures)])
    screener = Screener(tiny.bundle(b"model"), FakeInterpreter())

    items = list(Stream(source, screener, clock=FakeClock()))

    assert [item.screening.refusal for item in frames(items)] == [None, None, Refusal.QUALITY, None]
    assert details(items, Happening.FORMAT) == [
        "frames of 48 x 48 pixels of 8 bits became 96 x 96 pixels of 8 bits",
        "frames of 96 x 96 pixels of 8 bits became 48 x 48 pixels of 8 bits",
    ]


def test_gate_refuses_before_the_model_sees_the_frame() -> None:
    screener = FakeScreener()

    items = list(
        Stream(
            recording(3),
            screener,
            gate=lambda frame: ("frozen: the picture stands still",) if frame.index == 1 else (),
            clock=FakeClock(),
        )
    )

    assert screener.screened == [0, 2]
    found = frames(items)[1].screening
    assert (found.refusal, found.reasons) == (Refusal.QUALITY, ("frozen: the picture stands still",))


def test_hanging_inference_is_told_while_it_lasts_and_the_stream_goes_on() -> None:
    clock, seen = FakeClock(), threading.Event()

    def hang(frame: Frame) -> None:
        if frame.index == 1:
            clock.now_s += 0.3
            assert seen.wait(5.0), MISSING

    items: list[Item] = []
    stream = Stream(recording(3), FakeScreener(meanwhile=hang), policy=Policy(stall_ms=200.0), clock=clock)
    with stream:
        for item in stream:
            items.append(item)
            if isinstance(item, Changed) and item.event is Happening.STALLED:
                seen.set()

    assert told(items) == [Happening.STARTED, 0, Happening.STALLED, 1, Happening.RESUMED, 2, Happening.STOPPED]
    assert details(items, Happening.STALLED) == ["frame 1: inference takes longer than 200 ms"]
    assert stream.statistics.stalls == 1


def test_hanging_inference_ends_the_stream_where_that_is_the_policy() -> None:
    clock, over = FakeClock(), threading.Event()

    def hang(frame: Frame) -> None:
        clock.now_s += 0.3
        over.wait(5.0)

    policy = Policy(stall_ms=200.0, on_stall=OnStall.STOP)
    items: list[Item] = []
    with (
        pytest.raises(
            InferenceError, match=r"^fake: frame 0: inference takes longer than 200 ms; the stream was to stop then$"
        ),
        Stream(recording(3), FakeScreener(meanwhile=hang), policy=policy, clock=clock) as stream,
    ):
        for item in stream:
            items.append(item)
            if isinstance(item, Changed) and item.event is Happening.STOPPED:
                over.set()

    assert told(items) == [Happening.STARTED, Happening.STALLED, Happening.STOPPED]


def test_inference_over_its_limit_that_nobody_saw_hang_is_told_all_the_same() -> None:
    with Stream(recording(1), Slow(), policy=Policy(stall_ms=200.0), clock=FakeClock()) as stream:
        assert told(list(stream)) == [
            Happening.STARTED, Happening.STALLED, 0, Happening.RESUMED, Happening.STOPPED,
        ]  # fmt: skip


class Slow(FakeScreener):
    """Says that its inferences took long."""

    def screen(self, frame: Frame, *, decode_ms: float = 0.0) -> Any:
        from dataclasses import replace

        found = super().screen(frame, decode_ms=decode_ms)
        return replace(found, latency=replace(found.latency, infer_ms=300.0))


def test_camera_that_stops_loses_sight_and_comes_back() -> None:
    clock, seen, lost = FakeClock(), threading.Event(), threading.Event()

    class Camera(FakeSource):
        def arrivals(self, *, clock: Clock, pause: Pause) -> Iterator[Arrival]:
            self.opened += 1
            if self.opened == 1:
                yield arrival(0)
                assert seen.wait(5.0), MISSING
                raise GONE
            assert lost.wait(5.0), MISSING
            yield arrival(1, arrived_s=104.0)
            while not pause(0.01):
                pass

    policy = Policy(backoff=Backoff(first_s=0.01, most_s=0.01))
    items: list[Item] = []
    with Stream(Camera([], live=True, returns=True), FakeScreener([0.1, 0.1]), policy=policy, clock=clock) as stream:
        for item in stream:
            items.append(item)
            match item:
                case Decided(number=0):
                    seen.set()
                case Changed(event=Happening.SOURCE_LOST):
                    clock.now_s = 103.0
                case Changed(event=Change.LOST):
                    lost.set()
                case Changed(event=Change.RECOVERED):
                    stream.stop()

    assert told(items) == [
        Happening.STARTED, 0, Happening.SOURCE_LOST, Change.LOST, Happening.SOURCE_BACK, 1, Change.RECOVERED,
        Happening.STOPPED,
    ]  # fmt: skip
    assert details(items, Happening.SOURCE_LOST) == ["fake: gives no more frames"]
    assert [item.level for item in frames(items)] == [Level.CLEAR, Level.CLEAR]


def test_source_that_stays_away_ends_the_stream() -> None:
    source = FakeSource([GONE], live=True, returns=True)
    policy = Policy(backoff=Backoff(give_up_s=0.0))

    with (
        pytest.raises(ImageError, match=r"^fake: gives no more frames; gave up after 0 s$"),
        Stream(source, FakeScreener(), policy=policy, clock=FakeClock()) as stream,
    ):
        list(stream)


def test_stop_ends_a_silent_stream_and_its_threads() -> None:
    source = Endless()
    before = set(threading.enumerate())
    items: list[Item] = []
    with Stream(source, FakeScreener(), clock=FakeClock()) as stream:
        for item in stream:
            items.append(item)
            if len(items) == 1:
                source.let.release()
            elif isinstance(item, Decided):
                stream.stop()

    assert told(items) == [Happening.STARTED, 0, Happening.STOPPED]
    assert details(items, Happening.STOPPED) == ["was stopped"]
    assert set(threading.enumerate()) <= before


def test_alert_is_acknowledged_from_another_thread() -> None:
    source = Endless()
    items: list[Item] = []
    with Stream(source, FakeScreener([0.9]), clock=FakeClock()) as stream:
        for item in stream:
            items.append(item)
            if len(items) == 1:
                source.let.release()
            elif isinstance(item, Changed) and item.event is Change.RAISED:
                threading.Thread(target=stream.acknowledge).start()
            elif isinstance(item, Changed) and item.event is Happening.ACKNOWLEDGED:
                stream.stop()

    assert told(items) == [Happening.STARTED, 0, Change.RAISED, Happening.ACKNOWLEDGED, Happening.STOPPED]


def test_caller_who_leaves_early_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    with Stream(recording(500), FakeScreener(), clock=FakeClock()) as stream:
        for item in stream:
            if isinstance(item, Decided):
                break

    assert set(threading.enumerate()) <= before


def test_slow_caller_is_waited_for() -> None:
    screener = FakeScreener()
    with Stream(recording(100), screener, clock=FakeClock()) as stream:
        items = iter(stream)
        next(items)
        next(items)
        threading.Event().wait(0.05)
        assert len(screener.screened) <= 5


def test_bug_in_a_thread_is_raised_where_the_stream_is_iterated() -> None:
    def fail(frame: Frame) -> None:
        raise ZeroDivisionError("a bug")

    with (
        pytest.raises(ZeroDivisionError, match=r"^a bug$"),
        Stream(recording(3), FakeScreener(meanwhile=fail), clock=FakeClock()) as stream,
    ):
        list(stream)


def test_screener_is_used_by_one_thread() -> None:
    screener = FakeScreener()
    list(Stream(recording(20), screener, clock=FakeClock()))

    assert len(screener.threads) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"capacity": 0}, r"^capacity: expected at least 1, got 0$", id="capacity"),
        pytest.param({"stall_ms": 0.0}, r"^stall_ms: expected above 0, got 0.0$", id="limit"),
        pytest.param({"stall_ms": np.nan}, r"^stall_ms: expected above 0, got nan$", id="no limit"),
    ],
)
def test_policy_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Policy(**options)
