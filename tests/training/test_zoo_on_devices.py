"""A network of each family through the quantizer, and what Edge TPU makes of it by the rules of `converters.compat`."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras

from converters import compat, export, qat
from edgemed import targets
from edgemed.training import models

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

FAMILIES = {
    "depthwise-separable, three labels, additions, 28 pixels": (
        lambda: models.ds_cnn(height=28, width=28, depth=5, stem_strides=1, residual=True, outputs=3, embedding=16)
    ),
    "MobileNetV2 of two blocks": lambda: models.mobilenet_v2(height=32, width=32, cut="block_2", alpha=0.35),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_int8_model_lies_wholly_on_the_edge_tpu_and_answers_alike(family: str, rng: np.random.Generator) -> None:
    keras.utils.set_random_seed(3)
    model = FAMILIES[family]()
    planes = rng.integers(0, 256, (32, *model.input_shape[1:])).astype(np.float32)
    twin = qat.quantization_aware(model, input_ranges={"plane": qat.PLANE_RANGE})
    qat.calibrate(twin, planes)
    raw = export.int8_tflite(twin, planes[:4])
    report = compat.check(raw, source="int8.tflite", target=targets.load("coral-usb"))
    assert report.fully_mapped, [one for one in report.operators if one.verdict is compat.Verdict.CPU]
    expected, found = (net.predict_on_batch(planes)["logit"] for net in (model, twin))
    assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.9
