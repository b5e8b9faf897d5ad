from __future__ import annotations

import msgspec
import numpy as np

from edgemed.imaging.frame import Frame
from edgemed.imaging.labelled import LabelledPlanes
from edgemed.training import recipe as recipes
from edgemed.training import views
from edgemed.training.settings import ScoreCalibration
from tests.training import blobs

RECIPE = recipes.parse(blobs.RECIPE.encode(), source="blobs.yaml")


def part(rng: np.random.Generator) -> LabelledPlanes:
    def read(index: int) -> Frame:
        raise AssertionError("views are made of planes, not of files")

    planes = rng.integers(0, 256, (6, 32, 32), dtype=np.uint8)
    return LabelledPlanes(planes=planes, labels=np.arange(6) % 2, names=tuple("abcdef"), read=read)


def asking(count: int) -> recipes.Recipe:
    return msgspec.structs.replace(RECIPE, calibration=ScoreCalibration(views=count))


def test_recipe_that_asks_for_none_has_none(rng: np.random.Generator) -> None:
    assert views.of(RECIPE, part(rng)) is None


def test_each_view_of_each_image_is_changed_in_its_own_way(rng: np.random.Generator) -> None:
    shown = part(rng)
    found = views.of(asking(3), shown)
    assert found is not None
    assert (found.shape, found.dtype) == ((3, 6, 32, 32), np.uint8)
    different = {plane.tobytes() for plane in (*shown.planes, *found.reshape(-1, 32, 32))}
    assert len(different) == 6 * 4


def test_views_are_those_of_the_division_whatever_seed_trained(rng: np.random.Generator) -> None:
    shown = part(rng)
    other = recipes.with_seed(asking(2), RECIPE.fit.seed + 1)
    np.testing.assert_array_equal(views.of(asking(2), shown), views.of(other, shown))
