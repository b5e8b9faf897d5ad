"""The machines that latencies were published of, each with the few numbers that are fitted, and where those begin.

A fitted number is drawn to its start by its spread, the standard deviation of its logarithm: with few figures the fit
stays near what the hardware's own figures say, and a network that is left out leaves a prediction behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgemed.benchmark.roofline import Machine
from edgemed.targets import Accelerator

Values = Mapping[tuple[str, str], float]

WIDE, NARROW, BUS = 1.0, 0.4, 0.4
EDGETPU, TENSORRT, CPU = "edgetpu", "tensorrt", "cpu"


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where one fitted number begins; ``of`` is a family or a setup."""

    of: str
    name: str
    value: float
    spread: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Peak:
    """What the data sheet of a GPU promises."""

    gmac_s: float
    gb_s: float
    bytes_per_value: int


_FACTS = "facts/devices.yaml"

_ARRAY = (
    Start(
        of=EDGETPU,
        name="rate_gmac_s",
        value=1000.0,
        spread=0.7,
        source="half of 4 TOPS, as two operations are one multiply-add and no layer fills the array; "
        "coral.ai/docs/edgetpu/benchmarks",
    ),
    Start(of=EDGETPU, name="bandwidth_gb_s", value=50.0, spread=1.5, source="a guess, with room for a factor of 4"),
    Start(of=EDGETPU, name="operator_us", value=3.0, spread=WIDE, source="a guess, with room for a factor of 3"),
    Start(
        of=EDGETPU,
        name="depthwise_rows",
        value=16.0,
        spread=WIDE,
        source="a guess between 1 and the 64 rows of the array (third-party estimate, github.com/n4hy/CoralDualEdgeTPU)",
    ),
)

_DENSE = "streamed dense layers, 369 MiB/s; github.com/Jorgitou98/EdgeTPU-QuantRL-Evaluation (MIT)"
_USB_2 = "40 MiB/s, third-party estimate; github.com/n4hy/CoralDualEdgeTPU"
_PCIE = "PCIe Gen 2 x1 carries 500 MB/s, less a fifth for its packets (recall)"
_HOST = "a guess, with room for a factor of 3"


def _host(setup: str, *, frame_ms: float, bus_mb_s: float, source: str) -> tuple[Start, Start]:
    return (
        Start(of=setup, name="frame_ms", value=frame_ms, spread=WIDE, source=_HOST),
        Start(of=setup, name="bus_mb_s", value=bus_mb_s, spread=BUS, source=source),
    )


_PEAKS: Mapping[str, Peak] = {
    # 472 GFLOPS in float16 (github.com/YahboomTechnology/Jetson-NANO-4GB); 25.6 GB/s (recall).
    "jetson-nano": Peak(gmac_s=236.0, gb_s=25.6, bytes_per_value=2),
    # 20 dense int8 TOPS, half of it in float16; 68 GB/s (public copy of the Orin Nano datasheet).
    "jetson-orin-nano": Peak(gmac_s=10_000.0, gb_s=68.0, bytes_per_value=1),
    "jetson-orin-nano, float16": Peak(gmac_s=5_000.0, gb_s=68.0, bytes_per_value=2),
    # 33 dense int8 TOPS (recall) and 102 GB/s in Super mode.
    "jetson-orin-nano, Super": Peak(gmac_s=16_500.0, gb_s=102.0, bytes_per_value=1),
}

_GPU = (
    Start(of=TENSORRT, name="rate_share", value=0.5, spread=NARROW, source="a guess: half of the data sheet's peak"),
    Start(of=TENSORRT, name="bandwidth_share", value=0.5, spread=NARROW, source="a guess: half of the data sheet's"),
    Start(of=TENSORRT, name="operator_us", value=10.0, spread=WIDE, source="a guess, with room for a factor of 3"),
)

_CYCLES = "cores of the figure times clock times 4 multiply-adds a cycle, a guess with room for a factor of 3"
_CORES = (
    Start(
        of=CPU,
        name="mac_per_byte",
        value=30.0,
        spread=0.7,
        source="a guess: as many multiply-adds as a core does while one byte passes through its caches",
    ),
    Start(of="x86-64 of 2019", name="rate_gmac_s", value=14.0, spread=WIDE, source=_CYCLES),
    Start(of="coral-dev-board, CPU", name="rate_gmac_s", value=6.0, spread=WIDE, source=_CYCLES),
    Start(of="raspberry-pi-4", name="rate_gmac_s", value=24.0, spread=WIDE, source=_CYCLES),
    Start(of="raspberry-pi-5", name="rate_gmac_s", value=38.0, spread=WIDE, source=_CYCLES),
)

STARTS: tuple[Start, ...] = (
    *_ARRAY,
    *_host("coral-usb, x86-64 host", frame_ms=0.5, bus_mb_s=387.0, source=_DENSE),
    *_host("coral-usb, Raspberry Pi 4B", frame_ms=1.5, bus_mb_s=387.0, source=_DENSE),
    *_host("coral-usb, Raspberry Pi 3B+", frame_ms=3.0, bus_mb_s=42.0, source=_USB_2),
    *_host("coral-dev-board", frame_ms=0.5, bus_mb_s=400.0, source=_PCIE),
    *_GPU,
    *_CORES,
)

_OVERCLOCKED = 1.95 / 1.5  # GHz, of the published figures and of the board as sold

SETUPS: Mapping[str, tuple[str | None, str, Accelerator]] = {
    "coral-usb, x86-64 host": ("coral-usb", "x86-64 host, USB 3", Accelerator.EDGETPU),
    "coral-usb, Raspberry Pi 4B": ("coral-usb", "Raspberry Pi 4B host, USB 3", Accelerator.EDGETPU),
    "coral-usb, Raspberry Pi 3B+": ("coral-usb", "Raspberry Pi 3B+ host, USB 2", Accelerator.EDGETPU),
    "coral-dev-board": ("coral-dev-board", "on the board", Accelerator.EDGETPU),
    "jetson-nano": ("jetson-nano", "TensorRT, float16", Accelerator.TENSORRT),
    "jetson-orin-nano": ("jetson-orin-nano", "TensorRT, int8, JetPack 5.1.2", Accelerator.TENSORRT),
    "jetson-orin-nano, float16": (None, "TensorRT, float16, JetPack 5.1.2", Accelerator.TENSORRT),
    "jetson-orin-nano, Super": ("jetson-orin-nano", "TensorRT, int8, Super mode", Accelerator.TENSORRT),
    "raspberry-pi-4": ("raspberry-pi-4", "as sold; threads of the figures not stated", Accelerator.NONE),
    "raspberry-pi-4, 1.95 GHz": (None, "overclocked to 1.95 GHz", Accelerator.NONE),
    "raspberry-pi-5": ("raspberry-pi-5", "as sold; threads of the figures not stated", Accelerator.NONE),
    "coral-dev-board, CPU": (None, "Cortex-A53 of the Coral Dev Board", Accelerator.NONE),
    "x86-64 of 2019": (None, "desktop CPU of 2019", Accelerator.NONE),
}
"""Each setup's target, what it is in words, and its family."""

UNKNOWN: Mapping[str, str] = {
    "jetson-xavier-nx": "only its throughput in batches is published, and that is no latency of one picture",
    "generic-x86-64": "it is any machine, and no one figure stands for it",
    "generic-aarch64": "it is any machine, and no one figure stands for it",
}


def machine(setup: str, values: Values) -> Machine:
    """Return the machine of a setup with these values of the fitted numbers."""
    family = SETUPS[setup][2]
    if family is Accelerator.EDGETPU:
        return Machine(
            rate_gmac_s=values[EDGETPU, "rate_gmac_s"],
            bandwidth_gb_s=values[EDGETPU, "bandwidth_gb_s"],
            operator_us=values[EDGETPU, "operator_us"],
            depthwise_rows=values[EDGETPU, "depthwise_rows"],
            frame_ms=values[setup, "frame_ms"],
            bus_mb_s=values[setup, "bus_mb_s"],
            sram_mib=8,  # coral.ai/docs/edgetpu/benchmarks
        )
    if family is Accelerator.TENSORRT:
        peak = _PEAKS[setup]
        return Machine(
            rate_gmac_s=values[TENSORRT, "rate_share"] * peak.gmac_s,
            bandwidth_gb_s=values[TENSORRT, "bandwidth_share"] * peak.gb_s,
            operator_us=values[TENSORRT, "operator_us"],
            bytes_per_value=peak.bytes_per_value,
        )
    is_overclocked = setup == "raspberry-pi-4, 1.95 GHz"
    rate = values["raspberry-pi-4" if is_overclocked else setup, "rate_gmac_s"] * (_OVERCLOCKED if is_overclocked else 1)
    return Machine(rate_gmac_s=rate, bandwidth_gb_s=rate / values[CPU, "mac_per_byte"])
