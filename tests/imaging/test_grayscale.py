from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_windowing

from edgemed.imaging import grayscale
from edgemed.imaging.grayscale import LookUp, Rescale, VoiFunction, Window

DEPTHS = st.integers(8, 16)
CENTERS = st.floats(-5000, 70000)
WIDTHS = st.floats(1, 80000)


def linear(x: float, center: float, width: float) -> float:
    """PS3.3 C.11.2.1.2.1 as it is written, output 0..1."""
    if x <= center - 0.5 - (width - 1) / 2:
        return 0.0
    if x > center - 0.5 + (width - 1) / 2:
        return 1.0
    return (x - (center - 0.5)) / (width - 1) + 0.5


@given(center=CENTERS, width=WIDTHS, x=st.floats(-40000, 70000))
def test_linear_window_is_the_formula_of_the_standard(center: float, width: float, x: float) -> None:
    assert Window(center=center, width=width).at(np.array([x]))[0] == pytest.approx(linear(x, center, width), abs=1e-9)


@pytest.mark.parametrize("function", VoiFunction, ids=[function.value for function in VoiFunction])
@given(bits=DEPTHS, center=st.floats(0, 5000), width=st.floats(100, 9000))
def test_window_agrees_with_pydicom(function: VoiFunction, bits: int, center: float, width: float) -> None:
    stored = np.arange(0, 1 << bits, max(1, (1 << bits) // 200), dtype=np.uint16)
    dataset = Dataset()
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsStored, dataset.PixelRepresentation = bits, 0
    dataset.WindowCenter, dataset.WindowWidth = f"{center:.6f}", f"{width:.6f}"
    dataset.VOILUTFunction = function.value
    expected = apply_windowing(stored, dataset) / ((1 << bits) - 1)
    window = Window(center=round(center, 6), width=round(width, 6), function=function)
    np.testing.assert_allclose(window.at(stored.astype(np.float64)), expected, atol=1e-6)


@given(bits=DEPTHS, signed=st.booleans())
def test_without_a_window_the_whole_depth_fills_the_range(bits: int, signed: bool) -> None:
    table = grayscale.table(bits=bits, signed=signed, modality=None, voi=None)
    assert table.shape == (1 << bits,)
    assert table.dtype == (np.uint8 if bits <= 8 else np.uint16)
    order = np.roll(np.arange(1 << bits), 1 << (bits - 1)) if signed else np.arange(1 << bits)
    rising = table[order].astype(int)
    assert (np.diff(rising) >= 1).all()
    assert (rising[0], rising[-1]) == (0, np.iinfo(table.dtype).max)


@given(bits=DEPTHS, center=CENTERS, width=WIDTHS, inverted=st.booleans())
def test_window_never_turns_the_order_round(bits: int, center: float, width: float, inverted: bool) -> None:
    voi = Window(center=center, width=width)
    table = grayscale.table(bits=bits, signed=False, modality=None, voi=voi, inverted=inverted).astype(int)
    assert (np.diff(table) <= 0).all() if inverted else (np.diff(table) >= 0).all()


def test_8_bits_without_any_step_stay_as_stored() -> None:
    table = grayscale.table(bits=8, signed=False, modality=None, voi=None)
    np.testing.assert_array_equal(table, np.arange(256))


def test_rescale_comes_before_the_window() -> None:
    # Stored 0..255 are -1000..-490 after the rescale; the window takes -900..-700.
    table = grayscale.table(
        bits=8,
        signed=False,
        modality=Rescale(slope=2.0, intercept=-1000.0),
        voi=Window(center=-800.0, width=200.0, function=VoiFunction.LINEAR_EXACT),
    )
    expected = [math.floor(255 * min(max((2 * v - 1000 + 800) / 200 + 0.5, 0), 1) + 0.5) for v in range(256)]
    assert table.tolist() == expected


def test_modality_look_up_clamps_and_spans_its_own_bits() -> None:
    modality = LookUp(first=100, bits=12, values=np.array([0, 1024, 4095], np.uint16))
    table = grayscale.table(bits=8, signed=False, modality=modality, voi=None)
    assert [table[99], table[100], table[101], table[102], table[255]] == [0, 0, 64, 255, 255]


def test_voi_look_up_spans_its_own_bits() -> None:
    voi = LookUp(first=0, bits=10, values=np.arange(0, 1024, 4, dtype=np.uint16))
    table = grayscale.table(bits=8, signed=False, modality=None, voi=voi)
    assert table.tolist() == [math.floor(255 * 4 * v / 1023 + 0.5) for v in range(256)]


WRONG = {
    "slope 0": (lambda: Rescale(slope=0.0, intercept=1.0), "finite numbers and a slope other than 0"),
    "endless slope": (lambda: Rescale(slope=math.inf, intercept=1.0), "finite numbers and a slope other than 0"),
    "width 0": (lambda: Window(center=1.0, width=0.0), "a width of at least 1"),
    "half a width": (lambda: Window(center=1.0, width=0.5), "a width of at least 1"),
    "exact width 0": (lambda: Window(center=1.0, width=0.0, function=VoiFunction.SIGMOID), "or above 0"),
    "no entry": (lambda: LookUp(first=0, bits=8, values=np.zeros(0, np.uint16)), "at least one entry"),
    "7 bits": (lambda: LookUp(first=0, bits=7, values=np.zeros(4, np.uint16)), "8 to 16 bits"),
}


@pytest.mark.parametrize(("build", "words"), WRONG.values(), ids=WRONG)
def test_meaningless_step_is_not_built(build: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build()  # type: ignore[operator]  # a table of lambdas
