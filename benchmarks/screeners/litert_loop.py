"""LiteRT by hand, one thread."""

from __future__ import annotations

from ai_edge_litert.interpreter import Interpreter

from screeners import harness, tflite_like

harness.main(lambda work: tflite_like.opened(Interpreter(model_content=tflite_like.model(work), num_threads=1)))
