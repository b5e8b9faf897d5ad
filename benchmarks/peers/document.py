"""The result as one JSON document: per seed and method what was measured, and what was not with the reason."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import kept
import machine
from edgemed import files, tflite
from peers import answers, comparison, exchange
from peers.comparison import Images
from peers.methods import METHODS, OURS


def of(work: Path, seeds: tuple[int, ...], missing: dict[str, str]) -> dict[str, Any]:
    """Return the document; every model in the work folder is run and compared."""
    data = kept.arrays(work / "data.npz")
    images = Images(labels=data["validation_labels"], patients=data["validation_patients"])
    return {
        "schema": 1,
        "machine": machine.described(("keras", "tensorflow-cpu", "ai-edge-litert", "numpy")),
        "settings": dataclasses.asdict(exchange.settings(work)),
        "data": _counts(data, images),
        "seeds": {str(seed): _seed(work / f"seed-{seed}", images, data["validation_planes"]) for seed in seeds},
        "not_measured": missing,
    }


def _counts(data: dict[str, NDArray[Any]], images: Images) -> dict[str, object]:
    return {
        "train_images": len(data["train_labels"]),
        "validation_images": len(images.labels),
        "validation_abnormal": int(images.labels.sum()),
        "validation_patients": len(np.unique(images.patients)),
        "halves": [int(images.halves.sum()), int((~images.halves).sum())],
        "sensitivity_of_the_threshold": comparison.SENSITIVITY,
    }


def _seed(folder: Path, images: Images, planes: NDArray[np.uint8]) -> dict[str, Any]:
    of_float = _logits(folder / "float.tflite", planes)
    made = [method for method in METHODS if (folder / method.name / "measured.json").is_file()]
    logits = {method.name: _logits(folder / method.name / "model.tflite", planes) for method in made}
    return {
        "float": {**comparison.figures(images, of_float, of_float), **_file(folder / "float.tflite")},
        "methods": {
            method.name: {
                **comparison.figures(images, logits[method.name], of_float),
                **_file(folder / method.name / "model.tflite"),
                **kept.read_json(folder / method.name / "measured.json"),
            }
            for method in made
        },
        "edgemed_minus": {
            name: comparison.difference(images, logits[name], logits[OURS])
            for name in logits
            if name != OURS and OURS in logits
        },
    }


def _logits(model: Path, planes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return a model's answers, kept beside it for later analysis."""
    kept = model.with_suffix(".logits.npy")
    if not kept.is_file() or kept.stat().st_mtime < model.stat().st_mtime:
        np.save(kept, answers.logits(model, planes))
    found: NDArray[np.float64] = np.load(kept)
    return found


def _file(path: Path) -> dict[str, object]:
    raw = path.read_bytes()
    model = tflite.read(raw, source=path.name)
    return {
        "size_bytes": len(raw),
        "digest": files.sha256(raw),
        "operators": len(model.operators),
        "float_tensors": len(tflite.float_tensors(model)),
    }
