"""Whom a device trusts for what, and how one trust root gives way to the next: a pure state machine.

A root names the keys, and for each role how many of them must sign: ``root`` (the next root), ``release`` (bundles) and
``threshold`` (decision overlays). A plain list of keys is the root of version 0: each key alone may sign everything.
Nothing here looks at a clock, a network or a file.

`parse` takes a document that stands for itself:

1. The size is bounded; the DSSE envelope has one form and the payload type of a root.
2. The payload is strict, canonical JSON, and sound as `edgemed.bundle.root` says: no unknown role, no threshold of 0 or
   above the number of keys that are not revoked, no key twice in a role.
3. Every signature by a listed key holds, and enough keys of its own ``root`` role have signed. A signature by a key
   that is revoked or not listed counts for nothing.

`rotated` takes the document that follows a trusted one:

4. Step 1 holds, and enough keys of the trusted root's ``root`` role have signed, by that root's own threshold.
5. Steps 2 and 3 hold.
6. The version is the trusted one's plus one: nothing is skipped, and nothing comes back.
7. The revocation counter is not lower, no key is un-revoked, and another list of revoked keys has a higher counter.

    trusted = roles.parse(raw, source="root.json")
    trusted = roles.rotated(trusted, newer, source="root-2.json")

Source: The Update Framework 1.0.33, section 5.3 (update the root role), without its expiry: devices have no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from edgemed import schema
from edgemed.bundle import dsse
from edgemed.bundle.keys import PrivateKey, PublicKey
from edgemed.bundle.root import Role, RoleKeys, Roles, Root
from edgemed.errors import BundleError, RollbackError, SignatureError

__all__ = [
    "PAYLOAD_TYPE",
    "ROOT_LIMIT_BYTES",
    "Requirement",
    "Trust",
    "contents",
    "encode",
    "of_keys",
    "parse",
    "require",
    "rotated",
]

PAYLOAD_TYPE: Final = "application/vnd.edgemed.trust-root"
ROOT_LIMIT_BYTES = 256 << 10


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """How many of which keys must have signed.

    Attributes:
        keys: whose signatures count, by key id.
        threshold: how many of them are needed, at least 1.
        revoked: ids of keys that count for nothing; for the message alone.
        by: whose keys these are, in words.
    """

    keys: tuple[PublicKey, ...]
    threshold: int
    revoked: tuple[str, ...]
    by: str

    def refusal(self, signed: Iterable[str], accepted: Sequence[PublicKey]) -> str:
        """Say who has signed and who should have, with key ids cut to 16 digits."""
        said = ", ".join(keyid[:16] + (" (revoked)" if keyid in self.revoked else "") for keyid in signed)
        trusted = ", ".join(key.keyid[:16] for key in self.keys)
        return (
            f"signed by {said}, expected {self.threshold} of the {self.by} {trusted}, got {len(accepted)}; "
            "have it signed by those that are missing"
        )


@dataclass(frozen=True, kw_only=True)
class Trust:
    """A trust root that was accepted.

    Attributes:
        root: the document.
        raw: its envelope, as a device keeps it; None for a plain list of keys.
    """

    root: Root
    raw: bytes | None = None

    def requirement(self, role: Role) -> Requirement:
        """Return what a document of this role needs."""
        return Requirement(
            keys=self.root.public(role),
            threshold=self.root.role(role).threshold,
            revoked=self.root.revoked,
            by=f"{role.value} keys of root {self.root.version}" if self.root.version else "trusted keys",
        )


def of_keys(keys: Sequence[PublicKey]) -> Trust:
    """Return the trust in a plain list of keys: each of them alone may sign everything.

    Raises:
        SignatureError: there is none.
    """
    if not keys:
        raise SignatureError(
            "no trusted key was given; name one with --trust KEY.pub, or add it with 'edgemed keys trust KEY.pub'"
        )
    listed = {key.keyid: key.raw.hex() for key in keys}
    alone = RoleKeys(keyids=tuple(sorted(listed)), threshold=1)
    return Trust(root=Root(version=0, keys=listed, roles=Roles(root=alone, release=alone, threshold=alone)))


def encode(payload: bytes, private_keys: Sequence[PrivateKey]) -> bytes:
    """Return the signed document of a `root.payload_of`; whether the signatures suffice, `parse` and `rotated` say."""
    return dsse.seal(payload, kind=PAYLOAD_TYPE, private_keys=private_keys)


def parse(raw: bytes, *, source: str) -> Trust:
    """Return a root document that stands for itself, after steps 1 to 3; whether to trust it is the caller's to say.

    Raises:
        SignatureError: not an envelope of a root, a signature that does not hold, or too few (1, 3).
        BundleError: a value is missing, unknown or breaks a rule (2).
    """
    return _sound(_sealed(raw, source), raw, source)


def contents(raw: bytes, *, source: str) -> tuple[Root, tuple[str, ...]]:
    """Return a root document and who is said to have signed it, after all steps but "enough" of 3: to show it.

    Raises:
        BundleError: as `parse`, but for too few signatures.
    """
    sealed = _sealed(raw, source)
    root = _document(sealed, source)
    dsse.signers(sealed, root.every_key, source=source)
    return root, tuple(sealed.signatures)


def rotated(trust: Trust, raw: bytes, *, source: str) -> Trust:
    """Return the trust after a newer root document was accepted, after steps 4 to 7.

    Raises:
        SignatureError: too few signatures by the trusted root's or by its own root keys, or one that does not hold.
        RollbackError: the version or the revocation counter goes back, or a key is un-revoked (6, 7).
        BundleError: as `parse`, a version was skipped, or the counter stands still though keys were revoked (6, 7).
    """
    sealed = _sealed(raw, source)
    require(sealed, trust.requirement(Role.ROOT), source=source)  # 4
    newer = _sound(sealed, raw, source)  # 5
    _require_next_version(trust.root, newer.root, source)  # 6
    _require_revocation(trust.root, newer.root, source)  # 7
    return newer


def require(sealed: dsse.Sealed, needed: Requirement, *, source: str) -> tuple[PublicKey, ...]:
    """Return the keys that have signed a document, if they are enough.

    Raises:
        SignatureError: a signature by one of the keys does not hold, or there are too few.
    """
    accepted = dsse.signers(sealed, needed.keys, source=source)
    if len(accepted) < needed.threshold:
        raise SignatureError(f"{source}: {needed.refusal(sealed.signatures, accepted)}")
    return accepted


def _sealed(raw: bytes, source: str) -> dsse.Sealed:
    """Step 1."""
    return dsse.parse(raw, kind=PAYLOAD_TYPE, source=source, limit_bytes=ROOT_LIMIT_BYTES)


def _document(sealed: dsse.Sealed, source: str) -> Root:
    """Step 2."""
    root = schema.decode_json(sealed.payload, Root, source=source, error=BundleError)
    if schema.encode_json(root) != sealed.payload:
        raise BundleError(f"{source}: not in canonical form; make it with 'edgemed keys root new'")
    return root


def _sound(sealed: dsse.Sealed, raw: bytes, source: str) -> Trust:
    """Steps 2 and 3."""
    root = _document(sealed, source)  # 2
    dsse.signers(sealed, root.every_key, source=source)  # 3
    trust = Trust(root=root, raw=raw)
    require(sealed, trust.requirement(Role.ROOT), source=source)
    return trust


def _require_next_version(old: Root, new: Root, source: str) -> None:
    """Step 6."""
    if new.version != old.version + 1:
        error = RollbackError if new.version <= old.version else BundleError
        raise error(
            f"{source}: version: expected {old.version + 1}, the one after the trusted root's, got {new.version}; "
            "apply the roots in their order"
        )


def _require_revocation(old: Root, new: Root, source: str) -> None:
    """Step 7."""
    if new.revocation < old.revocation:
        raise RollbackError(
            f"{source}: revocation: expected {old.revocation} or more, as in the trusted root, got {new.revocation}"
        )
    if back := sorted(set(old.revoked) - set(new.revoked)):
        raise RollbackError(
            f"{source}: revoked: {', '.join(keyid[:16] for keyid in back)} no longer among them; "
            "a revoked key stays revoked, make a new one"
        )
    if set(new.revoked) != set(old.revoked) and new.revocation == old.revocation:
        raise BundleError(
            f"{source}: revocation: expected more than {old.revocation}, for other keys are revoked, "
            f"got {new.revocation}"
        )
