from __future__ import annotations

from pathlib import Path

import pytest

from edgemed.bundle import archive, cosigning, overlay, trust
from edgemed.errors import BundleError, SignatureError
from tests.bundle import rooted, test_overlay, tiny


def written(path: Path, raw: bytes) -> Path:
    path.write_bytes(raw)
    return path


def test_adding_a_signature_equals_building_with_both_keys(tmp_path: Path) -> None:
    path = written(tmp_path / "a.edgemed", tiny.build(private_keys=[tiny.KEY]))

    signed = cosigning.with_signatures(path, [tiny.OTHER])

    assert signed.raw == tiny.build(private_keys=[tiny.KEY, tiny.OTHER])
    assert signed.title == "tiny 1.0.0, release 1"
    assert signed.keyids == tuple(sorted(key.public.keyid for key in (tiny.KEY, tiny.OTHER)))


def test_signing_twice_changes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "a.edgemed", tiny.build())

    assert cosigning.with_signatures(path, [tiny.KEY]).raw == tiny.build()


def test_two_holders_sign_one_after_the_other_for_a_root(tmp_path: Path) -> None:
    first, second, _ = rooted.RELEASE
    path = written(tmp_path / "a.edgemed", tiny.build(private_keys=[first]))

    signed = cosigning.with_signatures(path, [second])

    assert len(trust.verify(signed.raw, trust=rooted.trust()).accepted) == 2


def test_altered_bundle_is_not_signed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.edgemed", tiny.build().replace(b"model/int8", b"model/int9"))

    with pytest.raises(BundleError):
        cosigning.with_signatures(path, [tiny.OTHER])


def test_more_signatures_than_a_bundle_holds_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.edgemed", tiny.build(private_keys=[rooted.key(number) for number in range(20, 36)]))

    with pytest.raises(SignatureError) as caught:
        cosigning.with_signatures(path, [tiny.KEY])

    assert str(caught.value) == "archive: expected 1 to 16 signatures, got 17"
    assert len(archive.read(path.read_bytes()).envelopes) == 16


def test_overlay_is_signed_too(tmp_path: Path) -> None:
    path = written(tmp_path / "a.overlay", test_overlay.signed(keys=[rooted.RELEASE[0]]))

    signed = cosigning.with_signatures(path, [rooted.RELEASE[1]])

    assert signed.raw == test_overlay.signed(keys=rooted.RELEASE[:2])
    assert signed.title == "decision overlay 3 for tiny"
    assert len(overlay.verify(signed.raw, trust=rooted.trust()).accepted) == 2


def test_overlay_that_no_device_takes_is_not_signed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.overlay", test_overlay.forged(surplus=1))

    with pytest.raises(BundleError) as caught:
        cosigning.with_signatures(path, [tiny.OTHER])

    assert str(caught.value) == f"{path}: surplus: unknown key"


def test_root_that_breaks_a_rule_is_not_signed() -> None:
    raw = rooted.forged({**rooted.tree(rooted.trust().root), "version": 0}, rooted.ROOT)

    with pytest.raises(BundleError) as caught:
        cosigning.root_with_signatures(raw, [rooted.NEXT_ROOT], source="root.json")

    assert str(caught.value) == "root.json: version: expected `int` >= 1, value 0"


def test_root_is_no_overlay(tmp_path: Path) -> None:
    path = written(tmp_path / "root.json", rooted.first())

    with pytest.raises(SignatureError) as caught:
        cosigning.with_signatures(path, [tiny.KEY])

    assert str(caught.value) == (
        f"{path}: payloadType: expected application/vnd.edgemed.decision-overlay, "
        "got 'application/vnd.edgemed.trust-root'"
    )


def test_root_gets_the_signature_that_is_missing() -> None:
    raw = rooted.first(signers=[rooted.RELEASE[0]])

    signed = cosigning.root_with_signatures(raw, [rooted.ROOT], source="root.json")

    assert signed.raw == rooted.first(signers=[rooted.RELEASE[0], rooted.ROOT])
