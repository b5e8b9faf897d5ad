from __future__ import annotations

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
    made = keras.Model(plane, {"out": twice}, name="cut")
    layers.ReLU(name="outside")(twice)
    return made


def test_calls_sources_and_followers_are_those_of_this_model(model: keras.Model) -> None:
    found = graph.of(model)
    assert [operation.name for operation in found.operations] == ["plane", "shared", "total", "twice"]
    assert found.calls == {"plane": 1, "shared": 2, "total": 1, "twice": 1}
    assert [maker.name for maker in found.sources["twice"]] == ["total", "total"]
    assert {name: [after.name for after in taken] for name, taken in found.followers.items()} == {
        "plane": ["shared", "shared"],
        "shared": ["total"],
        "total": ["twice"],
        "twice": [],
    }
    assert found.outputs == {"twice"}


@pytest.mark.parametrize("kind", ["Own", "Sequential"])
def test_model_that_is_not_functional_is_refused(kind: str) -> None:
    class Own(keras.Model):
        pass

    made = {"Own": Own, "Sequential": keras.Sequential}[kind](name="own")
    with pytest.raises(ConversionError) as caught:
        graph.of(made)
    assert str(caught.value) == (
        f"own: expected a functional Keras model, got {kind}; build it with keras.Model(inputs, outputs)"
    )
