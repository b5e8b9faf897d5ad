"""The health check as it is: processes that answer, and processes that crash, hang, are killed or talk nonsense."""

from __future__ import annotations

import base64
import io
import sys
import time
from pathlib import Path

import msgspec
import pytest

from edgemed import schema, targets
from edgemed.device import health, install, probe, provision
from edgemed.device.store import Store
from edgemed.errors import DeviceError, InstallError
from edgemed.runtime import backends
from edgemed.targets import Target
from tests.device import made
from tests.runtime import tiny

TARGET = targets.load(made.TARGET)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return provision.init(tmp_path_factory.mktemp("d") / "store", target=made.TARGET, trust=made.TRUST).store


def bundle(folder: Path, *, wrong: bool = False, **tolerance: object) -> Path:
    """Write a bundle around the tiny int8 model, with its golden vectors as they are, or wrong."""
    interpreter = backends.load(tiny.model())
    here = {
        "backend": interpreter.backend,
        "kernels": interpreter.kernels.value,
        "architecture": targets.architecture(),
    }
    members = tiny.golden_members(tiny.model(), interpreter, **{**here, **tolerance})
    if wrong:
        (vector,) = msgspec.json.decode(members["golden/vectors.json"])
        logit = base64.b64decode(vector["outputs"]["logit"])
        vector["outputs"]["logit"] = base64.b64encode(bytes([logit[0] ^ 64])).decode()
        members["golden/vectors.json"] = schema.encode_json([vector])
    path = folder / "a.edgemed"
    path.write_bytes(tiny.raw_bundle(tiny.model(), extra=members))
    return path


def found(store: Store, path: Path) -> health.Health:
    return probe.probe(store, path.read_bytes(), path, targets.load(store.target))


def test_healthy_bundle_is_asked_in_a_process_of_its_own(store: Store, tmp_path: Path) -> None:
    report = health.check(store, bundle(tmp_path), target=TARGET)

    assert (report.golden, report.vectors, report.logit_lsb, report.allowed_logit_lsb) == ("within", 1, 0, 0)
    assert (report.member, report.backend) == ("model/int8.tflite", backends.available()[0])
    assert [stage.stage for stage in report.stages] == ["preprocess", "infer", "decide", "total"]
    assert probe.CLEAR_SAMPLES <= report.n <= probe.SAMPLES
    assert (report.budget, report.architecture) == ("xray-still", targets.architecture())
    assert all(0 < stage.p50_ms <= stage.worst_ms for stage in report.stages)


def test_wrong_golden_vectors_are_a_failure_and_the_store_stays_as_it_was(store: Store, tmp_path: Path) -> None:
    path = bundle(tmp_path, wrong=True)

    with pytest.raises(InstallError) as caught:
        install.install(store, path)

    said = str(caught.value)
    assert said.startswith(
        f"tiny 1.2.3: model/int8.tflite on {backends.available()[0]}, {targets.architecture()}: 1 of 1 golden vectors "
        "outside the tolerance; golden/00.png: logit 64 LSB, plane 0 gray levels, score "
    )
    assert said.endswith(" away, allowed 0 LSB, 0 gray levels, 0; rolled back, no bundle is active")
    assert store.current() is None


def test_platform_without_a_tolerance_is_said(store: Store, tmp_path: Path) -> None:
    report = found(store, bundle(tmp_path, architecture="riscv64"))

    assert (report.golden, report.allowed_logit_lsb) == ("unmeasured", None)
    backend, kernels = backends.available()[0], "xnnpack"
    assert report.warnings == (
        f"model/int8.tflite: the bundle states no tolerance for {backend}, {kernels}, {targets.architecture()}: "
        "its golden vectors were replayed and differ by at most 0 LSB",
    )


def test_bundle_without_golden_vectors_fails(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.edgemed"
    path.write_bytes(tiny.raw_bundle(tiny.model()))

    with pytest.raises(InstallError) as caught:
        health.check(store, path, target=TARGET)
    assert str(caught.value) == (
        "golden/vectors.json: missing from the bundle; convert again to measure golden vectors"
    )


def test_stage_beyond_the_budget_is_named() -> None:
    target = targets.load("generic-x86-64")
    limits = probe._limits(target.budget(targets.Use.US_CINE_30))
    times = {"preprocess": [1.0] * 20, "infer": [10.0] * 18 + [20.0, 30.0], "decide": [0.1] * 19 + [9.0], "total": []}

    stages = probe._stages(times, limits)
    slow = [probe._slow(stage, 20, target, targets.Use.US_CINE_30) for stage in stages if stage.over >= probe._EXCESS]

    assert slow == [
        "infer: 2 of 20 samples above the 14 ms that generic-x86-64 allows for us-cine-30; median 10 ms, worst 30 ms"
    ]


def test_fast_unit_needs_fewer_samples() -> None:
    limits = {"infer": 10.0, "total": 20.0}

    assert probe._is_clear({"infer": [2.4] * 3, "total": [4.9] * 3}, limits)
    assert not probe._is_clear({"infer": [2.4] * 2, "total": [4.9] * 2}, limits)
    assert not probe._is_clear({"infer": [2.4] * 3, "total": [4.9] * 2 + [5.0]}, limits)


CHILDREN = {
    "crash": ("import sys; sys.exit('Traceback: out of luck')", "the health check exited 1: Traceback: out of luck"),
    "abort": ("import os; os.abort()", "the health check was ended by SIGABRT"),
    "kill": ("import os; os.kill(os.getpid(), 9)", "the health check was ended by SIGKILL"),
    "silence": ("", "health check: expected JSON, got bytes that are not: Input data was truncated"),
    "nonsense": (
        "print('ready')",
        "health check: expected JSON, got bytes that are not: JSON is malformed: invalid character (byte 0)",
    ),
    "half an answer": ("print('{}')", "health check: golden: required key is missing"),
    "error": ("import sys; sys.stderr.write('health: too old'); sys.exit(5)", "too old"),
}


@pytest.mark.parametrize("name", CHILDREN)
def test_child_that_gives_no_answer_is_a_failure(name: str, store: Store) -> None:
    code, message = CHILDREN[name]

    with pytest.raises(InstallError) as caught:
        health.check(store, Path("a.edgemed"), target=TARGET, command=(sys.executable, "-c", code))
    assert str(caught.value) == message


def test_check_that_cannot_be_started_is_a_failure(store: Store, tmp_path: Path) -> None:
    program = tmp_path / "none"

    with pytest.raises(DeviceError) as caught:
        health.check(store, Path("a.edgemed"), target=TARGET, command=(str(program),))
    assert str(caught.value) == (
        f"{program}: cannot be started: No such file or directory; look at the device's memory and processes"
    )


def test_child_that_hangs_is_ended_with_all_that_it_started(store: Store, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(60)"
    )

    start = time.monotonic()
    with pytest.raises(InstallError) as caught:
        health.check(store, Path("a.edgemed"), target=TARGET, limit_s=4.0, command=(sys.executable, "-c", code))

    assert str(caught.value) == "the health check gave no answer within 4 s"
    assert time.monotonic() - start < 30
    parent, child = map(int, pids.read_text().split())
    assert not Path(f"/proc/{parent}").exists()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and " Z " not in Path(f"/proc/{child}/stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_time_that_a_check_waits_for_a_core_is_not_its_own(store: Store, tmp_path: Path) -> None:
    answer = schema.encode_json(made.HEALTHY).decode()
    go = tmp_path / "go"
    code = f"import pathlib, time\nwhile not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)\nprint({answer!r})"
    asked: list[int] = []

    def waited(pid: int) -> float:
        asked.append(pid)
        go.touch()  # the core is free now
        return 30.0

    program = (sys.executable, "-c", code)
    found = health.check(store, Path("a"), target=TARGET, limit_s=0.1, starved=waited, command=program)
    assert (found, len(asked)) == (made.HEALTHY, 1)


SCHEDSTAT = {"busy": ("812 2500000000 7\n", 2.5), "uncounted": ("0 0 0\n", 0.0), "other": ("what\n", 0.0)}


@pytest.mark.parametrize("name", SCHEDSTAT)
def test_waiting_for_a_core_is_counted_by_the_kernel(name: str, tmp_path: Path) -> None:
    text, expected = SCHEDSTAT[name]
    (tmp_path / "17").mkdir()
    (tmp_path / "17" / "schedstat").write_text(text, "ascii")
    assert health.starved_s(17, proc=tmp_path) == expected
    assert health.starved_s(18, proc=tmp_path) == 0.0


def test_answer_may_follow_what_native_libraries_print(store: Store) -> None:
    answer = schema.encode_json(made.HEALTHY).decode()
    code = f"print('INFO: delegate'); print({answer!r})"

    assert health.check(store, Path("a"), target=TARGET, command=(sys.executable, "-c", code)) == made.HEALTHY


def test_engines_get_the_time_that_building_them_takes() -> None:
    targets_by_time: dict[str, Target] = {name: targets.load(name) for name in ("jetson-orin-nano", "raspberry-pi-5")}
    assert {name: health.timeout_s(target) for name, target in targets_by_time.items()} == {
        "jetson-orin-nano": 900.0,
        "raspberry-pi-5": 120.0,
    }


def test_program_names_what_is_wrong(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = health.Question(limit_s=10.0, path=f"{tmp_path}/none".encode(), target=TARGET)
    assert probe.main(str(store.path), stdin=io.BytesIO(schema.encode_json(asked))) == 7
    assert capsys.readouterr().err == (
        f"health: {tmp_path}/none: cannot be read: No such file or directory; check the path and its permissions\n"
    )
