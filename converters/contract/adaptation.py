"""Any trained Keras 3 model becomes a model of the contract: one plane of grey levels in, a logit by name out.

The answer stays the same; every change is a note. The result is a flat graph of float32 layers of its own, and is held
against the original before it is handed over.

    adapted = contract.adapted(model, input_range=(-1, 1))
    print(adapted.outputs, *adapted.notes)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from converters import tflite_converter
from converters.contract import admission, flat, head, input_scale, plane_input
from converters.contract.head import Ending
from edgemed.errors import ConversionError
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.runtime.labels import ONE_LOGIT, Labels

__all__ = ["Adapted", "adapted"]

_EXPLAINING = ("evidence", "embedding")


@dataclass(frozen=True, kw_only=True, eq=False)
class Adapted:
    """A model of the contract.

    Attributes:
        model: functional and flat, float32; input ``plane`` (batch, H, W, 1) of grey levels 0..255; outputs by name:
            ``logit`` (batch, K), ``evidence`` (batch, h, w, K) and ``embedding`` (batch, C) where it has them.
        notes: what was changed and what is absent, a line each; empty where the model was of the contract as it is.
    """

    model: keras.Model
    notes: tuple[str, ...]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs the model has, sorted; what the manifest lists."""
        return tuple(sorted(self.model.output))


def adapted(
    model: keras.Model,
    *,
    input_range: tuple[float, float] | None = None,
    validation: LabelledPlanes | None = None,
    labels: Labels = ONE_LOGIT,
) -> Adapted:
    """Return a trained model as one of the contract, its answers unchanged.

    Args:
        model: functional or Sequential, float; it is not changed.
        input_range: (low, high) that grey levels 0..255 stood for in training, where the graph does not rescale them;
            (0, 255) states that it does, or needs none. None: taken for (0, 255), and held against ``validation``.
        validation: tells whether the model screens grey levels 0..255 far worse than rescaled ones.
        labels: what its answers stand for; more than one normal and abnormal have a logit each, in order.

    Raises:
        ValueError: the range is empty or not finite.
        ConversionError: the model cannot be read as a graph of known layers, has no logit of abnormal against normal,
            resizes its input, or seems to want another range than it is given.
    """
    if input_range is not None and not (np.isfinite(input_range).all() and input_range[0] < input_range[1]):
        raise ValueError(f"input_range: expected two finite numbers, the lower first, got {input_range}")
    admission.require(model)
    try:
        made, ending = _made(model, input_range, labels.count)
        _require_same(model, made.model, ending, input_range)
    except ValueError as err:
        raise ConversionError(
            f"{model.name}: cannot be rebuilt as a flat graph: {tflite_converter.first_line(err)}; write it with "
            "layers that take a batch of any size"
        ) from err
    if input_range is None and validation is not None:
        input_scale.require_grey_levels(made.model, validation, labels=labels)
    return made


def _made(model: keras.Model, input_range: tuple[float, float] | None, count: int) -> tuple[Adapted, Ending]:
    opened = flat.of(model)
    admission.require_no_resizing(opened)
    fed = plane_input.fed(opened, input_range=input_range)
    _require_open_batch(model, fed.outputs)
    named = _named(model, fed.outputs)
    found = head.logit(named.pop("logit"), count=count)
    kept = {name: named.pop(name) for name in _EXPLAINING if name in named}
    explained = head.explained(found.tensor)
    outputs = {
        "logit": found.tensor if "evidence" in kept else explained.logit,
        "evidence": explained.evidence,
        "embedding": explained.embedding,
        **kept,
    }
    notes = (
        *_of_opening(model, opened),
        *fed.notes,
        *found.notes,
        *(f"the output {name!r} is left out" for name in sorted(named)),
        *_of_explaining(outputs, kept),
    )
    present = {name: tensor for name, tensor in outputs.items() if tensor is not None}
    # Copied once more: its layers were called in the graph before as well, and `layer.output` would give that call's.
    return Adapted(model=flat.of(keras.Model(fed.plane, present, name=model.name)), notes=notes), found.ending


def _named(model: keras.Model, returned: Any) -> dict[str, Any]:
    """Return a model's outputs by name; the only one is the logit, whatever its name.

    Args:
        model: the original, which names them.
        returned: tensors in the structure that it returns.
    """
    if isinstance(returned, Mapping):
        named = dict(returned)
    else:
        tensors = keras.tree.flatten(returned)
        named = dict(zip(model.output_names, tensors, strict=True)) if len(tensors) > 1 else {"logit": tensors[0]}
    if len(named) == 1:
        return {"logit": next(iter(named.values()))}
    if "logit" not in named:
        raise ConversionError(
            f"{model.name}: expected one output, or one named logit, got {', '.join(sorted(named))}; return them as a "
            "dictionary, keras.Model(inputs, {'logit': ...})"
        )
    return named


def _require_open_batch(model: keras.Model, returned: Any) -> None:
    sizes = {tensor.shape[0] for tensor in keras.tree.flatten(returned)} - {None}
    if sizes:
        raise ConversionError(
            f"{model.name}: cannot be rebuilt for a batch of one: a layer holds the batch of {min(sizes)} that the "
            "model was built for; leave the size of the batch out of its layers, as in ops.reshape(x, (-1, 144))"
        )


def _of_opening(model: keras.Model, opened: keras.Model) -> list[str]:
    """Return notes on how the graph was read."""
    left_out = [op.name for op in admission.operations(model) if flat.is_training_only(op)]
    inside = [layer.name for layer in model.layers if admission.is_graph(layer)]
    mixed = sorted({layer.dtype_policy.name for layer in model.layers} - {"float32"})
    notes = []
    if (batch := model.inputs[0].shape[0]) not in (None, 1):
        notes.append(f"the batch of {batch} that the model was built for is left open")
    if inside:
        notes.append(f"models inside the model are opened: {_listed(inside)}")
    if left_out:
        notes.append(f"layers that act in training only are left out: {_listed(left_out)}")
    if mixed:
        notes.append(f"layers compute in float32, not {_listed(mixed)}")
    return notes


def _of_explaining(outputs: Mapping[str, Any], kept: Mapping[str, Any]) -> list[str]:
    """Return notes on evidence and embedding: made, or absent and what that means."""
    notes = []
    for name, lost in (("evidence", "heatmap"), ("embedding", "out-of-distribution gate")):
        if outputs[name] is None:
            notes.append(f"the model has no {name}, and none can be derived from its graph: there is no {lost}")
        elif name not in kept:
            notes.append(f"the output {name!r} is derived from the graph")
    return notes


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _require_same(
    model: keras.Model, made: keras.Model, ending: Ending, input_range: tuple[float, float] | None
) -> None:
    """Hold the result against the original, on planes of noise and of a gradient.

    Raises:
        ConversionError: the answers differ, or are no numbers, or an evidence map does not explain the logit.
    """
    planes = _planes(model)
    low, high = input_range or (0, 255)
    images = np.repeat(planes * np.float32((high - low) / 255) + np.float32(low), model.inputs[0].shape[3], axis=3)
    expected = np.asarray(_named(model, model(images, training=False))["logit"], np.float64).reshape(len(planes), -1)
    outputs = {name: np.asarray(value, np.float64) for name, value in made(planes, training=False).items()}
    logit = outputs["logit"]
    found = _ended(logit, ending)
    if not np.isfinite(logit).all():
        raise ConversionError(
            f"{model.name}: expected finite answers, got {logit.ravel()} for planes of noise and of a gradient; train "
            "it again"
        )
    if _apart(found, expected[:, -found.shape[1] :]) > _tolerance(model):
        raise ConversionError(
            f"{model.name}: the adapted model answers {found.ravel()}, the original "
            f"{expected[:, -found.shape[1] :].ravel()}; it cannot be "
            "adapted without changing it: give it the outputs of the contract by hand"
        )
    if "evidence" in outputs and _apart(outputs["evidence"].mean(axis=(1, 2)), logit) > _tolerance(model):
        raise ConversionError(
            f"{model.name}: output evidence: expected a map whose spatial mean is the logit, got one with another "
            "mean; leave it out, or make the logit its mean"
        )


def _ended(logits: NDArray[np.float64], ending: Ending) -> NDArray[np.float64]:
    """Return what the original would answer where its logits are these, (n, K); of a softmax of two its second unit."""
    if ending is Ending.LOGIT:
        return logits
    if logits.shape[1] == 1:
        return np.asarray(np.exp(-np.logaddexp(0.0, -logits)))
    return np.asarray(np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)))


def _tolerance(model: keras.Model) -> float:
    """Return what float32 may differ by, as a share of the value, at least of 1; half precision far more."""
    return 1e-4 if all(layer.dtype_policy.name == "float32" for layer in model.layers) else 0.05


def _apart(found: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    return float(np.max(np.abs(found - expected) / np.maximum(1.0, np.abs(expected))))


def _planes(model: keras.Model) -> NDArray[np.float32]:
    """Return as many seeded planes as the model's fixed batch, or 2."""
    batch, height, width, _ = model.inputs[0].shape
    rng = np.random.default_rng(0)
    planes = rng.integers(0, 256, (batch or 2, height, width, 1)).astype(np.float32)
    planes[-1] = np.linspace(0, 255, width).round()[np.newaxis, :, np.newaxis]
    return planes
