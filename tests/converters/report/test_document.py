from __future__ import annotations

import msgspec
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

from converters import report
from converters.mode import Mode
from edgemed import schema
from tests.converters import reported

pytestmark = pytest.mark.tensorflow


def test_closing_table() -> None:
    assert report.table_rows(reported.made()) == (
        ("model", "chest, 571,009 parameters, 12.3 M multiply-adds"),
        ("converted", "qat, for coral-usb, raspberry-pi-5"),
        ("size", "800 kB, float32 2200 kB (36%)"),
        ("operators", "6: 2 CONV_2D, 1 ADD, 1 MEAN, 1 MUL and 1 more"),
        ("int8 coverage", "6 of 6 operators, no float tensor; 1 suspicious tensor"),
        ("calibration", "train, 512 of 4594: 512 planes, sha256:abababababab; it moved 41 of 53 ranges"),
        ("training", "3 epochs over 4594 images, rate 1e-05"),
        ("AUC float", "0.9800 [0.9600, 0.9900]"),
        ("AUC qat", "0.9790 [0.9590, 0.9890]"),
        ("difference", "-0.0010 [-0.0030, +0.0010], non-inferior at 0.01: gate passed"),
        ("sensitivity", "0.940 [0.880, 0.980], 94 of 100; float 0.950 [0.880, 0.980], 95 of 100"),
        ("specificity", "0.900 [0.790, 0.960], 45 of 50; float 0.900 [0.790, 0.960], 45 of 50"),
        ("flipped", "3 of 150 decisions, McNemar p 1.0000"),
        ("back ends", "logit within 3 LSB, score within 0.0300 over 2 back ends"),
        ("worst layer", "thin (CONV_2D): signal to noise 21.4 dB of its own, 9.8 dB with all before it"),
        (
            "latency here",
            "p50 1.45, p90 1.80, p99 1.90 ms; float p50 5.80, p90 7.20, p99 7.60 ms; float takes 4.0 times as long, "
            "1 thread",
        ),
        ("work", "212 s, at most 1830 MiB of memory"),
    )


def test_rows_of_what_was_not_done_are_left_out() -> None:
    bare = msgspec.structs.replace(
        reported.made(),
        mode=Mode.FLOAT16,
        calibration=None,
        training=None,
        tolerance=None,
        fidelity=None,
        latency=None,
        coverage=msgspec.structs.replace(
            reported.covered(), float_tensors=("a", "b"), suspicions=(), integer_operators=1
        ),
    )
    rows = dict(report.table_rows(bare))
    assert rows["int8 coverage"] == "1 of 6 operators, 2 float tensors"
    assert not {"calibration", "training", "back ends", "worst layer", "latency here"} & rows.keys()


def test_document_is_canonical_and_read_back() -> None:
    made = reported.made()
    raw = schema.encode_json(made)
    assert schema.decode_json(raw, report.Report, source="conversion.json") == made
    assert msgspec.json.decode(raw)["schema"] == 1
    assert raw == schema.encode_json(reported.made())


def test_gate_that_failed_is_said() -> None:
    assert dict(report.table_rows(reported.made(passed=False)))["difference"].endswith(": gate failed")
