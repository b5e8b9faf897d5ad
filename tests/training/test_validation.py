from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

from edgemed.errors import GateError
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.runtime.labels import Labels
from edgemed.training import validation
from edgemed.training.run import Epoch

pytestmark = pytest.mark.tensorflow

BINARY = Labels(names=("plain", "blob"))
THREE = Labels(names=("plain", "small", "large"), normal=("plain", "small"))


class Answering:
    """Stands for a model: gives the logits that belong to each plane's grey level."""

    def __init__(self, logits: list[list[float]]) -> None:
        self._logits = np.array(logits, dtype=np.float32)

    def predict_on_batch(self, planes: np.ndarray) -> dict[str, np.ndarray]:
        return {"logit": self._logits[planes[:, 0, 0, 0].astype(int)]}


def _part(labels: list[int], names: tuple[str, ...], normal: tuple[str, ...]) -> LabelledPlanes:
    count = len(labels)
    return LabelledPlanes(
        planes=np.arange(count, dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(2, 2),
        labels=np.array(labels, dtype=np.int64),
        names=tuple(map(str, range(count))),
        read=lambda row: pytest.fail("no image is read"),
        label_names=names,
        normal_labels=normal,
    )


def test_one_logit_is_judged_as_it_is() -> None:
    model = Answering([[-1.0], [2.0], [0.5], [0.0]])
    found = validation.measured(model, _part([0, 1, 0, 1], BINARY.names, ("plain",)), labels=BINARY, epoch=0)
    expected = np.mean([math.log1p(math.exp(x)) for x in (-1.0, -2.0, 0.5, 0.0)])
    assert (found.auc, found.loss) == (pytest.approx(0.75), pytest.approx(expected))


def test_several_labels_are_judged_by_their_abnormality() -> None:
    """The second image is small, hence normal, and its own logit is the highest: no mistake."""
    model = Answering([[2.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 3.0]])
    found = validation.measured(model, _part([0, 1, 2, 2], THREE.names, THREE.normal), labels=THREE, epoch=0)
    assert found.auc == 1.0
    each = [math.log(math.exp(2) + 2) - 2, math.log(math.exp(3) + 2) - 3, math.log(math.e + 2) - 1]
    each.append(math.log(math.e + 1 + math.exp(3)) - 3)
    assert found.loss == pytest.approx(np.mean(each))


def test_diverged_training_is_told() -> None:
    with pytest.raises(GateError) as caught:
        validation.measured(
            Answering([[0.0], [math.nan]]), _part([0, 1], BINARY.names, ("plain",)), labels=BINARY, epoch=4
        )
    assert str(caught.value) == "epoch 5: training diverged, logits are no numbers; lower fit.learning_rate"


def _line(auc: float, loss: float | None) -> Epoch:
    return Epoch(epoch=0, loss=0.0, validation_auc=auc, validation_loss=loss)


RULES = {
    "higher AUC": ("auc", _line(0.9, 0.5), _line(0.8, 0.1), True),
    "equal AUC, lower loss": ("auc", _line(0.9, 0.4), _line(0.9, 0.5), True),
    "equal AUC, equal loss": ("auc", _line(0.9, 0.5), _line(0.9, 0.5), False),
    "lower loss": ("loss", _line(0.8, 0.4), _line(0.9, 0.5), True),
    "higher loss": ("loss", _line(0.95, 0.6), _line(0.9, 0.5), False),
    "last": ("last", _line(0.1, 9.0), _line(0.9, 0.5), True),
    "older run without a loss": ("loss", _line(0.95, 0.6), _line(0.9, None), True),
}


@pytest.mark.parametrize("case", RULES.values(), ids=RULES.keys())
def test_epoch_that_is_kept(case: tuple[str, Epoch, Epoch, bool]) -> None:
    select, line, best, expected = case
    assert validation.better(line, best, select=select) is expected


def test_first_epoch_is_always_kept() -> None:
    assert validation.better(_line(0.1, 9.0), None, select="auc")
