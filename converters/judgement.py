"""The decision document of a converted model, and what it is worth beside the float model's, on validation.

Calibration, threshold and indeterminate zone come from the operating part, the figures of the gate from the gate part.

    judged = judgement.of(model, raw, train=train, validation=validation, parts=parts, gate=gate, ...)
    parity.require(judged.parity, judged.flips)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from converters import answers, comparison, operating, qat, tolerance
from converters.answers import Answers
from converters.comparison import Decided
from converters.division import Parts
from converters.gate import Gate
from converters.mode import Mode
from converters.parity import Flip, Parity
from converters.report.plots import Paired
from edgemed import files, statistics
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.imaging.preprocess import Preprocessing
from edgemed.runtime import backends, decision, golden

__all__ = ["SEED", "Asked", "Data", "Judgement", "of"]

SEED = 20240229
"""Which train images describe the domain, and which patients judge."""
_DOMAIN = 2048  # train images that describe the domain for the out-of-distribution gate, at most


@dataclass(frozen=True, kw_only=True, eq=False)
class Data:
    """What a model is judged on.

    Attributes:
        train: describes the domain.
        validation: divided into ``parts``.
        preprocessing: that made the planes.
    """

    train: LabelledPlanes
    validation: LabelledPlanes
    parts: Parts
    preprocessing: Preprocessing


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
    """

    reference: Answers
    rule: decision.DecisionRule
    tolerance: golden.Tolerance | None
    parity: Parity
    flips: tuple[Flip, ...]
    paired: Paired


@dataclass(frozen=True, kw_only=True, eq=False)
class _Read:
    """One model's logits on all of validation, and how it would decide."""

    logits: NDArray[np.float64]
    scaling: decision.Calibration
    decided: Decided

    @property
    def threshold(self) -> float:
        """The threshold as a logit."""
        return operating.logit(self.decided.threshold, self.scaling)


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
    reference = answers.of(backends.load(raw, backend="litert"), validation.planes)
    converted = _read(reference.logits, validation.labels, parts, gate, model=mode.value)
    width, spread = _spread(raw, reference, data, converted.scaling, asked)
    rule = operating.decision_rule(
        reference.logits[parts.operating],
        validation.labels[parts.operating],
        model_digest=files.sha256(raw),
        calibration=converted.scaling,
        name=gate.operating_point,
        sensitivity=gate.sensitivity,
        logit_tolerance=width,
        quality=quality,
        limits=_domain(raw, reference, data.train) if "embedding" in reference.specs else None,
    )
    of_float = _read(_float_logits(model, validation.planes), validation.labels, parts, gate, model="float")
    return Judgement(
        reference=reference,
        rule=rule,
        tolerance=spread,
        parity=comparison.compare(
            validation.labels,
            of_float.decided,
            converted.decided,
            parts=parts,
            gate=gate,
            mode=mode,
            groups=validation.groups,
        ),
        flips=comparison.flips(validation.labels, validation.names, of_float.decided, converted.decided, parts=parts),
        paired=_paired(validation.labels, of_float, converted, parts),
    )


def _float_logits(model: keras.Model, planes: NDArray[np.uint8]) -> NDArray[np.float64]:
    found = [model.predict_on_batch(batch)["logit"] for batch in qat.batches(planes, 64)]
    logits: NDArray[np.float64] = np.concatenate(found)[:, 0].astype(np.float64)
    return logits


def _read(logits: NDArray[np.float64], labels: NDArray[np.int64], parts: Parts, gate: Gate, *, model: str) -> _Read:
    """Return how a model decides: calibration and threshold from its own answers to the operating part."""
    chosen = parts.operating
    scaling = operating.calibrated(logits[chosen], labels[chosen], model=model)
    scores = operating.scores(logits, scaling)
    threshold = statistics.threshold_for_sensitivity(labels[chosen], scores[chosen], gate.sensitivity)
    return _Read(logits=logits, scaling=scaling, decided=Decided(scores=scores, threshold=threshold))


def _spread(
    raw: bytes, reference: Answers, data: Data, scaling: decision.Calibration, asked: Asked
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
        calibration=scaling,
        peers=asked.peers,
        others=asked.others,
    )
    # One LSB at least: no measurement rules out that a back end rounds the other way.
    lsb = max(1, *(entry.logit_lsb for entry in measured.entries))
    return lsb * reference.scales["logit"], measured


def _domain(raw: bytes, reference: Answers, train: LabelledPlanes) -> decision.OutOfDistribution:
    chosen = np.random.default_rng(SEED).permutation(len(train.planes))[:_DOMAIN]
    domain = answers.of(backends.load(raw, backend="litert"), train.planes[chosen])
    return operating.out_of_distribution(domain.real("embedding"), reference.real("embedding"))


def _paired(labels: NDArray[np.int64], of_float: _Read, converted: _Read, parts: Parts) -> Paired:
    chosen = parts.gate
    return Paired(
        labels=labels[chosen],
        logits_float=of_float.logits[chosen],
        logits_converted=converted.logits[chosen],
        scores_float=of_float.decided.scores[chosen],
        scores_converted=converted.decided.scores[chosen],
        threshold_float=of_float.threshold,
        threshold_converted=converted.threshold,
    )
