from __future__ import annotations

from pathlib import Path

import pytest

from edgemed.bundle import keys, roles, trusted
from edgemed.errors import ConfigError, SignatureError
from tests.bundle import rooted, tiny

TRUST = rooted.trust()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a folder with two public keys, and two roots in a row."""
    (tmp_path / "my.pub").write_bytes(keys.encode_public(tiny.KEY.public))
    (tmp_path / "other.pub").write_bytes(keys.encode_public(tiny.OTHER.public))
    (tmp_path / "root-1.json").write_bytes(rooted.first())
    (tmp_path / "root-2.json").write_bytes(rooted.following(TRUST))
    return tmp_path


def test_public_keys_are_trust(home: Path) -> None:
    trust = trusted.from_files([home / "my.pub", home / "other.pub"])

    assert trust == roles.of_keys([tiny.KEY.public, tiny.OTHER.public])


def test_root_is_trust(home: Path) -> None:
    assert trusted.from_files([home / "root-1.json"]) == TRUST


def test_root_beside_keys_is_refused(home: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        trusted.from_files([home / "my.pub", home / "root-1.json"])

    assert str(caught.value) == (
        f"{home}/root-1.json: a trust root stands alone; leave the other keys away, or put them into a root"
    )


FOLDERS = {
    "root": (["root-1.json"], ["root.json"]),
    "keys": (["my.pub", "other.pub"], sorted(f"{key.public.keyid[:16]}.pub" for key in (tiny.KEY, tiny.OTHER))),
}


@pytest.mark.parametrize(("named", "names"), FOLDERS.values(), ids=FOLDERS)
def test_files_of_a_folder_give_back_the_trust(home: Path, named: list[str], names: list[str]) -> None:
    trust = trusted.from_files([home / name for name in named])
    folder = home / "trust"
    folder.mkdir()

    for name, raw in trusted.contents(trust).items():
        (folder / name).write_bytes(raw)

    assert sorted(path.name for path in folder.iterdir()) == names
    assert trusted.from_files(sorted(folder.iterdir())) == trust


def test_no_file_is_no_trust() -> None:
    with pytest.raises(SignatureError, match=r"^no trusted key was given; "):
        trusted.from_files([])
