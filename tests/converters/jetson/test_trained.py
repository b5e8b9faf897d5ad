"""From a Keras model through symmetric quantization to ONNX, on the networks that quantization itself is tested on."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the jetson extra")
pytest.importorskip("onnxruntime", reason="needs the jetson extra")

from converters import compat, export, jetson, qat, tflite_converter
from edgemed import targets, tensors
from edgemed.runtime import backends
from edgemed.runtime.interpreter import Interpreter, Kernels
from tests.converters.qat.networks import NETWORKS, inputs_of, ranges_of, with_weights

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]


def fed(interpreter: Interpreter, inputs: dict[str, np.ndarray], place: int) -> dict[str, np.ndarray]:
    found = {}
    for name, spec in interpreter.inputs.items():
        assert spec.quantization is not None
        found[name] = tensors.quantize(inputs[name][place].reshape(spec.shape), spec.quantization)
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_symmetric_twin_becomes_onnx_that_answers_alike(name: str) -> None:
    model = with_weights(NETWORKS[name]())
    inputs = inputs_of(model)
    given = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    twin = qat.quantization_aware(model, input_ranges=ranges_of(model), symmetric=True)
    qat.calibrate(twin, given)
    raw = export.int8_tflite(twin, given)

    onnx = jetson.qdq_onnx(raw)

    report = compat.check(onnx, source="qdq.onnx", target=targets.load("jetson-orin-nano"))
    assert report.fully_mapped
    assert report.notes[0].split()[0] == report.notes[0].split()[2]  # n of n run in int8
    reference = backends.load(raw, backend="litert", kernels=Kernels.REFERENCE)
    other = backends.load(onnx, backend="onnxruntime", kernels=Kernels.REFERENCE)
    for place in range(6):
        one = fed(reference, inputs, place)
        answers = reference.invoke(one), other.invoke(one)
        for output, values in answers[0].items():
            apart = np.abs(values.astype(int) - answers[1][output])
            # Roundings that fall the other way add up over some twenty operators.
            assert apart.max() <= 6
            assert (apart > 1).mean() < 0.05 or apart.size < 20


def test_float_model_becomes_float16_onnx_that_answers_alike() -> None:
    model = with_weights(NETWORKS["sequential"]())
    (inputs,) = inputs_of(model).values()
    raw = tflite_converter.float32(model)

    half = backends.load(jetson.float16_onnx(raw), backend="onnxruntime")

    (name,) = half.inputs
    expected = model.predict_on_batch(inputs[:4])
    found = [next(iter(half.invoke({name: one[np.newaxis].astype(np.float32)}).values())) for one in inputs[:4]]
    assert np.concatenate(found) == pytest.approx(np.asarray(expected), abs=0.01 * float(np.ptp(expected)))
