from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from edgemed import files, schema, statistics
from edgemed.bundle.archive import Bundle
from edgemed.errors import BundleError, ConfigError
from edgemed.imaging.frame import Frame
from edgemed.runtime.decision import DecisionRule
from edgemed.runtime.screener import Screener
from edgemed.training import evaluate
from edgemed.training.data import Dataset
from edgemed.training.evaluation import answers, subjects
from edgemed.training.evaluation.comparison import Side
from edgemed.training.evaluation.document import Figure
from edgemed.training.evaluation.whole import Evaluation
from edgemed.training.recipe import Recipe
from tests.runtime import tiny

MODEL = b"model"
SHARES = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "f1")
METHOD = (
    "95 %; AUC: DeLong on the logit scale; average precision: logit; proportions and F1: Wilson; predictive values at "
    "a stated prevalence: Mercaldo; likelihood ratios: Simel"
)


class Brightness(tiny.FakeInterpreter):
    """A model whose logit is the mean of its plane, in steps of one half."""

    def invoke(self, inputs: Mapping[str, NDArray[np.int8]]) -> dict[str, NDArray[np.int8]]:
        outputs = super().invoke(inputs)
        outputs["logit"][...] = np.clip(np.rint(2 * inputs["plane"].mean()), -128, 127)
        return outputs


def screener(document: DecisionRule | None = None, **fake: int) -> Screener:
    return Screener(tiny.bundle(MODEL, document), Brightness(**fake))


def dataset(brightness: Sequence[float], labels: Sequence[int], groups: Sequence[str] | None = None) -> Dataset:
    """Return test images of noise around a gray level; a level of -1 is a black image, which the gates refuse."""

    def read(index: int) -> Frame:
        noise = np.random.default_rng(index).normal(brightness[index], 20, (48, 48))
        black = brightness[index] < 0
        return Frame(pixels=np.zeros((48, 48), np.uint8) if black else noise.clip(0, 255).astype(np.uint8), source="x")

    names = tuple(map(str, range(len(labels))))
    return Dataset(
        names=names,
        labels=np.array(labels, dtype=np.int64),
        groups=tuple(groups or names),
        splits=("test",) * len(labels),
        read=read,
    )


def overlapping(rng: np.random.Generator, count: int) -> tuple[list[float], list[int]]:
    """Return gray levels and labels of two classes that overlap."""
    labels = [index % 2 for index in range(count)]
    return [float(rng.normal(121.5 + 3 * label, 4)) for label in labels], labels


def evaluated(images: Dataset, recipe: Recipe, *, opened: Screener | None = None) -> Evaluation:
    used = opened or screener()
    subject = subjects.of_bundle(used)
    found = answers.collected(subject, images, np.arange(len(images.names)))
    side = Side(about=subject.about, answers=found, rule=used.rule)
    return evaluate.evaluate(subject, side, evaluate.Asked(split="test", recipe=recipe))


def test_figures_equal_those_of_the_screeners_own_answers(rng: np.random.Generator, blob_recipe: Recipe) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    images, opened = dataset(*overlapping(rng, 60)), screener(tiny.rule(MODEL, threshold=0.4))
    result = evaluated(images, blob_recipe, opened=opened)
    answers = [opened.screen(images.read(index)) for index in range(60)]
    scores = np.array([answer.score for answer in answers])
    abnormal, alert = images.labels == 1, scores >= 0.4
    assert (result.n, result.n_abnormal, result.unscored) == (60, 30, 0)
    assert result.auc.value == pytest.approx(metrics.roc_auc_score(images.labels, scores), abs=1e-12)
    assert result.brier == pytest.approx(metrics.brier_score_loss(images.labels, scores), abs=1e-12)
    (point,) = result.operating_points
    assert point.sensitivity is not None
    assert point.specificity is not None
    assert point.sensitivity.value == np.count_nonzero(alert & abnormal) / 30
    assert point.specificity.value == np.count_nonzero(~alert & ~abnormal) / 30
    assert point.accuracy.value == np.count_nonzero(alert == abnormal) / 60
    assert point.sensitivity.ci95 == statistics.wilson(np.count_nonzero(alert & abnormal), 30).ci95
    outcomes = [answer.decision.value for answer in answers]
    assert result.decisions == {kind: outcomes.count(kind) for kind in ("alert", "clear", "indeterminate", "refused")}


def test_document_has_the_promised_keys(rng: np.random.Generator, blob_recipe: Recipe) -> None:
    document = json.loads(msgspec.json.encode(evaluated(dataset(*overlapping(rng, 20)), blob_recipe)))
    assert list(document) == [
        "schema_version",
        "bundle",
        "model",
        "decision_version",
        "backend",
        "recipe",
        "seed",
        "split",
        "n",
        "n_abnormal",
        "n_groups",
        "unscored",
        "resamples",
        "auc",
        "brier",
        "expected_calibration_error",
        "operating_points",
        "decisions",
        "interval",
        "unit",
        "subject",
        "thresholds",
        "average_precision",
        "brier_parts",
        "calibrations",
        "decision_curve",
        "subgroups",
        "comparison",
        "several",
        "out_of_distribution",
        "cautions",
    ]
    assert (document["model"], document["decision_version"]) == (files.sha256(MODEL), 3)
    assert (document["recipe"], document["seed"], document["backend"]) == ("blobs", 3, "fake")
    (point,) = document["operating_points"]
    counts = ["true_positives", "false_negatives", "true_negatives", "false_positives"]
    ratios = ["likelihood_ratio_positive", "likelihood_ratio_negative"]
    assert list(point) == ["name", "criterion", "active", "threshold", *SHARES, *counts, *ratios, "at_prevalence"]
    for figure in (document["auc"], *(point[name] for name in SHARES)):
        assert list(figure) == ["value", "ci95", "ci95_by_patient"]
        assert figure["ci95"][0] <= figure["value"] <= figure["ci95"][1]


def test_image_refused_before_inference_is_counted_as_unscored(rng: np.random.Generator, blob_recipe: Recipe) -> None:
    levels, labels = overlapping(rng, 20)
    whole = evaluated(dataset(levels, labels), blob_recipe)
    result = evaluated(dataset([*levels, -1, -1, -1], [*labels, 1, 0, 1]), blob_recipe)
    assert (result.n, result.n_abnormal, result.unscored) == (20, 10, 3)
    assert result.decisions["refused"] == 3
    assert (result.auc, result.operating_points) == (whole.auc, whole.operating_points)


def test_image_refused_as_unlike_the_training_data_is_scored_all_the_same(
    rng: np.random.Generator, blob_recipe: Recipe
) -> None:
    images = dataset(*overlapping(rng, 20))
    document = tiny.rule(MODEL, out_of_distribution=tiny.limits(limit=1.0))
    result = evaluated(images, blob_recipe, opened=screener(document))
    assert (result.unscored, result.decisions["refused"]) == (0, 20)
    assert result.auc == evaluated(images, blob_recipe).auc


def test_images_of_unknown_patients_have_no_interval_by_patient(rng: np.random.Generator, blob_recipe: Recipe) -> None:
    result = evaluated(dataset(*overlapping(rng, 20)), blob_recipe)
    (point,) = result.operating_points
    assert (result.n_groups, result.resamples, result.unit) == (20, None, "image")
    assert all(figure.ci95_by_patient is None for figure in (result.auc, *(getattr(point, name) for name in SHARES)))
    assert result.interval == METHOD


def _repeated(rng: np.random.Generator, *, patients: int, times: int) -> Dataset:
    """Return every patient's one image several times; the frames come from a seed of the patient, not the image."""
    levels, labels = overlapping(rng, patients)
    single = dataset(levels, labels)
    owners = [index // times for index in range(patients * times)]
    return Dataset(
        names=tuple(map(str, range(len(owners)))),
        labels=single.labels[owners],
        groups=tuple(f"p{owner}" for owner in owners),
        splits=("test",) * len(owners),
        read=lambda index: single.read(owners[index]),
    )


def _width(interval: tuple[float, float] | None) -> float:
    assert interval is not None
    return interval[1] - interval[0]


def test_copies_of_an_image_narrow_the_interval_by_image_but_not_the_one_by_patient(
    rng: np.random.Generator, blob_recipe: Recipe
) -> None:
    seed = int(rng.integers(1000))
    once = evaluated(_repeated(np.random.default_rng(seed), patients=60, times=1), blob_recipe)
    often = evaluated(_repeated(np.random.default_rng(seed), patients=60, times=5), blob_recipe)
    assert (often.n, often.n_groups, often.resamples) == (300, 60, 2000)
    assert often.interval == f"{METHOD}; by patient: percentiles of 2000 resamples of 60 patients, seed 3"
    (point, alone) = (*often.operating_points, *once.operating_points)
    # Not PPV and NPV: the resamples keep the prevalence, Wilson does not.
    names = ("sensitivity", "specificity", "accuracy")
    pairs = [(often.auc, once.auc), *((getattr(point, name), getattr(alone, name)) for name in names)]
    for many, single in pairs:
        assert many.value == pytest.approx(single.value)
        assert _width(many.ci95) < 0.6 * _width(single.ci95)
        assert _width(many.ci95_by_patient) == pytest.approx(_width(single.ci95), rel=0.15)


def test_seed_of_the_recipe_draws_the_patients(rng: np.random.Generator, blob_recipe: Recipe) -> None:
    images = _repeated(rng, patients=20, times=2)
    other = msgspec.structs.replace(blob_recipe, fit=msgspec.structs.replace(blob_recipe.fit, seed=4))
    first, again, third = (evaluated(images, recipe) for recipe in (blob_recipe, blob_recipe, other))
    assert first == again
    assert first.auc.ci95 == third.auc.ci95
    assert first.auc.ci95_by_patient != third.auc.ci95_by_patient


def test_resamples_without_spread_give_no_interval_by_patient(blob_recipe: Recipe) -> None:
    images = dataset([100.0, 101.0, 102.0, 103.0] * 2 + [150.0] * 8, [0] * 8 + [1] * 8, list("aabbccddeeffgghh"))
    result = evaluated(images, blob_recipe)
    assert (result.auc.value, result.auc.ci95_by_patient) == (1.0, None)
    assert result.auc.ci95[0] < 0.9


def test_figure_that_some_resamples_leave_undefined_has_no_interval_by_patient(blob_recipe: Recipe) -> None:
    # One patient alerts: without her in a resample there is no positive to be right about.
    levels = [110.0, 111.0, 112.0, 113.0, 160.0, 160.0, 112.0, 113.0]
    result = evaluated(dataset(levels, [0] * 4 + [1] * 4, list("aabbccdd")), blob_recipe)
    (point,) = result.operating_points
    assert point.ppv is not None
    assert (point.ppv.value, point.ppv.ci95_by_patient) == (1.0, None)
    assert point.sensitivity is not None
    assert point.sensitivity.ci95_by_patient == (0.0, 1.0)


def test_figure_shows_both_intervals() -> None:
    figure = Figure(value=0.9, ci95=(0.8, 0.95), ci95_by_patient=(0.75, 0.97))
    assert str(figure) == "0.9000 [0.8000, 0.9500], by patient [0.7500, 0.9700]"
    assert str(msgspec.structs.replace(figure, ci95_by_patient=None)) == "0.9000 [0.8000, 0.9500]"


TOO_FEW = {
    "one normal": ([120.0, 120, 121, 122], [0, 1, 1, 1], "1 normal and 3 abnormal of 4"),
    "one abnormal is scored": ([120.0, 121, 122, -1], [0, 0, 1, 1], "2 normal and 1 abnormal of 4"),
    "none is scored": ([-1.0, -1, -1, -1], [0, 0, 1, 1], "0 normal and 0 abnormal of 4"),
}


@pytest.mark.parametrize(("levels", "labels", "got"), TOO_FEW.values(), ids=TOO_FEW)
def test_fewer_than_two_of_a_label_are_refused(
    levels: list[float], labels: list[int], got: str, blob_recipe: Recipe
) -> None:
    with pytest.raises(ConfigError) as caught:
        evaluated(dataset(levels, labels), blob_recipe)
    assert str(caught.value) == (
        f"test split: expected at least 2 normal and 2 abnormal images that can be scored, got {got}; "
        "check the recipe's label column and the bundle's quality limits"
    )


def _divided(splits: Sequence[str], labels: Sequence[int]) -> Dataset:
    """Return images of noise with the splits of the recipe's own words."""

    def read(index: int) -> Frame:
        pixels = np.random.default_rng(index).integers(0, 256, (32, 32)).astype(np.uint8)
        return Frame(pixels=pixels, source=str(index))

    names = tuple(map(str, range(len(splits))))
    return Dataset(names=names, labels=np.array(labels), groups=names, splits=tuple(splits), read=read)


DIVIDED = (("train",) * 6 + ("val",) * 4 + ("test",) * 2, (0, 1) * 6)


def _with_evidence(document: object) -> Bundle:
    extra = {} if document is None else {"evidence/training.json": schema.encode_json(document)}
    return tiny.bundle(MODEL, extra=extra)


def test_test_split_is_selected_without_reading_an_image(blob_recipe: Recipe) -> None:
    def read(index: int) -> Frame:
        raise AssertionError(f"image {index} was read")

    # Train and validation have one label only: nothing to divide, and nobody asked.
    images = Dataset(
        names=("a", "b", "c", "d"),
        labels=np.array([0, 0, 0, 1]),
        groups=("a", "b", "c", "d"),
        splits=("train", "val", "test", "test"),
        read=read,
    )
    assert selected(_with_evidence(None), images, blob_recipe, "test").indices.tolist() == [2, 3]


def selected(bundle: Bundle, images: Dataset, recipe: Recipe, split: str) -> evaluate.Selected:
    return evaluate.select(images, recipe, split, trained=evaluate.division_of(bundle), name="tiny 1.2.3")


EVIDENCE = {
    "no evidence": None,
    "evidence of this division": {"seed": 3, "train_images": 6, "validation_images": 4, "recipe": "blobs"},
    "trained from another seed": {"seed": 8, "division_seed": 3, "train_images": 6, "validation_images": 4},
}


@pytest.mark.parametrize("document", EVIDENCE.values(), ids=EVIDENCE)
def test_train_and_validation_are_selected_as_the_recipe_divides(
    document: dict[str, object] | None, blob_recipe: Recipe
) -> None:
    images, bundle = _divided(*DIVIDED), _with_evidence(document)
    assert selected(bundle, images, blob_recipe, "train").indices.tolist() == [0, 1, 2, 3, 4, 5]
    assert selected(bundle, images, blob_recipe, "validation").indices.tolist() == [6, 7, 8, 9]


OTHER_DIVISIONS = {
    "other counts": ({"seed": 3, "train_images": 7, "validation_images": 3}, "7 train and 3 validation", 3),
    "other seed": ({"seed": 5, "train_images": 6, "validation_images": 4}, "6 train and 4 validation", 5),
    "divided by another seed": (
        {"seed": 3, "division_seed": 0, "train_images": 6, "validation_images": 4},
        "6 train and 4 validation",
        0,
    ),
}


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize(("document", "then", "seed"), OTHER_DIVISIONS.values(), ids=OTHER_DIVISIONS)
def test_division_other_than_the_bundles_own_is_refused(
    document: dict[str, int], then: str, seed: int, split: str, blob_recipe: Recipe
) -> None:
    with pytest.raises(ConfigError) as caught:
        selected(_with_evidence(document), _divided(*DIVIDED), blob_recipe, split)
    assert str(caught.value) == (
        "blobs: divides the data into 6 train and 4 validation images with seed 3; tiny 1.2.3 was trained on "
        f"{then} images with seed {seed}; give the recipe it was trained by with --recipe, and its data with --data"
    )


def test_malformed_evidence_of_the_training_is_the_bundles_fault(blob_recipe: Recipe) -> None:
    with pytest.raises(BundleError) as caught:
        selected(_with_evidence({"seed": 3}), _divided(*DIVIDED), blob_recipe, "validation")
    assert str(caught.value) == "evidence/training.json: train_images: required key is missing"


def test_unknown_split_names_the_near_one(blob_recipe: Recipe) -> None:
    with pytest.raises(ConfigError) as caught:
        selected(_with_evidence(None), _divided(*DIVIDED), blob_recipe, "tets")
    assert str(caught.value) == ("split: expected one of train, validation, test, got 'tets'; did you mean 'test'?")
