"""The tiny model of the tests, and the same with something changed in the schema's object tree."""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).parents[1] / "data"
TINY = (DATA / "tiny_int8.tflite").read_bytes()


def changed(change, *, raw: bytes = TINY) -> bytes:
    """Return the tiny model after ``change`` was made to the schema's object tree."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as tables

    model = tables.ModelT.InitFromObj(tables.Model.GetRootAs(bytearray(raw), 0))
    change(model)
    builder = flatbuffers.Builder(len(raw))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def rename_opcode(model, code: int) -> None:
    model.operatorCodes[0].builtinCode = code
    model.operatorCodes[0].deprecatedBuiltinCode = min(code, 127)
