"""The sinks ``http://...`` and ``https://...``: a POST of each document, from a queue that a restart does not lose.

Options: ``queue=DIR`` and ``queued`` (default 1000 documents) for the queue, ``timeout`` (default 5 s) for each step of
a request, ``ca=FILE`` for the authority that signs for the host, ``clear`` to let ``http`` leave this machine.

Rules: only the host that was named is asked: redirects are not followed, and no proxy of the environment is used. What
the host accepts (2xx) leaves the queue. What it refuses (3xx, 4xx) would be refused again: it is not retried, and that
is told; but 408 and 429, which ask for patience. Everything else is tried again, later and later, with jitter. Each
document has an ``Idempotency-Key``: a host that gets one twice, after a power cut, can tell.

Source: RFC 9110, section 15, for the codes; RFC 6585, section 4, for 429.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from edgemed.errors import ConfigError
from edgemed.runtime.sinks.delivery import Channel, Surroundings
from edgemed.runtime.sinks.options import Options
from edgemed.runtime.sinks.post import Address, Poster
from edgemed.runtime.sinks.sender import Queued
from edgemed.runtime.sinks.spool import Bounds, Spool

__all__ = ["WebhookSettings", "read_clear", "read_secure"]


@dataclass(frozen=True, kw_only=True)
class WebhookSettings:
    """Where to post, and where documents wait until they can be.

    Attributes:
        queue: folder of the queue; None for one in the folder that all queues share, if there is one.
        queued: documents that wait at most.
        timeout_s: for connecting, and for each part of an answer.
        ca: certificates of the authority that signs for the host; None for those that the system trusts.
    """

    address: Address
    queue: Path | None = None
    queued: int = 1000
    timeout_s: float = 5.0
    ca: Path | None = None

    def open(self, name: str, surroundings: Surroundings) -> Channel:
        """Return the sink; the host is not asked yet.

        Raises:
            ConfigError: the queue cannot be used, or ``ca`` holds no certificates.
        """
        poster = Poster(self.address, timeout_s=self.timeout_s, ca=self.ca, name=name)
        return Queued(
            poster, self._spool(name, surroundings), name=name, tell=surroundings.tell, waiting=surroundings.waiting
        )

    def _spool(self, name: str, surroundings: Surroundings) -> Spool:
        bounds = Bounds(documents=self.queued)
        folder = self.queue
        if folder is None and surroundings.queues is not None:
            # The address names the folder: a restart finds it again. Hashed, for it may hold what others must not see.
            folder = surroundings.queues / hashlib.sha256(str(self.address).encode()).hexdigest()[:16]
        if folder is None:
            surroundings.tell(
                f"{name}: has no queue on disk: what waits for the host is lost at a restart; give queue=DIR or a store"
            )
            return Spool.in_memory(bounds=bounds)
        return Spool.open(folder, bounds=bounds, name=name)


def read_clear(rest: str, options: Options) -> WebhookSettings:
    """Return the settings of an ``http`` sink.

    Raises:
        ConfigError: as `read_secure`, or the host is another machine and ``clear`` is not given.
    """
    settings = _read(rest, options, secure=False)
    if not options.flag("clear") and not _is_loopback(settings.address.host):
        raise ConfigError(
            f"sink {options.sink!r}: http sends in the clear, and {settings.address.host!r} is not this machine; use "
            "https://, or say http,clear://"
        )
    return settings


def read_secure(rest: str, options: Options) -> WebhookSettings:
    """Return the settings of an ``https`` sink.

    Raises:
        ConfigError: no host, a user or fragment in the address, or an option is wrong.
    """
    return _read(rest, options, secure=True)


def _read(rest: str, options: Options, *, secure: bool) -> WebhookSettings:
    ca = options.text("ca") if secure else None
    queue = options.text("queue")
    return WebhookSettings(
        address=_address(rest, options, secure=secure),
        queue=None if queue is None else Path(queue),
        queued=options.integer("queued", 1000, low=1, high=1_000_000),
        timeout_s=options.number("timeout", 5.0, low=0.01, high=600),
        ca=None if ca is None else Path(ca),
    )


def _address(rest: str, options: Options, *, secure: bool) -> Address:
    scheme = "https" if secure else "http"
    try:
        parts = urlsplit(f"{scheme}:{rest}")
        host, port = parts.hostname, parts.port
    except ValueError as err:
        raise ConfigError(f"sink {options.sink!r}: expected {scheme}://HOST/PATH: {err}") from err
    if not host or not rest.isascii() or any(char <= " " for char in rest):
        raise ConfigError(f"sink {options.sink!r}: expected {scheme}://HOST/PATH, in ASCII and without spaces")
    if parts.username is not None or parts.fragment:
        raise ConfigError(f"sink {options.sink!r}: expected an address without user, password and fragment")
    path = parts.path or "/"
    return Address(secure=secure, host=host, port=port, path=f"{path}?{parts.query}" if parts.query else path)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
