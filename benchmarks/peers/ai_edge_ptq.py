"""Stage: post-training quantization by ai-edge-quantizer, static int8, from the float TFLite file.

    python -m peers.ai_edge_ptq WORK SEED CALIBRATION

CALIBRATION ``as-documented``: Quantizer.calibrate, which follows the ranges of single images by a moving average.
CALIBRATION ``widest-range``: the extremes over all images, as the TFLite converter takes them, through its Calibrator.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ai_edge_quantizer import calibrator, quantizer, recipe, recipe_manager
from ai_edge_quantizer.utils import qsv_utils

import kept
import machine
from peers import exchange

FOLDERS = {"as-documented": "ai-edge-quantizer", "widest-range": "ai-edge-quantizer-widest"}


def main(work: Path, seed: int, calibration: str) -> None:
    data = kept.arrays(work / "data.npz")
    shared, folder = work / f"seed-{seed}", work / f"seed-{seed}" / FOLDERS[calibration]
    planes = exchange.network_input(data["calibration"])
    samples = [{"plane": planes[place : place + 1]} for place in range(len(planes))]
    watch = machine.Stopwatch()
    with watch.step("convert"):
        tool = quantizer.Quantizer(str(shared / "float.tflite"), recipe.static_wi8_ai8())
        widest = calibration == "widest-range"
        ranges = widest_ranges(shared / "float.tflite", samples) if widest else tracked_ranges(tool, samples)
        raw = bytes(tool.quantize(ranges).quantized_model)
    kept.write_bytes(folder / "model.tflite", raw)
    exchange.measured(folder, watch, ("ai-edge-quantizer", "ai-edge-litert", "numpy"))


def tracked_ranges(tool: quantizer.Quantizer, samples: list[dict[str, Any]]) -> Any:
    return tool.calibrate({"serving_default": samples}, num_threads=2)


def widest_ranges(model: Path, samples: list[dict[str, Any]]) -> Any:
    tracker = calibrator.Calibrator(str(model), num_threads=2, qsv_update_func=qsv_utils.min_max_update)
    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(recipe.static_wi8_ai8())
    tracker.calibrate({"serving_default": samples}, manager)
    return tracker.get_model_qsvs()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
