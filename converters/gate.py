"""What a converted model must show before it may be emitted, and the operating points that it is given.

gate = Gate(points=(Criterion(name="rule-out", sensitivity=0.95),), active="rule-out")
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal

__all__ = ["Criterion", "Gate", "Indeterminate"]


class Indeterminate(str, enum.Enum):
    """Which scores are neither an alert nor clear.

    ``tolerance``: those that may fall to either side of the active threshold on another back end. ``between``: those
    between the threshold that rules out and the one that rules in as well.
    """

    TOLERANCE = "tolerance"
    BETWEEN = "between"


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """What an operating point is chosen for: exactly one of the three.

    Attributes:
        sensitivity: at least this, above 0 and below 1; the highest threshold that reaches it rules out.
        specificity: at least this, above 0 and below 1; the lowest threshold that reaches it rules in.
        balanced: ``equal-error``, the threshold where sensitivity and specificity are alike. Not Youden's (Cancer 3:32,
            1950): the maximum of a sum is flat, and its empirical place converges with the cube root of n only (Hsieh
            and Turnbull, Annals of Statistics 24:25, 1996); a crossing is steep, and the two promises are one.
    """

    name: str
    sensitivity: float | None = None
    specificity: float | None = None
    balanced: Literal["equal-error"] | None = None

    def __post_init__(self) -> None:
        asked = [name for name in ("sensitivity", "specificity", "balanced") if getattr(self, name) is not None]
        if len(asked) != 1:
            raise ValueError(
                f"{self.name}: expected one of sensitivity, specificity and balanced, got {', '.join(asked) or 'none'}"
            )
        for name in asked:
            value = getattr(self, name)
            if name != "balanced" and not 0.0 < value < 1.0:
                raise ValueError(f"{name}: expected above 0 and below 1, got {value!r}")

    def __str__(self) -> str:
        """Return the criterion in words."""
        if self.sensitivity is not None:
            return f"sensitivity >= {self.sensitivity:g}"
        return "sensitivity = specificity" if self.specificity is None else f"specificity >= {self.specificity:g}"

    @property
    def promised(self) -> float | None:
        """The rate that is claimed; None of a balanced point, which claims none."""
        return self.sensitivity if self.specificity is None else self.specificity


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The operating points, and how much a conversion may lose; the rules are in `converters.parity`.

    Attributes:
        points: one or more, with different names; the model is judged at the active one.
        active: name of the point in force.
        indeterminate: which scores are neither.
        margin: accepted loss of AUC, 0 to below 1.
        share: of validation images that judge and choose nothing, above 0 and below 1.
        significance: p-value below which fewer right decisions than the float model's are no chance.
    """

    points: tuple[Criterion, ...]
    active: str
    indeterminate: Indeterminate = Indeterminate.TOLERANCE
    margin: float = 0.01
    share: float = 0.5
    significance: float = 0.05

    def __post_init__(self) -> None:
        names = [point.name for point in self.points]
        if len(set(names)) != len(names):
            raise ValueError(f"points: expected different names, got {', '.join(names)}")
        if self.active not in names:
            raise ValueError(f"active: expected one of {', '.join(names) or 'the points'}, got {self.active!r}")
        if self.indeterminate is Indeterminate.BETWEEN and (self.ruling_out is None or self.ruling_in is None):
            raise ValueError("indeterminate: between needs a point with a sensitivity and one with a specificity")
        for name in ("share", "significance"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ValueError(f"{name}: expected above 0 and below 1, got {getattr(self, name)!r}")
        if not 0.0 <= self.margin < 1.0:
            raise ValueError(f"margin: expected 0 to below 1, got {self.margin!r}")

    @property
    def criterion(self) -> Criterion:
        """The criterion of the active point."""
        return next(point for point in self.points if point.name == self.active)

    @property
    def ruling_out(self) -> Criterion | None:
        """The first point that is chosen for a sensitivity."""
        return next((point for point in self.points if point.sensitivity is not None), None)

    @property
    def ruling_in(self) -> Criterion | None:
        """The first point that is chosen for a specificity."""
        return next((point for point in self.points if point.specificity is not None), None)
