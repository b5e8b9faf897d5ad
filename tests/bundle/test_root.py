from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed import schema
from edgemed.bundle import root as roots
from edgemed.bundle.root import Role, Root
from edgemed.errors import ConfigError
from tests.bundle import rooted

KEYS, NEEDED = rooted.KEYS, rooted.NEEDED
ROOT = rooted.trust().root
ID = rooted.ROOT.public.keyid


def built(**changes: Any) -> bytes:
    return roots.payload_of(**{"version": 1, "keys": KEYS, "thresholds": NEEDED, **changes})


def test_document_has_the_fields_of_the_contract() -> None:
    document = schema.decode_json(built(), dict[str, Any], source="root")

    assert sorted(document) == ["keys", "revocation", "revoked", "roles", "schema", "version"]
    assert document["roles"]["release"] == {
        "keyids": sorted(key.public.keyid for key in rooted.RELEASE),
        "threshold": 2,
    }
    assert document["keys"][ID] == rooted.ROOT.public.raw.hex()


@given(st.permutations(KEYS[Role.RELEASE]))
def test_bytes_do_not_depend_on_the_order_of_keys(order: list[Any]) -> None:
    assert built(keys={**KEYS, Role.RELEASE: order}) == built()


REFUSED = {
    "threshold of 0": (
        {"thresholds": {**NEEDED, Role.RELEASE: 0}},
        "trust root: roles.release.threshold: expected `int` >= 1, value 0",
    ),
    "fewer keys than the threshold": (
        {"thresholds": {**NEEDED, Role.RELEASE: 4}},
        "trust root: roles.release: 4 must sign, but 3 of its keys are not revoked",
    ),
    "fewer keys than the threshold after a revocation": (
        {"revoked": [key.public.keyid for key in rooted.RELEASE[:2]]},
        "trust root: roles.release: 2 must sign, but 1 of its keys are not revoked",
    ),
    "repeated key": (
        {"keys": {**KEYS, Role.ROOT: [rooted.ROOT.public, rooted.ROOT.public]}},
        "trust root: roles.root: a key repeats",
    ),
    "no key": ({"keys": {**KEYS, Role.ROOT: []}}, "trust root: roles.root.keyids: expected `array` of length >= 1"),
    "revoked twice": ({"revoked": ["a" * 64, "a" * 64]}, "trust root: revoked: a key repeats"),
    "version 0": ({"version": 0}, "trust root: version: expected `int` >= 1, value 0"),
    "negative counter": ({"revocation": -1}, "trust root: revocation: expected `int` >= 0, value -1"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_root_that_breaks_a_rule_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        built(**changes)

    assert str(caught.value) == message


FORGED = {
    "unknown role": (
        lambda tree: tree["roles"].update(admin=tree["roles"]["root"]),
        "root.json: roles.admin: unknown key",
    ),
    "missing role": (
        lambda tree: tree["roles"].pop("threshold"),
        "root.json: roles.threshold: required key is missing",
    ),
    "key under another id": (
        lambda tree: tree["keys"].update({ID: rooted.NEXT_ROOT.public.raw.hex()}),
        f"root.json: keys: {ID[:16]} is not the id of the key under it",
    ),
    "role with a key that is not listed": (
        lambda tree: tree["keys"].pop(ID),
        f"root.json: roles.root: {ID[:16]}: not among the keys",
    ),
    "another schema": (lambda tree: tree.update(schema=2), "root.json: schema: invalid enum value 2, value 2"),
}


@pytest.mark.parametrize(("forge", "message"), FORGED.values(), ids=FORGED)
def test_document_that_breaks_a_rule_is_refused(forge: Any, message: str) -> None:
    tree = schema.decode_json(built(), dict[str, Any], source="root")
    forge(tree)

    with pytest.raises(ConfigError) as caught:
        schema.from_builtins(tree, Root, source="root.json")

    assert str(caught.value) == message


def test_successor_keeps_what_is_not_said() -> None:
    following = schema.decode_json(roots.successor(ROOT), Root, source="root")

    assert (following.version, following.revocation, following.revoked) == (2, 0, ())
    assert (following.keys, following.roles) == (ROOT.keys, ROOT.roles)


def test_revoked_key_leaves_its_role_and_the_counter_rises() -> None:
    gone = rooted.RELEASE[0].public

    following = schema.decode_json(roots.successor(ROOT, revoke=[gone.keyid]), Root, source="root")

    assert following.revoked == (gone.keyid,)
    assert following.revocation == 1
    assert gone not in following.public(Role.RELEASE)
    assert len(following.public(Role.RELEASE)) == 2


def test_revoking_more_keys_than_a_role_can_miss_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        roots.successor(ROOT, revoke=[key.public.keyid for key in rooted.RELEASE[:2]])

    assert str(caught.value) == "trust root: roles.release: 2 must sign, but 1 of its keys are not revoked"


def test_key_that_is_not_in_the_root_cannot_be_revoked() -> None:
    with pytest.raises(ConfigError) as caught:
        roots.successor(ROOT, revoke=["ab" * 32])

    assert str(caught.value) == (
        "trust root: revoke: abababababababab: expected keys of the root; 'edgemed keys root show' lists them"
    )


def test_revoked_key_gets_no_role_again() -> None:
    gone = rooted.RELEASE[0].public

    with pytest.raises(ConfigError) as caught:
        roots.successor(ROOT, keys={Role.THRESHOLD: [gone]}, revoke=[gone.keyid])

    assert str(caught.value) == (f"trust root: {gone.keyid[:16]}: revoked; a revoked key stays revoked, make a new one")
