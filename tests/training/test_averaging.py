from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

from edgemed.training.averaging import Averages

pytestmark = pytest.mark.tensorflow


def test_average_follows_the_formula_of_its_docstring(rng: np.random.Generator) -> None:
    steps = rng.normal(size=(40, 3)).astype(np.float32)
    averages = Averages([np.zeros(3, np.float32)], keep=0.8)
    expected = np.zeros(3)
    for number, weights in enumerate(steps, start=1):
        averages.update([weights])
        keep = min(0.8, (1 + number) / (10 + number))
        expected = keep * expected + (1 - keep) * weights
    np.testing.assert_allclose(averages.values[0], expected, rtol=1e-5)


def test_restored_average_goes_on_bit_for_bit(rng: np.random.Generator) -> None:
    steps = rng.normal(size=(9, 2)).astype(np.float32)
    whole, begun = (Averages([np.ones(2, np.float32)], keep=0.99) for _ in range(2))
    for weights in steps:
        whole.update([weights])
    for weights in steps[:4]:
        begun.update([weights])
    resumed = Averages([np.zeros(2, np.float32)], keep=0.99)
    resumed.restore(begun.values, steps=4)
    for weights in steps[4:]:
        resumed.update([weights])
    np.testing.assert_array_equal(resumed.values[0], whole.values[0])


def test_averages_are_copies_of_what_they_started_from() -> None:
    start = np.ones(2, np.float32)
    averages = Averages([start], keep=0.5)
    averages.update([np.zeros(2, np.float32)])
    assert start.tolist() == [1.0, 1.0]
