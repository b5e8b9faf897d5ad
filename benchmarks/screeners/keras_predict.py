"""The float model by ``keras.Model.predict``, one picture a call, one thread."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from screeners import by_hand, harness

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)


def opened(work: Path) -> harness.Screener:
    model = keras.models.load_model(work / "float.keras", compile=False)

    def screen(raw: bytes) -> float:
        answered = model.predict(by_hand.plane(raw)[None, :, :, None].astype(np.float32), verbose=0)
        return float(answered["logit"][0, 0])

    return screen


harness.main(opened)
