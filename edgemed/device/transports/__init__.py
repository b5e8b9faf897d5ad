"""Transports: the ways from a workstation to a device's store, behind one protocol.

Rules: a transport never decides whether a bundle may go onto a device (`edgemed.device.plan` does, from what `probe`
returns) and never says that one is installed (the device does, in the document that `install` returns). What it uploads
lies in ``STORE/inbox`` under the digest of its bytes, so that an upload that was cut off goes on where it ended.

    async with ssh.connected(address, options) as session:
        await session.wake()
        state = await session.probe(upload)
        await session.put(upload, offset=state.received_bytes, advance=print)
        installed = await session.install(upload)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from edgemed.errors import DeviceError

__all__ = [
    "Active",
    "Advance",
    "DeviceState",
    "Installed",
    "Installing",
    "Transport",
    "UnansweredError",
    "Upload",
]

Advance = Callable[[int], None]  # called with the number of bytes that have just arrived


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A bundle file's bytes on their way to a device.

    Attributes:
        name: file name, ``NAME-VERSION.edgemed`` unless it is encrypted; what people read on a stick.
        sha256: of the bytes, 64 lower-case hex digits.
        digest: of the bundle, ``sha256:`` and 64 hex digits: what the device reports back; None for an encrypted file.
    """

    raw: bytes = field(repr=False)
    name: str
    sha256: str
    digest: str | None

    @property
    def size_bytes(self) -> int:
        """How many bytes there are."""
        return len(self.raw)


@dataclass(frozen=True, kw_only=True)
class Active:
    """The bundle a store runs."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class DeviceState:
    """What a device says of itself before anything is sent.

    Attributes:
        place: where it is, for messages: ``user@host:22/store`` or a folder.
        target: id the store was made for; None for a folder that any device may import.
        runtime: version of edgemed that will install; None where a later one does (a folder).
        active: None in an empty store.
        release_floors: the lowest release that the store accepts, by bundle name; 1 for a name that is not there.
        free_bytes: space for this user on the file system of the store.
        received_bytes: leading bytes of this very upload that an earlier attempt has left, compared by digest.
        unit: id of its own key (`edgemed.device.identity`); None where it does not say.
        opens_encrypted: whether it has the library for encrypted bundles; None where it does not say.
    """

    place: str
    target: str | None
    runtime: str | None
    active: Active | None
    release_floors: Mapping[str, int]
    free_bytes: int
    received_bytes: int = 0
    unit: str | None = None
    opens_encrypted: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Installing:
    """How a device is asked to install.

    Attributes:
        tentative: starts after which the device goes back by itself unless somebody commits; None commits at once.
        strict_latency: whether a stage over its budget refuses the bundle.
    """

    tentative: int | None = None
    strict_latency: bool = False


@dataclass(frozen=True, kw_only=True)
class Installed:
    """What came of it, in the device's words.

    Attributes:
        result: ``installed``, ``tentative``, ``unchanged``, or ``prepared`` for a folder that a device imports later.
        digest: of the bundle that the device runs now; None for an encrypted file in a folder.
        document: all that the device has answered, as JSON gives it.
    """

    result: str
    digest: str | None
    document: dict[str, object]


class UnansweredError(DeviceError):
    """The device began to install and did not say how that ended, or what it said is not what was asked for."""


class Transport(Protocol):
    """One open way to one device."""

    @property
    def place(self) -> str:
        """Where the device is, for messages."""

    async def wake(self) -> None:
        """Have the device get ready for what comes; it need not be called, and nothing is written.

        Raises:
            DeviceError: the connection was lost.
        """

    async def probe(self, upload: Upload) -> DeviceState:
        """Return what the device says of itself; nothing is written.

        Raises:
            EdgemedError: no store there, no edgemed there, or an answer that is none.
        """

    async def put(self, upload: Upload, *, offset: int, advance: Advance) -> None:
        """Bring the bytes from ``offset`` on into the inbox of the store.

        Raises:
            DeviceError: the connection was lost, or the device's disk is full or read-only.
        """

    async def install(self, upload: Upload, how: Installing) -> Installed:
        """Have the device install what was put there, and return its answer.

        Raises:
            UnansweredError: the connection was lost, or the device's edgemed was ended or crashed.
            EdgemedError: of the class the device itself raised.
        """
