"""The twin trains on another Keras backend and is exported through TensorFlow from the weights it saved."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras

from converters import export
from edgemed import tflite
from tests.converters.qat.networks import NETWORKS, inputs_of

pytestmark = pytest.mark.tensorflow
ROOT = Path(__file__).resolve().parents[3]

TRAINING = """
import sys
import keras, numpy as np
from converters import qat
from tests.converters.qat.networks import NETWORKS, inputs_of, ranges_of, with_weights
assert keras.backend.backend() == "jax"
model = with_weights(NETWORKS["dense_block"]())
inputs = inputs_of(model)["plane"]
twin = qat.quantization_aware(model, input_ranges=ranges_of(model))
qat.calibrate(twin, inputs)
start = [layer.range for layer in twin.layers if isinstance(layer, qat.ActivationQuantizer)]
twin.compile(optimizer=keras.optimizers.Adam(1e-3), loss={"logit": "mse", "features": None})
history = twin.fit(inputs, {"logit": np.zeros((len(inputs), 2))}, epochs=3, verbose=0).history["loss"]
assert history[-1] < history[0], history
assert start != [layer.range for layer in twin.layers if isinstance(layer, qat.ActivationQuantizer)]
twin.save(sys.argv[1])
np.save(sys.argv[2], twin.predict_on_batch(inputs)["logit"])
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_twin_trained_on_jax_is_exported_through_tensorflow(tmp_path: Path) -> None:
    saved, answers = tmp_path / "twin.keras", tmp_path / "answers.npy"
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", TRAINING, str(saved), str(answers)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    twin, inputs = keras.models.load_model(saved), inputs_of(NETWORKS["dense_block"]())["plane"]
    # The same rounding on both backends, but for values that lie on the edge between two levels.
    found, expected = twin.predict_on_batch(inputs)["logit"], np.load(answers)
    assert np.abs(found - expected).mean() < 0.02 * expected.std()
    assert tflite.float_tensors(tflite.read(export.int8_tflite(twin, inputs), source="model.tflite")) == ()
