from __future__ import annotations

import pytest

from converters import emission
from converters.mode import Mode
from edgemed import targets


@pytest.mark.parametrize("mode", Mode)
def test_converted_file_is_always_a_member(mode: Mode) -> None:
    found = emission.members_for([targets.load("raspberry-pi-5")], b"model", mode=mode)
    assert found.members[mode.member] == b"model"


def test_each_target_is_told_what_it_lacks() -> None:
    devices = [targets.load(name) for name in ("raspberry-pi-5", "coral-usb")]
    (note,) = emission.members_for(devices, b"model", mode=Mode.QAT).notes
    assert note.startswith("coral-usb needs model/edgetpu.tflite")


def test_float_model_says_that_a_bundle_needs_another() -> None:
    found = emission.members_for([targets.load("coral-usb")], b"model", mode=Mode.FLOAT32)
    assert found.notes == (
        "a bundle needs an int8 model; model/float32.tflite is for comparison: convert with --mode qat or ptq for one",
    )
