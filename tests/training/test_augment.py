from __future__ import annotations

import hashlib

import cv2
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
    crop=0.1,
    elastic=0.05,
    tone=0.3,
    equalize=0.5,
    clahe=0.5,
    shading=0.3,
    gain=0.3,
    sharpen=0.3,
    speckle=0.2,
    border=0.5,
    marks=0.5,
    resolution=0.5,
    jpeg=0.5,
)
# Each change alone, as far as it goes.
ALONE = dict.fromkeys(Augmentation.__struct_fields__, 1.0) | {
    "rotation_deg": 90.0,
    "crop": 0.4,
    "brightness": 0.5,
    "elastic": 0.2,
    "resolution": 0.9,
}
CURVES = ("brightness", "contrast", "gamma", "tone", "equalize")


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


def test_every_range_is_tried_alone_and_together() -> None:
    together = {field for field in Augmentation.__struct_fields__ if getattr(STRONG, field) > 0}
    assert together == set(ALONE) == set(Augmentation.__struct_fields__)


@pytest.mark.parametrize("field", ALONE)
def test_change_alone_keeps_the_picture_recognisable(field: str, rng: np.random.Generator) -> None:
    """A soft picture stays one: its shape and type, more than one level, and the same draw the same picture."""
    plane = cv2.resize(rng.integers(60, 200, (6, 6)).astype(np.uint8), (56, 40), interpolation=cv2.INTER_CUBIC)
    ranges = Augmentation(**{field: ALONE[field]})
    made = [augmented(plane, ranges, rng=np.random.default_rng(seed)) for seed in range(6)]
    assert all((one.shape, one.dtype) == (plane.shape, np.uint8) and one.std() > 1 for one in made)
    assert any(not np.array_equal(one, plane) for one in made)
    assert np.array_equal(augmented(plane, ranges, rng=np.random.default_rng(0)), made[0])


@pytest.mark.parametrize("field", CURVES)
def test_curve_never_makes_a_brighter_point_the_darker_one(field: str) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    for seed in range(10):
        changed = augmented(ramp, Augmentation(**{field: 1.0}), rng=np.random.default_rng(seed))
        assert (np.diff(changed.astype(int), axis=1) >= 0).all()


def test_small_planes_survive_every_change(rng: np.random.Generator) -> None:
    plane = rng.integers(0, 256, (8, 9)).astype(np.uint8)
    for seed in range(20):
        changed = augmented(plane, STRONG, rng=np.random.default_rng(seed))
        assert (changed.shape, changed.dtype) == (plane.shape, np.uint8)


def test_changes_that_are_off_leave_the_draws_of_the_others_alone(rng: np.random.Generator) -> None:
    """A picture of an older recipe, pinned by its digest: a new change must not move what it drew."""
    plane = np.random.default_rng(7).integers(0, 256, (40, 56)).astype(np.uint8)
    older = Augmentation(flip=0.5, brightness=0.1, contrast=0.3, gamma=0.3, noise=0.05, erase=0.5)
    changed = augmented(plane, older, rng=np.random.default_rng((3, 0, 1, 5)))
    assert hashlib.sha256(changed.tobytes()).hexdigest()[:16] == "f24d2b6551d2d5b7"


def test_range_above_one_is_refused_on_decoding() -> None:
    import msgspec

    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"shift": 1.5}, Augmentation)
