"""The machine and the libraries that a figure was measured with; no host name and no path.

found = environment.here()
"""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import sys
from importlib import metadata
from pathlib import Path

import msgspec

__all__ = ["Environment", "here", "peak_memory_mib"]

_LIBRARIES = ("ai-edge-litert", "keras", "numpy", "opencv-python-headless", "tensorflow", "tensorflow-cpu")


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What computed.

    Attributes:
        cpu: as the processor calls itself.
        cores: that this process may use.
        memory_mib: of the machine; None where the system does not say.
        versions: of Python and the libraries that convert, by their package's name.
    """

    system: str
    architecture: str
    cpu: str
    cores: int
    memory_mib: int | None
    versions: dict[str, str]


def here() -> Environment:
    """Return the environment of this process."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return Environment(
        system=f"{platform.system()} {platform.release()}",
        architecture=platform.machine(),
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_mib=_memory_mib(),
        versions=versions,
    )


def peak_memory_mib() -> float:
    """Return the largest resident size this process has had so far."""
    # Not getrusage where there is another way: across exec, Linux keeps the peak of the process that started this one.
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text("utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024  # proc(5): in kB, which are KiB
    # In bytes on macOS, in KiB elsewhere (getrusage(2)).
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            # "Model": boards whose kernel names the board and no processor.
            if line.partition(":")[0].strip() in ("model name", "Model"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_mib() -> int | None:
    names = ("SC_PHYS_PAGES", "SC_PAGE_SIZE")
    if not all(name in os.sysconf_names for name in names):
        return None
    return os.sysconf(names[0]) * os.sysconf(names[1]) // 2**20
