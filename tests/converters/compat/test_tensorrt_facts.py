from __future__ import annotations

import pytest

pytest.importorskip("onnx", reason="needs the jetson extra")

import onnx

from converters.compat import tensorrt_facts


def test_tables_of_facts_do_not_overlap() -> None:
    assert not tensorrt_facts.SUPPORTED & tensorrt_facts.REFUSED
    assert tensorrt_facts.SUPPORTED >= tensorrt_facts.LATER


def test_onnx_knows_every_operator_of_the_tables() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history()}
    own = {"ImageScaler", "ParametricSoftplus", "ScaledTanh", "Scatter"}  # of ONNX before 1.2, or removed since
    assert (tensorrt_facts.SUPPORTED | tensorrt_facts.REFUSED) - known - own == set()
