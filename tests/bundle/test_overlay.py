from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed import files, schema
from edgemed.bundle import archive, dsse, overlay, roles, trust
from edgemed.bundle.archive import Bundle
from edgemed.bundle.keys import PrivateKey
from edgemed.errors import BundleError, ConfigError, RollbackError, SignatureError
from tests.bundle import rooted, tiny

MODEL = files.sha256(tiny.MODEL)
OTHER_MODEL = "sha256:" + "0" * 64
TRUST = roles.of_keys([tiny.KEY.public])
ROOTED = rooted.trust()


def decision(version: int, **values: Any) -> bytes:
    return schema.encode_json({"model": MODEL, "version": version, "active": "rule-in", **values})


def bundle(version: int = 2, *, name: str = "tiny", model: bytes = tiny.MODEL) -> Bundle:
    """Return the tiny bundle, verified, with thresholds of a version."""
    document = schema.encode_json({"model": files.sha256(model), "version": version})
    members = {**tiny.MEMBERS, "model/int8.tflite": model, "decision.json": document}
    raw = archive.build(
        tiny.described("generic-x86-64", name=name), members, version="1.0.0", release=1, private_keys=[tiny.KEY]
    )
    return trust.verify(raw, keys=[tiny.KEY.public])


BUNDLE = bundle()
RAW = overlay.encode(BUNDLE, decision(3), private_keys=[tiny.KEY])


def signed(version: int = 3, *, keys: Sequence[PrivateKey] = (tiny.KEY,)) -> bytes:
    return overlay.encode(BUNDLE, decision(version), private_keys=keys)


def forged(**values: Any) -> bytes:
    """Return an overlay of other values, signed by the trusted key."""
    tree = schema.decode_json(
        dsse.parse(RAW, kind=overlay.PAYLOAD_TYPE, source="x").payload, dict[str, Any], source="x"
    )
    return dsse.seal(schema.encode_json({**tree, **values}), kind=overlay.PAYLOAD_TYPE, private_keys=[tiny.KEY])


def refusal(raw: bytes, error: type[BundleError], *, floor: int = 0, trusted: roles.Trust = TRUST) -> str:
    with pytest.raises(BundleError) as caught:
        overlay.admitted(BUNDLE, raw, trust=trusted, floor=floor, source="a.overlay")
    assert type(caught.value) is error
    return str(caught.value)


def test_overlay_replaces_the_decision_and_nothing_else() -> None:
    overlaid = overlay.admitted(BUNDLE, RAW, trust=TRUST)

    assert overlaid.members == {**BUNDLE.members, "decision.json": decision(3)}
    assert overlaid.digest == BUNDLE.digest
    assert overlaid.overlay is not None
    assert (overlaid.overlay.version, overlaid.overlay.digest) == (3, files.sha256(RAW))
    assert overlaid.overlay.accepted == (tiny.KEY.public,)
    assert BUNDLE.overlay is None


def test_the_same_document_gives_the_same_bytes() -> None:
    assert signed() == RAW


ENCODE_REFUSED = {
    "another model": (
        decision(3, model=OTHER_MODEL),
        f"new.json: model: expected {MODEL}, the model of this bundle, got {OTHER_MODEL}",
    ),
    "the bundle's own version": (decision(2), "new.json: version: expected more than 2, the bundle's own, got 2"),
    "no version": (schema.encode_json({"model": MODEL}), "new.json: version: required key is missing"),
    "no JSON": (b"{", "new.json: expected JSON, got bytes that are not: Input data was truncated"),
}


@pytest.mark.parametrize(("document", "message"), ENCODE_REFUSED.values(), ids=ENCODE_REFUSED)
def test_document_that_does_not_fit_is_not_signed(document: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        overlay.encode(BUNDLE, document, private_keys=[tiny.KEY], source="new.json")

    assert str(caught.value) == message


def test_document_too_large_to_be_read_again_is_not_signed() -> None:
    document = decision(3, note="x" * (25 << 20))

    with pytest.raises(SignatureError, match=r"^decision\.json: \d+ bytes are more than the 33554432 accepted$"):
        overlay.encode(BUNDLE, document, private_keys=[tiny.KEY])


def test_step_1_a_trust_root_is_no_overlay() -> None:
    message = refusal(rooted.first(signers=[tiny.KEY]), SignatureError)

    assert message == (
        "a.overlay: payloadType: expected application/vnd.edgemed.decision-overlay, "
        "got 'application/vnd.edgemed.trust-root'"
    )


def test_step_2_stranger_signs_no_overlay() -> None:
    message = refusal(signed(keys=[tiny.STRANGER]), SignatureError)

    assert message == (
        f"a.overlay: signed by {tiny.STRANGER.public.keyid[:16]}, expected 1 of the trusted keys "
        f"{tiny.KEY.public.keyid[:16]}, got 0; have it signed by those that are missing"
    )


ACCEPTED = {
    "threshold key": [rooted.THRESHOLD],
    "enough release keys": rooted.RELEASE[:2],
    "both": [rooted.THRESHOLD, *rooted.RELEASE],
}


@pytest.mark.parametrize("keys", ACCEPTED.values(), ids=ACCEPTED)
def test_step_2_threshold_role_or_release_role_is_enough(keys: list[PrivateKey]) -> None:
    overlaid = overlay.admitted(BUNDLE, signed(keys=keys), trust=ROOTED)

    assert overlaid.overlay is not None


TOO_FEW = {"one release key of two": rooted.RELEASE[:1], "root key": [rooted.ROOT]}


@pytest.mark.parametrize("keys", TOO_FEW.values(), ids=TOO_FEW)
def test_step_2_other_roles_are_not_enough(keys: list[PrivateKey]) -> None:
    message = refusal(signed(keys=keys), SignatureError, trusted=ROOTED)

    assert message == (
        f"a.overlay: signed by {keys[0].public.keyid[:16]}, expected 1 of the threshold keys of root 1 "
        f"{rooted.THRESHOLD.public.keyid[:16]}, got 0; have it signed by those that are missing"
    )


FORGED = {
    "unknown key": ({"note": ""}, "a.overlay: note: unknown key"),
    "decision of another model": (
        {"decision": {"model": OTHER_MODEL, "version": 3}},
        f"a.overlay: decision.model: expected {MODEL}, as in the overlay, got {OTHER_MODEL}",
    ),
    "decision without a version": (
        {"decision": {"model": MODEL}},
        "a.overlay: decision: version: required key is missing",
    ),
    "another bundle": (
        {"bundle": "other"},
        "a.overlay: bundle: expected tiny, as in tiny 1.0.0, got other; make an overlay for this bundle",
    ),
    "another model": (
        {"model": OTHER_MODEL, "decision": {"model": OTHER_MODEL, "version": 3}},
        f"a.overlay: model: expected {MODEL}, as in tiny 1.0.0, got {OTHER_MODEL}; make an overlay for this bundle",
    ),
    "other labels": (
        {"labels": ["normal"]},
        "a.overlay: labels: expected ('abnormal',), as in tiny 1.0.0, got ('normal',); make an overlay for this bundle",
    ),
    "other outputs": (
        {"outputs": ["mask"]},
        "a.overlay: outputs: expected ('logit',), as in tiny 1.0.0, got ('mask',); make an overlay for this bundle",
    ),
}


@pytest.mark.parametrize(("values", "message"), FORGED.values(), ids=FORGED)
def test_steps_3_and_4_overlay_that_does_not_fit_is_refused(values: dict[str, Any], message: str) -> None:
    found = refusal(forged(**values), BundleError)

    assert found == message


def test_step_3_payload_that_is_not_canonical_is_refused() -> None:
    payload = dsse.parse(RAW, kind=overlay.PAYLOAD_TYPE, source="x").payload
    raw = dsse.seal(payload + b"\n", kind=overlay.PAYLOAD_TYPE, private_keys=[tiny.KEY])

    assert refusal(raw, BundleError) == "a.overlay: not in canonical form; make it with 'edgemed bundle overlay'"


def test_step_5_version_must_rise_above_the_bundle() -> None:
    message = refusal(forged(decision={"model": MODEL, "version": 2}), RollbackError)

    assert message == "a.overlay: decision version: expected more than 2, the bundle's own, got 2"


def test_step_5_version_must_rise_above_what_the_device_has_seen() -> None:
    message = refusal(RAW, RollbackError, floor=3)

    assert message == "a.overlay: decision version: expected more than 3, which this device has seen, got 3"


def test_highest_of_a_store_is_in_force() -> None:
    overlaid = overlay.applied(BUNDLE, {"b": signed(4), "a": signed(3), "c": signed(3)}, trust=TRUST, floor=4)

    assert overlay.decision_version(overlaid) == 4


def test_store_without_overlays_leaves_the_bundle_as_it_is() -> None:
    assert overlay.applied(BUNDLE, {}, trust=TRUST, floor=2) is BUNDLE


def test_overlay_of_another_model_is_left_aside() -> None:
    other = bundle(model=b"other")

    assert overlay.applied(other, {"a": RAW}, trust=TRUST) is other


def test_newer_bundle_of_the_same_model_overtakes_an_overlay() -> None:
    newer = bundle(3)

    assert overlay.applied(newer, {"a": RAW}, trust=TRUST, floor=3) is newer


def test_overlay_that_was_taken_away_is_missed() -> None:
    with pytest.raises(RollbackError) as caught:
        overlay.applied(BUNDLE, {}, trust=TRUST, floor=3)

    assert str(caught.value) == (
        "tiny: decision version 2 lies below 3, which this device has seen; "
        "put the newer overlay back, or install a newer bundle"
    )


def test_one_altered_overlay_of_a_store_refuses_all() -> None:
    with pytest.raises(SignatureError):
        overlay.applied(BUNDLE, {"a": RAW, "b": signed(4)[:-1]}, trust=TRUST)


def test_every_flipped_bit_of_an_overlay_is_refused() -> None:
    for position in range(len(RAW)):
        flipped = bytearray(RAW)
        flipped[position] ^= 1 << (position % 8)
        with pytest.raises(BundleError):
            overlay.verify(bytes(flipped), trust=TRUST)


@given(st.binary(max_size=100))
def test_any_payload_that_is_signed_gives_an_overlay_or_a_bundle_error(payload: bytes) -> None:
    try:
        overlay.verify(dsse.seal(payload, kind=overlay.PAYLOAD_TYPE, private_keys=[tiny.KEY]), trust=TRUST)
    except BundleError:
        return
