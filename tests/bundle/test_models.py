"""Which target runs which member: one relation, stated once and true of every target that ships."""

from __future__ import annotations

import msgspec
import pytest

from edgemed import targets
from edgemed.bundle import models
from edgemed.bundle.archive import ARCHIVE_LIMIT_BYTES
from edgemed.runtime import backends
from edgemed.targets import Accelerator, Precision

PREFERRED = {
    "coral-dev-board": ("model/edgetpu.tflite", "model/int8.tflite"),
    "coral-usb": ("model/edgetpu.tflite", "model/int8.tflite"),
    "generic-aarch64": ("model/int8.tflite",),
    "generic-x86-64": ("model/int8.tflite",),
    "jetson-nano": ("model/float16.onnx", "model/int8.tflite"),
    "jetson-orin-nano": ("model/qdq.onnx", "model/int8.tflite"),
    "jetson-xavier-nx": ("model/qdq.onnx", "model/int8.tflite"),
    "raspberry-pi-4": ("model/int8.tflite",),
    "raspberry-pi-5": ("model/int8.tflite",),
}
CPU = ("generic-aarch64", "generic-x86-64", "raspberry-pi-4", "raspberry-pi-5")


def test_every_shipped_target_has_its_members_in_order() -> None:
    assert {name: models.admitted(targets.load(name)) for name in targets.available()} == PREFERRED


@pytest.mark.parametrize(
    ("members", "ids"),
    [
        pytest.param(["model/int8.tflite"], CPU, id="int8 admits every CPU target"),
        pytest.param(["model/edgetpu.tflite"], ("coral-dev-board", "coral-usb"), id="Edge TPU"),
        pytest.param(["model/qdq.onnx"], ("jetson-orin-nano", "jetson-xavier-nx"), id="TensorRT with INT8"),
        pytest.param(["model/float16.onnx"], ("jetson-nano",), id="TensorRT without INT8"),
        pytest.param(["card.md", "decision.json"], (), id="no model"),
        pytest.param(list(models.MODELS), tuple(PREFERRED), id="all of them"),
    ],
)
def test_members_admit_their_targets(members: list[str], ids: tuple[str, ...]) -> None:
    assert models.admits(members) == ids


@pytest.mark.parametrize(
    ("target", "members", "member"),
    [
        pytest.param("coral-usb", {"model/int8.tflite", "model/edgetpu.tflite"}, "model/edgetpu.tflite", id="its own"),
        pytest.param("coral-usb", {"model/int8.tflite", "model/qdq.onnx"}, "model/int8.tflite", id="the CPU's"),
        pytest.param("generic-x86-64", {"model/qdq.onnx"}, None, id="none"),
    ],
)
def test_a_target_runs_the_first_member_there_is(target: str, members: set[str], member: str | None) -> None:
    assert models.runs(targets.load(target), members) == member


def test_every_target_a_file_may_describe_has_an_order_of_members() -> None:
    shipped = targets.load("generic-x86-64")
    for accelerator in Accelerator:
        for precision in Precision:
            if precision is Precision.FLOAT16 and accelerator is not Accelerator.TENSORRT:
                continue
            target = msgspec.structs.replace(shipped, accelerator=accelerator, precision=precision)
            assert models.admitted(target)[-1] == models.INT8


def test_every_member_is_one_that_a_bundle_has_room_for() -> None:
    assert {name.split("/")[0] for name in models.MODELS} == {"model"}
    assert all(model.limit_bytes < ARCHIVE_LIMIT_BYTES for model in models.MODELS.values())


def test_no_two_members_stand_for_the_same_hardware() -> None:
    made_for = [(model.accelerator, model.precision) for model in models.MODELS.values()]
    assert len(set(made_for)) == len(made_for)


def test_members_name_the_back_ends_that_read_their_format() -> None:
    named = {member: model.backends for member, model in models.MODELS.items()}
    assert named == {m: backends.TFLITE if m.endswith(".tflite") else backends.ONNX for m in models.MODELS}


def test_targets_are_divided_among_the_members_they_run() -> None:
    ids = ("raspberry-pi-4", "coral-usb", "jetson-nano", "of-a-later-release")

    assert models.by_member(ids, {"model/int8.tflite": 1, "model/edgetpu.tflite": 2, "card.md": 3}) == {
        "model/int8.tflite": ("raspberry-pi-4", "jetson-nano"),
        "model/edgetpu.tflite": ("coral-usb",),
    }
