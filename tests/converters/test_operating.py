from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the train extra")

from converters import operating
from edgemed.errors import GateError
from edgemed.runtime import decision

QUALITY = decision.QualityLimits(min_side_px=16, max_side_px=512, min_contrast=0.0, max_coloured_fraction=1.0)


def _validation(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat([0, 1], 150)
    return 3.0 * labels - 1.5 + rng.normal(size=300), labels


def _rule(logits: np.ndarray, labels: np.ndarray, *, tolerance: float) -> decision.DecisionRule:
    return operating.decision_rule(
        logits,
        labels,
        model_digest="sha256:" + "0" * 64,
        calibration=operating.calibrated(logits, labels),
        name="rule-out",
        sensitivity=0.95,
        logit_tolerance=tolerance,
        quality=QUALITY,
        limits=None,
    )


def test_threshold_reaches_the_sensitivity_and_says_what_it_attained(rng: np.random.Generator) -> None:
    logits, labels = _validation(rng)
    rule = _rule(logits, labels, tolerance=0.1)
    point = rule.operating_point
    alerts = operating.scores(logits, rule.calibration) >= point.threshold
    assert point.sensitivity == alerts[labels == 1].mean() >= 0.95
    assert point.specificity == 1 - alerts[labels == 0].mean()
    assert (point.n_abnormal, point.n_normal) == (150, 150)


def test_indeterminate_zone_spans_the_tolerance_between_back_ends(rng: np.random.Generator) -> None:
    logits, labels = _validation(rng)
    rule = _rule(logits, labels, tolerance=0.25)
    for logit in np.linspace(-4, 4, 400):
        first = decision.decide(
            decision.score(logit, rule.calibration), rule.indeterminate, rule.operating_point.threshold
        )
        second = decision.decide(
            decision.score(logit + 0.249, rule.calibration), rule.indeterminate, rule.operating_point.threshold
        )
        assert {first, second} != {decision.Decision.ALERT, decision.Decision.CLEAR}


def test_one_in_a_hundred_validation_images_lies_beyond_the_limit(rng: np.random.Generator) -> None:
    mixing = rng.normal(size=(6, 6))
    train, validation = rng.normal(size=(500, 6)) @ mixing + 4, rng.normal(size=(300, 6)) @ mixing + 4
    gauge = decision.OodGauge(operating.out_of_distribution(train, validation))
    distances = np.array([gauge.distance(embedding) for embedding in validation])
    assert np.count_nonzero(distances > 1.0) == 2  # of 300: the 99th percentile itself is in domain
    assert gauge.distance(np.full(6, 400.0)) > 10


def test_distance_is_mahalanobis_of_the_shrunk_covariance(rng: np.random.Generator) -> None:
    from sklearn.covariance import LedoitWolf

    train = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 5))
    limits = operating.out_of_distribution(train, train)
    expected = np.sqrt(LedoitWolf().fit(train).mahalanobis(train[:10]))
    gauge = decision.OodGauge(limits)
    found = [gauge.distance(embedding) * limits.limit for embedding in train[:10]]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_logits_that_fall_with_abnormality_end_at_the_gate(rng: np.random.Generator) -> None:
    logits, labels = _validation(rng)
    with pytest.raises(GateError, match="calibration: the int8 model's logits cannot be calibrated on validation"):
        operating.calibrated(-logits, labels)
