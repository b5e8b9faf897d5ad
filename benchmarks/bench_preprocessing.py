"""Preprocessing: each step by itself on a frame of 1024 x 1024, with the resize that every document has."""

from __future__ import annotations

from typing import Any

import pytest

from edgemed.imaging import preprocess
from edgemed.imaging.frame import Frame
from edgemed.imaging.preprocess import Preprocessing
from edgemed.imaging.steps import (
    Bilateral,
    Clahe,
    Contrast,
    CropBorder,
    Denoise,
    Equalize,
    Gaussian,
    Median,
    NonLocalMeans,
    Percentile,
    Resize,
    Sharpen,
    Step,
    Unsharp,
)

LINEAR = Resize(method="linear", fit="stretch")
STEPS: dict[str, tuple[Step, ...]] = {
    "resize linear": (LINEAR,),
    "resize area": (Resize(method="area", fit="stretch"),),
    "resize letterbox": (Resize(method="area", fit="letterbox"),),
    "crop border": (CropBorder(fraction=0.05), LINEAR),
    "median": (Denoise(method=Median(size=3)), LINEAR),
    "gaussian": (Denoise(method=Gaussian(size=5, sigma=1.0)), LINEAR),
    "bilateral": (Denoise(method=Bilateral(diameter=5, sigma_gray=20.0, sigma_space=2.0)), LINEAR),
    # On the small plane: on the large frame it takes seconds, and no recipe puts it there.
    "non local means, after": (LINEAR, Denoise(method=NonLocalMeans(strength=10.0, template=3, search=11))),
    "percentile": (Contrast(method=Percentile(low_percent=1.0, high_percent=99.0)), LINEAR),
    "equalize": (Contrast(method=Equalize()), LINEAR),
    "clahe": (Contrast(method=Clahe(clip_limit=2.0, tiles=8)), LINEAR),
    "unsharp": (Sharpen(method=Unsharp(size=5, sigma=1.0, amount=1.0)), LINEAR),
}


@pytest.mark.parametrize("name", STEPS)
def bench_step(benchmark: Any, frame: Frame, name: str) -> None:
    document = Preprocessing(schema=1, height=160, width=160, steps=STEPS[name])

    plane = benchmark(preprocess.apply, frame, document)

    assert plane.shape == (160, 160)
