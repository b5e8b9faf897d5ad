"""Watch a cine stream of 640 x 480 pixels on one core: cost beyond the model, age of frames, drops, growth of memory.

The clip is a real one, scaled and written anew as MPEG-4 at 30 frames a second; it is decoded again and again.

    python benchmarks/cine_stream.py --clip lung.mp4 [--minutes 10] [--bundle breast-ultrasound] [--trust KEY] [--json]
    python benchmarks/cine_stream.py --clip lung.mp4 --frames 100000

With ``--minutes`` frames come 30 a second and are dropped when they are not taken. Beyond the bare invoke: CPU seconds
of the process, without those that as many bare invokes take, as a share of the wall seconds. Limits: 10 % of the core,
age p99 33 ms, no drop. With ``--frames`` they come as fast as they are judged, and the resident set after the last
frame is compared with that after the first tenth. Limit: 1 MiB, for 100 000 frames. Exit 3 when a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import machine
from edgemed.bundle import keys
from edgemed.imaging import cine, preprocess
from edgemed.runtime.screener import Screener
from edgemed.runtime.sources.arrival import Arrival, Clock, Pause
from edgemed.runtime.stream import Decided, Policy, Stream

FPS = 30.0
SIZE = (640, 480)
WARM_UP = 100
LIMITS = {"beyond the model, share of the core": 0.10, "age p99, ms": 33.0, "dropped": 0.0, "growth, MiB": 1.0}


class Loop:
    """A clip played again and again, for so many frames; paced ones arrive when they are due."""

    name = "loop"
    returns = False

    def __init__(self, path: Path, frames: int, *, paced: bool) -> None:
        self.live = paced
        self._path = path
        self._frames = frames

    def arrivals(self, *, clock: Clock, pause: Pause) -> Iterator[Arrival]:
        """Yield the frames."""
        begun_s, frames = clock(), cine.read(self._path)
        for number in range(self._frames):
            due_s = begun_s + number / FPS if self.live else clock()
            if pause(max(0.0, due_s - clock())):
                return
            start = clock()
            frame = next(frames, None)
            if frame is None:
                frames = cine.read(self._path)
                frame = next(frames)
            yield Arrival(picture=frame, arrived_s=due_s, decode_ms=1e3 * (clock() - start))


def main() -> int:
    options = parse()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    trusted = [keys.read_public(path) for path in options.trust] or None
    with tempfile.TemporaryDirectory() as folder:
        clip = scaled(options.clip, Path(folder, "clip.mp4"))
        screener = Screener.open(options.bundle, keys=trusted)
        count = options.frames
        found = grown(screener, clip, count) if count else paced(screener, clip, options.minutes)
    found["load"] = [round(load, 2) for load in os.getloadavg()]
    return report(found, as_json=options.json)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--frames", type=int, help="unpaced, for the growth of memory")
    parser.add_argument("--bundle", default="breast-ultrasound", help="file, or name of a shipped bundle")
    parser.add_argument("--trust", type=Path, action="append", default=[], help="public key, for a file")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def scaled(clip: Path, to: Path) -> Path:
    writer = cv2.VideoWriter(str(to), cv2.VideoWriter_fourcc(*"mp4v"), FPS, SIZE)
    for frame in cine.read(clip):
        gray = cv2.resize(np.asarray(frame.pixels), SIZE, interpolation=cv2.INTER_LINEAR)
        writer.write(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR))
    writer.release()
    return to


def invoke_cpu_s(screener: Screener, clip: Path, count: int = 300) -> float:
    """Return the CPU seconds of one bare invoke, on the plane of a real frame that is in the tensor already."""
    screener.classifier.infer(preprocess.apply(next(cine.read(clip)), screener.preprocessing))
    native: Any = screener.classifier.interpreter._native  # type: ignore[attr-defined]
    times = []
    for _ in range(count):
        start = time.process_time()
        native.invoke()
        times.append(time.process_time() - start)
    return float(np.median(times))


def paced(screener: Screener, clip: Path, minutes: float) -> dict[str, Any]:
    before = invoke_cpu_s(screener, clip)
    count = round(60.0 * minutes * FPS)
    ages: list[float] = []
    with Stream(Loop(clip, count, paced=True), screener) as stream:
        wall, cpu, everyone = time.perf_counter(), time.process_time(), machine.busy_s()
        ages.extend(item.age_ms for item in stream if isinstance(item, Decided))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        everyone = machine.busy_s() - everyone
    invoke = (before + invoke_cpu_s(screener, clip)) / 2.0
    found = stream.statistics
    return {
        "frames": found.arrived,
        "wall_s": wall,
        "cpu_s": cpu,
        "invoke_ms": 1e3 * invoke,
        "beyond the model, share of the core": (cpu - invoke * len(ages)) / wall,
        "age p50, ms": float(np.percentile(ages, 50)),
        "age p99, ms": float(np.percentile(ages[WARM_UP:], 99)),
        "age max, ms": max(ages),
        "dropped": found.dropped,
        "others_share": machine.spent(wall_s=wall, cpu_s=cpu, busy_s=everyone)["others_share"],
    }


def grown(screener: Screener, clip: Path, count: int) -> dict[str, Any]:
    marks: list[float] = []
    start = time.perf_counter()
    with Stream(Loop(clip, count, paced=False), screener, policy=Policy()) as stream:
        for item in stream:
            if isinstance(item, Decided) and item.number % (count // 10) == count // 10 - 1:
                marks.append(resident_mib())
    return {
        "frames": stream.statistics.arrived,
        "wall_s": time.perf_counter() - start,
        "resident, MiB": marks,
        "dropped": stream.statistics.dropped,
        "growth, MiB": marks[-1] - marks[0],
    }


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def report(found: dict[str, Any], *, as_json: bool) -> int:
    missed = [name for name, limit in LIMITS.items() if name in found and found[name] > limit]
    if as_json:
        print(json.dumps({"schema_version": 1, **found, "limits": LIMITS}, indent=2))
        return 3 if missed else 0
    for name, value in found.items():
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        limit = f", limit {LIMITS[name]:g}: {'MISSED' if name in missed else 'met'}" if name in LIMITS else ""
        print(f"{name:36} {shown}{limit}")
    return 3 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
