"""Damaged pictures and DICOM files, thousands of them, against the readers: a value or an `EdgemedError`, nothing else.

    python -m benchmarks.fuzz_images [--cases 10000] [--first 0] [--limit-s 20] [--keep DIR] [--json FILE]

From the checkout's folder. The files are the samples that ship, pictures made in every format, and, beside a checkout
that has them, the DICOM files of ../shared/data, every transfer syntax among them; each is damaged in one to four ways.
Each is decoded in a process of its own with 2 GiB of address space; a crash, a hang, any other exception and a
MemoryError count as failures, are written to --keep, and make the exit code 1. Peak memory is told.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from tests.imaging.damage import Decoder, damaged, stills

ROOT = Path(__file__).resolve().parents[1]
MEMORY_BYTES = 2 << 30
LARGEST_BYTES = 2 << 20  # of a file: larger ones take their time and show nothing new


def corpus() -> dict[str, bytes]:
    row, column = np.mgrid[0:160, 0:200]
    picture = ((row * row * 3 + column * 17 + row * column // 4) % 251).astype(np.uint8)
    folders = (ROOT / "edgemed" / "shipped" / "samples", ROOT.parent / "shared" / "data" / "dicom")
    found = [path for folder in folders for path in sorted(folder.glob("*")) if path.suffix in (".png", ".jpg", ".dcm")]
    real = {path.name: path.read_bytes() for path in found if path.stat().st_size <= LARGEST_BYTES}
    return {**stills(cv2.GaussianBlur(picture, (3, 3), 0)), **real}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--limit-s", type=float, default=20.0)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    files, kinds, failures, slowest_s = corpus(), Counter[str](), [], 0.0
    began = time.monotonic()
    with Decoder(memory_bytes=MEMORY_BYTES) as decoder:
        for number in range(options.first, options.first + options.cases):
            raw = damaged(files, number)
            start = time.monotonic()
            outcome = decoder.decode(raw, limit_s=options.limit_s)
            slowest_s = max(slowest_s, time.monotonic() - start)
            kinds[outcome.kind] += 1
            if not outcome.sound:
                name = sorted(files)[number % len(files)]
                failures.append({"case": number, "file": name, "kind": outcome.kind, "words": outcome.words})
                print(f"case {number} of {name}: {outcome.kind} {outcome.words}", file=sys.stderr)
                if options.keep:
                    options.keep.mkdir(parents=True, exist_ok=True)
                    (options.keep / f"{number}-{name}").write_bytes(raw)
        peak_bytes = decoder.peak_bytes()
    found = {
        "cases": options.cases,
        "files": len(files),
        "outcomes": dict(kinds),
        "failures": failures,
        "peak_mib": round(peak_bytes / 2**20, 1),
        "slowest_s": round(slowest_s, 3),
        "seconds": round(time.monotonic() - began, 1),
    }
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps({name: value for name, value in found.items() if name != "failures"}))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
