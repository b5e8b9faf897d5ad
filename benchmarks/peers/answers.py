"""What a TFLite file answers to planes: one code for every method, LiteRT with its default kernels, one thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def logits(path: Path, planes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the logit of each plane (N, H, W) in real units, whatever types the file takes and gives; (N,)."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = np.empty(len(planes))
    for place, plane in enumerate(planes):
        interpreter.set_tensor(source["index"], _stored(plane[np.newaxis, ..., np.newaxis], source))
        interpreter.invoke()
        found[place] = _real(interpreter.get_tensor(result["index"]), result)[0, 0]
    return found


def _stored(plane: NDArray[np.uint8], detail: dict[str, Any]) -> NDArray[Any]:
    if np.issubdtype(detail["dtype"], np.floating):
        return plane.astype(detail["dtype"])
    scale, zero_point = detail["quantization"]
    limits = np.iinfo(detail["dtype"])
    return np.clip(np.round(plane / scale) + zero_point, limits.min, limits.max).astype(detail["dtype"])


def _real(values: NDArray[Any], detail: dict[str, Any]) -> NDArray[np.float64]:
    if np.issubdtype(detail["dtype"], np.floating):
        return values.astype(np.float64)
    scale, zero_point = detail["quantization"]
    return (values.astype(np.float64) - zero_point) * scale
