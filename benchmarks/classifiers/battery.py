"""How trained runs stand up to shifts: validation under each change of `shifts`, the ``hard`` part, adult X-rays.

Calibration (Platt) and the thresholds come from the unchanged validation pictures and then stay, as on a device.

    python benchmarks/classifiers/battery.py RUN... --data WORK/chest_hard [--adults DATA/covid_cxr] [--json]

A run's own recipe names the columns. A split ``hard`` is looked at where the recipe calls it ``test``; a real test
split is never read.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent))

from classifiers import shifts

HARD = "hard"
RULE_OUT = 0.95


@dataclass(frozen=True, kw_only=True)
class Rule:
    """From logits to decisions: Platt scaling, and the score that clean validation gives the asked sensitivity."""

    slope: float
    intercept: float
    rule_out: float

    def scores(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the calibrated probability of each logit."""
        return np.asarray(1 / (1 + np.exp(-(self.slope * logits + self.intercept))))


def main() -> int:
    options = parse()
    found = {folder.name: examined(folder, options.data, options.adults) for folder in options.runs}
    print(json.dumps(found, indent=1) if options.json else markdown(found))
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="run folders of edgemed train")
    parser.add_argument("--data", type=Path, required=True, help="data folder of the runs")
    parser.add_argument("--adults", type=Path, help="folder covid_cxr")
    parser.add_argument("--json", action="store_true", help="print the document instead of the table")
    return parser.parse_args()


def examined(folder: Path, data: Path, adults: Path | None) -> dict[str, Any]:
    """Return the figures of one run."""
    from edgemed import statistics
    from edgemed.training import division, fit, run, sources
    from edgemed.training import recipe as recipes

    recipe = run.read(folder).recipe
    model = fit.load_best(folder)
    dataset = sources.load(recipe.data.source, data)
    parts = division.divide(dataset, recipe.data.splits, seed=recipes.division_seed(recipe))
    pictures = [dataset.read(int(index)).pixels for index in parts.validation]
    sick = dataset.abnormal.astype(np.int64)
    labels = sick[parts.validation]
    logits = answers(model, recipe, pictures)
    scaling = statistics.platt(logits, labels)
    rule = Rule(slope=scaling.slope, intercept=scaling.intercept, rule_out=0.5)
    threshold = statistics.threshold_for_sensitivity(labels, rule.scores(logits), RULE_OUT)
    rule = Rule(slope=scaling.slope, intercept=scaling.intercept, rule_out=threshold)
    chosen = balanced(labels)
    some = [pictures[index] for index in chosen]
    battery = {
        name: figures(labels[chosen], answers(model, recipe, shifts.applied(name, some)), rule) for name in shifts.NAMES
    }
    document = {"validation": figures(labels, logits, rule), "battery": battery, "over_battery": over(battery)}
    if recipe.data.splits.test == HARD:
        hard = division.test_indices(dataset, recipe.data.splits)
        logits = answers(model, recipe, [dataset.read(int(index)).pixels for index in hard])
        document[HARD] = figures(sick[hard], logits, rule)
    if adults is not None:
        document["adults"] = of_adults(model, recipe, adults, rule)
    return document


def answers(model: Any, recipe: Any, pictures: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Return the abnormality logit of each source picture."""
    from edgemed.imaging import preprocess
    from edgemed.imaging.frame import Frame
    from edgemed.training import recipe as recipes
    from edgemed.training.batches import predict

    planes = np.stack([preprocess.apply(Frame(pixels=one, source="x"), recipe.preprocessing) for one in pictures])
    logits = predict(model, planes)["logit"].astype(np.float64)
    return np.asarray(recipes.meaning(recipe).abnormality(logits))


def balanced(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return indices of all pictures of the rarer label and as many, drawn once, of the other."""
    rng = np.random.default_rng(3)
    sides = [np.flatnonzero(labels == label) for label in (0, 1)]
    count = min(map(len, sides))
    return np.sort(np.concatenate([rng.permutation(side)[:count] for side in sides]))


def figures(labels: NDArray[np.int64], logits: NDArray[np.float64], rule: Rule) -> dict[str, float]:
    """Return AUC, and at the score 0.5 and at the rule-out threshold what is decided; calibration error."""
    from edgemed import statistics

    scores = rule.scores(logits)
    sick = labels == 1
    return {
        "n": len(labels),
        "auc": float(statistics.auc(labels, logits)),
        "sensitivity": float(np.mean(scores[sick] >= 0.5)),
        "specificity": float(np.mean(scores[~sick] < 0.5)),
        "rule_out_sensitivity": float(np.mean(scores[sick] >= rule.rule_out)),
        "rule_out_specificity": float(np.mean(scores[~sick] < rule.rule_out)),
        "ece": float(statistics.expected_calibration_error(labels, scores)),
    }


def over(battery: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Return mean and worst of each figure over the battery."""
    document: dict[str, Any] = {}
    for figure in ("auc", "specificity", "sensitivity", "rule_out_specificity", "rule_out_sensitivity"):
        values = {name: one[figure] for name, one in battery.items()}
        worst = min(values, key=lambda name: values[name])
        document[figure] = {"mean": float(np.mean(list(values.values()))), "worst": values[worst], "under": worst}
    errors = {name: one["ece"] for name, one in battery.items()}
    worst = max(errors, key=lambda name: errors[name])
    document["ece"] = {"mean": float(np.mean(list(errors.values()))), "worst": errors[worst], "under": worst}
    return document


def of_adults(model: Any, recipe: Any, folder: Path, rule: Rule) -> dict[str, Any]:
    """Return scores of adult X-rays: a look at what is far away, no accuracy (two have no finding)."""
    from edgemed.imaging import readers

    rows = list(csv.DictReader((folder / "manifest.csv").open()))
    with zipfile.ZipFile(folder / "images.zip") as archive:
        pictures = [next(readers.decode(archive.read(row["path"]), source="x")).pixels for row in rows]
    scores = rule.scores(answers(model, recipe, pictures))
    clear = np.array([row["finding"] == "No Finding" for row in rows])
    return {
        "no_finding": [round(float(score), 3) for score in scores[clear]],
        "rest_median": float(np.median(scores[~clear])),
        "rest_above_half": float(np.mean(scores[~clear] >= 0.5)),
    }


def markdown(found: dict[str, dict[str, Any]]) -> str:
    head = (
        "run",
        "val AUC",
        "hard AUC",
        "hard sens / spec",
        "AUC mean / worst",
        "spec mean / worst",
        "sens mean",
        "ECE",
    )
    rows = [_row(name, one) for name, one in found.items()]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows))


def _row(name: str, one: dict[str, Any]) -> tuple[str, ...]:
    over_all, hard = one["over_battery"], one.get(HARD)
    auc, specificity = over_all["auc"], over_all["specificity"]
    return (
        name,
        f"{one['validation']['auc']:.4f}",
        f"{hard['auc']:.3f}" if hard else "-",
        f"{hard['sensitivity']:.2f} / {hard['specificity']:.2f}" if hard else "-",
        f"{auc['mean']:.4f} / {auc['worst']:.3f} ({auc['under']})",
        f"{specificity['mean']:.3f} / {specificity['worst']:.2f} ({specificity['under']})",
        f"{over_all['sensitivity']['mean']:.3f}",
        f"{over_all['ece']['mean']:.3f}",
    )


if __name__ == "__main__":
    sys.exit(main())
