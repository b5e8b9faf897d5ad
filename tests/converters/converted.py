"""Networks that need no training, pictures they are judged on, and their usual conversion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

import converters
from converters import calibration
from converters.artifact import Artifact
from converters.gate import Criterion, Gate
from edgemed import targets
from edgemed.bundle.manifest import Description
from edgemed.imaging import preprocess
from edgemed.imaging.frame import Frame
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.training import recipe as recipes
from tests.converters.test_card import FACTS
from tests.training import blobs

RECIPE = recipes.parse(blobs.RECIPE.encode(), source="blobs.yaml")
RULE_OUT = Criterion(name="rule-out", sensitivity=0.9)
RULE_IN = Criterion(name="rule-in", specificity=0.9)
DESCRIPTION = Description(
    name="blobs",
    task="classify",
    intended_use="Tests.",
    modalities=("US",),
    body_part="PHANTOM",
    labels=("plain", "blob"),
)


def part(count: int, *, seed: int, where: Path, **fields: Any) -> LabelledPlanes:
    """Return pictures that carry a patient's name in theirs, as hospitals' do."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    names = tuple(f"MUELLER-{index:03d}.png" for index in range(count))
    frames = [
        Frame(pixels=blobs.picture(rng, blob=bool(label)), source=str(where / name))
        for label, name in zip(labels, names, strict=True)
    ]
    planes = np.stack([preprocess.apply(frame, RECIPE.preprocessing) for frame in frames])
    return LabelledPlanes(**{"planes": planes, "labels": labels, "names": names, "read": frames.__getitem__, **fields})


def one_logit() -> keras.Model:
    """Return a network that needs no training: evidence is how far a patch lies above the speckle."""
    return _network(np.ones((8, 1)), np.array([-2.0]))


def three_logits() -> keras.Model:
    """Return a network of three labels, two of them blobs, the second a little less probable than the first."""
    return _network(np.stack([np.zeros(8), np.ones(8), 0.9 * np.ones(8)], axis=1), np.array([0.5, -2.0, -2.0]))


def _network(kernel: np.ndarray, bias: np.ndarray) -> keras.Model:
    """Return a network whose evidence is a product of eight features with a kernel (8, K), and a bias (K,)."""
    plane = keras.Input((32, 32, 1), name="plane")
    x = layers.Rescaling(1 / 128, offset=-1.0, name="range")(plane)
    features = layers.ReLU(6.0, name="relu")(layers.Conv2D(8, 3, strides=2, padding="same", name="conv")(x))
    pooled = layers.GlobalAveragePooling2D(name="embedding")(features)
    evidence = layers.Conv2D(bias.size, 1, name="evidence")(features)
    logit = layers.GlobalAveragePooling2D(name="logit")(evidence)
    made = keras.Model(plane, {"logit": logit, "evidence": evidence, "embedding": pooled})
    gains = np.linspace(0.5, 1.5, 8)
    made.get_layer("conv").set_weights([np.ones((3, 3, 1, 8)) / 9 * gains, np.linspace(-0.1, 0.3, 8) * gains])
    made.get_layer("evidence").set_weights([kernel[np.newaxis, np.newaxis], bias])
    return made


def convert(model: keras.Model, where: Path, **changes: Any) -> Artifact:
    """Return the usual conversion of a network, with some of its arguments changed."""
    train = part(48, seed=1, where=where)
    usual: dict[str, Any] = {
        "target": targets.load("generic-x86-64"),
        "train": train,
        "validation": part(96, seed=2, where=where),
        "calibration": calibration.drawn(train.planes, 32, name="train", seed=1),
        "preprocessing": RECIPE.preprocessing,
        "fit": lambda twin: None,
        "gate": Gate(points=(RULE_OUT,), active="rule-out", margin=0.05),
        "description": DESCRIPTION,
        "quality": RECIPE.quality,
        "facts": FACTS,
    }
    return converters.convert(model, **{**usual, **changes})
