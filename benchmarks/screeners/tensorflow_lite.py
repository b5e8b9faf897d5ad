"""TFLite by hand through TensorFlow's ``tf.lite``, one thread."""

from __future__ import annotations

import tensorflow as tf

from screeners import harness, tflite_like

harness.main(lambda work: tflite_like.opened(tf.lite.Interpreter(model_content=tflite_like.model(work), num_threads=1)))
