from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgemed.benchmark import loop
from edgemed.benchmark.control import Control, noise
from edgemed.benchmark.loop import Limit
from edgemed.benchmark.series import STAGES, ClockError
from edgemed.errors import ImageError
from edgemed.runtime.screener import Screener
from edgemed.runtime.screening import Screening
from tests.runtime import tiny
from tests.runtime.tiny import FakeInterpreter


class Ticking:
    """A clock that goes on by a millisecond at each look, and by ``steps`` at some looks."""

    def __init__(self, steps: dict[int, float] | None = None) -> None:
        self.now_s, self.looks, self.steps = 100.0, 0, steps or {}

    def __call__(self) -> float:
        self.looks += 1
        self.now_s += self.steps.get(self.looks, 1e-3)
        return self.now_s


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "scan.png"
    path.write_bytes(tiny.png(tiny.picture()))
    return path


def screener(clock: Callable[[], float]) -> Screener:
    return Screener(tiny.bundle(b"model"), FakeInterpreter(), clock=clock)


def cycled(clock: Ticking, *paths: Path) -> Iterator[Screening]:
    return loop.cycled(screener(clock), paths, clock=clock)


def test_stages_add_up_to_the_total_of_each_sample(image: Path) -> None:
    clock = Ticking()
    taken = loop.run(cycled(clock, image), limit=Limit(samples=5), record=lambda _: None, clock=clock)
    for sample in taken.series.samples:
        stages = sum(getattr(sample, f"{stage}_ms") for stage in STAGES if stage != "total")
        # Four looks at the clock lie between the stages.
        assert stages == pytest.approx(sample.total_ms, abs=4.001)


def test_warm_up_is_kept_apart_and_the_count_is_kept(image: Path) -> None:
    clock = Ticking()
    taken = loop.run(cycled(clock, image), limit=Limit(samples=7), warm_up=3, clock=clock)
    assert (len(taken.warm_up), len(taken.series)) == (3, 7)


def test_a_stall_stays_among_the_samples(image: Path) -> None:
    clock = Ticking({60: 2.0})
    taken = loop.run(cycled(clock, image), limit=Limit(samples=20), clock=clock)
    assert max(taken.series.times("total")) > 2000.0


def test_time_limit_ends_it(image: Path) -> None:
    clock = Ticking()
    taken = loop.run(cycled(clock, image), limit=Limit(seconds=0.1), clock=clock)
    assert 1 <= len(taken.series) < 20


def test_ctrl_c_keeps_what_was_taken(image: Path) -> None:
    clock = Ticking()

    def record(_: Screening) -> None:
        if clock.now_s > 100.1:
            raise KeyboardInterrupt

    taken = loop.run(cycled(clock, image), limit=Limit(samples=1000), record=record, clock=clock)
    assert taken.interrupted
    assert 1 <= len(taken.series) < 1000
    assert taken.wall_s > 0.0


def test_ctrl_c_during_warm_up_leaves_no_sample(image: Path) -> None:
    clock = Ticking()

    def record(_: Screening) -> None:
        raise KeyboardInterrupt

    taken = loop.run(cycled(clock, image), limit=Limit(samples=9), warm_up=2, record=record, clock=clock)
    assert (taken.interrupted, len(taken.warm_up), len(taken.series)) == (True, 0, 0)


def test_clock_that_steps_back_ends_it(image: Path) -> None:
    clock = Ticking({50: -3.0})
    with pytest.raises(ClockError) as ended:
        loop.run(cycled(clock, image), limit=Limit(samples=50), clock=clock)
    message = str(ended.value)
    assert message.startswith("clock: went back by ")
    assert message.endswith(
        ", expected one that only rises; the times cannot be believed: measure on a machine whose monotonic clock is "
        "steady"
    )


def test_unreadable_files_are_counted_and_stop_nothing(image: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"hello")
    clock = Ticking()
    taken = loop.run(cycled(clock, bad, image), limit=Limit(samples=4), clock=clock)
    assert len(taken.series) == 4
    assert taken.series.unreadable == 4
    assert "bad.png" in taken.series.reasons[0]


def test_nothing_but_unreadable_files_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"hello")
    clock = Ticking()
    with pytest.raises(ImageError) as refused:
        loop.run(cycled(clock, bad), limit=Limit(samples=4), clock=clock)
    assert str(refused.value) == (
        "--input: expected images that the bundle screens, got 50 unreadable and 0 refused frames, and no other; the "
        f"first: {bad}: expected PNG, JPEG, TIFF, NPY, DICOM or a clip (MP4, MOV, AVI, MKV, MPEG), got a file that "
        "starts like none of them; export it as one of these"
    )


def test_counter_is_entered_after_the_warm_up_and_left_at_the_end(image: Path) -> None:
    clock, seen = Ticking(), []

    class Around:
        def __enter__(self) -> None:
            seen.append("in")

        def __exit__(self, *_: object) -> None:
            seen.append("out")

    loop.run(
        cycled(clock, image),
        limit=Limit(samples=2),
        warm_up=1,
        record=lambda _: seen.append("frame"),
        around=Around(),
        clock=clock,
    )
    assert seen == ["frame", "in", "frame", "frame", "out"]


def test_fixed_work_is_timed_before_each_frame(image: Path) -> None:
    clock = Ticking()
    taken = loop.run(cycled(clock, image), limit=Limit(samples=3), control=Control(clock=clock), clock=clock)
    assert taken.series.controls() == pytest.approx([1.0, 1.0, 1.0])


def test_steady_control_loop_is_quiet_and_a_drifting_one_is_not() -> None:
    assert noise([0.15] * 100).quiet is True
    drifting = noise([0.1 + 0.0005 * place for place in range(100)])
    assert drifting.quiet is False
    assert "a drift of +26" in drifting.why
    disturbed = noise([0.15] * 93 + [0.9] * 7)
    assert disturbed.why == (
        "the control loop, which always does the same, had a 7.0% of samples far above the median; expected at most "
        "5 % each"
    )


def test_few_samples_say_nothing_of_the_noise() -> None:
    found = noise([0.15])
    assert (found.quiet, found.why) == (
        None,
        "1 samples of the control loop, expected at least 40: nothing can be said of the noise",
    )
