"""Why the Edge TPU compiler would make no file: one operator that its TFLite cannot read or prepare is enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from converters.compat import edgetpu_facts as facts
from converters.compat.nodes import Node

__all__ = ["Refusal", "refusals"]

# Inputs that decide a shape: computed ones make the operator's output dynamic.
_SHAPING: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "PAD", "PADV2", "MIRROR_PAD"), (1,)),
    **dict.fromkeys(
        ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "TILE", "BROADCAST_TO", "TRANSPOSE", "EXPAND_DIMS"), (1,)
    ),
    **dict.fromkeys(("TRANSPOSE_CONV", "SPLIT", "FILL"), (0,)),
    "SLICE": (1, 2),
    "STRIDED_SLICE": (1, 2, 3),
    "RANGE": (0, 1, 2),
}
_BOUNDS = {"RELU6": 6.0, "RELU_N1_TO_1": 1.0}
_LARGEST = 2**31 - 1  # kernel_util.cc of TFLite, Quantize()
_POSTPROCESS = "TFLite_Detection_PostProcess"  # the one custom operator that logs show on the CPU (#537)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """The operator that stops the compiler.

    Attributes:
        reason: what is printed about the operator.
        outcome: what is printed about the model.
    """

    index: int
    reason: str
    outcome: str
    remedy: str


def refusals(nodes: Sequence[Node]) -> tuple[Refusal, ...]:
    """Return every operator that stops the compiler, in order; empty when it makes a file."""
    return tuple(found for node in nodes if (found := _unread(node) or _unprepared(node)) is not None)


def _unread(node: Node) -> Refusal | None:
    name, version = node.operator.name, node.operator.version
    if name in facts.NEWER_OPERATORS or name.startswith("STABLEHLO_"):
        remedy = facts.REMEDIES.get(name, "build it from operators of TensorFlow 2.6 or older")
        return Refusal(index=node.operator.index, reason=facts.NO_OPERATOR, outcome=facts.UNPARSED, remedy=remedy)
    newest = facts.MAX_VERSIONS.get(name)
    if newest is None or version <= newest:
        return None
    reason = facts.NO_VERSION.format(name=name, version=version)
    remedy = facts.REMEDIES.get(name, "convert with an older TensorFlow")
    return Refusal(
        index=node.operator.index,
        reason=reason,
        outcome=facts.UNPARSED,
        remedy=f"{remedy} (the compiler reads version {newest} at most)",
    )


def _unprepared(node: Node) -> Refusal | None:
    reason = remedy = None
    custom = node.operator.custom_name
    if custom is not None and custom.startswith("Flex"):
        reason, remedy = facts.FLEX, "convert without SELECT_TF_OPS: replace or leave out the operator"
    elif custom not in (None, _POSTPROCESS):
        reason, remedy = facts.NO_CUSTOM.format(name=custom), facts.REMEDIES["CUSTOM"]
    elif _is_dynamic(node):
        reason, remedy = facts.DYNAMIC, "fix every shape: build the model with Input(shape, batch_size=1)"
    elif _overflows(node):
        reason, remedy = facts.OVERFLOW, "its scales have degenerated: calibrate with images like those it will see"
    if reason is None or remedy is None:
        return None
    return Refusal(index=node.operator.index, reason=reason, outcome=facts.FAILED, remedy=remedy)


def _overflows(node: Node) -> bool:
    """Return whether the bound of a fused activation does not fit 32 bits in steps of the output's scale."""
    bound = _BOUNDS.get(str(node.option("fused_activation_function", "NONE")))
    scales = node.output.scales
    return bound is not None and len(scales) == 1 and bound > scales[0] * _LARGEST


def _is_dynamic(node: Node) -> bool:
    shaping = (node.input(place) for place in _SHAPING.get(node.operator.name, ()))
    if any(tensor is not None and not tensor.is_constant for tensor in shaping):
        return True
    tensors = (*node.computed_inputs, *node.outputs)
    return any(side < 1 for tensor in tensors for side in tensor.allocated_shape)
