r"""Which training settings stand up to shifts: variants of a recipe, each trained and put through the battery.

    python benchmarks/classifiers/ablations.py benchmarks/classifiers/chest.yaml --work WORK --data WORK/chest_hard \
        [--adults DATA/covid_cxr] [--pretrained FILE] [--only base geometry] [--seeds 17 18]

The file of variants names a recipe, what all variants change of it, and what each does; keys are dotted. Runs lie in
WORK/VARIANT-SEED, are continued where they were cut short and kept where they are whole; the table is of what is kept.
Test splits are not read: see `battery`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import kept
import machine
from classifiers import battery

COLUMNS = (
    "val AUC",
    "hard AUC",
    "hard spec",
    "hard sens",
    "AUC mean",
    "AUC worst",
    "spec mean",
    "spec worst",
    "sens mean",
)


def main() -> int:
    options = parse()
    from edgemed import schema

    plan = schema.decode_yaml(options.variants.read_bytes(), dict[str, Any], source=options.variants.name)
    names = options.only or list(plan["variants"])
    require_different(plan)
    document = {
        "schema": 1,
        "machine": machine.described(("keras", "tensorflow-cpu", "numpy")),
        "recipe": plan["recipe"],
        "all": plan["all"],
        "variants": {name: examined(options, plan, name) for name in names},
    }
    text = markdown(document)
    out = options.results / f"classifiers_{options.variants.stem}"
    kept.write_json(out.with_suffix(".json"), document)
    kept.write_bytes(out.with_suffix(".md"), text.encode())
    print(text)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", type=Path, help="YAML of the variants")
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--data", type=Path, required=True, help="data folder")
    parser.add_argument("--adults", type=Path, help="folder covid_cxr")
    parser.add_argument("--pretrained", type=Path, help="weights to start from, instead of the recipe's")
    parser.add_argument("--only", nargs="+", help="variants to train")
    parser.add_argument("--seeds", nargs="+", type=int, default=[17])
    parser.add_argument("--results", type=Path, default=Path(__file__).parent.parent / "results")
    return parser.parse_args()


def examined(options: argparse.Namespace, plan: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what a variant changes and its figures for each seed."""
    changes = plan["variants"][name] or {}
    seeds = {str(seed): trained(options, plan, name, changes, seed) for seed in options.seeds}
    return {"changes": changes, "seeds": seeds}


def trained(
    options: argparse.Namespace, plan: dict[str, Any], name: str, changes: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """Train one variant with one seed where no whole run is kept, and return the figures of its battery."""
    from edgemed.training import fit, weights
    from edgemed.training import recipe as recipes
    from edgemed.training import run as runs

    folder = options.work / f"{name}-{seed}"
    figures = folder / "battery.json"
    if figures.is_file():
        return dict(kept.read_json(figures))
    recipe = recipes.with_seed(varied(plan["recipe"], {**plan["all"], **changes}), seed)
    start = weights.locate(recipes.network(recipe), options.data, given=options.pretrained)
    watch = machine.Stopwatch()
    with watch.step("train"):
        begun = (folder / "run.json").is_file() and bool(runs.read(folder).history)
        fit.train(recipe, options.data, folder, pretrained=start, resume=begun)
    found = {**battery.examined(folder, options.data, options.adults), "steps": watch.steps}
    kept.write_json(figures, found)
    return found


def require_different(plan: dict[str, Any]) -> None:
    """Refuse variants that train the same as another: the recipe may have become what a variant once changed."""
    recipes = {
        name: varied(plan["recipe"], {**plan["all"], **(changes or {})}) for name, changes in plan["variants"].items()
    }
    for first, second in itertools.combinations(recipes, 2):
        if recipes[first] == recipes[second]:
            sys.exit(f"variants: {first} and {second} train the same; change or drop one")


def varied(name: str, changes: Mapping[str, Any]) -> Any:
    """Return a shipped recipe with other values at dotted keys."""
    from edgemed import schema
    from edgemed.training import recipe as recipes

    tree = schema.to_builtins(recipes.load(name))
    for key, value in changes.items():
        place = tree
        *path, last = key.split(".")
        for part in path:
            place = place[part]
        place[last] = value
    return schema.from_builtins(tree, recipes.Recipe, source=name)


def markdown(document: dict[str, Any]) -> str:
    head = ("variant", "seeds", *COLUMNS, "CPU s")
    rows = [_row(name, one) for name, one in document["variants"].items()]
    lines = ["| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows)]
    changes = [f"- {name}: {json.dumps(one['changes'])}" for name, one in document["variants"].items()]
    return (
        "\n\n".join(
            [
                f"# Variants of the recipe {document['recipe']}",
                "Mean over seeds. `hard`: pictures whose label image statistics alone get wrong, with their patients "
                "out of training. Battery: validation under 25 changes; specificity and sensitivity at the score 0.5 "
                "of a calibration on unchanged validation.",
                f"Machine: {machine.in_words(document['machine'])}. Of all variants: `{json.dumps(document['all'])}`",
                "\n".join(lines),
                "\n".join(changes),
            ]
        )
        + "\n"
    )


def _row(name: str, one: dict[str, Any]) -> tuple[str, ...]:
    found = [_figures(figures) for figures in one["seeds"].values()]
    means = (statistics.mean(values) for values in zip(*found, strict=True))
    cpu_s = statistics.mean(figures["steps"]["train"]["cpu_s"] for figures in one["seeds"].values())
    return (name, f"{len(found)}", *(f"{value:.3f}" for value in means), f"{cpu_s:.0f}")


def _figures(one: dict[str, Any]) -> tuple[float, ...]:
    over, hard = one["over_battery"], one.get(battery.HARD, {})
    return (
        one["validation"]["auc"],
        *(hard.get(figure, float("nan")) for figure in ("auc", "specificity", "sensitivity")),
        *(over[figure][side] for figure in ("auc", "specificity") for side in ("mean", "worst")),
        over["sensitivity"]["mean"],
    )


if __name__ == "__main__":
    sys.exit(main())
