from __future__ import annotations

import json
import math
from decimal import Decimal, getcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed import schema
from edgemed.errors import BundleError
from edgemed.runtime import decision
from edgemed.runtime.decision import Calibration, Decision, OodGauge, OutOfDistribution, Zone
from tests.runtime import tiny

DOCUMENT = json.loads(schema.encode_json(tiny.rule(b"model", out_of_distribution=tiny.limits(limit=2.0))))
LOGITS = st.floats(-1e3, 1e3)


@given(LOGITS, st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_score_is_the_logistic_function(logit: float, slope: float, intercept: float) -> None:
    getcontext().prec = 50
    z = Decimal(slope * logit + intercept)
    expected = 1 / (1 + (-z).exp())

    assert decision.score(logit, Calibration(slope=slope, intercept=intercept)) == pytest.approx(
        float(expected), rel=1e-12, abs=1e-300
    )


@given(LOGITS, LOGITS)
def test_score_rises_with_the_logit(one: float, other: float) -> None:
    calibration = Calibration(slope=1.3, intercept=-0.2)
    low, high = sorted((one, other))

    assert 0.0 <= decision.score(low, calibration) <= decision.score(high, calibration) <= 1.0


@pytest.mark.parametrize(
    ("score", "zone", "expected"),
    [
        pytest.param(0.5, (0.5, 0.5), Decision.ALERT, id="at the threshold of an empty zone"),
        pytest.param(np.nextafter(0.5, 0), (0.5, 0.5), Decision.CLEAR, id="just below it"),
        pytest.param(0.4, (0.4, 0.6), Decision.INDETERMINATE, id="at the zone's low end"),
        pytest.param(np.nextafter(0.4, 0), (0.4, 0.6), Decision.CLEAR, id="just below the zone"),
        pytest.param(np.nextafter(0.6, 0), (0.4, 0.6), Decision.INDETERMINATE, id="just inside its high end"),
        pytest.param(0.6, (0.4, 0.6), Decision.ALERT, id="at the zone's high end"),
    ],
)
def test_decision_follows_the_zone(score: float, zone: tuple[float, float], expected: Decision) -> None:
    assert decision.decide(score, Zone(low=zone[0], high=zone[1]), 0.5) is expected


def test_distance_is_mahalanobis_over_the_limit(rng: np.random.Generator) -> None:
    samples = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4))
    mean, covariance = samples.mean(axis=0), np.cov(samples.T)
    whitening = np.linalg.inv(np.linalg.cholesky(covariance))
    gauge = OodGauge(
        OutOfDistribution(
            size=4, mean=decision.encode_floats(mean), whitening=decision.encode_floats(whitening), limit=3.0
        )
    )

    difference = samples[7] - mean
    expected = math.sqrt(difference @ np.linalg.inv(covariance) @ difference) / 3.0
    assert gauge.distance(samples[7]) == pytest.approx(expected, rel=1e-5)


def test_floats_survive_the_document(rng: np.random.Generator) -> None:
    values = rng.normal(size=5).astype(np.float32)
    limits = OutOfDistribution(
        size=5,
        mean=decision.encode_floats(values),
        whitening=decision.encode_floats(np.zeros((5, 5))),
        limit=1.0,
    )

    assert OodGauge(limits).distance(np.zeros(5)) == 0.0
    assert decision.encode_floats(values) == limits.mean


def test_document_survives_its_json() -> None:
    rule = tiny.rule(b"model", out_of_distribution=tiny.limits(limit=2.0))

    assert decision.parse(schema.encode_json(rule)) == rule


def changed(path: str, value: Any) -> bytes:
    """Return the document with the value at a dotted path replaced, or added."""
    tree = json.loads(json.dumps(DOCUMENT))
    *parents, last = path.split(".")
    node = tree
    for parent in parents:
        node = node[int(parent) if parent.isdigit() else parent]
    node[last] = value
    return json.dumps(tree).encode()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        pytest.param("activ", "x", "decision.json: activ: unknown key; did you mean 'active'?", id="unknown key"),
        pytest.param("version", "3", "decision.json: version: expected `int`, got `str`, value '3'", id="wrong type"),
        pytest.param(
            "operating_points.0.threshold",
            1.5,
            "decision.json: operating_points[0].threshold: expected `float` <= 1.0, value 1.5",
            id="out of range",
        ),
        pytest.param(
            "active",
            "rule-in",
            "decision.json: active: expected one of ['rule-out'], got 'rule-in'",
            id="no such operating point",
        ),
        pytest.param(
            "operating_points",
            DOCUMENT["operating_points"] * 2,
            "decision.json: operating_points: names repeat",
            id="names repeat",
        ),
        pytest.param(
            "indeterminate",
            {"low": 0.6, "high": 0.7},
            "decision.json: indeterminate: the zone does not hold the active threshold",
            id="threshold outside the zone",
        ),
        pytest.param(
            "indeterminate",
            {"low": 0.7, "high": 0.6},
            "decision.json: indeterminate: low 0.7 lies above high 0.6",
            id="zone upside down",
        ),
        pytest.param(
            "out_of_distribution.mean",
            "AAAA",
            "decision.json: out_of_distribution: expected 8 float32 values, got 3 bytes",
            id="array of another length",
        ),
        pytest.param(
            "out_of_distribution.mean",
            "!",
            "decision.json: out_of_distribution: expected base64 of float32 values",
            id="no base64",
        ),
        pytest.param(
            "out_of_distribution.mean",
            decision.encode_floats(np.full(8, np.nan)),
            "decision.json: out_of_distribution: expected finite float32 values",
            id="not a number",
        ),
    ],
)
def test_faulty_document_is_refused(path: str, value: Any, message: str) -> None:
    with pytest.raises(BundleError) as caught:
        decision.parse(changed(path, value))

    assert str(caught.value) == message


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text() | st.floats(), st.lists).map(schema.encode_json))
def test_any_bytes_give_a_rule_or_an_error(raw: bytes) -> None:
    with pytest.raises(BundleError):
        decision.parse(raw)


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=8), st.floats(1e-3, 1.0))
def test_roots_of_features_keep_their_order_and_sign(features: list[float], offset: float) -> None:
    values = np.array(sorted(features))
    found = decision.rooted(values, offset)
    assert (np.diff(found) >= 0).all()
    assert (found * values >= 0).all()
    expected = [math.copysign(math.sqrt(abs(x) + offset) - math.sqrt(offset), x) for x in values]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_gauge_with_an_offset_measures_the_roots_of_features() -> None:
    limits = OutOfDistribution(
        size=2,
        mean=decision.encode_floats(np.array([1.0, 0.0])),
        whitening=decision.encode_floats(np.eye(2)),
        limit=2.0,
        offset=0.25,
    )
    # sqrt(6 + 0.25) - 0.5 = 2, and the negative feature likewise.
    assert OodGauge(limits).distance(np.array([6.0, -6.0])) == pytest.approx(math.hypot(1.0, -2.0) / 2.0)


def test_document_of_an_older_release_says_nothing_of_claims_and_roots() -> None:
    raw = schema.encode_json(tiny.rule(b"model", out_of_distribution=tiny.limits(limit=1.0)))
    tree = json.loads(raw)
    for key in ("holds", "confirmed"):
        del tree["operating_points"][0][key]
    del tree["out_of_distribution"]["offset"]
    found = decision.parse(schema.encode_json(tree))
    assert (found.operating_point.holds, found.operating_point.confirmed) == (None, None)
    assert found.out_of_distribution is not None
    assert found.out_of_distribution.offset is None
