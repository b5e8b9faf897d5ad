"""The smallest bundles that screen: around the tiny int8 model, or an interpreter that answers what it is told."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemed import files, schema
from edgemed.bundle import archive, trust
from edgemed.bundle.archive import Bundle
from edgemed.bundle.manifest import ArtifactDocument
from edgemed.errors import InferenceError
from edgemed.imaging.frame import Frame
from edgemed.runtime import decision
from edgemed.runtime.decision import (
    Calibration,
    Decision,
    DecisionRule,
    OperatingPoint,
    OutOfDistribution,
    QualityLimits,
    Zone,
)
from edgemed.runtime.interpreter import Kernels, Tensor
from edgemed.runtime.screening import Latency, Screening
from edgemed.tensors import Quantization, TensorSpec
from tests.bundle.tiny import KEY

DATA = Path(__file__).resolve().parents[1] / "data"
MODEL_PATH = DATA / "tiny_int8.tflite"
SIDE = 16
EMBEDDING = 8
PREPROCESSING = {
    "schema": 1,
    "height": SIDE,
    "width": SIDE,
    "steps": [{"step": "resize", "method": "area", "fit": "stretch"}],
}


def model() -> bytes:
    return MODEL_PATH.read_bytes()


def labels_model() -> bytes:
    """Return a model of three labels, see `LABELS`."""
    return (DATA / "tiny_labels_int8.tflite").read_bytes()


def float_model(kind: str = "float32") -> bytes:
    """Return the float original of `model`, with weights of this kind."""
    return (DATA / f"tiny_{kind}.tflite").read_bytes()


def limits(*, limit: float) -> OutOfDistribution:
    """Return a gauge that is the embedding's length over ``limit``."""
    return OutOfDistribution(
        size=EMBEDDING,
        mean=decision.encode_floats(np.zeros(EMBEDDING)),
        whitening=decision.encode_floats(np.eye(EMBEDDING)),
        limit=limit,
    )


def rule(
    model: bytes, *, threshold: float = 0.5, zone: tuple[float, float] | None = None, **changes: Any
) -> DecisionRule:
    """Return a decision document bound to a model: score = sigmoid(logit), one operating point."""
    low, high = zone or (threshold, threshold)
    point = OperatingPoint(
        name="rule-out",
        criterion="sensitivity >= 0.95",
        threshold=threshold,
        sensitivity=0.96,
        sensitivity_ci95=(0.9, 0.99),
        specificity=0.9,
        specificity_ci95=(0.8, 0.95),
        n_abnormal=50,
        n_normal=50,
    )
    plain = DecisionRule(
        schema=1,
        version=3,
        model=files.sha256(model),
        calibration=Calibration(slope=1.0, intercept=0.0),
        operating_points=(point,),
        active="rule-out",
        indeterminate=Zone(low=low, high=high),
        quality=QualityLimits(min_side_px=8, max_side_px=4096, min_contrast=0.05, max_coloured_fraction=0.1),
    )
    return msgspec.structs.replace(plain, **changes)


def raw_bundle(
    model: bytes,
    document: DecisionRule | None = None,
    *,
    name: str = "tiny",
    outputs: tuple[str, ...] = ("logit", "evidence", "embedding"),
    task: str = "classify",
    preprocessing: Mapping[str, Any] = PREPROCESSING,
    extra: Mapping[str, bytes] | None = None,
    targets: tuple[str, ...] = ("generic-x86-64", "generic-aarch64"),
    labels: tuple[str, ...] = ("abnormal",),
    normal_labels: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET,
) -> bytes:
    """Return a signed bundle file."""
    artifact = ArtifactDocument(
        name=name,
        task=task,  # type: ignore[arg-type]  # some tests give a task of another release
        intended_use="tests",
        modalities=("DX", "CR"),
        body_part="CHEST",
        labels=labels,
        normal_labels=normal_labels,
        targets=targets,
        outputs=outputs,
    )
    members = {
        "model/int8.tflite": model,
        "preprocessing.json": schema.encode_json(preprocessing),
        "decision.json": schema.encode_json(document or rule(model)),
        **(extra or {}),
    }
    return archive.build(artifact, members, version="1.2.3", release=4, private_keys=[KEY])


def bundle(model: bytes, document: DecisionRule | None = None, **options: Any) -> Bundle:
    """Return a verified bundle."""
    return trust.verify(raw_bundle(model, document, **options), keys=[KEY.public])


def picture(side: int = 48, *, seed: int = 5) -> NDArray[np.uint8]:
    """Return a gray picture of blobs and noise, (side, side)."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (4, 4)).astype(np.float32)
    smooth = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.clip(smooth + rng.normal(0, 12, (side, side)), 0, 255).astype(np.uint8)


def png(pixels: NDArray[Any]) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def frame(side: int = 48, *, seed: int = 5, **fields: Any) -> Frame:
    return Frame(pixels=picture(side, seed=seed), **{"source": "scan.png", **fields})


def alert(**fields: Any) -> Screening:
    """Return what was found in a frame of an abnormal picture, but for the fields given."""
    found = Screening(
        source="scan.png",
        frame=0,
        modality=None,
        decision=Decision.ALERT,
        score=0.93,
        logit=(2.6,),
        operating_point="rule-out",
        threshold=0.5,
        latency=Latency(decode_ms=0.0),
    )
    return replace(found, **fields)


def golden_members(model: bytes, interpreter: Any, **tolerance: Any) -> dict[str, bytes]:
    """Return golden vectors as this interpreter answers them, with a tolerance for the platform given."""
    pixels = picture()
    plane = cv2.resize(cv2.resize(pixels, (SIDE * 3, SIDE * 3)), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    q = interpreter.inputs["plane"].quantization
    tensor = (plane.astype(np.int32) + q.zero_point).astype(np.int8)[None, :, :, None]
    outputs = interpreter.invoke({"plane": tensor})
    encoded = {name: base64.b64encode(values.tobytes()).decode() for name, values in outputs.items()}
    vectors = [{"frame": "golden/00.png", "plane": "golden/00.plane.png", "outputs": encoded}]
    entry = {"n": 1, "plane_gray": 0, "logit_lsb": 0, "score": 0.0, **tolerance}
    return {
        "golden/00.png": png(pixels),
        "golden/00.plane.png": png(plane),
        "golden/vectors.json": schema.encode_json(vectors),
        "golden/tolerance.json": schema.encode_json({"schema": 1, "reference": "test", "entries": [entry]}),
    }


LABELS: dict[str, Any] = {"labels": ("normal", "benign", "malignant"), "normal_labels": ("normal", "benign")}
"""Of a bundle around `three_labels`."""


def three_labels(integers: tuple[int, int, int], **options: Any) -> ThreeLabels:
    """Return a model of three labels, whose logits and maps are 0.5 * (integer + 10)."""
    half = Quantization(scale=0.5, zero_point=-10)
    made = ThreeLabels(
        logit=TensorSpec(name="logit", shape=(1, 3), dtype="int8", quantization=half),
        evidence=TensorSpec(name="evidence", shape=(1, 4, 4, 3), dtype="int8", quantization=half),
        **options,
    )
    made.integers = np.array(integers, np.int8)
    return made


class FakeInterpreter:
    """Answers the same outputs every time, remembers what it was given, and fails when told to."""

    backend = "fake"
    accelerated = False
    kernels = Kernels.REFERENCE
    threads = 1

    def __init__(
        self, *, logit_lsb: int = 0, embedding_lsb: int = 0, without: tuple[str, ...] = (), **specs: TensorSpec
    ) -> None:
        half = Quantization(scale=0.5, zero_point=-10)
        outputs = {
            "logit": TensorSpec(name="logit", shape=(1, 1), dtype="int8", quantization=half),
            "evidence": TensorSpec(name="evidence", shape=(1, 4, 4, 1), dtype="int8", quantization=half),
            "embedding": TensorSpec(name="embedding", shape=(1, EMBEDDING), dtype="int8", quantization=half),
        }
        plane = TensorSpec(
            name="plane", shape=(1, SIDE, SIDE, 1), dtype="int8", quantization=Quantization(scale=1.0, zero_point=-128)
        )
        self.inputs: dict[str, TensorSpec] = {"plane": specs.pop("plane", plane)}
        self.outputs = {name: spec for name, spec in {**outputs, **specs}.items() if name not in without}
        self.given: list[Tensor] = []
        self.failing = False
        self._integers = {"logit": logit_lsb, "evidence": logit_lsb, "embedding": embedding_lsb}

    def invoke(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if self.failing:
            raise InferenceError("fake: inference failed: told to")
        self.given.append(inputs["plane"].copy())
        return {
            name: np.full(spec.shape, self._integers.get(name, 0), np.dtype(spec.dtype))
            for name, spec in self.outputs.items()
        }


class ThreeLabels(FakeInterpreter):
    """Answers three logits, and everywhere in the maps the same."""

    integers: NDArray[np.int8]

    def invoke(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        answered = super().invoke(inputs)
        return {name: values + self.integers if name != "embedding" else values for name, values in answered.items()}
