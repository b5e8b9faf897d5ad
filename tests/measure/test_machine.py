from __future__ import annotations

import platform
from pathlib import Path

import msgspec
import numpy as np

from edgemed.measure import machine, process, state


def test_this_machine_names_itself_and_the_libraries_that_are_there() -> None:
    found = machine.here(["numpy", "no-such-library"])
    assert found.architecture == platform.machine()
    assert found.cores >= 1
    assert found.libraries == {"numpy": np.__version__}
    assert platform.node() not in str(msgspec.to_builtins(found)).split()


def test_the_same_machine_does_not_differ() -> None:
    assert machine.differences(machine.here(), machine.here()) == ()


def test_differences_are_named_one_by_one() -> None:
    before = machine.here(["numpy"])
    after = msgspec.structs.replace(before, cores=before.cores + 1, governor="powersave", libraries={})
    assert machine.differences(before, after) == (
        f"cores: expected {before.cores}, got {before.cores + 1}",
        f"governor: expected {before.governor or 'none'}, got powersave",
        f"numpy: expected {np.__version__}, got none",
    )


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_state_is_read_from_sysfs(tmp_path: Path) -> None:
    cpu, thermal = tmp_path / "cpu", tmp_path / "thermal"
    for core, mhz in (("cpu0", "1500000"), ("cpu1", "1800000")):
        write(cpu, f"{core}/cpufreq/scaling_cur_freq", mhz)
        write(cpu, f"{core}/cpufreq/scaling_max_freq", "2400000")
        write(cpu, f"{core}/thermal_throttle/package_throttle_count", "7")
    write(thermal, "thermal_zone0/temp", "61250")
    write(thermal, "thermal_zone1/temp", "not a number")

    found = state.now(cpu=cpu, thermal=thermal)

    assert (found.frequency_mhz, found.highest_mhz, found.temperature_c) == (1800.0, 2400.0, 61.2)
    assert found.throttled == 7


def test_state_that_the_system_does_not_tell_is_none(tmp_path: Path) -> None:
    found = state.now(cpu=tmp_path, thermal=tmp_path)
    assert (found.frequency_mhz, found.temperature_c, found.throttled) == (None, None, None)


def test_heat_throttling_load_and_frequency_are_warned_about() -> None:
    calm = state.State(
        frequency_mhz=2400.0,
        highest_mhz=2400.0,
        temperature_c=50.0,
        throttled=3,
        load=0.0,
        stolen_s=0.0,
        power_mw=None,
    )
    hot = msgspec.structs.replace(calm, frequency_mhz=1200.0, temperature_c=84.0, throttled=5)
    busy = msgspec.structs.replace(calm, load=9.0)
    assert state.warnings(calm, calm) == ()
    assert state.warnings(calm, hot) == (
        "the machine was 84 °C hot; many slow down from 80 °C on",
        "the CPU was throttled 2 times for heat while it was measured",
        "the CPU ran at 1200 of 2400 MHz at the end",
    )
    assert state.warnings(busy, calm) == (
        f"other work was going on: load 9.0 on {machine.cores()} cores before the start",
    )


def test_memory_and_time_of_this_process() -> None:
    assert process.peak_memory_mib() > 1.0
    assert process.cpu_s() > 0.0
    resident = process.resident_mib()
    assert resident is None or 1.0 < resident <= process.peak_memory_mib() + 1.0
