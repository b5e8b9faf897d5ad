from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemed.imaging import quality
from edgemed.imaging.frame import Frame


@dataclass(frozen=True, kw_only=True)
class Limits:
    min_side_px: int = 64
    max_side_px: int = 512
    min_contrast: float = 0.1
    max_coloured_fraction: float = 0.2


GOOD = Frame(pixels=np.tile(np.arange(256, dtype=np.uint8), (100, 1)), source="test")

REFUSED = {
    "1x1": (
        Frame(pixels=np.full((1, 1), 9, np.uint8), source="test"),
        (
            "too small: shorter side 1 px, at least 64 px needed; send the image at full size",
            "almost no contrast: grey levels spread over 0.0% of the range, at least 10.0% needed; "
            "check exposure, gain and probe contact, then take it again",
        ),
    ),
    "too large": (
        Frame(pixels=np.tile(np.arange(256, dtype=np.uint8), (513, 1)), source="test"),
        ("too large: longer side 513 px, at most 512 px allowed; send one image only",),
    ),
    "all black": (
        Frame(pixels=np.zeros((100, 100), np.uint8), source="test"),
        (
            "almost no contrast: grey levels spread over 0.0% of the range, at least 10.0% needed; "
            "check exposure, gain and probe contact, then take it again",
        ),
    ),
    "a speck on black": (
        Frame(pixels=np.eye(200, dtype=np.uint8) * 255, source="test"),
        (
            "almost no contrast: grey levels spread over 0.0% of the range, at least 10.0% needed; "
            "check exposure, gain and probe contact, then take it again",
        ),
    ),
    "coloured": (
        replace(GOOD, coloured_fraction=0.25),
        (
            "coloured: 25.0% of the pixels, at most 20.0% allowed; "
            "send the gray image, not a photograph or a colour overlay",
        ),
    ),
}


def test_good_frame_has_no_reason_against_it() -> None:
    assert quality.reasons(GOOD, Limits()) == ()


@pytest.mark.parametrize(("frame", "expected"), REFUSED.values(), ids=REFUSED)
def test_bad_frame_is_told_why(frame: Frame, expected: tuple[str, ...]) -> None:
    assert quality.reasons(frame, Limits()) == expected


@given(low=st.integers(0, 65535), span=st.integers(0, 65535), bits=st.integers(9, 16))
def test_spread_is_the_share_of_the_range(low: int, span: int, bits: int) -> None:
    top = (1 << bits) - 1
    low, high = min(low, top), min(low + span, top)
    high = max(low, high)
    pixels = np.full((10, 10), low, np.uint16)
    pixels[:, 5:] = high
    assert quality.spread(Frame(pixels=pixels, bits=bits, source="test")) == (high - low) / top


@settings(max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 700), st.integers(1, 60)),
    bits=st.integers(8, 16),
    span=st.floats(0.0, 1.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_look_at_few_rows_promises_no_more_than_all_of_them_hold(
    shape: tuple[int, int], bits: int, span: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    top = 1 + int(span * ((1 << bits) - 1))
    pixels = rng.integers(0, top, shape, dtype=np.uint8 if bits == 8 else np.uint16)
    pixels[: shape[0] // 3] //= 4  # not every row is like the others
    frame = Frame(pixels=pixels, source="test", bits=bits)
    limits = Limits(min_side_px=1, max_side_px=4096, min_contrast=0.2)

    assert quality._least_spread(frame) <= quality.spread(frame)
    assert bool(quality.reasons(frame, limits)) is (quality.spread(frame) < 0.2)
