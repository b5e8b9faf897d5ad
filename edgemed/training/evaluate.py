"""Evaluation of a model on labelled images: which images, and the document of what was found.

Pixels and models are behind `evaluation.subjects`; a bundle is asked through the same `Screener` that the device runs.
This is the only code that reads the test split.

    chosen = evaluate.select(dataset, recipe, "test", trained=evaluate.division_of(bundle))
    found = answers.collected(subject, dataset, chosen.indices)
    document = evaluate.evaluate(subject, Side(about=subject.about, answers=found, rule=rule), asked)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemed import schema, statistics
from edgemed.bundle.archive import Bundle
from edgemed.errors import BundleError, ConfigError
from edgemed.runtime import decision
from edgemed.training import division
from edgemed.training import recipe as recipes
from edgemed.training.data import Dataset
from edgemed.training.evaluation import calibrations, comparison, points, several, subgroups
from edgemed.training.evaluation.answers import Answers, require_both_classes
from edgemed.training.evaluation.cautions import cautions
from edgemed.training.evaluation.comparison import Side
from edgemed.training.evaluation.document import DecisionCurve
from edgemed.training.evaluation.rule import scores
from edgemed.training.evaluation.sample import RESAMPLES, Sample
from edgemed.training.evaluation.subjects import Subject
from edgemed.training.evaluation.whole import Evaluation
from edgemed.training.out_of_distribution import OodReport
from edgemed.training.recipe import Recipe

__all__ = ["SPLITS", "Asked", "Selected", "Trained", "division_of", "evaluate", "require_own_division", "select"]

SPLITS = ("train", "validation", "test")
_TRAINING = "evidence/training.json"
_NET_BENEFIT_AT = tuple(round(0.01 * percent, 2) for percent in range(1, 100))


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a subject says of the division it was trained on; ``seed`` is the one that divided the data."""

    seed: int
    train_images: int
    validation_images: int


class _Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of the document that speak of the division; without one of its own, the seed of training divided."""

    seed: int
    division_seed: int | None = None
    train_images: int
    validation_images: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Selected:
    """Images to evaluate.

    Attributes:
        indices: (n,) into the data set, sorted.
        validation: those of validation; None for ``test``, whose selection looks at no other image.
        groups: one an image of the data set, near-duplicates joined where the recipe says so.
        division: into train and validation; likewise.
    """

    indices: NDArray[np.int64]
    validation: NDArray[np.int64] | None
    groups: tuple[str, ...]
    division: Trained | None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a document should say.

    Attributes:
        split: the name of the evaluated images.
        recipe: that selected them; its name and seed enter the document.
        prevalences: at which predictive values are wanted, each above 0 and below 1.
        attributes: of the images by name, (n,) values each in the order of the answers: subgroups.
    """

    split: str
    recipe: Recipe
    prevalences: tuple[float, ...] = ()
    attributes: Mapping[str, Sequence[str | None]] = field(default_factory=dict)


def division_of(bundle: Bundle) -> Trained | None:
    """Return the division that a bundle's evidence says it was trained on; None without such evidence.

    Raises:
        BundleError: the evidence is malformed.
    """
    raw = bundle.members.get(_TRAINING)
    if raw is None:
        return None
    found = schema.decode_json(raw, _Evidence, source=_TRAINING, error=BundleError)
    return Trained(
        seed=found.seed if found.division_seed is None else found.division_seed,
        train_images=found.train_images,
        validation_images=found.validation_images,
    )


def select(dataset: Dataset, recipe: Recipe, split: str, *, trained: Trained | None, name: str) -> Selected:
    """Return the images of a split; for ``test`` no image is read, and what train looks like does not matter.

    Train and validation are divided as the recipe says, which must be how the subject's own were, as far as it tells:
    else images that the model was trained on would count as validation.

    Args:
        dataset: of the recipe.
        recipe: names the splits.
        split: one of `SPLITS`.
        trained: the subject's own division; None where nothing is known.
        name: of the subject, for the message.

    Raises:
        ConfigError: another split, an empty one, or another division than the subject was trained on.
    """
    if split not in SPLITS:
        hint = schema.near_match(split, list(SPLITS))
        raise ConfigError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}{hint}")
    if split == "test":
        indices = division.test_indices(dataset, recipe.data.splits)
        return Selected(indices=indices, validation=None, groups=dataset.groups, division=None)
    seed = recipes.division_seed(recipe)
    found = division.divide(dataset, recipe.data.splits, seed=seed)
    now = Trained(seed=seed, train_images=len(found.train), validation_images=len(found.validation))
    chosen = Selected(indices=found.named(split), validation=found.validation, groups=found.groups, division=now)
    require_own_division(chosen, recipe, trained=trained, name=name)
    return chosen


def require_own_division(chosen: Selected, recipe: Recipe, *, trained: Trained | None, name: str) -> None:
    """Return when images were divided as a subject's own were, as far as either is known; ``name`` is the subject's.

    Raises:
        ConfigError: the subject was trained on another division.
    """
    now = chosen.division
    if now is not None and trained is not None and now != trained:
        raise ConfigError(
            f"{recipe.name}: divides the data into {_worded(now)}; {name} was trained on "
            f"{_worded(trained)}; give the recipe it was trained by with --recipe, and its data with --data"
        )


def evaluate(
    subject: Subject,
    side: Side,
    asked: Asked,
    *,
    validation: Answers | None = None,
    keep_together: NDArray[np.str_] | None = None,
    other: Side | None = None,
    ood: OodReport | None = None,
) -> Evaluation:
    """Return the document; nothing is read, every figure comes from the answers.

    Args:
        subject: what was asked.
        side: its answers to the split, and its thresholds.
        asked: which figures.
        validation: answers to validation, for the refitted calibrations; None leaves them out.
        keep_together: (n,) what no two folds may share, where the split is validation; then ``validation`` is unused.
        other: another model's answers to the same split.
        ood: what became of images from elsewhere.

    Raises:
        ConfigError: fewer than two normal or two abnormal images could be scored, or of one of several labels.
    """
    found, rule = side.answers, side.rule
    require_both_classes(found, asked.split, gates=subject.bundle is not None)
    several.require_every_label(found, subject.labels, asked.split)
    sample = Sample(
        abnormal=found.abnormal,
        abnormality=found.abnormality,
        scores=scores(rule.calibration, found.abnormality),
        groups=found.groups,
        seed=asked.recipe.fit.seed,
    )
    return _document(
        subject,
        side,
        asked,
        sample=sample,
        calibrated=calibrations.compared(
            sample, in_force=_origin(side), validation=validation, keep_together=keep_together
        ),
        other=other,
        ood=ood,
    )


def _document(
    subject: Subject,
    side: Side,
    asked: Asked,
    *,
    sample: Sample,
    calibrated: calibrations.Compared,
    other: Side | None,
    ood: OodReport | None,
) -> Evaluation:
    found, rule, seed, in_force = side.answers, side.rule, sample.seed, calibrated.in_force
    groups = tuple(
        row
        for name, values in asked.attributes.items()
        for row in subgroups.table(sample, values, attribute=name, threshold=rule.operating_point.threshold)
    )
    return Evaluation(
        schema_version=1,
        bundle=subject.bundle,
        model=side.about.model,
        decision_version=rule.version if subject.bundle is not None else None,
        backend=subject.backend,
        recipe=asked.recipe.name,
        seed=seed,
        split=asked.split,
        n=len(found),
        n_abnormal=int(found.abnormal.sum()),
        n_groups=sample.patients,
        unscored=found.unscored,
        resamples=RESAMPLES if sample.repeats else None,
        auc=sample.auc(),
        brier=in_force.brier,
        expected_calibration_error=in_force.expected_calibration_error,
        operating_points=points.results(rule, sample, prevalences=asked.prevalences),
        decisions=_decisions(side, sample),
        interval=_method(sample),
        unit="image",
        subject=side.about,
        thresholds=_origin(side),
        average_precision=sample.average_precision(),
        brier_parts=in_force.brier_parts,
        calibrations=calibrated.tables,
        decision_curve=_decision_curve(sample),
        subgroups=groups,
        comparison=None if other is None else comparison.compared(side, other, seed=seed),
        several=several.result(found, subject.labels, seed=seed),
        out_of_distribution=ood,
        cautions=(*cautions(side, sample, asked.split, subgroups=groups), *calibrated.failures),
    )


def _worded(trained: Trained) -> str:
    return f"{trained.train_images} train and {trained.validation_images} validation images with seed {trained.seed}"


def _origin(side: Side) -> str:
    if side.about.kind == "bundle":
        return "calibration and thresholds of the bundle"
    return "Platt scaling and thresholds fitted on this model's answers to validation"


def _decisions(side: Side, sample: Sample) -> dict[str, int]:
    """Return how many images ended as what; a model without gates decides by its threshold alone."""
    if side.about.kind == "bundle":
        return {kind.value: side.answers.decisions.get(kind.value, 0) for kind in decision.Decision}
    rule = side.rule
    ended = [decision.decide(float(one), rule.indeterminate, rule.operating_point.threshold) for one in sample.scores]
    return {kind.value: ended.count(kind) for kind in decision.Decision}


def _decision_curve(sample: Sample) -> DecisionCurve:
    curve = statistics.decision_curve(sample.abnormal, sample.scores, _NET_BENEFIT_AT)
    return DecisionCurve(
        prevalence=curve.prevalence,
        thresholds=_NET_BENEFIT_AT,
        model=tuple(map(float, curve.model)),
        everyone=tuple(map(float, curve.everyone)),
    )


def _method(sample: Sample) -> str:
    words = (
        "95 %; AUC: DeLong on the logit scale; average precision: logit; proportions and F1: Wilson; predictive values "
        "at a stated prevalence: Mercaldo; likelihood ratios: Simel"
    )
    if not sample.repeats:
        return words
    drawn = f"percentiles of {RESAMPLES} resamples of {sample.patients} patients, seed {sample.seed}"
    return f"{words}; by patient: {drawn}"
