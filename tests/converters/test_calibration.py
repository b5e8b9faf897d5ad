from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from converters import calibration
from edgemed.errors import ConversionError, EdgemedError

GRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) * 10


class Model:
    """As much of a model as `require_fits` looks at."""

    name = "net"

    def __init__(self, *shape: int) -> None:
        self.inputs = [np.empty((1, *shape))]


def test_planes_are_copied_and_read_only() -> None:
    planes = GRAY.copy()
    made = calibration.of(planes, name="two planes")
    planes[:] = 7
    assert (made.planes == GRAY).all()
    assert not made.planes.flags.writeable
    assert (made.size, made.name) == (2, "two planes")


def test_list_of_planes_is_the_same_set_as_their_array() -> None:
    assert calibration.of(list(GRAY), name="list").digest == calibration.of(GRAY, name="array").digest


def test_digest_is_over_dtype_shape_and_bytes() -> None:
    expected = hashlib.sha256(b"uint8 2x3x4\n" + bytes(range(0, 240, 10))).hexdigest()
    assert calibration.of(GRAY, name="two planes").digest == "sha256:" + expected


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(GRAY[::-1], id="another order"),
        pytest.param(GRAY.reshape(3, 2, 4), id="another shape"),
        pytest.param(GRAY[:1], id="fewer"),
        pytest.param(GRAY + np.eye(3, 4, dtype=np.uint8), id="other values"),
    ],
)
def test_digest_tells_other_sets_apart(other: np.ndarray) -> None:
    assert calibration.of(GRAY, name="set").digest != calibration.of(other, name="set").digest


def test_digest_does_not_depend_on_how_the_array_lies_in_memory() -> None:
    assert calibration.of(np.asfortranarray(GRAY), name="set").digest == calibration.of(GRAY, name="set").digest


def test_name_is_not_left_out() -> None:
    with pytest.raises(ValueError, match=r"^name: expected words that tell where the planes come from, got none$"):
        calibration.of(GRAY, name=" ")


UNIT = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4)
WITH_NAN = UNIT * 255
WITH_NAN[1, 0, :2] = np.nan, np.inf
REFUSED: dict[str, tuple[Any, str]] = {
    "empty": (
        GRAY[:0],
        "expected at least one plane, got an empty set of shape (0, 3, 4); ranges cannot be set from nothing: give "
        "some hundred planes of the train split",
    ),
    "empty-list": (
        [],
        "expected at least one plane, got an empty set of shape (0,); ranges cannot be set from nothing: give "
        "some hundred planes of the train split",
    ),
    "generator": (
        (plane for plane in GRAY),
        "expected an array of planes (n, H, W) or a list of them, got generator, which has no end that is known; "
        "collect the planes with np.stack([...]), so that they have an order and an end and can be hashed",
    ),
    "mapping": (
        {"a": GRAY},
        "expected an array of planes (n, H, W) or a list of them, got dict, which has no order that is known; "
        "collect the planes with np.stack([...]), so that they have an order and an end and can be hashed",
    ),
    "several-shapes": (
        [GRAY[0], GRAY[0, :2]],
        "expected planes of one shape, got 2 shapes: (2, 4), (3, 4); make them with one preprocessing",
    ),
    "nan-and-infinite": (
        WITH_NAN,
        "expected finite grey levels, got 2 NaN or infinite values in 1 of 2 planes, the first in plane 1; find out "
        "where they come from before anything else",
    ),
    "number": (
        255.0,
        "expected an array of planes (n, H, W) or a list of them, got float; collect the planes with np.stack([...]), "
        "so that they have an order and an end and can be hashed",
    ),
    "text": (
        np.full((2, 3, 4), "a"),
        "expected uint8 grey levels, got the type <U1; make the planes with edgemed's preprocessing",
    ),
    "bool": (
        GRAY > 50,
        "expected uint8 grey levels, got the type bool; make the planes with edgemed's preprocessing",
    ),
    "zero-to-one": (
        UNIT,
        "values lie in 0..1 (0..1), expected grey levels 0..255: multiply by 255, round and cast to uint8, and leave "
        "the normalisation to the graph (a Rescaling layer, or input_range)",
    ),
    "zero-to-one-with-a-channel-axis": (
        UNIT[..., np.newaxis] * 0.9,
        "values lie in 0..1 (0..0.9), expected grey levels 0..255: multiply by 255, round and cast to uint8, and leave "
        "the normalisation to the graph (a Rescaling layer, or input_range)",
    ),
    "minus-one-to-one": (
        UNIT.astype(np.float64) * 2 - 1,
        "values lie in -1..1 (-1..1), expected grey levels 0..255: add 1, multiply by 127.5, round and cast to uint8, "
        "and leave the normalisation to the graph (a Rescaling layer, or input_range)",
    ),
    "zero-to-one-cast-to-integers": (
        UNIT.astype(np.uint8),
        "values are 0..1 as uint8, expected grey levels 0..255: planes of 0..1 cast to integers lose every shade; "
        "multiply by 255 before the cast, or leave the normalisation to the graph",
    ),
    "grey-levels-as-float": (
        GRAY.astype(np.float32),
        "expected uint8 grey levels 0..255, got float32 of 0..230; round and cast them to uint8",
    ),
    "standardised": (
        UNIT * 6 - 3,
        "expected uint8 grey levels 0..255, got float32 of -3..3; reduce them to 8 bits by preprocessing",
    ),
    "sixteen-bits": (
        GRAY.astype(np.uint16) * 257,
        "expected uint8 grey levels 0..255, got uint16 of 0..59110; reduce them to 8 bits by preprocessing",
    ),
    "signed": (
        GRAY.astype(np.int64),
        "expected uint8 grey levels 0..255, got int64 of 0..230; round and cast them to uint8",
    ),
    "one-plane": (
        GRAY[0],
        "expected planes (n, H, W), got the shape (3, 4); one plane alone is planes[np.newaxis]",
    ),
    "channel-axis": (
        GRAY[..., np.newaxis],
        "expected planes (n, H, W), got the shape (2, 3, 4, 1); drop the channel axis: planes[..., 0]",
    ),
    "colour": (
        np.stack([GRAY, GRAY, GRAY], axis=-1),
        "expected planes (n, H, W), got the shape (2, 3, 4, 3); make colour gray, and drop the channel axis",
    ),
    "clips": (
        GRAY.reshape(1, 1, 2, 3, 4),
        "expected planes (n, H, W), got the shape (1, 1, 2, 3, 4); stack planes (H, W) along a first axis",
    ),
    "black": (
        np.zeros((5, 3, 4), np.uint8),
        "every one of the 5 planes has one grey level only (0 is black); they show nothing that could set a range: "
        "check how they were read",
    ),
    "flat": (
        np.full((5, 3, 4), np.arange(100, 105, dtype=np.uint8)[:, None, None]),
        "every one of the 5 planes has one grey level only (0 is black); they show nothing that could set a range: "
        "check how they were read",
    ),
    "identical": (
        GRAY[[0, 0, 0]],
        "all 3 planes are identical, expected different ones; check the loop that collects them",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_set_that_cannot_be_right_is_refused_in_its_own_words(name: str) -> None:
    planes, words = REFUSED[name]
    with pytest.raises(ConversionError) as caught:
        calibration.of(planes, name="set")
    assert str(caught.value) == f"calibration: {words}"


def test_one_plane_that_shows_something_is_a_set() -> None:
    assert calibration.of(GRAY[:1], name="one plane").size == 1


@given(
    planes=hnp.arrays(
        st.sampled_from([np.uint8, np.int32, np.float16, np.float64, np.bool_, np.complex64]),
        hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=3),
    )
)
def test_any_array_is_a_set_or_refused(planes: np.ndarray) -> None:
    try:
        made = calibration.of(planes, name="any")
    except EdgemedError as err:
        assert str(err).startswith("calibration: ")
    else:
        assert made.planes.dtype == np.uint8
        assert made.planes.ndim == 3


def test_planes_of_the_models_size_fit() -> None:
    calibration.require_fits(calibration.of(GRAY, name="set"), Model(3, 4, 1))  # type: ignore[arg-type]


def test_planes_of_another_size_are_refused() -> None:
    with pytest.raises(ConversionError) as caught:
        calibration.require_fits(calibration.of(GRAY, name="set"), Model(4, 3, 1))  # type: ignore[arg-type]
    assert str(caught.value) == (
        "calibration: expected planes of 4 x 3 (height x width), the input of 'net', got 3 x 4; make them with the "
        "preprocessing of this model"
    )
