"""A ``classify`` model behind its contract: a uint8 plane in; logit, evidence map and embedding out.

Rules: the int8 input is the plane through a 256-entry table; outputs are real numbers in float64; every shape, type
and name is compared with the contract once, here, so that nothing is checked per frame.

    classifier = Classifier(interpreter, height=224, width=224)
    reading = classifier.read(classifier.infer(plane))

Source: README, "Model contract".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed import tensors
from edgemed.errors import BundleError
from edgemed.runtime.interpreter import Interpreter
from edgemed.tensors import Quantization, TensorSpec

__all__ = ["Classifier", "Reading"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """The outputs of one inference as real numbers, in float64 and read-only.

    Attributes:
        logit: abnormal against normal, before calibration.
        evidence: (h, w) in units of the logit; its mean is the logit to one LSB, unless the logit saturates at the
            end of its range. None when the model has no such output.
        embedding: (C,) pooled features; None when the model has no such output.
    """

    logit: float
    evidence: NDArray[np.float64] | None
    embedding: NDArray[np.float64] | None


class Classifier:
    """A loaded model with its input table and scratch tensor; for one thread at a time."""

    def __init__(self, interpreter: Interpreter, *, height: int, width: int) -> None:
        """Compare the model with the contract.

        Raises:
            BundleError: another number, shape or type of inputs, or a named output that is not int8 or not of the
                contract's shape, or no ``logit``, or more than one logit.
        """
        self.interpreter = interpreter
        spec = _only_input(interpreter, (1, height, width, 1))
        self._input_name = spec.name
        self._table = tensors.input_table(_quantization(spec))
        self._tensor = np.empty(spec.shape, np.int8)
        self._plane_of_tensor = self._tensor[0, :, :, 0]
        self._outputs = _outputs(interpreter)

    @property
    def has_evidence(self) -> bool:
        """The model has an evidence map."""
        return "evidence" in self._outputs

    @property
    def embedding_size(self) -> int | None:
        """Length of the embedding, or None when the model has none."""
        spec = self.interpreter.outputs.get("embedding")
        return None if spec is None else spec.shape[1]

    def infer(self, plane: NDArray[np.uint8]) -> Mapping[str, NDArray[np.int8]]:
        """Return the int8 outputs, by name, for one (height, width) plane.

        Raises:
            InferenceError: the back end failed.
        """
        # A copy rather than LUT's dst: OpenCV is free to return another array than the one it was given.
        self._plane_of_tensor[...] = cv2.LUT(plane, self._table)
        return self.interpreter.invoke({self._input_name: self._tensor})

    def read(self, outputs: Mapping[str, NDArray[np.int8]]) -> Reading:
        """Return the outputs of `infer` as real numbers."""
        logit = tensors.dequantize(outputs["logit"], self._outputs["logit"])
        evidence = self._real(outputs, "evidence")
        embedding = self._real(outputs, "embedding")
        return Reading(
            logit=float(logit[0, 0]),
            evidence=None if evidence is None else evidence[0, :, :, 0],
            embedding=None if embedding is None else embedding[0],
        )

    def _real(self, outputs: Mapping[str, NDArray[np.int8]], name: str) -> NDArray[np.float64] | None:
        if name not in self._outputs:
            return None
        values = tensors.dequantize(outputs[name], self._outputs[name])
        values.setflags(write=False)
        return values


def _only_input(interpreter: Interpreter, shape: tuple[int, ...]) -> TensorSpec:
    specs = list(interpreter.inputs.values())
    if len(specs) != 1:
        raise BundleError(f"model: inputs: expected one, got {sorted(interpreter.inputs)}")
    if specs[0].shape != shape or specs[0].dtype != "int8":
        raise BundleError(
            f"model: input {specs[0].name}: expected int8 {shape} as preprocessing.json says, "
            f"got {specs[0].dtype} {specs[0].shape}"
        )
    return specs[0]


def _outputs(interpreter: Interpreter) -> dict[str, Quantization]:
    """Return the quantization of the contract's outputs that the model has."""
    specs = interpreter.outputs
    if "logit" not in specs:
        raise BundleError(f"model: outputs: expected one named logit, got {sorted(specs)}")
    if specs["logit"].shape != (1, 1):
        raise BundleError(
            f"model: output logit: expected shape (1, 1), one logit of abnormal against normal, "
            f"got {specs['logit'].shape}; this release runs no model with several labels"
        )
    ranks = {"logit": 2, "evidence": 4, "embedding": 2}
    found = {name: specs[name] for name in ranks if name in specs}
    for name, spec in found.items():
        single_map = name != "evidence" or spec.shape[-1:] == (1,)
        if len(spec.shape) != ranks[name] or spec.shape[0] != 1 or spec.dtype != "int8" or not single_map:
            raise BundleError(f"model: output {name}: not of the contract's shape, got {spec.dtype} {spec.shape}")
    return {name: _quantization(spec) for name, spec in found.items()}


def _quantization(spec: TensorSpec) -> Quantization:
    if spec.quantization is None:
        raise BundleError(f"model: {spec.name}: expected one scale and zero point, got none; convert to full int8")
    return spec.quantization
