"""Which model members an artifact gets for its targets: the one place that knows what each accelerator is given.

The converted TFLite file is always one. What an accelerator runs is made from it here, by the module for it, and held
against it: the Edge TPU compiler's log against what was predicted, ONNX against TFLite on validation.

    emission.require(devices, Mode.QAT)
    emitted = emission.members_for(devices, translated, mode=Mode.QAT)
    agreements = emission.agreements(emitted, planes, labels, rule=rule)

Source of the members: `edgemed.bundle.models`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from converters import compat, edgetpu, edgetpu_log, jetson
from converters.jetson import Agreement
from converters.mode import Mode
from converters.translation import Translated
from edgemed.bundle import models
from edgemed.errors import ConversionError, MissingDependencyError
from edgemed.runtime.decision import DecisionRule
from edgemed.runtime.labels import ONE_LOGIT, Labels
from edgemed.targets import Accelerator, Precision, Target

__all__ = ["Emission", "agreements", "members_for", "require", "wants_symmetric"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Emission:
    """What there is for some targets.

    Attributes:
        members: models by name.
        comparable: of them, besides the converted file, those that run on this machine: they enter the tolerance.
        notes: what the user should know, a line each.
    """

    members: Mapping[str, bytes]
    comparable: Mapping[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def wants_symmetric(devices: Sequence[Target]) -> bool:
    """Tell whether a device needs integers with the zero point 0: TensorRT takes no other."""
    return any(device.accelerator is Accelerator.TENSORRT and device.precision is Precision.INT8 for device in devices)


def require(devices: Sequence[Target], mode: Mode) -> None:
    """Return when the mode can make what the devices run here; found out before training, not after.

    Raises:
        ConversionError: a device needs zero points of 0, which only training with symmetric ranges makes.
        MissingDependencyError: a device runs ONNX, and what writes or checks it is not installed.
    """
    if mode.is_int8 and any(models.for_accelerator(device) in (models.QDQ, models.FLOAT16) for device in devices):
        missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
        if missing:
            raise MissingDependencyError(
                f"{', '.join(missing)}: not installed; a Jetson runs ONNX: pip install 'edgemed[jetson]', or leave the "
                "target out"
            )
    if mode is Mode.PTQ and wants_symmetric(devices):
        names = ", ".join(device.id for device in devices if wants_symmetric([device]))
        raise ConversionError(
            f"--mode ptq: expected mode qat for {names}: TensorRT refuses zero points other than 0, which the TFLite "
            "converter makes; convert with --mode qat, or leave the target out"
        )


def members_for(devices: Sequence[Target], translated: Translated, *, mode: Mode) -> Emission:
    """Return the model members for some targets.

    Args:
        devices: to convert for.
        translated: the TFLite files of the conversion.
        mode: of the conversion.

    Raises:
        ConversionError: the model has no form that an accelerator takes, or Google's compiler made no file of it.
        MissingDependencyError: a Jetson is asked for and the package onnx is not installed.
    """
    converted = {mode.member: translated.raw}
    if not mode.is_int8:
        note = f"a bundle needs an int8 model; {mode.member} is for comparison: convert with --mode qat or ptq for one"
        return Emission(members=converted, notes=(note,))
    wanted = {models.for_accelerator(device) for device in devices}
    onnx: dict[str, bytes] = {}
    notes: list[str] = []
    if models.QDQ in wanted:
        onnx[models.QDQ] = jetson.qdq_onnx(translated.raw)
    if models.FLOAT16 in wanted:
        onnx[models.FLOAT16] = jetson.float16_onnx(translated.float_raw)
        notes.append("TensorRT has no int8 on this Jetson: it gets model/float16.onnx")
    compiled: dict[str, bytes] = {}
    if models.EDGETPU in wanted:
        compiled, lines = _compiled(next(one for one in devices if one.accelerator is Accelerator.EDGETPU), translated)
        notes += lines
    return Emission(members={**converted, **compiled, **onnx}, comparable=onnx, notes=tuple(notes))


def _compiled(device: Target, translated: Translated) -> tuple[dict[str, bytes], list[str]]:
    """Return the Edge TPU member, if there is a compiler, and every difference of its log from the prediction."""
    made = edgetpu.compile(translated.raw)
    if made is None:
        return {}, [f"{device.id}: {edgetpu.ABSENT}"]
    predicted = compat.check(translated.raw, source=models.INT8, target=device)
    return {models.EDGETPU: made.raw}, [
        f"Edge TPU compiler: {line}" for line in edgetpu_log.differences(predicted, made.log)
    ]


def agreements(
    emitted: Emission,
    converted: bytes,
    planes: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    rule: DecisionRule,
    meaning: Labels = ONE_LOGIT,
) -> dict[str, Agreement]:
    """Return how the answers of each ONNX member compare with those of the converted file, by member name.

    Args:
        emitted: result of `members_for`.
        converted: the int8 TFLite file.
        planes: (N, H, W) uint8, validation.
        labels: (N,), 0 normal and 1 abnormal.
        rule: the decision document, whose indeterminate zone spans the difference between members.
        meaning: of the model's logits.

    Raises:
        AgreementError: a member's AUC differs by more than the margin, or it contradicts a decision.
    """
    found = {}
    for member, onnx in emitted.comparable.items():
        found[member] = jetson.compare(converted, onnx, planes, labels, rule=rule, meaning=meaning)
        jetson.require(found[member])
    return found
