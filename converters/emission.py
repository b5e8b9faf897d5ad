"""Which model members an artifact gets for a target: the one place that knows what each accelerator is given.

The converted TFLite file is always one. What an accelerator runs is made from it here, by the module for it.

    emitted = emission.members_for([target], raw, mode=Mode.QAT)
    members |= emitted.members
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from converters.mode import Mode
from edgemed.bundle import models
from edgemed.targets import Accelerator, Precision, Target

__all__ = ["Emission", "members_for", "wants_symmetric"]


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


def members_for(devices: Sequence[Target], raw: bytes, *, mode: Mode) -> Emission:
    """Return the model members for some targets.

    Args:
        devices: to convert for.
        raw: the converted TFLite file.
        mode: of the conversion.
    """
    members = {mode.member: raw}
    if not mode.is_int8:
        note = f"a bundle needs an int8 model; {mode.member} is for comparison: convert with --mode qat or ptq for one"
        return Emission(members=members, notes=(note,))
    lacking = {device.id: models.for_accelerator(device) for device in devices}
    return Emission(
        members=members,
        notes=tuple(
            f"{name} needs {member}, which this release does not write; the artifact admits CPU targets only"
            for name, member in lacking.items()
            if member is not None
        ),
    )
