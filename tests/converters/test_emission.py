from __future__ import annotations

import importlib.util

import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

from converters import edgetpu, emission
from converters.mode import Mode
from converters.translation import Translated
from edgemed import targets
from edgemed.errors import ConversionError, MissingDependencyError

pytestmark = pytest.mark.tensorflow

FILES = Translated(raw=b"model", float_raw=b"float", against="the float model")


def _devices(*names: str) -> list[targets.Target]:
    return [targets.load(name) for name in names]


@pytest.mark.parametrize("mode", Mode)
def test_converted_file_is_always_a_member(mode: Mode) -> None:
    found = emission.members_for(_devices("raspberry-pi-5"), FILES, mode=mode)
    assert found.members == {mode.member: b"model"}


def test_edge_tpu_without_a_compiler_is_told_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("empty")))
    found = emission.members_for(_devices("raspberry-pi-5", "coral-usb"), FILES, mode=Mode.QAT)
    assert (list(found.members), found.notes) == (["model/int8.tflite"], (f"coral-usb: {edgetpu.ABSENT}",))


def test_float_model_says_that_a_bundle_needs_another() -> None:
    found = emission.members_for(_devices("coral-usb", "jetson-nano"), FILES, mode=Mode.FLOAT32)
    assert found.notes == (
        "a bundle needs an int8 model; model/float32.tflite is for comparison: convert with --mode qat or ptq for one",
    )


@pytest.mark.parametrize(("names", "symmetric"), [(("jetson-nano", "coral-usb"), False), (("jetson-orin-nano",), True)])
def test_symmetric_ranges_are_for_tensorrt_with_int8(names: tuple[str, ...], symmetric: bool) -> None:
    assert emission.wants_symmetric(_devices(*names)) is symmetric


def test_jetson_without_its_extra_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name.startswith("onnx") else find(name))
    emission.require(_devices("coral-usb", "raspberry-pi-5"), Mode.QAT)
    emission.require(_devices("jetson-nano"), Mode.FLOAT32)
    for name in ("jetson-nano", "jetson-orin-nano"):
        with pytest.raises(MissingDependencyError) as caught:
            emission.require(_devices(name), Mode.QAT)
        assert str(caught.value) == (
            "onnx, onnxruntime: not installed; a Jetson runs ONNX: pip install 'edgemed[jetson]', or leave the target "
            "out"
        )


def test_ptq_for_tensorrt_is_refused_before_any_work() -> None:
    emission.require(_devices("jetson-nano", "coral-usb"), Mode.PTQ)
    emission.require(_devices("jetson-orin-nano"), Mode.QAT)
    with pytest.raises(ConversionError) as caught:
        emission.require(_devices("jetson-orin-nano", "coral-usb", "jetson-xavier-nx"), Mode.PTQ)
    assert str(caught.value) == (
        "--mode ptq: expected mode qat for jetson-orin-nano, jetson-xavier-nx: TensorRT refuses zero points other than "
        "0, which the TFLite converter makes; convert with --mode qat, or leave the target out"
    )
