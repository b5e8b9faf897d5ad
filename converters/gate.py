"""What a converted model must show before it may be emitted.

gate = Gate(operating_point="rule-out", sensitivity=0.95)
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Gate"]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The operating point that is promised, and how much a conversion may lose; the rules are in `converters.parity`.

    Attributes:
        operating_point: its name.
        sensitivity: promised, above 0 and below 1; the threshold is chosen for it.
        margin: accepted loss of AUC, 0 to below 1.
        share: of validation images that judge and choose nothing, above 0 and below 1.
        significance: p-value below which fewer right decisions than the float model's are no chance.
    """

    operating_point: str
    sensitivity: float
    margin: float = 0.01
    share: float = 0.5
    significance: float = 0.05

    def __post_init__(self) -> None:
        for name in ("sensitivity", "share", "significance"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ValueError(f"{name}: expected above 0 and below 1, got {getattr(self, name)!r}")
        if not 0.0 <= self.margin < 1.0:
            raise ValueError(f"margin: expected 0 to below 1, got {self.margin!r}")
