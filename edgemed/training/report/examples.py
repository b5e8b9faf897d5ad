"""The worst errors as pictures: normals with the highest scores, abnormals with the lowest, with evidence drawn over.

Pictures carry no name; text that is burned into them is on the page.

    normals, abnormals = examples.worst(candidate.subject, done)
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemed.imaging import intensity
from edgemed.imaging.frame import Frame
from edgemed.runtime import decision, evidence
from edgemed.runtime.decision import DecisionRule
from edgemed.runtime.screening import Latency, Screening
from edgemed.training.evaluation.procedure import Done
from edgemed.training.evaluation.rule import scores
from edgemed.training.evaluation.subjects import Answer, Subject

__all__ = ["SHOWN", "Example", "worst"]

SHOWN = 6
_WIDTH_PX = 480
_QUALITY = 82


@dataclass(frozen=True, kw_only=True)
class Example:
    """One image.

    Attributes:
        uri: ``data:image/jpeg;base64,...``.
        score: in force.
        wrong: it lies on the wrong side of the active threshold.
        label: the true label's name.
        explained: evidence is drawn over it.
    """

    uri: str
    score: float
    wrong: bool
    label: str
    explained: bool

    @property
    def alt(self) -> str:
        """What stands for the picture where it is not seen."""
        over = " with the evidence drawn over it" if self.explained else ""
        return f"An image labelled {self.label}, score {self.score:.3f}{over}"


def worst(subject: Subject, done: Done, *, count: int = SHOWN) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Return the highest-scored normals and the lowest-scored abnormals, worst first, at most ``count`` each.

    Raises:
        ImageError: an image cannot be read any more.
    """
    values, abnormal = done.side.answers.abnormality, done.side.answers.abnormal
    order = np.argsort(values, kind="stable")
    lowest = [int(row) for row in order if abnormal[row]][:count]
    highest = [int(row) for row in order[::-1] if not abnormal[row]][:count]
    return _examples(subject, done, highest), _examples(subject, done, lowest)


def _examples(subject: Subject, done: Done, rows: list[int]) -> tuple[Example, ...]:
    found = done.side.answers
    frames = [done.dataset.read(int(found.indices[row])) for row in rows]
    marks = scores(done.side.rule.calibration, found.abnormality[rows])
    return tuple(
        Example(
            uri=_uri(_picture(subject, done.side.rule, frame, answer, score=float(mark))),
            score=float(mark),
            wrong=(mark >= done.side.rule.operating_point.threshold) != bool(found.abnormal[row]),
            label=done.dataset.label_names[int(found.classes[row])],
            explained=answer.evidence is not None,
        )
        for frame, answer, row, mark in zip(frames, subject.answers(frames), rows, marks, strict=True)
    )


def _picture(subject: Subject, rule: DecisionRule, frame: Frame, answer: Answer, *, score: float) -> NDArray[np.uint8]:
    if answer.evidence is None:
        gray = intensity.to_8_bits(frame.pixels, bits=frame.bits)
        return np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), np.uint8)
    point = rule.operating_point
    # Without a name, and decided by the score alone: the gates have no say in what is shown here.
    shown = Screening(
        source="",
        frame=0,
        modality=None,
        decision=decision.decide(score, rule.indeterminate, point.threshold),
        score=score,
        operating_point=point.name,
        threshold=point.threshold,
        latency=Latency(decode_ms=0.0),
        evidence=answer.evidence,
    )
    return evidence.overlay(frame, shown, preprocessing=subject.preprocessing, rule=rule)


def _uri(picture: NDArray[np.uint8]) -> str:
    height, width = picture.shape[:2]
    if width > _WIDTH_PX:
        size = (_WIDTH_PX, round(height * _WIDTH_PX / width))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    raw = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
    return "data:image/jpeg;base64," + base64.b64encode(raw).decode("ascii")
