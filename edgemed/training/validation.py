"""How a model does on the validation images after an epoch, and whether that epoch is the one to keep.

found = validation.measured(learner.kept, split.validation, labels=recipes.meaning(recipe), epoch=3)
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from edgemed import statistics
from edgemed.errors import GateError
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.runtime.labels import Labels
from edgemed.training.batches import predict
from edgemed.training.run import Epoch

__all__ = ["Measured", "better", "measured"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Over the validation images: area under the ROC curve, and mean cross-entropy with the labels."""

    auc: float
    loss: float


def measured(model: keras.Model, part: LabelledPlanes, *, labels: Labels, epoch: int) -> Measured:
    """Return how a model does on a part, after an epoch counted from 0.

    Raises:
        GateError: an answer is no number.
    """
    logits = predict(model, part.planes)["logit"].astype(np.float64)
    if not np.isfinite(logits).all():
        raise GateError(f"epoch {epoch + 1}: training diverged, logits are no numbers; lower fit.learning_rate")
    return Measured(
        auc=statistics.auc(part.abnormal, labels.abnormality(logits)), loss=_cross_entropy(logits, part.labels)
    )


def _cross_entropy(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    # One logit is that of the second label beside one of 0 for the first.
    values = logits if logits.shape[1] > 1 else np.concatenate([np.zeros_like(logits), logits], axis=1)
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
