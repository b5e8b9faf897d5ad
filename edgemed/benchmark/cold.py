"""From the start of a process to its first result, each time in a fresh one.

    found = run(opening, paths, count=20)

The process is `edgemed.benchmark.fresh`; both read the clock that all processes of a machine share (CLOCK_MONOTONIC).
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgemed import schema
from edgemed.benchmark.control import Control
from edgemed.benchmark.loop import Measured, Progress, Silent, nothing
from edgemed.benchmark.request import Answer, Request
from edgemed.benchmark.series import Sample
from edgemed.benchmark.subject import Opening
from edgemed.errors import ImageError, InferenceError

__all__ = ["PROGRAM", "Cold", "Steps", "run"]

PROGRAM = (sys.executable, "-m", "edgemed.benchmark.fresh")
_LIMIT_S = 300.0
_SHOWN = 500


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Times of one process since its start, in ms; as `edgemed.benchmark.document.Cold`."""

    start: float
    load: float
    open: float
    result: float


@dataclass(kw_only=True)
class Cold:
    """What the processes took; the samples' totals are those of the frame alone, ``peak_mib`` is of the largest."""

    taken: Measured = field(default_factory=Measured)
    steps: list[Steps] = field(default_factory=list)
    peak_mib: float = 0.0


def run(
    opening: Opening,
    paths: Sequence[Path],
    *,
    count: int,
    program: Sequence[str] = PROGRAM,
    progress: Progress | None = None,
) -> Cold:
    """Return what so many processes took, one after the other; the file cache is warm from the second on.

    Args:
        opening: how each opens the bundle.
        paths: one file a process, in turn.
        count: of processes.
        program: the process.
        progress: told of each.

    Raises:
        InferenceError: a process failed.
        ImageError: no process had a frame to screen.
    """
    found, said, control = Cold(), progress or Silent(), Control()
    said.start("cold starts", count)
    start = time.monotonic()
    try:
        for path in itertools.islice(itertools.cycle(paths), count):
            control_ms = control.ms()
            _add(found, control_ms, *_asked(Request(opening=opening, path=str(path)), program))
            said.advance()
    except KeyboardInterrupt:
        found.taken.interrupted = True
    found.taken.wall_s = time.monotonic() - start
    if not found.steps and not found.taken.interrupted:
        raise ImageError(nothing(found.taken.series))
    return found


def _asked(request: Request, program: Sequence[str]) -> tuple[float, Answer]:
    """Start a process, and return when that was and what it answered."""
    start_s = time.monotonic()
    done = subprocess.run(
        list(program), input=schema.encode_json(request), check=False, capture_output=True, timeout=_LIMIT_S
    )
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())[-_SHOWN:]
        raise InferenceError(f"a process of the scenario 'cold' ended with {done.returncode}: {said}")
    last = done.stdout.strip().rsplit(b"\n", 1)[-1]  # a native library may write to stdout before
    return start_s, schema.decode_json(last, Answer, source="cold", error=InferenceError)


def _add(found: Cold, control_ms: float, start_s: float, answer: Answer) -> None:
    series = found.taken.series
    found.peak_mib = max(found.peak_mib, answer.peak_mib)
    found.taken.cpu_s += answer.cpu_s
    if answer.stages is None:
        series.unreadable += answer.unreadable
        series.refused += not answer.unreadable
        series.reasons.append(answer.why)
        return
    decode, preprocess, infer, decide = answer.stages
    series.add(
        Sample(
            decode_ms=decode,
            preprocess_ms=preprocess,
            infer_ms=infer,
            decide_ms=decide,
            record_ms=0.0,
            total_ms=1e3 * (answer.result_s - answer.opened_s),
            control_ms=control_ms,
        )
    )
    ends = (answer.begun_s, answer.loaded_s, answer.opened_s, answer.result_s)
    since = [1e3 * (end - start_s) for end in ends]
    found.steps.append(Steps(start=since[0], load=since[1], open=since[2], result=since[3]))
