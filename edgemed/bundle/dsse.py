"""Signed JSON documents: DSSE envelopes with one or more Ed25519 signatures around a payload.

Rules: an envelope has one form (canonical JSON, canonical base64, signatures by key id), and a reader takes no other; a
signature is made and checked over the raw payload together with its type, so that one kind of document never passes
for another; the payload is parsed after its signatures were checked.

    raw = dsse.seal(payload, kind="application/vnd.edgemed.trust-root", private_keys=[key])
    sealed = dsse.parse(raw, kind="application/vnd.edgemed.trust-root", source="root.json")
    signers = dsse.signers(sealed, [key.public], source="root.json")

Source: DSSE protocol v1.0.2, https://github.com/secure-systems-lab/dsse (envelope.md, protocol.md); RFC 8032.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

import msgspec
from msgspec import Meta

from edgemed import schema
from edgemed.bundle.keys import PrivateKey, PublicKey
from edgemed.errors import SignatureError

__all__ = [
    "LIMIT_BYTES",
    "SIGNATURES_LIMIT",
    "Sealed",
    "holds",
    "pae",
    "parse",
    "seal",
    "sign",
    "signers",
    "with_signatures",
]

LIMIT_BYTES = 32 << 20
"""Largest envelope: a decision document with the limits of a long embedding in it has 23 MB of base64 itself."""
SIGNATURES_LIMIT = 16


class _Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    keyid: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    sig: Annotated[str, Meta(max_length=128)]


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    payload: str
    payload_type: Annotated[str, Meta(max_length=128)] = msgspec.field(name="payloadType")
    signatures: Annotated[tuple[_Signature, ...], Meta(min_length=1, max_length=SIGNATURES_LIMIT)]


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """An envelope taken apart; nothing in it is checked yet.

    Attributes:
        kind: type of the payload.
        payload: raw bytes.
        signatures: 64 bytes each by key id, sorted.
    """

    kind: str
    payload: bytes
    signatures: Mapping[str, bytes]


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: DSSE's pre-authentication encoding (protocol.md, "Signature Definition")."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, key: PrivateKey, *, kind: str) -> bytes:
    """Return the 64 bytes of a signature; the same payload, type and key give the same bytes."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(key.seed).sign(pae(kind, payload))


def holds(signature: bytes, payload: bytes, key: PublicKey, *, kind: str) -> bool:
    """Tell whether the key made the signature over this payload of this type."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key.raw).verify(signature, pae(kind, payload))
    except (InvalidSignature, ValueError):
        return False
    return True


def seal(payload: bytes, *, kind: str, private_keys: Sequence[PrivateKey]) -> bytes:
    """Return the envelope of a payload, signed by every key; equal arguments give equal bytes.

    Raises:
        SignatureError: more signatures than `parse` takes.
    """
    signatures = {key.public.keyid: sign(payload, key, kind=kind) for key in private_keys}
    return _encode(Sealed(kind=kind, payload=payload, signatures=signatures))


def with_signatures(sealed: Sealed, private_keys: Iterable[PrivateKey]) -> bytes:
    """Return the envelope with a signature by each key added; one that is there already stays as it is.

    Raises:
        SignatureError: more signatures than `parse` takes.
    """
    added = {key.public.keyid: sign(sealed.payload, key, kind=sealed.kind) for key in private_keys}
    return _encode(Sealed(kind=sealed.kind, payload=sealed.payload, signatures={**added, **sealed.signatures}))


def parse(raw: bytes, *, kind: str, source: str, limit_bytes: int = LIMIT_BYTES) -> Sealed:
    """Return an envelope as a value, its signatures not checked.

    Raises:
        SignatureError: larger than the limit, not JSON of this form, of another type, or not the form `seal` writes.
    """
    if len(raw) > limit_bytes:
        raise SignatureError(f"{source}: {len(raw)} bytes are more than the {limit_bytes} accepted")
    document = schema.decode_json(raw, _Document, source=source, error=SignatureError)
    if document.payload_type != kind:
        raise SignatureError(f"{source}: payloadType: expected {kind}, got {document.payload_type!r}")
    try:
        payload = base64.b64decode(document.payload, validate=True)
        signatures = {one.keyid: base64.b64decode(one.sig, validate=True) for one in document.signatures}
    except (binascii.Error, ValueError) as err:
        raise SignatureError(f"{source}: expected base64 of a payload and of signatures, got something else") from err
    sealed = Sealed(kind=kind, payload=payload, signatures=MappingProxyType(signatures))
    if _encode(sealed) != raw:
        # Base64 has spare bits, JSON has spaces, a key may sign twice: two files, one meaning.
        raise SignatureError(f"{source}: not in canonical form; it was altered or made by another tool")
    return sealed


def signers(sealed: Sealed, keys: Iterable[PublicKey], *, source: str) -> tuple[PublicKey, ...]:
    """Return those of the keys that have signed, by key id; a signature by any other key counts for nothing.

    Raises:
        SignatureError: a signature by one of the keys does not hold.
    """
    known = {key.keyid: key for key in keys}
    signed = [(known[keyid], signature) for keyid, signature in sealed.signatures.items() if keyid in known]
    for key, signature in signed:
        if not holds(signature, sealed.payload, key, kind=sealed.kind):
            raise SignatureError(
                f"{source}: the signature of {key.keyid[:16]} is invalid, the document was altered; get it again"
            )
    return tuple(key for key, _ in signed)


def _encode(sealed: Sealed) -> bytes:
    if len(sealed.signatures) > SIGNATURES_LIMIT:
        raise SignatureError(
            f"signatures: expected at most {SIGNATURES_LIMIT}, got {len(sealed.signatures)}; sign with fewer keys"
        )
    signatures = tuple(
        _Signature(keyid=keyid, sig=base64.b64encode(signature).decode())
        for keyid, signature in sorted(sealed.signatures.items())
    )
    payload = base64.b64encode(sealed.payload).decode()
    return schema.encode_json(_Document(payload=payload, payload_type=sealed.kind, signatures=signatures))
