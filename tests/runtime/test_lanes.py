from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemed.errors import ImageError
from edgemed.imaging.frame import Frame
from edgemed.runtime import backends, lanes, worklist
from edgemed.runtime.lanes import Shared
from edgemed.runtime.screener import Screener
from edgemed.runtime.worklist import Outcome
from tests.runtime import tiny
from tests.runtime.streams import FakeScreener

MISSING = "lanes that hang"


def read(path: Path) -> Iterator[Frame]:
    """Yield as many frames as the name says; a name that ends in x breaks after them."""
    for index in range(int(path.name.rstrip("x"))):
        yield tiny.frame(source=str(path), index=index)
    if path.name.endswith("x"):
        raise ImageError(f"{path}: is damaged")


def said(outcomes: Iterator[Outcome]) -> list[tuple[int, int, tuple[str, ...]]]:
    return [(outcome.number, outcome.screening.frame, outcome.screening.reasons) for outcome in outcomes]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_are_those_of_one_after_the_other(count: int) -> None:
    paths = [Path(name) for name in ("3", "1", "0x", "40", "2x", "1", "0", "7")]

    many = lanes.screen([FakeScreener() for _ in range(count)], paths, read=read)

    assert said(many) == said(worklist.screen(FakeScreener(), paths, read=read))


def test_inputs_are_worked_on_side_by_side() -> None:
    together = threading.Barrier(2, timeout=5.0)

    def meet(frame: Frame) -> None:
        together.wait()

    found = lanes.screen([FakeScreener(meanwhile=meet), FakeScreener(meanwhile=meet)], [Path("1")] * 6, read=read)

    assert [outcome.number for outcome in found] == [1, 2, 3, 4, 5, 6]


def test_shared_screener_is_used_by_one_lane_at_a_time() -> None:
    inside = 0

    def count(frame: Frame) -> None:
        nonlocal inside
        inside += 1
        threading.Event().wait(0.002)
        assert inside == 1
        inside -= 1

    shared = Shared(FakeScreener(meanwhile=count))

    assert len(list(lanes.screen([shared] * 3, [Path("2")] * 6, read=read))) == 12


def test_inputs_and_results_wait_for_whoever_reads_them() -> None:
    taken = 0
    screeners = [FakeScreener(), FakeScreener()]

    def endless() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield Path("100")

    found = lanes.screen(screeners, endless(), read=read)
    next(found)
    threading.Event().wait(0.05)

    assert taken <= 5
    assert sum(len(screener.screened) for screener in screeners) <= 12
    found.close()  # type: ignore[attr-defined]  # a generator


def test_leaving_early_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    found = lanes.screen([FakeScreener(), FakeScreener()], [Path("50")] * 9, read=read)
    next(found)
    found.close()  # type: ignore[attr-defined]  # a generator

    assert set(threading.enumerate()) <= before


def test_bug_in_a_lane_is_raised_where_results_are_read() -> None:
    def fail(frame: Frame) -> None:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match=r"^a bug$"):
        list(lanes.screen([FakeScreener(meanwhile=fail), FakeScreener()], [Path("1")] * 4, read=read))


def test_no_screener_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"^screeners: expected at least one, got none$"):
        list(lanes.screen([], []))


def test_workers_of_a_screener_have_models_of_their_own_and_agree(tmp_path: Path) -> None:
    paths = []
    for seed in range(6):
        paths.append(tmp_path / f"{seed}.png")
        paths[-1].write_bytes(tiny.png(tiny.picture(seed=seed)))
    screener = Screener(tiny.bundle(tiny.model()), backends.load(tiny.model()))

    many = [outcome.screening for outcome in screener.screen_many([*paths, tiny.frame(seed=0)], workers=3)]

    one = [outcome.screening for outcome in worklist.screen(screener, [*paths, paths[0]])]
    assert [found.logit for found in many] == [found.logit for found in one]
    assert [found.source for found in many] == [*map(str, paths), "scan.png"]
