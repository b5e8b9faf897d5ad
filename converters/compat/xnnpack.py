"""Which operators of a TFLite file LiteRT gives to XNNPACK on a CPU, and which fall to TFLite's own kernels.

``mapped`` means taken by the delegate; ``cpu`` means that TFLite's own kernel runs it: correct, but slower and with a
change of hands on either side. The rules are in `xnnpack_rules`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from converters.compat import partition
from converters.compat.nodes import Node, is_quantized, nodes
from converters.compat.report import OperatorVerdict, Parameters, Report, Verdict
from converters.compat.xnnpack_rules import Left, left
from edgemed import tflite
from edgemed.targets import Target

__all__ = ["check"]

TAKEN = "taken by the XNNPACK delegate"


def check(raw: bytes, *, source: str, target: Target) -> Report:
    """Return where each operator of a TFLite file runs on a CPU target.

    Raises:
        ConversionError: the file is damaged, of another format, or has several subgraphs.
    """
    model = tflite.read(raw, source=source)
    found = nodes(model, source=source)
    reasons = {node.operator.index: why for node in found if (why := left(node)) is not None}
    reasons |= _unpacked(found, reasons)
    taken = {node.operator.index for node in found} - reasons.keys()
    return Report(
        model=source,
        target=target.id,
        quantized=is_quantized(model),
        operators=tuple(_verdict(node, reasons.get(node.operator.index)) for node in found),
        segments=len(partition.segments(model, taken)),
        parameters=Parameters(on_chip_bytes=0, off_chip_bytes=_constant_bytes(model)),
        notes=_notes(model, target),
    )


def _unpacked(found: Sequence[Node], reasons: Collection[int]) -> dict[int, Left]:
    """Return the float16 constants that stay outside: one user that is not taken keeps their conversion there."""
    outside = {place for node in found if node.operator.index in reasons for place in node.operator.inputs}
    why = Left(
        reason="XNNPACK leaves it: an operator that uses it is not taken either",
        remedy="see the operator that uses it",
    )
    return {
        node.operator.index: why
        for node in found
        if node.operator.name == "DEQUANTIZE"
        and node.required(0).dtype == "float16"
        and not outside.isdisjoint(node.operator.outputs)
    }


def _verdict(node: Node, why: Left | None) -> OperatorVerdict:
    if why is None:
        return OperatorVerdict(index=node.operator.index, op=node.operator.name, verdict=Verdict.MAPPED, reason=TAKEN)
    return OperatorVerdict(
        index=node.operator.index, op=node.operator.name, verdict=Verdict.CPU, reason=why.reason, remedy=why.remedy
    )


def _constant_bytes(model: tflite.Model) -> int:
    """Return the bytes of all constants, a buffer that several tensors share counted once."""
    sizes = {tensor.buffer: tensor.size_bytes for tensor in model.tensors if tensor.is_constant}
    return sum(sizes.values())


def _notes(model: tflite.Model, target: Target) -> tuple[str, ...]:
    if tflite.is_compiled(model):
        return (f"compiled for the Edge TPU: {target.id} cannot run it; take the file that it was compiled from",)
    return ()
