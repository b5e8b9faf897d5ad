"""The networks that figures were published of, against what their papers and Keras count."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytest.importorskip("published", reason="needs the checkout's benchmarks")

from edgemed import targets, tflite
from edgemed.benchmark import figures, roofline
from published import machines, networks
from published.plan import Plan, Plane
from tests.converters.compat.graphs import Graph

# Multiply-adds and parameters, in millions, as published: the papers' tables, TensorFlow's and PyTorch's model pages
# (detection: FLOPs over two), scaled to the size of the picture where that is another.
COUNTED = {
    "mobilenet_v1_224": (569, 4.2),
    "mobilenet_v2_224": (300, 3.5),
    "inception_v1_224": (1500, 6.6),
    "inception_v4_299": (12_270, 42.7),
    "resnet18 256x256": (1814 * (256 / 224) ** 2, 11.7),
    "resnet50 256x256": (4089 * (256 / 224) ** 2, 25.6),
    "ssd_mobilenet_v1_coco": (1240, 6.8),
    "ssd_mobilenet_v2_300": (780, 6.1),
    "yolox_s_leaky": (26_800 / 2, 9.0),
    "yolov8n_640": (8_700 / 2, 3.2),
}


@pytest.mark.parametrize("name", COUNTED)
def test_network_has_the_work_that_is_published_of_it(name: str) -> None:
    load = networks.load(name)
    multiply_adds, parameters = COUNTED[name]

    assert load.multiply_adds / 1e6 == pytest.approx(multiply_adds, rel=0.03)
    assert sum(one.weights for one in load.work) / 1e6 == pytest.approx(parameters, rel=0.03)


def test_every_network_is_held_against_a_published_count() -> None:
    assert {networks.same(name) for name in networks.names()} == {networks.same(name) for name in COUNTED}


def test_series_is_found_by_its_multiply_adds() -> None:
    name = networks.five_convolutions(1_000_562_688)

    assert name == "five convolutions of 82"
    assert networks.load(name).multiply_adds == 1_000_562_688


def test_number_of_no_series_is_said() -> None:
    with pytest.raises(ValueError, match=r"^expected the multiply-adds of five convolutions, got 7$"):
        networks.five_convolutions(7)


def test_plan_counts_as_a_file_of_the_same_network_does() -> None:
    graph, plan = Graph(), Plan()
    plane = graph.input((1, 9, 9, 3))
    kernel = graph.weights((4, 3, 3, 3))
    wide = graph.op("CONV_2D", (plane, kernel, graph.bias(4)), (1, 5, 5, 4))
    deep = graph.op("DEPTHWISE_CONV_2D", (wide, graph.weights((1, 3, 3, 4), axis=3), graph.bias(4)), (1, 5, 5, 4))
    out = graph.op("ADD", (deep, wide), (1, 5, 5, 4))
    x = plan.conv(Plane(9, 9, 3), 4, kernel=3, stride=2)
    plan.add(plan.depthwise(x), x)

    assert tuple(plan.work) == tflite.work(tflite.read(graph.finish(out), source="model"))


def test_planes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^expected two planes of one shape, got "):
        Plan().add(Plane(4, 4, 2), Plane(4, 4, 3))
    with pytest.raises(ValueError, match=r"^expected planes of one height and width, got "):
        Plan().join(Plane(4, 4, 2), Plane(5, 4, 2))


def test_machines_of_the_package_are_what_its_parameters_make() -> None:
    known = figures.load()
    values = {(one.of, one.name): one.value for one in known.parameters}
    assert list(values) == [(one.of, one.name) for one in machines.STARTS]
    for setup in known.setups:
        assert machines.machine(setup.id, values) == setup.machine


def test_predictions_of_the_package_are_what_its_machines_give() -> None:
    known = figures.load()
    setups = {setup.id: setup.machine for setup in known.setups}
    for one in known.figures:
        found = roofline.parts(networks.load(one.network), setups[one.setup]).total_ms
        assert found == pytest.approx(one.predicted_ms, abs=1e-3)
        assert networks.load(one.network).multiply_adds == one.multiply_adds


def test_on_chip_memory_is_that_of_the_target() -> None:
    for setup in figures.load().setups:
        if setup.target is not None:
            assert setup.machine.sram_mib == targets.load(setup.target).memory.sram_mib


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["MobileNet", "MobileNetV2"])
def test_network_has_the_work_that_keras_lays_out(name: str) -> None:
    pytest.importorskip("tensorflow", reason="needs the train extra")
    import keras

    model = getattr(keras.applications, name)(weights=None, classes=1001)
    ours = networks.load({"MobileNet": "mobilenet_v1_224", "MobileNetV2": "mobilenet_v2_224"}[name])

    assert ours.multiply_adds == _multiply_adds(model)


def _multiply_adds(model: Any) -> int:
    import keras

    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            total += math.prod(layer.output.shape[1:]) * math.prod(layer.kernel_size)
        elif isinstance(layer, keras.layers.Conv2D):
            total += math.prod(layer.output.shape[1:]) * math.prod(layer.kernel_size) * layer.input.shape[-1]
        elif isinstance(layer, keras.layers.Dense):
            total += math.prod(layer.kernel.shape)
    return total
