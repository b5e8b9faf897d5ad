"""The one place that turns JSON and YAML into msgspec structs, and words what is wrong with them.

Rules: unknown keys are errors; every message has the source, the dotted path, what was got and what was expected,
and the nearest known key where one is near. Nothing is repaired.

    target = schema.decode_yaml(raw, Target, source="coral-usb.yaml")
    manifest = schema.decode_json(raw, Manifest, source="manifest.json", error=BundleError)
"""

from __future__ import annotations

import difflib
import re
from pathlib import PurePath
from typing import Any, TypeVar

import msgspec

from edgemed.errors import ConfigError, EdgemedError

__all__ = ["decode_json", "decode_yaml", "encode_document", "encode_json", "from_builtins", "near_match", "to_builtins"]

DOCUMENT_VERSION = 1

Value = TypeVar("Value")

_WRAPPED_PATH = re.compile(r" - at (?:`key` in )?`\$(.*)`$")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.+)`")
_MISSING_FIELD = re.compile(r"Object missing required field `(.+)`")


def near_match(word: str, known: list[str]) -> str:
    """Return ``; did you mean 'x'?`` for the nearest known word, or an empty string when none is near."""
    found = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def decode_json(raw: bytes, kind: type[Value], *, source: str, error: type[EdgemedError] = ConfigError) -> Value:
    """Return JSON bytes as a value of ``kind``.

    Raises:
        EdgemedError: of class ``error``: not JSON, an unknown or missing key, a wrong type, a value out of range.
    """
    try:
        tree = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise error(f"{source}: expected JSON, got bytes that are not: {err}") from err
    return from_builtins(tree, kind, source=source, error=error)


def decode_yaml(raw: bytes, kind: type[Value], *, source: str, error: type[EdgemedError] = ConfigError) -> Value:
    """Return YAML bytes as a value of ``kind``; duplicate keys are refused, anchors expand nowhere.

    Raises:
        EdgemedError: of class ``error``: not YAML, a duplicate, unknown or missing key, a wrong type, a value out
            of range.
    """
    import yaml

    try:
        tree = yaml.load(raw, Loader=_strict_loader())
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError, ValueError) as err:
        detail = " ".join(str(err).split())
        raise error(f"{source}: expected YAML, got text that is not: {detail}") from err
    return from_builtins(tree, kind, source=source, error=error)


def encode_json(value: Any) -> bytes:
    """Return the canonical JSON of a value: sorted keys, no spaces, UTF-8; equal values give equal bytes."""
    return msgspec.json.encode(value, order="sorted")


def encode_document(value: Any) -> bytes:
    """Return one line of JSON for programs to read: ``schema_version`` first, then the keys in the order given.

    Args:
        value: a dict with text keys, a dataclass or a msgspec struct; paths inside become text, NaN becomes null, and
            the bytes of a file name that are no UTF-8 become escapes.
    """
    tree = msgspec.to_builtins(value, enc_hook=_plain)
    return msgspec.json.encode(_encodable({"schema_version": DOCUMENT_VERSION, **tree}))


def from_builtins(tree: Any, kind: type[Value], *, source: str, error: type[EdgemedError] = ConfigError) -> Value:
    """Return dicts, lists, strings and numbers, as JSON or YAML give them, as a value of ``kind``.

    Raises:
        EdgemedError: of class ``error``: an unknown or missing key, a wrong type, a value out of range.
    """
    try:
        return msgspec.convert(tree, kind, strict=True)
    except msgspec.ValidationError as err:
        raise error(_worded(str(err), tree, kind, source)) from err


def to_builtins(value: Any) -> Any:
    """Return a struct as dicts, lists, strings and numbers, in field order."""
    return msgspec.to_builtins(value)


def _worded(message: str, tree: Any, kind: Any, source: str) -> str:
    """Turn msgspec's message into ``source: dotted.path: what; near match``."""
    path = ""
    if found := _WRAPPED_PATH.search(message):
        path = found.group(1).lstrip(".")
        message = message[: found.start()]
    hint = ""
    if unknown := _UNKNOWN_FIELD.search(message):
        key = unknown.group(1)
        hint = near_match(key, _known_fields(kind, path, tree))
        path, message = _joined(path, key), "unknown key"
    elif missing := _MISSING_FIELD.search(message):
        path, message = _joined(path, missing.group(1)), "required key is missing"
    else:
        message = message[:1].lower() + message[1:]
        got = _value_at(tree, path)
        if isinstance(got, (str, int, float, bool)) or got is None:
            message += f", value {got!r}"
    where = f"{source}: {path}" if path else source
    return f"{where}: {message}{hint}"


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _steps(path: str) -> list[str]:
    return re.findall(r"\[[^\]]*\]|[^.\[]+", path)


def _value_at(tree: Any, path: str) -> Any:
    """Return the value a dotted path names, or the tree itself where the path leaves it."""
    for step in _steps(path):
        if step.startswith("["):
            inner = step[1:-1]
            if isinstance(tree, list) and inner.isdigit() and int(inner) < len(tree):
                tree = tree[int(inner)]
            else:
                return ...
        elif isinstance(tree, dict) and step in tree:
            tree = tree[step]
        else:
            return ...
    return tree


def _known_fields(kind: Any, path: str, tree: Any) -> list[str]:
    """Return the field names that are legal where ``path`` points."""
    current: Any = msgspec.inspect.type_info(kind)
    node = tree
    for step in _steps(path):
        current = _descend(current, step, node)
        node = _value_at(node, step)
    return sorted({field.encode_name for struct in _structs(current, node) for field in struct.fields})


def _descend(current: Any, step: str, node: Any) -> Any:
    for struct in _structs(current, node):
        for field in struct.fields:
            if field.encode_name == step:
                return field.type
    for option in getattr(current, "types", (current,)):
        for attribute in ("item_type", "value_type"):
            if hasattr(option, attribute):
                return getattr(option, attribute)
    return current


def _structs(current: Any, node: Any) -> list[Any]:
    """Return the struct types at this place, narrowed by the tag that the data carries."""
    options = getattr(current, "types", (current,))
    structs = [option for option in options if isinstance(option, msgspec.inspect.StructType)]
    tagged = [s for s in structs if s.tag_field and isinstance(node, dict) and node.get(s.tag_field) == s.tag]
    return tagged or structs


def _strict_loader() -> Any:
    """Build a YAML loader that refuses duplicate keys, anchors and every tag but the plain ones."""
    import yaml

    class StrictLoader(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.peek_event()  # type: ignore[no-untyped-call]  # untyped in types-PyYAML
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise yaml.composer.ComposerError(None, None, "anchors and aliases are not allowed", event.start_mark)
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen: set[Any] = set()
            for key_node, _ in node.value:
                key = self.construct_object(key_node, deep=True)
                if not isinstance(key, str):
                    raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is not text", key_node.start_mark)
                if key in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
                seen.add(key)
            return super().construct_mapping(node, deep)

    return StrictLoader


def _encodable(tree: Any) -> Any:
    """Return a tree whose texts are Unicode: Python keeps a file name's stray bytes as lone surrogates."""
    if isinstance(tree, str):
        return tree.encode("utf-8", "backslashreplace").decode()
    if isinstance(tree, dict):
        return {_encodable(key): _encodable(value) for key, value in tree.items()}
    return [_encodable(value) for value in tree] if isinstance(tree, (list, tuple)) else tree


def _plain(value: Any) -> str:
    """Turn a path into text; anything else has no place in a result."""
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"expected a value JSON can hold, got {type(value).__name__}")
