from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from edgemed.benchmark import energy, power
from edgemed.benchmark.energy import Energy, Meter, Unknown
from edgemed.benchmark.power import Absent, Ina3221, Rapl


def write(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{value}\n")
    return path


def package(root: Path, number: int = 0, *, energy_uj: int = 0, span: int = 262_143_328_850) -> Path:
    zone = root / "class" / "powercap" / f"intel-rapl:{number}"
    write(zone / "name", f"package-{number}")
    write(zone / "max_energy_range_uj", span)
    return write(zone / "energy_uj", energy_uj)


def rail(root: Path, number: int, name: str, *, mv: int = 5000, ma: int = 1000) -> Path:
    chip = root / "class" / "hwmon" / "hwmon3"
    write(chip / "name", "ina3221")
    write(chip / f"in{number}_label", name)
    write(chip / f"in{number}_input", mv)
    return write(chip / f"curr{number}_input", ma)


def test_packages_are_summed_and_their_parts_are_not(tmp_path: Path) -> None:
    counters = [package(tmp_path, number, energy_uj=1_000_000) for number in (0, 1)]
    write(tmp_path / "class/powercap/intel-rapl:0:0/name", "core")
    write(tmp_path / "class/powercap/intel-rapl:2/name", "psys")
    source = power.find(tmp_path)
    assert isinstance(source, Rapl)
    source.spent_j(0.0)
    for counter in counters:
        counter.write_text("3500000\n")

    assert source.name == "RAPL, 2 packages"
    assert source.spent_j(1.0) == pytest.approx(5.0)


def test_counter_that_starts_over_is_followed(tmp_path: Path) -> None:
    counter = package(tmp_path, energy_uj=9_999_990, span=9_999_999)
    source = power.find(tmp_path)
    assert isinstance(source, Rapl)
    source.spent_j(0.0)
    counter.write_text("1500000\n")

    assert source.spent_j(1.0) == pytest.approx(1.50001)  # to the end of the range, one step to 0, and on


def test_rail_of_the_whole_board_is_taken(tmp_path: Path) -> None:
    rail(tmp_path, 1, "VDD_IN", mv=5000, ma=2000)
    rail(tmp_path, 2, "VDD_CPU_GPU_CV", mv=5000, ma=800)
    source = power.find(tmp_path)

    assert isinstance(source, Ina3221)
    assert source.name == "INA3221, VDD_IN"
    assert source.spent_j(0.0) == 0.0
    assert source.spent_j(0.5) == pytest.approx(5.0)  # 10 W for half a second


def test_power_between_two_readings_is_a_straight_line(tmp_path: Path) -> None:
    current = rail(tmp_path, 1, "VDD_IN", mv=5000, ma=1000)
    source = power.find(tmp_path)
    assert isinstance(source, Ina3221)
    source.spent_j(0.0)
    current.write_text("3000\n")

    assert source.spent_j(2.0) == pytest.approx(2.0 * (5.0 + 15.0) / 2)


def test_rail_of_an_older_jetpack_tells_watts(tmp_path: Path) -> None:
    chip = tmp_path / "bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    write(chip / "rail_name_0", "POM_5V_IN")
    write(chip / "in_power0_input", 2500)
    source = power.find(tmp_path)
    assert isinstance(source, Ina3221)
    source.spent_j(0.0)

    assert source.spent_j(2.0) == pytest.approx(5.0)


def _no_total(root: Path) -> None:
    rail(root, 2, "VDD_SOC")


def _no_number(root: Path) -> None:
    package(root).write_text("n/a\n")


def _no_range(root: Path) -> None:
    (package(root).parent / "max_energy_range_uj").unlink()


REASONS = {
    "nothing": (
        lambda root: None,
        "no energy counter: no INA3221 in {root} and no RAPL package in {root}/class/powercap",
    ),
    "rails of parts": (_no_total, "INA3221: no rail of the whole board (VDD_IN or POM_5V_IN) among VDD_SOC"),
    "no number": (
        _no_number,
        "{root}/class/powercap/intel-rapl:0/energy_uj: cannot be read: invalid literal for int() with base 10: "
        "'n/a\\n'",
    ),
    "no range": (
        _no_range,
        "RAPL: {root}/class/powercap/intel-rapl:0/max_energy_range_uj: cannot be read: [Errno 2] No such file or "
        "directory: '{root}/class/powercap/intel-rapl:0/max_energy_range_uj'",
    ),
}


@pytest.mark.parametrize("name", REASONS)
def test_absent_source_says_why(name: str, tmp_path: Path) -> None:
    make, reason = REASONS[name]
    make(tmp_path)

    assert power.find(tmp_path) == Absent(reason=reason.format(root=tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="a closed file is open to root")
def test_counter_of_root_alone_says_so(tmp_path: Path) -> None:
    counter = package(tmp_path)
    counter.chmod(0)

    reason = f"{counter}: may be read by root alone; run as root, or let your group read it"
    assert power.find(tmp_path) == Absent(reason=reason)


class Script:
    """A source that answers one number after the other, and a clock beside it that moves on at each reading."""

    name = "script"

    def __init__(self, joules: Sequence[float | Exception]) -> None:
        self._left = list(joules)
        self.now = 100.0

    def spent_j(self, elapsed_s: float) -> float:
        said = self._left.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    def clock(self) -> float:
        self.now += 1.0
        return self.now


def metered(idle: Sequence[float], loop: Sequence[float | Exception]) -> Meter:
    script = Script([0.0, *idle, 0.0, *loop])
    meter = Meter(script, clock=script.clock)
    for _ in range(1 + len(idle)):
        meter.read()
    meter.take_idle()
    for _ in range(1 + len(loop)):
        meter.read()
    return meter


def test_frames_get_what_was_taken_above_idle() -> None:
    found = metered([2.0] * 4, [5.0] * 10).per_frame(60)

    assert found == Energy(source="script", frame_mj=500.0, mean_w=5.0, idle_w=2.0, frames=60, seconds=10.0)
    assert energy.document(found)["available"] is True
    shown = "500.00 mJ a frame (script; 5.00 W, idle 2.00 W taken off, 60 frames)"
    assert energy.lines(found) == [("energy", shown)]


UNKNOWN = {
    "too short": (
        metered([2.0], [5.0] * 3),
        "script: 4 readings during 60 frames, expected at least 10 during one or more; run for longer",
    ),
    "hidden": (
        metered([5.0], [4.0] * 10),
        "script: the loop took 4.00 W, no more than the 5.00 W before it; what else this machine does hides the frames",
    ),
    "lost": (metered([2.0], [5.0] * 9 + [OSError("gone"), 5.0]), "script: stopped answering: gone"),
    "absent": (Meter(Absent(reason="no energy counter")), "no energy counter"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_energy_that_is_not_known_is_said_plainly(name: str) -> None:
    meter, reason = UNKNOWN[name]
    found = meter.per_frame(60)

    assert found == Unknown(reason=reason)
    assert energy.document(found) == {"available": False, "reason": reason}
    assert energy.lines(found) == [("energy", f"not available: {reason}")]


def test_meter_reads_on_its_own_while_the_block_runs(tmp_path: Path) -> None:
    counter = package(tmp_path)
    before = threading.active_count()
    with Meter(power.find(tmp_path), idle_s=0.01, interval_s=0.002) as meter:
        counter.write_text("7000000\n")
        for _ in range(500):
            if meter.readings >= 12:
                break
            threading.Event().wait(0.002)
    found = meter.per_frame(7)

    assert isinstance(found, Energy)
    assert found.frame_mj == pytest.approx(1000.0)
    assert found.idle_w == 0.0
    assert threading.active_count() == before


def test_block_without_source_waits_for_nothing() -> None:
    before = threading.active_count()
    with Meter(Absent(reason="none"), idle_s=60.0) as meter:
        assert threading.active_count() == before

    assert meter.per_frame(1) == Unknown(reason="none")


def test_reader_ends_with_a_block_that_fails(tmp_path: Path) -> None:
    package(tmp_path)
    before = threading.active_count()
    with pytest.raises(RuntimeError), Meter(power.find(tmp_path), idle_s=0.0, interval_s=0.002):
        raise RuntimeError

    assert threading.active_count() == before
