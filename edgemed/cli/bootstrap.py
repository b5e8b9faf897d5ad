"""What ``edgemed flash --bootstrap`` does before the bundle: edgemed and a store onto devices that have none.

one(wire("ssh://unit@10.0.0.7", "jetson-orin-nano"), "jetson-orin-nano", kit, options)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgemed.cli import output, progress
from edgemed.errors import ConfigError

if TYPE_CHECKING:
    from edgemed.device.bootstrap import Bootstrapped, Kit
    from edgemed.device.fleet import Preparer
    from edgemed.device.inventory import Entry, Inventory
    from edgemed.device.transports import Transport
    from edgemed.device.transports.address import DirectoryAddress, SshAddress
    from edgemed.device.transports.login import SshOptions

__all__ = ["kit", "one", "preparer", "require_wires", "wire"]


def kit(wheelhouses: list[Path], trusted: list[Path], service: str | None) -> Kit:
    """Return what is put onto the devices, every wheel compared with its digest."""
    from edgemed import files
    from edgemed.bundle import keys
    from edgemed.device import bootstrap, wheelhouse

    if service is not None:
        bootstrap.require_source(service)
    return bootstrap.Kit(
        houses={folder: wheelhouse.read(folder) for folder in wheelhouses},
        trust=[files.read_bounded(path, limit_bytes=keys.KEY_LIMIT_BYTES, error=ConfigError) for path in trusted],
        service=service,
    )


def wire(to: str, device: str) -> SshAddress:
    """Return the address of a device that can be provisioned."""
    from edgemed.device.transports import address

    return _wire(address.parse(to, device))


def one(address: SshAddress, device: str, wanted: Kit, options: SshOptions) -> None:
    """Provision one device, and say on stderr what came of it."""
    import asyncio

    from edgemed.device import bootstrap
    from edgemed.device.transports import ssh

    async def work() -> Bootstrapped:
        async with ssh.connected(address, options) as session:
            with progress.transfer() as bars:
                return await bootstrap.bootstrap(session, wanted, target=device, progress=bars)

    output.note(f"{address}: {asyncio.run(work())}")


def require_wires(listed: Inventory) -> None:
    """Refuse an inventory in which a device is a folder."""
    for entry in listed.devices:
        _wire(entry.address(), name=f"{entry.name}: ")


def preparer(wanted: Kit) -> Preparer:
    """Return what provisions each device of a fleet over the connection that then brings the bundle."""
    from edgemed.device import bootstrap
    from edgemed.device.transports.ssh import Session

    async def prepare(entry: Entry, transport: Transport) -> str:
        if not isinstance(transport, Session):
            raise TypeError(f"{entry.name}: expected an SSH session, got {type(transport).__name__}")
        return str(await bootstrap.bootstrap(transport, wanted, target=entry.device, progress=progress.Notes()))

    return prepare


def _wire(address: SshAddress | DirectoryAddress, *, name: str = "") -> SshAddress:
    from edgemed.device.transports.address import SshAddress

    if not isinstance(address, SshAddress):
        raise ConfigError(f"{name}--bootstrap: expected --to ssh://..., got {str(address)!r}: a folder runs nothing")
    return address
