"""The machine that a figure was measured on: two measurements compare where this is the same.

found = machine.here(["numpy", "ai-edge-litert"])
machine.differences(before, found)
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from edgemed.measure import jetson

__all__ = ["LIBRARIES", "Machine", "cores", "cpu_name", "differences", "here", "memory_mib", "versions"]

LIBRARIES = ("ai-edge-litert", "numpy", "onnxruntime", "opencv-python-headless", "tflite-runtime")
"""Distributions whose code runs between a file and its decision."""

_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")

Text = Annotated[str, Meta(min_length=1, max_length=200)]
Count = Annotated[int, Meta(ge=1)]


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hardware, system and libraries; no host name, no path.

    Attributes:
        cpu: as the processor calls itself.
        cores: that this process may use.
        governor: of the CPU's frequency; None where the system has none to choose.
        power_mode: of a Jetson, as ``nvpmodel`` names it; None elsewhere.
        memory_mib: of the machine; None where the system does not say.
        libraries: versions by distribution.
        backend: name of the inference back end; None before a model is loaded.
        kernels: that compute its operators.
        delegate: what runs the graph besides the built-in kernels.
        coverage: share of the operators that the delegate takes, 0 to 1; None where that is not known.
        threads: of the inference.
    """

    cpu: Text
    architecture: Text
    cores: Count
    governor: Text | None
    power_mode: Text | None
    memory_mib: Count | None
    system: Text
    python: Text
    libraries: dict[str, str]
    backend: Text | None = None
    kernels: Text | None = None
    delegate: Text | None = None
    coverage: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    threads: Count | None = None


def here(libraries: Iterable[str] = LIBRARIES) -> Machine:
    """Return the machine of this process, without the fields of the inference."""
    return Machine(
        cpu=cpu_name(),
        architecture=platform.machine(),
        cores=cores(),
        governor=_line(_GOVERNOR),
        power_mode=jetson.power_mode(),
        memory_mib=memory_mib(),
        system=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libraries=versions(libraries),
    )


def differences(one: Machine, other: Machine) -> tuple[str, ...]:
    """Return what differs between two machines, as ``name: expected X, got Y``, in the order of the fields."""
    found = []
    for name in Machine.__struct_fields__:
        expected, got = getattr(one, name), getattr(other, name)
        if isinstance(expected, dict):
            names = sorted(key for key in {*expected, *got} if expected.get(key) != got.get(key))
            found += [f"{key}: expected {_shown(expected.get(key))}, got {_shown(got.get(key))}" for key in names]
        elif expected != got:
            found.append(f"{name}: expected {_shown(expected)}, got {_shown(got)}")
    return tuple(found)


def versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of those distributions that are installed, by name."""
    found = {}
    for name in sorted(names):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def cpu_name() -> str:
    """Return what the processor, or the board where that names no processor, calls itself."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            # "Model": boards whose kernel names the board and no processor.
            if line.partition(":")[0].strip() in ("model name", "Model"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_mib() -> int | None:
    """Return the memory of the machine; None where the system does not say."""
    names = ("SC_PHYS_PAGES", "SC_PAGE_SIZE")
    if not all(name in os.sysconf_names for name in names):
        return None
    return os.sysconf(names[0]) * os.sysconf(names[1]) // 2**20


def _line(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "replace").strip() or None
    except OSError:
        return None


def _shown(value: object) -> str:
    return "none" if value is None else str(value)
