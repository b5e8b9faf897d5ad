from __future__ import annotations

from types import MappingProxyType
from typing import Any

from converters.report import pairing
from converters.report.pairing import By
from edgemed.tflite import Model, Operator, Tensor

SHAPE = (1, 4, 4, 8)
Step = tuple[str, str, tuple[str, ...]]


def graph(*steps: Step, ends: tuple[str, ...], **shapes: tuple[int, ...]) -> Model:
    """Return a graph written as (operator, result, inputs); ``CONV_2D+RELU`` has a merged activation.

    ``plane`` is the input; names that nothing makes are constants; ``ends`` are outputs under their own names.
    """
    names = list(dict.fromkeys(["plane", *(name for _, result, read in steps for name in (*read, result))]))
    made = {result for _, result, _ in steps}
    tensors = {
        name: Tensor(
            index=index,
            name=name,
            shape=shapes.get(name, SHAPE),
            allocated_shape=shapes.get(name, SHAPE),
            dtype="int8",
            scales=(0.5,),
            zero_points=(0,),
            axis=0,
            is_constant=name != "plane" and name not in made,
            is_variable=False,
            buffer=0,
            data_start=0,
            size_bytes=0,
        )
        for index, name in enumerate(names)
    }
    operators = tuple(operator(index, step, tensors) for index, step in enumerate(steps))
    return Model(
        operators=operators,
        tensors=tuple(tensors.values()),
        inputs=MappingProxyType({"plane": tensors["plane"]}),
        outputs=MappingProxyType({f"out{i}": tensors[name] for i, name in enumerate(ends)}),
        raw=b"",
    )


def operator(index: int, step: Step, tensors: dict[str, Tensor]) -> Operator:
    name, result, read = step
    kind, _, activation = name.partition("+")
    options: dict[str, Any] = {"fused_activation_function": activation or "NONE"}
    return Operator(
        index=index,
        name=kind,
        custom_name=None,
        version=1,
        inputs=tuple(tensors[one].index for one in read),
        outputs=(tensors[result].index,),
        options=options,
    )


def paired(float_model: Model, int8_model: Model) -> dict[str, tuple[str, By]]:
    return {pair.of_int8.name: (pair.of_float.name, pair.by) for pair in pairing.of(float_model, int8_model)}


def test_one_chain_is_paired_from_its_ends() -> None:
    steps = (("CONV_2D", "a", ("plane", "k")), ("SOFTMAX", "b", ("a",)))
    assert paired(graph(*steps, ends=("b",)), graph(*steps, ends=("b",))) == {
        "plane": ("plane", By.SIGNATURE),
        "a": ("a", By.GRAPH),
        "b": ("b", By.SIGNATURE),
    }


def test_requantized_values_stand_for_those_before() -> None:
    of_float = graph(("CONV_2D", "a", ("plane", "k")), ("ADD", "b", ("a", "plane")), ends=("b",))
    of_int8 = graph(
        ("QUANTIZE", "coded", ("plane",)),
        ("CONV_2D", "a8", ("coded", "k")),
        ("QUANTIZE", "wider", ("a8",)),
        ("ADD", "b8", ("wider", "coded")),
        ("DEQUANTIZE", "b", ("b8",)),
        ends=("b",),
    )
    assert paired(of_float, of_int8) == {
        "plane": ("plane", By.SIGNATURE),
        "a8": ("a", By.GRAPH),
        "b8": ("b", By.SIGNATURE),
    }


def test_sum_written_the_other_way_round_is_paired_by_names() -> None:
    left, right = ("CONV_2D", "m/left_1/conv", ("plane", "k")), ("CONV_2D", "m/right_1/conv", ("plane", "k"))
    of_float = graph(left, right, ("ADD", "s", ("m/left_1/conv", "m/right_1/conv")), ends=("s",))
    of_int8 = graph(right, left, ("ADD", "s", ("m/right_1/conv", "m/left_1/conv")), ends=("s",))
    found = paired(of_float, of_int8)
    assert found["m/left_1/conv"] == ("m/left_1/conv", By.GRAPH)
    assert found["m/right_1/conv"] == ("m/right_1/conv", By.GRAPH)


def test_equal_branches_are_told_apart_by_where_they_end() -> None:
    branches = (("CONV_2D", "x", ("plane", "k")), ("CONV_2D", "y", ("plane", "k")))
    of_float = graph(*branches, ("CONCATENATION", "s", ("x", "y")), ends=("s",))
    of_int8 = graph(*branches[::-1], ("CONCATENATION", "s", ("x", "y")), ends=("s",))
    assert {name: other for name, (other, _) in paired(of_float, of_int8).items()} == {
        "plane": "plane",
        "x": "x",
        "y": "y",
        "s": "s",
    }


def test_equal_branches_that_nothing_tells_apart_are_left_out() -> None:
    steps = (
        ("CONV_2D", "x", ("plane", "k")),
        ("CONV_2D", "y", ("plane", "k")),
        ("CONCATENATION", "xy", ("x", "y")),
        ("ABS", "z", ("xy",)),
    )
    # Another last step bars the way back from the end, and the first two steps are alike.
    of_float, of_int8 = graph(*steps, ends=("z",)), graph(*steps, ("NEG", "end", ("z",)), ends=("end",))
    assert set(paired(of_float, of_int8)) == {"plane", "end"}


def test_factor_folded_into_a_kernel_does_not_shift_the_pairs() -> None:
    # Behind: x -> CONV(c * W) against x -> MUL c -> CONV(W). The product must not be taken for x.
    of_float = graph(("TANH", "x", ("plane",)), ("CONV_2D", "y", ("x", "k")), ("CONV_2D", "z", ("y", "k")), ends=("z",))
    of_int8 = graph(
        ("TANH", "x", ("plane",)),
        ("MUL", "scaled", ("x", "c")),
        ("CONV_2D", "y", ("scaled", "k")),
        ("CONV_2D", "z", ("y", "k")),
        ends=("z",),
    )
    assert paired(of_float, of_int8) == {
        "plane": ("plane", By.SIGNATURE),
        "y": ("y", By.GRAPH),
        "z": ("z", By.SIGNATURE),
    }


def test_result_before_an_activation_is_not_one_behind_it() -> None:
    of_float = graph(
        ("CONV_2D+RELU", "m/r_1/Relu;m/c_1/conv", ("plane", "k")),
        ("MEAN", "z", ("m/r_1/Relu;m/c_1/conv",)),
        ends=("z",),
    )
    of_int8 = graph(
        ("CONV_2D", "m/c_1/conv", ("plane", "k")),
        ("RELU", "m/r_1/Relu", ("m/c_1/conv",)),
        ("MEAN", "z", ("m/r_1/Relu",)),
        ends=("z",),
    )
    assert paired(of_float, of_int8) == {
        "plane": ("plane", By.SIGNATURE),
        "m/r_1/Relu": ("m/r_1/Relu;m/c_1/conv", By.GRAPH),
        "z": ("z", By.SIGNATURE),
    }


def test_one_layer_in_several_steps_is_paired_at_its_result() -> None:
    of_float = graph(
        ("CONV_2D", "m/c_1/conv", ("plane", "k")),
        ("HARD_SWISH", "m/h_1/mul;m/h_1/Relu6", ("m/c_1/conv",)),
        ("MEAN", "z", ("m/h_1/mul;m/h_1/Relu6",)),
        ends=("z",),
    )
    of_int8 = graph(
        ("CONV_2D", "twin/c_1/conv", ("plane", "k")),
        ("ADD+RELU6", "twin/h_1/add", ("twin/c_1/conv", "three")),
        ("MUL", "twin/h_1/mul_1", ("twin/c_1/conv", "twin/h_1/add")),
        ("MEAN", "z", ("twin/h_1/mul_1",)),
        ends=("z",),
    )
    found = paired(of_float, of_int8)
    assert found["twin/c_1/conv"][0] == "m/c_1/conv"
    assert found["twin/h_1/mul_1"][0] == "m/h_1/mul;m/h_1/Relu6"
    assert "twin/h_1/add" not in found


def test_name_takes_over_where_the_graphs_part() -> None:
    of_float = graph(
        ("TANH", "lost", ("plane",)),
        ("CONV_2D", "m/b_1/conv1", ("lost", "k")),
        ("ABS", "z", ("m/b_1/conv1",)),
        ends=("z",),
    )
    of_int8 = graph(
        ("LOGISTIC", "found", ("plane",)),
        ("CONV_2D", "twin/b_1/conv", ("found", "k")),
        ("ABS", "z", ("twin/b_1/conv",)),
        ("NEG", "end", ("z",)),
        ends=("end",),
    )
    assert paired(of_float, of_int8)["twin/b_1/conv"] == ("m/b_1/conv1", By.NAME)


def test_shapes_must_agree() -> None:
    steps = (("CONV_2D", "a", ("plane", "k")),)
    assert set(paired(graph(*steps, ends=("a",)), graph(*steps, ends=("a",), a=(1, 2, 2, 8)))) == {"plane"}


def test_file_that_reads_what_it_writes_comes_to_an_end() -> None:
    looped = graph(("QUANTIZE", "a", ("b",)), ("QUANTIZE", "b", ("a",)), ends=("b",))
    assert set(paired(looped, looped)) <= {"plane", "a", "b"}


def test_scope_is_the_path_of_the_layer() -> None:
    tensor = graph(("RELU", "model/inner_1/c_1/Relu;model/inner_1/c_1/conv", ("plane",)), ends=("plane",)).tensors[1]
    assert pairing.scope(tensor) == "inner_1/c_1"
    assert pairing.scope(graph(ends=("plane",)).tensors[0]) is None
