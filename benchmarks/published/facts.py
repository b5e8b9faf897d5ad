"""Rows of ``devices.yaml`` as figures of the setups: every row has a place here, or the command stops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from edgemed.targets import Accelerator
from published import machines, networks


@dataclass(frozen=True, kw_only=True)
class Row:
    """One published latency; ``excluded`` says why it is not fitted."""

    setup: str
    network: str
    ms: float
    described: str
    source: str
    excluded: str | None


# (device, setup as the facts word it) -> setup here. A text that ends with * stands for all that begin so.
_SETUPS: Mapping[tuple[str, str], str] = {
    ("coral-usb", "x86_64 host, USB 3"): "coral-usb, x86-64 host",
    ("coral-usb", "Raspberry Pi 4B, USB 3"): "coral-usb, Raspberry Pi 4B",
    ("coral-usb", "Raspberry Pi 3B+, USB 2"): "coral-usb, Raspberry Pi 3B+",
    ("coral-usb", "USB 3"): "coral-usb, x86-64 host",
    ("coral-usb", "USB 2"): "coral-usb, Raspberry Pi 3B+",
    ("coral-dev-board", "on board"): "coral-dev-board",
    ("coral-dev-board", "on board, CPU only"): "coral-dev-board, CPU",
    ("jetson-nano", "GPU*"): "jetson-nano",
    ("jetson-orin-nano", "trtexec, JetPack 5.1.2"): "jetson-orin-nano",
    ("jetson-orin-nano", "GPU compute only, MAXN_SUPER, JetPack 6.2"): "jetson-orin-nano, Super",
    ("raspberry-pi-4", "64-bit OS, overclocked to 1.95 GHz*"): "raspberry-pi-4, 1.95 GHz",
    ("raspberry-pi-4", "stock"): "raspberry-pi-4",
    ("raspberry-pi-5", "stock"): "raspberry-pi-5",
    ("raspberry-pi-5", "ExecuTorch + XNNPACK*"): "raspberry-pi-5",
    ("raspberry-pi-5", "as above, mean"): "raspberry-pi-5",
    ("generic-x86-64", "desktop CPU, 2019*"): "x86-64 of 2019",
}

_BOXES = "it ends with boxes decoded and sorted on the CPU, which no screening model has"
_NO_HOST = "neither host nor bus is stated"
_FLOAT = "float32: edgemed runs int8 there"


def rows(path: Path) -> list[Row]:
    """Return the latencies in ``devices.yaml``, in its order.

    Raises:
        SystemExit: a row has no place in this file, or its network is not laid out.
    """
    devices = yaml.safe_load(path.read_text())["devices"]
    listed = [row for device, known in devices.items() for row in _of(device, known.get("latency_ms") or [])]
    return [*listed, *_series(devices["coral-usb"]["latency_calibration"])]


def _of(device: str, listed: list[dict[str, Any]]) -> Iterator[Row]:
    for one in listed:
        setup, network = _setup(device, one), one["model"]
        if network not in networks.names():
            raise SystemExit(f"{device}: {network}: not laid out in benchmarks/published/networks.py")
        described = f"{one['precision']}; {one['setup']}" + (f" ({one['confidence']})" if "confidence" in one else "")
        yield Row(
            setup=setup,
            network=network,
            ms=float(one["ms"]),
            described=described,
            source=one["source"],
            excluded=_excluded(setup, network, one),
        )


def _series(known: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the convolutions that fill an Edge TPU more and more: a test of what lies far from the fitted networks."""
    for one in known["conv_5_layer_3x3_64x64_input"]:
        yield Row(
            setup=machines.SERIES,
            network=networks.five_convolutions(one["macs"]),
            ms=float(one["ms"]),
            described="uint8",
            source=known["source"],
            excluded=_NO_HOST,
        )


def _setup(device: str, one: Mapping[str, Any]) -> str:
    for (known, text), setup in _SETUPS.items():
        if device == known and (one["setup"] == text or (text[-1] == "*" and one["setup"].startswith(text[:-1]))):
            is_half = setup == "jetson-orin-nano" and one["precision"] == "fp16"
            return f"{setup}, float16" if is_half else setup
    raise SystemExit(f"{device}: {one['setup']!r}: no setup of benchmarks/published/machines.py stands for it")


def _excluded(setup: str, network: str, one: Mapping[str, Any]) -> str | None:
    if network.startswith("ssd") and machines.SETUPS[setup].family is not Accelerator.NONE:
        return f"{_BOXES}; its host is not stated" if one["setup"] in ("USB 3", "USB 2") else _BOXES
    return _FLOAT if one["precision"] == "fp32" else None
