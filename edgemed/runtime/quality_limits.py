"""The part ``quality`` of ``decision.json``: limits before inference, see `edgemed.imaging.quality`."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from edgemed.imaging.quality import THUMBNAIL_PX, Pose

__all__ = ["QualityLimits", "Upright", "upright"]

Share = Annotated[float, Meta(ge=0.0, le=1.0)]


class Upright(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How upright pictures look.

    Attributes:
        template: base64 of 16 x 16 grey levels, row-major.
        margin: difference of correlations above which a turned or inverted picture is refused.
    """

    template: str
    margin: Annotated[float, Meta(ge=0.0, le=2.0)]

    def __post_init__(self) -> None:
        try:
            got = len(self._levels())
        except (binascii.Error, ValueError) as err:
            raise ValueError(f"template: expected base64: {err}") from err
        if got != THUMBNAIL_PX**2:
            raise ValueError(f"template: expected {THUMBNAIL_PX**2} grey levels, got {got}")

    def pose(self) -> Pose:
        """Return it as the gate takes it."""
        levels = np.frombuffer(self._levels(), np.uint8).reshape(THUMBNAIL_PX, THUMBNAIL_PX)
        return Pose(template=levels, margin=self.margin)

    def _levels(self) -> bytes:
        return base64.b64decode(self.template, validate=True)


def upright(template: NDArray[np.uint8], *, margin: float) -> Upright:
    """Return the limit with a template of shape (16, 16)."""
    return Upright(template=base64.b64encode(np.ascontiguousarray(template).tobytes()).decode("ascii"), margin=margin)


class QualityLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Limits a frame must meet before inference; None turns a gate off.

    Attributes:
        min_side_px: shorter side of the frame.
        max_side_px: longer side of the frame.
        min_contrast: spread between the 1st and 99th percentile, as a share of the full range.
        max_coloured_fraction: share of coloured pixels.
        min_bright_level: 99th percentile of the grey levels, as a share of the full range.
        max_saturated_fraction: share of pixels in the uppermost 256th of the range.
        min_sharpness: of the input plane, see `edgemed.imaging.quality.sharpness`.
        upright: for modalities in which all pictures are taken alike.
        max_frozen_frames: identical frames in a row, in streams.
    """

    min_side_px: Annotated[int, Meta(ge=1)]
    max_side_px: Annotated[int, Meta(ge=1)]
    min_contrast: Share
    max_coloured_fraction: Share
    min_bright_level: Share | None = None
    max_saturated_fraction: Share | None = None
    min_sharpness: Annotated[float, Meta(ge=0.0, le=1e3)] | None = None
    upright: Upright | None = None
    max_frozen_frames: Annotated[int, Meta(ge=1, le=100_000)] | None = None
