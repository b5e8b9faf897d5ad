"""What a model's logits stand for: one number for abnormal against normal, or one for each of several labels.

A model of several labels screens as well: its abnormality is one logit,

    z = logsumexp(logits of abnormal labels) - logsumexp(logits of normal labels),

so that sigmoid(z) = 1 - softmax probability of the normal labels. Calibration, thresholds, zones and the comparison of
two models work on z; with one logit z is that logit.

    labels = Labels(names=("normal", "benign", "malignant"), normal=("normal", "benign"))
    labels.abnormality(logits)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemed.bundle.manifest import Description
from edgemed.errors import BundleError

__all__ = ["ONE_LOGIT", "Labels", "manifest_labels"]


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The labels of a model, in the order of its logits.

    Attributes:
        names: of all labels; for a model of one logit as its makers call them, normal first where there are two.
        normal: those that are no finding; none for a model of one logit.
    """

    names: tuple[str, ...]
    normal: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if repeated := sorted({name for name in self.names if self.names.count(name) > 1}):
            raise ValueError(f"labels: expected each once, got {_listed(repeated)} several times")
        if strange := [name for name in self.normal if name not in self.names]:
            raise ValueError(f"normal_labels: expected some of {_listed(self.names)}, got {_listed(strange)}")
        if self.normal and set(self.normal) == set(self.names):
            raise ValueError(
                f"normal_labels: expected at least one label to be abnormal, got all of {_listed(self.names)}"
            )

    @classmethod
    def of(cls, description: Description, *, logits: int) -> Labels:
        """Return what the logits of a model stand for, as its artifact or its manifest says.

        Args:
            description: names the labels.
            logits: that the model has.

        Raises:
            ValueError: a label stands there twice, the normal ones are not some of them, or there is another number
                of labels than of logits.
        """
        normal = description.normal_labels
        found = cls(names=description.labels, normal=() if isinstance(normal, msgspec.UnsetType) else normal)
        if found.count == logits:
            return found
        if not found.normal:
            raise ValueError(
                f"normal_labels: required with a model of {logits} logits, one for each label; convert again with a "
                "recipe that has them"
            )
        raise ValueError(
            f"labels: expected one for each logit of the model, got {len(found.names)} for {logits}; convert again "
            "with the labels that it was trained on"
        )

    @property
    def count(self) -> int:
        """Logits of the model: one for each label, or one where no label is called normal."""
        return len(self.names) if self.normal else 1

    def abnormality(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return z for logits (..., K), in their unit; shape (...)."""
        if self.count == 1:
            return logits[..., 0]
        return _log_sum(logits[..., ~self._normal]) - _log_sum(logits[..., self._normal])

    def scores(self, logits: NDArray[np.float64], score: float) -> dict[str, float]:
        """Return a probability for each label, which sum to 1: the abnormal ones to the calibrated score.

        Among the abnormal ones, and among the normal ones, they stand as the softmax has them.

        Args:
            logits: (K,), K > 1.
            score: calibrated probability of abnormality, 0..1.
        """
        within = np.abs(self._slopes(logits))
        whole = np.where(self._normal, 1.0 - score, score)
        return {name: float(share) for name, share in zip(self.names, within * whole, strict=True)}

    def evidence(self, maps: NDArray[np.float64], logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the map of z, (h, w), read-only; its mean is z as far as the mean of each map is its logit.

        Each label's map counts by dz/dlogit; what z has beyond that linear part, at most log K, is spread evenly.

        Args:
            maps: (h, w, K), whose spatial means are the logits to one LSB.
            logits: (K,).
        """
        if self.count == 1:
            return maps[..., 0]
        slopes = self._slopes(logits)
        placed = maps @ slopes + (float(self.abnormality(logits)) - float(logits @ slopes))
        placed.setflags(write=False)
        return placed

    @cached_property
    def _normal(self) -> NDArray[np.bool_]:
        found = np.array([name in self.normal for name in self.names])
        found.setflags(write=False)
        return found

    def _slopes(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return dz/dlogit (K,): the softmax among the abnormal labels, minus the softmax among the normal ones."""
        slopes = np.empty(len(self.names))
        for chosen, sign in ((~self._normal, 1.0), (self._normal, -1.0)):
            weights = np.exp(logits[chosen] - logits[chosen].max())
            slopes[chosen] = sign * weights / weights.sum()
        return slopes


ONE_LOGIT = Labels(names=("abnormal",))
"""Of a model that answers abnormal against normal."""


def manifest_labels(manifest: Description, *, logits: int) -> Labels:
    """Return what the logits of a bundle's model stand for.

    Raises:
        BundleError: the manifest contradicts itself or the model.
    """
    try:
        return Labels.of(manifest, logits=logits)
    except ValueError as err:
        raise BundleError(f"manifest.json: {err}") from err


def _log_sum(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    largest = logits.max(axis=-1, keepdims=True)
    total: NDArray[np.float64] = largest[..., 0] + np.log(np.exp(logits - largest).sum(axis=-1))
    return total


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
