"""Answers and rules as values: what the parts of an evaluation are made of, without a model or an image."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from edgemed.imaging.frame import Frame
from edgemed.imaging.preprocess import Preprocessing
from edgemed.runtime.decision import Calibration, DecisionRule, OperatingPoint, QualityLimits, Zone
from edgemed.runtime.labels import Labels
from edgemed.training.data import Dataset
from edgemed.training.evaluation.answers import Answers
from edgemed.training.evaluation.comparison import Side
from edgemed.training.evaluation.document import Evaluated
from edgemed.training.evaluation.rule import scores
from edgemed.training.evaluation.sample import Sample
from edgemed.training.evaluation.subjects import ModelSubject

BINARY = Labels(names=("plain", "blob"))
THREE = Labels(names=("normal", "benign", "malignant"), normal=("normal", "benign"))
QUALITY = QualityLimits(min_side_px=1, max_side_px=4096, min_contrast=0.0, max_coloured_fraction=1.0)


def rule(*thresholds: float, zone: float = 0.0, slope: float = 1.0) -> DecisionRule:
    """Return a rule with score = sigmoid(slope * logit) and one operating point a threshold, the first in force."""
    points = tuple(
        OperatingPoint(
            name=f"point-{index}",
            criterion=f"made for {threshold:g}",
            threshold=threshold,
            sensitivity=0.9,
            sensitivity_ci95=(0.8, 1.0),
            specificity=0.9,
            specificity_ci95=(0.8, 1.0),
            n_abnormal=10,
            n_normal=10,
        )
        for index, threshold in enumerate(thresholds or (0.5,))
    )
    first = points[0].threshold
    return DecisionRule(
        schema=1,
        version=2,
        model="sha256:" + "0" * 64,
        calibration=Calibration(slope=slope, intercept=0.0),
        operating_points=points,
        active="point-0",
        indeterminate=Zone(low=first - zone, high=first + zone),
        quality=QUALITY,
    )


def about(**changes: object) -> Evaluated:
    plain = Evaluated(
        kind="run",
        name="blobs",
        version=None,
        model="sha256:" + "0" * 64,
        labels=("plain", "blob"),
        normal_labels=(),
    )
    return msgspec.structs.replace(plain, **changes)


def answered(
    abnormality: Sequence[float], abnormal: Sequence[int], groups: Sequence[str] | None = None, *, unscored: int = 0
) -> Answers:
    """Return answers of a model of one logit."""
    values, truth = np.array(abnormality, float), np.array(abnormal).astype(bool)
    return Answers(
        indices=np.arange(len(values)),
        classes=truth.astype(np.int64),
        abnormal=truth,
        logits=values[:, None].copy(),
        abnormality=values,
        groups=np.array(groups or list(map(str, range(len(values))))),
        decisions={},
        unscored=unscored,
    )


def drawn(rng: np.random.Generator, n: int = 200, *, gap: float = 2.0, times: int = 1) -> Answers:
    """Return answers of two overlapping classes, each patient ``times`` times."""
    truth = rng.integers(0, 2, n)
    values = rng.normal(size=n) * 1.2 + gap * (truth - 0.5)
    owners = np.repeat(np.arange(n), times)
    return answered(values[owners], truth[owners], [f"p{owner}" for owner in owners])


def sample(found: Answers, document: DecisionRule, *, seed: int = 3) -> Sample:
    return Sample(
        abnormal=found.abnormal,
        abnormality=found.abnormality,
        scores=scores(document.calibration, found.abnormality),
        groups=found.groups,
        seed=seed,
    )


def side(found: Answers, document: DecisionRule | None = None, **changes: object) -> Side:
    return Side(about=about(**changes), answers=found, rule=document or rule())


def subject(labels: Labels = BINARY, *, evidence: bool = True, factor: float = 0.1) -> ModelSubject:
    """Return a model whose first logit is the mean grey level over 120, the others fall with it."""

    def read(planes: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        coarse = factor * (planes.reshape(len(planes), 4, 8, 4, 8).mean(axis=(2, 4)) - 120.0)
        maps = np.stack([coarse * (1.0 if k == labels.count - 1 else -1.0 - k) for k in range(labels.count)], axis=-1)
        return maps.mean(axis=(1, 2)), maps if evidence else None

    return ModelSubject(
        about=about(labels=labels.names, normal_labels=labels.normal),
        backend="made up",
        labels=labels,
        preprocessing=PREPROCESSING,
        read=read,
    )


PREPROCESSING = msgspec.convert(
    {
        "schema": 1,
        "height": 32,
        "width": 32,
        "steps": [{"step": "resize", "method": "area", "fit": "stretch"}],
    },
    Preprocessing,
)


def dataset(brightness: Sequence[float], labels: Sequence[int], **fields: object) -> Dataset:
    """Return test images of noise around a grey level."""

    def read(index: int) -> Frame:
        noise = np.random.default_rng(index).normal(brightness[index], 20, (48, 40))
        return Frame(pixels=noise.clip(0, 255).astype(np.uint8), source=f"secret-{index}")

    names = tuple(f"secret-{index}" for index in range(len(labels)))
    given = {"groups": names, "splits": ("test",) * len(labels), "label_names": ("plain", "blob"), **fields}
    given.setdefault("normal_labels", given["label_names"][:1])
    return Dataset(names=names, labels=np.array(labels, np.int64), read=read, **given)
