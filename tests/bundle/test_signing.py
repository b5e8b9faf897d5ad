from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.bundle import signing
from edgemed.bundle.keys import PrivateKey
from edgemed.errors import SignatureError
from tests.bundle import tiny

DIGEST = "sha256:" + "0" * 64
KEYID = tiny.KEY.public.keyid
RAW = signing.sign(DIGEST, tiny.KEY)
DOCUMENT = json.loads(RAW)
SOURCE = "signatures/x.dsse"
NOT_CANONICAL = f"{SOURCE}: not in canonical form; it was altered or made by another tool"
NOT_BASE64 = f"{SOURCE}: expected base64 of ASCII text and of a signature, got something else"


def dumped(**changes: object) -> bytes:
    return json.dumps({**DOCUMENT, **changes}, separators=(",", ":"), sort_keys=True).encode()


def signed(**changes: object) -> bytes:
    return dumped(signatures=[{**DOCUMENT["signatures"][0], **changes}])


def with_spare_bits(text: str) -> str:
    """Return base64 that decodes to the same bytes, a bit that no reader uses set."""
    assert text.endswith("==")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return text[:-3] + alphabet[alphabet.index(text[-3]) + 1] + "=="


SIGNATURE = DOCUMENT["signatures"][0]["sig"]
REFUSED = {
    "spare bits in the signature": (signed(sig=with_spare_bits(SIGNATURE)), NOT_CANONICAL),
    "white space": (json.dumps(DOCUMENT, sort_keys=True).encode(), NOT_CANONICAL),
    "line end": (RAW + b"\n", NOT_CANONICAL),
    "unsorted keys": (json.dumps(dict(reversed(DOCUMENT.items())), separators=(",", ":")).encode(), NOT_CANONICAL),
    "key twice": (
        RAW[:-1] + b',"signatures":[' + json.dumps(DOCUMENT["signatures"][0]).encode() + b"]}",
        NOT_CANONICAL,
    ),
    "escaped letter": (RAW.replace(b'"payload"', b'"p\\u0061yload"'), NOT_CANONICAL),
    "signature without padding": (signed(sig=SIGNATURE.rstrip("=")), NOT_BASE64),
    "signature with a line break": (signed(sig=SIGNATURE[:8] + "\n" + SIGNATURE[8:]), NOT_BASE64),
    "payload that is not ASCII": (dumped(payload=base64.b64encode("é".encode()).decode()), NOT_BASE64),
    "two signatures": (
        dumped(signatures=DOCUMENT["signatures"] * 2),
        f"{SOURCE}: signatures: expected `array` of length <= 1",
    ),
    "no signature": (dumped(signatures=[]), f"{SOURCE}: signatures: expected `array` of length >= 1"),
    "unknown key": (dumped(payloads=""), f"{SOURCE}: payloads: unknown key; did you mean 'payload'?"),
    "keyid in upper case": (
        signed(keyid=KEYID.upper()),
        f"{SOURCE}: signatures[0].keyid: expected `str` matching regex '^[0-9a-f]{{64}}\\\\Z', value {KEYID.upper()!r}",
    ),
    "another payload type": (
        dumped(payloadType="text/plain"),
        f"{SOURCE}: payloadType: invalid enum value 'text/plain', value 'text/plain'",
    ),
    "too large": (RAW + b" " * 4096, f"{SOURCE}: {len(RAW) + 4096} bytes are more than the 4096 accepted"),
}


def test_envelope_has_the_fields_of_the_specification() -> None:
    assert list(DOCUMENT) == ["payload", "payloadType", "signatures"]
    assert base64.b64decode(DOCUMENT["payload"]) == DIGEST.encode()
    assert DOCUMENT["payloadType"] == "application/vnd.edgemed.manifest-digest"
    assert DOCUMENT["signatures"][0]["keyid"] == KEYID


def test_signature_lies_under_its_keys_name() -> None:
    assert signing.member_name(KEYID) == f"signatures/{KEYID[:16]}.dsse"


@given(st.binary(min_size=32, max_size=32), st.text(alphabet="0123456789abcdef", min_size=64, max_size=64))
def test_signature_holds_and_is_the_same_every_time(seed: bytes, digits: str) -> None:
    key = PrivateKey(seed=seed)
    raw = signing.sign("sha256:" + digits, key)

    envelope = signing.parse(raw, source=SOURCE)
    signing.verify(envelope, key.public)

    assert envelope.digest == "sha256:" + digits
    assert signing.sign("sha256:" + digits, key) == raw


def test_signature_by_another_key_is_invalid() -> None:
    with pytest.raises(SignatureError) as caught:
        signing.verify(signing.parse(RAW, source=SOURCE), tiny.OTHER.public)

    assert str(caught.value) == (
        f"signatures/{KEYID[:16]}.dsse: the signature is invalid, the bundle was altered; get it again"
    )


def test_signature_of_another_length_is_invalid() -> None:
    envelope = signing.parse(signed(sig=base64.b64encode(bytes(63)).decode()), source=SOURCE)

    with pytest.raises(SignatureError, match="the signature is invalid"):
        signing.verify(envelope, tiny.KEY.public)


@pytest.mark.parametrize(("raw", "message"), REFUSED.values(), ids=REFUSED)
def test_envelope_is_refused_with_a_reason(raw: bytes, message: str) -> None:
    with pytest.raises(SignatureError) as caught:
        signing.parse(raw, source=SOURCE)

    assert str(caught.value) == message


@given(st.binary(max_size=100), st.integers(0, len(RAW)))
def test_any_bytes_give_an_envelope_or_a_signature_error(junk: bytes, cut: int) -> None:
    for raw in (junk, RAW[:cut] + junk, RAW[:cut] + junk + RAW[cut:]):
        try:
            assert signing.parse(raw, source=SOURCE).keyid
        except SignatureError:
            continue
