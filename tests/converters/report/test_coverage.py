from __future__ import annotations

import dataclasses
import zipfile
from types import MappingProxyType

import msgspec
import numpy as np
import pytest

from converters.report import coverage
from converters.report.coverage import Suspicion, Trouble
from edgemed import shipped, tflite
from edgemed.bundle.manifest import MODEL
from edgemed.tflite import Model, Operator, Tensor


def tensor(
    name: str,
    dtype: str = "int8",
    *,
    scales: tuple[float, ...] = (0.5,),
    shape: tuple[int, ...] = (1, 4, 4, 2),
    stored: np.ndarray | None = None,
) -> tuple[Tensor, bytes]:
    raw = b"" if stored is None else stored.tobytes()
    scales = () if dtype == "float32" else scales
    made = Tensor(
        index=0,
        name=name,
        shape=shape if stored is None else stored.shape,
        allocated_shape=shape if stored is None else stored.shape,
        dtype=dtype,
        scales=scales,
        zero_points=(0,) * len(scales),
        axis=0,
        is_constant=stored is not None,
        is_variable=False,
        buffer=0,
        data_start=0,
        size_bytes=len(raw),
    )
    return made, raw


def model(tensors: list[tuple[Tensor, bytes]], steps: list[tuple[str, tuple[str, ...], str]]) -> Model:
    """Return a graph of named tensors; their bytes lie one behind the other."""
    placed, data = [], b""
    for index, (made, raw) in enumerate(tensors):
        buffer = index + 1 if raw else 0
        placed.append(dataclasses.replace(made, index=index, buffer=buffer, data_start=len(data)))
        data += raw
    places = {made.name: made.index for made in placed}
    operators = tuple(
        Operator(
            index=index,
            name=name,
            custom_name=None,
            version=1,
            inputs=tuple(places[one] for one in inputs),
            outputs=(places[output],),
            options=MappingProxyType({}),
        )
        for index, (name, inputs, output) in enumerate(steps)
    )
    ends = MappingProxyType({placed[0].name: placed[0]}), MappingProxyType({placed[-1].name: placed[-1]})
    return Model(operators=operators, tensors=tuple(placed), inputs=ends[0], outputs=ends[1], raw=data)


def kernel(*shape: int) -> np.ndarray:
    return np.arange(1, 1 + int(np.prod(shape)), dtype=np.int8).reshape(shape)


def test_full_int8_file() -> None:
    found = coverage.of(
        model(
            [
                tensor("plane"),
                tensor("k", stored=kernel(2, 3, 3, 2), scales=(0.1, 0.2)),
                tensor("b", "int32", stored=np.zeros(2, np.int32), scales=(0.05, 0.1)),
                tensor("w", stored=kernel(2, 32), scales=(0.1,)),
                tensor("c"),
                tensor("c2", scales=(0.25,)),
                tensor("out", shape=(1, 2)),
            ],
            [
                ("CONV_2D", ("plane", "k", "b"), "c"),
                ("QUANTIZE", ("c",), "c2"),
                ("FULLY_CONNECTED", ("c2", "w"), "out"),
            ],
        )
    )
    assert found.operators == {"CONV_2D": 1, "FULLY_CONNECTED": 1, "QUANTIZE": 1}
    assert (found.integer_operators, found.all_operators, found.integer_share) == (3, 3, 1.0)
    assert found.float_tensors == ()
    assert found.is_full_integer
    assert found.tensor_types == {"int32": 1, "int8": 6}
    assert found.parameter_bytes == {"int32": 8, "int8": 36 + 64}
    assert (found.kernels_per_channel, found.kernels_per_tensor, found.kernels_unquantized) == (1, 1, 0)
    assert (found.requantized, found.quantized, found.dequantized) == (1, 0, 0)
    assert found.suspicions == ()
    assert found.steps[0] == coverage.OperatorLine(
        index=0, operator="CONV_2D", inputs=(0, 1, 2), outputs=(4,), is_integer=True
    )
    assert found.tensors[1] == coverage.TensorLine(
        index=1,
        name="k",
        dtype="int8",
        shape=(2, 3, 3, 2),
        is_constant=True,
        size_bytes=36,
        scales=2,
        scale_low=0.1,
        scale_high=0.2,
        zero_low=0,
        zero_high=0,
    )


def test_float_that_is_left_is_named() -> None:
    found = coverage.of(
        model(
            [
                tensor("plane", "float32"),
                tensor("coded"),
                tensor("k", "float32", stored=np.ones((2, 3, 3, 2), np.float32)),
                tensor("wide", "float32"),
                tensor("middle", "float32"),
                tensor("out"),
            ],
            [
                ("QUANTIZE", ("plane",), "coded"),
                ("DEQUANTIZE", ("coded",), "wide"),
                ("CONV_2D", ("wide", "k"), "middle"),
                ("QUANTIZE", ("middle",), "out"),
                ("RELU", ("out",), "out"),
            ],
        )
    )
    assert found.float_tensors == ("plane", "k", "wide", "middle")
    assert not found.is_full_integer
    assert (found.integer_operators, found.all_operators) == (1, 5)
    assert found.integer_share == 0.2
    assert (found.requantized, found.quantized, found.dequantized) == (0, 2, 1)
    assert found.kernels_unquantized == 1
    assert [step.is_integer for step in found.steps] == [False, False, False, False, True]


SUSPECT: dict[str, tuple[list[tuple[Tensor, bytes]], list[tuple[str, tuple[str, ...], str]], Suspicion]] = {
    "zero scale of an activation": (
        [tensor("plane"), tensor("out", scales=(0.0,))],
        [("RELU", ("plane",), "out")],
        Suspicion(tensor="out", trouble=Trouble.ZERO_SCALE, detail="1 of 1 scales are not above 0, the first at 0"),
    ),
    "zero scale of a channel": (
        [tensor("plane"), tensor("k", stored=kernel(3, 1, 1, 2), scales=(0.1, 0.0, 0.1)), tensor("out")],
        [("CONV_2D", ("plane", "k"), "out")],
        Suspicion(tensor="k", trouble=Trouble.ZERO_SCALE, detail="1 of 3 scales are not above 0, the first at 1"),
    ),
    "range never seen": (
        [tensor("plane"), tensor("out", scales=(4e-9,))],
        [("RELU", ("plane",), "out")],
        Suspicion(
            tensor="out",
            trouble=Trouble.DEAD_RANGE,
            detail="scale 4.0e-09: its range was never seen to hold anything but 0",
        ),
    ),
    "all-zero channel of a convolution": (
        [
            tensor("plane"),
            tensor("k", stored=kernel(3, 1, 1, 2) * np.int8([1, 0, 0]).reshape(3, 1, 1, 1), scales=(0.1, 0.1, 0.1)),
            tensor("out"),
        ],
        [("CONV_2D", ("plane", "k"), "out")],
        Suspicion(tensor="k", trouble=Trouble.ZERO_CHANNELS, detail="2 of 3, the first at 1"),
    ),
    "all-zero channel of a depthwise convolution": (
        [
            tensor("plane"),
            tensor("k", stored=kernel(1, 3, 3, 2) * np.int8([0, 1]), scales=(0.1, 0.1)),
            tensor("out"),
        ],
        [("DEPTHWISE_CONV_2D", ("plane", "k"), "out")],
        Suspicion(tensor="k", trouble=Trouble.ZERO_CHANNELS, detail="1 of 2, the first at 0"),
    ),
    "one channel far wider than the others": (
        [tensor("plane"), tensor("k", stored=kernel(3, 1, 1, 2), scales=(0.1, 100.0, 0.1)), tensor("out")],
        [("CONV_2D", ("plane", "k"), "out")],
        Suspicion(
            tensor="k", trouble=Trouble.UNEVEN_CHANNELS, detail="the scale of channel 1 is 1000 times the median"
        ),
    ),
    "one operand lost in the step of a sum": (
        [tensor("plane"), tensor("x", scales=(0.001,)), tensor("out", scales=(300.0,))],
        [("TANH", ("plane",), "x"), ("ADD", ("plane", "x"), "out")],
        Suspicion(tensor="out", trouble=Trouble.COARSE, detail="scale 300, the largest beside it 0.5"),
    ),
}


@pytest.mark.parametrize("name", SUSPECT)
def test_what_looks_wrong_is_named(name: str) -> None:
    tensors, steps, expected = SUSPECT[name]
    assert coverage.of(model(tensors, steps)).suspicions == (expected,)


def test_factors_may_be_of_any_scale() -> None:
    found = coverage.of(
        model([tensor("plane", scales=(1.0,)), tensor("x", scales=(1e-5,))], [("MUL", ("plane", "plane"), "x")])
    )
    assert found.suspicions == ()


def test_data_that_tensors_share_counts_once() -> None:
    one = model(
        [
            tensor("plane"),
            tensor("k", stored=kernel(2, 1, 1, 2)),
            tensor("same", stored=kernel(2, 1, 1, 2)),
            tensor("out"),
        ],
        [("CONV_2D", ("plane", "k"), "out"), ("CONV_2D", ("out", "same"), "out")],
    )
    shared = dataclasses.replace(
        one, tensors=tuple(dataclasses.replace(t, buffer=min(t.buffer, 2)) for t in one.tensors)
    )
    assert coverage.of(one).parameter_bytes == {"int8": 8}
    assert coverage.of(shared).parameter_bytes == {"int8": 4}


def test_result_survives_json() -> None:
    found = coverage.of(model([tensor("plane"), tensor("out")], [("RELU", ("plane",), "out")]))
    assert msgspec.json.decode(msgspec.json.encode(found), type=coverage.Coverage) == found


@pytest.mark.parametrize("name", shipped.names())
def test_shipped_model_is_full_int8(name: str) -> None:
    with zipfile.ZipFile(shipped.bundle_path(name)) as archive:
        raw = archive.read(MODEL)
    found = coverage.of(tflite.read(raw, source=name))
    assert found.float_tensors == ()
    assert found.integer_operators == found.all_operators > 20
    assert found.kernels_unquantized == 0
    assert sum(found.parameter_bytes.values()) < len(raw)


COUNTED: dict[str, tuple[str, tuple[int, ...], tuple[int, ...], tuple[int, ...], int]] = {
    # Input, kernel, output; by hand: places of the output times what one of its values sums up.
    "convolution": ("CONV_2D", (1, 8, 8, 4), (6, 3, 3, 4), (1, 4, 4, 6), 4 * 4 * 6 * (3 * 3 * 4)),
    "grouped convolution": ("CONV_2D", (1, 8, 8, 4), (6, 3, 3, 2), (1, 4, 4, 6), 4 * 4 * 6 * (3 * 3 * 2)),
    "depthwise": ("DEPTHWISE_CONV_2D", (1, 8, 8, 4), (1, 3, 3, 4), (1, 8, 8, 4), 8 * 8 * 4 * (3 * 3)),
    "dense": ("FULLY_CONNECTED", (1, 32), (10, 32), (1, 10), 10 * 32),
    "transposed": ("TRANSPOSE_CONV", (1, 8, 8, 4), (6, 3, 3, 4), (1, 16, 16, 6), 8 * 8 * 4 * (3 * 3 * 6)),
}


@pytest.mark.parametrize("name", COUNTED)
def test_multiply_adds(name: str) -> None:
    step, read, weights, written, expected = COUNTED[name]
    ends = [tensor("plane", shape=read), tensor("k", stored=np.ones(weights, np.int8)), tensor("out", shape=written)]
    inputs: tuple[str, ...] = ("plane", "k")
    if step == "TRANSPOSE_CONV":
        ends.insert(2, tensor("size", "int32", stored=np.array(written, np.int32), scales=()))
        inputs = ("size", "k", "plane")
    assert coverage.of(model(ends, [(step, inputs, "out")])).multiply_adds == expected
