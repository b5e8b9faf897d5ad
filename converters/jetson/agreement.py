"""Does the ONNX file answer what the int8 TFLite file answers? Measured over validation planes, as a gate.

Both are run on the CPU: TFLite by LiteRT, ONNX by onnxruntime with the graph as it is written, which is what its Q/DQ
pairs say, and with onnxruntime's own fusions, which is what runs where TensorRT is absent. TensorRT itself rounds in
its own way: the device's golden replay decides there.

    found = agreement.compare(int8, qdq, planes, labels, rule=rule)
    agreement.require(found)
"""

from __future__ import annotations

import collections

import msgspec
import numpy as np
from numpy.typing import NDArray

from converters import answers, scaling
from converters.answers import Answers
from edgemed import statistics
from edgemed.errors import GateError
from edgemed.runtime import backends, decision
from edgemed.runtime.decision import Decision, DecisionRule
from edgemed.runtime.interpreter import Kernels
from edgemed.runtime.labels import ONE_LOGIT, Labels

__all__ = ["AUC_MARGIN", "Agreement", "AgreementError", "Run", "compare", "require"]

AUC_MARGIN = 0.002
"""Largest difference of the AUC, either way."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The ONNX file on one set of kernels, against TFLite.

    Attributes:
        kernels: ``reference``, the graph as it is written, or ``xnnpack``, what onnxruntime makes of it unasked.
        auc: of the scores.
        difference: AUC of ONNX minus TFLite.
        contradicted: images that one calls an alert and the other clear.
        moved: images whose decision differs because one of the two is indeterminate.
        logit_lsb: (difference, images), rising: differences of the logit of abnormal against normal, ONNX minus TFLite,
            in LSB of the TFLite logit, rounded to whole numbers.
    """

    kernels: Kernels
    auc: float
    difference: float
    contradicted: int
    moved: int
    logit_lsb: tuple[tuple[int, int], ...]


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """One ONNX member against TFLite, as the report of a conversion holds it.

    Attributes:
        n, n_abnormal: validation images.
        auc_tflite: of the int8 TFLite file on LiteRT.
        margin: the largest difference of the AUC that is accepted.
        runs: one for each set of kernels.
        passed: every run is within the margin and contradicts TFLite nowhere.
    """

    schema: int
    split: str
    n: int
    n_abnormal: int
    auc_tflite: float
    margin: float
    runs: tuple[Run, ...]
    passed: bool


class AgreementError(GateError):
    """The ONNX file does not answer as the TFLite file does; ``agreement`` holds the figures."""

    def __init__(self, agreement: Agreement) -> None:
        worst = max(agreement.runs, key=lambda run: (run.contradicted, abs(run.difference)))
        super().__init__(
            f"ONNX against TFLite: AUC {worst.auc:.4f} and {agreement.auc_tflite:.4f}, difference "
            f"{worst.difference:+.4f}, {worst.contradicted} decisions contradicted on {agreement.n} validation images "
            f"with {worst.kernels.value} kernels; expected a difference of at most {agreement.margin} and none "
            "contradicted; train with symmetric ranges longer, or widen the indeterminate zone"
        )
        self.agreement = agreement


def compare(
    tflite: bytes,
    onnx: bytes,
    planes: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    rule: DecisionRule,
    margin: float = AUC_MARGIN,
    meaning: Labels = ONE_LOGIT,
) -> Agreement:
    """Return how the answers of an ONNX file compare with those of the int8 TFLite file it stands beside.

    Args:
        tflite: int8 TFLite file.
        onnx: QDQ or float16 ONNX file of the same model.
        planes: (N, H, W) uint8, validation.
        labels: (N,), 0 normal and 1 abnormal, at least one of each.
        rule: the decision document of the TFLite file.
        margin: accepted difference of the AUC, 0..1.
        meaning: of the model's logits.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
        InferenceError: a file cannot be run.
    """
    reference = answers.of(backends.load(tflite, backend="litert"), planes, labels=meaning)
    auc = statistics.delong(labels, scaling.scores(reference.logits, rule.calibration)).value
    runs = tuple(
        _run(onnx, planes, labels, kernels=kernels, reference=reference, auc=auc, rule=rule)
        for kernels in (Kernels.REFERENCE, Kernels.XNNPACK)
    )
    return Agreement(
        schema=1,
        split="validation",
        n=len(planes),
        n_abnormal=int(labels.sum()),
        auc_tflite=auc,
        margin=margin,
        runs=runs,
        passed=all(abs(run.difference) <= margin and not run.contradicted for run in runs),
    )


def require(agreement: Agreement) -> None:
    """Return when the gate holds.

    Raises:
        AgreementError: the AUC differs by more than the margin, or a decision is contradicted.
    """
    if not agreement.passed:
        raise AgreementError(agreement)


def _run(
    onnx: bytes,
    planes: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    kernels: Kernels,
    reference: Answers,
    auc: float,
    rule: DecisionRule,
) -> Run:
    interpreter = backends.load(onnx, backend="onnxruntime", kernels=kernels)
    logits = answers.of(interpreter, planes, labels=reference.labels).logits
    found = statistics.delong(labels, scaling.scores(logits, rule.calibration)).value
    pairs = list(zip(_decided(reference.logits, rule), _decided(logits, rule), strict=True))
    apart = [one is not other for one, other in pairs]
    unsure = [Decision.INDETERMINATE in pair for pair in pairs]
    return Run(
        kernels=kernels,
        auc=found,
        difference=found - auc,
        contradicted=sum(differ and not either for differ, either in zip(apart, unsure, strict=True)),
        moved=sum(differ and either for differ, either in zip(apart, unsure, strict=True)),
        logit_lsb=_histogram(logits - reference.logits, reference.quantization("logit").scale),
    )


def _decided(logits: NDArray[np.float64], rule: DecisionRule) -> list[Decision]:
    threshold = rule.operating_point.threshold
    return [decision.decide(score, rule.indeterminate, threshold) for score in scaling.scores(logits, rule.calibration)]


def _histogram(apart: NDArray[np.float64], lsb: float) -> tuple[tuple[int, int], ...]:
    return tuple(sorted(collections.Counter(np.rint(apart / lsb).astype(int).tolist()).items()))
