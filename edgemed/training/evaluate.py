"""Evaluation of a signed bundle on labelled images, through the same `Screener` that the device runs.

This is the only code that reads the test split.

    evaluation = evaluate.evaluate(Screener.open(path), dataset, division.test, recipe="chest-xray", split="test")
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemed import statistics
from edgemed.errors import ConfigError
from edgemed.runtime import decision
from edgemed.runtime.screener import Screener
from edgemed.training.data import Dataset

__all__ = ["Evaluation", "Figure", "PointResult", "evaluate"]


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Figure(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value with its 95 % interval."""

    value: float
    ci95: tuple[float, float]


class PointResult(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one operating point attains; Wilson intervals; None where a class has no image."""

    name: str
    criterion: str
    active: bool
    threshold: float
    sensitivity: Figure | None
    specificity: Figure | None
    ppv: Figure | None
    npv: Figure | None
    accuracy: Figure


class Evaluation(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document ``evaluate --json`` prints.

    Attributes:
        bundle: name, version and digest of what was evaluated.
        backend: that ran the int8 model.
        recipe: that named the data's columns.
        n, n_abnormal: images scored; refused ones count too, with the score their logit would have had, unless they
            were refused before inference (``unscored``).
        auc: DeLong interval on the logit scale.
        brier, expected_calibration_error: of the calibrated scores; ten equal bins.
        decisions: how many images ended as what.
        interval: the method behind every interval.
        unit: what was counted as independent.
    """

    schema_version: int
    bundle: dict[str, str]
    backend: str
    recipe: str
    split: str
    n: int
    n_abnormal: int
    unscored: int
    auc: Figure
    brier: float
    expected_calibration_error: float
    operating_points: tuple[PointResult, ...]
    decisions: dict[str, int]
    interval: str
    unit: str


def evaluate(
    screener: Screener,
    dataset: Dataset,
    indices: NDArray[np.int64],
    *,
    recipe: str,
    split: str,
    progress: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Return how an opened bundle does on the images at ``indices``.

    Raises:
        ConfigError: no image could be scored, or the images carry one label only.
        ImageError: an image cannot be read.
    """
    bundle, rule = screener.bundle, screener.rule
    logits, labels, decisions = [], [], Counter[str]()
    for index in indices:
        screening = screener.screen(dataset.read(int(index)))
        decisions[screening.decision.value] += 1
        if screening.logit is not None:
            logits.append(screening.logit[0])
            labels.append(int(dataset.labels[index]))
        progress()
    if len(set(labels)) < 2:
        raise ConfigError(
            f"{split}: expected normal and abnormal images that can be scored, got {len(labels) - sum(labels)} normal "
            f"and {sum(labels)} abnormal of {len(indices)}"
        )
    values = np.array([decision.score(logit, rule.calibration) for logit in logits])
    truth = np.array(labels)
    return Evaluation(
        schema_version=1,
        bundle={"name": bundle.manifest.name, "version": bundle.manifest.version, "digest": bundle.digest},
        backend=screener.classifier.interpreter.backend,
        recipe=recipe,
        split=split,
        n=len(truth),
        n_abnormal=int(truth.sum()),
        unscored=len(indices) - len(truth),
        auc=_figure(statistics.delong(truth, np.array(logits))),
        brier=statistics.brier(truth, values),
        expected_calibration_error=statistics.expected_calibration_error(truth, values),
        operating_points=tuple(_point(point, rule, truth, values) for point in rule.operating_points),
        decisions={kind.value: decisions[kind.value] for kind in decision.Decision},
        interval="95 %; AUC: DeLong on the logit scale; proportions: Wilson",
        unit="image",
    )


def _point(
    point: decision.OperatingPoint, rule: decision.DecisionRule, truth: NDArray[np.int64], values: NDArray[np.float64]
) -> PointResult:
    rates = statistics.rates(truth, values, point.threshold)
    return PointResult(
        name=point.name,
        criterion=point.criterion,
        active=point.name == rule.active,
        threshold=point.threshold,
        sensitivity=_optional(rates.sensitivity),
        specificity=_optional(rates.specificity),
        ppv=_optional(rates.ppv),
        npv=_optional(rates.npv),
        accuracy=_figure(rates.accuracy),
    )


def _optional(estimate: statistics.Estimate | None) -> Figure | None:
    return None if estimate is None else _figure(estimate)


def _figure(estimate: statistics.Estimate) -> Figure:
    return Figure(value=estimate.value, ci95=estimate.ci95)
