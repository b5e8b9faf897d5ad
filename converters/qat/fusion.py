"""Steps that TFLite computes together, so that nothing is stored between them.

A normalisation is folded into the kernel before it, ReLU is fused into the operator before it, and scalings in a row
become one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from converters.qat.layers import QuantizedConv2DTranspose, QuantizedDepthwiseConv2D
from converters.qat.steps import Activate, Affine, Does, Join, Kind, Scale, Shift, Step, Weighted

__all__ = ["Fused", "folded", "fused"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Fused:
    """One operator of TFLite with what is computed inside it.

    Attributes:
        step: the operator; its ``result`` is what is stored, after `relu` if there is one.
        norm: folded into the kernel, of `Weighted` only.
        relu: fused behind.
    """

    step: Step
    norm: Affine | None = None
    relu: Step | None = None

    @property
    def result(self) -> int:
        """Number of the tensor that is stored."""
        return self.step.result if self.relu is None else self.relu.result

    @property
    def name(self) -> str:
        """Of the last step inside."""
        return self.step.name if self.relu is None else self.relu.name


def fused(steps: Sequence[Step], outputs: Sequence[int]) -> tuple[Fused, ...]:
    """Return the operators of a list of steps, in order.

    Args:
        steps: of `converters.qat.lowering`.
        outputs: tensors that leave the model, which therefore are stored.
    """
    joined = _one_scaling(steps, outputs)
    after = _only_followers(joined, outputs)
    folds = _folds(joined, after)
    inside: set[int] = set()
    made = []
    for step in joined:
        if step.result in inside:
            continue
        operator = Fused(step=step)
        if isinstance(step.does, Weighted) and step.does.owner in folds:
            norm = after[step.result]
            operator = Fused(step=replace(step, result=norm.result), norm=folds[step.does.owner])
            inside.add(norm.result)
        follower = after.get(operator.step.result)
        if follower is not None and _is_relu(follower) and _takes_relu(step):
            operator = replace(operator, relu=follower)
            inside.add(follower.result)
        made.append(operator)
    return tuple(made)


def _takes_relu(step: Step) -> bool:
    if isinstance(step.does, Weighted):
        # With a ReLU inside it is version 4 of the operator, which Google's Edge TPU compiler cannot read.
        return not issubclass(step.does.quantized, QuantizedConv2DTranspose)
    return isinstance(step.does, (Affine, Scale, Shift, Join))


def _is_relu(step: Step) -> bool:
    return isinstance(step.does, Activate) and step.does.kind is Kind.RELU


def _only_followers(steps: Sequence[Step], outputs: Sequence[int]) -> dict[int, Step]:
    """Return, for each tensor that one step alone takes once, that step."""
    takers: dict[int, list[Step]] = {}
    for step in steps:
        for source in step.sources:
            takers.setdefault(source, []).append(step)
    return {value: found[0] for value, found in takers.items() if len(found) == 1 and value not in outputs}


def _folds(steps: Sequence[Step], after: Mapping[int, Step]) -> dict[tuple[int, str], Affine]:
    """Return the normalisation to fold into each kernel: the same one must follow every call of its layer."""
    found: dict[tuple[int, str], Affine] = {}
    ruled_out: set[tuple[int, str]] = set()
    for step in steps:
        if not isinstance(step.does, Weighted):
            continue
        owner, follower = step.does.owner, after.get(step.result)
        norm = follower.does if follower is not None and isinstance(follower.does, Affine) else None
        if norm is None or not step.does.foldable or (owner in found and found[owner].owner != norm.owner):
            ruled_out.add(owner)
        else:
            found[owner] = norm
    return {owner: norm for owner, norm in found.items() if owner not in ruled_out}


def _one_scaling(steps: Sequence[Step], outputs: Sequence[int]) -> list[Step]:
    """Return the steps with scalings in a row as one, where one of them is per channel."""
    made = list(steps)
    while (pair := _scalings_in_a_row(made, outputs)) is not None:
        first, second = pair
        both = replace(second, does=_composed(first.does, second.does), sources=first.sources)
        made[made.index(second)] = both
        made.remove(first)
    return made


def _scalings_in_a_row(steps: Sequence[Step], outputs: Sequence[int]) -> tuple[Step, Step] | None:
    after = _only_followers(steps, outputs)
    for step in steps:
        follower = after.get(step.result)
        kinds = () if follower is None else (type(step.does), type(follower.does))
        if follower is not None and Affine in kinds and all(kind in (Affine, Scale, Shift) for kind in kinds):
            return step, follower
    return None


def _composed(first: Does, second: Does) -> Affine:
    """Return the affine step that does one after the other."""
    (gain, shift), (then_gain, then_shift) = _line(first), _line(second)
    owners = [does.owner for does in (first, second) if isinstance(does, Affine)]
    gain, shift = np.broadcast_arrays(gain * then_gain, shift * then_gain + then_shift)
    return Affine(owner=owners[-1], gain=gain, shift=shift)


def _line(does: Does) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if isinstance(does, Affine):
        return does.gain, does.shift
    if isinstance(does, Scale):
        return np.array([does.factor]), np.array([0.0])
    if isinstance(does, Shift):
        return np.array([1.0]), np.array([does.term])
    raise TypeError(f"expected a scaling, got {type(does).__name__}")


def folded(weighted: Weighted, norm: Affine | None) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Return kernel and bias with the normalisation behind them folded in: kernel * gain, bias * gain + shift."""
    if norm is None:
        return weighted.kernel, weighted.bias
    gain = norm.gain
    if issubclass(weighted.quantized, QuantizedDepthwiseConv2D):
        gain = gain.reshape(weighted.kernel.shape[-2:])
    elif issubclass(weighted.quantized, QuantizedConv2DTranspose):
        gain = gain[:, np.newaxis]  # (h, w, out, in)
    bias = norm.shift if weighted.bias is None else weighted.bias * norm.gain + norm.shift
    return (weighted.kernel * gain).astype(np.float32), bias.astype(np.float32)
