from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgemed import targets
from edgemed.benchmark import budget
from edgemed.benchmark.control import Noise, noise
from edgemed.bundle import budget as bundles
from edgemed.errors import ConfigError
from edgemed.targets import Use

QUIET = noise([0.15] * 100)
LOUD = noise(list(np.linspace(0.1, 0.3, 100)))
TOTAL = budget.Limit(stage="total", percentile="p99", limit_ms=10.0, source="target")
MEDIAN = budget.Limit(stage="total", percentile="p50", limit_ms=10.0, source="bundle")


def verdict(times: list[float], limit: budget.Limit = TOTAL, found: Noise = QUIET) -> tuple[bool | None, str]:
    (row,) = budget.judge({"total": times}, [limit], noise=found)
    return row.kept, row.why


def test_kept_and_broken() -> None:
    assert verdict([5.0] * 1000) == (True, "")
    assert verdict([5.0] * 980 + [20.0] * 20) == (False, "")
    assert verdict([20.0], MEDIAN) == (False, "")


def test_few_samples_keep_nothing_and_can_break() -> None:
    assert verdict([5.0] * 200) == (None, "200 samples, p99 needs 1000")
    assert verdict([5.0] * 19 + [20.0]) == (None, "20 samples, p99 needs 1000")
    assert verdict([5.0] * 18 + [20.0] * 2) == (False, "")
    assert verdict([5.0]) == (None, "1 samples, p99 needs 1000")


def test_noise_breaks_nothing_and_excuses_nothing_that_was_kept() -> None:
    assert verdict([20.0] * 1000, found=LOUD) == (None, "the machine is too noisy to judge")
    assert verdict([20.0] * 9, found=noise([0.15] * 9)) == (None, "nothing tells whether it is noise")
    assert verdict([5.0] * 1000, found=LOUD) == (True, "")


def test_elsewhere_judges_nothing() -> None:
    (row,) = budget.judge({"total": [5.0] * 1000}, [TOTAL], noise=QUIET, elsewhere="this is another machine")
    assert (row.kept, row.why) == (None, "this is another machine")


def test_limits_are_the_targets_and_the_tighter_ones_of_the_bundle() -> None:
    text = b"schema: 1\nxray-still:\n  infer: {p50_ms: 20.0, p99_ms: 60.0}\n"
    asked = bundles.parse(text, source="budget.yaml", target_ids=["coral-usb"])
    members = {bundles.MEMBER: msgspec.json.encode(asked)}
    target = targets.load("coral-usb")
    found = {(one.stage, one.percentile): one for one in budget.limits(target, Use.XRAY_STILL, members)}
    assert (found["infer", "p99"].limit_ms, found["infer", "p99"].source) == (60.0, "bundle")
    assert found["infer", "p50"].limit_ms == 20.0
    assert (found["total", "p99"].limit_ms, found["total", "p99"].source) == (1000.0, "target")
    assert {one.source for one in budget.limits(target, Use.US_CINE_30, members)} == {"target"}


WRONG = {
    "no-unit": (
        "schema: 1\nxray-still:\n  infer: {p99: 100.0}\n",
        "budget.yaml: xray-still.infer.p99: unknown key; did you mean 'p99_ms'?",
    ),
    "text": (
        "schema: 1\nxray-still:\n  infer: {p99_ms: 100 ms}\n",
        "budget.yaml: xray-still.infer.p99_ms: expected `float | null`, got `str`, value '100 ms'",
    ),
    "looser": (
        "schema: 1\nus-cine-30:\n  total: {p99_ms: 50.0}\n",
        "budget.yaml: us-cine-30.total.p99_ms: expected at most 33.3, which coral-usb allows, got 50; a bundle may "
        "tighten a budget, never loosen it",
    ),
    "falling": (
        "schema: 1\nxray-still:\n  infer: {p50_ms: 30.0, p99_ms: 20.0}\n",
        "budget.yaml: xray-still.infer: expected p50_ms <= p90_ms <= p99_ms: no percentile is below a smaller one",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_budget_is_refused(name: str) -> None:
    text, said = WRONG[name]
    with pytest.raises(ConfigError) as refused:
        bundles.parse(text.encode(), source="budget.yaml", target_ids=["coral-usb"])
    assert str(refused.value) == said
