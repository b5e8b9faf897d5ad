from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras
from keras import layers

from converters import graph
from edgemed.errors import ConversionError

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def model() -> keras.Model:
    """Return a model cut out of a larger one, whose last layer goes on outside."""
    plane = keras.Input((8, 8, 1), name="plane")
    shared = layers.Conv2D(1, 1, name="shared")
    total = layers.Add(name="total")([shared(plane), shared(plane)])
    twice = layers.Add(name="twice")([total, total])
    made = keras.Model(plane, {"out": twice, "again": total}, name="cut")
    layers.ReLU(name="outside")(twice)
    return made


def test_calls_and_what_they_take_are_those_of_this_model(model: keras.Model) -> None:
    found = graph.of(model)
    names = {found.inputs[0].value: "plane", **{call.result: call.name for call in found.calls}}
    assert [(call.name, [names[source] for source in call.sources]) for call in found.calls] == [
        ("shared", ["plane"]),
        ("shared_1", ["plane"]),
        ("total", ["shared", "shared_1"]),
        ("twice", ["total", "total"]),
    ]
    assert found.calls[0].operation is found.calls[1].operation
    assert [call.name for call in found.followers(found.inputs[0].value)] == ["shared", "shared_1"]


def test_outputs_keep_their_structure(model: keras.Model) -> None:
    found = graph.of(model)
    results = {call.name: call.result for call in found.calls}
    named = {name: found.outputs[place] for name, place in found.structure.items()}
    assert named == {"out": results["twice"], "again": results["total"]}


def test_models_inside_are_opened_each_time_they_are_called() -> None:
    inner = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(1, 1, name="conv")], name="inner")
    middle_plane = keras.Input((8, 8, 1))
    middle = keras.Model(middle_plane, layers.ReLU(name="relu")(inner(middle_plane)), name="middle")
    plane = keras.Input((8, 8, 1), name="plane")
    found = graph.of(keras.Model(plane, middle(middle(plane))))
    assert [call.name for call in found.calls] == [
        "middle_inner_conv",
        "middle_relu",
        "middle_1_inner_conv",
        "middle_1_relu",
    ]
    assert found.calls[2].sources == (found.calls[1].result,)
    assert found.calls[2].operation is found.calls[0].operation


def test_name_of_an_input_is_its_layers() -> None:
    plane = keras.Input((8, 8, 1))
    (entry,) = graph.of(keras.Model(plane, layers.ReLU()(plane))).inputs
    assert entry.name == plane._keras_history.operation.name


class Own(keras.Model):
    def call(self, inputs: Any) -> Any:
        return inputs


class OwnSequential(keras.Sequential):
    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return inputs


class OnlyTrainsOtherwise(keras.Model):
    def train_step(self, data: Any) -> Any:
        return super().train_step(data)


@pytest.mark.parametrize("kind", [Own, OwnSequential])
def test_model_with_a_call_of_its_own_is_refused(kind: type[keras.Model]) -> None:
    with pytest.raises(ConversionError) as caught:
        graph.of(kind(name="own"))
    assert str(caught.value) == (
        f"own: expected a functional or Sequential Keras model, got the subclass {kind.__name__} whose call() is code "
        "that a converter cannot see into; build it with keras.Model(inputs, outputs)"
    )


def test_model_that_only_trains_otherwise_is_taken() -> None:
    plane = keras.Input((8, 8, 1), name="plane")
    assert len(graph.of(OnlyTrainsOtherwise(plane, layers.ReLU()(plane))).calls) == 1


def test_model_that_is_not_built_is_refused() -> None:
    with pytest.raises(ConversionError) as caught:
        graph.of(keras.Sequential([layers.Dense(1)], name="later"))
    assert str(caught.value) == "later: expected a built model; give it a keras.Input as its first layer"


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(ConversionError) as caught:
        graph.of(layers.Dense(1))  # type: ignore[arg-type]
    assert str(caught.value) == "expected a Keras model, got Dense"


def test_operation_with_several_results_is_a_problem() -> None:
    plane = keras.Input((8, 8, 2), name="plane")
    first, second = keras.ops.split(plane, 2, axis=-1)
    (problem,) = graph.of(keras.Model(plane, layers.Add()([first, second]))).problems
    assert problem.endswith("is a Split that returns 2 tensors, expected one")
