"""Does the converted model still screen as well as the float one? Judged on the gate part of validation.

Each model is taken as it would be deployed: calibrated on its own answers to the operating part, at its own threshold.
On the gate part, which chose nothing, three rules hold, and a model that breaks one is not emitted:

1. AUC is non-inferior: the lower end of the paired DeLong 95 % interval of its difference lies above -margin (DeLong
   et al., Biometrics 44:837, 1988; non-inferiority by a confidence interval: ICH E9, section 3.3.2).
2. The promised sensitivity, or specificity, is not refuted at the shipped threshold: its Wilson 95 % interval reaches
   the promise or lies above it (Wilson, JASA 22:209, 1927). The float model's figures stand beside. An operating point
   that is balanced promises neither.
3. It does not decide significantly worse: the exact McNemar test on right decisions gives a p-value at or above the
   significance, or the float model is not the one that is right more often (McNemar, Psychometrika 12:153, 1947).

A decision here is alert or not, at the threshold: the indeterminate zone, which hides a flip at the bedside, hides
none here. Documents hold counts and no image names: a hospital's file names may tell who was examined.

    parity.require(comparison.compare(labels, of_float, converted, parts=parts, gate=gate, mode=Mode.QAT))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from converters.mode import Mode
from edgemed import statistics
from edgemed.errors import GateError

__all__ = [
    "Area",
    "Areas",
    "Flip",
    "Interval",
    "McNemar",
    "Parity",
    "ParityError",
    "Part",
    "Point",
    "Share",
    "TopLabel",
    "failures",
    "require",
]

Unit = Annotated[float, Meta(ge=0.0, le=1.0)]
Interval = tuple[float, float]
Count = Annotated[int, Meta(ge=0)]


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Area(_Document, frozen=True, kw_only=True):
    """An AUC, or a difference of two, with its DeLong 95 % interval; formatted as ``0.9812 [0.9701, 0.9884]``.

    Attributes:
        ci95_by_patient: percentiles over resamples of whole patients; None where no patient has several images.
    """

    value: float
    ci95: Interval
    ci95_by_patient: Interval | None = None

    def __format__(self, sign: str) -> str:
        return statistics.shown(self.value, self.ci95, by_patient=self.ci95_by_patient, form=f"{sign}.4f")


class Areas(_Document, frozen=True, kw_only=True):
    """AUC of both models on the same images; ``difference`` is converted minus float, paired."""

    of_float: Area
    converted: Area
    difference: Area


class Share(_Document, frozen=True, kw_only=True):
    """``count`` of ``n`` with Wilson's 95 % interval; formatted as ``0.953 [0.902, 0.979], 122 of 128``."""

    count: Count
    n: Annotated[int, Meta(ge=1)]
    value: Unit
    ci95: tuple[Unit, Unit]

    def __format__(self, _: str) -> str:
        return f"{statistics.shown(self.value, self.ci95, form='.3f')}, {self.count} of {self.n}"


class Point(_Document, frozen=True, kw_only=True):
    """What a threshold, chosen on the operating part, does on the gate part."""

    threshold: Unit
    sensitivity: Share
    specificity: Share


class Part(_Document, frozen=True, kw_only=True):
    """Size of a part of validation; ``n_groups`` counts patients or near-duplicate groups, None where unknown."""

    n: Count
    n_abnormal: Count
    n_groups: Count | None


class McNemar(_Document, frozen=True, kw_only=True):
    """Images that one model alone decides rightly, with the exact two-sided p-value of equal chances."""

    only_float: Count
    only_converted: Count
    p_value: Unit


class TopLabel(_Document, frozen=True, kw_only=True):
    """The label with the largest logit: images on which both models name the same, and those each names rightly."""

    agreed: Share
    right_float: Share
    right_converted: Share


class Parity(_Document, frozen=True, kw_only=True):
    """The document ``evidence/parity.json``.

    Attributes:
        mode: of the conversion.
        operating: the part of validation that chose calibration and thresholds.
        gate: the part that judged; what follows was measured on it alone.
        areas: of both models.
        margin: the largest AUC loss that is accepted.
        promised: rate that the threshold was chosen for; None where it was chosen for a balance.
        promise: which rate.
        point_float, point_converted: each model at its own threshold.
        mcnemar: on right decisions.
        significance: p-value below which a difference is no chance.
        flipped: images whose decision differs.
        to_alert, to_clear: of them, by what the converted model decides.
        whole: AUC on all of validation, for information: no threshold takes part in it.
        labels: the most probable label, on the gate part; None of a model of one logit.
        passed: no rule is broken.
    """

    schema: Literal[2]
    split: Literal["validation"]
    mode: Mode
    operating: Part
    gate: Part
    areas: Areas
    margin: float
    promised: Unit | None
    promise: Literal["sensitivity", "specificity"] = "sensitivity"
    point_float: Point
    point_converted: Point
    mcnemar: McNemar
    significance: Unit
    flipped: Count
    to_alert: Count
    to_clear: Count
    whole: Areas
    labels: TopLabel | None = None
    passed: bool


@dataclass(frozen=True, kw_only=True)
class Flip:
    """An image of the gate part that the models decide differently; its name goes into no document.

    Attributes:
        score_float, score_converted: calibrated, each by its own model.
        alert: what the converted model decides.
    """

    name: str
    abnormal: bool
    score_float: float
    score_converted: float
    alert: bool


class ParityError(GateError):
    """The converted model is not emitted; ``parity`` holds the figures, ``flips`` the images by name."""

    def __init__(self, parity: Parity, flips: Sequence[Flip] = ()) -> None:
        areas = parity.areas
        super().__init__(
            f"parity: {'; '.join(failures(parity))}. On the gate part, {parity.gate.n} of "
            f"{parity.gate.n + parity.operating.n} validation images, {parity.gate.n_abnormal} abnormal: AUC float "
            f"{areas.of_float}, {parity.mode.value} {areas.converted}; {parity.flipped} decisions flipped. "
            f"{_advice(parity.mode)}, or validate on more images"
        )
        self.parity = parity
        self.flips = tuple(flips)


def failures(parity: Parity) -> tuple[str, ...]:
    """Return the rules of this module that the figures break, in words, in their order; empty when the gate holds."""
    return tuple(_broken(parity))


def _broken(parity: Parity) -> Iterator[str]:
    difference, pairs = parity.areas.difference, parity.mcnemar
    found, of_float = (getattr(point, parity.promise) for point in (parity.point_converted, parity.point_float))
    if not difference.ci95[0] > -parity.margin:
        yield (
            f"AUC {parity.mode.value} minus float {statistics.shown(difference.value, difference.ci95, form='+.4f')}, "
            f"expected a lower end above -{parity.margin:g}"
        )
    if parity.promised is not None and found.ci95[1] < parity.promised:
        yield (
            f"{parity.promise} at the threshold {found} (float {of_float}), expected an interval that reaches "
            f"{parity.promised:g}"
        )
    if pairs.p_value < parity.significance and pairs.only_converted < pairs.only_float:
        yield (
            f"{pairs.only_float} images decided rightly by float alone and {pairs.only_converted} by "
            f"{parity.mode.value} alone, McNemar p {pairs.p_value:.4f}, expected {parity.significance:g} or more"
        )


def require(parity: Parity, flips: Sequence[Flip] = ()) -> None:
    """Return when the gate holds.

    Raises:
        ParityError: a rule is broken; which, and the figures, are in the message.
    """
    if not parity.passed:
        raise ParityError(parity, flips)


def _advice(mode: Mode) -> str:
    return {
        Mode.QAT: "Train the quantized model longer",
        Mode.PTQ: "Convert with --mode qat",
        Mode.FLOAT16: "Convert with --mode float32",
        Mode.FLOAT32: "Check the preprocessing and the outputs of the model",
    }[mode]
