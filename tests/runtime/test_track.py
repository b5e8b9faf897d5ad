from __future__ import annotations

import numpy as np

from edgemed.imaging.frame import Frame
from edgemed.runtime.decision import Decision, Zone
from edgemed.runtime.temporal import Change, Level
from edgemed.runtime.temporal_rule import TemporalRule
from edgemed.runtime.track import Changed, Decided, Happening, Item, Judged, Track
from tests.runtime import streams

ZONE = Zone(low=0.4, high=0.6)


def frame(rows: int = 4, columns: int = 6, *, source: str = "fake", deep: bool = False) -> Frame:
    kind = np.uint16 if deep else np.uint8
    return Frame(pixels=np.zeros((rows, columns), kind), source=source, bits=16 if deep else 8)


def judged(number: int, score: float | None, *, time_ms: float | None = None, picture: Frame | None = None) -> Judged:
    return Judged(
        number=number,
        time_ms=100.0 * number if time_ms is None else time_ms,
        age_ms=float(number),
        screening=streams.screening(score, frame=number),
        frame=picture or frame(),
    )


def told(items: list[Item]) -> list[object]:
    return [item.event if isinstance(item, Changed) else item.number for item in items]


def played(track: Track, *scores: float | None) -> list[Item]:
    return [item for number, score in enumerate(scores) for item in track.decided(judged(number, score))]


def test_change_follows_the_frame_that_caused_it() -> None:
    track = Track(rule=TemporalRule(votes=2, window=3), zone=ZONE)

    items = played(track, 0.9, 0.9, 0.1, 0.1)

    assert told(items) == [0, 1, Change.RAISED, 2, 3, Change.ENDED]
    raised = items[2]
    assert isinstance(raised, Changed)
    assert (raised.time_ms, raised.level, raised.notify, raised.number) == (100.0, Level.ALERT, True, 1)
    levels = [item.level for item in items if isinstance(item, Decided)]
    assert levels == [Level.UNJUDGED, Level.ALERT, Level.ALERT, Level.CLEAR]


def test_refused_frames_raise_nothing() -> None:
    track = Track(rule=TemporalRule(), zone=ZONE)

    assert told(played(track, None, None, None)) == [0, 1, 2]
    assert track.level is Level.UNJUDGED


def test_silence_loses_sight_and_is_told_once() -> None:
    track = Track(rule=TemporalRule(stale_ms=500.0), zone=ZONE)
    played(track, 0.1)

    assert told([item for at_ms in (400.0, 600.0, 700.0) for item in track.quiet(at_ms)]) == [Change.LOST]
    assert track.level is Level.UNJUDGED


def test_alert_is_acknowledged_once_and_not_announced_at_its_end() -> None:
    track = Track(rule=TemporalRule(), zone=ZONE)

    assert list(track.acknowledged()) == []
    played(track, 0.9)
    assert told(list(track.acknowledged()) + list(track.acknowledged())) == [Happening.ACKNOWLEDGED]
    ended = [item for item in track.decided(judged(1, 0.1)) if isinstance(item, Changed)]
    assert [(change.event, change.notify) for change in ended] == [(Change.ENDED, False)]


def test_clock_that_jumps_back_ends_no_alert_and_changes_no_order() -> None:
    track = Track(rule=TemporalRule(minimum_ms=1000.0), zone=ZONE)
    list(track.decided(judged(0, 0.9, time_ms=5000.0)))

    items = list(track.decided(judged(1, 0.1, time_ms=10.0)))

    assert told(items) == [1]
    assert track.level is Level.ALERT
    changed = track.changed(Happening.STOPPED, time_ms=20.0)
    assert changed.time_ms == 5000.0


def test_size_or_depth_that_changes_in_the_middle_is_told() -> None:
    track = Track(rule=TemporalRule(), zone=ZONE)
    pictures = [frame(), frame(), frame(8, 6), frame(8, 6, deep=True), frame(1, 1, source="other.png")]

    items = [item for n, picture in enumerate(pictures) for item in track.decided(judged(n, 0.1, picture=picture))]

    assert told(items) == [0, 1, Happening.FORMAT, 2, Happening.FORMAT, 3, 4]
    assert [item.detail for item in items if isinstance(item, Changed)] == [
        "frames of 6 x 4 pixels of 8 bits became 6 x 8 pixels of 8 bits",
        "frames of 6 x 8 pixels of 8 bits became 6 x 8 pixels of 16 bits",
    ]


def test_statistics_count_decisions_ages_and_events() -> None:
    track = Track(rule=TemporalRule(), zone=ZONE)
    played(track, 0.9, 0.5, None)
    track.changed(Happening.STALLED)
    track.changed(Happening.SOURCE_LOST)

    found = track.statistics(arrived=7, dropped=4)

    assert (found.arrived, found.dropped, found.stalls, found.losses, found.oldest_ms) == (7, 4, 1, 1, 2.0)
    assert found.decisions == {
        Decision.ALERT: 1,
        Decision.CLEAR: 0,
        Decision.INDETERMINATE: 1,
        Decision.REFUSED: 1,
    }
