from __future__ import annotations

from pathlib import Path

import pytest

from edgemed.bundle import keys, trust
from edgemed.errors import ConfigError
from tests.bundle import tiny


def test_user_trusts_nobody_at_first(tmp_path: Path) -> None:
    assert trust.user_keys(tmp_path / "trusted") == ()


def test_added_key_is_trusted_once(tmp_path: Path) -> None:
    for _ in range(2):
        path = trust.add_user_key(tiny.KEY.public, tmp_path / "trusted")

    assert path == tmp_path / "trusted" / f"{tiny.KEY.public.keyid[:16]}.pub"
    assert trust.user_keys(tmp_path / "trusted") == (tiny.KEY.public,)


def test_damaged_trusted_key_is_named_and_not_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.pub").write_bytes(b"damaged")

    with pytest.raises(ConfigError) as caught:
        trust.user_keys(tmp_path)

    assert str(caught.value) == f"{tmp_path}/a.pub: expected a public key in PEM form, got something else"


def test_user_folder_follows_the_users_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    assert trust.user_folder() == tmp_path / "edgemed" / "trusted"


def test_key_of_the_user_folder_opens_the_bundle(tmp_path: Path) -> None:
    (tmp_path / "maker.pub").write_bytes(keys.encode_public(tiny.KEY.public))

    assert trust.verify(tiny.build(), keys=trust.user_keys(tmp_path)).accepted == (tiny.KEY.public,)
