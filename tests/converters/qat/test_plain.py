from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras

from converters import qat
from tests.converters.qat.networks import NETWORKS, inputs_of, ranges_of, with_weights

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize("name", NETWORKS)
def test_float_model_of_an_untrained_twin_answers_as_the_model_did(name: str, tmp_path: Path) -> None:
    model = with_weights(NETWORKS[name]())
    inputs = inputs_of(model, count=8)
    given = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    plain = qat.float_model(qat.quantization_aware(model, input_ranges=ranges_of(model)))
    assert {type(layer).__module__.split(".")[0] for layer in plain.layers} == {"keras"}
    plain.save(tmp_path / "plain.keras")
    found = keras.models.load_model(tmp_path / "plain.keras").predict_on_batch(given)
    expected = model.predict_on_batch(given)
    keras.tree.map_structure(lambda one, other: np.testing.assert_allclose(one, other, atol=1e-3), found, expected)
