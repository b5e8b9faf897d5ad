"""Which model runs for a target, and what is said where its accelerator cannot."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgemed import targets
from edgemed.bundle.archive import Bundle
from edgemed.errors import ConfigError, InferenceError, TargetMismatchError
from edgemed.runtime import backends, selection
from edgemed.runtime.backends import onnxruntime
from edgemed.runtime.failover import Failover
from edgemed.runtime.screener import Screener
from edgemed.targets import Fallback, Target
from tests.bundle.tiny import KEY
from tests.runtime import edgetpus, tiny, tiny_onnx
from tests.runtime.edgetpus import EdgeTpu

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

    found = loaded.selection
    assert (found.target, found.member, found.fallback) == ("raspberry-pi-5", "model/int8.tflite", False)
    assert loaded.interpreter.threads == 2


@pytest.mark.parametrize("arch", ["x86-64", "aarch64"])
def test_machine_of_another_architecture_than_the_target_is_remarked(arch: str) -> None:
    here = targets.architecture()

    found = selection.open_model(bundle(), targets.load(f"generic-{arch}")).selection

    assert found.elsewhere == (
        None
        if here == arch
        else f"this machine is {here}, generic-{arch} is {arch}: answers and times are not the device's"
    )


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
def test_library_that_is_no_delegate_is_not_called_missing() -> None:
    found = selection.open_model(bundle("coral-usb", edgetpu__tflite=b"compiled"), coral("libc.so.6")).selection

    (reason,) = found.reasons
    assert reason.startswith(f"{EDGETPU}: libc.so.6: expected a TFLite delegate, got a library without ")


STOPPED = {
    "library that is missing": (
        bundle("coral-usb", edgetpu__tflite=b"compiled"),
        coral("libedgemed-no-such-thing.so.1"),
        f"coral-usb: {EDGETPU}: libedgemed-no-such-thing.so.1 is not installed; install the Edge TPU runtime; ",
    ),
    "bundle without the model": (
        bundle("jetson-nano", float16__onnx=b"no model"),
        targets.load("jetson-nano"),
        "jetson-nano: model/float16.onnx: ",
    ),
}


@pytest.mark.parametrize(("given", "target", "message"), STOPPED.values(), ids=STOPPED)
def test_policy_to_stop_does_not_let_the_cpu_judge(given: Bundle, target: Target, message: str) -> None:
    with pytest.raises(InferenceError) as caught:
        selection.open_model(given, msgspec.structs.replace(target, fallback=Fallback.STOP))

    assert caught.value.exit_code == 8
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith(
        "; the policy of this target is fallback: stop, so the CPU does not judge in its place"
    )


def screener(tpu: EdgeTpu, backend: str, fallback: Fallback = Fallback.CPU) -> Screener:
    """Return a screener that runs a model on the double of the Edge TPU."""
    admitting = bundle("coral-usb", edgetpu__tflite=tiny.model())
    loaded = selection.open_model(admitting, tpu.target(fallback), backend=backend)
    return Screener(admitting, loaded.interpreter, selected=loaded.selection)


def test_edge_tpu_that_is_there_computes(backend: str, tpu: EdgeTpu) -> None:
    screening = screener(tpu, backend).screen(tiny.frame())

    half = backends.load(tiny.model(), backend=backend).outputs["logit"].quantization
    assert half is not None
    assert screening.logit == pytest.approx([half.scale * (edgetpus.ANSWER - half.zero_point)])
    assert screening.fallback is False


def test_unplug_in_the_middle_marks_every_result_that_the_cpu_gives(backend: str, tpu: EdgeTpu) -> None:
    tpu.plug_in(answers=3)  # one of them at the opening
    mixed = screener(tpu, backend)

    screenings = [mixed.screen(tiny.frame()) for _ in range(4)]

    on_cpu = Screener(mixed.bundle, backends.load(tiny.model(), backend=backend)).screen(tiny.frame())
    assert [screening.fallback for screening in screenings] == [False, False, True, True]
    assert [screening.logit for screening in screenings[2:]] == [on_cpu.logit] * 2
    found = mixed.selection
    assert (found.target, found.member, found.fallback) == ("coral-usb", "model/int8.tflite", True)
    assert found.reasons[0].startswith(f"{EDGETPU}: the accelerator stopped answering ({backend}: inference failed: ")


def test_unplug_in_the_middle_stops_where_the_policy_says_so(backend: str, tpu: EdgeTpu) -> None:
    tpu.plug_in(answers=2)
    strict = screener(tpu, backend, Fallback.STOP)
    strict.screen(tiny.frame())

    with pytest.raises(InferenceError, match=r"; plug it in again; nothing is judged until it answers$") as caught:
        strict.screen(tiny.frame())

    assert caught.value.exit_code == 8


def test_edge_tpu_that_returns_computes_again(backend: str, tpu: EdgeTpu) -> None:
    now, jobs = [0.0], []
    delegated = functools.partial(backends.load, tiny.model(), backend=backend, delegate=tpu.delegate)
    failover = Failover(
        delegated,
        standby=backends.load(tiny.model(), backend=backend),
        clock=lambda: now[0],
        start=jobs.append,
    )
    plane = {"plane": np.zeros((1, tiny.SIDE, tiny.SIDE, 1), np.int8)}
    tpu.pull_out()
    lost = failover.invoke(plane)["embedding"]
    for moment, returned in ((1.0, False), (3.0, True)):
        if returned:
            tpu.plug_in()
        now[0] = moment
        failover.invoke(plane)
        jobs.pop()()

    back = failover.invoke(plane)["embedding"]

    assert not (lost == edgetpus.ANSWER).all()
    assert (back == edgetpus.ANSWER).all()
    assert failover.reason is None


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


@pytest.fixture
def onnx_model() -> bytes:
    pytest.importorskip("onnx")
    return tiny_onnx.model()


@pytest.fixture
def onnx_here() -> None:
    if "onnxruntime" not in backends.available():
        pytest.skip("onnxruntime is not installed in this environment")


@pytest.mark.usefixtures("onnx_here")
def test_model_for_tensorrt_runs_on_onnxruntime_and_says_that_tensorrt_is_absent(onnx_model: bytes) -> None:
    if "TensorrtExecutionProvider" in onnxruntime.providers():
        pytest.skip("this machine has TensorRT")

    loaded = selection.open_model(bundle("jetson-nano", float16__onnx=onnx_model), targets.load("jetson-nano"))

    found = loaded.selection
    assert (found.member, loaded.interpreter.backend) == ("model/float16.onnx", "onnxruntime")
    assert found.reasons == ("model/float16.onnx: onnxruntime finds no tensorrt here",)
    assert found.fallback is True


@pytest.mark.usefixtures("onnx_here")
def test_model_for_tensorrt_that_cannot_be_loaded_falls_back_with_the_reason() -> None:
    damaged = bundle("jetson-nano", float16__onnx=b"no model")

    loaded = selection.open_model(damaged, targets.load("jetson-nano"))

    (reason,) = loaded.selection.reasons
    assert loaded.selection.member == "model/int8.tflite"
    assert reason.startswith("model/float16.onnx: onnxruntime: expected an ONNX model it can run: ")


def test_absent_onnxruntime_falls_back_with_what_is_needed() -> None:
    program = (
        "import importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'onnxruntime' else find(name, *rest)\n"
        "from edgemed import targets\n"
        "from edgemed.runtime import selection\n"
        "from tests.runtime import tiny\n"
        "extra = {'model/float16.onnx': b'onnx'}\n"
        "bundle = tiny.bundle(tiny.model(), extra=extra, targets=('jetson-nano',))\n"
        "found = selection.open_model(bundle, targets.load('jetson-nano')).selection\n"
        "print(found.member, *found.reasons, sep='\\n')\n"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == (
        "model/int8.tflite\nmodel/float16.onnx: no inference back end can be loaded: onnxruntime needs "
        f"{onnxruntime.REQUIRES}\n"
    )


def test_back_end_that_does_not_run_the_int8_model_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        selection.open_model(bundle(), backend="onnxruntime")

    assert str(caught.value) == ("backend: expected litert or tflite-runtime for model/int8.tflite, got 'onnxruntime'")
