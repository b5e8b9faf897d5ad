"""Batches in which pictures are mixed two by two, and their labels in the same shares.

mixed = mixing.mixed(batch, fit, rng=np.random.default_rng((seed, epoch, 2, number)))
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemed.training.settings import Fit

__all__ = ["Batch", "mixed"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Pictures with what is asked of them.

    Attributes:
        pictures: (n, H, W) float32 of grey levels 0..255.
        targets: (n, K) float32 in 0..1.
        weights: (n,) float32.
    """

    pictures: NDArray[np.float32]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]


def mixed(batch: Batch, fit: Fit, *, rng: np.random.Generator) -> Batch:
    """Return a batch whose pictures hold a share of another of the same batch, or the batch itself.

    The share is drawn once a batch, from Beta(a, a). With mixup and cutmix on, either is as likely.

    Source: Zhang et al., "mixup", ICLR 2018; Yun et al., "CutMix", ICCV 2019.
    """
    ways = [(way, shape) for way, shape in ((_blended, fit.mixup), (_patched, fit.cutmix)) if shape > 0]
    if not ways or rng.random() >= fit.mixed:
        return batch
    way, shape = ways[int(rng.integers(len(ways)))]
    partner = rng.permutation(len(batch.pictures))
    pictures, kept = way(batch.pictures, partner, float(rng.beta(shape, shape)), rng)
    return Batch(
        pictures=pictures,
        targets=_shared(batch.targets, partner, kept),
        weights=_shared(batch.weights, partner, kept),
    )


def _shared(values: NDArray[np.float32], partner: NDArray[np.int64], kept: float) -> NDArray[np.float32]:
    return np.asarray(kept * values + (1 - kept) * values[partner], dtype=np.float32)


def _blended(
    pictures: NDArray[np.float32], partner: NDArray[np.int64], kept: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], float]:
    return _shared(pictures, partner, kept), kept


def _patched(
    pictures: NDArray[np.float32], partner: NDArray[np.int64], kept: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], float]:
    """Return pictures with one rectangle of their partners, and the share of the area that is left."""
    height, width = pictures.shape[1:]
    rows, columns = (round(side * math.sqrt(1 - kept)) for side in (height, width))
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    patched = pictures.copy()
    patched[:, top : top + rows, left : left + columns] = pictures[partner, top : top + rows, left : left + columns]
    return patched, 1 - rows * columns / (height * width)
