"""What one call of a layer comes down to: one or more steps in a row, not yet numbered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from converters import graph
from converters.graph import Call
from converters.qat.steps import Does, Step

__all__ = ["Part", "Refusal", "placed"]


class Refusal(Exception):  # noqa: N818  # never leaves this package: lowering collects them into one ConversionError
    """Why a layer cannot be quantized, to be read behind its name."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """One step of a call.

    Attributes:
        suffix: of its name; the step that carries the layer's own name has none.
        takes: places in the list of the call's tensors and, behind them, the results of the parts before; negative ones
            from its end. None: the result of the part before, or all the call's tensors for the first.
    """

    does: Does
    suffix: str = ""
    takes: tuple[int, ...] | None = None


def placed(call: Call, parts: Sequence[Part], *, numbers: Iterator[int], taken: set[str]) -> Iterator[Step]:
    """Yield the steps of a call; the last one makes its result.

    Args:
        call: of the layer.
        parts: what it comes down to, in order.
        numbers: gives tensors between the parts a number.
        taken: names that are in use; what is given out is added.
    """
    # Where no part carries the layer's own name, the last does.
    own = len(parts) - 1 if all(part.suffix for part in parts) else -1
    tensors = list(call.sources)
    for place, part in enumerate(parts):
        takes = part.takes if part.takes is not None else ((-1,) if place else range(len(call.sources)))
        sources = tuple(tensors[index] for index in takes)
        tensors.append(call.result if place == len(parts) - 1 else next(numbers))
        yield Step(
            name=graph.unique(f"{call.name}_{part.suffix}", taken) if part.suffix and place != own else call.name,
            does=part.does,
            sources=sources,
            result=tensors[-1],
            rank=call.rank,
        )
