"""JSON and YAML into strict values: what is refused, and in which words."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from edgemed import schema
from edgemed.errors import BundleError, ConfigError


class Memory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    ram_mib: Annotated[int, Meta(ge=1)]
    sram_mib: int | None = None


class Blur(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="blur", tag_field="kind"):
    sigma_px: float


class Crop(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="crop", tag_field="kind"):
    border_px: int


class Device(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema: Literal[1]
    memory: Memory
    steps: tuple[Blur | Crop, ...] = ()
    limits: dict[str, Memory] = {}


WHOLE = {"schema": 1, "memory": {"ram_mib": 1024}}

REFUSALS = {
    "unknown-top": ({**WHOLE, "memroy": 1}, "memroy: unknown key; did you mean 'memory'?"),
    "unknown-far": ({**WHOLE, "zzz": 1}, "zzz: unknown key"),
    "missing-unit": (
        {"schema": 1, "memory": {"ram": 1024}},
        "memory.ram: unknown key; did you mean 'ram_mib'?",
    ),
    "unknown-in-list": (
        {**WHOLE, "steps": [{"kind": "crop", "border_px": 1}, {"kind": "blur", "sigma": 1.0}]},
        "steps[1].sigma: unknown key; did you mean 'sigma_px'?",
    ),
    "near-match-of-the-right-kind": (
        {**WHOLE, "steps": [{"kind": "crop", "sigma": 1.0}]},
        "steps[0].sigma: unknown key",
    ),
    "unknown-kind": (
        {**WHOLE, "steps": [{"kind": "blurr", "sigma_px": 1.0}]},
        "steps[0].kind: invalid value 'blurr', value 'blurr'",
    ),
    "missing": ({"schema": 1, "memory": {}}, "memory.ram_mib: required key is missing"),
    "missing-top": ({"schema": 1}, "memory: required key is missing"),
    "wrong-type": (
        {"schema": 1, "memory": {"ram_mib": "1 GB"}},
        "memory.ram_mib: expected `int`, got `str`, value '1 GB'",
    ),
    "number-as-text": (
        {"schema": 1, "memory": {"ram_mib": "1024"}},
        "memory.ram_mib: expected `int`, got `str`, value '1024'",
    ),
    "truth-as-number": (
        {"schema": 1, "memory": {"ram_mib": True}},
        "memory.ram_mib: expected `int`, got `bool`, value True",
    ),
    "null": (
        {"schema": 1, "memory": {"ram_mib": None}},
        "memory.ram_mib: expected `int`, got `null`, value None",
    ),
    "range": (
        {"schema": 1, "memory": {"ram_mib": 0}},
        "memory.ram_mib: expected `int` >= 1, value 0",
    ),
    "schema-version": (
        {"schema": 2, "memory": {"ram_mib": 1}},
        "schema: invalid enum value 2, value 2",
    ),
    "not-a-group": ({"schema": 1, "memory": 1024}, "memory: expected `object`, got `int`, value 1024"),
    "list-for-group": ({"schema": 1, "memory": []}, "memory: expected `object`, got `array`"),
}


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.parametrize("encoding", ["json", "yaml"])
def test_wrong_value_is_refused_with_its_dotted_path(name: str, encoding: str) -> None:
    tree, message = REFUSALS[name]
    # Every JSON document is also a YAML one.
    raw = msgspec.json.encode(tree)
    decode = schema.decode_json if encoding == "json" else schema.decode_yaml
    with pytest.raises(ConfigError) as caught:
        decode(raw, Device, source="file")
    assert str(caught.value) == f"file: {message}"


@pytest.mark.parametrize("name", ["top", "list"])
def test_document_that_is_no_group_is_refused(name: str) -> None:
    raw = {"top": b"3", "list": b"[]"}[name]
    with pytest.raises(ConfigError, match=r"^file: expected `object`, got `(int|array)`"):
        schema.decode_json(raw, Device, source="file")


def test_whole_document_gives_the_value() -> None:
    assert schema.decode_json(msgspec.json.encode(WHOLE), Device, source="file") == Device(
        schema=1, memory=Memory(ram_mib=1024)
    )


def test_error_has_the_class_the_caller_names() -> None:
    with pytest.raises(BundleError):
        schema.decode_json(b"{}", Device, source="manifest.json", error=BundleError)


YAML_REFUSALS = {
    "duplicate": (b"schema: 1\nschema: 1\n", "duplicate key 'schema'"),
    "duplicate-inside": (b"schema: 1\nmemory: {ram_mib: 1, ram_mib: 2}\n", "duplicate key 'ram_mib'"),
    "anchor": (b"schema: 1\nmemory: &m {ram_mib: 1}\n", "anchors and aliases are not allowed"),
    "alias": (b"schema: 1\nmemory: *m\n", "anchors and aliases are not allowed"),
    "merge": (b"schema: 1\nmemory: {<<: {ram_mib: 1}}\n", ""),
    "tag": (b"schema: 1\nmemory: !!python/object/apply:os.getcwd []\n", "could not determine a constructor"),
    "number-as-key": (b"schema: 1\n2: 3\n", "key 2 is not text"),
    "list-as-key": (b"? [1]\n: 2\n", "is not text"),
    "unclosed": (b"memory: {ram_mib: 1", "expected ',' or '}'"),
    "tab": (b"memory:\n\tram_mib: 1\n", "cannot start any token"),
    "two-documents": (b"a: 1\n---\nb: 2\n", "expected a single document"),
    "not-text": (b"\xff\xfe\xfa", ""),
}


@pytest.mark.parametrize("name", YAML_REFUSALS)
def test_yaml_beyond_plain_data_is_refused(name: str) -> None:
    raw, words = YAML_REFUSALS[name]
    with pytest.raises(ConfigError) as caught:
        schema.decode_yaml(raw, Device, source="device.yaml")
    assert str(caught.value).startswith("device.yaml: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_yaml_comment_changes_nothing() -> None:
    raw = b"# a device\nschema: 1  # first\nmemory:\n  ram_mib: 1024  # datasheet\n"
    assert schema.decode_yaml(raw, Device, source="device.yaml").memory.ram_mib == 1024


def test_json_that_is_not_json_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^file: expected JSON, got bytes that are not: "):
        schema.decode_json(b"{", Device, source="file")


@pytest.mark.parametrize("decode", [schema.decode_json, schema.decode_yaml], ids=["json", "yaml"])
def test_deep_nesting_is_refused(decode) -> None:
    with pytest.raises(ConfigError, match=r"^file: expected (JSON|YAML), got "):
        decode(b"[" * 100_000, Device, source="file")


def refused_or_device(decode, raw: bytes) -> None:
    try:
        assert isinstance(decode(raw, Device, source="fuzz"), Device)
    except ConfigError as err:
        assert str(err).startswith("fuzz: ")


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_a_refusal(raw: bytes) -> None:
    refused_or_device(schema.decode_json, raw)
    refused_or_device(schema.decode_yaml, raw)


@given(st.text(alphabet="{}[]:,-&*!?|>%@`#'\"\\ \n\tab1.~<=\u2028\x00", max_size=80))
def test_any_yaml_punctuation_gives_a_value_or_a_refusal(text: str) -> None:
    refused_or_device(schema.decode_yaml, text.encode())


leaves = st.none() | st.booleans() | st.integers(-3, 2000) | st.floats(allow_nan=False) | st.text(max_size=5)
keys = st.sampled_from(["schema", "memory", "ram_mib", "sram_mib", "steps", "limits", "kind", "border_px", "x.y", ""])
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)


@given(st.dictionaries(keys, trees, max_size=5))
def test_any_tree_gives_a_value_or_a_refusal(tree: dict) -> None:
    refused_or_device(schema.decode_json, msgspec.json.encode(tree))


@given(st.dictionaries(st.text(max_size=4), trees, max_size=5))
def test_canonical_json_does_not_depend_on_the_order_of_keys(tree: dict) -> None:
    backwards = dict(reversed(tree.items()))
    assert schema.encode_json(tree) == schema.encode_json(backwards)


@given(st.builds(Memory, ram_mib=st.integers(1, 2**40), sram_mib=st.none() | st.integers(0, 2**40)))
def test_value_survives_the_round_trip_through_json(memory: Memory) -> None:
    assert schema.decode_json(schema.encode_json(memory), Memory, source="file") == memory


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        pytest.param("coral-ubs", "; did you mean 'coral-usb'?", id="near"),
        pytest.param("zzz", "", id="far"),
    ],
)
def test_near_match_suggests_only_what_is_near(word: str, expected: str) -> None:
    assert schema.near_match(word, ["coral-usb", "jetson-nano"]) == expected
