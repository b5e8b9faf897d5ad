"""The trust root document: keys by their ids, the roles they have, and the keys that are revoked.

Rules: a `Root` is sound once built. Each key lies under its own id; every role has a threshold of at least 1, names
listed keys, none twice, and has at least as many keys that are not revoked as its threshold asks for. Equal contents
give equal bytes.

    payload = root.payload_of(version=1, keys={Role.ROOT: [key], ...}, thresholds={Role.ROOT: 1, ...})
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgemed import schema
from edgemed.bundle.keys import PublicKey
from edgemed.errors import ConfigError

__all__ = ["KeyId", "Role", "RoleKeys", "Roles", "Root", "payload_of"]

_KEYS_LIMIT = 256
_COUNTER_LIMIT = (1 << 53) - 1

KeyId = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_RawKey = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Role(str, enum.Enum):
    """What a key may sign: the next root, bundles, or decision overlays."""

    ROOT = "root"
    RELEASE = "release"
    THRESHOLD = "threshold"


class RoleKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of one role, and how many of them must sign."""

    keyids: Annotated[tuple[KeyId, ...], Meta(min_length=1, max_length=_KEYS_LIMIT)]
    threshold: Annotated[int, Meta(ge=1, le=_KEYS_LIMIT)]


class Roles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of every role, under the names of `Role`."""

    root: RoleKeys
    release: RoleKeys
    threshold: RoleKeys


class Root(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The trust root document.

    Attributes:
        version: 1 for the first, rising by one; 0 stands for a plain list of keys and is in no file.
        keys: the 32 bytes of each Ed25519 key as hex, by key id.
        revoked: ids of keys that count for nothing any more; a revoked key need not be listed among ``keys``.
        revocation: counter that rises whenever ``revoked`` changes.
    """

    schema: Literal[1] = 1
    version: Annotated[int, Meta(ge=1, le=_COUNTER_LIMIT)]
    keys: Annotated[dict[KeyId, _RawKey], Meta(min_length=1, max_length=_KEYS_LIMIT)]
    roles: Roles
    revoked: Annotated[tuple[KeyId, ...], Meta(max_length=4096)] = ()
    revocation: Annotated[int, Meta(ge=0, le=_COUNTER_LIMIT)] = 0

    def __post_init__(self) -> None:
        for keyid, raw in self.keys.items():
            if PublicKey(raw=bytes.fromhex(raw)).keyid != keyid:
                raise ValueError(f"keys: {keyid[:16]} is not the id of the key under it")
        if len(set(self.revoked)) != len(self.revoked):
            raise ValueError("revoked: a key repeats")
        for role in Role:
            self._require_sound(role)

    def _require_sound(self, role: Role) -> None:
        named = self.role(role)
        where = f"roles.{role.value}"
        if len(set(named.keyids)) != len(named.keyids):
            raise ValueError(f"{where}: a key repeats")
        if unlisted := [keyid[:16] for keyid in named.keyids if keyid not in self.keys]:
            raise ValueError(f"{where}: {', '.join(unlisted)}: not among the keys")
        valid = len(set(named.keyids) - set(self.revoked))
        if valid < named.threshold:
            raise ValueError(f"{where}: {named.threshold} must sign, but {valid} of its keys are not revoked")

    def role(self, role: Role) -> RoleKeys:
        """Return the keys of a role and its threshold."""
        found: RoleKeys = getattr(self.roles, role.value)
        return found

    def public(self, role: Role) -> tuple[PublicKey, ...]:
        """Return the keys of a role that are not revoked, by key id."""
        valid = [keyid for keyid in sorted(self.role(role).keyids) if keyid not in self.revoked]
        return tuple(PublicKey(raw=bytes.fromhex(self.keys[keyid])) for keyid in valid)

    @property
    def every_key(self) -> tuple[PublicKey, ...]:
        """Every listed key, of any role, revoked or not, by key id."""
        return tuple(PublicKey(raw=bytes.fromhex(raw)) for _, raw in sorted(self.keys.items()))


def payload_of(
    *,
    version: int,
    keys: Mapping[Role, Sequence[PublicKey]],
    thresholds: Mapping[Role, int],
    revoked: Iterable[str] = (),
    revocation: int = 0,
) -> bytes:
    """Return the canonical JSON of a root document; equal arguments give equal bytes.

    Args:
        version: as in `Root`.
        keys: of every role.
        thresholds: how many of a role's keys must sign.
        revoked: as in `Root`, in any order.
        revocation: as in `Root`.

    Raises:
        ConfigError: a value breaks a rule of the document.
    """
    tree = {
        "schema": 1,
        "version": version,
        "keys": {key.keyid: key.raw.hex() for listed in keys.values() for key in listed},
        "roles": {
            role.value: {"keyids": sorted(key.keyid for key in keys[role]), "threshold": thresholds[role]}
            for role in Role
        },
        "revoked": sorted(revoked),
        "revocation": revocation,
    }
    return schema.encode_json(schema.from_builtins(tree, Root, source="trust root", error=ConfigError))
