"""The models a bundle may carry, and which target runs which: the one statement of that relation.

Every bundle has `INT8`, which admits every CPU target and is what a device runs while its accelerator is absent. A
member for an accelerator admits the targets that have this accelerator and compute in its precision.

    models.admitted(targets.load("coral-usb"))  # ("model/edgetpu.tflite", "model/int8.tflite")
    models.admits(manifest.members)             # ids of the targets that these members admit
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgemed import targets
from edgemed.bundle.manifest import MODEL as INT8
from edgemed.targets import Accelerator, Precision, Target

__all__ = [
    "EDGETPU",
    "FLOAT16",
    "INT8",
    "MODELS",
    "QDQ",
    "Model",
    "admits",
    "admitted",
    "by_member",
    "for_accelerator",
    "runs",
]

EDGETPU = "model/edgetpu.tflite"
QDQ = "model/qdq.onnx"
FLOAT16 = "model/float16.onnx"

_TFLITE = ("litert", "tflite-runtime")
_ONNX = ("onnxruntime",)
_INT8_ENDS = ("int8",)
_REAL_ENDS = ("float32",)


@dataclass(frozen=True, kw_only=True)
class Model:
    """What a model member is made for.

    Attributes:
        accelerator: that it admits; `Accelerator.NONE` for the CPU.
        precision: it computes in.
        backends: names in `edgemed.runtime.backends` that can load it, in order of preference.
        ends: types of its inputs and outputs; a float end is in real units, and quantized inside the graph if at all.
        limit_bytes: largest size in a bundle.
    """

    accelerator: Accelerator
    precision: Precision
    backends: tuple[str, ...]
    ends: tuple[str, ...]
    limit_bytes: int = 128 << 20  # half of what a bundle holds


MODELS: Mapping[str, Model] = MappingProxyType(
    {
        INT8: Model(accelerator=Accelerator.NONE, precision=Precision.INT8, backends=_TFLITE, ends=_INT8_ENDS),
        EDGETPU: Model(accelerator=Accelerator.EDGETPU, precision=Precision.INT8, backends=_TFLITE, ends=_INT8_ENDS),
        QDQ: Model(
            accelerator=Accelerator.TENSORRT, precision=Precision.INT8, backends=_ONNX, ends=(*_INT8_ENDS, *_REAL_ENDS)
        ),
        FLOAT16: Model(accelerator=Accelerator.TENSORRT, precision=Precision.FLOAT16, backends=_ONNX, ends=_REAL_ENDS),
    }
)
"""Every model member, by name."""


def for_accelerator(target: Target) -> str | None:
    """Return the member that the target's accelerator runs; None for a target of the CPU."""
    if target.accelerator is Accelerator.NONE:
        return None
    wanted = (target.accelerator, target.precision)
    return next(name for name, model in MODELS.items() if (model.accelerator, model.precision) == wanted)


def admitted(target: Target) -> tuple[str, ...]:
    """Return the members that the target may run, preferred first; the last is `INT8`, on the CPU."""
    special = for_accelerator(target)
    return (INT8,) if special is None else (special, INT8)


def admits(members: Collection[str]) -> tuple[str, ...]:
    """Return the ids of the shipped targets that these members admit, sorted.

    A target with an accelerator is admitted by the member for it, never by `INT8` alone: that would be a promise of
    speed which the CPU does not keep.
    """
    return tuple(name for name in targets.available() if admitted(targets.load(name))[0] in members)


def runs(target: Target, members: Collection[str]) -> str | None:
    """Return the first member of ``members`` that the target may run; None when there is none."""
    return next((name for name in admitted(target) if name in members), None)


def by_member(target_ids: Collection[str], members: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return each model among ``members`` with the targets that run it, and no other one first, in the order given.

    An id that this edgemed has no file for is left out: what it runs is not known here.
    """
    known = [targets.load(target_id) for target_id in target_ids if target_id in targets.available()]
    return {
        name: tuple(target.id for target in known if runs(target, members) == name)
        for name in MODELS
        if name in members
    }
