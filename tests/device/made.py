"""Stores for tests: on the disk in memory, with tiny bundles and a health check that does as it is told."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from edgemed import files, schema, targets
from edgemed.bundle import archive, roles
from edgemed.bundle.archive import Bundle
from edgemed.bundle.keys import PrivateKey
from edgemed.device import provision
from edgemed.device import store as stores
from edgemed.device.filesystem import Filesystem
from edgemed.device.health import Health
from edgemed.device.store import Store
from edgemed.errors import InstallError
from tests.bundle import tiny
from tests.device.power import Disk, Tree

TARGET = targets.generic_id()
TRUST = roles.of_keys([tiny.KEY.public])
NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)

HEALTHY = Health(
    golden="within",
    vectors=1,
    logit_lsb=0,
    allowed_logit_lsb=0,
    member="model/int8.tflite",
    backend="fake",
    kernels="reference",
    architecture="x86-64",
    budget="xray-still",
    n=20,
    stages=(),
    slow=(),
    warnings=(),
)


def healthy(store: Store, path: Path) -> Health:
    return HEALTHY


def failing(store: Store, path: Path) -> Health:
    raise InstallError("golden vectors outside the tolerance")


@functools.cache
def raw(
    release: int,
    *,
    name: str = "tiny",
    key: PrivateKey = tiny.KEY,
    target: str = TARGET,
    minimum_runtime: str = "0.1.0",
) -> bytes:
    """Return the tiny bundle with this release; its version says it too."""
    decision = schema.encode_json({"model": files.sha256(tiny.MODEL), "version": 1})
    return archive.build(
        tiny.described(target, name=name),
        {**tiny.MEMBERS, "decision.json": decision},
        version=f"{release}.0.0",
        release=release,
        private_keys=[key],
        minimum_runtime=minimum_runtime,
    )


def write(folder: Path, release: int, **options: str) -> Path:
    """Write a tiny bundle as a file and return its path."""
    path = folder / f"{options.get('name', 'tiny')}-{release}.edgemed"
    path.write_bytes(raw(release, **options))  # type: ignore[arg-type]  # options are those of `raw`
    return path


def store(path: Path, fs: Filesystem, *, clock: Callable[[], datetime] = lambda: NOON) -> Store:
    return stores.open_store(path, fs=fs, clock=clock)


def new_disk(path: Path) -> Disk:
    """Return a disk with an empty store at ``path``; a real folder is there as well, for the lock."""
    return Disk.of(dict(_empty_store(path)))


@functools.cache
def _empty_store(path: Path) -> Tree:
    disk = Disk.of({path.parent: None})
    path.mkdir(exist_ok=True)
    provision.init(path, target=TARGET, trust=TRUST, fs=disk)
    return disk.tree()


def release(bundle: Bundle) -> int:
    return bundle.manifest.release
