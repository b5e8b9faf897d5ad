"""Any bytes give a report or an error of ours, on every TFLite judge, in time and memory that follow the file's size.

``python tests/converters/compat/test_fuzz.py 10000`` runs that many mutations and prints what came of them.
"""

from __future__ import annotations

import resource
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from converters import compat
from edgemed import targets
from edgemed.errors import EdgemedError
from tests.converters.compat.operators import TINY
from tests.converters.compat.test_edgetpu import UNQUANTIZED
from tests.converters.compat.test_edgetpu_rules import MAPPED, REFUSED, UNDECIDED, UNMAPPED

SEEDS = (TINY, *MAPPED.values(), *UNQUANTIZED.values())
SEEDS += tuple(case[0] for case in (*UNMAPPED.values(), *UNDECIDED.values(), *REFUSED.values()))
WORDS = (0, 1, 2, 64, 255, 0x7FFF, 0x7FFFFFFF, -1, -64, -0x80000000)
JUDGES = tuple(targets.load(name) for name in ("coral-usb", "generic-aarch64"))


def mutations(rng: np.random.Generator, count: int) -> Iterator[bytes]:
    """Yield files with bytes or words changed, parts cut, doubled or exchanged."""
    for _ in range(count):
        raw = bytearray(SEEDS[rng.integers(len(SEEDS))])
        for _ in range(rng.integers(1, 4)):
            mutate(raw, rng)
        yield bytes(raw)


def mutate(raw: bytearray, rng: np.random.Generator) -> None:
    # Mostly small changes: those that move all that follows leave no file to read.
    kind = rng.integers(20)
    place = int(rng.integers(len(raw)))
    length = int(rng.integers(1, 64))
    if kind <= 9:
        raw[place] = int(rng.integers(256))
    elif kind <= 16 and len(raw) > 8:
        struct.pack_into("<i", raw, 4 * int(rng.integers(len(raw) // 4)), WORDS[rng.integers(len(WORDS))])
    elif kind == 17 and place > 8:
        del raw[place:]
    elif kind == 18:
        raw[place:place] = raw[place : place + length]
    else:
        other = int(rng.integers(len(raw)))
        raw[other : other + length] = raw[place : place + length]


def outcome(raw: bytes) -> list[str]:
    found = []
    for target in JUDGES:
        try:
            report = compat.check(raw, source="fuzz.tflite", target=target)
        except EdgemedError as err:
            assert str(err).startswith("fuzz.tflite: ")
            found.append(type(err).__name__)
        else:
            assert [one.index for one in report.operators] == list(range(len(report.operators)))
            assert compat.document(report)["model"] == "fuzz.tflite"
            found.append("Report")
    return found


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(count: int, rng: np.random.Generator) -> Counter[str]:
    counts: Counter[str] = Counter()
    for raw in mutations(rng, count):
        counts.update(outcome(raw))
    return counts


def test_mutated_files_give_a_report_or_an_error(rng: np.random.Generator) -> None:
    before = peak_mib()
    counts = run(600, rng)
    assert set(counts) == {"Report", "ConversionError"}
    assert min(counts.values()) > 100
    assert peak_mib() - before < 64


@pytest.mark.slow
def test_ten_thousand_mutated_files_give_a_report_or_an_error(rng: np.random.Generator) -> None:
    assert set(run(10_000, rng)) == {"Report", "ConversionError"}


if __name__ == "__main__":
    started, first = time.perf_counter(), peak_mib()
    result = run(int(sys.argv[1]), np.random.default_rng(20240229))
    print(dict(result), f"{time.perf_counter() - started:.1f} s, {peak_mib() - first:.1f} MiB more at the peak")
