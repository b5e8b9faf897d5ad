from __future__ import annotations

import pytest

import converters
from converters.gate import Gate
from converters.mode import Mode


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sensitivity": 1.0}, "sensitivity: expected above 0 and below 1, got 1.0"),
        ({"share": 0.0}, "share: expected above 0 and below 1, got 0.0"),
        ({"significance": 1.5}, "significance: expected above 0 and below 1, got 1.5"),
        ({"margin": -0.01}, "margin: expected 0 to below 1, got -0.01"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_limit_out_of_range_is_a_mistake_of_the_caller(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Gate(**{"operating_point": "rule-out", "sensitivity": 0.95, **changes})  # type: ignore[arg-type]  # on purpose


def test_limits_default_to_those_of_the_design() -> None:
    gate = Gate(operating_point="rule-out", sensitivity=0.95)
    assert (gate.margin, gate.share, gate.significance) == (0.01, 0.5, 0.05)


def test_public_names_are_pinned_and_load_on_first_use() -> None:
    pytest.importorskip("keras", reason="needs the train extra")
    assert converters.__all__ == [
        "Artifact",
        "Calibration",
        "Facts",
        "Gate",
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
