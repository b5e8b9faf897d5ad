from __future__ import annotations

import numpy as np
import pytest

from edgemed.training.augment import Augmentation, augmented

STRONG = Augmentation(
    shift=0.1,
    rotation_deg=20.0,
    zoom=0.2,
    stretch=0.2,
    flip=0.5,
    brightness=0.1,
    contrast=0.3,
    gamma=0.3,
    blur=0.5,
    noise=0.05,
    erase=0.5,
)


def _plane(rng: np.random.Generator) -> np.ndarray:
    plane = rng.integers(0, 256, (40, 56)).astype(np.uint8)
    plane.setflags(write=False)
    return plane


def test_everything_off_leaves_the_plane_as_it_is(rng: np.random.Generator) -> None:
    plane = _plane(rng)
    assert np.array_equal(augmented(plane, Augmentation(), rng=rng), plane)


def test_same_seed_gives_same_picture_and_another_seed_another(rng: np.random.Generator) -> None:
    plane = _plane(rng)
    first, again, other = (augmented(plane, STRONG, rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_certain_flip_mirrors_columns(rng: np.random.Generator) -> None:
    plane = _plane(rng)
    assert np.array_equal(augmented(plane, Augmentation(flip=1.0), rng=rng), plane[:, ::-1])


def test_shape_and_type_survive_every_change(rng: np.random.Generator) -> None:
    plane = _plane(rng)
    for seed in range(20):
        changed = augmented(plane, STRONG, rng=np.random.default_rng(seed))
        assert (changed.shape, changed.dtype) == (plane.shape, np.uint8)


def test_range_above_one_is_refused_on_decoding() -> None:
    import msgspec

    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"shift": 1.5}, Augmentation)
