"""Quantization-aware training of four architectures: does it convert, what is left in float, size, cost, error.

Each network is trained for some steps on chest X-rays (the U-Net to give back a picture from a noisy one), saved, and
converted by a process of its own. Stages are kept in the work folder; a removed ``WORK/NAME`` is made again.

    python benchmarks/qat_architectures.py --work WORK --data chest_xray_224 [--only unet] [--results FOLDER]

Exit 3 when an architecture does not convert or keeps a float tensor.
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
from pathlib import Path
from typing import Any

import kept
import machine
import process

NAMES = ("zoo", "mobilenet-v2-0.35", "efficientnet-b0", "unet")
HEAD = (
    "architecture",
    "parameters",
    "int8 kB",
    "operators",
    "float tensors",
    "SNR PTQ dB",
    "SNR calibrated dB",
    "SNR trained dB",
    "quantize s",
    "train s",
    "convert s",
    "peak MiB",
    "coral-usb",
)


def main() -> int:
    options = parse()
    options.work.mkdir(parents=True, exist_ok=True)
    found = {name: measured(options, name) for name in options.only}
    document = {
        "schema": 1,
        "machine": machine.described(("keras", "tensorflow-cpu", "ai-edge-litert", "numpy")),
        "float_steps": options.float_steps,
        "qat_steps": options.qat_steps,
        "batch": 16,
        "architectures": found,
    }
    text = markdown(document)
    kept.write_json(options.results / "qat_architectures.json", document)
    kept.write_bytes(options.results / "qat_architectures.md", text.encode())
    print(json.dumps(document, indent=2) if options.json else text)
    return 0 if all(one.get("float_tensors") == 0 for one in found.values()) else 3


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the stages")
    parser.add_argument("--data", type=Path, required=True, help="folder chest_xray_224")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--float-steps", type=int, default=160, help="of 16 images")
    parser.add_argument("--qat-steps", type=int, default=40, help="of 16 images")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--json", action="store_true", help="print the document instead of the table")
    return parser.parse_args()


def measured(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """Return what was measured of an architecture, made now where it is not kept; or the reason why it was not."""
    folder = options.work / name
    try:
        if not (folder / "float.json").is_file():
            words = (options.work, name, options.data, options.float_steps)
            process.run("architectures.train_float", words, log=folder / "float.txt")
        if not (folder / "measured.json").is_file():
            words = (options.work, name, options.qat_steps)
            process.run("architectures.convert", words, log=folder / "convert.txt")
    except process.StageError as err:
        return {"not_measured": str(err)}
    raw = (folder / "int8.tflite").read_bytes()
    return {**kept.read_json(folder / "measured.json"), "coral_usb": on_edge_tpu(raw, name)}


def on_edge_tpu(raw: bytes, name: str) -> dict[str, Any]:
    """Return what the compatibility check says of a model on coral-usb."""
    from converters import compat
    from edgemed import targets

    report = compat.check(raw, source=f"{name}.tflite", target=targets.load("coral-usb"))
    left = [one for one in report.operators if one.verdict is not compat.Verdict.MAPPED]
    return {
        "fully_mapped": report.fully_mapped,
        "segments": report.segments,
        "on_chip_bytes": report.parameters.on_chip_bytes,
        "off_chip_bytes": report.parameters.off_chip_bytes,
        "not_mapped": dict(collections.Counter(f"{one.op} {one.verdict.value}: {one.reason}" for one in left)),
    }


def markdown(document: dict[str, Any]) -> str:
    from architectures.networks import NETWORKS

    rows = [_row(NETWORKS[name].label, one) for name, one in document["architectures"].items()]
    lines = ["| " + " | ".join(row) + " |" for row in (HEAD, ("---",) * len(HEAD), *rows)]
    return (
        "\n\n".join(
            [
                "# Quantization-aware training of four architectures",
                f"Trained for {document['float_steps']} float and {document['qat_steps']} quantized steps of "
                f"{document['batch']} chest X-rays. SNR: int8 answers of LiteRT against the float network on 64 "
                "validation images, each output; PTQ: of the TFLite converter alone; calibrated: of the twin before "
                "training; trained: after it, against the twin's own float form. Seconds: wall (CPU seconds of the "
                "process in brackets). Peak: of the converting process.",
                f"Machine: {machine.in_words(document['machine'])}.{_disturbed(document)}",
                "\n".join(lines),
                *_left(document),
            ]
        )
        + "\n"
    )


def _row(label: str, one: dict[str, Any]) -> tuple[str, ...]:
    if "not_measured" in one:
        return (label, f"not measured: {one['not_measured']}", *[""] * (len(HEAD) - 2))
    return (
        label,
        f"{one['parameters']}",
        f"{one['size_bytes'] / 1000:.0f}",
        f"{one['operators']}",
        f"{one['float_tensors']}",
        _ratios(one["snr_db_converter"]),
        _ratios(one["snr_db_calibrated"]),
        _ratios(one["snr_db_trained"]),
        *(_seconds(one["steps"][step]) for step in ("quantize and calibrate", "train", "convert")),
        f"{one['peak_mib']:.0f}",
        _verdict(one["coral_usb"]),
    )


def _ratios(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in found.items())


def _seconds(step: dict[str, float]) -> str:
    return f"{step['wall_s']:.0f} ({step['cpu_s']:.0f})"


def _verdict(found: dict[str, Any]) -> str:
    mapped = "fully mapped" if found["fully_mapped"] else "partly mapped"
    on_chip = found["on_chip_bytes"]
    chip = "on-chip unknown" if on_chip is None else f"{on_chip / 1000:.0f} kB on-chip"
    return f"{mapped}, {found['segments']} segments, {chip}"


def _disturbed(document: dict[str, Any]) -> str:
    steps = [one.get("steps", {}) for one in document["architectures"].values()]
    return f" {machine.SHARED}" if any(map(machine.shared, steps)) else ""


def _left(document: dict[str, Any]) -> list[str]:
    lines = [
        f"- {name}: {count} x {what}"
        for name, one in document["architectures"].items()
        for what, count in one.get("coral_usb", {}).get("not_mapped", {}).items()
    ]
    return ["Not mapped on coral-usb:", "\n".join(lines)] if lines else []


if __name__ == "__main__":
    sys.exit(main())
