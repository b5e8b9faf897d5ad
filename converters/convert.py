"""One float Keras model becomes one artifact: int8 model, decision document, golden vectors and the evidence for them.

Values in, values out; nothing is written. The steps, in order: fake-quantized twin, calibration, training of the twin,
export, answers on validation, tolerance between back ends, decision document, parity gate, golden vectors, card. Four
source pictures of validation become members, as they are; no name of an image and no path does.

    conversion = convert.convert(model, train=train, validation=validation, fit=fit, options=options, facts=facts, ...)
    artifact.write(folder, conversion.description, conversion.members)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from converters import answers, card, export, operating, parity, qat, tolerance, vectors
from converters.answers import Answers
from edgemed import files, schema, statistics, targets
from edgemed.bundle.manifest import MODEL, Artifact, Description
from edgemed.errors import ConfigError
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.imaging.preprocess import Preprocessing, encode
from edgemed.runtime import backends, decision, golden

__all__ = ["Conversion", "Options", "convert", "cpu_targets", "lacking"]

_SEED = 20240229  # which train images calibrate and describe the domain


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to convert.

    Attributes:
        calibration: train images that set the first ranges.
        domain: train images that describe the domain for the out-of-distribution gate, at most.
        operating_point: name of the operating point.
        sensitivity: it must reach on validation, 0..1.
        margin: accepted loss of AUC, 0..1.
        peers: Python executables of environments that measure further back ends.
    """

    calibration: int
    operating_point: str
    sensitivity: float
    domain: int = 2048
    margin: float = 0.01
    peers: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Conversion:
    """The result: what the artifact folder holds, and the figures to show.

    Attributes:
        flipped: names of the validation images that float and int8 decide differently; in no member.
    """

    description: Artifact
    members: dict[str, bytes]
    parity: parity.Parity
    flipped: tuple[str, ...]
    tolerance: golden.Tolerance
    rule: decision.DecisionRule


def convert(
    model: keras.Model,
    *,
    description: Description,
    preprocessing: Preprocessing,
    quality: decision.QualityLimits,
    train: LabelledPlanes,
    validation: LabelledPlanes,
    fit: Callable[[keras.Model], None],
    options: Options,
    facts: card.Facts,
    note: Callable[[str], None] = lambda _: None,
) -> Conversion:
    """Convert a float model by quantization-aware training and prove that it still screens as well.

    Args:
        model: float, of the model contract.
        description: what the model is for.
        preprocessing: that made the planes.
        quality: limits before inference.
        train: split for ranges, training and the domain.
        validation: split that shares no patient with it; parity, calibration and threshold are taken from it.
        fit: trains the twin; the caller owns data order, loss and schedule.
        options: how.
        facts: about data and training, for the model card.
        note: told what goes on, a line each.

    Raises:
        ConfigError: validation has fewer than two normal or two abnormal images.
        ConversionError: a layer cannot be quantized, the export is not fully int8, a peer failed, or a source frame
            no longer gives its plane.
        GateError: the int8 model is not shown to be non-inferior, or its logits cannot be calibrated.
    """
    _require_two_of_each(validation.labels)
    twin = qat.quantization_aware(model, input_ranges={model.input.name: qat.PLANE_RANGE})
    qat.calibrate(twin, _some(train.planes, options.calibration))
    fit(twin)
    note("exporting to int8 TFLite")
    raw = export.int8_tflite(twin, train.planes)
    note(f"answers of {len(raw) / 1000:.0f} kB int8 model on {len(validation.planes)} validation images")
    reference = answers.of(backends.load(raw, backend="litert"), validation.planes)
    calibration = operating.calibrated(reference.logits, validation.labels)
    spread = tolerance.measure(
        raw,
        reference,
        validation.planes,
        preprocessing=preprocessing,
        calibration=calibration,
        peers=options.peers,
    )
    rule = operating.decision_rule(
        reference.logits,
        validation.labels,
        model_digest=files.sha256(raw),
        calibration=calibration,
        name=options.operating_point,
        sensitivity=options.sensitivity,
        logit_tolerance=max(1, *(entry.logit_lsb for entry in spread.entries)) * reference.scales["logit"],
        quality=quality,
        limits=_domain(raw, reference, train, options) if "embedding" in reference.integers else None,
    )
    of_float, of_int8 = _decided(model, validation, options), _decided_int8(reference, rule)
    compared = parity.compare(validation.labels, of_float, of_int8, margin=options.margin)
    parity.require(compared)
    described = _described(description, reference)
    return Conversion(
        description=described,
        members={
            MODEL: raw,
            "preprocessing.json": encode(preprocessing),
            **_documents(described, facts, rule, compared, spread),
            **vectors.members(validation.read, validation.planes, reference, preprocessing=preprocessing),
        },
        parity=compared,
        flipped=tuple(validation.names[index] for index in parity.flipped(of_float, of_int8)),
        tolerance=spread,
        rule=rule,
    )


def _documents(
    description: Artifact,
    facts: card.Facts,
    rule: decision.DecisionRule,
    compared: parity.Parity,
    spread: golden.Tolerance,
) -> dict[str, bytes]:
    """Return what was found out about the model, by member name."""
    return {
        "decision.json": schema.encode_json(rule),
        golden.TOLERANCE: schema.encode_json(spread),
        "evidence/parity.json": schema.encode_json(compared),
        "evidence/training.json": schema.encode_json(facts),
        "card.md": card.render(description, facts, rule, compared, spread).encode(),
    }


def _require_two_of_each(labels: NDArray[np.int64]) -> None:
    """Refuse what has no AUC with an interval, before the work and not after it."""
    abnormal = int(labels.sum())
    if min(abnormal, len(labels) - abnormal) < 2:
        raise ConfigError(
            f"validation: expected at least 2 normal and 2 abnormal images, got {len(labels) - abnormal} normal and "
            f"{abnormal} abnormal; give the validation split more images"
        )


def _decided(model: keras.Model, validation: LabelledPlanes, options: Options) -> parity.Decided:
    """Return the float model's decisions, by the rule that the int8 model's follow."""
    parts = [model.predict_on_batch(batch)["logit"] for batch in qat.batches(validation.planes, 64)]
    logits = np.concatenate(parts)[:, 0].astype(np.float64)
    scores = operating.scores(logits, operating.calibrated(logits, validation.labels, model="float"))
    return parity.Decided(
        scores=scores,
        threshold=statistics.threshold_for_sensitivity(validation.labels, scores, options.sensitivity),
    )


def _decided_int8(reference: Answers, rule: decision.DecisionRule) -> parity.Decided:
    return parity.Decided(
        scores=operating.scores(reference.logits, rule.calibration), threshold=rule.operating_point.threshold
    )


def _domain(raw: bytes, reference: Answers, train: LabelledPlanes, options: Options) -> decision.OutOfDistribution:
    domain = answers.of(backends.load(raw, backend="litert"), _some(train.planes, options.domain))
    return operating.out_of_distribution(domain.real("embedding"), reference.real("embedding"))


def _some(planes: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Return ``count`` planes, or all where there are fewer, in a seeded order."""
    return planes[np.random.default_rng(_SEED).permutation(len(planes))[:count]]


def _described(description: Description, reference: Answers) -> Artifact:
    return Artifact(
        **msgspec.structs.asdict(description), targets=cpu_targets(), outputs=tuple(sorted(reference.integers))
    )


def cpu_targets() -> tuple[str, ...]:
    """Return the ids of the targets that run the int8 model as it is, on their CPU."""
    return tuple(name for name in targets.available() if targets.load(name).accelerator is targets.Accelerator.NONE)


def lacking(conversion: Conversion, target: targets.Target) -> Sequence[str]:
    """Return what still lacks before the artifact admits ``target``: empty when nothing does."""
    if target.id in conversion.description.targets:
        return ()
    member = {"edgetpu": "model/edgetpu.tflite", "tensorrt": "model/qdq.onnx"}[target.accelerator.value]
    return (f"{target.id} needs {member}, which this release does not write; the artifact admits CPU targets only",)
