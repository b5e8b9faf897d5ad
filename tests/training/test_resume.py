"""Interrupted and resumed, every option ends with the weights, the averages and the history of an uninterrupted run."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

from edgemed.errors import ConfigError
from edgemed.training import fit
from edgemed.training import recipe as recipes
from edgemed.training import run as runs
from edgemed.training.recipe import Recipe
from edgemed.training.settings import Distillation
from tests.training import blobs as made
from tests.training.test_fit import Interrupting

pytestmark = pytest.mark.tensorflow

SEVERAL = made.RECIPE.replace(
    "[plain, blob]\ndata", "[plain, small, large]\nnormal_labels: [plain, small]\ndata"
).replace(
    "{kind: folders, normal: [plain], abnormal: [blob]}",
    "{kind: folders, classes: {plain: [plain], small: [small], large: [large]}}",
)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder of three classes: no blob, a small one, a large one."""
    folder = tmp_path_factory.mktemp("three")
    made.write(folder, {"train": 8, "val": 4, "test": 2}, classes={"plain": None, "small": (3, 5), "large": (8, 11)})
    return folder


@pytest.fixture(scope="module")
def everything(blob_recipe: Recipe) -> Recipe:
    """Return a recipe of three labels with every option on."""
    recipe = recipes.parse(SEVERAL.encode(), source="several.yaml")
    every = {
        "epochs": 2,
        "batch": 12,
        "label_smoothing": 0.1,
        "loss": "focal",
        "mixup": 0.4,
        "cutmix": 1.0,
        "ema": 0.9,
        "backbone_lr": 0.5,
        "select": "last",
    }
    return msgspec.structs.replace(
        recipe,
        model=msgspec.structs.replace(blob_recipe.model, dropout=0.3),
        fit=msgspec.structs.replace(recipe.fit, **every),
        distillation=Distillation(temperature=2.0, weight=0.3),
    )


@pytest.fixture(scope="module")
def teacher(three: Path, everything: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run folder of a teacher of three labels, after one plain epoch."""
    out = tmp_path_factory.mktemp("runs") / "teacher"
    plain = msgspec.structs.replace(
        everything, fit=msgspec.structs.replace(everything.fit, epochs=1, backbone_lr=1.0), distillation=None
    )
    fit.train(plain, three, out)
    return out


@pytest.fixture(scope="module")
def whole(three: Path, everything: Recipe, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    fit.train(everything, three, out, teachers=(teacher,))
    return out


def test_run_of_every_option_resumes_bit_for_bit(
    whole: Path, three: Path, everything: Recipe, teacher: Path, tmp_path: Path
) -> None:
    out = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):  # an epoch has two steps
        fit.train(everything, three, out, teachers=(teacher,), progress=Interrupting(at_step=3))
    assert len(runs.read(out).history) == 1
    fit.train(everything, three, out, teachers=(teacher,), resume=True)
    assert runs.read(out).history == runs.read(whole).history
    for cut, full in zip(fit.load_best(out).get_weights(), fit.load_best(whole).get_weights(), strict=True):
        np.testing.assert_array_equal(cut, full)


def test_model_of_several_labels_has_a_logit_for_each(whole: Path) -> None:
    model = fit.load_best(whole)
    assert {name: tuple(output.shape[1:]) for name, output in model.output.items()} == {
        "logit": (3,),
        "evidence": (16, 16, 3),
        "embedding": (8,),
    }
    run = runs.read(whole)
    assert run.best_epoch == 1
    assert all(0 <= line.validation_auc <= 1 and line.validation_loss for line in run.history)


def test_other_teacher_does_not_continue_a_run(whole: Path, three: Path, everything: Recipe) -> None:
    with pytest.raises(ConfigError) as caught:
        fit.train(everything, three, whole, teachers=(whole,), resume=True)
    assert str(caught.value) == (
        f"{whole}: the teachers differs from the run to resume; start a new run in another --out"
    )
