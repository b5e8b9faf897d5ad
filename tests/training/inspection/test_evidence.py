from __future__ import annotations

import numpy as np
import pytest

from edgemed import statistics
from edgemed.training.inspection import evidence


def test_separation_is_the_area_under_the_curve(rng: np.random.Generator) -> None:
    first, second = rng.integers(0, 20, 50).astype(float), rng.integers(3, 25, 40).astype(float)
    labels = np.repeat([0, 1], [50, 40])
    value, _ = evidence.separation(first, second)
    assert value == pytest.approx(statistics.auc(labels, np.concatenate([first, second])))


@pytest.mark.parametrize(("shift", "sure"), [(0.0, False), (2.0, True)])
def test_separation_is_sure_of_a_shift_only(shift: float, sure: bool, rng: np.random.Generator) -> None:
    assert evidence.separation(rng.normal(size=60), rng.normal(size=60) + shift)[1] is sure


def test_association_agrees_with_the_formula_cell_by_cell(rng: np.random.Generator) -> None:
    rows = rng.integers(0, 3, 400)
    columns = np.where(rng.random(400) < 0.6, rows, rng.integers(0, 3, 400))
    chi = 0.0
    for row in range(3):
        for column in range(3):
            by_chance = np.count_nonzero(rows == row) * np.count_nonzero(columns == column) / 400
            chi += (np.count_nonzero((rows == row) & (columns == column)) - by_chance) ** 2 / by_chance
    phi = max(0.0, chi / 400 - 4 / 399)
    expected = np.sqrt(phi / (3 - 4 / 399 - 1))
    assert evidence.association(rows.astype(str), columns.astype(str)) == pytest.approx(expected)


def test_association_of_equal_and_of_constant_columns() -> None:
    values = np.array(["a", "b"] * 20)
    assert evidence.association(values, values) == pytest.approx(1.0)
    assert evidence.association(values, np.full(40, "x")) == 0.0


def test_proportions_need_more_than_chance_to_differ() -> None:
    assert evidence.proportions_differ((50, 100), (10, 100))
    assert not evidence.proportions_differ((50, 100), (45, 100))
    assert not evidence.proportions_differ((0, 100), (0, 100))
