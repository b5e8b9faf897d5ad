from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

from edgemed.cli import main
from edgemed.training import run as runs
from tests.training import blobs

pytestmark = pytest.mark.tensorflow

MODEL = "model: {family: ds_cnn, depth: 1, alpha: 0.25, embedding: 8, dropout: 0.1}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a data set and a recipe of one epoch."""
    made = tmp_path_factory.mktemp("train")
    blobs.write(made / "data", {"train": 12, "val": 4, "test": 2})
    head, _, tail = blobs.RECIPE.replace("epochs: 3", "epochs: 1").partition("model: {")
    (made / "blobs.yaml").write_text(head + MODEL + tail[tail.index("augmentation:") :])
    return made


def _words(folder: Path, *more: str, out: str = "run") -> list[str]:
    words = ["train", "--recipe", folder / "blobs.yaml", "--data", folder / "data", "--out", folder / out, *more]
    return list(map(str, words))


def test_folds_leave_a_run_each_and_are_summed_up(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(_words(folder, "--folds", "2", "--seed", "9", "--tensorboard", str(folder / "curves"), "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["recipe"], found["images"], found["folds"], len(found["validation_auc"])) == ("blobs", 32, 2, 2)
    assert 0 <= found["out_of_fold_auc"] <= 1
    run = runs.read(folder / "run" / "fold-1")
    assert (run.recipe.fit.seed, run.recipe.data.division_seed) == (9, 3)
    assert sorted(path.name for path in (folder / "curves").iterdir()) == ["fold-0", "fold-1"]

    # One that the recipe's own validation was trained on is not evaluated on it.
    fold = folder / "run" / "fold-1"
    assert main(["evaluate", str(fold)]) == 2
    assert capsys.readouterr().err.endswith(
        f"edgemed: {fold}: is one of 2 folds, and was trained on images of the recipe's validation; "
        f"read the folds' answers in {folder / 'run' / 'out_of_fold.json'}, or evaluate a run trained without --folds\n"
    )


REFUSED = {
    "teacher without distillation": (
        ["--teacher", "runs/big", "--teacher", "runs/other"],
        "edgemed: --teacher: the recipe has no part distillation; add it, or leave the option out\n",
    ),
    "folder without a model": (
        ["--pretrained", "/"],
        "edgemed: /model.keras: expected a file of weights, found none; check --pretrained\n",
    ),
    "more folds than images": (
        ["--folds", "99"],
        "edgemed: --folds: expected at most 32, the number of patients or groups of near-duplicates, got 99\n",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_options_that_cannot_be_met_end_with_2(
    folder: Path, capsys: pytest.CaptureFixture[str], case: tuple[list[str], str]
) -> None:
    options, message = case
    assert main(_words(folder, *options, out="refused")) == 2
    assert capsys.readouterr().err.endswith(message)
