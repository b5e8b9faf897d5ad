from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgemed.errors import ConfigError
from edgemed.imaging.frame import Frame
from edgemed.training import division, likeness, sources
from edgemed.training import recipe as recipes
from edgemed.training.data import Dataset
from edgemed.training.division import Prepared, Splits


def _synthetic(groups: list[str], labels: list[int], splits: list[str]) -> Dataset:
    def read(index: int) -> Frame:
        return Frame(
            pixels=np.random.default_rng(index).integers(0, 256, (32, 32)).astype(np.uint8), source="synthetic"
        )

    names = tuple(str(index) for index in range(len(groups)))
    return Dataset(names=names, labels=np.array(labels), groups=tuple(groups), splits=tuple(splits), read=read)


def test_cut_validation_shares_no_patient_with_train() -> None:
    groups = [f"p{index // 3}" for index in range(120)]
    dataset = _synthetic(groups, [index // 3 % 2 for index in range(120)], ["train"] * 120)
    splits = Splits(train="train", validation=None, test="test", validation_fraction=0.25)
    divided = division.divide(dataset, splits, seed=1)
    owners = np.array(groups)
    assert not set(owners[divided.train]) & set(owners[divided.validation])
    assert sorted([*divided.train, *divided.validation]) == list(range(120))
    assert 0.2 < len(divided.validation) / 120 < 0.35


def test_given_validation_pulls_whole_groups_out_of_train() -> None:
    groups = ["a", "a", "b", "b", "c", "c", "d", "d"]
    dataset = _synthetic(groups, [0, 0, 1, 1, 0, 0, 1, 1], ["train", "val", "train", "val", *["train"] * 4])
    divided = division.divide(dataset, Splits(train="train", validation="val", test="test"), seed=0)
    assert divided.validation.tolist() == [0, 1, 2, 3]
    assert divided.train.tolist() == [4, 5, 6, 7]
    assert divided.prepared.moved_to_validation == 2


def test_split_of_one_label_is_refused() -> None:
    dataset = _synthetic(list("abcdef"), [0, 1, 0, 1, 0, 0], ["train"] * 4 + ["val"] * 2)
    with pytest.raises(ConfigError) as caught:
        division.divide(dataset, Splits(train="train", validation="val", test="test"), seed=0)
    assert str(caught.value) == (
        "validation split: expected two normal and two abnormal images at least, got 2 normal and 0 abnormal; "
        "check the recipe's label and split columns"
    )


def test_near_duplicates_join_one_group(rng: np.random.Generator) -> None:
    first, other = (rng.integers(0, 256, (64, 64)).astype(np.uint8) for _ in range(2))
    frames = [first, other, np.clip(first.astype(int) + 3, 0, 255).astype(np.uint8)]
    dataset = Dataset(
        names=("0", "1", "2"),
        labels=np.array([0, 1, 0]),
        groups=("0", "1", "2"),
        splits=("train",) * 3,
        read=lambda index: Frame(pixels=frames[index], source=str(index)),
    )
    assert division.near_duplicate_groups(dataset, np.arange(3), limit=0.97) == ("0", "1", "0")


#: Folder of the data of each shipped recipe, and how many images train, validation and test have.
REAL = {
    "breast-mnist": ("breastmnist", 503, 121, 156),
    "breast-ultrasound": ("breast_ultrasound_256", 506, 118, 156),
    "chest-xray": ("chest_xray_224", 4589, 627, 624),
    "pneumonia-mnist": ("pneumoniamnist", 4698, 534, 624),
}


@pytest.mark.parametrize("name", recipes.available())
def test_real_division_keeps_groups_apart_and_leaves_test_alone(name: str, shared_data: Path) -> None:
    recipe = recipes.load(name)
    folder, *counts = REAL[name]
    dataset = sources.load(recipe.data.source, shared_data / folder)
    divided = division.divide(dataset, recipe.data.splits, seed=recipe.fit.seed)
    assert [len(divided.train), len(divided.validation), len(divided.test)] == counts
    thumbnails = {
        part: np.stack([likeness.thumbnail(dataset.read(int(index))) for index in divided.named(part)])
        for part in ("train", "validation")
    }
    closest = (thumbnails["train"] @ thumbnails["validation"].T).max()
    assert closest <= recipe.data.splits.near_duplicate_correlation
    groups = np.array(dataset.groups)
    assert not set(groups[divided.train]) & set(groups[divided.validation])
    assert {dataset.splits[index] for index in divided.test} == {recipe.data.splits.test}


def test_near_duplicate_of_a_validation_image_leaves_train() -> None:
    pictures = [np.random.default_rng(index).integers(0, 256, (32, 32)).astype(np.uint8) for index in range(8)]
    pictures[0] = np.clip(pictures[6].astype(int) + 2, 0, 255).astype(np.uint8)
    dataset = Dataset(
        names=tuple("01234567"),
        labels=np.array([0, 0, 1, 1, 0, 1, 0, 1]),
        groups=tuple("01234567"),
        splits=("train",) * 4 + ("val",) * 4,
        read=lambda index: Frame(pixels=pictures[index], source=str(index)),
    )
    apart = Splits(train="train", validation="val", test="test", near_duplicate_correlation=0.97)
    with pytest.raises(ConfigError, match="train split: expected two normal and two abnormal images at least"):
        division.divide(dataset, apart, seed=0)
    loose = Splits(train="train", validation="val", test="test")
    assert division.divide(dataset, loose, seed=0).train.tolist() == [0, 1, 2, 3]


def test_patient_in_train_and_test_is_refused() -> None:
    dataset = _synthetic(["a", "b", "c", "d", "a"], [0, 0, 1, 1, 0], ["train"] * 4 + ["test"])
    splits = Splits(train="train", validation=None, test="test", validation_fraction=0.5)
    with pytest.raises(ConfigError) as caught:
        division.divide(dataset, splits, seed=0)
    assert str(caught.value) == (
        "test split: 1 patients lie in train or validation as well; correct the split column, or name group_within "
        "where equal keys of two folders mean different patients"
    )


def test_test_indices_need_no_other_split() -> None:
    dataset = _synthetic(list("abc"), [0, 1, 0], ["test"] * 3)
    splits = Splits(train="train", validation="val", test="test")
    assert division.test_indices(dataset, splits).tolist() == [0, 1, 2]
    with pytest.raises(ConfigError) as caught:
        division.test_indices(dataset, Splits(train="train", validation="val", test="held-out"))
    assert str(caught.value) == "test split: expected images of 'held-out', found none; the data set has ['test']"


def test_pairs_found_in_blocks_are_those_of_the_whole_matrix(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likeness, "_BLOCK", 7)
    vectors = rng.normal(size=(40, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = {(i, j) for i in range(40) for j in range(i + 1, 40) if float(vectors[i] @ vectors[j]) > 0.9}
    assert set(likeness.near_pairs(vectors, 0.9)) == expected


def _pictures(copies: dict[int, int], labels: list[int], splits: list[str]) -> Dataset:
    """Return random pictures, those that ``copies`` lists alike another one's but for two grey levels."""
    pictures = [
        np.random.default_rng(index).integers(0, 250, (32, 32)).astype(np.uint8) for index in range(len(labels))
    ]
    for index, original in copies.items():
        pictures[index] = pictures[original] + np.uint8(2)
    names = tuple(map(str, range(len(labels))))
    return Dataset(
        names=names,
        labels=np.array(labels),
        groups=names,
        splits=tuple(splits),
        read=lambda index: Frame(pixels=pictures[index], source=str(index)),
    )


def test_straddling_image_is_dropped_and_validation_stays_as_published() -> None:
    dataset = _pictures({0: 7}, [0, 0, 0, 1, 1, 1, 0, 0, 1, 1], ["train"] * 6 + ["val"] * 4)
    splits = Splits(train="train", validation="val", test="test", near_duplicate_correlation=0.97, straddling="drop")
    divided = division.divide(dataset, splits, seed=0)
    assert divided.validation.tolist() == [6, 7, 8, 9]
    assert divided.train.tolist() == [1, 2, 3, 4, 5]
    assert divided.prepared == Prepared(straddling=1)


def test_train_is_deduplicated_as_asked() -> None:
    dataset = _pictures({1: 0, 2: 0, 5: 4}, [0, 0, 1, 0, 1, 1, 0, 1, 1, 0, 0, 1, 1], ["train"] * 9 + ["val"] * 4)
    near = Splits(train="train", validation="val", test="test", near_duplicate_correlation=0.97, deduplicate="near")
    divided = division.divide(dataset, near, seed=0)
    assert divided.train.tolist() == [3, 4, 6, 7, 8]
    assert divided.prepared.notes() == (
        "1 train images dropped: another train image shows the same",
        "3 train images dropped: an image of another label shows the same",
    )
    exact = msgspec.structs.replace(near, deduplicate="exact")
    assert division.divide(dataset, exact, seed=0).prepared == Prepared(conflicting=2)


def test_what_shows_the_same_as_a_test_image_leaves_train_and_validation() -> None:
    labels, parts = [0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 0], ["train"] * 6 + ["val"] * 5 + ["test"]
    dataset = _pictures({0: 11, 6: 11}, labels, parts)
    splits = Splits(train="train", validation="val", test="test", near_duplicate_correlation=0.97, like_test="drop")
    divided = division.divide(dataset, splits, seed=0)
    assert divided.prepared == Prepared(like_test=2)
    assert (divided.train.tolist(), divided.test.tolist()) == ([1, 2, 3, 4, 5], [11])
    assert divided.validation.tolist() == [7, 8, 9, 10]


def test_near_duplicates_are_dropped_only_where_near_is_said() -> None:
    with pytest.raises(ValueError, match=r"^near_duplicate_correlation: required by deduplicate: near; it says"):
        Splits(train="train", validation="val", test="test", deduplicate="near")


def test_label_that_a_split_lacks_is_named() -> None:
    dataset = replace(
        _synthetic(list("abcdefghij"), [0] * 10, ["train"] * 6 + ["val"] * 4),
        labels=np.array([0, 0, 1, 1, 2, 2, 0, 0, 1, 1]),
        label_names=("normal", "bacteria", "virus"),
    )
    with pytest.raises(ConfigError) as caught:
        division.divide(dataset, Splits(train="train", validation="val", test="test"), seed=0)
    assert str(caught.value) == (
        "validation split: expected two images of every label at least, got 0 virus; check the recipe's label and "
        "split columns, or put rare label values under one label of data.source.classes"
    )


def test_empty_validation_is_refused() -> None:
    dataset = _synthetic(list("abcd"), [0, 0, 1, 1], ["train"] * 4)
    with pytest.raises(ConfigError) as caught:
        division.divide(dataset, Splits(train="train", validation="val", test="test"), seed=0)
    assert str(caught.value) == (
        "validation split: expected two normal and two abnormal images at least, got 0 normal and 0 abnormal; the data "
        "set has ['train']; check the recipe's label and split columns"
    )
