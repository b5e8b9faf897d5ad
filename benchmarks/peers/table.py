"""The document as a Markdown table for people, and the places where ours is not the best."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import machine
from peers.methods import METHODS, OURS

HEAD = (
    "method",
    "AUC [95 %]",
    "AUC minus float [95 %]",
    "flipped",
    "to wrong",
    "kB",
    "float tensors",
    "train s",
    "convert s",
    "peak MiB",
)
_LABELS = {method.name: method.label for method in METHODS}
# What is compared, smaller is better; mean over seeds.
_COLUMNS: dict[str, Callable[[dict[str, Any]], float]] = {
    "AUC loss": lambda found: -found["difference"]["value"],
    "flipped decisions": lambda found: found["flipped"],
    "decisions flipped to wrong": lambda found: found["flipped_to_wrong"],
    "file size": lambda found: found["size_bytes"],
    "float tensors": lambda found: found["float_tensors"],
    "CPU seconds of training and conversion": lambda found: sum(step["cpu_s"] for step in found["steps"].values()),
    "peak memory": lambda found: found["peak_mib"],
}


def markdown(document: dict[str, Any]) -> str:
    """Return the whole report."""
    settings, data = document["settings"], document["data"]
    blocks = [
        "# Four ways to int8, one network",
        f"MobileNetV2 (keras.applications, alpha 1.0, {settings['side']} px) fine-tuned on children's chest X-rays for "
        f"{settings['float_epochs']} epochs; quantization-aware training for {settings['qat_epochs']} more, with the "
        f"same batches and loss, Adam, learning rate {settings['qat_learning_rate']:g}; {settings['calibration']} "
        f"train images calibrate. Compared on {data['validation_images']} validation images "
        f"({data['validation_abnormal']} abnormal) of {data['validation_patients']} patients, none of them in train; "
        "LiteRT, one thread. Flipped: decisions that differ from the float model's, each at its own threshold for "
        f"sensitivity {data['sensitivity_of_the_threshold']:g}, taken from the half of the patients the image is not "
        "in. Intervals: DeLong, paired for differences.",
        f"Machine: {machine.in_words(document['machine'])}.",
    ]
    for seed, found in document["seeds"].items():
        blocks += [f"## Seed {seed}", _table(found, data["validation_images"]), *_against(found)]
    blocks += ["## Where edgemed is not the best", "\n".join(_losses(document))]
    if document["not_measured"]:
        reasons = [f"- {name}: not measured: {reason}" for name, reason in document["not_measured"].items()]
        blocks += ["## Not measured", "\n".join(reasons)]
    return "\n\n".join(blocks) + "\n"


def _table(found: dict[str, Any], images: int) -> str:
    rows = [("float", _area(found["float"]), "", "", "", _kb(found["float"]), "all", "", "", "")]
    disturbed = False
    for method in METHODS:
        one = found["methods"].get(method.name)
        if one is None:
            continue
        others = machine.shared(one["steps"])
        disturbed = disturbed or others
        rows.append(
            (
                method.label,
                _area(one),
                _difference(one["difference"]),
                f"{one['flipped']}/{images}",
                str(one["flipped_to_wrong"]),
                _kb(one),
                str(one["float_tensors"]),
                _seconds(one, "train"),
                _seconds(one, "convert"),
                f"{one['peak_mib']:.0f}",
            )
        )
    lines = ["| " + " | ".join(row) + " |" for row in (HEAD, ("---",) * len(HEAD), *rows)]
    note = "\n\nSeconds: wall (CPU seconds of the process in brackets)."
    if disturbed:
        note += f" {machine.SHARED}"
    return "\n".join(lines) + note


def _against(found: dict[str, Any]) -> list[str]:
    lines = [
        f"- {_LABELS[name]}: {_difference(pair)}, p {pair['p']:.2g}" for name, pair in found["edgemed_minus"].items()
    ]
    return ["AUC of edgemed QAT minus that of:", "\n".join(lines)] if lines else []


def _losses(document: dict[str, Any]) -> list[str]:
    """Return a line per column in which another method's mean over seeds beats ours."""
    if OURS not in _measured(document):
        return ["- edgemed QAT was not measured."]
    lines = []
    for column, value in _COLUMNS.items():
        means = {method: _mean(document, method, value) for method in _measured(document)}
        better = sorted((mean, method) for method, mean in means.items() if mean < means[OURS])
        if better:
            listed = ", ".join(f"{_LABELS[method]} {mean:.6g}" for mean, method in better)
            doubt = _doubt(document, [method for _, method in better]) if column == "AUC loss" else ""
            lines.append(f"- {column}: edgemed {means[OURS]:.6g}; better: {listed}{doubt}.")
    return lines or ["- Nowhere."]


def _doubt(document: dict[str, Any], methods: list[str]) -> str:
    """Say which of the better AUCs are better beyond chance in any seed."""
    pairs = {
        method: [found["edgemed_minus"][method]["ci95"][1] for found in document["seeds"].values()]
        for method in methods
    }
    certain = [_LABELS[method] for method, uppers in pairs.items() if any(upper < 0 for upper in uppers)]
    return f"; beyond chance: {', '.join(certain) or 'none'} (paired 95 % interval without 0 in any seed)"


def _measured(document: dict[str, Any]) -> list[str]:
    """Return the methods that every seed has."""
    return [
        method.name
        for method in METHODS
        if all(method.name in found["methods"] for found in document["seeds"].values())
    ]


def _mean(document: dict[str, Any], method: str, value: Callable[[dict[str, Any]], float]) -> float:
    return statistics.fmean(value(found["methods"][method]) for found in document["seeds"].values())


def _area(found: dict[str, Any]) -> str:
    low, high = found["auc_ci95"]
    return f"{found['auc']:.4f} [{low:.4f}, {high:.4f}]"


def _difference(pair: dict[str, Any]) -> str:
    low, high = pair["ci95"]
    return f"{pair['value']:+.4f} [{low:+.4f}, {high:+.4f}]"


def _kb(found: dict[str, Any]) -> str:
    return f"{found['size_bytes'] / 1000:.0f}"


def _seconds(found: dict[str, Any], name: str) -> str:
    step = found["steps"].get(name)
    return "" if step is None else f"{step['wall_s']:.0f} ({step['cpu_s']:.0f})"
