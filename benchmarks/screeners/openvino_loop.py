"""OpenVINO by hand on the QDQ model, CPU, one thread: what anomalib's inferencer calls, without anomalib."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino

from screeners import by_hand, harness


def opened(work: Path) -> harness.Screener:
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.Core().compile_model(work / "qdq.onnx", "CPU", settings)
    request, logit = compiled.create_infer_request(), compiled.output("logit")

    def screen(raw: bytes) -> float:
        return float(request.infer({0: by_hand.plane(raw)[None, :, :, None].astype(np.float32)})[logit][0, 0])

    return screen


harness.main(opened)
