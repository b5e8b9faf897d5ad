"""Which operators of an ONNX file TensorRT runs on a Jetson's GPU, and which of them in int8.

``mapped`` is on the GPU, in int8 or in float, as the reason says; ``cpu`` is what TensorRT's parser refuses: there
onnxruntime's TensorRT provider leaves the operator to the CPU, and trtexec stops. Operators that carry the work,
convolutions and products, run in int8 when a Q/DQ pair stands before both the activation and the weights.

Source: `tensorrt_facts`, `tensorrt_rules`; TensorRT developer guide, "Explicit Quantization": DequantizeLinear moves
forward past operators that only move values.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from converters.compat import onnx_graph
from converters.compat.onnx_graph import End, Graph, Node
from converters.compat.report import OperatorVerdict, Parameters, Report, Verdict
from converters.compat.tensorrt_facts import IN_INT8, LATER, LOWEST_OPSET, NEWEST_OPSET, REFUSED, RELEASE, SUPPORTED
from converters.compat.tensorrt_rules import DEQUANTIZE, QUANTIZE, SYMMETRIC, Finding, quantizer, weights_shape
from edgemed.errors import ConversionError
from edgemed.targets import Precision, Target

__all__ = ["check"]

_PAIR = (QUANTIZE, DEQUANTIZE)
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_MOVING = frozenset(["Flatten", "Identity", "MaxPool", "Pad", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"])
_ACTIVATIONS = ("Clip", "Relu")
_TO_FLOAT16 = "convert with --target jetson-nano and take its model/float16.onnx"


def check(raw: bytes, *, source: str, target: Target) -> Report:
    """Return where each operator of an ONNX file runs on a target with TensorRT.

    Raises:
        ConversionError: the file is damaged or of another format, or has a shape that is not static or a batch other
            than 1.
        MissingDependencyError: onnx is not installed.
    """
    graph = onnx_graph.read(raw, source=source)
    _require_ends(graph, source)
    verdicts = tuple(_verdict(node, graph, target.precision) for node in graph.nodes)
    mapped = [one.verdict is Verdict.MAPPED for one in verdicts]
    return Report(
        model=source,
        target=target.id,
        quantized=any(node.kind in _PAIR for node in graph.nodes),
        operators=verdicts,
        segments=sum(1 for on_gpu, _ in itertools.groupby(mapped) if on_gpu),
        parameters=Parameters(on_chip_bytes=None, off_chip_bytes=None),
        notes=_notes(graph, verdicts, target),
    )


def _require_ends(graph: Graph, source: str) -> None:
    for end in (*graph.inputs, *graph.outputs):
        if end.shape is None or min(end.shape, default=1) < 1:
            raise ConversionError(
                f"{source}: {end.name}: expected a static shape, got {_shown(end)}; "
                "export the model with a fixed input size and batch 1"
            )
    for end in graph.inputs:
        if end.shape and end.shape[0] != 1:
            raise ConversionError(f"{source}: {end.name}: expected batch 1, got {_shown(end)}; export it with batch 1")


def _shown(end: End) -> str:
    if end.shape is None:
        return "none"
    return "(" + ", ".join("?" if side < 1 else str(side) for side in end.shape) + ")"


def _verdict(node: Node, graph: Graph, precision: Precision) -> OperatorVerdict:
    finding = _finding(node, graph, precision)
    return OperatorVerdict(
        index=node.index,
        op=node.kind if not node.domain else f"{node.domain}.{node.kind}",
        verdict=finding.verdict,
        reason=finding.reason,
        remedy=finding.remedy,
    )


def _finding(node: Node, graph: Graph, precision: Precision) -> Finding:
    if refusal := _unsupported(node, precision) or _opset(graph, precision):
        return refusal
    return _in_float16(node) if precision is Precision.FLOAT16 else _in_int8(node, graph)


def _in_int8(node: Node, graph: Graph) -> Finding:
    if node.kind in _PAIR:
        return quantizer(node, graph) or _mapped("zero point 0, fused into its neighbours")
    if graph.folded.issuperset(node.outputs):
        return _mapped("constant, computed when the engine is built")
    if node.kind in _WEIGHTED:
        return _weighted(node, graph)
    if (fused := _fused_into(node, graph)) is not None:
        return _mapped(f"fused into the {fused.kind} before it")
    between = _between_pairs(node, graph)
    if node.kind in IN_INT8 and between:
        return _mapped("runs in int8")
    return _mapped("runs in float between integer tensors, fused where it can be" if between else "runs in float")


def _mapped(reason: str, remedy: str | None = None) -> Finding:
    return Finding(verdict=Verdict.MAPPED, reason=reason, remedy=remedy)


def _unsupported(node: Node, precision: Precision) -> Finding | None:
    if node.domain or (node.kind not in SUPPORTED and node.kind not in REFUSED):
        return Finding(
            verdict=Verdict.CPU,
            reason=f"No importer registered for op: {node.kind}"
            + (f" of the domain {node.domain}" if node.domain else f" in {RELEASE[precision]}"),
            remedy="express it with standard operators, or register a TensorRT plugin",
        )
    if node.kind in REFUSED:
        remedy = "quantize with Q/DQ pairs around float operators" if "Integer" in node.kind else None
        if node.kind.startswith("QLinear"):
            remedy = "export with QuantizeLinear and DequantizeLinear (QDQ), not with quantized operators (QOperator)"
        return Finding(
            verdict=Verdict.CPU,
            reason=f"{RELEASE[precision]} does not support {node.kind}",
            remedy=remedy or "express it with other operators",
        )
    if precision is Precision.FLOAT16 and node.kind in LATER:
        return Finding(
            verdict=Verdict.MAYBE,
            reason=f"support for {node.kind} came with TensorRT 8.5, this device has {RELEASE[precision]}",
            remedy="express it with other operators, or try trtexec on the device",
        )
    return None


def _opset(graph: Graph, precision: Precision) -> Finding | None:
    newest = NEWEST_OPSET[precision]
    if graph.opset > newest:
        reason = f"opset {graph.opset}: {RELEASE[precision]} reads up to {newest}"
        return Finding(verdict=Verdict.MAYBE, reason=reason, remedy=f"export with opset {LOWEST_OPSET} to {newest}")
    if graph.opset < LOWEST_OPSET and any(node.kind in _PAIR for node in graph.nodes):
        reason = f"opset {graph.opset}: Q/DQ with one scale per channel came with {LOWEST_OPSET}"
        return Finding(verdict=Verdict.MAYBE, reason=reason, remedy=f"export with opset {LOWEST_OPSET} to {newest}")
    return None


def _in_float16(node: Node) -> Finding:
    if node.kind in _PAIR:
        return Finding(verdict=Verdict.CPU, reason="no INT8 in TensorRT on this GPU", remedy=_TO_FLOAT16)
    return _mapped("runs in float16")


def _weighted(node: Node, graph: Graph) -> Finding:
    """Say in which numbers a convolution or a product runs."""
    names = ("activation", "weights")
    bare = [name for place, name in enumerate(names) if not _quantized(_input(node, place), graph)]
    if bare:
        return _mapped(
            f"runs in float: no Q/DQ pair before its {' and '.join(bare)}",
            "quantize both inputs, as edgemed convert --target jetson-orin-nano does",
        )
    return _mapped("runs in int8, with one scale for all weights" if _shares_a_scale(node, graph) else "runs in int8")


def _input(node: Node, place: int) -> str:
    return node.inputs[place] if place < len(node.inputs) else ""


def _quantized(name: str, graph: Graph) -> bool:
    """Return whether a valid DequantizeLinear stands before this value, at most values being moved between."""
    maker = _behind_moves(name, graph)
    return maker is not None and maker.kind == DEQUANTIZE and _is_sound(maker, graph)


def _is_sound(node: Node, graph: Graph) -> bool:
    finding = quantizer(node, graph)
    if finding is not None and finding.verdict is Verdict.CPU:
        return False
    maker = graph.makers.get(node.inputs[0])
    return maker is None or maker.kind != QUANTIZE or quantizer(maker, graph) is None


def _behind_moves(name: str, graph: Graph) -> Node | None:
    """Return the first node above a value that does more than move values."""
    seen: set[str] = set()
    maker = graph.makers.get(name)
    while maker is not None and maker.kind in _MOVING and maker.inputs and name not in seen:
        seen.add(name)
        name = maker.inputs[0]
        maker = graph.makers.get(name)
    return maker


def _shares_a_scale(node: Node, graph: Graph) -> bool:
    """Return whether the weights have one scale for several output channels."""
    maker = _behind_moves(_input(node, 1), graph)
    scale = None if maker is None else graph.constants.get(_input(maker, 1))
    shape = None if maker is None else weights_shape(_input(maker, 0), graph)
    return scale is not None and math.prod(scale.shape) == 1 and shape is not None and shape[0] > 1


def _fused_into(node: Node, graph: Graph) -> Node | None:
    """Return the convolution or product whose only reader is this activation."""
    maker = graph.makers.get(_input(node, 0))
    if node.kind not in _ACTIVATIONS or maker is None or maker.kind not in _WEIGHTED:
        return None
    return maker if graph.readers[node.inputs[0]] == (node,) else None


def _between_pairs(node: Node, graph: Graph) -> bool:
    """Return whether computed inputs come from DequantizeLinear and results go to QuantizeLinear, moves aside."""
    makers = [_behind_moves(name, graph) for name in node.inputs if name and name not in graph.folded]
    readers = _ahead_of_moves(node, graph)
    return (
        bool(makers)
        and bool(readers)
        and all(maker is not None and maker.kind == DEQUANTIZE for maker in makers)
        and all(reader.kind == QUANTIZE for reader in readers)
    )


def _ahead_of_moves(node: Node, graph: Graph) -> list[Node]:
    """Return the first nodes below one that do more than move values."""
    found: list[Node] = []
    seen: set[int] = set()
    open_ends = [node]
    while open_ends:
        for reader in (one for name in open_ends.pop().outputs for one in graph.readers.get(name, ())):
            if reader.index not in seen:
                seen.add(reader.index)
                (open_ends if reader.kind in _MOVING else found).append(reader)
    return found


def _notes(graph: Graph, verdicts: Sequence[OperatorVerdict], target: Target) -> tuple[str, ...]:
    found: list[str] = []
    weighted = [one for one in verdicts if one.op in _WEIGHTED]
    if target.precision is Precision.FLOAT16:
        quantized = any(node.kind in _PAIR for node in graph.nodes)
        found.append(
            f"{target.id} has no INT8 in TensorRT and runs float16" + (f": {_TO_FLOAT16}" if quantized else "")
        )
    elif weighted:
        in_int8 = sum(1 for one in weighted if one.reason.startswith("runs in int8"))
        found.append(f"{in_int8} of {len(weighted)} convolutions and products run in int8")
    asymmetric = [one for one in verdicts if one.op in _PAIR and "symmetric quantization" in one.reason]
    if asymmetric:
        pairs = sum(1 for one in verdicts if one.op in _PAIR)
        found.append(f"{len(asymmetric)} of {pairs} Q/DQ nodes have a zero point other than 0: {SYMMETRIC}")
    return tuple(found)
