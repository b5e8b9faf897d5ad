"""What the check for TensorRT says of a model, in the words its tests compare."""

from __future__ import annotations

import pytest

from converters import compat
from converters.compat import Report, Verdict
from edgemed import targets
from edgemed.errors import ConversionError
from tests.converters.compat import onnx_graphs
from tests.converters.compat.onnx_graphs import Graph

SYMMETRIC = "train or calibrate with symmetric ranges: edgemed convert --target jetson-orin-nano"


def checked(raw: bytes, *, target: str = "jetson-orin-nano") -> Report:
    return compat.check(raw, source="model.onnx", target=targets.load(target))


def good() -> bytes:
    graph = Graph()
    return graph.finish(onnx_graphs.convolution(graph))


def refused(raw: bytes, *, target: str = "jetson-orin-nano") -> list[tuple[str, str, str, str | None]]:
    """Return kind, verdict, reason and remedy of every operator that is not mapped."""
    return [
        (one.op, one.verdict.value, one.reason, one.remedy)
        for one in checked(raw, target=target).operators
        if one.verdict is not Verdict.MAPPED
    ]


def refusal(raw: bytes) -> str:
    with pytest.raises(ConversionError) as caught:
        checked(raw)
    return str(caught.value)
