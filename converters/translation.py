"""The TFLite file that a mode makes of a float model, and the float file that it is to be held against.

made = translation.of(model, mode=Mode.QAT, calibration=chosen, fit=fit, symmetric=False)
made.raw, made.float_raw
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras

from converters import bias_correction, export, ptq, qat
from converters.calibration import Calibration, Proof
from converters.mode import Mode

__all__ = ["Translated", "of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Translated:
    """Two TFLite files of one model.

    Attributes:
        raw: as the mode wants it.
        float_raw: float32, of the same weights: after training through fake quantization those of the twin.
        against: what the float file is, in words.
        layers: names of the layers that the files may speak of.
        proof: that calibration made the ranges; None where training moved them, or there are none.
    """

    raw: bytes
    float_raw: bytes
    against: str
    layers: tuple[str, ...] = ()
    proof: Proof | None = None


def of(
    model: keras.Model,
    *,
    mode: Mode,
    calibration: Calibration,
    fit: Callable[[keras.Model], None],
    symmetric: bool,
    note: Callable[[str], None] = lambda _: None,
) -> Translated:
    """Return the files of a float model.

    Args:
        model: of the model contract.
        mode: how.
        calibration: sets the first ranges (qat) or all of them (ptq).
        fit: trains the fake-quantized twin in place, in mode qat only.
        symmetric: zero points 0, as TensorRT wants them; in mode qat only.
        note: told what goes on.

    Raises:
        ConversionError: a layer cannot be quantized, the converter refused the model, a float tensor is left, or
            calibration was not used.
    """
    if mode is Mode.QAT:
        return _trained(model, calibration, fit, symmetric, note)
    note(f"converting to {mode.value} TFLite")
    float_raw = ptq.float32_tflite(model)
    against, names = "the float model", _names(model)
    if mode is Mode.PTQ:
        prepared = bias_correction.corrected(model, calibration)
        raw = ptq.int8_tflite(prepared, calibration)
        proof = ptq.proof(prepared, raw, calibration)
        return Translated(raw=raw, float_raw=float_raw, against=against, layers=names, proof=proof)
    raw = ptq.float16_tflite(model) if mode is Mode.FLOAT16 else float_raw
    return Translated(raw=raw, float_raw=float_raw, against=against, layers=names)


def _names(*models: keras.Model) -> tuple[str, ...]:
    return tuple(layer.name for model in models for layer in model.layers)


def _trained(
    model: keras.Model,
    calibration: Calibration,
    fit: Callable[[keras.Model], None],
    symmetric: bool,
    note: Callable[[str], None],
) -> Translated:
    ranges = {model.inputs[0].name: qat.PLANE_RANGE}
    twin = qat.quantization_aware(model, input_ranges=ranges, symmetric=symmetric)
    qat.calibrate(twin, calibration.planes)
    fit(twin)
    note("exporting to int8 TFLite")
    return Translated(
        raw=export.int8_tflite(twin, calibration.planes),
        float_raw=ptq.float32_tflite(qat.float_model(twin)),
        against="the trained twin without quantization",
        layers=_names(model, twin),
    )
