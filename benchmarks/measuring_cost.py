"""What measuring costs, whether the figures are true, and whether the stages account for all of a frame.

    python benchmarks/measuring_cost.py [--rounds 400] [--bundle chest-xray] [--json]

1. ``screen`` with its clock on against a clock that only returns 0: alternating, frame by frame, on the same images,
   each half of the time first; p50 of both, limit 1 %, with an interval, and the same of CPU time, which others on the
   machine disturb less.
2. ``single`` against a stopwatch outside: the scenario's own loop with a second clock around each step of its results;
   the scenario's p50 against that of the stopwatch, limit 3 %.
3. In the same samples: median share of a total that no stage accounts for, limit 2 %.

Exit 3 when a limit is missed, 9 when the machine is too noisy to tell whether the first one is.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from edgemed.benchmark import loop, subject
from edgemed.benchmark.control import Control, noise
from edgemed.benchmark.loop import Limit
from edgemed.benchmark.series import STAGES
from edgemed.benchmark.subject import Opening, Subject
from edgemed.imaging import readers
from edgemed.imaging.frame import Frame
from edgemed.runtime.screener import Screener
from edgemed.runtime.screening import Screening
from edgemed.statistics import blocks

LIMITS = {"cost_of_timing": 0.01, "single_against_stopwatch": 0.03, "unaccounted": 0.02}


def main() -> int:
    options = parse()
    opened = subject.open_subject(Opening(bundle=options.bundle))
    images = subject.images(opened.screener, None)
    frames = [frame for path in images.paths for frame in readers.read(path)]
    found: dict[str, Any] = {
        **cost(opened, frames, options.rounds),
        **against_stopwatch(opened, images, 4 * options.rounds),
    }
    over = [name for name, limit in LIMITS.items() if abs(float(str(found[name]))) > limit]
    # An interval wider than the limit on both sides says nothing of the limit.
    low, high = found.get("cost_of_timing_ci95", (-1.0, 1.0))
    unjudged = ["cost_of_timing"] if high - low > 2 * LIMITS["cost_of_timing"] else []
    missed = [name for name in over if name not in unjudged]
    report = {**found, "limits": LIMITS, "missed": missed, "unjudged": unjudged}
    print(json.dumps(report, indent=2) if options.json else "\n".join(f"{k}: {v}" for k, v in report.items()))
    return 3 if missed else 9 if unjudged else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=400, help="of the images")
    parser.add_argument("--bundle", default="chest-xray", help="file, or name of a shipped bundle")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def cost(opened: Subject, frames: list[Frame], rounds: int) -> dict[str, object]:
    """Return by how much the clock makes screening slower, as shares: of the p50 and, as a check, of the CPU time."""
    one = opened.screener
    pair = [Screener(one.bundle, one.classifier.interpreter, clock=clock) for clock in (time.perf_counter, lambda: 0.0)]
    taken: list[list[tuple[float, float]]] = [[], []]
    for turn in range(rounds):
        for number, frame in enumerate(frames):
            for place in (0, 1) if (turn + number) % 2 else (1, 0):
                taken[place].append(timed(pair[place], frame))
    (on_wall, on_cpu), (off_wall, off_cpu) = (np.array(each).T for each in taken)
    drawn = blocks.log_median_ratio(off_wall, on_wall, rng=np.random.default_rng(1))
    found: dict[str, object] = {
        "cost_of_timing": round(float(np.median(on_wall) / np.median(off_wall)) - 1.0, 5),
        "cost_of_timing_cpu": round(float(np.median(on_cpu) / np.median(off_cpu)) - 1.0, 5),
    }
    if drawn is not None:
        ends = np.exp(np.percentile(drawn, (2.5, 97.5))) - 1.0
        found["cost_of_timing_ci95"] = [round(float(end), 5) for end in ends]
    return found


def timed(screener: Screener, frame: Frame) -> tuple[float, float]:
    """Return the wall and the CPU seconds of one frame."""
    cpu, start = time.thread_time(), time.perf_counter()
    screener.screen(frame)
    return time.perf_counter() - start, time.thread_time() - cpu


def against_stopwatch(opened: Subject, images: subject.Images, samples: int) -> dict[str, object]:
    outside: list[float] = []

    def stopped(results: Iterator[Screening]) -> Iterator[Screening]:
        while True:
            start = time.perf_counter()
            found = next(results)
            outside.append(1e3 * (time.perf_counter() - start))
            yield found

    results = stopped(loop.cycled(opened.screener, images.paths))
    taken = loop.run(results, limit=Limit(samples=samples), warm_up=20, control=Control())
    totals = np.asarray(taken.series.times("total"))
    stages = np.sum([taken.series.times(stage) for stage in STAGES if stage != "total"], axis=0)
    watch = float(np.median(outside[20:]))
    controls = noise(taken.series.controls())
    return {
        "single_against_stopwatch": round(float(np.median(totals)) / watch - 1.0, 5),
        "unaccounted": round(float(np.median(np.abs(totals - stages) / totals)), 5),
        "single_p50_ms": round(float(np.median(totals)), 3),
        "stopwatch_p50_ms": round(watch, 3),
        "samples": samples,
        "noise": controls.why or "quiet",
    }


if __name__ == "__main__":
    sys.exit(main())
