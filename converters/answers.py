"""What an int8 model answers to a stack of planes, on one back end.

answers = answers.of(backends.load(model), planes)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemed import targets, tensors
from edgemed.errors import ConversionError
from edgemed.runtime import replay
from edgemed.runtime.interpreter import Interpreter, Kernels

__all__ = ["Answers", "of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """Outputs of one model for N planes.

    Attributes:
        backend, kernels, architecture: that computed them.
        integers: by output name, int8, first axis N.
        scales: by output name, real units of one LSB.
        zero_points: by output name.
    """

    backend: str
    kernels: Kernels
    architecture: str
    integers: dict[str, NDArray[np.int8]]
    scales: dict[str, float]
    zero_points: dict[str, int]

    def real(self, name: str) -> NDArray[np.float64]:
        """Return an output in real units, first axis N."""
        q = tensors.Quantization(scale=self.scales[name], zero_point=self.zero_points[name])
        return tensors.dequantize(self.integers[name], q)

    @property
    def logits(self) -> NDArray[np.float64]:
        """The logit of each plane, (N,)."""
        return self.real("logit")[:, 0]


def of(interpreter: Interpreter, planes: NDArray[np.uint8]) -> Answers:
    """Return every output for planes (N, H, W), N >= 1.

    Raises:
        ConversionError: an output is no int8 tensor with a scale.
        BundleError: the model breaks the model contract.
        InferenceError: the back end failed.
    """
    quantizations = {name: spec.quantization for name, spec in interpreter.outputs.items()}
    if missing := sorted(name for name, q in quantizations.items() if q is None):
        raise ConversionError(f"model: outputs {', '.join(missing)}: expected int8 with a scale, got another type")
    return Answers(
        backend=interpreter.backend,
        kernels=interpreter.kernels,
        architecture=targets.architecture(),
        integers=replay.outputs_of(interpreter, planes),
        scales={name: q.scale for name, q in quantizations.items() if q is not None},
        zero_points={name: q.zero_point for name, q in quantizations.items() if q is not None},
    )
