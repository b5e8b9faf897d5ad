"""What flashing one device would do: every refusal that can be known before the first byte is sent.

The refusals, in order:

1. The bundle admits the device named on the command line (`require_admitted`, before a device is asked).
2. The store was made for that device.
3. The device's edgemed reads the bundle.
4. The bundle's release is not below the floor of the store.
5. Both copies, the upload and the slot, find room.
6. The device has the library for an encrypted bundle.

An encrypted bundle tells nobody but its device what it is, so that 1, 3 and 4 are left to that device.

Pure: values in, a value out. `edgemed flash --dry-run` prints it.

    drawn = plan.plan(cargo, state, device="jetson-orin-nano")
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from edgemed import schema
from edgemed.bundle.manifest import Manifest
from edgemed.device.transports import DeviceState, Installing, Upload
from edgemed.errors import DeviceError, RollbackError, TargetMismatchError

__all__ = ["Action", "Cargo", "Plan", "plan", "require_admitted"]

# State, records and the file system's own needs; 2 copies come on top.
_MARGIN_BYTES = 1 << 20


class Action(str, enum.Enum):
    """What will happen to the device."""

    INSTALL = "install"
    PREPARE = "prepare"  # a folder that devices import later
    NOTHING = "nothing"  # it runs this very bundle


@dataclass(frozen=True, kw_only=True)
class Cargo:
    """A bundle that was looked at here, and its bytes.

    Attributes:
        manifest: None for an encrypted file.
        recipients: to how many devices it is encrypted; 0 for one that is not.
    """

    manifest: Manifest | None
    upload: Upload
    recipients: int = 0

    def __str__(self) -> str:
        if self.manifest is not None:
            return f"{self.manifest.name} {self.manifest.version}"
        return f"{self.upload.name}, encrypted to {self.recipients} device{'' if self.recipients == 1 else 's'}"

    @property
    def label(self) -> str:
        """A short name that fits into a file's."""
        return self.upload.name if self.manifest is None else f"{self.manifest.name}-{self.manifest.version}"

    @property
    def fingerprint(self) -> str:
        """What tells it from other cargo: the bundle's digest, or that of an encrypted file."""
        return self.upload.digest or f"sha256:{self.upload.sha256}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What flashing one device does.

    Attributes:
        place: where the device is.
        unit: id of the device's own key; None where it does not say.
        device: id of its target.
        bundle: name and version of what goes there, or the name of an encrypted file.
        digest: of the bundle; None for an encrypted one, as its release.
        replaces: name and version of what runs there now; None when nothing does.
        offset: bytes that an earlier attempt has brought there.
        send_bytes: bytes that are still to be sent.
    """

    place: str
    unit: str | None
    device: str
    bundle: str
    digest: str | None
    release: int | None
    action: Action
    replaces: str | None
    offset: int
    send_bytes: int
    free_bytes: int
    tentative: int | None

    def lines(self) -> list[tuple[str, str]]:
        """Return the plan in words, as names and values."""
        before = [] if self.action is Action.PREPARE else [("replaces", self.replaces or "nothing, the store is empty")]
        return [
            ("device", f"{self.device} at {self.place}"),
            ("bundle", self.bundle if self.release is None else f"{self.bundle}, release {self.release}"),
            ("digest", self.digest or "the device alone can tell what is in it"),
            *before,
            ("send", self._sending()),
            ("then", self._afterwards()),
        ]

    def _sending(self) -> str:
        if self.action is Action.NOTHING:
            return "nothing"
        went_before = f", going on after {self.offset} that have arrived" if self.offset else ""
        return f"{self.send_bytes} bytes{went_before}; {self.free_bytes} are free there"

    def _afterwards(self) -> str:
        if self.action is Action.NOTHING:
            return "nothing: the device runs this bundle already"
        if self.action is Action.PREPARE:
            return "the device installs it when 'edgemed device import' is run there"
        if self.tentative is not None:
            return f"health check on the device, then tentative for {self.tentative} starts, or back to what ran before"
        return "health check on the device, then commit, or back to what ran before"


def require_admitted(cargo: Cargo, device: str) -> None:
    """Refuse a bundle that has no model for the device (1).

    Raises:
        TargetMismatchError: no member of the bundle admits it.
    """
    manifest = cargo.manifest
    if manifest is not None and device not in manifest.targets:
        hint = schema.near_match(device, list(manifest.targets))
        raise TargetMismatchError(
            f"--device: {manifest.name} {manifest.version} is for {', '.join(manifest.targets)}, got {device!r}{hint}; "
            f"convert it for that device as well (edgemed convert --target {device})"
        )


def plan(cargo: Cargo, state: DeviceState, *, device: str, how: Installing) -> Plan:
    """Return what flashing does, or refuse.

    Args:
        cargo: the bundle.
        state: what the device said of itself.
        device: id of the target the user named.
        how: options of the installation.

    Raises:
        TargetMismatchError: the bundle does not admit the device, or the store was made for another one (1, 2).
        DeviceError: its edgemed is older than the bundle needs, the bundle finds no room, or the device cannot open
            encrypted ones (3, 5, 6).
        RollbackError: the release lies below the floor of the store (4).
    """
    require_admitted(cargo, device)  # 1
    _require_target(state, device)  # 2
    _require_runtime(cargo, state)  # 3
    _require_opening(cargo, state)  # 6
    same = state.active is not None and state.active.digest == cargo.upload.digest
    if not same:
        _require_release(cargo, state)  # 4
        _require_room(cargo, state)  # 5
    offset = 0 if same else state.received_bytes
    return Plan(
        place=state.place,
        unit=state.unit,
        device=device,
        bundle=str(cargo),
        digest=cargo.upload.digest,
        release=None if cargo.manifest is None else cargo.manifest.release,
        action=_action(state, same=same),
        replaces=None if state.active is None else f"{state.active.name} {state.active.version}",
        offset=offset,
        send_bytes=0 if same else cargo.upload.size_bytes - offset,
        free_bytes=state.free_bytes,
        tentative=how.tentative,
    )


def _action(state: DeviceState, *, same: bool) -> Action:
    if same:
        return Action.NOTHING
    return Action.PREPARE if state.target is None else Action.INSTALL


def _require_target(state: DeviceState, device: str) -> None:
    if state.target is not None and state.target != device:
        raise TargetMismatchError(
            f"{state.place}: its store was made for {state.target!r}, expected {device!r} as --device says; "
            "is this the right device?"
        )


def _require_runtime(cargo: Cargo, state: DeviceState) -> None:
    if cargo.manifest is None:
        return
    needed = cargo.manifest.minimum_runtime
    if state.runtime is not None and _numbers(state.runtime) < _numbers(needed):
        raise DeviceError(
            f"{state.place}: runs edgemed {state.runtime}, {cargo} needs {needed} or newer; "
            "upgrade it with --bootstrap --wheelhouse DIR"
        )


def _require_opening(cargo: Cargo, state: DeviceState) -> None:
    if cargo.manifest is None and state.opens_encrypted is False:
        raise DeviceError(
            f"{state.place}: its edgemed has no library for encrypted bundles; install the extra 'encryption' there, "
            "or collect its wheels with --extra encryption and run this with --bootstrap"
        )


def _require_release(cargo: Cargo, state: DeviceState) -> None:
    if cargo.manifest is None:
        return
    release, floor = cargo.manifest.release, state.release_floors.get(cargo.manifest.name, 1)
    if release < floor:
        raise RollbackError(
            f"{state.place}: {cargo} has release {release}, the floor of the store is {floor}; "
            "use a newer bundle, or 'edgemed device rollback' there for the one that ran before"
        )


def _require_room(cargo: Cargo, state: DeviceState) -> None:
    size = cargo.upload.size_bytes
    copies = 1 if state.target is None else 2
    needed = copies * size - state.received_bytes + (0 if state.target is None else _MARGIN_BYTES)
    if state.free_bytes < needed:
        raise DeviceError(
            f"{state.place}: {state.free_bytes} bytes are free, {needed} are needed "
            f"({copies} of {size} bytes and room for state); make space there"
            if copies > 1
            else f"{state.place}: {state.free_bytes} bytes are free, {needed} are needed; make space there"
        )


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, so that 0.2.0.dev1 counts as 0.2.0; none for what is no version."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found.group().split("."))) if found else ()
