"""Which stored tensors share a range, and which ranges are known before any data is seen.

TFLite moves, picks, averages and concatenates integers as they are: what goes in and what comes out has one scale.

    plan = ranges.plan(operators, inputs={0: (0.0, 255.0)}, outputs=(7,), symmetric=False)
    plan.places[value]      # which quantizer, and which of its slots
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from converters.qat.fusion import Fused
from converters.qat.layers import Range
from converters.qat.steps import Activate, Copy, Kind, Scale, Share, Shift

__all__ = ["Group", "Place", "Plan", "lost_limits", "plan"]

_FIXED: dict[Kind, Range] = {
    # TensorFlow Lite 8-bit quantization specification: LOGISTIC and SOFTMAX 1/256 and -128, TANH 1/128 and 0.
    Kind.SIGMOID: (0.0, 255 / 256),
    Kind.SOFTMAX: (0.0, 255 / 256),
    Kind.TANH: (-1.0, 127 / 128),
}
_NOTHING: Range = (0.0, 0.0)  # adds nothing to a group's range: a mean lies among what it was made of


@dataclass(frozen=True, kw_only=True)
class Group:
    """Tensors that share one range.

    Attributes:
        name: of the last step that makes one of them.
        fixed: for each slot its range where it is known, or None where it is tracked.
        widest: extremes must not be clipped: one of the tensors is an output.
        symmetric: zero point 0.
    """

    name: str
    fixed: tuple[Range | None, ...]
    widest: bool
    symmetric: bool


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a tensor is rounded: which group, which slot."""

    group: int
    slot: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """The groups, and the place of each tensor that is rounded; a tensor without one is on its group's grid already."""

    groups: tuple[Group, ...]
    places: Mapping[int, Place]


@dataclass(frozen=True, kw_only=True)
class _Rounded:
    """A tensor that is rounded where it is made."""

    value: int
    name: str
    known: Range | None


def plan(
    operators: Sequence[Fused],
    *,
    inputs: Mapping[int, tuple[str, Range | None]],
    outputs: Sequence[int],
    symmetric: bool,
) -> Plan:
    """Return the ranges of a model.

    Args:
        operators: of `converters.qat.fusion`.
        inputs: for each input its name, and its range where it is known.
        outputs: tensors that leave the model.
        symmetric: zero points are to be 0, but for what a fixed range or an input's scaling makes otherwise.
    """
    together = _together(operators, inputs)
    rounded = _rounded(operators, inputs)
    members: dict[int, list[_Rounded]] = {}
    for one in rounded:
        members.setdefault(together[one.value], []).append(one)
    leaving = {together[value] for value in outputs}
    unread = _unread(operators, inputs, together)
    groups, places = [], {}
    for number, (root, found) in enumerate(members.items()):
        makers = [one for one in found if one.known != _NOTHING]
        exact = len(makers) == 1 and (_is_symmetric(makers[0].known) or _is_fixed(makers[0], operators))
        groups.append(
            Group(
                name=found[-1].name,
                fixed=tuple(one.known for one in found),
                widest=root in leaving,
                symmetric=symmetric and not exact and root not in unread,
            )
        )
        places.update({one.value: Place(group=number, slot=slot) for slot, one in enumerate(found)})
    return Plan(groups=tuple(groups), places=places)


def lost_limits(operators: Sequence[Fused], plan: Plan) -> tuple[str, ...]:
    """Return the names of ReLUs whose limit, where their range is to end, lies inside a range they share."""
    return tuple(operator.name for operator in operators if _is_lost(operator, plan))


def _is_lost(operator: Fused, plan: Plan) -> bool:
    limit = _limit(operator)
    place = plan.places.get(operator.result)
    if limit is None or place is None:
        return False
    others = [known for slot, known in enumerate(plan.groups[place.group].fixed) if slot != place.slot]
    return any(known is None or known[0] < 0 or known[1] > limit for known in others)


def _limit(operator: Fused) -> float | None:
    """Return where the range of a ReLU is to end; None without a limit, or with 6, which TFLite fuses."""
    last = operator.step.does if operator.relu is None else operator.relu.does
    return last.limit if isinstance(last, Activate) and last.kind is Kind.RELU and last.limit != 6.0 else None


def _rounded(operators: Sequence[Fused], inputs: Mapping[int, tuple[str, Range | None]]) -> list[_Rounded]:
    """Return the tensors that are rounded where they are made, with what is known of their range."""
    found = [_Rounded(value=value, name=name, known=known) for value, (name, known) in inputs.items()]
    known: dict[int, Range] = {value: limits for value, (_, limits) in inputs.items() if limits is not None}
    for operator in operators:
        does = operator.step.does
        if isinstance(does, Copy) or (isinstance(does, Share) and not does.rounds):
            ends = [known[source] for source in operator.step.sources if source in known]
            if len(ends) == len(operator.step.sources):
                known[operator.result] = min(low for low, _ in ends), max(high for _, high in ends)
            continue
        limits = _NOTHING if isinstance(does, Share) else _known(operator, known)
        if limits is not None and limits != _NOTHING:
            known[operator.result] = limits
        found.append(_Rounded(value=operator.result, name=operator.name, known=limits))
    return found


def _known(operator: Fused, known: Mapping[int, Range]) -> Range | None:
    """Return the range of an operator's result where it does not depend on data."""
    does = operator.step.does
    last = does if operator.relu is None else operator.relu.does
    if isinstance(last, Activate) and last.kind is Kind.RELU:
        limit = _limit(operator)
        return None if limit is None else (0.0, limit)
    if isinstance(does, Activate):
        return _FIXED.get(does.kind)
    if isinstance(does, (Scale, Shift)) and operator.step.sources[0] in known:
        ends = known[operator.step.sources[0]]
        edges = [end * does.factor if isinstance(does, Scale) else end + does.term for end in ends]
        return min(*edges, 0.0), max(*edges, 0.0)
    return None


def _together(operators: Sequence[Fused], inputs: Mapping[int, object]) -> dict[int, int]:
    """Return, for each tensor, one that stands for all that share its range."""
    parents: dict[int, int] = {value: value for value in inputs}

    def root(value: int) -> int:
        while parents[value] != value:
            value = parents[value]
        return value

    takes_relu: set[int] = set()
    for operator in operators:
        step = operator.step
        parents[operator.result] = operator.result
        merges = isinstance(step.does, Activate) and step.does.kind is Kind.RELU and step.sources[0] in takes_relu
        if isinstance(step.does, (Share, Copy)) or merges:
            for source in step.sources:
                parents[root(source)] = root(operator.result)
        if isinstance(step.does, Share) and step.does.takes_relu:
            takes_relu.add(operator.result)
    return {value: root(value) for value in parents}


def _is_symmetric(known: Range | None) -> bool:
    """Tell whether a known range has the zero point 0: lowest and highest stand for -128 and 127."""
    return known is not None and known[1] > 0 and abs(-known[0] / known[1] - 128 / 127) < 1e-6


def _is_fixed(one: _Rounded, operators: Sequence[Fused]) -> bool:
    makers = [operator.step.does for operator in operators if operator.result == one.value]
    return any(isinstance(does, Activate) and does.kind in _FIXED for does in makers)


def _unread(operators: Sequence[Fused], inputs: Mapping[int, object], together: Mapping[int, int]) -> set[int]:
    """Return the ranges of inputs, and of what is moved, scaled or shifted of them, that nothing else reads."""
    found = {together[value] for value in inputs}
    passing = (Copy, Scale, Share, Shift)
    for operator in operators:
        if isinstance(operator.step.does, passing) and {together[source] for source in operator.step.sources} <= found:
            found.add(together[operator.result])
    for operator in operators:
        if not isinstance(operator.step.does, passing):
            found -= {together[source] for source in operator.step.sources}
    return found
