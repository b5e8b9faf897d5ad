"""Everything that was measured of a conversion, gathered into its report.

found = findings.of(model, translated, judged, targets=("coral-usb",), calibration=chosen, ...)
page.render_html(found, paired=judged.paired)
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from converters.calibration import Calibration
from converters.card import Facts
from converters.jetson import Agreement
from converters.judgement import Judgement
from converters.mode import Mode
from converters.report import coverage, environment, fidelity, latency
from converters.report.document import CalibrationSet, Report, Training
from converters.translation import Translated
from edgemed import tflite
from edgemed.measure import process

__all__ = ["of"]


def of(
    model: keras.Model,
    translated: Translated,
    judged: Judgement,
    *,
    name: str,
    targets: Sequence[str],
    calibration: Calibration,
    facts: Facts,
    planes: NDArray[np.uint8],
    agreements: dict[str, Agreement],
    seconds: float,
) -> Report:
    """Return the report of a conversion; layer errors and latency are measured here.

    Args:
        model: float, of the model contract.
        translated: its TFLite files.
        judged: what validation said of them.
        name: of the model.
        targets: ids of the devices.
        calibration: that was given.
        facts: about the training.
        planes: (N, H, W) uint8 of validation, for layer errors and latency.
        agreements: of each ONNX member with the converted file.
        seconds: that the conversion took until here.
    """
    mode = judged.parity.mode
    return Report(
        name=name,
        mode=mode,
        targets=tuple(targets),
        parameters=int(model.count_params()),
        seconds=seconds,
        peak_memory_mib=process.peak_memory_mib(),
        float_bytes=len(translated.float_raw),
        converted_bytes=len(translated.raw),
        coverage=coverage.of(tflite.read(translated.raw, source="converted.tflite")),
        calibration=_calibration(calibration, translated) if mode.is_int8 else None,
        training=_training(facts) if mode is Mode.QAT else None,
        parity=judged.parity,
        tolerance=judged.tolerance,
        agreements=agreements,
        fidelity=_fidelity(translated, planes) if mode.is_int8 else None,
        latency=latency.measure(translated.float_raw, translated.raw, planes),
        environment=environment.here(),
    )


def _calibration(calibration: Calibration, translated: Translated) -> CalibrationSet:
    return CalibrationSet(
        name=calibration.name, size=calibration.size, digest=calibration.digest, proof=translated.proof
    )


def _training(facts: Facts) -> Training:
    return Training(
        images=facts.train_images,
        epochs=facts.quantization_epochs,
        learning_rate=facts.quantization_learning_rate,
    )


def _fidelity(translated: Translated, planes: NDArray[np.uint8]) -> fidelity.Fidelity:
    return fidelity.measure(
        translated.float_raw,
        translated.raw,
        planes,
        against=translated.against,
        layers=translated.layers,
    )
