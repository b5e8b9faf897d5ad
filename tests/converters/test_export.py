from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras
from keras import layers

from converters import export, qat
from edgemed import tensors, tflite
from edgemed.runtime import backends

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def planes() -> np.ndarray:
    rng = np.random.default_rng(5)
    return rng.integers(0, 256, (24, 4, 4)).repeat(8, axis=1).repeat(8, axis=2).astype(np.uint8)


@pytest.fixture(scope="module")
def twin(planes: np.ndarray) -> keras.Model:
    """Return a twin with every supported layer, and orders of them that TFLite does not merge."""
    keras.utils.set_random_seed(12)
    plane = keras.Input((32, 32, 1), name="plane")
    # The shifted range, 0.5..4.5, does not hold 0.
    x = layers.Conv2D(8, 3, strides=2)(layers.Rescaling(1 / 64, offset=0.5)(plane))
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = kept = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same", dilation_rate=2)(x))
    x = layers.Conv2D(8, 1, groups=2, use_bias=False)(layers.Dropout(0.5)(x))
    x = layers.ReLU(6.0)(layers.Add()([kept, x]))
    x = layers.AveragePooling2D(2)(layers.ReLU(6.0)(layers.Conv2D(8, 3, activation="relu")(x)))
    x = layers.SpatialDropout2D(0.5)(layers.MaxPooling2D(2)(x))
    x = layers.Flatten()(layers.Reshape((9, 8))(x))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(6)(x)))
    pooled = layers.ReLU(name="pooled_relu")(layers.GlobalAveragePooling2D(name="pooled")(kept))
    model = keras.Model(plane, {"logit": layers.Dense(2, name="last")(x), "pooled": pooled}, name="mixed")
    made = qat.quantization_aware(model)
    qat.calibrate(made, planes)
    return made


@pytest.fixture(scope="module")
def raw(twin: keras.Model, planes: np.ndarray) -> bytes:
    return export.int8_tflite(twin, planes)


def test_file_answers_like_the_twin(raw: bytes, twin: keras.Model, planes: np.ndarray) -> None:
    interpreter = backends.load(raw, backend="litert")
    expected = twin.predict_on_batch(planes[..., np.newaxis].astype(np.float32))
    found = [
        interpreter.invoke({"plane": (plane.astype(np.int16) - 128).astype(np.int8)[None, ..., None]})
        for plane in planes
    ]
    for name in ("logit", "pooled"):
        q = interpreter.outputs[name].quantization
        assert q is not None
        apart = np.abs(tensors.dequantize(np.concatenate([one[name] for one in found]), q) - expected[name]) / q.scale
        assert apart.mean() < 2.0, f"{name}: {apart.mean():.2f} LSB apart in the mean"
        assert np.ptp(expected[name]) > 50 * q.scale, f"{name}: hardly moves, so agreeing says nothing"


def test_file_takes_one_int8_plane_and_keeps_the_names(raw: bytes) -> None:
    made = tflite.read(raw, source="model.tflite")
    named = {**made.inputs, **made.outputs}
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in named.items()} == {
        "plane": ((1, 32, 32, 1), "int8"),
        "logit": ((1, 2), "int8"),
        "pooled": ((1, 8), "int8"),
    }
    assert tflite.float_tensors(made) == ()
    assert (made.inputs["plane"].scales, made.inputs["plane"].zero_points) == ((1.0,), (-128,))


def test_scales_are_the_trained_ones_not_the_representative_sets(
    raw: bytes, twin: keras.Model, planes: np.ndarray
) -> None:
    black = export.int8_tflite(twin, np.zeros_like(planes))
    of_black, of_real = (tflite.read(file, source="model.tflite").tensors for file in (black, raw))
    assert [tensor.scales for tensor in of_black] == [tensor.scales for tensor in of_real]


def test_export_prints_nothing(twin: keras.Model, planes: np.ndarray, capfd: pytest.CaptureFixture[str]) -> None:
    export.int8_tflite(twin, planes)
    assert capfd.readouterr() == ("", "")


def test_export_without_planes_is_refused(twin: keras.Model, planes: np.ndarray) -> None:
    with pytest.raises(ValueError, match="planes: expected at least one, got none"):
        export.int8_tflite(twin, planes[:0])
