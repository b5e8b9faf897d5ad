"""One float Keras model becomes one artifact: TFLite model, decision document, golden vectors, and the evidence for it.

Values in, value out; nothing is written. The steps, in order: validation in two parts, the model brought to the
contract, its TFLite file, members for the targets, answers and decision document, parity gate, layer errors and
latency, golden vectors, card and report. Four source pictures of validation become members, as they are; no name of an
image and no path does.

    made = conversion.convert(model, target=target, train=train, validation=validation, calibration=chosen, ...)
    artifact.write(folder, made)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from converters import calibration as calibrations
from converters import (
    card,
    contract,
    division,
    emission,
    judgement,
    operating,
    parity,
    report,
    scaling,
    translation,
    vectors,
)
from converters import quality as qualities
from converters.answers import Answers
from converters.artifact import Artifact
from converters.calibration import Calibration
from converters.gate import Gate
from converters.judgement import Asked, Data, Judgement
from converters.mode import Mode
from converters.report import Report, findings, page
from edgemed import schema
from edgemed.bundle import models
from edgemed.bundle.manifest import ArtifactDocument, Description
from edgemed.errors import ConfigError
from edgemed.imaging.gates import Gates
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.imaging.out_of_fold import OutOfFold
from edgemed.imaging.preprocess import Preprocessing, encode
from edgemed.runtime import decision, golden
from edgemed.runtime.labels import Labels
from edgemed.targets import Target

__all__ = ["convert"]


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
    gates: Gates | None = None,
    facts: card.Facts,
    out_of_fold: OutOfFold | None = None,
    altered: NDArray[np.uint8] | None = None,
    mode: Mode = Mode.QAT,
    input_range: tuple[float, float] | None = None,
    peers: Sequence[Path] = (),
    note: Callable[[str], None] = lambda _: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Artifact:
    """Convert a float model and prove that it still screens as well.

    Args:
        model: float; it is not changed. One that is not of the model contract is made so: see `converters.contract`.
        target: device to convert for, or several: they say which members are made.
        train: split for training and the domain.
        validation: split that shares no patient with it, divided here once more: one part gives calibration, and
            thresholds where nothing else does, the other judges.
        calibration: planes of train that set the first ranges (qat) or all of them (ptq).
        preprocessing: that made the planes.
        fit: trains the twin in place, called in mode qat only; the caller owns data order, loss and schedule.
        gate: what is promised, and how much may be lost.
        description: what the model is for.
        quality: limits before inference.
        gates: which further limits are fitted to train.
        facts: about data and training, for the model card.
        out_of_fold: answers over train and validation of fold models of the same recipe, which choose the thresholds
            and steady the calibration; see `converters.operating` and `converters.scaling`.
        altered: (v, n, H, W) uint8, v altered views of each validation plane: those of the operating part give
            calibration and thresholds as well. None for none, and always where ``out_of_fold`` is given.
        mode: how.
        input_range: (low, high) that grey levels 0..255 stood for in training, where the graph does not rescale them.
        peers: Python executables of environments that measure further back ends.
        note: told what goes on, a line each.
        clock: seconds, rising; for the report.

    Raises:
        ConfigError: validation cannot be divided into two parts with enough images of each label, or the labels of the
            description contradict each other.
        ConversionError: the model cannot be made one of the contract, a layer cannot be quantized, the export is not
            fully int8, calibration does not fit the model, a peer failed, or a source frame no longer gives its plane.
        GateError: the converted model fails the parity gate, its logits cannot be calibrated, or a criterion is met
            only by a threshold that decides nothing.
    """
    started = clock()
    devices = (target,) if isinstance(target, Target) else tuple(target)
    emission.require(devices, mode)
    _require_views(altered, validation, out_of_fold)
    labels = _labels(description, validation)
    parts = division.of(validation, share=gate.share, seed=judgement.SEED)
    folds = None if out_of_fold is None else scaling.of_folds(out_of_fold)
    adapted = contract.adapted(model, input_range=input_range, validation=validation, labels=labels)
    for line in adapted.notes:
        note(f"model: {line}")
    calibrations.require_fits(calibration, adapted.model)
    translated = translation.of(
        adapted.model,
        mode=mode,
        calibration=calibration,
        fit=fit,
        symmetric=emission.wants_symmetric(devices),
        note=note,
    )
    emitted = emission.members_for(devices, translated, mode=mode)
    note(f"answers of the {len(translated.raw) / 1000:.0f} kB model on {len(validation.planes)} validation images")
    judged = judgement.of(
        adapted.model,
        translated.raw,
        Data(
            train=train,
            validation=validation,
            parts=parts,
            preprocessing=preprocessing,
            labels=labels,
            folds=folds,
            altered=altered,
        ),
        gate=gate,
        mode=mode,
        quality=qualities.fitted(quality, gates, train),
        asked=Asked(peers=peers, others=emitted.comparable),
    )
    parity.require(judged.parity, judged.flips)
    operating.require_useful(judged.rule, gate)
    agreed = emission.agreements(
        emitted,
        translated.raw,
        validation.planes,
        validation.abnormal.astype(np.int64),
        rule=judged.rule,
        meaning=labels,
    )
    note("errors layer by layer, and the latency of both models here")
    found = findings.of(
        adapted.model,
        translated,
        judged,
        name=description.name,
        targets=[device.id for device in devices],
        calibration=calibration,
        facts=facts,
        planes=validation.planes,
        agreements=agreed,
        seconds=clock() - started,
    )
    described = _described(description, judged.reference, emitted.members)
    return Artifact(
        description=described,
        members={
            **emitted.members,
            **_golden(judged, validation, preprocessing),
            **_documents(described, facts, judged, found, preprocessing=preprocessing, adapted=adapted.notes),
        },
        reports=_reports(found, judged),
        report=found,
        flips=judged.flips,
        rule=judged.rule,
        notes=(*emitted.notes, *judged.notes),
    )


def _require_views(
    altered: NDArray[np.uint8] | None, validation: LabelledPlanes, out_of_fold: OutOfFold | None
) -> None:
    """Return when altered views are of validation, and no fold models choose the thresholds without them."""
    if altered is None:
        return
    if altered.shape[1:] != validation.planes.shape or not len(altered):
        raise ValueError(f"altered: expected (v, *{validation.planes.shape}), v >= 1, got {altered.shape}")
    if out_of_fold is not None:
        raise ConfigError(
            f"calibration: views: expected 0 beside out-of-fold answers, got {len(altered)}: fold models answered "
            "unaltered images only, and their scores would be of another scale; leave one of the two out"
        )


def _labels(description: Description, validation: LabelledPlanes) -> Labels:
    """Return what the logits stand for: one for each label where some are called normal."""
    normal = description.normal_labels
    try:
        found = Labels(names=description.labels, normal=() if isinstance(normal, msgspec.UnsetType) else normal)
    except ValueError as err:
        raise ConfigError(f"{description.name}: {err}; correct the recipe") from err
    given = validation.label_names, validation.normal_labels
    if found.count > 1 and (found.names, set(found.normal)) != (given[0], set(given[1])):
        raise ConfigError(
            f"{description.name}: labels: expected those of the images, {', '.join(given[0])} (normal: "
            f"{', '.join(given[1])}), got {', '.join(found.names)} (normal: {', '.join(found.normal)})"
        )
    return found


def _golden(judged: Judgement, validation: LabelledPlanes, preprocessing: Preprocessing) -> dict[str, bytes]:
    """Return golden vectors and their tolerance, by member name; of a float model there are none."""
    if judged.tolerance is None:
        return {}
    made = vectors.members(validation.read, validation.planes, judged.reference, preprocessing=preprocessing)
    return {**made, golden.TOLERANCE: schema.encode_json(judged.tolerance)}


def _documents(
    description: ArtifactDocument,
    facts: card.Facts,
    judged: Judgement,
    found: Report,
    *,
    preprocessing: Preprocessing,
    adapted: Sequence[str],
) -> dict[str, bytes]:
    """Return what goes with the model, by member name."""
    text = card.render(description, facts, judged.rule, judged.parity, judged.tolerance, adapted=adapted)
    return {
        "preprocessing.json": encode(preprocessing),
        "decision.json": schema.encode_json(judged.rule),
        "evidence/parity.json": schema.encode_json(judged.parity),
        "evidence/training.json": schema.encode_json(facts),
        report.MEMBER: schema.encode_json(found),
        "card.md": text.encode(),
    }


def _reports(found: Report, judged: Judgement) -> dict[str, bytes]:
    """Return the report for people, by file name."""
    return {
        "conversion.json": schema.encode_json(found),
        "conversion.html": page.render_html(found, paired=judged.paired).encode(),
    }


def _described(description: Description, reference: Answers, members: Collection[str]) -> ArtifactDocument:
    return ArtifactDocument(
        **msgspec.structs.asdict(description),
        targets=models.admits(members),
        outputs=tuple(sorted(reference.specs)),
    )
