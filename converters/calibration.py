"""The planes that set the ranges of an int8 model: ordered, finite, hashed, and refused when they cannot be right.

A range set from the wrong planes costs accuracy without a word: normalised planes, an iterator that was already spent,
one plane repeated. So a set is an array in memory, of the grey levels the device will feed, and has a digest that the
report names.

    chosen = calibration.of(train.planes[:512], name="train, the first 512 of 4594")
    calibration.require_fits(chosen, model)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from edgemed.errors import ConversionError

if TYPE_CHECKING:
    import keras

__all__ = ["Calibration", "Proof", "drawn", "of", "require_fits"]


class Proof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That a calibration set made the ranges of an int8 model: they differ from those that one black plane makes.

    Attributes:
        calibration: name of the set.
        size: number of its planes.
        digest: of the set.
        activations: tensors that the model computes and that have a scale, found by name in both files.
        differing: how many of them have another scale or zero point.
        largest_ratio: of a scale to that from the black plane, or its inverse where that is larger.
        tensor: the one with that ratio.
    """

    calibration: str
    size: Annotated[int, Meta(ge=1)]
    digest: Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$")]
    activations: Annotated[int, Meta(ge=1)]
    differing: Annotated[int, Meta(ge=1)]
    largest_ratio: Annotated[float, Meta(ge=1)]
    tensor: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """An ordered, finite set of input planes; built by `of`.

    Attributes:
        planes: (n, H, W) uint8 grey levels 0..255, n >= 1, read-only; neither constant nor all the same.
        name: where they come from and which they are, for the report; no name of an image.
    """

    planes: NDArray[np.uint8]
    name: str

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("name: expected words that tell where the planes come from, got none")
        _require_planes(self.planes)
        self.planes.setflags(write=False)

    @property
    def size(self) -> int:
        """Number of planes."""
        return len(self.planes)

    @cached_property
    def digest(self) -> str:
        """``sha256:`` and 64 hex digits over a line of dtype and shape, then the bytes in order, row-major."""
        shape = "x".join(map(str, self.planes.shape))
        digest = hashlib.sha256(f"{self.planes.dtype.name} {shape}\n".encode())
        digest.update(np.ascontiguousarray(self.planes).data)
        return "sha256:" + digest.hexdigest()


def of(planes: Any, *, name: str) -> Calibration:
    """Return planes as a calibration set, copied, so that nobody changes them afterwards.

    Args:
        planes: (n, H, W) uint8, or a list of (H, W) uint8, in the order that counts; grey levels 0..255 as
            `edgemed.imaging.preprocess` makes them.
        name: where they come from and which they are, e.g. ``train, 512 of 4594, seed 20240229``.

    Raises:
        ConversionError: the set is empty, has no order or end, is no uint8 of rank 3, is normalised to 0..1 or -1..1,
            holds NaN or infinite values, or cannot set a range because nothing in it differs.
    """
    return Calibration(planes=np.array(_as_array(planes)), name=name)


def drawn(planes: NDArray[np.uint8], count: int, *, name: str, seed: int) -> Calibration:
    """Return ``count`` planes of a split, or all where there are fewer, in a seeded order, with words that say so.

    Raises:
        ConversionError: as `of`.
    """
    chosen = np.random.default_rng(seed).permutation(len(planes))[:count]
    return of(planes[chosen], name=f"{name}, {len(chosen)} of {len(planes)}, seed {seed}")


def require_fits(calibration: Calibration, model: keras.Model) -> None:
    """Refuse planes of another size than the model's input.

    Args:
        calibration: any.
        model: of one input (batch, H, W, 1).

    Raises:
        ConversionError: height or width differ.
    """
    expected, got = tuple(model.inputs[0].shape[1:3]), calibration.planes.shape[1:]
    if got != expected:
        raise ConversionError(
            f"calibration: expected planes of {_by(expected)} (height x width), the input of {model.name!r}, got "
            f"{_by(got)}; make them with the preprocessing of this model"
        )


def _as_array(planes: Any) -> NDArray[Any]:
    if isinstance(planes, np.ndarray):
        return planes
    if not isinstance(planes, (list, tuple)):
        raise ConversionError(
            f"calibration: expected an array of planes (n, H, W) or a list of them, got {_kind(planes)}; collect the "
            "planes with np.stack([...]), so that they have an order and an end and can be hashed"
        )
    shapes = sorted({np.shape(plane) for plane in planes})
    if len(shapes) > 1:
        found = ", ".join(map(str, shapes[:5])) + (", ..." if len(shapes) > 5 else "")
        raise ConversionError(
            f"calibration: expected planes of one shape, got {len(shapes)} shapes: {found}; make them with one "
            "preprocessing"
        )
    return np.asarray(planes, dtype=None if planes else np.uint8)


def _kind(planes: Any) -> str:
    lack = "order" if isinstance(planes, (Set, Mapping)) else "end" if isinstance(planes, Iterable) else ""
    return type(planes).__name__ + (f", which has no {lack} that is known" if lack else "")


def _require_planes(planes: NDArray[Any]) -> None:
    """Refuse what cannot be a calibration set, the plainest reason first."""
    for problem_of in _RULES:
        if problem := problem_of(planes):
            raise ConversionError(f"calibration: {problem}")


def _of_count(planes: NDArray[Any]) -> str | None:
    if planes.size:
        return None
    return (
        f"expected at least one plane, got an empty set of shape {planes.shape}; ranges cannot be set from nothing: "
        "give some hundred planes of the train split"
    )


def _of_numbers(planes: NDArray[Any]) -> str | None:
    """Words for what is not finite, or no number at all."""
    if planes.dtype.kind not in "fiu":
        return f"expected uint8 grey levels, got the type {planes.dtype}; make the planes with edgemed's preprocessing"
    if planes.dtype.kind != "f" or np.isfinite(planes).all():
        return None
    broken = ~np.isfinite(np.atleast_1d(planes))
    places = np.flatnonzero(broken.any(axis=tuple(range(1, broken.ndim))))
    return (
        f"expected finite grey levels, got {int(broken.sum())} NaN or infinite values in {len(places)} of "
        f"{len(broken)} planes, the first in plane {places[0]}; find out where they come from before anything else"
    )


def _of_normalised(planes: NDArray[Any]) -> str | None:
    """Words for the classic: planes as another framework feeds them, normalised outside the graph."""
    low, high = planes.min(), planes.max()
    if high > 1 or low < -1 or (low == high == 0):
        return None
    if planes.dtype.kind != "f":
        return (
            f"values are {low}..{high} as {planes.dtype}, expected grey levels 0..255: planes of 0..1 cast to integers "
            "lose every shade; multiply by 255 before the cast, or leave the normalisation to the graph"
        )
    if low >= 0:
        return (
            f"values lie in 0..1 ({low:.3g}..{high:.3g}), expected grey levels 0..255: multiply by 255, round and cast "
            "to uint8, and leave the normalisation to the graph (a Rescaling layer, or input_range)"
        )
    return (
        f"values lie in -1..1 ({low:.3g}..{high:.3g}), expected grey levels 0..255: add 1, multiply by 127.5, round "
        "and cast to uint8, and leave the normalisation to the graph (a Rescaling layer, or input_range)"
    )


def _of_type(planes: NDArray[Any]) -> str | None:
    if planes.dtype == np.uint8:
        return None
    low, high = planes.min(), planes.max()
    advice = "round and cast them to uint8" if low >= 0 and high <= 255 else "reduce them to 8 bits by preprocessing"
    return f"expected uint8 grey levels 0..255, got {planes.dtype} of {low:.6g}..{high:.6g}; {advice}"


def _of_rank(planes: NDArray[Any]) -> str | None:
    if planes.ndim == 3:
        return None
    advice = "stack planes (H, W) along a first axis"
    if planes.ndim == 2:
        advice = "one plane alone is planes[np.newaxis]"
    elif planes.ndim == 4:
        colour = planes.shape[-1] != 1
        advice = "make colour gray, and drop the channel axis" if colour else "drop the channel axis: planes[..., 0]"
    return f"expected planes (n, H, W), got the shape {planes.shape}; {advice}"


def _of_content(planes: NDArray[Any]) -> str | None:
    """Words for a set that cannot set a range: no picture in it, or always the same one."""
    if (planes == planes[:, :1, :1]).all():
        return (
            f"every one of the {len(planes)} planes has one grey level only (0 is black); they show nothing that could "
            "set a range: check how they were read"
        )
    if len(planes) > 1 and (planes == planes[:1]).all():
        return f"all {len(planes)} planes are identical, expected different ones; check the loop that collects them"
    return None


# In this order: a float is told that it is normalised before it is told that it is a float.
_RULES: tuple[Callable[[NDArray[Any]], str | None], ...] = (
    _of_count,
    _of_numbers,
    _of_normalised,
    _of_type,
    _of_rank,
    _of_content,
)


def _by(shape: tuple[Any, ...]) -> str:
    return " x ".join(map(str, shape))
