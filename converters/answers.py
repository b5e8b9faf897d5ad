"""What a model answers to a stack of planes, on one back end.

answers = answers.of(backends.load(model), planes)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgemed import targets
from edgemed.errors import ConversionError
from edgemed.runtime import outputs, replay
from edgemed.runtime.interpreter import Interpreter, Kernels, Tensor
from edgemed.runtime.labels import ONE_LOGIT, Labels
from edgemed.tensors import Quantization, TensorSpec

__all__ = ["Answers", "of", "some"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """Outputs of one model for N planes.

    Attributes:
        backend, kernels, architecture: that computed them.
        accelerated: an accelerator did, and not the CPU.
        labels: what the logits stand for.
        tensors: by output name, int8 or float32 as the model gives them, first axis N.
        specs: what each output's numbers mean.
    """

    backend: str
    kernels: Kernels
    architecture: str
    tensors: Mapping[str, Tensor]
    specs: Mapping[str, TensorSpec]
    accelerated: bool = False
    labels: Labels = ONE_LOGIT

    @property
    def integers(self) -> dict[str, NDArray[np.int8]]:
        """The int8 outputs by name, first axis N; a float model has none."""
        return {
            name: values.astype(np.int8, copy=False) for name, values in self.tensors.items() if values.dtype == np.int8
        }

    @property
    def scales(self) -> dict[str, float]:
        """Real units of one LSB of each int8 output."""
        return {name: self.quantization(name).scale for name in self.integers}

    def quantization(self, name: str) -> Quantization:
        """Return scale and zero point of an int8 output."""
        return outputs.quantization(self.specs[name])

    def real(self, name: str) -> NDArray[np.float64]:
        """Return an output in real units, first axis N.

        Raises:
            InferenceError: a float model answered NaN or infinity.
        """
        return outputs.reader(self.specs[name])(self.tensors[name])

    @property
    def logits(self) -> NDArray[np.float64]:
        """The logit of abnormal against normal of each plane, (N,)."""
        return self.labels.abnormality(self.real("logit"))

    @property
    def logit_reach(self) -> float:
        """How far `logits` move when every output logit moves by one LSB, at most, in their unit; 0 of a float model.

        With several labels one moves up and another down: they weigh together 1 on each side.
        """
        return self.scales.get("logit", 0.0) * (1 if self.labels.count == 1 else 2)


def some(found: Answers, chosen: NDArray[np.int64]) -> Answers:
    """Return the answers to some of the planes, by their indices."""
    return replace(found, tensors={name: values[chosen] for name, values in found.tensors.items()})


def of(interpreter: Interpreter, planes: NDArray[np.uint8], *, labels: Labels = ONE_LOGIT) -> Answers:
    """Return every output for planes (N, H, W), N >= 1.

    Args:
        interpreter: the loaded model.
        planes: uint8.
        labels: what its logits stand for.

    Raises:
        ConversionError: an output is neither float32 nor int8 with a scale, or there are not as many logits as
            labels.
        BundleError: the model breaks the model contract.
        InferenceError: the back end failed.
    """
    specs = interpreter.outputs
    if wrong := sorted(name for name, spec in specs.items() if not _is_readable(spec)):
        raise ConversionError(
            f"model: outputs {', '.join(wrong)}: expected float32, or int8 with a scale, got another type"
        )
    if "logit" in specs and (count := specs["logit"].shape[-1]) != labels.count:
        raise ConversionError(
            f"model: output logit: expected {labels.count}, one for each label, got {count}; give the recipe that the "
            "model was trained by"
        )
    return Answers(
        backend=interpreter.backend,
        kernels=interpreter.kernels,
        architecture=targets.architecture(),
        tensors=replay.outputs_of(interpreter, planes),
        specs=specs,
        accelerated=interpreter.accelerated,
        labels=labels,
    )


def _is_readable(spec: TensorSpec) -> bool:
    return spec.dtype == "float32" or (spec.dtype == "int8" and spec.quantization is not None)
