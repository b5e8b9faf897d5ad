from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras
from keras import layers

from converters import tflite_converter
from converters.report import latency
from edgemed.errors import ConversionError

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def planes() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (5, 8, 8)).astype(np.uint8)


@pytest.fixture(scope="module")
def files(planes: np.ndarray) -> tuple[bytes, bytes]:
    plane = keras.Input((8, 8, 1), name="plane")
    model = keras.Model(plane, {"out": layers.Conv2D(2, 3)(plane)})
    return tflite_converter.float32(model), tflite_converter.int8(model, planes)


def ticking(*steps_ms: float) -> Callable[[], int]:
    """Return a clock that is read before and after each inference, once before all and once before each turn."""
    now, left = [0.0], list(steps_ms)

    def read() -> int:
        now[0] += left.pop(0) * 1e6 if left else 0.0
        return int(now[0])

    return read


def test_percentiles_are_of_the_times_the_clock_gives(files: tuple[bytes, bytes], planes: np.ndarray) -> None:
    # Begin; then for each turn float 2, 4, 6 ms and int8 1 ms, with a look at the end between turns.
    clock = ticking(*(0, 0, 2, 0, 1), *(0, 0, 4, 0, 1), *(0, 0, 6, 0, 1))
    found = latency.measure(*files, planes, runs=3, warm_up=2, clock=clock)
    assert found == latency.Latency(
        runs=3,
        warm_up=2,
        threads=1,
        of_float=latency.Timing(p50_ms=4.0, p90_ms=5.6, p99_ms=None, max_ms=6.0, samples_ms=(2.0, 4.0, 6.0)),
        converted=latency.Timing(p50_ms=1.0, p90_ms=1.0, p99_ms=None, max_ms=1.0, samples_ms=(1.0, 1.0, 1.0)),
    )


def test_time_ends_the_measurement(files: tuple[bytes, bytes], planes: np.ndarray) -> None:
    clock = ticking(0, 0, 900, 0, 200, 0)
    found = latency.measure(*files, planes, runs=50, warm_up=0, seconds=1.0, clock=clock)
    assert (found.runs, len(found.converted.samples_ms)) == (1, 1)


def test_tail_is_given_from_a_thousand_samples_on(files: tuple[bytes, bytes], planes: np.ndarray) -> None:
    found = latency.measure(*files, planes, warm_up=1, runs=1000)
    assert found.of_float.p99_ms is not None
    assert found.of_float.p50_ms <= found.of_float.p90_ms <= found.of_float.p99_ms <= found.of_float.max_ms


def test_no_plane_and_no_run_are_refused(files: tuple[bytes, bytes], planes: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"^planes: expected at least one, got none$"):
        latency.measure(*files, planes[:0])
    with pytest.raises(ValueError, match=r"^runs: expected at least 1, got 0$"):
        latency.measure(*files, planes, runs=0)


def test_input_of_another_type_is_refused() -> None:
    import tensorflow as tf

    # Another type on purpose: the public converter makes int8 and float32 inputs only.
    module = tf.Module()
    module.run = tf.function(
        lambda plane: {"out": tf.cast(plane, tf.int32) * 2}, input_signature=[tf.TensorSpec((1, 8, 8, 1), tf.int32)]
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.run.get_concrete_function()], module)
    raw = tflite_converter._run(converter, "whole")
    with pytest.raises(ConversionError) as caught:
        latency.measure(raw, raw, np.zeros((1, 8, 8), np.uint8))
    assert str(caught.value) == (
        "latency: input 'plane': expected int8 with one scale, or float32, got int32; export it again"
    )
