"""Fixed work between the frames, whose own times say whether the machine can judge anything at this moment.

The work is the same on every call, so whatever its times do, the machine did: another process on the core, a frequency
that fell, a hypervisor that gave the core away. It is small enough to leave the caches to the frames.

    control = Control()
    control.ms()
    noise(times).quiet
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

__all__ = ["BLOCKS", "Control", "Noise", "noise"]

BLOCKS = 20
_FEWEST = 2 * BLOCKS  # samples
_SPREAD_LIMIT, _DRIFT_LIMIT, _DISTURBED_LIMIT = 0.05, 0.05, 0.05
_DISTURBED = 1.5  # times the median: the core was taken away for a while
_BYTES = 16 << 10
_ROUNDS = 4

Share = Annotated[float, Meta(ge=0.0)]


class Noise(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the control loop says of the machine.

    Attributes:
        n: samples.
        p50_ms: of the fixed work.
        spread: of the medians of 20 blocks in time order, as a share of their median: 1.4826 times their median
            absolute deviation; None with too few samples.
        drift: the median of the last third against that of the first, as a share of the median; None as above.
        disturbed: share of samples that took more than 1.5 times the median; None as above.
        quiet: whether all three are at most 5 %; None with too few samples to tell.
        why: a sentence; empty where the machine is quiet.
    """

    n: Annotated[int, Meta(ge=0)]
    p50_ms: float | None
    spread: Share | None
    drift: float | None
    disturbed: Share | None
    quiet: bool | None
    why: str


class Control:
    """The fixed work: 4 times SHA-256 and a sum over the same 16 KiB."""

    def __init__(self, *, clock: Callable[[], float] = time.perf_counter) -> None:
        """Make what is worked on.

        Args:
            clock: seconds, rising.
        """
        self._clock = clock
        numbers = np.random.default_rng(0).integers(0, 256, _BYTES, dtype=np.uint8)
        self._bytes = numbers.tobytes()
        self._numbers = numbers.astype(np.int32)

    def ms(self) -> float:
        """Do the work once, and return how long it took, in ms."""
        start = self._clock()
        for _ in range(_ROUNDS):
            hashlib.sha256(self._bytes).digest()
            int(self._numbers.sum())
        return 1e3 * (self._clock() - start)


def noise(times_ms: Sequence[float]) -> Noise:
    """Return what the times of the fixed work say of the machine, in the order they were taken."""
    values = np.asarray(times_ms, np.float64)
    middle = float(np.median(values)) if values.size else None
    if middle is None or values.size < _FEWEST or not middle > 0.0:
        why = (
            f"{values.size} samples of the control loop, expected at least {_FEWEST}: nothing can be said of the noise"
        )
        return Noise(n=values.size, p50_ms=middle, spread=None, drift=None, disturbed=None, quiet=None, why=why)
    medians = np.array([np.median(block) for block in np.array_split(values, BLOCKS)])
    thirds = np.array_split(values, 3)
    spread = 1.4826 * float(np.median(np.abs(medians - np.median(medians)))) / middle
    drift = float(np.median(thirds[-1]) - np.median(thirds[0])) / middle
    disturbed = float(np.mean(values > _DISTURBED * middle))
    why = _why(spread, drift, disturbed)
    return Noise(
        n=values.size,
        p50_ms=round(middle, 4),
        spread=round(spread, 4),
        drift=round(drift, 4),
        disturbed=round(disturbed, 4),
        quiet=not why,
        why=why,
    )


def _why(spread: float, drift: float, disturbed: float) -> str:
    said = []
    if spread > _SPREAD_LIMIT:
        said.append(f"spread of {spread:.1%} between blocks")
    if abs(drift) > _DRIFT_LIMIT:
        said.append(f"drift of {drift:+.1%} from the first third to the last")
    if disturbed > _DISTURBED_LIMIT:
        said.append(f"{disturbed:.1%} of samples far above the median")
    if not said:
        return ""
    return f"the control loop, which always does the same, had a {', a '.join(said)}; expected at most 5 % each"
