"""The order of an evaluation, with a model that is made up and pictures on disk; needs no TensorFlow."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemed import statistics
from edgemed.errors import ConfigError
from edgemed.training.evaluate import Trained
from edgemed.training.evaluation import procedure
from edgemed.training.evaluation.procedure import Candidate, Done, Request
from edgemed.training.progress import Silent
from edgemed.training.recipe import Recipe
from tests.training import blobs as pictures
from tests.training.evaluation import made

NO_VALIDATION = (
    "train and validation split: expected two normal and two abnormal images at least, got 0 normal and 0 abnormal; "
    "the data set has ['test']; check the recipe's label and split columns"
)


class Noting(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.stages: list[str] = []

    def start(self, what: str, total: int) -> None:
        self.stages.append(f"{what}: {total}")

    def note(self, text: str) -> None:
        self.notes.append(text)


def candidate(recipe: Recipe, **fields: object) -> Candidate:
    return Candidate(**{"subject": made.subject(), "recipe": recipe, **fields})


def done(recipe: Recipe, folder: Path, split: str | None = None, **options: object) -> Done:
    other = options.pop("other", None)
    return procedure.carried_out(candidate(recipe), Request(data=folder, split=split, **options), other=other)


def test_validation_is_the_default_and_gives_the_thresholds(blobs: Path, blob_recipe: Recipe) -> None:
    found = done(blob_recipe, blobs)
    document = found.evaluation
    assert (document.split, document.n, document.n_abnormal) == ("validation", 40, 20)
    platt = statistics.platt(found.side.answers.abnormality, found.side.answers.abnormal)
    assert found.side.rule.calibration.slope == pytest.approx(platt.slope)
    assert [table.method for table in document.calibrations] == ["none", "in force", "platt", "temperature", "isotonic"]
    assert document.calibrations[2].fitted_on.startswith("validation, in 5 folds")
    assert document.cautions[0].startswith("Calibration and thresholds were fitted on these very images")


def test_test_split_is_judged_by_thresholds_from_validation(blobs: Path, blob_recipe: Recipe) -> None:
    on_validation, on_test = done(blob_recipe, blobs), done(blob_recipe, blobs, "test")
    assert on_test.evaluation.n == 20
    assert on_test.side.rule == on_validation.side.rule
    assert on_test.evaluation.calibrations[2].fitted_on == "validation, 40 images"


def test_split_is_read_by_name_alone(blobs: Path, blob_recipe: Recipe) -> None:
    report = Noting()
    procedure.carried_out(candidate(blob_recipe), Request(data=blobs), progress=report)
    assert report.stages == ["evaluate blobs on validation: 40"]


def test_candidate_with_thresholds_of_its_own_does_without_validation(tmp_path: Path, blob_recipe: Recipe) -> None:
    pictures.write(tmp_path, {"test": 6})
    report = Noting()
    found = procedure.carried_out(
        candidate(blob_recipe, rule=made.rule(0.4)), Request(data=tmp_path, split="test"), progress=report
    )
    assert found.side.rule == made.rule(0.4)
    assert [table.method for table in found.evaluation.calibrations] == ["none", "in force"]
    assert report.notes == [
        f"calibrations are not refitted, validation cannot be had: {NO_VALIDATION}",
    ]


def test_candidate_without_thresholds_needs_validation(tmp_path: Path, blob_recipe: Recipe) -> None:
    pictures.write(tmp_path, {"test": 6})
    with pytest.raises(ConfigError) as caught:
        done(blob_recipe, tmp_path, "test")
    assert str(caught.value) == NO_VALIDATION


def test_other_model_answers_the_same_images(blobs: Path, blob_recipe: Recipe) -> None:
    other = candidate(blob_recipe, subject=made.subject(factor=-0.01), rule=made.rule())
    found = done(blob_recipe, blobs, other=other).evaluation.comparison
    assert found is not None
    assert found.n == 40
    assert found.difference.value == pytest.approx(found.other_auc.value - found.auc.value)
    assert found.other_auc.value == pytest.approx(1 - found.auc.value)


def test_other_model_that_saw_the_images_in_training_is_refused(blobs: Path, blob_recipe: Recipe) -> None:
    other = candidate(blob_recipe, trained=Trained(seed=9, train_images=90, validation_images=14))
    with pytest.raises(ConfigError) as caught:
        done(blob_recipe, blobs, other=other)
    assert str(caught.value) == (
        "blobs: divides the data into 64 train and 40 validation images with seed 3; blobs was trained on 90 train and "
        "14 validation images with seed 9; give the recipe it was trained by with --recipe, and its data with --data"
    )


def test_split_without_abnormal_images_is_refused(tmp_path: Path, blob_recipe: Recipe) -> None:
    pictures.write(tmp_path, {"train": 4, "val": 4, "test": 3})
    for path in (tmp_path / "test" / "blob").iterdir():
        path.unlink()
    with pytest.raises(ConfigError) as caught:
        done(blob_recipe, tmp_path, "test")
    assert str(caught.value) == (
        "test split: expected at least 2 normal and 2 abnormal images that can be scored, got 3 normal and 0 abnormal "
        "of 3; check the recipe's label column"
    )


def test_empty_split_is_refused(tmp_path: Path, blob_recipe: Recipe) -> None:
    pictures.write(tmp_path, {"train": 4, "val": 4})
    with pytest.raises(ConfigError) as caught:
        done(blob_recipe, tmp_path, "test")
    assert str(caught.value) == "test split: expected images of 'test', found none; the data set has ['train', 'val']"


def test_images_from_elsewhere_need_gates(blobs: Path, blob_recipe: Recipe) -> None:
    with pytest.raises(ConfigError) as caught:
        done(blob_recipe, blobs, elsewhere={"photos": blobs})
    assert str(caught.value) == (
        "--ood: expected a bundle, whose gates refuse what it is not meant for, got a run; convert it and evaluate its "
        "bundle"
    )


def test_data_are_asked_for_where_the_subject_names_none(blob_recipe: Recipe) -> None:
    with pytest.raises(ConfigError) as caught:
        procedure.carried_out(candidate(blob_recipe), Request(data=None))
    assert str(caught.value) == "--data: required with blobs: the folder of the labelled images"


@pytest.mark.parametrize("prevalence", [0.0, 1.0, 5.0])
def test_prevalence_outside_is_refused(prevalence: float) -> None:
    with pytest.raises(ConfigError) as caught:
        Request(data=None, prevalences=(0.02, prevalence))
    assert str(caught.value) == (
        f"--prevalence: expected above 0 and below 1, got {prevalence:g}; give a share, 0.02 for 2 %"
    )


def test_folds_keep_near_duplicates_together(tmp_path: Path, blob_recipe: Recipe) -> None:
    pictures.write(tmp_path, {"train": 6, "val": 8})
    first, *others = sorted((tmp_path / "val" / "blob").iterdir())
    for path in others:
        path.write_bytes(first.read_bytes())
    # One group of abnormals cannot be dealt out to five folds.
    document = done(blob_recipe, tmp_path).evaluation
    assert (document.n, document.n_groups) == (16, 16)
    assert [table.method for table in document.calibrations] == ["none", "in force"]
