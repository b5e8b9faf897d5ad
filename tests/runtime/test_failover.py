"""An accelerator that comes and goes: who answers each frame, and when it is looked for again."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable

import numpy as np
import pytest

from edgemed.errors import InferenceError
from edgemed.runtime.failover import Failover, in_background
from edgemed.runtime.interpreter import Interpreter
from edgemed.tensors import Quantization, TensorSpec
from tests.runtime import tiny

PLANE = {"plane": np.zeros((1, tiny.SIDE, tiny.SIDE, 1), np.int8)}
ACCELERATOR, CPU = 3, 5
GONE = "the accelerator stopped answering (fake: inference failed: told to); plug it in again"


class Bench:
    """A slot with an accelerator in it or not, a clock, and jobs that run when they are told to."""

    def __init__(self, *, standby: bool = True, plugged_in: bool = True) -> None:
        self.now = 100.0
        self.plugged_in = plugged_in
        self.opened: list[tiny.FakeInterpreter] = []
        self.jobs: list[Callable[[], None]] = []
        self.failover = Failover(
            self.open,
            standby=tiny.FakeInterpreter(logit_lsb=CPU) if standby else None,
            clock=lambda: self.now,
            start=self.jobs.append,
        )

    def open(self) -> Interpreter:
        if not self.plugged_in:
            raise InferenceError("there is none on USB; plug it in")
        self.opened.append(tiny.FakeInterpreter(logit_lsb=ACCELERATOR))
        return self.opened[-1]

    def pull_out(self) -> None:
        self.plugged_in = False
        for interpreter in self.opened:
            interpreter.failing = True

    def answer(self) -> int:
        return int(self.failover.invoke(PLANE)["logit"][0, 0])

    def work(self) -> int:
        """Run the jobs; return how many there were."""
        jobs, self.jobs[:] = list(self.jobs), []
        for job in jobs:
            job()
        return len(jobs)


def test_the_accelerator_answers_while_it_is_there() -> None:
    bench = Bench()

    assert bench.answer() == ACCELERATOR
    assert (bench.failover.accelerated, bench.failover.reason, bench.jobs) == (True, None, [])


def test_it_is_asked_once_before_it_gets_a_frame() -> None:
    bench = Bench()

    assert [given.any() for given in bench.opened[0].given] == [False]


def test_the_frame_that_finds_it_gone_is_answered_by_the_cpu() -> None:
    bench = Bench()
    bench.pull_out()

    assert bench.answer() == CPU
    assert (bench.failover.accelerated, bench.failover.reason) == (False, GONE)


def test_without_a_stand_in_the_frame_raises_with_the_reason() -> None:
    bench = Bench(standby=False)
    bench.pull_out()

    for _ in range(2):
        with pytest.raises(InferenceError) as caught:
            bench.answer()
        assert str(caught.value) == f"{GONE}; nothing is judged until it answers"


def test_without_a_stand_in_an_absent_accelerator_does_not_open() -> None:
    with pytest.raises(InferenceError) as caught:
        Bench(standby=False, plugged_in=False)

    assert str(caught.value) == "there is none on USB; plug it in"


def test_with_a_stand_in_it_begins_without_the_accelerator() -> None:
    bench = Bench(plugged_in=False)

    assert (bench.answer(), bench.failover.reason) == (CPU, "there is none on USB; plug it in")


@pytest.mark.parametrize("standby", [True, False], ids=["cpu", "stop"])
def test_it_computes_again_once_it_is_back(standby: bool) -> None:
    bench = Bench(standby=standby)
    bench.pull_out()
    for _ in range(2):
        with contextlib.nullcontext() if standby else pytest.raises(InferenceError, match="nothing is judged"):
            bench.answer()
        bench.plugged_in = True
        bench.now += 1.0

    assert bench.work() == 1
    assert bench.answer() == ACCELERATOR
    assert (bench.failover.accelerated, bench.failover.reason) == (True, None)


def test_frames_go_on_while_it_is_looked_for() -> None:
    bench = Bench()
    bench.pull_out()
    bench.plugged_in = True
    bench.now += 1.0
    bench.answer()
    bench.now += 1.0

    answered = [bench.answer() for _ in range(3)]

    assert answered == [CPU] * 3
    assert len(bench.jobs) == 1


def test_search_grows_rarer_up_to_a_minute() -> None:
    bench = Bench(plugged_in=False)
    moments = []
    for tick in range(2000):
        bench.now = 100.0 + tick / 10
        bench.answer()
        if bench.work():
            moments.append(bench.now - 100.0)

    assert moments == pytest.approx([1, 3, 7, 15, 31, 63, 123, 183])


def test_search_begins_anew_with_each_loss() -> None:
    bench = Bench(plugged_in=False)
    for _ in range(5):
        bench.now += 60.0
        bench.answer()
        bench.work()
    bench.plugged_in = True
    bench.now += 60.0
    bench.answer()
    bench.work()
    assert bench.answer() == ACCELERATOR
    bench.pull_out()
    bench.answer()

    bench.now += 1.0
    bench.answer()

    assert bench.work() == 1


def test_one_that_opens_and_does_not_answer_is_not_back() -> None:
    bench = Bench()
    bench.pull_out()
    bench.answer()
    bench.plugged_in = True
    dead = tiny.FakeInterpreter()
    dead.failing = True
    bench.open = lambda: dead  # type: ignore[method-assign]  # what the slot holds from now on
    bench.failover._open = bench.open

    bench.now += 1.0
    bench.answer()
    bench.work()

    assert (bench.answer(), bench.failover.reason) == (CPU, "fake: inference failed: told to")


def test_one_that_answers_in_other_numbers_is_not_taken() -> None:
    other = TensorSpec(name="logit", shape=(1, 1), dtype="int8", quantization=Quantization(scale=0.25, zero_point=0))

    failover = Failover(lambda: tiny.FakeInterpreter(logit=other), standby=tiny.FakeInterpreter(logit_lsb=CPU))

    assert int(failover.invoke(PLANE)["logit"][0, 0]) == CPU
    assert failover.reason == "it answers in other shapes or scales than the model on the CPU; convert both again"


def test_what_was_lost_is_let_go_of_before_it_is_opened_again() -> None:
    bench = Bench()
    lost = weakref.ref(bench.opened.pop())
    bench.plugged_in = False
    assert lost() is not None
    lost().failing = True  # type: ignore[union-attr]  # as the line before says
    bench.answer()
    bench.now += 1.0
    bench.answer()

    bench.work()

    assert lost() is None


def test_background_job_runs_in_a_thread_that_ends_with_the_process() -> None:
    seen: list[bool] = []
    done = threading.Event()

    in_background(lambda: (seen.append(threading.current_thread().daemon), done.set())[0])

    assert done.wait(5.0)
    assert seen == [True]
