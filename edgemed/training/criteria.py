"""The operating points that a recipe asks for: what a screening threshold is chosen for, one or several.

    operating_points:
      - {name: rule-out, sensitivity: 0.95}
      - {name: rule-in, specificity: 0.95}
      - {name: balanced, balanced: equal-error}
    active: rule-out
    indeterminate: between

``operating_point`` with one criterion, in force and without a zone but the tolerance, is the short form.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from edgemed.bundle.manifest import Name

__all__ = ["Criterion", "Indeterminate", "require_consistent"]

Rate = Annotated[float, Meta(gt=0.0, lt=1.0)]

Indeterminate: TypeAlias = Literal["tolerance", "between"]
"""Scores that are neither: within the tolerance between back ends, or between ruling out and ruling in as well."""


class Criterion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operating point is chosen for: exactly one of the three.

    Attributes:
        sensitivity: at least this; the highest threshold that reaches it.
        specificity: at least this; the lowest threshold that reaches it.
        balanced: the threshold at which sensitivity and specificity are alike.
    """

    name: Name
    sensitivity: Rate | None = None
    specificity: Rate | None = None
    balanced: Literal["equal-error"] | None = None

    def __post_init__(self) -> None:
        asked = [key for key in ("sensitivity", "specificity", "balanced") if getattr(self, key) is not None]
        if len(asked) != 1:
            raise ValueError(
                f"{self.name}: expected one of sensitivity, specificity and balanced, got {', '.join(asked) or 'none'}"
            )


def require_consistent(points: tuple[Criterion, ...], active: str | None, indeterminate: Indeterminate) -> None:
    """Return when several operating points make sense together.

    Raises:
        ValueError: names repeat, the active one is not among them, or there is nothing to be between.
    """
    names = [point.name for point in points]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"operating_points: expected different names, got {', '.join(repeated)} several times")
    if active not in names:
        got = "none" if active is None else repr(active)
        raise ValueError(f"active: expected one of the operating points, {', '.join(names)}, got {got}")
    kinds = {"sensitivity" for point in points if point.sensitivity} | {
        "specificity" for point in points if point.specificity
    }
    if indeterminate == "between" and len(kinds) < 2:
        raise ValueError(
            "indeterminate: between: expected an operating point with a sensitivity and one with a specificity, got "
            f"{', '.join(sorted(kinds)) or 'neither'} only"
        )
