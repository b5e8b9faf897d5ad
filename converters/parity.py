"""Does the int8 model still screen as well as the float one? Measured on validation images, as a gate.

Each model is taken as it would be deployed: calibrated on its own answers, at its own threshold. The document holds
counts and no image names: a hospital's file names may tell who was examined.

    compared = parity.compare(labels, of_float, of_int8, margin=0.01)
    parity.require(compared)
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemed import statistics
from edgemed.errors import GateError

__all__ = ["Area", "Decided", "Parity", "ParityError", "compare", "flipped", "require"]


class Area(msgspec.Struct, frozen=True, kw_only=True):
    """An AUC, or a difference of two, with its DeLong 95 % interval; formatted as ``0.9812 [0.9701, 0.9884]``."""

    value: float
    ci95: tuple[float, float]

    def __format__(self, sign: str) -> str:
        low, high = self.ci95
        return f"{self.value:{sign}.4f} [{low:{sign}.4f}, {high:{sign}.4f}]"


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """The document ``evidence/parity.json``.

    Attributes:
        n, n_abnormal: validation images.
        auc_float, auc_int8: of the same images.
        difference: AUC int8 minus float, with its paired DeLong 95 % interval.
        margin: the largest AUC loss that is accepted; the interval's lower end must lie above -margin.
        threshold_float, threshold_int8: each model's own, by the same rule on its own calibrated scores, as it would
            have been deployed.
        flipped: number of images whose decision differs between the two.
        passed: non-inferior at the margin.
    """

    schema: int
    split: str
    n: int
    n_abnormal: int
    auc_float: Area
    auc_int8: Area
    difference: Area
    margin: float
    threshold_float: float
    threshold_int8: float
    flipped: int
    passed: bool


class ParityError(GateError):
    """The int8 model is not shown to be non-inferior; ``parity`` holds the figures."""

    def __init__(self, parity: Parity) -> None:
        super().__init__(
            f"parity: AUC float {parity.auc_float}, int8 {parity.auc_int8}, difference {parity.difference:+} on "
            f"{parity.n} validation images, {parity.flipped} decisions flipped; expected a lower end above "
            f"-{parity.margin}; train the quantized model longer, or validate on more images"
        )
        self.parity = parity


@dataclass(frozen=True, kw_only=True, eq=False)
class Decided:
    """Calibrated scores (n,) in [0, 1] of one model, and the threshold it would be deployed with."""

    scores: NDArray[np.float64]
    threshold: float

    @property
    def alerts(self) -> NDArray[np.bool_]:
        """Which images are abnormal to this model, (n,)."""
        found: NDArray[np.bool_] = self.scores >= self.threshold
        return found


def compare(labels: NDArray[np.int64], of_float: Decided, of_int8: Decided, *, margin: float) -> Parity:
    """Return how the int8 model's answers to validation images compare with the float model's.

    Args:
        labels: (n,), 0 normal and 1 abnormal, at least two of each.
        of_float: decisions of the float model, image by image.
        of_int8: likewise.
        margin: accepted loss of AUC, 0..1.
    """
    pair = statistics.paired_delong(labels, of_float.scores, of_int8.scores)
    return Parity(
        schema=1,
        split="validation",
        n=len(labels),
        n_abnormal=int(labels.sum()),
        auc_float=_area(statistics.delong(labels, of_float.scores)),
        auc_int8=_area(statistics.delong(labels, of_int8.scores)),
        difference=Area(value=pair.difference, ci95=pair.ci95),
        margin=margin,
        threshold_float=of_float.threshold,
        threshold_int8=of_int8.threshold,
        flipped=len(flipped(of_float, of_int8)),
        passed=pair.ci95[0] > -margin,
    )


def flipped(of_float: Decided, of_int8: Decided) -> tuple[int, ...]:
    """Return the indices of the images that the two models decide differently, rising."""
    return tuple(int(index) for index in np.flatnonzero(of_float.alerts != of_int8.alerts))


def require(parity: Parity) -> None:
    """Return when the gate holds.

    Raises:
        ParityError: the int8 model is not shown to be non-inferior; the figures are in the message.
    """
    if not parity.passed:
        raise ParityError(parity)


def _area(estimate: statistics.Estimate) -> Area:
    return Area(value=estimate.value, ci95=estimate.ci95)
