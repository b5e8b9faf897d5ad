"""Quantization-aware training for Keras 3: a float model becomes its fake-quantized twin, and back.

    twin = qat.quantization_aware(model, input_ranges={"plane": qat.PLANE_RANGE})
    qat.calibrate(twin, planes)
    twin.fit(...)
    plain = qat.float_model(twin)

`graph` opens the model, `lowering` (with `rules` and `functions`) brings each layer down to the steps TFLite computes,
`fusion` joins what TFLite computes together, `ranges` finds what shares a range, `twin` builds the Keras model from
`layers`.
"""

from __future__ import annotations

from converters.qat.layers import ActivationQuantizer
from converters.qat.lowering import SUPPORTED
from converters.qat.plain import float_model
from converters.qat.twin import PLANE_RANGE, Inputs, batches, calibrate, count, quantization_aware

__all__ = [
    "PLANE_RANGE",
    "SUPPORTED",
    "ActivationQuantizer",
    "Inputs",
    "batches",
    "calibrate",
    "count",
    "float_model",
    "quantization_aware",
]
