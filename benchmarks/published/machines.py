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
        source="a guess between 1 and the 64 rows of the array (third-party estimate, n4hy/CoralDualEdgeTPU)",
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


@dataclass(frozen=True, kw_only=True)
class Described:
    """What a setup is; ``predicts`` where edgemed runs a model so, the others only help the fit."""

    target: str | None
    summary: str
    family: Accelerator
    predicts: bool = True


_TPU, _RT, _NONE = Accelerator.EDGETPU, Accelerator.TENSORRT, Accelerator.NONE
SERIES = "Edge TPU, host not stated"

SETUPS: Mapping[str, Described] = {
    "coral-usb, x86-64 host": Described(target="coral-usb", summary="x86-64 host, USB 3", family=_TPU),
    "coral-usb, Raspberry Pi 4B": Described(target="coral-usb", summary="Raspberry Pi 4B host, USB 3", family=_TPU),
    "coral-usb, Raspberry Pi 3B+": Described(target="coral-usb", summary="Raspberry Pi 3B+ host, USB 2", family=_TPU),
    "coral-dev-board": Described(target="coral-dev-board", summary="on the board", family=_TPU),
    SERIES: Described(target=None, summary="taken for an x86-64 host, USB 3", family=_TPU, predicts=False),
    "jetson-nano": Described(target="jetson-nano", summary="TensorRT, float16", family=_RT),
    "jetson-orin-nano": Described(target="jetson-orin-nano", summary="TensorRT, int8, JetPack 5.1.2", family=_RT),
    "jetson-orin-nano, float16": Described(
        target="jetson-orin-nano", summary="TensorRT, float16, JetPack 5.1.2", family=_RT, predicts=False
    ),
    "jetson-orin-nano, Super": Described(target="jetson-orin-nano", summary="TensorRT, int8, Super mode", family=_RT),
    "raspberry-pi-4": Described(target="raspberry-pi-4", summary="as sold, threads not stated", family=_NONE),
    "raspberry-pi-4, 1.95 GHz": Described(
        target="raspberry-pi-4", summary="overclocked to 1.95 GHz", family=_NONE, predicts=False
    ),
    "raspberry-pi-5": Described(target="raspberry-pi-5", summary="as sold, threads not stated", family=_NONE),
    "coral-dev-board, CPU": Described(target=None, summary="its Cortex-A53", family=_NONE, predicts=False),
    "x86-64 of 2019": Described(target=None, summary="a desktop CPU", family=_NONE, predicts=False),
}

UNKNOWN: Mapping[str, str] = {
    "jetson-xavier-nx": "only its throughput in batches is published, and that is no latency of one picture",
    "generic-x86-64": "it is any machine, and no one figure stands for it",
    "generic-aarch64": "it is any machine, and no one figure stands for it",
}


def machine(setup: str, values: Values) -> Machine:
    """Return the machine of a setup with these values of the fitted numbers."""
    family = SETUPS[setup].family
    if family is Accelerator.EDGETPU:
        host = "coral-usb, x86-64 host" if setup == SERIES else setup
        return Machine(
            rate_gmac_s=values[EDGETPU, "rate_gmac_s"],
            bandwidth_gb_s=values[EDGETPU, "bandwidth_gb_s"],
            operator_us=values[EDGETPU, "operator_us"],
            depthwise_rows=values[EDGETPU, "depthwise_rows"],
            frame_ms=values[host, "frame_ms"],
            bus_mb_s=values[host, "bus_mb_s"],
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
    if setup == "raspberry-pi-4, 1.95 GHz":
        rate = values["raspberry-pi-4", "rate_gmac_s"] * _OVERCLOCKED
    else:
        rate = values[setup, "rate_gmac_s"]
    return Machine(rate_gmac_s=rate, bandwidth_gb_s=rate / values[CPU, "mac_per_byte"])
