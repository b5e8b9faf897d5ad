"""``edgemed screen --target``: which model ran is in the result, and why it was not the accelerator's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgemed import targets
from edgemed.bundle import keys
from edgemed.cli import main
from edgemed.runtime import backends
from tests.bundle.tiny import KEY
from tests.runtime import edgetpus, tiny
from tests.runtime.edgetpus import runtime_is_here

ROOT = Path(__file__).resolve().parents[2]
Ran = Callable[..., tuple[int, str, str]]
HERE = targets.architecture()
OTHER = {"x86-64": "generic-aarch64", "aarch64": "generic-x86-64"}[HERE]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ran:
    """Return a function that screens one picture with a bundle of two models, for a target."""
    monkeypatch.chdir(tmp_path)
    Path("my.pub").write_bytes(keys.encode_public(KEY.public))
    Path("scan.png").write_bytes(tiny.png(tiny.picture()))
    raw = tiny.raw_bundle(
        tiny.model(),
        extra={"model/edgetpu.tflite": b"compiled"},
        targets=("generic-x86-64", "generic-aarch64", "coral-usb"),
    )
    Path("tiny.edgemed").write_bytes(raw)

    def ran(*words: str) -> tuple[int, str, str]:
        code = main(["screen", "scan.png", "--bundle", "tiny.edgemed", "--trust", "my.pub", *words])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return ran


@pytest.mark.skipif(runtime_is_here("libedgetpu.so.1"), reason="this machine has the Edge TPU runtime")
def test_fallback_is_in_the_result_and_on_stderr(run: Ran) -> None:
    why = "model/edgetpu.tflite: libedgetpu.so.1 is not installed; install the Edge TPU runtime"

    code, out, err = run("--target", "coral-usb", "--json")

    absent = "tiny: the bundle has no out-of-distribution limit: unlike images are not refused\n"
    assert code == 0
    assert json.loads(out)["runtime"] == {
        "backend": backends.available()[0],
        "target": "coral-usb",
        "threads": 1,
        "fallback": True,
        "member": "model/int8.tflite",
        "reason": why,
    }
    assert err == f"{absent}coral-usb: runs model/int8.tflite on the CPU: {why}\n"


def test_target_of_another_architecture_is_run_and_remarked(run: Ran) -> None:
    code, out, err = run("--target", OTHER, "--json")

    there = targets.load(OTHER).arch[0]
    runtime = json.loads(out)["runtime"]
    assert (code, runtime["target"], runtime["fallback"], runtime["reason"]) == (0, OTHER, False, None)
    assert err.splitlines()[-1] == (
        f"this machine is {HERE}, {OTHER} is {there}: answers and times are not the device's"
    )


def test_target_that_no_model_admits_exits_4(run: Ran) -> None:
    assert run("--target", "jetson-orin-nano") == (
        4,
        "",
        "edgemed: tiny 1.2.3: expected a target among generic-x86-64, generic-aarch64, coral-usb, "
        "got 'jetson-orin-nano'\n",
    )


def test_target_that_does_not_exist_exits_2(run: Ran) -> None:
    code, out, err = run("--target", "coral-ubs")

    assert (code, out) == (2, "")
    assert err.endswith("got 'coral-ubs'; did you mean 'coral-usb'?\n")


@pytest.mark.skipif(sys.platform != "linux", reason="finds a library as Linux does")
def test_unplug_between_two_files_is_marked_where_it_happened(tmp_path: Path) -> None:
    tpu = edgetpus.built(tmp_path)
    tpu.plug_in(answers=2)  # one of them at the opening
    models = {"model/edgetpu.tflite": tiny.model()}
    raw = tiny.raw_bundle(tiny.model(), extra=models, targets=("generic-x86-64", "generic-aarch64", "coral-usb"))
    (tmp_path / "tiny.edgemed").write_bytes(raw)
    (tmp_path / "my.pub").write_bytes(keys.encode_public(KEY.public))
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(tiny.png(tiny.picture()))
    words = ["screen", "a.png", "b.png", "--bundle", "tiny.edgemed", "--trust", "my.pub", "--target", "coral-usb"]

    done = subprocess.run(
        [sys.executable, "-m", "edgemed", *words, "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **tpu.install(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    document = json.loads(done.stdout)
    assert done.returncode == 0
    assert [entry["fallback"] for entry in document["results"]] == [False, True]
    assert (document["runtime"]["fallback"], document["runtime"]["member"]) == (True, "model/int8.tflite")
    assert document["runtime"]["reason"].startswith("model/edgetpu.tflite: the accelerator stopped answering (")
    assert document["runtime"]["reason"].endswith("; plug it in again (1 of 2 frames were computed on the CPU)")
    assert done.stderr.splitlines()[-1].startswith(
        "coral-usb: runs model/int8.tflite on the CPU: model/edgetpu.tflite: "
    )
