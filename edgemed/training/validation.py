"""How a model does on the validation images after an epoch, and whether that epoch is the one to keep.

found = validation.measured(learner.kept, split.validation, normal=(0,))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from edgemed import statistics
from edgemed.errors import GateError
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.training.batches import predict
from edgemed.training.run import Epoch

__all__ = ["Measured", "abnormality", "better", "measured"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Over the validation images: area under the ROC curve, and mean cross-entropy with the labels."""

    auc: float
    loss: float


def abnormality(logits: NDArray[np.float32], normal: Sequence[int]) -> NDArray[np.float64]:
    """Return (n,) logits of being abnormal, for (n, K) logits.

    With K = 1 that is the logit; else log-sum-exp of the abnormal labels less that of the normal ones, so that its
    sigmoid is one minus the softmax probability of the normal labels.
    """
    values = logits.astype(np.float64)
    if values.shape[1] == 1:
        return values[:, 0]
    chosen = np.isin(np.arange(values.shape[1]), list(normal))
    return np.asarray(np.logaddexp.reduce(values[:, ~chosen], 1) - np.logaddexp.reduce(values[:, chosen], 1))


def measured(model: keras.Model, part: LabelledPlanes, *, normal: Sequence[int], epoch: int) -> Measured:
    """Return how a model does on a part, after an epoch counted from 0.

    Raises:
        GateError: an answer is no number.
    """
    logits = predict(model, part.planes)["logit"]
    if not np.isfinite(logits).all():
        raise GateError(f"epoch {epoch + 1}: training diverged, logits are no numbers; lower fit.learning_rate")
    abnormal = part.labels if logits.shape[1] == 1 else ~np.isin(part.labels, list(normal))
    return Measured(auc=statistics.auc(abnormal, abnormality(logits, normal)), loss=_cross_entropy(logits, part.labels))


def _cross_entropy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    values = logits.astype(np.float64)
    if values.shape[1] == 1:
        values = np.concatenate([np.zeros_like(values), values], axis=1)
    chosen = values[np.arange(len(labels)), labels]
    return float(np.mean(np.logaddexp.reduce(values, axis=1) - chosen))


def better(line: Epoch, best: Epoch | None, *, select: str) -> bool:
    """Return whether an epoch takes the place of the best so far, by the rule ``auc``, ``loss`` or ``last``."""
    if best is None or select == "last":
        return True
    if best.validation_loss is None or line.validation_loss is None:
        return line.validation_auc > best.validation_auc
    if select == "loss":
        return line.validation_loss < best.validation_loss
    return (line.validation_auc, -line.validation_loss) > (best.validation_auc, -best.validation_loss)
