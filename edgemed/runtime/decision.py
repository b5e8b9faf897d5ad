"""From logit to decision: calibration, operating point, indeterminate zone and limits, in float64.

``decision.json`` in a bundle is a `DecisionRule`. Pure arithmetic: no clock, no state, no file.

    rule = decision.parse(raw)
    score = decision.score(logit, rule.calibration)
    found = decision.decide(score, rule.indeterminate, rule.operating_point.threshold)
"""

from __future__ import annotations

import base64
import binascii
import enum
import math
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from edgemed import schema
from edgemed.errors import BundleError
from edgemed.runtime.quality_limits import QualityLimits
from edgemed.runtime.temporal_rule import TemporalRule

__all__ = [
    "Attained",
    "Calibration",
    "Decision",
    "DecisionRule",
    "OodGauge",
    "OperatingPoint",
    "OutOfDistribution",
    "QualityLimits",
    "Zone",
    "decide",
    "encode_floats",
    "parse",
    "rooted",
    "score",
]

Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
Finite = Annotated[float, Meta(ge=-1e30, le=1e30)]


class Decision(str, enum.Enum):
    """What the unit shows: an alert, a clear, "can't tell", or "can't judge this image"."""

    ALERT = "alert"
    CLEAR = "clear"
    INDETERMINATE = "indeterminate"
    REFUSED = "refused"


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Calibration(_Strict, frozen=True, kw_only=True):
    """Platt scaling, score = 1 / (1 + exp(-(slope * logit + intercept))); source: Platt 1999."""

    slope: Annotated[float, Meta(gt=0.0, le=1e6)]
    intercept: Finite


class Attained(_Strict, frozen=True, kw_only=True):
    """What a threshold attains on some images: rates with 95 % interval (low, high) of Wilson.

    Attributes:
        sensitivity, specificity: attained; the intervals are by patient where they are known.
        n_abnormal, n_normal: of these images.
    """

    sensitivity: Probability
    sensitivity_ci95: tuple[Probability, Probability]
    specificity: Probability
    specificity_ci95: tuple[Probability, Probability]
    n_abnormal: Annotated[int, Meta(ge=1)]
    n_normal: Annotated[int, Meta(ge=1)]


class OperatingPoint(Attained, frozen=True, kw_only=True):
    """A threshold with the criterion it was chosen for and what it attained on the images that chose it.

    Attributes:
        criterion: e.g. ``sensitivity >= 0.95 on the operating part of validation``.
        threshold: score in [0, 1]; at or above is abnormal.
        holds: the lower end of the interval reaches the criterion, so that these images carry its claim; None where
            the criterion claims nothing, and in bundles that do not say.
        confirmed: what this very model, as it ships, attains on validation; None in bundles that do not say.
    """

    name: str
    criterion: str
    threshold: Probability
    holds: bool | None = None
    confirmed: Attained | None = None


class Zone(_Strict, frozen=True, kw_only=True):
    """Scores in [low, high) are indeterminate; at least as wide as the tolerance between platforms."""

    low: Probability
    high: Probability

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low {self.low} lies above high {self.high}")


class OutOfDistribution(_Strict, frozen=True, kw_only=True):
    """Mahalanobis distance of the embedding, divided by its limit: above 1 is refused.

    With an ``offset`` each feature counts by its root, see `rooted`: pooled activations are skewed, their roots nearly
    normal, which is what the distance takes them for. One LSB is enough of an offset to keep the root from magnifying
    the steps of an int8 feature near 0.

    Attributes:
        size: length C of the embedding.
        mean: base64 of C little-endian float32.
        whitening: base64 of C*C little-endian float32, row-major W with precision = W^T W.
        limit: distance that 1 % of in-domain validation images exceed.
        offset: in units of the embedding; None where features count as they are.

    Source: Tukey, Exploratory Data Analysis (1977), chapter 3, for the ladder of powers.
    """

    size: Annotated[int, Meta(ge=1, le=2048)]
    mean: str
    whitening: str
    limit: Annotated[float, Meta(gt=0.0, le=1e30)]
    offset: Annotated[float, Meta(gt=0.0, le=1e30)] | None = None

    def __post_init__(self) -> None:
        _floats(self.mean, self.size)
        _floats(self.whitening, self.size * self.size)


class DecisionRule(_Strict, frozen=True, kw_only=True):
    """The document ``decision.json``; ``model`` binds it to the bytes of one model.

    Attributes:
        version: rises with every change of thresholds.
        model: digest of ``model/int8.tflite``.
        active: name of the operating point in force.
        temporal: how the frames of a stream are taken together; None stands for `TemporalRule`'s defaults, which take
            each frame by itself.
    """

    schema: Literal[1]
    version: Annotated[int, Meta(ge=1)]
    model: str
    calibration: Calibration
    operating_points: Annotated[tuple[OperatingPoint, ...], Meta(min_length=1)]
    active: str
    indeterminate: Zone
    quality: QualityLimits
    out_of_distribution: OutOfDistribution | None = None
    temporal: TemporalRule | None = None

    def __post_init__(self) -> None:
        names = [point.name for point in self.operating_points]
        if len(set(names)) != len(names):
            raise ValueError("operating_points: names repeat")
        if self.active not in names:
            raise ValueError(f"active: expected one of {names}, got {self.active!r}")
        if not self.indeterminate.low <= self.operating_point.threshold <= self.indeterminate.high:
            raise ValueError("indeterminate: the zone does not hold the active threshold")

    @property
    def operating_point(self) -> OperatingPoint:
        """The operating point in force."""
        return next(point for point in self.operating_points if point.name == self.active)


def parse(raw: bytes) -> DecisionRule:
    """Return ``decision.json`` as a value.

    Raises:
        BundleError: not JSON, unknown key, missing key, wrong type or a value out of range.
    """
    return schema.decode_json(raw, DecisionRule, source="decision.json", error=BundleError)


def score(logit: float, calibration: Calibration) -> float:
    """Return the calibrated probability of abnormality, in [0, 1], rising with the logit."""
    z = calibration.slope * logit + calibration.intercept
    # Two forms of the same sigmoid: neither exponential overflows.
    return 1.0 / (1.0 + math.exp(-z)) if z >= 0 else math.exp(z) / (1.0 + math.exp(z))


def decide(value: float, zone: Zone, threshold: float) -> Decision:
    """Return alert, clear or indeterminate for a score.

    An empty zone (low == high) decides at the threshold: at or above is an alert.
    """
    if zone.low == zone.high:
        return Decision.ALERT if value >= threshold else Decision.CLEAR
    if value >= zone.high:
        return Decision.ALERT
    return Decision.CLEAR if value < zone.low else Decision.INDETERMINATE


class OodGauge:
    """Distance of an embedding from the training data, in units of its limit: above 1 is out of distribution."""

    def __init__(self, limits: OutOfDistribution) -> None:
        self._mean = _floats(limits.mean, limits.size)
        self._whitening = _floats(limits.whitening, limits.size * limits.size).reshape(limits.size, limits.size)
        self._limit = limits.limit
        self._offset = limits.offset

    def distance(self, embedding: NDArray[np.float64]) -> float:
        """Return |W (x - mean)| / limit for one embedding of shape (C,), x its features as `OutOfDistribution` says."""
        features = embedding if self._offset is None else rooted(embedding, self._offset)
        return float(np.linalg.norm(self._whitening @ (features - self._mean)) / self._limit)


def rooted(embedding: NDArray[np.float64], offset: float) -> NDArray[np.float64]:
    """Return sign(x) * (sqrt(|x| + offset) - sqrt(offset)) for each feature x, any shape; offset > 0."""
    roots: NDArray[np.float64] = np.copysign(np.sqrt(np.abs(embedding) + offset) - math.sqrt(offset), embedding)
    return roots


def encode_floats(values: NDArray[np.floating]) -> str:
    """Return an array as base64 of little-endian float32, row-major."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")


def _floats(text: str, count: int) -> NDArray[np.float64]:
    """Decode base64 of ``count`` finite little-endian float32."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as err:
        raise ValueError("expected base64 of float32 values") from err
    if len(raw) != 4 * count:
        raise ValueError(f"expected {count} float32 values, got {len(raw)} bytes")
    values = np.frombuffer(raw, dtype="<f4").astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("expected finite float32 values")
    return values
