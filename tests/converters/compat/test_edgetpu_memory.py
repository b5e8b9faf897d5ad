"""Bytes on and off chip against sizes that the compiler printed, in the last digit it printed."""

from __future__ import annotations

import pytest

from converters import compat
from converters.compat import edgetpu_memory
from converters.compat.nodes import nodes
from edgemed import tflite
from tests.converters.compat.graphs import Graph
from tests.converters.compat.operators import (
    MAP,
    check,
)

# Filters of five 3x3 convolutions over 64 x 64 x 3, and MiB on chip: CONV_MACs/results/minF32-maxF750-stepF10.csv.
CONVOLUTIONS = {32: 0.074951171875, 42: 0.101318359375, 72: 0.32568359375, 122: 0.55419921875, 252: 2.23, 442: 6.86}
# Units of five dense layers between 6912 inputs and 10 outputs: FC_MACs/results/minN2-maxN1622-stepN20L5.csv.
DENSE = {2: 0.423095703125, 62: 0.44140625, 82: 0.889892578125, 122: 0.911865234375, 402: 3.67, 762: 7.35}
MIB = 1 << 20


def stacked_convolutions(filters: int) -> bytes:
    graph = Graph()
    x = graph.input((1, 64, 64, 3))
    for _ in range(5):
        x = graph.conv(x, filters)
    return graph.finish(x)


def stacked_dense(units: int) -> bytes:
    graph = Graph()
    x = graph.input((1, 6912))
    for width in (*[units] * 5, 10):
        depth = graph.shape(x)[1]
        inputs = [x, graph.weights((width, depth), per_channel=False), graph.bias(width, per_channel=False)]
        x = graph.op("FULLY_CONNECTED", inputs, (1, width), version=4)
    return graph.finish(x)


def total_mib(raw: bytes) -> float:
    return (
        sum(edgetpu_memory.layer_bytes(node) for node in nodes(tflite.read(raw, source="model"), source="model")) / MIB
    )


@pytest.mark.parametrize("filters", CONVOLUTIONS)
def test_weights_of_convolutions_take_what_the_compiler_printed(filters: int) -> None:
    assert total_mib(stacked_convolutions(filters)) == pytest.approx(CONVOLUTIONS[filters], abs=0.0051)
    if filters < 200:
        assert total_mib(stacked_convolutions(filters)) == CONVOLUTIONS[filters]


@pytest.mark.parametrize("units", DENSE)
def test_weights_of_dense_layers_take_what_the_compiler_printed(units: int) -> None:
    assert total_mib(stacked_dense(units)) == pytest.approx(DENSE[units], abs=0.0051)
    if units < 200:
        assert total_mib(stacked_dense(units)) == DENSE[units]


def test_layers_that_do_not_fit_are_streamed_whole() -> None:
    # 472 filters: 6.26 MiB on chip and 2.08 off it in the same table.
    parameters = check(stacked_convolutions(472)).parameters
    assert parameters.on_chip_bytes / MIB == pytest.approx(6.26, abs=0.0051)
    assert parameters.off_chip_bytes / MIB == pytest.approx(2.08, abs=0.0051)


def test_nearness_to_the_limit_is_said() -> None:
    report = check(stacked_convolutions(442))
    assert report.notes == (
        "its weights take 7194880 of 8388608 bytes on chip, which they share with instructions and activations: "
        "the compiler may stream more or less of them than said here",
    )


def test_stranded_weights_take_no_memory() -> None:
    graph = Graph()
    y = graph.op("ABS", [graph.conv(graph.input(MAP), 4)], MAP)
    before = check(graph.finish(y)).parameters
    assert check(graph.finish(graph.conv(y, 512))).parameters == before
    assert before == compat.Parameters(on_chip_bytes=9 * 4 * 64 + 8 * 64, off_chip_bytes=0)
