from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras
from keras import layers

from converters import tflite_converter
from converters.report import activations, cutting
from edgemed import tflite

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def raw() -> bytes:
    plane = keras.Input((4, 4, 1), name="plane")
    x = layers.Conv2D(3, 3, padding="same", activation="relu", name="first")(plane)
    x = layers.Conv2D(2, 1, name="second")(layers.Activation("tanh", name="bend")(x))
    return tflite_converter.float32(keras.Model(plane, {"out": x}))


def test_layer_computes_from_what_it_is_given(raw: bytes) -> None:
    model = tflite.read(raw, source="model.tflite")
    first, bend, second = (operator.outputs[0] for operator in model.operators)
    cut = cutting.at(raw, [first, bend])
    probe = activations.Probe(cut.raw)
    given = {name: np.full((1, 4, 4, 3), value, np.float32) for name, value in (("first", 0.3), ("bend", 0.0))}
    plane = np.full((1, 4, 4, 1), 7.0, np.float32)
    probe.run({model.inputs["plane"].index: plane, cut.inputs[first]: given["first"], cut.inputs[bend]: given["bend"]})
    np.testing.assert_allclose(probe.read(bend), np.tanh(given["first"]), atol=1e-6)
    bias = tflite.values(model, model.tensors[model.operators[2].inputs[2]])
    np.testing.assert_allclose(probe.read(second), np.broadcast_to(bias, (1, 4, 4, 2)), atol=1e-6)
    whole = activations.Probe(raw)
    whole.run({model.inputs["plane"].index: plane})
    np.testing.assert_array_equal(probe.read(first), whole.read(first))


def test_places_of_tensors_stay(raw: bytes) -> None:
    model = tflite.read(raw, source="model.tflite")
    first = model.operators[0].outputs[0]
    cut = tflite.read(cutting.at(raw, [first, first]).raw, source="cut.tflite")
    assert [tensor.name for tensor in cut.tensors[: len(model.tensors)]] == [tensor.name for tensor in model.tensors]
    assert len(cut.tensors) == len(model.tensors) + 1
    assert [operator.outputs for operator in cut.operators] == [operator.outputs for operator in model.operators]
    assert cut.operators[1].inputs == (len(model.tensors),)
