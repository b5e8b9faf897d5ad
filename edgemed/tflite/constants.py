"""The values of a constant tensor, as a view of the file's bytes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemed.errors import ConversionError
from edgemed.tflite.model import Model, Tensor

__all__ = ["values"]

# Little-endian, as flatbuffers are; two values per byte (int4) are unpacked, the other types are views.
_TYPES = {
    name: np.dtype(name).newbyteorder("<")
    for name in (
        *("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    )
}


def values(model: Model, tensor: Tensor) -> NDArray[Any]:
    """Return the stored values of a constant tensor of ``model``.

    Returns:
        The tensor's shape and dtype (int8 for int4), read-only; a view of `Model.raw` except for int4, which is
        unpacked, low half of a byte first.

    Raises:
        ValueError: the tensor is computed.
        ConversionError: numpy has no such type, or the file holds another number of bytes than the shape needs.
    """
    if not tensor.is_constant:
        raise ValueError(f"tensors[{tensor.index}]: expected a constant, got a tensor that is computed")
    count = math.prod(tensor.allocated_shape)
    if tensor.dtype == "int4":
        return _unpacked(_stored(model, tensor, np.dtype(np.uint8), (count + 1) // 2), count, tensor)
    if tensor.dtype not in _TYPES:
        known = ", ".join([*_TYPES, "int4"])
        raise ConversionError(f"tensors[{tensor.index}]: values are of type {tensor.dtype}; expected one of {known}")
    return _stored(model, tensor, _TYPES[tensor.dtype], count).reshape(tensor.allocated_shape)


def _stored(model: Model, tensor: Tensor, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    needed = count * dtype.itemsize
    if min(tensor.allocated_shape, default=0) < 0 or needed != tensor.size_bytes:
        raise ConversionError(
            f"tensors[{tensor.index}]: expected {needed} bytes for shape {tensor.allocated_shape} of {tensor.dtype}, "
            f"got {tensor.size_bytes}; the file is damaged"
        )
    return np.frombuffer(model.raw, dtype, count=count, offset=tensor.data_start)


def _unpacked(packed: NDArray[np.uint8], count: int, tensor: Tensor) -> NDArray[np.int8]:
    # A shift to the left and back extends the sign of four bits to eight.
    signed = packed.view(np.int8)
    halves = np.stack([np.left_shift(signed, 4) >> 4, signed >> 4], axis=-1)
    unpacked = halves.reshape(-1)[:count].reshape(tensor.allocated_shape)
    unpacked.setflags(write=False)
    return unpacked
