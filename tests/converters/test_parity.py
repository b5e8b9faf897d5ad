from __future__ import annotations

import numpy as np
import pytest

from converters import parity
from edgemed import statistics
from edgemed.errors import GateError


def _scores(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat([0, 1], 200)
    return labels, 1 / (1 + np.exp(-(2.5 * labels - 1.2 + rng.normal(size=400))))


def _decided(scores: np.ndarray, threshold: float = 0.5) -> parity.Decided:
    return parity.Decided(scores=scores, threshold=threshold)


def test_each_model_is_judged_at_its_own_threshold(rng: np.random.Generator) -> None:
    labels, scores = _scores(rng)
    found = parity.compare(labels, _decided(scores), _decided(scores / 2, threshold=0.25), margin=0.01)
    assert found.flipped == 0


def test_equal_scores_pass_with_no_flip(rng: np.random.Generator) -> None:
    labels, scores = _scores(rng)
    found = parity.compare(labels, _decided(scores), _decided(scores), margin=0.01)
    parity.require(found)
    assert (found.difference.value, found.difference.ci95, found.flipped) == (0.0, (0.0, 0.0), 0)
    assert found.auc_int8.value == statistics.auc(labels, scores)


def test_flipped_decisions_are_counted_and_their_places_known(rng: np.random.Generator) -> None:
    labels, scores = _scores(rng)
    moved = scores.copy()
    moved[7] = 1.0 - scores[7]
    found = parity.compare(labels, _decided(scores), _decided(moved), margin=0.01)
    assert found.flipped == 1
    assert parity.flipped(_decided(scores), _decided(moved)) == (7,)


def test_lost_performance_ends_at_the_gate_with_the_figures(rng: np.random.Generator) -> None:
    labels, scores = _scores(rng)
    worse = np.clip(scores + rng.normal(scale=0.4, size=400), 0, 1)
    found = parity.compare(labels, _decided(scores), _decided(worse), margin=0.01)
    with pytest.raises(parity.ParityError) as caught:
        parity.require(found)
    of_float, of_int8, difference = found.auc_float, found.auc_int8, found.difference
    assert str(caught.value) == (
        f"parity: AUC float {of_float.value:.4f} [{of_float.ci95[0]:.4f}, {of_float.ci95[1]:.4f}], "
        f"int8 {of_int8.value:.4f} [{of_int8.ci95[0]:.4f}, {of_int8.ci95[1]:.4f}], "
        f"difference {difference.value:+.4f} [{difference.ci95[0]:+.4f}, {difference.ci95[1]:+.4f}] "
        f"on 400 validation images, {found.flipped} decisions flipped; expected a lower end above -0.01; train the "
        "quantized model longer, or validate on more images"
    )
    assert caught.value.parity == found
    assert isinstance(caught.value, GateError)


def test_small_loss_with_a_wide_interval_is_not_called_parity(rng: np.random.Generator) -> None:
    """Non-inferiority must be shown: too few images are no excuse."""
    labels = np.repeat([0, 1], 8)
    scores = np.linspace(0.1, 0.9, 16)
    noisy = np.clip(scores + rng.normal(scale=0.2, size=16), 0, 1)
    found = parity.compare(labels, _decided(scores), _decided(noisy), margin=0.01)
    assert not found.passed
