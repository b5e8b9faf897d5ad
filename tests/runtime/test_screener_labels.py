from __future__ import annotations

import math

import numpy as np
import pytest

from edgemed.errors import BundleError
from edgemed.runtime.decision import Calibration, Decision
from edgemed.runtime.screener import Screener
from tests.runtime import tiny


def test_several_labels_are_screened_by_their_abnormality() -> None:
    bundle = tiny.bundle(
        b"model", tiny.rule(b"model", calibration=Calibration(slope=2.0, intercept=0.5)), **tiny.LABELS
    )

    found = Screener(bundle, tiny.three_labels((-10, -12, -6))).screen(tiny.frame())

    z = 2.0 - math.log(math.exp(0.0) + math.exp(-1.0))
    score = 1 / (1 + math.exp(-(2 * z + 0.5)))
    assert found.logit == (0.0, -1.0, 2.0)
    assert (found.abnormality, found.score) == (pytest.approx(z), pytest.approx(score))
    assert found.decision is Decision.ALERT
    assert found.label_scores is not None
    share = 1 / (1 + math.exp(-1.0))
    assert found.label_scores == pytest.approx(
        {"normal": (1 - score) * share, "benign": (1 - score) * (1 - share), "malignant": score}
    )
    assert found.evidence is not None
    assert found.evidence.tolist() == pytest.approx(np.full((4, 4), z))


def test_refused_image_has_a_score_for_no_label() -> None:
    document = tiny.rule(b"model", out_of_distribution=tiny.limits(limit=1e-3))
    screener = Screener(tiny.bundle(b"model", document, **tiny.LABELS), tiny.three_labels((-10, -10, -10)))

    found = screener.screen(tiny.frame())

    assert (found.decision, found.score, found.label_scores) == (Decision.REFUSED, None, None)
    assert found.logit == (0.0, 0.0, 0.0)


LABELS_THAT_DO_NOT_FIT = {
    "several logits without normal labels": (
        {"labels": ("normal", "benign", "malignant")},
        "manifest.json: normal_labels: required with a model of 3 logits, one for each label; convert again with a "
        "recipe that has them",
    ),
    "two labels for three logits": (
        {"labels": ("normal", "malignant"), "normal_labels": ("normal",)},
        "manifest.json: labels: expected one for each logit of the model, got 2 for 3; convert again with the labels "
        "that it was trained on",
    ),
    "normal label that is none": (
        {"labels": ("a", "b", "c"), "normal_labels": ("normal",)},
        "manifest.json: normal_labels: expected some of 'a', 'b', 'c', got 'normal'",
    ),
}


@pytest.mark.parametrize("name", LABELS_THAT_DO_NOT_FIT)
def test_labels_that_do_not_fit_the_model_are_refused(name: str) -> None:
    labels, expected = LABELS_THAT_DO_NOT_FIT[name]
    with pytest.raises(BundleError) as caught:
        Screener(tiny.bundle(b"model", **labels), tiny.three_labels((0, 0, 0)))
    assert str(caught.value) == expected
