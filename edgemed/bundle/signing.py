"""DSSE envelopes with one Ed25519 signature over the digest of ``manifest.json``.

Rules: an envelope has one form (canonical JSON, canonical base64), and a reader takes no other; a signature is made and
checked over the raw bytes of the payload, before anything in the manifest is parsed.

    raw = signing.sign(digest, key)
    signing.verify(signing.parse(raw, source="signatures/0123456789abcdef.dsse"), key.public)

Source: DSSE protocol v1.0.2, https://github.com/secure-systems-lab/dsse (envelope.md, protocol.md); RFC 8032.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from edgemed import schema
from edgemed.bundle import dsse
from edgemed.bundle.keys import PrivateKey, PublicKey
from edgemed.errors import SignatureError

__all__ = ["ENVELOPE_LIMIT_BYTES", "PAYLOAD_TYPE", "Envelope", "member_name", "parse", "sign", "verify"]

PAYLOAD_TYPE: Final = "application/vnd.edgemed.manifest-digest"
ENVELOPE_LIMIT_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """One signature: the digest it states, the key it names, and the 64 bytes; nothing here is checked yet.

    Attributes:
        digest: ``sha256:`` and 64 hex digits, of ``manifest.json``.
        keyid: 64 hex digits of the signer's key.
        signature: 64 bytes.
    """

    digest: str
    keyid: str
    signature: bytes


class _Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    keyid: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    sig: Annotated[str, Meta(max_length=128)]


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    payload: Annotated[str, Meta(max_length=256)]
    payload_type: Literal["application/vnd.edgemed.manifest-digest"] = msgspec.field(name="payloadType")
    signatures: Annotated[tuple[_Signature, ...], Meta(min_length=1, max_length=1)]


def member_name(keyid: str) -> str:
    """Return where in a bundle the signature of a key lies."""
    return f"signatures/{keyid[:16]}.dsse"


def sign(digest: str, key: PrivateKey) -> bytes:
    """Return the envelope of a signature over a digest; the same digest and key give the same bytes."""
    signature = dsse.sign(digest.encode(), key, kind=PAYLOAD_TYPE)
    return _encode(Envelope(digest=digest, keyid=key.public.keyid, signature=signature))


def parse(raw: bytes, *, source: str) -> Envelope:
    """Return an envelope as a value, its signature not checked.

    Raises:
        SignatureError: larger than `ENVELOPE_LIMIT_BYTES`, not JSON of this form, or not the form `sign` writes.
    """
    if len(raw) > ENVELOPE_LIMIT_BYTES:
        raise SignatureError(f"{source}: {len(raw)} bytes are more than the {ENVELOPE_LIMIT_BYTES} accepted")
    document = schema.decode_json(raw, _Document, source=source, error=SignatureError)
    (signature,) = document.signatures
    try:
        digest = base64.b64decode(document.payload, validate=True).decode("ascii")
        signed = base64.b64decode(signature.sig, validate=True)
    except (binascii.Error, ValueError) as err:
        raise SignatureError(f"{source}: expected base64 of ASCII text and of a signature, got something else") from err
    envelope = Envelope(digest=digest, keyid=signature.keyid, signature=signed)
    if _encode(envelope) != raw:
        # Base64 has spare bits and JSON has spaces: two files, one meaning.
        raise SignatureError(f"{source}: not in canonical form; it was altered or made by another tool")
    return envelope


def verify(envelope: Envelope, key: PublicKey) -> None:
    """Check that the key made the signature over the digest.

    Raises:
        SignatureError: it did not.
    """
    if not dsse.holds(envelope.signature, envelope.digest.encode(), key, kind=PAYLOAD_TYPE):
        raise SignatureError(
            f"{member_name(envelope.keyid)}: the signature is invalid, the bundle was altered; get it again"
        )


def _encode(envelope: Envelope) -> bytes:
    signature = _Signature(keyid=envelope.keyid, sig=base64.b64encode(envelope.signature).decode())
    payload = base64.b64encode(envelope.digest.encode()).decode()
    return schema.encode_json(_Document(payload=payload, payload_type=PAYLOAD_TYPE, signatures=(signature,)))
