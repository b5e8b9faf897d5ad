"""Which model runs for a target, and what is said where its accelerator cannot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edgemed import targets
from edgemed.bundle.archive import Bundle
from edgemed.errors import ConfigError, TargetMismatchError
from edgemed.runtime import selection
from edgemed.targets import Target
from tests.bundle.tiny import KEY
from tests.runtime import tiny

ROOT = Path(__file__).resolve().parents[2]
GENERICS = ("generic-x86-64", "generic-aarch64")
EDGETPU = "model/edgetpu.tflite"


def bundle(*ids: str, **extra: bytes) -> Bundle:
    models = {f"model/{name.replace('__', '.')}": raw for name, raw in extra.items()}
    return tiny.bundle(tiny.model(), extra=models, targets=(*GENERICS, *ids))


def coral(library: str | None) -> Target:
    """Return the Coral USB with another delegate library on every system."""
    target = targets.load("coral-usb")
    delegate = msgspec.structs.replace(target.delegate, linux=library, macos=library, windows=library)
    return msgspec.structs.replace(target, delegate=delegate)


def test_the_generic_target_runs_the_int8_model() -> None:
    loaded = selection.open_model(bundle())

    assert loaded.selection == selection.Selection(target=targets.generic_id(), member="model/int8.tflite")
    assert loaded.selection.fallback is False
    assert loaded.interpreter.inputs["plane"].dtype == "int8"


def test_a_target_of_the_cpu_runs_the_int8_model_whatever_else_is_there() -> None:
    several = bundle("raspberry-pi-5", "coral-usb", edgetpu__tflite=b"compiled")

    loaded = selection.open_model(several, targets.load("raspberry-pi-5"), threads=2)

    assert loaded.selection == selection.Selection(target="raspberry-pi-5", member="model/int8.tflite")
    assert loaded.interpreter.threads == 2


OBSTACLES = {
    "library that is missing": (
        "libedgemed-no-such-thing.so.1",
        f"{EDGETPU}: libedgemed-no-such-thing.so.1 is not installed; install the Edge TPU runtime",
    ),
    "system without a library": (None, f"{EDGETPU}: coral-usb has no delegate library for {sys.platform}"),
}


@pytest.mark.parametrize(("library", "reason"), OBSTACLES.values(), ids=OBSTACLES)
def test_edge_tpu_that_cannot_run_falls_back_with_the_reason(library: str | None, reason: str) -> None:
    found = selection.open_model(bundle("coral-usb", edgetpu__tflite=b"compiled"), coral(library)).selection

    assert found == selection.Selection(target="coral-usb", member="model/int8.tflite", reasons=(reason,))
    assert found.fallback is True


@pytest.mark.skipif(sys.platform != "linux", reason="names a library of Linux")
def test_edge_tpu_runtime_that_is_there_is_not_called_missing() -> None:
    found = selection.open_model(bundle("coral-usb", edgetpu__tflite=b"compiled"), coral("libc.so.6")).selection

    assert found.reasons == (f"{EDGETPU}: libc.so.6 is installed, but this release does not load delegates",)


def test_target_whose_model_the_bundle_lacks_falls_back() -> None:
    # As the bundles of earlier releases are: they admitted the Jetson Nano with the int8 model alone.
    old = bundle()
    admitting = msgspec.structs.replace(old.manifest, targets=("jetson-nano",))

    found = selection.open_model(
        Bundle(manifest=admitting, members=old.members, digest=old.digest, envelopes=old.envelopes),
        targets.load("jetson-nano"),
    ).selection

    assert (found.member, found.reasons) == ("model/int8.tflite", ("the bundle has no model/float16.onnx",))


@pytest.mark.parametrize("target_id", ["raspberry-pi-4", "coral-usb", "jetson-orin-nano"])
def test_target_that_the_bundle_does_not_admit_is_refused(target_id: str) -> None:
    with pytest.raises(TargetMismatchError) as caught:
        selection.open_model(bundle("jetson-nano", float16__onnx=b"onnx"), targets.load(target_id))

    assert str(caught.value).startswith(
        f"tiny 1.2.3: expected a target among generic-x86-64, generic-aarch64, jetson-nano, got {target_id!r}"
    )


def test_bundle_that_does_not_admit_this_machine_is_refused() -> None:
    elsewhere = tiny.bundle(tiny.model(), targets=("raspberry-pi-4",))

    with pytest.raises(TargetMismatchError) as caught:
        selection.open_model(elsewhere)

    assert str(caught.value) == f"tiny 1.2.3: expected a target among raspberry-pi-4, got '{targets.generic_id()}'"


def test_back_end_that_the_model_for_the_accelerator_does_not_run_on_is_a_reason() -> None:
    admitting = bundle("jetson-orin-nano", qdq__onnx=b"onnx")

    found = selection.open_model(admitting, targets.load("jetson-orin-nano"), backend="litert").selection

    assert (found.member, found.reasons) == (
        "model/int8.tflite",
        ("model/qdq.onnx: expected back end onnxruntime, got 'litert'",),
    )


def test_back_end_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^backend: expected one of litert, tflite-runtime.*, got 'torch'$"):
        selection.open_model(bundle(), backend="torch")


def test_default_target_needs_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "tiny.edgemed").write_bytes(tiny.raw_bundle(tiny.model()))
    program = (
        "import sys; from pathlib import Path; from edgemed.bundle.keys import PublicKey;"
        "from edgemed.runtime.screener import Screener;"
        f"s = Screener.open(Path({str(tmp_path / 'tiny.edgemed')!r}), keys=[PublicKey(raw={KEY.public.raw!r})]);"
        "print(s.selection.member, 'yaml' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "model/int8.tflite False\n"
