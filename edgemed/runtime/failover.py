"""A model on an accelerator that may be unplugged: while it is away the CPU answers in its place, or nothing does.

Rules: the frame that finds the accelerator gone is answered by the CPU, or raises, and so are those after it; the way
back is looked for beside the frames, in a thread of its own, first after a second and then ever more rarely; what comes
back must answer once before it gets a frame, and in the same numbers. Whoever shows a result asks `Failover.reason`.

    interpreter = Failover(open_accelerator, standby=cpu)
    interpreter.invoke(inputs)
    print(interpreter.reason)  # None, or why the CPU computes
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from edgemed.errors import InferenceError
from edgemed.runtime.interpreter import Interpreter, Kernels, Tensor
from edgemed.tensors import TensorSpec

__all__ = ["FIRST_RETRY_S", "LONGEST_RETRY_S", "Failover", "Start", "in_background"]

_LOGGER = logging.getLogger(__name__)
FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 60.0

Start: TypeAlias = Callable[[Callable[[], None]], None]
"""What starts a job and returns at once: `in_background`, or a test's own."""


def in_background(job: Callable[[], None]) -> None:
    """Run a job in a thread that does not keep the process alive."""
    threading.Thread(target=job, name="edgemed-accelerator", daemon=True).start()


class Failover:
    """An `edgemed.runtime.interpreter.Interpreter` over an accelerator and, where the policy has one, its stand-in."""

    def __init__(
        self,
        open_accelerator: Callable[[], Interpreter],
        *,
        standby: Interpreter | None,
        clock: Callable[[], float] = time.monotonic,
        start: Start = in_background,
    ) -> None:
        """Open the accelerator, or begin without it where there is a stand-in.

        Args:
            open_accelerator: loads the model onto it; raises `InferenceError` while it is away.
            standby: answers while it is away; None: nothing does, and `invoke` raises.
            clock: seconds, rising.
            start: runs the search for it.

        Raises:
            InferenceError: the accelerator is away, and there is no stand-in.
        """
        self._open = open_accelerator
        self._standby = standby
        self._clock = clock
        self._start = start
        self._accelerator: Interpreter | None = None
        self._lost: Interpreter | None = None
        self._found: Interpreter | None = None
        self._searching = False
        self._wait_s = FIRST_RETRY_S
        self._retry_at = clock() + FIRST_RETRY_S
        self._reason: str | None = None
        if standby is None:
            described = self._accelerator = self._opened()
        else:
            described = standby
            try:
                self._accelerator = self._opened()
            except InferenceError as err:
                self._reason = str(err)
        # Copied: an accelerator that was lost must not be kept alive for what it looked like.
        self.inputs: Mapping[str, TensorSpec] = described.inputs
        self.outputs: Mapping[str, TensorSpec] = described.outputs
        self._names = (described.backend, described.kernels, described.threads)

    @property
    def reason(self) -> str | None:
        """Why the accelerator does not compute, as of the last inference; None while it does."""
        return self._reason

    @property
    def accelerated(self) -> bool:
        """Whether the accelerator computed the last inference."""
        return self._accelerator is not None

    @property
    def backend(self) -> str:
        """Name of the back end, the same for both models."""
        return self._names[0]

    @property
    def kernels(self) -> Kernels:
        """The kernels of what is left to the CPU."""
        return self._names[1]

    @property
    def threads(self) -> int:
        """Threads of what is left to the CPU."""
        return self._names[2]

    def invoke(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Run once, on the accelerator where it answers.

        Raises:
            InferenceError: it does not and nothing stands in for it, or the stand-in failed as well.
        """
        if self._accelerator is None:
            self._come_back()
        if self._accelerator is not None:
            try:
                return self._accelerator.invoke(inputs)
            except InferenceError as err:
                self._lose(err)
        if self._standby is None:
            raise InferenceError(f"{self._reason}; nothing is judged until it answers")
        return self._standby.invoke(inputs)

    def _lose(self, err: InferenceError) -> None:
        self._reason = f"the accelerator stopped answering ({err}); plug it in again"
        self._lost, self._accelerator = self._accelerator, None
        self._wait_s = FIRST_RETRY_S
        self._retry_at = self._clock() + self._wait_s
        _LOGGER.info(self._reason)

    def _come_back(self) -> None:
        """Take what the search has found, or start one that is due."""
        if self._found is not None:
            self._accelerator, self._found, self._reason = self._found, None, None
        elif not self._searching and self._clock() >= self._retry_at:
            self._wait_s = min(2 * self._wait_s, LONGEST_RETRY_S)
            self._retry_at = self._clock() + self._wait_s
            self._searching = True
            self._start(self._search)

    def _search(self) -> None:
        """Try once to open the accelerator; beside the frames, which go on meanwhile."""
        # Let go of here and not on the way of a frame: it may hold the device until it is gone.
        self._lost = None
        try:
            self._found = self._opened()
        except InferenceError as err:
            self._reason = str(err)
        finally:
            self._searching = False

    def _opened(self) -> Interpreter:
        """Return the model on the accelerator, after it has answered once."""
        opened = self._open()
        standby = self._standby
        if standby is not None and (opened.inputs != standby.inputs or opened.outputs != standby.outputs):
            raise InferenceError("it answers in other shapes or scales than the model on the CPU; convert both again")
        opened.invoke({name: np.zeros(spec.shape, np.dtype(spec.dtype)) for name, spec in opened.inputs.items()})
        return opened
