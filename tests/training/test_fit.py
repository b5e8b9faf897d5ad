from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

from edgemed.errors import ConfigError
from edgemed.training import batches, devices, fit, prepare, saving, weights
from edgemed.training import recipe as recipes
from edgemed.training import run as runs
from edgemed.training.network import MobileNetV2
from edgemed.training.progress import Silent
from edgemed.training.recipe import Recipe
from edgemed.training.settings import ScoreCalibration
from edgemed.training.sources import ManifestCsv

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
    """Return the run folder of an uninterrupted run; its curves lie beside it."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    fit.train(blob_recipe, blobs, out, curves=out.with_name("curves"))
    return out


@pytest.fixture(scope="module")
def interrupted(blobs: Path, blob_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that was interrupted in its second epoch; an epoch has four steps."""
    out = tmp_path_factory.mktemp("runs") / "cut"
    with pytest.raises(KeyboardInterrupt):
        fit.train(blob_recipe, blobs, out, progress=Interrupting(at_step=6))
    return out


def _copied(run: Path, folder: Path) -> Path:
    """Return a copy of a run folder to go on in."""
    return Path(shutil.copytree(run, folder / "cut"))


def test_run_folder_describes_itself_and_holds_the_best_epoch(whole: Path, blobs: Path, blob_recipe: Recipe) -> None:
    run = runs.read(whole)
    assert run.recipe == blob_recipe
    assert (run.train_images, run.validation_images) == (64, 40)
    assert [line.epoch for line in run.history] == [0, 1, 2]
    assert (
        run.best_epoch == max(run.history, key=lambda line: (line.validation_auc, -(line.validation_loss or 0))).epoch
    )
    assert sorted(path.name for path in whole.iterdir()) == ["model.keras", "run.json"]
    split = prepare.prepare(blob_recipe, blobs)
    runs.require_same_data(run, split)


def test_run_says_where_and_by_which_command_it_was_begun(whole: Path) -> None:
    run = runs.read(whole)
    assert set(run.environment) == {"system", "machine", "cpus", "accelerators"}
    assert int(run.environment["cpus"]) >= 1
    assert run.environment["accelerators"] == ", ".join(devices.accelerators())
    assert run.command == tuple(sys.orig_argv)
    assert {"python", "edgemed", "keras", "backend"} <= set(run.versions)


def test_curves_hold_every_epoch_for_tensorboard(whole: Path) -> None:
    import tensorflow as tf

    found: dict[str, dict[int, float]] = {}
    for path in sorted(whole.with_name("curves").iterdir()):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                found.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
    history = runs.read(whole).history
    assert set(found) == {"loss", "validation_auc", "validation_loss", "learning_rate"}
    for name, points in found.items():
        assert points == pytest.approx({line.epoch: getattr(line, name) for line in history}, abs=1e-6)


def test_kept_model_has_no_optimizer(whole: Path) -> None:
    with zipfile.ZipFile(whole / "model.keras") as archive:
        assert not json.loads(archive.read("config.json")).get("compile_config")


def test_run_folder_is_a_start_for_another_run(whole: Path, blob_recipe: Recipe) -> None:
    assert weights.locate(blob_recipe.model, whole.parent, given=whole) == whole / "model.keras"
    named = msgspec.structs.replace(blob_recipe.model, pretrained="whole")
    assert weights.locate(named, whole.parent) == whole / "model.keras"


def test_damaged_state_is_told(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint-0000.npz"
    cases = {
        b"PK half": f"{path}: expected the state of a run, got a damaged file: ",
        None: f"{path}: expected the state of the run after its last epoch, found none; train again",
    }
    for raw, message in cases.items():
        path.unlink(missing_ok=True)
        if raw is not None:
            path.write_bytes(raw)
        with pytest.raises(ConfigError) as caught:
            saving.load_checkpoint(path, expected=[(1,)])
        assert str(caught.value).startswith(message)
    np.savez(path, np.zeros(2))
    with pytest.raises(ConfigError) as caught:
        saving.load_checkpoint(path, expected=[(1,)])
    assert str(caught.value) == (f"{path}: expected the state of this run's network, got that of another; train again")


def test_training_lowers_the_loss(whole: Path) -> None:
    losses = [line.loss for line in runs.read(whole).history]
    assert losses[-1] < 0.9 * losses[0]


def test_interrupted_run_resumes_to_the_same_weights(
    whole: Path, interrupted: Path, blobs: Path, blob_recipe: Recipe, tmp_path: Path
) -> None:
    out = _copied(interrupted, tmp_path)
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


def test_checkpoint_that_run_json_does_not_name_is_ignored(
    whole: Path, interrupted: Path, blobs: Path, blob_recipe: Recipe, tmp_path: Path
) -> None:
    """A cut between the checkpoint and ``run.json`` leaves such a file: its epoch must be trained again, not after."""
    out = _copied(interrupted, tmp_path)
    (out / "checkpoint-0001.npz").write_bytes((out / "checkpoint-0000.npz").read_bytes())
    fit.train(blob_recipe, blobs, out, resume=True)
    assert runs.read(out).history == runs.read(whole).history
    assert sorted(path.name for path in out.iterdir()) == ["model.keras", "run.json"]


def test_full_disk_is_told_and_what_was_whole_stays(
    interrupted: Path, blobs: Path, blob_recipe: Recipe, tmp_path: Path
) -> None:
    import resource

    out = _copied(interrupted, tmp_path)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(ConfigError, match=r"checkpoint-0001\.npz: cannot be written|model\.keras: cannot be"):
            fit.train(blob_recipe, blobs, out, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_recipe_that_makes_no_model_leaves_no_run(blobs: Path, blob_recipe: Recipe, tmp_path: Path) -> None:
    network = MobileNetV2(cut="block_99", alpha=0.35, embedding=8, dropout=0.1)
    wrong = msgspec.structs.replace(blob_recipe, model=network)
    with pytest.raises(ConfigError, match=r"model\.cut: expected one of"):
        fit.train(wrong, blobs, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_damaged_model_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"PK half of an archive")
    with pytest.raises(ConfigError, match=r"model\.keras: expected a saved Keras model, got a damaged one"):
        fit.load_best(tmp_path)


def test_run_without_a_whole_epoch_may_be_started_again(
    whole: Path, blobs: Path, blob_recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit.train(blob_recipe, blobs, tmp_path, progress=Interrupting(at_step=2))
    fit.train(blob_recipe, blobs, tmp_path)
    assert runs.read(tmp_path).history == runs.read(whole).history


def test_labels_weigh_the_same_over_an_epoch(blob_recipe: Recipe, rng: np.random.Generator) -> None:
    planes = rng.integers(0, 256, (40, 32, 32)).astype(np.uint8)
    labels = np.repeat([0, 1], [30, 10])
    made = batches.Batches(planes, labels, blob_recipe.augmentation, seed=1, epoch=0, size=16)
    sums = {0.0: 0.0, 1.0: 0.0}
    for index in range(len(made)):
        _, truth, weight = made[index]
        for label, share in zip(truth["logit"][:, 0], weight["logit"], strict=True):
            sums[float(label)] += float(share)
    assert sums[0.0] == pytest.approx(sums[1.0]) == pytest.approx(20.0)


def test_separation_says_what_was_checked(blob_recipe: Recipe) -> None:
    assert runs.separation(blob_recipe) == (
        "Validation shares no near-duplicate (28 x 28 thumbnails that correlate above 0.999) with train; "
        "patients are not known."
    )
    known = ManifestCsv(
        normal=("0",), abnormal=("1",), file="m.csv", images=None, path="p", label="l", split="s", group="g"
    )
    splits = msgspec.structs.replace(blob_recipe.data.splits, near_duplicate_correlation=None)
    data = msgspec.structs.replace(blob_recipe.data, source=known, splits=splits)
    by_patient = msgspec.structs.replace(blob_recipe, data=data)
    assert runs.separation(by_patient) == "Validation shares no patient with train."


def test_run_takes_another_conversion_but_not_another_training(whole: Path, blob_recipe: Recipe) -> None:
    run = runs.read(whole)
    longer = msgspec.structs.replace(
        blob_recipe, quantization=msgspec.structs.replace(blob_recipe.quantization, epochs=9)
    )
    assert runs.reconsidered(run, longer).recipe.quantization.epochs == 9
    other = msgspec.structs.replace(blob_recipe, fit=msgspec.structs.replace(blob_recipe.fit, seed=4))
    with pytest.raises(ConfigError) as caught:
        runs.reconsidered(run, other)
    assert str(caught.value) == ("recipe: fit: differs from what the run was trained by; train again with this recipe")


def test_run_of_another_seed_takes_another_conversion_too(whole: Path, blob_recipe: Recipe) -> None:
    seeded = msgspec.structs.replace(runs.read(whole), recipe=recipes.with_seed(blob_recipe, 5))
    views = msgspec.structs.replace(blob_recipe, calibration=ScoreCalibration(views=2))
    found = runs.reconsidered(seeded, views).recipe
    assert (found.fit.seed, recipes.division_seed(found), found.calibration.views) == (5, blob_recipe.fit.seed, 2)
