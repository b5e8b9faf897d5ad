"""Post-training conversion: a trained float model to TFLite, without training it again.

int8 takes its activation ranges from a calibration set, except that of the input, which is 0..255 whatever the set
shows. That the set was used is not assumed but shown: the same model, converted once more from one black plane, must
have other ranges.

    prepared = bias_correction.corrected(model, chosen)
    raw = ptq.int8_tflite(prepared, chosen)
    proof = ptq.proof(prepared, raw, chosen)
    raw = ptq.float16_tflite(model)
"""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

from converters import calibration as calibrations
from converters import tflite_converter
from converters.calibration import Calibration, Proof
from edgemed import tflite
from edgemed.errors import ConversionError

__all__ = ["float16_tflite", "float32_tflite", "int8_tflite", "proof"]


def int8_tflite(model: keras.Model, calibration: Calibration) -> bytes:
    """Return the int8 TFLite file of a float model, its activation ranges taken from a calibration set.

    Weights are symmetric, one scale for each output channel of a convolution; batch 1, int8 input and outputs.

    Args:
        model: of the model contract.
        calibration: planes of the model's size. Where they leave out black or white, a corner of the first is taken
            as that, so that the input's scale is one grey level.

    Raises:
        ConversionError: the planes do not fit, the converter refused the model, or a float tensor is left.
    """
    calibrations.require_fits(calibration, model)
    return tflite_converter.int8(model, _spanning(calibration.planes))


def float16_tflite(model: keras.Model) -> bytes:
    """Return the TFLite file of a float model with float16 weights, float32 input and outputs; batch 1.

    Raises:
        ConversionError: the converter refused the model.
    """
    return tflite_converter.float16(model)


def float32_tflite(model: keras.Model) -> bytes:
    """Return the float32 TFLite file of a float model; batch 1.

    Raises:
        ConversionError: the converter refused the model.
    """
    return tflite_converter.float32(model)


def proof(model: keras.Model, raw: bytes, calibration: Calibration) -> Proof:
    """Show that a calibration set was used: convert once more from one black plane, and compare the ranges.

    Args:
        model: that was converted.
        raw: result of `int8_tflite` for ``model`` and ``calibration``.
        calibration: that should have made the ranges.

    Raises:
        ConversionError: no range differs, so that any other planes would have given the same file.
    """
    black = tflite_converter.int8(model, _spanning(np.zeros_like(calibration.planes[:1])))
    found, degenerate = _activations(raw), _activations(black)
    both = [name for name in found if name in degenerate]
    differing = [name for name in both if found[name] != degenerate[name]]
    if not differing:
        raise ConversionError(
            f"{model.name}: expected ranges from the calibration set {calibration.name!r}, got those of one black "
            f"plane in all {len(both)} activation tensors; the calibration was not used: the model's ranges are fixed, "
            "or the file was made with another set"
        )
    ratios = {name: _ratio(found[name][0], degenerate[name][0]) for name in differing}
    widest = max(ratios, key=ratios.__getitem__)
    return Proof(
        calibration=calibration.name,
        size=calibration.size,
        digest=calibration.digest,
        activations=len(both),
        differing=len(differing),
        largest_ratio=ratios[widest],
        tensor=widest,
    )


def _spanning(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return planes that hold 0 and 255: the device feeds every grey level, and the converter knows those it saw."""
    if planes.min() == 0 and planes.max() == 255:
        return planes
    spanning = planes.copy()
    spanning[0, 0, 0], spanning[0, -1, -1] = 0, 255
    return spanning


def _activations(raw: bytes) -> dict[str, tuple[float, int]]:
    """Return scale and zero point of every tensor that is computed and has one pair, by name, in graph order."""
    model = tflite.read(raw, source="int8.tflite")
    inputs = {tensor.index for tensor in model.inputs.values()}
    return {
        tensor.name: (tensor.scales[0], tensor.zero_points[0])
        for tensor in model.tensors
        if not tensor.is_constant and len(tensor.scales) == 1 and tensor.index not in inputs
    }


def _ratio(one: float, other: float) -> float:
    return max(one / other, other / one)
