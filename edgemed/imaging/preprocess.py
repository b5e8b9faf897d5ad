"""From a frame to the model's input plane, by a declared list of steps.

The one implementation: training, calibration, conversion, evaluation and the device call `apply`. The list is the
document ``preprocessing.json`` of a bundle and a part of a training recipe.

Rules: steps run in order; exactly one is a resize, which ends at (height, width), and no crop follows it; a frame
deeper than 8 bits is cut to its top 8 before the first step that is neither a crop nor a percentile stretch, so
that a stretch which comes first sees the whole depth.

    preprocessing = preprocess.parse(raw)
    plane = preprocess.apply(frame, preprocessing)
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from edgemed import files
from edgemed import schema as documents
from edgemed.errors import BundleError, ConfigError, EdgemedError
from edgemed.imaging import geometry, intensity
from edgemed.imaging.frame import Frame, Pixels
from edgemed.imaging.scratch import Scratch
from edgemed.imaging.steps import Contrast, CropBorder, Denoise, Percentile, Sharpen, Step

__all__ = ["Preprocessing", "apply", "encode", "is_exact", "parse", "plane", "read", "tolerance_gray"]

_LIMIT_BYTES = 1 << 16

SidePx = Annotated[int, Meta(ge=8, le=1024)]


class Preprocessing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document ``preprocessing.json``: size of the plane in pixels, and the steps that lead to it."""

    schema: Literal[1]
    height: SidePx
    width: SidePx
    steps: Annotated[tuple[Step, ...], Meta(min_length=1, max_length=16)]

    def __post_init__(self) -> None:
        names = [type(step).__struct_config__.tag for step in self.steps]
        if names.count("resize") != 1:
            raise ValueError(f"steps: expected exactly one resize, got {names.count('resize')}")
        if "crop_border" in names[names.index("resize") :]:
            raise ValueError("steps: expected every crop_border before resize, got one after it; move it up")


def parse(raw: bytes, *, source: str = "preprocessing.json", error: type[EdgemedError] = BundleError) -> Preprocessing:
    """Return ``preprocessing.json`` as a value.

    Raises:
        EdgemedError: of class ``error``: not JSON, unknown key, missing key, wrong type or a value out of range.
    """
    return documents.decode_json(raw, Preprocessing, source=source, error=error)


def read(path: Path) -> Preprocessing:
    """Return the steps in a file of the form of ``preprocessing.json``; as YAML, unless its name ends in .json.

    Raises:
        ConfigError: the file is missing, too large or unreadable, or as `parse`.
    """
    raw = files.read_bounded(path, limit_bytes=_LIMIT_BYTES, error=ConfigError)
    decode = documents.decode_json if path.suffix == ".json" else documents.decode_yaml
    return decode(raw, Preprocessing, source=str(path))


def encode(preprocessing: Preprocessing) -> bytes:
    """Return the canonical JSON that `parse` reads; equal values give equal bytes."""
    return documents.encode_json(preprocessing)


def is_exact(preprocessing: Preprocessing) -> bool:
    """Return whether every platform computes the same plane, to the bit."""
    return all(step.exact for step in preprocessing.steps)


def tolerance_gray(preprocessing: Preprocessing) -> int:
    """Return the largest tolerance that a step declares, in grey levels; 0 when exact.

    Later steps may widen it: a plane's own tolerance is measured, this is the reason it exists.
    """
    return max(step.tolerance_gray for step in preprocessing.steps)


def apply(frame: Frame, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Return the input plane of one frame: (height, width), uint8, contiguous, the caller's own."""
    return np.array(plane(frame, preprocessing, Scratch()))


def plane(frame: Frame, preprocessing: Preprocessing, scratch: Scratch) -> NDArray[np.uint8]:
    """Return the input plane as `apply` does, read-only by agreement: in the scratch, or a view of the frame itself.

    It holds until the scratch is reset, by whoever owns it.
    """
    pixels = frame.pixels
    for step in preprocessing.steps:
        if not _keeps_depth(step):
            pixels = intensity.to_8_bits(pixels, bits=frame.bits, scratch=scratch)
        pixels = _run(step, pixels, frame.bits if pixels.dtype == np.uint16 else 8, preprocessing, scratch)
    return intensity.to_8_bits(pixels, bits=frame.bits, scratch=scratch)


def _keeps_depth(step: Step) -> bool:
    return isinstance(step, CropBorder) or (isinstance(step, Contrast) and isinstance(step.method, Percentile))


def _run(step: Step, pixels: Pixels, bits: int, preprocessing: Preprocessing, scratch: Scratch) -> Pixels:
    if isinstance(step, CropBorder):
        return geometry.crop_border(pixels, step.fraction)
    if isinstance(step, Contrast):
        return intensity.contrast(pixels, step.method, bits=bits, scratch=scratch)
    gray = intensity.to_8_bits(pixels, bits=bits, scratch=scratch)
    if isinstance(step, Denoise):
        return intensity.denoise(gray, step.method, scratch=scratch)
    if isinstance(step, Sharpen):
        return intensity.sharpen(gray, step.method, scratch=scratch)
    return geometry.resize(gray, step, height=preprocessing.height, width=preprocessing.width, scratch=scratch)
