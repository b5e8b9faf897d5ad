"""The strip below a picture: what it says of each state, and that it fits."""

from __future__ import annotations

import dataclasses
import itertools

import cv2
import numpy as np
import pytest

from edgemed.runtime import caption
from edgemed.runtime.caption import Words
from edgemed.runtime.decision import Decision
from edgemed.runtime.screening import Screening
from tests.runtime import tiny

RULE = tiny.rule(b"model", threshold=0.5, zone=(0.4, 0.6))
ALERT = tiny.alert(source="clinic/smith.png")
LONG = (
    "out of distribution: distance 1.05 of the limit, expected at most 1; not like the images the model was trained on"
)
REFUSED = dataclasses.replace(ALERT, decision=Decision.REFUSED, score=None, reasons=(LONG,))

SAID = {
    "alert": (ALERT, "ALERT   score 0.93", ("rule-out, threshold 0.50",)),
    "indeterminate": (
        dataclasses.replace(ALERT, decision=Decision.INDETERMINATE, score=0.45),
        "INDETERMINATE   score 0.45",
        ("rule-out, threshold 0.50", "cannot tell: the score lies in 0.40 to 0.60"),
    ),
    "refused": (REFUSED, "REFUSED", (LONG,)),
    "fallback": (
        dataclasses.replace(ALERT, fallback=True),
        "ALERT   score 0.93",
        ("rule-out, threshold 0.50", "computed on the CPU, in place of the accelerator"),
    ),
    "reason with the name of the input": (
        dataclasses.replace(REFUSED, reasons=("clinic/smith.png: cannot be read: it is empty",)),
        "REFUSED",
        ("cannot be read: it is empty",),
    ),
}


@pytest.mark.parametrize(("screening", "headline", "lines"), SAID.values(), ids=SAID)
def test_each_state_says_what_it_is(screening: Screening, headline: str, lines: tuple[str, ...]) -> None:
    said = caption.words(screening, RULE)

    assert (said.decision, said.headline, said.lines) == (screening.decision, headline, lines)


@pytest.mark.parametrize("width", [512, 640, 800, 1024], ids=str)
@pytest.mark.parametrize("with_scale", [True, False], ids=["scale", "plain"])
def test_nothing_is_cut_off_at_the_right_end_or_drawn_over_the_scale(width: int, with_scale: bool) -> None:
    said = caption.words(dataclasses.replace(REFUSED, reasons=(LONG, "x" * 300)), RULE)
    strip = np.zeros((caption.height_px(said, width, with_scale=with_scale), width, 3), np.uint8)

    caption.draw(strip, said, with_scale=with_scale)
    plain = strip.copy()
    caption.draw(plain, dataclasses.replace(said, lines=()), with_scale=with_scale)

    written = np.nonzero((strip != plain).any(axis=(0, 2)))[0]
    assert written.min() >= 10
    assert written.max() < width - (200 if with_scale else 10)


def test_long_reasons_take_more_lines_and_a_higher_strip() -> None:
    short, long = (caption.words(dataclasses.replace(REFUSED, reasons=(LONG,) * n), RULE) for n in (1, 3))

    assert caption.height_px(long, 512, with_scale=False) == caption.height_px(short, 512, with_scale=False) + 80


def test_strip_that_is_too_low_keeps_headline_and_disclaimer() -> None:
    said = caption.words(dataclasses.replace(REFUSED, reasons=(LONG,) * 9), RULE)
    strip = np.zeros((92, 512, 3), np.uint8)
    bare = strip.copy()

    caption.draw(strip, said, with_scale=False)
    caption.draw(bare, dataclasses.replace(said, lines=()), with_scale=False)

    assert (strip[:34] == bare[:34]).all()
    assert (strip[72:] == bare[72:]).all()
    assert (strip != bare).any()


def test_every_decision_has_a_mark_of_its_own() -> None:
    strips = []
    for decision in Decision:
        strip = np.zeros((92, 512, 3), np.uint8)
        caption.draw(strip, Words(decision=decision, headline=decision.value.upper(), lines=()), with_scale=True)
        strips.append(strip)

    for one, other in itertools.combinations(strips, 2):
        assert (one[:, 2] != other[:, 2]).any()
        # The word differs as well: colour alone tells nothing.
        assert (one[:34, 20:] != other[:34, 20:]).any()


def test_letters_that_the_font_lacks_are_replaced() -> None:
    strips = [np.zeros((92, 512, 3), np.uint8) for _ in range(2)]
    for strip, text in zip(strips, ("M\u00fcller", "M?ller"), strict=True):
        caption.draw(strip, Words(decision=Decision.CLEAR, headline=text, lines=()), with_scale=False)

    assert (strips[0] == strips[1]).all()


def test_picture_narrower_than_the_strip_lies_in_the_middle() -> None:
    image = np.full((40, 100, 3), 200, np.uint8)

    canvas = caption.below(image, caption.words(ALERT, RULE), with_scale=True)

    assert canvas.shape == (40 + 92, caption.MIN_WIDTH_PX, 3)
    assert (canvas[:40, 206:306] == 200).all()
    assert (canvas[:40, :206] == caption.GROUND).all()


def test_disclaimer_is_always_there() -> None:
    said = caption.words(ALERT, RULE)
    strip = np.zeros((92, 512, 3), np.uint8)

    caption.draw(strip, said, with_scale=True)

    assert caption.DISCLAIMER == "Research use only, not for diagnosis"
    foot = cv2.cvtColor(strip[74:, 16:300], cv2.COLOR_BGR2GRAY)
    assert (foot > 120).sum() > 200
