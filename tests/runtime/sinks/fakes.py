"""What sinks talk to, in memory: sinks that fail or hang when told, and hosts with answers in store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from edgemed.runtime.sinks.post import Answer, Verdict
from edgemed.runtime.worker import DeliveryError

ACCEPTED = Answer(verdict=Verdict.ACCEPTED)
REFUSED = Answer(verdict=Verdict.REFUSED, words="answered 404: refused for good")
LATER = Answer(verdict=Verdict.LATER, words="cannot be reached: Connection refused")


class FakeSink:
    """Keeps what it gets; fails for the numbers in ``failing``, and waits for ``gate`` before each."""

    def __init__(self, *, failing: Sequence[int] = (), gate: threading.Event | None = None) -> None:
        self.got: list[bytes] = []
        self.tried = 0
        self.settled = 0
        self.aborted = threading.Event()
        self.closed = False
        self._failing, self._gate = failing, gate

    def deliver(self, item: bytes, /) -> None:
        self.tried += 1
        if self._gate is not None:
            self._gate.wait(5.0)
        if self.tried - 1 in self._failing:
            raise DeliveryError("cannot be written: No space left on device")
        self.got.append(item)

    def settle(self) -> None:
        self.settled += 1

    def abort(self) -> None:
        self.aborted.set()
        if self._gate is not None:
            self._gate.set()

    def close(self) -> None:
        self.closed = True


class FakeHost:
    """Answers posts in order; the last answer stands for all that follow."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.got: list[tuple[str, bytes]] = []
        self.asked = threading.Semaphore(0)

    def post(self, raw: bytes, *, key: str) -> Answer:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.got.append((key, raw))
        self.asked.release()
        return answer


def eventually(true: Callable[[], bool]) -> bool:
    """Wait up to 5 seconds for something that another thread does."""
    pause = threading.Event()
    return any(true() or pause.wait(0.002) for _ in range(2500))
