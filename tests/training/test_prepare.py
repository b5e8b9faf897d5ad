from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgemed.errors import ConfigError, ImageError
from edgemed.schema import from_builtins, to_builtins
from edgemed.training import prepare
from edgemed.training import run as runs
from edgemed.training.division import Prepared
from edgemed.training.recipe import Recipe
from tests.training import blobs as made


class Notes:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def start(self, what: str, total: int) -> None:
        """Ignore."""

    def advance(self) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Keep a line."""
        self.lines.append(text)


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Return a data folder in which one train and one validation picture are cut short."""
    made.write(tmp_path, {"train": 12, "val": 12, "test": 2})
    for name in ("train/blob/003.png", "val/plain/001.png"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:60])
    return tmp_path


def _with(recipe: Recipe, **changes: object) -> Recipe:
    tree = to_builtins(recipe)
    tree["data"] |= changes
    return from_builtins(tree, Recipe, source="blobs.yaml")


def test_every_unreadable_image_is_named_before_training(damaged: Path, blob_recipe: Recipe) -> None:
    with pytest.raises(ImageError) as caught:
        prepare.prepare(blob_recipe, damaged)
    fault = "PNG ends inside a chunk; the file is cut short or damaged, copy it again"
    assert str(caught.value) == (
        "2 of 48 images cannot be read; repair them, remove their rows, or write unreadable: skip under data in the "
        f"recipe to train without them: {damaged}/train/blob/003.png: {fault}; {damaged}/val/plain/001.png: {fault}"
    )


def test_unreadable_images_are_skipped_when_the_recipe_says_so(damaged: Path, blob_recipe: Recipe) -> None:
    told = Notes()
    split = prepare.prepare(_with(blob_recipe, unreadable="skip"), damaged, progress=told)
    assert (len(split.train.names), len(split.validation.names)) == (23, 23)
    assert split.prepared == Prepared(unreadable=2)
    assert "train/blob/003.png" not in split.train.names
    fault = "PNG ends inside a chunk; the file is cut short or damaged, copy it again"
    assert told.lines == [
        f"skipped: {damaged}/train/blob/003.png: {fault}",
        f"skipped: {damaged}/val/plain/001.png: {fault}",
        "2 images skipped: they cannot be read",
    ]


def test_unknown_choice_for_unreadable_images_is_refused(blob_recipe: Recipe) -> None:
    with pytest.raises(ConfigError) as caught:
        _with(blob_recipe, unreadable="ignore")
    assert str(caught.value) == "blobs.yaml: data.unreadable: invalid enum value 'ignore', value 'ignore'"


def test_key_close_to_a_known_one_suggests_it(blob_recipe: Recipe) -> None:
    splits = to_builtins(blob_recipe.data.splits) | {"deduplicat": "exact"}
    with pytest.raises(ConfigError) as caught:
        _with(blob_recipe, splits=splits)
    assert str(caught.value) == "blobs.yaml: data.splits.deduplicat: unknown key; did you mean 'deduplicate'?"


def test_split_without_abnormal_images_is_refused(tmp_path: Path, blob_recipe: Recipe) -> None:
    made.write(tmp_path, {"train": 4, "val": 4, "test": 2})
    for path in (tmp_path / "val" / "blob").iterdir():
        path.unlink()
    with pytest.raises(ConfigError) as caught:
        prepare.prepare(blob_recipe, tmp_path)
    assert str(caught.value) == (
        "validation split: expected two normal and two abnormal images at least, got 4 normal and 0 abnormal; check "
        "the recipe's label and split columns"
    )


def test_recipe_of_several_labels_gives_their_indices(blobs: Path, blob_recipe: Recipe) -> None:
    tree = to_builtins(blob_recipe)
    tree["labels"] = ["plain", "blob"]
    source = {"kind": "folders", "classes": {"blob": ["blob"], "plain": ["plain"]}}
    tree["data"] |= {"source": source}
    dataset = prepare.load(from_builtins(tree, Recipe, source="blobs.yaml"), blobs)
    assert dataset.label_names == ("plain", "blob")
    assert [dataset.names[i].split("/")[1] for i in (0, -1)] == [
        dataset.label_names[dataset.labels[i]] for i in (0, -1)
    ]


def test_labels_of_the_recipe_are_those_of_its_source(blob_recipe: Recipe) -> None:
    tree = msgspec.to_builtins(blob_recipe)
    tree["data"]["source"] = {"kind": "folders", "classes": {"plain": ["plain"], "blob": ["blob"]}}
    tree["labels"] = ["plain", "blobs"]
    with pytest.raises(ConfigError) as caught:
        from_builtins(tree, Recipe, source="blobs.yaml")
    assert str(caught.value) == (
        "blobs.yaml: labels: expected those of data.source.classes, ['plain', 'blob'], got ['plain', 'blobs']"
    )


def test_card_says_that_nothing_like_a_test_picture_was_seen(blob_recipe: Recipe) -> None:
    splits = to_builtins(blob_recipe.data.splits) | {"like_test": "drop"}
    assert runs.separation(_with(blob_recipe, splits=splits)) == (
        "Validation shares no near-duplicate (28 x 28 thumbnails that correlate above 0.999) with train; patients are "
        "not known. Neither holds a picture that shows nearly the same as a test picture."
    )
