"""What a machine is doing at this moment: it changes a figure, and is told with it rather than compared.

found = state.now()
state.warnings(before, found)
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from edgemed.measure import jetson, machine

__all__ = ["State", "now", "warnings"]

_CPU = Path("/sys/devices/system/cpu")
_THERMAL = Path("/sys/class/thermal")
_HOT_C = 80.0  # Raspberry Pi 4 and 5 begin to slow down here (Raspberry Pi documentation, "Frequency management")
_BUSY = 0.2  # share of all cores that others use
_SLOW = 0.9  # of the highest frequency, under the governor that asks for it


class State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frequency, heat and load; None where the system does not say, as most virtual machines.

    Attributes:
        frequency_mhz: of the fastest core now.
        highest_mhz: that the governor may choose.
        temperature_c: of the hottest sensor.
        throttled: how often the CPU was slowed down for heat since it started.
        load: average number of processes that ran or waited in the last minute.
        stolen_s: CPU seconds that the hypervisor gave to others since the start, all cores together.
        power_mw: of the whole module of a Jetson.
    """

    frequency_mhz: float | None
    highest_mhz: float | None
    temperature_c: float | None
    throttled: Annotated[int, Meta(ge=0)] | None
    load: Annotated[float, Meta(ge=0.0)] | None
    stolen_s: Annotated[float, Meta(ge=0.0)] | None
    power_mw: int | None


def now(*, cpu: Path = _CPU, thermal: Path = _THERMAL) -> State:
    """Return the state of this machine.

    Args:
        cpu: sysfs folder of the cores.
        thermal: sysfs folder of the sensors.
    """
    tegra = jetson.tegrastats()
    return State(
        frequency_mhz=_most(_numbers(cpu, "cpu[0-9]*/cpufreq/scaling_cur_freq"), scale=1e-3),
        highest_mhz=_most(_numbers(cpu, "cpu[0-9]*/cpufreq/scaling_max_freq"), scale=1e-3),
        temperature_c=_hottest(thermal, {} if tegra is None else tegra.temperatures_c),
        throttled=_throttled(cpu),
        load=_load(),
        stolen_s=_stolen_s(),
        power_mw=None if tegra is None else next(iter(tegra.power_mw.values()), None),
    )


def warnings(before: State, after: State) -> tuple[str, ...]:
    """Return what in the state before and after a measurement makes it doubtful, a sentence each."""
    said = []
    hot = [one.temperature_c for one in (before, after) if one.temperature_c is not None]
    if hot and max(hot) >= _HOT_C:
        said.append(f"the machine was {max(hot):.0f} °C hot; many slow down from {_HOT_C:.0f} °C on")
    if before.throttled is not None and after.throttled is not None and after.throttled > before.throttled:
        said.append(f"the CPU was throttled {after.throttled - before.throttled} times for heat while it was measured")
    if before.load is not None and before.load > _BUSY * machine.cores():
        said.append(f"other work was going on: load {before.load:.1f} on {machine.cores()} cores before the start")
    if after.frequency_mhz is not None and after.highest_mhz and after.frequency_mhz < _SLOW * after.highest_mhz:
        said.append(f"the CPU ran at {after.frequency_mhz:.0f} of {after.highest_mhz:.0f} MHz at the end")
    return tuple(said)


def _numbers(folder: Path, pattern: str) -> list[float]:
    found = []
    for path in sorted(folder.glob(pattern)):
        # A sensor that is off cannot be read, or says something else than a number.
        with contextlib.suppress(OSError, ValueError):
            found.append(float(path.read_text("ascii")))
    return found


def _most(values: list[float], *, scale: float) -> float | None:
    return round(max(values) * scale, 1) if values else None


def _hottest(thermal: Path, tegra: Mapping[str, float]) -> float | None:
    sensors = [value * 1e-3 for value in _numbers(thermal, "thermal_zone*/temp")]  # in thousandths, sysfs-class-thermal
    return _most([*sensors, *tegra.values()], scale=1.0)


def _throttled(cpu: Path) -> int | None:
    # Of each core, or where it is shared, the same number of each: the largest is what happened.
    counts = _numbers(cpu, "cpu[0-9]*/thermal_throttle/package_throttle_count")
    return int(max(counts)) if counts else None


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def _stolen_s() -> float | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        # proc(5): user nice system idle iowait irq softirq steal, in clock ticks.
        return int(Path("/proc/stat").read_text("ascii").split("\n", 1)[0].split()[8]) / os.sysconf("SC_CLK_TCK")
    return None
