"""Golden vectors: what the reference back end answered, to hold this machine's answers against.

A vector is a source frame, its exact input plane and the int8 outputs for that plane. Equality is not assumed:
kernels round differently, so `replay` compares with the tolerance that was measured for this member, this back end,
these kernels and this architecture. The plane is computed anew from the frame and compared; the model then gets the
stored plane, so that a difference in preprocessing and one in inference are told apart.

Every member of a bundle is held against the same vectors, those of its int8 model, in real units: the unit of a
difference is the LSB of the int8 model's output, whether the member answers integers or floats.

    report = golden.replay(bundle, interpreter, member="model/qdq.onnx")
    if report.verdict is golden.Verdict.OUTSIDE: ...
"""

from __future__ import annotations

import base64
import binascii
import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from edgemed import schema, targets, tensors
from edgemed.bundle import models
from edgemed.bundle.archive import Bundle
from edgemed.errors import BundleError, ConversionError, ImageError
from edgemed.imaging import preprocess, readers
from edgemed.imaging.frame import Frame
from edgemed.imaging.preprocess import Preprocessing
from edgemed.runtime import decision, outputs
from edgemed.runtime.classifier import Classifier
from edgemed.runtime.decision import DecisionRule
from edgemed.runtime.interpreter import Interpreter, Kernels
from edgemed.runtime.labels import Labels, manifest_labels
from edgemed.tensors import Quantization

__all__ = [
    "TOLERANCE",
    "VECTORS",
    "Entry",
    "GoldenReport",
    "Replayed",
    "Tolerance",
    "Vector",
    "Verdict",
    "decode_frame",
    "encode_int8",
    "parse_tolerance",
    "parse_vectors",
    "replay",
]

VECTORS = "golden/vectors.json"
TOLERANCE = "golden/tolerance.json"

_MachineName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}\Z")]


class Vector(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of ``golden/vectors.json``.

    Attributes:
        frame: member that holds the source frame, a PNG.
        plane: member that holds its input plane, a PNG.
        bits: significant bits of the frame, which a PNG does not keep; None for all that its pixel type has.
        outputs: by signature name, base64 of the int8 output of the reference back end, row-major.
    """

    frame: str
    plane: str
    outputs: Annotated[dict[str, str], Meta(min_length=1, max_length=16)]
    bits: Annotated[int, Meta(ge=8, le=16)] | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Largest differences from the reference that were measured with one member on one back end.

    Attributes:
        member: the model that answered; bundles of one model leave it out.
        accelerated: an accelerator computed the graph.
        kernels: ``xnnpack`` or ``reference``.
        architecture: as `edgemed.targets.architecture` returns it.
        n: planes it was measured on.
        plane_gray: grey levels between input planes; 0 when every step is exact.
        logit_lsb: between logits, in LSB of the int8 model's, rounded up; within the range of its logit.
        score: between calibrated scores, 0..1.
    """

    member: str = models.INT8
    accelerated: bool = False
    backend: str
    kernels: Kernels
    architecture: _MachineName
    n: Annotated[int, Meta(ge=1)]
    plane_gray: Annotated[int, Meta(ge=0, le=255)]
    logit_lsb: Annotated[int, Meta(ge=0, le=255)]
    score: Annotated[float, Meta(ge=0.0, le=1.0)]


class Tolerance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document ``golden/tolerance.json``; ``reference`` names what computed the vectors, in words."""

    schema: Literal[1]
    reference: Annotated[str, Meta(min_length=1)]
    entries: tuple[Entry, ...]

    def entry(self, interpreter: Interpreter, *, member: str, architecture: str) -> Entry | None:
        """Return what was measured for a member on one platform, or None when nothing was."""
        wanted = (member, interpreter.accelerated, interpreter.backend, interpreter.kernels, architecture)
        return next((entry for entry in self.entries if _platform(entry) == wanted), None)


def _platform(entry: Entry) -> tuple[str, bool, str, Kernels, str]:
    return entry.member, entry.accelerated, entry.backend, entry.kernels, entry.architecture


class Verdict(str, enum.Enum):
    """How a replay stands to its tolerance."""

    WITHIN = "within"
    OUTSIDE = "outside"
    UNMEASURED = "unmeasured"


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """Differences of one vector: grey levels of the plane, LSB of each int8 reference output, calibrated score."""

    frame: str
    plane_gray: int
    lsb: dict[str, int]
    score: float

    def lies_within(self, entry: Entry) -> bool:
        """Return whether plane, logit and score lie inside the tolerance; other outputs have none."""
        return (
            self.plane_gray <= entry.plane_gray and self.lsb["logit"] <= entry.logit_lsb and self.score <= entry.score
        )


@dataclass(frozen=True, kw_only=True)
class GoldenReport:
    """Every vector replayed with one member on one platform; ``allowed`` is None when nothing was measured for it."""

    member: str
    backend: str
    kernels: Kernels
    architecture: str
    vectors: tuple[Replayed, ...]
    allowed: Entry | None

    @property
    def verdict(self) -> Verdict:
        """Whether all vectors lie inside the measured tolerance; unmeasured is neither yes nor no."""
        if self.allowed is None:
            return Verdict.UNMEASURED
        inside = all(vector.lies_within(self.allowed) for vector in self.vectors)
        return Verdict.WITHIN if inside else Verdict.OUTSIDE


def encode_int8(values: NDArray[np.int8]) -> str:
    """Return an int8 array as base64 of its bytes, row-major."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=np.int8).tobytes()).decode("ascii")


def parse_vectors(raw: bytes) -> tuple[Vector, ...]:
    """Return ``golden/vectors.json``, a JSON list, as values.

    Raises:
        BundleError: not JSON, unknown key, missing key or a wrong type.
    """
    return schema.decode_json(raw, tuple[Vector, ...], source=VECTORS, error=BundleError)


def parse_tolerance(raw: bytes) -> Tolerance:
    """Return ``golden/tolerance.json`` as a value.

    Raises:
        BundleError: not JSON, unknown key, missing key, wrong type or a value out of range.
    """
    return schema.decode_json(raw, Tolerance, source=TOLERANCE, error=BundleError)


def decode_frame(raw: bytes, *, source: str, bits: int | None) -> Frame:
    """Return the frame that a vector's member holds, as it goes into preprocessing.

    Args:
        raw: the member's bytes.
        source: its name.
        bits: of the `Vector`.

    Raises:
        BundleError: not a picture, or not one of this depth.
    """
    frame = _decoded_picture(raw, source)
    try:
        return frame if bits is None else replace(frame, bits=bits)
    except ValueError as err:
        raise BundleError(f"golden vector: {source}: {err}") from err


def replay(bundle: Bundle, interpreter: Interpreter, *, member: str = models.INT8) -> GoldenReport:
    """Return how far this machine's answers lie from the golden vectors of a verified bundle.

    Args:
        bundle: verified.
        interpreter: one of its models, loaded.
        member: name of that model in the bundle.

    Raises:
        BundleError: the bundle has no vectors, or they do not fit its models and preprocessing.
        InferenceError: the back end failed, or a float model answered NaN or infinity.
    """
    subject = _subject(bundle, interpreter, member)
    vectors = parse_vectors(_member(bundle, VECTORS))
    if not vectors:
        raise BundleError(f"{VECTORS}: expected at least one vector, got none")
    tolerance = parse_tolerance(_member(bundle, TOLERANCE))
    architecture = targets.architecture()
    return GoldenReport(
        member=member,
        backend=interpreter.backend,
        kernels=interpreter.kernels,
        architecture=architecture,
        vectors=tuple(_replayed(bundle, vector, subject) for vector in vectors),
        allowed=tolerance.entry(interpreter, member=member, architecture=architecture),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Subject:
    """A loaded member, what makes its planes, and what its answers mean; `units` are those of the int8 outputs."""

    classifier: Classifier
    preprocessing: Preprocessing
    rule: DecisionRule
    labels: Labels
    units: Mapping[str, Quantization]


def _subject(bundle: Bundle, interpreter: Interpreter, member: str) -> _Subject:
    rule = decision.parse(bundle.members["decision.json"])
    preprocessing = preprocess.parse(bundle.members["preprocessing.json"])
    ends = models.MODELS[member].ends
    classifier = Classifier(interpreter, height=preprocessing.height, width=preprocessing.width, ends=ends)
    if member == models.INT8:
        units = {name: outputs.quantization(spec) for name, spec in interpreter.outputs.items()}
    else:
        units = _units(bundle.members[models.INT8])
    labels = manifest_labels(bundle.manifest, logits=classifier.count)
    return _Subject(classifier=classifier, preprocessing=preprocessing, rule=rule, labels=labels, units=units)


def _units(model: bytes) -> dict[str, Quantization]:
    """Return scale and zero point of each output of the int8 model, without loading it."""
    from edgemed import tflite  # here: the int8 model, once loaded, says its units itself

    try:
        read = tflite.read(model, source=models.INT8)
    except ConversionError as err:
        raise BundleError(str(err)) from err
    found = {name: tensor for name, tensor in read.outputs.items() if len(tensor.scales) == 1}
    return {name: Quantization(scale=one.scales[0], zero_point=one.zero_points[0]) for name, one in found.items()}


def _replayed(bundle: Bundle, vector: Vector, subject: _Subject) -> Replayed:
    preprocessing, classifier = subject.preprocessing, subject.classifier
    plane = _decoded_picture(_member(bundle, vector.plane), vector.plane).pixels
    if plane.shape != (preprocessing.height, preprocessing.width) or plane.dtype != np.uint8:
        raise BundleError(
            f"{vector.plane}: expected uint8 ({preprocessing.height}, {preprocessing.width}), "
            f"got {plane.dtype} {plane.shape}"
        )
    frame = decode_frame(_member(bundle, vector.frame), source=vector.frame, bits=vector.bits)
    computed = preprocess.apply(frame, preprocessing)
    answered = classifier.infer(plane.astype(np.uint8))
    specs = classifier.interpreter.outputs
    real = {name: outputs.reader(specs[name])(values) for name, values in answered.items()}
    expected = _expected(vector, real, subject.units)
    logits = (real["logit"], tensors.dequantize(expected["logit"], subject.units["logit"]))
    scores = [decision.score(float(subject.labels.abnormality(one[0])), subject.rule.calibration) for one in logits]
    return Replayed(
        frame=vector.frame,
        plane_gray=_largest(computed, plane),
        lsb={name: outputs.lsb_apart(real[name], expected[name], subject.units[name]) for name in sorted(expected)},
        score=abs(scores[0] - scores[1]),
    )


def _expected(
    vector: Vector, answered: Mapping[str, NDArray[np.float64]], units: Mapping[str, Quantization]
) -> dict[str, NDArray[np.int8]]:
    """Return the stored outputs in the shapes of the answered ones."""
    for where, named in ((f"{VECTORS}: {vector.frame}", vector.outputs), (models.INT8, units)):
        if sorted(named) != sorted(answered):
            raise BundleError(f"{where}: expected outputs {sorted(answered)}, got {sorted(named)}")
    return {name: _decoded(vector, name, values.shape) for name, values in answered.items()}


def _decoded(vector: Vector, name: str, shape: tuple[int, ...]) -> NDArray[np.int8]:
    try:
        return np.frombuffer(base64.b64decode(vector.outputs[name], validate=True), np.int8).reshape(shape)
    except (binascii.Error, ValueError) as err:
        raise BundleError(f"{VECTORS}: {vector.frame}: {name}: expected base64 of int8 {shape}") from err


def _largest(one: NDArray[np.generic], other: NDArray[np.generic]) -> int:
    # Eight-bit differences overflow: widen first.
    return int(np.abs(one.astype(np.int32) - other.astype(np.int32)).max())


def _decoded_picture(raw: bytes, name: str) -> Frame:
    try:
        return next(readers.decode(raw, source=name))
    except ImageError as err:
        raise BundleError(f"golden vector: {err}") from err


def _member(bundle: Bundle, name: str) -> bytes:
    if name not in bundle.members:
        raise BundleError(f"{name}: missing from the bundle; convert again to measure golden vectors")
    return bundle.members[name]
