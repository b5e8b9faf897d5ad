from __future__ import annotations

import numpy as np
import pytest

from converters import comparison
from converters.comparison import Decided, Named
from converters.division import Parts
from converters.gate import Criterion, Gate
from converters.mode import Mode
from converters.parity import Parity
from edgemed import statistics

N = 400
GATE = Gate(points=(Criterion(name="rule-out", sensitivity=0.9),), active="rule-out")
PARTS = Parts(operating=np.arange(0, N, 2), gate=np.arange(1, N, 2))


def _scores(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat([0, 1], N // 2)
    return labels, 1 / (1 + np.exp(-(2.5 * labels - 1.2 + rng.normal(size=N))))


def _compared(
    labels: np.ndarray, of_float: Decided, converted: Decided, *, groups: tuple[str, ...] | None = None
) -> Parity:
    return comparison.compare(labels, of_float, converted, parts=PARTS, gate=GATE, mode=Mode.QAT, groups=groups)


def test_each_model_is_judged_at_its_own_threshold(rng: np.random.Generator) -> None:
    labels, scores = _scores(rng)
    found = _compared(labels, Decided(scores=scores, threshold=0.5), Decided(scores=scores / 2, threshold=0.25))
    assert found.flipped == 0
    assert found.point_float.sensitivity == found.point_converted.sensitivity


def test_figures_are_those_of_the_gate_part_alone(rng: np.random.Generator) -> None:
    labels, scores = _scores(rng)
    moved = scores.copy()
    moved[PARTS.operating] = 1 - moved[PARTS.operating]
    found = _compared(labels, Decided(scores=scores, threshold=0.5), Decided(scores=moved, threshold=0.5))
    assert found.areas.converted.value == statistics.auc(labels[PARTS.gate], scores[PARTS.gate])
    assert (found.flipped, found.areas.difference.value, found.mcnemar.p_value) == (0, 0.0, 1.0)
    assert found.whole.difference.value < -0.2
    assert (found.gate.n, found.operating.n, found.gate.n_abnormal) == (200, 200, 100)


def test_figures_equal_an_independent_count(rng: np.random.Generator) -> None:
    stats = pytest.importorskip("scipy.stats")
    labels, scores = _scores(rng)
    noisy = np.clip(scores + rng.normal(scale=0.15, size=N), 0, 1)
    found = _compared(labels, Decided(scores=scores, threshold=0.4), Decided(scores=noisy, threshold=0.45))
    truth, first, second = labels[1::2] == 1, scores[1::2] >= 0.4, noisy[1::2] >= 0.45
    sensitivity = stats.binomtest(int((second & truth).sum()), int(truth.sum())).proportion_ci(method="wilson")
    assert found.point_converted.sensitivity.count == int((second & truth).sum())
    assert found.point_converted.sensitivity.ci95 == pytest.approx((sensitivity.low, sensitivity.high))
    assert found.point_converted.specificity.count == int((~second & ~truth).sum())
    b, c = int(((first == truth) & (second != truth)).sum()), int(((first != truth) & (second == truth)).sum())
    assert (found.mcnemar.only_float, found.mcnemar.only_converted) == (b, c)
    assert found.mcnemar.p_value == pytest.approx(stats.binomtest(b, b + c).pvalue)
    assert (found.flipped, found.to_alert, found.to_clear) == (
        int((first != second).sum()),
        int((second & ~first).sum()),
        int((first & ~second).sum()),
    )


def test_flips_name_the_images_of_the_gate_part(rng: np.random.Generator) -> None:
    labels, scores = _scores(rng)
    moved = scores.copy()
    moved[7], moved[8] = 1.0 - scores[7], 1.0 - scores[8]  # 8 is of the operating part
    names = [f"{index}.png" for index in range(N)]
    of_float, converted = Decided(scores=scores, threshold=0.5), Decided(scores=moved, threshold=0.5)
    (flip,) = comparison.flips(labels, names, of_float, converted, parts=PARTS)
    assert (flip.name, flip.abnormal, flip.alert) == ("7.png", False, bool(moved[7] >= 0.5))
    assert (flip.score_float, flip.score_converted) == (scores[7], moved[7])


def test_interval_by_patient_is_wider_where_patients_repeat(rng: np.random.Generator) -> None:
    labels, scores = _scores(rng)
    noisy = np.clip(scores + rng.normal(scale=0.1, size=N), 0, 1)
    # Patients of four images each: every image of the gate part stands there twice.
    scores[1::4], noisy[1::4] = scores[3::4], noisy[3::4]
    groups = tuple(f"p{index // 4}" for index in range(N))
    of_float, converted = Decided(scores=scores, threshold=0.5), Decided(scores=noisy, threshold=0.5)
    found = _compared(labels, of_float, converted, groups=groups).areas.difference
    assert found.ci95_by_patient is not None
    assert found.ci95_by_patient[1] - found.ci95_by_patient[0] > 1.2 * (found.ci95[1] - found.ci95[0])
    assert found.ci95_by_patient[0] <= found.value <= found.ci95_by_patient[1]


def test_without_repeated_patients_there_is_no_second_interval(rng: np.random.Generator) -> None:
    labels, scores = _scores(rng)
    alone = tuple(f"p{index}" for index in range(N))
    decided = Decided(scores=scores, threshold=0.5)
    found = _compared(labels, decided, decided, groups=alone)
    assert found.areas.difference.ci95_by_patient is None
    assert found.gate.n_groups == 200
    assert _compared(labels, decided, decided).gate.n_groups is None


def test_most_probable_labels_are_counted_on_the_gate_part(rng: np.random.Generator) -> None:
    labels, scores = _scores(rng)
    decided = Decided(scores=scores, threshold=0.5)
    classes = rng.integers(0, 3, N)
    of_float, converted = classes.copy(), classes.copy()
    of_float[PARTS.gate[:20]] = (classes[PARTS.gate[:20]] + 1) % 3
    converted[PARTS.gate[:30]] = (classes[PARTS.gate[:30]] + 1) % 3
    converted[PARTS.operating] = 0
    found = comparison.compare(
        labels,
        decided,
        decided,
        parts=PARTS,
        gate=GATE,
        mode=Mode.QAT,
        named=Named(labels=classes, of_float=of_float, converted=converted),
    ).labels
    assert found is not None
    assert (found.agreed.n, found.agreed.count) == (200, 190)
    assert (found.right_float.count, found.right_converted.count) == (180, 170)


def test_promise_is_that_of_the_active_point(rng: np.random.Generator) -> None:
    labels, scores = _scores(rng)
    decided = Decided(scores=scores, threshold=0.5)
    points = (Criterion(name="in", specificity=0.8), Criterion(name="even", balanced="equal-error"))
    found = [
        comparison.compare(labels, decided, decided, parts=PARTS, gate=Gate(points=points, active=name), mode=Mode.QAT)
        for name in ("in", "even")
    ]
    assert [(one.promise, one.promised) for one in found] == [("specificity", 0.8), ("sensitivity", None)]
