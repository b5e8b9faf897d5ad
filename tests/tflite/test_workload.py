from __future__ import annotations

import pytest

from edgemed import tflite
from edgemed.tflite import Work
from tests.converters.compat.graphs import Graph
from tests.tflite.changed import TINY


def _work(graph: Graph, out: int) -> Work:
    return tflite.work(tflite.read(graph.finish(out), source="model"))[-1]


def test_convolution_counts_its_kernel_its_ends_and_its_bias() -> None:
    graph = Graph()
    found = _work(graph, graph.conv(graph.input((1, 8, 8, 4)), 6))

    assert (found.operator, found.depth, found.channels) == ("CONV_2D", 4, 6)
    assert found.multiply_adds == found.places * found.taps * 4 * 6
    assert found.weights == found.taps * 4 * 6 + 6
    assert (found.read, found.written) == (8 * 8 * 4, found.places * 6)


def test_depthwise_kernel_sums_up_over_one_channel() -> None:
    graph = Graph()
    plane = graph.input((1, 8, 8, 4))
    kernel = graph.weights((1, 3, 3, 4), axis=3)
    out = graph.op("DEPTHWISE_CONV_2D", (plane, kernel, graph.bias(4)), (1, 8, 8, 4))

    found = _work(graph, out)

    assert (found.places, found.taps, found.depth, found.channels) == (64, 9, 1, 4)
    assert found.multiply_adds == 64 * 9 * 4


def test_operator_without_kernel_moves_values_and_multiplies_none() -> None:
    graph = Graph()
    left, right = graph.input((1, 4, 4, 2)), graph.input((1, 4, 4, 2))
    found = _work(graph, graph.op("ADD", (left, right), (1, 4, 4, 2)))

    assert (found.multiply_adds, found.read, found.written, found.weights) == (0, 64, 32, 0)


def test_an_input_read_twice_by_one_operator_counts_once() -> None:
    graph = Graph()
    plane = graph.input((1, 4, 4, 2))

    assert _work(graph, graph.op("MUL", (plane, plane), (1, 4, 4, 2))).read == 32


def test_every_operator_of_a_real_file_is_counted_in_order() -> None:
    model = tflite.read(TINY, source="tiny")
    found = tflite.work(model)

    assert [one.operator for one in found] == [operator.name for operator in model.operators]
    assert all(one.written > 0 for one in found)


@pytest.mark.parametrize("kernel", [(6, 4), (6, 3, 3, 4)], ids=["dense", "convolution"])
def test_computed_kernel_is_none(kernel: tuple[int, ...]) -> None:
    graph = Graph()
    plane, weights = graph.input((1, 8, 8, 4)), graph.input(kernel)
    name = "CONV_2D" if len(kernel) == 4 else "FULLY_CONNECTED"

    assert _work(graph, graph.op(name, (plane, weights), (1, 8, 8, 6))).multiply_adds == 0
