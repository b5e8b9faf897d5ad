"""Validation in two parts that share no patient: one chooses the threshold, the other judges it.

A threshold looks better on the images that chose it. So calibration, threshold and indeterminate zone come from the
operating part, and the gate is judged on the gate part. Test images are in neither.

    parts = division.of(validation, share=0.5, seed=20240229)
    parts.gate  # indices into validation
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemed import statistics
from edgemed.errors import ConfigError
from edgemed.imaging.labelled import LabelledPlanes

__all__ = ["FEWEST", "Parts", "of"]

FEWEST = 10
"""Images of each label in each part: with fewer, one image alone moves a sensitivity by more than a tenth."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """Indices into validation, (n,) int64 each, rising, read-only; together every image once."""

    operating: NDArray[np.int64]
    gate: NDArray[np.int64]

    def __post_init__(self) -> None:
        self.operating.setflags(write=False)
        self.gate.setflags(write=False)


def of(validation: LabelledPlanes, *, share: float, seed: int) -> Parts:
    """Return the two parts; equal groups, labels and seed give equal parts, whatever the order of the images.

    Args:
        validation: its groups stay whole; without groups each image is one.
        share: of the normal and of the abnormal images for the gate part, above 0 and below 1.
        seed: which groups.

    Raises:
        ConfigError: a part would have fewer than `FEWEST` images of a label.
    """
    groups = np.array(validation.names if validation.groups is None else validation.groups, dtype=np.str_)
    abnormal = validation.abnormal.astype(np.int64)
    chosen = statistics.groups_holding(abnormal, groups, share, rng=np.random.default_rng(seed))
    of_gate = np.isin(groups, sorted(chosen))
    parts = Parts(operating=np.flatnonzero(~of_gate), gate=np.flatnonzero(of_gate))
    for name, part in (("operating", parts.operating), ("gate", parts.gate)):
        _require_enough(name, part, abnormal, groups=None if validation.groups is None else groups)
    return parts


def _require_enough(
    name: str, part: NDArray[np.int64], labels: NDArray[np.int64], *, groups: NDArray[np.str_] | None
) -> None:
    abnormal = int(labels[part].sum())
    normal = len(part) - abnormal
    if min(abnormal, normal) >= FEWEST:
        return
    kept = "" if groups is None else f" of {len(np.unique(groups[part]))} patients or groups of near-duplicates"
    raise ConfigError(
        f"validation: {name} part: expected at least {FEWEST} normal and {FEWEST} abnormal images, got {normal} normal "
        f"and {abnormal} abnormal{kept}, out of {len(labels)} validation images, of which {int(labels.sum())} "
        "are abnormal; give validation more images, of other patients"
    )
