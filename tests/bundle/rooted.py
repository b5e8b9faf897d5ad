"""Trust roots for tests: one root key, three release keys of which two must sign, one threshold key."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from edgemed import schema
from edgemed.bundle import roles
from edgemed.bundle import root as roots
from edgemed.bundle.keys import PrivateKey, PublicKey
from edgemed.bundle.roles import Trust
from edgemed.bundle.root import Role, Root


def key(number: int) -> PrivateKey:
    """Return a key of its own for each number up to 200."""
    return PrivateKey(seed=bytes([number]) * 32)


ROOT, NEXT_ROOT, THRESHOLD = key(1), key(2), key(3)
RELEASE = [key(number) for number in (11, 12, 13)]
KEYS = {
    Role.ROOT: [ROOT.public],
    Role.RELEASE: [one.public for one in RELEASE],
    Role.THRESHOLD: [THRESHOLD.public],
}
NEEDED = {Role.ROOT: 1, Role.RELEASE: 2, Role.THRESHOLD: 1}


def first(
    *,
    keys: Mapping[Role, Sequence[PublicKey]] = KEYS,
    needed: Mapping[Role, int] = NEEDED,
    signers: Sequence[PrivateKey] = (ROOT,),
) -> bytes:
    """Return a signed root of version 1."""
    return roles.encode(roots.payload_of(version=1, keys=keys, thresholds=needed), signers)


def trust() -> Trust:
    """Return the root of version 1, trusted."""
    return roles.parse(first(), source="root-1.json")


def following(
    trusted: Trust,
    *,
    keys: Mapping[Role, Sequence[PublicKey]] | None = None,
    needed: Mapping[Role, int] | None = None,
    revoke: Collection[str] = (),
    signers: Sequence[PrivateKey] = (ROOT,),
) -> bytes:
    """Return the signed root that follows a trusted one."""
    payload = roots.successor(trusted.root, keys=keys or {}, thresholds=needed or {}, revoke=revoke)
    return roles.encode(payload, signers)


def tree(root: Root) -> dict[str, Any]:
    """Return a root as JSON values that a forger may change."""
    built: dict[str, Any] = schema.to_builtins(root)
    return built


def forged(values: Mapping[str, Any], *signers: PrivateKey) -> bytes:
    """Return a root document of any values, signed."""
    return roles.encode(schema.encode_json(values), signers)
