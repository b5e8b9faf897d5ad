"""Inference and screening with the shipped bundles: the bare invoke, what edgemed adds, the whole frame, opening."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgemed.imaging import preprocess
from edgemed.imaging.frame import Frame
from edgemed.runtime.screener import Screener


def _plane(screener: Screener, frame: Frame) -> np.ndarray:
    return preprocess.apply(frame, screener.preprocessing)


def bench_invoke(benchmark: Any, screener: Screener, frame: Frame) -> None:
    interpreter = screener.classifier.interpreter
    (name,) = interpreter.inputs
    plane = _plane(screener, frame)
    given = {name: (plane.astype(np.int16) - 128).astype(np.int8)[None, :, :, None]}

    assert "logit" in benchmark(interpreter.invoke, given)


def bench_classify(benchmark: Any, screener: Screener, frame: Frame) -> None:
    """Time the invoke with the input table before it and the reading of its outputs behind it."""
    classifier, plane = screener.classifier, _plane(screener, frame)

    reading = benchmark(lambda: classifier.read(classifier.infer(plane)))

    assert reading.logits.size >= 1


def bench_screen(benchmark: Any, screener: Screener, frame: Frame) -> None:
    assert benchmark(screener.screen, frame).source == frame.source


def bench_open(benchmark: Any, screener: Screener) -> None:
    bundle = screener.bundle.manifest.name

    assert benchmark(Screener.open, bundle).bundle.digest == screener.bundle.digest
