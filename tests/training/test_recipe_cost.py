from __future__ import annotations

import math
from typing import Any

import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

from edgemed.training import models
from edgemed.training import recipe as recipes

pytestmark = pytest.mark.tensorflow

MULTIPLY_ADDS = 100e6
PARAMETERS = 700_000  # a byte each and the file around them stay below 1 MB


def multiply_adds(model: Any) -> int:
    """Count the products of every convolution for one plane."""
    import keras

    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            channels = 1 if isinstance(layer, keras.layers.DepthwiseConv2D) else layer.input.shape[-1]
            total += math.prod(layer.output.shape[1:]) * math.prod(layer.kernel_size) * channels
    return total


@pytest.mark.parametrize("name", recipes.available())
def test_shipped_network_stays_within_its_cost(name: str) -> None:
    recipe = recipes.load(name)
    size = {"height": recipe.preprocessing.height, "width": recipe.preprocessing.width}
    model = models.build(recipes.network(recipe), outputs=recipes.outputs(recipe), **size)
    assert multiply_adds(model) <= MULTIPLY_ADDS
    assert model.count_params() <= PARAMETERS
