from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgemed.training.mixing import Batch, mixed
from edgemed.training.settings import Fit

FIT = Fit(seed=1, epochs=1, batch=8, learning_rate=0.1, warmup_epochs=0.0, weight_decay=0.0, label_smoothing=0.0)


def _batch(count: int = 8) -> Batch:
    """Return pictures that are their own number everywhere, so that shares can be read off."""
    levels = np.arange(count, dtype=np.float32)
    return Batch(
        pictures=np.broadcast_to(levels[:, None, None], (count, 12, 10)).copy(),
        targets=(levels[:, None] >= count / 2).astype(np.float32),
        weights=np.linspace(0.5, 1.5, count, dtype=np.float32),
    )


def _mixed(seed: int, **options: float) -> Batch:
    return mixed(_batch(), msgspec.structs.replace(FIT, **options), rng=np.random.default_rng(seed))


def test_nothing_on_leaves_the_batch_as_it_is() -> None:
    batch = _batch()
    assert mixed(batch, FIT, rng=np.random.default_rng(1)) is batch


def test_probability_leaves_some_batches_alone() -> None:
    kept = sum(np.array_equal(_mixed(seed, mixup=0.5, mixed=0.3).pictures, _batch().pictures) for seed in range(100))
    assert 55 < kept < 85


@pytest.mark.parametrize("way", ["mixup", "cutmix"])
def test_labels_are_mixed_in_the_shares_of_the_pictures(way: str) -> None:
    """Level k holds share s of its partner p everywhere: the mean tells both, and label and weight must agree."""
    for seed in range(20):
        found, batch = _mixed(seed, **{way: 1.0}), _batch()
        levels = batch.pictures[:, 0, 0]
        moved = found.pictures.mean(axis=(1, 2)) - levels
        rng = np.random.default_rng(seed)
        rng.random()
        rng.integers(1)
        partner = rng.permutation(8)
        shares = np.array([moved[k] / (partner[k] - k) for k in range(8) if partner[k] != k])
        np.testing.assert_allclose(shares, shares[0], atol=1e-4)
        expected = (1 - shares[0]) * batch.targets + shares[0] * batch.targets[partner]
        np.testing.assert_allclose(found.targets, expected, atol=1e-4)
        np.testing.assert_allclose(
            found.weights, (1 - shares[0]) * batch.weights + shares[0] * batch.weights[partner], atol=1e-4
        )


def test_cutmix_takes_one_rectangle_whole() -> None:
    found = _mixed(3, cutmix=1.0).pictures
    changed = found != _batch().pictures
    assert all(len(np.unique(picture)) <= 2 for picture in found)
    rows, columns = changed.any(axis=(0, 2)).sum(), changed.any(axis=(0, 1)).sum()
    assert all(picture.sum() in (0, rows * columns) for picture in changed)


def test_same_seed_mixes_alike_and_another_otherwise() -> None:
    first, again, other = (_mixed(seed, mixup=0.4, cutmix=1.0).pictures for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
