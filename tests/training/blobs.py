"""Bright blobs on speckle: pictures that a network learns in seconds, a data set of them, and a recipe for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

RECIPE = """
schema: 1
name: blobs
task: classify
intended_use: Tests.
modalities: [US]
body_part: PHANTOM
labels: [plain, blob]
data:
  source: {kind: folders, normal: [plain], abnormal: [blob]}
  splits: {train: train, validation: val, test: test, near_duplicate_correlation: 0.999}
  licence: none needed
  citation: synthetic
  limits: synthetic
preprocessing:
  schema: 1
  height: 32
  width: 32
  steps: [{step: resize, method: area, fit: stretch}]
model: {family: mobilenet_v2, cut: block_2, alpha: 0.35, embedding: 8, dropout: 0.1, pretrained: null,
        pretrained_sha256: null}
augmentation: {shift: 0.1, rotation_deg: 10.0, flip: 0.5, noise: 0.02, gamma: 0.2}
fit: {seed: 3, epochs: 3, batch: 16, learning_rate: 0.01, warmup_epochs: 0.5, weight_decay: 0.0, label_smoothing: 0.0}
quantization: {epochs: 1, learning_rate: 0.0005, calibration: 32}
operating_point: {name: rule-out, sensitivity: 0.9}
quality: {min_side_px: 16, max_side_px: 512, min_contrast: 0.01, max_coloured_fraction: 0.1}
"""


Radii = tuple[int, int]
_RADII = (5, 9)
CLASSES: Mapping[str, Radii | None] = {"plain": None, "blob": _RADII}


def picture(rng: np.random.Generator, *, blob: bool, radii: Radii = _RADII) -> np.ndarray:
    """Return a (48, 40) uint8 picture of speckle, with a bright disc of a radius from a range, or without."""
    pixels = rng.integers(20, 120, (48, 40)).astype(np.uint8)
    if blob:
        centre = (int(rng.integers(10, 30)), int(rng.integers(10, 38)))
        cv2.circle(pixels, centre, int(rng.integers(*radii)), 230, -1)
    return pixels


def write(
    folder: Path, counts: Mapping[str, int], *, seed: int = 7, classes: Mapping[str, Radii | None] = CLASSES
) -> None:
    """Write ``counts`` pictures of each class into SPLIT/CLASS folders below ``folder``."""
    rng = np.random.default_rng(seed)
    for split, count in counts.items():
        for label, radii in classes.items():
            (folder / split / label).mkdir(parents=True)
            for index in range(count):
                cv2.imwrite(
                    str(folder / split / label / f"{index:03d}.png"),
                    picture(rng, blob=radii is not None, radii=radii or _RADII),
                )
