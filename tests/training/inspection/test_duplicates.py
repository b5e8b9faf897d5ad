from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgemed.imaging.frame import Frame
from edgemed.training import recipe as recipes
from edgemed.training.inspection import Given, Severity, by_recipe, guess, inspect
from tests.training.inspection.made import described, found, noise, of_kind


def test_identical_pictures_within_a_split_are_groups_by_number() -> None:
    pictures = [noise(0), noise(1), noise(0), noise(2), noise(0)]
    (one,) = found(described(pictures, labels=["normal"] * 5), "repeated")
    assert (one.severity, one.count, one.groups) == (Severity.WARNING, 1, ((2, 4, 6),))
    assert one.message == "1 group of identical pictures within one split, 3 images"


def test_identical_pictures_across_splits_say_which() -> None:
    pictures = [noise(0), noise(1), noise(0), noise(1)]
    data = described(pictures, labels=["normal"] * 4, splits=["train", "train", "val", "test"])
    (one,) = found(data, "repeated-across-splits")
    assert (one.severity, one.groups) == (Severity.ERROR, ((2, 4), (3, 5)))
    assert one.message == (
        "2 groups of identical pictures across splits, 1 of them with test (1 train-val, 1 train-test)"
    )
    assert one.advice == (
        "figures on test flatter: like_test: drop under data.splits takes those out of train; "
        "near_duplicate_correlation under data.splits moves train pictures to validation with their likes"
    )


def test_identical_pictures_of_two_labels_are_an_error() -> None:
    (one,) = found(described([noise(0), noise(0), noise(1)]), "repeated-conflicting")
    assert (one.severity, one.groups) == (Severity.ERROR, ((2, 3),))


def test_near_duplicates_are_pairs_with_those_of_one_patient_told_apart() -> None:
    pictures = [noise(0), noise(0) + np.uint8(3), noise(1), noise(1) + np.uint8(3), noise(2)]
    data = described(pictures, patients=["a", "a", "b", "c", "d"], splits=["train", "train", "train", "val", "val"])
    checked = inspect(data)
    (near,) = of_kind(checked, "near-duplicates")
    assert near.groups == ((2, 3), (4, 5))
    assert near.message == (
        "2 pairs of nearly identical pictures (thumbnails correlate above 0.98), 1 across splits, 1 of one patient each"
    )
    assert [one.groups for one in of_kind(checked, "near-duplicates-across-splits")] == [((4, 5),)]
    assert [one.groups for one in of_kind(checked, "near-duplicates-conflicting")] == [((2, 3), (4, 5))]


def test_frames_of_one_patient_alone_are_a_note() -> None:
    data = described([noise(0), noise(0) + np.uint8(3), noise(1)], patients=["a", "a", "b"], labels=["normal"] * 3)
    assert found(data, "near-duplicates")[0].severity is Severity.NOTE


def test_blank_pictures_are_repeated_but_correlate_with_nothing() -> None:
    blank = np.zeros((40, 40), np.uint8)
    checked = inspect(described([blank, blank, noise(1)], labels=["normal"] * 3))
    assert of_kind(checked, "repeated")[0].groups == ((2, 3),)
    assert of_kind(checked, "near-duplicates") == []


def test_pictures_of_other_size_or_depth_are_not_identical() -> None:
    flat = np.full((40, 40), 7, np.uint8)
    deep = Frame(pixels=flat.astype(np.uint16), source="x", bits=12)
    assert found(described([flat, flat[:20], deep], labels=["normal"] * 3), "repeated") == []


@pytest.mark.slow
def test_known_near_duplicates_of_breastmnist_are_found(shared_data: Path) -> None:
    """The figures are those of the README beside the data."""
    checked = inspect(guess(shared_data / "breastmnist", Given()))
    assert of_kind(checked, "near-duplicates")[0].count == 193
    (across,) = of_kind(checked, "near-duplicates-across-splits")
    assert across.message == "106 nearly identical pairs across splits (61 train-test, 38 train-val, 7 val-test)"
    assert of_kind(checked, "near-duplicates-conflicting")[0].count == 7


@pytest.mark.slow
def test_known_duplicates_of_pneumoniamnist_are_found(shared_data: Path) -> None:
    (across,) = of_kind(inspect(guess(shared_data / "pneumoniamnist", Given())), "repeated-across-splits")
    assert across.message == "8 groups of identical pictures across splits, 0 of them with test (8 train-val)"


@pytest.mark.slow
def test_known_flaws_of_the_chest_pictures_are_found(shared_data: Path) -> None:
    recipe = recipes.load("chest-xray")
    checked = inspect(by_recipe(recipe, shared_data / "chest_xray_224"))
    (within,) = of_kind(checked, "repeated")
    assert within.message == "30 groups of identical pictures within one split, 62 images"
    assert of_kind(checked, "repeated-across-splits") == []
    assert [one.message.split(":")[0] for one in of_kind(checked, "shift")] == ["normal", "pneumonia"]
    assert of_kind(checked, "text-goes-with-label")[0].message == (
        "text is suspected in 10% of the pictures of pneumonia and in 2% of the others"
    )


@pytest.mark.slow
def test_known_flaws_of_the_ultrasound_pictures_are_found(shared_data: Path) -> None:
    breast = inspect(guess(shared_data / "breast_ultrasound_256", Given(label="class")))
    assert of_kind(breast, "text")[0].count == 132
    lung = inspect(guess(shared_data / "lung_ultrasound", Given(label="class")))
    assert "normal: 256 images of 6 patients, 64 of one of them" in [
        one.message for one in of_kind(lung, "few-patients")
    ]
    assert len(of_kind(lung, "attribute-goes-with-label")) == 2
