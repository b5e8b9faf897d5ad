"""Stage: post-training quantization by ai-edge-quantizer, static int8, from the float TFLite file.

python -m peers.ai_edge_ptq WORK SEED
"""

from __future__ import annotations

import sys
from pathlib import Path

from ai_edge_quantizer import quantizer, recipe

import kept
import machine
from peers import exchange


def main(work: Path, seed: int) -> None:
    data = kept.arrays(work / "data.npz")
    shared, folder = work / f"seed-{seed}", work / f"seed-{seed}" / "ai-edge-quantizer"
    planes = exchange.network_input(data["calibration"])
    watch = machine.Stopwatch()
    with watch.step("convert"):
        tool = quantizer.Quantizer(str(shared / "float.tflite"), recipe.static_wi8_ai8())
        samples = [{"plane": planes[place : place + 1]} for place in range(len(planes))]
        ranges = tool.calibrate({"serving_default": samples}, num_threads=2)
        raw = bytes(tool.quantize(ranges).quantized_model)
    kept.write_bytes(folder / "model.tflite", raw)
    exchange.measured(folder, watch, ("ai-edge-quantizer", "ai-edge-litert", "numpy"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
