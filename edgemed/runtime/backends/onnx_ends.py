"""The int8 scales of a QDQ model's ends, as edgemed writes them into its metadata.

ends = onnx_ends.parse(metadata[onnxruntime.QUANTIZATION_KEY])
"""

from __future__ import annotations

import msgspec

from edgemed import schema
from edgemed.errors import InferenceError
from edgemed.runtime.backends.onnxruntime import QUANTIZATION_KEY

__all__ = ["End", "Ends", "parse"]


class End(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Scale and zero point of one input or output."""

    scale: float
    zero_point: int


class Ends(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every input and output, by the names of the tensors."""

    inputs: dict[str, End]
    outputs: dict[str, End]


def parse(text: str) -> Ends:
    """Return the document under `QUANTIZATION_KEY` as a value.

    Raises:
        InferenceError: not JSON, unknown key, missing key or a wrong type.
    """
    source = f"model: metadata {QUANTIZATION_KEY}"
    return schema.decode_json(text.encode(), Ends, source=source, error=InferenceError)
