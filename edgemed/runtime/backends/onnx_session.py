"""An ONNX model over ONNX Runtime's inference session, in the integers that were validated.

A QDQ model that edgemed wrote names the int8 scales of its ends in its metadata; it takes and gives the integers of
the TFLite model it was written from. Any other model takes and gives float32 in real units.

Rules: the graph is read by ONNX Runtime alone, a unit needs no onnx. No engine is kept on disk: TensorRT builds it at
every load, minutes on a Jetson, because what lies on a disk is not what was signed. On x86-64 without VNNI, ONNX
Runtime's int8 products saturate at 16 bits unless told not to (seen: one convolution 71 LSB off): it is told.

    interpreter = onnx_session.open_model(library, model, providers=providers, threads=1, kernels=Kernels.XNNPACK)

Source: onnxruntime, onnxruntime_session_options_config_keys.h; documentation of the TensorRT execution provider.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemed import native_output, schema, tensors
from edgemed.errors import InferenceError
from edgemed.runtime.interpreter import Kernels, Tensor
from edgemed.tensors import Quantization, TensorSpec

__all__ = ["QUANTIZATION_KEY", "OnnxInterpreter", "open_model"]

QUANTIZATION_KEY = "edgemed.quantization"
"""Key of the model's metadata that holds the scales of its ends, as a JSON document."""

_TENSORRT, _CPU = "TensorrtExecutionProvider", "CPUExecutionProvider"
_LOGGER = logging.getLogger(__name__)


class _End(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Scale and zero point of one input or output."""

    scale: float
    zero_point: int


class _Ends(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document under `QUANTIZATION_KEY`, by the names of the tensors."""

    inputs: dict[str, _End]
    outputs: dict[str, _End]


class OnnxInterpreter:
    """An `edgemed.runtime.interpreter.Interpreter` over an inference session.

    Attributes:
        providers: execution providers that run the graph, preferred first.
    """

    backend = "onnxruntime"

    def __init__(self, session: Any, *, failures: tuple[type[Exception], ...], threads: int, kernels: Kernels) -> None:
        self.threads = threads
        self.kernels = kernels
        self._session = session
        self._failures = failures
        self.providers: tuple[str, ...] = tuple(session.get_providers())
        ends = _ends(session.get_modelmeta().custom_metadata_map)
        inputs, outputs = (None, None) if ends is None else (ends.inputs, ends.outputs)
        self.inputs: Mapping[str, TensorSpec] = _specs(session.get_inputs(), inputs)
        self.outputs: Mapping[str, TensorSpec] = _specs(session.get_outputs(), outputs)
        self._tables = {name: _table(spec) for name, spec in self.inputs.items()}

    @property
    def accelerated(self) -> bool:
        """TensorRT has taken the graph, as far as onnxruntime tells: single operators may still run on the CPU."""
        return _TENSORRT in self.providers

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


def open_model(
    library: Any, model: bytes, *, providers: Sequence[str], threads: int, kernels: Kernels
) -> OnnxInterpreter:
    """Return a model whose session is made.

    Args:
        library: the module onnxruntime.
        model: bytes of an ONNX file.
        providers: execution providers to ask for, preferred first.
        threads: at least 1, for the operators on the CPU.
        kernels: reference takes the CPU alone and leaves the graph as it is written.

    Raises:
        InferenceError: not an ONNX model, an operator the library lacks, or ends that are not float32 and static.
    """
    failures = _failures(library)
    asked = [(_CPU, {})] if kernels is Kernels.REFERENCE else _asked(model, providers)
    # Where a provider fails, the library says so on stdout, which is the caller's, and takes the next one.
    said = io.StringIO()
    try:
        with native_output.to_log(_LOGGER), contextlib.redirect_stdout(said):
            session = library.InferenceSession(model, _options(library, threads, kernels), providers=asked)
    except failures as err:
        raise InferenceError(f"onnxruntime: expected an ONNX model it can run: {_first_line(err)}") from err
    if said.getvalue():
        _LOGGER.warning("onnxruntime: %s", said.getvalue().strip())
    return OnnxInterpreter(session, failures=failures, threads=threads, kernels=kernels)


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
    return [(name, allowed if name == _TENSORRT else {}) for name in available]


def _ends(metadata: Mapping[str, str]) -> _Ends | None:
    raw = metadata.get(QUANTIZATION_KEY)
    if raw is None:
        return None
    source = f"model: metadata {QUANTIZATION_KEY}"
    return schema.decode_json(raw.encode(), _Ends, source=source, error=InferenceError)


def _specs(arguments: Sequence[Any], ends: Mapping[str, _End] | None) -> Mapping[str, TensorSpec]:
    if ends is not None and ends.keys() != {argument.name for argument in arguments}:
        raise InferenceError(
            f"model: metadata {QUANTIZATION_KEY}: expected the names "
            f"{sorted(argument.name for argument in arguments)}, got {sorted(ends)}"
        )
    return MappingProxyType(
        {argument.name: _spec(argument, None if ends is None else ends[argument.name]) for argument in arguments}
    )


def _spec(argument: Any, end: _End | None) -> TensorSpec:
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
