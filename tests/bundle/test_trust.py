from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemed import files, schema
from edgemed.bundle import archive, signing, stored_zip, trust
from edgemed.bundle.archive import Bundle
from edgemed.bundle.keys import PrivateKey
from edgemed.errors import (
    BundleError,
    DigestError,
    SignatureError,
)
from tests.bundle import tiny

RAW = tiny.build()
TAKEN = archive.read(RAW)
EVERYTHING = {**TAKEN.members, **TAKEN.envelopes, "manifest.json": TAKEN.manifest}
TRUSTED = [tiny.KEY.public]
ID, OTHER_ID, STRANGER_ID = (key.public.keyid[:16] for key in (tiny.KEY, tiny.OTHER, tiny.STRANGER))


def repacked(changes: Mapping[str, bytes | None]) -> bytes:
    """Return the tiny bundle's archive with members replaced, added or (None) removed, as an attacker would."""
    merged = {**EVERYTHING, **changes}
    return stored_zip.write({name: data for name, data in merged.items() if data is not None})


def resigned(manifest: bytes, key: PrivateKey = tiny.KEY) -> dict[str, bytes]:
    """Return a manifest with a signature that holds, as a careless maker would."""
    return {"manifest.json": manifest, f"signatures/{ID}.dsse": signing.sign(files.sha256(manifest), key)}


def manifest_with(**changes: object) -> bytes:
    return msgspec.json.encode({**msgspec.json.decode(TAKEN.manifest), **changes}, order="sorted")


def refusal(raw: bytes, error: type[BundleError] = BundleError) -> str:
    with pytest.raises(BundleError) as caught:
        trust.verify(raw, keys=TRUSTED)
    assert type(caught.value) is error
    return str(caught.value)


def test_signed_bundle_opens() -> None:
    bundle = trust.verify(RAW, keys=TRUSTED)

    assert bundle.manifest.name == "tiny"
    assert bundle.members == tiny.MEMBERS
    assert bundle.digest == files.sha256(TAKEN.manifest)
    assert bundle.accepted == tuple(TRUSTED)


def test_one_of_two_signatures_is_enough() -> None:
    raw = tiny.build(private_keys=[tiny.KEY, tiny.STRANGER])

    assert trust.verify(raw, keys=[tiny.OTHER.public, tiny.KEY.public]).accepted == (tiny.KEY.public,)


def test_every_accepted_key_is_told() -> None:
    raw = tiny.build(private_keys=[tiny.KEY, tiny.OTHER])

    accepted = trust.verify(raw, keys=[tiny.KEY.public, tiny.OTHER.public]).accepted

    assert set(accepted) == {tiny.KEY.public, tiny.OTHER.public}


def test_every_flipped_bit_is_refused() -> None:
    for position in range(len(RAW)):
        for bit in range(8):
            flipped = bytearray(RAW)
            flipped[position] ^= 1 << bit
            with pytest.raises(BundleError):
                trust.verify(bytes(flipped), keys=TRUSTED)


def test_every_truncation_is_refused() -> None:
    for length in range(len(RAW)):
        with pytest.raises(BundleError):
            trust.verify(RAW[:length], keys=TRUSTED)


@given(st.lists(st.tuples(st.integers(0, len(RAW) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_overwritten_bytes_are_refused(changes: list[tuple[int, int]]) -> None:
    changed = bytearray(RAW)
    for position, value in changes:
        changed[position] = value
    if changed == RAW:
        return
    with pytest.raises(BundleError):
        trust.verify(bytes(changed), keys=TRUSTED)


@given(st.integers(0, len(RAW)), st.integers(0, 40), st.binary(max_size=40))
def test_any_bytes_give_the_bundle_or_a_bundle_error(start: int, removed: int, inserted: bytes) -> None:
    for raw in (inserted, RAW[:start] + inserted + RAW[start + removed :]):
        try:
            bundle = trust.verify(raw, keys=TRUSTED)
        except BundleError:
            continue
        assert isinstance(bundle, Bundle)
        assert raw == RAW


def test_step_1_no_key_is_an_error() -> None:
    with pytest.raises(SignatureError) as caught:
        trust.verify(RAW, keys=[])

    assert str(caught.value) == (
        "no trusted key was given; name one with --trust KEY.pub, or add it with 'edgemed keys trust KEY.pub'"
    )


def test_step_1_comes_before_the_file_is_taken_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.edgemed"
    path.write_bytes(RAW[:-1])

    with pytest.raises(SignatureError, match="no trusted key was given"):
        trust.open_bundle(path, keys=[])


WRONG_PATHS = {
    "folder": (".", "is a folder, expected an .edgemed file; name the file in it"),
    "picture": ("ok.png", "not an .edgemed file, it starts as no bundle does; check the path"),
    "empty file": ("empty", "not an .edgemed file, it starts as no bundle does; check the path"),
    "missing": ("missing", "cannot be read: No such file or directory; check the path and its permissions"),
    "name that is too long": ("x" * 300, "cannot be read: File name too long; check the path and its permissions"),
}


@pytest.mark.parametrize(("name", "message"), WRONG_PATHS.values(), ids=WRONG_PATHS)
def test_step_0_wrong_path_is_called_that_and_no_matter_of_trust(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "ok.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "empty").write_bytes(b"")
    path = tmp_path / name

    for refuses in (trust.open_bundle, trust.inspect_file):
        with pytest.raises(BundleError) as caught:
            refuses(path, keys=[])
        assert type(caught.value) is BundleError
        assert str(caught.value) == f"{path}: {message}"


def test_step_2_file_above_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.edgemed"
    with path.open("wb") as stream:
        stream.write(RAW[:4])
        stream.truncate((256 << 20) + 1)  # a sparse file

    with pytest.raises(BundleError) as caught:
        trust.open_bundle(path, keys=TRUSTED)

    assert str(caught.value) == f"{path}: is larger than the 268435456 bytes accepted here"


def test_step_3_trailing_bytes_are_refused() -> None:
    assert refusal(RAW + b"\n").startswith("archive: not in canonical form: ")


def test_step_4_unsigned_bundle_is_refused() -> None:
    message = refusal(repacked({f"signatures/{ID}.dsse": None}), SignatureError)

    assert message == "archive: expected 1 to 16 signatures, got 0"


def test_step_4_too_many_signatures_are_refused() -> None:
    copies: dict[str, bytes | None] = {f"signatures/{number:016x}.dsse": b"" for number in range(16)}

    assert refusal(repacked(copies), SignatureError) == "archive: expected 1 to 16 signatures, got 17"


def test_step_4_signature_under_another_name_is_refused() -> None:
    envelope = TAKEN.envelopes[f"signatures/{ID}.dsse"]

    message = refusal(repacked({f"signatures/{ID}.dsse": None, "signatures/a.dsse": envelope}), SignatureError)

    assert message == f"signatures/a.dsse: expected the name signatures/{ID}.dsse, after the key in it"


def test_step_4_envelope_that_is_not_canonical_is_refused() -> None:
    envelope = TAKEN.envelopes[f"signatures/{ID}.dsse"]

    message = refusal(repacked({f"signatures/{ID}.dsse": envelope + b" "}), SignatureError)

    assert message == f"signatures/{ID}.dsse: not in canonical form; it was altered or made by another tool"


def test_step_5_signature_by_a_stranger_alone_is_not_trusted() -> None:
    message = refusal(tiny.build(private_keys=[tiny.STRANGER]), SignatureError)

    assert message == (
        f"signed by {STRANGER_ID}, expected a signature by a trusted key: {ID}; "
        "if you trust its maker, give the maker's key with --trust KEY.pub"
    )


def test_step_5_one_invalid_signature_refuses_although_another_holds() -> None:
    forged = signing.parse(signing.sign("sha256:" + "0" * 64, tiny.OTHER), source="forged").signature
    document = msgspec.json.decode(archive.read(tiny.build(private_keys=[tiny.OTHER])).envelopes[_name(tiny.OTHER)])
    document["signatures"][0]["sig"] = _base64(forged)
    raw = repacked({_name(tiny.OTHER): schema.encode_json(document)})

    with pytest.raises(SignatureError) as caught:
        trust.verify(raw, keys=[tiny.KEY.public, tiny.OTHER.public])

    assert str(caught.value) == (
        f"signatures/{OTHER_ID}.dsse: the signature is invalid, the bundle was altered; get it again"
    )


def test_step_5_comes_before_the_manifest_is_parsed() -> None:
    raw = repacked({"manifest.json": b"not JSON", **_signed_by_stranger(b"not JSON")})

    assert refusal(raw, SignatureError).startswith(f"signed by {STRANGER_ID}, ")


def test_step_6_signature_of_another_manifest_is_refused() -> None:
    message = refusal(repacked({"manifest.json": manifest_with(release=2)}), DigestError)

    assert message == (
        f"manifest.json: its digest is not the one in signatures/{ID}.dsse; get the bundle again from its maker"
    )


def test_step_6_covers_signatures_by_strangers_too() -> None:
    raw = repacked({_name(tiny.STRANGER): signing.sign("sha256:" + "0" * 64, tiny.STRANGER)})

    assert refusal(raw, DigestError).startswith("manifest.json: its digest is not the one in ")


def test_step_7_signed_manifest_of_another_schema_is_refused() -> None:
    message = refusal(repacked(resigned(manifest_with(schema=2))))

    assert message == "manifest.json: schema: invalid enum value 2, value 2"


def test_step_7_signed_manifest_that_is_not_canonical_is_refused() -> None:
    message = refusal(repacked(resigned(TAKEN.manifest + b"\n")))

    assert message == "manifest.json: not in canonical form; build the bundle with 'edgemed bundle build'"


def test_step_7_manifest_above_the_limit_is_refused() -> None:
    message = refusal(repacked(resigned(b" " * ((1 << 20) + 1))))

    assert message == "manifest.json: 1048577 bytes are more than the 1048576 accepted"


MEMBERS_REFUSED: dict[str, tuple[dict[str, bytes | None], str]] = {
    "missing": (
        {"preprocessing.json": None},
        "archive: preprocessing.json: missing; get the bundle again from its maker",
    ),
    "extra": ({"card.md": b""}, "archive: card.md: not in the manifest; get the bundle again from its maker"),
    "extra beside the signatures": (
        {"signature/a.dsse": b""},
        "archive: signature/a.dsse: not in the manifest; get the bundle again from its maker",
    ),
    "same size": (
        {"model/int8.tflite": b"m0del"},
        "model/int8.tflite: its bytes are not those that were signed; get the bundle again from its maker",
    ),
    "another size": (
        {"model/int8.tflite": b"model."},
        "model/int8.tflite: its bytes are not those that were signed; get the bundle again from its maker",
    ),
}


@pytest.mark.parametrize(("changes", "message"), MEMBERS_REFUSED.values(), ids=MEMBERS_REFUSED)
def test_step_8_member_that_was_not_signed_is_refused(changes: dict[str, bytes | None], message: str) -> None:
    assert refusal(repacked(changes), DigestError) == message


def test_step_8_signed_manifest_without_a_model_is_refused() -> None:
    listed = {
        name: member for name, member in msgspec.json.decode(TAKEN.manifest)["members"].items() if "model" not in name
    }

    message = refusal(repacked({**resigned(manifest_with(members=listed)), "model/int8.tflite": None}), DigestError)

    assert message == "archive: model/int8.tflite: missing; get the bundle again from its maker"


def test_step_8_signed_manifest_that_lists_itself_is_refused() -> None:
    listed = {
        **msgspec.json.decode(TAKEN.manifest)["members"],
        "manifest.json": {"sha256": "sha256:" + "0" * 64, "size_bytes": 0},
    }

    message = refusal(repacked(resigned(manifest_with(members=listed))), DigestError)

    assert message == "archive: manifest.json: missing; get the bundle again from its maker"


def test_step_9_newer_runtime_is_asked_for() -> None:
    message = refusal(tiny.build(minimum_runtime="999.0.0"))

    assert re.fullmatch(
        r"tiny 1\.0\.0: needs edgemed 999\.0\.0 or newer, this is \d+\.\d+\.\d+; upgrade edgemed", message
    )


def test_file_is_named_in_the_refusal(tmp_path: Path) -> None:
    path = tmp_path / "a.edgemed"
    path.write_bytes(RAW[:-1])

    with pytest.raises(BundleError, match=f"^{re.escape(str(path))}: archive: not in canonical form"):
        trust.open_bundle(path, keys=TRUSTED)


def test_kind_of_refusal_survives_the_naming(tmp_path: Path) -> None:
    path = tmp_path / "a.edgemed"
    path.write_bytes(repacked({"card.md": b""}))

    with pytest.raises(DigestError):
        trust.open_bundle(path, keys=TRUSTED)


def test_file_opens(tmp_path: Path) -> None:
    path = tmp_path / "a.edgemed"
    path.write_bytes(RAW)

    assert trust.open_bundle(path, keys=TRUSTED).members == tiny.MEMBERS


def test_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.edgemed"

    with pytest.raises(BundleError) as caught:
        trust.open_bundle(path, keys=TRUSTED)

    assert str(caught.value) == f"{path}: cannot be read: No such file or directory; check the path and its permissions"


def test_inspection_shows_an_unknown_makers_bundle_and_accepts_nobody() -> None:
    shown = trust.inspect(tiny.build(private_keys=[tiny.STRANGER]), keys=TRUSTED)

    assert shown.manifest.name == "tiny"
    assert shown.keyids == (tiny.STRANGER.public.keyid,)
    assert shown.accepted == ()


def test_inspection_tells_who_is_accepted() -> None:
    assert trust.inspect(RAW, keys=TRUSTED).accepted == tuple(TRUSTED)


def test_inspection_shows_a_bundle_for_a_newer_runtime() -> None:
    assert trust.inspect(tiny.build(minimum_runtime="999.0.0")).manifest.minimum_runtime == "999.0.0"


ALTERED: dict[str, Callable[[], bytes]] = {
    "member": lambda: repacked({"model/int8.tflite": b"m0del"}),
    "manifest": lambda: repacked({"manifest.json": manifest_with(release=2)}),
    "framing": lambda: RAW + b"\0",
}


@pytest.mark.parametrize("altered", ALTERED.values(), ids=ALTERED)
def test_inspection_refuses_an_altered_bundle_without_any_key(altered: Callable[[], bytes]) -> None:
    with pytest.raises(BundleError):
        trust.inspect(altered())


def _name(key: PrivateKey) -> str:
    return signing.member_name(key.public.keyid)


def _base64(raw: bytes) -> str:
    import base64

    return base64.b64encode(raw).decode()


def _signed_by_stranger(manifest: bytes) -> dict[str, bytes | None]:
    return {_name(tiny.KEY): None, _name(tiny.STRANGER): signing.sign(files.sha256(manifest), tiny.STRANGER)}
