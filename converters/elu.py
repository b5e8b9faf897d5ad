"""ELU in int8: TFLite's kernels compute it, its converter leaves it in float.

The converter is given EXP in its place, an operator of the same form that it does quantize, and the operator is named
ELU in the file it makes. Ranges come from the twin, so that it is of no account what EXP would have answered.

    raw = elu.through(twin, convert)

Source: tensorflow/lite/kernels/activations.cc, EluPrepare (a table of 256 entries for int8); the quantizable operators
of tensorflow/compiler/mlir/lite/ir/tfl_ops.td.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import layers

__all__ = ["through"]


def through(twin: keras.Model, convert: Callable[[keras.Model], bytes]) -> bytes:
    """Return what ``convert`` makes of a twin, with ELU in int8.

    Args:
        twin: result of `converters.qat.quantization_aware`, which has no EXP of its own.
        convert: gives the TFLite file of a model.
    """
    if not any(_is_elu(layer) for layer in twin.layers):
        return convert(twin)
    stand_in = keras.models.clone_model(twin, clone_function=_replaced)
    stand_in.set_weights(twin.get_weights())
    return _renamed(convert(stand_in))


def _is_elu(layer: layers.Layer) -> bool:
    return isinstance(layer, layers.Activation) and layer.activation is keras.activations.elu


def _replaced(layer: layers.Layer) -> layers.Layer:
    if _is_elu(layer):
        return layers.Activation("exponential", name=layer.name)
    return type(layer).from_config(layer.get_config())


def _renamed(raw: bytes) -> bytes:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as tables

    model = tables.ModelT.InitFromPackedBuf(bytearray(raw), 0)
    exponential = [
        index
        for index, code in enumerate(model.operatorCodes)
        if max(code.builtinCode, code.deprecatedBuiltinCode) == tables.BuiltinOperator.EXP
    ]
    for index in exponential:
        code = model.operatorCodes[index]
        code.builtinCode = code.deprecatedBuiltinCode = tables.BuiltinOperator.ELU
        code.version = 1
    for graph in model.subgraphs:
        for operator in graph.operators:
            if operator.opcodeIndex in exponential:
                operator.builtinOptions, operator.builtinOptionsType = None, tables.BuiltinOptions.NONE
    builder = flatbuffers.Builder(len(raw))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
