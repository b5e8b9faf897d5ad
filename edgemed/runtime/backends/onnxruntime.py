"""ONNX Runtime: TensorRT on a Jetson where its provider is installed, the CPU everywhere else.

A QDQ model that edgemed wrote names the int8 scales of its ends in its metadata; it takes and gives the integers of
the TFLite model it was written from. Any other model takes and gives float32 in real units.

Rules: the graph is read by ONNX Runtime alone, a unit needs no onnx. No engine is kept on disk: TensorRT builds it at
every load, minutes on a Jetson, because what lies on a disk is not what was signed. On x86-64 without VNNI, ONNX
Runtime's int8 products saturate at 16 bits unless told not to (seen: one convolution 71 LSB off): it is told.

    interpreter = backends.load(bundle.members["model/qdq.onnx"], backend="onnxruntime")

Source: onnxruntime, onnxruntime_session_options_config_keys.h; documentation of the TensorRT execution provider.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgemed import native_output, tensors
from edgemed.errors import InferenceError, MissingDependencyError
from edgemed.runtime.interpreter import Interpreter, Kernels, Tensor
from edgemed.tensors import Quantization, TensorSpec

if TYPE_CHECKING:
    from edgemed.runtime.backends.onnx_ends import End, Ends

__all__ = ["QUANTIZATION_KEY", "REQUIRES", "TENSORRT", "OnnxInterpreter", "is_available", "load", "providers"]

REQUIRES = "the package onnxruntime (pip install 'edgemed[jetson]'; on a Jetson NVIDIA's onnxruntime-gpu)"
QUANTIZATION_KEY = "edgemed.quantization"
"""Key of the model's metadata that holds the scales of its ends, as a JSON document."""

TENSORRT = "TensorrtExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
_LOGGER = logging.getLogger(__name__)


def is_available() -> bool:
    """Return whether onnxruntime is installed, without importing it."""
    return importlib.util.find_spec("onnxruntime") is not None


def providers() -> tuple[str, ...]:
    """Return the execution providers that the installed onnxruntime has and edgemed asks for, preferred first.

    Raises:
        MissingDependencyError: onnxruntime is absent or does not load here.
    """
    installed = _library().get_available_providers()
    return tuple(name for name in (TENSORRT, _CUDA, _CPU) if name in installed)


def load(model: bytes, *, threads: int = 1, kernels: Kernels = Kernels.XNNPACK) -> Interpreter:
    """Return the model, ready to run.

    Args:
        model: bytes of an ONNX file, static shapes, float32 inputs and outputs.
        threads: for the operators on the CPU.
        kernels: reference keeps the graph as it is written, Q/DQ pairs included, on the CPU.

    Raises:
        MissingDependencyError: onnxruntime is absent or does not load here.
        InferenceError: the bytes are not a model that onnxruntime can run, or not of this kind.
    """
    library = _library()
    with native_output.to_log(_LOGGER):
        return OnnxInterpreter(library, model, threads=threads, kernels=kernels)


class OnnxInterpreter:
    """An `edgemed.runtime.interpreter.Interpreter` over an inference session.

    Attributes:
        providers: execution providers that run the graph, preferred first.
    """

    backend = "onnxruntime"

    def __init__(self, library: Any, model: bytes, *, threads: int, kernels: Kernels) -> None:
        self.threads = threads
        self.kernels = kernels
        self._failures = _failures(library)
        asked = [(_CPU, {})] if kernels is Kernels.REFERENCE else _asked(model, providers())
        try:
            self._session = library.InferenceSession(model, _options(library, threads, kernels), providers=asked)
        except self._failures as err:
            raise InferenceError(f"onnxruntime: expected an ONNX model it can run: {_first_line(err)}") from err
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())
        ends = _ends(self._session.get_modelmeta().custom_metadata_map)
        self.inputs: Mapping[str, TensorSpec] = _specs(
            self._session.get_inputs(), None if ends is None else ends.inputs
        )
        self.outputs: Mapping[str, TensorSpec] = _specs(
            self._session.get_outputs(), None if ends is None else ends.outputs
        )
        self._tables = {name: _table(spec) for name, spec in self.inputs.items()}

    @property
    def accelerated(self) -> bool:
        """TensorRT has taken the graph, as far as onnxruntime tells: single operators may still run on the CPU."""
        return TENSORRT in self.providers

    def invoke(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run once and return the outputs, by name.

        Raises:
            InferenceError: a tensor does not match its specification, an int8 output is NaN or infinite, or the
                library failed.
        """
        if inputs.keys() != self.inputs.keys():
            raise InferenceError(f"inputs: expected {sorted(self.inputs)}, got {sorted(inputs)}")
        feed = {name: self._fed(spec, inputs[name]) for name, spec in self.inputs.items()}
        names = list(self.outputs)
        try:
            answered = self._session.run(names, feed)
        except self._failures as err:
            raise InferenceError(f"onnxruntime: inference failed: {_first_line(err)}") from err
        return {name: _integers(self.outputs[name], values) for name, values in zip(names, answered, strict=True)}

    def _fed(self, spec: TensorSpec, values: Tensor) -> NDArray[np.float32]:
        if values.shape != spec.shape or values.dtype.name != spec.dtype:
            raise InferenceError(
                f"onnxruntime: inference failed: Cannot set tensor {spec.name}: expected {spec.dtype} {spec.shape}, "
                f"got {values.dtype} {values.shape}"
            )
        table = self._tables[spec.name]
        real: NDArray[np.float32] = values.astype(np.float32) if table is None else table[values.view(np.uint8)]
        return real


def _library() -> Any:
    try:
        import onnxruntime
    except ImportError as err:
        raise MissingDependencyError(f"onnxruntime: cannot be loaded: {err}; it needs {REQUIRES}") from err
    return onnxruntime


def _failures(library: Any) -> tuple[type[Exception], ...]:
    """Return what the library raises; its own errors have no common class."""
    own = vars(library.capi.onnxruntime_pybind11_state).values()
    mine = (kind for kind in own if isinstance(kind, type) and issubclass(kind, Exception))
    return (*mine, RuntimeError, ValueError)


def _options(library: Any, threads: int, kernels: Kernels) -> Any:
    options = library.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors, which are raised as well
    # Neither ONNX Runtime's own format nor products that saturate: see the module's rules.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("session.x64quantprecision", "1")
    if kernels is Kernels.REFERENCE:
        options.graph_optimization_level = library.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def _asked(model: bytes, available: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """Return the providers to ask for with their options; TensorRT takes int8 or float16 only when it is allowed to."""
    allowed = {"trt_int8_enable": b"QuantizeLinear" in model, "trt_fp16_enable": b"QuantizeLinear" not in model}
    return [(name, allowed if name == TENSORRT else {}) for name in available]


def _ends(metadata: Mapping[str, str]) -> Ends | None:
    # Here: a peer that measures tolerances asks every back end whether it is there, and has no msgspec.
    from edgemed.runtime.backends import onnx_ends

    text = metadata.get(QUANTIZATION_KEY)
    return None if text is None else onnx_ends.parse(text)


def _specs(arguments: Sequence[Any], ends: Mapping[str, End] | None) -> Mapping[str, TensorSpec]:
    if ends is not None and ends.keys() != {argument.name for argument in arguments}:
        raise InferenceError(
            f"model: metadata {QUANTIZATION_KEY}: expected the names "
            f"{sorted(argument.name for argument in arguments)}, got {sorted(ends)}"
        )
    return MappingProxyType(
        {argument.name: _spec(argument, None if ends is None else ends[argument.name]) for argument in arguments}
    )


def _spec(argument: Any, end: End | None) -> TensorSpec:
    if argument.type != "tensor(float)" or not all(isinstance(side, int) for side in argument.shape):
        raise InferenceError(
            f"model: {argument.name}: expected tensor(float) of a static shape, got {argument.type} {argument.shape}"
        )
    quantization = None
    if end is not None:
        try:
            quantization = Quantization(scale=end.scale, zero_point=end.zero_point)
        except ValueError as err:
            raise InferenceError(f"model: metadata {QUANTIZATION_KEY}: {argument.name}: {err}") from err
    dtype = "float32" if quantization is None else "int8"
    return TensorSpec(name=argument.name, shape=tuple(argument.shape), dtype=dtype, quantization=quantization)


def _table(spec: TensorSpec) -> NDArray[np.float32] | None:
    """Return the real value of each byte of an int8 input, (256,); None for a float input."""
    if spec.quantization is None:
        return None
    integers = np.arange(256, dtype=np.uint8).view(np.int8)
    return tensors.dequantize(integers, spec.quantization).astype(np.float32)


def _integers(spec: TensorSpec, values: NDArray[np.float32]) -> Tensor:
    """Return an output as its spec says; the model's last quantizer makes the integers whole to rounding."""
    if spec.quantization is None:
        return values
    try:
        return tensors.quantize(values, spec.quantization)
    except ValueError as err:
        raise InferenceError(f"onnxruntime: inference failed: output {spec.name}: {err}") from err


def _first_line(err: Exception) -> str:
    return next(iter(str(err).strip().splitlines()), type(err).__name__)[:300]
