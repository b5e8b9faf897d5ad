"""From a frame to a screening result with one verified bundle: the public Python interface of the runtime.

Order of work, each later step only after the earlier: modality gate, quality gate, preprocessing, int8 inference,
out-of-distribution gate, calibration, decision. The same frame gives the same result.

    screener = Screener.open("chest-xray")
    for frame in readers.read(Path("scan.dcm")):
        print(screener.screen(frame).decision)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgemed import schema
from edgemed.bundle.archive import Bundle
from edgemed.errors import BundleError, ConfigError
from edgemed.imaging import preprocess, quality
from edgemed.imaging.frame import Frame
from edgemed.runtime import backends, decision
from edgemed.runtime.classifier import Classifier, Reading
from edgemed.runtime.decision import Decision, DecisionRule, OodGauge
from edgemed.runtime.interpreter import Interpreter

if TYPE_CHECKING:
    from edgemed.bundle.keys import PublicKey

__all__ = ["Latency", "Screener", "Screening"]

MODEL = "model/int8.tflite"


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Time of each stage in milliseconds; None for a stage that a refusal left out.

    Attributes:
        decode_ms: from the file's bytes to the frame; measured by the caller, who did it.
        preprocess_ms: gates before inference, and the plane.
        infer_ms: the plane through the input table and the model.
        decide_ms: dequantization, out-of-distribution distance, calibration, decision.
        record_ms: writing the result down; nothing does so in this release, and it is 0.
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
        logit: the model's output before calibration; None when refused before inference.
        operating_point: name of the one in force.
        threshold: its score; None when refused before inference.
        reasons: why it was refused; empty otherwise.
        ood_distance: distance from the training data over its limit, above 1 is refused; None when refused before
            inference, or when the bundle has no such gate.
        evidence: (h, w) float64, read-only, in units of the logit; None when refused before inference or absent.
    """

    source: str
    frame: int
    modality: str | None
    decision: Decision
    score: float | None = None
    logit: tuple[float, ...] | None = None
    operating_point: str
    threshold: float | None = None
    reasons: tuple[str, ...] = ()
    ood_distance: float | None = None
    latency: Latency
    evidence: NDArray[np.float64] | None = None


class Screener:
    """A bundle ready to screen. Owns scratch buffers: for one thread at a time."""

    def __init__(
        self, bundle: Bundle, interpreter: Interpreter, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Tie a verified bundle to its loaded model; `open` is the usual way in.

        Args:
            bundle: verified.
            interpreter: the bundle's own model, loaded.
            clock: seconds, rising; for the latencies.

        Raises:
            BundleError: the documents contradict each other or the model, or the task is not ``classify``.
        """
        self.bundle = bundle
        self.rule = _rule(bundle)
        self.preprocessing = preprocess.parse(_member(bundle, "preprocessing.json"))
        self.classifier = Classifier(
            interpreter, height=self.preprocessing.height, width=self.preprocessing.width
        )
        _compare_outputs(bundle, interpreter)
        self._gauge = _gauge(self.rule, self.classifier)
        self._clock = clock

    @classmethod
    def open(
        cls,
        bundle: Bundle | Path | str,
        *,
        keys: Sequence[PublicKey] | None = None,
        backend: str | None = None,
        threads: int = 1,
    ) -> Screener:
        """Return a screener for a bundle, verified at this very moment.

        Args:
            bundle: a verified bundle; or the path of one; or the name of one that ships inside the package, which
                wins over a file of that name and is verified with the demo key.
            keys: keys to trust for a path; None takes the user's trusted keys.
            backend: a name of `backends.BACKENDS`; None takes the first that is installed.
            threads: for the inference, at least 1.

        Raises:
            BundleError: not a bundle, tampered with, not signed by a trusted key, or contradicting itself.
            ConfigError: no bundle or back end has this name.
            MissingDependencyError: no back end is installed.
        """
        verified = bundle if isinstance(bundle, Bundle) else _verified(bundle, keys)
        model = _member(verified, MODEL)
        return cls(verified, backends.load(model, backend=backend, threads=threads))

    @property
    def absent(self) -> tuple[str, ...]:
        """What the bundle cannot do, one sentence each; empty for a bundle with every output."""
        said = []
        if not self.classifier.has_evidence:
            said.append("the model has no evidence output: no heatmaps")
        if self._gauge is None:
            said.append("the bundle has no out-of-distribution limit: unlike images are not refused")
        return tuple(said)

    def screen(self, frame: Frame, *, decode_ms: float = 0.0) -> Screening:
        """Return what the bundle finds in one frame.

        Args:
            frame: any size and depth; the gates refuse what the bundle is not meant for.
            decode_ms: what it took to decode the frame, for the result.

        Raises:
            InferenceError: the back end failed.
        """
        start = self._clock()
        reasons = self._reasons_before(frame)
        if reasons:
            latency = Latency(decode_ms=decode_ms, preprocess_ms=1e3 * (self._clock() - start))
            return refused(frame, self.rule, reasons=reasons, latency=latency)
        plane = preprocess.apply(frame, self.preprocessing)
        planed = self._clock()
        outputs = self.classifier.infer(plane)
        inferred = self._clock()
        reading = self.classifier.read(outputs)
        distance = self._distance(reading)
        score = decision.score(reading.logit, self.rule.calibration)
        decided = self._clock()
        latency = Latency(
            decode_ms=decode_ms,
            preprocess_ms=1e3 * (planed - start),
            infer_ms=1e3 * (inferred - planed),
            decide_ms=1e3 * (decided - inferred),
            record_ms=0.0,
        )
        return self._screening(frame, reading, score, distance, latency)

    def _reasons_before(self, frame: Frame) -> tuple[str, ...]:
        """Return why the frame must not reach the model; the modality gate speaks first and alone."""
        wrong = _wrong_modality(frame, self.bundle.manifest.modalities)
        return (wrong,) if wrong else quality.reasons(frame, self.rule.quality)

    def _distance(self, reading: Reading) -> float | None:
        if self._gauge is None or reading.embedding is None:
            return None
        return self._gauge.distance(reading.embedding)

    def _screening(
        self, frame: Frame, reading: Reading, score: float, distance: float | None, latency: Latency
    ) -> Screening:
        point = self.rule.operating_point
        reasons: tuple[str, ...] = ()
        outcome = decision.decide(score, self.rule.indeterminate, point.threshold)
        if distance is not None and distance > 1.0:
            outcome = Decision.REFUSED
            reasons = (
                f"out of distribution: distance {distance:.2f} of the limit, expected at most 1; "
                "not like the images the model was trained on",
            )
        return Screening(
            source=frame.source,
            frame=frame.index,
            modality=frame.modality,
            decision=outcome,
            score=None if reasons else score,
            logit=(reading.logit,),
            operating_point=point.name,
            threshold=point.threshold,
            reasons=reasons,
            ood_distance=distance,
            latency=latency,
            evidence=reading.evidence,
        )
