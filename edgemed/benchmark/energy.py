"""Energy per frame around a loop: what the machine took, less what it takes when it does nothing.

The idle power is measured first, for as long as asked; then a thread reads the source while the loop runs, so often
that no counter wraps unseen and a power that changes is followed. Where there is nothing to read, or it says too
little, the outcome is an `Unknown` with the reason, never a zero.

    meter = Meter(power.find())
    with meter:
        frames = run()
    found = meter.per_frame(frames)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from edgemed.benchmark.power import Absent, Found, Source

__all__ = ["Energy", "Meter", "Unknown", "document", "lines"]

INTERVAL_S = (
    0.05  # an INA3221 on Jetson averages over about as long; a RAPL counter wraps after minutes at the earliest
)
IDLE_S = 1.0
_FEWEST = 10  # readings in a loop below which its energy is a guess

Clock = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Energy:
    """What one frame took.

    Attributes:
        source: what told it.
        frame_mj: millijoules of one frame, idle power taken off.
        mean_w: of the machine while the loop ran.
        idle_w: of the machine before.
        seconds: the loop's.
    """

    source: str
    frame_mj: float
    mean_w: float
    idle_w: float
    frames: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """The energy is not available, and why."""

    reason: str


class Meter:
    """Sums up a source's readings; as a context it takes the idle power first, then reads on its own to the end."""

    def __init__(
        self,
        source: Found,
        *,
        idle_s: float = IDLE_S,
        interval_s: float = INTERVAL_S,
        clock: Clock = time.monotonic,
    ) -> None:
        """Take a source, or the reason why there is none; nothing is read yet.

        Args:
            source: of `power.find`; where it is absent, the context waits for nothing and runs nothing.
            idle_s: how long the idle power is measured before the block begins.
            interval_s: between two readings.
            clock: seconds, rising.
        """
        self._source: Source | None = None if isinstance(source, Absent) else source
        self._failed = source.reason if isinstance(source, Absent) else None
        self._idle_s, self._interval_s, self._clock = idle_s, interval_s, clock
        self._at = 0.0
        self._idle_w = 0.0
        self.joules = 0.0
        self.seconds = 0.0
        self.readings = 0
        self._ended = threading.Event()
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Meter:
        if self._failed is not None:
            return self
        self._ended.clear()
        self.read()
        for _ in range(max(1, round(self._idle_s / self._interval_s))):
            self._ended.wait(self._interval_s)
            self.read()
        self.take_idle()
        self.read()
        self._reader = threading.Thread(target=self._read_on, name="energy", daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._reader is not None:
            self._ended.set()
            self._reader.join()
            self._reader = None
            self.read()

    def _read_on(self) -> None:
        while not self._ended.wait(self._interval_s):
            self.read()

    def read(self) -> None:
        """Add what went by since the reading before; a source that fails ends the measurement, not the loop."""
        if self._source is None or self._failed is not None:
            return
        now = self._clock()
        elapsed = now - self._at if self.readings else 0.0
        try:
            self.joules += self._source.spent_j(elapsed)
        except (OSError, ValueError) as err:
            self._failed = f"{self._source.name}: stopped answering: {err}"
            return
        self._at, self.seconds, self.readings = now, self.seconds + elapsed, self.readings + 1

    def take_idle(self) -> None:
        """Take what was read so far for the idle power, and begin anew."""
        self._idle_w = self.joules / self.seconds if self.seconds else 0.0
        self.joules, self.seconds, self.readings = 0.0, 0.0, 0

    def per_frame(self, frames: int) -> Energy | Unknown:
        """Return the energy of one of the frames that the loop went through."""
        if self._source is None or self._failed is not None:
            return Unknown(reason=self._failed or "no source")
        if frames < 1 or self.readings < _FEWEST or self.seconds <= 0.0:
            return Unknown(
                reason=f"{self._source.name}: {self.readings} readings during {frames} frames, expected at least "
                f"{_FEWEST} during one or more; run for longer"
            )
        above = self.joules - self._idle_w * self.seconds
        if above <= 0.0:
            return Unknown(
                reason=f"{self._source.name}: the loop took {self.joules / self.seconds:.2f} W, no more than the "
                f"{self._idle_w:.2f} W before it; what else this machine does hides the frames"
            )
        return Energy(
            source=self._source.name,
            frame_mj=1e3 * above / frames,
            mean_w=self.joules / self.seconds,
            idle_w=self._idle_w,
            frames=frames,
            seconds=self.seconds,
        )


def document(found: Energy | Unknown) -> dict[str, Any]:
    """Return the outcome as a tree for JSON: ``available``, then the figures or the reason."""
    if isinstance(found, Unknown):
        return {"available": False, "reason": found.reason}
    return {"available": True, **{k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(found).items()}}


def lines(found: Energy | Unknown) -> list[tuple[str, str]]:
    """Return the outcome as names and values for people."""
    if isinstance(found, Unknown):
        return [("energy", f"not available: {found.reason}")]
    above = f"{found.mean_w:.2f} W, idle {found.idle_w:.2f} W taken off"
    return [("energy", f"{found.frame_mj:.2f} mJ a frame ({found.source}; {above}, {found.frames} frames)")]
