"""The values that screening gives: a result for each frame, with the time of each stage.

Rules: frozen; nothing in them identifies a patient but the name of the input, which the caller gave.

    result = screening.unreadable("scan.png", str(error), frame=0, rule=rule, decode_ms=0.2)
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemed.imaging.frame import Frame
from edgemed.runtime.decision import Decision, DecisionRule

__all__ = ["Latency", "Refusal", "Screening", "refused", "unreadable"]


class Refusal(str, enum.Enum):
    """What refused a frame, in the order in which it is asked."""

    UNREADABLE = "unreadable"
    MODALITY = "modality"
    QUALITY = "quality"
    DISTANCE = "distance"


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Time of each stage in milliseconds; None for a stage that a refusal left out.

    Attributes:
        decode_ms: from the file's bytes to the frame; measured by the caller, who did it.
        preprocess_ms: gates before inference, and the plane.
        infer_ms: the plane through the input table and the model.
        decide_ms: dequantization, out-of-distribution distance, calibration, decision.
        record_ms: handing the result over to be written down, which another thread does; 0 where nothing is.
    """

    decode_ms: float
    preprocess_ms: float | None = None
    infer_ms: float | None = None
    decide_ms: float | None = None
    record_ms: float | None = None

    @property
    def total_ms(self) -> float:
        """Sum of the stages that ran, in milliseconds."""
        stages = (self.decode_ms, self.preprocess_ms, self.infer_ms, self.decide_ms, self.record_ms)
        return sum(stage for stage in stages if stage is not None)


@dataclass(frozen=True, kw_only=True, eq=False)
class Screening:
    """What was found in one frame: an abnormality score, never a diagnosis.

    Attributes:
        source: the input as its frame names it.
        frame: number within its source, from 0.
        modality: DICOM Modality of the frame; None when its format carries none.
        score: calibrated probability of abnormality in [0, 1]; None when refused.
        logit: the model's output before calibration, one number for each label where there are several; None when
            refused before inference.
        abnormality: abnormal against normal as one logit, which the score is made of; with one logit that logit. None
            when refused before inference.
        label_scores: a probability for each label, in their order, together 1; the abnormal ones make up the score.
            None when refused, and for a model of one logit.
        operating_point: name of the one in force.
        threshold: its score; None when refused before inference.
        reasons: why it was refused; empty otherwise.
        refusal: what refused it; None otherwise.
        ood_distance: distance from the training data over its limit, above 1 is refused; None when refused before
            inference, or when the bundle has no such gate.
        fallback: the CPU computed it in the place of the target's accelerator.
        evidence: (h, w) float64, read-only, in units of ``abnormality``, whose map it is; None when refused before
            inference or absent.
    """

    source: str
    frame: int
    modality: str | None
    decision: Decision
    score: float | None = None
    logit: tuple[float, ...] | None = None
    abnormality: float | None = None
    label_scores: Mapping[str, float] | None = None
    operating_point: str
    threshold: float | None = None
    reasons: tuple[str, ...] = ()
    refusal: Refusal | None = None
    ood_distance: float | None = None
    fallback: bool = False
    latency: Latency
    evidence: NDArray[np.float64] | None = None


def refused(
    frame: Frame, rule: DecisionRule, *, refusal: Refusal, reasons: tuple[str, ...], latency: Latency
) -> Screening:
    """Return the result of a frame that must not reach the model."""
    return Screening(
        source=frame.source,
        frame=frame.index,
        modality=frame.modality,
        decision=Decision.REFUSED,
        operating_point=rule.active,
        reasons=reasons,
        refusal=refusal,
        latency=latency,
    )


def unreadable(source: str, reason: str, *, frame: int, rule: DecisionRule, decode_ms: float) -> Screening:
    """Return the result of an input that gave no frame, or no further one.

    Args:
        source: the input as the caller named it.
        reason: the error, in words.
        frame: number that the missing frame would have had.
        rule: of the bundle that would have judged it.
        decode_ms: time spent trying.
    """
    return Screening(
        source=source,
        frame=frame,
        modality=None,
        decision=Decision.REFUSED,
        operating_point=rule.active,
        reasons=(reason,),
        refusal=Refusal.UNREADABLE,
        latency=Latency(decode_ms=decode_ms),
    )
