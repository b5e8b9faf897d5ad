from __future__ import annotations

import pytest

from edgemed.measure import jetson

ORIN = (
    "11-25-2026 08:12:01 RAM 2448/7620MB (lfb 3x4MB) SWAP 0/3810MB (cached 0MB) "
    "CPU [12%@1510,5%@1510,off,off,0%@729,3%@729] EMC_FREQ 1%@2133 GR3D_FREQ 37%@[624] "
    "cpu@48.468C soc2@46.781C soc0@47.187C gpu@48.125C tj@48.468C soc1@46.906C "
    "VDD_IN 4552mW/4610mW VDD_CPU_GPU_CV 805mW/805mW VDD_SOC 1409mW/1420mW"
)
NANO = (
    "RAM 1903/3956MB (lfb 120x4MB) SWAP 0/1978MB (cached 0MB) IRAM 0/252kB(lfb 252kB) CPU [25%@1479,0%@1479,off,off] "
    "EMC_FREQ 0% GR3D_FREQ 0% PLL@38C CPU@42.5C PMIC@100C GPU@40C AO@46.5C thermal@41.25C POM_5V_IN 2532/2532 "
    "POM_5V_GPU 40/40 POM_5V_CPU 486/486"
)


def test_line_of_an_orin() -> None:
    found = jetson.parse_tegrastats(ORIN)
    assert found is not None
    assert (found.ram_used_mib, found.ram_mib) == (2448, 7620)
    assert found.core_mhz == (1510, 1510, 729, 729)
    assert found.core_load == (0.12, 0.05, 0.0, 0.03)
    assert (found.gpu_load, found.gpu_mhz) == (0.37, 624)
    assert found.temperatures_c["tj"] == 48.468
    assert found.power_mw == {"VDD_IN": 4552, "VDD_CPU_GPU_CV": 805, "VDD_SOC": 1409}


def test_line_of_a_nano_without_units() -> None:
    found = jetson.parse_tegrastats(NANO)
    assert found is not None
    assert found.core_mhz == (1479, 1479)
    assert (found.gpu_load, found.gpu_mhz) == (0.0, None)
    assert found.temperatures_c["thermal"] == 41.25
    assert found.power_mw == {"POM_5V_IN": 2532, "POM_5V_GPU": 40, "POM_5V_CPU": 486}


def test_sensor_that_is_off_has_no_temperature() -> None:
    found = jetson.parse_tegrastats("RAM 1/2MB cv0@-256C cpu@40C")
    assert found is not None
    assert found.temperatures_c == {"cpu": 40.0}


@pytest.mark.parametrize("line", ["", "sudo: tegrastats: command not found", "CPU [1%@2]"])
def test_other_text_is_no_line(line: str) -> None:
    assert jetson.parse_tegrastats(line) is None


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("NV Power Mode: 15W\n0\n", "15W"),
        ("NVPM WARN: fan mode is not set!\nNV Power Mode: MAXN_SUPER\n2\n", "MAXN_SUPER"),
        ("command not found", None),
    ],
    ids=["orin", "with-warning", "none"],
)
def test_power_mode(text: str, mode: str | None) -> None:
    assert jetson.parse_nvpmodel(text) == mode
