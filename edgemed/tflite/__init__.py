"""A TFLite file as a value: its operators, tensors, scales, constants and signature, read without an interpreter.

Rules: any bytes give a `Model` or a `ConversionError`; every index in a `Model` points at something; work and memory
stay in proportion to the file's size, whatever lengths it claims; constants are views of the file, not copies. One
subgraph, one signature: more lies outside the model contract and is refused.

    model = tflite.read(raw, source="int8.tflite")
    left = tflite.float_tensors(model)
    weights = tflite.values(model, model.tensors[model.operators[0].inputs[1]])

Source: the TFLite schema, version 3 (file identifier ``TFL3``), through the flatbuffer classes of ai-edge-litert.
"""

from __future__ import annotations

from edgemed.tflite.constants import values
from edgemed.tflite.model import Model, Operator, Option, Tensor, float_tensors, is_compiled
from edgemed.tflite.reading import read
from edgemed.tflite.workload import Work, work

__all__ = ["Model", "Operator", "Option", "Tensor", "Work", "float_tensors", "is_compiled", "read", "values", "work"]
