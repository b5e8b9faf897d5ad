from __future__ import annotations

import pytest

from edgemed.training.inspection import Count, Severity, inspect
from tests.training.inspection.made import described, found, noise, of_kind


def test_images_and_patients_are_counted_by_split_and_label() -> None:
    data = described(
        [noise(index) for index in range(5)],
        labels=["normal", "normal", "abnormal", "normal", "abnormal"],
        splits=["test", "train", "train", "train", "test"],
        patients=["a", "b", "c", "b", "d"],
    )
    assert inspect(data).document.counts == (
        Count(split="train", label="normal", images=2, patients=1),
        Count(split="train", label="abnormal", images=1, patients=1),
        Count(split="test", label="normal", images=1, patients=1),
        Count(split="test", label="abnormal", images=1, patients=1),
    )


def test_label_value_outside_the_set_is_an_error() -> None:
    data = described([noise(index) for index in range(3)], labels=["normal", "abnormal", "Abnormal"])
    (one,) = found(data, "label-unlisted")
    assert (one.severity, one.images) == (Severity.ERROR, (4,))
    assert one.message == "1 image with a label value that the recipe does not list: 'Abnormal'"


def test_split_of_one_label_is_an_error() -> None:
    data = described([noise(index) for index in range(6)], splits=["train"] * 4 + ["val", "test"])
    checked = inspect(data)
    assert [one.message for one in of_kind(checked, "label-missing")] == [
        "the validation split has no image of abnormal",
        "the test split has no image of normal",
    ]


def test_split_value_that_no_image_has_is_an_error() -> None:
    (one,) = found(described([noise(0), noise(1)], roles={"train": "training", "test": "train"}), "split-empty")
    assert one.message == "no image belongs to the train split 'training'; the data have ['train']"


def test_missing_splits_are_a_note() -> None:
    (one,) = found(described([noise(0), noise(1)], roles={"train": "train"}), "split-missing")
    assert (one.severity, one.message) == (Severity.NOTE, "the data name no validation and no test split")


PATIENTS = {
    "with test": (["train", "val", "test"], Severity.ERROR, "1 patient in more than one split, 1 of them in test"),
    "without test": (["train", "val", "val"], Severity.WARNING, "1 patient in more than one split, 0 of them in test"),
}


@pytest.mark.parametrize("name", PATIENTS)
def test_patient_in_two_splits_is_found(name: str) -> None:
    splits, severity, message = PATIENTS[name]
    data = described([noise(index) for index in range(3)], splits=splits, patients=["p", "q", "p"])
    (one,) = found(data, "patients-across-splits")
    assert (one.severity, one.message, one.groups) == (severity, message, ((2, 4),))


def test_label_of_few_patients_is_a_warning() -> None:
    data = described([noise(index) for index in range(8)], patients=[f"p{index % 4}" for index in range(8)])
    assert [one.message for one in found(data, "few-patients")] == [
        "normal: 4 images of 2 patients, 2 of one of them",
        "abnormal: 4 images of 2 patients, 2 of one of them",
    ]


def test_patient_with_most_images_is_a_warning() -> None:
    data = described([noise(index) for index in range(8)], patients=["ANONYMOUS"] * 6 + ["a", "b"])
    (one,) = found(data, "one-patient")
    assert one.message == "6 of 8 images belong to one patient"


def test_share_of_a_label_that_differs_between_splits_is_a_warning() -> None:
    labels = ["normal", "abnormal"] * 60 + ["normal"] * 50 + ["abnormal"] * 10
    data = described(
        [noise(index, side=8) for index in range(180)], labels=labels, splits=["train"] * 120 + ["val"] * 60
    )
    (one,) = found(data, "prevalence")
    assert one.message == "abnormal makes 50% of train and 17% of validation"


def test_rare_label_is_a_note() -> None:
    data = described([noise(index, side=8) for index in range(40)], labels=["normal"] * 37 + ["abnormal"] * 3)
    (one,) = found(data, "label-rare")
    assert one.message == "abnormal is rare: 3 of 40 images"


def test_unknown_patients_are_a_note() -> None:
    (one,) = found(described([noise(0), noise(1)]), "patients-unknown")
    assert one.message == "patients are not known: each image stands alone"
