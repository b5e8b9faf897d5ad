"""Limits of the quality gates, fitted to train: what is stranger than nearly all of it is not for this model.

    limits = quality.fitted(recipe.quality, gates, train)

Each gate gets its even part of the share of images that may be refused, and then some room: other units differ.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemed.imaging import quality
from edgemed.imaging.gates import Gates
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.runtime.decision import QualityLimits
from edgemed.runtime.quality_limits import Upright, upright

__all__ = ["fitted"]

_MOST_FRAMES = 1000  # that are read again for their grey levels: enough for a share of a few thousandths
_ROOM = 0.6  # of the level and the sharpness at the quantile: exposure is the unit's, and models are trained to bear it
_SATURATED_ROOM = 0.1
_MARGIN_ROOM = 0.05  # of a difference of correlations


def fitted(limits: QualityLimits, gates: Gates | None, train: LabelledPlanes) -> QualityLimits:
    """Return limits with those that the gates ask for; a limit that is given stays as it is.

    Args:
        limits: as a recipe gives them.
        gates: what is fitted; None fits nothing.
        train: planes, whose frames are read again, evenly spread ones where there are more than 1000.

    Raises:
        ImageError: a frame cannot be read any more.
    """
    if gates is None:
        return limits
    share = gates.refused / (4 if gates.upright else 3)
    read = [quality.levels(train.read(int(index))) for index in _spread(len(train.planes))]
    bright, saturated = np.array([one.bright for one in read]), np.array([one.saturated for one in read])
    sharp = np.array([quality.sharpness(plane) for plane in train.planes])
    found = {
        "min_bright_level": _ROOM * _quantile(bright, share),
        "max_saturated_fraction": min(1.0, _quantile(saturated, 1.0 - share) + _SATURATED_ROOM),
        "min_sharpness": _ROOM * _quantile(sharp, share),
        "upright": _upright(train.planes, share) if gates.upright else None,
        "max_frozen_frames": gates.frozen_frames,
    }
    given = {name for name in found if getattr(limits, name) is not None}
    return msgspec.structs.replace(limits, **{name: value for name, value in found.items() if name not in given})


def _upright(planes: NDArray[np.uint8], share: float) -> Upright:
    small = np.stack([quality.thumbnail(plane) for plane in planes])
    template = np.rint(small.mean(axis=0)).astype(np.uint8)
    better = np.array([quality.advantage(one, template)[0] for one in small])
    return upright(template, margin=max(0.0, _quantile(better, 1.0 - share)) + _MARGIN_ROOM)


def _spread(count: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(count, _MOST_FRAMES)).astype(np.int64))


def _quantile(values: NDArray[np.float64], share: float) -> float:
    return float(np.quantile(values, share))
