"""A TFLite file cut into its layers: every chosen tensor is given from outside to those that read it.

What the graph computes for the tensor is still computed and is an output, so that each layer can be fed with values
of one's own and asked what it makes of them.

    cut = cutting.at(raw, [25, 26])
    cut.inputs[25]  # the tensor to set in place of tensor 25
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["Cut", "at"]


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A cut file.

    Attributes:
        raw: the TFLite file; its own inputs come first, it has no signature.
        inputs: by the place of a tensor that was cut, the place of the one that stands for it to its readers.
    """

    raw: bytes
    inputs: Mapping[int, int]


def at(raw: bytes, tensors: Iterable[int]) -> Cut:
    """Return a file cut at computed tensors.

    Args:
        raw: a TFLite file that `edgemed.tflite.read` takes.
        tensors: places of computed tensors; the places stay as they are.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as tables

    model = tables.ModelT.InitFromPackedBuf(raw, 0)
    graph = model.subgraphs[0]
    inputs: dict[int, int] = {}
    for index in dict.fromkeys(tensors):
        stand_in = copy.copy(graph.tensors[index])
        stand_in.buffer = 0  # by the schema: no data
        inputs[index] = len(graph.tensors)
        graph.tensors.append(stand_in)
    for operator in graph.operators:
        operator.inputs = [inputs.get(int(index), int(index)) for index in operator.inputs]
    graph.inputs = [*map(int, graph.inputs), *inputs.values()]
    graph.outputs = list(dict.fromkeys([*map(int, graph.outputs), *inputs]))
    model.signatureDefs = None  # its outputs are others now
    builder = flatbuffers.Builder(len(raw))
    builder.Finish(model.Pack(builder), b"TFL3")
    return Cut(raw=bytes(builder.Output()), inputs=MappingProxyType(inputs))
