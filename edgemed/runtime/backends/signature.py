"""A model's signature over the Python interface that LiteRT and tflite-runtime share.

Tensor indices are looked up once: the libraries' own signature runner resizes and allocates again at every call.

    interpreter = signature.open_model(library, model, backend="litert", threads=1, kernels=Kernels.XNNPACK)
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from edgemed import native_output
from edgemed.errors import InferenceError
from edgemed.runtime.backends import edgetpu
from edgemed.runtime.interpreter import Delegate, Kernels, Tensor
from edgemed.tensors import Quantization, TensorSpec

__all__ = ["SignatureInterpreter", "open_model"]

_LOGGER = logging.getLogger(__name__)
_DEFAULT_SIGNATURE = "serving_default"
_EXPORT_DECORATION = re.compile(r"^(?:serving_default_)?(.*?)(?::\d+)?\Z")


class SignatureInterpreter:
    """An `edgemed.runtime.interpreter.Interpreter` over a library's own interpreter."""

    def __init__(self, native: Any, *, backend: str, threads: int, kernels: Kernels, accelerated: bool = False) -> None:
        self.backend = backend
        self.threads = threads
        self.kernels = kernels
        self.accelerated = accelerated
        self._native = native
        inputs, outputs = _details(native)
        self.inputs: Mapping[str, TensorSpec] = _specs(inputs)
        self.outputs: Mapping[str, TensorSpec] = _specs(outputs)
        self._input_index = {name: int(detail["index"]) for name, detail in inputs.items()}
        self._output_index = {name: int(detail["index"]) for name, detail in outputs.items()}

    def invoke(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run once and return copies of the outputs, by signature name.

        Raises:
            InferenceError: a tensor does not match its specification, or the library failed.
        """
        if inputs.keys() != self._input_index.keys():
            raise InferenceError(f"inputs: expected {sorted(self._input_index)}, got {sorted(inputs)}")
        try:
            for name, index in self._input_index.items():
                # The library compares type and shape and raises ValueError where they differ.
                self._native.set_tensor(index, inputs[name])
        except ValueError as err:
            raise InferenceError(f"{self.backend}: inference failed: {err}") from err
        return self.run()

    def memory(self, name: str) -> Tensor:
        """Return an input's own memory; the library refuses to run while somebody holds it."""
        view: Tensor = self._native.tensor(self._input_index[name])()
        return view

    def run(self) -> dict[str, Tensor]:
        """Run once on what the inputs' memory holds, and return copies of the outputs, by signature name.

        Raises:
            InferenceError: the library failed.
        """
        native = self._native
        try:
            native.invoke()
            return {name: native.get_tensor(index) for name, index in self._output_index.items()}
        except (RuntimeError, ValueError) as err:
            raise InferenceError(f"{self.backend}: inference failed: {err}") from err


def open_model(
    library: Any, model: bytes, *, backend: str, threads: int, kernels: Kernels, delegate: Delegate | None = None
) -> SignatureInterpreter:
    """Return a model with its tensors allocated.

    Args:
        library: the module that has ``Interpreter``, ``OpResolverType`` and ``load_delegate``.
        model: bytes of a TFLite file.
        backend: name for messages and results.
        threads: at least 1.
        kernels: reference leaves the default delegates out.
        delegate: for an accelerator; XNNPACK is of the CPU, as the reference kernels are.

    Raises:
        InferenceError: not a TFLite model, an operator the library lacks, more than one signature to choose from, or
            the delegate does not load.
    """
    resolver = library.OpResolverType
    wanted = resolver.AUTO if kernels is Kernels.XNNPACK else resolver.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        with native_output.to_log(_LOGGER):  # "INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
            native = library.Interpreter(
                model_content=model,
                num_threads=threads,
                experimental_op_resolver_type=wanted,
                experimental_delegates=[] if delegate is None else [edgetpu.load(library, delegate)],
            )
            native.allocate_tensors()
        accelerated = delegate is not None
        return SignatureInterpreter(native, backend=backend, threads=threads, kernels=kernels, accelerated=accelerated)
    except (RuntimeError, ValueError) as err:
        raise InferenceError(f"{backend}: expected a TFLite model it can run: {err}") from err


def _details(native: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the library's description of the inputs and outputs, by signature name."""
    keys = sorted(native.get_signature_list())
    if not keys:
        return _by_tensor_name(native.get_input_details()), _by_tensor_name(native.get_output_details())
    if len(keys) > 1 and _DEFAULT_SIGNATURE not in keys:
        raise InferenceError(f"signatures: expected one, or one named {_DEFAULT_SIGNATURE!r}, got {keys}")
    # The runner holds the library's interpreter and blocks it while it lives: it must not outlive this function.
    runner = native.get_signature_runner(_DEFAULT_SIGNATURE if _DEFAULT_SIGNATURE in keys else keys[0])
    return dict(runner.get_input_details()), dict(runner.get_output_details())


def _by_tensor_name(details: list[dict[str, Any]]) -> dict[str, Any]:
    """Name the tensors of a model without a signature: ``serving_default_image:0`` becomes ``image``."""
    named = {_EXPORT_DECORATION.sub(r"\1", str(detail["name"])): detail for detail in details}
    if len(named) != len(details):
        raise InferenceError("model: has no signature and its tensor names repeat; convert it again with a signature")
    return named


def _specs(details: dict[str, Any]) -> Mapping[str, TensorSpec]:
    return MappingProxyType({name: _spec(name, detail) for name, detail in details.items()})


def _spec(name: str, detail: dict[str, Any]) -> TensorSpec:
    parameters = detail["quantization_parameters"]
    quantization = None
    if len(parameters["scales"]) == 1:
        quantization = Quantization(scale=float(parameters["scales"][0]), zero_point=int(parameters["zero_points"][0]))
    return TensorSpec(
        name=name,
        shape=tuple(int(side) for side in detail["shape"]),
        dtype=np.dtype(detail["dtype"]).name,
        quantization=quantization,
    )
