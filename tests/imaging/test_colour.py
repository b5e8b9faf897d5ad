from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.imaging import colour
from edgemed.imaging.colour import Order


@pytest.mark.parametrize("kind", [np.uint8, np.uint16], ids=["uint8", "uint16"])
@pytest.mark.parametrize("order", Order, ids=[order.value for order in Order])
@pytest.mark.parametrize("channels", [3, 4])
@given(seed=st.integers(0, 2**32 - 1))
def test_gray_is_luma_in_fixed_point(kind: type[np.generic], order: Order, channels: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, np.iinfo(kind).max, (5, 7, channels), dtype=kind, endpoint=True)
    red, green, blue = (image[..., "RGB".index(c) if order is Order.RGB else "BGR".index(c)] for c in "RGB")
    expected = (
        9798 * red.astype(np.int64) + 19235 * green.astype(np.int64) + 3735 * blue.astype(np.int64) + 16384
    ) >> 15
    gray = colour.to_gray(image, order=order)
    assert gray.pixels.dtype == kind
    np.testing.assert_array_equal(gray.pixels, expected)


@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from([np.uint8, np.uint16]))
def test_coloured_fraction_counts_pixels_whose_channels_spread(seed: int, kind: type[np.generic]) -> None:
    scale = 1 if kind is np.uint8 else 257
    image = (np.random.default_rng(seed).integers(0, 60, (6, 5, 3)) * scale).astype(kind)
    spread = image.max(axis=2).astype(int) - image.min(axis=2)
    assert colour.to_gray(image, order=Order.RGB).coloured_fraction == (spread > 24 * scale).mean()


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1)], ids=["two axes", "one channel"])
def test_gray_stays_as_it_is(shape: tuple[int, ...]) -> None:
    image = np.arange(20, dtype=np.uint8).reshape(shape)
    gray = colour.to_gray(image, order=Order.BGR)
    assert gray.coloured_fraction == 0.0
    np.testing.assert_array_equal(gray.pixels, image.reshape(4, 5))


def test_planes_stored_apart_convert_as_pixels_do(rng: np.random.Generator) -> None:
    planar = rng.integers(0, 256, (3, 8, 9), dtype=np.uint8).transpose(1, 2, 0)
    np.testing.assert_array_equal(
        colour.to_gray(planar, order=Order.RGB).pixels, colour.to_gray(planar.copy(), order=Order.RGB).pixels
    )
