"""What can be evaluated: a bundle, exactly as the device runs it, or a model with the preprocessing it was trained for.

subject = subjects.of_bundle(screener)
for answer in subject.answers(frames):
    print(answer.logits, answer.decision)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgemed.imaging import preprocess
from edgemed.imaging.frame import Frame
from edgemed.imaging.preprocess import Preprocessing
from edgemed.runtime.classifier import Classifier
from edgemed.runtime.labels import Labels
from edgemed.runtime.screener import Screener
from edgemed.training.evaluation.document import Evaluated

__all__ = ["Answer", "ModelSubject", "Subject", "of_bundle", "of_classifier"]

_BATCH = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What a subject says of one frame.

    Attributes:
        logits: (K,) float64; None where a gate refused the frame before inference.
        evidence: (h, w) of the abnormality; None where the model has none, or the frame was refused.
        decision: of a bundle, gates included; None for a model that has no gates.
    """

    logits: NDArray[np.float64] | None
    evidence: NDArray[np.float64] | None = None
    decision: str | None = None


class Subject(Protocol):
    """Something that answers frames."""

    @property
    def about(self) -> Evaluated:
        """What it is, for the document."""
        ...

    @property
    def bundle(self) -> dict[str, str] | None:
        """Name, version and digest of a bundle; None for a model without one."""
        ...

    @property
    def backend(self) -> str:
        """What computes its answers."""
        ...

    @property
    def labels(self) -> Labels:
        """What its logits stand for."""
        ...

    @property
    def preprocessing(self) -> Preprocessing:
        """The steps from a frame to its plane."""
        ...

    def answers(self, frames: Iterable[Frame]) -> Iterator[Answer]:
        """Yield an answer a frame, in their order."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelSubject:
    """A model without gates: every frame is answered.

    Attributes:
        read: gives (n, K) logits, and (n, h, w, K) evidence or None, for planes (n, H, W) uint8.
    """

    about: Evaluated
    backend: str
    labels: Labels
    preprocessing: Preprocessing
    bundle: dict[str, str] | None = None
    read: Callable[[NDArray[np.uint8]], tuple[NDArray[np.float64], NDArray[np.float64] | None]]

    def answers(self, frames: Iterable[Frame]) -> Iterator[Answer]:
        """Yield an answer a frame, in their order; they are computed in batches."""
        coming = iter(frames)
        while batch := list(islice(coming, _BATCH)):
            logits, evidence = self.read(np.stack([preprocess.apply(frame, self.preprocessing) for frame in batch]))
            for row, values in enumerate(logits):
                shown = None if evidence is None else self.labels.evidence(evidence[row], values)
                yield Answer(logits=values, evidence=shown)


@dataclass(frozen=True, kw_only=True, eq=False)
class _BundleSubject:
    """A bundle in its screener: gates, decisions and all."""

    screener: Screener

    @property
    def about(self) -> Evaluated:
        manifest = self.screener.bundle.manifest
        return Evaluated(
            kind="bundle",
            name=manifest.name,
            version=manifest.version,
            model=self.screener.rule.model,
            labels=manifest.labels,
            normal_labels=self.labels.normal,
        )

    @property
    def bundle(self) -> dict[str, str]:
        manifest = self.screener.bundle.manifest
        return {"name": manifest.name, "version": manifest.version, "digest": self.screener.bundle.digest}

    @property
    def backend(self) -> str:
        return self.screener.classifier.interpreter.backend

    @property
    def labels(self) -> Labels:
        return self.screener.labels

    @property
    def preprocessing(self) -> Preprocessing:
        return self.screener.preprocessing

    def answers(self, frames: Iterable[Frame]) -> Iterator[Answer]:
        for frame in frames:
            found = self.screener.screen(frame)
            yield Answer(
                logits=None if found.logit is None else np.array(found.logit, dtype=np.float64),
                evidence=found.evidence,
                decision=found.decision.value,
            )


def of_bundle(screener: Screener) -> Subject:
    """Return an opened bundle as a subject."""
    return _BundleSubject(screener=screener)


def of_classifier(
    classifier: Classifier, *, about: Evaluated, labels: Labels, preprocessing: Preprocessing
) -> ModelSubject:
    """Return a loaded TFLite model as a subject."""

    def read(planes: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        readings = [classifier.read(classifier.infer(plane)) for plane in planes]
        maps = [reading.evidence for reading in readings if reading.evidence is not None]
        return np.stack([reading.logits for reading in readings]), np.stack(maps) if maps else None

    return ModelSubject(
        about=about,
        backend=classifier.interpreter.backend,
        labels=labels,
        preprocessing=preprocessing,
        read=read,
    )
