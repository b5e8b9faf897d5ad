"""From a frame to a screening result with one verified bundle: the public Python interface of the runtime.

Order of work, each later step only after the earlier: modality gate, quality gate, preprocessing, inference,
out-of-distribution gate, calibration, decision. The same frame gives the same result.

    screener = Screener.open("chest-xray")
    for frame in readers.read(Path("scan.dcm")):
        print(screener.screen(frame).decision)
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgemed import files, targets
from edgemed.bundle import dsse, models, roles, trust
from edgemed.bundle import overlay as overlays
from edgemed.bundle.archive import Bundle
from edgemed.bundle.manifest import MODEL
from edgemed.errors import BundleError
from edgemed.imaging import preprocess, quality
from edgemed.imaging.frame import Frame
from edgemed.imaging.scratch import Scratch
from edgemed.runtime import backends, decision, selection
from edgemed.runtime.classifier import Classifier, Reading
from edgemed.runtime.decision import Decision, DecisionRule, OodGauge
from edgemed.runtime.interpreter import Interpreter
from edgemed.runtime.labels import manifest_labels
from edgemed.runtime.screening import Latency, Refusal, Screening, refused
from edgemed.runtime.selection import Selection

if TYPE_CHECKING:
    from edgemed.bundle.keys import PublicKey
    from edgemed.bundle.roles import Trust
    from edgemed.runtime.worklist import FrameScreener, Outcome

__all__ = ["Latency", "Refusal", "Screener", "Screening"]

# A code string (PS3.5 section 6.2); free text in its place may name a patient.
_CODE = re.compile(r"[A-Z0-9_ ]{1,16}")


class Screener:
    """A bundle ready to screen. Owns scratch buffers: for one thread at a time."""

    def __init__(
        self,
        bundle: Bundle,
        interpreter: Interpreter,
        *,
        selected: Selection | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Tie a verified bundle to its loaded model; `open` is the usual way in.

        Args:
            bundle: verified.
            interpreter: one of the bundle's own models, loaded.
            selected: which of them it is, and for which target; None for the int8 model on this machine's generic one.
            clock: seconds, rising; for the latencies.

        Raises:
            BundleError: the documents contradict each other or the model, or the task is not ``classify``.
        """
        self.bundle = bundle
        self._selected = selected or Selection(target=targets.generic_id(), member=MODEL)
        self.rule = _rule(bundle)
        self.preprocessing = preprocess.parse(bundle.members["preprocessing.json"])
        self.classifier = Classifier(
            interpreter,
            height=self.preprocessing.height,
            width=self.preprocessing.width,
            ends=models.MODELS[self._selected.member].ends,
        )
        _compare_outputs(bundle, interpreter)
        self.labels = manifest_labels(bundle.manifest, logits=self.classifier.count)
        self._gauge = _gauge(self.rule, self.classifier)
        upright = self.rule.quality.upright
        self._pose = None if upright is None else upright.pose()
        self._scratch = Scratch()
        self._clock = clock

    @classmethod
    def open(
        cls,
        bundle: Bundle | Path | str,
        *,
        keys: Sequence[PublicKey] | None = None,
        trust: Trust | None = None,
        overlay: Path | None = None,
        target: str | None = None,
        backend: str | None = None,
        threads: int | None = None,
    ) -> Screener:
        """Return a screener for a bundle, verified at this very moment.

        Args:
            bundle: a verified bundle; or the path of one; or the name of one that ships inside the package, which
                wins over a file of that name and is verified with the demo key.
            keys: keys to trust for a path; None takes the user's trusted keys.
            trust: a trust root instead of plain keys.
            overlay: a decision overlay to put in force, trusted as a path is: the user's own keys sign overlays for a
                shipped bundle too.
            target: id of the target that this machine is; None takes the generic one of its architecture.
            backend: a name of `backends.BACKENDS`; None takes the first that is installed and reads the model.
            threads: for the inference, at least 1; None takes the target's.

        Raises:
            BundleError: bundle or overlay is none, tampered with, not signed by enough trusted keys, or contradicting
                itself or the other.
            ConfigError: no bundle, target or back end has this name, or the back end runs none of the models.
            TargetMismatchError: no member of the bundle admits the target.
            MissingDependencyError: no back end is installed.
        """
        device = None if target is None else targets.load(target)
        given = roles.of_keys(keys) if trust is None and keys is not None else trust
        verified = bundle if isinstance(bundle, Bundle) else _verified(bundle, given)
        if overlay is not None:
            verified = _overlaid(verified, overlay, given)
        # The generic targets have one thread, and their file need not be read to know it.
        given_threads = threads or (1 if device is None else device.threads)
        loaded = selection.open_model(verified, device, backend=backend, threads=given_threads)
        return cls(verified, loaded.interpreter, selected=loaded.selection)

    @property
    def selection(self) -> Selection:
        """Which model computes, as of the last frame: an accelerator may be lost, and return."""
        return selection.current(self._selected, self.classifier.interpreter)

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
        refusal, reasons = self._before(frame)
        if refusal is not None:
            latency = Latency(decode_ms=decode_ms, preprocess_ms=1e3 * (self._clock() - start))
            return refused(frame, self.rule, refusal=refusal, reasons=reasons, latency=latency)
        plane = self._plane(frame)
        planed = self._clock()
        if reasons := quality.plane_reasons(plane, self.rule.quality, self._pose):
            latency = Latency(decode_ms=decode_ms, preprocess_ms=1e3 * (self._clock() - start))
            return refused(frame, self.rule, refusal=Refusal.QUALITY, reasons=reasons, latency=latency)
        outputs = self.classifier.infer(plane)
        inferred = self._clock()
        judged = self._judged(self.classifier.read(outputs))

        def times() -> Latency:
            return Latency(
                decode_ms=decode_ms,
                preprocess_ms=1e3 * (planed - start),
                infer_ms=1e3 * (inferred - planed),
                decide_ms=1e3 * (self._clock() - inferred),
                record_ms=0.0,
            )

        return self._screening(frame, judged, times)

    def screen_many(self, inputs: Iterable[Path | Frame], *, workers: int = 2) -> Iterator[Outcome]:
        """Yield a result for each frame of files or frames, in their order: at least one for each, read or not.

        Inputs are read and screened side by side, see `edgemed.runtime.lanes`; this screener is busy until the last.

        Args:
            inputs: taken as the work gets to them.
            workers: at least 1; each has an interpreter of its own, but that an accelerator is shared.
        """
        from edgemed.runtime import lanes

        return lanes.screen(self._lanes(workers), inputs)

    def _lanes(self, count: int) -> Sequence[FrameScreener]:
        """Return so many screeners for threads of their own."""
        from edgemed.runtime.lanes import Shared

        if count > 1 and self._selected.member != models.INT8:
            return [Shared(self)] * count
        used = self.classifier.interpreter
        model = self.bundle.members[self._selected.member]
        twins = (
            backends.load(model, backend=used.backend, threads=used.threads, kernels=used.kernels)
            for _ in range(count - 1)
        )
        return [self, *(Screener(self.bundle, twin, selected=self._selected, clock=self._clock) for twin in twins)]

    def distance(self, frame: Frame) -> float | None:
        """Return how far a frame lies from the training data, over the limit, whatever the gates before say of it.

        For measurements of this one gate; None where the bundle has none.

        Raises:
            InferenceError: the back end failed.
        """
        return self._distance(self.classifier.read(self.classifier.infer(self._plane(frame))))

    def _plane(self, frame: Frame) -> NDArray[np.uint8]:
        """Return the input plane; it holds until the next one."""
        self._scratch.reset()
        return preprocess.plane(frame, self.preprocessing, self._scratch)

    def _before(self, frame: Frame) -> tuple[Refusal | None, tuple[str, ...]]:
        """Return what keeps the frame from the model, and why; the modality gate speaks first and alone."""
        if wrong := _wrong_modality(frame, self.bundle.manifest.modalities):
            return Refusal.MODALITY, (wrong,)
        self._scratch.reset()
        reasons = quality.reasons(frame, self.rule.quality, scratch=self._scratch)
        return (Refusal.QUALITY, reasons) if reasons else (None, ())

    def _distance(self, reading: Reading) -> float | None:
        if self._gauge is None or reading.embedding is None:
            return None
        return self._gauge.distance(reading.embedding)

    def _judged(self, reading: Reading) -> _Judged:
        abnormality = float(self.labels.abnormality(reading.logits))
        score = decision.score(abnormality, self.rule.calibration)
        return _Judged(reading=reading, abnormality=abnormality, score=score, distance=self._distance(reading))

    def _screening(self, frame: Frame, judged: _Judged, times: Callable[[], Latency]) -> Screening:
        point, reading = self.rule.operating_point, judged.reading
        reasons = _reasons_after(judged.distance)
        several = self.labels.count > 1 and not reasons
        outcome = decision.decide(judged.score, self.rule.indeterminate, point.threshold)
        return Screening(
            source=frame.source,
            frame=frame.index,
            modality=frame.modality,
            decision=Decision.REFUSED if reasons else outcome,
            score=None if reasons else judged.score,
            logit=tuple(map(float, reading.logits)),
            abnormality=judged.abnormality,
            label_scores=self.labels.scores(reading.logits, judged.score) if several else None,
            operating_point=point.name,
            threshold=point.threshold,
            reasons=reasons,
            refusal=Refusal.DISTANCE if reasons else None,
            ood_distance=judged.distance,
            fallback=self.selection.fallback,
            evidence=None if reading.evidence is None else self.labels.evidence(reading.evidence, reading.logits),
            # Last: all of the above belongs to deciding.
            latency=times(),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Judged:
    """What one inference says: its abnormality as one logit, the calibrated score, the distance over its limit."""

    reading: Reading
    abnormality: float
    score: float
    distance: float | None


def _reasons_after(distance: float | None) -> tuple[str, ...]:
    """Return why an inference must not count; NaN is no distance within the limit."""
    if distance is None or distance <= 1.0:
        return ()
    return (
        f"out of distribution: distance {distance:.2f} of the limit, expected at most 1; "
        "not like the images the model was trained on",
    )


def _verified(bundle: Path | str, given: Trust | None) -> Bundle:
    """Return the bundle that a path or a name stands for, verified."""
    from edgemed import shipped

    if isinstance(bundle, str) and (bundle in shipped.names() or not _looks_like_a_path(bundle)):
        return trust.open_bundle(shipped.bundle_path(bundle), trust=given or roles.of_keys([shipped.demo_key()]))
    # Without a key it is the file that is looked at first: a wrong path is called that.
    return trust.open_bundle(Path(bundle), trust=given, keys=() if given else trust.user_keys())


def _overlaid(bundle: Bundle, path: Path, given: Trust | None) -> Bundle:
    """Return the bundle with the overlay of a file in force, verified."""
    raw = files.read_bounded(path, limit_bytes=dsse.LIMIT_BYTES, error=BundleError)
    return overlays.admitted(bundle, raw, trust=given or roles.of_keys(trust.user_keys()), source=str(path))


def _looks_like_a_path(text: str) -> bool:
    """Tell a path from a misspelt name, for the message alone."""
    path = Path(text)
    return path.name != text or path.suffix != "" or path.exists()


def _rule(bundle: Bundle) -> DecisionRule:
    """Return the decision document, if it is meant for this very model."""
    if bundle.manifest.task != "classify":
        raise BundleError(f"manifest.json: task: this release runs 'classify', got {bundle.manifest.task!r}")
    rule = decision.parse(bundle.members["decision.json"])
    digest = bundle.manifest.members[MODEL].sha256
    if rule.model != digest:
        raise BundleError(f"decision.json: model: expected {digest}, the digest of {MODEL}, got {rule.model!r}")
    return rule


def _compare_outputs(bundle: Bundle, interpreter: Interpreter) -> None:
    """Refuse a manifest that promises outputs which the model has not."""
    if missing := sorted(set(bundle.manifest.outputs) - set(interpreter.outputs)):
        raise BundleError(
            f"manifest.json: outputs: the model has no {', '.join(missing)}; it has {sorted(interpreter.outputs)}"
        )


def _gauge(rule: DecisionRule, classifier: Classifier) -> OodGauge | None:
    limits = rule.out_of_distribution
    if limits is None:
        return None
    if limits.size != classifier.embedding_size:
        raise BundleError(
            f"decision.json: out_of_distribution.size: expected the length of the model's embedding, "
            f"{classifier.embedding_size}, got {limits.size}"
        )
    return OodGauge(limits)


def _wrong_modality(frame: Frame, modalities: Sequence[str]) -> str:
    """Return why a frame's Modality forbids inference, or nothing; only DICOM must carry one."""
    expected = ", ".join(modalities)
    if frame.modality is None:
        return f"Modality: absent from the DICOM header, expected one of {expected}" if frame.is_dicom else ""
    if frame.modality in modalities:
        return ""
    got = repr(frame.modality) if _CODE.fullmatch(frame.modality) else "a value that is not a CS"
    return f"Modality: got {got}, the bundle is meant for {expected}; choose a bundle for this modality"
