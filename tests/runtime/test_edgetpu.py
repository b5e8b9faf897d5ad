"""The Edge TPU's delegate: what each obstacle is called, and a real library that stands in for it."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemed.errors import InferenceError
from edgemed.runtime import backends
from edgemed.runtime.backends import edgetpu
from edgemed.runtime.backends.edgetpu import Presence
from edgemed.runtime.interpreter import Delegate
from tests.runtime import edgetpus, tiny
from tests.runtime.edgetpus import EdgeTpu

ROOT = Path(__file__).resolve().parents[2]
PLANE = {"plane": np.zeros((1, tiny.SIDE, tiny.SIDE, 1), np.int8)}
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says of its devices")


def usb(folder: Path, *ids: tuple[str, str]) -> Path:
    """Return a folder as Linux lists its USB devices."""
    for number, (vendor, product) in enumerate(ids):
        device = folder / f"1-{number}"
        device.mkdir(parents=True)
        (device / "idVendor").write_text(f"{vendor}\n")
        (device / "idProduct").write_text(f"{product}\n")
    (folder / "1-0:1.0").mkdir(parents=True)  # an interface, which has neither
    return folder


def test_delegate_computes_the_graph(backend: str, tpu: EdgeTpu) -> None:
    interpreter = backends.load(tiny.model(), backend=backend, delegate=tpu.delegate)

    answered = interpreter.invoke(PLANE)

    assert interpreter.accelerated is True
    assert {int(value) for values in answered.values() for value in values.ravel()} == {edgetpus.ANSWER}


def test_unplug_in_the_middle_is_an_inference_error(backend: str, tpu: EdgeTpu) -> None:
    tpu.plug_in(answers=2)
    interpreter = backends.load(tiny.model(), backend=backend, delegate=tpu.delegate)
    for _ in range(2):
        interpreter.invoke(PLANE)

    with pytest.raises(InferenceError, match=f"^{backend}: inference failed: USB transfer error"):
        interpreter.invoke(PLANE)


@linux
def test_no_device_says_where_none_was_found(backend: str, tpu: EdgeTpu) -> None:
    if edgetpu.presence("usb") is not Presence.ABSENT:
        pytest.skip("this machine has an Edge TPU, or no list of its USB devices")
    tpu.pull_out()

    with pytest.raises(InferenceError) as caught:
        backends.load(tiny.model(), backend=backend, delegate=tpu.delegate)

    assert str(caught.value) == f"{tpu.library} opens no Edge TPU: there is none on USB; plug it in"


def test_what_the_library_says_is_told(backend: str, tpu: EdgeTpu) -> None:
    with pytest.raises(InferenceError) as caught:
        backends.load(tiny.model(), backend=backend, delegate=Delegate(library=str(tpu.library)))

    assert str(caught.value).startswith(f"{tpu.library} opens no Edge TPU (expected device=usb): ")


def test_missing_library_is_named() -> None:
    with pytest.raises(InferenceError) as caught:
        edgetpu.require_library(Delegate(library="libedgemed-none.so.1", device="usb"))

    assert str(caught.value) == "libedgemed-none.so.1 is not installed; install the Edge TPU runtime"


def test_library_that_does_not_load_is_not_called_missing(tmp_path: Path) -> None:
    path = tmp_path / "libedgetpu.so.1"
    path.write_bytes(b"no library at all")

    with pytest.raises(InferenceError) as caught:
        edgetpu.require_library(Delegate(library=str(path), device="usb"))

    message = str(caught.value)
    assert message.startswith(f"{path} cannot be loaded: ")
    assert message.endswith("; install the Edge TPU runtime for this machine")


@linux
def test_library_without_the_interface_is_refused() -> None:
    with pytest.raises(InferenceError) as caught:
        edgetpu.require_library(Delegate(library="libc.so.6", device="usb"))

    assert str(caught.value) == (
        "libc.so.6: expected a TFLite delegate, got a library without tflite_plugin_create_delegate; "
        "install the Edge TPU runtime"
    )


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        pytest.param([("1d6b", "0002"), ("18d1", "9302")], Presence.THERE, id="with firmware"),
        pytest.param([("1a6e", "089a")], Presence.THERE, id="before firmware"),
        pytest.param([("18d1", "4ee7")], Presence.ABSENT, id="another device of the vendor"),
        pytest.param([], Presence.ABSENT, id="empty bus"),
    ],
)
def test_device_on_usb_goes_by_its_ids(tmp_path: Path, ids: list[tuple[str, str]], expected: Presence) -> None:
    assert edgetpu.presence("usb", usb=usb(tmp_path / "devices", *ids)) is expected


def test_system_without_a_list_does_not_tell(tmp_path: Path) -> None:
    assert edgetpu.presence("usb", usb=tmp_path / "none") is Presence.UNKNOWN


@linux
def test_device_on_pcie_goes_by_its_node(tmp_path: Path) -> None:
    assert edgetpu.presence("pci", nodes=tmp_path) is Presence.ABSENT
    (tmp_path / "apex_0").touch()
    assert edgetpu.presence("pci", nodes=tmp_path) is Presence.THERE


class Library:
    """A back end whose delegate opens nothing, and says nothing."""

    def load_delegate(self, library: str, options: dict[str, Any]) -> None:
        raise ValueError(f"Failed to load delegate from {library}\n")


ADVICE = {
    ("usb", Presence.THERE): (
        "one is on USB; check that this user may open it (group plugdev) and that no other program holds it"
    ),
    ("pci", Presence.THERE): (
        "one is on PCIe; check that this user may open it (group apex) and that no other program holds it"
    ),
    ("pci", Presence.ABSENT): "there is none on PCIe; check the card and its driver, apex",
    ("usb", Presence.UNKNOWN): "check that it is on USB and that this user may open it",
    (None, Presence.UNKNOWN): "check that it is on this machine and that this user may open it",
}


@pytest.mark.parametrize(("case", "expected"), ADVICE.items(), ids=str)
def test_advice_depends_on_what_the_system_sees(case: tuple[str | None, Presence], expected: str, tpu: EdgeTpu) -> None:
    device, found = case

    with pytest.raises(InferenceError) as caught:
        edgetpu.load(Library(), Delegate(library=str(tpu.library), device=device), look=lambda _: found)

    assert str(caught.value) == f"{tpu.library} opens no Edge TPU: {expected}"


def test_onnxruntime_takes_no_delegate() -> None:
    module = importlib.import_module(backends.BACKENDS["onnxruntime"])

    with pytest.raises(InferenceError) as caught:
        module.load(b"", delegate=Delegate(library="libedgetpu.so.1"))

    assert str(caught.value) == ("onnxruntime: libedgetpu.so.1: loads no TFLite delegate; choose a back end for TFLite")


def test_program_tries_one_delegate(backend: str, tpu: EdgeTpu) -> None:
    words = [sys.executable, "-m", "edgemed.runtime.backends.edgetpu", backend, str(tpu.library), "usb"]

    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, f"{tpu.library} opens the Edge TPU on usb, with {backend}\n")


def test_attempt_in_another_process_tells_what_that_one_found(backend: str, tpu: EdgeTpu) -> None:
    with pytest.raises(InferenceError) as caught:
        edgetpu.attempt(Delegate(library=str(tpu.library)), backend=backend)

    assert str(caught.value).startswith(f"{tpu.library} opens no Edge TPU (expected device=usb): ")


def test_attempt_outlives_a_library_that_ends_its_process(backend: str, tpu: EdgeTpu) -> None:
    tpu.control.write_text("-2")

    with pytest.raises(InferenceError) as caught:
        edgetpu.attempt(tpu.delegate, backend=backend)

    assert str(caught.value) == (
        f"{tpu.library}: ended the process by signal 6; it and {backend} must be of one TensorFlow release: "
        "install a libedgetpu built for it"
    )


def test_attempt_does_not_wait_for_ever(backend: str, tpu: EdgeTpu) -> None:
    with pytest.raises(InferenceError) as caught:
        edgetpu.attempt(tpu.delegate, backend=backend, timeout_s=0.001)

    assert str(caught.value) == (
        f"{tpu.library}: gave no answer within 0.001 s; unplug the Edge TPU and plug it in again"
    )
