"""Images per second of one epoch of quantization-aware training, by Keras backend, on the accelerator or CPU at hand.

The zoo's network at 160 pixels on seeded noise (the arithmetic is the same), one epoch after a first batch that pays
for tracing and compilation; the float network beside it, to see what fake quantization costs. Each backend runs in a
process of its own; results are kept in the work folder, a removed ``WORK/BACKEND.json`` is made again.

    python benchmarks/qat_backends.py --work WORK [--backends tensorflow jax] [--images 128] [--results FOLDER]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import kept
import machine
import process

HEAD = ("backend", "device", "float images/s", "quantized images/s", "ratio", "first batch s", "peak MiB")


def main() -> int:
    options = parse()
    found = {backend: measured(options, backend) for backend in options.backends}
    document = {"schema": 1, "machine": machine.described(("keras", "numpy")), "backends": found}
    text = markdown(document)
    kept.write_json(options.results / "qat_backends.json", document)
    kept.write_bytes(options.results / "qat_backends.md", text.encode())
    print(json.dumps(document, indent=2) if options.json else text)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--backends", nargs="+", default=["tensorflow", "jax"], help="of Keras")
    parser.add_argument("--images", type=int, default=128, help="of the timed epoch")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--json", action="store_true", help="print the document instead of the table")
    return parser.parse_args()


def measured(options: argparse.Namespace, backend: str) -> dict[str, Any]:
    result = options.work / f"{backend}.json"
    if not result.is_file():
        try:
            process.run(
                "qat_epoch",
                (result, options.images, options.batch),
                log=options.work / f"{backend}.txt",
                environment={"KERAS_BACKEND": backend},
            )
        except process.StageError as err:
            return {"not_measured": str(err)}
    return dict(kept.read_json(result))


def markdown(document: dict[str, Any]) -> str:
    found = document["backends"]
    lines = ["| " + " | ".join(row) + " |" for row in (HEAD, ("---",) * len(HEAD), *map(_row, found, found.values()))]
    sizes = {(one["images"], one["batch"]) for one in found.values() if "images" in one}
    words = ", ".join(f"{images} images in batches of {batch}" for images, batch in sorted(sizes))
    shared = any(machine.shared(one.get("steps", {})) for one in found.values())
    return (
        "\n\n".join(
            [
                "# Quantization-aware training by Keras backend",
                f"The zoo's MobileNetV2 to block 12 at 160 px, one epoch of {words} after the first batch. Images per "
                "second of wall time; in brackets per CPU second of the process. Ratio: float over quantized, by CPU "
                "seconds.",
                f"Machine: {machine.in_words(document['machine'])}.{' ' + machine.SHARED if shared else ''}",
                "\n".join(lines),
            ]
        )
        + "\n"
    )


def _row(backend: str, one: dict[str, Any]) -> tuple[str, ...]:
    if "not_measured" in one:
        return (backend, f"not measured: {one['not_measured']}", *[""] * (len(HEAD) - 2))
    steps = one["steps"]
    return (
        f"{backend} {one['version']}",
        one["device"],
        _rate(steps["float"], one["images"]),
        _rate(steps["quantized"], one["images"]),
        f"{steps['quantized']['cpu_s'] / steps['float']['cpu_s']:.2f}",
        f"{steps['quantized, first batch']['wall_s']:.0f} ({steps['quantized, first batch']['cpu_s']:.0f})",
        f"{one['peak_mib']:.0f}",
    )


def _rate(step: dict[str, float], images: int) -> str:
    return f"{images / step['wall_s']:.1f} ({images / step['cpu_s']:.1f})"


if __name__ == "__main__":
    sys.exit(main())
