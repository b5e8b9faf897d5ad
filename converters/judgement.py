"""The decision document of a converted model, and what it is worth beside the float model's, on validation.

Calibration comes from the operating part, thresholds and indeterminate zone as well where there are no out-of-fold
answers; the figures of the gate come from the gate part.

    judged = judgement.of(model, raw, data, gate=gate, ...)
    parity.require(judged.parity, judged.flips)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from converters import answers, comparison, domain, operating, points, qat, scaling, tolerance
from converters.answers import Answers
from converters.comparison import Decided, Named
from converters.division import Parts
from converters.gate import Gate
from converters.mode import Mode
from converters.operating import Answered
from converters.parity import Flip, Parity
from converters.report.plots import Paired
from converters.scaling import Folds
from edgemed import files
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.imaging.preprocess import Preprocessing
from edgemed.runtime import backends, decision, golden
from edgemed.runtime.labels import ONE_LOGIT, Labels

__all__ = ["SEED", "Asked", "Data", "Judgement", "of"]

SEED = 20240229
"""Which train images describe the domain, and which patients judge."""
_DOMAIN = 2048  # train images that describe the domain for the out-of-distribution gate, at most


@dataclass(frozen=True, kw_only=True, eq=False)
class Data:
    """What a model is judged on.

    Attributes:
        train: describes the domain.
        validation: divided into ``parts``; its labels are the model's, see ``labels``.
        parts: of it.
        preprocessing: that made the planes.
        labels: what the logits stand for.
        folds: out-of-fold answers of models of the same recipe; None where there are none.
        altered: (v, n, H, W) uint8, v altered views of each validation plane; None where there are none.
    """

    train: LabelledPlanes
    validation: LabelledPlanes
    parts: Parts
    preprocessing: Preprocessing
    labels: Labels = ONE_LOGIT
    folds: Folds | None = None
    altered: NDArray[np.uint8] | None = None

    @property
    def views(self) -> NDArray[np.uint8] | None:
        """Return the altered views of the operating part, (v * m, H, W), view by view."""
        if self.altered is None:
            return None
        return self.altered[:, self.parts.operating].reshape(-1, *self.altered.shape[2:])

    @property
    def abnormal(self) -> NDArray[np.int64]:
        """Return 0 normal or 1 abnormal of each validation image, (n,)."""
        return self.validation.abnormal.astype(np.int64)

    @property
    def groups(self) -> NDArray[np.str_] | None:
        """Return what keeps validation images together, (n,); None where nothing is known."""
        groups = self.validation.groups
        return None if groups is None else np.array(groups, dtype=np.str_)


@dataclass(frozen=True, kw_only=True, eq=False)
class Judgement:
    """What was found.

    Attributes:
        reference: the converted model's answers to validation, on the back end that converts.
        rule: its decision document.
        tolerance: between back ends and members; None of a float model, which has no LSB to measure in.
        parity: the figures of the gate.
        flips: images of the gate part that are decided differently.
        paired: answers of both models to the gate part.
        notes: what to know of the operating points, a line each.
    """

    reference: Answers
    rule: decision.DecisionRule
    tolerance: golden.Tolerance | None
    parity: Parity
    flips: tuple[Flip, ...]
    paired: Paired
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Read:
    """One model's answers to all of validation, what chose its thresholds, and how it would decide."""

    answered: Answered
    basis: operating.Basis
    decided: Decided

    @property
    def threshold(self) -> float:
        """The threshold as a logit."""
        return scaling.logit(self.decided.threshold, self.answered.calibration)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Who is asked besides LiteRT: Pythons of other environments, and other models of the bundle by member name."""

    peers: Sequence[Path] = ()
    others: Mapping[str, bytes] = field(default_factory=dict)


def of(
    model: keras.Model,
    raw: bytes,
    data: Data,
    *,
    gate: Gate,
    mode: Mode,
    quality: decision.QualityLimits,
    asked: Asked,
) -> Judgement:
    """Return the decision document of a converted model and its figures; nothing is refused for them here.

    Args:
        model: float, of the model contract.
        raw: the converted TFLite file.
        data: that judges.
        gate: what is promised and allowed.
        mode: of the conversion.
        quality: limits before inference.
        asked: whose answers the indeterminate zone must span.

    Raises:
        ConversionError: a peer failed, or answers something else.
        GateError: the logits of a model cannot be calibrated.
    """
    validation, parts = data.validation, data.parts
    interpreter = backends.load(raw, backend="litert")
    reference = answers.of(interpreter, validation.planes, labels=data.labels)
    float_logits = _float_logits(model, validation.planes)
    converted_views = float_views = None
    if (views := data.views) is not None:
        converted_views = answers.of(interpreter, views, labels=data.labels).logits
        float_views = data.labels.abnormality(_float_logits(model, views))
    converted = _read(reference.logits, converted_views, data, gate, model=mode.value)
    of_float = _read(data.labels.abnormality(float_logits), float_views, data, gate, model="float")
    width, spread = _spread(raw, reference, data, converted.answered.calibration, asked)
    rule = operating.decision_rule(
        converted.basis,
        converted.answered,
        model_digest=files.sha256(raw),
        gate=gate,
        logit_tolerance=width,
        quality=quality,
        limits=_domain(raw, reference, data.train) if "embedding" in reference.specs else None,
    )
    return Judgement(
        reference=reference,
        rule=rule,
        tolerance=spread,
        parity=comparison.compare(
            data.abnormal,
            of_float.decided,
            converted.decided,
            parts=parts,
            gate=gate,
            mode=mode,
            groups=validation.groups,
            named=_named(float_logits, reference, data),
        ),
        flips=comparison.flips(data.abnormal, validation.names, of_float.decided, converted.decided, parts=parts),
        paired=_paired(data.abnormal, of_float, converted, parts),
        notes=operating.notes(rule, gate),
    )


def _float_logits(model: keras.Model, planes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the logits of the float model, (n, K)."""
    found = [model.predict_on_batch(batch)["logit"] for batch in qat.batches(planes, 64)]
    logits: NDArray[np.float64] = np.concatenate(found).astype(np.float64)
    return logits


def _read(
    logits: NDArray[np.float64], views: NDArray[np.float64] | None, data: Data, gate: Gate, *, model: str
) -> _Read:
    """Return how a model decides: calibrated on its own answers to the operating part, at the active threshold."""
    chosen, labels = data.parts.operating, data.abnormal
    altered = None if views is None else views.reshape(-1, len(chosen))
    calibration = scaling.fitted(
        *operating.choosing(logits[chosen], labels[chosen], altered), model=model, folds=data.folds
    )
    answered = Answered(logits=logits, labels=labels, groups=data.groups, calibration=calibration, altered=altered)
    basis = operating.basis(answered, parts=data.parts, folds=data.folds)
    threshold = points.threshold(gate.criterion, basis.labels, basis.scores)
    return _Read(answered=answered, basis=basis, decided=Decided(scores=answered.scores, threshold=threshold))


def _named(float_logits: NDArray[np.float64], reference: Answers, data: Data) -> Named | None:
    """Return the most probable label by both models, where there are several."""
    if data.labels.count == 1:
        return None
    return Named(
        labels=data.validation.labels,
        of_float=float_logits.argmax(axis=1),
        converted=reference.real("logit").argmax(axis=1),
    )


def _spread(
    raw: bytes, reference: Answers, data: Data, calibration: decision.Calibration, asked: Asked
) -> tuple[float, golden.Tolerance | None]:
    """Return the largest difference of a logit between back ends, in its unit, and the document where there is one."""
    planes = data.validation.planes
    if not reference.integers:
        return tolerance.of_float(raw, reference, planes), None
    measured = tolerance.measure(
        raw,
        reference,
        planes,
        preprocessing=data.preprocessing,
        calibration=calibration,
        peers=asked.peers,
        others=asked.others,
    )
    # One LSB at least: no measurement rules out that a back end rounds the other way.
    lsb = max(1, *(entry.logit_lsb for entry in measured.entries))
    return lsb * reference.logit_reach, measured


def _domain(raw: bytes, reference: Answers, train: LabelledPlanes) -> decision.OutOfDistribution:
    rng = np.random.default_rng(SEED)
    planes = train.planes[rng.permutation(len(train.planes))[:_DOMAIN]]
    interpreter = backends.load(raw, backend="litert")
    seen = [
        answers.of(interpreter, shown, labels=reference.labels).real("embedding")
        for shown in (planes, domain.exposures(planes, rng=rng))
    ]
    return domain.limits(np.concatenate(seen), reference.real("embedding"), lsb=reference.scales.get("embedding"))


def _paired(labels: NDArray[np.int64], of_float: _Read, converted: _Read, parts: Parts) -> Paired:
    chosen = parts.gate
    return Paired(
        labels=labels[chosen],
        logits_float=of_float.answered.logits[chosen],
        logits_converted=converted.answered.logits[chosen],
        scores_float=of_float.decided.scores[chosen],
        scores_converted=converted.decided.scores[chosen],
        threshold_float=of_float.threshold,
        threshold_converted=converted.threshold,
    )
