"""Time one DICOM file in memory, from bytes to decision, against pydicom's own decode and a hand-written loop.

The loop asks pydicom for the pixels, looks their grey levels up in a table made before it was timed, and goes on as
that of `png_to_decision`. Turns alternate; the ratio is that of the medians.

    python benchmarks/dicom_to_decision.py FILE... [--turns 100] [--bundle chest-xray] [--trust KEY] [--json]

Limit: 1.03 times the loop, for each file. Exit 3 when it is missed.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pydicom

import png_to_decision
from edgemed.bundle import keys
from edgemed.imaging import readers
from edgemed.runtime.screener import Screener

LIMIT = 1.03


def main() -> int:
    options = parse()
    trusted = [keys.read_public(path) for path in options.trust] or None
    screener = Screener.open(options.bundle, keys=trusted)
    found = {}
    for path in options.files:
        raw = path.read_bytes()
        sides = {"by hand": by_hand(screener, raw), "edgemed": png_to_decision.by_edgemed(screener)}
        png_to_decision.agree(raw, sides)
        times = png_to_decision.alternate(raw, sides, options.turns, clock=png_to_decision.clock_of(options))
        found[path.name] = {name: float(np.median(of)) for name, of in times.items()}
    return report(found, as_json=options.json)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="gray DICOM files of a modality that the bundle takes")
    parser.add_argument("--turns", type=int, default=100, help=f"after {png_to_decision.WARM_UP} to warm up")
    parser.add_argument("--bundle", default="chest-xray", help="file, or name of a shipped bundle")
    parser.add_argument("--trust", type=Path, action="append", default=[], help="public key, for a file")
    parser.add_argument("--cpu", action="store_true", help="compare CPU seconds, where others use the machine as well")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def by_hand(screener: Screener, sample: bytes) -> Callable[[bytes], float]:
    """Return the loop for files whose grey levels mean what they do in this one."""
    judge, table = png_to_decision.gray_by_hand(screener), levels(sample)

    def run(raw: bytes) -> float:
        stored = pydicom.dcmread(io.BytesIO(raw)).pixel_array
        return judge(cv2.LUT(stored, table) if stored.dtype == table.dtype else table.take(stored, mode="clip"))

    return run


def levels(raw: bytes) -> np.ndarray:
    """Return the table from stored values to the grey levels of the frame that edgemed reads."""
    stored = pydicom.dcmread(io.BytesIO(raw)).pixel_array
    gray = np.asarray(next(readers.decode(raw, source="memory.dcm")).pixels)
    if stored.min() < 0:
        raise SystemExit("the loop's table has no place for negative values")
    table = np.zeros(256 if stored.dtype == np.uint8 else 1 << 16, gray.dtype)
    table[stored.ravel()] = gray.ravel()
    return table


def report(found: dict[str, dict[str, float]], *, as_json: bool) -> int:
    ratios = {name: times["edgemed"] / times["by hand"] for name, times in found.items()}
    load = [round(load, 2) for load in os.getloadavg()]
    if as_json:
        print(json.dumps({"schema_version": 1, "p50_ms": found, "ratios": ratios, "limit": LIMIT, "load": load}))
    else:
        for name, times in found.items():
            verdict = "met" if ratios[name] <= LIMIT else "MISSED"
            print(f"{name}: by hand {times['by hand']:.3f} ms, edgemed {times['edgemed']:.3f} ms, p50")
            print(f"  {ratios[name]:.3f} of the loop, limit {LIMIT}: {verdict}")
        print(f"load {load}")
    return 3 if max(ratios.values()) > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
