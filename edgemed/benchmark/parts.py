"""The parts of the document that one scenario alone has.

parts.sustained(taken).ratio
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgemed import measure
from edgemed.benchmark.cold import Cold
from edgemed.benchmark.document import Cold as ColdPart
from edgemed.benchmark.document import Resources, Stream, Sustained, Throughput
from edgemed.benchmark.loop import Measured
from edgemed.benchmark.series import TOTAL
from edgemed.statistics import blocks

__all__ = ["cold", "of_processes", "streamed", "sustained", "throughput"]

_MINUTE_S = 60.0
_SEED = 7


def sustained(taken: Measured) -> Sustained | None:
    """Return the last minute against the first; a run below two minutes is halved. None with fewer than 2 samples."""
    totals, ends = np.asarray(taken.series.times(TOTAL)), np.asarray(taken.ends_s)
    if totals.size < 2:
        return None
    span = min(_MINUTE_S, ends[-1] / 2)
    first, last = totals[ends <= span], totals[ends > ends[-1] - span]
    if not first.size or not last.size:
        return None
    drawn = blocks.log_median_ratio(first, last, rng=np.random.default_rng(_SEED))
    ratio = float(np.median(last) / np.median(first))
    ci95 = None if drawn is None else tuple(float(np.exp(one)) for one in np.percentile(drawn, (2.5, 97.5)))
    minutes = [totals[(ends > at) & (ends <= at + span)] for at in np.arange(0.0, ends[-1], span)]
    return Sustained(
        first=measure.distribution(first),
        last=measure.distribution(last),
        ratio=round(ratio, 4),
        ratio_ci95=None if ci95 is None else (round(ci95[0], 4), round(ci95[1], 4)),
        minutes=tuple(round(float(np.median(one)), 4) for one in minutes if one.size),
    )


def throughput(taken: Measured, paths: Sequence[Path]) -> Throughput:
    """Return frames and bytes a second; of an interrupted run, over the files it can have come to."""
    frames = len(taken.series) + taken.series.missed
    size = sum(path.stat().st_size for path in paths if path.is_file())
    done = min(1.0, frames / max(1, len(paths))) if taken.interrupted else 1.0
    work_s = taken.wall_s - 1e-3 * sum(taken.series.controls())
    return Throughput(
        frames=frames,
        frames_per_s=round(frames / work_s, 3) if work_s > 0 else 0.0,
        mib_per_s=round(done * size / 2**20 / work_s, 3) if work_s > 0 else 0.0,
    )


def streamed(taken: Measured) -> Stream:
    """Return the ages of frames and what was dropped; frames of the warm-up are left aside but for drops."""
    series = taken.series
    arrived = len(series) + series.missed + series.dropped
    return Stream(frame_age=measure.distribution(series.ages()), arrived=arrived, dropped=series.dropped)


def cold(found: Cold) -> ColdPart:
    """Return the steps of the processes."""
    names = ("start", "load", "open", "result")
    return ColdPart(**{name: measure.distribution([getattr(one, name) for one in found.steps]) for name in names})


def of_processes(found: Cold) -> Resources:
    """Return what the processes took: the largest one's memory, all their CPU time."""
    taken = found.taken
    return Resources(
        resident_mib=None,
        peak_mib=round(found.peak_mib, 1) if found.peak_mib else None,
        cpu_s=round(taken.cpu_s, 3),
        wall_s=round(taken.wall_s, 3),
    )
