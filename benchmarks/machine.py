"""The machine in words, and how much of it others used while something was timed."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

QUIET = 0.05  # share of all cores that others may use while a timing counts as undisturbed
SHARED = "Shared machine: other work ran at the same time, so wall seconds are too long; CPU seconds hold."


def described(packages: tuple[str, ...] = ()) -> dict[str, object]:
    """Return processor, cores, memory, Python and library versions; no host name, no path."""
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory.split()[1]) / 2**20, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def in_words(found: dict[str, object]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in dict(found["versions"]).items())  # type: ignore[call-overload]
    return (
        f"{found['processor']}, {found['cores']} cores, {found['memory_gib']} GiB, {found['system']}, Python "
        f"{found['python']}" + (f"; {versions}" if versions else "")
    )


@dataclass(kw_only=True)
class Stopwatch:
    """Seconds of named steps: on the wall, of this process on all cores, and the share of all cores others used."""

    steps: dict[str, dict[str, float]] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what runs inside."""
        wall, own, everyone = time.perf_counter(), time.process_time(), busy_s()
        yield
        self.steps[name] = spent(
            wall_s=time.perf_counter() - wall, cpu_s=time.process_time() - own, busy_s=busy_s() - everyone
        )


def spent(*, wall_s: float, cpu_s: float, busy_s: float) -> dict[str, float]:
    """Return the entry of a step from its wall and CPU seconds, and the seconds all cores were busy meanwhile."""
    others = max(0.0, busy_s - cpu_s) / (wall_s * (os.cpu_count() or 1))
    return {"wall_s": round(wall_s, 3), "cpu_s": round(cpu_s, 3), "others_share": round(others, 3)}


def busy_s() -> float:
    """Return the seconds that all cores together spent on anything but idling since the system started."""
    user, nice, system, _idle, _wait, irq, soft_irq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + soft_irq + steal) / os.sysconf("SC_CLK_TCK")


def peak_mib() -> float:
    """Return the largest resident set of this process so far (VmHWM: the parent's is not in it)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return round(int(line.split()[1]) / 1024, 1)


def shared(steps: dict[str, dict[str, float]]) -> bool:
    """Tell whether others used more than 5 % of all cores during any step, or nobody looked."""
    return any(step.get("others_share", 1.0) > QUIET for step in steps.values())
