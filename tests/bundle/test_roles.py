from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed.bundle import dsse, roles, trust
from edgemed.bundle.root import Role
from edgemed.errors import BundleError, EdgemedError, RollbackError, SignatureError
from tests.bundle import rooted, tiny

TRUST = rooted.trust()
ROOT, NEXT = rooted.ROOT, rooted.NEXT_ROOT
ID, NEXT_ID = ROOT.public.keyid[:16], NEXT.public.keyid[:16]
A, B, C = rooted.RELEASE
IDS = ", ".join(sorted(key.public.keyid[:16] for key in rooted.RELEASE))
MISSING = "have it signed by those that are missing"
NEW_ROOT = {Role.ROOT: [NEXT.public]}


def refusal(raw: bytes, error: type[BundleError], trusted: roles.Trust = TRUST) -> str:
    with pytest.raises(BundleError) as caught:
        roles.rotated(trusted, raw, source="root.json")
    assert type(caught.value) is error
    return str(caught.value)


def changed(**values: Any) -> dict[str, Any]:
    return {**rooted.tree(TRUST.root), "version": 2, **values}


def test_root_stands_for_itself() -> None:
    assert (TRUST.root.version, TRUST.raw) == (1, rooted.first())
    assert TRUST.requirement(Role.RELEASE).threshold == 2
    assert set(TRUST.requirement(Role.RELEASE).keys) == {key.public for key in rooted.RELEASE}


def test_step_1_another_kind_of_document_is_refused() -> None:
    raw = dsse.seal(b"{}", kind="application/vnd.edgemed.decision-overlay", private_keys=[ROOT])

    with pytest.raises(SignatureError) as caught:
        roles.parse(raw, source="root.json")

    assert str(caught.value) == (
        "root.json: payloadType: expected application/vnd.edgemed.trust-root, "
        "got 'application/vnd.edgemed.decision-overlay'"
    )


def test_step_1_size_is_bounded() -> None:
    with pytest.raises(SignatureError) as caught:
        roles.parse(bytes((256 << 10) + 1), source="root.json")

    assert str(caught.value) == "root.json: 262145 bytes are more than the 262144 accepted"


def test_step_2_signed_document_that_breaks_a_rule_is_refused() -> None:
    tree = rooted.tree(TRUST.root)
    tree["roles"]["release"]["threshold"] = 0

    with pytest.raises(BundleError) as caught:
        roles.parse(rooted.forged(tree, ROOT), source="root.json")

    assert str(caught.value) == "root.json: roles.release.threshold: expected `int` >= 1, value 0"


def test_step_2_document_that_is_not_canonical_is_refused() -> None:
    payload = dsse.parse(rooted.first(), kind=roles.PAYLOAD_TYPE, source="root").payload

    with pytest.raises(BundleError) as caught:
        roles.parse(roles.encode(payload + b" ", [ROOT]), source="root.json")

    assert str(caught.value) == "root.json: not in canonical form; make it with 'edgemed keys root new'"


def test_step_3_root_that_its_own_root_key_has_not_signed_is_refused() -> None:
    with pytest.raises(SignatureError) as caught:
        roles.parse(rooted.first(signers=[A]), source="root.json")

    assert str(caught.value) == (
        f"root.json: signed by {A.public.keyid[:16]}, expected 1 of the root keys of root 1 {ID}, got 0; {MISSING}"
    )


def test_next_root_signed_by_old_and_new_keys_is_taken() -> None:
    newer = roles.rotated(TRUST, rooted.following(TRUST, keys=NEW_ROOT, signers=[ROOT, NEXT]), source="root.json")

    assert newer.root.version == 2
    assert newer.requirement(Role.ROOT).keys == (NEXT.public,)


def test_step_4_forged_rotation_is_refused() -> None:
    message = refusal(rooted.following(TRUST, keys=NEW_ROOT, signers=[NEXT]), SignatureError)

    assert message == (f"root.json: signed by {NEXT_ID}, expected 1 of the root keys of root 1 {ID}, got 0; {MISSING}")


def test_step_4_old_threshold_counts() -> None:
    both = rooted.first(
        keys={**rooted.KEYS, Role.ROOT: [ROOT.public, NEXT.public]},
        needed={**rooted.NEEDED, Role.ROOT: 2},
        signers=[ROOT, NEXT],
    )
    trusted = roles.parse(both, source="root-1.json")

    message = refusal(rooted.following(trusted, needed={Role.ROOT: 1}), SignatureError, trusted)

    assert message == (
        f"root.json: signed by {ID}, expected 2 of the root keys of root 1 "
        f"{', '.join(sorted([ID, NEXT_ID]))}, got 1; {MISSING}"
    )


def test_step_4_a_release_key_signs_no_root() -> None:
    refusal(rooted.following(TRUST, signers=rooted.RELEASE), SignatureError)


def test_step_5_new_root_key_must_have_signed_too() -> None:
    message = refusal(rooted.following(TRUST, keys=NEW_ROOT, signers=[ROOT]), SignatureError)

    assert message == (f"root.json: signed by {ID}, expected 1 of the root keys of root 2 {NEXT_ID}, got 0; {MISSING}")


def test_step_5_revoked_root_key_counts_for_nothing_in_its_own_root() -> None:
    two = {Role.ROOT: [ROOT.public, NEXT.public]}
    trusted = roles.rotated(TRUST, rooted.following(TRUST, keys=two), source="root-2.json")

    message = refusal(rooted.following(trusted, revoke=[ROOT.public.keyid], signers=[ROOT]), SignatureError, trusted)

    assert message == (
        f"root.json: signed by {ID} (revoked), expected 1 of the root keys of root 3 {NEXT_ID}, got 0; {MISSING}"
    )


def test_compromised_root_key_is_revoked_by_the_others() -> None:
    two = {Role.ROOT: [ROOT.public, NEXT.public]}
    trusted = roles.rotated(TRUST, rooted.following(TRUST, keys=two), source="root-2.json")

    newer = roles.rotated(
        trusted, rooted.following(trusted, revoke=[ROOT.public.keyid], signers=[NEXT]), source="root-3.json"
    )

    assert newer.requirement(Role.ROOT).keys == (NEXT.public,)
    refusal(rooted.following(newer, signers=[ROOT]), SignatureError, newer)


VERSIONS = {"skipped": (3, BundleError), "the same": (1, RollbackError)}


@pytest.mark.parametrize(("version", "error"), VERSIONS.values(), ids=VERSIONS)
def test_step_6_version_must_be_the_next(version: int, error: type[BundleError]) -> None:
    message = refusal(rooted.forged(changed(version=version), ROOT), error)

    assert message == (
        f"root.json: version: expected 2, the one after the trusted root's, got {version}; "
        "apply the roots in their order"
    )


def test_step_6_older_root_does_not_come_back() -> None:
    second = roles.rotated(TRUST, rooted.following(TRUST), source="root-2.json")

    assert refusal(rooted.first(), RollbackError, second).startswith("root.json: version: expected 3, ")


REVOKED = roles.rotated(TRUST, rooted.following(TRUST, revoke=[C.public.keyid]), source="root-2.json")
REVOCATIONS: dict[str, tuple[dict[str, Any], type[BundleError], str]] = {
    "lower counter": (
        {"revocation": 0},
        RollbackError,
        "root.json: revocation: expected 1 or more, as in the trusted root, got 0",
    ),
    "key un-revoked": (
        {"revoked": [], "revocation": 2},
        RollbackError,
        f"root.json: revoked: {C.public.keyid[:16]} no longer among them; a revoked key stays revoked, make a new one",
    ),
    "counter that stands still": (
        {"revoked": sorted([C.public.keyid, "ab" * 32])},
        BundleError,
        "root.json: revocation: expected more than 1, for other keys are revoked, got 1",
    ),
}


@pytest.mark.parametrize(("values", "error", "message"), REVOCATIONS.values(), ids=REVOCATIONS)
def test_step_7_revocations_only_grow(values: Mapping[str, Any], error: type[BundleError], message: str) -> None:
    forged = rooted.forged({**rooted.tree(REVOKED.root), "version": 3, **values}, ROOT)

    assert refusal(forged, error, REVOKED) == message


def test_plain_keys_give_way_to_a_root_that_one_of_them_signed() -> None:
    plain = roles.of_keys([tiny.KEY.public, tiny.OTHER.public])

    assert roles.rotated(plain, rooted.first(signers=[ROOT, tiny.OTHER]), source="root.json").root == TRUST.root
    message = refusal(rooted.first(), SignatureError, plain)
    trusted = ", ".join(sorted(key.public.keyid[:16] for key in (tiny.KEY, tiny.OTHER)))
    assert message == f"root.json: signed by {ID}, expected 1 of the trusted keys {trusted}, got 0; {MISSING}"


def test_no_key_is_no_trust() -> None:
    with pytest.raises(SignatureError) as caught:
        roles.of_keys([])

    assert str(caught.value) == (
        "no trusted key was given; name one with --trust KEY.pub, or add it with 'edgemed keys trust KEY.pub'"
    )


@given(st.lists(st.tuples(st.integers(0, len(rooted.first()) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_root_is_refused(changes: list[tuple[int, int]]) -> None:
    raw = bytearray(rooted.first())
    for position, value in changes:
        raw[position] = value
    if raw == rooted.first():
        return
    with pytest.raises(BundleError):
        roles.parse(bytes(raw), source="root.json")


@given(st.binary(max_size=200))
def test_any_payload_that_is_signed_gives_a_root_or_an_error(payload: bytes) -> None:
    try:
        roles.parse(roles.encode(payload, [ROOT]), source="root.json")
    except EdgemedError:
        return


# Bundles under a root: `edgemed.bundle.trust` asks for as many release keys as it names.


def test_bundle_with_enough_release_signatures_opens() -> None:
    bundle = trust.verify(tiny.build(private_keys=[A, B]), trust=TRUST)

    assert set(bundle.accepted) == {A.public, B.public}


def test_bundle_with_too_few_release_signatures_is_refused() -> None:
    signed = ", ".join(sorted(key.public.keyid[:16] for key in (A, ROOT)))

    with pytest.raises(SignatureError) as caught:
        trust.verify(tiny.build(private_keys=[A, ROOT]), trust=TRUST)

    assert str(caught.value) == (
        f"signed by {signed}, expected 2 of the release keys of root 1 {IDS}, got 1; {MISSING}"
    )


def test_revoked_release_key_counts_for_nothing() -> None:
    two = ", ".join(sorted(key.public.keyid[:16] for key in (A, B)))
    signed = ", ".join(
        keyid[:16] + (" (revoked)" if keyid == C.public.keyid else "")
        for keyid in sorted(key.public.keyid for key in (A, C))
    )

    with pytest.raises(SignatureError) as caught:
        trust.verify(tiny.build(private_keys=[A, C]), trust=REVOKED)

    assert str(caught.value) == (
        f"signed by {signed}, expected 2 of the release keys of root 2 {two}, got 1; {MISSING}"
    )


def test_bundle_with_a_revoked_signature_beside_enough_others_opens() -> None:
    assert len(trust.verify(tiny.build(private_keys=[A, B, C]), trust=REVOKED).accepted) == 2


def test_inspection_tells_whether_the_signatures_suffice() -> None:
    one, two = (trust.inspect(tiny.build(private_keys=keys), trust=TRUST) for keys in ([A], [A, B]))

    assert (len(one.accepted), one.trusted) == (1, False)
    assert (len(two.accepted), two.trusted) == (2, True)


def test_keys_and_root_together_are_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match=r"^keys and trust: expected one of them, got both$"):
        trust.verify(tiny.build(), keys=[tiny.KEY.public], trust=TRUST)
