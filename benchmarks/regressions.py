"""How often ``edgemed benchmark --compare`` calls a regression: of a real slowdown, and of none. Simulated runs.

    python benchmarks/regressions.py [--runs 100] [--from SAVED.json] [--samples 1000] [--json]

A run is made of the stages' times in a saved measurement (without one, of one that is taken
first, by CPU time): blocks of 50
successive samples, drawn anew, so that what lasts within a block is kept, as are its ties between stages; times a
factor of the run that all stages and the fixed work share, lognormal with 5 %, for a machine that is slower today;
times a factor of each stage and run, lognormal with 1 %, for memory that lies elsewhere; with a stall of 1 to 30 ms in
one of 200 frames. Injected: preprocessing times 1.10, and as much more in the total. Each comparison is of two runs of
their own. The fixed work scatters as on a quiet machine (1 %): on a noisy one the command gives no verdict.

Limits: the slowdown is called a regression of preprocessing in >= 95 of 100, no change is called one of any stage in
<= 5 of 100. Exit 3 when one is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemed import measure
from edgemed.benchmark import compare, document, measurement, subject
from edgemed.benchmark.control import noise
from edgemed.benchmark.document import Result
from edgemed.benchmark.measurement import Work
from edgemed.benchmark.scenario import Plan, Scenario
from edgemed.benchmark.series import STAGES
from edgemed.benchmark.subject import Opening
from edgemed.runtime.screener import Screener

BLOCK = 50
MACHINE, PLACE = 0.05, 0.01
STALL_SHARE, STALL_MS = 0.005, (1.0, 30.0)
PARTS = [stage for stage in STAGES if stage != "total"]


def main() -> int:
    options = parse()
    saved = document.read(options.saved) if options.saved else measured(options.samples)
    rng = np.random.default_rng(9)
    slower = [verdicts(saved, rng, options.samples, slowdown=1.10) for _ in range(options.runs)]
    same = [verdicts(saved, rng, options.samples, slowdown=1.0) for _ in range(options.runs)]
    found = {
        "runs": options.runs,
        "samples": options.samples,
        "source_noise": saved.noise.why or "quiet",
        "slowdown_called_in_preprocessing": sum("preprocess" in one for one in slower if one is not None),
        "no_change_called": sum(bool(one) for one in same if one is not None),
        "without_verdict": sum(one is None for one in (*slower, *same)),
    }
    print(
        json.dumps(found, indent=2) if options.json else "\n".join(f"{name}: {value}" for name, value in found.items())
    )
    met = found["slowdown_called_in_preprocessing"] >= 0.95 * options.runs
    return 0 if met and found["no_change_called"] <= 0.05 * options.runs else 3


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100, help="of each kind")
    parser.add_argument("--samples", type=int, default=1000, help="of a run")
    parser.add_argument("--from", dest="saved", type=Path, help="what 'edgemed benchmark --save' wrote")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def measured(samples: int) -> Result:
    """Measure the shipped chest bundle on its samples, by the CPU time of this thread.

    What others on the machine take away is not in it, as on a machine that is quiet enough to judge.
    """
    opening = Opening(bundle="chest-xray")
    opened = subject.open_subject(opening)
    one = opened.screener
    screener = Screener(one.bundle, one.classifier.interpreter, selected=one.selection, clock=time.thread_time)
    plan = Plan(scenario=Scenario.SINGLE, samples=samples)
    own = subject.Subject(screener=screener, open_ms=opened.open_ms)
    images = subject.images(screener, None)
    work = Work(subject=own, images=images, plan=plan, opening=opening, clock=time.thread_time)
    return measurement.measure(work)


def verdicts(saved: Result, rng: np.random.Generator, samples: int, *, slowdown: float) -> set[str] | None:
    """Return the stages that a comparison of two simulated runs calls slower; None without a verdict."""
    before, after = simulated(saved, rng, samples), simulated(saved, rng, samples, slowdown=slowdown)
    found = compare.compare(before, after)
    return None if found.why else {one.stage for one in found.slower}


def simulated(saved: Result, rng: np.random.Generator, samples: int, *, slowdown: float = 1.0) -> Result:
    """Return a run as the docstring of this module says."""
    rows = drawn_rows(len(saved.samples["total"]), rng, samples)
    machine = rng.lognormal(0.0, MACHINE)
    times: dict[str, NDArray[np.float64]] = {}
    for stage in PARTS:
        place = rng.lognormal(0.0, PLACE)
        times[stage] = np.maximum(np.asarray(saved.samples[stage])[rows], 1e-3) * machine * place
    times["preprocess"] = times["preprocess"] * slowdown
    stalled = rng.random(samples) < STALL_SHARE
    times["infer"] = times["infer"] + stalled * rng.uniform(*STALL_MS, samples)
    times["total"] = np.sum(list(times.values()), axis=0)
    fixed = float(np.median(saved.samples["control"]))
    times["control"] = fixed * machine * rng.lognormal(0.0, 0.01, samples)
    return msgspec.structs.replace(
        saved,
        stages={stage: measure.distribution(times[stage]) for stage in STAGES},
        samples={name: tuple(values.tolist()) for name, values in times.items()},
        noise=noise(times["control"]),
    )


def drawn_rows(count: int, rng: np.random.Generator, samples: int) -> NDArray[np.int64]:
    """Return the numbers of some samples, in blocks of successive ones."""
    length = min(BLOCK, count)
    starts = rng.integers(0, count - length + 1, size=-(-samples // length))
    rows: NDArray[np.int64] = (starts[:, None] + np.arange(length)).reshape(-1)[:samples]
    return rows


if __name__ == "__main__":
    sys.exit(main())
