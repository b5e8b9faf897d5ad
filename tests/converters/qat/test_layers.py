from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras

from converters.qat import ActivationQuantizer
from converters.qat import layers as quantized

pytestmark = pytest.mark.tensorflow


def _seen(quantizer: ActivationQuantizer, *batches: list[float], slot: int = 0) -> tuple[float, float]:
    for batch in batches:
        quantizer(np.array([batch], np.float32), slot=slot, training=True)
    return quantizer.range


def test_first_batches_set_the_range_to_their_mean_and_later_ones_move_it() -> None:
    quantizer = ActivationQuantizer(momentum=0.5)
    assert _seen(quantizer, [-1.0, 3.0]) == (-1.0, 3.0)
    assert _seen(quantizer, [-3.0, 1.0]) == (-2.0, 2.0)
    assert _seen(quantizer, [-4.0, 4.0]) == (-3.0, 3.0)
    quantizer(np.array([[50.0]], np.float32), training=False)
    assert quantizer.range == (-3.0, 3.0)


def test_range_always_holds_zero() -> None:
    assert _seen(ActivationQuantizer(), [2.0, 3.0]) == (0.0, 3.0)
    assert _seen(ActivationQuantizer(), [-3.0, -2.0])[0] == -3.0


def test_outputs_keep_the_widest_range() -> None:
    assert _seen(ActivationQuantizer(momentum=None), [5.0, -1.0], [1.0, -2.0]) == (-2.0, 5.0)


def test_slots_share_the_range_that_spans_them_all() -> None:
    quantizer = ActivationQuantizer(slots=2, momentum=0.0)
    _seen(quantizer, [-1.0, 1.0])
    assert _seen(quantizer, [0.0, 4.0], slot=1) == (-1.0, 4.0)
    # The first one shrinks, the second one keeps the range open.
    assert _seen(quantizer, [-0.5, 0.5]) == (-0.5, 4.0)
    rounded = np.asarray(quantizer(np.array([[10.0]], np.float32)))
    assert rounded[0, 0] == pytest.approx(4.0, abs=0.02)


def test_known_slot_is_not_tracked() -> None:
    quantizer = ActivationQuantizer(slots=2, fixed=((0.0, 1.0), None), momentum=0.0)
    assert _seen(quantizer, [-9.0, 9.0]) == (0.0, 1.0)
    assert _seen(quantizer, [-2.0, 0.5], slot=1) == (-2.0, 1.0)


def test_known_ranges_want_one_for_each_slot() -> None:
    with pytest.raises(ValueError, match="fixed: expected 2 entries, one a slot, got 1"):
        ActivationQuantizer(slots=2, fixed=(None,))


@pytest.mark.parametrize("batch", [[-1.0, 3.0], [-3.0, 1.0], [0.0, 2.0]])
def test_symmetric_range_has_zero_point_zero_and_the_largest_magnitude_at_127(batch: list[float]) -> None:
    low, high = _seen(ActivationQuantizer(symmetric=True), batch)
    scale = (high - low) / 255
    assert scale == pytest.approx(max(map(abs, batch)) / 127, rel=1e-6)
    assert low / scale == pytest.approx(-128, abs=1e-4)


def test_quantizer_loads_with_what_it_saw(tmp_path: object) -> None:
    tensor = keras.Input((2,), name="x")
    quantizer = ActivationQuantizer(slots=2, fixed=(None, (0.0, 7.0)), name="range")
    model = keras.Model(tensor, quantizer(quantizer(tensor, slot=0), slot=1))
    _seen(quantizer, [-1.0, 3.0])
    model.save(f"{tmp_path}/model.keras")
    again = keras.models.load_model(f"{tmp_path}/model.keras").get_layer("range")
    assert again.range == quantizer.range == (-1.0, 7.0)
    assert again.get_config() == quantizer.get_config()


def _kernel_error(kernel: np.ndarray, *, axis: int | None) -> float:
    """Return the largest error in units of the scale that belongs to each value."""
    rounded = np.asarray(quantized._rounded(kernel, axis=axis))
    others = tuple(other for other in range(kernel.ndim) if other != axis)
    scale = np.abs(kernel).max(axis=others, keepdims=True) / 127
    return float((np.abs(kernel - rounded) / scale).max())


@pytest.mark.parametrize("axis", [3, 2, None])
def test_kernels_are_rounded_along_the_named_axis(axis: int | None, rng: np.random.Generator) -> None:
    kernel = rng.normal(size=(3, 3, 4, 4)).astype(np.float32)
    steps = np.array([0.01, 1, 10, 100], np.float32)
    kernel *= steps if axis == 3 else steps[:, np.newaxis] if axis == 2 else 1.0
    assert _kernel_error(kernel, axis=axis) <= 0.5 + 1e-3


def test_kernel_of_zeros_stays_zero() -> None:
    assert not np.asarray(quantized._rounded(np.zeros((1, 1, 2, 2), np.float32), axis=3)).any()


def test_depthwise_kernel_has_a_scale_for_each_output_channel(rng: np.random.Generator) -> None:
    layer = quantized.QuantizedDepthwiseConv2D(1, depth_multiplier=2, use_bias=False)
    layer.build((None, 1, 1, 2))
    kernel = np.array([[0.013, 1.7], [23.0, 310.0]], np.float32).reshape(1, 1, 2, 2)
    layer.set_weights([kernel])
    # One value a channel is its own largest magnitude: exact with a scale of its own, lost with a shared one.
    np.testing.assert_allclose(np.asarray(layer(np.ones((1, 1, 1, 2), np.float32))).ravel(), kernel.ravel(), rtol=1e-6)


def test_hard_swish_and_prelu_are_those_of_keras(rng: np.random.Generator) -> None:
    values = rng.normal(0, 4, (2, 3, 3, 2)).astype(np.float32)
    expected = np.asarray(keras.activations.hard_silu(values))
    np.testing.assert_allclose(np.asarray(quantized.HardSwish()(values)), expected, atol=1e-6)
    options = {"alpha_initializer": keras.initializers.Constant(0.25), "shared_axes": [1, 2]}
    plain, rounded = keras.layers.PReLU(**options), quantized.QuantizedPReLU(**options)
    np.testing.assert_allclose(np.asarray(rounded(values)), np.asarray(plain(values)), atol=1e-5)
