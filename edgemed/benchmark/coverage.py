"""What runs the operators of a model besides the built-in kernels, and how many of them.

coverage.of(screener).share
"""

from __future__ import annotations

from dataclasses import dataclass

from edgemed import targets
from edgemed.errors import ConversionError, TargetMismatchError
from edgemed.runtime.interpreter import Kernels
from edgemed.runtime.screener import Screener

__all__ = ["Coverage", "of"]


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """The delegate, and the share of the operators it takes by `converters.compat`; None where nothing tells."""

    delegate: str
    share: float | None


def of(screener: Screener) -> Coverage:
    """Return what runs the model that a screener has loaded."""
    interpreter, selection = screener.classifier.interpreter, screener.selection
    target = targets.load(selection.target)
    if interpreter.accelerated:
        return Coverage(delegate=target.accelerator.value, share=_share(screener, target))
    if interpreter.kernels is Kernels.REFERENCE:
        return Coverage(delegate="none", share=0.0)
    if interpreter.backend not in ("litert", "tflite-runtime"):
        return Coverage(delegate="none", share=None)
    # Whatever the target, the CPU computes: what counts is what XNNPACK takes.
    return Coverage(delegate=Kernels.XNNPACK.value, share=_share(screener, targets.generic()))


def _share(screener: Screener, target: targets.Target) -> float | None:
    from converters import compat

    member = screener.selection.member
    try:
        report = compat.check(screener.bundle.members[member], source=member, target=target)
    except (ConversionError, TargetMismatchError):
        return None
    mapped = sum(one.verdict is compat.Verdict.MAPPED for one in report.operators)
    return round(mapped / len(report.operators), 4) if report.operators else None
