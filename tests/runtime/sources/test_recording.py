from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgemed.errors import ImageError
from edgemed.imaging import timing
from edgemed.imaging.frame import Frame
from edgemed.runtime.sources.arrival import Arrival
from edgemed.runtime.sources.recording import Recording
from tests.runtime import tiny
from tests.runtime.streams import FakeClock


def stack(path: Path, count: int = 3) -> Path:
    """Write a stack of frames; it does not say how fast they were taken."""
    np.save(path, np.stack([tiny.picture(seed=n) for n in range(count)]))
    return path


def played(source: Recording, clock: FakeClock) -> list[Arrival]:
    return list(source.arrivals(clock=clock, pause=clock.pause))


def frames(arrivals: list[Arrival]) -> list[int]:
    return [arrival.picture.index for arrival in arrivals if isinstance(arrival.picture, Frame)]


def test_every_frame_has_the_recordings_own_time(tmp_path: Path) -> None:
    source = Recording(stack(tmp_path / "cine.npy"), interval_ms=20.0)

    arrivals = played(source, FakeClock())

    assert frames(arrivals) == [0, 1, 2]
    assert [arrival.taken_ms for arrival in arrivals] == [0.0, 20.0, 40.0]
    assert (source.live, source.returns, source.name) == (False, False, str(tmp_path / "cine.npy"))


def test_recording_that_states_no_rate_is_taken_for_thirty_a_second(tmp_path: Path) -> None:
    arrivals = played(Recording(stack(tmp_path / "cine.npy")), FakeClock())

    assert [arrival.taken_ms for arrival in arrivals] == [index * timing.ASSUMED_MS for index in range(3)]


def test_paced_frames_arrive_when_they_are_due(tmp_path: Path) -> None:
    clock = FakeClock()

    arrivals = played(Recording(stack(tmp_path / "cine.npy"), interval_ms=250.0, paced=True), clock)

    assert [arrival.arrived_s for arrival in arrivals] == [100.0, 100.25, 100.5]
    assert [arrival.taken_ms for arrival in arrivals] == [None] * 3
    assert clock.waits == [0.25, 0.25, 0.25]  # the last frame too is shown for its time


def test_paced_frames_that_are_late_wait_for_nothing_and_are_as_old_as_they_are(tmp_path: Path) -> None:
    clock = FakeClock()
    arrivals = Recording(stack(tmp_path / "cine.npy"), interval_ms=250.0, paced=True).arrivals(
        clock=clock, pause=clock.pause
    )
    next(arrivals)
    clock.now_s += 10.0

    assert [arrival.arrived_s for arrival in arrivals] == [100.25, 100.5]
    assert clock.waits == []


def test_clip_that_breaks_ends_with_what_is_wrong() -> None:
    def read(path: Path) -> Iterator[Frame]:
        yield tiny.frame(index=0)
        raise ImageError("clip.mp4: expected 30 frames, got 1; the clip is cut short, copy it again")

    arrivals = played(Recording(Path("clip.mp4"), read=read), FakeClock())

    assert [str(arrival.picture) for arrival in arrivals[1:]] == [
        "clip.mp4: expected 30 frames, got 1; the clip is cut short, copy it again"
    ]


def test_clip_without_a_frame_says_so(tmp_path: Path) -> None:
    path = tmp_path / "empty.avi"
    path.write_bytes(b"RIFF\x04\x00\x00\x00AVI " + bytes(64))

    arrivals = played(Recording(path), FakeClock())

    assert [str(arrival.picture) for arrival in arrivals] == [
        f"{path}: clip cannot be opened; the file is damaged or cut short, copy it again"
    ]


def test_reading_stops_when_the_stream_does(tmp_path: Path) -> None:
    clock = FakeClock()
    clock.stop_after = 100.3
    source = Recording(stack(tmp_path / "cine.npy", 9), interval_ms=250.0, paced=True)

    assert frames(played(source, clock)) == [0, 1]


def test_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^interval_ms: expected a number above 0, got 0.0$"):
        Recording(Path("clip.mp4"), interval_ms=0.0)
