from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras

from edgemed.errors import ConfigError
from edgemed.training import models

pytestmark = pytest.mark.tensorflow


def test_logit_is_the_spatial_mean_of_the_evidence(rng: np.random.Generator) -> None:
    model = models.mobilenet_v2(height=64, width=96, cut="block_5", alpha=0.35, embedding=16)
    planes = rng.integers(0, 256, (2, 64, 96, 1)).astype(np.float32)
    outputs = model.predict_on_batch(planes)
    assert {name: value.shape for name, value in outputs.items()} == {
        "logit": (2, 1),
        "evidence": (2, 8, 12, 1),
        "embedding": (2, 16),
    }
    np.testing.assert_allclose(outputs["evidence"].mean(axis=(1, 2)), outputs["logit"], rtol=1e-4, atol=1e-5)


def test_pretrained_weights_give_the_original_features_of_a_gray_picture(
    shared_data: Path, rng: np.random.Generator
) -> None:
    path = shared_data / "pretrained" / "mobilenet_v2_1.0_notop.weights.h5"
    original = keras.applications.MobileNetV2(input_shape=(96, 96, 3), include_top=False, weights=None)
    original.load_weights(path)
    model = models.mobilenet_v2(height=96, width=96, cut="block_12", pretrained=path)
    planes = rng.integers(0, 256, (2, 96, 96, 1)).astype(np.float32)
    theirs = keras.Model(original.input, original.get_layer("block_12_add").output)
    ours = keras.Model(model.input, model.get_layer("block_12_add").output)
    expected = theirs.predict_on_batch(np.repeat(planes / 128 - 1, 3, axis=-1))
    np.testing.assert_allclose(ours.predict_on_batch(planes), expected, atol=1e-3)


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.weights.h5"
    path.write_bytes(b"not weights")
    with pytest.raises(ConfigError, match=r"other\.weights\.h5: expected Keras weights of MobileNetV2 with alpha 1.0"):
        models.mobilenet_v2(height=32, width=32, cut="block_1", pretrained=path)


REFUSED = {
    "odd size": (
        {"height": 40, "width": 64, "cut": "block_12"},
        "multiples of 16, the stride of this network, got 40 x 64",
    ),
    "unknown cut": ({"height": 32, "width": 32, "cut": "block_99"}, "expected one of block_1..block_16 or whole, got"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_impossible_model_is_refused(case: tuple[dict[str, object], str]) -> None:
    arguments, words = case
    with pytest.raises(ConfigError, match=words):
        models.mobilenet_v2(**arguments)  # type: ignore[arg-type]  # the cases are what is tested
