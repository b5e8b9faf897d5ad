"""Decision overlays: a newer decision document for a bundle that stays as it is, signed on its own.

A clinic that moves its operating point needs no new model: an overlay replaces ``decision.json`` for one model, named
by its digest. `verify` returns it or raises:

1. The size is bounded; the DSSE envelope has one form and the payload type of an overlay.
2. Every signature by a trusted key holds, and enough keys of the ``threshold`` role, or of the ``release`` role, have
   signed. A signature by a key that is revoked or not known here counts for nothing.
3. The payload is strict, canonical JSON.

`admitted` then asks whether a new one belongs to a bundle:

4. It names the bundle, the digest of its ``model/int8.tflite``, its labels and its outputs.
5. Its decision version is higher than the bundle's own, and than the floor: the highest that a store has seen.

`applied` takes those that a store holds. Overlays for other models, and those that a newer bundle of the same model has
overtaken, are left aside; what is then in force must not lie below the floor, so that one taken away is missed.

The runtime parses the decision document as strictly as one inside a bundle. A bundle with an overlay keeps its digest;
results name both.

    raw = overlay.encode(bundle, decision, private_keys=[key])
    bundle = overlay.applied(bundle, [raw], trust=trust, floor=2)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from edgemed import files, schema
from edgemed.bundle import dsse, roles
from edgemed.bundle.archive import Bundle, Overlay
from edgemed.bundle.keys import PrivateKey, PublicKey
from edgemed.bundle.manifest import MODEL, Digest, Name, Text
from edgemed.bundle.roles import Trust
from edgemed.bundle.root import Role
from edgemed.errors import BundleError, ConfigError, RollbackError

__all__ = ["DECISION", "PAYLOAD_TYPE", "Signed", "admitted", "applied", "decision_version", "encode", "verify"]

PAYLOAD_TYPE: Final = "application/vnd.edgemed.decision-overlay"
DECISION = "decision.json"


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The payload of an overlay: which bundle and model it is for, and the decision document that replaces its own."""

    schema: Literal[1] = 1
    bundle: Name
    model: Digest
    labels: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=64)]
    outputs: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=16)]
    decision: dict[str, Any]


class _Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a decision document that ties it to a model; the runtime reads the whole."""

    version: Annotated[int, Meta(ge=1)]
    model: Digest


@dataclass(frozen=True, kw_only=True)
class Signed:
    """An overlay that trusted keys have signed; whether it belongs to a bundle is another question.

    Attributes:
        document: what was signed.
        version: of the decision document inside.
        digest: of the file.
        accepted: the trusted keys whose signatures hold.
    """

    document: Document
    version: int
    digest: str
    accepted: tuple[PublicKey, ...]

    @property
    def decision(self) -> bytes:
        """The decision document as it would lie in a bundle: canonical JSON."""
        return schema.encode_json(self.document.decision)


def encode(bundle: Bundle, decision: bytes, *, private_keys: Sequence[PrivateKey], source: str = DECISION) -> bytes:
    """Return the signed overlay of a decision document for a bundle; equal arguments give equal bytes.

    Args:
        bundle: verified; as it is, without an overlay.
        decision: JSON, as ``decision.json`` in a bundle, of a higher version than the bundle's.
        private_keys: one or more.
        source: the document's name, for messages.

    Raises:
        ConfigError: the document is no JSON, of another model, or its version is not higher.
        SignatureError: the overlay would be larger, or have more signatures, than a device reads.
    """
    tree = schema.decode_json(decision, dict[str, Any], source=source)
    stated = schema.from_builtins(tree, _Decision, source=source)
    if stated.model != (digest := bundle.manifest.members[MODEL].sha256):
        raise ConfigError(f"{source}: model: expected {digest}, the model of this bundle, got {stated.model}")
    if stated.version <= (own := decision_version(bundle)):
        raise ConfigError(f"{source}: version: expected more than {own}, the bundle's own, got {stated.version}")
    manifest = bundle.manifest
    document = Document(
        bundle=manifest.name, model=digest, labels=manifest.labels, outputs=manifest.outputs, decision=tree
    )
    raw = dsse.seal(schema.encode_json(document), kind=PAYLOAD_TYPE, private_keys=private_keys)
    verify(raw, trust=roles.of_keys([key.public for key in private_keys]), source=source)  # what is written opens
    return raw


def verify(raw: bytes, *, trust: Trust, source: str = "overlay") -> Signed:
    """Return a signed overlay, after steps 1 to 3.

    Raises:
        SignatureError: not an envelope of an overlay, a signature that does not hold, or too few (1, 2).
        BundleError: a value is missing, unknown or out of range (3).
    """
    sealed = dsse.parse(raw, kind=PAYLOAD_TYPE, source=source)  # 1
    accepted = _accepted(sealed, trust, source)  # 2
    document = schema.decode_json(sealed.payload, Document, source=source, error=BundleError)  # 3
    if schema.encode_json(document) != sealed.payload:
        raise BundleError(f"{source}: not in canonical form; make it with 'edgemed bundle overlay'")
    stated = schema.from_builtins(document.decision, _Decision, source=f"{source}: decision", error=BundleError)
    if stated.model != document.model:
        raise BundleError(f"{source}: decision.model: expected {document.model}, as in the overlay, got {stated.model}")
    return Signed(document=document, version=stated.version, digest=files.sha256(raw), accepted=accepted)


def admitted(bundle: Bundle, raw: bytes, *, trust: Trust, floor: int = 0, source: str = "overlay") -> Bundle:
    """Return a bundle with a new overlay in force: the question before it is kept or used for the first time.

    Args:
        bundle: verified, without an overlay.
        raw: the overlay's file.
        trust: whose signatures count.
        floor: highest decision version that this store has seen for the model; 0 for none.
        source: the file's name, for messages.

    Raises:
        BundleError: as `verify`, or for another bundle or model (4).
        RollbackError: not above the bundle's own version and the floor (5).
    """
    signed = verify(raw, trust=trust, source=source)
    _require_fit(signed, bundle, source)  # 4
    own = decision_version(bundle)
    if signed.version <= max(own, floor):  # 5
        known = f"{own}, the bundle's own" if own >= floor else f"{floor}, which this device has seen"
        raise RollbackError(f"{source}: decision version: expected more than {known}, got {signed.version}")
    return _with(bundle, signed)


def applied(bundle: Bundle, overlays: Mapping[str, bytes], *, trust: Trust, floor: int = 0) -> Bundle:
    """Return a bundle with the highest of a store's overlays in force; those for other models are left aside.

    Args:
        bundle: verified, without an overlay.
        overlays: files by name.
        trust: whose signatures count.
        floor: highest decision version that this store has seen for the model; 0 for none.

    Raises:
        BundleError: as `verify`, of any of them; or one for this model is for another bundle.
        RollbackError: what would be in force lies below the floor.
    """
    own = decision_version(bundle)
    fitting = []
    for name, raw in sorted(overlays.items()):
        signed = verify(raw, trust=trust, source=name)
        if signed.document.model == bundle.manifest.members[MODEL].sha256:
            _require_fit(signed, bundle, name)
            fitting.append(signed)
    newer = [signed for signed in fitting if signed.version > own]
    highest = max(newer, key=lambda signed: (signed.version, signed.digest), default=None)
    version = own if highest is None else highest.version
    if version < floor:
        raise RollbackError(
            f"{bundle.manifest.name}: decision version {version} lies below {floor}, which this device has seen; "
            "put the newer overlay back, or install a newer bundle"
        )
    return bundle if highest is None else _with(bundle, highest)


def decision_version(bundle: Bundle) -> int:
    """Return the version of the decision document in force.

    Raises:
        BundleError: the document has none.
    """
    tree = schema.decode_json(bundle.members[DECISION], dict[str, Any], source=DECISION, error=BundleError)
    return schema.from_builtins(tree, _Decision, source=DECISION, error=BundleError).version


def _accepted(sealed: dsse.Sealed, trust: Trust, source: str) -> tuple[PublicKey, ...]:
    """Step 2: the ``release`` keys that signed if they suffice, else the ``threshold`` keys."""
    dsse.signers(sealed, trust.root.every_key, source=source)
    release = trust.requirement(Role.RELEASE)
    signed = dsse.signers(sealed, release.keys, source=source)
    if len(signed) >= release.threshold:
        return signed
    return roles.require(sealed, trust.requirement(Role.THRESHOLD), source=source)


def _require_fit(signed: Signed, bundle: Bundle, source: str) -> None:
    """Step 4."""
    manifest, document = bundle.manifest, signed.document
    own = {
        "bundle": manifest.name,
        "model": manifest.members[MODEL].sha256,
        "labels": manifest.labels,
        "outputs": manifest.outputs,
    }
    for key, expected in own.items():
        got = getattr(document, key)
        if got != expected:
            raise BundleError(
                f"{source}: {key}: expected {expected}, as in {manifest.name} {manifest.version}, got {got}; "
                "make an overlay for this bundle"
            )


def _with(bundle: Bundle, signed: Signed) -> Bundle:
    members = MappingProxyType({**bundle.members, DECISION: signed.decision})
    shown = Overlay(version=signed.version, digest=signed.digest, accepted=signed.accepted)
    return replace(bundle, members=members, overlay=shown)
