from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.benchmark import roofline
from edgemed.benchmark.roofline import Load, Machine
from edgemed.tflite import Work

CONV = Work(operator="CONV_2D", places=100, taps=9, depth=8, channels=16, weights=1168, read=800, written=1600)
DEPTHWISE = Work(
    operator="DEPTHWISE_CONV_2D", places=100, taps=9, depth=1, channels=64, weights=640, read=6400, written=6400
)
ADD = Work(operator="ADD", read=2_000_000, written=1_000_000)
PLAIN = Machine(rate_gmac_s=1.0, bandwidth_gb_s=1.0)
ARRAY = Machine(rate_gmac_s=1.0, bandwidth_gb_s=1000.0, bus_mb_s=100.0, sram_mib=8, depthwise_rows=16.0)


def _parts(*work: Work, machine: Machine = PLAIN, ends: int = 0) -> roofline.Parts:
    return roofline.parts(Load(work=work, ends=ends), machine)


def test_operator_lasts_as_long_as_what_it_waits_for() -> None:
    found = _parts(CONV, ADD)

    assert found.compute_ms == pytest.approx(100 * 9 * 8 * 16 / 1e6)  # 1 GMAC/s is 1e6 a ms
    assert found.memory_ms == pytest.approx(3.0)
    assert found.total_ms == pytest.approx(0.1152 + 3.0)


def test_launches_are_those_of_the_frame_and_of_each_operator_that_runs() -> None:
    machine = msgspec.structs.replace(PLAIN, operator_us=5.0, frame_ms=2.0)
    reshape = Work(operator="RESHAPE", read=100, written=100)

    assert _parts(CONV, ADD, reshape, machine=machine).launch_ms == pytest.approx(2.010)


def test_float16_moves_twice_the_bytes() -> None:
    half = msgspec.structs.replace(PLAIN, bytes_per_value=2)

    assert _parts(ADD, machine=half).memory_ms == pytest.approx(2 * _parts(ADD).memory_ms)


def test_ends_travel_over_the_bus_where_there_is_one() -> None:
    assert _parts(CONV, ends=100_000).transfer_ms == 0.0
    assert _parts(CONV, ends=100_000, machine=ARRAY).transfer_ms == pytest.approx(1.0)


def test_array_computes_its_idle_lanes_too() -> None:
    assert _parts(CONV, machine=ARRAY).compute_ms == pytest.approx(100 * 9 * 8 * 64 / 1e6)
    assert _parts(DEPTHWISE, machine=ARRAY).compute_ms == pytest.approx(100 * 9 * 16 * 64 / 1e6)


def test_weights_that_fit_on_the_chip_are_not_sent_again() -> None:
    assert _parts(CONV, machine=ARRAY).streamed_ms == 0.0


def test_weights_that_do_not_fit_are_sent_with_every_frame() -> None:
    dense = Work(operator="FULLY_CONNECTED", places=1, taps=1, depth=4096, channels=2048)
    size = 4096 * 2048 + 8 * 2048  # and a scale and a zero point for each channel

    found = _parts(CONV, dense, machine=ARRAY)

    assert found.streamed_ms == pytest.approx(size / 100e3)
    assert roofline.off_chip_bytes((CONV, dense), PLAIN) == 0


works = st.lists(st.sampled_from([CONV, DEPTHWISE, ADD]), min_size=1, max_size=6)
rates = st.floats(0.01, 1e5)


@given(works, rates, rates, st.sampled_from(["rate_gmac_s", "bandwidth_gb_s", "bus_mb_s"]))
def test_no_machine_gets_slower_by_a_faster_part(work: Sequence[Work], rate: float, other: float, part: str) -> None:
    slow, fast = sorted((rate, other))
    load = Load(work=tuple(work), ends=1000)

    def total(value: float) -> float:
        return roofline.parts(load, msgspec.structs.replace(ARRAY, **{part: value})).total_ms

    assert total(fast) <= total(slow) * (1 + 1e-9)


@given(works, st.sampled_from([PLAIN, ARRAY]))
def test_parts_are_never_negative_and_make_up_the_total(work: Sequence[Work], machine: Machine) -> None:
    found = _parts(*work, machine=machine)
    shares = dataclasses.astuple(found)

    assert min(shares) >= 0.0
    assert found.total_ms == pytest.approx(sum(shares))
