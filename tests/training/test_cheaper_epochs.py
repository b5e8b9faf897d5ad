from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

from edgemed.errors import ConfigError
from edgemed.training import fit, learner
from edgemed.training.augment import Augmentation
from edgemed.training.batches import Batches
from edgemed.training.recipe import Recipe

pytestmark = pytest.mark.tensorflow

COUNTS = (5, 12, 8)


def changed(recipe: Recipe, **of_fit: object) -> Recipe:
    return msgspec.structs.replace(recipe, fit=msgspec.structs.replace(recipe.fit, **of_fit))


def shown(recipe: Recipe, *, epoch: int) -> list[int]:
    """Return the images of an epoch over planes that carry their own number as grey level."""
    labels = np.repeat(np.arange(3), COUNTS)
    planes = np.broadcast_to(np.arange(25, dtype=np.uint8)[:, None, None], (25, 8, 8)).copy()
    batches = Batches(planes, labels, Augmentation(), seed=3, epoch=epoch, size=4, outputs=3, fit=recipe.fit)
    pictures = [batches[number][0] for number in range(len(batches))]
    return [int(level) for level in np.concatenate(pictures)[:, 0, 0, 0]]


def test_sampled_epoch_shows_each_label_as_often_as_the_rarest(blob_recipe: Recipe) -> None:
    images = shown(changed(blob_recipe, balance="sampled"), epoch=0)
    labels = np.repeat(np.arange(3), COUNTS)[images]
    assert np.bincount(labels).tolist() == [5, 5, 5]
    assert len(set(images)) == 15


def test_sampled_epochs_draw_other_images_and_repeat_with_the_seed(blob_recipe: Recipe) -> None:
    recipe = changed(blob_recipe, balance="sampled")
    assert shown(recipe, epoch=1) == shown(recipe, epoch=1)
    assert set(shown(recipe, epoch=0)) != set(shown(recipe, epoch=1))


def test_frozen_layers_keep_their_weights_and_statistics(blobs: Path, blob_recipe: Recipe, tmp_path: Path) -> None:
    recipe = changed(blob_recipe, frozen_below="block_1_pointwise", epochs=1, balance="sampled")
    start = learner.new(recipe, steps=4, pretrained=None).model
    fit.train(recipe, blobs, tmp_path / "run")
    end = fit.load_best(tmp_path / "run")
    moved = {
        layer.name: any(
            not np.array_equal(before, after)
            for before, after in zip(start.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True)
        )
        for layer in end.layers
        if layer.weights
    }
    below = {name for name in moved if name.startswith(("stem", "block_1_depthwise"))}
    assert below and not any(moved[name] for name in below)
    assert all(moved[name] for name in moved if name not in below)


def test_unknown_layer_to_freeze_below_is_named(blob_recipe: Recipe) -> None:
    with pytest.raises(ConfigError) as caught:
        learner.new(changed(blob_recipe, frozen_below="blok_1_pointwise"), steps=4, pretrained=None)
    assert str(caught.value) == (
        "fit.frozen_below: expected the start of a layer's name, got 'blok_1_pointwise'; did you mean "
        "'block_1_pointwise'?; the network has stem to evidence"
    )


def test_kept_model_is_that_of_the_recipe_when_layers_are_frozen(blob_recipe: Recipe) -> None:
    learning = learner.new(changed(blob_recipe, frozen_below="block_1_"), steps=4, pretrained=None)
    learning.refresh()
    for mine, kept in zip(learning.model.layers, learning.kept.layers, strict=True):
        assert all(map(np.array_equal, mine.get_weights(), kept.get_weights()))
