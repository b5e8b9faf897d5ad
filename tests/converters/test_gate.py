from __future__ import annotations

import pytest

import converters
from converters.gate import Criterion, Gate, Indeterminate
from converters.mode import Mode

RULE_OUT = Criterion(name="rule-out", sensitivity=0.95)
RULE_IN = Criterion(name="rule-in", specificity=0.9)
BALANCED = Criterion(name="balanced", balanced="equal-error")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share": 0.0}, "share: expected above 0 and below 1, got 0.0"),
        ({"significance": 1.5}, "significance: expected above 0 and below 1, got 1.5"),
        ({"margin": -0.01}, "margin: expected 0 to below 1, got -0.01"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_limit_out_of_range_is_a_mistake_of_the_caller(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Gate(points=(RULE_OUT,), active="rule-out", **changes)  # type: ignore[arg-type]  # on purpose


def test_limits_default_to_those_of_the_design() -> None:
    gate = Gate(points=(RULE_OUT,), active="rule-out")
    assert (gate.margin, gate.share, gate.significance) == (0.01, 0.5, 0.05)
    assert gate.indeterminate is Indeterminate.TOLERANCE


MISTAKES = {
    "no criterion": ({}, "x: expected one of sensitivity, specificity and balanced, got none"),
    "two criteria": (
        {"sensitivity": 0.9, "balanced": "equal-error"},
        "x: expected one of sensitivity, specificity and balanced, got sensitivity, balanced",
    ),
    "certainty": ({"specificity": 1.0}, "specificity: expected above 0 and below 1, got 1.0"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_criterion_asks_for_one_thing(name: str) -> None:
    asked, message = MISTAKES[name]
    with pytest.raises(ValueError) as caught:
        Criterion(name="x", **asked)  # type: ignore[arg-type]  # on purpose
    assert str(caught.value) == message


def test_criterion_in_words() -> None:
    assert [str(point) for point in (RULE_OUT, RULE_IN, BALANCED)] == [
        "sensitivity >= 0.95",
        "specificity >= 0.9",
        "sensitivity = specificity",
    ]
    assert [point.promised for point in (RULE_OUT, RULE_IN, BALANCED)] == [0.95, 0.9, None]


POINTS = {
    "names that repeat": (
        {"points": (RULE_OUT, RULE_OUT)},
        "points: expected different names, got rule-out, rule-out",
    ),
    "active point that is none": ({"active": "rule-up"}, "active: expected one of rule-out, got 'rule-up'"),
    "nothing to be between": (
        {"points": (RULE_OUT, BALANCED), "indeterminate": Indeterminate.BETWEEN},
        "indeterminate: between needs a point with a sensitivity and one with a specificity",
    ),
}


@pytest.mark.parametrize("name", POINTS)
def test_points_that_make_no_sense_together(name: str) -> None:
    changes, message = POINTS[name]
    with pytest.raises(ValueError) as caught:
        Gate(**{"points": (RULE_OUT,), "active": "rule-out", **changes})  # type: ignore[arg-type]  # on purpose
    assert str(caught.value) == message


def test_public_names_are_pinned_and_load_on_first_use() -> None:
    pytest.importorskip("keras", reason="needs the train extra")
    assert converters.__all__ == [
        "Artifact",
        "Calibration",
        "Criterion",
        "Facts",
        "Gate",
        "Indeterminate",
        "Mode",
        "Parity",
        "ParityError",
        "convert",
        "write",
    ]
    assert all(getattr(converters, name) is not None for name in converters.__all__)
    assert callable(converters.convert)


def test_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'converters' has no attribute 'quantise'$"):
        _ = converters.quantise


@pytest.mark.parametrize(
    ("mode", "member", "is_int8"),
    [
        (Mode.QAT, "model/int8.tflite", True),
        (Mode.PTQ, "model/int8.tflite", True),
        (Mode.FLOAT16, "model/float16.tflite", False),
        (Mode.FLOAT32, "model/float32.tflite", False),
    ],
)
def test_mode_knows_its_member(mode: Mode, member: str, is_int8: bool) -> None:
    assert (mode.member, mode.is_int8) == (member, is_int8)
