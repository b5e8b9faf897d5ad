"""Every attack on a bundle, in full: against the library, and against a device's store, which must not change.

    python -m benchmarks.tampering [--json FILE]

From the checkout's folder. Prints how many attacks of each kind were tried and how many were taken; exit 1 for any.
The bundle is the smallest there is, under a trust root that asks for two of three release keys; the health check of the
install would pass whatever it is given, so that nothing but verification refuses.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgemed.bundle import trust
from edgemed.errors import EdgemedError
from tests.bundle import attacks, test_tampering
from tests.bundle.attacks import Attack

SEED = 20260101
RANDOM_CHANGES = 10_000
BITS = "single-bit flips, every bit"
LIBRARY_ALONE = (BITS,)  # a store sees every byte changed once; eight times would tell nothing more of it


def kinds(raw: bytes) -> dict[str, Callable[[], Iterator[Attack]]]:
    """Return the attacks of each kind; bytes are changed in every way that one bit can be, and at random."""
    return {
        "single-byte changes, every byte": lambda: attacks.flips(raw, random.Random(SEED)),
        BITS: lambda: _bits(raw),
        "random multi-byte changes": lambda: attacks.overwrites(raw, random.Random(SEED), count=RANDOM_CHANGES),
        "truncations, every 64 bytes": lambda: attacks.truncations(raw),
        "zip tricks": lambda: attacks.zip_tricks(raw),
    }


def _bits(raw: bytes) -> Iterator[Attack]:
    for position in range(len(raw)):
        for bit in range(8):
            changed = bytearray(raw)
            changed[position] ^= 1 << bit
            yield f"byte {position} bit {bit}", bytes(changed)


def against_library(generated: Iterator[Attack]) -> Counter[int]:
    """Return how many attacks ended with each exit code; 0 is one that was taken."""
    codes: Counter[int] = Counter()
    for _, raw in generated:
        try:
            trust.verify(raw, trust=test_tampering.TRUST)
        except EdgemedError as err:
            codes[err.exit_code] += 1
        else:
            codes[0] += 1
    return codes


def against_store(generated: Iterator[Attack], folder: Path) -> tuple[Counter[int], int]:
    """Return the same for installs, and how many changed anything in the store."""
    store = test_tampering.new_store(folder)
    before = test_tampering.everything(store)
    codes: Counter[int] = Counter()
    changed = 0
    for _, raw in generated:
        codes[test_tampering.code_of(store, raw, folder)] += 1
        changed += test_tampering.everything(store) != before
    return codes, changed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    raw = test_tampering.RAW
    rows: list[dict[str, Any]] = []
    start = time.perf_counter()
    for kind, generated in kinds(raw).items():
        library = against_library(generated())
        row = {"kind": kind, "tried": library.total(), "library": dict(library)}
        if kind not in LIBRARY_ALONE:
            with tempfile.TemporaryDirectory() as folder:
                codes, changed = against_store(generated(), Path(folder))
            row |= {"installs": dict(codes), "stores_changed": changed}
        rows.append(row)
        print(json.dumps(rows[-1]), flush=True)
    result = {"bundle_bytes": len(raw), "seed": SEED, "seconds": round(time.perf_counter() - start, 1), "kinds": rows}
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    allowed = set(test_tampering.REFUSALS)
    bad = sum(not allowed >= {*row["library"], *row.get("installs", ())} for row in rows)
    bad += sum(row.get("stores_changed", 0) for row in rows)
    print(f"{sum(row['tried'] for row in rows)} attacks on {len(raw)} bytes, {bad} kinds or stores that failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
