"""What a compatibility check finds, the same for every accelerator, and the document it is printed as.

The document's keys and their order are a contract: ``schema_version`` is put first by the command line.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Group", "OperatorVerdict", "Parameters", "Report", "Verdict", "document", "grouped", "ranges"]


class Verdict(str, enum.Enum):
    """Where one operator will run."""

    MAPPED = "mapped"  # on the accelerator, or by the delegate
    CPU = "cpu"  # on the CPU, by the kernels every model has
    MAYBE = "maybe"  # the facts do not decide it; the vendor's compiler does


@dataclass(frozen=True, kw_only=True)
class OperatorVerdict:
    """The verdict on one operator.

    Attributes:
        index: its place in the model, in execution order.
        op: its name as the model's format has it, e.g. ``CONV_2D`` in TFLite, ``Conv`` in ONNX.
        reason: why, in the words of the vendor's compiler where it has some.
        remedy: what to use instead; None for an operator that needs none.
    """

    index: int
    op: str
    verdict: Verdict
    reason: str
    remedy: str | None = None


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Bytes of weights of the mapped operators, as laid out for the accelerator; None where no fact tells."""

    on_chip_bytes: int | None
    off_chip_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """What runs where.

    Attributes:
        model: the file's name.
        target: id of the device.
        quantized: the model computes in integers, at least in part.
        operators: one verdict per operator, in execution order.
        segments: how many parts of the model the accelerator runs; between two of them the CPU works.
        notes: what to say besides, each a sentence; no part of the document.
    """

    model: str
    target: str
    quantized: bool
    operators: tuple[OperatorVerdict, ...]
    segments: int
    parameters: Parameters
    notes: tuple[str, ...] = field(default=())

    @property
    def fully_mapped(self) -> bool:
        """Whether every operator runs on the accelerator for certain; a model without operators is not."""
        return bool(self.operators) and all(one.verdict is Verdict.MAPPED for one in self.operators)


def document(report: Report) -> dict[str, Any]:
    """Return the report as a tree for JSON, without ``schema_version``."""
    return {
        "model": report.model,
        "target": report.target,
        "quantized": report.quantized,
        "operators": [
            {
                "index": one.index,
                "op": one.op,
                "verdict": one.verdict.value,
                "reason": one.reason,
                "remedy": one.remedy,
            }
            for one in report.operators
        ],
        "segments": report.segments,
        "parameters": {
            "on_chip_bytes": report.parameters.on_chip_bytes,
            "off_chip_bytes": report.parameters.off_chip_bytes,
        },
        "fully_mapped": report.fully_mapped,
    }


@dataclass(frozen=True, kw_only=True)
class Group:
    """Operators of one kind with one verdict for one reason.

    Attributes:
        indices: their places in the model, rising.
    """

    indices: tuple[int, ...]
    op: str
    verdict: Verdict
    reason: str
    remedy: str | None


def grouped(report: Report) -> tuple[Group, ...]:
    """Return the verdicts with those alike put together, in the order in which each first appears."""
    found: dict[tuple[str, Verdict, str, str | None], list[int]] = {}
    for one in report.operators:
        found.setdefault((one.op, one.verdict, one.reason, one.remedy), []).append(one.index)
    return tuple(
        Group(indices=tuple(indices), op=op, verdict=verdict, reason=reason, remedy=remedy)
        for (op, verdict, reason, remedy), indices in found.items()
    )


def ranges(indices: tuple[int, ...]) -> str:
    """Return rising numbers as text, runs of them shortened: ``0-3, 7``."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], index]
        else:
            runs.append([index])
    return ", ".join("-".join(map(str, run)) for run in runs)
