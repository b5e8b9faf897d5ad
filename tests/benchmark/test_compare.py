from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgemed.benchmark import compare
from edgemed.errors import ConfigError
from tests.benchmark import made


def test_slower_preprocessing_is_a_regression_of_that_stage_alone(rng: np.random.Generator) -> None:
    before = made.result(made.columns(rng))
    after = made.result(made.columns(rng, slower={"preprocess": 1.10}))
    found = compare.compare(before, after)
    assert [one.stage for one in found.slower] == ["preprocess"]
    assert found.why == ""


def test_the_same_code_is_no_regression(rng: np.random.Generator) -> None:
    found = compare.compare(made.result(made.columns(rng)), made.result(made.columns(rng)))
    assert {one.verdict for one in found.stages} == {"same"}


def test_faster_inference_is_called_so(rng: np.random.Generator) -> None:
    after = made.result(made.columns(rng, slower={"infer": 0.8}))
    found = compare.compare(made.result(made.columns(rng)), after)
    assert {one.stage for one in found.stages if one.verdict == "faster"} == {"infer", "total"}


def test_a_slower_machine_cancels_out(rng: np.random.Generator) -> None:
    slow = {name: 1.3 * values for name, values in made.columns(rng).items()}
    found = compare.compare(made.result(made.columns(rng)), made.result(slow))
    assert not found.slower
    assert found.control == pytest.approx(1.3, rel=0.01)


def test_a_change_below_the_clock_is_none(rng: np.random.Generator) -> None:
    tiny = {**made.columns(rng), "decide": 0.010 * rng.lognormal(0.0, 0.02, 400)}
    doubled = {**made.columns(rng), "decide": 0.0135 * rng.lognormal(0.0, 0.02, 400)}
    found = compare.compare(made.result(tiny), made.result(doubled))
    assert next(one.verdict for one in found.stages if one.stage == "decide") == "same"


def test_a_noisy_machine_gives_no_verdict(rng: np.random.Generator) -> None:
    noisy = {**made.columns(rng, slower={"preprocess": 2.0}), "control": 0.15 * np.linspace(1.0, 1.5, 400)}
    found = compare.compare(made.result(made.columns(rng)), made.result(noisy))
    assert {one.verdict for one in found.stages} == {None}
    assert found.slower == ()
    assert found.why.startswith("now: the control loop, which always does the same, had a spread of ")


def test_one_sample_gives_no_verdict(rng: np.random.Generator) -> None:
    found = compare.compare(made.result(made.columns(rng)), made.result(made.columns(rng, 1)))
    assert {one.verdict for one in found.stages} == {None}
    assert found.why == "now: 1 samples of the control loop, expected at least 40: nothing can be said of the noise"


def test_the_same_documents_give_the_same_answer(rng: np.random.Generator) -> None:
    before, after = made.result(made.columns(rng)), made.result(made.columns(rng))
    assert compare.compare(before, after) == compare.compare(before, after)


def test_another_release_of_the_bundle_compares(rng: np.random.Generator) -> None:
    before = made.result(made.columns(rng))
    newer = msgspec.structs.replace(before.bundle, version="1.3.0", digest="sha256:" + "9" * 64)
    after = msgspec.structs.replace(before, bundle=newer)
    assert compare.require_comparable(before, after, source="before.json") == ()


OTHERS = {
    "bundle": ("bundle", {"name": "other"}, "bundle.name: expected 'other', as measured now, got 'tiny'"),
    "scenario": ("scenario", {"name": "stream"}, "scenario.name: expected 'stream', as measured now, got 'single'"),
    "target": (
        "runtime",
        {"target": "raspberry-pi-5"},
        "runtime.target: expected 'raspberry-pi-5', as measured now, got 'generic-x86-64'",
    ),
    "images": (
        "inputs",
        {"digest": "sha256:2"},
        f"inputs.digest: expected 'sha256:2', as measured now, got 'sha256:{'1' * 64}'",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_does_not_compare_is_refused(name: str, rng: np.random.Generator) -> None:
    part, changes, said = OTHERS[name]
    before = made.result(made.columns(rng))
    after = msgspec.structs.replace(before, **{part: msgspec.structs.replace(getattr(before, part), **changes)})
    with pytest.raises(ConfigError) as refused:
        compare.require_comparable(before, after, source="before.json", force=True)
    assert str(refused.value) == (
        f"--compare: before.json: {said}; compare measurements of the same bundle, scenario, target and images"
    )


def test_another_machine_is_refused_unless_forced(rng: np.random.Generator) -> None:
    before = made.result(made.columns(rng))
    after = msgspec.structs.replace(before, machine=msgspec.structs.replace(made.MACHINE, governor="powersave"))
    with pytest.raises(ConfigError) as refused:
        compare.require_comparable(before, after, source="before.json")
    assert str(refused.value) == (
        "--compare: before.json: was measured on another machine: governor: expected performance, got powersave; "
        "measure both on one, or give --force"
    )
    forced = compare.require_comparable(before, after, source="before.json", force=True)
    assert forced == ("governor: expected performance, got powersave",)
