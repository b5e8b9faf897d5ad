from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from edgemed.bundle import keys
from edgemed.bundle.keys import PrivateKey, PublicKey
from edgemed.errors import ConfigError

# RFC 8032, section 7.1, test 1.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
KEY = PrivateKey(seed=SEED)
PEM = keys.encode_private(KEY, passphrase=None)
LOCKED = keys.encode_private(KEY, passphrase=b"open sesame")
PUB = keys.encode_public(KEY.public)


def curve_private() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def exchange_public() -> bytes:
    key = x25519.X25519PrivateKey.from_private_bytes(SEED).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_public_half_is_the_one_of_the_rfc() -> None:
    assert KEY.public.raw == PUBLIC


def test_keyid_is_the_digest_of_the_raw_key() -> None:
    assert KEY.public.keyid == hashlib.sha256(PUBLIC).hexdigest()


def test_generated_keys_differ() -> None:
    assert keys.generate() != keys.generate()


def test_private_key_hides_its_seed() -> None:
    assert repr(KEY) == "PrivateKey()"


@pytest.mark.parametrize("kind", ["raw", "seed"])
def test_key_of_another_length_is_the_callers_mistake(kind: str) -> None:
    with pytest.raises(ValueError, match=rf"^{kind}: expected 32 bytes, got 3$"):
        PublicKey(raw=b"abc") if kind == "raw" else PrivateKey(seed=b"abc")


@given(st.binary(min_size=32, max_size=32))
def test_plain_keys_come_back(seed: bytes) -> None:
    key = PrivateKey(seed=seed)

    assert keys.parse_private(keys.encode_private(key, passphrase=None), passphrase=None, source="k") == key
    assert keys.parse_public(keys.encode_public(key.public), source="k") == key.public


def test_locked_key_comes_back_with_its_passphrase() -> None:
    assert keys.is_encrypted(LOCKED)
    assert keys.parse_private(LOCKED, passphrase=b"open sesame", source="my.key") == KEY


def test_passphrase_is_not_used_where_none_is_needed() -> None:
    assert not keys.is_encrypted(PEM)
    assert keys.parse_private(PEM, passphrase=b"whatever", source="my.key") == KEY


PRIVATE_REFUSED = {
    "wrong passphrase": (LOCKED, b"guess", "my.key: the passphrase is wrong, or the file is damaged"),
    "no passphrase": (LOCKED, None, "my.key: is encrypted; its passphrase is needed"),
    "text": (b"hello", None, "my.key: expected a private key in PEM form"),
    "public half": (PUB, None, "my.key: expected a private key in PEM form"),
    "another kind": (
        curve_private(),
        None,
        "my.key: expected an Ed25519 private key, got another kind; make one with 'edgemed keys new'",
    ),
}


@pytest.mark.parametrize(("raw", "passphrase", "message"), PRIVATE_REFUSED.values(), ids=PRIVATE_REFUSED)
def test_private_key_is_refused_with_a_reason(raw: bytes, passphrase: bytes | None, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        keys.parse_private(raw, passphrase=passphrase, source="my.key")

    assert str(caught.value) == message


PUBLIC_REFUSED = {
    "text": (b"hello", "my.pub: expected a public key in PEM form, got something else"),
    "private half": (
        PEM,
        "my.pub: expected a public key, got a private one; give its .pub file and keep this one secret",
    ),
    "another kind": (
        exchange_public(),
        "my.pub: expected an Ed25519 public key, got another kind; make one with 'edgemed keys new'",
    ),
}


@pytest.mark.parametrize(("raw", "message"), PUBLIC_REFUSED.values(), ids=PUBLIC_REFUSED)
def test_public_key_is_refused_with_a_reason(raw: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        keys.parse_public(raw, source="my.pub")

    assert str(caught.value) == message


@given(st.binary(max_size=120), st.integers(0, len(PEM)))
def test_any_bytes_give_a_key_or_a_config_error(junk: bytes, cut: int) -> None:
    for raw in (junk, PEM[:cut] + junk, PUB[:cut] + junk, LOCKED[:cut] + junk):
        for parse in (
            lambda raw: keys.parse_public(raw, source="k"),
            lambda raw: keys.parse_private(raw, passphrase=None, source="k"),
        ):
            try:
                assert isinstance(parse(raw), (PublicKey, PrivateKey))
            except ConfigError:
                continue


def test_new_key_is_private_to_its_owner_and_opens_again(tmp_path: Path) -> None:
    path = tmp_path / "my.key"

    public = keys.write_new(path, KEY, passphrase=b"open sesame")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keys.parse_private(path.read_bytes(), passphrase=b"open sesame", source="my.key") == KEY
    assert public == tmp_path / "my.pub"
    assert keys.read_public(public) == KEY.public


@pytest.mark.parametrize("older", ["my.key", "my.pub"])
def test_older_file_is_never_overwritten(tmp_path: Path, older: str) -> None:
    (tmp_path / older).write_bytes(b"older")

    with pytest.raises(ConfigError) as caught:
        keys.write_new(tmp_path / "my.key", KEY, passphrase=None)

    expected = f"{tmp_path / older}: exists already; keys are never overwritten, choose another name"
    assert str(caught.value) == expected
    assert [path.name for path in tmp_path.iterdir()] == [older]
    assert (tmp_path / older).read_bytes() == b"older"


def test_dangling_link_in_place_of_the_public_half_leaves_no_private_half(tmp_path: Path) -> None:
    (tmp_path / "my.pub").symlink_to(tmp_path / "nowhere")

    with pytest.raises(ConfigError, match=r"my\.pub: exists already"):
        keys.write_new(tmp_path / "my.key", KEY, passphrase=None)

    assert not (tmp_path / "my.key").exists()


def test_private_key_may_not_be_named_as_a_public_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        keys.write_new(tmp_path / "my.pub", KEY, passphrase=None)

    assert str(caught.value) == (
        f"{tmp_path}/my.pub: .pub is the public half's name; give the private key another, as in my.key"
    )


@pytest.mark.parametrize("name", [".", "", "..", "folder"])
def test_folder_is_no_place_for_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()

    with pytest.raises(ConfigError) as caught:
        keys.write_new(Path(name), KEY, passphrase=None)

    assert str(caught.value) == (
        f"{Path(name)}: expected a file to write the private key to, as in my.key, got a folder"
    )


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        keys.write_new(tmp_path / "no" / "my.key", KEY, passphrase=None)

    assert str(caught.value) == (
        f"{tmp_path}/no/my.key: cannot be written: No such file or directory; choose another place"
    )


@given(st.binary(min_size=32, max_size=32), st.sampled_from([b"", b"\n", b"\r\n", b" "]), st.booleans())
def test_public_key_reads_the_same_by_the_short_way_and_by_the_parser(raw: bytes, end: bytes, indented: bool) -> None:
    written = keys.encode_public(PublicKey(raw=raw))

    assert keys._plain_public(written) == raw
    # Other ways to write the same file are left to the parser.
    other = b"# a comment\n" + written if indented else written[:-1] + end
    assert keys._plain_public(other) in (None, raw)
    assert keys.parse_public(b"# a comment\n" + written, source="my.pub").raw == raw


def test_key_of_another_kind_or_with_spare_bits_is_no_plain_one() -> None:
    assert keys._plain_public(exchange_public()) is None
    assert keys._plain_public(PUB.replace(b"=\n", b"\n")) is None
    assert keys._plain_public(PUB.replace(b"MCow", b"MCox")) is None
