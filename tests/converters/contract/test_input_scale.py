from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras
from keras import layers

from converters import contract
from edgemed.errors import ConversionError
from edgemed.imaging.labelled import LabelledPlanes

pytestmark = pytest.mark.tensorflow


def validation() -> LabelledPlanes:
    """Return planes of which the abnormal ones are brighter, not all of them by much."""
    rng = np.random.default_rng(2)
    labels = np.arange(60) % 2
    planes = rng.integers(0, 160, (60, 8, 8)) + labels[:, None, None] * rng.integers(0, 60, (60, 1, 1))
    return LabelledPlanes(
        planes=planes.astype(np.uint8),
        labels=labels.astype(np.int64),
        names=tuple(map(str, range(60))),
        read=lambda _: pytest.fail("no frame is needed"),
    )


def bright(*, bounded: bool, scale: float) -> keras.Model:
    """Return a model that was trained on grey levels times ``scale``: its logit rises with the mean of the plane.

    Args:
        bounded: through a ReLU6 that such inputs leave alone, and that larger ones fill.
        scale: that of the input in training.
    """
    picture = keras.Input((8, 8, 1))
    x = layers.Conv2D(1, 1, activation="relu6" if bounded else None, kernel_initializer="ones")(picture)
    x = layers.Dense(1, name="last")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(picture, x, name="bright")
    model.get_layer("last").set_weights([np.array([[20 / 255 / scale]]), np.array([-7.0])])
    return model


def test_model_that_a_larger_input_drives_into_its_bounds_is_told_apart() -> None:
    with pytest.raises(ConversionError) as caught:
        contract.adapted(bright(bounded=True, scale=1 / 255), validation=validation())
    assert str(caught.value).startswith(
        "bright: seems to want its input on the scale 0..1, not grey levels 0..255: on 60 validation planes the AUC is "
    )
    assert str(caught.value).endswith("; give input_range=(0, 1), or (0, 255) where grey levels are right")


def test_model_whose_logits_run_past_any_probability_is_told_apart() -> None:
    with pytest.raises(ConversionError) as caught:
        contract.adapted(bright(bounded=False, scale=1 / 255), validation=validation())
    assert str(caught.value) == (
        "bright: seems to want its input on the scale 0..1, not grey levels 0..255: on 60 validation planes the AUC is "
        "0.946 with a median logit of magnitude 1.71e+03, rescaled 0.946 and 0.919; give input_range=(0, 1), or "
        "(0, 255) where grey levels are right"
    )


@pytest.mark.parametrize("bounds", [(0, 1), (0, 255)], ids=["named", "confirmed"])
def test_range_that_is_given_is_not_doubted(bounds: tuple[float, float]) -> None:
    made = contract.adapted(bright(bounded=False, scale=1 / 255), input_range=bounds, validation=validation())
    assert made.outputs == ("embedding", "evidence", "logit")


def test_model_of_grey_levels_is_accepted() -> None:
    assert contract.adapted(bright(bounded=False, scale=1.0), validation=validation()).model.name == "bright"


def test_one_label_alone_tells_nothing() -> None:
    few = validation()
    normal = LabelledPlanes(planes=few.planes[::2], labels=few.labels[::2], names=few.names[::2], read=few.read)
    assert contract.adapted(bright(bounded=False, scale=1 / 255), validation=normal).model.name == "bright"
