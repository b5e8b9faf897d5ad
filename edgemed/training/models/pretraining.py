"""Weights to start from: a family's own file, or a model that was trained by edgemed on other pictures.

A file is taken whole or refused: a layer of the backbone that finds no weights is an error. The evidence layer always
starts at random, because another task asks another question.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from edgemed.errors import ConfigError
from edgemed.training.models.blocks import is_head

__all__ = ["start_ds_cnn", "start_mobilenet_v2"]

_WAYS_OUT = "give the file with --pretrained, or train from random weights with --from-scratch"

Arrays = dict[str, list[NDArray[np.float32]]]


def start_mobilenet_v2(model: keras.Model, path: Path, *, alpha: float) -> None:
    """Copy Keras' weights without top, or those of a ``.keras`` file, into every layer of the same name.

    Raises:
        ConfigError: the file is neither, or of another network.
    """
    if path.suffix == ".keras":
        _start_from_saved(model, path)
        return
    original = keras.applications.MobileNetV2(input_shape=(96, 96, 3), alpha=alpha, include_top=False, weights=None)
    try:
        original.load_weights(path)
    except (OSError, ValueError) as err:
        raise ConfigError(
            f"{path.name}: expected Keras weights of MobileNetV2 with alpha {alpha} and no top, got another file; "
            f"{_WAYS_OUT}"
        ) from err
    weights = {layer.name: layer.get_weights() for layer in original.layers if layer.weights}
    weights["Conv1"] = [np.sum(weights["Conv1"][0], axis=2, keepdims=True)]
    _copy(model, weights, path)


def start_ds_cnn(model: keras.Model, path: Path) -> None:
    """Copy the visual wake words weights of MobileNetV1 at width 0.25, or those of a ``.keras`` file.

    Raises:
        ConfigError: the file is neither, or of another network.
    """
    if path.suffix == ".keras":
        _start_from_saved(model, path)
        return
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = [arrays[name] for name in sorted(arrays.files)]
    except (OSError, ValueError, zipfile.BadZipFile) as err:
        raise ConfigError(
            f"{path.name}: expected an npz of MobileNetV1 of width 0.25, got another file; {_WAYS_OUT}"
        ) from err
    _copy(model, _mobilenet_v1(found, path), path)


def _mobilenet_v1(arrays: list[NDArray[np.float32]], path: Path) -> Arrays:
    """Return the original's arrays by our layers' names.

    In layer order: kernel, bias, gamma, beta, mean, variance for the stem and for both convolutions of 13 blocks, then
    a dense layer. The original sees 0..1 in three channels, ours -1..1 in one: the stem is rescaled. Behind the border
    it saw black where ours sees mid-grey, so that only the outermost features differ.
    """
    names = ["stem", *(f"block_{block}_{part}" for block in range(1, 14) for part in ("depthwise", "pointwise"))]
    if len(arrays) != 6 * len(names) + 2:
        raise ConfigError(
            f"{path.name}: expected {6 * len(names) + 2} arrays of MobileNetV1, got {len(arrays)}; {_WAYS_OUT}"
        )
    weights: Arrays = {}
    for place, name in enumerate(names):
        kernel, bias, gamma, beta, mean, variance = arrays[6 * place : 6 * place + 6]
        if name == "stem":
            kernel = np.sum(kernel, axis=2, keepdims=True) * (128 / 255)
            bias = bias + kernel.sum(axis=(0, 1, 2))
        weights[name] = [kernel]
        weights[f"{name}_BN"] = [gamma, beta, mean - bias, variance]
    return weights


def _start_from_saved(model: keras.Model, path: Path) -> None:
    """Copy from a model of the same network that was trained before."""
    try:
        found = keras.models.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as err:
        raise ConfigError(f"{path}: expected a saved Keras model to start from, got another file; {_WAYS_OUT}") from err
    _copy(model, {layer.name: layer.get_weights() for layer in found.layers if layer.weights}, path)


def _copy(model: keras.Model, weights: Arrays, path: Path) -> None:
    """Copy every array, or none: a backbone layer without its weights is refused."""
    fitting = {}
    for layer in model.layers:
        if not layer.weights or layer.name == "evidence":
            continue
        wanted = [tuple(weight.shape) for weight in layer.weights]
        got = [array.shape for array in weights.get(layer.name, [])]
        if got == wanted:
            fitting[layer.name] = weights[layer.name]
        elif not is_head(layer.name):
            shown = got or "none"
            raise ConfigError(
                f"{path}: expected weights of {layer.name} with shapes {wanted}, got {shown}; start from a model of "
                "the same family, width and depth, or from random weights with --from-scratch"
            )
    for name, arrays in fitting.items():
        model.get_layer(name).set_weights(arrays)
