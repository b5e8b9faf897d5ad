"""Time a folder of X-rays, one worker and two, against a hand-written loop of the same OpenCV calls and the invoke.

The loop reads, decodes, prepares and invokes one file after the other on one thread; so does OpenCV, here and there.
Rounds alternate, so that a drift of the machine falls on all. The ratios are those of the best round of each.

    python benchmarks/folder_throughput.py --images images.zip [--count 1000] [--rounds 3] [--bundle NAME] [--json]

Limits: one worker 0.9 of the loop's images a second, two workers 1.8. Exit 3 when one is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

import png_to_decision
from edgemed.bundle import keys
from edgemed.runtime import worklist
from edgemed.runtime.screener import Screener

LIMITS = {"one worker": 0.9, "two workers": 1.8}
Runner = Callable[[Sequence[Path]], list[float]]


def main() -> int:
    options = parse()
    cv2.setNumThreads(1)
    trusted = [keys.read_public(path) for path in options.trust] or None
    screener = Screener.open(options.bundle, keys=trusted)
    runners: dict[str, Runner] = {
        "by hand": by_hand(screener),
        "one worker": lambda paths: logits(worklist.screen(screener, paths)),
        "two workers": lambda paths: logits(screener.screen_many(paths, workers=2)),
    }
    with tempfile.TemporaryDirectory() as folder:
        paths = unpacked(options.images, Path(folder), options.count)
        agree(runners, paths[:20])
        seconds: dict[str, list[float]] = {name: [] for name in runners}
        for _ in range(options.rounds):
            for name, run in runners.items():
                seconds[name].append(timed(run, paths))
    return report(seconds, len(paths), as_json=options.json)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="a zip of pictures in train/")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bundle", default="chest-xray", help="file, or name of a shipped bundle")
    parser.add_argument("--trust", type=Path, action="append", default=[], help="public key, for a file")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def unpacked(archive: Path, folder: Path, count: int) -> list[Path]:
    with zipfile.ZipFile(archive) as members:
        # Test images are read by evaluations alone.
        names = sorted(name for name in members.namelist() if name.startswith("train/"))[:count]
        paths = [folder / f"{number:05d}{Path(name).suffix}" for number, name in enumerate(names)]
        for path, name in zip(paths, names, strict=True):
            path.write_bytes(members.read(name))
    return paths


def by_hand(screener: Screener) -> Runner:
    run = png_to_decision.by_hand(screener)
    return lambda paths: [run(path.read_bytes()) for path in paths]


def logits(outcomes: object) -> list[float]:
    return [
        found.screening.logit[0] if found.screening.logit else float("nan")
        for found in outcomes  # type: ignore[attr-defined]
    ]


def agree(runners: dict[str, Runner], paths: Sequence[Path]) -> None:
    """Stop unless all compute the same logits, but for what the quality gates refuse."""
    answers = {name: np.array(run(paths)) for name, run in runners.items()}
    judged = ~np.isnan(answers["one worker"])
    if judged.sum() < len(paths) // 2:
        raise SystemExit("most of the pictures are refused before inference: the comparison would flatter")
    for name, found in answers.items():
        if not np.allclose(found[judged], answers["by hand"][judged], rtol=1e-5):
            raise SystemExit(f"{name} differs from the loop")


def timed(run: Runner, paths: Sequence[Path]) -> float:
    start = time.perf_counter()
    run(paths)
    return time.perf_counter() - start


def report(seconds: dict[str, list[float]], count: int, *, as_json: bool) -> int:
    ratios = {name: min(seconds["by hand"]) / min(seconds[name]) for name in LIMITS}
    load = [round(load, 2) for load in os.getloadavg()]
    if as_json:
        found = {"images": count, "seconds": seconds, "ratios": ratios, "limits": LIMITS, "load": load}
        print(json.dumps({"schema_version": 1, **found}))
    else:
        for name, of in seconds.items():
            print(f"{name:12} best {count / min(of):7.1f} images a second, of {len(of)} rounds")
        for name, limit in LIMITS.items():
            verdict = "met" if ratios[name] >= limit else "MISSED"
            print(f"{name:12} {ratios[name]:.3f} of the loop, limit {limit}: {verdict}")
        print(f"load {load}")
    return 3 if any(ratios[name] < limit for name, limit in LIMITS.items()) else 0


if __name__ == "__main__":
    sys.exit(main())
