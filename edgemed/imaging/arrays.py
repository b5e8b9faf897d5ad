"""Frames from NumPy's ``.npy`` bytes: gray images, stacks of them, and colour images.

Rules: nothing is unpickled; integers only, because a float has no defined black and white; the size that the
header claims is held against the bytes before an array is made; frames are views of the bytes.

    frames = list(arrays.decode(raw, source="cine.npy"))

Source: NumPy Enhancement Proposal 1, format versions 1.0 and 2.0.
"""

from __future__ import annotations

import io
import math
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgemed.errors import ImageError
from edgemed.imaging import colour
from edgemed.imaging.frame import Frame, Pixels
from edgemed.imaging.header import check_size

__all__ = ["check", "decode"]

_SHAPES = "uint8 or uint16 of shape (rows, columns) or (frames, rows, columns), or uint8 of shape (rows, columns, 3)"

# NumPy itself refuses a header above 10000 bytes.
_HEAD_BYTES = 16 << 10


def decode(raw: bytes, *, source: str) -> Iterator[Frame]:
    """Yield the frames of an ``.npy`` file: (H, W), (N, H, W), or one (H, W, 3) in RGB order.

    Three axes are a colour image when the last has length 3 and the type is uint8, otherwise a stack.

    Raises:
        ImageError: a damaged header, another type (float, signed, object), another shape, fewer bytes than the
            header claims, or more than 2^26 pixels in a frame.
    """
    array = _array(raw, source)
    if array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8:
        check_size(array.shape[0], array.shape[1], source=source)
        gray = colour.to_gray(array, order=colour.Order.RGB)
        yield _frame(gray.pixels, source, 0, gray.coloured_fraction)
        return
    stack = array if array.ndim == 3 else array[np.newaxis]
    check_size(stack.shape[1], stack.shape[2], source=source)
    for index, pixels in enumerate(stack):
        yield _frame(pixels.astype(array.dtype.newbyteorder("="), order="C", copy=False), source, index, 0.0)


def check(path: Path) -> None:
    """Refuse by its header an array that `decode` would not take, before the rest of the file is read.

    Raises:
        ImageError: as `decode`; or the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
        _checked(head, path.stat().st_size, str(path))
    except OSError as err:
        raise ImageError(f"{path}: cannot be read: {err.strerror or err}; check the path and its permissions") from err


def _frame(pixels: Pixels, source: str, index: int, fraction: float) -> Frame:
    bits = 8 * pixels.dtype.itemsize
    return Frame(pixels=pixels, source=source, index=index, bits=bits, coloured_fraction=fraction)


def _array(raw: bytes, source: str) -> Pixels:
    shape, by_column, dtype, offset = _checked(raw, len(raw), source)
    array = np.frombuffer(raw, dtype, offset=offset)
    return array.reshape(shape, order="F" if by_column else "C")


def _checked(head: bytes, size_bytes: int, source: str) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Return the header of a file of ``size_bytes``, as `_header` does, if the array is one to accept."""
    shape, by_column, dtype, offset = _header(head, source)
    if dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        hint = "scale it to 0..65535 by its known black and white, then save it as uint16"
        raise ImageError(f"{source}: expected {_SHAPES}, got {dtype}; {hint}")
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ImageError(f"{source}: expected {_SHAPES}, got shape {shape}; save one picture or one stack")
    expected = math.prod(shape) * dtype.itemsize
    if (got := size_bytes - offset) != expected:
        raise ImageError(
            f"{source}: expected {expected} bytes of pixels, got {got}; the file is damaged, copy it again"
        )
    return shape, by_column, dtype, offset


def _header(raw: bytes, source: str) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Return shape, whether columns come first, type, and where the pixels start."""
    stream = io.BytesIO(raw)
    try:
        # A header written by Python 2 warns that it is slow to read.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = np.lib.format.read_magic(stream)
            if version == (1, 0):
                found = np.lib.format.read_array_header_1_0(stream)
            elif version == (2, 0):
                found = np.lib.format.read_array_header_2_0(stream)
            else:
                raise ImageError(
                    f"{source}: expected NPY format 1.0 or 2.0, got {version[0]}.{version[1]}; save the array again"
                )
    # NumPy evaluates the header as a Python literal; hostile text fails in any of these ways.
    except (ValueError, TypeError, KeyError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError) as err:
        raise ImageError(f"{source}: NPY header cannot be read; the file is damaged, save the array again") from err
    return (*found, stream.tell())
