from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras
from keras import layers

from edgemed.errors import ConfigError
from edgemed.training import checkpoint, fit, prepare
from edgemed.training.prepare import TrainingData
from edgemed.training.progress import Silent
from edgemed.training.recipe import Recipe
from tests.training.test_fit import Interrupting

pytestmark = pytest.mark.tensorflow

ROOT = Path(__file__).resolve().parents[2]


class Listening(Silent):
    """A `Progress` that keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def network() -> keras.Model:
    """Return a small model of the contract with random layers, the same every time."""
    keras.utils.set_random_seed(5)
    plane = keras.Input((32, 32, 1), name="plane")
    x = layers.Rescaling(1 / 128, offset=-1.0, name="range")(plane)
    x = layers.Conv2D(8, 3, strides=2, activation="relu", name="conv")(x)
    x = layers.SpatialDropout2D(0.3, name="dropout")(x)
    evidence = layers.Conv2D(1, 1, name="evidence")(x)
    return keras.Model(plane, {"logit": layers.GlobalAveragePooling2D(name="logit")(evidence)}, name="network")


@pytest.fixture(scope="module")
def recipe(blob_recipe: Recipe) -> Recipe:
    """Return the recipe with three epochs of quantized training."""
    longer = msgspec.structs.replace(blob_recipe.quantization, epochs=3, learning_rate=0.01)
    return msgspec.structs.replace(blob_recipe, quantization=longer)


@pytest.fixture(scope="module")
def split(blobs: Path, recipe: Recipe) -> TrainingData:
    return prepare.prepare(recipe, blobs)


@pytest.fixture(scope="module")
def whole(recipe: Recipe, split: TrainingData) -> list[np.ndarray]:
    """Return the weights of an uninterrupted training, without checkpoints."""
    model = network()
    fit.fine_tune(model, recipe, split, progress=Silent())
    return list(model.get_weights())


def _cut(recipe: Recipe, split: TrainingData, folder: Path) -> None:
    """Leave a training that was interrupted in its second epoch; an epoch has four steps."""
    with pytest.raises(KeyboardInterrupt):
        fit.fine_tune(network(), recipe, split, progress=Interrupting(at_step=6), checkpoints=folder)


def _equal(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_interrupted_training_goes_on_to_the_same_weights(
    recipe: Recipe, split: TrainingData, whole: list[np.ndarray], tmp_path: Path
) -> None:
    folder = tmp_path / "new" / ".out.qat"
    _cut(recipe, split, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["epoch-0001.npz", "state.json"]
    model, heard = network(), Listening()
    fit.fine_tune(model, recipe, split, progress=heard, checkpoints=folder)
    assert heard.notes[0] == "quantized epochs 1 to 1 of 3: kept from an interrupted conversion"
    assert [note.split(":")[0] for note in heard.notes[1:]] == ["quantized epoch 2/3", "quantized epoch 3/3"]
    assert _equal(model.get_weights(), whole)


def test_training_that_is_whole_is_not_repeated(
    recipe: Recipe, split: TrainingData, whole: list[np.ndarray], tmp_path: Path
) -> None:
    fit.fine_tune(network(), recipe, split, progress=Silent(), checkpoints=tmp_path)
    model, heard = network(), Listening()
    fit.fine_tune(model, recipe, split, progress=heard, checkpoints=tmp_path)
    assert heard.notes == ["quantized epochs 1 to 3 of 3: kept from an interrupted conversion"]
    assert _equal(model.get_weights(), whole)


def _other_model(recipe: Recipe, split: TrainingData) -> tuple[keras.Model, Recipe, TrainingData]:
    model = network()
    kernel, bias = model.get_layer("conv").get_weights()
    model.get_layer("conv").set_weights([kernel + 1e-3, bias])
    return model, recipe, split


def _other_schedule(recipe: Recipe, split: TrainingData) -> tuple[keras.Model, Recipe, TrainingData]:
    other = msgspec.structs.replace(recipe.quantization, learning_rate=0.02)
    return network(), msgspec.structs.replace(recipe, quantization=other), split


def _other_data(recipe: Recipe, split: TrainingData) -> tuple[keras.Model, Recipe, TrainingData]:
    import dataclasses

    planes = split.train.planes.copy()
    planes[0, 0, 0] ^= 1
    return network(), recipe, dataclasses.replace(split, train=dataclasses.replace(split.train, planes=planes))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(_other_model, id="model"),
        pytest.param(_other_schedule, id="schedule"),
        pytest.param(_other_data, id="one grey level of one picture"),
    ],
)
def test_checkpoint_of_something_else_is_never_used(
    recipe: Recipe, split: TrainingData, tmp_path: Path, other: object
) -> None:
    _cut(recipe, split, tmp_path)
    model, changed, data = other(recipe, split)  # type: ignore[operator]  # one of the three above
    place = checkpoint.Checkpoint(folder=tmp_path, bound_to=checkpoint.binding(model, changed, data.train))
    fit.compile_for(model, changed, epochs=3, learning_rate=0.01, steps=4)
    before = model.get_weights()
    assert checkpoint.restore(place, model) == 0
    assert _equal(model.get_weights(), before)


def test_another_operating_point_does_not_make_a_checkpoint_stale(
    recipe: Recipe, split: TrainingData, tmp_path: Path
) -> None:
    point = msgspec.structs.replace(recipe.operating_point, sensitivity=0.8)
    other = msgspec.structs.replace(recipe, operating_point=point)
    bound = [checkpoint.binding(network(), each, split.train) for each in (recipe, other)]
    assert bound[0] == bound[1]


@pytest.mark.parametrize("damaged", ["epoch-0001.npz", "state.json"])
def test_damaged_checkpoint_is_passed_over(
    recipe: Recipe, split: TrainingData, whole: list[np.ndarray], tmp_path: Path, damaged: str
) -> None:
    _cut(recipe, split, tmp_path)
    path = tmp_path / damaged
    path.write_bytes(path.read_bytes()[:-7])
    model, heard = network(), Listening()
    fit.fine_tune(model, recipe, split, progress=heard, checkpoints=tmp_path)
    assert [note.split(":")[0] for note in heard.notes] == [f"quantized epoch {epoch}/3" for epoch in (1, 2, 3)]
    assert _equal(model.get_weights(), whole)


def test_full_disk_is_told_and_the_epoch_before_stays(recipe: Recipe, split: TrainingData, tmp_path: Path) -> None:
    import resource

    _cut(recipe, split, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
    try:
        with pytest.raises(ConfigError) as caught:
            fit.fine_tune(network(), recipe, split, progress=Silent(), checkpoints=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value).startswith(f"{tmp_path}: cannot be written: ")
    assert str(caught.value).endswith("; free some space, then run the same command again: whole epochs are kept")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_is_done_leaves_nothing(recipe: Recipe, split: TrainingData, tmp_path: Path) -> None:
    folder = tmp_path / ".out.qat"
    checkpoint.remove(folder)
    _cut(recipe, split, folder)
    checkpoint.remove(folder)
    assert list(tmp_path.iterdir()) == []


def test_place_lies_beside_what_is_made() -> None:
    assert checkpoint.beside(Path("runs/cxr/coral-usb")) == Path("runs/cxr/.coral-usb.qat")


PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from edgemed.training import fit, prepare
from edgemed.training import recipe as recipes
from tests.training.test_checkpoint import Slow, network

recipe = recipes.load(sys.argv[1])
split = prepare.prepare(recipe, Path(sys.argv[2]))
model = network()
fit.fine_tune(model, recipe, split, progress=Slow(), checkpoints=Path(sys.argv[3]))
np.savez(sys.argv[4], *model.get_weights())
"""


class Slow(Silent):
    """A `Progress` that says on stdout which step is done, and leaves time to be interrupted."""

    def advance(self) -> None:
        print("step", flush=True)
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL], ids=lambda ending: ending.name)
def test_signal_at_any_step_loses_at_most_the_epoch_at_work(
    recipe: Recipe, blobs: Path, whole: list[np.ndarray], tmp_path: Path, ending: signal.Signals
) -> None:
    """A real signal to a real process, in its second epoch; the next process ends with the same weights."""
    from tests.training import blobs as made

    text = made.RECIPE.replace("{epochs: 1, learning_rate: 0.0005", "{epochs: 3, learning_rate: 0.01")
    (tmp_path / "blobs.yaml").write_text(text)
    folder, result = tmp_path / ".out.qat", tmp_path / "weights.npz"
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "blobs.yaml"), str(blobs), str(folder), str(result)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as begun:
        assert begun.stdout is not None
        steps = iter(begun.stdout.readline, "")
        for _ in range(6 + 4):  # preprocessing advances too; four steps an epoch
            next(steps)
        while not (folder / "state.json").exists():
            next(steps)
        next(steps)
        begun.send_signal(ending)
        begun.stdout.read()
    assert begun.returncode != 0
    assert not result.exists()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=300)
    with np.load(result) as arrays:
        resumed = [arrays[name] for name in arrays.files]
    assert _equal(resumed, whole)
