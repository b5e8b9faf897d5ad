"""A bundle to flash, and devices that exist in memory or as a shell script behind a real sshd."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from edgemed.bundle import trust
from edgemed.device.plan import Cargo
from edgemed.device.transports import Active, Advance, DeviceState, Installed, Installing, Upload
from edgemed.errors import DeviceError, EdgemedError
from edgemed.files import sha256
from tests.bundle import tiny

TARGET = "generic-x86-64"


def cargo(*, padding: int = 0, **changes: object) -> Cargo:
    """Return the tiny bundle; ``padding`` bytes behind it make an upload that takes a while (no device opens it)."""
    raw = tiny.build(**changes)  # type: ignore[arg-type]
    shown = trust.inspect(raw)
    raw += bytes(range(256)) * (padding // 256)
    upload = Upload(raw=raw, name="tiny-1.0.0.edgemed", sha256=sha256(raw).removeprefix("sha256:"), digest=shown.digest)
    return Cargo(manifest=shown.manifest, upload=upload)


@dataclass
class MemoryDevice:
    """A device in memory; implements `edgemed.device.transports.Transport` and fails where it is told to.

    ``fault`` is raised by the stage named ``fails_at``: ``open``, ``probe``, ``put`` (after half the bytes) or
    ``install``.
    """

    place: str = "memory"
    target: str = TARGET
    runtime: str = "0.1.0"
    release_floors: dict[str, int] = field(default_factory=dict)
    free_bytes: int = 1 << 30
    active: Active | None = None
    received: bytes = b""
    fails_at: str | None = None
    fault: EdgemedError = field(default_factory=lambda: DeviceError("memory: unplugged"))
    calls: list[str] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[MemoryDevice]:
        self._step("open")
        yield self

    async def wake(self) -> None:
        self._step("wake")

    async def probe(self, upload: Upload) -> DeviceState:
        self._step("probe")
        return DeviceState(
            place=self.place,
            target=self.target,
            runtime=self.runtime,
            active=self.active,
            release_floors=self.release_floors,
            free_bytes=self.free_bytes,
            received_bytes=len(self.received) if upload.raw.startswith(self.received) else 0,
        )

    async def put(self, upload: Upload, *, offset: int, advance: Advance) -> None:
        if self.fails_at == "put":
            self.received = upload.raw[: (offset + upload.size_bytes) // 2]
        self._step("put")
        self.received = self.received[:offset] + upload.raw[offset:]
        advance(upload.size_bytes - offset)

    async def install(self, upload: Upload, how: Installing) -> Installed:
        self._step("install")
        assert self.received == upload.raw
        self.active = Active(name="tiny", version="1.0.0", digest=upload.digest)
        return Installed(
            result="installed" if how.tentative is None else "tentative", digest=upload.digest, document={}
        )

    def _step(self, name: str) -> None:
        self.calls.append(name)
        if self.fails_at == name:
            raise self.fault


@dataclass
class Progress:
    """Keeps what is said to it."""

    said: list[object] = field(default_factory=list)

    def start(self, what: str, total: int) -> None:
        self.said.append((what, total))

    def advance(self, count: int = 1) -> None:
        self.said.append(count)

    def note(self, text: str) -> None:
        self.said.append(text)


# What stands for edgemed on a device behind a real sshd, where a test is about the wire: it answers from files of the
# store, and says that it installed an upload only when its bytes have the digest they are named after.
SCRIPT = """#!/bin/sh
status() {
    [ -f "$store/format.json" ] || { echo "edgemed: $store: no device store" >&2; exit 6; }
    cat "$store/answers/status"
    echo
}
install() {
    name=$(basename "$path" .upload)
    [ "$(sha256sum < "$path" | cut -d ' ' -f 1)" = "$name" ] || { echo "edgemed: altered" >&2; exit 5; }
    cp "$path" "$store/installed"
    [ -f "$store/answers/script" ] && . "$store/answers/script"
    cat "$store/answers/install"
}
case "$2" in install) path=$3 store=$5 ;; *) store=$4 ;; esac
[ -d "$store/answers" ] && echo "$2" >> "$store/answers/asked"
case "$2" in
status) status ;;
install) install ;;
receive)
    [ -f "$store/answers/older" ] && { echo "Error: No such command 'receive'." >&2; exit 2; }
    status
    [ -f "$store/answers/ends" ] && kill -9 $$
    read -r order || exit 0
    path=${order#*\\"path\\":\\"} path=${path%%\\"*}
    install
    ;;
*) exit 99 ;;
esac
"""


def write_script(folder: Path) -> Path:
    """Write the script as the ``edgemed`` of a folder that goes on PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "edgemed"
    program.write_text(SCRIPT, "utf-8")
    program.chmod(0o755)
    return folder


def write_store(folder: Path, goods: Cargo, **changes: object) -> Path:
    """Write a store that `SCRIPT` answers for."""
    (folder / "inbox").mkdir(parents=True)
    (folder / "answers").mkdir()
    (folder / "format.json").write_text('{"schema":1}', "utf-8")
    status = {
        "schema_version": 1,
        "target": TARGET,
        "runtime": "0.1.0",
        "release_floors": {"tiny": 1},
        "free_bytes": 1 << 30,
    }
    (folder / "answers" / "status").write_text(json.dumps({**status, **changes}), "utf-8")
    bundle = {"name": "tiny", "version": "1.0.0", "digest": goods.upload.digest, "release": 1}
    answer = {"schema_version": 1, "result": "installed", "bundle": bundle, "slot": "a"}
    (folder / "answers" / "install").write_text(json.dumps(answer), "utf-8")
    return folder
