"""ONNX Runtime by hand on the QDQ model, CPU provider, one thread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from screeners import by_hand, harness


def opened(work: Path) -> harness.Screener:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(work / "qdq.onnx"), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def screen(raw: bytes) -> float:
        plane = by_hand.plane(raw)[None, :, :, None].astype(np.float32)
        return float(session.run(["logit"], {name: plane})[0][0, 0])

    return screen


harness.main(opened)
