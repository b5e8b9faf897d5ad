from __future__ import annotations

import pytest

from edgemed.errors import ImageError
from edgemed.runtime.feed import Backoff, Feed, Numbered, SourceState
from edgemed.runtime.inbox import Inbox, Overflow
from tests.runtime.streams import FakeClock, FakeSource, arrival

GONE = ImageError("fake: gives no more frames")


def run(source: FakeSource, clock: FakeClock, backoff: Backoff | None = None) -> tuple[list[int], list[SourceState]]:
    """Return the numbers of the frames that were read, and what was told of the source."""
    inbox: Inbox[Numbered] = Inbox(capacity=100, overflow=Overflow.DROP_OLDEST)
    told: list[SourceState] = []
    Feed(source, inbox, told=told.append, backoff=backoff or Backoff(), clock=clock, pause=clock.pause).run()
    return [numbered.number for numbered in iter(inbox.take, None)], told


def test_recording_is_read_once() -> None:
    source = FakeSource([arrival(0), arrival(1)])

    assert run(source, FakeClock()) == ([0, 1], [])
    assert source.opened == 1


def test_source_that_vanishes_is_opened_again_and_numbers_go_on() -> None:
    clock = FakeClock()
    clock.stop_after = 102.0
    source = FakeSource([arrival(0), GONE], [GONE], [arrival(0, arrived_s=100.9)], live=True, returns=True)

    numbers, told = run(source, clock)

    assert numbers == [0, 1]
    assert told == [
        SourceState(at_s=100.0, reason="fake: gives no more frames"),
        SourceState(at_s=100.9, reason=None),
        SourceState(at_s=101.5, reason="fake: has ended"),
    ]


def test_wait_doubles_up_to_the_longest_and_begins_anew_after_a_frame() -> None:
    clock = FakeClock()
    clock.stop_after = 112.0
    openings = [[GONE], [GONE], [GONE], [GONE], [arrival(0), GONE], [GONE]]

    run(FakeSource(*openings, live=True, returns=True), clock, Backoff(first_s=0.5, most_s=2.0))

    assert clock.waits == [0.5, 1.0, 2.0, 2.0, 0.5, 1.0, 2.0, 2.0, 2.0]


def test_source_that_stays_away_is_given_up() -> None:
    clock = FakeClock()

    _, told = run(FakeSource([GONE], live=True, returns=True), clock, Backoff(give_up_s=4.0))

    assert clock.waits == [0.5, 1.0, 2.0]
    assert told == [
        SourceState(at_s=100.0, reason="fake: gives no more frames"),
        SourceState(at_s=103.5, reason="fake: gives no more frames", final=True),
    ]


def test_source_is_not_opened_again_where_nobody_waits() -> None:
    source = FakeSource([arrival(0), GONE], live=True, returns=True)

    _, told = run(source, FakeClock(), Backoff(give_up_s=0.0))

    assert (source.opened, [state.final for state in told]) == (1, [True])


def test_recording_that_cannot_be_opened_raises() -> None:
    with pytest.raises(ImageError, match=r"^fake: gives no more frames$"):
        run(FakeSource([GONE]), FakeClock())


def test_first_wait_above_the_longest_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^first_s: expected above 0 and at most 1.0 s, got 2.0$"):
        Backoff(first_s=2.0, most_s=1.0)
