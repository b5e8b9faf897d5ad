from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from edgemed import files, targets
from edgemed.benchmark import figures, predict, roofline
from edgemed.errors import ConversionError, TargetMismatchError
from edgemed.targets import Target
from tests.converters.compat.graphs import Graph

DATA = Path(__file__).parents[1] / "data"
CORAL, PI, XAVIER = (targets.load(name) for name in ("coral-usb", "raspberry-pi-5", "jetson-xavier-nx"))


def small() -> bytes:
    graph = Graph()
    return graph.finish(graph.conv(graph.conv(graph.input((1, 8, 8, 4)), 8), 4))


def predicted(raw: bytes, target: Target = CORAL) -> predict.Prediction:
    return predict.predict(raw, source="small.tflite", target=target)


def test_every_setup_of_the_target_has_a_range_around_what_is_expected() -> None:
    found = predicted(small())

    assert [one.setup for one in found.estimates] == [setup.summary for setup in figures.load().predicting("coral-usb")]
    for one in found.estimates:
        assert one.low_ms < one.expected_ms < one.high_ms
        assert one.expected_ms == pytest.approx(one.parts.total_ms)


def _left_out_ms(found: predict.Prediction, target: str) -> list[float]:
    (setup,) = figures.load().predicting(target)
    machines = (setup.machine, *setup.left_out)
    return [roofline.parts(found.load, machine).total_ms for machine in machines]


def test_range_reaches_as_far_beyond_every_fit_as_the_worst_network_left_out() -> None:
    worst = max(
        abs(math.log((one.left_out_ms or one.published_ms) / one.published_ms))
        for one in figures.load().of_target("raspberry-pi-5")
    )
    found = predicted(small(), PI)
    (one,) = found.estimates
    said = _left_out_ms(found, "raspberry-pi-5")

    assert one.high_ms / max(said) == pytest.approx(math.exp(worst))
    assert min(said) / one.low_ms == pytest.approx(math.exp(worst))


def test_range_is_never_narrower_than_a_quarter() -> None:
    found = predicted(small(), targets.load("jetson-nano"))
    (one,) = found.estimates
    said = _left_out_ms(found, "jetson-nano")

    assert one.high_ms / max(said) == pytest.approx(1.25)
    assert min(said) / one.low_ms == pytest.approx(1.25)


def test_only_inputs_and_outputs_of_the_graph_travel() -> None:
    found = predicted(small())

    assert found.load.ends == 8 * 8 * 4 + 8 * 8 * 4
    bus = figures.load().predicting("coral-usb")[0].machine.bus_mb_s or 0.0
    assert found.estimates[0].parts.transfer_ms == pytest.approx(found.load.ends / (bus * 1e3))


def test_network_unlike_those_it_was_fitted_to_is_said() -> None:
    said = " ".join(predicted(small()).notes)

    assert "0 million multiply-adds lie outside the 301 to 12254 million of the networks it was fitted to" in said


def test_weights_that_do_not_fit_are_said() -> None:
    graph = Graph()
    dense = graph.op(
        "FULLY_CONNECTED", (graph.input((1, 4096)), graph.weights((2048, 4096)), graph.bias(2048)), (1, 2048)
    )
    notes = predicted(graph.finish(dense)).notes

    assert notes[-1] == "8.0 MiB of weights do not fit on the chip and are sent with every picture"


def test_document_is_no_measurement_and_carries_its_basis() -> None:
    raw = small()
    found = predict.document(predicted(raw))

    assert (found["kind"], found["measured"], found["stage"]) == ("prediction", False, "infer")
    assert found["model"] == {"name": "small.tflite", "digest": files.sha256(raw)}
    assert "stages" not in found  # what a measurement has
    networks = [one["network"] for one in found["basis"]["figures"]]
    assert networks == [one.network for one in figures.load().of_target("coral-usb")]
    assert found["basis"]["median_error"] <= 0.25


def _float() -> bytes:
    return (DATA / "tiny_float32.tflite").read_bytes()


def _compiled() -> bytes:
    graph = Graph()
    return graph.finish(graph.op("CUSTOM", (graph.input((1, 4)),), (1, 4), custom="edgetpu-custom-op"))


def _partly() -> bytes:
    graph = Graph()
    wide = graph.conv(graph.input((1, 8, 8, 4)), 8)
    return graph.finish(graph.op("ELU", (wide,), (1, 8, 8, 8)))


REFUSED = {
    "float": (
        _float,
        r"small\.tflite: \d+ of \d+ tensors are float, expected a full int8 file; make one with 'edgemed convert'",
    ),
    "compiled": (
        _compiled,
        r"small\.tflite: is compiled for the Edge TPU, which hides its operators; name the int8 file it was made from",
    ),
    "partly on the CPU": (
        _partly,
        r"small\.tflite: 1 of 2 operators run on the host's CPU, the first is 1 \(ELU\); only a graph that coral-usb "
        r"runs whole is predicted: see 'edgemed compat small\.tflite --target coral-usb'",
    ),
    "no model": (
        lambda: b"PK\x03\x04 archive",
        r"small\.tflite: expected a TFLite file \(identifier 'TFL3' at byte 4\), got 12 other bytes",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_model_that_cannot_be_predicted_is_refused(name: str) -> None:
    make, message = REFUSED[name]

    with pytest.raises(ConversionError) as caught:
        predicted(make())

    assert re.fullmatch(message, str(caught.value))


def test_target_without_published_latency_is_refused() -> None:
    with pytest.raises(TargetMismatchError) as caught:
        predicted(small(), XAVIER)

    assert str(caught.value) == (
        "jetson-xavier-nx: nothing is predicted for it: only its throughput in batches is published, and that is no "
        "latency of one picture; measure it on the unit with 'edgemed benchmark --device jetson-xavier-nx --to "
        "ADDRESS', or predict for one of coral-dev-board, coral-usb, jetson-nano, jetson-orin-nano, raspberry-pi-4, "
        "raspberry-pi-5"
    )


def test_float16_target_is_predicted_from_the_int8_file_of_the_network() -> None:
    nano = targets.load("jetson-nano")
    (setup,) = figures.load().predicting("jetson-nano")
    found = predicted(small(), nano)

    assert setup.machine.bytes_per_value == 2
    assert found.estimates[0].parts == roofline.parts(found.load, setup.machine)
