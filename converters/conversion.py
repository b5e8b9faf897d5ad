"""One float Keras model becomes one artifact: TFLite model, decision document, golden vectors, and the evidence for it.

Values in, value out; nothing is written. The steps, in order: validation in two parts, conversion (fake-quantized twin,
its calibration and training, or the TFLite converter alone), answers on validation, tolerance between back ends,
decision document from the operating part, parity gate on the gate part, members for the target, golden vectors, card.
Four source pictures of validation become members, as they are; no name of an image and no path does.

    made = conversion.convert(model, target=target, train=train, validation=validation, calibration=chosen, ...)
    artifact.write(folder, made)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from converters import (
    answers,
    card,
    comparison,
    contract,
    division,
    emission,
    export,
    operating,
    parity,
    qat,
    tolerance,
    vectors,
)
from converters import calibration as calibrations
from converters.answers import Answers
from converters.artifact import Artifact
from converters.calibration import Calibration
from converters.comparison import Decided
from converters.division import Parts
from converters.gate import Gate
from converters.mode import Mode
from converters.parity import Flip, Parity
from edgemed import files, schema, statistics
from edgemed.bundle import models
from edgemed.bundle.manifest import ArtifactDocument, Description
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.imaging.preprocess import Preprocessing, encode
from edgemed.runtime import backends, decision, golden
from edgemed.targets import Target

__all__ = ["convert"]

_SEED = 20240229  # which train images describe the domain, which patients judge
_DOMAIN = 2048  # train images that describe the domain for the out-of-distribution gate, at most


@dataclass(frozen=True, kw_only=True)
class _Spread:
    """Largest difference of a logit between back ends, in its unit, and the document, where there is one."""

    logit: float
    tolerance: golden.Tolerance | None


def convert(
    model: keras.Model,
    *,
    target: Target | Sequence[Target],
    train: LabelledPlanes,
    validation: LabelledPlanes,
    calibration: Calibration,
    preprocessing: Preprocessing,
    fit: Callable[[keras.Model], None],
    gate: Gate,
    description: Description,
    quality: decision.QualityLimits,
    facts: card.Facts,
    mode: Mode = Mode.QAT,
    input_range: tuple[float, float] | None = None,
    peers: Sequence[Path] = (),
    note: Callable[[str], None] = lambda _: None,
) -> Artifact:
    """Convert a float model and prove that it still screens as well.

    Args:
        model: float; it is not changed. One that is not of the model contract is made so: see `converters.contract`.
        target: device to convert for, or several: they say which members are made.
        train: split for training and the domain.
        validation: split that shares no patient with it, divided here once more: one part gives calibration, threshold
            and indeterminate zone, the other judges.
        calibration: planes of train that set the first ranges (qat) or all of them (ptq).
        preprocessing: that made the planes.
        fit: trains the twin in place, called in mode qat only; the caller owns data order, loss and schedule.
        gate: what is promised, and how much may be lost.
        description: what the model is for.
        quality: limits before inference.
        facts: about data and training, for the model card.
        mode: how.
        input_range: (low, high) that grey levels 0..255 stood for in training, where the graph does not rescale them.
        peers: Python executables of environments that measure further back ends.
        note: told what goes on, a line each.

    Raises:
        ConfigError: validation cannot be divided into two parts with enough images of each label.
        ConversionError: the model cannot be made one of the contract, a layer cannot be quantized, the export is not
            fully int8, calibration does not fit the model, a peer failed, or a source frame no longer gives its plane.
        GateError: the converted model fails the parity gate, or its logits cannot be calibrated.
    """
    devices = (target,) if isinstance(target, Target) else tuple(target)
    parts = division.of(validation, share=gate.share, seed=_SEED)
    adapted = contract.adapted(model, input_range=input_range, validation=validation)
    for line in adapted.notes:
        note(f"model: {line}")
    model = adapted.model
    calibrations.require_fits(calibration, model)
    raw = _tflite(model, mode, calibration, fit, note)
    emitted = emission.members_for(devices, raw, mode=mode)
    note(f"answers of the {len(raw) / 1000:.0f} kB model on {len(validation.planes)} validation images")
    reference = answers.of(backends.load(raw, backend="litert"), validation.planes)
    scaling = operating.calibrated(
        reference.logits[parts.operating], validation.labels[parts.operating], model=mode.value
    )
    spread = _spread(
        raw, reference, validation.planes, emitted.comparable, preprocessing=preprocessing, scaling=scaling, peers=peers
    )
    rule = operating.decision_rule(
        reference.logits[parts.operating],
        validation.labels[parts.operating],
        model_digest=files.sha256(raw),
        calibration=scaling,
        name=gate.operating_point,
        sensitivity=gate.sensitivity,
        logit_tolerance=spread.logit,
        quality=quality,
        limits=_domain(raw, reference, train) if "embedding" in reference.specs else None,
    )
    compared, flips = _compared(model, reference, rule, validation, parts=parts, gate=gate, mode=mode)
    parity.require(compared, flips)
    described = _described(description, reference, emitted.members)
    return Artifact(
        description=described,
        members={
            **emitted.members,
            "preprocessing.json": encode(preprocessing),
            "decision.json": schema.encode_json(rule),
            "evidence/parity.json": schema.encode_json(compared),
            "evidence/training.json": schema.encode_json(facts),
            "card.md": card.render(described, facts, rule, compared, spread.tolerance, adapted=adapted.notes).encode(),
            **_golden(reference, validation, preprocessing, spread.tolerance),
        },
        mode=mode,
        parity=compared,
        flips=flips,
        tolerance=spread.tolerance,
        rule=rule,
        notes=emitted.notes,
    )


def _tflite(
    model: keras.Model,
    mode: Mode,
    calibration: Calibration,
    fit: Callable[[keras.Model], None],
    note: Callable[[str], None],
) -> bytes:
    """Return the TFLite file that a mode makes of a float model."""
    if mode is Mode.QAT:
        twin = qat.quantization_aware(model, input_ranges={model.inputs[0].name: qat.PLANE_RANGE}, symmetric=False)
        qat.calibrate(twin, calibration.planes)
        fit(twin)
        note("exporting to int8 TFLite")
        return export.int8_tflite(twin, calibration.planes)
    from converters import ptq

    note(f"converting to {mode.value} TFLite")
    if mode is Mode.PTQ:
        return ptq.int8_tflite(model, calibration)
    return ptq.float16_tflite(model) if mode is Mode.FLOAT16 else ptq.float32_tflite(model)


def _spread(
    raw: bytes,
    reference: Answers,
    planes: NDArray[np.uint8],
    others: Mapping[str, bytes],
    *,
    preprocessing: Preprocessing,
    scaling: decision.Calibration,
    peers: Sequence[Path],
) -> _Spread:
    """Return how far back ends and members lie apart; a float model has no LSB to measure in."""
    if not reference.integers:
        return _Spread(logit=tolerance.of_float(raw, reference, planes), tolerance=None)
    measured = tolerance.measure(
        raw, reference, planes, preprocessing=preprocessing, calibration=scaling, peers=peers, others=others
    )
    # One LSB at least: no measurement rules out that a back end rounds the other way.
    lsb = max(1, *(entry.logit_lsb for entry in measured.entries))
    return _Spread(logit=lsb * reference.scales["logit"], tolerance=measured)


def _compared(
    model: keras.Model,
    reference: Answers,
    rule: decision.DecisionRule,
    validation: LabelledPlanes,
    *,
    parts: Parts,
    gate: Gate,
    mode: Mode,
) -> tuple[Parity, tuple[Flip, ...]]:
    """Return the figures of the gate part, and the images that are decided differently."""
    labels = validation.labels
    of_float = _decided_float(model, validation, parts, gate)
    converted = Decided(
        scores=operating.scores(reference.logits, rule.calibration), threshold=rule.operating_point.threshold
    )
    compared = comparison.compare(
        labels, of_float, converted, parts=parts, gate=gate, mode=mode, groups=validation.groups
    )
    return compared, comparison.flips(labels, validation.names, of_float, converted, parts=parts)


def _decided_float(model: keras.Model, validation: LabelledPlanes, parts: Parts, gate: Gate) -> Decided:
    """Return the float model's decisions, by the rule that the converted model's follow."""
    found = [model.predict_on_batch(batch)["logit"] for batch in qat.batches(validation.planes, 64)]
    logits = np.concatenate(found)[:, 0].astype(np.float64)
    labels = validation.labels[parts.operating]
    scores = operating.scores(logits, operating.calibrated(logits[parts.operating], labels, model="float"))
    return Decided(
        scores=scores,
        threshold=statistics.threshold_for_sensitivity(labels, scores[parts.operating], gate.sensitivity),
    )


def _golden(
    reference: Answers, validation: LabelledPlanes, preprocessing: Preprocessing, spread: golden.Tolerance | None
) -> dict[str, bytes]:
    """Return golden vectors and their tolerance, by member name; of a float model there are none."""
    if spread is None:
        return {}
    made = vectors.members(validation.read, validation.planes, reference, preprocessing=preprocessing)
    return {**made, golden.TOLERANCE: schema.encode_json(spread)}


def _domain(raw: bytes, reference: Answers, train: LabelledPlanes) -> decision.OutOfDistribution:
    chosen = np.random.default_rng(_SEED).permutation(len(train.planes))[:_DOMAIN]
    domain = answers.of(backends.load(raw, backend="litert"), train.planes[chosen])
    return operating.out_of_distribution(domain.real("embedding"), reference.real("embedding"))


def _described(description: Description, reference: Answers, members: Collection[str]) -> ArtifactDocument:
    return ArtifactDocument(
        **msgspec.structs.asdict(description),
        targets=models.admits(members),
        outputs=tuple(sorted(reference.specs)),
    )
