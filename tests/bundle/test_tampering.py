"""An altered bundle is refused, by the library and by a device: exit 4 or 5, and nothing in the store has changed.

Here a part of each kind; `benchmarks/tampering.py` runs all of them. `test_trust.py` flips every bit.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from edgemed.bundle import archive, trust
from edgemed.bundle.keys import PrivateKey
from edgemed.bundle.root import Role
from edgemed.device import authority, install, provision
from edgemed.device.store import Store
from edgemed.errors import DeviceError, EdgemedError, RollbackError, SignatureError, TargetMismatchError
from tests.bundle import attacks, rooted, test_overlay, tiny
from tests.device import made

TRUST = rooted.trust()
SIGNERS = rooted.RELEASE[:2]
REFUSALS = (4, 5)


def bundle(release: int = 5, *, target: str = made.TARGET, keys: Sequence[PrivateKey] = SIGNERS) -> bytes:
    members = {**tiny.MEMBERS, "decision.json": test_overlay.decision(2)}
    artifact = tiny.described(target)
    return archive.build(artifact, members, version="1.0.0", release=release, private_keys=keys)


RAW = bundle()


def new_store(folder: Path) -> Store:
    """Return a device's store under a trust root, with the bundle of release 5 active."""
    store = provision.init(folder / "store", target=made.TARGET, trust=TRUST).store
    (folder / "own.edgemed").write_bytes(RAW)
    install.install(store, folder / "own.edgemed", check=made.healthy)
    return store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return new_store(tmp_path)


def everything(store: Store) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(store.path.rglob("*")) if path.is_file()}


def code_of(store: Store, raw: bytes, folder: Path) -> int:
    """Return the exit code of an install; 0 when the file was taken."""
    path = folder / "attack.edgemed"
    path.write_bytes(raw)
    try:
        install.install(store, path, check=made.healthy)
    except EdgemedError as err:
        return err.exit_code
    return 0


def every_kind(count: int) -> Iterator[attacks.Attack]:
    rng = random.Random(8)
    yield from attacks.zip_tricks(RAW)
    yield from attacks.flips(RAW, rng, stride=len(RAW) // count)
    yield from attacks.overwrites(RAW, rng, count=count)
    yield from attacks.truncations(RAW, step=len(RAW) // count)


def test_library_refuses_every_kind() -> None:
    taken = []
    for name, raw in every_kind(200):
        try:
            trust.verify(raw, trust=TRUST)
        except EdgemedError as err:
            assert err.exit_code in REFUSALS, name
        else:
            taken.append(name)
    assert taken == []


def test_device_refuses_every_kind_and_nothing_changes(store: Store, tmp_path: Path) -> None:
    before = everything(store)

    codes = {name: code_of(store, raw, tmp_path) for name, raw in every_kind(60)}

    assert {name: code for name, code in codes.items() if code not in REFUSALS} == {}
    assert everything(store) == before


WRONG = {
    "replayed old release": (lambda: bundle(4), RollbackError),
    "another target": (lambda: bundle(6, target="raspberry-pi-5"), TargetMismatchError),
    "one signature of two": (lambda: bundle(6, keys=SIGNERS[:1]), SignatureError),
    "keys of another role": (lambda: bundle(6, keys=[rooted.ROOT, rooted.THRESHOLD]), SignatureError),
    "strangers": (lambda: bundle(6, keys=[tiny.KEY, tiny.OTHER]), SignatureError),
}


@pytest.mark.parametrize("name", WRONG)
def test_device_refuses_a_whole_bundle_that_is_not_for_it(store: Store, tmp_path: Path, name: str) -> None:
    make, error = WRONG[name]
    before = everything(store)
    (tmp_path / "attack.edgemed").write_bytes(make())

    with pytest.raises(error) as caught:
        install.install(store, tmp_path / "attack.edgemed", check=made.healthy)

    assert caught.value.exit_code in REFUSALS
    assert everything(store) == before


def test_revoked_key_signs_nothing_any_more(store: Store, tmp_path: Path) -> None:
    root = rooted.following(TRUST, revoke=[SIGNERS[0].public.keyid])
    (tmp_path / "root-2.json").write_bytes(root)
    authority.replace_root(store, tmp_path / "root-2.json", may_stop=True)
    before = everything(store)

    assert code_of(store, bundle(6), tmp_path) == 5
    assert everything(store) == before
    assert code_of(store, bundle(6, keys=rooted.RELEASE[1:]), tmp_path) == 0


FORGED = {
    "signed by the new key alone": rooted.following(
        TRUST, keys={Role.ROOT: [rooted.NEXT_ROOT.public]}, signers=[rooted.NEXT_ROOT]
    ),
    "signed by release keys": rooted.following(TRUST, signers=rooted.RELEASE),
    "skipped version": rooted.forged({**rooted.tree(TRUST.root), "version": 3}, rooted.ROOT),
    "cut short": rooted.following(TRUST)[:-1],
}


@pytest.mark.parametrize("raw", FORGED.values(), ids=FORGED)
def test_forged_rotation_is_refused_and_nothing_changes(store: Store, tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "root.json").write_bytes(raw)
    before = everything(store)

    with pytest.raises(EdgemedError) as caught:
        authority.replace_root(store, tmp_path / "root.json")

    assert caught.value.exit_code == 5
    assert not isinstance(caught.value, DeviceError)
    assert everything(store) == before
