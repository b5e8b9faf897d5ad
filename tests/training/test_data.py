from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgemed.training import data, prepare, sources
from edgemed.training.recipe import Recipe
from tests.training import blobs as made


def test_digest_changes_with_a_label(blobs: Path, blob_recipe: Recipe) -> None:
    dataset = sources.load(blob_recipe.data.source, blobs)
    part = data.labelled_planes(dataset, np.arange(4), blob_recipe.preprocessing)
    assert data.digest(part) == data.digest(replace(part, planes=part.planes.copy()))
    assert data.digest(part) != data.digest(replace(part, labels=1 - part.labels))


def test_planes_carry_the_patients_of_their_images(blobs: Path, blob_recipe: Recipe) -> None:
    dataset = sources.load(blob_recipe.data.source, blobs)
    indices = np.array([5, 2, 7])
    part = data.labelled_planes(dataset, indices, blob_recipe.preprocessing)
    assert part.groups == tuple(dataset.groups[index] for index in indices)


def test_near_duplicates_of_validation_are_one_group(tmp_path: Path, blob_recipe: Recipe) -> None:
    """Where patients are unknown, they are what must stay on one side when validation is divided again."""
    made.write(tmp_path, {"train": 12, "val": 12, "test": 2})
    folder = tmp_path / "val" / "blob"
    (folder / "copy.png").write_bytes((folder / "000.png").read_bytes())
    validation = prepare.prepare(blob_recipe, tmp_path).validation
    assert validation.groups is not None
    group = dict(zip(validation.names, validation.groups, strict=True))
    assert group["val/blob/copy.png"] == group["val/blob/000.png"]
    assert len(set(group.values())) == len(group) - 1


def test_planes_with_another_number_of_groups_are_refused(blobs: Path, blob_recipe: Recipe) -> None:
    part = data.labelled_planes(sources.load(blob_recipe.data.source, blobs), np.arange(4), blob_recipe.preprocessing)
    with pytest.raises(ValueError, match="expected as many groups as planes, got 3 and 4"):
        replace(part, groups=("a", "b", "c"))


def test_abnormal_is_what_is_not_normal(blobs: Path, blob_recipe: Recipe) -> None:
    dataset = sources.load(blob_recipe.data.source, blobs)
    three = replace(dataset, labels=np.arange(len(dataset.names)) % 3, label_names=("benign", "normal", "malignant"))
    three = replace(three, normal_labels=("normal", "benign"))
    part = data.labelled_planes(three, np.array([0, 1, 2]), blob_recipe.preprocessing)
    assert part.abnormal.tolist() == [False, False, True]
    assert three.abnormal[:3].tolist() == [False, False, True]
