"""The document of a report, and which file goes to which judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters import compat
from edgemed import targets
from edgemed.errors import ConversionError, TargetMismatchError

TINY = (Path(__file__).parents[2] / "data" / "tiny_int8.tflite").read_bytes()


def verdict(index: int, **changed: object) -> compat.OperatorVerdict:
    values = {"op": "CONV_2D", "verdict": compat.Verdict.MAPPED, "reason": "Mapped to Edge TPU", **changed}
    return compat.OperatorVerdict(index=index, **values)


def report(*operators: compat.OperatorVerdict) -> compat.Report:
    return compat.Report(
        model="m.tflite",
        target="coral-usb",
        quantized=True,
        operators=operators,
        segments=1,
        parameters=compat.Parameters(on_chip_bytes=5, off_chip_bytes=None),
        notes=("said besides",),
    )


def test_document_has_the_keys_of_the_contract_in_order() -> None:
    cpu = verdict(1, op="ELU", verdict=compat.Verdict.CPU, reason="Operation not supported", remedy="use ReLU")
    tree = compat.document(report(verdict(0), cpu))
    assert tree == {
        "model": "m.tflite",
        "target": "coral-usb",
        "quantized": True,
        "operators": [
            {"index": 0, "op": "CONV_2D", "verdict": "mapped", "reason": "Mapped to Edge TPU", "remedy": None},
            {"index": 1, "op": "ELU", "verdict": "cpu", "reason": "Operation not supported", "remedy": "use ReLU"},
        ],
        "segments": 1,
        "parameters": {"on_chip_bytes": 5, "off_chip_bytes": None},
        "fully_mapped": False,
    }
    assert list(tree) == ["model", "target", "quantized", "operators", "segments", "parameters", "fully_mapped"]


@pytest.mark.parametrize("other", [compat.Verdict.CPU, compat.Verdict.MAYBE])
def test_one_operator_that_is_not_certain_is_not_fully_mapped(other: compat.Verdict) -> None:
    assert report(verdict(0)).fully_mapped
    assert not report(verdict(0), verdict(1, verdict=other)).fully_mapped


def test_verdicts_alike_are_put_together_in_order_of_appearance() -> None:
    found = compat.grouped(report(verdict(0), verdict(1, op="ADD"), verdict(2), verdict(3)))
    assert [(group.op, group.indices) for group in found] == [("CONV_2D", (0, 2, 3)), ("ADD", (1,))]


RANGES = {"none": ((), ""), "one": ((4,), "4"), "run": ((4, 5, 6), "4-6"), "mixed": ((0, 2, 3, 9), "0, 2-3, 9")}


@pytest.mark.parametrize("name", RANGES)
def test_runs_of_numbers_are_shortened(name: str) -> None:
    indices, text = RANGES[name]
    assert compat.ranges(indices) == text


def test_tflite_file_is_explained_for_tensorrt() -> None:
    with pytest.raises(TargetMismatchError) as caught:
        compat.check(TINY, source="int8.tflite", target=targets.load("jetson-orin-nano"))
    assert str(caught.value) == (
        "int8.tflite: TensorRT on jetson-orin-nano runs no TFLite file, it runs an ONNX of the same model: QDQ for "
        "int8, float16 where it has no int8; convert with --target jetson-orin-nano and check its model/*.onnx"
    )


@pytest.mark.parametrize("target", ["coral-usb", "generic-x86-64"])
def test_onnx_file_is_explained_for_tflite_targets(target: str) -> None:
    with pytest.raises(TargetMismatchError) as caught:
        compat.check(b"\x08\x08", source="qdq.onnx", target=targets.load(target))
    assert str(caught.value) == (
        f"qdq.onnx: {target} runs TFLite files, no ONNX; check the model/int8.tflite of the same artifact"
    )


@pytest.mark.parametrize("target", ["coral-usb", "coral-dev-board", "raspberry-pi-5"])
def test_file_of_another_format_is_refused(target: str) -> None:
    with pytest.raises(ConversionError) as caught:
        compat.check(b"PK\x03\x04 a zip", source="bundle.zip", target=targets.load(target))
    assert str(caught.value) == ("bundle.zip: expected a TFLite file (identifier 'TFL3' at byte 4), got 10 other bytes")


@pytest.mark.parametrize("target", ["coral-usb", "generic-aarch64"])
def test_file_of_an_old_schema_is_refused(target: str) -> None:
    # Version 1 and 2 of the schema had the identifiers TFL1 and TFL2.
    with pytest.raises(ConversionError) as caught:
        compat.check(TINY[:4] + b"TFL2" + TINY[8:], source="old.tflite", target=targets.load(target))
    assert str(caught.value) == (
        f"old.tflite: expected a TFLite file (identifier 'TFL3' at byte 4), got {len(TINY)} other bytes"
    )


@pytest.mark.parametrize("target", ["coral-usb", "generic-aarch64"])
def test_file_cut_short_is_refused(target: str) -> None:
    with pytest.raises(ConversionError, match=r"^cut\.tflite: expected a whole TFLite file, got a damaged one: "):
        compat.check(TINY[:40], source="cut.tflite", target=targets.load(target))
