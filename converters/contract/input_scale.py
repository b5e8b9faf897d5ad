"""Whether a model seems to want its input on another scale than grey levels 0..255.

Weights do not tell what 0..255 stood for in training. Labelled planes do: a model that was trained on 0..1 hardly
separates grey levels, or answers them with logits far past any probability.

    input_scale.require_grey_levels(model, validation)
"""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

from edgemed import statistics
from edgemed.errors import ConversionError
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.runtime.labels import ONE_LOGIT, Labels

__all__ = ["require_grey_levels"]

_OTHERS = ((0.0, 1.0), (-1.0, 1.0))
_EACH = 48  # images of each label: enough for a difference worth telling, seconds of work
_BETTER = 0.05  # AUC that another scale must gain, by the lower end of its paired interval
_SATURATED, _MODERATE = 25.0, 10.0  # median magnitude of a logit; a probability of 1 - 1e-11, and of 0.99995


def require_grey_levels(model: keras.Model, validation: LabelledPlanes, *, labels: Labels = ONE_LOGIT) -> None:
    """Refuse a model that screens planes far better when they are rescaled, as nothing in its graph does.

    Args:
        model: of the model contract.
        validation: planes of the model's size; fewer than two normal or abnormal ones tell nothing.
        labels: what its logits stand for.

    Raises:
        ConversionError: names the range that suits the model.
    """
    abnormal = validation.abnormal.astype(np.int64)
    chosen = np.sort(np.concatenate([np.flatnonzero(abnormal == kind)[:_EACH] for kind in (0, 1)]))
    truth = abnormal[chosen]
    if min(truth.sum(), (1 - truth).sum()) < 2:
        return
    planes = validation.planes[chosen]
    given = labels.abnormality(_logits(model, planes, (0.0, 255.0)))
    for low, high in _OTHERS:
        rescaled = labels.abnormality(_logits(model, planes, (low, high)))
        if _better(truth, given, rescaled) or _saturated(truth, given, rescaled):
            raise ConversionError(
                f"{model.name}: seems to want its input on the scale {low:g}..{high:g}, not grey levels 0..255: on "
                f"{len(truth)} validation planes the AUC is {statistics.auc(truth, given):.3f} with a median logit "
                f"of magnitude {np.median(np.abs(given)):.3g}, rescaled {statistics.auc(truth, rescaled):.3f} and "
                f"{np.median(np.abs(rescaled)):.3g}; give input_range=({low:g}, {high:g}), or (0, 255) where grey "
                "levels are right"
            )


def _better(labels: NDArray[np.int64], given: NDArray[np.float64], rescaled: NDArray[np.float64]) -> bool:
    return statistics.paired_delong(labels, given, rescaled).ci95[0] > _BETTER


def _saturated(labels: NDArray[np.int64], given: NDArray[np.float64], rescaled: NDArray[np.float64]) -> bool:
    """Tell whether the logits are past any probability as given, and ordinary and no worse when rescaled."""
    ordinary = np.median(np.abs(given)) > _SATURATED and np.median(np.abs(rescaled)) < _MODERATE
    worse = statistics.auc(labels, rescaled) < max(0.6, statistics.auc(labels, given) - _BETTER)
    return bool(ordinary and not worse)


def _logits(model: keras.Model, planes: NDArray[np.uint8], scale: tuple[float, float]) -> NDArray[np.float64]:
    low, high = scale
    images = planes[..., np.newaxis].astype(np.float32) * np.float32((high - low) / 255) + np.float32(low)
    parts = [model(images[start : start + 32], training=False)["logit"] for start in range(0, len(images), 32)]
    return np.concatenate([np.asarray(part, np.float64) for part in parts])
