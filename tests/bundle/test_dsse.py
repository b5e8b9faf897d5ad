from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.bundle import dsse
from edgemed.bundle.keys import PrivateKey
from edgemed.errors import SignatureError
from tests.bundle import tiny

KIND = "application/vnd.edgemed.test"
RAW = dsse.seal(b'{"a":1}', kind=KIND, private_keys=[tiny.KEY, tiny.OTHER])
NOT_CANONICAL = "x: not in canonical form; it was altered or made by another tool"


def parsed(raw: bytes = RAW) -> dsse.Sealed:
    return dsse.parse(raw, kind=KIND, source="x")


def changed(**values: Any) -> bytes:
    return json.dumps({**json.loads(RAW), **values}, sort_keys=True, separators=(",", ":")).encode()


def test_pre_authentication_encoding_is_the_one_of_the_specification() -> None:
    # DSSE protocol.md, "Test Vectors".
    encoded = dsse.pae("http://example.com/HelloWorld", b"hello world")

    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_length_in_the_encoding_counts_bytes() -> None:
    assert dsse.pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_envelope_has_the_fields_of_the_specification() -> None:
    document = json.loads(RAW)

    assert document["payloadType"] == KIND
    assert base64.b64decode(document["payload"]) == b'{"a":1}'
    assert [one["keyid"] for one in document["signatures"]] == sorted(
        key.public.keyid for key in (tiny.KEY, tiny.OTHER)
    )


def test_the_keys_that_signed_are_told_and_others_count_for_nothing() -> None:
    found = dsse.signers(parsed(), [tiny.KEY.public, tiny.STRANGER.public], source="x")

    assert found == (tiny.KEY.public,)


def test_adding_a_signature_equals_signing_with_both() -> None:
    one = parsed(dsse.seal(b'{"a":1}', kind=KIND, private_keys=[tiny.KEY]))

    assert dsse.with_signatures(one, [tiny.OTHER, tiny.KEY]) == RAW


def test_more_signatures_than_are_read_are_not_written() -> None:
    many = [PrivateKey(seed=bytes([number]) * 32) for number in range(17)]
    message = "signatures: expected at most 16, got 17; sign with fewer keys"

    with pytest.raises(SignatureError, match=message):
        dsse.seal(b"{}", kind=KIND, private_keys=many)
    sealed = parsed(dsse.seal(b"{}", kind=KIND, private_keys=many[:16]))
    with pytest.raises(SignatureError, match=message):
        dsse.with_signatures(sealed, many[16:])


def test_signature_of_another_type_of_document_does_not_hold() -> None:
    signature = dsse.sign(b"{}", tiny.KEY, kind=KIND)

    assert dsse.holds(signature, b"{}", tiny.KEY.public, kind=KIND)
    assert not dsse.holds(signature, b"{}", tiny.KEY.public, kind="application/vnd.edgemed.other")


def test_signature_that_does_not_hold_refuses_although_another_does() -> None:
    document = json.loads(RAW)
    document["signatures"][0]["sig"] = document["signatures"][1]["sig"]
    keyid = document["signatures"][0]["keyid"]

    with pytest.raises(SignatureError) as caught:
        dsse.signers(parsed(changed(**document)), [tiny.KEY.public, tiny.OTHER.public], source="x")

    assert str(caught.value) == (f"x: the signature of {keyid[:16]} is invalid, the document was altered; get it again")


SIGNATURES = json.loads(RAW)["signatures"]
REFUSED = {
    "another type": (
        changed(payloadType="text/plain"),
        f"x: payloadType: expected {KIND}, got 'text/plain'",
    ),
    "not base64": (
        changed(payload="?"),
        "x: expected base64 of a payload and of signatures, got something else",
    ),
    "spare bits of base64": (changed(payload="eyJhIjoxfR=="), NOT_CANONICAL),
    "spaces": (RAW + b"\n", NOT_CANONICAL),
    "unsorted signatures": (changed(signatures=SIGNATURES[::-1]), NOT_CANONICAL),
    "a key twice": (changed(signatures=[*SIGNATURES, SIGNATURES[0]]), NOT_CANONICAL),
    "no signature": (changed(signatures=[]), "x: signatures: expected `array` of length >= 1"),
    "unknown key": (changed(signature=1), "x: signature: unknown key; did you mean 'signatures'?"),
    "too large": (RAW + b" " * 2000, f"x: {len(RAW) + 2000} bytes are more than the 2000 accepted"),
}


@pytest.mark.parametrize(("raw", "message"), REFUSED.values(), ids=REFUSED)
def test_refuses_with_a_reason(raw: bytes, message: str) -> None:
    with pytest.raises(SignatureError) as caught:
        dsse.parse(raw, kind=KIND, source="x", limit_bytes=2000)

    assert str(caught.value) == message


@given(st.binary(max_size=60), st.integers(0, len(RAW)))
def test_any_bytes_give_an_envelope_or_a_signature_error(inserted: bytes, start: int) -> None:
    for raw in (inserted, RAW[:start] + inserted + RAW[start:]):
        try:
            assert parsed(raw).kind == KIND
        except SignatureError:
            continue


@given(st.binary(max_size=100))
def test_payload_comes_back(payload: bytes) -> None:
    assert parsed(dsse.seal(payload, kind=KIND, private_keys=[tiny.KEY])).payload == payload
