"""How much of the chest set's label can be told from exposure, sharpness and proportions, and a split against it.

A boosted tree on 20 image statistics, out of fold over patients, tells normal from pneumonia in the train folder. The
pictures that it gets wrong are where the shortcut points the wrong way: with their patients they become the ``hard``
part of a derived data folder; validation is cut by patient first and holds its share of them. Pictures of the test
folder are not read and not listed.

    python benchmarks/classifiers/shortcuts.py --data DATA/chest_xray_224 --out WORK/chest_hard

The folder serves ``edgemed train`` with a recipe whose split column is ``proxy_split`` (train, validation, hard).
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent))

import kept
from classifiers import statistics_of_pictures

SEED = 17
VALIDATION = 0.12
FOLDS = 5


def main() -> int:
    options = parse()
    rows, dataset, indices = opened(options.data)
    figures = np.stack([described(dataset, int(index), rows[index]) for index in indices])
    labels = dataset.labels[indices]
    groups = groups_of(dataset, indices)
    wrong, area = misled(figures, labels, groups)
    parts = divided(labels, groups, wrong)
    options.out.mkdir(parents=True, exist_ok=True)
    write_manifest(options.out / "manifest.csv", [rows[index] for index in indices], parts)
    link = options.out / "images.zip"
    if not link.exists():
        link.symlink_to((options.data / "images.zip").resolve())
    document = summary(figures, labels, area, parts)
    kept.write_json(options.out / "shortcuts.json", document)
    print("\n".join(f"{name}: {value}" for name, value in document.items()))
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder chest_xray_224")
    parser.add_argument("--out", type=Path, required=True, help="derived data folder")
    return parser.parse_args()


def opened(folder: Path) -> tuple[list[dict[str, str]], Any, NDArray[np.int64]]:
    """Return the manifest's rows, the data set, and the indices of the train folder."""
    from edgemed.training import recipe, sources

    rows = list(csv.DictReader(io.StringIO((folder / "manifest.csv").read_text())))
    dataset = sources.load(recipe.load("chest-xray").data.source, folder)
    return rows, dataset, np.flatnonzero(np.array(dataset.splits) == "train")


def described(dataset: Any, index: int, row: dict[str, str]) -> NDArray[np.float64]:
    edges = [float(row[f"crop_{name}"] or "nan") for name in ("x0", "y0", "x1", "y1")]
    aspect = (edges[3] - edges[1]) / (edges[2] - edges[0])
    return statistics_of_pictures.described(dataset.read(index).pixels, aspect)


def groups_of(dataset: Any, indices: NDArray[np.int64]) -> NDArray[np.str_]:
    """Return what must stay together: patients, and pictures that exist under two patient keys."""
    from edgemed.training import division

    return np.array(division.near_duplicate_groups(dataset, indices, limit=0.998))[indices]


def misled(
    figures: NDArray[np.float64], labels: NDArray[np.int64], groups: NDArray[np.str_]
) -> tuple[NDArray[np.bool_], float]:
    """Return which pictures the statistics alone get wrong, and their AUC, out of fold."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import GroupKFold, cross_val_predict

    from edgemed import statistics

    trees = HistGradientBoostingClassifier(max_iter=150, learning_rate=0.06, class_weight="balanced", random_state=SEED)
    scores = cross_val_predict(trees, figures, labels, groups=groups, cv=GroupKFold(FOLDS), method="predict_proba")[
        :, 1
    ]
    return (scores >= 0.5) != labels, float(statistics.auc(labels, scores))


def divided(labels: NDArray[np.int64], groups: NDArray[np.str_], wrong: NDArray[np.bool_]) -> NDArray[np.str_]:
    """Return each picture's part: ``hard`` is left out of training with all its patients' pictures."""
    from edgemed import statistics

    chosen = statistics.groups_holding(labels, groups, VALIDATION, rng=np.random.default_rng(SEED))
    validation = np.isin(groups, sorted(chosen))
    parts = np.full(len(labels), "train", dtype="<U10")
    parts[np.isin(groups, np.unique(groups[wrong]))] = "unused"
    parts[wrong] = "hard"
    parts[validation] = "validation"
    return parts


def write_manifest(path: Path, rows: list[dict[str, str]], parts: NDArray[np.str_]) -> None:
    out = io.StringIO()
    writer = csv.DictWriter(out, [*rows[0], "proxy_split"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "proxy_split": part} for row, part in zip(rows, parts, strict=True))
    kept.write_bytes(path, out.getvalue().encode())


def summary(
    figures: NDArray[np.float64], labels: NDArray[np.int64], area: float, parts: NDArray[np.str_]
) -> dict[str, Any]:
    from edgemed import statistics

    known = {
        name: round(float(statistics.auc(labels[(ok := ~np.isnan(column))], column[ok])), 3)
        for name, column in zip(statistics_of_pictures.NAMES, figures.T, strict=True)
    }
    counts = {
        part: {"normal": int(np.sum(labels[parts == part] == 0)), "pneumonia": int(labels[parts == part].sum())}
        for part in ("train", "validation", "hard", "unused")
    }
    return {"auc_of_statistics_alone": round(area, 4), "auc_of_each": known, "counts": counts}


if __name__ == "__main__":
    sys.exit(main())
