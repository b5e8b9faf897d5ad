"""A hand-written loop over any of the three libraries with TFLite's Python interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from screeners import by_hand, harness


def opened(interpreter: Any) -> harness.Screener:
    """Return a loop over an interpreter, which has one int8 input with zero point -128 and scale 1."""
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]["index"]
    logit = next(detail for detail in interpreter.get_output_details() if detail["shape"].tolist() == [1, 1])
    answered, (scale, zero_point) = logit["index"], logit["quantization"]

    def screen(raw: bytes) -> float:
        plane = (by_hand.plane(raw).astype(np.int16) - 128).astype(np.int8)
        interpreter.set_tensor(given, plane[None, :, :, None])
        interpreter.invoke()
        return float(scale * (int(interpreter.get_tensor(answered)[0, 0]) - zero_point))

    return screen


def model(work: Path) -> bytes:
    return (work / "int8.tflite").read_bytes()
