"""How TFLite gives operators to a delegate: segments of operators whose inputs are ready, as many as it takes.

An operator joins the segment at work when all its inputs are ready and it runs on the same side (delegate or CPU); when
none is left the next segment begins on the other side. So an operator that comes later in the file but does not depend
on the one that could not be mapped still joins, and an operator behind it does not. Edge TPU's compiler keeps the first
segment only: a detector's log counts 58 convolutions on the Edge TPU, the very number that does not depend on its one
unmapped operator, heads that execute after it included (google-coral/edgetpu#537).

Source: ``PartitionGraphIntoIndependentNodeSubsets``, tensorflow/lite/graph_info.cc.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence

from edgemed.tflite import Model

__all__ = ["behind", "segments"]


def segments(model: Model, supported: Collection[int]) -> tuple[frozenset[int], ...]:
    """Return the segments of the delegate, in the order they run; operators that never become ready are in none.

    Args:
        model: the graph.
        supported: indices of the operators that the delegate takes.
    """
    walk = _Walk(model)
    found = []
    # The side of the first segment is that of the first operator that is ready.
    on_delegate = bool(walk.ready) and min(walk.ready) in supported
    while walk.ready:
        taken = walk.take(supported, on_delegate=on_delegate)
        if on_delegate:
            found.append(frozenset(taken))
        on_delegate = not on_delegate
    return tuple(found)


class _Walk:
    """Operators become ready as those before them are taken; each is looked at once per input."""

    def __init__(self, model: Model) -> None:
        self._users: dict[int, list[int]] = {}
        self._missing: list[int] = []
        self._outputs = [operator.outputs for operator in model.operators]
        computed = {place for operator in model.operators for place in operator.outputs}
        for operator in model.operators:
            needed = {place for place in operator.inputs if place in computed}
            self._missing.append(len(needed))
            for place in needed:
                self._users.setdefault(place, []).append(operator.index)
        self.ready = {index for index, count in enumerate(self._missing) if count == 0}

    def take(self, supported: Collection[int], *, on_delegate: bool) -> list[int]:
        """Take every operator of one side that is ready or becomes so by taking others of that side."""
        queue = deque(sorted(index for index in self.ready if (index in supported) is on_delegate))
        taken = []
        while queue:
            index = queue.popleft()
            self.ready.discard(index)
            taken.append(index)
            for user in self._released(index):
                self.ready.add(user)
                if (user in supported) is on_delegate:
                    queue.append(user)
        return taken

    def _released(self, index: int) -> list[int]:
        """Return the operators that the outputs of this one make ready."""
        freed = []
        for place in self._outputs[index]:
            # A tensor becomes ready once, whoever writes it first.
            for user in self._users.pop(place, ()):
                self._missing[user] -= 1
                if self._missing[user] == 0:
                    freed.append(user)
        return freed


def behind(model: Model, causes: Collection[int]) -> Sequence[int | None]:
    """Return, per operator, the nearest operator of ``causes`` that its inputs come through; None without one."""
    by_tensor: dict[int, int] = {}
    found: list[int | None] = []
    for operator in model.operators:
        before = [by_tensor[place] for place in operator.inputs if place in by_tensor]
        cause = max(before, default=None)
        found.append(cause)
        through = operator.index if operator.index in causes else cause
        if through is not None:
            by_tensor.update(dict.fromkeys(operator.outputs, through))
    return found
