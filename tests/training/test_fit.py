from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

from edgemed.errors import ConfigError
from edgemed.training import batches, fit, prepare, weights
from edgemed.training import run as runs
from edgemed.training.progress import Silent
from edgemed.training.recipe import Recipe

pytestmark = pytest.mark.tensorflow


class Interrupting(Silent):
    """A `Progress` that presses Ctrl-C at a given training step."""

    def __init__(self, at_step: int) -> None:
        self._left = at_step
        self._training = False

    def start(self, what: str, total: int) -> None:
        self._training = what.startswith("epoch")

    def advance(self) -> None:
        if self._training:
            self._left -= 1
            if self._left == 0:
                raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(blobs: Path, blob_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run folder of an uninterrupted run."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    fit.train(blob_recipe, blobs, out)
    return out


def test_run_folder_describes_itself_and_holds_the_best_epoch(whole: Path, blobs: Path, blob_recipe: Recipe) -> None:
    run = runs.read(whole)
    assert run.recipe == blob_recipe
    assert (run.train_images, run.validation_images) == (64, 40)
    assert [line.epoch for line in run.history] == [0, 1, 2]
    areas = [line.validation_auc for line in run.history]
    assert run.best_epoch == areas.index(max(areas))
    assert sorted(path.name for path in whole.iterdir()) == ["model.keras", "run.json"]
    split = prepare.prepare(blob_recipe, blobs)
    runs.require_same_data(run, split)


def test_training_lowers_the_loss(whole: Path) -> None:
    losses = [line.loss for line in runs.read(whole).history]
    assert losses[-1] < 0.9 * losses[0]


def test_interrupted_run_resumes_to_the_same_weights(
    whole: Path, blobs: Path, blob_recipe: Recipe, tmp_path: Path
) -> None:
    out = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        fit.train(blob_recipe, blobs, out, progress=Interrupting(at_step=6))  # 4 steps an epoch: in the second one
    assert len(runs.read(out).history) == 1
    fit.train(blob_recipe, blobs, out, resume=True)
    assert runs.read(out).history == runs.read(whole).history
    for cut, full in zip(fit.load_best(out).get_weights(), fit.load_best(whole).get_weights(), strict=True):
        np.testing.assert_array_equal(cut, full)


def test_new_run_does_not_overwrite_an_old_one(whole: Path, blobs: Path, blob_recipe: Recipe) -> None:
    with pytest.raises(ConfigError) as caught:
        fit.train(blob_recipe, blobs, whole)
    assert str(caught.value) == f"{whole}: holds a run already; resume it with --resume or choose another --out"


def test_resuming_with_another_recipe_is_refused(whole: Path, blobs: Path, blob_recipe: Recipe) -> None:
    other = msgspec.structs.replace(blob_recipe, fit=msgspec.structs.replace(blob_recipe.fit, batch=8))
    with pytest.raises(ConfigError) as caught:
        fit.train(other, blobs, whole, resume=True)
    assert str(caught.value) == (
        f"{whole}: the recipe differs from the run to resume; start a new run in another --out"
    )


def test_resuming_nothing_is_refused(blobs: Path, blob_recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        fit.train(blob_recipe, blobs, tmp_path, resume=True)
    assert str(caught.value) == (
        f"{tmp_path}: expected a run folder with run.json, found none; make one with edgemed train"
    )


def test_batches_repeat_with_the_epoch_and_change_with_it(blobs: Path, blob_recipe: Recipe) -> None:
    split = prepare.prepare(blob_recipe, blobs)
    made = [
        batches.Batches(split.train.planes, split.train.labels, blob_recipe.augmentation, seed=3, epoch=epoch, size=16)
        for epoch in (0, 0, 1)
    ]
    (first, labels, weight), (again, *_), (other, *_) = (batch[0] for batch in made)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == (16, 32, 32, 1)
    assert labels["logit"].shape == (16, 1)
    assert weight["logit"].tolist() == [1.0] * 16


def test_missing_pretrained_weights_name_both_ways_out(blob_recipe: Recipe, tmp_path: Path) -> None:
    model = msgspec.structs.replace(blob_recipe.model, pretrained="w.h5")
    with pytest.raises(ConfigError) as caught:
        weights.locate(model, tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'w.h5'}: expected the recipe's pretrained weights, found none; name them with --pretrained FILE, "
        "or start from random weights with --from-scratch"
    )
    assert weights.locate(model, tmp_path, from_scratch=True) is None


def test_other_weights_than_the_recipes_are_refused(blob_recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "w.h5").write_bytes(b"something else")
    model = msgspec.structs.replace(blob_recipe.model, pretrained="w.h5", pretrained_sha256="sha256:" + "0" * 64)
    with pytest.raises(ConfigError, match=r"expected the recipe's weights sha256:0{64}, got sha256:[0-9a-f]{64}"):
        weights.locate(model, tmp_path)
