"""Two logical CPUs stand for two GPUs, in a process of its own: TensorFlow takes devices before it starts only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import json, sys
import msgspec
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from edgemed.training import fit, learner
from edgemed.training import recipe as recipes
from edgemed.training.network import DsCnn
from edgemed.training.prepare import TrainingData
from edgemed.training.progress import Silent
from edgemed.imaging.labelled import LabelledPlanes
from tests.training import blobs

recipe = recipes.parse(blobs.RECIPE.encode(), source="blobs.yaml")
change = msgspec.structs.replace
recipe = change(recipe, model=DsCnn(alpha=0.25, depth=1, embedding=8, dropout=0.0),
                fit=change(recipe.fit, batch=8, ema=0.5))
rng = np.random.default_rng(1)
part = LabelledPlanes(planes=rng.integers(0, 256, (20, 32, 32)).astype(np.uint8), labels=np.arange(20) % 2,
                      names=tuple(map(str, range(20))), read=lambda row: None)
learning = learner.new(recipe, steps=3, pretrained=None, accelerators=("CPU:0", "CPU:1"))
before = learning.model.get_weights()
loss = fit.train_epoch(learning.model, recipe, TrainingData(train=part, validation=part), epoch=0, progress=Silent(),
                       callbacks=learning.callbacks())
state = learning.state()
learning.restore(state, steps=3)
learning.refresh()
kept = learning.kept.predict_on_batch(part.planes[..., None].astype(np.float32))["logit"]
print(json.dumps({
    "replicas": learning.model.distribute_strategy.num_replicas_in_sync,
    "loss": loss,
    "steps": int(learning.model.optimizer.iterations.numpy()),
    "moved": any(not np.array_equal(a, b) for a, b in zip(before, learning.model.get_weights())),
    "finite": bool(np.isfinite(kept).all()),
}))
"""


def test_batches_are_shared_by_two_devices() -> None:
    """Twenty images in batches of eight: the last one is not full, and is shared all the same."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        check=False,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(run.stdout.splitlines()[-1])
    assert found.pop("loss") == pytest.approx(0.7, abs=0.3)
    assert found == {"replicas": 2, "steps": 3, "moved": True, "finite": True}
