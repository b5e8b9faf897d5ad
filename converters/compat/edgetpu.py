"""Which operators of a TFLite file Google's Edge TPU compiler 16.0 maps, and where it cuts, without running it.

Rules, in order: a file that the compiler made says itself what is mapped; a model that does not compute in integers is
mapped nowhere; one operator that stops the compiler leaves every operator on the CPU; what remains is judged by itself,
and what depends on an unmapped operator is stranded behind it, for the compiler makes one segment.

The facts and their sources are in `edgetpu_facts`, the limits in `edgetpu_rules`, the memory in `edgetpu_memory`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from converters.compat import edgetpu_facts as facts
from converters.compat import edgetpu_memory, partition
from converters.compat.edgetpu_refusals import Refusal, refusals
from converters.compat.edgetpu_rules import Obstacle, obstacle
from converters.compat.nodes import Node, is_quantized, nodes
from converters.compat.report import OperatorVerdict, Parameters, Report, Verdict
from edgemed import tflite
from edgemed.errors import TargetMismatchError
from edgemed.targets import Target
from edgemed.tflite.model import COMPILED_OPERATOR

__all__ = ["check"]

_NOTHING = Parameters(on_chip_bytes=0, off_chip_bytes=0)
# Weights and activations go to one memory: between these shares of it the compiler alone knows whether weights fit.
_CLOSE = (0.75, 1.0)


def check(raw: bytes, *, source: str, target: Target) -> Report:
    """Return where each operator of a TFLite file runs on an Edge TPU.

    Raises:
        ConversionError: the file is damaged, of another format, or has several subgraphs.
        TargetMismatchError: the target's file does not say how much on-chip memory it has.
    """
    model = tflite.read(raw, source=source)
    found = nodes(model, source=source)
    verdicts, segments, parameters, notes = _judged(model, found, _sram_mib(target))
    return Report(
        model=source,
        target=target.id,
        quantized=tflite.is_compiled(model) or is_quantized(model),
        operators=verdicts,
        segments=segments,
        parameters=parameters,
        notes=notes,
    )


Judged = tuple[tuple[OperatorVerdict, ...], int, Parameters, tuple[str, ...]]


def _judged(model: tflite.Model, found: Sequence[Node], sram_mib: int) -> Judged:
    if tflite.is_compiled(model):
        return _compiled(found)
    if not is_quantized(model):
        remedy = "quantize it: edgemed convert, or full integer quantization of weights and activations"
        return tuple(_on_cpu(node, facts.NOT_QUANTIZED, remedy) for node in found), 0, _NOTHING, ()
    if stops := refusals(found):
        return _refused(found, stops), 0, _NOTHING, (_stopped(stops[0], found),)
    return _partitioned(model, found, sram_mib)


def _sram_mib(target: Target) -> int:
    if target.memory.sram_mib is None:
        raise TargetMismatchError(
            f"{target.id}.yaml: memory.sram_mib: expected the Edge TPU's on-chip memory, got null"
        )
    return target.memory.sram_mib


def _compiled(found: Sequence[Node]) -> Judged:
    """Return what a file of the compiler says: its custom operator is on the Edge TPU, all else on the CPU."""
    verdicts = tuple(
        replace(_mapped(node), reason=f"{facts.MAPPED} ({COMPILED_OPERATOR})")
        if node.operator.custom_name == COMPILED_OPERATOR
        else _on_cpu(node, "not part of the compiled segment", "check the file that it was compiled from")
        for node in found
    )
    segments = sum(one.verdict is Verdict.MAPPED for one in verdicts)
    note = "already compiled for the Edge TPU: what its segment holds, and its weights, can be read from the log only"
    return verdicts, segments, Parameters(on_chip_bytes=None, off_chip_bytes=None), (note,)


def _refused(found: Sequence[Node], stops: Sequence[Refusal]) -> tuple[OperatorVerdict, ...]:
    by_index = {stop.index: stop for stop in stops}
    first = stops[0]
    rest = f"nothing is compiled because of operator {first.index} ({found[first.index].name}): {first.remedy}"
    return tuple(
        _on_cpu(node, stop.reason, stop.remedy)
        if (stop := by_index.get(node.operator.index)) is not None
        else _on_cpu(node, first.outcome, rest)
        for node in found
    )


def _stopped(stop: Refusal, found: Sequence[Node]) -> str:
    return f"the compiler makes no file: operator {stop.index} ({found[stop.index].name}): {stop.reason}"


def _partitioned(model: tflite.Model, found: Sequence[Node], sram_mib: int) -> Judged:
    obstacles = {node.operator.index: why for node in found if (why := obstacle(node)) is not None}
    unmapped = {index for index, why in obstacles.items() if why.verdict is Verdict.CPU}
    everywhere = {node.operator.index for node in found}
    # Twice: with all that may be mapped, and with none of it. What is in both is mapped for certain.
    at_best = _first(partition.segments(model, everywhere - unmapped))
    at_worst = _first(partition.segments(model, everywhere - obstacles.keys()))
    causes = partition.behind(model, unmapped)
    doubts = partition.behind(model, obstacles.keys())
    verdicts = []
    for node in found:
        index = node.operator.index
        why = obstacles.get(index)
        if why is not None and (index in at_best or why.verdict is Verdict.CPU):
            verdicts.append(_held_up(node, why))
        elif index in at_worst:
            verdicts.append(_mapped(node))
        elif index in at_best:
            verdicts.append(_stranded(node, Verdict.MAYBE, found, doubts[index]))
        else:
            verdicts.append(_stranded(node, Verdict.CPU, found, causes[index]))
    sizes = [edgetpu_memory.layer_bytes(node) for node in found if node.operator.index in at_best]
    parameters = edgetpu_memory.cached(sizes, sram_mib=sram_mib)
    return tuple(verdicts), int(bool(at_best)), parameters, _memory_notes(sum(sizes), sram_mib)


def _first(segments: tuple[frozenset[int], ...]) -> frozenset[int]:
    return segments[0] if segments else frozenset()


def _memory_notes(size: int, sram_mib: int) -> tuple[str, ...]:
    sram = sram_mib << 20
    if not _CLOSE[0] * sram < size <= _CLOSE[1] * sram:
        return ()
    return (
        f"its weights take {size} of {sram} bytes on chip, which they share with instructions and activations: "
        "the compiler may stream more or less of them than said here",
    )


def _mapped(node: Node) -> OperatorVerdict:
    return OperatorVerdict(
        index=node.operator.index, op=node.operator.name, verdict=Verdict.MAPPED, reason=facts.MAPPED
    )


def _on_cpu(node: Node, reason: str, remedy: str) -> OperatorVerdict:
    return OperatorVerdict(
        index=node.operator.index, op=node.operator.name, verdict=Verdict.CPU, reason=reason, remedy=remedy
    )


def _held_up(node: Node, why: Obstacle) -> OperatorVerdict:
    return OperatorVerdict(
        index=node.operator.index, op=node.operator.name, verdict=why.verdict, reason=why.reason, remedy=why.remedy
    )


def _stranded(node: Node, verdict: Verdict, found: Sequence[Node], cause: int | None) -> OperatorVerdict:
    """Return the verdict on an operator that would be mapped if the ones before it were."""
    before = "an operator before it" if cause is None else f"operator {cause} ({found[cause].name})"
    condition = "runs on the CPU" if verdict is Verdict.CPU else "may run on the CPU"
    return OperatorVerdict(
        index=node.operator.index,
        op=node.operator.name,
        verdict=verdict,
        reason=facts.STRANDED,
        remedy=f"nothing to change here: {before} {condition}, and this one depends on it",
    )
