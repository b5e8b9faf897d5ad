"""What NVIDIA's tools say of a Jetson: ``tegrastats`` of its state, ``nvpmodel`` of its power mode.

    reading = parse_tegrastats("RAM 2448/7620MB ... cpu@48.5C ... VDD_IN 4552mW/4552mW")
    reading.temperatures_c["cpu"], reading.power_mw["VDD_IN"]

Text goes in and values come out; `power_mode` and `tegrastats` alone start the tools, where they are installed.
Source of the formats: NVIDIA Jetson Linux Developer Guide, "tegrastats Utility" and "Power Mode Controls" (recall).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

__all__ = ["Tegrastats", "parse_nvpmodel", "parse_tegrastats", "power_mode", "tegrastats"]

_RAM = re.compile(r"\bRAM (\d+)/(\d+)MB")
_CORES = re.compile(r"\bCPU \[([^\]]*)\]")
_CORE = re.compile(r"(\d+)%@(\d+)")
_GPU = re.compile(r"\bGR3D_FREQ (\d+)%(?:@\[?(\d+))?")
_TEMPERATURE = re.compile(r"\b([A-Za-z][A-Za-z0-9_-]*)@(-?\d+(?:\.\d+)?)C\b")
# JetPack 5 and later write the unit, JetPack 4 does not: "VDD_IN 4552mW/4552mW", "POM_5V_IN 2532/2532".
_POWER = re.compile(r"\b((?:VDD|POM|VIN|NC)[A-Z0-9_]*) (\d+)(?:mW)?/(\d+)(?:mW)?")
_ABSENT_C = -256.0  # what a sensor that is switched off reads
_MODE = re.compile(r"NV Power Mode\s*:\s*(\S+)")
_TOOL_LIMIT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Tegrastats:
    """One line of ``tegrastats``; what the line does not say is None or left out.

    Attributes:
        ram_used_mib, ram_mib: of the memory that CPU and GPU share.
        core_mhz: of each core that is on.
        core_load: share of each core that is on, 0 to 1.
        gpu_load: share, 0 to 1.
        gpu_mhz: of the GPU.
        temperatures_c: by the sensor's name, those that are off left out.
        power_mw: at this moment, by rail.
    """

    ram_used_mib: int | None
    ram_mib: int | None
    core_mhz: tuple[int, ...]
    core_load: tuple[float, ...]
    gpu_load: float | None
    gpu_mhz: int | None
    temperatures_c: dict[str, float]
    power_mw: dict[str, int]


def parse_tegrastats(line: str) -> Tegrastats | None:
    """Return what a line says; None for a line that is not tegrastats' (it begins with RAM after an optional date)."""
    ram = _RAM.search(line)
    if ram is None:
        return None
    cores = [_CORE.match(core.strip()) for core in _cores(line)]
    running = [core for core in cores if core is not None]
    gpu = _GPU.search(line)
    return Tegrastats(
        ram_used_mib=int(ram[1]),
        ram_mib=int(ram[2]),
        core_mhz=tuple(int(core[2]) for core in running),
        core_load=tuple(int(core[1]) / 100 for core in running),
        gpu_load=None if gpu is None else int(gpu[1]) / 100,
        gpu_mhz=None if gpu is None or gpu[2] is None else int(gpu[2]),
        temperatures_c={name: float(value) for name, value in _TEMPERATURE.findall(line) if float(value) > _ABSENT_C},
        power_mw={rail: int(now) for rail, now, _ in _POWER.findall(line)},
    )


def parse_nvpmodel(text: str) -> str | None:
    """Return the power mode in what ``nvpmodel -q`` prints, such as ``15W`` or ``MAXN_SUPER``; None without one."""
    found = _MODE.search(text)
    return None if found is None else found[1]


def power_mode() -> str | None:
    """Return the power mode of this Jetson; None on any other machine."""
    return None if (said := _said(["nvpmodel", "-q"])) is None else parse_nvpmodel(said)


def tegrastats() -> Tegrastats | None:
    """Return the state of this Jetson now; None on any other machine."""
    # It prints a line each interval until it is ended; the first is enough.
    said = _said(["timeout", "0.5", "tegrastats", "--interval", "100"]) if shutil.which("tegrastats") else None
    return None if said is None else parse_tegrastats(said.partition("\n")[0])


def _cores(line: str) -> list[str]:
    found = _CORES.search(line)
    return [] if found is None else found[1].split(",")


def _said(words: list[str]) -> str | None:
    """Return what a tool prints; None where it is not installed or does not answer."""
    if shutil.which(words[0]) is None:
        return None
    try:
        done = subprocess.run(words, check=False, capture_output=True, timeout=_TOOL_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace")
