from __future__ import annotations

from typing import Any

import pytest

from edgemed import statistics

SHOWN = {
    "plain": ({}, "0.9829 [0.9707, 0.9901]"),
    "by patient": ({"by_patient": (0.96, 0.995)}, "0.9829 [0.9707, 0.9901], by patient [0.9600, 0.9950]"),
    "another form": ({"form": "+.2f"}, "+0.98 [+0.97, +0.99]"),
}


@pytest.mark.parametrize(("options", "text"), SHOWN.values(), ids=SHOWN)
def test_figure_is_shown_with_its_interval(options: dict[str, Any], text: str) -> None:
    assert statistics.shown(0.98291, (0.97069, 0.99009), **options) == text


SHOWN_RATIOS = {
    "three digits": ((14.6049, (6.7151, 31.81)), "14.6 [6.72, 31.8]"),
    "no exponent": ((153.4, (21.71, 1083.2)), "153 [21.7, 1083]"),
    "without an upper end": ((None, (4.2, None)), "unbounded [4.2, unbounded]"),
    "zero": ((0.0, (0.0, 0.3)), "0 [0, 0.3]"),
    "tiny": ((0.00001, (0.0, 0.01)), "below 0.0001 [0, 0.01]"),
}


@pytest.mark.parametrize(("ratio", "text"), SHOWN_RATIOS.values(), ids=SHOWN_RATIOS)
def test_ratio_is_shown_with_its_interval(ratio: tuple[float | None, tuple[float, float | None]], text: str) -> None:
    assert statistics.shown_ratio(*ratio) == text
