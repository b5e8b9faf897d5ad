"""Options of operators: the names of the schema, enums by name, every kind."""

from __future__ import annotations

import pytest

from edgemed import tflite
from tests.tflite.changed import TINY, changed


def operator_named(name: str) -> tflite.Operator:
    return next(one for one in tflite.read(TINY, source="tiny").operators if one.name == name)


def test_options_have_the_names_of_the_schema_and_enums_by_name() -> None:
    assert dict(operator_named("DEPTHWISE_CONV_2D").options) == {
        "padding": "SAME",
        "stride_w": 2,
        "stride_h": 2,
        "depth_multiplier": 1,
        "fused_activation_function": "RELU",
        "dilation_w_factor": 1,
        "dilation_h_factor": 1,
    }


def test_flags_are_booleans() -> None:
    assert operator_named("MEAN").options == {"keep_dims": False}


def snake_case(name: str) -> str:
    """As the reader has to, but from the object tree's names (``strideW``), by hand."""
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name)


def union_members(union: str) -> list[str]:
    tables = pytest.importorskip("ai_edge_litert.schema_py_generated")
    return [name for name, code in vars(getattr(tables, union)).items() if isinstance(code, int) and code]


MEMBERS = [("builtinOptions", name) for name in union_members("BuiltinOptions")]
MEMBERS2 = [("builtinOptions2", name) for name in union_members("BuiltinOptions2")]


@pytest.mark.parametrize(("field", "name"), [*MEMBERS, *MEMBERS2], ids=lambda value: value)
def test_options_of_every_kind_have_the_fields_of_the_object_tree(field: str, name: str) -> None:
    from ai_edge_litert import schema_py_generated as tables

    union = field[0].upper() + field[1:]
    expected = getattr(tables, f"{name}T")()

    def change(model) -> None:
        operator = model.subgraphs[0].operators[0]
        operator.builtinOptions, operator.builtinOptionsType = None, 0
        setattr(operator, field, expected)
        setattr(operator, f"{field}Type", getattr(getattr(tables, union), name))

    options = tflite.read(changed(change), source="tiny").operators[0].options
    assert sorted(options) == sorted(map(snake_case, vars(expected)))


def test_options_with_vectors_and_texts_are_read() -> None:
    from ai_edge_litert import schema_py_generated as tables

    def change(model) -> None:
        first, second = model.subgraphs[0].operators[:2]
        first.builtinOptions, first.builtinOptionsType = tables.ReshapeOptionsT(newShape=[1, -1, 8]), 17
        second.builtinOptions, second.builtinOptionsType = tables.VarHandleOptionsT(sharedName="state"), 111

    first, second, *_ = tflite.read(changed(change), source="tiny").operators
    assert first.options == {"new_shape": (1, -1, 8)}
    assert second.options == {"container": None, "shared_name": "state"}


def test_enum_of_a_newer_schema_stays_a_number() -> None:
    def change(model) -> None:
        model.subgraphs[0].operators[2].builtinOptions.fusedActivationFunction = 77

    assert tflite.read(changed(change), source="tiny").operators[2].options["fused_activation_function"] == 77
