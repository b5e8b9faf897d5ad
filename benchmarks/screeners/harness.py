"""Times one screener from PNG bytes to score, and prints what it took as one line of JSON.

    python -m screeners.NAME WORK TURNS SPAWNED

``SPAWNED`` is ``time.monotonic()`` when the process was started: Linux has one such clock for all processes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import machine

Screener: TypeAlias = Callable[[bytes], float]
WARM_UP = 20


def main(open_screener: Callable[[Path], Screener]) -> None:
    """Open, answer once, warm up, take times, and print them."""
    work, turns, spawned = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    raw = (work / "image.png").read_bytes()
    screen = open_screener(work)
    logit = screen(raw)
    first_ms = 1e3 * (time.monotonic() - spawned)
    for _ in range(WARM_UP):
        screen(raw)
    own = time.process_time()
    times = []
    for _ in range(turns):
        start = time.perf_counter()
        screen(raw)
        times.append(1e3 * (time.perf_counter() - start))
    print(
        json.dumps(
            {
                "logit": float(logit),
                "first_ms": first_ms,
                "times_ms": times,
                "cpu_ms": 1e3 * (time.process_time() - own) / turns,
                "peak_mib": machine.peak_mib(),
            }
        )
    )
