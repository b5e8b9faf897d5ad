from __future__ import annotations

import math
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edgemed.imaging import intensity
from edgemed.imaging.steps import (
    Bilateral,
    Clahe,
    Equalize,
    Gaussian,
    Median,
    NonLocalMeans,
    Percentile,
    Unsharp,
)

SMALL = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))
PERCENTS = st.tuples(st.integers(0, 49_000), st.integers(51_000, 100_000)).map(lambda p: (p[0] / 1000, p[1] / 1000))


def stretch_reference(values: list[int], low: float, high: float, bits: int) -> list[int]:
    """Percentile stretch of a list of grey levels, one by one, in rational numbers."""
    ordered = sorted(values)
    n = len(ordered)
    above = math.floor(n * Fraction(round(low * 1000), 100_000))
    reaching = math.ceil(n * Fraction(round(high * 1000), 100_000))
    a = ordered[above]  # the least level that more than `above` pixels do not exceed
    b = ordered[reaching - 1]
    if a == b:
        return [v >> (bits - 8) for v in values]
    return [0 if v <= a else 255 if v >= b else (255 * (v - a) + (b - a) // 2) // (b - a) for v in values]


def blur_reference(pixels: NDArray[np.uint8], size: int, sigma: float) -> NDArray[np.float64]:
    """Gaussian blur by definition, float64, edges reflected without repeating the last pixel."""
    d = np.arange(size) - size // 2
    kernel = np.exp(-(d**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    padded = np.pad(pixels.astype(np.float64), size // 2, mode="reflect")
    rows = sum(k * padded[i : i + pixels.shape[0]] for i, k in enumerate(kernel))
    return sum(k * rows[:, i : i + pixels.shape[1]] for i, k in enumerate(kernel))


@given(pixels=SMALL, percents=PERCENTS)
def test_percentile_stretch_equals_the_formula(pixels: NDArray[np.uint8], percents: tuple[float, float]) -> None:
    method = Percentile(low_percent=percents[0], high_percent=percents[1])
    got = intensity.contrast(pixels, method, bits=8)
    assert got.dtype == np.uint8
    assert got.ravel().tolist() == stretch_reference(pixels.ravel().tolist(), *percents, bits=8)


@given(
    bits=st.integers(9, 16),
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    percents=PERCENTS,
)
def test_percentile_stretch_of_a_deep_frame_equals_the_formula(
    bits: int, seed: int, shape: tuple[int, int], percents: tuple[float, float]
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 1 << bits, shape, dtype=np.uint16)
    got = intensity.contrast(pixels, Percentile(low_percent=percents[0], high_percent=percents[1]), bits=bits)
    assert got.dtype == np.uint8
    assert got.ravel().tolist() == stretch_reference(pixels.ravel().tolist(), *percents, bits=bits)


def test_flat_picture_keeps_its_level() -> None:
    flat = np.full((5, 6), 0x4321, np.uint16)
    got = intensity.contrast(flat, Percentile(low_percent=0, high_percent=100), bits=16)
    assert (got == 0x43).all()


@given(pixels=SMALL)
def test_histogram_counts_every_pixel_once(pixels: NDArray[np.uint8]) -> None:
    expected = np.bincount(pixels.ravel(), minlength=256)
    np.testing.assert_array_equal(intensity.histogram(pixels, bits=8), expected)


def test_histogram_stays_exact_past_what_float32_counts() -> None:
    pixels = np.zeros((4097, 4099), np.uint8)
    assert intensity.histogram(pixels, bits=8)[0] == 4097 * 4099 > 1 << 24


@given(bits=st.integers(9, 16), seed=st.integers(0, 2**32 - 1))
def test_deep_pixels_keep_their_top_8_bits(bits: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 1 << bits, (7, 5), dtype=np.uint16)
    expected = [v >> (bits - 8) for v in pixels.ravel().tolist()]
    assert intensity.to_8_bits(pixels, bits=bits).ravel().tolist() == expected


@pytest.mark.parametrize("size", [3, 5])
def test_median_equals_the_sorted_middle(rng: np.random.Generator, size: int) -> None:
    pixels = rng.integers(0, 256, (23, 31), dtype=np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(pixels, size // 2, mode="edge"), (size, size))
    np.testing.assert_array_equal(intensity.denoise(pixels, Median(size=size)), np.median(windows, axis=(2, 3)))


@pytest.mark.parametrize(("size", "sigma"), {"small": (3, 0.5), "middle": (5, 1.2), "large": (7, 6.0)}.values())
def test_gaussian_equals_the_convolution_within_its_8_bit_weights(
    rng: np.random.Generator, size: int, sigma: float
) -> None:
    pixels = rng.integers(0, 256, (40, 33), dtype=np.uint8)
    got = intensity.denoise(pixels, Gaussian(size=size, sigma=sigma))
    assert np.abs(got - blur_reference(pixels, size, sigma)).max() <= 1.5


def test_non_local_means_flattens_noise_and_keeps_an_edge(rng: np.random.Generator) -> None:
    clean = np.where(np.arange(48) < 24, 60, 190)[np.newaxis].repeat(48, axis=0)
    noisy = np.clip(clean + rng.normal(0, 6, clean.shape), 0, 255).astype(np.uint8)
    got = intensity.denoise(noisy, NonLocalMeans(strength=12.0, template=7, search=21)).astype(float)
    assert np.abs(got - clean).mean() < 0.5 * np.abs(noisy.astype(float) - clean).mean()
    assert got[:, 30:].mean() - got[:, :18].mean() > 120


def test_bilateral_keeps_an_edge_that_a_gaussian_blurs() -> None:
    edge = np.where(np.arange(32) < 16, 40, 220)[np.newaxis].repeat(32, axis=0).astype(np.uint8)
    kept = intensity.denoise(edge, Bilateral(diameter=5, sigma_gray=10.0, sigma_space=2.0))
    np.testing.assert_array_equal(kept, edge)


def test_equalize_equals_the_cumulative_histogram(rng: np.random.Generator) -> None:
    pixels = rng.integers(40, 90, (37, 41), dtype=np.uint8)
    cumulative = np.cumsum(np.bincount(pixels.ravel(), minlength=256))
    first = cumulative[pixels.min()]
    expected = np.rint(255 * (cumulative - first) / (pixels.size - first))[pixels]
    np.testing.assert_array_equal(intensity.contrast(pixels, Equalize(), bits=8), expected)


def test_clahe_raises_the_contrast_of_a_flat_region(rng: np.random.Generator) -> None:
    pixels = rng.integers(100, 116, (128, 128), dtype=np.uint8)
    got = intensity.contrast(pixels, Clahe(clip_limit=4.0, tiles=4), bits=8)
    assert got.std() > 1.5 * pixels.std()


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([3, 5, 7, 9]),
    sigma=st.floats(0.3, 10.0),
    amount=st.floats(0.01, 4.0),
)
def test_unsharp_equals_the_integer_formula(seed: int, size: int, sigma: float, amount: float) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (17, 19), dtype=np.uint8)
    blurred = cv2.GaussianBlur(pixels, (size, size), sigma)
    d = pixels.astype(np.int64) - blurred
    part = np.minimum((round(256 * amount) * np.abs(d) + 128) // 256, 255)
    expected = np.clip(pixels + np.sign(d) * part, 0, 255)
    np.testing.assert_array_equal(intensity.sharpen(pixels, Unsharp(size=size, sigma=sigma, amount=amount)), expected)


@pytest.mark.parametrize("method", [Median(size=5), Gaussian(size=5, sigma=1.5)], ids=["median", "gaussian"])
def test_view_of_a_larger_picture_filters_as_its_copy_does(rng: np.random.Generator, method: Median | Gaussian) -> None:
    view = rng.integers(0, 256, (90, 100), dtype=np.uint8)[11:70, 13:77]
    np.testing.assert_array_equal(intensity.denoise(view, method), intensity.denoise(view.copy(), method))


@given(
    entries=st.sampled_from([256, 4096, 1 << 15, 1 << 16]),
    kind=st.sampled_from([np.uint8, np.uint16]),
    deep=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40)
def test_look_up_takes_each_value_to_its_entry_and_larger_ones_to_the_last(
    entries: int, kind: type, deep: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 1 << 8 * np.dtype(kind).itemsize, entries, dtype=kind)
    pixels = rng.integers(0, 1 << 16 if deep else 256, (37, 61), dtype=np.uint16 if deep else np.uint8)
    expected = table[np.minimum(pixels.astype(np.int64), entries - 1)]

    for given_table in (table, intensity.whole_table(table)):
        found = intensity.look_up(given_table, pixels)
        assert found.dtype == kind
        np.testing.assert_array_equal(found, expected)
