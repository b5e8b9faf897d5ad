r"""What whole bundles decide under shifts: validation under each change of `shifts`, all gates and thresholds in force.

    python benchmarks/classifiers/bundles.py BUNDLE... --recipe chest-xray --data DATA/chest_xray_224 --trust demo.pub \
        [--json]

Nothing is refitted: calibration, thresholds, indeterminate zone and out-of-distribution limit are those of the bundle,
as on a device. The pictures are all of the rarer label in the recipe's validation and as many of the other: figures
flatter thresholds that were chosen on some of them, but bundles that were made by one division compare all the same.
Test splits are not read.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent))

from classifiers import shifts
from classifiers.battery import balanced

COLUMNS = ("auc", "ece", "alerts_normal", "clears_normal", "refused_normal", "alerts_abnormal", "clears_abnormal")


def main() -> int:
    options = parse()
    labels, pictures = validation(options.recipe, options.data)
    found = {path.name: examined(path, options.trust, labels, pictures) for path in options.bundles}
    print(json.dumps(found, indent=1) if options.json else markdown(found))
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+", help="signed bundles")
    parser.add_argument("--recipe", required=True, help="recipe whose validation is shown, by name or file")
    parser.add_argument("--data", type=Path, required=True, help="its data folder")
    parser.add_argument("--trust", type=Path, nargs="+", required=True, help="public keys of the bundles")
    parser.add_argument("--json", action="store_true", help="print the document instead of the table")
    return parser.parse_args()


def validation(name: str, folder: Path) -> tuple[NDArray[np.int64], list[NDArray[np.uint8]]]:
    """Return labels and pictures of a recipe's validation, equal shares of the labels."""
    from edgemed.training import division, sources
    from edgemed.training import recipe as recipes

    recipe = recipes.load(name)
    dataset = sources.load(recipe.data.source, folder)
    parts = division.divide(dataset, recipe.data.splits, seed=recipes.division_seed(recipe))
    labels = dataset.abnormal.astype(np.int64)[parts.validation]
    chosen = balanced(labels)
    return labels[chosen], [dataset.read(int(parts.validation[index])).pixels for index in chosen]


def examined(
    path: Path, trusted: list[Path], labels: NDArray[np.int64], pictures: list[NDArray[np.uint8]]
) -> dict[str, Any]:
    """Return the figures of one bundle under each change, and their mean."""
    import edgemed
    from edgemed.bundle import keys

    screener = edgemed.Screener.open(path, keys=[keys.read_public(key) for key in trusted])
    battery = {name: figures(screener, labels, shifts.applied(name, pictures)) for name in shifts.NAMES}
    mean = {column: float(np.mean([one[column] for one in battery.values()])) for column in COLUMNS}
    return {"n": len(labels), "battery": battery, "mean": mean}


def figures(screener: Any, labels: NDArray[np.int64], pictures: list[NDArray[np.uint8]]) -> dict[str, float]:
    """Return what is decided; AUC and calibration error are of every picture, refused or not."""
    from edgemed import statistics
    from edgemed.imaging.frame import Frame
    from edgemed.runtime import decision

    shown = [screener.screen(Frame(pixels=one, source="x")) for one in pictures]
    decisions = np.array([one.decision.value for one in shown])
    # A refused picture has a logit, and no score: this one is what it would have got.
    abnormality = np.array([screener.labels.abnormality(np.array(one.logit)) for one in shown], dtype=np.float64)
    scores = np.array([decision.score(float(value), screener.rule.calibration) for value in abnormality])
    sick = labels == 1
    return {
        "auc": float(statistics.auc(labels, abnormality)),
        "ece": float(statistics.expected_calibration_error(labels, scores)),
        "alerts_normal": float(np.mean(decisions[~sick] == "alert")),
        "clears_normal": float(np.mean(decisions[~sick] == "clear")),
        "refused_normal": float(np.mean(decisions[~sick] == "refused")),
        "alerts_abnormal": float(np.mean(decisions[sick] == "alert")),
        "clears_abnormal": float(np.mean(decisions[sick] == "clear")),
        "above_half_normal": float(np.mean(scores[~sick] >= 0.5)),
        "below_half_abnormal": float(np.mean(scores[sick] < 0.5)),
    }


def markdown(found: dict[str, dict[str, Any]]) -> str:
    lines = []
    for name, one in found.items():
        lines += [f"{name}, n {one['n']}", "", "| change | " + " | ".join(COLUMNS) + " |", "| --- " * 8 + "|"]
        rows = {"mean": one["mean"], **one["battery"]}
        lines += [
            f"| {change} | " + " | ".join(f"{row[column]:.3f}" for column in COLUMNS) + " |"
            for change, row in rows.items()
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
