"""``edgemed devices``: the list, one device, and an id that does not exist."""

from __future__ import annotations

import json

import pytest

from edgemed import targets
from edgemed.cli import main


def test_list_names_every_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "list"]) == 0
    shown = capsys.readouterr()
    assert [name for name in targets.available() if name not in shown.out] == []
    assert shown.err == ""


def test_list_as_json_is_one_document_with_every_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["schema_version", "devices"]
    assert [device["id"] for device in document["devices"]] == list(targets.available())


def test_show_as_json_has_the_keys_of_the_file_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "show", "coral-usb", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["schema_version", "device", "runs", "fallback"]
    assert list(document["device"]) == list(targets.Target.__struct_fields__)
    assert document["device"]["memory"] == {"ram_mib": None, "sram_mib": 8}


def test_show_gives_one_dotted_line_per_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "show", "coral-usb"]) == 0
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert lines["arch"] == "x86-64, aarch64"
    assert lines["memory.ram_mib"] == "-"
    assert lines["budget_us_cine_30.total_p99_ms"] == "33.3"


INT8 = {"member": "model/int8.tflite", "on": "cpu", "precision": "int8", "backends": ["litert", "tflite-runtime"]}
RUNS = {
    "raspberry-pi-5": ([INT8], None),
    "coral-usb": (
        [{**INT8, "member": "model/edgetpu.tflite", "on": "edgetpu"}, INT8],
        "where edgetpu cannot be used, the CPU computes, and every result says so with the reason",
    ),
    "jetson-orin-nano": (
        [{**INT8, "member": "model/qdq.onnx", "on": "tensorrt", "backends": ["onnxruntime"]}, INT8],
        "where tensorrt cannot be used, the CPU computes, and every result says so with the reason",
    ),
    "jetson-nano": (
        [
            {"member": "model/float16.onnx", "on": "tensorrt", "precision": "float16", "backends": ["onnxruntime"]},
            INT8,
        ],
        "where tensorrt cannot be used, the CPU computes, and every result says so with the reason",
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_show_as_json_says_what_the_device_runs_and_what_without_its_accelerator(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["devices", "show", name, "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert (document["runs"], document["fallback"]) == RUNS[name]


def test_show_says_what_the_device_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "show", "jetson-nano"]) == 0

    assert [line.split(None, 1) for line in capsys.readouterr().out.splitlines()][-3:] == [
        ["runs", "model/float16.onnx, float16 on tensorrt, back end onnxruntime"],
        ["else", "model/int8.tflite, int8 on cpu, back end litert or tflite-runtime"],
        ["fallback", "where tensorrt cannot be used, the CPU computes, and every result says so with the reason"],
    ]


def test_show_of_a_device_of_the_cpu_speaks_of_no_fallback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "show", "raspberry-pi-5"]) == 0

    assert capsys.readouterr().out.splitlines()[-1].split(None, 1) == [
        "runs",
        "model/int8.tflite, int8 on cpu, back end litert or tflite-runtime",
    ]


def test_unknown_id_exits_2_and_suggests(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "show", "coral-ubs"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        f"edgemed: target: expected one of {', '.join(targets.available())}, got 'coral-ubs'; "
        "did you mean 'coral-usb'?\n"
    )


def test_missing_id_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "show"]) == 2
    assert "Missing argument 'ID'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["list"], ["show"]], ids=["list", "show"])
def test_help_names_the_json_option(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", *words, "--help"]) == 0
    assert "--json" in capsys.readouterr().out
