"""What measuring costs, whether the figures are true, and whether the stages account for all of a frame.

    python benchmarks/measuring_cost.py [--rounds 400] [--bundle chest-xray] [--json]

1. ``screen`` with its clock on against a clock that only returns 0: alternating, frame by frame, on the same images,
   each half of the time first; p50 of both, the median of the paired ratios, limit 1 %.
2. ``single`` against a stopwatch outside: the scenario's own loop with a second clock around each step of its results;
   the scenario's p50 against that of the stopwatch, limit 3 %.
3. In the same samples: median share of a total that no stage accounts for, limit 2 %.

Exit 3 when a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator

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

LIMITS = {"cost_of_timing": 0.01, "single_against_stopwatch": 0.03, "unaccounted": 0.02}


def main() -> int:
    options = parse()
    opened = subject.open_subject(Opening(bundle=options.bundle))
    images = subject.images(opened.screener, None)
    frames = [frame for path in images.paths for frame in readers.read(path)]
    found = {
        "cost_of_timing": cost(opened, frames, options.rounds),
        **against_stopwatch(opened, images, 4 * options.rounds),
    }
    missed = [name for name, limit in LIMITS.items() if abs(float(found[name])) > limit]
    report = {**found, "limits": LIMITS, "missed": missed}
    print(json.dumps(report, indent=2) if options.json else "\n".join(f"{k}: {v}" for k, v in report.items()))
    return 3 if missed else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=400, help="of the images")
    parser.add_argument("--bundle", default="chest-xray", help="file, or name of a shipped bundle")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def cost(opened: Subject, frames: list[Frame], rounds: int) -> float:
    """Return by how much the clock makes screening slower, as a share: the median of paired ratios, less 1."""
    one = opened.screener
    pair = [Screener(one.bundle, one.classifier.interpreter, clock=clock) for clock in (time.perf_counter, lambda: 0.0)]
    ratios = []
    for turn in range(rounds):
        for frame in frames:
            taken = {place: timed(pair[place], frame) for place in ((0, 1) if turn % 2 else (1, 0))}
            ratios.append(taken[0] / taken[1])
    return round(float(np.median(ratios)) - 1.0, 5)


def timed(screener: Screener, frame: Frame) -> float:
    start = time.perf_counter()
    screener.screen(frame)
    return time.perf_counter() - start


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
