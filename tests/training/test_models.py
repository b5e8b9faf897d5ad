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


def test_ds_cnn_keeps_the_contract_on_planes_of_28_pixels(rng: np.random.Generator) -> None:
    model = models.ds_cnn(height=28, width=28, depth=7, stem_strides=1, residual=True, outputs=3, embedding=16)
    planes = rng.integers(0, 256, (2, 28, 28, 1)).astype(np.float32)
    outputs = model.predict_on_batch(planes)
    assert {name: value.shape for name, value in outputs.items()} == {
        "logit": (2, 3),
        "evidence": (2, 4, 4, 3),
        "embedding": (2, 16),
    }
    np.testing.assert_allclose(outputs["evidence"].mean(axis=(1, 2)), outputs["logit"], rtol=1e-4, atol=1e-5)


def test_sizes_of_the_families() -> None:
    """About 50 to 300 thousand parameters, and a teacher of two million."""
    small = models.ds_cnn(height=28, width=28, depth=5, alpha=0.5, stem_strides=1, residual=True)
    whole = models.ds_cnn(height=96, width=96)
    teacher = models.mobilenet_v2(height=96, width=96, cut="whole")
    assert (small.count_params(), whole.count_params(), teacher.count_params()) == (45_569, 235_105, 2_421_889)


def test_visual_wake_words_weights_give_the_originals_first_features(
    shared_data: Path, rng: np.random.Generator
) -> None:
    """The first convolution, normalisation and ReLU in plain NumPy; the last row and column see another border."""
    path = shared_data / "pretrained" / "mobilenet_v1_0.25_96_vww.npz"
    with np.load(path) as arrays:
        kernel, bias, gamma, beta, mean, variance = (arrays[name] for name in sorted(arrays.files)[:6])
    model = models.ds_cnn(height=96, width=96, pretrained=path)
    plane = rng.integers(0, 256, (96, 96)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(plane / 255, (3, 3))[::2, ::2]
    x = np.einsum("hwij,ijc->hwc", windows, kernel.sum(axis=2)) + bias
    expected = np.maximum(gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta, 0)
    found = keras.Model(model.input, model.get_layer("stem_relu").output).predict_on_batch(plane[None, ..., None])
    np.testing.assert_allclose(found[0, :47, :47], expected, atol=1e-4)


def test_model_of_a_run_starts_another_but_for_its_evidence(tmp_path: Path) -> None:
    first = models.ds_cnn(height=32, width=32, depth=2, embedding=8)
    first.save(tmp_path / "model.keras")
    second = models.ds_cnn(height=64, width=64, depth=2, embedding=8, outputs=3, pretrained=tmp_path / "model.keras")
    for layer in first.layers:
        mine = second.get_layer(layer.name).get_weights()
        same = [np.array_equal(a, b) for a, b in zip(layer.get_weights(), mine, strict=True) if a.shape == b.shape]
        assert all(same) or layer.name == "evidence"


def test_model_of_another_width_is_not_started_from(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    models.ds_cnn(height=32, width=32, depth=2, embedding=8, alpha=0.5).save(path)
    with pytest.raises(ConfigError) as caught:
        models.ds_cnn(height=32, width=32, depth=2, embedding=8, alpha=0.25, pretrained=path)
    assert str(caught.value) == (
        f"{path}: expected weights of stem with shapes [(3, 3, 1, 8)], got [(3, 3, 1, 16)]; start from a model of the "
        "same family, width and depth, or from random weights with --from-scratch"
    )


def test_npz_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, np.zeros(3))
    with pytest.raises(ConfigError) as caught:
        models.ds_cnn(height=32, width=32, pretrained=path)
    assert str(caught.value) == (
        "other.npz: expected 164 arrays of MobileNetV1, got 1; give the file with --pretrained, or train from random "
        "weights with --from-scratch"
    )


def test_plane_below_the_stride_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        models.ds_cnn(height=28, width=28, depth=13)
    assert str(caught.value) == (
        "model: expected a height and width of 32 at least, the stride of this network, got 28 x 28; lower model.depth "
        "or model.stem_strides"
    )


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
