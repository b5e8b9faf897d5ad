from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras

from converters import export, qat
from edgemed import tensors, tflite
from edgemed.runtime import backends
from edgemed.runtime.interpreter import Kernels
from tests.converters.qat.networks import NETWORKS, inputs_of, ranges_of, with_weights

pytestmark = pytest.mark.tensorflow

Exported = tuple[keras.Model, dict[str, np.ndarray], bytes]
_MADE: dict[str, Exported] = {}


def exported(name: str) -> Exported:
    """Return a calibrated twin, inputs and the int8 file; converted once for all tests."""
    if name not in _MADE:
        model = with_weights(NETWORKS[name]())
        twin, inputs = qat.quantization_aware(model, input_ranges=ranges_of(model)), inputs_of(model)
        given = inputs if len(inputs) > 1 else next(iter(inputs.values()))
        qat.calibrate(twin, given)
        _MADE[name] = twin, inputs, export.int8_tflite(twin, given)
    return _MADE[name]


def _integers(values: np.ndarray, q: tensors.Quantization) -> np.ndarray:
    return tensors.quantize(values.astype(np.float32), q)


@pytest.mark.parametrize("name", NETWORKS)
def test_file_answers_like_the_twin_and_holds_no_float(name: str) -> None:
    twin, inputs, raw = exported(name)
    assert tflite.float_tensors(tflite.read(raw, source="model.tflite")) == ()
    interpreter = backends.load(raw, backend="litert", kernels=Kernels.REFERENCE)
    q = {key: spec.quantization for key, spec in interpreter.inputs.items()}
    found = [
        interpreter.invoke({key: _integers(values[[place]], q[key]) for key, values in inputs.items()})
        for place in range(8)
    ]
    given = {key: values[:8] for key, values in inputs.items()}
    expected = twin.predict_on_batch(given if len(given) > 1 else given.popitem()[1])
    specs = interpreter.outputs
    if not isinstance(expected, dict):
        # Outputs without names of their own are told apart by their shape.
        keys = {spec.shape[1:]: key for key, spec in specs.items()}
        expected = {keys[values.shape[1:]]: values for values in keras.tree.flatten(expected)}
    for key, values in expected.items():
        scale = specs[key].quantization
        assert scale is not None
        apart = np.abs(tensors.dequantize(np.concatenate([one[key] for one in found]), scale) - values) / scale.scale
        assert apart.mean() < 1.0, f"{key}: {apart.mean():.2f} LSB apart in the mean"
        assert np.ptp(values) > 20 * scale.scale, f"{key}: hardly moves, so agreeing says nothing"


OPERATORS = {
    "convolutions": {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "RELU", "ADD", "MEAN", "MUL", "FULLY_CONNECTED"},
    "activations": {"ELU", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "PRELU", "SOFTMAX", "TANH"},
    "pools": {"AVERAGE_POOL_2D", "MAX_POOL_2D", "PAD", "REDUCE_MAX", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"},
    "several": {"CONCATENATION", "LOGISTIC", "MUL", "SUB"},
}


@pytest.mark.parametrize("name", OPERATORS)
def test_each_layer_is_the_operator_it_is_meant_to_be(name: str) -> None:
    made = Counter(operator.name for operator in tflite.read(exported(name)[2], source="model.tflite").operators)
    assert set(made) >= OPERATORS[name]
    # A sigmoid that is concatenated is brought to the shared range; nothing else is.
    assert made["QUANTIZE"] == (1 if name == "several" else 0)


@pytest.mark.parametrize("name", ["several", "dense_block"])
def test_concatenated_tensors_have_one_scale(name: str) -> None:
    model = tflite.read(exported(name)[2], source="model.tflite")
    joined = [operator for operator in model.operators if operator.name == "CONCATENATION"]
    assert joined
    for operator in joined:
        places = (*operator.inputs, *operator.outputs)
        assert len({(model.tensors[place].scales, model.tensors[place].zero_points) for place in places}) == 1


def test_kernels_have_a_scale_for_each_output_channel() -> None:
    model = tflite.read(exported("convolutions")[2], source="model.tflite")
    scales = {
        (operator.name, len(model.tensors[operator.inputs[1]].scales))
        for operator in model.operators
        if operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
    }
    assert scales >= {("CONV_2D", 8), ("DEPTHWISE_CONV_2D", 16), ("TRANSPOSE_CONV", 1), ("FULLY_CONNECTED", 1)}


def test_plane_is_taken_as_it_is() -> None:
    made = tflite.read(exported("convolutions")[2], source="model.tflite")
    assert (made.inputs["plane"].shape, made.inputs["plane"].dtype) == ((1, 32, 32, 1), "int8")
    assert (made.inputs["plane"].scales, made.inputs["plane"].zero_points) == ((1.0,), (-128,))


def test_symmetric_twin_gives_zero_points_of_zero_where_kernels_read() -> None:
    model = with_weights(NETWORKS["dense_block"]())
    twin, planes = (
        qat.quantization_aware(model, input_ranges=ranges_of(model), symmetric=True),
        inputs_of(model)["plane"],
    )
    qat.calibrate(twin, planes)
    made = tflite.read(export.int8_tflite(twin, planes), source="model.tflite")
    read = [operator.inputs[0] for operator in made.operators if operator.name in ("CONV_2D", "FULLY_CONNECTED")]
    assert len(read) > 4
    assert {made.tensors[place].zero_points for place in read} == {(0,)}


def test_scales_are_the_trained_ones_not_the_representative_sets() -> None:
    twin, inputs, raw = exported("dense_block")
    black = export.int8_tflite(twin, np.zeros_like(inputs["plane"]))
    of_black, of_real = (tflite.read(file, source="model.tflite").tensors for file in (black, raw))
    assert [tensor.scales for tensor in of_black] == [tensor.scales for tensor in of_real]


def test_export_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    twin, inputs, _ = exported("sequential")
    capfd.readouterr()
    export.int8_tflite(twin, inputs["plane"])
    assert capfd.readouterr() == ("", "")


def test_export_without_inputs_is_refused() -> None:
    twin, inputs, _ = exported("sequential")
    with pytest.raises(ValueError, match=r"inputs: expected at least one, got none"):
        export.int8_tflite(twin, inputs["plane"][:0])
