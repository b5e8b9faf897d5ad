"""Cross-validation over groups: every image of train and validation is answered by a model that never saw its group.

``OUT/fold-K`` is an ordinary run folder of each fold, whose validation is that fold; ``OUT/out_of_fold.json`` holds the
answers, by which operating points are chosen. Each fold resumes like a run; folds that are done are not trained again.
Where the recipe selects an epoch by its validation, a fold's answers chose the epoch that gave them: ``select: last``
keeps them out of every choice.

    run = folds.train(recipe, data_folder, Path("runs/cxr-folds"), count=5)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgemed import files, schema, statistics
from edgemed.errors import ConfigError
from edgemed.imaging import out_of_fold
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.imaging.out_of_fold import Answer, OutOfFold
from edgemed.training import fit, saving
from edgemed.training import recipe as recipes
from edgemed.training.batches import predict
from edgemed.training.prepare import TrainingData, prepare
from edgemed.training.progress import Progress, Silent
from edgemed.training.recipe import Recipe
from edgemed.training.run import Run

__all__ = ["Folds", "assigned", "summary", "train"]


@dataclass(frozen=True, kw_only=True)
class Folds:
    """The runs of all folds, and what their models answered to the images they had not seen."""

    runs: tuple[Run, ...]
    answers: OutOfFold


def train(
    recipe: Recipe,
    folder: Path,
    out: Path,
    *,
    count: int,
    pretrained: Path | None = None,
    teachers: tuple[Path, ...] = (),
    resume: bool = False,
    curves: Path | None = None,
    progress: Progress | None = None,
) -> Folds:
    """Train a recipe once for each fold of train and validation together.

    Args:
        recipe: what to train.
        folder: of the data set.
        out: holds a run folder for each fold. With ``resume`` it goes on where it was interrupted.
        count: of folds.
        pretrained: weights that every fold starts from.
        teachers: folders of folds of the same division, ``OUT`` of another `train`; fold K learns from their fold K.
        resume: continue; else a folder that holds a fold with a whole epoch is refused.
        curves: folder for TensorBoard's files, one folder a fold; None for none.
        progress: told what goes on.

    Raises:
        ConfigError: there are fewer groups than folds, a fold would lack a label, or as `fit.train`.
        GateError: training diverged.
    """
    report = progress or Silent()
    begun = [_begun(_place(out, fold), resume=resume) for fold in range(count)]
    split = prepare(recipe, folder, progress=report)
    pool = _joined((split.train, split.validation))
    fold_of = assigned(pool, count=count, seed=recipes.division_seed(recipe))
    found, answers = [], []
    for fold in range(count):
        report.note(f"fold {fold}, {fold + 1} of {count}")
        place = _place(out, fold)
        with saving.writing(place):
            place.mkdir(parents=True, exist_ok=True)
        apart = TrainingData(train=_rows(pool, fold_of != fold), validation=_rows(pool, fold_of == fold))
        run = fit.train_on(
            replace(apart, prepared=split.prepared),
            recipe,
            place,
            folder=folder,
            pretrained=pretrained,
            teachers=tuple(_place(teacher, fold) for teacher in teachers),
            begun=begun[fold],
            curves=None if curves is None else _place(curves, fold),
            progress=report,
            folds=count,
        )
        found.append(run)
        answers.append(_answered(place, apart.validation, recipe))
    document = _document(recipe, pool, fold_of, answers)
    with saving.writing(out / out_of_fold.FILE):
        files.write_atomic(out / out_of_fold.FILE, schema.encode_json(document))
    return Folds(runs=tuple(found), answers=document)


def summary(folds: Folds) -> dict[str, object]:
    """Return what to show of finished folds."""
    answers = folds.answers
    found = [run.history[run.best_epoch].validation_auc for run in folds.runs if run.best_epoch is not None]
    return {
        "recipe": answers.recipe,
        "images": len(answers.answers),
        "groups": len(set(answers.groups)),
        "folds": answers.folds,
        "validation_auc": found,
        "out_of_fold_auc": statistics.auc(answers.abnormal, answers.logits),
    }


def assigned(pool: LabelledPlanes, *, count: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of each image, (n,) from 0; a group lies in one fold, and each label is spread evenly.

    The largest groups go first, each to the fold that lacks most of its labels; equal ones in a seeded order.

    Raises:
        ConfigError: there are fewer groups than folds, or a fold has fewer than two normal or abnormal images.
    """
    names, group_of = np.unique(pool.groups or pool.names, return_inverse=True)
    if len(names) < count:
        raise ConfigError(
            f"--folds: expected at most {len(names)}, the number of patients or groups of near-duplicates, got {count}"
        )
    table = np.zeros((len(names), len(pool.label_names)))
    np.add.at(table, (group_of, pool.labels), 1)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-table[order].sum(axis=1), kind="stable")]
    share = np.maximum(table.sum(axis=0), 1) / count
    filled = np.zeros((count, table.shape[1]))
    fold_of_group = np.zeros(len(names), dtype=np.int64)
    for group in order:
        # Squared excess over an even share, in units of that share, so that rare labels count as much.
        cost = (((filled + table[group]) / share) ** 2 - (filled / share) ** 2).sum(axis=1)
        fold_of_group[group] = fold = int(np.argmin(cost))
        filled[fold] += table[group]
    fold_of = fold_of_group[group_of]
    _require_both(pool.abnormal, fold_of, count)
    return fold_of


def _require_both(abnormal: NDArray[np.bool_], fold_of: NDArray[np.int64], count: int) -> None:
    for fold in range(count):
        here = abnormal[fold_of == fold]
        if min(here.sum(), (~here).sum()) < 2:  # an AUC has no variance below
            raise ConfigError(
                f"--folds: fold {fold}: expected two normal and two abnormal images at least, got {(~here).sum()} "
                f"normal and {here.sum()} abnormal; ask for fewer folds than {count}"
            )


def _place(out: Path, fold: int) -> Path:
    return out / f"fold-{fold}"


def _begun(place: Path, *, resume: bool) -> Run | None:
    """Return the run of a fold that is to go on; a fold that was not reached has none yet."""
    if not (place / "run.json").exists():
        return None
    return fit.begun(place, resume=resume)


def _answered(place: Path, part: LabelledPlanes, recipe: Recipe) -> NDArray[np.float64]:
    logits = predict(fit.load_best(place), part.planes)["logit"].astype(np.float64)
    return recipes.meaning(recipe).abnormality(logits)


def _document(
    recipe: Recipe, pool: LabelledPlanes, fold_of: NDArray[np.int64], answers: Sequence[NDArray[np.float64]]
) -> OutOfFold:
    images = out_of_fold.digest((pool,))
    logits = np.empty(len(pool.names))
    for fold, answer in enumerate(answers):
        logits[fold_of == fold] = answer
    groups = pool.groups or pool.names
    return OutOfFold(
        schema=1,
        recipe=recipe.name,
        labels=pool.label_names,
        images=images,
        folds=len(answers),
        answers=tuple(
            Answer(
                group=_hash(groups[row], images),
                label=pool.label_names[pool.labels[row]],
                abnormal=bool(pool.abnormal[row]),
                fold=int(fold_of[row]),
                logit=float(logits[row]),
            )
            for row in range(len(logits))
        ),
    )


def _hash(group: str, images: str) -> str:
    """Return a group's key as nobody can guess it back who does not have the images."""
    return hashlib.sha256(f"{images}\n{group}".encode(errors="surrogateescape")).hexdigest()[:16]


def _joined(parts: Sequence[LabelledPlanes]) -> LabelledPlanes:
    """Return several parts of one data set as one."""
    starts = np.cumsum([0, *(len(part.names) for part in parts)])
    owner = np.searchsorted(starts, np.arange(starts[-1]), side="right") - 1
    return replace(
        parts[0],
        planes=np.concatenate([part.planes for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        names=tuple(name for part in parts for name in part.names),
        groups=tuple(group for part in parts for group in part.groups or part.names),
        read=lambda row: parts[owner[row]].read(int(row - starts[owner[row]])),
    )


def _rows(pool: LabelledPlanes, chosen: NDArray[np.bool_]) -> LabelledPlanes:
    rows = np.flatnonzero(chosen)
    return replace(
        pool,
        planes=pool.planes[rows],
        labels=pool.labels[rows],
        names=tuple(pool.names[row] for row in rows),
        groups=None if pool.groups is None else tuple(pool.groups[row] for row in rows),
        read=lambda row: pool.read(int(rows[row])),
    )
