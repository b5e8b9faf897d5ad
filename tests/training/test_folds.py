from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

from edgemed import statistics
from edgemed.errors import ConfigError
from edgemed.imaging import out_of_fold
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.training import fit, folds, prepare
from edgemed.training import run as runs
from edgemed.training.batches import predict
from edgemed.training.recipe import Recipe
from tests.training.test_fit import Interrupting

pytestmark = pytest.mark.tensorflow


def _pool(labels: list[int], groups: list[str]) -> LabelledPlanes:
    return LabelledPlanes(
        planes=np.zeros((len(labels), 2, 2), dtype=np.uint8),
        labels=np.array(labels, dtype=np.int64),
        names=tuple(f"{place}.png" for place in range(len(labels))),
        groups=tuple(groups),
        read=lambda row: pytest.fail("no image is read"),
    )


@pytest.fixture(scope="module")
def short(blob_recipe: Recipe) -> Recipe:
    """Return the recipe with one epoch of few steps."""
    return msgspec.structs.replace(blob_recipe, fit=msgspec.structs.replace(blob_recipe.fit, epochs=1, batch=32))


@pytest.fixture(scope="module")
def crossed(blobs: Path, short: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of two folds; the second was interrupted at its first step and went on."""
    out = tmp_path_factory.mktemp("runs") / "folds"
    with pytest.raises(KeyboardInterrupt):
        folds.train(short, blobs, out, count=2, progress=Interrupting(at_step=3))
    assert not (out / "out_of_fold.json").exists()
    before = (out / "fold-0" / "run.json").stat().st_mtime_ns
    folds.train(short, blobs, out, count=2, resume=True)
    assert (out / "fold-0" / "run.json").stat().st_mtime_ns == before
    return out


def test_every_image_is_answered_by_the_model_that_never_saw_it(crossed: Path, blobs: Path, short: Recipe) -> None:
    found = out_of_fold.read(crossed / "out_of_fold.json")
    split = prepare.prepare(short, blobs)
    planes = np.concatenate([split.train.planes, split.validation.planes])
    assert len(found.answers) == len(planes) == 104
    assert found.images == out_of_fold.digest((split.train, split.validation))
    for fold in range(2):
        here = found.fold_of == fold
        logits = predict(fit.load_best(crossed / f"fold-{fold}"), planes[here])["logit"][:, 0]
        np.testing.assert_allclose(found.logits[here], logits, rtol=1e-5)
        run = runs.read(crossed / f"fold-{fold}")
        assert (run.train_images, run.validation_images) == (np.count_nonzero(~here), np.count_nonzero(here))
        area = statistics.auc(found.abnormal[here], found.logits[here])
        assert area == pytest.approx(run.history[0].validation_auc, abs=1e-6)


def test_document_names_no_image_and_no_group(crossed: Path) -> None:
    text = (crossed / "out_of_fold.json").read_text()
    assert ".png" not in text
    assert {len(answer["group"]) for answer in json.loads(text)["answers"]} == {16}


def test_folds_that_are_there_are_not_overwritten(crossed: Path, blobs: Path, short: Recipe) -> None:
    with pytest.raises(ConfigError) as caught:
        folds.train(short, blobs, crossed, count=2)
    assert str(caught.value) == (
        f"{crossed / 'fold-0'}: holds a run already; resume it with --resume or choose another --out"
    )


def test_folds_of_another_number_are_not_continued(crossed: Path, blobs: Path, short: Recipe) -> None:
    with pytest.raises(ConfigError) as caught:
        folds.train(short, blobs, crossed, count=3, resume=True)
    assert str(caught.value) == (
        f"{crossed / 'fold-0'}: the train_digest differs from the run to resume; start a new run in another --out"
    )


def test_no_group_lies_in_two_folds_and_labels_are_spread(rng: np.random.Generator) -> None:
    groups = [f"p{number}" for number in rng.integers(0, 60, 300)]
    labels = [int(int(group[1:]) % 4 == 0) for group in groups]
    fold_of = folds.assigned(_pool(labels, groups), count=5, seed=3)
    for group in set(groups):
        assert len({fold_of[row] for row in range(300) if groups[row] == group}) == 1
    abnormal = [np.count_nonzero(np.array(labels)[fold_of == fold]) for fold in range(5)]
    assert max(abnormal) - min(abnormal) <= 6
    assert max(np.bincount(fold_of)) - min(np.bincount(fold_of)) <= 12


def test_folds_follow_the_seed() -> None:
    pool = _pool([0, 1] * 20, [str(place) for place in range(40)])
    first, again, other = (folds.assigned(pool, count=4, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_more_folds_than_groups_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        folds.assigned(_pool([0, 1] * 6, list("aabbccaabbcc")), count=4, seed=1)
    assert str(caught.value) == (
        "--folds: expected at most 3, the number of patients or groups of near-duplicates, got 4"
    )


def test_fold_that_would_lack_a_label_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        folds.assigned(_pool([0] * 9 + [1] * 3, [str(place) for place in range(12)]), count=2, seed=1)
    assert str(caught.value) == (
        "--folds: fold 1: expected two normal and two abnormal images at least, got 4 normal and 1 abnormal; ask for "
        "fewer folds than 2"
    )
