"""A ``classify`` model behind its contract: a uint8 plane in; logits, evidence maps and embedding out.

What the logits stand for, `edgemed.runtime.labels` knows. Rules: the input is the plane through a 256-entry table, of
int8 or of float32 as the model has it; outputs are real numbers in float64; every shape, type and name is compared with
the contract once, here, so that nothing of them is checked per frame.

    classifier = Classifier(interpreter, height=224, width=224)
    reading = classifier.read(classifier.infer(plane))

Source: README, "Model contract".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed import tensors
from edgemed.errors import BundleError
from edgemed.runtime.interpreter import Interpreter, OwnMemory, Tensor
from edgemed.runtime.outputs import quantization, reader
from edgemed.tensors import TensorSpec

__all__ = ["Classifier", "Reading"]

_INT8, _FLOAT32 = "int8", "float32"


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """The outputs of one inference as real numbers, in float64 and read-only.

    Attributes:
        logits: (K,), before calibration: one of abnormal against normal, or one for each label.
        evidence: (h, w, K) in units of the logits; the mean of each map is its logit to one LSB, unless the logit
            saturates at the end of its range. None when the model has no such output.
        embedding: (C,) pooled features; None when the model has no such output.
    """

    logits: NDArray[np.float64]
    evidence: NDArray[np.float64] | None
    embedding: NDArray[np.float64] | None


class Classifier:
    """A loaded model with its input table; for one thread at a time."""

    def __init__(
        self, interpreter: Interpreter, *, height: int, width: int, ends: Collection[str] = (_INT8, _FLOAT32)
    ) -> None:
        """Compare the model with the contract.

        Args:
            interpreter: the loaded model.
            height: of the plane.
            width: of the plane.
            ends: types that its inputs and outputs may have, among ``int8`` and ``float32``.

        Raises:
            BundleError: another number, shape or type of inputs, or a named output that is of another type or not of
                the contract's shape, or no ``logit``, or another number of evidence maps than of logits.
        """
        self.interpreter = interpreter
        spec = _only_input(interpreter, (1, height, width, 1), ends)
        self._input_name = spec.name
        self._table: Tensor = (
            tensors.real_table() if spec.dtype == _FLOAT32 else tensors.input_table(quantization(spec))
        )
        self._own_memory = interpreter if isinstance(interpreter, OwnMemory) else None
        self._tensor: Tensor = np.empty(spec.shape, self._table.dtype)
        self._readers = {name: reader(output) for name, output in _outputs(interpreter, ends).items()}

    @property
    def count(self) -> int:
        """Logits of the model: 1, or as many as it has labels."""
        return self.interpreter.outputs["logit"].shape[1]

    @property
    def has_evidence(self) -> bool:
        """The model has an evidence map."""
        return "evidence" in self._readers

    @property
    def embedding_size(self) -> int | None:
        """Length of the embedding, or None when the model has none."""
        spec = self.interpreter.outputs.get("embedding")
        return None if spec is None else spec.shape[1]

    def infer(self, plane: NDArray[np.uint8]) -> Mapping[str, Tensor]:
        """Return the outputs as the model gives them, by name, for one (height, width) plane.

        Raises:
            InferenceError: the back end failed.
        """
        if self._own_memory is None:
            self._fill(self._tensor, plane)
            return self.interpreter.invoke({self._input_name: self._tensor})
        # Not kept in a variable: the library does not run while its memory is in somebody's hands.
        self._fill(self._own_memory.memory(self._input_name), plane)
        return self._own_memory.run()

    def _fill(self, tensor: Tensor, plane: NDArray[np.uint8]) -> None:
        """Write the plane through the table into a (1, height, width, 1) tensor."""
        target = tensor[0, :, :, 0]
        written = cv2.LUT(plane, self._table, dst=target)
        if written is not target:  # OpenCV is free to return another array than the one it was given
            target[...] = written

    def read(self, outputs: Mapping[str, Tensor]) -> Reading:
        """Return the outputs of `infer` as real numbers.

        Raises:
            InferenceError: an output of a float model is NaN or infinite.
        """
        return Reading(
            logits=self._real(outputs, "logit"),
            evidence=self._real(outputs, "evidence") if self.has_evidence else None,
            embedding=self._real(outputs, "embedding") if "embedding" in self._readers else None,
        )

    def _real(self, outputs: Mapping[str, Tensor], name: str) -> NDArray[np.float64]:
        """Return an output of the only image of the batch."""
        values: NDArray[np.float64] = self._readers[name](outputs[name])[0]
        values.setflags(write=False)
        return values


def _only_input(interpreter: Interpreter, shape: tuple[int, ...], ends: Collection[str]) -> TensorSpec:
    specs = list(interpreter.inputs.values())
    if len(specs) != 1:
        raise BundleError(f"model: inputs: expected one, got {sorted(interpreter.inputs)}")
    if specs[0].shape != shape or specs[0].dtype not in ends:
        raise BundleError(
            f"model: input {specs[0].name}: expected {' or '.join(ends)} {shape} as preprocessing.json says, "
            f"got {specs[0].dtype} {specs[0].shape}"
        )
    return specs[0]


def _outputs(interpreter: Interpreter, ends: Collection[str]) -> dict[str, TensorSpec]:
    """Return the contract's outputs that the model has."""
    specs = interpreter.outputs
    if "logit" not in specs:
        raise BundleError(f"model: outputs: expected one named logit, got {sorted(specs)}")
    ranks = {"logit": 2, "evidence": 4, "embedding": 2}
    found = {name: specs[name] for name in ranks if name in specs}
    for name, spec in found.items():
        if len(spec.shape) != ranks[name] or spec.shape[0] != 1 or spec.dtype not in ends:
            raise BundleError(f"model: output {name}: not of the contract's shape, got {spec.dtype} {spec.shape}")
    _require_a_map_for_each_logit(found)
    return found


def _require_a_map_for_each_logit(found: Mapping[str, TensorSpec]) -> None:
    logits = found["logit"].shape[1]
    if "evidence" in found and found["evidence"].shape[-1] != logits:
        raise BundleError(
            f"model: output evidence: expected {logits} maps, one for each logit, got shape {found['evidence'].shape}"
        )
