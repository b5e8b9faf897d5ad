"""What a Jetson runs: QDQ ONNX for the GPUs with int8, float16 ONNX for the Jetson Nano, and the check of both.

Both are written from a TFLite file, operator by operator, so that weights and scales are exactly those that were
validated. Plain tf2onnx output is no substitute: it has zero points other than 0 and DequantizeLinear on biases, both
of which TensorRT refuses.

    qdq = jetson.qdq_onnx(int8_tflite)
    half = jetson.float16_onnx(float32_tflite)
    jetson.require(jetson.compare(int8_tflite, qdq, planes, labels, rule=rule))
"""

from __future__ import annotations

from converters.jetson.agreement import Agreement, AgreementError, compare, require
from converters.jetson.export import OPERATORS, float16_onnx, qdq_onnx

__all__ = ["OPERATORS", "Agreement", "AgreementError", "compare", "float16_onnx", "qdq_onnx", "require"]
