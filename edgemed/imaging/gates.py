"""Which quality limits a recipe has fitted to its train split: values for a recipe and for the converter alike.

gates: {refused: 0.004, upright: true, frozen_frames: 15}
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

__all__ = ["Gates"]


class Gates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is fitted: limits for too dark, saturated and blurred, and what is asked for here besides.

    Attributes:
        refused: share of train images that all fitted gates together may refuse, before each limit is loosened.
        upright: whether turned and inverted pictures are told apart; for modalities in which all are taken alike.
        frozen_frames: identical frames in a row that a stream may show; None for any number.
    """

    refused: Annotated[float, Meta(gt=0.0, le=0.1)] = 0.004
    upright: bool = False
    frozen_frames: Annotated[int, Meta(ge=1, le=100_000)] | None = None
