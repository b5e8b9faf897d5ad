"""Memory and CPU time of this process.

before = process.cpu_s()
process.resident_mib(), process.peak_memory_mib(), process.cpu_s() - before
"""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from pathlib import Path

__all__ = ["cpu_s", "peak_memory_mib", "resident_mib"]


def peak_memory_mib() -> float:
    """Return the largest resident size this process has had so far."""
    # Not getrusage where there is another way: across exec, Linux keeps the peak of the process that started this one.
    if (peak := _status_mib("VmHWM:")) is not None:
        return peak
    # In bytes on macOS, in KiB elsewhere (getrusage(2)).
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def resident_mib() -> float | None:
    """Return the resident size of this process now; None where the system does not say."""
    return _status_mib("VmRSS:")


def cpu_s() -> float:
    """Return the seconds of CPU this process has used, all its threads, in user and kernel mode."""
    return time.process_time()


def _status_mib(name: str) -> float | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text("utf-8").splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024  # proc(5): in kB, which are KiB
    return None
