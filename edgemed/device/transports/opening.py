"""The transport of an address, still closed.

async with opening.opened(address, device="jetson-orin-nano", options=SshOptions()) as transport:
    await transport.probe(upload)
"""

from __future__ import annotations

import contextlib

from edgemed.device.transports import Transport
from edgemed.device.transports.address import DirectoryAddress, SshAddress
from edgemed.device.transports.login import SshOptions

__all__ = ["opened"]


def opened(
    address: SshAddress | DirectoryAddress, *, device: str, options: SshOptions
) -> contextlib.AbstractAsyncContextManager[Transport]:
    """Return what opens the way to a device when it is entered; until then nothing is touched."""
    # Each loads what the other does not need.
    if isinstance(address, SshAddress):
        from edgemed.device.transports import ssh

        return ssh.connected(address, options)
    from edgemed.device.transports import directory

    return contextlib.nullcontext(directory.Session(address.folder, device=device))
