from __future__ import annotations

from pathlib import Path

import pytest

from edgemed.bundle import keys, roles, trusted
from edgemed.errors import ConfigError, RollbackError, SignatureError
from tests.bundle import rooted, tiny

TRUST = rooted.trust()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a folder with two public keys, two roots in a row, and an empty folder of a device."""
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


@pytest.mark.parametrize("named", [["root-1.json"], ["my.pub", "other.pub"]], ids=["root", "keys"])
def test_folder_gives_back_the_trust_it_was_given(home: Path, named: list[str]) -> None:
    trust = trusted.from_files([home / name for name in named])

    trusted.write(home / "store" / "trust", trust)

    assert trusted.read(home / "store" / "trust") == trust


def test_folder_that_holds_trust_is_not_written_over(home: Path) -> None:
    trusted.write(home / "trust", TRUST)

    with pytest.raises(ConfigError) as caught:
        trusted.write(home / "trust", TRUST)

    assert str(caught.value) == (
        f"{home}/trust: holds root.json already; replace a root with 'edgemed device trust ROOT'"
    )


def test_next_root_takes_the_place_of_the_older_one(home: Path) -> None:
    trusted.write(home / "trust", TRUST)

    newer = trusted.apply(home / "trust", home / "root-2.json")

    assert newer.root.version == 2
    assert trusted.read(home / "trust") == newer
    assert trusted.apply(home / "trust", home / "root-2.json") == newer


def test_refused_root_leaves_the_folder_as_it_was(home: Path) -> None:
    trusted.write(home / "trust", TRUST)
    trusted.apply(home / "trust", home / "root-2.json")
    before = {path.name: path.read_bytes() for path in (home / "trust").iterdir()}

    with pytest.raises(RollbackError):
        trusted.apply(home / "trust", home / "root-1.json")

    assert {path.name: path.read_bytes() for path in (home / "trust").iterdir()} == before


def test_plain_keys_give_way_to_a_root_that_one_of_them_signed(home: Path) -> None:
    trusted.write(home / "trust", trusted.from_files([home / "my.pub"]))
    (home / "root.json").write_bytes(rooted.first(signers=[rooted.ROOT, tiny.KEY]))

    assert trusted.apply(home / "trust", home / "root.json").root.version == 1
    assert trusted.read(home / "trust").root.version == 1


def test_empty_folder_trusts_nobody(home: Path) -> None:
    with pytest.raises(SignatureError, match=r"^no trusted key was given; "):
        trusted.read(home / "nothing")
