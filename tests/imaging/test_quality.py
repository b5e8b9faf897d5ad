from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
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
    min_bright_level: float | None = None
    max_saturated_fraction: float | None = None
    min_sharpness: float | None = None


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
    assert quality.levels(Frame(pixels=pixels, bits=bits, source="test")).spread == (high - low) / top


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

    assert quality._least_spread(frame) <= quality.levels(frame).spread
    assert bool(quality.reasons(frame, limits)) is (quality.levels(frame).spread < 0.2)


DIM = Frame(pixels=GOOD.pixels // 8, source="test")
HARSH = Frame(pixels=np.minimum(GOOD.pixels.astype(np.uint16) * 2, 255).astype(np.uint8), source="test")


def test_dark_frame_is_told_what_to_turn_up() -> None:
    assert quality.reasons(DIM, Limits(min_bright_level=0.3)) == (
        "too dark: 99% of the pixels lie below 12.2% of the range, at least 30.0% needed; "
        "increase gain or exposure, check probe contact",
    )
    assert quality.reasons(GOOD, Limits(min_bright_level=0.3)) == ()


def test_blank_frame_is_called_blank_and_not_dark_as_well() -> None:
    blank = Frame(pixels=np.zeros((100, 100), np.uint8), source="test")
    found = quality.reasons(blank, Limits(min_bright_level=0.3))
    assert [text.split(":")[0] for text in found] == ["almost no contrast"]


def test_saturated_frame_is_told_what_to_turn_down() -> None:
    assert quality.reasons(HARSH, Limits(max_saturated_fraction=0.1)) == (
        "saturated: 50.0% of the pixels are at the upper end of the range, at most 10.0% allowed; "
        "decrease gain or exposure",
    )
    assert quality.reasons(GOOD, Limits(max_saturated_fraction=0.1)) == ()


def test_upper_end_of_a_deep_frame_is_its_uppermost_256th() -> None:
    pixels = np.full((10, 10), 3000, np.uint16)
    pixels[:5] = 4080  # of 4096 levels the 16 uppermost
    assert quality.levels(Frame(pixels=pixels, bits=12, source="test")).saturated == 0.5


def test_blurred_plane_is_told_apart_whatever_its_contrast(rng: np.random.Generator) -> None:
    sharp = cv2.GaussianBlur(rng.integers(0, 256, (96, 96), np.uint8), (3, 3), 0)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 2.0)
    assert quality.sharpness(blurred) < 0.3 * quality.sharpness(sharp)
    assert quality.sharpness(sharp // 4) == pytest.approx(quality.sharpness(sharp), rel=0.1)
    limits = Limits(min_sharpness=0.5 * quality.sharpness(sharp))
    assert quality.plane_reasons(sharp, limits) == ()
    (reason,) = quality.plane_reasons(blurred, limits)
    assert reason == (
        f"blurred: sharpness {quality.sharpness(blurred):.4f}, at least {limits.min_sharpness:.4f} needed; "
        "hold still, focus, then take it again"
    )
    assert quality.sharpness(np.full((20, 20), 7, np.uint8)) == 0.0


def upright(rng: np.random.Generator) -> np.ndarray:
    """A plane that looks different whichever way it is held: an L of light, whose corner is the brightest."""
    plane = rng.integers(20, 40, (64, 64))
    plane[:, :16] += 120
    plane[48:, :] += 60
    return plane.astype(np.uint8)


WRONG = {
    "turned by 90 degrees counter-clockwise": lambda plane: np.rot90(plane, 1),
    "turned by 180 degrees": lambda plane: np.rot90(plane, 2),
    "turned by 90 degrees clockwise": lambda plane: np.rot90(plane, -1),
}


@pytest.mark.parametrize("how", WRONG)
def test_turned_plane_is_told_how_it_lies(rng: np.random.Generator, how: str) -> None:
    pose = quality.Pose(template=quality.thumbnail(upright(rng)), margin=0.05)
    assert quality.plane_reasons(upright(rng), Limits(), pose) == ()
    turned = np.ascontiguousarray(WRONG[how](upright(rng)))
    (reason,) = quality.plane_reasons(turned, Limits(), pose)
    assert reason == f"{how}: fits upright pictures better the other way round; send it as it is usually read"


def test_inverted_plane_is_told(rng: np.random.Generator) -> None:
    ring = np.full((64, 64), 40, np.uint8)  # the same whichever way it is turned
    ring[16:48, 16:48] = 200
    pose = quality.Pose(template=quality.thumbnail(ring), margin=0.05)
    (reason,) = quality.plane_reasons(255 - ring, Limits(), pose)
    assert reason.startswith("inverted (black and white swapped): ")
    assert quality.plane_reasons(ring, Limits(), pose) == ()


def test_flat_plane_fits_no_pose_better(rng: np.random.Generator) -> None:
    flat = np.full((64, 64), 9, np.uint8)
    assert quality.advantage(quality.thumbnail(flat), quality.thumbnail(upright(rng)))[0] == 0.0
