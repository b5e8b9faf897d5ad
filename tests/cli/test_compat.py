"""``edgemed compat``: the table, the document, the exit codes, and files that are none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgemed.cli import main
from tests.converters.compat.operators import TINY
from tests.converters.compat.test_edgetpu import float_ends, undecided_model

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(TINY)
    return path


@pytest.fixture
def float_io(tmp_path: Path) -> Path:
    path = tmp_path / "float_io.tflite"
    path.write_bytes(float_ends())
    return path


def test_json_is_one_document_with_the_keys_of_the_contract(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compat", str(tiny), "--target", "coral-usb", "--json"]) == 0
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert list(document) == [
        "schema_version",
        "model",
        "target",
        "quantized",
        "operators",
        "segments",
        "parameters",
        "fully_mapped",
    ]
    assert list(document["operators"][0]) == ["index", "op", "verdict", "reason", "remedy"]
    assert document["operators"][0] == {
        "index": 0,
        "op": "MUL",
        "verdict": "mapped",
        "reason": "Mapped to Edge TPU",
        "remedy": None,
    }
    assert (document["schema_version"], document["model"], document["target"]) == (1, "tiny.tflite", "coral-usb")
    assert (document["segments"], document["fully_mapped"], document["quantized"]) == (1, True, True)
    assert list(document["parameters"]) == ["on_chip_bytes", "off_chip_bytes"]
    assert shown.err == ""


def test_table_puts_operators_alike_together(float_io: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compat", str(float_io), "--target", "coral-usb"]) == 0
    shown = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in shown.splitlines() if line[:1] == "│"]
    assert rows == [
        [
            "0",
            "QUANTIZE",
            "cpu",
            "Operation is otherwise supported, but not mapped due to some unspecified limitation",
            "export with int8 inputs and quantize before the model",
        ],
        ["1", "CONV_2D", "mapped", "Mapped to Edge TPU", "-"],
        [
            "2",
            "DEQUANTIZE",
            "cpu",
            "Operation is working on an unsupported data type",
            "export with int8 outputs and dequantize after the model",
        ],
    ]
    assert shown.splitlines()[-7:] == [
        "model         float_io.tflite",
        "target        coral-usb",
        "quantized     yes",
        "operators     1 mapped, 2 cpu, 0 maybe",
        "segments      1",
        "parameters    2816 bytes on chip, 0 bytes off chip",
        "fully mapped  no",
    ]


def test_require_full_passes_a_fully_mapped_model(tiny: Path) -> None:
    assert main(["compat", str(tiny), "--target", "coral-dev-board", "--require-full"]) == 0


@pytest.mark.parametrize("words", [[], ["--json"]], ids=["table", "json"])
def test_require_full_exits_4_after_the_verdicts(
    words: list[str], float_io: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compat", str(float_io), "--target", "coral-usb", "--require-full", *words]) == 4
    shown = capsys.readouterr()
    assert "DEQUANTIZE" in shown.out
    assert shown.err == (
        "edgemed: float_io.tflite: not every operator is mapped on coral-usb; --require-full asks for it\n"
    )


def test_require_full_does_not_take_maybe_for_yes(tmp_path: Path) -> None:
    path = tmp_path / "undecided.tflite"
    path.write_bytes(undecided_model())
    assert main(["compat", str(path), "--target", "coral-usb"]) == 0
    assert main(["compat", str(path), "--target", "coral-usb", "--require-full"]) == 4


def test_cpu_target_says_what_xnnpack_takes(float_io: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compat", str(float_io), "--target", "raspberry-pi-4", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {one["reason"] for one in document["operators"]} == {"taken by the XNNPACK delegate"}


def test_notes_go_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.converters.compat.test_edgetpu_rules import REFUSED

    path = tmp_path / "gelu.tflite"
    path.write_bytes(REFUSED["operator-of-a-newer-schema"][0])
    assert main(["compat", str(path), "--target", "coral-usb", "--json"]) == 0
    assert capsys.readouterr().err == (
        "the compiler makes no file: operator 0 (GELU): Op builtin_code out of range. "
        "Are you using old TFLite binary with newer model?\n"
    )


def test_tflite_file_for_tensorrt_exits_4_and_explains(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compat", str(tiny), "--target", "jetson-orin-nano"]) == 4
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "edgemed: tiny.tflite: TensorRT on jetson-orin-nano runs no TFLite file, it runs an ONNX of the same model: "
        "QDQ for int8, float16 where it has no int8; convert with --target jetson-orin-nano and check its "
        "model/*.onnx\n"
    )


def test_damaged_file_exits_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "noise.tflite"
    path.write_bytes(b"\x00" * 100)
    assert main(["compat", str(path), "--target", "coral-usb", "--json"]) == 4
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "edgemed: noise.tflite: expected a TFLite file (identifier 'TFL3' at byte 4), got 100 other bytes\n"
    )


def test_missing_file_exits_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "absent.tflite"
    assert main(["compat", str(path), "--target", "coral-usb"]) == 2
    assert capsys.readouterr().err == (
        f"edgemed: {path}: cannot be read: No such file or directory; check the path and its permissions\n"
    )


def test_unknown_target_exits_2(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compat", str(tiny), "--target", "coral-ubs"]) == 2
    assert "did you mean 'coral-usb'?" in capsys.readouterr().err


def test_no_tensorflow_is_needed(tiny: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'onnx', 'onnxruntime', 'cv2', 'matplotlib'): sys.modules[name] = None\n"
        "from edgemed.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    words = ["compat", str(tiny), "--target", "coral-usb", "--json"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *words], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["fully_mapped"] is True
