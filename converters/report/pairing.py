"""Which tensor of a float TFLite file an int8 file of the same model stands for.

Two tensors are a pair when they are the same end of the model, by signature name; when the graph says so (the same
input of the same operator, or the result of the same operator on paired inputs); or when the converter gave them one
name. Nothing is paired by place alone: beyond the ends, both must have the same shape, come from the same kind of
operator or layer, and be read by the same kinds of operators or layers. What cannot be paired so is left out.

Neither QUANTIZE nor DEQUANTIZE is a step of the model: a tensor behind them stands for the one before.

    for pair in pairing.of(tflite.read(float_raw, source="float"), tflite.read(int8_raw, source="int8")): ...

Names are paths of scopes, ``model/block_2_add_1/Add``; of merged operators several, the last operator's first:
``model/relu_1/Relu6;model/conv_1/convolution``. Seen in TensorFlow 2.20 and 2.21; folded normalisations lose theirs.
"""

from __future__ import annotations

import enum
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgemed.tflite import Model, Operator, Tensor

__all__ = ["RECODING", "By", "Pair", "of", "scope"]

RECODING = ("QUANTIZE", "DEQUANTIZE")
"""Operators that only write a value in another type or scale."""
_COMMUTATIVE = ("ADD", "MUL", "MAXIMUM", "MINIMUM")
# "convolution1" and "convolution": the converter numbers a result whose name its kernel took.
_NUMBERED = re.compile(r"(?<=[a-z])\d+\Z")


class By(str, enum.Enum):
    """What says that two tensors are the same."""

    SIGNATURE = "signature"
    GRAPH = "graph"
    NAME = "name"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One value of the model in both files; the int8 tensor is the one its operator wrote, before any requantizing."""

    of_float: Tensor
    of_int8: Tensor
    by: By


def of(float_model: Model, int8_model: Model) -> tuple[Pair, ...]:
    """Return the pairs in the int8 file's order: inputs, then as they are computed."""
    matching = _Matching(_View(int8_model), _View(float_model))
    matching.ends()
    while matching.along_graph() or matching.by_name():
        pass
    order = [*(t.index for t in int8_model.inputs.values()), *(i for o in int8_model.operators for i in o.outputs)]
    return tuple(
        Pair(
            of_float=float_model.tensors[matching.partner[index]],
            of_int8=int8_model.tensors[index],
            by=matching.reason[index],
        )
        for index in dict.fromkeys(order)
        if index in matching.partner
    )


def scope(tensor: Tensor) -> str | None:
    """Return the path of the layer that made a tensor, without the model's name; None when its name has none."""
    parts = _path(tensor)
    return "/".join(parts[1:-1]) if len(parts) > 2 else None


def _path(tensor: Tensor) -> list[str]:
    return tensor.name.split(";")[0].split("/")


def _exact(tensor: Tensor) -> str | None:
    parts = _path(tensor)
    return "/".join(parts[1:]) if len(parts) > 2 else None


def _unnumbered(tensor: Tensor) -> str | None:
    name = _exact(tensor)
    return None if name is None else _NUMBERED.sub("", name)


class _View:
    """One graph with its recoding operators looked through; tensors are places in the model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.maker = {index: operator for operator in model.operators for index in operator.outputs}
        self.steps = [operator for operator in model.operators if operator.name not in RECODING]
        self.readers: dict[int, list[Operator]] = {}
        for operator in self.steps:
            for index in self.inputs(operator):
                self.readers.setdefault(index, []).append(operator)
        self.results = Counter(self.origin(tensor.index) for tensor in model.outputs.values())

    def origin(self, index: int) -> int:
        """Return the tensor that first held this value."""
        seen: set[int] = set()
        while index in self.maker and self.maker[index].name in RECODING and index not in seen:
            seen.add(index)  # a damaged file may read what it writes
            index = self.maker[index].inputs[0]
        return index

    def inputs(self, operator: Operator) -> tuple[int, ...]:
        """Return what an operator reads that is no constant, in its order."""
        origins = (self.origin(index) for index in operator.inputs if index >= 0)
        return tuple(index for index in origins if not self.model.tensors[index].is_constant)

    def kind(self, operator: Operator) -> tuple[str, object, int]:
        """Return what an operator does, as far as both files must agree on it."""
        return operator.name, operator.options.get("fused_activation_function"), len(self.inputs(operator))

    def made_by(self, index: int) -> object:
        operator = self.maker.get(index)
        return None if operator is None else (self.kind(operator), operator.outputs.index(index))

    def read_by(self, index: int) -> tuple[Counter[str], int]:
        return Counter(operator.name for operator in self.readers.get(index, ())), self.results[index]

    def scopes_after(self, index: int) -> set[str | None]:
        return {scope(self.model.tensors[operator.outputs[0]]) for operator in self.readers.get(index, ())}


def _slots(view: _View, operator: Operator, result: int) -> tuple[str, int, int]:
    """Return what two operators must share for their inputs to correspond: a merged activation changes none."""
    return operator.name, operator.outputs.index(result), len(view.inputs(operator))


class _Matching:
    """The pairs found so far; ``ours`` is the int8 graph, ``theirs`` the float one."""

    def __init__(self, ours: _View, theirs: _View) -> None:
        self.ours, self.theirs = ours, theirs
        self.partner: dict[int, int] = {}
        self.reason: dict[int, By] = {}
        self._taken: set[int] = set()

    def ends(self) -> None:
        """Pair inputs and outputs of one name, or the only ones there are."""
        for ours, theirs in (
            (self.ours.model.inputs, self.theirs.model.inputs),
            (self.ours.model.outputs, self.theirs.model.outputs),
        ):
            common = [(ours[name], theirs[name]) for name in ours if name in theirs]
            if not common and len(ours) == len(theirs) == 1:
                common = list(zip(ours.values(), theirs.values(), strict=True))
            for mine, other in common:
                self._pair(self.ours.origin(mine.index), self.theirs.origin(other.index), By.SIGNATURE)

    def along_graph(self) -> bool:
        """Pair what is before and behind the pairs; tell whether that found any."""
        found = len(self.partner)
        # Grows while it is walked: every new pair is walked from as well.
        waiting = list(self.partner)
        for mine in waiting:
            known = len(self.partner)
            self._before(mine)
            self._behind(mine)
            waiting += list(self.partner)[known:]
        return len(self.partner) > found

    def _before(self, mine: int) -> None:
        one, other = self.ours.maker.get(mine), self.theirs.maker.get(self.partner[mine])
        if (
            one is None
            or other is None
            or _slots(self.ours, one, mine) != _slots(self.theirs, other, self.partner[mine])
        ):
            return
        for input_, theirs in zip(self.ours.inputs(one), self._ordered(one, other), strict=True):
            self._pair_alike(input_, theirs, By.GRAPH)

    def _ordered(self, one: Operator, other: Operator) -> tuple[int, ...]:
        """Return the float operator's inputs in the order of the int8 operator's: a sum may be written either way."""
        mine, theirs = self.ours.inputs(one), self.theirs.inputs(other)
        if one.name not in _COMMUTATIVE or len(mine) != 2:
            return theirs
        straight, crossed = (self._agreeing(mine, order) for order in (theirs, theirs[::-1]))
        return theirs[::-1] if crossed > straight else theirs

    def _agreeing(self, mine: tuple[int, ...], theirs: tuple[int, ...]) -> int:
        pairs = list(zip(mine, theirs, strict=True))
        known = sum(self.partner.get(one) == other for one, other in pairs)
        named = sum(_unnumbered(self._mine(one)) == _unnumbered(self._theirs(other)) for one, other in pairs)
        return 2 * known + named

    def _behind(self, mine: int) -> None:
        """Pair the results of operators whose inputs are all paired, where only one on each side can be meant."""
        ours, theirs = self._groups(self.ours, mine), self._groups(self.theirs, self.partner[mine])
        for key, group in ours.items():
            others = theirs.get(key, [])
            if len(group) == len(others) == 1:
                for one, other in zip(group[0].outputs, others[0].outputs, strict=False):
                    self._pair_alike(one, other, By.GRAPH)

    def _groups(self, view: _View, index: int) -> dict[object, list[Operator]]:
        """Return the operators behind a tensor, by what they do and what they do it to."""
        found: dict[object, list[Operator]] = {}
        for operator in dict.fromkeys(view.readers.get(index, ())):
            inputs = [self.partner.get(i, -1) if view is self.ours else i for i in view.inputs(operator)]
            places = tuple(sorted(inputs) if operator.name in _COMMUTATIVE else inputs)
            shape = view.model.tensors[operator.outputs[0]].allocated_shape
            found.setdefault((view.kind(operator), places, shape), []).append(operator)
        return found

    def by_name(self) -> bool:
        """Pair what is left under a name that only one tensor on each side has; tell whether that found any."""
        found = len(self.partner)
        for key in (_exact, _unnumbered):
            ours, theirs = self._named(self.ours, self.partner, key), self._named(self.theirs, self._taken, key)
            for name in [name for name in ours if name in theirs]:
                self._pair_alike(ours[name], theirs[name], By.NAME)
        return len(self.partner) > found

    def _named(
        self, view: _View, paired: dict[int, int] | set[int], key: Callable[[Tensor], str | None]
    ) -> dict[str, int]:
        left = [index for step in view.steps for index in step.outputs if index not in paired]
        names = {index: key(view.model.tensors[index]) for index in left}
        often = Counter(names.values())
        return {name: index for index, name in names.items() if name is not None and often[name] == 1}

    def _pair_alike(self, mine: int, theirs: int, by: By) -> None:
        if all(self._agreements(mine, theirs)):
            self._pair(mine, theirs, by)

    def _agreements(self, mine: int, theirs: int) -> Iterator[bool]:
        ours, other = self.ours, self.theirs
        scopes = scope(self._mine(mine)), scope(self._theirs(theirs))
        yield ours.made_by(mine) == other.made_by(theirs) or (scopes[0] is not None and scopes[0] == scopes[1])
        # One step may be several in one file (a hard-swish between fake quantizers): then its layer must be the same.
        after = ours.scopes_after(mine)
        yield ours.read_by(mine) == other.read_by(theirs) or (
            None not in after and after == other.scopes_after(theirs) and ours.results[mine] == other.results[theirs]
        )

    def _pair(self, mine: int, theirs: int, by: By) -> None:
        same_shape = self._mine(mine).allocated_shape == self._theirs(theirs).allocated_shape
        if same_shape and mine not in self.partner and theirs not in self._taken:
            self.partner[mine], self.reason[mine] = theirs, by
            self._taken.add(theirs)

    def _mine(self, index: int) -> Tensor:
        return self.ours.model.tensors[index]

    def _theirs(self, index: int) -> Tensor:
        return self.theirs.model.tensors[index]
