from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

import keras
from keras import layers

from converters import graph
from converters.qat import fusion, lowering, ranges
from converters.qat.ranges import Group

pytestmark = pytest.mark.tensorflow

PLANE = (0.0, 255.0)


def _groups(inputs: Any, outputs: Any, *, symmetric: bool = False) -> dict[str, Group]:
    found = graph.of(keras.Model(inputs, outputs))
    made = ranges.plan(
        fusion.fused(lowering.of(found), found.outputs),
        inputs={entry.value: (entry.name, PLANE if entry.name == "plane" else None) for entry in found.inputs},
        outputs=found.outputs,
        symmetric=symmetric,
    )
    return {group.name: group for group in made.groups}


def _conv(x: Any, name: str, **options: Any) -> Any:
    return layers.Conv2D(2, 1, name=name, **options)(x)


@pytest.fixture
def plane() -> Any:
    return keras.Input((8, 8, 1), name="plane")


def test_nothing_is_rounded_between_layers_that_tflite_merges(plane: Any) -> None:
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(_conv(plane, "conv")))
    assert list(_groups(plane, layers.Add(name="sum")([x, x]))) == ["plane", "relu", "sum"]


def test_concatenated_tensors_share_one_range(plane: Any) -> None:
    x, y = _conv(plane, "left"), _conv(plane, "right")
    groups = _groups(plane, _conv(layers.Concatenate(name="joined")([x, y]), "last"))
    assert groups["right"].fixed == (None, None)
    assert list(groups) == ["plane", "right", "last"]


def test_concatenations_in_a_row_share_one_range(plane: Any) -> None:
    x = _conv(plane, "first")
    for number in range(3):
        x = layers.Concatenate(name=f"joined{number}")([x, _conv(x, f"conv{number}")])
    assert [len(group.fixed) for group in _groups(plane, x).values()] == [1, 4]


def test_summed_tensors_keep_ranges_of_their_own(plane: Any) -> None:
    x, y = _conv(plane, "left"), _conv(plane, "right")
    assert list(_groups(plane, layers.Add(name="sum")([x, y]))) == ["plane", "left", "right", "sum"]


def test_what_moves_and_picks_keeps_the_range(plane: Any) -> None:
    x = layers.MaxPooling2D(name="top")(layers.ZeroPadding2D(name="padded")(_conv(plane, "conv")))
    x = layers.Flatten(name="flat")(layers.Permute((2, 1, 3), name="turned")(x))
    assert list(_groups(plane, x)) == ["plane", "conv"]


def test_mean_adds_nothing_to_the_range_it_is_rounded_in(plane: Any) -> None:
    groups = _groups(plane, layers.AveragePooling2D(2, name="mean")(_conv(plane, "conv")))
    assert groups["mean"].fixed == (None, (0.0, 0.0))


def test_global_mean_has_a_range_of_its_own(plane: Any) -> None:
    groups = _groups(plane, layers.GlobalAveragePooling2D(name="mean")(_conv(plane, "conv")))
    assert list(groups) == ["plane", "conv", "mean"]


def test_relu_that_tflite_merges_into_a_pooling_keeps_its_range(plane: Any) -> None:
    x = layers.MaxPooling2D(name="top")(_conv(plane, "conv"))
    assert list(_groups(plane, layers.ReLU(name="relu")(x))) == ["plane", "relu"]
    flat = layers.Flatten(name="flat")(_conv(plane, "conv"))
    assert list(_groups(plane, layers.ReLU(name="relu")(flat))) == ["plane", "conv", "relu"]


@pytest.mark.parametrize(
    ("function", "limits"),
    [("sigmoid", (0.0, 255 / 256)), ("softmax", (0.0, 255 / 256)), ("tanh", (-1.0, 127 / 128)), ("elu", None)],
)
def test_range_that_tflite_fixes_is_known(plane: Any, function: str, limits: Any) -> None:
    groups = _groups(plane, layers.Activation(function, name="last")(_conv(plane, "conv")))
    assert groups["last"].fixed == (limits,)


def test_range_of_a_scaled_plane_is_known_and_holds_zero(plane: Any) -> None:
    groups = _groups(plane, _conv(layers.Rescaling(-1 / 255, offset=3.0, name="scaled")(plane), "conv"))
    assert groups["scaled_scaled"].fixed == ((-1.0, 0.0),)
    assert groups["scaled"].fixed == ((0.0, 3.0),)


def test_replicated_plane_is_known(plane: Any) -> None:
    x = layers.Concatenate(name="rgb")([plane, plane, plane])
    groups = _groups(plane, _conv(layers.Rescaling(1 / 255, name="unit")(x), "conv"))
    assert (groups["plane"].fixed, groups["unit"].fixed) == ((PLANE,), ((0.0, 1.0),))


def test_range_ends_at_the_limit_of_a_relu(plane: Any) -> None:
    groups = _groups(plane, layers.ReLU(1.5, name="capped")(_conv(plane, "conv")))
    assert groups["capped"].fixed == ((0.0, 1.5),)


def test_extremes_of_outputs_are_kept(plane: Any) -> None:
    x = layers.Flatten(name="flat")(_conv(_conv(plane, "hidden"), "last"))
    groups = _groups(plane, x)
    assert {name: group.widest for name, group in groups.items()} == {"plane": False, "hidden": False, "last": True}


def test_symmetric_ranges_leave_a_replicated_plane_its_grey_levels(plane: Any) -> None:
    x = layers.Concatenate(name="rgb")([plane, plane, plane])
    groups = _groups(plane, _conv(layers.Rescaling(1 / 128, offset=-1.0, name="centred")(x), "conv"), symmetric=True)
    assert {name: group.symmetric for name, group in groups.items()} == {
        "plane": False,
        "centred_scaled": False,
        "centred": False,
        "conv": True,
    }


def test_plane_that_a_kernel_reads_is_symmetric(plane: Any) -> None:
    assert _groups(plane, _conv(layers.ZeroPadding2D(name="padded")(plane), "conv"), symmetric=True)["plane"].symmetric


def test_symmetric_ranges_leave_alone_what_no_kernel_reads_and_what_is_symmetric(plane: Any) -> None:
    x = layers.Rescaling(1 / 128, offset=-1.0, name="centred")(plane)
    x = layers.Activation("tanh", name="tanh")(_conv(x, "conv", activation="relu"))
    x = layers.Activation("sigmoid", name="gate")(_conv(x, "second"))
    groups = _groups(plane, _conv(x, "last"), symmetric=True)
    assert {name: group.symmetric for name, group in groups.items()} == {
        "plane": False,
        "centred_scaled": False,
        "centred": False,
        "conv_relu": True,
        "tanh": False,
        "second": True,
        "gate": False,
        "last": True,
    }
