"""Stage: chest X-ray planes, divided by patient, into ``WORK/data.npz``. The test folder is not read.

python -m peers.prepare_data WORK DATA_FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np

from edgemed.training import data, division, recipe, sources
from edgemed.training.recipe import Recipe
from peers import exchange

_CALIBRATION_SEED = 20240229
DIVISION_SEED = 17  # of train against validation: the same for every training seed


def benchmark_recipe(settings: exchange.Settings) -> Recipe:
    """Return the shipped chest X-ray recipe at the benchmark's size, with a larger validation share."""
    shipped = recipe.load("chest-xray")
    change = msgspec.structs.replace
    return change(
        shipped,
        data=change(shipped.data, splits=change(shipped.data.splits, validation_fraction=settings.validation_fraction)),
        preprocessing=change(shipped.preprocessing, height=settings.side, width=settings.side),
        fit=change(shipped.fit, epochs=settings.float_epochs, batch=settings.batch),
    )


def main(work: Path, folder: Path) -> None:
    chosen = benchmark_recipe(exchange.settings(work))
    dataset = sources.load(chosen.data.source, folder)
    splits = chosen.data.splits
    found = division.divide(dataset, splits, seed=DIVISION_SEED)
    # Near-duplicates under two patient keys count as one patient here as well.
    joined = division.near_duplicate_groups(dataset, found.validation, limit=splits.near_duplicate_correlation or 0.998)
    train = data.labelled_planes(dataset, found.train, chosen.preprocessing)
    validation = data.labelled_planes(dataset, found.validation, chosen.preprocessing)
    _, patients = np.unique([joined[index] for index in found.validation], return_inverse=True)
    picked = np.random.default_rng(_CALIBRATION_SEED).permutation(len(train.planes))
    exchange.write_arrays(
        work / "data.npz",
        train_planes=train.planes,
        train_labels=train.labels,
        validation_planes=validation.planes,
        validation_labels=validation.labels,
        validation_patients=patients.astype(np.int64),
        calibration=train.planes[picked[: exchange.settings(work).calibration]],
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
