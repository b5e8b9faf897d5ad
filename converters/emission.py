"""Which model members an artifact gets for a target: the one place that knows what each accelerator is given.

The converted TFLite file is always one. What an accelerator runs is made from it here, by the module for it.

    emitted = emission.members_for(target, raw, mode=Mode.QAT)
    members |= emitted.members
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from converters.mode import Mode
from edgemed.bundle import models
from edgemed.targets import Target

__all__ = ["Emission", "members_for"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Emission:
    """Model members by name, and what there is to say of them, a line each."""

    members: Mapping[str, bytes]
    notes: tuple[str, ...] = ()


def members_for(target: Target, raw: bytes, *, mode: Mode) -> Emission:
    """Return the model members for a target.

    Args:
        target: to convert for.
        raw: the converted TFLite file, which passed the gate.
        mode: of the conversion.
    """
    members = {mode.member: raw}
    if not mode.is_int8:
        note = f"a bundle needs an int8 model; {mode.member} is for comparison: convert with --mode qat or ptq for one"
        return Emission(members=members, notes=(note,))
    special = models.for_accelerator(target)
    if special is None:
        return Emission(members=members)
    note = f"{target.id} needs {special}, which this release does not write; the artifact admits CPU targets only"
    return Emission(members=members, notes=(note,))
