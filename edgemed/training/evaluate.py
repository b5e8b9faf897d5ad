"""Evaluation of a signed bundle on labelled images, through the same `Screener` that the device runs.

This is the only code that reads the test split.

    indices = evaluate.select(screener.bundle, dataset, recipe, "test")
    evaluation = evaluate.evaluate(screener, dataset, indices, recipe=recipe, split="test")
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemed import schema, statistics
from edgemed.bundle.archive import Bundle
from edgemed.errors import BundleError, ConfigError
from edgemed.runtime import decision
from edgemed.runtime.screener import Screener
from edgemed.training import division
from edgemed.training import recipe as recipes
from edgemed.training.data import Dataset
from edgemed.training.evaluation import Evaluation, Figure, Interval, PointResult
from edgemed.training.recipe import Recipe

__all__ = ["RESAMPLES", "SPLITS", "evaluate", "select"]

SPLITS = ("train", "validation", "test")
RESAMPLES = 2000
_TRAINING = "evidence/training.json"


class _Trained(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle says of the division it was trained on; the document has more keys."""

    seed: int
    train_images: int
    validation_images: int


@dataclass(frozen=True, kw_only=True, eq=False)
class _Scored:
    """The images that reached the model: (n,) labels 0 or 1, logits, calibrated scores, patients."""

    labels: NDArray[np.int64]
    logits: NDArray[np.float64]
    scores: NDArray[np.float64]
    groups: NDArray[np.str_]
    seed: int

    @property
    def patients(self) -> int:
        return len(np.unique(self.groups))

    @property
    def repeat(self) -> bool:
        """Some patient has more than one image."""
        return self.patients < len(self.groups)

    def by_patient(
        self, values: NDArray[np.float64], statistic: Callable[[NDArray[np.bool_], NDArray[np.float64]], float]
    ) -> Interval | None:
        """Return a figure's interval over whole patients; every figure sees the same draws."""
        if not self.repeat:
            return None
        rng = np.random.default_rng(self.seed)
        drawn = statistics.bootstrap(
            self.labels, values, statistic, rng=rng, resamples=RESAMPLES, groups=self.groups
        ).ci95
        # No spread is no certainty, it is the bootstrap's blind spot; an undefined resample makes both ends NaN.
        return drawn if drawn[0] < drawn[1] else None


def select(bundle: Bundle, dataset: Dataset, recipe: Recipe, split: str) -> NDArray[np.int64]:
    """Return the indices of a split; for ``test`` no image is read, and what train looks like does not matter.

    Train and validation are divided as the recipe says, which must be how the bundle's own were, as far as its
    evidence tells: else images that the model was trained on would count as validation.

    Args:
        bundle: to be evaluated.
        dataset: of the recipe.
        recipe: names the splits.
        split: one of `SPLITS`.

    Raises:
        ConfigError: another split, an empty one, or another division than the bundle was trained on.
        BundleError: the bundle's evidence of its training is malformed.
    """
    if split not in SPLITS:
        hint = schema.near_match(split, list(SPLITS))
        raise ConfigError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}{hint}")
    if split == "test":
        return division.test_indices(dataset, recipe.data.splits)
    found = division.divide(dataset, recipe.data.splits, seed=recipes.division_seed(recipe))
    now = _Trained(seed=recipe.fit.seed, train_images=len(found.train), validation_images=len(found.validation))
    _require_own_division(bundle, now, recipe.name)
    return found.named(split)


def evaluate(
    screener: Screener,
    dataset: Dataset,
    indices: NDArray[np.int64],
    *,
    recipe: Recipe,
    split: str,
    progress: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Return how an opened bundle does on the images at ``indices``.

    Args:
        screener: of the bundle.
        dataset: labels, patients and pixels.
        indices: as `select` gives them.
        recipe: that selected them; its name and seed enter the document.
        split: its name enters the document.
        progress: called after each image.

    Raises:
        ConfigError: fewer than two normal or two abnormal images could be scored.
        ImageError: an image cannot be read.
    """
    bundle, rule = screener.bundle, screener.rule
    scored, decisions = _screened(screener, dataset, indices, seed=recipe.fit.seed, progress=progress)
    _require_both_labels(scored.labels, split, of=len(indices))
    area = statistics.delong(scored.labels, scored.logits)
    return Evaluation(
        schema_version=1,
        bundle={"name": bundle.manifest.name, "version": bundle.manifest.version, "digest": bundle.digest},
        model=rule.model,
        decision_version=rule.version,
        backend=screener.classifier.interpreter.backend,
        recipe=recipe.name,
        seed=recipe.fit.seed,
        split=split,
        n=len(scored.labels),
        n_abnormal=int(scored.labels.sum()),
        n_groups=scored.patients,
        unscored=len(indices) - len(scored.labels),
        resamples=RESAMPLES if scored.repeat else None,
        auc=_figure(area, scored.by_patient(scored.logits, statistics.auc)),
        brier=statistics.brier(scored.labels, scored.scores),
        expected_calibration_error=statistics.expected_calibration_error(scored.labels, scored.scores),
        operating_points=tuple(_point(point, rule.active, scored) for point in rule.operating_points),
        decisions={kind.value: decisions[kind.value] for kind in decision.Decision},
        interval=_method(scored),
        unit="image",
    )


def _require_own_division(bundle: Bundle, now: _Trained, recipe: str) -> None:
    """Refuse a division that is not the one in the bundle's evidence; without evidence there is nothing to compare."""
    raw = bundle.members.get(_TRAINING)
    if raw is None:
        return
    then = schema.decode_json(raw, _Trained, source=_TRAINING, error=BundleError)
    if now != then:
        raise ConfigError(
            f"{recipe}: divides the data into {_worded(now)}; {bundle.manifest.name} {bundle.manifest.version} was "
            f"trained on {_worded(then)}; give the recipe it was trained by with --recipe, and its data with --data"
        )


def _worded(trained: _Trained) -> str:
    return f"{trained.train_images} train and {trained.validation_images} validation images with seed {trained.seed}"


def _screened(
    screener: Screener, dataset: Dataset, indices: NDArray[np.int64], *, seed: int, progress: Callable[[], None]
) -> tuple[_Scored, Counter[str]]:
    """Return the images that reached the model, and how all of them were decided."""
    reached, logits, decisions = [], [], Counter[str]()
    for index in indices:
        screening = screener.screen(dataset.read(int(index)))
        decisions[screening.decision.value] += 1
        if screening.logit is not None:
            reached.append(int(index))
            logits.append(screening.logit[0])
        progress()
    scored = _Scored(
        labels=dataset.labels[np.array(reached, dtype=np.int64)],
        logits=np.array(logits),
        scores=np.array([decision.score(logit, screener.rule.calibration) for logit in logits]),
        groups=np.array([dataset.groups[index] for index in reached], dtype=np.str_),
        seed=seed,
    )
    return scored, decisions


def _require_both_labels(labels: NDArray[np.int64], split: str, *, of: int) -> None:
    abnormal = int(labels.sum())
    if min(abnormal, len(labels) - abnormal) < 2:  # an AUC has no interval below
        raise ConfigError(
            f"{split} split: expected at least 2 normal and 2 abnormal images that can be scored, got "
            f"{len(labels) - abnormal} normal and {abnormal} abnormal of {of}; check the recipe's label column and the "
            "bundle's quality limits"
        )


def _point(point: decision.OperatingPoint, active: str, scored: _Scored) -> PointResult:
    rates = statistics.rates(scored.labels, scored.scores, point.threshold)
    return PointResult(
        name=point.name,
        criterion=point.criterion,
        active=point.name == active,
        threshold=point.threshold,
        sensitivity=_share("sensitivity", rates, scored),
        specificity=_share("specificity", rates, scored),
        ppv=_share("ppv", rates, scored),
        npv=_share("npv", rates, scored),
        accuracy=_figure(rates.accuracy, _share_by_patient("accuracy", rates.threshold, scored)),
    )


def _share(name: str, rates: statistics.Rates, scored: _Scored) -> Figure | None:
    estimate: statistics.Estimate | None = getattr(rates, name)
    return None if estimate is None else _figure(estimate, _share_by_patient(name, rates.threshold, scored))


def _share_by_patient(name: str, threshold: float, scored: _Scored) -> Interval | None:
    def share(truth: NDArray[np.bool_], values: NDArray[np.float64]) -> float:
        drawn = getattr(statistics.rates(truth, values, threshold), name)
        return math.nan if drawn is None else float(drawn.value)

    return scored.by_patient(scored.scores, share)


def _figure(estimate: statistics.Estimate, by_patient: Interval | None) -> Figure:
    return Figure(value=estimate.value, ci95=estimate.ci95, ci95_by_patient=by_patient)


def _method(scored: _Scored) -> str:
    words = "95 %; AUC: DeLong on the logit scale; proportions: Wilson"
    if not scored.repeat:
        return words
    drawn = f"percentiles of {RESAMPLES} resamples of {scored.patients} patients, seed {scored.seed}"
    return f"{words}; by patient: {drawn}"
