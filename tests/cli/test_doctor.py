"""``edgemed doctor``: what it finds here, and what it says when a library is missing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgemed import shipped, targets
from edgemed.cli import doctor, main
from edgemed.runtime import backends
from tests.runtime import edgetpus
from tests.runtime.edgetpus import runtime_is_here

ROOT = Path(__file__).resolve().parents[2]
PROJECT = (ROOT / "pyproject.toml").read_text("utf-8")


def declared(block: str) -> list[str]:
    """Return the distributions of one list in pyproject.toml, without versions and markers."""
    found = re.search(rf"^{block} = \[(.*?)\]$", PROJECT, re.DOTALL | re.MULTILINE)
    assert found is not None
    return [re.split(r"[<>=;\[ ]", item)[0] for item in re.findall(r'"([^"]+)"', found.group(1))]


def examined(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any], dict[str, dict[str, Any]]]:
    code = main(["doctor", "--json"])
    document = json.loads(capsys.readouterr().out)
    return code, document, {check["name"]: check for check in document["checks"]}


def test_every_core_dependency_is_examined() -> None:
    assert list(doctor.CORE) == declared("dependencies")


@pytest.mark.parametrize("extra", doctor.EXTRAS)
def test_examined_extras_are_declared(extra: str) -> None:
    assert re.search(rf"^{extra} = \[", PROJECT, re.MULTILINE)


def test_shipped_bundles_are_those_examined() -> None:
    assert shipped.names() == doctor.SHIPPED


def test_healthy_machine_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    code, document, checks = examined(capsys)
    assert [check for check in checks.values() if check["needed"] and not check["works"]] == []
    assert (code, document["works"]) == (0, True)


def test_json_is_one_document_with_target_and_checks(capsys: pytest.CaptureFixture[str]) -> None:
    _, document, _ = examined(capsys)
    assert list(document) == ["schema_version", "works", "target", "checks"]
    assert document["target"] == targets.generic_id()
    assert {tuple(check) for check in document["checks"]} == {("part", "name", "works", "needed", "detail")}


def test_library_that_works_shows_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    import numpy

    _, _, checks = examined(capsys)
    assert checks["numpy"] == {
        "part": "library",
        "name": "numpy",
        "works": True,
        "needed": True,
        "detail": numpy.__version__,
    }


def test_back_end_that_is_absent_says_what_it_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, checks = examined(capsys)
    available = backends.available()
    for name in backends.BACKENDS:
        assert checks[name]["works"] == (name in available)
        assert checks[name]["detail"].startswith("installed" if name in available else "needs the package ")


@pytest.mark.skipif(sys.platform != "linux", reason="finds a library as Linux does")
def test_edge_tpu_is_tried_with_its_library(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in edgetpus.built(tmp_path).install(tmp_path).items():
        monkeypatch.setenv(name, value)

    _, _, checks = examined(capsys)

    backend = next(name for name in backends.TFLITE if name in backends.available())
    assert checks["coral-usb"] == {
        "part": "accelerator",
        "name": "coral-usb",
        "works": True,
        "needed": False,
        "detail": f"libedgetpu.so.1 opens the Edge TPU on usb, with {backend}",
    }


@pytest.mark.skipif(runtime_is_here("libedgetpu.so.1"), reason="this machine has the Edge TPU runtime")
def test_edge_tpu_without_its_library_is_absent_and_not_needed(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, checks = examined(capsys)

    check = checks["coral-usb"]
    assert (check["works"], check["needed"]) == (False, False)
    assert check["detail"].startswith("libedgetpu.so.1 is not installed; install the Edge TPU runtime")


def test_missing_core_library_exits_1_and_names_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jpeg_ls", None)
    code, document, checks = examined(capsys)
    assert (code, document["works"]) == (1, False)
    assert checks["pyjpegls"]["works"] is False
    assert checks["pyjpegls"]["detail"].endswith("; pip install --force-reinstall pyjpegls")


def test_missing_optional_library_is_no_fault(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    _, _, checks = examined(capsys)
    assert checks["ssh"] == {
        "part": "extra",
        "name": "ssh",
        "works": False,
        "needed": False,
        "detail": "lacks asyncssh; pip install 'edgemed[ssh]'",
    }


def test_library_that_every_part_needs_is_reported_without_a_trace() -> None:
    # In a process of its own: here OpenCV is loaded already.
    code = "import sys; sys.modules['cv2'] = None; from edgemed.cli import main; sys.exit(main(['doctor', '--json']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
    failed = [c["name"] for c in json.loads(done.stdout)["checks"] if c["needed"] and not c["works"]]
    assert (done.returncode, done.stderr) == (1, "")
    assert failed == ["opencv-python-headless", *doctor.SHIPPED]


def test_table_marks_what_failed_and_the_last_line_sums_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openjpeg", None)
    assert main(["doctor"]) == 1
    shown = capsys.readouterr()
    (line,) = [line for line in shown.out.splitlines() if "pylibjpeg-openjpeg" in line and "library" in line]
    assert "FAILED" in line
    assert shown.err == "this machine cannot screen: see the lines marked FAILED\n"
