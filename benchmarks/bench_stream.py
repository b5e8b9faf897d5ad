"""A stream: a recording of 30 frames from its file to the last decision, threads, inbox and time included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgemed.runtime.screener import Screener
from edgemed.runtime.sources.recording import Recording
from edgemed.runtime.stream import Decided, Stream

FRAMES, SIDE = 30, 256


def bench_recording(benchmark: Any, screener: Screener, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 200, (1, SIDE // 8, SIDE // 8)).repeat(8, axis=1).repeat(8, axis=2)
    path = tmp_path / "clip.npy"
    np.save(path, np.clip(coarse + rng.integers(0, 56, (FRAMES, SIDE, SIDE)), 0, 255).astype(np.uint8))

    assert benchmark.pedantic(_decided, (path, screener), rounds=5, warmup_rounds=1) == FRAMES


def _decided(path: Path, screener: Screener) -> int:
    with Stream(Recording(path), screener) as stream:
        return sum(isinstance(item, Decided) for item in stream)
